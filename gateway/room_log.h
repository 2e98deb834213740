/* SPDX-License-Identifier: MIT */
/*
 * A room's log: ready-made WebSocket frames in one stream of bytes, kept in chunks. A subscriber is
 * a position in that stream and nothing more. Pure: no I/O, no subscribers, no clock.
 *
 *       oldest                                   newest
 *      +--------------+   +--------------+   +--------------+
 *      | F F F F F    |<->| F F F F F F  |<->| F F F        |      F: a frame, whole in one chunk
 *      |      4 3 2 1 |   |    5 4 3 2 1 |   |        3 2 1 |      marks: where each frame starts
 *      +--------------+   +--------------+   +--------------+
 *      ^start         ^stop               ^start            ^end
 *
 * Ids grow from frame to frame. `reach` tells how far back the log goes: every message of the room
 * with a higher id is in it.
 */
#ifndef GATEWAY_ROOM_LOG_H
#define GATEWAY_ROOM_LOG_H

#include <stdint.h>
#include <sys/uio.h>

#include "common/buf.h"

struct chunk;

struct room_log {
    struct chunk *oldest, *newest; /* NULL while nothing was ever appended */
    uint64_t end;                  /* stream position behind the last frame */
    uint64_t frames;               /* in all chunks */
    uint64_t reach;                /* all of the room's messages with a higher id are here */
    uint64_t last;                 /* id of the newest message ever appended, 0: none */
};

/* Frees the chunks and starts anew; also the beginning of a zeroed one. */
void room_log_reset(struct room_log *l, uint64_t reach);

/* Appends a message as a text frame; id must be above `last`. Returns true when a chunk became
 * full, which is the time to trim. */
bool room_log_append(struct room_log *l, uint64_t id, struct str json);

/* The same with a payload that is compressed already. */
bool room_log_append_packed(struct room_log *l, uint64_t id, struct str payload);

/* Frees whole chunks that end at or below position low, as long as `keep` frames stay. */
void room_log_trim(struct room_log *l, uint64_t low, uint64_t keep);

/* Takes out all messages with id > prev: they are void. No position below the end may be in use.
 * Returns how many there were. */
size_t room_log_cut(struct room_log *l, uint64_t prev);

/* The position of the n-th last frame, or of the oldest one there is. */
uint64_t room_log_back(const struct room_log *l, uint64_t n);

/* The position of the first frame with a higher id, or the end. */
uint64_t room_log_after(const struct room_log *l, uint64_t id);

/* The id of the frame before a position (0: none there): the last one that a cursor has got. */
uint64_t room_log_id_before(const struct room_log *l, uint64_t pos);

/* The first frame boundary at or behind a position. */
uint64_t room_log_boundary(const struct room_log *l, uint64_t pos);

/* Where a cursor is after n more bytes. */
uint64_t room_log_advance(const struct room_log *l, uint64_t pos, uint64_t n);

/* Fills up to max iovecs with the bytes from pos to stop; returns the number of bytes that found
 * room, and the number of iovecs in *used. */
size_t room_log_iovecs(const struct room_log *l, uint64_t pos, uint64_t stop, struct iovec *iov,
                       size_t max, size_t *used);

/* A part of the log, for GET. */
struct room_page {
    size_t count;         /* messages */
    uint64_t first, last; /* their ids, 0: none */
    bool cut;             /* shorter than it could be, for its bytes */
};

/* Appends to *out the messages with after < id < before (0: no bound), parted by commas: the newest
 * `limit` of them, or the oldest. Fewer than that when they have more bytes than `bytes`, frame
 * headers counted, but always one. */
struct room_page room_log_page(const struct room_log *l, uint64_t after, uint64_t before,
                               size_t limit, size_t bytes, bool newest, struct buf **out);

/* Likewise, without writing and of any size. */
struct room_page room_log_look(const struct room_log *l, uint64_t after, uint64_t before,
                               size_t limit, bool newest);

#endif
