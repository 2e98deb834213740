/* SPDX-License-Identifier: MIT */
/* Asks the persister for messages that are older than memory, without blocking the loop. */
#ifndef GATEWAY_HISTORY_H
#define GATEWAY_HISTORY_H

#include <stdint.h>

#include "common/limits.h"
#include "common/metrics.h"

struct event_base;
struct evdns_base;
struct history;
struct history_request;

/* lines: one final JSON per line, oldest first. ok is false when the persister did not answer, or
 * said that it is not that far; status is its HTTP status, or 0. */
typedef void (*history_cb)(void *arg, bool ok, int status, struct str lines);

/* Borrows url, base and dns until history_free. */
struct history *history_new(struct event_base *base, struct evdns_base *dns, const char *url);

/* Ends what is under way: each is called back with ok false. NULL is fine. */
void history_free(struct history *h);

enum history_end {
    HISTORY_ANSWERED, /* 200, or 404: no such message */
    HISTORY_FAILED,   /* any other status, or none: the persister is not there, or not that far */
    HISTORY_REFUSED,  /* too many were under way: not asked */
    HISTORY_ENDS,
};

/* What happened since the start, for metrics. */
struct history_counts {
    uint64_t ended[HISTORY_ENDS];
    struct histogram seconds; /* of those that were asked, until the answer or the failure */
};

/* Valid until history_free, and current. */
const struct history_counts *history_counts(const struct history *h);
size_t history_under_way(const struct history *h);

/* No lower bound: the newest messages are wanted. */
#define HISTORY_NEWEST UINT64_MAX

/* May the persister have ended the page before its limit, since it had enough bytes? */
static inline bool history_cut(struct str lines)
{
    return lines.len > HISTORY_BYTES_MAX;
}

/* A page of a room's messages with after < id < before (0: no bound), as of a moment when
 * everything up to min_id was stored: the newest `limit` when after is HISTORY_NEWEST, else the
 * oldest. The callback never comes from within this call. NULL: it was refused, since too many are
 * under way or the persister does not answer, and no callback comes. */
struct history_request *history_page(struct history *h, struct str room, uint64_t after,
                                     uint64_t before, unsigned limit, uint64_t min_id,
                                     history_cb cb, void *arg);

/* One message of any room. */
struct history_request *history_message(struct history *h, uint64_t id, history_cb cb, void *arg);

/* Retention has removed all messages up to this id, as the persister last told; 0: none. */
uint64_t history_pruned(const struct history *h);

/* No id above it was ever given, by what the persister said in its last answer that was ok (or an
 * older version of it: then no id is above). To be read in that answer's callback. */
uint64_t history_lease(const struct history *h);

/* Takes the next line off; false at the end. */
bool history_line(struct str *lines, struct str *line);

#endif
