/* SPDX-License-Identifier: MIT */
/*
 * The persister's engine: it opens the log, stores what the pages bring, and raises the lease. No
 * I/O: pages come from the feed (pull mode), commits and scripts go out through ingest_io.
 *
 *  page ─► does the state agree with SQLite?
 *            yes ─► COMMITTING ─► ADVANCING ─► feed_release
 *            no  ─► the opening: NUMBERING (commit n+1) ─► SEALING ─► VOIDING ─► DRAINING (pages,
 *                   commits) ─► PUTTING ─► PRODUCERS ─► GRANTING (commit n+1, S, lease) ─► OPENING
 *
 * Every failure (a link that drops, a commit that fails, SEALED by somebody else) leads back to
 * looking at a page; nothing is assumed to have happened unless it was answered.
 */
#ifndef PERSISTER_INGEST_H
#define PERSISTER_INGEST_H

#include "common/script.h"
#include "persister/store.h"

struct ingest;

struct ingest_io {
    /* Answered by ingest_committed. */
    void (*commit)(void *ctx, const struct store_commit *c);
    /* A verb of open.lua: keys from KEYS 3, words from ARGV 4 (verb, opening and file are added).
     * Answered by ingest_reply. */
    void (*script)(void *ctx, const char *verb, uint64_t opening, const struct str *keys,
                   size_t nkeys, const struct str *words, size_t nwords);
    /* Done with the page: see feed_release. */
    void (*release)(void *ctx, uint64_t position, bool now);
    /* Begin anew: both connections. */
    void (*drop)(void *ctx, const char *why);
    bool (*has)(void *ctx, uint64_t id); /* store_has */
    size_t (*entries_after)(void *ctx, uint64_t after, size_t limit, const struct entry **entries);
    const struct store_log *(*standing)(void *ctx); /* as of the last finished commit */
};

struct ingest_limits {
    uint64_t backlog_max;  /* messages that Redis may hold unsaved: lease = position + this */
    uint64_t tail;         /* saved messages that stay in the stream: a margin behind position */
    unsigned long window_s; /* of idempotency keys and producer records put back */
};

#endif
