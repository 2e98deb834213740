/* SPDX-License-Identifier: MIT */
/*
 * One bound for what many peers make us keep in sum: halves of requests and messages, frames that
 * nobody takes. Each peer has bounds of its own, but ten thousand times these is no bound.
 *
 *      small   │ share ── share ── …     up to KEPT_SMALL_BYTES_MAX
 *      large   │ share ── share ── …     more; each line the longest there first
 *                  └── the debtor, while the sum is above the most
 *
 * Beyond the sum the debtor has to give way: of those that keep much the one that has kept so much
 * for longest; only when nobody keeps much, the first of the others. So the newcomer is let in,
 * and what is small or soon whole is served also while strangers press. Pure: whoever owns the
 * budget makes its debtors give way, at the end of a turn.
 */
#ifndef COMMON_BUDGET_H
#define COMMON_BUDGET_H

#include <stddef.h>
#include <sys/queue.h>

struct budget_share {
    TAILQ_ENTRY(budget_share) queued; /* in one of the two lines */
    void *owner;
    size_t bytes; /* more than 0 */
};

TAILQ_HEAD(budget_line, budget_share);

struct budget {
    size_t most; /* bytes that all may keep */
    size_t kept; /* that they do: the sum of all shares */
    struct budget_line small, large;
};

void budget_init(struct budget *b, size_t most);

/* The owner keeps so many bytes now. *share is NULL at first, and again when it keeps none: who
 * keeps nothing pays one pointer. */
void budget_count(struct budget *b, struct budget_share **share, void *owner, size_t bytes);

/* The owner that has to give way; NULL while all is within the budget. */
void *budget_debtor(const struct budget *b);

#endif
