/* SPDX-License-Identifier: MIT */
/* common/feed.c: what an opening makes of positions, and what the stream no longer has; also in
 * orders that a network shows on bad days only. */
#include "tests/unit/common/feed_rig.h"

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

/* An opening, and a page that tells of it. */
static struct page opening(uint64_t number, uint64_t prev, uint64_t from, uint64_t base,
                           uint64_t seq)
{
    struct page page = log_open(number, seq);
    page.prev = prev;
    page.from = from;
    page.base = base;
    return page;
}

/* Its first message may follow the last one before it, and it comes before the page. */
static void live_behind_an_announcement(void **state)
{
    struct rig *r = *state;
    feed_control(&r->feed, 2, 10, START_MS);
    live(r, 11);
    expect(r, "page?10+1000");
    page_give(r, opening(2, 8, 10, 0, 11), 11, 11);
    expect(r, "opened:1>2,8,10 11=m11 passed:11 stored:2/0 page?11+1000");
    live(r, 12);
    page_give_empty(r, opening(2, 8, 10, 0, 11));
    expect(r, "12=m12 passed:12 stored:2/0");
    beat(r, 3, 30, START_MS);
    live(r, 13);
    expect(r, "page?12+1000");
    page_give_empty(r, opening(3, 12, 30, 0, 30));
    expect(r, "opened:2>3,12,30 passed:30 stored:3/0 page?30+1000");
}

static void page_older_than_an_announcement(void **state)
{
    struct rig *r = *state;
    feed_nudge(&r->feed);
    feed_control(&r->feed, 2, 10, START_MS);
    page_give_empty(r, log_open(1, 10));
    expect(r, "page?10+1000 passed:10 stored:1/0 page?10+1000");
    live(r, 11);
    expect(r, "");
    page_give(r, opening(2, 10, 10, 0, 11), 11, 11);
    expect(r, "opened:1>2,10,10 11=m11 passed:11 stored:2/0 page?11+1000");
}

/* They follow from, but they are of the opening before. */
static void held_of_the_opening_before(void **state)
{
    struct rig *r = *state;
    live(r, 12);
    live(r, 13);
    expect(r, "page?10+1000");
    page_give_empty(r, opening(2, 10, 11, 0, 11));
    expect(r, "opened:1>2,10,11 passed:11 stored:2/0 page?11+1000");
    page_give_empty(r, opening(2, 10, 11, 0, 11));
    expect(r, "passed:11 stored:2/0");
}

static void base_where_nothing_exists(void **state)
{
    struct rig *r = *state;
    feed_nudge(&r->feed);
    page_give(r, opening(2, 10, 100, 90, 102), 101, 102);
    expect(r, "page?10+1000 opened:1>2,10,100 101=m101 102=m102 passed:102 stored:2/0");
    feed_nudge(&r->feed);
    page_give_empty(r, opening(3, 99, 200, 200, 200));
    expect(r, "page?102+1000 opened:2>3,99,200 passed:200 stored:3/0");
}

static void gap_below_prev(void **state)
{
    struct rig *r = *state;
    feed_nudge(&r->feed);
    struct page page = opening(2, 15, 100, 12, 101);
    page.full = true;
    page_give(r, page, 13, 15);
    expect(r, "page?10+1000 opened:1>2,15,100 gap:10-12 13=m13 14=m14 15=m15 passed:15 stored:2/0 "
              "page?15+1000");
    page.full = false;
    page_give(r, page, 101, 101);
    expect(r, "101=m101 passed:101 stored:2/0");
}

static void gap_up_to_beyond_prev(void **state)
{
    struct rig *r = *state;
    feed_nudge(&r->feed);
    page_give(r, opening(2, 15, 100, 50, 101), 101, 101);
    expect(r, "page?10+1000 opened:1>2,15,100 gap:10-50 101=m101 passed:101 stored:2/0");
}

static void gap_above_from(void **state)
{
    struct rig *r = *state;
    feed_nudge(&r->feed);
    page_give(r, opening(2, 8, 100, 120, 121), 121, 121);
    expect(r, "page?10+1000 opened:1>2,8,100 gap:100-120 121=m121 passed:121 stored:2/0");
}

/* What was void in the second opening is below the prev of the third. */
static void opening_unseen(void **state)
{
    struct rig *r = *state;
    feed_control(&r->feed, 1, 7, START_MS);
    feed_nudge(&r->feed);
    struct page page = opening(3, 51, 100, 0, 100);
    page.full = true;
    page_give(r, page, 50, 51);
    expect(r, "stored:1/7 page?10+1000 opened:1>3,51,100 gap:7-10 50=m50 51=m51 passed:51 "
              "stored:3/0 page?51+1000");
    page.full = false;
    page_give_empty(r, page);
    expect(r, "passed:100 stored:3/0");
}

static void opening_unseen_and_trimmed(void **state)
{
    struct rig *r = *state;
    feed_nudge(&r->feed);
    page_give(r, opening(3, 51, 100, 49, 51), 50, 51);
    expect(r, "page?10+1000 opened:1>3,51,100 gap:0-10 gap:10-49 50=m50 51=m51 passed:51 "
              "stored:3/0");
}

/* All that was delivered is known to be stored, or is above prev. */
static void opening_unseen_costs_nothing(void **state)
{
    struct rig *r = *state;
    feed_control(&r->feed, 1, 10, START_MS);
    feed_nudge(&r->feed);
    page_give(r, opening(3, 51, 100, 0, 101), 101, 101);
    expect(r, "stored:1/10 page?10+1000 opened:1>3,51,100 101=m101 passed:101 stored:3/0");
    feed_control(&r->feed, 3, 100, START_MS);
    feed_nudge(&r->feed);
    page_give_empty(r, opening(5, 51, 200, 0, 200));
    expect(r, "stored:3/100 page?101+1000 opened:3>5,51,200 passed:200 stored:5/0");
}

/* SQLite came from an old backup, and Redis was empty: ids are given a second time. */
static void ids_begin_again_below(void **state)
{
    struct rig *r = *state;
    live(r, 12);
    page_give(r, opening(2, 3, 5, 3, 14), 11, 14);
    expect(r, "page?10+1000 opened:1>2,3,5 gap:3-5 page?5+1000");
    live(r, 13); /* its successor, 14, is in the page */
    page_give(r, opening(2, 3, 5, 3, 14), 7, 14);
    expect(r, "7=m7 8=m8 9=m9 10=m10 11=m11 12=m12 13=m13 14=m14 passed:14 stored:2/0");
    live(r, 15);
    expect(r, "15=m15 passed:15");
}

/* While the feed is live: what follows the old position is not what comes next. */
static void ids_begin_again_unannounced(void **state)
{
    struct rig *r = *state;
    feed_nudge(&r->feed);
    page_give_empty(r, opening(2, 3, 5, 3, 10));
    live(r, 6);
    expect(r, "page?10+1000 opened:1>2,3,5 gap:3-5 page?5+1000");
    page_give(r, opening(2, 3, 5, 3, 10), 6, 10);
    expect(r, "6=m6 7=m7 8=m8 9=m9 10=m10 passed:10 stored:2/0");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        PUSH(new_opening),
        PUSH(new_opening_voids_held),
        PUSH(older_opening_is_not_believed),
        PUSH(below_base),
        PUSH(live_behind_an_announcement),
        PUSH(page_older_than_an_announcement),
        PUSH(held_of_the_opening_before),
        PUSH(base_where_nothing_exists),
        PUSH(gap_below_prev),
        PUSH(gap_up_to_beyond_prev),
        PUSH(gap_above_from),
        PUSH(opening_unseen),
        PUSH(opening_unseen_and_trimmed),
        PUSH(opening_unseen_costs_nothing),
        PUSH(ids_begin_again_below),
        PUSH(ids_begin_again_unannounced),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
