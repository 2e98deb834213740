/* SPDX-License-Identifier: MIT */
/*
 * The writer's thread: one transaction after the other, commits first, and between them the steps
 * of the retention.
 *
 * A transaction that fails is rolled back, whatever failed in it, and nothing of it is remembered:
 * `log` (the struct) changes only behind a COMMIT that succeeded. Even a COMMIT whose fsync failed
 * may be found whole after a crash; that is harmless, since committing the same again is fine and
 * the standing of the file only grows.
 *
 * Retention removes from the old end: ids and times have the same order, so the messages that are
 * too many or too old are always the first ones. The pages that become free are used again.
 */
#include <assert.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include "common/clock.h"
#include "common/iso_time.h"
#include "common/log.h"
#include "common/mem.h"
#include "common/message.h"
#include "common/utf8.h"
#include "persister/store_internal.h"

enum {
    PRUNE_STEP = 500,          /* messages of one transaction of the retention */
    ORIGINS_PRUNE_SURPLUS = 64 /* origins looked at in a commit, beyond as many as came */
};

static const char *const sql[WRITER_STATEMENTS] = {
    [WRITER_MESSAGE] = "INSERT INTO messages(id, room, username, content, created_at)"
                       " VALUES(?1, ?2, ?3, ?4, ?5) ON CONFLICT(id) DO NOTHING",
    [WRITER_COMPARE] = "SELECT room = ?2 AND username = ?3 AND content = ?4 AND created_at = ?5"
                       " FROM messages WHERE id = ?1",
    [WRITER_ORIGIN] = "INSERT INTO origins(id, origin, key, value, at)"
                      " VALUES(?1, ?2, ?3, ?4, ?5) ON CONFLICT(id) DO NOTHING",
    [WRITER_ORIGINS_PRUNE] = "DELETE FROM origins WHERE id <= (SELECT max(id) FROM"
                             " (SELECT id, at FROM origins ORDER BY id LIMIT"
                             " iif((SELECT at FROM origins ORDER BY id LIMIT 1) < ?1, ?2, 0))"
                             " WHERE at < ?1)", /* most often one look at the oldest is all */
    [WRITER_LOG] = "UPDATE log SET position = ?1, lease = ?2, opening = ?3, pruned = ?4, last = ?5",
    [WRITER_OLDEST] = "SELECT id, created_at FROM messages WHERE id <= ?1 ORDER BY id LIMIT ?2",
    [WRITER_DELETE] = "DELETE FROM messages WHERE id <= ?1",
    [WRITER_COUNT] = "SELECT count(*) FROM messages",
};

bool writer_prepare(struct store *s)
{
    return statements_prepare(s->writer, sql, s->writes, WRITER_STATEMENTS);
}

static uint64_t now_s(void)
{
    return (uint64_t)time(NULL);
}

/* ---- pieces of a transaction: false when SQLite failed ---- */

static bool execute(struct store *s, const char *text)
{
    return sqlite3_exec(s->writer, text, NULL, NULL, NULL) == SQLITE_OK;
}

static bool run(sqlite3_stmt *statement)
{
    bool ok = sqlite3_step(statement) == SQLITE_DONE;
    statement_reset(statement);
    return ok;
}

static bool write_log(struct store *s, const struct store_log *log)
{
    sqlite3_stmt *w = s->writes[WRITER_LOG];
    bind_u64(w, 1, log->position);
    bind_u64(w, 2, log->lease);
    bind_u64(w, 3, log->opening);
    bind_u64(w, 4, log->pruned);
    bind_u64(w, 5, log->last);
    return run(w);
}

static void bind_message(sqlite3_stmt *statement, const struct message *m)
{
    bind_u64(statement, 1, m->id);
    bind_str(statement, 2, m->room);
    bind_str(statement, 3, m->username);
    bind_str(statement, 4, m->content);
    bind_str(statement, 5, m->created_at);
}

/* The id is there: is it the same message? */
static enum store_result compare(struct store *s, const struct message *m, char *why)
{
    sqlite3_stmt *w = s->writes[WRITER_COMPARE];
    bind_message(w, m);
    enum store_result result = STORE_FAILED;
    if (sqlite3_step(w) == SQLITE_ROW)
        result = sqlite3_column_int(w, 0) ? STORE_OK : STORE_CONFLICT;
    statement_reset(w);
    if (result == STORE_CONFLICT)
        snprintf(why, STORE_WHY_BYTES, "message %" PRIu64 " is stored with other content", m->id);
    return result;
}

/* What a retry needs: kept from the message's time for as long as the window is. */
static bool put_origin(struct store *s, const struct entry *e, const struct message *m)
{
    if ((!e->origin.len && !e->key.len) || m->created_ms / 1000 + s->window_s < now_s())
        return true;
    sqlite3_stmt *w = s->writes[WRITER_ORIGIN];
    bind_u64(w, 1, m->id);
    bind_str(w, 2, e->origin);
    bind_str(w, 3, e->key);
    bind_str(w, 4, e->value);
    bind_u64(w, 5, m->created_ms / 1000);
    return run(w);
}

static enum store_result put_message(struct store *s, const struct entry *e,
                                     const struct message *m, uint64_t *added, char *why)
{
    sqlite3_stmt *w = s->writes[WRITER_MESSAGE];
    bind_message(w, m);
    if (!run(w))
        return STORE_FAILED;
    if (sqlite3_changes(s->writer) == 0) {
        enum store_result result = compare(s, m, why);
        if (result != STORE_OK)
            return result;
    } else {
        ++*added;
    }
    return put_origin(s, e, m) ? STORE_OK : STORE_FAILED;
}

/* Bytes are counted first: there are no more characters than that. */
static bool is_longer(struct str s, size_t chars_max)
{
    return s.len > chars_max && utf8_chars(s) > chars_max;
}

/* Is the entry a message that the schema takes? */
static bool read_entry(struct message *m, const struct entry *e)
{
    if (!message_parse(m, e->json))
        return false;
    if (m->id == e->id && !is_longer(m->username, USERNAME_CHARS_MAX) &&
        !is_longer(m->content, CONTENT_CHARS_CEILING))
        return true;
    message_done(m);
    return false;
}

/* ---- a commit ---- */

/* What comes of a job, besides its transaction. */
struct outcome {
    struct store_log log;
    uint64_t added;   /* messages */
    size_t skipped;   /* entries that are no messages */
    uint64_t skip_id; /* the first of them */
};

static enum store_result put_entries(struct store *s, const struct store_job *job,
                                     struct outcome *o, char *why)
{
    enum store_result result = STORE_OK;
    for (size_t i = 0; i < job->count && result == STORE_OK; i++) {
        const struct entry *e = &job->entries[i];
        struct message m;
        if (e->id <= o->log.pruned) /* it was there */
            continue;
        if (!read_entry(&m, e)) {
            if (o->skipped++ == 0)
                o->skip_id = e->id;
            continue;
        }
        result = put_message(s, e, &m, &o->added, why);
        if (m.id > o->log.last)
            o->log.last = m.id;
        message_done(&m);
    }
    return result;
}

static bool prune_origins(struct store *s, size_t came)
{
    sqlite3_stmt *w = s->writes[WRITER_ORIGINS_PRUNE];
    uint64_t now = now_s();
    bind_u64(w, 1, now > s->window_s ? now - s->window_s : 0);
    bind_u64(w, 2, came + ORIGINS_PRUNE_SURPLUS);
    return run(w);
}

/* Ends a transaction by its result; why is what SQLite says when it failed. */
static enum store_result finish(struct store *s, enum store_result result, char *why)
{
    if (result == STORE_OK && !execute(s, "COMMIT"))
        result = STORE_FAILED;
    if (result == STORE_FAILED)
        snprintf(why, STORE_WHY_BYTES, "%s", sqlite3_errmsg(s->writer));
    if (!sqlite3_get_autocommit(s->writer)) /* some failures have rolled back already */
        execute(s, "ROLLBACK");
    return result;
}

static enum store_result commit(struct store *s, const struct store_job *job, char *why)
{
    why[0] = 0;
    if (job->refused[0]) {
        memcpy(why, job->refused, STORE_WHY_BYTES);
        return STORE_FAILED;
    }
    struct outcome o = {.log = s->log};
    o.log.position = job->position;
    o.log.lease = job->lease;
    o.log.opening = job->opening;
    enum store_result result = execute(s, "BEGIN IMMEDIATE") ? STORE_OK : STORE_FAILED;
    if (result == STORE_OK)
        result = put_entries(s, job, &o, why);
    if (result == STORE_OK && !(prune_origins(s, job->count) && write_log(s, &o.log)))
        result = STORE_FAILED;
    result = finish(s, result, why);
    if (result != STORE_OK)
        return result;
    s->log = o.log;
    s->rows += o.added;
    if (o.skipped)
        log_error("entries are no messages and were left out", "count=%zu first=%" PRIu64,
                  o.skipped, o.skip_id);
    return STORE_OK;
}

static void job_free(struct store_job *job)
{
    free(job->entries);
    free(job->bytes);
    free(job);
}

/* ---- a step of the retention ---- */

static bool count_rows(struct store *s)
{
    if (s->counted)
        return true;
    sqlite3_stmt *w = s->writes[WRITER_COUNT];
    s->counted = sqlite3_step(w) == SQLITE_ROW;
    if (s->counted)
        s->rows = column_u64(w, 0);
    statement_reset(w);
    return s->counted;
}

/* Finds how many of the first messages must go, PRUNE_STEP at most, and the last of them. */
static bool choose(struct store *s, const struct store_retention *r, uint64_t *last, uint64_t *n)
{
    uint64_t now = now_s(), kept_s = r->days * 86400;
    uint64_t excess = r->count && s->rows > r->count ? s->rows - r->count : 0;
    char oldest[ISO_TIME_BYTES + 1] = "";
    if (r->days && now > kept_s)
        iso_time_write(oldest, (now - kept_s) * 1000);
    sqlite3_stmt *w = s->writes[WRITER_OLDEST];
    bind_u64(w, 1, s->log.position > r->tail ? s->log.position - r->tail : 0);
    bind_u64(w, 2, PRUNE_STEP);
    int step;
    *n = 0;
    while ((step = sqlite3_step(w)) == SQLITE_ROW) {
        if (*n >= excess && strcmp(column_str(w, 1).p, oldest) >= 0)
            break;
        *last = column_u64(w, 0);
        ++*n;
    }
    statement_reset(w);
    return step == SQLITE_ROW || step == SQLITE_DONE;
}

static bool delete_up_to(struct store *s, uint64_t last)
{
    sqlite3_stmt *w = s->writes[WRITER_DELETE];
    bind_u64(w, 1, last);
    return run(w);
}

/* Returns how many messages went: a full step should be followed by another one; 0 with "" in why:
 * there was nothing to do. */
static uint64_t prune(struct store *s, const struct store_retention *r, char *why)
{
    uint64_t n = 0;
    struct store_log log = s->log;
    why[0] = 0;
    enum store_result result = STORE_FAILED;
    if (count_rows(s) && choose(s, r, &log.pruned, &n)) {
        if (n == 0)
            return 0;
        if (execute(s, "BEGIN IMMEDIATE") && delete_up_to(s, log.pruned) && write_log(s, &log))
            result = STORE_OK;
    }
    if (finish(s, result, why) != STORE_OK)
        return 0;
    s->log = log;
    s->rows -= n;
    return n;
}

/* ---- the thread ---- */

/* With the mutex. */
static void tell(struct store *s)
{
    const uint64_t one = 1;
    s->news.log = s->log;
    ssize_t n = write(s->news_fd, &one, sizeof one);
    assert(n == (ssize_t)sizeof one); /* the counter is far from full */
}

/* With the mutex, which is released meanwhile. */
static void run_job(struct store *s)
{
    char why[STORE_WHY_BYTES];
    struct store_job *job = s->job;
    s->job = NULL;
    pthread_mutex_unlock(&s->mutex);
    uint64_t began_us = now_us();
    enum store_result result = commit(s, job, why);
    uint64_t took_us = now_us() - began_us;
    job_free(job);
    pthread_mutex_lock(&s->mutex);
    histogram_add(&s->commit_seconds, took_us);
    s->news.committed = true;
    s->news.result = result;
    memcpy(s->news.why, why, sizeof why);
    tell(s);
}

/* Likewise. */
static void run_prune(struct store *s)
{
    char why[STORE_WHY_BYTES];
    struct store_retention r = s->retention;
    s->prune = false;
    pthread_mutex_unlock(&s->mutex);
    uint64_t removed = prune(s, &r, why);
    bool ok = !why[0];
    if (!ok && !s->prune_fails)
        log_warn("old messages cannot be removed", "reason=%s", why);
    s->prune_fails = !ok;
    pthread_mutex_lock(&s->mutex);
    s->removed += removed;
    s->prune = s->prune || removed == PRUNE_STEP;
    tell(s);
}

static void *writer_main(void *arg)
{
    struct store *s = arg;
    pthread_mutex_lock(&s->mutex);
    while (s->job || !s->stop) {
        if (s->job)
            run_job(s);
        else if (s->prune)
            run_prune(s);
        else
            pthread_cond_wait(&s->wake, &s->mutex);
    }
    pthread_mutex_unlock(&s->mutex);
    return NULL;
}

/* Signals are the loop's. */
bool writer_start(struct store *s)
{
    sigset_t all, before;
    s->news.log = s->log;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    s->has_thread = pthread_create(&s->thread, NULL, writer_main, s) == 0;
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    return s->has_thread;
}

void writer_stop(struct store *s)
{
    if (!s->has_thread)
        return;
    pthread_mutex_lock(&s->mutex);
    s->stop = true;
    pthread_cond_signal(&s->wake);
    pthread_mutex_unlock(&s->mutex);
    pthread_join(s->thread, NULL);
}
