/* SPDX-License-Identifier: MIT */
/*
 * Rooms by name; see room.h. A hash table that doubles when it has as many rooms as buckets.
 *
 * Which room has a message is not kept, but the hash of the name is for the last RECENT ids: so
 * their rooms are found without looking at all, and a room that is freed leaves nothing behind.
 */
#include "gateway/rooms_internal.h"

#include <assert.h>
#include <stdlib.h>

#include "common/limits.h"
#include "common/mem.h"
#include "gateway/client.h"
#include "gateway/deflate.h"

enum {
    BUCKETS_MIN = 256,
    SWEEP_SHARE = 64, /* of the buckets, swept at each tick */
    ROOM_IDLE_MS = 60000,
    ROOMS_SCANNED = 64, /* with more rooms than these they are not all searched for an id */
};

/* FNV-1a. */
static uint32_t hash_of(struct str name)
{
    uint32_t h = 2166136261u;
    for (size_t i = 0; i < name.len; i++)
        h = (h ^ (unsigned char)name.p[i]) * 16777619u;
    return h ^ h >> 16;
}

static struct room **bucket_of(const struct rooms *rs, uint32_t hash)
{
    return &rs->buckets[hash & (rs->nbuckets - 1)];
}

static struct room *find_hashed(const struct rooms *rs, struct str name, uint32_t hash)
{
    struct room *r = *bucket_of(rs, hash);
    while (r && (r->hash != hash || !str_eq((struct str){r->name, r->name_len}, name)))
        r = r->next;
    return r;
}

struct room *rooms_find(const struct rooms *rs, struct str name)
{
    return find_hashed(rs, name, hash_of(name));
}

struct room *rooms_first(const struct rooms *rs, size_t bucket)
{
    for (; bucket < rs->nbuckets; bucket++)
        if (rs->buckets[bucket])
            return rs->buckets[bucket];
    return NULL;
}

struct room *room_after(const struct room *r)
{
    const struct rooms *rs = r->rooms;
    return r->next ? r->next : rooms_first(rs, (r->hash & (rs->nbuckets - 1)) + 1);
}

static void table_grow(struct rooms *rs)
{
    struct room **old = rs->buckets;
    size_t count = rs->nbuckets;
    rs->nbuckets = count ? 2 * count : BUCKETS_MIN;
    rs->buckets = mem_zalloc(rs->nbuckets * sizeof *rs->buckets);
    for (size_t i = 0; i < count; i++)
        for (struct room *r = old[i], *next; r; r = next) {
            struct room **bucket = bucket_of(rs, r->hash);
            next = r->next;
            r->next = *bucket;
            *bucket = r;
        }
    free(old);
}

struct rooms *rooms_new(const struct rooms_config *config, const struct rooms_sources *sources,
                        void *ctx)
{
    struct rooms *rs = mem_zalloc(sizeof *rs);
    rs->config = *config;
    rs->sources = sources;
    rs->ctx = ctx;
    rs->owing_tail = &rs->owing;
    table_grow(rs);
    rooms_wake_init(rs);
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
    for (struct room *r = rooms_first(rs, 0), *next; r; r = next) {
        next = room_after(r);
        room_free(r);
    }
    free(rs->buckets);
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

static struct room *room_new(struct rooms *rs, struct str name, uint32_t hash)
{
    struct room *r = mem_zalloc(sizeof *r + name.len + 1);
    memcpy(r->name, name.p, name.len);
    r->name_len = name.len;
    r->hash = hash;
    r->rooms = rs;
    r->number = ++rs->numbers;
    if (rs->count++ == rs->nbuckets)
        table_grow(rs);
    r->next = *bucket_of(rs, hash);
    *bucket_of(rs, hash) = r;
    return r;
}

struct room *room_get(struct rooms *rs, struct str name, uint64_t position, uint64_t now_ms)
{
    uint32_t hash = hash_of(name);
    struct room *r = find_hashed(rs, name, hash);
    rs->now_ms = now_ms;
    if (!r && (rs->count < rs->config.rooms_max || !rs->config.rooms_max)) {
        r = room_new(rs, name, hash);
        room_begin(r, position);
    }
    if (r)
        r->used_ms = now_ms;
    return r;
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
    uint32_t hash = hash_of(name);
    struct room *r = find_hashed(rs, name, hash);
    if (!r || id <= r->log.last || id <= r->log.reach)
        return;
    rs->recent[id % RECENT].id = id;
    rs->recent[id % RECENT].hash = hash;
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
    for (struct room *r = rooms_first(rs, 0); r; r = room_after(r)) {
        if (r->log.last <= prev)
            continue;
        for (uint32_t s = r->nsubs; s-- > 0;)
            if (r->subs[s]->pos != client_log(r->subs[s])->end)
                client_close(r->subs[s], WS_CLOSE_RESTART, "the log was opened anew");
        room_log_cut(&r->log, prev);
        room_log_cut(&r->packed, prev);
        r->number = ++rs->numbers;
    }
}

void rooms_gap(struct rooms *rs, uint64_t base)
{
    for (struct room *r = rooms_first(rs, 0); r; r = room_after(r)) {
        while (r->nsubs)
            client_close(r->subs[r->nsubs - 1], WS_CLOSE_RESTART, "resume: messages were missed");
        room_log_reset(&r->log, base);
    }
}

static bool has_message(const struct room *r, uint64_t id)
{
    return id > r->log.reach && room_log_look(&r->log, id - 1, id + 1, 1, false).count;
}

struct room *rooms_find_message(struct rooms *rs, uint64_t id)
{
    struct room *r;
    if (rs->recent[id % RECENT].id == id)
        for (r = *bucket_of(rs, rs->recent[id % RECENT].hash); r; r = r->next)
            if (has_message(r, id))
                return r;
    r = rs->count <= ROOMS_SCANNED ? rooms_first(rs, 0) : rooms_find(rs, STR("lobby"));
    while (r && !has_message(r, id))
        r = rs->count <= ROOMS_SCANNED ? room_after(r) : NULL;
    return r;
}

static bool room_used(const struct room *r, uint64_t now_ms)
{
    return r->nsubs || r->waiters || r->holds || r->owing || !r->awake ||
           now_ms - r->used_ms < ROOM_IDLE_MS ||
           str_eq((struct str){r->name, r->name_len}, STR("lobby"));
}

void rooms_sweep(struct rooms *rs, uint64_t now_ms)
{
    for (size_t n = rs->nbuckets / SWEEP_SHARE; n > 0; n--) {
        for (struct room **at = &rs->buckets[rs->sweep_at], *r; (r = *at);) {
            if (room_used(r, now_ms)) {
                at = &r->next;
                continue;
            }
            *at = r->next;
            rs->count--;
            room_free(r);
        }
        rs->sweep_at = (rs->sweep_at + 1) & (rs->nbuckets - 1);
    }
}

/* ---- subscribers ---- */

void room_add(struct room *r, struct client *c)
{
    if (r->nsubs == r->subs_cap) {
        r->subs_cap = r->subs_cap * 2 + 2;
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
