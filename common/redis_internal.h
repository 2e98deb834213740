/* SPDX-License-Identifier: MIT */
/* What the files of the link share: redis.c (states and tries), redis_greeting.c. */
#ifndef COMMON_REDIS_INTERNAL_H
#define COMMON_REDIS_INTERNAL_H

#include <event2/event_struct.h>

#include "common/redis.h"
#include "common/redis_info.h"
#include "common/redis_url.h"
#include "common/sha1.h"
#include "common/wire.h"

enum {
    WHY_BYTES = 256,
    NAME_BYTES = 256, /* of a host; no longer one can be resolved */
};

enum link_state {
    LINK_WAITING,
    LINK_ASKING,
    LINK_RESOLVING,
    LINK_CONNECTING,
    LINK_GREETING,
    LINK_LOCATING,
    LINK_LOADING,
    LINK_SUBSCRIBING,
    LINK_UP,
};

enum side_name {
    COMMANDS,
    SUBSCRIPTION,
    SIDES,
};

/* One of the two connections. */
struct side {
    struct redis *redis;
    struct wire *wire; /* NULL when there is none */
    struct redis_info info;
};

struct script_slot {
    struct redis *redis;
    char sha[SHA1_HEX + 1]; /* as the server told it */
    bool loading;           /* again, after NOSCRIPT */
    uint64_t refused_ms;    /* when a refusal of it was logged last; 0: never */
};

struct redis {
    struct event_base *base;
    struct evdns_base *dns;
    const struct redis_config *config;
    const struct redis_ops *ops;
    void *ctx;
    struct redis_url url;
    struct redis_tls *tls; /* NULL: in plain text */
    enum link_state state;
    size_t awaited;            /* what the state waits for, to be counted down */
    struct event timer;        /* WAITING: the backoff; later: the deadline of the try; UP: none */
    struct event drop;         /* redis_drop takes effect */
    struct sentinel *sentinel; /* NULL when the URL has none */
    struct resolve *resolve;   /* a look-up on its way */
    uint16_t port;             /* of the server: the URL's, or what a sentinel told */
    char name[NAME_BYTES];     /* likewise; its certificate must hold it */
    unsigned tries;            /* look-ups made, ever: picks the address */
    unsigned moves;            /* redirections followed in this try */
    struct side sides[SIDES];
    struct script_slot scripts[REDIS_SCRIPTS];
    struct str *words; /* of the command that is being made; reused */
    size_t words_cap;
    unsigned backoff_ms;        /* the longest wait before the next try */
    unsigned pause_ms;          /* the next wait, whatever the backoff is; 0: none was asked for */
    uint64_t logged_ms;         /* when a failure was logged last */
    char address[80];           /* of this try, for the log */
    char why[WHY_BYTES];        /* the last failure; empty when up, or before the first */
    char drop_why[WHY_BYTES];   /* as redis_drop was told */
    char logged_why[WHY_BYTES]; /* the failure that was logged last; empty when up since */
};

/* Down, or not even up: both connections are given up, and the next try is set. Copies why. */
void link_fail(struct redis *r, struct str why);

/* One of the things that the state waits for has come: after the last one it goes on. */
void link_step(struct redis *r);

/* This try goes on at another server. Copies host. */
void link_move(struct redis *r, const char *host, uint16_t port);

/* Asks a node of a Redis Cluster whether it has the log; the answer moves the link on, or away. */
void link_locate(struct redis *r);

/* Loads a script, in the greeting or again. */
void link_load_script(struct redis *r, enum redis_script script);

#endif
