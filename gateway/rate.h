/* SPDX-License-Identifier: MIT */
/*
 * Rate limits: a token bucket in one number (the generic cell rate algorithm, ITU-T I.371). Instead
 * of counting tokens it keeps the time at which the bucket will be full again; taking one moves
 * that time by a step. Pure: the time comes in.
 */
#ifndef GATEWAY_RATE_H
#define GATEWAY_RATE_H

#include <stdbool.h>
#include <stdint.h>

/* How fast a bucket fills and how much it holds. */
struct rate {
    uint64_t step_us; /* a token each; 0: no limit */
    uint64_t burst;   /* tokens of a full bucket */
};

/* per_second 0: no limit. A burst of 0 is one second's worth. */
struct rate rate_of(uint64_t per_second, uint64_t burst);

/* A bucket; zeroed, it is full. */
struct bucket {
    uint64_t full_us; /* when it is full, if nothing is taken */
};

/* Takes a token; false when there is none. */
bool bucket_take(struct bucket *b, const struct rate *r, uint64_t now_us);

/* How many are left. */
uint64_t bucket_left(const struct bucket *b, const struct rate *r, uint64_t now_us);

/* Until the next token is there, 0: it is. */
uint64_t bucket_wait_us(const struct bucket *b, const struct rate *r, uint64_t now_us);

/* Until it is full. */
uint64_t bucket_full_in_us(const struct bucket *b, uint64_t now_us);

#endif
