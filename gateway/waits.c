/* SPDX-License-Identifier: MIT */
/*
 * Waits in the order of their ids, so that what a message meets is at the front of the list. New
 * waits nearly always belong at its end.
 */
#include "gateway/waits.h"

#include <assert.h>

static void link_in(struct waits *ws, struct wait *w)
{
    struct wait *before = ws->last;
    while (before && before->id > w->id)
        before = before->prev;
    w->prev = before;
    w->next = before ? before->next : ws->first;
    if (w->next)
        w->next->prev = w;
    else
        ws->last = w;
    if (before)
        before->next = w;
    else
        ws->first = w;
    ws->count++;
}

void waits_remove(struct waits *ws, struct wait *w)
{
    if (w->prev)
        w->prev->next = w->next;
    else
        ws->first = w->next;
    if (w->next)
        w->next->prev = w->prev;
    else
        ws->last = w->prev;
    w->prev = w->next = NULL;
    assert(ws->count > 0);
    ws->count--;
}

static void finish(struct waits *ws, struct wait *w, enum wait_result result)
{
    waits_remove(ws, w);
    w->done(w, result);
}

/* Is it met, as far as this gateway knows? Of an opening that the feed has not seen yet, nothing
 * is known. */
static bool met(const struct waits *ws, const struct wait *w)
{
    if (w->opening != ws->opening || w->id > ws->seen)
        return false;
    return w->what == WAIT_SEEN || w->id <= ws->stored;
}

void waits_add(struct waits *ws, struct wait *w)
{
    if (w->opening < ws->opening) {
        w->done(w, WAIT_LOST); /* the reply was slower than the news of the next opening */
        return;
    }
    if (met(ws, w)) {
        w->done(w, WAIT_MET);
        return;
    }
    link_in(ws, w);
}

static void settle(struct waits *ws)
{
    for (struct wait *w = ws->first, *next; w && w->id <= ws->seen; w = next) {
        next = w->next;
        if (met(ws, w))
            finish(ws, w, WAIT_MET);
    }
}

void waits_passed(struct waits *ws, uint64_t id)
{
    if (id > ws->seen)
        ws->seen = id;
    if (ws->first && ws->first->id <= ws->seen)
        settle(ws);
}

void waits_stored(struct waits *ws, uint64_t opening, uint64_t id)
{
    if (opening != ws->opening || id <= ws->stored)
        return;
    ws->stored = id;
    settle(ws);
}

void waits_opened(struct waits *ws, uint64_t was, uint64_t opening, uint64_t prev)
{
    ws->opening = opening;
    ws->stored = prev;
    for (struct wait *w = ws->first, *next; w; w = next) {
        next = w->next;
        if (w->opening >= opening)
            continue;
        if (w->opening + 1 == opening && w->opening == was && w->id <= prev)
            w->opening = opening;
        else
            finish(ws, w, WAIT_LOST);
    }
    settle(ws);
}

void waits_tick(struct waits *ws, uint64_t now_ms)
{
    for (struct wait *w = ws->first, *next; w; w = next) {
        next = w->next;
        if (w->deadline_ms <= now_ms)
            finish(ws, w, WAIT_TIMEOUT);
    }
}

void waits_end(struct waits *ws)
{
    while (ws->first)
        finish(ws, ws->first, WAIT_TIMEOUT);
}
