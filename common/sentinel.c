/* SPDX-License-Identifier: MIT */
/*
 * One question at a time: the timer starts it, and is then its deadline.
 *
 *      IDLE ── sentinel_ask ──► NEXT ── timer, at once ──► ASKING ── master's address ──► IDLE
 *                                 ▲                           │
 *                                 └── no answer, or no help ──┘    after the last one: IDLE
 *
 * Whether the server that they name is a master is for the caller to see.
 */
#include "common/sentinel.h"

#include <event2/event.h>
#include <event2/event_struct.h>
#include <stdio.h>
#include <stdlib.h>

#include "common/limits.h"
#include "common/mem.h"
#include "common/resolve.h"
#include "common/wire.h"

enum sentinel_state {
    SENTINEL_IDLE,
    SENTINEL_NEXT,
    SENTINEL_ASKING,
};

struct sentinel {
    struct event_base *base;
    struct evdns_base *dns;
    const struct redis_url *url;
    struct redis_tls *tls; /* NULL: in plain text */
    sentinel_cb cb;
    void *ctx;
    enum sentinel_state state;
    struct event timer;      /* NEXT: at once; ASKING: the deadline */
    struct resolve *resolve; /* of the sentinel's name */
    struct wire *wire;       /* to the sentinel */
    size_t at;               /* which one of the URL */
    size_t failed;           /* how many were of no help to this question */
    unsigned asked;          /* how many were asked, ever: picks the address */
    char why[256];           /* the last failure */
};

/* ---- one sentinel ---- */

static void timer_set(struct sentinel *s, unsigned ms)
{
    struct timeval in = {ms / 1000, (suseconds_t)(ms % 1000) * 1000};
    evtimer_add(&s->timer, &in);
}

static void leave(struct sentinel *s, enum sentinel_state next)
{
    s->state = next;
    resolve_cancel(&s->resolve);
    wire_close(s->wire);
    s->wire = NULL;
    evtimer_del(&s->timer);
}

static void failed(struct sentinel *s, const char *why)
{
    const struct redis_host *host = &s->url->hosts[s->at];
    snprintf(s->why, sizeof s->why, "sentinel %s: %s", host->name, why);
    s->at = (s->at + 1) % s->url->nhosts;
    if (++s->failed < s->url->nhosts) {
        leave(s, SENTINEL_NEXT);
        timer_set(s, 0);
    } else {
        leave(s, SENTINEL_IDLE);
        s->cb(s->ctx, NULL, 0, s->why);
    }
}

static void found(struct sentinel *s, struct str host, uint16_t port)
{
    char *name = mem_strndup(host.p, host.len);
    leave(s, SENTINEL_IDLE);
    s->cb(s->ctx, name, port, NULL);
    free(name);
}

static void answer_cb(void *arg, const struct reply *r)
{
    struct sentinel *s = arg;
    uint64_t port;
    if (!r) /* the wire tells why */
        return;
    if (r->type == REPLY_NIL) {
        failed(s, "it does not know the master");
    } else if (r->type == REPLY_ERROR) {
        char text[128];
        snprintf(text, sizeof text, "%.*s", (int)r->str.len, r->str.p);
        failed(s, text);
    } else if (r->type == REPLY_ARRAY && r->n == 2 && reply_str(&r->at[0]).len > 0 &&
               reply_u64(&r->at[1], &port) && port > 0 && port <= UINT16_MAX) {
        found(s, r->at[0].str, (uint16_t)port);
    } else {
        failed(s, "its answer is no address");
    }
}

static void lost_cb(void *ctx, const char *why)
{
    failed(ctx, why);
}

static void resolved_cb(void *ctx, const char *ip, const char *why)
{
    static const struct wire_ops ops = {.lost = lost_cb};
    struct sentinel *s = ctx;
    if (!ip) {
        failed(s, why);
        return;
    }
    const struct redis_host *host = &s->url->hosts[s->at];
    s->wire = wire_open(s->base, &(struct wire_to){ip, host->port, s->tls, host->name}, &ops, s);
    const struct str words[] = {STR("SENTINEL"), STR("get-master-addr-by-name"),
                                str_of(s->url->master)};
    wire_command(s->wire, words, sizeof words / sizeof *words, answer_cb, s);
}

static void timer_cb(evutil_socket_t fd, short what, void *arg)
{
    (void)fd;
    (void)what;
    struct sentinel *s = arg;
    if (s->state == SENTINEL_ASKING) {
        failed(s, "no answer in time");
        return;
    }
    s->state = SENTINEL_ASKING;
    timer_set(s, SENTINEL_MS);
    resolve_start(&s->resolve, s->dns, s->url->hosts[s->at].name, s->asked++, resolved_cb, s);
}

/* ---- for the owner ---- */

struct sentinel *sentinel_new(struct event_base *base, struct evdns_base *dns,
                              const struct redis_url *url, struct redis_tls *tls, sentinel_cb cb,
                              void *ctx)
{
    struct sentinel *s = mem_zalloc(sizeof *s);
    s->base = base;
    s->dns = dns;
    s->url = url;
    s->tls = tls;
    s->cb = cb;
    s->ctx = ctx;
    evtimer_assign(&s->timer, base, timer_cb, s);
    return s;
}

void sentinel_free(struct sentinel *s)
{
    if (!s)
        return;
    sentinel_stop(s);
    event_debug_unassign(&s->timer);
    free(s);
}

void sentinel_ask(struct sentinel *s)
{
    leave(s, SENTINEL_NEXT);
    s->failed = 0;
    timer_set(s, 0);
}

void sentinel_stop(struct sentinel *s)
{
    leave(s, SENTINEL_IDLE);
}
