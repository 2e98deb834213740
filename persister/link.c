/* SPDX-License-Identifier: MIT */
/*
 * What happens at the connections becomes a call of an engine, and what an engine wants becomes a
 * script or a commit.
 *
 *      redis ──► feed (pull) ──► ingest ──► store
 *        ▲  └───► ahead ─────────►│ │          │ done
 *        │         │ page, beat    │ open.lua  │
 *        └─────────┴───────────────┴───────────┘
 *
 * One thing is decided here: when messages come one at a time, each would cost an fsync and a round
 * of scripts. A page is released only COMMIT_EVERY_MS after the last commit began, so that what
 * comes meanwhile is one batch; the first message after a rest does not wait.
 *
 * The order at both ends of a connection matters: ingest hears of a new one before any page of it
 * comes, and of its end after every script under way was answered with NULL: log_link.h.
 */
#include "persister/link.h"

#include <event2/event.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "common/clock.h"
#include "common/json.h"
#include "common/limits.h"
#include "common/log_link.h"
#include "common/mem.h"
#include "persister/ahead.h"

struct link {
    struct log_link log;
    struct ingest *ingest;
    struct store *store;
    struct ahead ahead;
    struct event *rest;        /* a release waits for its end */
    uint64_t release_after;    /* of that release: its position */
    uint64_t commit_us;        /* when the last commit of messages began; 0: never */
    void (*stored)(void *ctx); /* the owner's */
    void *ctx;                 /* of stored */
    bool stopped;
};

/* ---- what the feed tells ---- */

static void feed_page_owned(void *ctx, const struct page *page)
{
    struct link *l = ctx;
    ingest_page(l->ingest, page);
}

static const struct feed_owner feed_owner = {.page = feed_page_owned};

/* ---- what ingest wants ---- */

static void committed_cb(void *arg, enum store_result result, const char *why)
{
    struct link *l = arg;
    if (l->stopped) /* the next start tells Redis */
        return;
    ingest_committed(l->ingest, result, why);
    l->stored(l->ctx);
}

static void ingest_wants_commit(void *ctx, const struct store_commit *c)
{
    struct link *l = ctx;
    if (c->count)
        l->commit_us = now_us();
    store_commit(l->store, c, committed_cb, l);
}

/* Gives ingest what it waits for, if it was read ahead. The feed's own page stays with us as long
 * as that goes on: it gives no other one. */
static void ahead_give(struct link *l)
{
    const struct page *page = ahead_take(&l->ahead);
    if (!page)
        return;
    ingest_page(l->ingest, page);
    ahead_taken(&l->ahead);
}

static void script_cb(void *arg, const struct reply *reply)
{
    struct link *l = arg;
    ingest_reply(l->ingest, reply);
    ahead_give(l);
}

static void ingest_wants_script(void *ctx, const char *verb, uint64_t opening,
                                const struct str *keys, size_t nkeys, const struct str *words,
                                size_t nwords)
{
    struct link *l = ctx;
    char number[21];
    snprintf(number, sizeof number, "%" PRIu64, opening);
    const size_t n = 5 + nkeys + nwords;
    struct str *all = mem_grow(NULL, n, sizeof *all), *to = all;
    *to++ = str_of(l->log.names.state);
    *to++ = str_of(l->log.names.log);
    for (size_t i = 0; i < nkeys; i++)
        *to++ = keys[i];
    *to++ = str_of(verb);
    *to++ = str_of(number);
    *to++ = str_of(store_standing(l->store)->owner);
    for (size_t i = 0; i < nwords; i++)
        *to++ = words[i];
    log_link_eval(&l->log, REDIS_OPEN, 2 + nkeys, all, n, script_cb, l);
    free(all);
}

static void ahead_page_cb(void *arg, const struct page *page)
{
    struct link *l = arg;
    if (ahead_page(&l->ahead, page))
        ahead_give(l);
    else
        feed_release(&l->log.feed, l->ahead.position, page != NULL);
}

static bool ahead_wants_page(void *ctx, uint64_t after)
{
    struct link *l = ctx;
    return log_link_page(&l->log, after, PAGE_ENTRIES, ahead_page_cb, l);
}

static const struct ahead_io ahead_io = {.page = ahead_wants_page};

static void ingest_reads_ahead(void *ctx, const struct page *p)
{
    struct link *l = ctx;
    ahead_begin(&l->ahead, p);
}

static void rest_cb(evutil_socket_t fd, short what, void *arg)
{
    (void)fd, (void)what;
    struct link *l = arg;
    feed_release(&l->log.feed, l->release_after, false);
}

static void ingest_releases(void *ctx, uint64_t position, enum ingest_next next)
{
    struct link *l = ctx;
    uint64_t since_us = now_us() - l->commit_us, every_us = COMMIT_EVERY_MS * UINT64_C(1000);
    if (next == NEXT_AHEAD && ahead_wait(&l->ahead, position))
        return;
    ahead_drop(&l->ahead);
    if (next != NEXT_NEWS || since_us >= every_us) {
        feed_release(&l->log.feed, position, next != NEXT_NEWS);
        return;
    }
    l->release_after = position;
    event_add(l->rest, &(struct timeval){.tv_usec = (suseconds_t)(every_us - since_us)});
}

static struct entries ingest_entries_after(void *ctx, uint64_t after, size_t limit)
{
    struct link *l = ctx;
    return store_entries_after(l->store, after, limit);
}

static struct entries ingest_keys_after(void *ctx, uint64_t after, size_t limit)
{
    struct link *l = ctx;
    return store_keys_after(l->store, after, limit);
}

static uint64_t ingest_newest_floor(void *ctx, uint64_t n)
{
    struct link *l = ctx;
    return store_newest_floor(l->store, n);
}

static uint64_t ingest_window_floor(void *ctx)
{
    struct link *l = ctx;
    return store_window_floor(l->store);
}

static const struct store_log *ingest_standing(void *ctx)
{
    struct link *l = ctx;
    return store_standing(l->store);
}

static const struct ingest_io ingest_io = {
    .commit = ingest_wants_commit,
    .ahead = ingest_reads_ahead,
    .script = ingest_wants_script,
    .release = ingest_releases,
    .entries_after = ingest_entries_after,
    .keys_after = ingest_keys_after,
    .newest_floor = ingest_newest_floor,
    .window_floor = ingest_window_floor,
    .standing = ingest_standing,
};

/* ---- what happens at the connections ---- */

static void log_up(void *ctx)
{
    struct link *l = ctx;
    ingest_connected(l->ingest);
}

static void log_down(void *ctx)
{
    struct link *l = ctx;
    ahead_drop(&l->ahead);
    ingest_disconnected(l->ingest);
}

static void log_tick(void *ctx, uint64_t now_ms)
{
    struct link *l = ctx;
    ingest_tick(l->ingest, now_ms);
}

static const struct log_link_ops log_ops = {.up = log_up, .down = log_down, .tick = log_tick};

/* ---- life ---- */

struct link *link_new(struct event_base *base, struct evdns_base *dns,
                      const struct link_config *config, struct store *store,
                      void (*stored)(void *ctx), void *ctx)
{
    struct link *l = mem_zalloc(sizeof *l);
    const struct store_log *standing = store_standing(store);
    const struct log_link_config log = {.redis_url = config->redis_url,
                                        .redis_tls = config->redis_tls,
                                        .prefix = config->redis_prefix,
                                        .pull = true,
                                        .position = standing->position,
                                        .opening = standing->opening};
    l->store = store;
    l->stored = stored;
    l->ctx = ctx;
    ahead_init(&l->ahead, &ahead_io, l);
    l->rest = evtimer_new(base, rest_cb, l);
    log_link_init(&l->log, &log, &feed_owner, &log_ops, l);
    l->ingest = ingest_new(&config->limits, &l->log.names, &ingest_io, l);
    ingest_tick(l->ingest, now_ms());
    log_link_start(&l->log, base, dns);
    return l;
}

void link_stop(struct link *l)
{
    log_link_stop(&l->log);
    evtimer_del(l->rest);
    l->stopped = true;
}

void link_free(struct link *l)
{
    if (!l)
        return;
    ingest_free(l->ingest);
    ahead_done(&l->ahead);
    event_free(l->rest);
    log_link_done(&l->log);
    free(l);
}

bool link_ready(const struct link *l, const char **why)
{
    return ingest_ready(l->ingest, why);
}

const struct log_link *link_log(const struct link *l)
{
    return &l->log;
}

const struct ingest_status *link_ingest(const struct link *l)
{
    return ingest_status(l->ingest);
}

struct log_link *link_for_lab(struct link *l)
{
    return &l->log;
}

static void add_number(struct buf **json, const char *name, uint64_t n)
{
    buf_printf(json, ",\"%s\":%" PRIu64, name, n);
}

void link_describe(const struct link *l, struct buf **json)
{
    const struct ingest_status *s = ingest_status(l->ingest);
    buf_add_str(json, STR("\"redis\":"));
    json_add_bytes(json, str_of(log_link_status(&l->log)));
    buf_add_str(json, STR(",\"state\":"));
    json_add_string(json, str_of(s->state));
    add_number(json, "openings", s->openings);
    add_number(json, "batches", s->batches);
    add_number(json, "messages", s->messages);
    add_number(json, "commit_failures", s->commit_failures);
    add_number(json, "conflicts", s->conflicts);
    buf_add_str(json, STR(",\"conflict_ids\":["));
    for (size_t i = 0; i < s->nconflict_ids; i++)
        buf_printf(json, "%s%" PRIu64, i ? "," : "", s->conflict_ids[i]);
    buf_add_char(json, ']');
    add_number(json, "voided", s->voided);
    add_number(json, "restored", s->restored);
    if (s->hole_to)
        buf_printf(json, ",\"hole\":[%" PRIu64 ",%" PRIu64 "]", s->hole_from, s->hole_to);
}
