/* SPDX-License-Identifier: MIT */
/*
 * The history over HTTP, and the probes.
 *
 *   GET /messages?room=&limit=&before=&after=&min_id=   oldest first; all rooms without room
 *   GET /messages/{id}
 *   GET /livez, /readyz, /healthz                       ?verbose tells more; /healthz always does
 *   GET /metrics
 *
 * A page of messages is a JSON array, or with `Accept: application/x-ndjson` one message per line,
 * and says as of when it is: `Chat-Position` (everything up to this id that exists is stored),
 * `Chat-Pruned` (messages up to this id were removed) and `Chat-Lease` (no id above it was given).
 */
#ifndef PERSISTER_ROUTES_H
#define PERSISTER_ROUTES_H

#include "common/server.h"
#include "persister/store.h"

struct backups;
struct event_base;
struct routes;

struct routes_owner {
    /* Is the log followed? If not, *why says so; valid until the next event. */
    bool (*ready)(void *ctx, const char **why);
    /* Appends members of a JSON object, at least one. */
    void (*describe)(void *ctx, struct buf **json);
    /* Appends all of /metrics. */
    void (*metrics)(void *ctx, struct buf **out);
};

/* What server_new wants; its ctx is the struct routes. */
extern const struct server_ops routes_ops;

/* Borrows all of it until routes_free. */
struct routes *routes_new(struct event_base *base, struct store *store, struct backups *backups,
                          const struct routes_owner *owner, void *owner_ctx);

/* The store's position may have grown: answers who waits for that. */
void routes_stored(struct routes *r);

/* For metrics: how long it took to read pages of history, and who waits for min_id. */
const struct histogram *routes_read_seconds(const struct routes *r);
size_t routes_waiting(const struct routes *r);

/* Is /readyz 200? */
bool routes_ready(struct routes *r);

/* From here on /readyz is 503, and nobody waits: who does is answered 503. */
void routes_drain(struct routes *r);

/* After routes_drain. NULL is fine. */
void routes_free(struct routes *r);

#endif
