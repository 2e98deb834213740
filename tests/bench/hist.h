/* SPDX-License-Identifier: MIT */
/*
 * A histogram of times: exact up to 63 us, and then 32 steps for each doubling, so that a
 * percentile is wrong by 3 % at most, at any size and for any number of values.
 */
#ifndef BENCH_HIST_H
#define BENCH_HIST_H

#include <stdint.h>

enum {
    HIST_STEPS = 32, /* of a doubling */
    HIST_BUCKETS = 40 * HIST_STEPS,
};

struct hist {
    uint64_t count, max_us;
    uint64_t buckets[HIST_BUCKETS];
};

void hist_add(struct hist *h, uint64_t us);

/* The time that a share (0 to 1) of the values does not exceed; 0 without any. */
uint64_t hist_quantile_us(const struct hist *h, double share);

#endif
