/* SPDX-License-Identifier: MIT */
/*
 * What happens at the connections becomes a call of an engine, and what an engine wants becomes a
 * script; nothing is decided here.
 *
 *      send ──► outbox ──► publish.lua ──► waits ──► answer
 *                                            ▲
 *      redis ──► feed (push) ──► rooms       │ passed, stored, opened
 *                   └────────────────────────┘
 */
#include "gateway/link.h"

#include <assert.h>
#include <event2/event.h>
#include <event2/event_struct.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "common/clock.h"
#include "common/feed.h"
#include "common/iso_time.h"
#include "common/json.h"
#include "common/log.h"
#include "common/mem.h"
#include "common/message.h"
#include "common/redis.h"
#include "common/sha1.h"

enum {
    TICK_MS = 100,
    PUBLISH_FIXED_KEYS = 3,
    PUBLISH_FIXED_ARGS = 7,
    WORDS_MAX = PUBLISH_FIXED_KEYS + PUBLISH_FIXED_ARGS + 4 * PUBLISH_BATCH_MAX,
};

enum channel {
    CHANNEL_LIVE,
    CHANNEL_CONTROL,
    CHANNEL_BEAT,
    CHANNELS,
};

struct link {
    struct log_names names;
    char boot[17];
    char idempotency_ttl[21];
    const char *channels[CHANNELS];
    struct redis_config config; /* redis borrows it */
    struct redis *redis;
    struct feed feed;
    struct outbox outbox;
    struct waits waits;
    struct rooms *rooms;
    struct event tick;
    unsigned page_count; /* asked for by the page under way */
};

/* A post with its wait and the one who is to be told. */
struct sending {
    struct post post;
    struct wait wait;
    struct buf *text; /* head, tail and key behind one another */
    bool stored;
    send_cb cb;
    void *arg;
};

/* ---- posts ---- */

static void sending_free(struct sending *s)
{
    buf_free(&s->text);
    free(s);
}

static void answer(struct sending *s, enum send_result result)
{
    struct buf *json = NULL;
    char time[ISO_TIME_BYTES + 1];
    if (result == SEND_DONE) {
        iso_time_write(time, s->post.time_ms);
        buf_add_str(&json, STR("{\"id\":"));
        buf_add_u64(&json, s->post.id);
        buf_add_str(&json, s->post.head);
        buf_add_str(&json, STR("\"created_at\":\""));
        buf_add_str(&json, str_of(time));
        buf_add_char(&json, '"');
        buf_add_str(&json, s->post.tail);
    }
    s->cb(s->arg, result, s->post.id, buf_str(json));
    buf_free(&json);
}

static void wait_done(struct wait *w, enum wait_result result)
{
    struct sending *s = (struct sending *)(void *)((char *)w - offsetof(struct sending, wait));
    bool done = result == WAIT_MET || (result == WAIT_TIMEOUT && !s->stored);
    answer(s, done ? SEND_DONE : SEND_MAYBE);
    sending_free(s);
}

static void post_result(void *ctx, struct post *post, enum post_result result)
{
    struct link *l = ctx;
    struct sending *s = (struct sending *)(void *)post; /* its first member */
    switch (result) {
    case POST_PUBLISHED:
    case POST_KNOWN:
        s->wait = (struct wait){.opening = post->opening,
                                .id = post->id,
                                .deadline_ms = post->deadline_ms,
                                .what = s->stored ? WAIT_STORED : WAIT_SEEN,
                                .done = wait_done};
        waits_add(&l->waits, &s->wait);
        break;
    case POST_MISMATCH:
        answer(s, SEND_MISMATCH);
        break;
    case POST_FULL:
        answer(s, SEND_FULL);
        break;
    case POST_REFUSED:
        answer(s, SEND_REFUSED);
        break;
    case POST_MAYBE:
        answer(s, SEND_MAYBE);
        break;
    }
}

static void post_free(void *ctx, struct post *post)
{
    (void)ctx;
    sending_free((struct sending *)(void *)post);
}

/* The key is in the scope of room and username. */
static void key_make(const struct link *l, const struct send *send, struct buf **out)
{
    unsigned char digest[SHA1_BYTES];
    char hex[SHA1_HEX + 1];
    struct sha1 h;
    sha1_init(&h);
    sha1_add(&h, send->username);
    sha1_add(&h, (struct str){"", 1}); /* a NUL parts the two: it is in neither */
    sha1_add(&h, send->key);
    sha1_done(&h, digest);
    sha1_hex(digest, hex);
    buf_add_str(out, str_of(l->names.idem));
    buf_add_str(out, send->room);
    buf_add_char(out, ':');
    buf_add_str(out, str_of(hex));
}

bool link_send(struct link *l, const struct send *send, send_cb cb, void *arg)
{
    struct sending *s = mem_zalloc(sizeof *s);
    unsigned char digest[SHA1_BYTES];
    struct sha1 h;
    sha1_init(&h);
    sha1_add(&h, send->content);
    sha1_done(&h, digest);
    sha1_hex(digest, s->post.fingerprint);
    message_add_head(&s->text, send->username, send->content);
    size_t head = buf_len(s->text);
    message_add_tail(&s->text, send->room);
    size_t tail = buf_len(s->text) - head;
    if (send->key.len)
        key_make(l, send, &s->text);
    struct str all = buf_str(s->text);
    s->post.head = (struct str){all.p, head};
    s->post.tail = (struct str){all.p + head, tail};
    s->post.key = (struct str){all.p + head + tail, all.len - head - tail};
    s->post.deadline_ms = now_ms() + POST_MS;
    s->stored = send->stored;
    s->cb = cb;
    s->arg = arg;
    if (outbox_add(&l->outbox, &s->post, now_ms()))
        return true;
    sending_free(s);
    return false;
}

static void publish_cb(void *arg, const struct reply *reply)
{
    struct link *l = arg;
    if (reply)
        outbox_reply(&l->outbox, reply, now_ms());
    else
        outbox_lost(&l->outbox);
}

static bool outbox_publish(void *ctx, uint64_t opening, uint64_t batch, uint64_t floor,
                           const struct post *first, size_t count)
{
    struct link *l = ctx;
    static struct str words[WORDS_MAX];
    static char ttl[21];
    char numbers[3][21];
    size_t n = 0;
    const uint64_t values[3] = {opening, batch, floor};
    for (int i = 0; i < 3; i++)
        snprintf(numbers[i], sizeof numbers[i], "%" PRIu64, values[i]);
    snprintf(ttl, sizeof ttl, "%d", PRODUCER_TTL_S);
    words[n++] = str_of(l->names.state);
    words[n++] = str_of(l->names.log);
    words[n++] = str_of(l->names.producer);
    for (const struct post *p = first; p; p = p->next)
        words[n++] = p->key.len ? p->key : str_of(l->names.state);
    for (int i = 0; i < 3; i++)
        words[n++] = str_of(numbers[i]);
    words[n++] = str_of(l->names.live);
    words[n++] = str_of(ttl);
    words[n++] = str_of(l->idempotency_ttl);
    words[n++] = str_of(l->boot);
    for (const struct post *p = first; p; p = p->next) {
        words[n++] = p->head;
        words[n++] = p->tail;
        words[n++] = str_of(p->fingerprint);
    }
    assert(n <= WORDS_MAX);
    return redis_eval(l->redis, REDIS_PUBLISH, PUBLISH_FIXED_KEYS + count, words, n, publish_cb, l);
}

static void outbox_nudge(void *ctx)
{
    struct link *l = ctx;
    feed_nudge(&l->feed);
}

static void wants_drop(void *ctx, const char *why)
{
    struct link *l = ctx;
    redis_drop(l->redis, why);
}

static const struct outbox_io outbox_io = {
    .publish = outbox_publish,
    .result = post_result,
    .free_post = post_free,
    .nudge = outbox_nudge,
    .drop = wants_drop,
};

/* ---- what the feed wants ---- */

static void page_cb(void *arg, const struct reply *reply)
{
    struct link *l = arg;
    struct page page;
    if (!reply) /* the feed will hear that the connection is down */
        return;
    if (page_read(&page, reply, l->page_count))
        feed_page(&l->feed, &page, now_ms());
    else
        feed_page_failed(&l->feed);
}

static void feed_wants_page(void *ctx, uint64_t after, unsigned count)
{
    struct link *l = ctx;
    struct script_numbers text = {0};
    struct str words[4];
    size_t n = page_words(&l->names, after, count, &text, words);
    l->page_count = count;
    redis_eval(l->redis, REDIS_PAGE, 2, words, n, page_cb, l);
}

static void beat_cb(void *arg, const struct reply *reply)
{
    (void)arg;
    if (reply && reply->type == REPLY_ERROR)
        log_debug("heartbeat refused", "why=%.*s", (int)reply->str.len, reply->str.p);
}

static void feed_wants_beat(void *ctx)
{
    struct link *l = ctx;
    const struct str words[] = {str_of(l->names.state), str_of(l->names.beat)};
    redis_eval(l->redis, REDIS_BEAT, 1, words, 2, beat_cb, l);
}

static void feed_proved(void *ctx)
{
    struct link *l = ctx;
    redis_proved(l->redis);
}

static const struct feed_io feed_io = {
    .page = feed_wants_page,
    .beat = feed_wants_beat,
    .drop = wants_drop,
    .proved = feed_proved,
};

/* ---- what the feed tells ---- */

static void feed_deliver(void *ctx, uint64_t id, struct str json)
{
    struct link *l = ctx;
    struct str room;
    uint64_t named;
    if (message_peek(json, &named, &room) && named == id) /* else a stranger wrote it */
        rooms_deliver(l->rooms, room, id, json);
}

static void feed_passed(void *ctx, uint64_t id)
{
    struct link *l = ctx;
    if (l->waits.opening != l->feed.opening) { /* the first page of all */
        l->waits.opening = l->feed.opening;
        outbox_opened(&l->outbox, l->feed.opening, now_ms());
    }
    outbox_seen(&l->outbox, id);
    waits_passed(&l->waits, id);
}

static void feed_opened(void *ctx, uint64_t was, uint64_t opening, uint64_t prev, uint64_t from)
{
    struct link *l = ctx;
    log_info("log opened", "opening=%" PRIu64 " prev=%" PRIu64 " from=%" PRIu64, opening, prev,
             from);
    rooms_cut(l->rooms, prev);
    waits_opened(&l->waits, was, opening, prev);
    outbox_opened(&l->outbox, opening, now_ms());
}

static void feed_gap(void *ctx, uint64_t after, uint64_t base)
{
    struct link *l = ctx;
    log_warn("gap in the feed", "after=%" PRIu64 " base=%" PRIu64, after, base);
    rooms_gap(l->rooms, base);
}

static void feed_stored(void *ctx, uint64_t opening, uint64_t stored)
{
    struct link *l = ctx;
    waits_stored(&l->waits, opening, stored);
}

static const struct feed_owner feed_owner = {
    .deliver = feed_deliver,
    .passed = feed_passed,
    .opened = feed_opened,
    .gap = feed_gap,
    .stored = feed_stored,
};

/* ---- what happens at the connections ---- */

static void link_up(void *ctx)
{
    struct link *l = ctx;
    feed_connected(&l->feed, now_ms());
    outbox_connected(&l->outbox, now_ms());
}

static void link_down(void *ctx, const char *why)
{
    struct link *l = ctx;
    (void)why; /* redis.c has logged it */
    feed_disconnected(&l->feed);
    outbox_disconnected(&l->outbox);
}

static void link_message(void *ctx, size_t channel, struct str payload)
{
    struct link *l = ctx;
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
        break;
    }
}

static const struct redis_ops redis_ops = {
    .up = link_up, .down = link_down, .message = link_message};

static void tick_cb(evutil_socket_t fd, short what, void *arg)
{
    (void)fd, (void)what;
    struct link *l = arg;
    uint64_t now = now_ms();
    feed_tick(&l->feed, now);
    outbox_tick(&l->outbox, now);
    waits_tick(&l->waits, now);
}

struct link *link_new(struct event_base *base, struct evdns_base *dns,
                      const struct link_config *config, struct rooms *rooms)
{
    struct link *l = mem_zalloc(sizeof *l);
    boot_id_make(l->boot);
    log_names_init(&l->names, config->redis_prefix, l->boot);
    snprintf(l->idempotency_ttl, sizeof l->idempotency_ttl, "%lu", config->idempotency_seconds);
    l->rooms = rooms;
    l->channels[CHANNEL_LIVE] = l->names.live;
    l->channels[CHANNEL_CONTROL] = l->names.control;
    l->channels[CHANNEL_BEAT] = l->names.beat;
    feed_init(&l->feed, false, 0, 0, &feed_io, l, &feed_owner, l);
    outbox_init(&l->outbox, config->outbox_max, &outbox_io, l);
    l->config = (struct redis_config){
        .url = config->redis_url, .channels = l->channels, .nchannels = CHANNELS};
    l->redis = redis_new(base, dns, &l->config, &redis_ops, l);
    event_assign(&l->tick, base, -1, EV_PERSIST, tick_cb, l);
    event_add(&l->tick, &(struct timeval){.tv_usec = TICK_MS * 1000L});
    return l;
}

void link_free(struct link *l)
{
    if (!l)
        return;
    event_del(&l->tick);
    event_debug_unassign(&l->tick);
    redis_free(l->redis);
    l->outbox.connected = false;
    outbox_done(&l->outbox);
    waits_end(&l->waits);
    feed_done(&l->feed);
    log_names_done(&l->names);
    free(l);
}

void link_wait(struct link *l, struct wait *w)
{
    w->opening = l->waits.opening;
    waits_add(&l->waits, w);
}

uint64_t link_position(const struct link *l)
{
    return l->feed.position;
}

uint64_t link_lease(const struct link *l)
{
    return l->feed.lease;
}

bool link_started(const struct link *l)
{
    return l->feed.started;
}

bool link_ready(const struct link *l, const char **why)
{
    if (!redis_is_up(l->redis)) {
        *why = redis_status(l->redis);
        return false;
    }
    return feed_ready(&l->feed, why);
}

bool link_empty(const struct link *l)
{
    return outbox_empty(&l->outbox) && l->waits.count == 0;
}

void link_describe(const struct link *l, struct buf **json)
{
    buf_add_str(json, STR("\"redis\":"));
    json_add_bytes(json, str_of(redis_status(l->redis)));
    buf_printf(json,
               ",\"boot\":\"%s\",\"opening\":%" PRIu64 ",\"position\":%" PRIu64
               ",\"lease\":%" PRIu64 ",\"stored\":%" PRIu64,
               l->boot, l->feed.opening, l->feed.position, l->feed.lease, l->feed.stored);
}
