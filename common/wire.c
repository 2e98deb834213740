/* SPDX-License-Identifier: MIT */
/*
 * hiredis on raw events, made safe. hiredis frees its context by itself when a connection fails or
 * ends, and must not be made to free it from within its connect and disconnect callbacks. Hence:
 *
 *   - The context's end is learned at one place, the event cleanup hook, which hiredis calls
 *     whenever a context dies, whoever kills it. It leaves w->context NULL and a reason.
 *   - w->depth tells whether hiredis or an owner's callback is on the stack. What was closed
 *     meanwhile is freed by wire_leave, when it no longer is.
 *   - Who waits for a reply is in a list of our own, in the order of sending, as Redis answers in
 *     that order. hiredis' own calls with NULL are ignored: the list is failed by wire_close, so
 *     that each gets exactly one call, also on paths where hiredis makes none.
 *   - A command on a context that is dying or dead is queued all the same and fails with the rest.
 *
 * One timer watches the oldest command. It is not moved at each reply: when it fires early it is
 * set again for what is the oldest by then.
 */
#include "common/wire.h"
#include "common/clock.h"

#include <assert.h>
#include <event2/event.h>
#include <event2/event_struct.h>
#include <hiredis/async.h>
#include <hiredis/hiredis.h>
#ifdef CHAT_TLS
#include <hiredis/hiredis_ssl.h>
#endif
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>

#include "common/limits.h"
#include "common/mem.h"
#include "common/redis_tls.h"

/* A command that is not answered yet. */
struct pending {
    struct pending *next;
    wire_reply_cb cb;
    void *arg;
    uint64_t sent_ms;
};

struct wire {
    redisAsyncContext *context; /* NULL: dead, why says of what */
    struct ssl_st *session;     /* NULL: in plain text; it dies with context */
    struct event read, write;   /* as hiredis asks for them */
    struct event timer;         /* the oldest command's deadline; at once: it is dead */
    const struct wire_ops *ops;
    void *ctx;
    unsigned depth; /* calls on the stack that still need this object */
    bool writing;   /* hiredis is trying to write */
    bool lost;      /* the owner was told */
    bool closed;    /* by the owner: nothing is called any more */
    bool deaf;      /* nothing is read */
    struct pending *first, **last;
    struct reply *nodes; /* of the reply that is being told; reused */
    size_t nodes_cap;
    const char **argv; /* of the command that is being sent; reused, as is lens */
    size_t *lens;
    size_t argv_cap;
    char why[192];
};

static void timer_set(struct wire *w, uint64_t ms)
{
    struct timeval in = {(time_t)(ms / 1000), (suseconds_t)(ms % 1000 * 1000)};
    evtimer_add(&w->timer, &in);
}

/* ---- lifetime ---- */

static void wire_free(struct wire *w)
{
    if (w->context)
        redisAsyncFree(w->context);
    struct event *events[] = {&w->read, &w->write, &w->timer};
    for (size_t i = 0; i < sizeof events / sizeof *events; i++) {
        event_del(events[i]);
        event_debug_unassign(events[i]);
    }
    free(w->nodes);
    free(w->argv);
    free(w->lens);
    free(w);
}

/* The end of every call from the loop. */
static void wire_leave(struct wire *w)
{
    if (!w->context && !w->lost && !w->closed) {
        w->lost = true;
        w->ops->lost(w->ctx, w->why);
    }
    if (--w->depth == 0 && w->closed)
        wire_free(w);
}

static void pending_fail(struct wire *w)
{
    while (w->first) {
        struct pending *p = w->first;
        w->first = p->next;
        p->cb(p->arg, NULL);
        free(p);
    }
    w->last = &w->first;
}

void wire_close(struct wire *w)
{
    if (!w || w->closed)
        return;
    w->closed = true;
    w->depth++;
    pending_fail(w);
    wire_leave(w);
}

/* ---- replies ---- */

static size_t node_count(const redisReply *r)
{
    size_t n = 1;
    if (r->type == REDIS_REPLY_ARRAY)
        for (size_t i = 0; i < r->elements; i++)
            n += node_count(r->element[i]);
    return n;
}

/* Fills *to from *from, its elements from *spare on. The depth is bounded by the library's reader.
 */
static void node_fill(struct reply *to, const redisReply *from, struct reply **spare)
{
    *to = (struct reply){.type = REPLY_NIL};
    switch (from->type) {
    case REDIS_REPLY_STRING:
    case REDIS_REPLY_STATUS:
        to->type = REPLY_STRING;
        to->str = (struct str){from->str, (size_t)from->len};
        break;
    case REDIS_REPLY_ERROR:
        to->type = REPLY_ERROR;
        to->str = (struct str){from->str, (size_t)from->len};
        break;
    case REDIS_REPLY_INTEGER:
        to->type = REPLY_INTEGER;
        to->integer = from->integer;
        break;
    case REDIS_REPLY_ARRAY: {
        struct reply *at = *spare;
        *spare += from->elements;
        to->type = REPLY_ARRAY;
        to->n = from->elements;
        to->at = at;
        for (size_t i = 0; i < from->elements; i++)
            node_fill(&at[i], from->element[i], spare);
        break;
    }
    default: /* RESP3 was never asked for */
        break;
    }
}

static const struct reply *reply_convert(struct wire *w, const redisReply *r)
{
    size_t need = node_count(r);
    if (need > w->nodes_cap) {
        w->nodes = mem_grow(w->nodes, need, sizeof *w->nodes);
        w->nodes_cap = need;
    }
    struct reply *spare = w->nodes + 1;
    node_fill(w->nodes, r, &spare);
    return w->nodes;
}

/* Called by hiredis, with NULL when the context dies: then pending_fail does it. */
static void reply_cb(redisAsyncContext *context, void *reply, void *unused)
{
    (void)unused;
    struct wire *w = context->data;
    struct pending *p = w->first;
    if (!reply || w->closed || !p)
        return;
    w->first = p->next;
    if (!w->first)
        w->last = &w->first;
    p->cb(p->arg, reply_convert(w, reply));
    free(p);
}

static void push_cb(redisAsyncContext *context, void *reply, void *unused)
{
    (void)unused;
    struct wire *w = context->data;
    if (reply && !w->closed && w->ops->push)
        w->ops->push(w->ctx, reply_convert(w, reply));
}

/* ---- events ---- */

static void connect_cb(const redisAsyncContext *context, int status)
{
    struct wire *w = context->data;
    if (status == REDIS_OK && !w->closed && w->ops->connected)
        w->ops->connected(w->ctx);
}

static void read_cb(evutil_socket_t fd, short what, void *arg)
{
    (void)fd;
    (void)what;
    struct wire *w = arg;
    w->depth++;
    if (REDIS_TLS_BUILT)
        redis_tls_begin();
    redisAsyncHandleRead(w->context);
    wire_leave(w);
}

static void write_cb(evutil_socket_t fd, short what, void *arg)
{
    (void)fd;
    (void)what;
    struct wire *w = arg;
    w->depth++;
    if (REDIS_TLS_BUILT)
        redis_tls_begin();
    w->writing = true;
    redisAsyncHandleWrite(w->context);
    w->writing = false;
    wire_leave(w);
}

/* The oldest command is watched, or the timer is left alone. */
static void deadline_check(struct wire *w)
{
    uint64_t age = w->first ? now_ms() - w->first->sent_ms : 0;
    if (age >= REDIS_REPLY_MS) {
        redisAsyncFree(w->context);
        snprintf(w->why, sizeof w->why, "no reply within %d ms", REDIS_REPLY_MS);
    } else if (w->first) {
        timer_set(w, REDIS_REPLY_MS - age);
    }
}

static void timer_cb(evutil_socket_t fd, short what, void *arg)
{
    (void)fd;
    (void)what;
    struct wire *w = arg;
    w->depth++;
    if (w->context)
        deadline_check(w);
    wire_leave(w);
}

static void add_read_hook(void *arg)
{
    struct wire *w = arg;
    if (!w->deaf)
        event_add(&w->read, NULL);
}

static void del_read_hook(void *arg)
{
    struct wire *w = arg;
    event_del(&w->read);
}

/* What is sent now goes out in this turn of the loop, behind the events that are there already:
 * nearly always the socket takes it. Only for what it did not take it is waited for. */
static void add_write_hook(void *arg)
{
    struct wire *w = arg;
    if (w->writing || !(w->context->c.flags & REDIS_CONNECTED))
        event_add(&w->write, NULL);
    else
        event_active(&w->write, EV_WRITE, 0);
}

static void del_write_hook(void *arg)
{
    struct wire *w = arg;
    event_del(&w->write);
}

/* The context is about to be freed; its descriptor is still open. */
static void cleanup_hook(void *arg)
{
    struct wire *w = arg;
    event_del(&w->read);
    event_del(&w->write);
    const redisContext *c = &w->context->c;
    if (!REDIS_TLS_BUILT || !w->session || !redis_tls_failed(w->session, w->why, sizeof w->why))
        snprintf(w->why, sizeof w->why, "%s", c->err ? c->errstr : "closed");
    w->context = NULL;
    w->session = NULL;
}

/* ---- opening ---- */

static void context_attach(struct wire *w, struct event_base *base, redisAsyncContext *context)
{
    event_assign(&w->read, base, context->c.fd, EV_READ | EV_PERSIST, read_cb, w);
    event_assign(&w->write, base, context->c.fd, EV_WRITE | EV_PERSIST, write_cb, w);
    w->context = context;
    context->data = w;
    context->ev.data = w;
    context->ev.addRead = add_read_hook;
    context->ev.delRead = del_read_hook;
    context->ev.addWrite = add_write_hook;
    context->ev.delWrite = del_write_hook;
    context->ev.cleanup = cleanup_hook;
    redisAsyncSetConnectCallback(context, connect_cb); /* waits for writability */
}

#ifdef CHAT_TLS
/* The library shakes hands by itself, and may come to an end of it here and now. It takes the
 * session unless that is a bad end: then w->why tells it. */
static bool context_secure(struct wire *w, redisAsyncContext *context, const struct wire_to *to)
{
    struct ssl_st *session = redis_tls_session(to->tls, to->name);
    if (session && redisInitiateSSL(&context->c, session) == REDIS_OK) {
        w->session = session;
        return true;
    }
    if (!session || !redis_tls_failed(session, w->why, sizeof w->why))
        snprintf(w->why, sizeof w->why, "TLS: %s", session ? context->c.errstr : "no session");
    redis_tls_session_free(session);
    return false;
}
#else
static bool context_secure(struct wire *w, redisAsyncContext *context, const struct wire_to *to)
{
    (void)w, (void)context, (void)to;
    return false;
}
#endif

struct wire *wire_open(struct event_base *base, const struct wire_to *to,
                       const struct wire_ops *ops, void *ctx)
{
    struct wire *w = mem_zalloc(sizeof *w);
    w->ops = ops;
    w->ctx = ctx;
    w->last = &w->first;
    evtimer_assign(&w->timer, base, timer_cb, w);
    redisAsyncContext *context = redisAsyncConnect(to->ip, to->port);
    if (context && !context->err && (!to->tls || context_secure(w, context, to))) {
        context_attach(w, base, context);
        return w;
    }
    event_assign(&w->read, base, -1, EV_READ, read_cb, w);
    event_assign(&w->write, base, -1, EV_WRITE, write_cb, w);
    if (!w->why[0])
        snprintf(w->why, sizeof w->why, "%s", context ? context->c.errstr : "out of memory");
    if (context)
        redisAsyncFree(context);
    timer_set(w, 0);
    return w;
}

/* ---- commands ---- */

static void argv_room(struct wire *w, size_t count)
{
    assert(count <= INT_MAX);
    if (count <= w->argv_cap)
        return;
    w->argv = mem_grow(w->argv, count, sizeof *w->argv);
    w->lens = mem_grow(w->lens, count, sizeof *w->lens);
    w->argv_cap = count;
}

/* What cannot be sent fails with the connection, soon. */
static void argv_send(struct wire *w, size_t count, redisCallbackFn *fn)
{
    if (!w->context || redisAsyncCommandArgv(w->context, fn, NULL, (int)count, w->argv, w->lens))
        timer_set(w, 0);
}

void wire_command(struct wire *w, const struct str *words, size_t nwords, wire_reply_cb cb,
                  void *arg)
{
    assert(!w->closed && nwords > 0);
    argv_room(w, nwords);
    for (size_t i = 0; i < nwords; i++) {
        w->argv[i] = words[i].len ? words[i].p : "";
        w->lens[i] = words[i].len;
    }
    struct pending *p = mem_alloc(sizeof *p);
    *p = (struct pending){.cb = cb, .arg = arg, .sent_ms = now_ms()};
    *w->last = p;
    w->last = &p->next;
    if (!evtimer_pending(&w->timer, NULL))
        timer_set(w, REDIS_REPLY_MS);
    argv_send(w, nwords, reply_cb);
}

void wire_subscribe(struct wire *w, const char *const *channels, size_t count)
{
    assert(!w->closed && count > 0);
    argv_room(w, count + 1);
    w->argv[0] = "SUBSCRIBE";
    w->lens[0] = strlen(w->argv[0]);
    for (size_t i = 0; i < count; i++) {
        w->argv[i + 1] = channels[i];
        w->lens[i + 1] = strlen(channels[i]);
    }
    argv_send(w, count + 1, push_cb);
}

void wire_listen(struct wire *w, bool on)
{
    assert(!w->closed);
    w->deaf = !on;
    if (!w->context)
        return;
    if (on)
        event_add(&w->read, NULL);
    else
        event_del(&w->read);
}
