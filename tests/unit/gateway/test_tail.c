/* SPDX-License-Identifier: MIT */
/* The reader of the stream's tail, page by page, over a small stream that the test writes. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "common/buf.h"
#include "gateway/tail.h"

enum {
    ROOMS = 3,
    ENTRIES_MAX = PAGE_ENTRIES * (TAIL_PAGES_MAX + 2),
    START_MS = 1000,
};

static const char *const names[ROOMS] = {"a", "b", "c"};

/* The stream, the seekers of the rooms a, b and c, and what the engine asked for. */
static struct {
    struct tail tail;
    struct tail_seeker seekers[ROOMS];
    int done[ROOMS];                        /* how often each was told */
    unsigned char room_of[ENTRIES_MAX + 1]; /* by id: 1 + the room, 0: no such entry */
    uint64_t top, base;
    bool untrimmed; /* what lies at or below base is still there */
    bool refuse;    /* there is no connection */
    uint64_t before;
    unsigned asked; /* pages */
} w;

static bool want_page(void *ctx, uint64_t before, unsigned count)
{
    assert_ptr_equal(ctx, &w);
    assert_int_equal(count, PAGE_ENTRIES);
    w.asked += !w.refuse;
    w.before = before;
    return !w.refuse;
}

static struct tail_seeker *find(void *ctx, struct str room)
{
    assert_ptr_equal(ctx, &w);
    for (size_t i = 0; i < ROOMS; i++)
        if (str_eq(room, str_of(names[i])))
            return &w.seekers[i];
    return NULL;
}

static const struct tail_io io = {.page = want_page, .find = find};

static void done(struct tail_seeker *s)
{
    assert_int_equal(s->state, TAIL_IDLE);
    w.done[s - w.seekers]++;
}

static int setup(void **state)
{
    (void)state;
    memset(&w, 0, sizeof w);
    tail_init(&w.tail, &io, &w);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    for (size_t i = 0; i < ROOMS; i++)
        tail_seeker_clear(&w.seekers[i]);
    return 0;
}

static void stream_add(uint64_t id, int room)
{
    w.room_of[id] = (unsigned char)(1 + room);
    if (id > w.top)
        w.top = id;
}

/* Ids first to last, each in the same room. */
static void stream_fill(uint64_t first, uint64_t last, int room)
{
    for (uint64_t id = first; id <= last; id++)
        stream_add(id, room);
}

static void seek(int room, size_t wanted, uint64_t upto, uint64_t now_ms)
{
    w.seekers[room] = (struct tail_seeker){.wanted = wanted, .upto = upto, .done = done};
    tail_seek(&w.tail, &w.seekers[room], now_ms);
    assert_int_equal(w.done[room], 0);
}

/* Answers the page that was asked for, from the stream as it is now. */
static void answer(uint64_t now_ms)
{
    static struct entry entries[PAGE_ENTRIES];
    static char text[PAGE_ENTRIES][80];
    struct page page = {.exists = true, .open = true, .base = w.base, .entries = entries};
    for (uint64_t id = w.before - 1; id > (w.untrimmed ? 0 : w.base) && page.count < PAGE_ENTRIES;
         id--) {
        if (id > w.top || !w.room_of[id])
            continue;
        char *json = text[page.count];
        int n = snprintf(json, sizeof text[0], "{\"id\":%ju,\"x\":1,\"room\":\"%s\"}",
                         (uintmax_t)id, names[w.room_of[id] - 1]);
        entries[page.count++] = (struct entry){.id = id, .json = {json, (size_t)n}};
    }
    page.full = page.count == PAGE_ENTRIES;
    tail_page(&w.tail, &page, now_ms);
}

/* The seeker was told once, and has count messages of its room, all above reach, in order. */
static void check(int room, size_t count, uint64_t reach)
{
    const struct tail_seeker *s = &w.seekers[room];
    uint64_t id = reach;
    size_t seen = 0;
    assert_int_equal(w.done[room], 1);
    assert_int_equal(s->count, count);
    assert_int_equal(s->reach, reach);
    for (const struct tail_found *f = s->found; f; f = f->next, seen++) {
        for (id++; id < f->id; id++)
            assert_int_not_equal(w.room_of[id], 1 + room);
        assert_int_equal(f->id, id);
        assert_int_equal(w.room_of[id], 1 + room);
        assert_true(f->len > 10 && strncmp(f->json, "{\"id\":", 6) == 0);
    }
    assert_int_equal(seen, count);
}

static void test_one_page_has_all(void **state)
{
    (void)state;
    stream_fill(1, 30, 0);
    seek(0, 10, 30, START_MS);
    assert_int_equal(w.before, 31);
    answer(START_MS);
    check(0, 10, 20);
    assert_int_equal(w.asked, 1);
}

static void test_stream_ends(void **state)
{
    (void)state;
    w.base = 5;
    stream_fill(6, 30, 0);
    stream_add(12, 1);
    seek(0, 100, 30, START_MS);
    answer(START_MS);
    check(0, 24, 5);
    assert_int_equal(w.asked, 1);
}

static void test_stream_has_everything(void **state)
{
    (void)state;
    stream_add(3, 0);
    seek(0, 100, 30, START_MS);
    answer(START_MS);
    check(0, 1, 0);
}

static void test_newer_ones_are_not_taken(void **state)
{
    (void)state;
    stream_fill(1, 40, 0);
    seek(0, 5, 30, START_MS);
    answer(START_MS);
    check(0, 5, 25);
    assert_int_equal(w.before, 31);
}

static void test_pages_join(void **state)
{
    (void)state;
    const uint64_t top = 2 * PAGE_ENTRIES + 500;
    stream_fill(1, top, 1);
    for (uint64_t id = 7; id <= top; id += 700) /* 7, 707, 1407, 2107 */
        stream_add(id, 0);
    seek(0, 4, top, START_MS);
    answer(START_MS);
    assert_int_equal(w.before, top - PAGE_ENTRIES + 1);
    answer(START_MS);
    assert_int_equal(w.done[0], 0);
    answer(START_MS);
    check(0, 4, 6);
    assert_int_equal(w.asked, 3);
}

static void test_holes_in_the_ids_cost_no_page(void **state)
{
    (void)state;
    stream_fill(1, 10, 0);
    stream_fill(100000, 100010, 0);
    seek(0, 15, 100010, START_MS);
    answer(START_MS);
    check(0, 15, 6);
}

static void test_trimmed_between_two_pages(void **state)
{
    (void)state;
    stream_fill(1, 3000, 1);
    stream_add(1500, 0);
    stream_add(2500, 0);
    seek(0, 5, 3000, START_MS);
    answer(START_MS);
    w.base = 2400; /* the persister is back: 2001 to 3000 had been read */
    answer(START_MS);
    check(0, 1, 2000);
}

/* The log was opened with a base above some of its entries: they are not all that there was. */
static void test_not_trimmed_yet(void **state)
{
    (void)state;
    stream_fill(1, 30, 0);
    w.room_of[15] = 0; /* SQLite has it */
    w.base = 20;
    w.untrimmed = true;
    seek(0, 25, 30, START_MS);
    answer(START_MS);
    check(0, 10, 20);
}

static void test_not_trimmed_yet_and_full(void **state)
{
    (void)state;
    stream_fill(1, PAGE_ENTRIES + 10, 0);
    w.base = 100;
    w.untrimmed = true;
    seek(0, 2 * PAGE_ENTRIES, PAGE_ENTRIES + 10, START_MS);
    answer(START_MS);
    check(0, PAGE_ENTRIES + 10 - 100, 100);
}

static void test_read_is_bounded(void **state)
{
    (void)state;
    const uint64_t top = ENTRIES_MAX;
    stream_fill(1, top, 1);
    seek(0, 5, top, START_MS);
    for (int i = 0; i < TAIL_PAGES_MAX; i++) {
        assert_int_equal(w.done[0], 0);
        answer(START_MS);
    }
    check(0, 0, top - (uint64_t)TAIL_PAGES_MAX * PAGE_ENTRIES);
    assert_int_equal(w.asked, TAIL_PAGES_MAX);
}

static void test_rooms_share_a_read(void **state)
{
    (void)state;
    stream_fill(1, 3000, 1);
    stream_add(1000, 0);
    stream_add(2, 2);
    w.refuse = true; /* so that all wait for the same read */
    seek(0, 1, 2000, START_MS);
    seek(1, 10, 3000, START_MS);
    seek(2, 10, 2500, START_MS);
    assert_int_equal(w.asked, 0);
    w.refuse = false;
    tail_tick(&w.tail, START_MS + 100);
    assert_int_equal(w.before, 3001);
    answer(START_MS + 100);
    check(1, 10, 2990); /* done at once, the others go on */
    assert_int_equal(w.done[0] + w.done[2], 0);
    answer(START_MS + 100);
    assert_int_equal(w.done[0] + w.done[2], 0);
    answer(START_MS + 100);
    check(0, 1, 999);
    check(2, 1, 0);
    assert_int_equal(w.asked, 3);
}

static void test_who_comes_later_waits_for_the_next(void **state)
{
    (void)state;
    stream_fill(1, 1500, 1);
    stream_add(1400, 0);
    seek(1, 2000, 1500, START_MS);
    answer(START_MS);
    seek(0, 1, 1500, START_MS); /* id 1400 has been read already */
    answer(START_MS);
    check(1, 1499, 0);
    assert_int_equal(w.done[0], 0);
    assert_int_equal(w.asked, 2);
    tail_tick(&w.tail, START_MS + 2 * TAIL_REST_MS - 1); /* Redis rests after two pages */
    assert_int_equal(w.asked, 2);
    tail_tick(&w.tail, START_MS + 2 * TAIL_REST_MS);
    assert_int_equal(w.asked, 3);
    answer(START_MS + 100);
    check(0, 1, 1399);
}

static void test_page_that_fails_is_asked_again(void **state)
{
    (void)state;
    stream_fill(1, 3000, 1);
    stream_add(1500, 0);
    seek(0, 1, 3000, START_MS);
    answer(START_MS);
    tail_page(&w.tail, NULL, START_MS);
    assert_int_equal(w.asked, 2);
    tail_tick(&w.tail, START_MS + 100);
    assert_int_equal(w.asked, 3);
    const struct page sealed = {.exists = true};
    tail_page(&w.tail, &sealed, START_MS + 100);
    assert_int_equal(w.done[0], 0);
    tail_tick(&w.tail, START_MS + 200);
    assert_int_equal(w.before, 2001);
    answer(START_MS + 200);
    check(0, 1, 1499);
}

static void test_deadline_keeps_what_was_found(void **state)
{
    (void)state;
    stream_fill(1, 3000, 1);
    stream_add(2500, 0);
    seek(0, 5, 3000, START_MS);
    answer(START_MS);
    tail_tick(&w.tail, START_MS + TAIL_MS - 1);
    assert_int_equal(w.done[0], 0);
    tail_tick(&w.tail, START_MS + TAIL_MS);
    check(0, 1, 2000);
    answer(START_MS + TAIL_MS); /* a page that nobody needs any more */
    assert_int_equal(w.done[0], 1);
    assert_int_equal(w.asked, 2);
}

static void test_deadline_without_any_page(void **state)
{
    (void)state;
    w.refuse = true;
    seek(0, 5, 3000, START_MS);
    tail_tick(&w.tail, START_MS + 100);
    tail_tick(&w.tail, START_MS + TAIL_MS);
    check(0, 0, 3000);
}

static void test_void_messages_are_cut(void **state)
{
    (void)state;
    stream_fill(1, 3000, 1);
    stream_fill(2100, 2110, 0);
    seek(0, 20, 3000, START_MS);
    answer(START_MS);
    tail_cut(&w.tail, 2104);
    for (uint64_t id = 2105; id <= 3000; id++)
        w.room_of[id] = 0;
    answer(START_MS);
    answer(START_MS);
    check(0, 5, 0);
}

static void test_cancelled_is_not_told(void **state)
{
    (void)state;
    stream_fill(1, 3000, 0);
    seek(0, 2000, 3000, START_MS);
    seek(1, 5, 3000, START_MS);
    answer(START_MS);
    assert_non_null(w.seekers[0].found);
    tail_cancel(&w.tail, &w.seekers[0]);
    tail_cancel(&w.tail, &w.seekers[1]);
    tail_cancel(&w.tail, &w.seekers[2]); /* is none */
    assert_null(w.seekers[0].found);
    answer(START_MS);
    tail_tick(&w.tail, START_MS + TAIL_MS);
    assert_int_equal(w.done[0] + w.done[1], 0);
    assert_int_equal(w.asked, 2);
}

static void test_strangers_entries_are_left(void **state)
{
    (void)state;
    static const struct entry entries[] = {
        {.id = 30, .json = {"{\"id\":30,\"x\":1,\"room\":\"a\"}", 26}},
        {.id = 29, .json = {"{\"id\":7,\"x\":1,\"room\":\"a\"}", 25}}, /* another id */
        {.id = 28, .json = {"hello", 5}},
        {.id = 27},
        {.id = 26, .json = {"{\"id\":26,\"x\":1,\"room\":\"z\"}", 26}}, /* nobody's */
    };
    const struct page page = {.exists = true, .open = true, .count = 5, .entries = entries};
    seek(0, 5, 30, START_MS);
    tail_page(&w.tail, &page, START_MS);
    assert_int_equal(w.done[0], 1);
    assert_int_equal(w.seekers[0].count, 1);
    assert_int_equal(w.seekers[0].found->id, 30);
}

#define TEST(name) cmocka_unit_test_setup_teardown(test_##name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(one_page_has_all),
        TEST(stream_ends),
        TEST(stream_has_everything),
        TEST(newer_ones_are_not_taken),
        TEST(pages_join),
        TEST(holes_in_the_ids_cost_no_page),
        TEST(trimmed_between_two_pages),
        TEST(not_trimmed_yet),
        TEST(not_trimmed_yet_and_full),
        TEST(read_is_bounded),
        TEST(rooms_share_a_read),
        TEST(who_comes_later_waits_for_the_next),
        TEST(page_that_fails_is_asked_again),
        TEST(deadline_keeps_what_was_found),
        TEST(deadline_without_any_page),
        TEST(void_messages_are_cut),
        TEST(cancelled_is_not_told),
        TEST(strangers_entries_are_left),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
