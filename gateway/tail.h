/* SPDX-License-Identifier: MIT */
/*
 * Finds a room's newest messages in the stream in Redis, for rooms that wake while the persister is
 * away. An engine without I/O: it asks for pages of the stream, newest first, and picks from them.
 *
 *      base                                                     upto
 *       |  page 3  |       page 2       |       page 1       |    |
 *       +----------+--------------------+--------------------+----+----- newer ones come live
 *                                                     ◄──── before
 *
 * One read serves everybody: who seeks while a read is under way waits for the next one, and all
 * who wait share it. A read has TAIL_PAGES_MAX pages at most and is followed by a rest as long as
 * it has been, so rooms without number cannot keep Redis busy. A seeker is done when it has all
 * that it wanted, or the stream ends, or the read does, or its TAIL_MS are over; in each case
 * `reach` says how far back what it has found is complete.
 */
#ifndef GATEWAY_TAIL_H
#define GATEWAY_TAIL_H

#include <sys/queue.h>

#include "common/script.h"

enum tail_state {
    TAIL_IDLE,    /* on no list */
    TAIL_WAITING, /* for the next read */
    TAIL_READING, /* takes part in the one under way */
    TAIL_DONE,    /* is about to be told */
    TAIL_STATES,
};

/* A message that was found. */
struct tail_found {
    struct tail_found *next;
    uint64_t id;
    size_t len;
    char json[];
};

/* One who seeks messages of one room; the owner's memory, zeroed. */
struct tail_seeker {
    TAILQ_ENTRY(tail_seeker) entry; /* of the list of its state */
    enum tail_state state;
    struct tail_found *found; /* oldest first */
    size_t count;             /* of them */
    size_t wanted;            /* this many of the newest, at least 1 */
    uint64_t upto;            /* only ids up to here */
    uint64_t reach;           /* found are all of the room's with reach < id <= upto */
    uint64_t deadline_ms;
    void (*done)(struct tail_seeker *s); /* it is idle by then */
};

TAILQ_HEAD(tail_list, tail_seeker);

struct tail_io {
    /* Asks for count entries with an id below before, newest first: tail_page answers, but never
     * from within. False: cannot be asked now. */
    bool (*page)(void *ctx, uint64_t before, unsigned count);
    /* Who seeks messages of this room, or NULL. */
    struct tail_seeker *(*find)(void *ctx, struct str room);
};

struct tail {
    const struct tail_io *io;
    void *ctx;
    struct tail_list lists[TAIL_STATES]; /* by state, the earliest deadline first */
    bool asked;                          /* a page is on its way */
    uint64_t before;                     /* the read: ids from here on have been read */
    unsigned pages;                      /* of this read */
    uint64_t rest_ms;                    /* the next read begins not before */
};

/* Borrows io and ctx. */
void tail_init(struct tail *t, const struct tail_io *io, void *ctx);

/* s: idle, with wanted, upto and done set. done never comes from within. */
void tail_seek(struct tail *t, struct tail_seeker *s, uint64_t now_ms);

/* Takes it off, whatever its state, and forgets what was found. */
void tail_cancel(struct tail *t, struct tail_seeker *s);

/* Forgets what was found. */
void tail_seeker_clear(struct tail_seeker *s);

/* The page that was asked for; NULL when none will come: asked again at the next tick. */
void tail_page(struct tail *t, const struct page *page, uint64_t now_ms);

/* Messages above prev are void. */
void tail_cut(struct tail *t, uint64_t prev);

/* Call it every 100 ms or so. */
void tail_tick(struct tail *t, uint64_t now_ms);

#endif
