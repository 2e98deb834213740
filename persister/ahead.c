/* SPDX-License-Identifier: MIT */
/*
 * The pages that were read ahead; see ahead.h.
 *
 * Pages are joined only when no opening lies between them: all of a run are of one opening, and of
 * an open log. So what one told stays true of the entries: an open log loses none above position.
 * A page that does not fit in is thrown away, and ends the run: who waits gets a page as the log is
 * now, and finds out.
 */
#include "persister/ahead.h"

#include <assert.h>
#include <stdlib.h>

#include "common/mem.h"

void ahead_init(struct ahead *a, const struct ahead_io *io, void *ctx)
{
    *a = (struct ahead){.io = io, .ctx = ctx};
}

void ahead_done(struct ahead *a)
{
    free(a->entries);
    free(a->bytes);
    *a = (struct ahead){0};
}

static size_t entry_len(const struct entry *e)
{
    return e->json.len + e->origin.len + e->key.len + e->value.len;
}

static void ask(struct ahead *a, uint64_t after)
{
    a->asked = a->io->page(a->ctx, after);
}

void ahead_begin(struct ahead *a, const struct page *p)
{
    assert(p->full && p->count);
    const uint64_t last = p->entries[p->count - 1].id;
    if (a->on || a->asked) /* it goes on; or what was asked for in an earlier run still comes */
        return;
    a->on = true;
    a->position = last;
    a->opening = p->opening;
    ask(a, last);
}

/* ---- what was read ---- */

/* Outside of a run nothing is kept. */
static void clear(struct ahead *a)
{
    a->has_page = false;
    a->page = (struct page){0};
    a->len = a->facts = 0;
    if (a->on)
        return;
    free(a->entries);
    free(a->bytes);
    a->entries = NULL;
    a->bytes = NULL;
    a->entries_cap = a->cap = 0;
}

static void put(struct ahead *a, struct str s)
{
    if (s.len)
        memcpy(a->bytes + a->len, s.p, s.len);
    a->len += s.len;
}

static void room_make(struct ahead *a, const struct page *p)
{
    size_t bytes = p->token.len + p->here.len + p->owner.len;
    for (size_t i = 0; i < p->count; i++)
        bytes += entry_len(&p->entries[i]);
    if (a->len + bytes > a->cap) {
        a->cap = a->len + bytes + bytes / 2;
        a->bytes = mem_grow(a->bytes, a->cap, 1);
    }
    if (!a->entries || a->page.count + p->count > a->entries_cap) {
        a->entries_cap = a->page.count + p->count + PAGE_ENTRIES;
        a->entries = mem_grow(a->entries, a->entries_cap, sizeof *a->entries);
    }
}

/* Joins the page on. The entries' bytes stand in their order, the facts behind them. */
static void join(struct ahead *a, const struct page *p)
{
    size_t count = a->page.count;
    a->len = a->facts;
    room_make(a, p);
    for (size_t i = 0; i < p->count; i++) {
        const struct entry *e = &p->entries[i];
        a->entries[count + i] = *e;
        put(a, e->json);
        put(a, e->origin);
        put(a, e->key);
        put(a, e->value);
    }
    a->facts = a->len;
    put(a, p->token);
    put(a, p->here);
    put(a, p->owner);
    a->page = *p;
    a->page.count += count;
    a->has_page = true;
}

static void place(struct str *s, const char **at)
{
    s->p = *at;
    *at += s->len;
}

const struct page *ahead_take(struct ahead *a)
{
    if (!a->awaited || !a->has_page)
        return NULL;
    const char *at = a->bytes;
    for (size_t i = 0; i < a->page.count; i++) {
        struct entry *e = &a->entries[i];
        place(&e->json, &at);
        place(&e->origin, &at);
        place(&e->key, &at);
        place(&e->value, &at);
    }
    place(&a->page.token, &at);
    place(&a->page.here, &at);
    place(&a->page.owner, &at);
    a->page.entries = a->entries;
    a->awaited = false;
    a->given = true;
    if (a->page.count)
        a->position = a->entries[a->page.count - 1].id;
    a->on = a->asked; /* else the next run begins there */
    return &a->page;
}

void ahead_taken(struct ahead *a)
{
    a->given = false;
    clear(a);
}

/* ---- a run ---- */

/* Does it follow what was read? */
static bool fits(const struct ahead *a, const struct page *p)
{
    return p && p->open && p->opening == a->opening;
}

bool ahead_page(struct ahead *a, const struct page *p)
{
    assert(a->asked);
    a->asked = false;
    if (a->stale) {
        a->stale = false;
        return true;
    }
    assert(a->on);
    if (fits(a, p)) {
        join(a, p);
        bool fits_one = a->page.count + PAGE_ENTRIES <= (size_t)AHEAD_PAGES * PAGE_ENTRIES;
        if (p->full && fits_one && a->len < AHEAD_BYTES && !a->awaited)
            ask(a, a->entries[a->page.count - 1].id);
        return true;
    }
    if (a->has_page) {
        a->page.full = true; /* there may be more */
        return true;
    }
    bool awaited = a->awaited;
    ahead_drop(a);
    return !awaited;
}

bool ahead_wait(struct ahead *a, uint64_t position)
{
    if (a->on && position == a->position && (a->has_page || a->asked)) {
        a->awaited = true;
        return true;
    }
    ahead_drop(a);
    return false;
}

void ahead_drop(struct ahead *a)
{
    a->on = false;
    a->awaited = false;
    a->stale = a->asked;
    if (!a->given)
        clear(a);
}
