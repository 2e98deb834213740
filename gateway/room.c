/* SPDX-License-Identifier: MIT */
/* Rooms by name; see room.h. A hash table of fixed size: rooms are few beside messages. */
#include "gateway/room.h"

#include <assert.h>
#include <stdlib.h>

#include "common/limits.h"
#include "common/log.h"
#include "common/mem.h"
#include "common/message.h"
#include "gateway/client.h"

enum {
    BUCKETS = 4096,
    ROOMS_MAX = 20000,
    ROOM_IDLE_MS = 60000,
};

struct rooms {
    struct history *history;
    struct rooms_config config;
    struct room *buckets[BUCKETS];
    size_t count;
    struct room *owing, **owing_tail;
};

struct rooms *rooms_new(struct history *history, const struct rooms_config *config)
{
    struct rooms *rs = mem_zalloc(sizeof *rs);
    rs->history = history;
    rs->config = *config;
    rs->owing_tail = &rs->owing;
    return rs;
}

static void room_free(struct room *r)
{
    room_log_reset(&r->log, 0);
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

/* The log anew: the history, then what came live meanwhile. Nobody has a cursor in it yet. */
static void log_rebuild(struct room *r, struct str lines, size_t limit)
{
    struct room_log live = r->log, all = {0};
    struct str line = {0}, room;
    uint64_t id;
    size_t count = 0;
    while (history_line(&lines, &line))
        if (message_peek(line, &id, &room) && id > all.last && id <= live.reach) {
            if (count++ == 0)
                all.reach = id - 1;
            room_log_append(&all, id, line);
        }
    if (count < limit)
        all.reach = 0; /* there is nothing older */
    struct buf *text = NULL;
    for (struct room_page p = {0};; buf_free(&text)) {
        p = room_log_page(&live, p.last, 0, 1, false, &text);
        if (!p.count)
            break;
        room_log_append(&all, p.last, buf_str(text));
    }
    room_log_reset(&r->log, 0);
    r->log = all;
}

static void history_came(void *arg, bool ok, int status, struct str lines)
{
    struct room *r = arg;
    r->holds--;
    if (ok && r->log.reach == r->woken) /* else the feed had a hole meanwhile */
        log_rebuild(r, lines, history_limit(r->rooms));
    else
        log_debug("room woken without history", "room=%s status=%d", r->name, status);
    wake(r);
}

struct room *room_get(struct rooms *rs, struct str name, uint64_t position, uint64_t now_ms)
{
    struct room *r = find(rs, name);
    if (!r && rs->count < ROOMS_MAX) {
        r = mem_zalloc(sizeof *r + name.len + 1);
        memcpy(r->name, name.p, name.len);
        r->name_len = name.len;
        r->rooms = rs;
        room_log_reset(&r->log, position);
        size_t b = bucket_of(name);
        r->next = rs->buckets[b];
        rs->buckets[b] = r;
        rs->count++;
        r->woken = position;
        if (position == 0 || !history_page(rs->history, name, 0, position + 1, history_limit(rs),
                                           position, history_came, r))
            r->awake = true; /* nothing is older, or the persister is asked when it is needed */
        else
            r->holds++;
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
    uint64_t low = r->log.end;
    for (uint32_t i = r->nsubs; i-- > 0;) {
        struct client *c = r->subs[i];
        if (r->log.end - c->pos > r->rooms->config.lag_bytes)
            client_close(c, WS_CLOSE_SLOW, "too slow: reconnect and resume");
        else if (c->pos < low)
            low = c->pos;
    }
    room_log_trim(&r->log, low, r->rooms->config.keep);
}

void rooms_deliver(struct rooms *rs, struct str name, uint64_t id, struct str json)
{
    struct room *r = find(rs, name);
    if (!r || id <= r->log.last || id <= r->log.reach)
        return;
    if (room_log_append(&r->log, id, json) && r->awake)
        trim(r);
    r->todo = r->nsubs; /* everybody is behind; a round under way starts anew from where it is */
    if (r->todo && !r->owing)
        room_owe(r);
}

void rooms_cut(struct rooms *rs, uint64_t prev)
{
    for (size_t i = 0; i < BUCKETS; i++)
        for (struct room *r = rs->buckets[i]; r; r = r->next) {
            if (r->log.last <= prev)
                continue;
            for (uint32_t s = r->nsubs; s-- > 0;)
                if (r->subs[s]->pos != r->log.end)
                    client_close(r->subs[s], WS_CLOSE_RESTART, "the log was opened anew");
            room_log_cut(&r->log, prev);
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
            bool used = r->nsubs || r->waiters || r->holds || r->owing ||
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
    if (r->todo) /* who moved may have moved behind the round */
        r->todo = r->nsubs;
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
