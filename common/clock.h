/* SPDX-License-Identifier: MIT */
/* The monotonic clock, of deadlines (ms) and of time slices (us). */
#ifndef COMMON_CLOCK_H
#define COMMON_CLOCK_H

#include <stdint.h>
#include <time.h>

static inline uint64_t now_us(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000 + (uint64_t)now.tv_nsec / 1000;
}

/* Never 0, so that 0 can mean 'not set'. */
static inline uint64_t now_ms(void)
{
    return now_us() / 1000 + 1;
}

#endif
