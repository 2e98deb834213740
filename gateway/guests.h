/* SPDX-License-Identifier: MIT */
/*
 * Who comes in, and how much each may: connections of one address, messages of one client and of
 * one address. Each connection has a guest from accept to its end, also when a WebSocket is made of
 * it.
 *
 *      guest ──► peer (peers.h): the address that counts
 *
 * Behind a trusted proxy it is not the connection that counts but who sent the request: a proxy
 * mixes the requests of many on one connection. So a proxy has no peer, and its connections and
 * their rate are its own affair; a WebSocket through it belongs to one client from its handshake
 * on.
 */
#ifndef GATEWAY_GUESTS_H
#define GATEWAY_GUESTS_H

#include "common/buf.h"
#include "common/http.h"
#include "gateway/peers.h"

struct guests;
struct guest;

struct guests_config {
    const char *trusted_proxies;             /* see networks_read */
    unsigned long conns_per_address;         /* 0: any number */
    unsigned long client_rate, client_burst; /* messages a second, 0: no limit; see rate_of */
    unsigned long address_rate, address_burst;
};

struct guests *guests_new(const struct guests_config *config);

/* All guests must have gone. NULL is fine. */
void guests_free(struct guests *gs);

/* A connection is accepted; see server_ops.opened. *g stays NULL when nothing is limited. */
bool guests_open(struct guests *gs, const struct address *peer, struct guest **g,
                 struct http_refusal *no);

/* It has ended. NULL is fine. */
void guests_close(struct guests *gs, struct guest *g);

/* The handshake of a WebSocket came: from now on it counts for who is behind the request. False
 * when that address has connections enough. g may be NULL. */
bool guests_settle(struct guests *gs, struct guest *g, const struct address *peer,
                   const struct http_request *req);

/* A POST: takes a token of each limit that is on, and appends RateLimit-Policy and RateLimit to
 * *headers, with Retry-After when it is refused. NULL: welcome; else words for the 429. */
const char *guests_post(struct guests *gs, struct guest *g, const struct address *peer,
                        const struct http_request *req, uint64_t now_us, struct buf **headers);

/* A message of a WebSocket. NULL: welcome; else words that name the limit that it met, and *retry_s
 * tells when one more will be taken. g may be NULL. */
const char *guests_frame(struct guests *gs, struct guest *g, uint64_t now_us, uint64_t *retry_s);

/* Each second. */
void guests_sweep(struct guests *gs, uint64_t now_us);

#endif
