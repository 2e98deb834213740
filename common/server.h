/* SPDX-License-Identifier: MIT */
/*
 * One strict HTTP/1.1 server for both programs: sockets, deadlines, keep-alive and pipelining
 * around the parser of http.h. A request becomes an exchange; who handles it answers when it
 * can, at once or seconds later, and the answers go out in the order of the requests.
 *
 *   accept ──► reading head ──► reading body ──► request() ──► exchange_respond() ──► written
 *                   ▲  (total deadline each)                        │ at the end of the turn
 *                   └────────────── keep-alive ─────────────────────┘
 *
 * Several requests of one connection are under way together only if all of them are safe (GET,
 * HEAD, OPTIONS) or all are POSTs (RFC 9112 section 9.3.2): so a connection's posts keep their
 * order and a GET behind a POST sees what it wrote. Upgrades wait until they are alone.
 *
 * Nothing is written and nothing is freed inside a callback: the owner of the loop calls
 * server_turn after each round of events.
 */
#ifndef COMMON_SERVER_H
#define COMMON_SERVER_H

#include <stdint.h>

#include "common/address.h"
#include "common/buf.h"
#include "common/http.h"

struct event_base;
struct server;
struct exchange;

struct response {
    int status;
    const char *content_type; /* NULL: none is sent */
    struct str headers;       /* further ones, each `Name: value\r\n` */
    struct str body;          /* for HEAD: its length is told, and it is not sent */
    bool close;               /* the connection ends with this answer */
};

struct server_ops {
    /* A whole request is there. It must be answered once, now or later. req and body are valid
     * until the callback returns; the exchange is valid until it is answered, even when its client
     * has gone (the answer is dropped then). */
    void (*request)(void *ctx, struct exchange *x, const struct http_request *req, struct str body);

    /* The head is there, a body may follow: false to let it come (and then a 100 is sent where it
     * is expected), true after filling *refusal, which is sent at once. After a refusal the
     * connection closes when the request has a body, since that is not read. May be NULL. The
     * strings of *refusal must outlive the callback (static, or of the owner). */
    bool (*refuse)(void *ctx, const struct http_request *req, struct response *refusal);

    /* Appends headers that every answer to this request carries (CORS, X-Request-ID), also the
     * server's own 400s and 413s once the head is parsed. May be NULL. */
    void (*headers)(void *ctx, const struct http_request *req, struct buf **out);

    /* A connection was accepted. False to turn it away after filling *no, which is told at once;
     * true to keep it, with whatever *guest is set to (NULL before the call). May be NULL. */
    bool (*opened)(void *ctx, const struct address *peer, void **guest, struct http_refusal *no);

    /* It has ended, unless exchange_take took it: then the guest is the taker's. Not called for a
     * guest that is NULL. */
    void (*closed)(void *ctx, void *guest);
};

struct server_config {
    const char *host;  /* a numeric address, "0.0.0.0" or "::" (both families) */
    unsigned port;     /* 0: any free one */
    size_t conns_max;  /* more are answered 503 and closed; accepting goes on */
    size_t body_max;   /* bytes: 413 */
    size_t unsent_max; /* bytes of all answers; 0: HTTP_UNSENT_BYTES_MAX */
};

/* Binds and listens; NULL with one line in error (size bytes) when it cannot. ops and ctx are
 * borrowed until server_free. */
struct server *server_new(struct event_base *base, const struct server_config *config,
                          const struct server_ops *ops, void *ctx, char *error, size_t size);

unsigned server_port(const struct server *s);

/* Open connections, those given away not counted. */
size_t server_conns(const struct server *s);

enum {
    STATUS_MIN = 200, /* of an answer */
    STATUS_MAX = 599,
};

/* What happened since the start, for metrics. */
struct server_counts {
    uint64_t accepted;
    uint64_t turned_away;         /* told 503: conns_max, or no descriptor was left */
    uint64_t pauses;              /* of accepting, for want of descriptors */
    uint64_t rests;               /* connections not read for a while, since they were refused */
    uint64_t given_away;          /* by exchange_take */
    uint64_t bytes_in, bytes_out; /* of those not given away */
    uint64_t answers[STATUS_MAX - STATUS_MIN + 1]; /* by status; not of who had gone */
};

/* Valid until server_free, and current. */
const struct server_counts *server_counts(const struct server *s);
size_t server_unsent(const struct server *s); /* bytes of answers not sent yet */
size_t server_kept(const struct server *s);   /* bytes of requests not taken yet */

/* The end of a turn: writes what is owed, for TURN_WRITE_US at most, and frees what is doomed.
 * True when more is to be done at once: then the loop must not sleep. */
bool server_turn(struct server *s);

/* Stops listening; idle connections are closed, others after the answer under way. */
void server_drain(struct server *s);

/* Nothing is unanswered or unsent (a drain is done). */
bool server_idle(const struct server *s);

/* Closes and frees all; unanswered exchanges stay valid for their holders. NULL is fine. */
void server_free(struct server *s);

/* Answers, once; the exchange is gone afterwards. Copies everything. Content-Length, Date and
 * Connection are added. A response's status 101 is not possible here: see exchange_take. While
 * more than unsent_max waits for clients that do not read, a 503 goes out instead of a large body.
 */
void exchange_respond(struct exchange *x, const struct response *r);

/* Answers {"detail":"<words>"} as application/json. */
void exchange_fail(struct exchange *x, int status, const char *words);

/* Has the client gone? An answer would be dropped. */
bool exchange_gone(const struct exchange *x);

/* The peer's address; :: when it has gone. */
struct address exchange_peer(const struct exchange *x);

/* What server_ops.opened set for the connection; NULL when it has gone. */
void *exchange_guest(const struct exchange *x);

/* Adds headers (each `Name: value\r\n`) to the answer that will come. */
void exchange_add_headers(struct exchange *x, struct str headers);

/*
 * Takes the socket from the server, for a protocol of its own: the exchange is gone afterwards, and
 * the caller owns the descriptor (non-blocking, with no event on it). *in holds bytes that came
 * behind the request, *out unsent bytes of earlier answers that must go first (both may be NULL;
 * the caller owns them). Only from within request(), for a request without a body that is alone on
 * its connection, as one with an Upgrade header always is. Returns -1 when the client has gone.
 */
int exchange_take(struct exchange *x, struct buf **in, struct buf **out);

#endif
