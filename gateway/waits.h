/* SPDX-License-Identifier: MIT */
/*
 * Who waits until a message has been seen by this gateway's feed, or stored in SQLite. A wait names
 * an opening of the log and an id in it: ids of different openings say nothing about each other.
 * An engine without I/O.
 */
#ifndef GATEWAY_WAITS_H
#define GATEWAY_WAITS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum wait_for {
    WAIT_SEEN,   /* by this gateway's feed */
    WAIT_STORED, /* in SQLite, and seen */
};

enum wait_result {
    WAIT_MET,
    WAIT_LOST,    /* a new opening declared the id void, or it cannot be known any more */
    WAIT_TIMEOUT, /* the deadline passed */
    WAIT_RESULTS,
};

struct wait {
    struct wait *prev, *next; /* in its list */
    bool ending;              /* result is known, done is about to be called */
    enum wait_result result;
    uint64_t opening, id;
    uint64_t deadline_ms;
    enum wait_for what;
    /* The wait is off the list by then: its owner may free it. All functions of waits may be called
     * from here; another wait may be freed when it was taken off first. */
    void (*done)(struct wait *w, enum wait_result result);
};

struct wait_list {
    struct wait *first, *last;
};

struct waits {
    struct wait_list waiting;     /* by id, ascending */
    struct wait_list ending;      /* in the order in which they are told; empty between the calls */
    size_t count;                 /* of both */
    uint64_t opening;             /* of the log, as the feed has it */
    uint64_t seen;                /* the feed has everything up to here */
    uint64_t stored;              /* SQLite has everything up to here */
    uint64_t ended[WAIT_RESULTS]; /* since the start, by result */
};

/* Adds a wait, or calls done at once when nothing is to be waited for. */
void waits_add(struct waits *ws, struct wait *w);

/* Takes one off without a call; it must have been added and not be done. */
void waits_remove(struct waits *ws, struct wait *w);

void waits_passed(struct waits *ws, uint64_t id);
void waits_stored(struct waits *ws, uint64_t opening, uint64_t id);

/* A new opening: what exists up to prev is stored, what is above it and waited for is void, and
 * has not been seen of this opening; of openings before the last one nothing is known any more. */
void waits_opened(struct waits *ws, uint64_t was, uint64_t opening, uint64_t prev);

void waits_tick(struct waits *ws, uint64_t now_ms);

/* Ends all waits with WAIT_TIMEOUT. */
void waits_end(struct waits *ws);

#endif
