/* SPDX-License-Identifier: MIT */
/*
 * What server.c, listener.c, conn.c, conn_output.c, rests.c and exchange.c share; nobody else
 * includes it but their test.
 *
 * A connection is on exactly one waiting list, which says what it waits for. All on one list wait
 * equally long, so who joins at the tail keeps the list in the order of the deadlines, and one
 * sweep looks at the heads only.
 */
#ifndef COMMON_SERVER_INTERNAL_H
#define COMMON_SERVER_INTERNAL_H

#include <event2/event.h>
#include <event2/event_struct.h>
#include <sys/queue.h>
#include <time.h>

#include "common/budget.h"
#include "common/refusals.h"
#include "common/server.h"

enum conn_state {
    CONN_OPEN,   /* requests are read */
    CONN_LAST,   /* no more requests: answers are owed, then it ends */
    CONN_LINGER, /* all is sent and our side shut: until the peer has closed too */
    CONN_DOOMED, /* to be freed at the end of the turn */
};

enum conn_wait {
    WAIT_IDLE,   /* for the first byte of a request */
    WAIT_HEAD,   /* for the rest of a head, also behind requests under way */
    WAIT_BODY,   /* for the rest of a body, likewise */
    WAIT_WRITE,  /* for room in the socket */
    WAIT_LINGER, /* for the peer to close */
    WAIT_ANSWER, /* for us: no deadline; the sweep ends here */
    WAIT_REST,   /* until it is read again, by a timer of its own: rests.c */
    CONN_WAITS,
};

/* Which requests may be under way together. */
enum exchange_kind {
    KIND_SAFE,  /* GET, HEAD, OPTIONS: with each other */
    KIND_POST,  /* with each other */
    KIND_ALONE, /* any other method, an upgrade, who waits for a 100 */
};

struct exchange {
    struct conn *conn;     /* NULL: the client has gone */
    struct exchange *next; /* the request behind it */
    struct buf *headers;   /* of every answer to it, see server_ops.headers */
    struct buf *out;       /* the answer, while earlier ones are missing */
    bool answered;
    bool last;       /* the connection ends with its answer */
    bool head;       /* HEAD: the body is not sent */
    bool http_1_0;   /* keep-alive must be said */
    bool keep_alive; /* as far as the request goes */
};

struct conn {
    struct event readable;  /* with the descriptor; -1 when it was given away */
    bool reading;           /* is readable armed? */
    struct event *writable; /* exists only while the socket is full */
    struct server *server;
    TAILQ_ENTRY(conn) waiting; /* on server->waits[wait] */
    TAILQ_ENTRY(conn) owing;   /* on server->owing, or doomed */
    uint64_t deadline_ms;      /* of the wait */
    enum conn_wait wait;
    enum conn_state state;
    bool is_owing; /* on server->owing */
    bool renew;    /* the wait starts anew, though it may be of the same kind */
    bool blocked;  /* whole requests may stand in in, and must wait */
    bool eof;      /* the peer sends nothing more */
    bool resting;  /* not read for a while, since it was refused */

    struct refusals refusals; /* answers of 4xx */

    struct budget_share *kept; /* of server->kept */
    struct buf *in;            /* the start of a request, or requests that must wait */
    size_t scanned;            /* bytes of in that http_head_end has seen */
    size_t head_len;           /* of the head, once it is accepted; 0: not yet */
    size_t body_len;           /* of the body, decoded so far, behind the head */
    size_t length;             /* of the body, when it is not chunked */
    bool chunked;              /* is the body? */
    struct http_chunks chunks; /* where its decoding stands */

    struct exchange *first, **last; /* the requests under way, in their order */
    size_t exchanges;               /* how many */
    enum exchange_kind kind;        /* of all of them */
    size_t queued;                  /* bytes of answers behind a missing one */
    struct buf *out;                /* bytes to be sent */
    size_t unsent;                  /* of out and queued: its part of server->unsent */
    size_t answers;                 /* in out, since it was empty */
    size_t progress;                /* bytes sent since the deadline of WAIT_WRITE was set */

    struct address peer;
    void *guest; /* see server_ops.opened */
};

/* Input of a connection that is not used up yet, in its own buffer or in the shared one. */
struct input {
    char *p;
    size_t len;
};

TAILQ_HEAD(conns, conn);

struct server {
    struct event_base *base;
    const struct server_ops *ops;
    void *ctx; /* for the ops */
    size_t conns_max;
    size_t body_max; /* bytes */
    size_t unsent_max;
    size_t unsent;      /* bytes of answers of all connections, see conn_count_unsent */
    struct budget kept; /* what connections have in `in` */

    struct event listening; /* with the listening socket; -1: drained */
    struct event starved;   /* ends a pause of accepting */
    bool starving;          /* descriptors have run out, and it was logged */
    int spare;              /* a descriptor to refuse with when none is left; -1 */
    unsigned port;
    bool draining;

    struct event sweep;             /* looks at the deadlines */
    struct event rested;            /* at the first one's of WAIT_REST */
    struct refusals_burst burst;    /* of those that are refused again and again */
    struct conns waits[CONN_WAITS]; /* every connection that is not doomed */
    struct conns owing;             /* to be visited at the end of the turn */
    struct conns doomed;
    size_t nconns; /* on the waiting lists */
    struct server_counts counts;
    size_t exchanges; /* of all connections */

    struct conn *handling;     /* its input is being parsed, perhaps within ops->request */
    struct input *input;       /* of handling */
    uint64_t reading_since_us; /* the first read of this turn; 0: none yet */

    time_t date_s; /* the second that date tells */
    char date[40]; /* Date: …, with its CR LF */
};

/* listener.c */
bool listener_open(struct server *s, const struct server_config *config, char *error, size_t size);
void listener_close(struct server *s);

/* The guest of a connection has gone. */
void listener_tell_closed(struct conn *c);

static inline int conn_fd(const struct conn *c)
{
    return event_get_fd(&c->readable);
}

/* Is what it has to send the last of its answers? */
static inline bool conn_is_last(const struct conn *c)
{
    return c->state == CONN_LAST && !c->first;
}

/* server.c: around each read. When the reads of a turn have taken TURN_READ_US, the turn ends: who
 * is readable still is first in the next one, behind the writes. True: it ends. */
void server_begins_reading(struct server *s);
bool server_has_read(struct server *s);

/* server.c: the header Date of now, with its CR LF, for every answer (RFC 9110 section 6.6.1). */
const char *server_date(struct server *s);

/* conn.c: takes the descriptor and the guest, and reads at once. */
void conn_new(struct server *s, int fd, const struct address *peer, void *guest);

/* Parses what was read and had to wait. */
void conn_resume(struct conn *c);

/* What a connection does next, decided in one place; the end of every way into it. */
void conn_settle(struct conn *c);

/* Puts it among those to be visited at the end of the turn. */
void conn_owe(struct conn *c);

/* Its deadline has passed. */
void conn_expire(struct conn *c);

/* Counts anew what it keeps of requests that are not taken yet. */
void conn_count_kept(struct conn *c);

/* Drops what it keeps, since all keep too much: a half request is answered 503. */
void conn_give_way(struct conn *c);

/* Detaches it from all but the list of the doomed. */
void conn_doom(struct conn *c);

/* Of a doomed one: its descriptor will not be closed. */
void conn_give_away(struct conn *c);

/* Closes and frees a doomed one. */
void conn_free(struct conn *c);

/* conn_output.c: what a batch sent of out, bytes or -errno. */
void conn_sent(struct conn *c, ssize_t sent);

/* rests.c */
void rests_init(struct server *s);
void rests_done(struct server *s);

/* It was answered so; last: that ends it. It may come to rest. */
void conn_count_refusal(struct conn *c, int status, bool last);

/* Somebody rests: he will be woken. */
void rests_await(struct server *s);

/* Throws away what comes behind the last answer; dooms it when the peer has closed. */
void conn_discard(struct conn *c);

/* exchange.c: queues a new one. req is NULL when the head was not understood. */
struct exchange *exchange_new(struct conn *c, const struct http_request *req, bool keep_alive);

/* Counts anew what it has unsent; nothing when it is doomed. */
void conn_count_unsent(struct conn *c);

/* All requests of the connection lose it; the answered ones are freed. */
void exchanges_drop(struct conn *c);

uint64_t server_now_ms(void);

/* Expires who waits longer than now allows. */
void server_sweep(struct server *s, uint64_t now_ms);

#endif
