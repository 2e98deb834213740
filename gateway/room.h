/* SPDX-License-Identifier: MIT */
/*
 * Rooms by name, who subscribes to them, and the writes of a turn.
 *
 * A room is woken by its first client or request: it notes the feed's position T, collects live
 * messages from then on, and asks the persister for the newest ones up to T, as of a moment when
 * everything up to T was stored. If the persister does not answer within WAKE_MS, or cannot, they
 * are taken from the tail that the stream in Redis keeps (tail.h). Then the room is awake, and who
 * waited for it goes on. How far back its log reaches (`log.reach`) is known in each case.
 */
#ifndef GATEWAY_ROOM_H
#define GATEWAY_ROOM_H

#include "gateway/fanout.h"
#include "gateway/history.h"
#include "gateway/room_log.h"
#include "gateway/tail.h"

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
    uint64_t number; /* never used again; a new one when a part of its log became void */
    uint32_t hash;   /* of its name */
    bool owing;      /* is on that list */
    bool awake;
    bool asking;               /* the persister is asked, and nobody else yet */
    TAILQ_ENTRY(room) askings; /* of those, the earliest deadline first */
    uint64_t asking_ms;        /* the deadline */
    struct tail_seeker seeker; /* in the stream's tail */
    struct room_log log;
    struct room_log packed; /* the same messages, compressed, since somebody needs them so */
    uint32_t npacked;       /* subscribers whose cursor is in packed */
    struct room_waiter *waiters;
    struct client **subs; /* compact: subs[i]->slot == i */
    uint32_t nsubs, subs_cap;
    uint32_t turn, todo; /* the round: whom to visit next, how many still to visit */
    struct fanout fanout;
    uint64_t woken;   /* T: the feed's position when the room was made */
    uint32_t holds;   /* requests that name the room */
    uint64_t used_ms; /* when somebody last had to do with it */
    size_t name_len;
    char name[];
};

struct rooms_config {
    size_t keep;      /* messages of a room in memory */
    size_t lag_bytes; /* a client further behind is closed */
    size_t rooms_max; /* in memory; 0: no bound */
};

/* Whence the messages come that are older than the room. */
struct rooms_sources {
    /* The newest `limit` with an id below before, as of a moment when min_id was stored; see
     * history_page, whose callback it is. False: refused. */
    bool (*history)(void *ctx, struct str room, uint64_t before, unsigned limit, uint64_t min_id,
                    history_cb cb, void *arg);
    /* A page of the stream, newest first: answered by rooms_page; see struct tail_io. */
    bool (*page)(void *ctx, uint64_t before, unsigned count);
};

/* Borrows sources and ctx. */
struct rooms *rooms_new(const struct rooms_config *config, const struct rooms_sources *sources,
                        void *ctx);
void rooms_free(struct rooms *rs);

/* The answer to sources->page; NULL: none will come. */
void rooms_page(struct rooms *rs, const struct page *page);

/* Deadlines, and forgets rooms that nobody used for ROOM_IDLE_MS, some at a time; call it every
 * 100 ms or so. */
void rooms_tick(struct rooms *rs, uint64_t now_ms);

/* Before the end: wakes the rooms with what they have, and the sources are not asked any more. */
void rooms_stop(struct rooms *rs);

/* What happened since the start, for metrics. */
struct rooms_counts {
    uint64_t deliveries;                    /* messages, once for each client that follows */
    uint64_t packed, packed_in, packed_out; /* messages compressed; their bytes before, after */
};

/* Valid until rooms_free, and current. */
const struct rooms_counts *rooms_counts(const struct rooms *rs);
size_t rooms_count(const struct rooms *rs); /* in memory */

/* Finds or wakes a room; NULL when there are rooms_max. position: the feed's. */
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

/* The room whose log has this id, or NULL: also for an older message of one among many rooms, which
 * the persister knows. */
struct room *rooms_find_message(struct rooms *rs, uint64_t id);

void room_add(struct room *r, struct client *c);
void room_remove(struct room *r, struct client *c);

/* Moves a cursor that is at the end of the log to the end of `packed`. */
void room_pack(struct room *r, struct client *c);

/* The next room whose subscribers are owed bytes, taken off the list, or NULL; room_owe puts one
 * at its end. */
struct room *rooms_next_owing(struct rooms *rs);
void room_owe(struct room *r);
bool rooms_owing(const struct rooms *rs);

#endif
