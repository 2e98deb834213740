/* SPDX-License-Identifier: MIT */
/*
 * Waits in the order of their ids, so that what a message meets is at the front of the list. New
 * waits nearly always belong at its end.
 *
 *      waiting ── met, lost or too late ──► ending ── done is called ──► its owner's again
 *
 * No list is walked while a callback runs: an event first moves all that it ends, then the ending
 * ones are told from the front. So a callback may add waits, take off any other, or bring the next
 * event; none is told twice, or after it was taken off.
 */
#include "gateway/waits.h"

#include <assert.h>

/* Puts w behind before, or at the front when that is NULL. */
static void list_insert(struct wait_list *list, struct wait *before, struct wait *w)
{
    w->prev = before;
    w->next = before ? before->next : list->first;
    if (w->next)
        w->next->prev = w;
    else
        list->last = w;
    if (before)
        before->next = w;
    else
        list->first = w;
}

static void list_remove(struct wait_list *list, struct wait *w)
{
    assert(list->first);
    if (w->prev)
        w->prev->next = w->next;
    else
        list->first = w->next;
    if (w->next)
        w->next->prev = w->prev;
    else
        list->last = w->prev;
    w->prev = w->next = NULL;
}

void waits_remove(struct waits *ws, struct wait *w)
{
    assert(ws->count > 0);
    list_remove(w->ending ? &ws->ending : &ws->waiting, w);
    w->ending = false;
    ws->count--;
}

/* It is told by the next tell_ending. */
static void end(struct waits *ws, struct wait *w, enum wait_result result)
{
    ws->ended[result]++;
    list_remove(&ws->waiting, w);
    w->ending = true;
    w->result = result;
    list_insert(&ws->ending, ws->ending.last, w);
}

static void tell_ending(struct waits *ws)
{
    for (struct wait *w; (w = ws->ending.first);) {
        waits_remove(ws, w);
        w->done(w, w->result);
    }
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
        ws->ended[WAIT_LOST]++;
        w->done(w, WAIT_LOST); /* the reply was slower than the news of the next opening */
        return;
    }
    if (met(ws, w)) {
        ws->ended[WAIT_MET]++;
        w->done(w, WAIT_MET);
        return;
    }
    struct wait *before = ws->waiting.last;
    while (before && before->id > w->id)
        before = before->prev;
    w->ending = false;
    list_insert(&ws->waiting, before, w);
    ws->count++;
}

static void settle(struct waits *ws)
{
    for (struct wait *w = ws->waiting.first, *next; w && w->id <= ws->seen; w = next) {
        next = w->next;
        if (met(ws, w))
            end(ws, w, WAIT_MET);
    }
    tell_ending(ws);
}

void waits_passed(struct waits *ws, uint64_t id)
{
    if (id > ws->seen)
        ws->seen = id;
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
    if (ws->seen > prev)
        ws->seen = prev; /* above it ids may begin anew */
    for (struct wait *w = ws->waiting.first, *next; w; w = next) {
        next = w->next;
        if (w->opening >= opening)
            continue;
        if (w->opening + 1 == opening && w->opening == was && w->id <= prev)
            w->opening = opening;
        else
            end(ws, w, WAIT_LOST);
    }
    settle(ws);
}

void waits_tick(struct waits *ws, uint64_t now_ms)
{
    for (struct wait *w = ws->waiting.first, *next; w; w = next) {
        next = w->next;
        if (w->deadline_ms <= now_ms)
            end(ws, w, WAIT_TIMEOUT);
    }
    tell_ending(ws);
}

void waits_end(struct waits *ws)
{
    while (ws->waiting.first) { /* a callback may have added one */
        end(ws, ws->waiting.first, WAIT_TIMEOUT);
        tell_ending(ws);
    }
}
