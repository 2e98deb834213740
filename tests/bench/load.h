/* SPDX-License-Identifier: MIT */
/*
 * The load generator: one thread, one epoll, two kinds of connections. Subscribers are WebSocket
 * clients, spread over all targets; some or all of them may publish too. Requesters are HTTP
 * keep-alive connections that post or get, one request at a time.
 *
 * A message is known again by a mark inside its content, wherever a server puts that:
 *
 *      ~RRRRRRRR.PPPP.SSSSSSSS.NNNNNNNN.TTTTTTTTTTTT~xxxxx…      (hexadecimal)
 *       run      |    |        |        when it was due, us
 *                |    |        its number in this run
 *                |    its number among those of its publisher
 *                publisher
 */
#ifndef BENCH_LOAD_H
#define BENCH_LOAD_H

#include <netinet/in.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "common/buf.h"
#include "tests/bench/hist.h"
#include "tests/bench/procs.h"

enum {
    TARGETS_MAX = 16,
    MARK_BYTES = 46,
    PUBLISHERS_MAX = 4096,
};

/* A gateway. */
struct target {
    char host[128], port[8], path[512];
    struct sockaddr_storage address;
    socklen_t address_size;
};

struct options {
    struct target targets[TARGETS_MAX];
    size_t ntargets;
    unsigned long clients, slow, publishers, window, bytes;
    unsigned long rooms;            /* that clients are spread over */
    unsigned long messages, warmup; /* or requests, with get */
    unsigned long settle_ms;        /* between connecting and publishing */
    unsigned long hold_s;           /* at the end */
    unsigned long timeout_s;        /* without any progress */
    double rate;                    /* messages a second; 0: closed loop */
    bool http;                      /* messages are posted */
    bool json;                      /* content type of posts */
    const char *get;                /* the path to be got; nothing is published then */
    const char *publish_path;       /* where it is another one than the subscribers' */
    const char *template;           /* of a message; %s is the content */
    const char *label;
    pid_t pids[PROCS_MAX];
    size_t npids;
};

/* Exits with a message on a wrong one. */
void options_read(struct options *o, int argc, char **argv);

enum conn_state {
    CONN_CONNECTING, /* connect(2) is under way */
    CONN_UPGRADING,  /* the answer to the upgrade is awaited */
    CONN_OPEN,
    CONN_CLOSED,
};

enum conn_kind {
    CONN_SUBSCRIBER, /* WebSocket, and reads */
    CONN_SLOW,       /* WebSocket, and never reads after its upgrade */
    CONN_PUBLISHER,  /* WebSocket on the publishers' path */
    CONN_REQUESTER,  /* HTTP */
};

/* What a subscriber has seen of one publisher. */
struct seen {
    uint64_t next;   /* one more than the highest number */
    uint64_t window; /* bit i: next - 1 - i was seen */
};

struct conn {
    int fd;
    enum conn_kind kind : 8;
    enum conn_state state : 8;
    bool writing;      /* EPOLLOUT is asked for */
    bool busy;         /* REQUESTER: a request is under way */
    uint16_t target;   /* of options->targets */
    struct buf *in;    /* an incomplete frame or answer */
    struct buf *out;   /* what the socket did not take */
    struct seen *seen; /* SUBSCRIBER: one for each publisher */
    uint64_t due_us;   /* REQUESTER: when the request under way was due */
};

struct counts {
    uint64_t sent;     /* messages given to a server */
    uint64_t accepted; /* of them, those that it did not refuse */
    uint64_t expected; /* deliveries of those */
    uint64_t unique;   /* deliveries, each message once a client */
    uint64_t doubled, out_of_order;
    uint64_t answers; /* to requests */
    uint64_t refused; /* of them, those that were not 2xx or 304 */
    uint64_t closed;  /* connections that ended before the end */
};

struct load {
    const struct options *o;
    int epoll;
    struct conn *conns; /* subscribers, slow ones, publishers, requesters: in this order */
    size_t nconns, nopen;
    struct conn *publishers[PUBLISHERS_MAX]; /* WebSocket or HTTP */
    uint64_t numbers[PUBLISHERS_MAX];        /* messages so far, of each */
    uint32_t audiences[PUBLISHERS_MAX];      /* subscribers of its room, of each */
    size_t npublishers;
    char mark[16];            /* ~RRRRRRRR. */
    size_t mark_len, mark_at; /* mark_at: where it was in the frame before */
    struct counts counts;
    uint64_t goal;        /* messages or requests until the phase ends */
    uint64_t measured;    /* the number of the first message that counts for times */
    uint64_t start_us;    /* of the phase */
    uint64_t first;       /* messages or requests before the phase */
    uint64_t under_way;   /* messages that not all subscribers have */
    uint32_t *missing;    /* by number: how many subscribers do not have it yet */
    uint64_t progress_us; /* the last time that anything came */
    struct hist deliveries, requests;
};

/* ---- load_conn.c: sockets ---- */

/* Connects all, some hundred at a time; false when that makes no progress. */
bool conns_open(struct load *l);
void conn_write(struct load *l, struct conn *c, const char *bytes, size_t len);
void conn_close(struct load *l, struct conn *c);
/* Waits for events for at most us microseconds, and handles them. */
void conns_poll(struct load *l, int64_t us);

/* ---- load_frames.c: what comes ---- */

/* Uses up whole frames or answers; returns how many bytes. */
size_t frames_read(struct load *l, struct conn *c, const char *bytes, size_t len, uint64_t now_us);
size_t answer_read(struct load *l, struct conn *c, const char *bytes, size_t len, uint64_t now_us);
void frame_write(struct load *l, struct conn *c, unsigned opcode, const char *bytes, size_t len);

/* ---- load_publish.c: what goes ---- */

/* Sends what is due; returns how many microseconds it is until more will be. */
int64_t publish_due(struct load *l, uint64_t now_us);
void publish_answered(struct load *l, struct conn *c);
/* Is everything sent and, where it should be, delivered? */
bool publish_done(const struct load *l);

/* The room of a subscriber, from 0 on, and how many subscribers have what it publishes. */
unsigned long conn_room(const struct load *l, const struct conn *c);
uint32_t conn_audience(const struct load *l, const struct conn *publisher);

#endif
