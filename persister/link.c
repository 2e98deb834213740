/* SPDX-License-Identifier: MIT */
/*
 * What happens at the connections becomes a call of an engine, and what an engine wants becomes a
 * script or a commit; nothing is decided here.
 *
 *      redis ──► feed (pull) ──► ingest ──► store
 *        ▲         │ page, beat    │  open.lua │ done
 *        └─────────┴───────────────┴───────────┘
 *
 * The order at both ends of a connection matters: ingest hears of a new one before the feed does,
 * and of its end after every script under way was answered with NULL, which redis.h promises.
 */
#include "persister/link.h"

#include <assert.h>
#include <event2/event.h>
#include <event2/event_struct.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "common/clock.h"
#include "common/feed.h"
#include "common/json.h"
#include "common/log.h"
#include "common/mem.h"
#include "common/message.h"
#include "common/redis.h"

enum {
    TICK_MS = 100,
    COMPLAINT_BYTES = 128,
};

enum channel {
    CHANNEL_LIVE,
    CHANNEL_CONTROL,
    CHANNEL_BEAT,
    CHANNELS,
};

struct link {
    struct log_names names;
    const char *channels[CHANNELS]; /* of names */
    struct redis_config config;     /* which redis.h borrows */
    struct redis *redis;            /* NULL once stopped */
    struct feed feed;
    struct ingest *ingest;
    struct store *store;
    void (*stored)(void *ctx); /* the owner's */
    void *ctx;                 /* of stored */
    struct event tick;
    unsigned page_count;             /* asked for by the page under way */
    char complaint[COMPLAINT_BYTES]; /* the last one that was logged, so that it is logged once */
};

static void complain(struct link *l, const char *what, struct str words)
{
    char line[COMPLAINT_BYTES];
    int len = words.len < COMPLAINT_BYTES / 2 ? (int)words.len : COMPLAINT_BYTES / 2;
    snprintf(line, sizeof line, "%s: %.*s", what, len, len ? words.p : "");
    if (strcmp(line, l->complaint) == 0)
        return;
    memcpy(l->complaint, line, sizeof line);
    log_warn("redis answers wrongly", "why=%s", line);
}

/* ---- what the feed wants ---- */

static void page_cb(void *arg, const struct reply *reply)
{
    struct link *l = arg;
    struct page page;
    if (!reply) /* the feed will hear that the connection is down */
        return;
    if (page_read(&page, reply, l->page_count)) {
        l->complaint[0] = '\0';
        feed_page(&l->feed, &page, now_ms());
        return;
    }
    bool error = reply->type == REPLY_ERROR;
    complain(l, "page", error ? reply->str : STR("a reply of another shape"));
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
    if (reply && reply->type == REPLY_ERROR)
        complain(arg, "beat", reply->str);
}

static void feed_wants_beat(void *ctx)
{
    struct link *l = ctx;
    const struct str words[] = {str_of(l->names.state), str_of(l->names.beat)};
    redis_eval(l->redis, REDIS_BEAT, 1, words, 2, beat_cb, l);
}

static void feed_wants_drop(void *ctx, const char *why)
{
    struct link *l = ctx;
    redis_drop(l->redis, why);
}

static void feed_proved(void *ctx)
{
    struct link *l = ctx;
    redis_proved(l->redis);
}

static const struct feed_io feed_io = {
    .page = feed_wants_page,
    .beat = feed_wants_beat,
    .drop = feed_wants_drop,
    .proved = feed_proved,
};

static void owner_page(void *ctx, const struct page *page)
{
    struct link *l = ctx;
    ingest_page(l->ingest, page);
}

static const struct feed_owner feed_owner = {.page = owner_page};

/* ---- what ingest wants ---- */

static void committed_cb(void *arg, enum store_result result, const char *why)
{
    struct link *l = arg;
    if (!l->redis) /* stopped: the next start tells Redis */
        return;
    ingest_committed(l->ingest, result, why);
    l->stored(l->ctx);
}

static void ingest_wants_commit(void *ctx, const struct store_commit *c)
{
    struct link *l = ctx;
    store_commit(l->store, c, committed_cb, l);
}

static void script_cb(void *arg, const struct reply *reply)
{
    struct link *l = arg;
    ingest_reply(l->ingest, reply);
}

static void ingest_wants_script(void *ctx, const char *verb, uint64_t opening,
                                const struct str *keys, size_t nkeys, const struct str *words,
                                size_t nwords)
{
    struct link *l = ctx;
    char number[21];
    snprintf(number, sizeof number, "%" PRIu64, opening);
    const size_t n = 5 + nkeys + nwords;
    struct str *all = mem_grow(NULL, n, sizeof *all), *to = all;
    *to++ = str_of(l->names.state);
    *to++ = str_of(l->names.log);
    for (size_t i = 0; i < nkeys; i++)
        *to++ = keys[i];
    *to++ = str_of(verb);
    *to++ = str_of(number);
    *to++ = str_of(store_standing(l->store)->owner);
    for (size_t i = 0; i < nwords; i++)
        *to++ = words[i];
    redis_eval(l->redis, REDIS_OPEN, 2 + nkeys, all, n, script_cb, l);
    free(all);
}

static void ingest_releases(void *ctx, uint64_t position, bool now)
{
    struct link *l = ctx;
    feed_release(&l->feed, position, now);
}

static size_t ingest_entries_after(void *ctx, uint64_t after, size_t limit,
                                   const struct entry **entries)
{
    struct link *l = ctx;
    return store_entries_after(l->store, after, limit, entries);
}

static uint64_t ingest_newest_floor(void *ctx, uint64_t n)
{
    struct link *l = ctx;
    return store_newest_floor(l->store, n);
}

static uint64_t ingest_window_floor(void *ctx)
{
    struct link *l = ctx;
    return store_window_floor(l->store);
}

static const struct store_log *ingest_standing(void *ctx)
{
    struct link *l = ctx;
    return store_standing(l->store);
}

static const struct ingest_io ingest_io = {
    .commit = ingest_wants_commit,
    .script = ingest_wants_script,
    .release = ingest_releases,
    .entries_after = ingest_entries_after,
    .newest_floor = ingest_newest_floor,
    .window_floor = ingest_window_floor,
    .standing = ingest_standing,
};

/* ---- what happens at the connections ---- */

static void link_up(void *ctx)
{
    struct link *l = ctx;
    ingest_connected(l->ingest);
    feed_connected(&l->feed, now_ms());
}

static void link_down(void *ctx, const char *why)
{
    struct link *l = ctx;
    (void)why; /* redis.c has logged it */
    feed_disconnected(&l->feed);
    ingest_disconnected(l->ingest);
}

/* What a stranger writes into the channels and does not read as ours is not looked at. */
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
        abort();
    }
}

static const struct redis_ops redis_ops = {
    .up = link_up,
    .down = link_down,
    .message = link_message,
};

static void tick_cb(evutil_socket_t fd, short what, void *arg)
{
    (void)fd, (void)what;
    struct link *l = arg;
    feed_tick(&l->feed, now_ms());
    ingest_tick(l->ingest, now_ms());
}

/* ---- life ---- */

struct link *link_new(struct event_base *base, struct evdns_base *dns,
                      const struct link_config *config, struct store *store,
                      void (*stored)(void *ctx), void *ctx)
{
    struct link *l = mem_zalloc(sizeof *l);
    char boot[17];
    boot_id_make(boot);
    log_names_init(&l->names, config->redis_prefix, boot);
    l->channels[CHANNEL_LIVE] = l->names.live;
    l->channels[CHANNEL_CONTROL] = l->names.control;
    l->channels[CHANNEL_BEAT] = l->names.beat;
    l->store = store;
    l->stored = stored;
    l->ctx = ctx;
    l->ingest = ingest_new(&config->limits, &l->names, &ingest_io, l);
    const struct store_log *log = store_standing(store);
    feed_init(&l->feed, true, log->position, log->opening, &feed_io, l, &feed_owner, l);
    ingest_tick(l->ingest, now_ms());
    event_assign(&l->tick, base, -1, EV_PERSIST, tick_cb, l);
    event_add(&l->tick, &(struct timeval){.tv_usec = TICK_MS * 1000L});
    l->config = (struct redis_config){
        .url = config->redis_url,
        .channels = l->channels,
        .nchannels = CHANNELS,
    };
    l->redis = redis_new(base, dns, &l->config, &redis_ops, l);
    return l;
}

void link_stop(struct link *l)
{
    struct redis *redis = l->redis;
    assert(redis);
    event_del(&l->tick);
    event_debug_unassign(&l->tick);
    redis_free(redis);
    l->redis = NULL;
}

void link_free(struct link *l)
{
    if (!l)
        return;
    assert(!l->redis);
    ingest_free(l->ingest);
    feed_done(&l->feed);
    log_names_done(&l->names);
    free(l);
}

bool link_ready(const struct link *l, const char **why)
{
    return ingest_ready(l->ingest, why);
}

static void add_number(struct buf **json, const char *name, uint64_t n)
{
    buf_printf(json, ",\"%s\":%" PRIu64, name, n);
}

void link_describe(const struct link *l, struct buf **json)
{
    const struct ingest_status *s = ingest_status(l->ingest);
    buf_add_str(json, STR("\"redis\":"));
    json_add_bytes(json, str_of(l->redis ? redis_status(l->redis) : "stopped"));
    buf_add_str(json, STR(",\"state\":"));
    json_add_string(json, str_of(s->state));
    add_number(json, "openings", s->openings);
    add_number(json, "batches", s->batches);
    add_number(json, "messages", s->messages);
    add_number(json, "commit_failures", s->commit_failures);
    add_number(json, "conflicts", s->conflicts);
    add_number(json, "voided", s->voided);
    add_number(json, "restored", s->restored);
    if (s->hole_to)
        buf_printf(json, ",\"hole\":[%" PRIu64 ",%" PRIu64 "]", s->hole_from, s->hole_to);
}
