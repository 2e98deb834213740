/* SPDX-License-Identifier: MIT */
/*
 * Rooms by name, who subscribes to them, and the writes of a turn.
 *
 * A room is woken by its first client or request: it notes the feed's position T, collects live
 * messages from then on, and asks the persister for the newest ones up to T, as of a moment when
 * everything up to T was stored. When the answer is there (or there is none: then its log just
 * reaches back to T) the room is awake, and who waited for it goes on.
 */
#ifndef GATEWAY_ROOM_H
#define GATEWAY_ROOM_H

#include "gateway/history.h"
#include "gateway/room_log.h"

struct client;
struct rooms;

/* Somebody waits until a room is awake; the owner's memory. */
struct room_waiter {
    struct room_waiter *next;
    void (*awake)(struct room_waiter *w);
};

struct room {
    struct room *next;       /* of its bucket */
    struct room *next_owing; /* rooms whose round of writes goes on */
    struct rooms *rooms;
    bool owing; /* is on that list */
    bool awake;
    struct room_log log;
    struct room_waiter *waiters;
    struct client **subs; /* compact: subs[i]->slot == i */
    uint32_t nsubs, subs_cap;
    uint32_t turn, todo; /* the round: whom to visit next, how many still to visit */
    uint64_t woken;      /* the feed's position when the room was made */
    uint32_t holds;      /* requests that read the log later */
    uint64_t used_ms;    /* when somebody last had to do with it */
    size_t name_len;
    char name[];
};

struct rooms_config {
    size_t keep;      /* messages of a room in memory */
    size_t lag_bytes; /* a client further behind is closed */
};

struct rooms *rooms_new(struct history *history, const struct rooms_config *config);
void rooms_free(struct rooms *rs);

/* Finds or wakes a room; NULL when there are ROOMS_MAX in use. position: the feed's. */
struct room *room_get(struct rooms *rs, struct str name, uint64_t position, uint64_t now_ms);

/* Calls w->awake when the room is awake, at once if it is. */
void room_wait(struct room *r, struct room_waiter *w);
void room_wait_cancel(struct room *r, struct room_waiter *w);

/* A message of the log: to the room's log, if the room is in memory. */
void rooms_deliver(struct rooms *rs, struct str name, uint64_t id, struct str json);

/* Messages above prev are void: they leave the logs. Clients that are behind are closed (1012). */
void rooms_cut(struct rooms *rs, uint64_t prev);

/* The feed has a hole up to base: all clients are closed (1012), the logs begin anew. */
void rooms_gap(struct rooms *rs, uint64_t base);

/* The room whose log has this id, or NULL. */
struct room *rooms_find_message(struct rooms *rs, uint64_t id);

/* Forgets rooms that nobody used for ROOM_IDLE_MS. */
void rooms_sweep(struct rooms *rs, uint64_t now_ms);

void room_add(struct room *r, struct client *c);
void room_remove(struct room *r, struct client *c);

/* The next room whose subscribers are owed bytes, taken off the list, or NULL; room_owe puts one
 * at its end. */
struct room *rooms_next_owing(struct rooms *rs);
void room_owe(struct room *r);
bool rooms_owing(const struct rooms *rs);

#endif
