/* SPDX-License-Identifier: MIT */
/*
 * How often one connection was refused lately: what tells a client that is wrong now and then from
 * one that is wrong without end. Nobody is made to wait for the first REFUSALS_FREE; a WebSocket
 * that has gathered REFUSALS_MAX is closed. One is forgotten each REFUSAL_FORGET_MS: a bucket in
 * one number, as in gateway/rate.h, the time at which all will be forgotten.
 *
 * Connections with more than REFUSALS_FREE share a burst in each REFUSALS_BURST_MS: REFUSALS_BURST
 * for requests, fewer for messages, of which a good one costs more. Each further refusal makes its
 * connection pause. So the part of the server's time that a flood gets is bounded, however many
 * take part in it, and the waking behind a pause, which costs as much as twenty refusals, is that
 * of many. Pure: the time comes in.
 */
#ifndef COMMON_REFUSALS_H
#define COMMON_REFUSALS_H

#include <stdbool.h>
#include <stdint.h>

/* Zeroed, there were none. */
struct refusals {
    uint64_t forgotten_ms; /* when there will be none, if nothing more is refused */
};

/* What the newest one makes of them. */
enum refusals_level {
    REFUSALS_FEW,
    REFUSALS_MANY,     /* more than REFUSALS_FREE */
    REFUSALS_TOO_MANY, /* more than REFUSALS_MAX: these it stays at */
};

/* Something was refused. */
enum refusals_level refusals_add(struct refusals *r, uint64_t now_ms);

/* Something was served: makes up for one of them. For connections that many may share, as those of
 * a proxy: then it matters what part of all is refused. */
void refusals_redeem(struct refusals *r);

/* Of all those that are refused again and again. */
struct refusals_burst {
    uint32_t most; /* of a burst; the owner sets it */
    uint32_t n;
    uint64_t began_ms;
};

/* One of them was refused once more: is it to pause? */
bool refusals_pause(struct refusals_burst *b, uint64_t now_ms);

#endif
