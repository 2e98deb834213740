/* SPDX-License-Identifier: MIT */
/* Token buckets; see rate.h. With `debt` the time until the bucket is full, it holds
 * burst - debt / step tokens, fractions included. */
#include "gateway/rate.h"

enum {
    SECOND_US = 1000000,
};

struct rate rate_of(uint64_t per_second, uint64_t burst)
{
    if (!per_second)
        return (struct rate){0, 0};
    if (per_second > SECOND_US)
        per_second = SECOND_US;
    return (struct rate){SECOND_US / per_second, burst ? burst : per_second};
}

uint64_t bucket_full_in_us(const struct bucket *b, uint64_t now_us)
{
    return b->full_us > now_us ? b->full_us - now_us : 0;
}

bool bucket_take(struct bucket *b, const struct rate *r, uint64_t now_us)
{
    if (!r->step_us)
        return true;
    uint64_t debt = bucket_full_in_us(b, now_us);
    if (debt + r->step_us > r->burst * r->step_us)
        return false;
    b->full_us = now_us + debt + r->step_us;
    return true;
}

uint64_t bucket_left(const struct bucket *b, const struct rate *r, uint64_t now_us)
{
    uint64_t debt = bucket_full_in_us(b, now_us), whole = r->burst * r->step_us;
    return r->step_us && debt < whole ? (whole - debt) / r->step_us : 0;
}

uint64_t bucket_wait_us(const struct bucket *b, const struct rate *r, uint64_t now_us)
{
    uint64_t debt = bucket_full_in_us(b, now_us) + r->step_us, whole = r->burst * r->step_us;
    return r->step_us && debt > whole ? debt - whole : 0;
}
