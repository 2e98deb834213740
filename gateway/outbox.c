/* SPDX-License-Identifier: MIT */
/*
 * The outbox's rules; see outbox.h for the states and DESIGN of the log in docs/ARCHITECTURE.md.
 *
 * Order: posts enter at the end of the queue, a batch is its front, and a batch that was refused
 * goes back to the front. So what one sender posts on one connection keeps its order.
 */
#include "gateway/outbox.h"

#include <assert.h>

enum {
    RETRY_MIN_MS = 50,   /* after a refusal */
    RETRY_MAX_MS = 1000, /* doubled at each further one */
    CODE_NEW = 0,        /* of a message in publish.lua's reply */
    CODE_KNOWN = 1,
    CODE_MISMATCH = 2,
    CODE_FULL = 3,
};

void outbox_init(struct outbox *o, size_t queued_max, const struct outbox_io *io, void *ctx)
{
    *o = (struct outbox){.io = io, .ctx = ctx, .queued_max = queued_max};
    o->queue_tail = &o->queue;
}

static void tell(struct outbox *o, struct post *p, enum post_result result)
{
    if (!p->told) {
        p->told = true;
        o->io->result(o->ctx, p, result);
    }
}

static void tell_and_free(struct outbox *o, struct post *p, enum post_result result)
{
    tell(o, p, result);
    o->io->free_post(o->ctx, p);
}

static size_t post_bytes(const struct post *p)
{
    return p->head.len + p->tail.len;
}

/* Moves the front of the queue into a new batch. */
static void batch_collect(struct outbox *o)
{
    struct post **end = &o->batch;
    size_t bytes = 0;
    while (o->queue && o->batch_count < PUBLISH_BATCH_MAX &&
           (o->batch_count == 0 || bytes + post_bytes(o->queue) <= PUBLISH_BATCH_BYTES)) {
        struct post *p = o->queue;
        o->queue = p->next;
        p->next = NULL;
        *end = p;
        end = &p->next;
        bytes += post_bytes(p);
        o->batch_count++;
        o->queued--;
    }
    if (!o->queue)
        o->queue_tail = &o->queue;
    o->number++;
    o->maybe = false;
}

/* The batch goes back to the head of the queue, to be sent under a new number: every attempt of
 * this one was answered by a refusal. */
static void batch_requeue(struct outbox *o)
{
    struct post **end = &o->batch;
    while (*end)
        end = &(*end)->next;
    *end = o->queue;
    if (!o->queue)
        o->queue_tail = end;
    o->queue = o->batch;
    o->queued += o->batch_count;
    o->batch = NULL;
    o->batch_count = 0;
}

static void pump(struct outbox *o, uint64_t now_ms)
{
    if (o->in_flight || !o->connected || !o->opening || now_ms < o->retry_ms)
        return;
    if (!o->batch && o->queue)
        batch_collect(o);
    if (!o->batch)
        return;
    o->in_flight =
        o->io->publish(o->ctx, o->opening, o->number, o->floor, o->batch, o->batch_count);
    if (!o->in_flight && !o->maybe) { /* never sent: its senders must not be told otherwise */
        batch_requeue(o);
        o->number--; /* so the number is bound to nothing */
    }
}

bool outbox_add(struct outbox *o, struct post *post, uint64_t now_ms)
{
    if (o->queued >= o->queued_max)
        return false;
    post->next = NULL;
    *o->queue_tail = post;
    o->queue_tail = &post->next;
    o->queued++;
    pump(o, now_ms);
    return true;
}

void outbox_connected(struct outbox *o, uint64_t now_ms)
{
    o->connected = true;
    o->retry_ms = 0;
    pump(o, now_ms);
}

void outbox_disconnected(struct outbox *o)
{
    assert(!o->in_flight);
    o->connected = false;
}

void outbox_opened(struct outbox *o, uint64_t opening, uint64_t now_ms)
{
    if (opening > o->opening) {
        o->opening = opening;
        o->retry_ms = 0;
    }
    pump(o, now_ms);
}

void outbox_seen(struct outbox *o, uint64_t id)
{
    if (id > o->floor)
        o->floor = id;
}

static void batch_end(struct outbox *o, enum post_result result)
{
    struct post *p = o->batch;
    o->batch = NULL;
    o->batch_count = 0;
    for (struct post *next; p; p = next) {
        next = p->next;
        tell_and_free(o, p, result);
    }
}

/* Nothing happened, says Redis. If an earlier attempt had no answer, the batch stays as it is. */
static void refused(struct outbox *o, uint64_t now_ms)
{
    uint64_t delay = (uint64_t)RETRY_MIN_MS << (o->refusals < 5 ? o->refusals : 5);
    o->refusals++;
    o->refused_total++;
    o->retry_ms = now_ms + (delay < RETRY_MAX_MS ? delay : RETRY_MAX_MS);
    if (!o->maybe)
        batch_requeue(o);
}

static enum post_result result_of(uint64_t code, bool maybe)
{
    switch (code) {
    case CODE_NEW:
        return POST_PUBLISHED;
    case CODE_KNOWN:
        return POST_KNOWN;
    case CODE_MISMATCH:
        return POST_MISMATCH;
    default: /* past the lease: not by this attempt, but an unanswered one may have had room */
        return maybe ? POST_MAYBE : POST_FULL;
    }
}

/* {1, opening, code, id, time, …} */
static void published(struct outbox *o, const struct reply *r)
{
    struct post *p = o->batch;
    bool maybe = o->maybe;
    uint64_t opening = 0;
    reply_u64(&r->at[1], &opening);
    o->batch = NULL;
    o->batch_count = 0;
    o->refusals = 0;
    for (size_t i = 2; p; i += 3) {
        struct post *next = p->next;
        uint64_t code = CODE_FULL;
        reply_u64(&r->at[i], &code);
        reply_u64(&r->at[i + 1], &p->id);
        reply_u64(&r->at[i + 2], &p->time_ms);
        p->opening = opening;
        outbox_seen(o, p->id);
        enum post_result result = result_of(code, maybe);
        if ((result == POST_PUBLISHED || result == POST_KNOWN) && !p->told)
            tell(o, p, result); /* the owner's now */
        else
            tell_and_free(o, p, result);
        p = next;
    }
}

void outbox_reply(struct outbox *o, const struct reply *r, uint64_t now_ms)
{
    assert(o->in_flight);
    o->in_flight = false;
    uint64_t kind = 0;
    bool whole = r->type == REPLY_ARRAY && r->n >= 2 && reply_u64(&r->at[0], &kind);
    if (whole && kind == 1 && r->n == 2 + 3 * o->batch_count) {
        published(o, r);
    } else if (whole && str_eq(reply_str(&r->at[1]), STR("STALE"))) {
        batch_end(o, POST_MAYBE);
    } else {
        if (whole)
            o->io->nudge(o->ctx); /* SEALED */
        refused(o, now_ms);
    }
    pump(o, now_ms);
}

void outbox_lost(struct outbox *o)
{
    assert(o->in_flight);
    o->in_flight = false;
    o->maybe = true;
    o->lost_total++;
}

/* Posts of the queue were never sent, or only refused. */
static void queue_expire(struct outbox *o, uint64_t now_ms)
{
    struct post **at = &o->queue;
    while (*at) {
        struct post *p = *at;
        if (p->deadline_ms > now_ms) {
            at = &p->next;
            continue;
        }
        *at = p->next;
        o->queued--;
        tell_and_free(o, p, POST_REFUSED);
    }
    o->queue_tail = at;
}

void outbox_tick(struct outbox *o, uint64_t now_ms)
{
    queue_expire(o, now_ms);
    bool waiting = false, old = o->batch != NULL;
    for (struct post *p = o->batch; p; p = p->next) {
        if (p->deadline_ms <= now_ms)
            tell(o, p, POST_MAYBE); /* its content stays: the number is bound to it */
        waiting = waiting || !p->told;
        old = old && p->deadline_ms + POST_MAYBE_MS <= now_ms;
    }
    if (o->in_flight && old)
        o->io->drop(o->ctx, "no reply to a publish"); /* then outbox_lost */
    else if (o->batch && old && !waiting)
        batch_end(o, POST_MAYBE); /* its number is given up; a late copy of it is STALE */
    pump(o, now_ms);
}

bool outbox_empty(const struct outbox *o)
{
    return !o->queue && !o->batch;
}

void outbox_done(struct outbox *o)
{
    batch_end(o, POST_MAYBE);
    while (o->queue) {
        struct post *p = o->queue;
        o->queue = p->next;
        tell_and_free(o, p, POST_REFUSED);
    }
    o->queue_tail = &o->queue;
    o->queued = 0;
}
