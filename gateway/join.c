/* SPDX-License-Identifier: MIT */
/*
 * How a client joins its room, without hole or repeat: it names what it has (`after`), or wants the
 * newest N. What the room's log does not reach back to is asked of the persister and sent as
 * private frames; then the cursor is placed behind the last of them, if the log still reaches back
 * so far, and else the persister is asked once more. Without the persister the client is told of
 * the gap.
 *
 * A client may name an id that this gateway's feed has not come to yet: it has it from another one.
 * Then it keeps its `joining` until the room's log has come to that id, and is not sent it again.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "common/mem.h"
#include "common/message.h"
#include "gateway/clients_internal.h"

/* What a client has only until it is LIVE, or until the feed has come to where it is. */
struct joining {
    struct room_waiter waiter;
    struct client *client;
    uint64_t after;         /* everything up to here was sent or is not wanted */
    uint32_t newest;        /* this many of the newest are wanted, 0: all after `after` */
    uint64_t before, floor; /* what was asked of the persister */
    bool resuming;          /* it came with `after` */
    bool asked;             /* the persister was */
    bool gapped;            /* it was told of a gap */
};

static void join_go_on(struct client *c);

void join_end(struct client *c)
{
    if (!c->joining)
        return;
    if (c->state == CLIENT_JOINING) {
        room_wait_cancel(c->room, &c->joining->waiter);
        c->clients->counts.joining--;
    }
    free(c->joining);
    c->joining = NULL;
}

static void tell_gap(struct client *c, uint64_t before)
{
    char text[96];
    int n = snprintf(text, sizeof text,
                     "{\"type\":\"gap\",\"after\":%" PRIu64 ",\"before\":%" PRIu64 "}",
                     c->joining->after, before);
    client_send(c, WS_TEXT, (struct str){text, (size_t)n});
    c->joining->gapped = true;
}

/* What retention has removed cannot be served: the client is told before what is left comes. */
static void tell_pruned(struct client *c)
{
    struct joining *j = c->joining;
    uint64_t pruned = history_pruned(c->clients->history);
    if (j->newest || j->after >= pruned)
        return;
    tell_gap(c, pruned + 1);
    j->after = pruned;
}

static void join_history_cb(void *arg, bool ok, int status, struct str lines)
{
    (void)status;
    struct client *c = arg;
    struct joining *j = c->joining;
    struct str line = {0}, room;
    uint64_t id;
    client_release(c);
    if (c->state != CLIENT_JOINING)
        return;
    size_t count = 0;
    uint64_t last = j->floor, wanted = j->after; /* where the log began when this was asked */
    if (ok)
        tell_pruned(c);
    while (ok && history_line(&lines, &line))
        if (message_peek(line, &id, &room)) {
            client_send(c, WS_TEXT, line);
            last = id;
            count++;
        }
    if (!ok) {
        tell_gap(c, j->before);
        j->after = j->before - 1;
    } else if (j->newest || count < PAGE_LIMIT_MAX) {
        if (j->after < j->before - 1)
            j->after = j->before - 1;
    } else {
        j->after = last > wanted ? last : wanted;
    }
    j->newest = 0;
    join_go_on(c);
}

/* Asks for what lies between the client and the room's log. */
static void join_ask(struct client *c, uint64_t before, uint32_t limit)
{
    struct joining *j = c->joining;
    j->before = before;
    j->floor = j->after;
    uint64_t after = j->newest ? HISTORY_NEWEST : j->after;
    if (history_page(c->clients->history, (struct str){c->room->name, c->room->name_len}, after,
                     before, limit, before - 1, join_history_cb, c)) {
        client_hold(c);
        j->asked = true;
        return;
    }
    tell_gap(c, before);
    j->after = before - 1;
    j->newest = 0;
    join_go_on(c);
}

void join_skip(struct client *c)
{
    const struct room_log *l = client_log(c);
    uint64_t pos = room_log_after(l, c->joining->after);
    if (pos > c->pos)
        c->pos = pos;
    if (c->joining->after <= l->last)
        join_end(c);
}

static void join_place(struct client *c, uint64_t pos)
{
    struct clients *cs = c->clients;
    const struct joining *j = c->joining;
    enum join_from from = j->gapped ? JOIN_GAP : j->asked ? JOIN_HISTORY : JOIN_MEMORY;
    (j->resuming ? cs->counts.resumed : cs->counts.joined)[from]++;
    if (j->after > cs->ops->position(cs->ctx) && j->after > c->room->log.last)
        cs->counts.joining--;
    else
        join_end(c);
    c->pos = pos;
    c->state = CLIENT_LIVE;
    room_add(c->room, c);
    clients_owe(c);
    client_read(c);
}

static void join_go_on(struct client *c)
{
    const struct room_log *l = &c->room->log;
    const struct joining *j = c->joining;
    tell_pruned(c);
    if (j->newest) {
        struct room_page page = room_log_look(l, 0, 0, j->newest, true);
        if (page.count >= j->newest || l->reach == 0) {
            join_place(c, room_log_back(l, j->newest));
            return;
        }
        uint64_t before = page.count ? page.first : l->reach + 1;
        join_ask(c, before, j->newest - (uint32_t)page.count);
    } else if (j->after >= l->reach) {
        join_place(c, room_log_after(l, j->after));
    } else {
        join_ask(c, l->reach + 1, PAGE_LIMIT_MAX);
    }
}

static void join_awake(struct room_waiter *w)
{
    join_go_on(((struct joining *)(void *)w)->client); /* its first member */
}

void join_begin(struct client *c, bool resume, uint64_t after, uint32_t newest)
{
    struct clients *cs = c->clients;
    struct joining *j = c->joining = mem_zalloc(sizeof *j);
    j->client = c;
    j->resuming = resume;
    cs->counts.joining++;
    if (resume) {
        j->after = after;
    } else {
        j->newest = newest;
        j->after = newest ? 0 : cs->ops->position(cs->ctx);
    }
    j->waiter.awake = join_awake;
    room_wait(c->room, &j->waiter);
}
