/* SPDX-License-Identifier: MIT */
/* What the store's files share; nobody else includes it. */
#ifndef PERSISTER_STORE_INTERNAL_H
#define PERSISTER_STORE_INTERNAL_H

#include <event2/event.h>
#include <event2/event_struct.h>
#include <pthread.h>
#include <sqlite3.h>

#include "persister/store.h"

enum {
    STORE_WHY_BYTES = 256,
};

/* The writer's statements. */
enum writer_statement {
    WRITER_MESSAGE,       /* insert, unless the id is there */
    WRITER_COMPARE,       /* is the message that is there the same? */
    WRITER_ORIGIN,        /* insert, unless the id is there */
    WRITER_ORIGINS_PRUNE, /* the oldest, where they are past the window */
    WRITER_LOG,           /* the one row */
    WRITER_OLDEST,        /* messages as the retention looks at them */
    WRITER_DELETE,        /* messages up to an id */
    WRITER_COUNT,         /* of all messages */
    WRITER_STATEMENTS,
};

enum reader_statement {
    READER_LOG,
    READER_ENTRIES,
    READER_KEYS,
    READER_NEWEST_FLOOR,
    READER_WINDOW,
    READER_OLDEST, /* history: all rooms or one, from the old or the new end */
    READER_NEWEST,
    READER_ROOM_OLDEST,
    READER_ROOM_NEWEST,
    READER_STATEMENTS,
};

/* A commit on its way to the writer, with copies of all bytes. */
struct store_job {
    struct entry *entries;
    char *bytes; /* what the entries' strings point into */
    size_t count;
    uint64_t position, lease, opening;
    char refused[STORE_WHY_BYTES]; /* not "": it fails with these words, without being tried */
};

/* What the writer tells the loop. */
struct store_news {
    bool committed; /* a commit has ended, with result and why */
    enum store_result result;
    char why[STORE_WHY_BYTES];
    struct store_log log; /* also after a step of the retention */
};

struct store {
    /* The loop's. */
    int lock_fd;
    int news_fd;
    struct event news_event; /* the writer has news: on news_fd */
    struct event prune_event;
    store_done_cb done; /* of the commit under way, or NULL */
    void *done_arg;
    struct store_log standing;
    char trouble[STORE_WHY_BYTES];      /* of the last commit, or "" */
    char read_trouble[STORE_WHY_BYTES]; /* of the last read, or "" */
    char unsure[STORE_WHY_BYTES];       /* a failed read of the engine; the next commit fails */
    sqlite3 *reader;
    sqlite3_stmt *reads[READER_STATEMENTS];
    struct entry *entries; /* of store_entries_after */
    struct buf *entry_bytes;

    /* Both threads'; the mutex protects them, wake says that they changed. */
    pthread_mutex_t mutex;
    pthread_cond_t wake;
    struct store_job *job; /* to be run */
    struct store_retention retention;
    struct store_news news;
    struct histogram commit_seconds;
    uint64_t removed; /* by the retention, since the start */
    bool prune;       /* look for messages to be pruned */
    bool stop;

    /* The writer's, once its thread runs. */
    bool has_thread;
    bool prune_fails; /* the last step of the retention did, and it was logged */
    bool counted;     /* rows is known */
    pthread_t thread;
    sqlite3 *writer;
    sqlite3_stmt *writes[WRITER_STATEMENTS];
    struct store_log log;   /* as committed */
    uint64_t rows;          /* messages in the file */
    unsigned long window_s; /* constant */
};

/* Opens a connection and prepares nothing; on failure false with one line in error. */
bool connection_open(sqlite3 **db, const char *path, int busy_ms, const char *pragmas, char *error,
                     size_t size);

/* Prepares n statements; a NULL ends none: all texts must be there. */
bool statements_prepare(sqlite3 *db, const char *const *sql, sqlite3_stmt **out, size_t n);
void statements_finalize(sqlite3_stmt **statements, size_t n);

/* Reset, with its bindings cleared: a statement left open would pin a snapshot. */
void statement_reset(sqlite3_stmt *statement);

void bind_u64(sqlite3_stmt *statement, int at, uint64_t n);
void bind_str(sqlite3_stmt *statement, int at, struct str s);
uint64_t column_u64(sqlite3_stmt *statement, int at);
struct str column_str(sqlite3_stmt *statement, int at);

/* The row of `log`, out of a statement that stands on it. */
void log_columns(sqlite3_stmt *statement, struct store_log *log);
extern const char log_select[];

/* The writer's thread. */
bool writer_prepare(struct store *s);
bool writer_start(struct store *s);
void writer_stop(struct store *s);

bool reader_prepare(struct store *s);

#endif
