/* SPDX-License-Identifier: MIT */
/*
 * The feed against a fake Redis and a fake owner. Both write down each call, in the order in which
 * it came, as one line of words; `expect` compares the line and starts a new one. So a case tests
 * what was called as well as what was not.
 */
#ifndef TESTS_FEED_RIG_H
#define TESTS_FEED_RIG_H

#include <inttypes.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "common/feed.h"
#include "common/limits.h"

enum {
    START_MS = 10000,
    CALLS_BYTES = 4096
};

struct rig {
    struct feed feed;
    char calls[CALLS_BYTES];
    size_t len;
    bool release_at_once; /* pull: from within page, asking for no more */
};

/* The calls, each a word and its numbers, with a space between two. */
__attribute__((format(printf, 2, 3))) static inline void note(struct rig *r, const char *format,
                                                              ...)
{
    size_t room = sizeof r->calls - r->len;
    va_list args;
    va_start(args, format);
    int n = vsnprintf(r->calls + r->len, room, format, args);
    va_end(args);
    assert_true(n > 0 && (size_t)n < room);
    r->len += (size_t)n;
}

#define SPACE(r) ((r)->len ? " " : "")

static inline void io_page(void *ctx, uint64_t after, unsigned count)
{
    struct rig *r = ctx;
    note(r, "%spage?%" PRIu64 "+%u", SPACE(r), after, count);
}

static inline void io_beat(void *ctx)
{
    struct rig *r = ctx;
    note(r, "%sbeat", SPACE(r));
}

static inline void io_drop(void *ctx, const char *why)
{
    struct rig *r = ctx;
    note(r, "%sdrop:%s", SPACE(r), why);
}

static inline void io_proved(void *ctx)
{
    struct rig *r = ctx;
    note(r, "%sproved", SPACE(r));
}

static inline void owner_deliver(void *ctx, uint64_t id, struct str json)
{
    struct rig *r = ctx;
    note(r, "%s%" PRIu64 "=%.*s", SPACE(r), id, (int)json.len, json.p);
}

static inline void owner_passed(void *ctx, uint64_t id)
{
    struct rig *r = ctx;
    note(r, "%spassed:%" PRIu64, SPACE(r), id);
}

static inline void owner_opened(void *ctx, uint64_t was, uint64_t opening, uint64_t prev,
                                uint64_t from)
{
    struct rig *r = ctx;
    note(r, "%sopened:%" PRIu64 ">%" PRIu64 ",%" PRIu64 ",%" PRIu64, SPACE(r), was, opening, prev,
         from);
}

static inline void owner_gap(void *ctx, uint64_t after, uint64_t base)
{
    struct rig *r = ctx;
    note(r, "%sgap:%" PRIu64 "-%" PRIu64, SPACE(r), after, base);
}

static inline void owner_stored(void *ctx, uint64_t opening, uint64_t stored)
{
    struct rig *r = ctx;
    note(r, "%sstored:%" PRIu64 "/%" PRIu64, SPACE(r), opening, stored);
}

static inline void owner_page(void *ctx, const struct page *page)
{
    struct rig *r = ctx;
    note(r, "%sgot:%zu", SPACE(r), page->count);
    if (r->release_at_once)
        feed_release(&r->feed, page->seq, false);
}

static const struct feed_io io = {io_page, io_beat, io_drop, io_proved};
static const struct feed_owner owner = {owner_deliver, owner_passed, owner_opened,
                                        owner_gap,     owner_stored, owner_page};

static inline void expect_calls(struct rig *r, const char *calls, const char *file, int line)
{
    r->calls[r->len] = '\0';
    _assert_string_equal(r->calls, calls, file, line);
    r->len = 0;
}

#define expect(r, calls) expect_calls((r), (calls), __FILE__, __LINE__)

/* A page of an open log, with the ids first…last; their text is "m<id>". */
static inline void page_give(struct rig *r, struct page page, uint64_t first, uint64_t last)
{
    struct entry entries[8];
    char texts[8][24];
    assert_true(last - first + 1 <= 8);
    page.count = 0;
    for (uint64_t id = first; id <= last; id++) {
        char *text = texts[page.count];
        (void)snprintf(text, sizeof texts[0], "m%" PRIu64, id);
        entries[page.count++] = (struct entry){.id = id, .json = str_of(text)};
    }
    page.entries = entries;
    feed_page(&r->feed, &page, START_MS);
}

static inline struct page log_open(uint64_t opening, uint64_t seq)
{
    return (struct page){.exists = true, .open = true, .opening = opening, .seq = seq};
}

static inline void page_give_empty(struct rig *r, struct page page)
{
    page_give(r, page, 1, 0);
}

static inline void live(struct rig *r, uint64_t id)
{
    char text[24];
    (void)snprintf(text, sizeof text, "m%" PRIu64, id);
    feed_live(&r->feed, id, str_of(text), START_MS);
}

static inline void beat(struct rig *r, uint64_t opening, uint64_t seq, uint64_t now_ms)
{
    feed_beat(&r->feed, &(struct beat){.opening = opening, .seq = seq}, now_ms);
}

/* A gateway that is live behind message 10 of opening 1. */
static inline int push_live(void **state)
{
    static struct rig rig;
    rig = (struct rig){0};
    *state = &rig;
    feed_init(&rig.feed, false, 0, 0, &io, &rig, &owner, &rig);
    feed_connected(&rig.feed, START_MS);
    page_give_empty(&rig, log_open(1, 10));
    rig.len = 0;
    return rig.feed.state == FEED_LIVE ? 0 : -1;
}

static inline int push_off(void **state)
{
    static struct rig rig;
    rig = (struct rig){0};
    *state = &rig;
    feed_init(&rig.feed, false, 0, 0, &io, &rig, &owner, &rig);
    return 0;
}

/* A persister that has everything up to 10, connected, its first page asked. */
static inline int pull_asked(void **state)
{
    static struct rig rig;
    rig = (struct rig){0};
    *state = &rig;
    feed_init(&rig.feed, true, 10, 1, &io, &rig, &owner, &rig);
    feed_connected(&rig.feed, START_MS);
    return 0;
}

static inline int done(void **state)
{
    struct rig *r = *state;
    feed_done(&r->feed);
    return 0;
}

static inline void assert_not_ready(const struct rig *r)
{
    const char *why;
    assert_false(feed_ready(&r->feed, &why));
    assert_non_null(why);
}

static inline void assert_ready(const struct rig *r)
{
    const char *why;
    assert_true(feed_ready(&r->feed, &why));
    assert_null(why);
}

#define PUSH(test) cmocka_unit_test_setup_teardown(test, push_live, done)
#define PULL(test) cmocka_unit_test_setup_teardown(test, pull_asked, done)

#endif
