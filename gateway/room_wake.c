/* SPDX-License-Identifier: MIT */
/* Waking a room: where its older messages come from, and who waits for them; see room.h. */
#include <inttypes.h>
#include <stdlib.h>

#include "common/limits.h"
#include "common/log.h"
#include "common/message.h"
#include "gateway/rooms_internal.h"

static bool ask_page(void *ctx, uint64_t before, unsigned count)
{
    struct rooms *rs = ctx;
    return !rs->stopped && rs->sources->page(rs->ctx, before, count);
}

static struct tail_seeker *seeker_find(void *ctx, struct str name)
{
    struct room *r = rooms_find(ctx, name);
    return r ? &r->seeker : NULL;
}

static const struct tail_io tail_io = {.page = ask_page, .find = seeker_find};

void rooms_wake_init(struct rooms *rs)
{
    TAILQ_INIT(&rs->asking);
    tail_init(&rs->tail, &tail_io, rs);
}

static unsigned history_limit(const struct rooms *rs)
{
    return rs->config.keep < PAGE_LIMIT_MAX ? (unsigned)rs->config.keep : PAGE_LIMIT_MAX;
}

static void wake(struct room *r)
{
    r->awake = true;
    while (r->waiters) {
        struct room_waiter *w = r->waiters;
        r->waiters = w->next;
        w->awake(w);
    }
}

/* Puts a log of older messages in front of what came live meanwhile. Nobody has a cursor in it
 * yet. Takes it. */
static void log_join(struct room *r, struct room_log *older)
{
    struct buf *text = NULL;
    for (struct room_page p = {0};; buf_free(&text)) {
        p = room_log_page(&r->log, p.last, 0, 1, SIZE_MAX, false, &text);
        if (!p.count)
            break;
        room_log_append(older, p.last, buf_str(text));
    }
    room_log_reset(&r->log, 0);
    r->log = *older;
}

/* The feed had a hole meanwhile: what is older than the log cannot be joined to it. */
static bool torn(const struct room *r)
{
    return r->log.reach != r->woken;
}

static void tail_found(struct tail_seeker *s)
{
    struct room *r = (struct room *)(void *)((char *)s - offsetof(struct room, seeker));
    struct room_log older = {.reach = s->reach};
    log_debug("room woken from the stream", "room=%s messages=%zu reach=%" PRIu64, r->name,
              s->count, s->reach);
    for (const struct tail_found *f = torn(r) ? NULL : s->found; f; f = f->next)
        room_log_append(&older, f->id, (struct str){f->json, f->len});
    if (!torn(r))
        log_join(r, &older);
    tail_seeker_clear(s);
    wake(r);
}

/* The persister does not help: what the stream keeps must do. */
static void seek(struct room *r)
{
    struct rooms *rs = r->rooms;
    if (rs->stopped) {
        wake(r);
        return;
    }
    r->seeker =
        (struct tail_seeker){.wanted = history_limit(rs), .upto = r->woken, .done = tail_found};
    tail_seek(&rs->tail, &r->seeker, rs->now_ms);
}

static void asking_end(struct room *r)
{
    r->asking = false;
    TAILQ_REMOVE(&r->rooms->asking, r, askings);
}

static void history_use(struct room *r, struct str lines)
{
    struct room_log older = {0};
    struct str line = {0}, room;
    uint64_t id;
    size_t count = 0;
    bool cut = history_cut(lines);
    while (history_line(&lines, &line))
        if (message_peek(line, &id, &room) && id > older.last && id <= r->woken) {
            if (count++ == 0)
                older.reach = id - 1;
            room_log_append(&older, id, line);
        }
    if (!cut && count < history_limit(r->rooms))
        older.reach = 0; /* there is nothing older */
    log_join(r, &older);
}

/* It may come late: while the tail is read it is still the better answer, and then no use. */
static void history_came(void *arg, bool ok, int status, struct str lines)
{
    struct room *r = arg;
    bool asking = r->asking;
    r->holds--;
    if (asking)
        asking_end(r);
    if (r->awake)
        return;
    if (ok) {
        tail_cancel(&r->rooms->tail, &r->seeker);
        if (!torn(r))
            history_use(r, lines);
        wake(r);
    } else if (asking) {
        log_debug("no history from the persister", "room=%s status=%d", r->name, status);
        seek(r);
    }
}

void room_begin(struct room *r, uint64_t position)
{
    struct rooms *rs = r->rooms;
    struct str name = {r->name, r->name_len};
    r->woken = position;
    room_log_reset(&r->log, position);
    if (position == 0 || rs->stopped) {
        r->awake = true; /* nothing is older */
    } else if (rs->sources->history(rs->ctx, name, position + 1, history_limit(rs), position,
                                    history_came, r)) {
        r->holds++;
        r->asking = true;
        r->asking_ms = rs->now_ms + WAKE_MS;
        TAILQ_INSERT_TAIL(&rs->asking, r, askings);
    } else {
        seek(r);
    }
}

void rooms_page(struct rooms *rs, const struct page *page)
{
    tail_page(&rs->tail, page, rs->now_ms);
}

void rooms_stop(struct rooms *rs)
{
    rs->stopped = true;
    for (struct room *r = rooms_first(rs, 0); r; r = room_after(r)) {
        if (r->asking)
            asking_end(r);
        tail_cancel(&rs->tail, &r->seeker);
        if (!r->awake)
            wake(r);
    }
}

void room_wait(struct room *r, struct room_waiter *w)
{
    if (r->awake) {
        w->awake(w);
        return;
    }
    struct room_waiter **end = &r->waiters;
    while (*end)
        end = &(*end)->next;
    w->next = NULL;
    *end = w;
}

void room_wait_cancel(struct room *r, struct room_waiter *w)
{
    for (struct room_waiter **at = &r->waiters; *at; at = &(*at)->next)
        if (*at == w) {
            *at = w->next;
            return;
        }
}

void rooms_tick(struct rooms *rs, uint64_t now_ms)
{
    struct room *r;
    rs->now_ms = now_ms;
    while ((r = TAILQ_FIRST(&rs->asking)) && r->asking_ms <= now_ms) {
        asking_end(r);
        seek(r);
    }
    tail_tick(&rs->tail, now_ms);
    rooms_sweep(rs, now_ms);
}
