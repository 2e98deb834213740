/* SPDX-License-Identifier: MIT */
/*
 * The feed's rules; see feed.h for the states.
 *
 * Why no message is missed: the subscription stands before the first page is read, so what a page
 * does not have yet comes live. Live messages that come while pages are read are held, and joined
 * on behind the last page. From then on ids must follow one another; where one is missing (Redis
 * drops what a slow subscriber lacks, an opening jumps over ids) the feed reads pages again. The
 * last message of all has no successor that would betray its loss: the heartbeat, which comes
 * behind it on the same channel and counts it, does.
 *
 * Why none is delivered twice: position only grows, and what is not above it is dropped.
 *
 * What belongs to a connection (held messages, a page on its way) dies with it. But a page that the
 * owner of a feed in pull mode has taken stays his: no connection gives another one before it is
 * released, so a late release is never taken for that of a later page.
 *
 * An opening is announced before its first message, on the same subscription. From the announcement
 * on live messages are held until a page has told of it: `opened` comes before what is of the
 * opening, and what may be of the one before does not come behind it.
 */
#include "common/feed.h"

#include <assert.h>
#include <stdlib.h>

#include "common/mem.h"

/* Asked before the log was ever seen open: beyond every id, so that only the facts come. */
static const uint64_t AFTER_ALL = (uint64_t)1 << 53;

static void held_clear(struct feed *f)
{
    for (size_t i = 0; i < f->nheld; i++)
        free(f->held[i].json);
    f->nheld = 0;
    f->held_bytes = 0;
}

/* Holds a message until the pages have come as far. What does not fit, or does not follow, is left
 * to one more page. */
static void held_add(struct feed *f, uint64_t id, struct str json)
{
    if (f->nheld && id <= f->held[f->nheld - 1].id)
        return;
    if (f->nheld == FEED_BUFFER_MAX || f->held_bytes + json.len > FEED_BUFFER_BYTES_MAX ||
        (f->nheld && id != f->held[f->nheld - 1].id + 1)) {
        held_clear(f);
        f->page_wanted = true;
        return;
    }
    if (f->nheld == f->held_cap) {
        f->held_cap = f->held_cap ? f->held_cap * 2 : 64;
        f->held = mem_grow(f->held, f->held_cap, sizeof *f->held);
    }
    f->held[f->nheld++] = (struct feed_held){id, mem_strndup(json.p, json.len), json.len};
    f->held_bytes += json.len;
}

void feed_init(struct feed *f, bool pull, uint64_t position, uint64_t opening,
               const struct feed_io *io, void *io_ctx, const struct feed_owner *owner,
               void *owner_ctx)
{
    *f = (struct feed){
        .io = io,
        .owner = owner,
        .io_ctx = io_ctx,
        .owner_ctx = owner_ctx,
        .pull = pull,
        .position = position,
        .opening = opening,
        .started = opening > 0,
        .released = true,
    };
}

void feed_done(struct feed *f)
{
    held_clear(f);
    free(f->held);
    f->held = NULL;
    f->held_cap = 0;
}

/* A page, or one more after the one that is on its way. */
static void page_ask(struct feed *f)
{
    if (f->state == FEED_OFF)
        return;
    f->page_wanted = f->page_asked || (f->pull && !f->released);
    if (f->page_wanted)
        return;
    f->page_asked = true;
    bool blind = !f->pull && !f->started;
    f->io->page(f->io_ctx, blind ? AFTER_ALL : f->position, blind ? 1 : PAGE_ENTRIES);
}

void feed_connected(struct feed *f, uint64_t now_ms)
{
    assert(f->state == FEED_OFF && now_ms > 0);
    f->state = FEED_CATCHING_UP;
    f->beat_sent_ms = 0;
    f->beat_seen_ms = now_ms;
    f->sealed_ms = 0;
    f->reached = false;
    page_ask(f);
}

void feed_disconnected(struct feed *f)
{
    f->state = FEED_OFF;
    f->page_asked = false;
    f->page_wanted = false;
    f->reached = false;
    held_clear(f);
}

static void deliver(struct feed *f, uint64_t id, struct str json)
{
    if (id <= f->position)
        return;
    f->position = id;
    f->owner->deliver(f->owner_ctx, id, json);
}

/* Delivers what was held and follows; what is left behind a hole needs a page. */
static void held_join(struct feed *f)
{
    size_t i = 0;
    for (; i < f->nheld && f->held[i].id <= f->position + 1; i++) {
        struct feed_held *h = &f->held[i];
        deliver(f, h->id, (struct str){h->json, h->len});
        f->held_bytes -= h->len;
        free(h->json);
    }
    f->nheld -= i;
    for (size_t k = 0; k < f->nheld; k++)
        f->held[k] = f->held[k + i];
    if (f->nheld)
        f->page_wanted = true;
}

static void sealed(struct feed *f, uint64_t now_ms)
{
    f->state = FEED_CATCHING_UP;
    f->page_wanted = true;
    if (!f->sealed_ms)
        f->sealed_ms = now_ms;
}

static void stored(struct feed *f, uint64_t upto)
{
    if (upto > f->stored)
        f->stored = upto;
    f->owner->stored(f->owner_ctx, f->opening, f->stored);
}

/*
 * Follows a new opening. What of the messages delivered is void the owner can tell by prev, if the
 * opening before it is the one he knows. If others went by unseen, he cannot: what is above
 * `stored`, as last seen, may have been void in between. And where ids go on below position (SQLite
 * and Redis have both lost what was granted), those above `from` are other messages from now on.
 * False: the page began too high.
 */
static bool opening_take(struct feed *f, const struct page *p)
{
    const uint64_t was = f->opening, safe = f->stored;
    const uint64_t kept = f->position < p->prev ? f->position : p->prev;
    f->opening = p->opening;
    f->stored = 0;
    if (f->nheld)
        f->page_wanted = true;
    held_clear(f); /* of the opening before, perhaps */
    f->owner->opened(f->owner_ctx, was, p->opening, p->prev, p->from);
    if (f->position > p->from) {
        f->owner->gap(f->owner_ctx, p->prev, p->from);
        f->position = p->from;
        f->state = FEED_CATCHING_UP;
        f->page_wanted = true;
        return false;
    }
    if (p->opening > was + 1 && kept > safe)
        f->owner->gap(f->owner_ctx, safe, f->position);
    if (f->position >= p->prev)
        f->position = p->from; /* what is between does not exist */
    return true;
}

/* The opening that a page of an open log belongs to; false: see opening_take. */
static bool opening_follow(struct feed *f, const struct page *p)
{
    if (f->started)
        return p->opening == f->opening || opening_take(f, p);
    f->started = true;
    f->opening = p->opening;
    f->position = p->seq;
    return true;
}

/* A page of an open log, in push mode; stale: something came after it was asked for. */
static void page_take(struct feed *f, const struct page *p, bool stale)
{
    f->lease = p->lease;
    f->lease_room = p->lease > p->seq ? p->lease - p->seq : 0;
    f->page_wanted = stale;
    if (!opening_follow(f, p))
        return;
    if (f->position < p->base) {
        f->owner->gap(f->owner_ctx, f->position, p->base);
        f->position = p->base;
    }
    for (size_t i = 0; i < p->count; i++)
        deliver(f, p->entries[i].id, p->entries[i].json);
    if (p->full) {
        f->page_wanted = true;
    } else {
        if (p->seq > f->position)
            f->position = p->seq; /* ids that do not exist */
        held_join(f);
    }
    f->owner->passed(f->owner_ctx, f->position);
    stored(f, p->stored);
    if (f->page_wanted)
        return;
    f->state = FEED_LIVE;
    if (!f->reached)
        f->io->proved(f->io_ctx);
    f->reached = true;
}

void feed_page(struct feed *f, const struct page *p, uint64_t now_ms)
{
    if (!f->page_asked)
        return;
    f->page_asked = false;
    f->seq = p->seq;
    if (f->pull) {
        f->released = false;
        f->owner->page(f->owner_ctx, p);
        return;
    }
    if (!p->open || p->opening < f->opening) {
        sealed(f, now_ms); /* asked again at the next tick */
        return;
    }
    f->sealed_ms = 0;
    page_take(f, p, f->page_wanted);
    if (f->page_wanted)
        page_ask(f);
}

void feed_page_failed(struct feed *f)
{
    if (!f->page_asked)
        return;
    f->page_asked = false;
    f->page_wanted = true;
}

void feed_live(struct feed *f, uint64_t id, struct str json, uint64_t now_ms)
{
    (void)now_ms;
    if (f->state == FEED_OFF || (f->started && id <= f->position))
        return;
    if (f->pull) {
        if (id > f->position)
            page_ask(f);
    } else if (f->state == FEED_LIVE && id == f->position + 1) {
        deliver(f, id, json);
        f->owner->passed(f->owner_ctx, id);
    } else {
        held_add(f, id, json);
        if (f->state == FEED_LIVE) {
            f->state = FEED_CATCHING_UP;
            page_ask(f);
        }
    }
}

/* Of an opening that no page has told of yet. */
static void announced(struct feed *f)
{
    f->state = FEED_CATCHING_UP;
    page_ask(f);
}

void feed_beat(struct feed *f, const struct beat *b, uint64_t now_ms)
{
    if (f->state == FEED_OFF)
        return;
    f->beat_seen_ms = now_ms;
    f->seq = b->seq;
    if (f->pull) {
        if (b->opening == 0 || b->seq > f->position)
            page_ask(f);
        if (!f->reached)
            f->io->proved(f->io_ctx);
        f->reached = true;
    } else if (b->opening == 0) {
        sealed(f, now_ms);
    } else if (b->opening > f->opening) {
        announced(f);
    } else if (b->opening < f->opening) {
        page_ask(f);
    } else {
        if (b->seq > f->position && f->state == FEED_LIVE) {
            f->state = FEED_CATCHING_UP; /* the last one was missed */
            page_ask(f);
        }
        if (f->lease && b->seq + f->lease_room / 2 >= f->lease)
            page_ask(f); /* only a page tells how far it was raised */
        stored(f, b->stored);
    }
}

void feed_control(struct feed *f, uint64_t opening, uint64_t upto, uint64_t now_ms)
{
    (void)now_ms;
    if (f->state == FEED_OFF || f->pull)
        return;
    if (opening == f->opening)
        stored(f, upto);
    else if (opening > f->opening)
        announced(f);
}

void feed_tick(struct feed *f, uint64_t now_ms)
{
    if (f->state == FEED_OFF)
        return;
    if (now_ms - f->beat_seen_ms > BEAT_LOST_MS) {
        f->io->drop(f->io_ctx, "no heartbeat came back through Redis");
        return;
    }
    if (f->sealed_ms && now_ms - f->sealed_ms > SEALED_MS) {
        f->io->drop(f->io_ctx, "the log stays sealed");
        return;
    }
    if (f->page_wanted)
        page_ask(f);
    if (f->beat_sent_ms && now_ms - f->beat_sent_ms < BEAT_MS)
        return;
    f->beat_sent_ms = now_ms;
    f->io->beat(f->io_ctx);
    if (f->pull)
        page_ask(f); /* the look of each second */
}

void feed_nudge(struct feed *f)
{
    page_ask(f);
}

void feed_release(struct feed *f, uint64_t position, bool now)
{
    assert(f->pull && !f->released);
    f->released = true;
    f->position = position;
    if (now || f->page_wanted)
        page_ask(f); /* nothing while there is no connection: the next one asks */
}

bool feed_ready(const struct feed *f, const char **why)
{
    *why = NULL;
    if (f->state == FEED_OFF)
        *why = "Redis is not connected";
    else if (f->sealed_ms || !f->started)
        *why = "the log is not open: waiting for the persister";
    else if (!f->reached)
        *why = "catching up with the log";
    return !*why;
}
