/* SPDX-License-Identifier: MIT */
/*
 * How long a message takes from the log to the sockets: from its created_at to the write of the
 * last client of its room that takes bytes. Nothing is done for a client: a room times one message,
 * counts down the visits of its round (flush.c does that in blocks), and the clock is read once for
 * all rooms of a batch of writes. While a message is timed those behind it ride along untimed.
 *
 * created_at is Redis' clock in whole milliseconds, the end is ours: between two machines their
 * difference is part of it, and a value is up to 1 ms too long.
 */
#ifndef GATEWAY_FANOUT_H
#define GATEWAY_FANOUT_H

#include "common/limits.h"
#include "common/metrics.h"

/* Of a room; zeroed, it times nothing. */
struct fanout {
    uint64_t created_ms; /* of the message that is timed, Unix time */
    uint32_t left;       /* clients to be visited until it is out; 0: none is timed */
};

/* Of the process. */
struct fanout_times {
    uint64_t created_ms[BATCH_JOBS]; /* of messages whose last write is in the batch */
    size_t count;
    struct histogram seconds;
};

/* Times the message, if none is timed and it is one: json in the form of message_peek. */
void fanout_begin(struct fanout *f, struct str json, struct str room, uint32_t clients);

/* So many clients have a job in the batch now, or need none. */
void fanout_visited(struct fanout *f, struct fanout_times *times, uint32_t clients);

/* Clients have left, or changed places: count from the start. */
void fanout_recount(struct fanout *f, uint32_t clients);

/* The batch was written. */
void fanout_written(struct fanout_times *times);

#endif
