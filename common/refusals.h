/* SPDX-License-Identifier: MIT */
/*
 * How often one connection was refused lately: what tells a client that is wrong now and then from
 * one that is wrong without end. Nobody is made to wait for the first REFUSALS_FREE; after each
 * further one a connection is not read for REFUSAL_PAUSE_MS, and a WebSocket that has gathered
 * REFUSALS_MAX is closed. One is forgotten each REFUSAL_FORGET_MS.
 *
 * A bucket in one number, as in gateway/rate.h: the time at which all will be forgotten. Pure: the
 * time comes in.
 */
#ifndef COMMON_REFUSALS_H
#define COMMON_REFUSALS_H

#include <stdint.h>

/* Zeroed, there were none. */
struct refusals {
    uint64_t forgotten_ms; /* when there will be none, if nothing more is refused */
};

/* What the newest one makes of them. */
enum refusals_level {
    REFUSALS_FEW,
    REFUSALS_MANY,     /* more than REFUSALS_FREE: a pause is due */
    REFUSALS_TOO_MANY, /* more than REFUSALS_MAX: these it stays at */
};

/* Something was refused. */
enum refusals_level refusals_add(struct refusals *r, uint64_t now_ms);

/* Something was served: makes up for one of them. For connections that many may share, as those of
 * a proxy: then it matters what part of all is refused. */
void refusals_redeem(struct refusals *r);

#endif
