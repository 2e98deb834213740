/* SPDX-License-Identifier: MIT */
/*
 * What goes. In a closed loop there are always `window` messages under way (WebSocket), or one
 * request for each requester. With a rate each has its time, whether the server keeps up or not,
 * and what is late counts from when it was due: a server that stalls cannot hide it.
 */
#include <inttypes.h>
#include <stdio.h>

#include "common/clock.h"
#include "tests/bench/load.h"

enum {
    OPCODE_TEXT = 1,
    IDLE_US = 100000, /* when nothing is due */
};

static void content_write(struct load *l, size_t publisher, uint64_t due_us, struct buf **out)
{
    static char padding[1 << 16];
    if (!*padding)
        memset(padding, 'x', sizeof padding);
    buf_printf(out, "%s%04zx.%08" PRIx64 ".%08" PRIx64 ".%012" PRIx64 "~", l->mark, publisher,
               l->numbers[publisher]++, l->counts.sent, due_us & 0xffffffffffff);
    buf_add(out, padding, l->o->bytes - MARK_BYTES);
}

static void message_write(struct load *l, size_t publisher, uint64_t due_us, struct buf **out)
{
    const char *t = l->o->template, *hole = strstr(t, "%s");
    buf_add(out, t, (size_t)(hole - t));
    content_write(l, publisher, due_us, out);
    buf_add_str(out, str_of(hole + 2));
}

static void request_send(struct load *l, struct conn *c, struct str message)
{
    const struct target *t = &l->o->targets[c->target];
    struct buf *request = NULL;
    if (l->o->get)
        buf_printf(&request, "GET %s HTTP/1.1\r\nHost: %s:%s\r\n\r\n", l->o->get, t->host, t->port);
    else
        buf_printf(&request,
                   "POST %s HTTP/1.1\r\nHost: %s:%s\r\nContent-Type: %s\r\n"
                   "Content-Length: %zu\r\n\r\n",
                   l->o->publish_path, t->host, t->port,
                   l->o->json ? "application/json" : "text/plain", message.len);
    buf_add_str(&request, message);
    c->busy = true;
    conn_write(l, c, buf_str(request).p, request->len);
    buf_free(&request);
}

unsigned long conn_room(const struct load *l, const struct conn *c)
{
    return (unsigned long)(c - l->conns) / l->o->ntargets % l->o->rooms;
}

uint32_t conn_audience(const struct load *l, const struct conn *publisher)
{
    const struct options *o = l->o;
    if (o->rooms == 1)
        return (uint32_t)o->clients;
    uint32_t count = 0;
    for (unsigned long i = 0, room = conn_room(l, publisher); i < o->clients; i++)
        count += conn_room(l, &l->conns[i]) == room;
    return count;
}

static void send_one(struct load *l, size_t publisher, uint64_t due_us)
{
    struct conn *c = l->publishers[publisher];
    struct buf *message = NULL;
    if (!l->o->get) {
        message_write(l, publisher, due_us, &message);
        l->missing[l->counts.sent] = l->audiences[publisher];
        l->under_way += l->audiences[publisher] > 0;
    }
    l->counts.sent++;
    c->due_us = due_us;
    if (c->kind == CONN_REQUESTER) {
        request_send(l, c, buf_str(message));
    } else {
        l->counts.accepted++;
        l->counts.expected += l->audiences[publisher];
        frame_write(l, c, OPCODE_TEXT, buf_str(message).p, buf_len(message));
    }
    buf_free(&message);
}

/* Who sends the next one; npublishers when nobody can now. */
static size_t publisher_next(const struct load *l)
{
    for (size_t i = 0; i < l->npublishers; i++) {
        size_t p = (l->counts.sent + i) % l->npublishers;
        const struct conn *c = l->publishers[p];
        if (c->state == CONN_OPEN && !c->busy)
            return p;
        if (c->kind != CONN_REQUESTER)
            break; /* in turn: what each has sent stays in order */
    }
    return l->npublishers;
}

int64_t publish_due(struct load *l, uint64_t now)
{
    const struct options *o = l->o;
    while (l->counts.sent < l->goal) {
        uint64_t due = now;
        if (o->rate > 0)
            due = l->start_us + (uint64_t)((double)(l->counts.sent - l->first) * 1e6 / o->rate);
        if (due > now)
            return (int64_t)(due - now);
        if (o->rate <= 0 && o->window && l->under_way >= o->window)
            break;
        size_t p = publisher_next(l);
        if (p == l->npublishers)
            break;
        send_one(l, p, due);
    }
    return IDLE_US;
}

void publish_answered(struct load *l, struct conn *c)
{
    (void)l;
    c->busy = false;
}

bool publish_done(const struct load *l)
{
    const struct counts *n = &l->counts;
    if (n->sent < l->goal)
        return false;
    if (l->o->http || l->o->get)
        return n->answers >= n->sent && (l->o->get || n->unique >= n->expected);
    return l->under_way == 0;
}
