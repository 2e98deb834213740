/* SPDX-License-Identifier: MIT */
/*
 * One connection to Redis, or to a sentinel. The only file that knows the client library.
 *
 * All callbacks come from the loop, and wire_command and wire_close may be called from them. Only
 * the last ones, with NULL, come from within wire_close: the wire is no longer usable there.
 */
#ifndef COMMON_WIRE_H
#define COMMON_WIRE_H

#include <stdint.h>

#include "common/reply.h"

struct event_base;
struct redis_tls;
struct wire;

/* Where a connection leads; borrowed until wire_open returns. */
struct wire_to {
    const char *ip; /* a number, without brackets */
    uint16_t port;
    struct redis_tls *tls; /* loaded; NULL: in plain text */
    const char *name;      /* which the server's certificate must hold; with tls only */
};

struct wire_ops {
    void (*connected)(void *ctx); /* may be NULL */
    /* What belongs to the subscription: {"message", channel, payload}, {"subscribe", channel, n}.
     */
    void (*push)(void *ctx, const struct reply *reply); /* may be NULL */
    /* Never connected, cut off, or too late with a reply: once. What remains is wire_close. */
    void (*lost)(void *ctx, const char *why);
};

/* reply is NULL when none will come; it is valid during the call only. */
typedef void (*wire_reply_cb)(void *arg, const struct reply *reply);

/* Starts to connect. Borrows ops and ctx until wire_close. With TLS, connected comes before the
 * handshake: what that refuses is a wire that is lost. */
struct wire *wire_open(struct event_base *base, const struct wire_to *to,
                       const struct wire_ops *ops, void *ctx);

/* Every outstanding command's callback gets NULL, then nothing is called any more. NULL is fine. */
void wire_close(struct wire *w);

/* Copies the words. The callback is called once; the connection is lost when that takes longer than
 * REDIS_REPLY_MS. May be used before it is connected. Not for SUBSCRIBE. */
void wire_command(struct wire *w, const struct str *words, size_t nwords, wire_reply_cb cb,
                  void *arg);

/* SUBSCRIBE; each confirmation is a push, and no deadline watches it. No command may follow. */
void wire_subscribe(struct wire *w, const char *const *channels, size_t count);

/* off: what comes is left in the socket, until on. Not while a command waits for its reply. */
void wire_listen(struct wire *w, bool on);

#endif
