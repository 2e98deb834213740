/* SPDX-License-Identifier: MIT */
/*
 * The gateway's side of the log: the link to Redis with the engines around it. Posts go in, and
 * come back with their id once this gateway's feed has passed it; messages go to the rooms.
 */
#ifndef GATEWAY_LINK_H
#define GATEWAY_LINK_H

#include "common/log_link.h"
#include "common/metrics.h"
#include "gateway/outbox.h"
#include "gateway/room.h"
#include "gateway/waits.h"

struct link;
struct chain;
struct log_link;
struct redis_tls_files;

enum send_result {
    SEND_DONE,     /* in the log (and stored, if that was wanted): id and time are set */
    SEND_MISMATCH, /* the key was used for other content */
    SEND_FULL,     /* the persister is behind: not stored */
    SEND_REFUSED,  /* not stored */
    SEND_MAYBE,    /* may be stored */
};

/* Whence it came, for metrics. */
enum send_source {
    SEND_HTTP,
    SEND_WS,
    SEND_SOURCES,
};

/* What a client sends; the strings are copied. */
struct send {
    enum send_source source;
    struct str room, username, content;
    struct str key; /* the client's idempotency key or nonce, or empty */
    bool stored;    /* answered only when it is in SQLite */
};

/* The outcome: json is the final message when it is done. */
typedef void (*send_cb)(void *arg, enum send_result result, uint64_t id, struct str json);

/* What came of a message, for metrics: finer than send_result. */
enum send_end {
    SEND_END_NEW,      /* in the log */
    SEND_END_KNOWN,    /* was there already: its key was */
    SEND_END_MISMATCH, /* as the send_results of these names */
    SEND_END_FULL,
    SEND_END_REFUSED,
    SEND_END_MAYBE,
    SEND_END_OVERFLOW, /* the outbox was full */
    SEND_ENDS,
};

/* What happened since the start. */
struct link_counts {
    uint64_t sends[SEND_SOURCES][SEND_ENDS];
    struct histogram send_seconds[SEND_SOURCES]; /* from link_send to send_cb */
    uint64_t batches, batch_messages; /* given to Redis; a batch sent again counts again */
    struct histogram publish_seconds; /* from a batch to its reply */
    uint64_t messages;                /* that the feed delivered */
    uint64_t openings;                /* of the log that the feed saw */
    uint64_t gaps;                    /* in the feed: clients were closed */
};

/* For metrics; all of it valid until link_free, and current. */
struct link_parts {
    const struct link_counts *counts;
    const struct log_link *log;
    const struct outbox *outbox;
    const struct waits *waits;
};

struct link_config {
    const struct redis_tls_files *redis_tls; /* borrowed for ever */
    const char *redis_url, *redis_prefix;
    size_t outbox_max;
    unsigned long idempotency_seconds;
    unsigned long
        post_deadline_ms; /* from link_send to the answer; POST_MAYBE_MS may come on top */
};

struct link *link_new(struct event_base *base, struct evdns_base *dns,
                      const struct link_config *config, struct rooms *rooms);

/* Tells every sender, then frees. NULL is fine. */
void link_free(struct link *l);

/* False when the outbox is full: nothing was taken and cb will not come. cb may come from within.
 */
bool link_send(struct link *l, const struct send *s, send_cb cb, void *arg);

/* Calls w->done when the feed has id, or it cannot be told. */
void link_wait(struct link *l, struct wait *w);

/* A page of the stream that was asked for; valid during the call. NULL: no reply, an error, another
 * shape, or a log of another opening. */
typedef void (*link_page_cb)(void *arg, const struct page *page);

/* Reads up to count (PAGE_ENTRIES at the most) entries of the stream with id < before, newest
 * first, fewer when they are long, one at least. The callback comes once, never from within; with
 * NULL too when the connection goes, or from link_free. False: no connection, and no callback. */
bool link_page_back(struct link *l, uint64_t before, unsigned count, link_page_cb cb, void *arg);

uint64_t link_position(const struct link *l);
uint64_t link_lease(const struct link *l);
uint64_t link_stored(const struct link *l); /* SQLite has everything up to here, if not more */
bool link_started(const struct link *l);    /* the feed knows where the log is */
bool link_ready(const struct link *l, const char **why);
bool link_empty(const struct link *l); /* no post is under way */
struct link_parts link_parts(const struct link *l);
uint64_t link_sent(const struct link *l); /* messages that this gateway brought into the log */

/* For the lab: the log's link, which its faults are done to. From now on everything that the feed
 * hands on is added to the chain, which is borrowed until link_free. */
struct log_link *link_chain_start(struct link *l, struct chain *chain);

void link_describe(const struct link *l, struct buf **json);

#endif
