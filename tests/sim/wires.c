/* SPDX-License-Identifier: MIT */
/*
 * The link of common/redis.h, over connections to the modelled servers. It keeps what redis.h
 * promises: two connections to the same master that live and die together, replies in order,
 * callbacks never from within, every callback once, down after them.
 *
 *    eval ──► [on its way] ──► the script runs ──► [on its way] ──► callback
 *                │                                    │
 *                └─ a cut: lost, or executed late     └─ a cut: the reply is lost
 *
 * On each connection what was sent first arrives first; between connections nothing is ordered.
 */
#include "wires.h"

#include <assert.h>
#include <stdlib.h>

#include "common/limits.h"
#include "common/mem.h"
#include "procs.h"

enum {
    USUAL_US = 3 * MS, /* the longest way, usually */
};

struct request {
    struct request *next; /* awaited, in order */
    struct conn *conn;
    enum redis_script script;
    size_t nkeys, nwords;
    const struct str *words;
    redis_reply_cb cb;
    void *arg;
    uint64_t sent_us;
    struct reply reply; /* on its way back */
    bool late;          /* the sender has given up */
};

/* One connection, commands and subscription being two. It stays when it has ended: events name it.
 */
struct conn {
    struct conn *next; /* all of this run */
    struct server *server;
    uint32_t life; /* of the server */
    struct redis *redis;
    bool open;   /* the client's end */
    bool served; /* the server's end */
    bool deaf;   /* stalled */
    bool late;   /* what was sent before the end is executed after late_us, else never */
    bool subscribed;
    uint64_t late_us;
    uint64_t in_us, out_us; /* the last arrival at the server, at the client */
    uint64_t delay_us;      /* the longest usual way */
};

enum link_state {
    LINK_WAITING,
    LINK_CONNECTING,
    LINK_UP,
};

struct redis {
    struct process *process;
    const struct redis_config *config;
    const struct redis_ops *ops;
    void *ctx;
    enum link_state state;
    uint32_t tries; /* what is under way of an earlier one is stale */
    struct conn *commands, *subscription;
    struct request *first, **end; /* awaited */
    uint64_t backoff_ms;
    bool dropping;
};

/* What a server published, on its way to one subscriber. */
struct push {
    struct conn *conn;
    size_t channel;
    struct str payload;
};

struct server *master;
static struct conn *conns;

/* ---- ends ---- */

static void connect_cb(void *arg, uint64_t try);

static void conn_close(struct conn *c)
{
    if (!c || !c->open)
        return;
    c->open = false;
    c->late = draw_chance(50);
    static const uint64_t lates[] = {0, 300 * MS, 1500 * MS, 4 * SECOND};
    c->late_us = lates[draw_below(4)];
}

static void fail(struct redis *r)
{
    bool was_up = r->state == LINK_UP;
    r->state = LINK_WAITING;
    r->dropping = false;
    r->tries++;
    conn_close(r->commands);
    conn_close(r->subscription);
    struct request *q = r->first;
    r->first = NULL;
    r->end = &r->first;
    for (struct request *next; q; q = next) {
        next = q->next;
        q->late = true;
        q->cb(q->arg, NULL);
    }
    if (was_up) {
        trace("%s link down", r->process->name);
        r->ops->down(r->ctx, "cut");
    }
    uint64_t wait_ms = r->backoff_ms / 2 + draw_below(r->backoff_ms / 2 + 1);
    r->backoff_ms = r->backoff_ms * 2 < BACKOFF_MAX_MS ? r->backoff_ms * 2 : BACKOFF_MAX_MS;
    event_at(world.now_us + wait_ms * MS, r->process, connect_cb, r, r->tries);
}

static void fail_cb(void *arg, uint64_t try)
{
    struct redis *r = arg;
    if (r->tries == try)
        fail(r);
}

/* The client hears of the end, when it has its turn. */
static void conn_break(struct conn *c)
{
    struct redis *r = c->redis;
    c->served = false;
    if (c->open && !c->deaf)
        event_at(world.now_us, r->process, fail_cb, r, r->tries);
}

void wires_end(struct server *s)
{
    for (struct conn *c = conns; c; c = c->next)
        if (c->server == s && c->served && c->life == s->life)
            conn_break(c);
}

void wires_cut(struct process *p)
{
    if (p->redis)
        event_at(world.now_us, p, fail_cb, p->redis, p->redis->tries);
}

void wires_stall(struct process *p)
{
    for (struct conn *c = conns; c; c = c->next)
        if (c->open && c->redis->process == p)
            c->deaf = true;
}

void wires_delay(struct process *p, uint64_t delay_us)
{
    for (struct conn *c = conns; c; c = c->next)
        if (c->open && c->redis->process == p)
            c->delay_us = delay_us;
}

void wires_undelay(void)
{
    for (struct conn *c = conns; c; c = c->next)
        c->delay_us = USUAL_US;
}

void wires_abandon(struct process *p)
{
    for (struct conn *c = conns; c; c = c->next)
        if (c->redis && c->redis->process == p)
            conn_close(c);
}

/* ---- a try ---- */

/* While there are two masters, a name may lead to the one and then to the other. */
static struct server *resolve(const struct process *p)
{
    return p->stranded && draw_chance(80) ? p->stranded : master;
}

static struct conn *conn_new(struct redis *r)
{
    struct conn *c = arena_alloc(sizeof *c);
    *c = (struct conn){.next = conns, .server = resolve(r->process), .redis = r, .open = true};
    c->life = c->server->life;
    c->served = c->server->up;
    c->in_us = c->out_us = world.now_us;
    c->delay_us = USUAL_US;
    conns = c;
    return c;
}

static bool conn_lives(const struct conn *c)
{
    return c->served && c->server->up && c->life == c->server->life;
}

static void up_cb(void *arg, uint64_t try)
{
    struct redis *r = arg;
    if (r->tries != try)
        return;
    if (!conn_lives(r->commands) || !conn_lives(r->subscription)) {
        fail(r);
        return;
    }
    r->state = LINK_UP;
    trace("%s link up, to %c", r->process->name, r->commands->server->name);
    r->ops->up(r->ctx);
}

static void subscribe_cb(void *arg, uint64_t try)
{
    struct redis *r = arg;
    if (r->tries != try)
        return;
    r->subscription->subscribed = true;
    uint64_t at_us = world.now_us + draw_between(MS / 2, 3 * MS);
    r->subscription->out_us = at_us;
    event_at(at_us, r->process, up_cb, r, try);
}

/* INFO on both. */
static void greet_cb(void *arg, uint64_t try)
{
    struct redis *r = arg;
    if (r->tries != try)
        return;
    const struct server *a = r->commands->server, *b = r->subscription->server;
    bool good = conn_lives(r->commands) && conn_lives(r->subscription) && !a->loading &&
                !b->loading && !a->replica && !b->replica && strcmp(a->replid, b->replid) == 0;
    if (good)
        event_at(world.now_us + draw_between(MS, 5 * MS), r->process, subscribe_cb, r, try);
    else
        fail(r);
}

static void connect_cb(void *arg, uint64_t try)
{
    struct redis *r = arg;
    if (r->tries != try)
        return;
    r->state = LINK_CONNECTING;
    r->commands = conn_new(r);
    r->subscription = conn_new(r);
    if (!conn_lives(r->commands)) {
        fail(r);
        return;
    }
    event_at(world.now_us + draw_between(MS, 5 * MS), r->process, greet_cb, r, try);
}

/* ---- requests ---- */

static uint64_t way(struct conn *c, uint64_t *last_us)
{
    uint64_t at_us = world.now_us + draw_between(200, c->delay_us);
    if (at_us < *last_us)
        at_us = *last_us;
    return *last_us = at_us;
}

static void reply_cb(void *arg, uint64_t n)
{
    (void)n;
    struct request *q = arg;
    struct redis *r = q->conn->redis;
    if (q->late || !q->conn->open || q->conn->deaf)
        return;
    assert(r->first == q);
    r->first = q->next;
    if (!r->first)
        r->end = &r->first;
    if (reply_is_error(&q->reply, "READONLY"))
        redis_drop(r, "READONLY");
    else if (reply_is_error(&q->reply, "LOADING"))
        redis_drop(r, "LOADING");
    q->cb(q->arg, &q->reply);
}

static void execute(struct request *q)
{
    struct conn *c = q->conn;
    const struct str *args = q->words + q->nkeys;
    q->reply = server_eval(c->server, q->script, q->words, q->nkeys, args, q->nwords - q->nkeys);
    scripts_checked(c->server, q->script, q->words, q->nkeys, args, q->nwords - q->nkeys,
                    &q->reply);
    if (!q->late && c->open)
        event_at(way(c, &c->out_us), c->redis->process, reply_cb, q, 0);
}

static void late_cb(void *arg, uint64_t life)
{
    struct request *q = arg;
    struct server *s = q->conn->server;
    if (!s->up || s->life != life)
        return;
    trace("a late script runs on %c", s->name);
    execute(q);
}

/* The connection ends around this request. */
static void spring(struct request *q)
{
    struct conn *c = q->conn;
    struct process *p = c->redis->process;
    enum trap trap = p->trap;
    p->trap = TRAP_NONE;
    trace("%s is cut %s its script", p->name, trap == TRAP_AFTER ? "behind" : "before");
    q->late = true;
    if (trap == TRAP_AFTER)
        execute(q);
    c->served = false;
    event_at(world.now_us, p, fail_cb, c->redis, c->redis->tries);
    if (trap == TRAP_LATE)
        event_at(world.now_us + draw_between(0, 500 * MS), NULL, late_cb, q, c->server->life);
}

static void request_cb(void *arg, uint64_t was_late)
{
    struct request *q = arg;
    struct conn *c = q->conn;
    if (!c->server->up || c->life != c->server->life || !c->served)
        return;
    bool writes = q->script == REDIS_PUBLISH || q->script == REDIS_OPEN;
    if (c->open && !c->deaf && writes && c->redis->process->trap != TRAP_NONE) {
        spring(q);
        return;
    }
    if (c->open && !c->deaf) {
        execute(q);
    } else if (was_late) {
        trace("a late script runs on %c", c->server->name);
        execute(q);
    } else if (c->open ? draw_chance(50) : c->late) {
        q->late = true;
        event_at(world.now_us + c->late_us, NULL, request_cb, q, 1);
    }
}

bool redis_eval(struct redis *r, enum redis_script script, size_t nkeys, const struct str *words,
                size_t nwords, redis_reply_cb cb, void *arg)
{
    if (r->state != LINK_UP)
        return false;
    struct str *own = arena_alloc(nwords * sizeof *own);
    for (size_t i = 0; i < nwords; i++)
        own[i] = arena_str(words[i]);
    struct request *q = arena_alloc(sizeof *q);
    *q = (struct request){.conn = r->commands, .script = script, .nkeys = nkeys, .nwords = nwords};
    q->words = own;
    q->cb = cb;
    q->arg = arg;
    q->sent_us = world.now_us;
    *r->end = q;
    r->end = &q->next;
    event_at(way(r->commands, &r->commands->in_us), NULL, request_cb, q, 0);
    return true;
}

/* ---- the subscription ---- */

static void push_cb(void *arg, uint64_t n)
{
    (void)n;
    struct push *p = arg;
    struct redis *r = p->conn->redis;
    if (p->conn->open && !p->conn->deaf && r->state == LINK_UP && p->conn == r->subscription)
        r->ops->message(r->ctx, p->channel, p->payload);
}

static void conn_push(struct conn *c, struct str channel, struct str payload)
{
    const struct redis_config *config = c->redis->config;
    for (size_t i = 0; i < config->nchannels; i++) {
        if (!str_eq(str_of(config->channels[i]), channel))
            continue;
        if (i == 0 && c->redis->process->deaf_to) {
            c->redis->process->deaf_to--;
            continue;
        }
        struct push *p = arena_alloc(sizeof *p);
        *p = (struct push){c, i, payload};
        event_at(way(c, &c->out_us), c->redis->process, push_cb, p, 0);
    }
}

static void publish(struct server *s, struct str channel, struct str payload)
{
    const struct server *other = &servers[s == &servers[0]];
    bool followed = s == master && other->replica && other->up;
    payload = arena_str(payload);
    for (struct conn *c = conns; c; c = c->next)
        if ((c->server == s || (followed && c->server == other)) && c->subscribed && c->open &&
            !c->deaf && conn_lives(c))
            conn_push(c, channel, payload);
}

void wires_begin(void)
{
    conns = NULL;
    servers_begin(publish);
    master = &servers[0];
}

/* ---- common/redis.h ---- */

static void watch_cb(void *arg, uint64_t n)
{
    (void)n;
    struct redis *r = arg;
    if (r->first && world.now_us - r->first->sent_us > (uint64_t)REDIS_REPLY_MS * MS)
        fail(r);
    event_at(world.now_us + 500 * MS, r->process, watch_cb, r, 0);
}

struct redis *redis_new(struct event_base *base, struct evdns_base *dns,
                        const struct redis_config *config, const struct redis_ops *ops, void *ctx)
{
    (void)dns;
    struct redis *r = arena_alloc(sizeof *r);
    *r = (struct redis){.process = (struct process *)(void *)base,
                        .config = config,
                        .ops = ops,
                        .ctx = ctx,
                        .backoff_ms = BACKOFF_MIN_MS};
    r->end = &r->first;
    r->process->redis = r;
    event_at(world.now_us, r->process, connect_cb, r, 0);
    event_at(world.now_us, r->process, watch_cb, r, 0);
    return r;
}

void redis_free(struct redis *r)
{
    r->state = LINK_WAITING;
    r->tries++;
    r->process->redis = NULL;
    conn_close(r->commands);
    conn_close(r->subscription);
    struct request *q = r->first;
    r->first = NULL;
    for (struct request *next; q; q = next) {
        next = q->next;
        q->late = true;
        q->cb(q->arg, NULL);
    }
}

bool redis_is_up(const struct redis *r)
{
    return r->state == LINK_UP;
}

const char *redis_status(const struct redis *r)
{
    return r->state == LINK_UP ? "up" : "down";
}

void redis_proved(struct redis *r)
{
    r->backoff_ms = BACKOFF_MIN_MS;
}

void redis_drop(struct redis *r, const char *why)
{
    if (r->state != LINK_UP || r->dropping)
        return;
    trace("%s drops its link: %s", r->process->name, why);
    r->dropping = true;
    event_at(world.now_us, r->process, fail_cb, r, r->tries);
}
