/* SPDX-License-Identifier: MIT */
/* Times in buckets: a bucket's number is the exponent of two and the five bits below the first. */
#include "tests/bench/hist.h"

enum {
    EXACT = 2 * HIST_STEPS, /* below it every value has its bucket */
    STEP_BITS = 5,
};

static unsigned bucket_of(uint64_t us)
{
    if (us < EXACT)
        return (unsigned)us;
    unsigned shift = 63 - (unsigned)__builtin_clzll(us) - STEP_BITS;
    uint64_t bucket = (uint64_t)shift * HIST_STEPS + (us >> shift);
    return bucket < HIST_BUCKETS ? (unsigned)bucket : HIST_BUCKETS - 1;
}

/* The highest value of a bucket. */
static uint64_t bucket_top(unsigned bucket)
{
    if (bucket < EXACT)
        return bucket;
    unsigned shift = bucket / HIST_STEPS - 1;
    return ((uint64_t)(bucket % HIST_STEPS + HIST_STEPS + 1) << shift) - 1;
}

void hist_add(struct hist *h, uint64_t us)
{
    h->count++;
    h->buckets[bucket_of(us)]++;
    if (us > h->max_us)
        h->max_us = us;
}

uint64_t hist_quantile_us(const struct hist *h, double share)
{
    uint64_t wanted = (uint64_t)((double)h->count * share), below = 0;
    for (unsigned i = 0; i < HIST_BUCKETS; i++) {
        below += h->buckets[i];
        if (h->buckets[i] && below >= wanted)
            return bucket_top(i) < h->max_us ? bucket_top(i) : h->max_us;
    }
    return h->max_us;
}
