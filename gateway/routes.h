/* SPDX-License-Identifier: MIT */
/* The gateway's HTTP routes, and what WebSocket clients send. docs/PROTOCOL.md is the contract. */
#ifndef GATEWAY_ROUTES_H
#define GATEWAY_ROUTES_H

#include "common/server.h"
#include "gateway/client.h"
#include "gateway/guests.h"
#include "gateway/history.h"
#include "gateway/lab.h"
#include "gateway/link.h"
#include "gateway/room.h"
#include "gateway/settings.h"

/* What the routes work on; all borrowed. */
struct routes {
    const struct settings *settings;
    struct link *link;
    struct rooms *rooms;
    struct clients *clients;
    struct history *history;
    const struct server *server; /* whose routes these are */
    const struct server *admin;  /* has /metrics instead; NULL: none */
    struct guests *guests;
    struct gateway_lab *lab; /* NULL: these routes do not exist */
    bool draining;
    uint64_t invalid[SEND_SOURCES]; /* texts that were no message, since the start */
};

/* ctx of both is the struct routes. */
extern const struct server_ops routes_ops;
void routes_frame(void *ctx, struct client *c, struct str text);

/* Appends the frame that greets who asked for it: which replica this is, and where it stands. */
void frames_hello(const struct routes *r, struct buf **out);

/* Is the gateway ready to serve? If not, *why says so. */
bool routes_ready(struct routes *r, const char **why);

#endif
