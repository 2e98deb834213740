/* SPDX-License-Identifier: MIT */
/* What client.c, clients_counts.c, clients_kept.c, join.c, flush.c, deadlines.c and rests.c share.
 */
#ifndef GATEWAY_CLIENTS_INTERNAL_H
#define GATEWAY_CLIENTS_INTERNAL_H

#include <event2/event_struct.h>

#include "common/limits.h"
#include "gateway/client.h"

enum {
    DEADLINE_BUCKETS = 128, /* seconds */
    DEADLINE_LATE_S = 64, /* so late may the emptying of a bucket be; later: a wheel's turn late */
};
_Static_assert((DEADLINE_BUCKETS - DEADLINE_LATE_S - 1) * 1000 > WS_MESSAGE_MS &&
                   WS_PING_MS >= WS_PONG_MS && WS_PING_MS >= WS_CLOSE_MS,
               "no deadline goes into a bucket that is still to be emptied");
_Static_assert(WS_MESSAGE_MS - 1000 >= WS_PING_MS,
               "a client is due for its ping before a message that begins now is");

TAILQ_HEAD(client_list, client);
TAILQ_HEAD(joining_list, joining);

/* Those that rest; each is held. */
struct rests {
    struct client **clients;
    size_t n, cap;
    struct event over; /* then all of them are read on */
    struct refusals_burst burst;
};

struct clients {
    struct rooms *rooms;
    struct history *history;
    struct clients_config config;
    const struct clients_ops *ops;
    void *ctx;
    int epoll;          /* of the clients alone: no struct event for each */
    struct event ready; /* epoll has something */
    size_t count;       /* of all */
    uint64_t emptied_s; /* buckets of earlier seconds are empty */
    struct client_list
        deadlines[DEADLINE_BUCKETS]; /* all but the doomed, by the second of due_ms */
    struct client_list doomed;       /* to be freed */
    struct client_list held;         /* doomed too, but something under way names them */
    struct {
        struct joining_list waiting; /* to ask the persister */
        struct joining_list taking;  /* what it said, the earliest first */
        size_t asked;                /* requests under way */
        size_t unsent;               /* bytes that those taking have not taken yet, at the most */
    } joins;
    struct budget kept;    /* of all */
    struct client **owing; /* to be written: they have private bytes, or just joined */
    size_t nowing, owing_cap;
    struct rests rests;
    struct clients_counts counts;
    struct fanout_times fanout;
};

/* clients_counts.c */
void client_count_close(struct client *c, enum close_by by, unsigned code);

/* clients_kept.c: counts anew the bytes of half messages, and those that its socket did not take.
 */
void client_count_kept(struct client *c);

/* At the beginning of a turn's end: while all keep too much, who is first to pay ends. */
void clients_shed(struct clients *cs);

/* Tells epoll what the client waits for now. */
void client_watch(struct client *c);

/* Puts it among those to be written at the end of the turn. */
void clients_owe(struct client *c);

/* Ends it at once; freed at the end of a turn. */
void client_doom(struct client *c);

/* Uses up what it has sent, and pauses or resumes its reading. */
void client_read(struct client *c);

/* Reads on after a bound was met, if there is room again. */
void client_resume_reading(struct client *c);

/* Frees some of the doomed; true when more wait. */
bool clients_reap(struct clients *cs);

/* join.c: resume: all after `after`, else the newest. It may end at once, or later. */
void join_begin(struct client *c, bool resume, uint64_t after, uint32_t newest);
void join_end(struct client *c); /* harmless when it has joined */

/* It has taken all that it was sent: what is older than memory comes page by page. */
void join_taken(struct client *c);

/* Closes who takes too long. */
void joins_tick(struct clients *cs, uint64_t now_ms);

/* Passes over what a live client with a `joining` has from another gateway. */
void join_skip(struct client *c);

/* rests.c */
void client_rests_init(struct clients *cs, struct event_base *base);
void client_rests_done(struct clients *cs);

/* deadlines.c */
void deadlines_init(struct clients *cs, uint64_t now_ms);
void deadline_set(struct client *c, uint64_t due_ms); /* of a new one */
void deadline_move(struct client *c, uint64_t due_ms);
void deadline_clear(struct client *c); /* it is on no list then */

#endif
