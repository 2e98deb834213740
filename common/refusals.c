/* SPDX-License-Identifier: MIT */
/* Refusals as a debt of time; see refusals.h. Each adds REFUSAL_FORGET_MS to it. */
#include "common/refusals.h"

#include "common/limits.h"

_Static_assert(REFUSALS_FREE < REFUSALS_MAX, "who is closed was slowed down before");

enum refusals_level refusals_add(struct refusals *r, uint64_t now_ms)
{
    uint64_t debt_ms = r->forgotten_ms > now_ms ? r->forgotten_ms - now_ms : 0;
    debt_ms += REFUSAL_FORGET_MS;
    if (debt_ms > (uint64_t)REFUSALS_MAX * REFUSAL_FORGET_MS)
        return REFUSALS_TOO_MANY;
    r->forgotten_ms = now_ms + debt_ms;
    return debt_ms > (uint64_t)REFUSALS_FREE * REFUSAL_FORGET_MS ? REFUSALS_MANY : REFUSALS_FEW;
}

void refusals_redeem(struct refusals *r)
{
    if (r->forgotten_ms >= REFUSAL_FORGET_MS)
        r->forgotten_ms -= REFUSAL_FORGET_MS;
}

bool refusals_pause(struct refusals_burst *b, uint64_t now_ms)
{
    if (now_ms - b->began_ms >= REFUSALS_BURST_MS) {
        b->began_ms = now_ms;
        b->n = 0;
    }
    if (b->n >= b->most)
        return true;
    b->n++;
    return false;
}
