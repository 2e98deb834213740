/* SPDX-License-Identifier: MIT */
/* common/feed.c: every message once and in order, from pages and live, in both modes. */
#include "tests/unit/common/feed_rig.h"

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

/* How far the lease was raised only a page tells. */
static void beat_nears_the_lease(void **state)
{
    struct rig *r = *state;
    struct page page = log_open(1, 11);
    page.lease = 13;
    beat(r, 1, 11, START_MS);
    expect(r, "page?10+1000 stored:1/0");
    page_give(r, page, 11, 11);
    expect(r, "11=m11 passed:11 stored:1/0");
    beat(r, 1, 11, START_MS);
    expect(r, "stored:1/0");
    live(r, 12);
    expect(r, "12=m12 passed:12");
    beat(r, 1, 12, START_MS);
    expect(r, "page?12+1000 stored:1/0");
    page.seq = 12;
    page.lease = 113;
    page_give_empty(r, page);
    assert_int_equal(r->feed.lease, 113);
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

/* The owner has a page when the link breaks: the next connection gives none before it is released.
 */
static void pull_page_outlives_connection(void **state)
{
    struct rig *r = *state;
    page_give(r, log_open(1, 12), 11, 12);
    expect(r, "page?10+1000 got:2");
    feed_disconnected(&r->feed);
    feed_connected(&r->feed, START_MS);
    live(r, 13);
    beat(r, 1, 13, START_MS);
    feed_tick(&r->feed, START_MS + BEAT_MS);
    expect(r, "proved beat");
    feed_disconnected(&r->feed);
    feed_connected(&r->feed, START_MS);
    feed_release(&r->feed, 12, false); /* two connections late */
    expect(r, "page?12+1000");
    page_give(r, log_open(1, 13), 13, 13);
    feed_release(&r->feed, 13, true);
    expect(r, "got:1 page?13+1000");
}

static void pull_release_while_off(void **state)
{
    struct rig *r = *state;
    page_give(r, log_open(1, 12), 11, 12);
    feed_disconnected(&r->feed);
    feed_release(&r->feed, 12, true);
    expect(r, "page?10+1000 got:2");
    feed_connected(&r->feed, START_MS);
    expect(r, "page?12+1000");
}

/* What answers no question of this connection is not looked at. */
static void pull_page_not_asked_for(void **state)
{
    struct rig *r = *state;
    page_give(r, log_open(1, 12), 11, 12);
    page_give(r, log_open(1, 12), 11, 12);
    feed_page_failed(&r->feed);
    expect(r, "page?10+1000 got:2");
    feed_release(&r->feed, 12, false);
    page_give(r, log_open(1, 12), 11, 12);
    feed_tick(&r->feed, START_MS);
    expect(r, "beat page?12+1000");
    feed_disconnected(&r->feed);
    page_give(r, log_open(1, 13), 13, 13);
    feed_page_failed(&r->feed);
    feed_connected(&r->feed, START_MS);
    expect(r, "page?12+1000");
}

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
        PUSH(beat_nears_the_lease),
        PUSH(beat_each_second),
        PUSH(beat_lost),
        PUSH(sealed_too_long),
        PUSH(sealed_and_open_again),
        PULL(pull_one_page_at_a_time),
        PULL(pull_doorbell),
        PULL(pull_sealed),
        PULL(pull_page_outlives_connection),
        PULL(pull_release_while_off),
        PULL(pull_page_not_asked_for),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
