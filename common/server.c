/* SPDX-License-Identifier: MIT */
/*
 * The server as its owner sees it: made, turned, drained, freed. Connections live in conn.c, their
 * requests in exchange.c, the listening socket in listener.c.
 *
 * A turn's end has two passes over up to BATCH_JOBS connections that are owed something. First,
 * who was blocked parses on, which may call handlers, and they may answer anybody. Only then are
 * the bytes of the batch gathered and written, with no callback in between: no buffer moves while
 * a job points into it.
 */
#include "common/server.h"

#include <assert.h>
#include <stdlib.h>

#include "common/batch.h"
#include "common/clock.h"
#include "common/mem.h"
#include "common/server_internal.h"

enum {
    SWEEP_MS = 500, /* deadlines are kept to this precision */
};

uint64_t server_now_ms(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC_COARSE, &now);
    return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

/* ---- deadlines ---- */

void server_sweep(struct server *s, uint64_t now_ms)
{
    for (enum conn_wait wait = 0; wait < WAIT_ANSWER; wait++)
        for (struct conn *c; (c = TAILQ_FIRST(&s->waits[wait])) && c->deadline_ms <= now_ms;)
            conn_expire(c);
}

static void sweep_cb(evutil_socket_t fd, short what, void *arg)
{
    (void)fd, (void)what;
    server_sweep(arg, server_now_ms());
}

/* ---- its beginning ---- */

struct server *server_new(struct event_base *base, const struct server_config *config,
                          const struct server_ops *ops, void *ctx, char *error, size_t size)
{
    struct server *s = mem_zalloc(sizeof *s);
    s->base = base;
    s->ops = ops;
    s->ctx = ctx;
    s->conns_max = config->conns_max;
    s->body_max = config->body_max;
    s->unsent_max = config->unsent_max ? config->unsent_max : HTTP_UNSENT_BYTES_MAX;
    budget_init(&s->kept, HTTP_KEPT_BYTES_MAX);
    TAILQ_INIT(&s->owing);
    TAILQ_INIT(&s->doomed);
    for (int i = 0; i < CONN_WAITS; i++)
        TAILQ_INIT(&s->waits[i]);
    if (!listener_open(s, config, error, size)) {
        free(s);
        return NULL;
    }
    event_assign(&s->sweep, base, -1, EV_PERSIST, sweep_cb, s);
    event_add(&s->sweep, &(struct timeval){.tv_usec = SWEEP_MS * 1000L});
    rests_init(s);
    return s;
}

unsigned server_port(const struct server *s)
{
    return s->port;
}

size_t server_conns(const struct server *s)
{
    return s->nconns;
}

const struct server_counts *server_counts(const struct server *s)
{
    return &s->counts;
}

size_t server_unsent(const struct server *s)
{
    return s->unsent;
}

size_t server_kept(const struct server *s)
{
    return s->kept.kept;
}

/* ---- the end of a turn ---- */

/* The blocked ones parse on, while there is time and one in any case. The others are first in the
 * next batch. */
static void batch_resume(struct server *s, struct conn **picked, size_t n, uint64_t end_us)
{
    size_t done = 0;
    for (bool time = true; done < n && time; done++) {
        if (!picked[done]->blocked)
            continue;
        conn_resume(picked[done]);
        time = now_us() < end_us;
    }
    while (n-- > done) {
        struct conn *c = picked[n];
        if (!c->blocked || c->is_owing || c->state == CONN_DOOMED)
            continue;
        c->is_owing = true;
        TAILQ_INSERT_HEAD(&s->owing, c, owing);
    }
}

/* Takes connections off the list of the owing. Only when all are chosen do the blocked ones parse
 * on: that may put any of them on the list again, and none may be in a batch twice. */
static size_t batch_pick(struct server *s, struct conn **picked, uint64_t end_us)
{
    size_t n = 0;
    for (struct conn *c; n < BATCH_JOBS && (c = TAILQ_FIRST(&s->owing)); picked[n++] = c) {
        TAILQ_REMOVE(&s->owing, c, owing);
        c->is_owing = false;
    }
    batch_resume(s, picked, n, end_us);
    return n;
}

static void batch_write(struct conn **picked, size_t count)
{
    struct batch_job jobs[BATCH_JOBS];
    struct iovec iovs[BATCH_JOBS];
    struct conn *conns[BATCH_JOBS];
    size_t n = 0;
    for (size_t i = 0; i < count; i++) {
        struct conn *c = picked[i];
        if (c->state == CONN_DOOMED || !c->out || c->writable)
            continue;
        iovs[n] = (struct iovec){c->out->bytes + c->out->off, c->out->len};
        jobs[n] = (struct batch_job){.fd = conn_fd(c),
                                     .iov = &iovs[n],
                                     .iovs = 1,
                                     .len = iovs[n].iov_len,
                                     .more = conn_is_last(c)};
        conns[n++] = c;
    }
    if (n)
        batch_run(jobs, n);
    for (size_t i = 0; i < n; i++) {
        conns[i]->server->counts.bytes_out += jobs[i].sent > 0 ? (uint64_t)jobs[i].sent : 0;
        conn_sent(conns[i], jobs[i].sent);
    }
}

static void server_write(struct server *s)
{
    struct conn *picked[BATCH_JOBS];
    uint64_t end_us = now_us() + TURN_WRITE_US;
    do {
        size_t count = batch_pick(s, picked, end_us);
        batch_write(picked, count);
    } while (!TAILQ_EMPTY(&s->owing) && now_us() < end_us);
}

static void server_reap(struct server *s, size_t most)
{
    for (struct conn *c; most && (c = TAILQ_FIRST(&s->doomed)); most--) {
        TAILQ_REMOVE(&s->doomed, c, owing);
        conn_free(c);
    }
}

/* When too much is unsent, who has been without progress for longest pays for it; for what is
 * half-read, see budget.h. */
static void server_shed(struct server *s)
{
    struct conn *c;
    while (s->unsent > s->unsent_max && (c = TAILQ_FIRST(&s->waits[WAIT_WRITE])))
        conn_doom(c);
    while ((c = budget_debtor(&s->kept)))
        conn_give_way(c);
}

void server_begins_reading(struct server *s)
{
    if (!s->reading_since_us)
        s->reading_since_us = now_us();
}

bool server_has_read(struct server *s)
{
    bool over = now_us() >= s->reading_since_us + TURN_READ_US;
    if (over)
        event_base_loopbreak(s->base);
    return over;
}

const char *server_date(struct server *s)
{
    struct timespec now;
    clock_gettime(CLOCK_REALTIME_COARSE, &now);
    if (s->date_s != now.tv_sec) {
        struct tm tm;
        s->date_s = now.tv_sec;
        strftime(s->date, sizeof s->date, "Date: %a, %d %b %Y %H:%M:%S GMT\r\n",
                 gmtime_r(&s->date_s, &tm));
    }
    return s->date;
}

bool server_turn(struct server *s)
{
    assert(!s->handling);
    s->reading_since_us = 0;
    server_shed(s);
    if (!TAILQ_EMPTY(&s->owing))
        server_write(s);
    server_reap(s, TURN_REAPS);
    return !TAILQ_EMPTY(&s->owing) || !TAILQ_EMPTY(&s->doomed);
}

/* ---- its end ---- */

/* Takes no further request, unless one is half-read. */
static void conn_drain(struct conn *c)
{
    if (c->state != CONN_OPEN || c->wait == WAIT_HEAD || c->wait == WAIT_BODY)
        return;
    c->state = CONN_LAST;
    conn_settle(c);
}

void server_drain(struct server *s)
{
    if (s->draining)
        return;
    s->draining = true;
    listener_close(s);
    for (int i = 0; i < CONN_WAITS; i++)
        for (struct conn *c = TAILQ_FIRST(&s->waits[i]), *next; c; c = next) {
            next = TAILQ_NEXT(c, waiting);
            conn_drain(c);
        }
}

bool server_idle(const struct server *s)
{
    return TAILQ_EMPTY(&s->owing) && !s->exchanges && TAILQ_EMPTY(&s->waits[WAIT_ANSWER]) &&
           TAILQ_EMPTY(&s->waits[WAIT_WRITE]);
}

void server_free(struct server *s)
{
    if (!s)
        return;
    listener_close(s);
    event_del(&s->sweep);
    rests_done(s);
    for (int i = 0; i < CONN_WAITS; i++)
        for (struct conn *c; (c = TAILQ_FIRST(&s->waits[i]));)
            conn_doom(c);
    server_reap(s, SIZE_MAX);
    free(s);
}
