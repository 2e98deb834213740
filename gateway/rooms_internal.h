/* SPDX-License-Identifier: MIT */
/* What room.c (the table, the logs, the subscribers) and room_wake.c share; for nobody else. */
#ifndef GATEWAY_ROOMS_INTERNAL_H
#define GATEWAY_ROOMS_INTERNAL_H

#include "gateway/room.h"

enum {
    RECENT = 16384, /* ids whose rooms are found by the hash of their names */
};

TAILQ_HEAD(room_list, room);

struct rooms {
    struct rooms_config config;
    const struct rooms_sources *sources;
    void *ctx;             /* of the sources */
    struct room **buckets; /* nbuckets of them, a power of two */
    size_t nbuckets, count;
    size_t sweep_at;  /* the next bucket to be swept */
    uint64_t numbers; /* given to rooms so far */
    struct {
        uint64_t id;
        uint32_t hash;
    } recent[RECENT]; /* by id % RECENT */
    struct room *owing, **owing_tail;
    struct room_list asking; /* the persister, the earliest deadline first */
    struct tail tail;
    uint64_t now_ms; /* as of the last tick or call */
    bool stopped;    /* no source is asked any more */
    struct rooms_counts counts;
};

/* room.c: a room in memory, or NULL. */
struct room *rooms_find(const struct rooms *rs, struct str name);

/* All rooms in some order: the first one of a bucket or a later one, and the next. */
struct room *rooms_first(const struct rooms *rs, size_t bucket);
struct room *room_after(const struct room *r);

/* Forgets those that are not used, in the next part of the table. */
void rooms_sweep(struct rooms *rs, uint64_t now_ms);

/* room_wake.c */
void rooms_wake_init(struct rooms *rs);
void room_begin(struct room *r, uint64_t position); /* a new one begins to wake */

#endif
