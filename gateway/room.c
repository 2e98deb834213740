/* SPDX-License-Identifier: MIT */
/* Rooms by name; see room.h. A hash table of fixed size: rooms are few beside messages. */
#include "gateway/room.h"

#include <assert.h>
#include <inttypes.h>
#include <stdlib.h>

#include "common/limits.h"
#include "common/log.h"
#include "common/mem.h"
#include "common/message.h"
#include "gateway/client.h"
#include "gateway/deflate.h"

enum {
    BUCKETS = 4096,
    ROOMS_MAX = 20000,
    ROOM_IDLE_MS = 60000,
};

TAILQ_HEAD(room_list, room);

struct rooms {
    struct rooms_config config;
    const struct rooms_sources *sources;
    void *ctx; /* of the sources */
    struct room *buckets[BUCKETS];
    size_t count;
    struct room *owing, **owing_tail;
    struct room_list asking; /* the persister, the earliest deadline first */
    struct tail tail;
    uint64_t now_ms; /* as of the last tick or call */
    bool stopped;    /* no source is asked any more */
    struct rooms_counts counts;
};

/* FNV-1a. */
static size_t bucket_of(struct str name)
{
    uint32_t h = 2166136261u;
    for (size_t i = 0; i < name.len; i++)
        h = (h ^ (unsigned char)name.p[i]) * 16777619u;
    return h % BUCKETS;
}

static struct room *find(const struct rooms *rs, struct str name)
{
    struct room *r = rs->buckets[bucket_of(name)];
    while (r && !str_eq((struct str){r->name, r->name_len}, name))
        r = r->next;
    return r;
}

static bool ask_page(void *ctx, uint64_t before, unsigned count)
{
    struct rooms *rs = ctx;
    return !rs->stopped && rs->sources->page(rs->ctx, before, count);
}

static struct tail_seeker *seeker_find(void *ctx, struct str name)
{
    struct room *r = find(ctx, name);
    return r ? &r->seeker : NULL;
}

static const struct tail_io tail_io = {.page = ask_page, .find = seeker_find};

struct rooms *rooms_new(const struct rooms_config *config, const struct rooms_sources *sources,
                        void *ctx)
{
    struct rooms *rs = mem_zalloc(sizeof *rs);
    rs->config = *config;
    rs->sources = sources;
    rs->ctx = ctx;
    rs->owing_tail = &rs->owing;
    TAILQ_INIT(&rs->asking);
    tail_init(&rs->tail, &tail_io, rs);
    return rs;
}

static void room_free(struct room *r)
{
    room_log_reset(&r->log, 0);
    room_log_reset(&r->packed, 0);
    tail_seeker_clear(&r->seeker);
    free(r->subs);
    free(r);
}

void rooms_free(struct rooms *rs)
{
    if (!rs)
        return;
    for (size_t i = 0; i < BUCKETS; i++)
        for (struct room *r = rs->buckets[i], *next; r; r = next) {
            next = r->next;
            room_free(r);
        }
    free(rs);
}

const struct rooms_counts *rooms_counts(const struct rooms *rs)
{
    return &rs->counts;
}

size_t rooms_count(const struct rooms *rs)
{
    return rs->count;
}

/* ---- waking ---- */

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
    while (history_line(&lines, &line))
        if (message_peek(line, &id, &room) && id > older.last && id <= r->woken) {
            if (count++ == 0)
                older.reach = id - 1;
            room_log_append(&older, id, line);
        }
    if (count < history_limit(r->rooms))
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

static void room_begin(struct room *r, uint64_t position)
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

void rooms_tick(struct rooms *rs, uint64_t now_ms)
{
    struct room *r;
    rs->now_ms = now_ms;
    while ((r = TAILQ_FIRST(&rs->asking)) && r->asking_ms <= now_ms) {
        asking_end(r);
        seek(r);
    }
    tail_tick(&rs->tail, now_ms);
}

void rooms_stop(struct rooms *rs)
{
    rs->stopped = true;
    for (size_t i = 0; i < BUCKETS; i++)
        for (struct room *r = rs->buckets[i]; r; r = r->next) {
            if (r->asking)
                asking_end(r);
            tail_cancel(&rs->tail, &r->seeker);
            if (!r->awake)
                wake(r);
        }
}

struct room *room_get(struct rooms *rs, struct str name, uint64_t position, uint64_t now_ms)
{
    struct room *r = find(rs, name);
    rs->now_ms = now_ms;
    if (!r && rs->count < ROOMS_MAX) {
        r = mem_zalloc(sizeof *r + name.len + 1);
        memcpy(r->name, name.p, name.len);
        r->name_len = name.len;
        r->rooms = rs;
        size_t b = bucket_of(name);
        r->next = rs->buckets[b];
        rs->buckets[b] = r;
        rs->count++;
        room_begin(r, position);
    }
    if (r)
        r->used_ms = now_ms;
    return r;
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

/* ---- the log ---- */

/* Looks at every cursor; called when a chunk is full, so its cost vanishes in that of the writes.
 */
static void trim(struct room *r)
{
    uint64_t low = r->log.end, low_packed = r->packed.end;
    for (uint32_t i = r->nsubs; i-- > 0;) {
        struct client *c = r->subs[i];
        uint64_t *lowest = c->packed ? &low_packed : &low;
        if (client_log(c)->end - c->pos > r->rooms->config.lag_bytes)
            client_close(c, WS_CLOSE_SLOW, "too slow: reconnect and resume");
        else if (c->pos < *lowest)
            *lowest = c->pos;
    }
    room_log_trim(&r->log, low, r->rooms->config.keep);
    room_log_trim(&r->packed, low_packed, 0);
}

/* Once for all who take it so. What does not become shorter goes as it is. */
static bool pack(struct room *r, uint64_t id, struct str json)
{
    struct buf *payload = NULL;
    bool full;
    if (json.len >= DEFLATE_MESSAGE_MIN) {
        deflate_pack(json, DEFLATE_BITS_MAX, &payload);
        r->rooms->counts.packed++;
        r->rooms->counts.packed_in += json.len;
        r->rooms->counts.packed_out += buf_len(payload);
    }
    if (payload && buf_len(payload) < json.len)
        full = room_log_append_packed(&r->packed, id, buf_str(payload));
    else
        full = room_log_append(&r->packed, id, json);
    buf_free(&payload);
    return full;
}

void rooms_deliver(struct rooms *rs, struct str name, uint64_t id, struct str json)
{
    struct room *r = find(rs, name);
    if (!r || id <= r->log.last || id <= r->log.reach)
        return;
    bool full = room_log_append(&r->log, id, json);
    if (r->npacked && pack(r, id, json))
        full = true;
    if (full && r->awake)
        trim(r);
    rs->counts.deliveries += r->nsubs;
    fanout_begin(&r->fanout, json, name, r->nsubs);
    r->todo = r->nsubs; /* everybody is behind; a round under way starts anew from where it is */
    if (r->todo && !r->owing)
        room_owe(r);
}

void rooms_cut(struct rooms *rs, uint64_t prev)
{
    tail_cut(&rs->tail, prev);
    for (size_t i = 0; i < BUCKETS; i++)
        for (struct room *r = rs->buckets[i]; r; r = r->next) {
            if (r->log.last <= prev)
                continue;
            for (uint32_t s = r->nsubs; s-- > 0;)
                if (r->subs[s]->pos != client_log(r->subs[s])->end)
                    client_close(r->subs[s], WS_CLOSE_RESTART, "the log was opened anew");
            room_log_cut(&r->log, prev);
            room_log_cut(&r->packed, prev);
        }
}

void rooms_gap(struct rooms *rs, uint64_t base)
{
    for (size_t i = 0; i < BUCKETS; i++)
        for (struct room *r = rs->buckets[i]; r; r = r->next) {
            while (r->nsubs)
                client_close(r->subs[r->nsubs - 1], WS_CLOSE_RESTART,
                             "resume: messages were missed");
            room_log_reset(&r->log, base);
        }
}

struct room *rooms_find_message(struct rooms *rs, uint64_t id)
{
    for (size_t i = 0; i < BUCKETS; i++)
        for (struct room *r = rs->buckets[i]; r; r = r->next)
            if (id > r->log.reach && room_log_look(&r->log, id - 1, id + 1, 1, false).count)
                return r;
    return NULL;
}

void rooms_sweep(struct rooms *rs, uint64_t now_ms)
{
    for (size_t i = 0; i < BUCKETS; i++)
        for (struct room **at = &rs->buckets[i], *r; (r = *at);) {
            bool used = r->nsubs || r->waiters || r->holds || r->owing || !r->awake ||
                        now_ms - r->used_ms < ROOM_IDLE_MS ||
                        str_eq((struct str){r->name, r->name_len}, STR("lobby"));
            if (used) {
                at = &r->next;
                continue;
            }
            *at = r->next;
            rs->count--;
            room_free(r);
        }
}

/* ---- subscribers ---- */

void room_add(struct room *r, struct client *c)
{
    if (r->nsubs == r->subs_cap) {
        r->subs_cap = r->subs_cap * 2 + 8;
        r->subs = mem_grow(r->subs, r->subs_cap, sizeof(struct client *));
    }
    c->slot = r->nsubs;
    r->subs[r->nsubs++] = c;
}

void room_remove(struct room *r, struct client *c)
{
    assert(r->subs[c->slot] == c);
    r->subs[c->slot] = r->subs[--r->nsubs];
    r->subs[c->slot]->slot = c->slot;
    if (c->packed && --r->npacked == 0)
        room_log_reset(&r->packed, 0);
    if (r->todo) /* who moved may have moved behind the round */
        r->todo = r->nsubs;
    fanout_recount(&r->fanout, r->nsubs);
}

void room_pack(struct room *r, struct client *c)
{
    assert(!c->packed && c->pos == r->log.end);
    c->packed = true;
    c->pos = r->packed.end;
    r->npacked++;
}

void room_owe(struct room *r)
{
    struct rooms *rs = r->rooms;
    r->owing = true;
    r->next_owing = NULL;
    *rs->owing_tail = r;
    rs->owing_tail = &r->next_owing;
}

struct room *rooms_next_owing(struct rooms *rs)
{
    struct room *r = rs->owing;
    if (!r)
        return NULL;
    rs->owing = r->next_owing;
    if (!rs->owing)
        rs->owing_tail = &rs->owing;
    r->owing = false;
    return r;
}

bool rooms_owing(const struct rooms *rs)
{
    return rs->owing != NULL;
}
