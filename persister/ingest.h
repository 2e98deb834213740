/* SPDX-License-Identifier: MIT */
/*
 * The persister's engine: it opens the log, stores what the pages bring, and raises the lease. No
 * I/O: pages come from the feed (pull mode), commits and scripts go out through ingest_io.
 *
 *  page ─► does the state agree with SQLite?
 *            yes ─► COMMITTING ─► ADVANCING ─► release, in turn with COMPARING (overlap.c)
 *            no  ─► the opening: NUMBERING (commit n+1) ─► SEALING ─► REVIEWING ⇄ VOIDING (pages
 * from base) ─► DRAINING ⇄ SAVING (pages, commits) ─► RESTORING (producer records, lost rows) ─►
 * GRANTING (commit S, lease) ─► OPENING ─► ADVANCING
 *
 * Every failure (a link that drops, a commit that fails, SEALED by somebody else) leads back to
 * looking at a page; nothing is assumed to have happened unless it was answered.
 *
 * At most one command is under way: a page that is awaited, a commit or a script. A commit alone
 * outlives the connection, and with it the page that it came from is kept: the next connection
 * gives none before. While a full page is stored those behind it may be read (`ahead`): they are
 * used only behind an `advance` that was answered well, which shows that the log is the same as
 * when they were read; whatever went wrong is looked into with a page of its own.
 */
#ifndef PERSISTER_INGEST_H
#define PERSISTER_INGEST_H

#include "common/script.h"
#include "persister/store.h"

struct ingest;

/* When the next page is wanted. */
enum ingest_next {
    NEXT_NEWS,  /* when the doorbell rings, or within a second */
    NEXT_NOW,   /* at once, with the log as it is now */
    NEXT_AHEAD, /* at once; what was read ahead since `ahead` will do */
};

/* What the engine wants done. None may call back into the engine before it has returned. */
struct ingest_io {
    /* Answered by ingest_committed, always, whatever happens to Redis. The entries are borrowed
     * until return. */
    void (*commit)(void *ctx, const struct store_commit *c);
    /* A verb of open.lua: keys from KEYS 3, words from ARGV 4 (KEYS 1 and 2, verb, opening and the
     * file's id are added by the callee, who copies all). Answered by ingest_reply. */
    void (*script)(void *ctx, const char *verb, uint64_t opening, const struct str *keys,
                   size_t nkeys, const struct str *words, size_t nwords);
    /* The page is being stored, and what is behind it will be wanted: it may be read meanwhile. */
    void (*ahead)(void *ctx, const struct page *p);
    /* Done with the page: see feed_release. Once for each page, at the latest when the link is down
     * and no commit is under way. */
    void (*release)(void *ctx, uint64_t position, enum ingest_next next);
    /* store_entries_after. A read that fails gives nothing and makes the next commit fail. */
    struct entries (*entries_after)(void *ctx, uint64_t after, size_t limit);
    /* store_keys_after. Likewise. */
    struct entries (*keys_after)(void *ctx, uint64_t after, size_t limit);
    /* store_newest_floor: the highest id that has at least n newer rows; 0 when there is none. */
    uint64_t (*newest_floor)(void *ctx, uint64_t n);
    /* store_window_floor: no row up to this id has an origin or a key that is still in the window.
     */
    uint64_t (*window_floor)(void *ctx);
    /* store_standing */
    const struct store_log *(*standing)(void *ctx);
};

enum {
    CONFLICTS_TOLD = 8, /* messages that differ are told one by one up to this number */
};

struct ingest_limits {
    uint64_t backlog_max;   /* messages that Redis may hold unsaved: lease = position + this */
    uint64_t tail;          /* saved messages that stay in the stream: a margin behind position */
    unsigned long window_s; /* life of idempotency keys and producer records that are put back */
};

/* For metrics and /healthz; counted since the start of the process. */
struct ingest_status {
    const char *state;                     /* its name, static */
    uint64_t openings;                     /* that came to their end */
    uint64_t batches;                      /* committed with at least one message */
    uint64_t messages;                     /* committed */
    uint64_t commit_failures;              /* STORE_FAILED */
    uint64_t conflicts;                    /* STORE_CONFLICT, or an entry unlike its row */
    uint64_t conflict_ids[CONFLICTS_TOLD]; /* the first entries unlike their rows */
    size_t nconflict_ids;                  /* of conflict_ids */
    uint64_t voided;                       /* entries taken out of the stream */
    uint64_t restored;                     /* rows put back into the stream */
    uint64_t hole_from, hole_to; /* the last hole seen: Redis no longer has what is between; or 0 */
};

/* io, ctx and names are borrowed until ingest_free. */
struct ingest *ingest_new(const struct ingest_limits *limits, const struct log_names *names,
                          const struct ingest_io *io, void *ctx);
void ingest_free(struct ingest *g); /* NULL is fine; what is under way is not answered any more */

/* Events. The link: connected before the feed is told, disconnected after every script that was
 * under way got its ingest_reply(NULL). */
void ingest_connected(struct ingest *g);
void ingest_disconnected(struct ingest *g);
/* The page and its entries are borrowed until return. */
void ingest_page(struct ingest *g, const struct page *p);
void ingest_committed(struct ingest *g, enum store_result result, const char *why);
/* NULL: no reply will come; the script ran or not. */
void ingest_reply(struct ingest *g, const struct reply *r);
/* Call it every 100 ms or so; now_ms is of a monotonic clock. */
void ingest_tick(struct ingest *g, uint64_t now_ms);

/* Is the log open and followed, and SQLite stores it? If not, *why says so; valid until the next
 * event. */
bool ingest_ready(const struct ingest *g, const char **why);

/* Valid until the next event. */
const struct ingest_status *ingest_status(struct ingest *g);

#endif
