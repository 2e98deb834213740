/* SPDX-License-Identifier: MIT */
/*
 * The SQLite file: messages, where the log stands, and what a retry needs to know. The only file
 * that uses sqlite3. One connection writes, on a thread of its own, so that a commit with its fsync
 * never stalls a reader of history; the caller's thread reads through a second, query_only one.
 */
#ifndef PERSISTER_STORE_H
#define PERSISTER_STORE_H

#include "common/buf.h"
#include "common/script.h"

struct event_base;
struct store;

/* The one row of the table `log`. */
struct store_log {
    uint64_t position; /* everything up to here that exists is in the file, or void */
    uint64_t lease;    /* no id above it was ever allowed */
    uint64_t opening;  /* the last one this file began */
    uint64_t pruned;   /* retention removed messages up to here */
    uint64_t last;     /* the highest id of a message, ever */
    char owner[17];    /* this file's random id */
};

/* One transaction: entries and the new standing, together or not at all. */
struct store_commit {
    const struct entry *entries; /* copied */
    size_t count;
    uint64_t position, lease, opening; /* none may go back; asserted */
};

enum store_result {
    STORE_OK,
    STORE_FAILED,   /* FULL, IOERR, BUSY …: rolled back, nothing happened: again later */
    STORE_CONFLICT, /* an id is there with other content: rolled back; an alarm */
};

/* why is "" when it is STORE_OK. */
typedef void (*store_done_cb)(void *arg, enum store_result result, const char *why);

/* Opens or makes the file: lock (a second process is refused), quick_check, schema. NULL with one
 * line in error when it cannot. lease_floor: the lease is raised to it (0: not). */
struct store *store_open(struct event_base *base, const char *path, uint64_t lease_floor,
                         unsigned long window_s, char *error, size_t size);

/* Waits for the commit under way, closes cleanly. NULL is fine. */
void store_close(struct store *s);

/* As of the last finished commit. */
const struct store_log *store_standing(const struct store *s);

/* Runs it on the writer's thread, one at a time; done is called in the loop. */
void store_commit(struct store *s, const struct store_commit *c, store_done_cb done, void *arg);

/* ---- Reads, in the caller's thread ---- */

/* Is there a message of this id? (Pruned ones count as being there.) */
bool store_has(struct store *s, uint64_t id);

/* Up to limit entries with id > after, ordered, with origin and key where still in the window;
 * valid until the next call. Returns how many. */
size_t store_entries_after(struct store *s, uint64_t after, size_t limit,
                           const struct entry **entries);

/* Is SQLite failing now? The last failure's words, or NULL. For /readyz. */
const char *store_trouble(const struct store *s);

#endif
