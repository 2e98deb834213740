/* SPDX-License-Identifier: MIT */
/*
 * How a client joins its room, without hole or repeat: it names what it has (`after`), or wants the
 * newest N. What the room's log does not reach back to is asked of the persister and sent as
 * private frames; then the cursor is placed behind the last of them, if the log still reaches back
 * so far, and else the persister is asked once more. Without the persister the client is told of
 * the gap.
 *
 * However much it lacks, it holds one page of memory: the next one is asked for, and the cursor is
 * placed, when it has taken the last one. All of them together hold JOINS_UNSENT_BYTES_MAX and have
 * JOINS_ASKED_MAX requests under way; the others wait in a line. Who does not take its page in time
 * is closed, sooner while others wait.
 *
 * A client may name an id that this gateway's feed has not come to yet: it has it from another one.
 * Then it keeps its `joining` until the room's log has come to that id, and is not sent it again.
 *
 * An id above all that this gateway knows of was given by a log that it does not see yet, or is
 * parted from; or it was never given, since SQLite was set back or the id is of another chat. Only
 * the file tells: ids above its lease were never given. Then the client is told `reset`, and begins
 * as a new one. When the persister does not tell, the client is closed to ask again: nobody is told
 * what may be untrue, or waits for ids that may never come.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "common/clock.h"
#include "common/limits.h"
#include "common/mem.h"
#include "common/message.h"
#include "gateway/clients_internal.h"

enum join_step {
    JOIN_GOES_ON,
    JOIN_WAITS, /* in the line, to ask the persister */
    JOIN_ASKED, /* of it */
    JOIN_TAKES, /* what the persister said, or word of a gap */
};

/* What a client has only until it is LIVE, or until the feed has come to where it is. */
struct joining {
    struct room_waiter waiter;
    struct client *client;
    TAILQ_ENTRY(joining) queued; /* WAITS, TAKES */
    uint64_t since_ms;           /* TAKES */
    size_t unsent;               /* TAKES: bytes, when it began */
    uint64_t after;              /* everything up to here was sent or is not wanted */
    uint32_t newest;             /* this many of the newest are wanted, 0: all after `after` */
    uint32_t if_reset;           /* newest, if `after` was never given */
    uint64_t before;             /* what the persister was asked for ends there */
    enum join_step step;
    bool resuming; /* it came with `after` */
    bool unknown;  /* … which is not known here: the file's lease is to be asked for first */
    bool asked;    /* the persister was */
    bool gapped;   /* it was told of a gap */
};

/* It leaves the line, or has taken its page. */
static void step_leave(struct client *c)
{
    struct joining *j = c->joining;
    struct clients *cs = c->clients;
    if (j->step == JOIN_WAITS)
        TAILQ_REMOVE(&cs->joins.waiting, j, queued);
    if (j->step == JOIN_TAKES) {
        TAILQ_REMOVE(&cs->joins.taking, j, queued);
        cs->joins.unsent -= j->unsent;
    }
    j->step = JOIN_GOES_ON;
}

static void take_begin(struct client *c)
{
    struct joining *j = c->joining;
    struct clients *cs = c->clients;
    j->step = JOIN_TAKES;
    j->since_ms = now_ms();
    j->unsent = buf_len(c->out);
    cs->joins.unsent += j->unsent;
    TAILQ_INSERT_TAIL(&cs->joins.taking, j, queued);
}

void join_end(struct client *c)
{
    if (!c->joining)
        return;
    step_leave(c);
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

static void joins_admit(struct clients *cs);
static void join_go_on(struct client *c);

/* How far it has come with what the persister said: all that lies before the log's beginning, or,
 * when there may be more, the last line. */
static void page_note(struct joining *j, bool more, uint64_t last)
{
    uint64_t all = j->before - 1;
    if (!more || j->newest)
        last = all;
    if (last > j->after)
        j->after = last;
    j->newest = 0;
}

static void join_history_cb(void *arg, bool ok, int status, struct str lines)
{
    (void)status;
    struct client *c = arg;
    struct clients *cs = c->clients;
    struct joining *j = c->joining;
    struct str line = {0}, room;
    uint64_t id, last = 0;
    size_t count = 0;
    bool cut = history_cut(lines);
    cs->joins.asked--;
    client_release(c);
    if (c->state == CLIENT_JOINING) {
        if (ok)
            tell_pruned(c);
        else
            tell_gap(c, j->before);
        if (ok && lines.len) /* a frame's header is longer than the line's end */
            buf_reserve(&c->out, lines.len + lines.len / 16);
        for (; ok && history_line(&lines, &line); last = id, count++)
            if (message_peek(line, &id, &room))
                client_send(c, WS_TEXT, line);
        page_note(j, ok && (cut || count >= PAGE_LIMIT_MAX), last);
        take_begin(c);
        clients_owe(c);
    }
    joins_admit(cs);
}

/* ---- a resume point that is not known here ---- */

static void tell_reset(struct client *c)
{
    char text[96];
    int n = snprintf(text, sizeof text,
                     "{\"type\":\"reset\",\"after\":%" PRIu64 ",\"last\":%" PRIu64 "}",
                     c->joining->after, c->clients->ops->position(c->clients->ctx));
    client_send(c, WS_TEXT, (struct str){text, (size_t)n});
}

static void join_new(struct client *c, uint32_t newest)
{
    const struct clients *cs = c->clients;
    c->joining->newest = newest;
    c->joining->after = newest ? 0 : cs->ops->position(cs->ctx);
}

static void unknown_close(struct client *c)
{
    client_close(c, WS_CLOSE_RESTART, "the resume point is not known here: reconnect");
}

static void lease_came(void *arg, bool ok, int status, struct str lines)
{
    (void)status, (void)lines;
    struct client *c = arg;
    struct clients *cs = c->clients;
    struct joining *j = c->joining;
    cs->joins.asked--;
    client_release(c);
    if (c->state == CLIENT_JOINING && ok) {
        j->step = JOIN_GOES_ON;
        j->unknown = false;
        if (j->after > history_lease(cs->history)) {
            tell_reset(c);
            join_new(c, j->if_reset);
        }
        join_go_on(c);
    } else if (c->state == CLIENT_JOINING) {
        unknown_close(c);
    }
    joins_admit(cs);
}

/* Asks for a page only to be told the lease. */
static void lease_ask(struct client *c)
{
    struct clients *cs = c->clients;
    if (!history_page(cs->history, (struct str){c->room->name, c->room->name_len}, HISTORY_NEWEST,
                      0, 1, 0, lease_came, c)) {
        unknown_close(c);
        return;
    }
    client_hold(c);
    cs->joins.asked++;
    c->joining->step = JOIN_ASKED;
}

/* ---- what lies between the client and the room's log ---- */

static void join_ask(struct client *c)
{
    struct joining *j = c->joining;
    const struct room_log *l = &c->room->log;
    struct room_page page = room_log_look(l, 0, 0, j->newest, true);
    uint64_t after = j->newest ? HISTORY_NEWEST : j->after;
    uint32_t limit = j->newest ? j->newest - (uint32_t)page.count : PAGE_LIMIT_MAX;
    j->before = j->newest && page.count ? page.first : l->reach + 1;
    if (history_page(c->clients->history, (struct str){c->room->name, c->room->name_len}, after,
                     j->before, limit, j->before - 1, join_history_cb, c)) {
        client_hold(c);
        c->clients->joins.asked++;
        j->step = JOIN_ASKED;
        j->asked = true;
        return;
    }
    tell_gap(c, j->before);
    page_note(j, false, 0);
    take_begin(c);
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

/* It has all that it asked for, or memory has the rest. */
static bool join_whole(const struct client *c)
{
    const struct room_log *l = &c->room->log;
    const struct joining *j = c->joining;
    if (j->newest)
        return l->reach == 0 || room_log_look(l, 0, 0, j->newest, true).count >= j->newest;
    return j->after >= l->reach;
}

static void join_go_on(struct client *c)
{
    struct clients *cs = c->clients;
    struct joining *j = c->joining;
    tell_pruned(c);
    if (j->unknown || !join_whole(c)) {
        j->step = JOIN_WAITS;
        TAILQ_INSERT_TAIL(&cs->joins.waiting, j, queued);
        joins_admit(cs);
    } else if (j->newest) {
        join_place(c, room_log_back(&c->room->log, j->newest));
    } else {
        join_place(c, room_log_after(&c->room->log, j->after));
    }
}

static bool joins_pressed(const struct clients *cs)
{
    return cs->joins.unsent >= JOINS_UNSENT_BYTES_MAX;
}

/* Those at the head of the line ask, as many as may. */
static void joins_admit(struct clients *cs)
{
    struct joining *j;
    while (cs->joins.asked < JOINS_ASKED_MAX && !joins_pressed(cs) &&
           (j = TAILQ_FIRST(&cs->joins.waiting))) {
        step_leave(j->client);
        if (j->unknown)
            lease_ask(j->client);
        else
            join_ask(j->client);
    }
}

void join_taken(struct client *c)
{
    struct joining *j = c->joining;
    if (j->step != JOIN_TAKES)
        return;
    step_leave(c);
    join_go_on(c);
    joins_admit(c->clients);
}

void joins_tick(struct clients *cs, uint64_t now_ms)
{
    bool pressed = joins_pressed(cs) && !TAILQ_EMPTY(&cs->joins.waiting);
    uint64_t most_ms = pressed ? JOIN_TAKE_PRESSED_MS : JOIN_TAKE_MS;
    struct joining *j;
    while ((j = TAILQ_FIRST(&cs->joins.taking)) && now_ms - j->since_ms > most_ms)
        client_close(j->client, WS_CLOSE_SLOW, "too slow: reconnect and resume");
    joins_admit(cs);
}

static void join_awake(struct room_waiter *w)
{
    struct joining *j = (struct joining *)(void *)w; /* its first member */
    const struct clients *cs = j->client->clients;
    j->unknown = j->resuming && cs->ops->beyond(cs->ctx, j->after);
    join_go_on(j->client);
}

void join_begin(struct client *c, bool resume, uint64_t after, uint32_t newest)
{
    struct joining *j = c->joining = mem_zalloc(sizeof *j);
    j->client = c;
    j->resuming = resume;
    j->after = after;
    j->if_reset = newest;
    c->clients->counts.joining++;
    if (!resume)
        join_new(c, newest);
    j->waiter.awake = join_awake;
    room_wait(c->room, &j->waiter);
}
