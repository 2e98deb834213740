/* SPDX-License-Identifier: MIT */
/*
 * A program's side of the log in Redis: the link with its two connections, the feed over it, and
 * the tick of both. What is the program's own hangs on as hooks.
 *
 *      redis ──► feed ──► owner
 *        ▲        │ page, beat, drop
 *        └────────┘
 *
 * The feed hears of everything first, the hooks after it: of a new connection, of a tick, and of
 * the end of a connection, when every script under way has been answered with NULL (redis.h).
 */
#ifndef COMMON_LOG_LINK_H
#define COMMON_LOG_LINK_H

#include <event2/event_struct.h>

#include "common/feed.h"
#include "common/redis.h"

struct evdns_base;

enum {
    LOG_LINK_CHANNELS = 3,
};

/* All must be there. From here scripts may be run (from down they are not sent). */
struct log_link_ops {
    void (*up)(void *ctx);
    void (*down)(void *ctx); /* once for each up, but not at log_link_stop */
    void (*tick)(void *ctx, uint64_t now_ms);
};

struct log_link_config {
    const char *redis_url; /* borrowed for ever */
    /* Borrowed for ever; may be NULL when the URL is without TLS. */
    const struct redis_tls_files *redis_tls;
    const char *prefix;         /* of keys and channels; borrowed during log_link_init */
    bool pull;                  /* the feed's mode, and what the program has: see feed_init */
    uint64_t position, opening; /* both 0 in push mode */
};

struct log_link {
    char boot[17]; /* this process' random id */
    struct log_names names;
    struct feed feed;
    struct redis *redis;        /* NULL before the start and after the stop */
    struct redis_config config; /* which redis borrows */
    const struct log_link_ops *ops;
    void *ctx;                               /* of ops and of the feed's owner */
    const char *channels[LOG_LINK_CHANNELS]; /* of names */
    struct event tick;
    bool misshapen;           /* the last page was: that is logged once */
    uint64_t connects, pages; /* since the start, for metrics: links that came up, pages read */
};

/* A page that was asked for; valid during the call. NULL: no reply, an error, or another shape. */
typedef void (*log_link_page_cb)(void *arg, const struct page *page);

/* Makes boot, names and the feed; nothing is sent yet. owner, ops and ctx are borrowed until
 * log_link_done. */
void log_link_init(struct log_link *l, const struct log_link_config *config,
                   const struct feed_owner *owner, const struct log_link_ops *ops, void *ctx);

/* Connects, and ticks from now on. base and dns are borrowed until log_link_stop. */
void log_link_start(struct log_link *l, struct event_base *base, struct evdns_base *dns);

/* Leaves Redis for good: pending callbacks get NULL, and nothing will be called. Not from a
 * callback of the link. */
void log_link_stop(struct log_link *l);

/* After log_link_stop, or without a start. */
void log_link_done(struct log_link *l);

/*
 * Reads up to count (PAGE_ENTRIES at the most) entries with id > after, beside the feed; fewer when
 * they are long (PAGE_ENTRIES_BYTES): whether there may be more, the page tells. The callback comes
 * once, never from within, within REDIS_REPLY_MS; with NULL too when the connection
 * goes or the link is stopped, so arg must live that long. False: no connection, and no callback.
 */
bool log_link_page(struct log_link *l, uint64_t after, unsigned count, log_link_page_cb cb,
                   void *arg);

/* Likewise those with id < before, newest first; NULL too when the log there is of another opening
 * than the feed has seen last: a server that was parted from the log shows an older one. */
bool log_link_page_back(struct log_link *l, uint64_t before, unsigned count, log_link_page_cb cb,
                        void *arg);

/* redis_eval on the link; false also when it is stopped. */
bool log_link_eval(struct log_link *l, enum redis_script script, size_t nkeys,
                   const struct str *words, size_t nwords, redis_reply_cb cb, void *arg);

/* What the connections do, as redis_status says it; "stopped" when there are none any more. */
const char *log_link_status(const struct log_link *l);

#endif
