/* SPDX-License-Identifier: MIT */
/*
 * The store as a whole: opening and closing the file, and the loop's side of a commit.
 *
 *      the loop                             the writer's thread
 *      store_commit ──► job ──────────────► BEGIN IMMEDIATE … COMMIT (fsync)
 *      news_take    ◄── news ◄── eventfd ── result, standing
 *      store_has, store_history: the reader's connection, query_only
 *
 * The threads share a job, the news and nothing else, under one mutex. Only the writer's connection
 * ever checkpoints: SQLite before 3.51.3 can corrupt a WAL that several connections reset. For the
 * same reason, and because two persisters would fight over one log, the file has a lock: it is on a
 * second file, since SQLite's own locks come and go.
 *
 * What this file refuses: a database that quick_check finds broken, one that is not ours, one of a
 * newer version, and anything that is no file.
 */
#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/mem.h"
#include "persister/store_internal.h"

enum {
    SCHEMA_VERSION = 1,
    WRITER_BUSY_MS = 1000, /* somebody holds the file with a tool: then BUSY, and again later */
    READER_BUSY_MS = 100,  /* in the loop */
    PRUNE_MS = 1000,       /* between two looks for messages to be pruned */
};

_Static_assert(ROOM_BYTES_MAX == 64 && USERNAME_CHARS_MAX == 64 && CONTENT_CHARS_CEILING == 16384,
               "the schema says so");

static const char schema[] =
    "BEGIN IMMEDIATE;"
    "CREATE TABLE messages("
    " id INTEGER PRIMARY KEY CHECK(id > 0),"
    " room TEXT NOT NULL CHECK(length(room) BETWEEN 1 AND 64),"
    " username TEXT NOT NULL CHECK(length(username) BETWEEN 1 AND 64),"
    " content TEXT NOT NULL CHECK(length(content) BETWEEN 1 AND 16384),"
    " created_at TEXT NOT NULL CHECK(length(created_at) = 24)) STRICT;"
    "CREATE INDEX messages_room ON messages(room);"
    "CREATE TABLE origins("
    " id INTEGER PRIMARY KEY, origin TEXT NOT NULL, key TEXT NOT NULL, value TEXT NOT NULL,"
    " at INTEGER NOT NULL) STRICT;"
    "CREATE TABLE log("
    " one INTEGER PRIMARY KEY CHECK(one = 1), position INTEGER NOT NULL, lease INTEGER NOT NULL,"
    " opening INTEGER NOT NULL, pruned INTEGER NOT NULL, last INTEGER NOT NULL,"
    " owner TEXT NOT NULL CHECK(length(owner) = 16)) STRICT;"
    "INSERT INTO log VALUES(1, 0, 0, 0, 0, 0, '%s');"
    "PRAGMA user_version = %d;"
    "COMMIT";

static const char writer_pragmas[] = "PRAGMA synchronous = FULL;"
                                     "PRAGMA wal_autocheckpoint = 1000;"
                                     "PRAGMA journal_size_limit = 67108864;"
                                     "PRAGMA trusted_schema = OFF";

/* It never writes, so it never checkpoints by itself; 0 says so once more. */
static const char reader_pragmas[] = "PRAGMA query_only = ON;"
                                     "PRAGMA synchronous = FULL;"
                                     "PRAGMA wal_autocheckpoint = 0;"
                                     "PRAGMA journal_size_limit = 67108864;"
                                     "PRAGMA trusted_schema = OFF";

const char log_select[] = "SELECT position, lease, opening, pruned, last, owner FROM log";

/* ---- what the store's files share ---- */

bool connection_open(sqlite3 **db, const char *path, int busy_ms, const char *pragmas, char *error,
                     size_t size)
{
    const int flags = SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE | SQLITE_OPEN_NOMUTEX;
    bool ok = sqlite3_open_v2(path, db, flags, NULL) == SQLITE_OK &&
              sqlite3_busy_timeout(*db, busy_ms) == SQLITE_OK &&
              sqlite3_exec(*db, pragmas, NULL, NULL, NULL) == SQLITE_OK;
    if (!ok)
        snprintf(error, size, "cannot open %s: %s", path, sqlite3_errmsg(*db));
    return ok;
}

bool statements_prepare(sqlite3 *db, const char *const *sql, sqlite3_stmt **out, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (sqlite3_prepare_v3(db, sql[i], -1, SQLITE_PREPARE_PERSISTENT, &out[i], NULL) !=
            SQLITE_OK)
            return false;
    return true;
}

void statements_finalize(sqlite3_stmt **statements, size_t n)
{
    for (size_t i = 0; i < n; i++)
        sqlite3_finalize(statements[i]);
}

void statement_reset(sqlite3_stmt *statement)
{
    sqlite3_reset(statement);
    sqlite3_clear_bindings(statement);
}

void bind_u64(sqlite3_stmt *statement, int at, uint64_t n)
{
    assert(n <= INT64_MAX);
    sqlite3_bind_int64(statement, at, (sqlite3_int64)n);
}

/* Borrowed until the statement is reset. */
void bind_str(sqlite3_stmt *statement, int at, struct str s)
{
    sqlite3_bind_text64(statement, at, s.len ? s.p : "", s.len, SQLITE_STATIC, SQLITE_UTF8);
}

/* The schema has no negative number; a hand that wrote one gets 0. */
uint64_t column_u64(sqlite3_stmt *statement, int at)
{
    sqlite3_int64 n = sqlite3_column_int64(statement, at);
    return n > 0 ? (uint64_t)n : 0;
}

struct str column_str(sqlite3_stmt *statement, int at)
{
    const char *text = (const char *)sqlite3_column_text(statement, at);
    return (struct str){text ? text : "", (size_t)sqlite3_column_bytes(statement, at)};
}

void log_columns(sqlite3_stmt *statement, struct store_log *log)
{
    *log = (struct store_log){
        .position = column_u64(statement, 0),
        .lease = column_u64(statement, 1),
        .opening = column_u64(statement, 2),
        .pruned = column_u64(statement, 3),
        .last = column_u64(statement, 4),
    };
    struct str owner = column_str(statement, 5);
    if (owner.len == sizeof log->owner - 1)
        memcpy(log->owner, owner.p, owner.len);
}

/* ---- opening ---- */

/* The lock's name is that of the real file, so that a link to it is no way around. */
static bool lock_take(struct store *s, const char *path, char *error, size_t size)
{
    char *real = realpath(path, NULL);
    struct buf *name = NULL;
    buf_add_str(&name, str_of(real ? real : path));
    buf_add(&name, ".lock", sizeof ".lock");
    s->lock_fd = open(buf_str(name).p, O_RDWR | O_CREAT | O_CLOEXEC, 0644);
    bool ok = s->lock_fd >= 0 && flock(s->lock_fd, LOCK_EX | LOCK_NB) == 0;
    if (!ok && s->lock_fd >= 0 && errno == EWOULDBLOCK)
        snprintf(error, size, "%s is already in use by another persister", path);
    else if (!ok)
        snprintf(error, size, "cannot lock %s: %s", buf_str(name).p, strerror(errno));
    buf_free(&name);
    free(real);
    return ok;
}

/* The first column of a statement's first row, as text in out; false: see sqlite3_errmsg. */
static bool first_value(sqlite3 *db, const char *sql, char *out, size_t size)
{
    sqlite3_stmt *statement = NULL;
    bool ok = sqlite3_prepare_v2(db, sql, -1, &statement, NULL) == SQLITE_OK &&
              sqlite3_step(statement) == SQLITE_ROW;
    if (ok)
        snprintf(out, size, "%s", column_str(statement, 0).p);
    sqlite3_finalize(statement);
    return ok;
}

static bool schema_make(sqlite3 *db)
{
    char owner[17], sql[sizeof schema + sizeof owner + 16];
    boot_id_make(owner);
    snprintf(sql, sizeof sql, schema, owner, SCHEMA_VERSION);
    return sqlite3_exec(db, sql, NULL, NULL, NULL) == SQLITE_OK;
}

/* Is it whole, ours, and of this version? An empty file becomes ours. */
static bool file_check(sqlite3 *db, const char *path, char *error, size_t size)
{
    char words[STORE_WHY_BYTES], version[24], tables[24];
    if (!first_value(db, "PRAGMA quick_check(1)", words, sizeof words) ||
        !first_value(db, "PRAGMA user_version", version, sizeof version) ||
        !first_value(db, "SELECT count(*) FROM sqlite_schema", tables, sizeof tables))
        snprintf(error, size, "cannot read %s: %s", path, sqlite3_errmsg(db));
    else if (strcmp(words, "ok") != 0)
        snprintf(error, size, "%s is corrupt: %s", path, strtok(words, "\n"));
    else if (strtol(version, NULL, 10) > SCHEMA_VERSION)
        snprintf(error, size, "%s was made by a newer version (schema %s)", path, version);
    else if (strtol(version, NULL, 10) != SCHEMA_VERSION && strcmp(tables, "0") != 0)
        snprintf(error, size, "%s is a database of another program", path);
    else if (!first_value(db, "PRAGMA journal_mode = WAL", words, sizeof words) ||
             strcmp(words, "wal") != 0)
        snprintf(error, size, "%s cannot be in WAL mode: %s", path, sqlite3_errmsg(db));
    else if (strcmp(tables, "0") == 0 && !schema_make(db))
        snprintf(error, size, "cannot write %s: %s", path, sqlite3_errmsg(db));
    else
        return true;
    return false;
}

/* Raises the lease to the floor, and reads the standing. */
static bool log_load(struct store *s, uint64_t lease_floor)
{
    char sql[96];
    snprintf(sql, sizeof sql, "UPDATE log SET lease = %llu WHERE lease < %llu",
             (unsigned long long)lease_floor, (unsigned long long)lease_floor);
    if (sqlite3_exec(s->writer, sql, NULL, NULL, NULL) != SQLITE_OK)
        return false;
    sqlite3_stmt *statement = NULL;
    if (sqlite3_prepare_v2(s->writer, log_select, -1, &statement, NULL) != SQLITE_OK)
        return false;
    bool ok = sqlite3_step(statement) == SQLITE_ROW;
    if (ok)
        log_columns(statement, &s->log);
    sqlite3_finalize(statement);
    s->standing = s->log;
    return ok && s->log.owner[0];
}

static bool writer_open(struct store *s, const char *path, uint64_t lease_floor, char *error,
                        size_t size)
{
    if (!connection_open(&s->writer, path, WRITER_BUSY_MS, writer_pragmas, error, size) ||
        !file_check(s->writer, path, error, size))
        return false;
    if (log_load(s, lease_floor) && writer_prepare(s))
        return true;
    snprintf(error, size, "cannot use %s: %s", path, sqlite3_errmsg(s->writer));
    return false;
}

static bool reader_open(struct store *s, const char *path, char *error, size_t size)
{
    if (!connection_open(&s->reader, path, READER_BUSY_MS, reader_pragmas, error, size))
        return false;
    if (reader_prepare(s))
        return true;
    snprintf(error, size, "cannot read %s: %s", path, sqlite3_errmsg(s->reader));
    return false;
}

/* ---- the loop's side ---- */

static void news_take(struct store *s)
{
    uint64_t ignored;
    if (read(s->news_fd, &ignored, sizeof ignored) < 0)
        return;
    pthread_mutex_lock(&s->mutex);
    struct store_news news = s->news;
    s->news.committed = false;
    pthread_mutex_unlock(&s->mutex);
    s->standing = news.log;
    if (!news.committed)
        return;
    memcpy(s->trouble, news.why, sizeof s->trouble);
    store_done_cb done = s->done;
    s->done = NULL;
    done(s->done_arg, news.result, news.why);
}

static void news_cb(evutil_socket_t fd, short what, void *arg)
{
    (void)fd, (void)what;
    news_take(arg);
}

static void prune_cb(evutil_socket_t fd, short what, void *arg)
{
    (void)fd, (void)what;
    struct store *s = arg;
    pthread_mutex_lock(&s->mutex);
    s->prune = true;
    pthread_cond_signal(&s->wake);
    pthread_mutex_unlock(&s->mutex);
}

static bool news_open(struct store *s, struct event_base *base, char *error, size_t size)
{
    s->news_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    if (s->news_fd < 0) {
        snprintf(error, size, "cannot make an eventfd: %s", strerror(errno));
        return false;
    }
    event_assign(&s->news_event, base, s->news_fd, EV_READ | EV_PERSIST, news_cb, s);
    event_assign(&s->prune_event, base, -1, EV_PERSIST, prune_cb, s);
    event_add(&s->news_event, NULL);
    if (writer_start(s))
        return true;
    snprintf(error, size, "cannot start the writer's thread");
    return false;
}

struct store *store_open(struct event_base *base, const char *path, uint64_t lease_floor,
                         unsigned long window_s, char *error, size_t size)
{
    assert(lease_floor <= INT64_MAX);
    if (!*path || strcmp(path, ":memory:") == 0) {
        snprintf(error, size, "a database in memory would lose what it promised: name a file");
        return NULL;
    }
    sqlite3_config(SQLITE_CONFIG_MEMSTATUS, 0); /* nobody asks; refused, once it was used */
    struct store *s = mem_zalloc(sizeof *s);
    s->lock_fd = s->news_fd = -1;
    s->window_s = window_s;
    pthread_mutex_init(&s->mutex, NULL);
    pthread_cond_init(&s->wake, NULL);
    if (lock_take(s, path, error, size) && writer_open(s, path, lease_floor, error, size) &&
        reader_open(s, path, error, size) && news_open(s, base, error, size))
        return s;
    store_close(s);
    return NULL;
}

void store_close(struct store *s)
{
    if (!s)
        return;
    writer_stop(s);
    if (s->news_fd >= 0) {
        event_del(&s->news_event);
        event_del(&s->prune_event);
        event_debug_unassign(&s->news_event);
        event_debug_unassign(&s->prune_event);
        close(s->news_fd);
    }
    statements_finalize(s->reads, READER_STATEMENTS);
    sqlite3_close(s->reader);
    statements_finalize(s->writes, WRITER_STATEMENTS);
    if (s->has_thread) /* a file that was refused is left as it is */
        sqlite3_wal_checkpoint_v2(s->writer, NULL, SQLITE_CHECKPOINT_TRUNCATE, NULL, NULL);
    sqlite3_close(s->writer);
    if (s->lock_fd >= 0)
        close(s->lock_fd);
    buf_free(&s->entry_bytes);
    free(s->entries);
    pthread_cond_destroy(&s->wake);
    pthread_mutex_destroy(&s->mutex);
    free(s);
}

void store_retain(struct store *s, const struct store_retention *retention)
{
    pthread_mutex_lock(&s->mutex);
    s->retention = *retention;
    pthread_mutex_unlock(&s->mutex);
    if (retention->count || retention->days)
        event_add(&s->prune_event, &(struct timeval){.tv_sec = PRUNE_MS / 1000});
    else
        event_del(&s->prune_event);
}

const struct store_log *store_standing(const struct store *s)
{
    return &s->standing;
}

const char *store_trouble(const struct store *s)
{
    if (s->trouble[0])
        return s->trouble;
    return s->read_trouble[0] ? s->read_trouble : NULL;
}

/* ---- a commit ---- */

static struct str copy_str(char **to, struct str s)
{
    char *at = *to;
    if (s.len)
        memcpy(at, s.p, s.len);
    *to += s.len;
    return (struct str){at, s.len};
}

static void job_copy_entries(struct store_job *job, const struct entry *entries)
{
    size_t bytes = 0;
    for (size_t i = 0; i < job->count; i++) {
        const struct entry *e = &entries[i];
        bytes += e->json.len + e->origin.len + e->key.len + e->value.len;
    }
    char *to = job->bytes = mem_alloc(bytes + 1);
    job->entries = mem_grow(NULL, job->count + 1, sizeof *job->entries);
    for (size_t i = 0; i < job->count; i++) {
        const struct entry *e = &entries[i];
        job->entries[i] = (struct entry){
            .id = e->id,
            .json = copy_str(&to, e->json),
            .origin = copy_str(&to, e->origin),
            .key = copy_str(&to, e->key),
            .value = copy_str(&to, e->value),
        };
    }
}

/* 0 for one that is not there. */
static uint64_t file_bytes(const char *path)
{
    struct stat file;
    return path && stat(path, &file) == 0 ? (uint64_t)file.st_size : 0;
}

void store_counts(struct store *s, struct store_counts *out)
{
    const char *path = sqlite3_db_filename(s->reader, "main");
    pthread_mutex_lock(&s->mutex);
    out->commit_seconds = s->commit_seconds;
    out->removed = s->removed;
    pthread_mutex_unlock(&s->mutex);
    out->database_bytes = file_bytes(path);
    out->wal_bytes = file_bytes(sqlite3_filename_wal(path));
}

void store_commit(struct store *s, const struct store_commit *c, store_done_cb done, void *arg)
{
    assert(!s->done && done);
    assert(c->position >= s->standing.position && c->lease >= s->standing.lease &&
           c->opening >= s->standing.opening);
    s->done = done;
    s->done_arg = arg;
    struct store_job *job = mem_zalloc(sizeof *job);
    job->count = c->count;
    job->position = c->position;
    job->lease = c->lease;
    job->opening = c->opening;
    job_copy_entries(job, c->entries);
    memcpy(job->refused, s->unsure, sizeof job->refused);
    s->unsure[0] = 0;
    pthread_mutex_lock(&s->mutex);
    s->job = job;
    pthread_cond_signal(&s->wake);
    pthread_mutex_unlock(&s->mutex);
}
