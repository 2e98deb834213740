/* SPDX-License-Identifier: MIT */
/* The programs of a run, made of the real engines and their real glue, and the people who use them.
 */
#ifndef TESTS_SIM_PROCS_H
#define TESTS_SIM_PROCS_H

#include "gateway/link.h"
#include "server.h"
#include "world.h"

enum {
    GATEWAYS_MAX = 3,
    ROOMS = 2,
    ROOM_KEEP = 20, /* messages that a gateway's room keeps */
    BACKLOG_MAX = 40,
    TAIL = 12,
    OUTBOX_MAX = 40,
    WINDOW_S = 86400,
    POST_DEADLINE_MS = 5000,
};

/* ---- gateway.c ---- */

struct gateway {
    struct process process; /* its first member: libevent's base, for the glue */
    struct link *link;
    struct rooms *rooms;
    struct clients *clients;
};

extern struct gateway gateways[GATEWAYS_MAX];
extern size_t gateway_count;

void gateways_begin(size_t count);
void gateway_start(struct gateway *g);
void gateway_kill(struct gateway *g);
void gateways_end(void);
/* May a client join now? */
bool gateway_serves(const struct gateway *g);
/* A client joins: the fd is a peer's. */
void gateway_join(struct gateway *g, int fd, struct str room, bool resume, uint64_t after,
                  uint32_t newest, bool deflate);

/* ---- persister.c ---- */

struct row {
    uint64_t id;
    uint64_t marker;
    struct str json, origin, key, value, room;
};

enum disk {
    DISK_GOOD,
    DISK_SLOW,    /* a commit takes long */
    DISK_FAILING, /* commits fail, and some reads */
};

/* The one file; it outlives the persister's processes. */
struct disk_file {
    struct row *rows;
    size_t count, cap;
    uint64_t position, lease; /* as committed */
    enum disk disk;
};

extern struct process persister;
extern struct disk_file disk_file;

void persister_begin(void);
void persister_start(void);
void persister_kill(void);
void persister_end(void);
bool persister_settled(const char **why);
const struct row *row_find(uint64_t id);

/* ---- people.c ---- */

enum {
    SUBSCRIBERS = 4
};

struct posting { /* one message that somebody wants to send */
    uint64_t marker;
    struct str room, username, content, key; /* key: or empty */
    bool stored;                             /* wants it stored */
    bool probe;                              /* must succeed */
    bool done;
    struct gateway *gateway; /* the last one it was given to */
    uint32_t life;           /* of it */
    bool pending;            /* no answer yet */
    unsigned tries, refused; /* given to a gateway; told: not stored by this request */
    uint64_t id;             /* as acknowledged, 0: never */
    uint64_t asked_us;
};

struct subscriber {
    struct str room;
    bool deflate;            /* takes compressed messages */
    bool hops;               /* leaves now and then */
    bool slow;               /* reads slowly */
    bool based;              /* it has something to go on from */
    uint64_t base;           /* everything above it must come */
    uint64_t last;           /* the last id it got */
    struct peer *peer;       /* its connection, or NULL */
    struct gateway *joining; /* where it is about to have one, or NULL */
    uint64_t *ids;           /* what it got */
    size_t count, cap;
};

extern struct posting *postings;
extern size_t posting_count;
extern struct subscriber subscribers[SUBSCRIBERS];

void people_begin(unsigned post_every_ms);
void people_probe(void); /* a post through each gateway */
void people_end(void);
void people_gateway_died(struct gateway *g);

/* A connection of a subscriber, and its descriptor in the gateway (peers.c). */
struct peer {
    struct gateway *gateway;
    struct subscriber *subscriber;
    struct poll *poll;   /* the gateway's, while it watches */
    uint32_t watched;    /* the events it waits for */
    void *watcher;       /* what it is told with them */
    struct buf *in;      /* at the subscriber, not a whole frame yet */
    struct buf *out;     /* what the gateway will read */
    bool open;           /* at the subscriber */
    bool room;           /* its socket takes bytes again */
    bool full;           /* it took no byte of the last write */
    bool closed;         /* the subscriber has closed it: the gateway will read the end */
    uint64_t arrives_us; /* the last bytes under way to the subscriber */
};

void peers_begin(void);
void peers_end(void);
int peer_new(struct subscriber *s, struct gateway *g, struct peer **peer);
void peer_close(struct peer *p);
/* The subscriber's: bytes have come. */
void subscriber_reads(struct peer *p);
void subscriber_lost(struct peer *p);

/* ---- checks.c ---- */

void checks_begin(void);
/* After each script. */
void scripts_checked(struct server *s, enum redis_script script, const struct str *keys,
                     size_t nkeys, const struct str *args, size_t nargs, const struct reply *reply);
/* The data that the name leads to have become others. */
void checks_data_changed(void);
void checks_row(const struct row *row);
void checks_answer(struct posting *p, enum send_result result, uint64_t id, struct str json);
void checks_received(struct subscriber *s, uint64_t id, struct str json);
void checks_end(void);
uint64_t marker_of(struct str json);

/* ---- model.c ---- */

/* Serves one modelled server on standard input and output, for a test; false: no more to read. */
bool model_serve(void);

/* ---- faults.c ---- */

/* What may be lost in a run. */
enum mix {
    MIX_SAFE,  /* nothing that a server has acknowledged */
    MIX_LOSSY, /* a file's tail, a file, all files */
    MIX_FAIL,  /* failovers to a replica that is behind, with and without a split */
    MIX_ALL,
    MIXES,
};
extern const char *const mix_names[MIXES];

void faults_begin(enum mix mix, uint64_t until_us);
void faults_heal(void);

#endif
