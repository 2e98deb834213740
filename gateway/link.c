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
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "common/chain.h"
#include "common/clock.h"
#include "common/iso_time.h"
#include "common/json.h"
#include "common/log.h"
#include "common/log_link.h"
#include "common/mem.h"
#include "common/message.h"
#include "common/sha1.h"

enum {
    PUBLISH_FIXED_KEYS = 3,
    PUBLISH_FIXED_ARGS = 7,
    WORDS_MAX = PUBLISH_FIXED_KEYS + PUBLISH_FIXED_ARGS + 4 * PUBLISH_BATCH_MAX,
};

struct link {
    struct log_link log;
    char idempotency_ttl[21];
    uint64_t post_deadline_ms;
    struct outbox outbox;
    struct waits waits;
    struct rooms *rooms;
    struct link_counts counts;
    uint64_t published_us; /* when the batch in flight was sent */
    uint64_t sent;         /* posts that this gateway brought into the log */
    struct chain *chain;   /* the lab's; NULL without it */
};

/* A post with its wait and the one who is to be told. */
struct sending {
    struct post post;
    struct wait wait;
    struct buf *text; /* head, tail and key behind one another */
    struct link *link;
    uint64_t began_us;
    enum send_source source;
    bool stored;
    bool known; /* it was in the log already */
    send_cb cb;
    void *arg;
};

/* ---- posts ---- */

static void sending_free(struct sending *s)
{
    buf_free(&s->text);
    free(s);
}

static void sending_count(const struct sending *s, enum send_result result)
{
    static const enum send_end ends[] = {
        [SEND_DONE] = SEND_END_NEW,    [SEND_MISMATCH] = SEND_END_MISMATCH,
        [SEND_FULL] = SEND_END_FULL,   [SEND_REFUSED] = SEND_END_REFUSED,
        [SEND_MAYBE] = SEND_END_MAYBE,
    };
    struct link_counts *n = &s->link->counts;
    n->sends[s->source][result == SEND_DONE && s->known ? SEND_END_KNOWN : ends[result]]++;
    histogram_add(&n->send_seconds[s->source], now_us() - s->began_us);
}

static void answer(struct sending *s, enum send_result result)
{
    sending_count(s, result);
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
        s->known = result == POST_KNOWN;
        l->sent += result == POST_PUBLISHED;
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
    buf_add_str(out, str_of(l->log.names.idem));
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
    s->link = l;
    s->source = send->source;
    s->began_us = now_us();
    s->post.deadline_ms = now_ms() + l->post_deadline_ms;
    s->stored = send->stored;
    s->cb = cb;
    s->arg = arg;
    if (outbox_add(&l->outbox, &s->post, now_ms()))
        return true;
    l->counts.sends[send->source][SEND_END_OVERFLOW]++;
    sending_free(s);
    return false;
}

static void publish_cb(void *arg, const struct reply *reply)
{
    struct link *l = arg;
    if (reply)
        histogram_add(&l->counts.publish_seconds, now_us() - l->published_us);
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
    words[n++] = str_of(l->log.names.state);
    words[n++] = str_of(l->log.names.log);
    words[n++] = str_of(l->log.names.producer);
    for (const struct post *p = first; p; p = p->next)
        words[n++] = p->key.len ? p->key : str_of(l->log.names.state);
    for (int i = 0; i < 3; i++)
        words[n++] = str_of(numbers[i]);
    words[n++] = str_of(l->log.names.live);
    words[n++] = str_of(ttl);
    words[n++] = str_of(l->idempotency_ttl);
    words[n++] = str_of(l->log.boot);
    for (const struct post *p = first; p; p = p->next) {
        words[n++] = p->head;
        words[n++] = p->tail;
        words[n++] = str_of(p->fingerprint);
    }
    assert(n <= WORDS_MAX);
    if (!log_link_eval(&l->log, REDIS_PUBLISH, PUBLISH_FIXED_KEYS + count, words, n, publish_cb, l))
        return false;
    l->published_us = now_us();
    l->counts.batches++;
    l->counts.batch_messages += count;
    return true;
}

static void outbox_nudge(void *ctx)
{
    struct link *l = ctx;
    feed_nudge(&l->log.feed);
}

static void outbox_drop(void *ctx, const char *why)
{
    struct link *l = ctx;
    redis_drop(l->log.redis, why);
}

static const struct outbox_io outbox_io = {
    .publish = outbox_publish,
    .result = post_result,
    .free_post = post_free,
    .nudge = outbox_nudge,
    .drop = outbox_drop,
};

/* ---- what the feed tells ---- */

static void feed_deliver(void *ctx, uint64_t id, struct str json)
{
    struct link *l = ctx;
    struct str room;
    uint64_t named;
    l->counts.messages++;
    if (!message_peek(json, &named, &room) || named != id) /* a stranger wrote it */
        return;
    rooms_deliver(l->rooms, room, id, json);
    if (l->chain)
        chain_add(l->chain, id, json);
}

static void feed_passed(void *ctx, uint64_t id)
{
    struct link *l = ctx;
    if (l->waits.opening != l->log.feed.opening) { /* the first page of all */
        l->waits.opening = l->log.feed.opening;
        outbox_opened(&l->outbox, l->log.feed.opening, now_ms());
        if (l->chain)
            chain_lose(l->chain, id);
    }
    outbox_seen(&l->outbox, id);
    waits_passed(&l->waits, id);
}

static void feed_opened(void *ctx, uint64_t was, uint64_t opening, uint64_t prev, uint64_t from)
{
    struct link *l = ctx;
    l->counts.openings++;
    log_info("log opened", "opening=%" PRIu64 " prev=%" PRIu64 " from=%" PRIu64, opening, prev,
             from);
    rooms_cut(l->rooms, prev);
    if (l->chain)
        chain_lose(l->chain, prev < l->log.feed.position ? prev : l->log.feed.position);
    waits_opened(&l->waits, was, opening, prev);
    outbox_opened(&l->outbox, opening, now_ms());
}

static void feed_gap(void *ctx, uint64_t after, uint64_t base)
{
    struct link *l = ctx;
    l->counts.gaps++;
    log_warn("gap in the feed", "after=%" PRIu64 " base=%" PRIu64, after, base);
    rooms_gap(l->rooms, base);
    if (l->chain)
        chain_lose(l->chain, base);
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

static void log_up(void *ctx)
{
    struct link *l = ctx;
    outbox_connected(&l->outbox, now_ms());
}

static void log_down(void *ctx)
{
    struct link *l = ctx;
    outbox_disconnected(&l->outbox);
}

static void log_tick(void *ctx, uint64_t now_ms)
{
    struct link *l = ctx;
    outbox_tick(&l->outbox, now_ms);
    waits_tick(&l->waits, now_ms);
}

static const struct log_link_ops log_ops = {.up = log_up, .down = log_down, .tick = log_tick};

/* ---- for the gateway ---- */

struct link *link_new(struct event_base *base, struct evdns_base *dns,
                      const struct link_config *config, struct rooms *rooms)
{
    struct link *l = mem_zalloc(sizeof *l);
    const struct log_link_config log = {.redis_url = config->redis_url,
                                        .redis_tls = config->redis_tls,
                                        .prefix = config->redis_prefix};
    snprintf(l->idempotency_ttl, sizeof l->idempotency_ttl, "%lu", config->idempotency_seconds);
    l->post_deadline_ms = config->post_deadline_ms;
    l->rooms = rooms;
    log_link_init(&l->log, &log, &feed_owner, &log_ops, l);
    outbox_init(&l->outbox, config->outbox_max, &outbox_io, l);
    log_link_start(&l->log, base, dns);
    return l;
}

void link_free(struct link *l)
{
    if (!l)
        return;
    log_link_stop(&l->log);
    l->outbox.connected = false;
    outbox_done(&l->outbox);
    waits_end(&l->waits);
    log_link_done(&l->log);
    free(l);
}

void link_wait(struct link *l, struct wait *w)
{
    w->opening = l->waits.opening;
    waits_add(&l->waits, w);
}

bool link_page_back(struct link *l, uint64_t before, unsigned count, link_page_cb cb, void *arg)
{
    return log_link_page_back(&l->log, before, count, cb, arg);
}

uint64_t link_position(const struct link *l)
{
    return l->log.feed.position;
}

uint64_t link_lease(const struct link *l)
{
    return l->log.feed.lease;
}

uint64_t link_stored(const struct link *l)
{
    return l->log.feed.stored;
}

bool link_started(const struct link *l)
{
    return l->log.feed.started;
}

bool link_ready(const struct link *l, const char **why)
{
    if (!redis_is_up(l->log.redis)) {
        *why = log_link_status(&l->log);
        return false;
    }
    return feed_ready(&l->log.feed, why);
}

bool link_empty(const struct link *l)
{
    return outbox_empty(&l->outbox) && l->waits.count == 0;
}

struct link_parts link_parts(const struct link *l)
{
    return (struct link_parts){&l->counts, &l->log, &l->outbox, &l->waits};
}

struct log_link *link_chain_start(struct link *l, struct chain *chain)
{
    l->chain = chain;
    return &l->log;
}

uint64_t link_sent(const struct link *l)
{
    return l->sent;
}

void link_describe(const struct link *l, struct buf **json)
{
    buf_add_str(json, STR("\"redis\":"));
    json_add_bytes(json, str_of(log_link_status(&l->log)));
    buf_printf(json,
               ",\"boot\":\"%s\",\"opening\":%" PRIu64 ",\"position\":%" PRIu64
               ",\"lease\":%" PRIu64 ",\"stored\":%" PRIu64,
               l->log.boot, l->log.feed.opening, l->log.feed.position, l->log.feed.lease,
               l->log.feed.stored);
}
