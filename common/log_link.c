/* SPDX-License-Identifier: MIT */
/*
 * What happens at the connections becomes an event of the feed and then a hook's; what the feed
 * wants becomes a script. Nothing is decided here, and nothing is kept of a connection but whether
 * its last page was one.
 */
#include "common/log_link.h"

#include <assert.h>
#include <event2/event.h>
#include <stdlib.h>

#include "common/clock.h"
#include "common/log.h"
#include "common/mem.h"
#include "common/message.h"

enum {
    TICK_MS = 100
};

enum channel {
    CHANNEL_LIVE,
    CHANNEL_CONTROL,
    CHANNEL_BEAT,
    CHANNELS,
};

_Static_assert((int)CHANNELS == (int)LOG_LINK_CHANNELS, "the header's array has room for all");

/* A page that is under way. */
struct reading {
    struct log_link *link;
    bool of_feed; /* a page of another opening than the feed's is none */
    log_link_page_cb cb;
    void *arg;
};

/* ---- scripts ---- */

bool log_link_eval(struct log_link *l, enum redis_script script, size_t nkeys,
                   const struct str *words, size_t nwords, redis_reply_cb cb, void *arg)
{
    return l->redis && redis_eval(l->redis, script, nkeys, words, nwords, cb, arg);
}

static void reading_cb(void *arg, const struct reply *reply)
{
    struct reading r = *(struct reading *)arg;
    struct page page;
    free(arg);
    bool good = reply && page_read(&page, reply);
    if (reply && reply->type != REPLY_ERROR) { /* redis.c logs an error */
        if (!good && !r.link->misshapen)
            log_warn("redis answers wrongly", "why=%s", "a page of another shape");
        r.link->misshapen = !good;
    }
    r.link->pages += good;
    if (good && r.of_feed && page.opening != r.link->feed.opening)
        good = false;
    r.cb(r.arg, good ? &page : NULL);
}

static bool page_ask(struct log_link *l, uint64_t id, unsigned count, bool back,
                     log_link_page_cb cb, void *arg)
{
    struct page_words words;
    struct reading *r = mem_alloc(sizeof *r);
    *r = (struct reading){l, back, cb, arg};
    page_words_make(&words, &l->names, id, count, back);
    if (log_link_eval(l, REDIS_PAGE, 2, words.at, words.n, reading_cb, r))
        return true;
    free(r);
    return false;
}

bool log_link_page(struct log_link *l, uint64_t after, unsigned count, log_link_page_cb cb,
                   void *arg)
{
    return page_ask(l, after, count, false, cb, arg);
}

bool log_link_page_back(struct log_link *l, uint64_t before, unsigned count, log_link_page_cb cb,
                        void *arg)
{
    return page_ask(l, before, count, true, cb, arg);
}

/* ---- what the feed wants ---- */

/* Without a reply the connection is going, and the feed's news of it undoes this. */
static void feed_page_cb(void *arg, const struct page *page)
{
    struct log_link *l = arg;
    if (page)
        feed_page(&l->feed, page, now_ms());
    else
        feed_page_failed(&l->feed);
}

static void feed_wants_page(void *ctx, uint64_t after, unsigned count)
{
    log_link_page(ctx, after, count, feed_page_cb, ctx);
}

/* What it says comes by the channel, or the feed misses it. */
static void beat_cb(void *arg, const struct reply *reply)
{
    (void)arg;
    (void)reply;
}

static void feed_wants_beat(void *ctx)
{
    struct log_link *l = ctx;
    const struct str words[] = {str_of(l->names.state), str_of(l->names.beat)};
    log_link_eval(l, REDIS_BEAT, 1, words, 2, beat_cb, l);
}

static void feed_wants_drop(void *ctx, const char *why)
{
    struct log_link *l = ctx;
    redis_drop(l->redis, why);
}

static void feed_proved(void *ctx)
{
    struct log_link *l = ctx;
    redis_proved(l->redis);
}

static const struct feed_io feed_io = {
    .page = feed_wants_page,
    .beat = feed_wants_beat,
    .drop = feed_wants_drop,
    .proved = feed_proved,
};

/* ---- what happens at the connections ---- */

static void redis_up(void *ctx)
{
    struct log_link *l = ctx;
    l->connects++;
    feed_connected(&l->feed, now_ms());
    l->ops->up(l->ctx);
}

static void redis_down(void *ctx, const char *why)
{
    struct log_link *l = ctx;
    (void)why; /* redis.c has logged it */
    feed_disconnected(&l->feed);
    l->ops->down(l->ctx);
}

/* What a stranger writes into the channels and does not read as ours is not looked at. */
static void redis_message(void *ctx, size_t channel, struct str payload)
{
    struct log_link *l = ctx;
    struct beat beat;
    struct str room;
    uint64_t id, stored;
    switch ((enum channel)channel) {
    case CHANNEL_LIVE:
        if (message_peek(payload, &id, &room))
            feed_live(&l->feed, id, payload, now_ms());
        break;
    case CHANNEL_CONTROL:
        if (control_read(payload, &id, &stored))
            feed_control(&l->feed, id, stored, now_ms());
        break;
    case CHANNEL_BEAT:
        if (beat_read(&beat, payload))
            feed_beat(&l->feed, &beat, now_ms());
        break;
    case CHANNELS:
        abort();
    }
}

static const struct redis_ops redis_ops = {
    .up = redis_up,
    .down = redis_down,
    .message = redis_message,
};

static void tick_cb(evutil_socket_t fd, short what, void *arg)
{
    (void)fd, (void)what;
    struct log_link *l = arg;
    uint64_t now = now_ms();
    feed_tick(&l->feed, now);
    l->ops->tick(l->ctx, now);
}

/* ---- life ---- */

void log_link_init(struct log_link *l, const struct log_link_config *config,
                   const struct feed_owner *owner, const struct log_link_ops *ops, void *ctx)
{
    *l = (struct log_link){.ops = ops, .ctx = ctx};
    boot_id_make(l->boot);
    log_names_init(&l->names, config->prefix, l->boot);
    l->channels[CHANNEL_LIVE] = l->names.live;
    l->channels[CHANNEL_CONTROL] = l->names.control;
    l->channels[CHANNEL_BEAT] = l->names.beat;
    l->config = (struct redis_config){
        .purpose = "log",
        .url = config->redis_url,
        .tls = config->redis_tls,
        .channels = l->channels,
        .nchannels = CHANNELS,
        .key = l->names.state,
    };
    feed_init(&l->feed, config->pull, config->position, config->opening, &feed_io, l, owner, ctx);
}

void log_link_start(struct log_link *l, struct event_base *base, struct evdns_base *dns)
{
    assert(!l->redis);
    event_assign(&l->tick, base, -1, EV_PERSIST, tick_cb, l);
    event_add(&l->tick, &(struct timeval){.tv_usec = TICK_MS * 1000L});
    l->redis = redis_new(base, dns, &l->config, &redis_ops, l);
}

void log_link_stop(struct log_link *l)
{
    assert(l->redis);
    event_del(&l->tick);
    event_debug_unassign(&l->tick);
    redis_free(l->redis); /* who gets NULL meanwhile may still ask for the status */
    l->redis = NULL;
}

void log_link_done(struct log_link *l)
{
    assert(!l->redis);
    feed_done(&l->feed);
    log_names_done(&l->names);
}

const char *log_link_status(const struct log_link *l)
{
    return l->redis ? redis_status(l->redis) : "stopped";
}
