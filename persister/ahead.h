/* SPDX-License-Identifier: MIT */
/*
 * Reading ahead: while a full page is being stored, what follows it in the stream is read, so that
 * Redis and the disk work at the same time. The pages that come meanwhile are joined to one, within
 * AHEAD_PAGES and AHEAD_BYTES: the longer a commit takes, the more the next one stores.
 *
 * Pure. At most one page is under way. A run lasts from ahead_begin until a page is awaited that it
 * does not have, and never longer than a connection.
 */
#ifndef PERSISTER_AHEAD_H
#define PERSISTER_AHEAD_H

#include "common/script.h"

struct ahead_io {
    /* Reads a page of PAGE_ENTRIES above after; answered by ahead_page, once, never from within.
     * False: no connection, and no answer. */
    bool (*page)(void *ctx, uint64_t after);
};

struct ahead {
    const struct ahead_io *io;
    void *ctx;              /* of io */
    bool on;                /* a run */
    bool asked;             /* a page is under way */
    bool stale;             /* … which is of no use any more */
    bool awaited;           /* somebody waits for the next page */
    uint64_t position;      /* what is read ahead begins behind it */
    uint64_t opening;       /* of the run */
    struct page page;       /* what was read: its facts are those of its last part */
    bool has_page;          /* there is one */
    bool given;             /* somebody looks at it */
    struct entry *entries;  /* page.count of them; their strings have no place until it is given */
    char *bytes;            /* what they point into, and the strings of the facts */
    size_t len, cap, facts; /* of bytes; facts: where those begin */
    size_t entries_cap;
};

void ahead_init(struct ahead *a, const struct ahead_io *io, void *ctx);
void ahead_done(struct ahead *a);

/* The page is full and its owner stores it: reads what is behind it. Within a run that goes on it
 * changes nothing. The page may be one of ahead_take. */
void ahead_begin(struct ahead *a, const struct page *p);

/* The answer; NULL: an error, or the connection goes. False: who waits (see ahead_wait) has to ask
 * by himself. */
bool ahead_page(struct ahead *a, const struct page *p);

/* The owner has done with his page and waits for the one behind position: ahead_take gives it, now
 * or after an ahead_page. False: it is not being read, and the run ends. */
bool ahead_wait(struct ahead *a, uint64_t position);

/* The page for who waits, or NULL; valid until ahead_taken, which is called when it was looked at.
 */
const struct page *ahead_take(struct ahead *a);
void ahead_taken(struct ahead *a);

/* Ends the run, if there is one. */
void ahead_drop(struct ahead *a);

#endif
