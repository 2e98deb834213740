/* SPDX-License-Identifier: MIT */
/*
 * Who uses the chat. Writers post, each message with a marker of its own in its text; who has a key
 * asks again with it, at any gateway, until it is told the outcome. Subscribers stay, or leave now
 * and then; each goes on after the last message it got, at any gateway.
 */
#include <inttypes.h>
#include <stdlib.h>

#include "common/buf.h"
#include "common/message.h"
#include "gateway/deflate.h"
#include "gateway/websocket.h"
#include "procs.h"

enum {
    KEYED_PERCENT = 50,
    STORED_PERCENT = 20,
    PROBE_MARKER = 1000000,
    FRAME_MAX = 65536,
    DEFLATE_PERCENT = 10, /* compressing costs as much as all the rest */
};

struct posting *postings;
size_t posting_count;
static size_t posting_cap;
struct subscriber subscribers[SUBSCRIBERS];
static unsigned post_every_ms;

static const struct str rooms[ROOMS] = {{"lobby", 5}, {"side", 4}};

static struct gateway *any_gateway(void)
{
    return &gateways[draw_below(gateway_count)];
}

static void join_cb(void *arg, uint64_t n);

static void come_back(struct subscriber *s, uint64_t after_us)
{
    s->joining = NULL;
    event_at(world.now_us + after_us, NULL, join_cb, s, 0);
}

/* ---- writers ---- */

static void try_cb(void *arg, uint64_t n);

static void try_again(struct posting *p, uint64_t after_us)
{
    bool again = p->key.len || p->tries == 0;
    if (again && !(world.settling && !p->probe && p->tries > 60))
        event_at(world.now_us + after_us, NULL, try_cb, p, 0);
}

/* One attempt has its answer. */
static void answer_cb(void *arg, enum send_result result, uint64_t id, struct str json)
{
    struct posting *p = arg;
    if (!p->pending || p->gateway->process.life != p->life)
        return; /* the gateway has died: nobody hears this */
    p->pending = false;
    static const char *const words[] = {"done", "mismatch", "full", "refused", "maybe"};
    trace("%s tells of m%" PRIu64 ": %s, id %" PRIu64, p->gateway->process.name, p->marker,
          words[result], result == SEND_DONE ? id : 0);
    p->refused += result == SEND_REFUSED || result == SEND_FULL;
    checks_answer(p, result, id, json);
    if (result == SEND_DONE || result == SEND_MISMATCH) {
        p->done = true;
        if (!p->probe && p->key.len && result == SEND_DONE && draw_chance(10)) {
            p->stored = false; /* asks once more, as after a lost answer */
            try_again(p, draw_between(0, SECOND));
        }
        return;
    }
    try_again(p, draw_between(10 * MS, SECOND));
}

/* In the gateway's turn. */
static void post_cb(void *arg, uint64_t n)
{
    (void)n;
    struct posting *p = arg;
    const struct send send = {.room = p->room,
                              .username = p->username,
                              .content = p->content,
                              .key = p->key,
                              .stored = p->stored};
    if (!link_send(p->gateway->link, &send, answer_cb, p)) {
        p->pending = false;
        p->refused++;
        checks_answer(p, SEND_REFUSED, 0, STR(""));
        try_again(p, draw_between(10 * MS, SECOND));
    }
}

static void try_cb(void *arg, uint64_t n)
{
    (void)n;
    struct posting *p = arg;
    if (p->pending)
        return;
    struct gateway *g = p->probe ? p->gateway : any_gateway();
    if (!g->process.alive) {
        event_at(world.now_us + draw_between(50 * MS, 500 * MS), NULL, try_cb, p, 0);
        return;
    }
    p->gateway = g;
    p->life = g->process.life;
    p->pending = true;
    p->tries++;
    p->asked_us = world.now_us;
    event_at(world.now_us + draw_between(200, 5 * MS), &g->process, post_cb, p, 0);
}

void people_gateway_died(struct gateway *g)
{
    for (size_t i = 0; i < posting_count; i++) {
        struct posting *p = &postings[i];
        if (!p->pending || p->gateway != g)
            continue;
        p->pending = false; /* its outcome is not known */
        try_again(p, draw_between(10 * MS, SECOND));
    }
    for (int i = 0; i < SUBSCRIBERS; i++)
        if (subscribers[i].peer && subscribers[i].peer->gateway == g)
            subscriber_lost(subscribers[i].peer);
        else if (subscribers[i].joining == g)
            come_back(&subscribers[i], draw_between(10 * MS, 600 * MS));
}

static struct posting *posting_new(uint64_t marker)
{
    static const char filling[] = " and so on and on, as people will, about the weather and about "
                                  "what the others have said of it, and nobody minds";
    struct posting *p = &postings[posting_count++];
    *p = (struct posting){.marker = marker, .room = rooms[draw_chance(70) ? 0 : 1]};
    p->username = arena_printf("user%" PRIu64, draw_below(3));
    p->content = arena_printf("m%" PRIu64 "%.*s", marker, (int)draw_below(sizeof filling), filling);
    p->stored = draw_chance(STORED_PERCENT);
    if (draw_chance(KEYED_PERCENT))
        p->key = arena_printf("k%" PRIu64, marker);
    return p;
}

static void write_cb(void *arg, uint64_t n)
{
    (void)arg, (void)n;
    if (world.settling || posting_count + GATEWAYS_MAX == posting_cap)
        return;
    uint64_t burst = draw_chance(10) ? draw_between(5, 25) : 1;
    for (; burst && posting_count + GATEWAYS_MAX < posting_cap; burst--)
        event_at(world.now_us, NULL, try_cb, posting_new(posting_count + 1), 0);
    event_at(world.now_us + draw_between(0, 2 * post_every_ms * MS), NULL, write_cb, NULL, 0);
}

void people_probe(void)
{
    for (size_t i = 0; i < gateway_count; i++) {
        struct posting *p = posting_new(PROBE_MARKER + i);
        p->probe = true;
        p->stored = true;
        p->gateway = &gateways[i];
        event_at(world.now_us, NULL, try_cb, p, 0);
    }
}

/* ---- subscribers ---- */

void subscriber_lost(struct peer *p)
{
    struct subscriber *s = p->subscriber;
    if (s->peer != p)
        return;
    s->peer = NULL;
    p->open = false;
    come_back(s, draw_between(10 * MS, 600 * MS));
}

static void leave(struct peer *p, uint64_t away_us)
{
    struct subscriber *s = p->subscriber;
    peer_close(p);
    if (s->peer == p) {
        s->peer = NULL;
        come_back(s, away_us);
    }
}

static void on_text(struct peer *p, struct str text)
{
    static const char gap[] = "{\"type\":\"gap\"", reset[] = "{\"type\":\"reset\"";
    struct subscriber *s = p->subscriber;
    uint64_t id;
    struct str room;
    if (text.len > sizeof gap && memcmp(text.p, gap, sizeof gap - 1) == 0) {
        trace("s%d is told: %.*s", (int)(s - subscribers), (int)text.len, text.p);
        leave(p, draw_between(100 * MS, SECOND));
    } else if (text.len > sizeof reset && memcmp(text.p, reset, sizeof reset - 1) == 0) {
        violation("RESET a subscriber that has %" PRIu64 " is told: %.*s", s->last, (int)text.len,
                  text.p);
    } else if (message_peek(text, &id, &room)) {
        checks_received(s, id, arena_str(text));
    } else {
        violation("FRAME a subscriber got what is no message: %.*s", (int)text.len, text.p);
    }
}

/* compressed: the frame's RSV1. */
static void on_frame(struct peer *p, bool compressed, struct str payload)
{
    struct buf *plain = NULL;
    if (!compressed)
        on_text(p, payload);
    else if (deflate_unpack(payload, FRAME_MAX, &plain) == DEFLATE_OK)
        on_text(p, buf_str(plain));
    else
        violation("FRAME a subscriber cannot read what is compressed");
    buf_free(&plain);
}

/* Whole frames; a server's are not masked. */
void subscriber_reads(struct peer *p)
{
    while (p->open && buf_len(p->in) >= 2) {
        struct str in = buf_str(p->in);
        size_t head = ws_header_len(in.p);
        if (in.len < head)
            break;
        uint64_t len = (unsigned char)in.p[1];
        if (len >= 126) {
            len = 0;
            for (size_t i = 2; i < head; i++)
                len = len << 8 | (unsigned char)in.p[i];
        }
        if (in.len < head + len)
            break;
        struct str text = {in.p + head, len};
        switch (in.p[0] & 15) {
        case WS_TEXT:
            on_frame(p, in.p[0] & 0x40, text);
            break;
        case WS_CLOSE:
            trace("s%d is closed: %.*s", (int)(p->subscriber - subscribers), (int)len - 2,
                  text.p + 2);
            leave(p, draw_between(MS, 300 * MS));
            break;
        default: /* a ping: the pongs come by themselves */
            break;
        }
        buf_take(&p->in, head + len);
    }
}

/* In the gateway's turn. */
static void joined_cb(void *arg, uint64_t number)
{
    struct subscriber *s = arg;
    struct gateway *g = &gateways[number];
    s->joining = NULL;
    if (!gateway_serves(g)) {
        come_back(s, draw_between(50 * MS, 500 * MS));
        return;
    }
    int fd = peer_new(s, g, &s->peer);
    trace("s%d joins %s after %" PRIu64, (int)(s - subscribers), g->process.name, s->last);
    gateway_join(g, fd, s->room, s->based, s->last, (uint32_t)draw_between(1, ROOM_KEEP),
                 s->deflate);
}

static void join_cb(void *arg, uint64_t n)
{
    (void)n;
    struct subscriber *s = arg;
    struct gateway *g = any_gateway();
    if (!g->process.alive || g->process.paused_us > world.now_us) {
        come_back(s, draw_between(50 * MS, 500 * MS));
        return;
    }
    s->joining = g;
    event_at(world.now_us, &g->process, joined_cb, s, (uint64_t)(g - gateways));
}

static void hop_cb(void *arg, uint64_t n)
{
    struct subscriber *s = arg;
    if (s->peer && !world.settling)
        leave(s->peer, draw_between(0, 3 * SECOND));
    event_at(world.now_us + draw_between(SECOND / 2, 4 * SECOND), NULL, hop_cb, s, n);
}

/* ---- life ---- */

void people_begin(unsigned every_ms)
{
    post_every_ms = every_ms;
    posting_count = 0;
    posting_cap = 400;
    postings = arena_alloc(posting_cap * sizeof *postings);
    event_at(world.now_us + 100 * MS, NULL, write_cb, NULL, 0);
    for (int i = 0; i < SUBSCRIBERS; i++) {
        struct subscriber *s = &subscribers[i];
        *s = (struct subscriber){.room = rooms[i % ROOMS], .hops = i >= 2, .slow = i == 3};
        s->deflate = draw_chance(DEFLATE_PERCENT);
        s->based = i % 2 == 0; /* has nothing and wants all */
        event_at(world.now_us + draw_between(0, 2 * SECOND), NULL, join_cb, s, 0);
        if (s->hops)
            event_at(world.now_us + draw_between(SECOND, 4 * SECOND), NULL, hop_cb, s, 0);
    }
}

void people_end(void)
{
    peers_end();
}
