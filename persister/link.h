/* SPDX-License-Identifier: MIT */
/* The glue between the engines (feed, ingest), the connections to Redis, and the store. */
#ifndef PERSISTER_LINK_H
#define PERSISTER_LINK_H

#include "common/buf.h"
#include "common/log_link.h"
#include "persister/ingest.h"

struct link;
struct redis_tls_files;

struct link_config {
    const struct redis_tls_files *redis_tls; /* borrowed for ever */
    const char *redis_url, *redis_prefix;    /* borrowed for ever */
    struct ingest_limits limits;
};

/* Starts at once. stored is called when the standing of the store may have moved. The store is
 * borrowed until link_stop. */
struct link *link_new(struct event_base *base, struct evdns_base *dns,
                      const struct link_config *config, struct store *store,
                      void (*stored)(void *ctx), void *ctx);

/* Leaves Redis for good: nothing new is committed. A commit may still be under way. */
void link_stop(struct link *l);

/* After link_stop, and after store_close, which waits for the commit under way. NULL is fine. */
void link_free(struct link *l);

/* Is the log open and followed, and stored? If not, *why says so; valid until the next event. */
bool link_ready(const struct link *l, const char **why);

/* For metrics; valid until link_free, and current. */
const struct log_link *link_log(const struct link *l);
const struct ingest_status *link_ingest(const struct link *l);

/* For the lab: the log's link, which its faults are done to. */
struct log_link *link_for_lab(struct link *l);

/* Appends what it knows as members of a JSON object: "redis":"up","state":"watching",… */
void link_describe(const struct link *l, struct buf **json);

#endif
