/* SPDX-License-Identifier: MIT */
/*
 * The feed against a fake Redis and a fake owner. Both write down each call, in the order in which
 * it came, as one line of words; `expect` compares the line and starts a new one. So a case tests
 * what was called as well as what was not.
 */
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
__attribute__((format(printf, 2, 3))) static void note(struct rig *r, const char *format, ...)
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

static void io_page(void *ctx, uint64_t after, unsigned count)
{
    struct rig *r = ctx;
    note(r, "%spage?%" PRIu64 "+%u", SPACE(r), after, count);
}

static void io_beat(void *ctx)
{
    struct rig *r = ctx;
    note(r, "%sbeat", SPACE(r));
}

static void io_drop(void *ctx, const char *why)
{
    struct rig *r = ctx;
    note(r, "%sdrop:%s", SPACE(r), why);
}

static void io_proved(void *ctx)
{
    struct rig *r = ctx;
    note(r, "%sproved", SPACE(r));
}

static void owner_deliver(void *ctx, uint64_t id, struct str json)
{
    struct rig *r = ctx;
    note(r, "%s%" PRIu64 "=%.*s", SPACE(r), id, (int)json.len, json.p);
}

static void owner_passed(void *ctx, uint64_t id)
{
    struct rig *r = ctx;
    note(r, "%spassed:%" PRIu64, SPACE(r), id);
}

static void owner_opened(void *ctx, uint64_t was, uint64_t opening, uint64_t prev, uint64_t from)
{
    struct rig *r = ctx;
    note(r, "%sopened:%" PRIu64 ">%" PRIu64 ",%" PRIu64 ",%" PRIu64, SPACE(r), was, opening, prev,
         from);
}

static void owner_gap(void *ctx, uint64_t after, uint64_t base)
{
    struct rig *r = ctx;
    note(r, "%sgap:%" PRIu64 "-%" PRIu64, SPACE(r), after, base);
}

static void owner_stored(void *ctx, uint64_t opening, uint64_t stored)
{
    struct rig *r = ctx;
    note(r, "%sstored:%" PRIu64 "/%" PRIu64, SPACE(r), opening, stored);
}

static void owner_page(void *ctx, const struct page *page)
{
    struct rig *r = ctx;
    note(r, "%sgot:%zu", SPACE(r), page->count);
    if (r->release_at_once)
        feed_release(&r->feed, page->seq, false);
}

static const struct feed_io io = {io_page, io_beat, io_drop, io_proved};
static const struct feed_owner owner = {owner_deliver, owner_passed, owner_opened,
                                        owner_gap,     owner_stored, owner_page};

static void expect_calls(struct rig *r, const char *calls, const char *file, int line)
{
    r->calls[r->len] = '\0';
    _assert_string_equal(r->calls, calls, file, line);
    r->len = 0;
}

#define expect(r, calls) expect_calls((r), (calls), __FILE__, __LINE__)

/* A page of an open log, with the ids first…last; their text is "m<id>". */
static void page_give(struct rig *r, struct page page, uint64_t first, uint64_t last)
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

static struct page log_open(uint64_t opening, uint64_t seq)
{
    return (struct page){.exists = true, .open = true, .opening = opening, .seq = seq};
}

static void page_give_empty(struct rig *r, struct page page)
{
    page_give(r, page, 1, 0);
}

static void live(struct rig *r, uint64_t id)
{
    char text[24];
    (void)snprintf(text, sizeof text, "m%" PRIu64, id);
    feed_live(&r->feed, id, str_of(text), START_MS);
}

static void beat(struct rig *r, uint64_t opening, uint64_t seq, uint64_t now_ms)
{
    feed_beat(&r->feed, &(struct beat){.opening = opening, .seq = seq}, now_ms);
}

/* A gateway that is live behind message 10 of opening 1. */
static int push_live(void **state)
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

static int push_off(void **state)
{
    static struct rig rig;
    rig = (struct rig){0};
    *state = &rig;
    feed_init(&rig.feed, false, 0, 0, &io, &rig, &owner, &rig);
    return 0;
}

/* A persister that has everything up to 10, connected, its first page asked. */
static int pull_asked(void **state)
{
    static struct rig rig;
    rig = (struct rig){0};
    *state = &rig;
    feed_init(&rig.feed, true, 10, 1, &io, &rig, &owner, &rig);
    feed_connected(&rig.feed, START_MS);
    return 0;
}

static int done(void **state)
{
    struct rig *r = *state;
    feed_done(&r->feed);
    return 0;
}

static void assert_not_ready(const struct rig *r)
{
    const char *why;
    assert_false(feed_ready(&r->feed, &why));
    assert_non_null(why);
}

static void assert_ready(const struct rig *r)
{
    const char *why;
    assert_true(feed_ready(&r->feed, &why));
    assert_null(why);
}

static void starts_at_the_end(void **state)
{
    struct rig *r = *state;
    assert_not_ready(r);
    feed_connected(&r->feed, START_MS);
    expect(r, "page?9007199254740992+1");
    assert_not_ready(r);
    live(r, 41); /* before the page was made: it is not new */
    live(r, 42);
    live(r, 43);
    expect(r, "");
    struct page page = log_open(7, 42);
    page.stored = 40;
    page_give_empty(r, page);
    expect(r, "43=m43 passed:43 stored:7/40 proved");
    assert_ready(r);
}

static void waits_for_an_open_log(void **state)
{
    struct rig *r = *state;
    feed_connected(&r->feed, START_MS);
    r->len = 0;
    page_give_empty(r, (struct page){0});
    expect(r, "");
    assert_not_ready(r);
    feed_tick(&r->feed, START_MS + 100);
    expect(r, "page?9007199254740992+1 beat");
    page_give_empty(r, log_open(1, 5));
    expect(r, "passed:5 stored:1/0 proved");
    assert_ready(r);
}

static void live_in_order(void **state)
{
    struct rig *r = *state;
    live(r, 11);
    live(r, 12);
    expect(r, "11=m11 passed:11 12=m12 passed:12");
    beat(r, 1, 12, START_MS);
    expect(r, "stored:1/0");
    feed_control(&r->feed, 1, 11, START_MS);
    expect(r, "stored:1/11");
}

static void duplicates_are_dropped(void **state)
{
    struct rig *r = *state;
    live(r, 11);
    r->len = 0;
    live(r, 11);
    live(r, 10);
    live(r, 3);
    expect(r, "");
    feed_nudge(&r->feed);
    expect(r, "page?11+1000");
    live(r, 12);
    page_give(r, log_open(1, 13), 10, 13);
    live(r, 13);
    expect(r, "12=m12 passed:12 13=m13 passed:13 stored:1/0");
}

static void missing_id(void **state)
{
    struct rig *r = *state;
    live(r, 13); /* 11 and 12 are missing */
    expect(r, "page?10+1000");
    live(r, 14);
    live(r, 14);
    live(r, 15);
    expect(r, "");
    page_give(r, log_open(1, 13), 11, 13);
    expect(r, "11=m11 12=m12 13=m13 14=m14 15=m15 passed:15 stored:1/0");
    live(r, 16);
    expect(r, "16=m16 passed:16");
}

/* The page was made before the missing message was published: a second one has it. */
static void held_behind_a_hole(void **state)
{
    struct rig *r = *state;
    live(r, 13);
    r->len = 0;
    page_give(r, log_open(1, 11), 11, 11);
    expect(r, "11=m11 passed:11 stored:1/0 page?11+1000");
    page_give(r, log_open(1, 12), 12, 12);
    expect(r, "12=m12 13=m13 passed:13 stored:1/0");
}

/* What is held has no hole; a second one costs the messages before it, and a page. */
static void hole_in_what_is_held(void **state)
{
    struct rig *r = *state;
    live(r, 12);
    live(r, 14);
    expect(r, "page?10+1000");
    page_give(r, log_open(1, 12), 11, 12);
    expect(r, "11=m11 12=m12 passed:12 stored:1/0 page?12+1000");
    page_give(r, log_open(1, 14), 13, 14);
    expect(r, "13=m13 14=m14 passed:14 stored:1/0");
}

static void too_much_is_held(void **state)
{
    struct rig *r = *state;
    for (uint64_t id = 12; id < 12 + FEED_BUFFER_MAX; id++)
        live(r, id);
    assert_int_equal(r->feed.nheld, FEED_BUFFER_MAX);
    live(r, 12 + FEED_BUFFER_MAX);
    assert_int_equal(r->feed.nheld, 0);
    assert_int_equal(r->feed.held_bytes, 0);
    expect(r, "page?10+1000");
    page_give(r, log_open(1, 12), 11, 12);
    expect(r, "11=m11 12=m12 passed:12 stored:1/0 page?12+1000");
}

static void full_page_asks_again(void **state)
{
    struct rig *r = *state;
    live(r, 14);
    r->len = 0;
    struct page page = log_open(1, 14);
    page.full = true;
    page_give(r, page, 11, 12);
    expect(r, "11=m11 12=m12 passed:12 stored:1/0 page?12+1000");
    assert_int_equal(r->feed.state, FEED_CATCHING_UP);
    page_give(r, log_open(1, 14), 13, 14);
    expect(r, "13=m13 14=m14 passed:14 stored:1/0");
    assert_int_equal(r->feed.state, FEED_LIVE);
}

static void failed_page_is_asked_again(void **state)
{
    struct rig *r = *state;
    live(r, 12);
    r->len = 0;
    feed_page_failed(&r->feed);
    expect(r, "");
    feed_tick(&r->feed, START_MS + 100);
    expect(r, "page?10+1000 beat");
}

static void disconnect_drops_held(void **state)
{
    struct rig *r = *state;
    live(r, 12);
    live(r, 13);
    feed_disconnected(&r->feed);
    assert_int_equal(r->feed.nheld, 0);
    assert_not_ready(r);
    r->len = 0;
    live(r, 11); /* a late event is of no connection */
    page_give(r, log_open(1, 11), 11, 11);
    feed_tick(&r->feed, START_MS + 60000);
    feed_nudge(&r->feed);
    expect(r, "");
    feed_connected(&r->feed, START_MS);
    expect(r, "page?10+1000");
    assert_not_ready(r);
    page_give(r, log_open(1, 11), 11, 11);
    expect(r, "11=m11 passed:11 stored:1/0 proved");
    assert_ready(r);
}

static void beat_counts_the_last(void **state)
{
    struct rig *r = *state;
    beat(r, 1, 10, START_MS);
    expect(r, "stored:1/0");
    beat(r, 1, 11, START_MS);
    expect(r, "page?10+1000 stored:1/0");
    page_give(r, log_open(1, 11), 11, 11);
    expect(r, "11=m11 passed:11 stored:1/0");
}

static void beat_each_second(void **state)
{
    struct rig *r = *state;
    feed_tick(&r->feed, START_MS);
    expect(r, "beat");
    feed_tick(&r->feed, START_MS + BEAT_MS - 1);
    expect(r, "");
    feed_tick(&r->feed, START_MS + BEAT_MS);
    expect(r, "beat");
}

static void beat_lost(void **state)
{
    struct rig *r = *state;
    beat(r, 1, 10, START_MS + 500);
    feed_tick(&r->feed, START_MS + 500 + BEAT_LOST_MS);
    expect(r, "stored:1/0 beat");
    feed_tick(&r->feed, START_MS + 501 + BEAT_LOST_MS);
    expect(r, "drop:no heartbeat came back through Redis");
}

static void sealed_too_long(void **state)
{
    struct rig *r = *state;
    feed_tick(&r->feed, START_MS);
    beat(r, 0, 0, START_MS + 100);
    expect(r, "beat");
    assert_not_ready(r);
    feed_tick(&r->feed, START_MS + 200);
    expect(r, "page?10+1000");
    beat(r, 0, 0, START_MS + 900); /* does not begin the time anew */
    feed_tick(&r->feed, START_MS + 100 + SEALED_MS);
    expect(r, "beat");
    feed_tick(&r->feed, START_MS + 101 + SEALED_MS);
    expect(r, "drop:the log stays sealed");
}

static void sealed_and_open_again(void **state)
{
    struct rig *r = *state;
    beat(r, 0, 0, START_MS);
    feed_tick(&r->feed, START_MS + 100);
    expect(r, "page?10+1000 beat");
    page_give_empty(r, log_open(1, 10));
    expect(r, "passed:10 stored:1/0");
    assert_ready(r);
    feed_tick(&r->feed, START_MS + 200 + SEALED_MS);
    expect(r, "beat");
}

static void new_opening(void **state)
{
    struct rig *r = *state;
    feed_control(&r->feed, 1, 9, START_MS);
    expect(r, "stored:1/9");
    feed_control(&r->feed, 2, 8, START_MS);
    expect(r, "page?10+1000");
    struct page page = log_open(2, 102);
    page.prev = 8; /* 9 and 10 were lost */
    page.from = 100;
    page.stored = 8; /* less than before: it is of another opening */
    page_give(r, page, 101, 102);
    expect(r, "opened:1>2,8,100 101=m101 102=m102 passed:102 stored:2/8");
    live(r, 103);
    expect(r, "103=m103 passed:103");
}

/* A heartbeat tells it as well; what was lost with the old server is not delivered. */
static void new_opening_voids_held(void **state)
{
    struct rig *r = *state;
    live(r, 12);
    r->len = 0;
    beat(r, 2, 100, START_MS);
    struct page page = log_open(2, 100);
    page.prev = 10;
    page.from = 100;
    page_give_empty(r, page);
    expect(r, "opened:1>2,10,100 passed:100 stored:2/0 page?100+1000");
    assert_int_equal(r->feed.nheld, 0);
}

static void older_opening_is_not_believed(void **state)
{
    struct rig *r = *state;
    r->feed.opening = 5;
    feed_nudge(&r->feed);
    expect(r, "page?10+1000");
    page_give(r, log_open(4, 12), 11, 12);
    expect(r, "");
    assert_not_ready(r);
}

static void below_base(void **state)
{
    struct rig *r = *state;
    feed_nudge(&r->feed);
    expect(r, "page?10+1000");
    struct page page = log_open(1, 22);
    page.base = 20;
    page_give(r, page, 21, 22);
    expect(r, "gap:10-20 21=m21 22=m22 passed:22 stored:1/0");
    page.base = page.seq; /* all is trimmed, but nothing of it is missing */
    feed_nudge(&r->feed);
    page_give_empty(r, page);
    expect(r, "page?22+1000 passed:22 stored:1/0");
}

static void pull_one_page_at_a_time(void **state)
{
    struct rig *r = *state;
    expect(r, "page?10+1000");
    live(r, 11); /* while the page is on its way */
    expect(r, "");
    page_give(r, log_open(1, 12), 11, 12);
    expect(r, "got:2");
    live(r, 13); /* while the owner has it */
    feed_tick(&r->feed, START_MS + 100);
    expect(r, "beat");
    feed_release(&r->feed, 12, false); /* it rang meanwhile */
    expect(r, "page?12+1000");
    page_give(r, log_open(1, 13), 13, 13);
    feed_release(&r->feed, 13, true);
    expect(r, "got:1 page?13+1000");
    page_give_empty(r, log_open(1, 13));
    feed_release(&r->feed, 13, false);
    expect(r, "got:0");
}

static void pull_doorbell(void **state)
{
    struct rig *r = *state;
    r->release_at_once = true;
    feed_tick(&r->feed, START_MS);
    page_give_empty(r, log_open(1, 10));
    expect(r, "page?10+1000 beat got:0 page?10+1000");
    page_give_empty(r, log_open(1, 10));
    live(r, 10);
    expect(r, "got:0");
    live(r, 11);
    expect(r, "page?10+1000");
    page_give(r, log_open(1, 11), 11, 11);
    expect(r, "got:1");
    beat(r, 1, 11, START_MS);
    expect(r, "proved");
    beat(r, 1, 12, START_MS);
    expect(r, "page?11+1000");
    page_give(r, log_open(1, 12), 12, 12);
    expect(r, "got:1");
    feed_tick(&r->feed, START_MS + BEAT_MS);
    expect(r, "beat page?12+1000");
}

/* The persister opens logs: it is shown those that are not open, and never told that one stays so;
 * but a lost heartbeat is a lost link. */
static void pull_sealed(void **state)
{
    struct rig *r = *state;
    r->release_at_once = true;
    page_give_empty(r, (struct page){.seq = 10});
    expect(r, "page?10+1000 got:0");
    beat(r, 0, 0, START_MS);
    expect(r, "page?10+1000 proved");
    feed_tick(&r->feed, START_MS + BEAT_LOST_MS);
    expect(r, "beat");
    feed_tick(&r->feed, START_MS + BEAT_LOST_MS + 1);
    expect(r, "drop:no heartbeat came back through Redis");
}

#define PUSH(test) cmocka_unit_test_setup_teardown(test, push_live, done)
#define PULL(test) cmocka_unit_test_setup_teardown(test, pull_asked, done)

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(starts_at_the_end, push_off, done),
        cmocka_unit_test_setup_teardown(waits_for_an_open_log, push_off, done),
        PUSH(live_in_order),
        PUSH(duplicates_are_dropped),
        PUSH(missing_id),
        PUSH(held_behind_a_hole),
        PUSH(hole_in_what_is_held),
        PUSH(too_much_is_held),
        PUSH(full_page_asks_again),
        PUSH(failed_page_is_asked_again),
        PUSH(disconnect_drops_held),
        PUSH(beat_counts_the_last),
        PUSH(beat_each_second),
        PUSH(beat_lost),
        PUSH(sealed_too_long),
        PUSH(sealed_and_open_again),
        PUSH(new_opening),
        PUSH(new_opening_voids_held),
        PUSH(older_opening_is_not_believed),
        PUSH(below_base),
        PULL(pull_one_page_at_a_time),
        PULL(pull_doorbell),
        PULL(pull_sealed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
