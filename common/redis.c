/* SPDX-License-Identifier: MIT */
/*
 * The link's states; see redis.h for the drawing. Each state but WAITING and UP waits for a number
 * of things of one kind (`awaited`): connections, replies, confirmations. The last one moves it on,
 * in link_step. Whatever goes wrong ends in link_fail, the only way down.
 *
 *      WAITING     the backoff's timer            CONNECTING  2 connections
 *      ASKING      a sentinel's answer            GREETING    AUTH, SELECT, INFO of both
 *      RESOLVING   the name's address             LOCATING    a node of a cluster: is it yours?
 *                                                 LOADING     SCRIPT LOAD, on the first
 *                                                 SUBSCRIBING a confirmation of each channel
 *
 * Order on the way down: not up any more, so that nothing new is sent; every pending callback gets
 * NULL; the next try is set; then the owner hears of it.
 */
#include <assert.h>
#include <event2/event.h>
#include <event2/util.h>
#include <stdio.h>
#include <stdlib.h>

#include "common/clock.h"
#include "common/limits.h"
#include "common/log.h"
#include "common/mem.h"
#include "common/redis_internal.h"
#include "common/redis_tls.h"
#include "common/resolve.h"
#include "common/sentinel.h"

/* A script that runs. */
struct call {
    struct redis *redis;
    enum redis_script script;
    redis_reply_cb cb;
    void *arg;
};

static void timer_set(struct redis *r, unsigned ms)
{
    struct timeval in = {ms / 1000, (suseconds_t)(ms % 1000) * 1000};
    evtimer_add(&r->timer, &in);
}

/* ---- down ---- */

/* A new reason is told at once, the same one now and then. */
static void failure_log(struct redis *r, bool was_up)
{
    uint64_t now = now_ms();
    bool same = strcmp(r->why, r->logged_why) == 0;
    if (!was_up && same && now - r->logged_ms < REDIS_COMPLAIN_MS)
        return;
    memcpy(r->logged_why, r->why, sizeof r->why);
    r->logged_ms = now;
    log_warn(was_up ? "redis down" : "redis unreachable", "for=%s address=%s why=%s",
             r->config->purpose, r->address, r->why);
}

static void backoff_set(struct redis *r)
{
    unsigned random;
    if (r->pause_ms) {
        timer_set(r, r->pause_ms);
        r->pause_ms = 0;
        return;
    }
    evutil_secure_rng_get_bytes(&random, sizeof random);
    unsigned half = r->backoff_ms / 2;
    timer_set(r, half + random % (half + 1));
    r->backoff_ms = r->backoff_ms * 2 < BACKOFF_MAX_MS ? r->backoff_ms * 2 : BACKOFF_MAX_MS;
}

static void link_close(struct redis *r)
{
    r->state = LINK_WAITING;
    evtimer_del(&r->timer);
    event_del(&r->drop);
    resolve_cancel(&r->resolve);
    if (r->sentinel)
        sentinel_stop(r->sentinel);
    for (int i = 0; i < SIDES; i++) {
        struct wire *wire = r->sides[i].wire;
        r->sides[i].wire = NULL;
        wire_close(wire);
    }
    for (int i = 0; i < REDIS_SCRIPTS; i++)
        r->scripts[i].loading = false;
}

void link_fail(struct redis *r, struct str why)
{
    bool was_up = r->state == LINK_UP;
    /* First of all: the words may belong to what is closed next. */
    snprintf(r->why, sizeof r->why, "%.*s", (int)why.len, why.p);
    link_close(r);
    failure_log(r, was_up);
    backoff_set(r);
    if (was_up)
        r->ops->down(r->ctx, r->why);
}

static void drop_cb(evutil_socket_t fd, short what, void *arg)
{
    (void)fd;
    (void)what;
    struct redis *r = arg;
    link_fail(r, str_of(r->drop_why));
}

void redis_drop(struct redis *r, const char *why)
{
    if (r->state != LINK_UP || r->drop_why[0])
        return;
    snprintf(r->drop_why, sizeof r->drop_why, "%s", why);
    event_active(&r->drop, EV_TIMEOUT, 0);
}

void redis_pause(struct redis *r, unsigned ms, const char *why)
{
    r->pause_ms = ms;
    snprintf(r->drop_why, sizeof r->drop_why, "%s", why);
    event_active(&r->drop, EV_TIMEOUT, 0);
}

void redis_listen(struct redis *r, bool on)
{
    if (r->state == LINK_UP)
        wire_listen(r->sides[SUBSCRIPTION].wire, on);
}

/* ---- the two wires ---- */

static void side_connected_cb(void *ctx)
{
    struct side *side = ctx;
    link_step(side->redis);
}

static void side_lost_cb(void *ctx, const char *why)
{
    struct side *side = ctx;
    link_fail(side->redis, str_of(why));
}

static void message_tell(struct redis *r, struct str channel, struct str payload)
{
    for (size_t i = 0; i < r->config->nchannels; i++) {
        if (str_eq(channel, str_of(r->config->channels[i]))) {
            r->ops->message(r->ctx, i, payload);
            return;
        }
    }
}

static void side_push_cb(void *ctx, const struct reply *reply)
{
    struct redis *r = ((struct side *)ctx)->redis;
    if (reply->type != REPLY_ARRAY || reply->n != 3)
        return;
    struct str kind = reply_str(&reply->at[0]);
    if (r->state == LINK_UP && str_eq(kind, STR("message")))
        message_tell(r, reply_str(&reply->at[1]), reply_str(&reply->at[2]));
    else if (r->state == LINK_SUBSCRIBING && str_eq(kind, STR("subscribe")))
        link_step(r);
}

static void resolved_cb(void *ctx, const char *ip, const char *why)
{
    static const struct wire_ops ops = {side_connected_cb, side_push_cb, side_lost_cb};
    struct redis *r = ctx;
    if (!ip) {
        link_fail(r, str_of(why));
        return;
    }
    snprintf(r->address, sizeof r->address, strchr(ip, ':') ? "[%s]:%u" : "%s:%u", ip, r->port);
    r->state = LINK_CONNECTING;
    r->awaited = SIDES;
    const struct wire_to to = {ip, r->port, r->tls, r->name};
    for (int i = 0; i < SIDES; i++)
        r->sides[i].wire = wire_open(r->base, &to, &ops, &r->sides[i]);
}

/* ---- a try ---- */

static void server_resolve(struct redis *r, const char *host, uint16_t port)
{
    r->state = LINK_RESOLVING;
    r->port = port;
    snprintf(r->name, sizeof r->name, "%s", host);
    snprintf(r->address, sizeof r->address, "%.64s:%u", host, port);
    timer_set(r, REDIS_CONNECT_MS);
    resolve_start(&r->resolve, r->dns, host, r->tries++, resolved_cb, r);
}

void link_move(struct redis *r, const char *host, uint16_t port)
{
    if (++r->moves > MOVES_MAX) {
        link_fail(r, STR("MOVED, and MOVED again: the cluster's nodes do not agree"));
        return;
    }
    link_close(r);
    server_resolve(r, host, port);
}

static void sentinel_told_cb(void *ctx, const char *host, uint16_t port, const char *why)
{
    struct redis *r = ctx;
    if (host)
        server_resolve(r, host, port);
    else
        link_fail(r, str_of(why));
}

static const char *state_words(enum link_state state)
{
    static const char *const words[] = {
        [LINK_WAITING] = "waiting for the next try",
        [LINK_ASKING] = "asking the sentinels",
        [LINK_RESOLVING] = "resolving the name",
        [LINK_CONNECTING] = "connecting",
        [LINK_GREETING] = "greeting",
        [LINK_LOCATING] = "asking for the log's node",
        [LINK_LOADING] = "loading the scripts",
        [LINK_SUBSCRIBING] = "subscribing",
        [LINK_UP] = "up",
    };
    return words[state];
}

static void try_start(struct redis *r)
{
    const char *wrong = REDIS_TLS_BUILT && r->tls ? redis_tls_load(r->tls) : NULL;
    const char *host = r->sentinel ? r->url.master : r->url.hosts[0].name;
    if (wrong) {
        snprintf(r->address, sizeof r->address, "%.64s", host);
        link_fail(r, str_of(wrong));
    } else if (r->sentinel) {
        r->state = LINK_ASKING;
        snprintf(r->address, sizeof r->address, "%.64s", host);
        sentinel_ask(r->sentinel);
    } else {
        server_resolve(r, host, r->url.hosts[0].port);
    }
}

/* The backoff is over, or the try has taken too long. */
static void timer_cb(evutil_socket_t fd, short what, void *arg)
{
    (void)fd;
    (void)what;
    struct redis *r = arg;
    if (r->state != LINK_WAITING) {
        char why[WHY_BYTES];
        bool silent = r->tls && r->state == LINK_GREETING; /* as Redis is to a TLS hello */
        snprintf(why, sizeof why, "%s took longer than %d ms%s", state_words(r->state),
                 REDIS_CONNECT_MS, silent ? ": does it speak TLS on this port?" : "");
        link_fail(r, str_of(why));
    } else {
        r->moves = 0;
        try_start(r);
    }
}

/* ---- for the owner ---- */

struct redis *redis_new(struct event_base *base, struct evdns_base *dns,
                        const struct redis_config *config, const struct redis_ops *ops, void *ctx)
{
    struct redis *r = mem_zalloc(sizeof *r);
    assert(dns && config->nchannels > 0);
    const char *wrong = redis_url_parse(&r->url, config->url);
    assert(!wrong);
    (void)wrong;
    r->base = base;
    r->dns = dns;
    r->config = config;
    r->ops = ops;
    r->ctx = ctx;
    r->backoff_ms = BACKOFF_MIN_MS;
    for (int i = 0; i < SIDES; i++)
        r->sides[i].redis = r;
    for (int i = 0; i < REDIS_SCRIPTS; i++)
        r->scripts[i].redis = r;
    evtimer_assign(&r->timer, base, timer_cb, r);
    evtimer_assign(&r->drop, base, drop_cb, r);
    if (REDIS_TLS_BUILT && r->url.tls)
        r->tls = redis_tls_new(config->tls);
    if (r->url.master)
        r->sentinel = sentinel_new(base, dns, &r->url, r->tls, sentinel_told_cb, r);
    timer_set(r, 0);
    return r;
}

void redis_free(struct redis *r)
{
    if (!r)
        return;
    link_close(r);
    sentinel_free(r->sentinel);
    if (REDIS_TLS_BUILT)
        redis_tls_free(r->tls);
    event_debug_unassign(&r->timer);
    event_debug_unassign(&r->drop);
    redis_url_done(&r->url);
    free(r->words);
    free(r);
}

bool redis_is_up(const struct redis *r)
{
    return r->state == LINK_UP;
}

const char *redis_status(const struct redis *r)
{
    return r->why[0] ? r->why : state_words(r->state);
}

void redis_proved(struct redis *r)
{
    r->backoff_ms = BACKOFF_MIN_MS;
}

/* Redis 6.2 tells what a script's command met in the middle of an ERR. */
static bool error_holds(const struct reply *reply, const char *code)
{
    char inner[32];
    int len = snprintf(inner, sizeof inner, "-%s ", code);
    return reply_is_error(reply, code) ||
           (reply->type == REPLY_ERROR &&
            memmem(reply->str.p, reply->str.len, inner, (size_t)len) != NULL);
}

/* The server's words, now and then: only it knows what it has against the script (OOM, MISCONF,
 * NOREPLICAS, what its ACL forbids). */
static void refusal_log(struct redis *r, enum redis_script script, struct str why)
{
    static const char *const names[] = {
        [REDIS_PUBLISH] = "publish", [REDIS_PAGE] = "page", [REDIS_BEAT] = "beat",
        [REDIS_OPEN] = "open",       [REDIS_LAB] = "lab",
    };
    struct script_slot *slot = &r->scripts[script];
    uint64_t now = now_ms();
    if (slot->refused_ms && now - slot->refused_ms < REDIS_COMPLAIN_MS)
        return;
    slot->refused_ms = now;
    log_warn("redis refuses a script", "script=%s address=%s why=%.*s", names[script], r->address,
             why.len < WHY_BYTES ? (int)why.len : WHY_BYTES, why.p);
}

static void evaluated_cb(void *arg, const struct reply *reply)
{
    struct call call = *(struct call *)arg;
    struct redis *r = call.redis;
    free(arg);
    if (reply && reply_is_error(reply, "NOSCRIPT") && !r->scripts[call.script].loading) {
        r->scripts[call.script].loading = true;
        link_load_script(r, call.script);
    } else if (reply && error_holds(reply, "READONLY")) {
        redis_drop(r, "READONLY: it is a replica now");
    } else if (reply && error_holds(reply, "MOVED")) {
        redis_drop(r, "MOVED: another node of the cluster has the log now");
    } else if (reply && error_holds(reply, "LOADING")) {
        redis_drop(r, "LOADING: it has just started");
    } else if (reply && reply->type == REPLY_ERROR && !reply_is_error(reply, "NOSCRIPT")) {
        refusal_log(r, call.script, reply->str);
    }
    call.cb(call.arg, reply);
}

bool redis_eval(struct redis *r, enum redis_script script, size_t nkeys, const struct str *words,
                size_t nwords, redis_reply_cb cb, void *arg)
{
    enum {
        OWN = 3
    };
    char count[24];
    if (r->state != LINK_UP)
        return false;
    if (nwords + OWN > r->words_cap) {
        r->words_cap = nwords + OWN;
        r->words = mem_grow(r->words, r->words_cap, sizeof *r->words);
    }
    snprintf(count, sizeof count, "%zu", nkeys);
    r->words[0] = STR("EVALSHA");
    r->words[1] = (struct str){r->scripts[script].sha, SHA1_HEX};
    r->words[2] = str_of(count);
    for (size_t i = 0; i < nwords; i++)
        r->words[OWN + i] = words[i];
    struct call *call = mem_alloc(sizeof *call);
    *call = (struct call){r, script, cb, arg};
    wire_command(r->sides[COMMANDS].wire, r->words, nwords + OWN, evaluated_cb, call);
    return true;
}
