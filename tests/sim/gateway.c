/* SPDX-License-Identifier: MIT */
/*
 * A gateway: its link with outbox, feed and waits, its rooms and its clients are the real ones. In
 * place of its HTTP client there is a history that asks the modelled persister.
 */
#include <inttypes.h>
#include <stdio.h>

#include "common/clock.h"
#include "common/limits.h"
#include "gateway/client.h"
#include "procs.h"

enum {
    LAG_BYTES = 16384, /* a client further behind is closed */
    TICK_US = 100 * MS,
};

struct gateway gateways[GATEWAYS_MAX];
size_t gateway_count;

/* ---- history ---- */

struct history_request {
    struct process *process;
    struct str room;
    uint64_t after, before, min_id, deadline_us;
    size_t limit;
    history_cb cb;
    void *arg;
    struct str lines;
    uint64_t lease;
    bool ok;
};

static uint64_t lease_told; /* by the answer whose callback runs */

static void history_answer_cb(void *arg, uint64_t n)
{
    (void)n;
    struct history_request *r = arg;
    lease_told = r->lease;
    r->cb(r->arg, r->ok, r->ok ? 200 : 503, r->lines);
}

static bool wanted(const struct history_request *r, const struct row *row)
{
    return (r->after == HISTORY_NEWEST || row->id > r->after) &&
           (!r->before || row->id < r->before) && str_eq(row->room, r->room);
}

/* How many of the newest make a page. */
static size_t newest_count(const struct history_request *r)
{
    size_t count = 0, bytes = 0;
    for (size_t i = disk_file.count; i-- > 0 && count < r->limit && bytes <= HISTORY_BYTES_MAX;)
        if (wanted(r, &disk_file.rows[i])) {
            bytes += disk_file.rows[i].json.len + 1;
            count++;
        }
    return count;
}

static void lines_make(struct history_request *r)
{
    struct buf *text = NULL;
    size_t count = 0, skip = 0;
    for (size_t i = 0; i < disk_file.count; i++)
        count += wanted(r, &disk_file.rows[i]);
    if (r->after == HISTORY_NEWEST)
        skip = count - newest_count(r);
    for (size_t i = 0, seen = 0; i < disk_file.count && seen < skip + r->limit; i++)
        if (wanted(r, &disk_file.rows[i]) && seen++ >= skip) {
            buf_add_str(&text, disk_file.rows[i].json);
            buf_add_char(&text, '\n');
            if (r->after != HISTORY_NEWEST && buf_len(text) > HISTORY_BYTES_MAX)
                break;
        }
    r->lines = arena_str(buf_str(text));
    r->lease = disk_file.lease;
    r->ok = true;
    buf_free(&text);
}

/* At the persister; it waits there for min_id, at most MIN_ID_MS. */
static void history_ask_cb(void *arg, uint64_t n)
{
    struct history_request *r = arg;
    bool serves = persister.alive && persister.paused_us <= world.now_us;
    if (serves && r->min_id <= disk_file.position)
        lines_make(r);
    else if (serves && r->min_id <= disk_file.lease && world.now_us < r->deadline_us) {
        event_at(world.now_us + 50 * MS, NULL, history_ask_cb, r, n);
        return;
    }
    /* The life it was asked in: a process that died since has nobody who waits for it. */
    if (r->process->life == (uint32_t)n)
        event_at(world.now_us + draw_between(MS, 10 * MS), r->process, history_answer_cb, r, 0);
}

struct history_request *history_page(struct history *h, struct str room, uint64_t after,
                                     uint64_t before, unsigned limit, uint64_t min_id,
                                     history_cb cb, void *arg)
{
    struct process *p = (struct process *)(void *)h;
    if (draw_chance(1)) /* too many under way */
        return NULL;
    struct history_request *r = arena_alloc(sizeof *r);
    *r = (struct history_request){.process = p,
                                  .room = arena_str(room),
                                  .after = after,
                                  .before = before,
                                  .min_id = min_id,
                                  .limit = limit,
                                  .cb = cb,
                                  .arg = arg};
    r->deadline_us = world.now_us + (uint64_t)MIN_ID_MS * MS;
    event_at(world.now_us + draw_between(MS, 10 * MS), NULL, history_ask_cb, r, p->life);
    return r;
}

uint64_t history_pruned(const struct history *h)
{
    (void)h;
    return 0; /* no retention is modelled */
}

uint64_t history_lease(const struct history *h)
{
    (void)h;
    return lease_told;
}

bool history_line(struct str *lines, struct str *line)
{
    if (!lines->len)
        return false;
    const char *end = memchr(lines->p, '\n', lines->len);
    size_t len = (size_t)(end - lines->p);
    *line = (struct str){lines->p, len};
    *lines = (struct str){end + 1, lines->len - len - 1};
    return true;
}

/* ---- as gateway/main.c does it ---- */

static bool ask_history(void *ctx, struct str room, uint64_t before, unsigned limit,
                        uint64_t min_id, history_cb cb, void *arg)
{
    struct gateway *g = ctx;
    struct history *h = (struct history *)(void *)&g->process;
    return history_page(h, room, HISTORY_NEWEST, before, limit, min_id, cb, arg);
}

static void page_cb(void *arg, const struct page *page)
{
    struct gateway *g = arg;
    if (g->process.alive)
        rooms_page(g->rooms, page);
}

static bool ask_page(void *ctx, uint64_t before, unsigned count)
{
    struct gateway *g = ctx;
    return link_page_back(g->link, before, count, page_cb, g);
}

static uint64_t position(void *ctx)
{
    return link_position(((struct gateway *)ctx)->link);
}

static bool beyond(void *ctx, uint64_t id)
{
    const struct link *l = ((struct gateway *)ctx)->link;
    return id > link_position(l) && id > link_lease(l);
}

static void message(void *ctx, struct client *c, struct str text)
{
    (void)ctx, (void)c, (void)text; /* people post by link_send */
}

static void gone(void *ctx, struct guest *guest)
{
    (void)ctx, (void)guest; /* nobody is limited */
}

static void turn(struct process *p)
{
    struct gateway *g = (struct gateway *)(void *)p;
    clients_turn(g->clients);
}

static void tick_cb(void *arg, uint64_t n)
{
    struct gateway *g = arg;
    rooms_tick(g->rooms, now_ms());
    clients_tick(g->clients, now_ms());
    event_at(world.now_us + TICK_US, &g->process, tick_cb, g, n);
}

void gateway_start(struct gateway *g)
{
    static const struct rooms_config rooms = {.keep = ROOM_KEEP, .lag_bytes = LAG_BYTES};
    static const struct rooms_sources sources = {.history = ask_history, .page = ask_page};
    static const struct clients_config clients = {.clients_max = 100};
    static const struct clients_ops ops = {
        .message = message, .position = position, .beyond = beyond, .gone = gone};
    static const struct link_config config = {.redis_url = "redis://sim",
                                              .redis_prefix = "chat",
                                              .outbox_max = OUTBOX_MAX,
                                              .idempotency_seconds = WINDOW_S,
                                              .post_deadline_ms = POST_DEADLINE_MS};
    struct event_base *base = (struct event_base *)(void *)&g->process;
    struct history *history = (struct history *)(void *)&g->process;
    g->process.alive = true;
    g->process.turn = turn;
    g->rooms = rooms_new(&rooms, &sources, g);
    rooms_tick(g->rooms, now_ms());
    g->link = link_new(base, NULL, &config, g->rooms);
    g->clients = clients_new(base, g->rooms, history, &clients, &ops, g);
    event_at(world.now_us + TICK_US, &g->process, tick_cb, g, 0);
    trace("%s starts", g->process.name);
}

void gateway_kill(struct gateway *g)
{
    if (!g->process.alive)
        return;
    trace("%s dies", g->process.name);
    process_die(&g->process);
    people_gateway_died(g);
    clients_free(g->clients);
    link_free(g->link);
    rooms_free(g->rooms);
}

void gateways_begin(size_t count)
{
    gateway_count = count;
    for (size_t i = 0; i < count; i++) {
        struct gateway *g = &gateways[i];
        *g = (struct gateway){0};
        snprintf(g->process.name, sizeof g->process.name, "g%zu", i + 1);
        gateway_start(g);
    }
}

void gateways_end(void)
{
    for (size_t i = 0; i < gateway_count; i++)
        gateway_kill(&gateways[i]);
}

bool gateway_serves(const struct gateway *g)
{
    return g->process.alive && link_started(g->link);
}

void gateway_join(struct gateway *g, int fd, struct str room, bool resume, uint64_t after,
                  uint32_t newest, bool deflate)
{
    struct room *r = room_get(g->rooms, room, link_position(g->link), now_ms());
    client_new(g->clients, fd, NULL, r, resume, after, newest, deflate, NULL, NULL, now_ms());
}
