/* SPDX-License-Identifier: MIT */
/*
 * Reading the stream backwards; see tail.h.
 *
 * Why `reach` is true: a page has all entries from its last one up to `before`, and one that is not
 * full has all there are, that is, by the meaning of `base`, every message above it. Pages join
 * without a hole, because the next one begins where the last one ended, and what the persister
 * trims between two of them lies at or below the base that the second one tells. What a page has at
 * or below base is left out: it may be some of what there was, until the persister trims it.
 * Messages that an opening made void are cut out when the feed tells of it.
 */
#include "gateway/tail.h"

#include <assert.h>
#include <stdlib.h>

#include "common/mem.h"
#include "common/message.h"

void tail_init(struct tail *t, const struct tail_io *io, void *ctx)
{
    *t = (struct tail){.io = io, .ctx = ctx};
    for (int i = 0; i < TAIL_STATES; i++)
        TAILQ_INIT(&t->lists[i]);
}

static void seeker_move(struct tail *t, struct tail_seeker *s, enum tail_state state)
{
    if (s->state != TAIL_IDLE)
        TAILQ_REMOVE(&t->lists[s->state], s, entry);
    s->state = state;
    if (state != TAIL_IDLE)
        TAILQ_INSERT_TAIL(&t->lists[state], s, entry);
}

/* ---- the read ---- */

/* All who wait take part. */
static void read_join(struct tail *t)
{
    struct tail_seeker *s;
    if (TAILQ_EMPTY(&t->lists[TAIL_READING]))
        t->before = 0;
    while ((s = TAILQ_FIRST(&t->lists[TAIL_WAITING]))) {
        if (s->upto >= t->before)
            t->before = s->upto + 1;
        seeker_move(t, s, TAIL_READING);
    }
}

static void read_go_on(struct tail *t, uint64_t now_ms)
{
    if (t->asked)
        return;
    if (t->pages == 0 && now_ms >= t->rest_ms)
        read_join(t);
    if (!TAILQ_EMPTY(&t->lists[TAIL_READING]))
        t->asked = t->io->page(t->ctx, t->before, PAGE_ENTRIES);
}

/* Nobody takes part any more. */
static void read_end(struct tail *t, uint64_t now_ms)
{
    t->rest_ms = now_ms + (uint64_t)t->pages * TAIL_REST_MS;
    t->pages = 0;
}

/* Tells who is done. One who is told may seek or cancel, for himself or others. */
static void tell_done(struct tail *t)
{
    struct tail_seeker *s;
    while ((s = TAILQ_FIRST(&t->lists[TAIL_DONE]))) {
        seeker_move(t, s, TAIL_IDLE);
        s->done(s);
    }
}

static void found_add(struct tail_seeker *s, uint64_t id, struct str json)
{
    struct tail_found *f = mem_alloc(sizeof *f + json.len);
    *f = (struct tail_found){.next = s->found, .id = id, .len = json.len};
    memcpy(f->json, json.p, json.len);
    s->found = f;
    s->count++;
}

static void entry_take(struct tail *t, const struct entry *e, uint64_t base)
{
    struct str room;
    uint64_t id;
    if (!message_peek(e->json, &id, &room) || id != e->id || id >= t->before)
        return; /* a stranger wrote it */
    if (id <= base)
        return; /* not trimmed yet, and not all that there was */
    struct tail_seeker *s = t->io->find(t->ctx, room);
    if (!s || s->state != TAIL_READING || id > s->upto || s->count == s->wanted)
        return;
    if (s->found && id >= s->found->id)
        return;
    found_add(s, id, e->json);
}

/* Everything above the returned id has been read, by this page and those before it. */
static uint64_t page_take(struct tail *t, const struct page *p)
{
    uint64_t low = p->base;
    for (size_t i = 0; i < p->count; i++)
        entry_take(t, &p->entries[i], p->base);
    if (p->full && p->count && p->entries[p->count - 1].id - 1 > low)
        low = p->entries[p->count - 1].id - 1;
    return low < t->before ? low : t->before - 1;
}

/* How far each has come; who has all, or all if the read is over, is done. */
static void seekers_settle(struct tail *t, uint64_t low, bool over)
{
    struct tail_seeker *s = TAILQ_FIRST(&t->lists[TAIL_READING]), *next;
    for (; s; s = next) {
        next = TAILQ_NEXT(s, entry);
        bool has_all = s->count == s->wanted;
        if (has_all)
            s->reach = s->found->id - 1;
        else if (low < s->upto)
            s->reach = low;
        if (has_all || over)
            seeker_move(t, s, TAIL_DONE);
    }
}

void tail_page(struct tail *t, const struct page *p, uint64_t now_ms)
{
    assert(t->asked);
    t->asked = false;
    if (!p || !p->open) /* the next tick asks again */
        return;
    if (!TAILQ_EMPTY(&t->lists[TAIL_READING])) {
        t->pages++;
        uint64_t low = page_take(t, p);
        t->before = low + 1;
        seekers_settle(t, low, !p->full || low <= p->base || t->pages == TAIL_PAGES_MAX);
        if (TAILQ_EMPTY(&t->lists[TAIL_READING]))
            read_end(t, now_ms);
        tell_done(t);
    }
    read_go_on(t, now_ms);
}

/* ---- seekers ---- */

void tail_seek(struct tail *t, struct tail_seeker *s, uint64_t now_ms)
{
    assert(s->state == TAIL_IDLE && s->wanted > 0 && !s->found);
    s->reach = s->upto;
    s->deadline_ms = now_ms + TAIL_MS;
    seeker_move(t, s, TAIL_WAITING);
    read_go_on(t, now_ms);
}

void tail_seeker_clear(struct tail_seeker *s)
{
    for (struct tail_found *f = s->found, *next; f; f = next) {
        next = f->next;
        free(f);
    }
    s->found = NULL;
    s->count = 0;
}

void tail_cancel(struct tail *t, struct tail_seeker *s)
{
    seeker_move(t, s, TAIL_IDLE);
    tail_seeker_clear(s);
}

static void found_cut(struct tail_seeker *s, uint64_t prev)
{
    struct tail_found **at = &s->found;
    while (*at && (*at)->id <= prev)
        at = &(*at)->next;
    while (*at) {
        struct tail_found *f = *at;
        *at = f->next;
        free(f);
        s->count--;
    }
}

void tail_cut(struct tail *t, uint64_t prev)
{
    struct tail_seeker *s = TAILQ_FIRST(&t->lists[TAIL_READING]);
    for (; s; s = TAILQ_NEXT(s, entry))
        found_cut(s, prev);
}

/* Those whose time is over keep what they have. */
static void list_expire(struct tail *t, enum tail_state state, uint64_t now_ms)
{
    struct tail_seeker *s;
    while ((s = TAILQ_FIRST(&t->lists[state])) && s->deadline_ms <= now_ms)
        seeker_move(t, s, TAIL_DONE);
}

void tail_tick(struct tail *t, uint64_t now_ms)
{
    bool reading = !TAILQ_EMPTY(&t->lists[TAIL_READING]);
    list_expire(t, TAIL_READING, now_ms);
    list_expire(t, TAIL_WAITING, now_ms);
    if (reading && TAILQ_EMPTY(&t->lists[TAIL_READING]))
        read_end(t, now_ms);
    tell_done(t);
    read_go_on(t, now_ms);
}
