/* SPDX-License-Identifier: MIT */
/*
 * The SQLite file: messages, where the log stands, and what a retry needs to know. Only the files
 * store*.c use sqlite3. One connection writes, on a thread of its own, so that a commit with its
 * fsync never stalls a reader of history; the caller's thread reads through a second, query_only
 * one.
 */
#ifndef PERSISTER_STORE_H
#define PERSISTER_STORE_H

#include "common/buf.h"
#include "common/metrics.h"
#include "common/script.h"
#include <stdatomic.h>

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

/* What is kept. Old messages go in small steps between the commits. */
struct store_retention {
    uint64_t count; /* the newest messages that stay, 0: all */
    uint64_t days;  /* how long a message stays, 0: for ever */
    uint64_t tail;  /* ids below position that stay in any case: Redis still has them */
};

/* why is "" when it is STORE_OK. */
typedef void (*store_done_cb)(void *arg, enum store_result result, const char *why);

/* Opens or makes the file: lock (a second process is refused), quick_check, schema. NULL with one
 * line in error when it cannot. lease_floor: the lease is raised to it (0: not). window_s: how long
 * origins and keys are kept, from the time of their message. */
struct store *store_open(struct event_base *base, const char *path, uint64_t lease_floor,
                         unsigned long window_s, char *error, size_t size);

/* Waits for the commit under way, whose done is not called any more, and closes cleanly. NULL is
 * fine. */
void store_close(struct store *s);

/* From now on, until store_close. Without this call everything stays. */
void store_retain(struct store *s, const struct store_retention *retention);

/* As of the last finished commit (pruned: of the last finished step of the retention). */
const struct store_log *store_standing(const struct store *s);

/*
 * Runs it on the writer's thread, one at a time; done is called in the loop, later.
 *
 * An id that is there already with the same content is fine. An entry that is no message (a
 * stranger can write into the stream) is left out, with an alarm in the log: it counts as not
 * existing, and the next opening voids it. If a read for the engine (store_entries_after
 * and the floors) failed since the last commit, this one fails: what was decided on that read must
 * not become durable.
 */
void store_commit(struct store *s, const struct store_commit *c, store_done_cb done, void *arg);

/* ---- Reads, in the caller's thread ---- */

/* Entries that were read; valid until the next read. */
struct entries {
    const struct entry *at;
    size_t count;
    bool more;   /* the limit or ROWS_BYTES ended it, with one at least: there may be more */
    bool failed; /* SQLite did: there are none */
};

/* Up to limit (at least 1) entries with id > after, ordered, with origin and key where still in the
 * window; fewer where they are long. If SQLite fails: none, and the next commit fails. */
struct entries store_entries_after(struct store *s, uint64_t after, size_t limit);

/* Likewise what is left of messages in the window, with those that retention has removed: id,
 * origin, key and value. */
struct entries store_keys_after(struct store *s, uint64_t after, size_t limit);

/* The highest id of a message that has at least n newer ones; 0 when there is none. If SQLite
 * fails: the last id, and the next commit fails. */
uint64_t store_newest_floor(struct store *s, uint64_t n);

/* No message up to this id has an origin or a key that is still in the window. Failing likewise. */
uint64_t store_window_floor(struct store *s);

/* A page of history. With after: the oldest above it, else the newest. One that bytes_max ends
 * lacks what lies farther from there. */
struct store_query {
    struct str room; /* empty: all rooms */
    bool has_after;
    uint64_t after;  /* only ids above it; 0: all */
    uint64_t before; /* only ids below it; INT64_MAX: all */
    size_t limit;
    size_t bytes_max; /* the page ends with the message that passes it, 0: no bound */
};

struct store_page {
    struct buf *json;          /* the messages as final JSON, oldest first; the caller frees it */
    size_t count;              /* messages */
    uint64_t position, pruned; /* of `log`, as of the same moment */
};

/* Each message of the page is followed by the character `end`. False, with an empty page, when
 * SQLite fails: see store_trouble. */
bool store_history(struct store *s, const struct store_query *q, char end, struct store_page *page);

/* Is SQLite failing now? The last failure's words, or NULL. For /readyz. */
const char *store_trouble(const struct store *s);

/* ---- For metrics ---- */

struct store_counts {
    struct histogram commit_seconds;    /* of commits since the start, with those that failed */
    uint64_t removed;                   /* messages that the retention removed since the start */
    uint64_t database_bytes, wal_bytes; /* the files, now */
};

void store_counts(struct store *s, struct store_counts *out);

/* ---- Without a store ---- */

/* Copies the file, which a persister may have open, to a new one that is compact and durable when
 * the result is true; else one line is in error. In any thread; it ends early once *stop is true
 * (NULL: never). */
bool store_backup(const char *path, const char *to, const atomic_bool *stop, char *error,
                  size_t size);

#endif
