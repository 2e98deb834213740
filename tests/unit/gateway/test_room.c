/* SPDX-License-Identifier: MIT */
/* How a room wakes: answers of the persister and pages of the stream that come early, late, not at
 * all or broken, while messages come, become void or are missed. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "common/limits.h"
#include "gateway/rooms_internal.h"

enum {
    KEEP = 20,
    START_MS = 1000,
    ASKED_MAX = 64,
    TEXT_MAX = 80,
};

/* A question to the persister. */
struct question {
    char room[ROOM_BYTES_MAX + 1];
    uint64_t before, min_id;
    unsigned limit;
    history_cb cb;
    void *arg;
};

static struct {
    struct rooms *rooms;
    struct question asked[ASKED_MAX];
    size_t nasked;
    bool refuse;     /* the persister's client does */
    unsigned pages;  /* of the stream that were asked for */
    uint64_t before; /* by the last one */
    int awake;       /* how often a waiter was called */
} w;

static bool ask_history(void *ctx, struct str room, uint64_t before, unsigned limit,
                        uint64_t min_id, history_cb cb, void *arg)
{
    assert_ptr_equal(ctx, &w);
    if (w.refuse)
        return false;
    assert_true(w.nasked < ASKED_MAX);
    struct question *q = &w.asked[w.nasked++];
    *q =
        (struct question){.before = before, .min_id = min_id, .limit = limit, .cb = cb, .arg = arg};
    memcpy(q->room, room.p, room.len);
    return true;
}

static bool ask_page(void *ctx, uint64_t before, unsigned count)
{
    assert_ptr_equal(ctx, &w);
    assert_int_equal(count, PAGE_ENTRIES);
    w.pages++;
    w.before = before;
    return true;
}

static const struct rooms_sources sources = {.history = ask_history, .page = ask_page};

static int setup(void **state)
{
    (void)state;
    memset(&w, 0, sizeof w);
    w.rooms = rooms_new(&(struct rooms_config){KEEP, 1 << 20, 0}, &sources, &w);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    rooms_free(w.rooms);
    return 0;
}

/* ---- what happens ---- */

static struct str message(char out[TEXT_MAX], uint64_t id, const char *room)
{
    int n = snprintf(out, TEXT_MAX, "{\"id\":%ju,\"x\":1,\"room\":\"%s\"}", (uintmax_t)id, room);
    return (struct str){out, (size_t)n};
}

static void deliver(const char *room, uint64_t id)
{
    char text[TEXT_MAX];
    rooms_deliver(w.rooms, str_of(room), id, message(text, id, room));
}

static void waiter_awake(struct room_waiter *waiter)
{
    (void)waiter;
    w.awake++;
}

/* The room of that name, woken by the first call; somebody waits for it. */
static struct room *visit(const char *name, uint64_t position, struct room_waiter *waiter)
{
    struct room *r = room_get(w.rooms, str_of(name), position, START_MS);
    assert_non_null(r);
    waiter->awake = waiter_awake;
    room_wait(r, waiter);
    return r;
}

/* The persister's answer to the n-th question: the messages first to last. */
static void answer(size_t n, uint64_t first, uint64_t last)
{
    struct buf *lines = NULL;
    char text[TEXT_MAX];
    const struct question *q = &w.asked[n];
    for (uint64_t id = first; id <= last; id++) {
        buf_add_str(&lines, message(text, id, q->room));
        buf_add_char(&lines, '\n');
    }
    q->cb(q->arg, true, 200, buf_str(lines));
    buf_free(&lines);
}

static void refuse(size_t n)
{
    w.asked[n].cb(w.asked[n].arg, false, 503, STR(""));
}

/* The page of the stream that was asked for: the messages last down to first, all of one room. */
static void stream(const char *room, uint64_t first, uint64_t last, uint64_t base)
{
    static struct entry entries[PAGE_ENTRIES];
    static char text[PAGE_ENTRIES][TEXT_MAX];
    struct page page = {.exists = true, .open = true, .base = base, .entries = entries};
    for (uint64_t id = last; id >= first; id--, page.count++)
        entries[page.count] = (struct entry){.id = id, .json = message(text[page.count], id, room)};
    page.full = page.count == PAGE_ENTRIES;
    rooms_page(w.rooms, &page);
}

/* The log has exactly the messages first to last (first above last: none), and reaches so far. */
static void check_log(struct room *r, uint64_t first, uint64_t last, uint64_t reach)
{
    assert_true(r->awake);
    assert_int_equal(r->log.reach, reach);
    struct room_page page = room_log_look(&r->log, 0, 0, 10000, false);
    assert_int_equal(page.count, last + 1 - first);
    for (uint64_t id = first; id <= last; id++)
        assert_int_equal(room_log_look(&r->log, id - 1, id + 1, 9, false).count, 1);
}

/* ---- the persister answers ---- */

static void test_nothing_is_older(void **state)
{
    (void)state;
    struct room_waiter waiter;
    struct room *r = visit("a", 0, &waiter);
    assert_int_equal(w.awake, 1);
    assert_int_equal(w.nasked + w.pages, 0);
    check_log(r, 1, 0, 0);
}

static void test_answer_in_time(void **state)
{
    (void)state;
    struct room_waiter waiter;
    struct room *r = visit("a", 100, &waiter);
    assert_int_equal(w.asked[0].before, 101);
    assert_int_equal(w.asked[0].min_id, 100);
    assert_int_equal(w.asked[0].limit, KEEP);
    deliver("a", 101);
    deliver("a", 102);
    assert_int_equal(w.awake, 0);
    answer(0, 81, 100);
    assert_int_equal(w.awake, 1);
    check_log(r, 81, 102, 80);
    rooms_tick(w.rooms, START_MS + WAKE_MS);
    assert_int_equal(w.pages, 0);
}

static void test_answer_has_all_there_is(void **state)
{
    (void)state;
    struct room_waiter waiter;
    struct room *r = visit("a", 100, &waiter);
    answer(0, 95, 100);
    check_log(r, 95, 100, 0);
}

static void test_answer_with_more_than_was_asked_for(void **state)
{
    (void)state;
    struct room_waiter waiter;
    struct room *r = visit("a", 100, &waiter);
    deliver("a", 101);
    answer(0, 85, 104); /* above 100 they come live */
    deliver("a", 102);
    check_log(r, 85, 102, 0);
}

/* ---- it does not ---- */

static void test_refused_answer(void **state)
{
    (void)state;
    struct room_waiter waiter;
    struct room *r = visit("a", 100, &waiter);
    deliver("a", 101);
    refuse(0);
    assert_int_equal(w.pages, 1);
    assert_int_equal(w.before, 101);
    assert_int_equal(w.awake, 0);
    deliver("a", 102);
    stream("a", 91, 100, 90);
    assert_int_equal(w.awake, 1);
    check_log(r, 91, 102, 90);
}

static void test_no_answer(void **state)
{
    (void)state;
    struct room_waiter waiter;
    struct room *r = visit("a", 100, &waiter);
    rooms_tick(w.rooms, START_MS + WAKE_MS - 1);
    assert_int_equal(w.pages, 0);
    rooms_tick(w.rooms, START_MS + WAKE_MS);
    assert_int_equal(w.pages, 1);
    stream("a", 91, 100, 90);
    check_log(r, 91, 100, 90);
    answer(0, 81, 100); /* too late: somebody may read the log */
    check_log(r, 91, 100, 90);
    assert_int_equal(w.awake, 1);
}

static void test_client_refuses_to_ask(void **state)
{
    (void)state;
    struct room_waiter waiter;
    w.refuse = true;
    struct room *r = visit("a", 100, &waiter);
    assert_int_equal(w.pages, 1);
    assert_int_equal(w.awake, 0);
    stream("a", 71, 100, 50);
    check_log(r, 81, 100, 80); /* no more than it keeps */
}

static void test_answer_while_the_tail_is_read(void **state)
{
    (void)state;
    struct room_waiter waiter;
    struct room *r = visit("a", 3000, &waiter);
    deliver("a", 3001);
    rooms_tick(w.rooms, START_MS + WAKE_MS);
    stream("b", 2001, 3000, 500);
    assert_int_equal(w.pages, 2);
    answer(0, 2981, 3000);
    check_log(r, 2981, 3001, 2980);
    stream("a", 1001, 2000, 500); /* nobody needs it any more */
    check_log(r, 2981, 3001, 2980);
    assert_int_equal(w.awake, 1);
}

static void test_refusal_while_the_tail_is_read(void **state)
{
    (void)state;
    struct room_waiter waiter;
    struct room *r = visit("a", 100, &waiter);
    rooms_tick(w.rooms, START_MS + WAKE_MS);
    refuse(0);
    assert_int_equal(w.awake, 0);
    stream("a", 91, 100, 90);
    check_log(r, 91, 100, 90);
}

static void test_neither_helps(void **state)
{
    (void)state;
    struct room_waiter waiter;
    struct room *r = visit("a", 100, &waiter);
    deliver("a", 101);
    rooms_tick(w.rooms, START_MS + WAKE_MS);
    rooms_page(w.rooms, NULL);
    rooms_tick(w.rooms, START_MS + WAKE_MS + TAIL_MS);
    assert_int_equal(w.awake, 1);
    check_log(r, 101, 101, 100);
}

static void test_many_rooms_share_a_read(void **state)
{
    (void)state;
    struct room_waiter waiters[ASKED_MAX];
    struct room *rooms[ASKED_MAX];
    for (int i = 0; i < ASKED_MAX; i++) {
        char name[16];
        snprintf(name, sizeof name, "r%d", i);
        rooms[i] = visit(name, 100, &waiters[i]);
    }
    rooms_tick(w.rooms, START_MS + WAKE_MS);
    stream("r7", 91, 100, 90); /* of the read that the first one began */
    assert_int_equal(w.awake, 1);
    rooms_tick(w.rooms, START_MS + WAKE_MS + TAIL_REST_MS);
    stream("r7", 91, 100, 90);
    assert_int_equal(w.awake, ASKED_MAX);
    assert_int_equal(w.pages, 2);
    check_log(rooms[7], 91, 100, 90);
    check_log(rooms[8], 1, 0, 90);
}

/* ---- the log changes meanwhile ---- */

static void test_cut_while_the_persister_is_asked(void **state)
{
    (void)state;
    struct room_waiter waiter;
    struct room *r = visit("a", 100, &waiter);
    deliver("a", 101);
    deliver("a", 102);
    rooms_cut(w.rooms, 101);
    deliver("a", 201);
    answer(0, 91, 100);
    struct room_page page = room_log_look(&r->log, 0, 0, 100, false);
    assert_int_equal(page.count, 12); /* 91 to 101, and 201 */
    assert_int_equal(room_log_look(&r->log, 101, 201, 9, false).count, 0);
    assert_int_equal(page.last, 201);
}

static void test_gap_while_the_persister_is_asked(void **state)
{
    (void)state;
    struct room_waiter waiter;
    struct room *r = visit("a", 100, &waiter);
    deliver("a", 101);
    rooms_gap(w.rooms, 150);
    deliver("a", 151);
    answer(0, 81, 100); /* between it and the log is a hole */
    check_log(r, 151, 151, 150);
}

static void test_gap_while_the_tail_is_read(void **state)
{
    (void)state;
    struct room_waiter waiter;
    struct room *r = visit("a", 100, &waiter);
    refuse(0);
    rooms_gap(w.rooms, 150);
    deliver("a", 151);
    stream("a", 91, 100, 90);
    check_log(r, 151, 151, 150);
}

static void test_cut_while_the_tail_is_read(void **state)
{
    (void)state;
    struct room_waiter waiter;
    struct room *r = visit("a", 3000, &waiter);
    refuse(0);
    static struct entry entries[PAGE_ENTRIES];
    static char text[PAGE_ENTRIES][TEXT_MAX];
    for (size_t i = 0; i < PAGE_ENTRIES; i++)
        entries[i] =
            (struct entry){.id = 3000 - i, .json = message(text[i], 3000 - i, i < 10 ? "a" : "b")};
    rooms_page(w.rooms, &(struct page){.exists = true,
                                       .open = true,
                                       .full = true,
                                       .base = 90,
                                       .count = PAGE_ENTRIES,
                                       .entries = entries});
    assert_int_equal(w.awake, 0);
    rooms_cut(w.rooms, 2995); /* 2996 and more were lost with Redis */
    stream("b", 1991, 1999, 1990);
    check_log(r, 2991, 2995, 1990);
}

/* ---- the end ---- */

static void test_stop_wakes_with_what_is_there(void **state)
{
    (void)state;
    struct room_waiter waiters[3];
    struct room *a = visit("a", 100, &waiters[0]);
    visit("b", 100, &waiters[1]);
    deliver("a", 101);
    refuse(1);
    rooms_stop(w.rooms);
    assert_int_equal(w.awake, 2);
    check_log(a, 101, 101, 100);
    refuse(0);
    rooms_page(w.rooms, NULL);
    rooms_tick(w.rooms, START_MS + WAKE_MS + TAIL_MS);
    visit("c", 100, &waiters[2]);
    assert_int_equal(w.awake, 3);
    assert_int_equal(w.pages, 1);
    assert_int_equal(w.nasked, 2);
}

static void test_waiter_that_leaves_is_not_called(void **state)
{
    (void)state;
    struct room_waiter waiters[3];
    struct room *r = NULL;
    for (int i = 0; i < 3; i++)
        r = visit("a", 100, &waiters[i]);
    assert_int_equal(w.nasked, 1);
    room_wait_cancel(r, &waiters[1]);
    answer(0, 100, 100);
    assert_int_equal(w.awake, 2);
}

static void sweep_all(uint64_t now_ms)
{
    for (size_t i = 0; i < w.rooms->nbuckets; i++)
        rooms_sweep(w.rooms, now_ms);
}

static void test_many_rooms(void **state)
{
    (void)state;
    char name[16], json[64];
    for (unsigned i = 1; i <= 3000; i++) {
        int n = snprintf(name, sizeof name, "room-%u", i);
        assert_non_null(room_get(w.rooms, (struct str){name, (size_t)n}, 0, START_MS));
        snprintf(json, sizeof json, "{\"id\":%u}", i);
        rooms_deliver(w.rooms, (struct str){name, (size_t)n}, i, str_of(json));
    }
    assert_int_equal(w.rooms->count, 3000);
    for (unsigned i = 1; i <= 3000; i++) {
        int n = snprintf(name, sizeof name, "room-%u", i);
        struct room *r = rooms_find(w.rooms, (struct str){name, (size_t)n});
        assert_non_null(r);
        assert_ptr_equal(rooms_find_message(w.rooms, i), r);
    }
    assert_null(rooms_find_message(w.rooms, 3001));
    rooms_cut(w.rooms, 2999);
    assert_null(rooms_find_message(w.rooms, 3000));
    assert_non_null(rooms_find_message(w.rooms, 2999));
    sweep_all(START_MS + 1000);
    assert_int_equal(w.rooms->count, 3000);
    sweep_all(START_MS + 3600 * 1000);
    /* Those that were written to are still owed a round: it finds nobody. */
    while (rooms_next_owing(w.rooms))
        ;
    sweep_all(START_MS + 3600 * 1000);
    assert_int_equal(w.rooms->count, 0);
    assert_null(rooms_find_message(w.rooms, 2999));
}

static void test_room_that_sleeps_is_not_swept(void **state)
{
    (void)state;
    const uint64_t late_ms = START_MS + 3600 * 1000;
    struct room_waiter waiter;
    struct room *r = visit("a", 100, &waiter);
    room_wait_cancel(r, &waiter);
    refuse(0);
    sweep_all(late_ms);
    stream("a", 91, 100, 90);
    check_log(r, 91, 100, 90);
    sweep_all(late_ms);
    visit("a", 100, &waiter); /* anew */
    assert_int_equal(w.nasked, 2);
}

#define TEST(name) cmocka_unit_test_setup_teardown(test_##name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(nothing_is_older),
        TEST(many_rooms),
        TEST(answer_in_time),
        TEST(answer_has_all_there_is),
        TEST(answer_with_more_than_was_asked_for),
        TEST(refused_answer),
        TEST(no_answer),
        TEST(client_refuses_to_ask),
        TEST(answer_while_the_tail_is_read),
        TEST(refusal_while_the_tail_is_read),
        TEST(neither_helps),
        TEST(many_rooms_share_a_read),
        TEST(cut_while_the_persister_is_asked),
        TEST(gap_while_the_persister_is_asked),
        TEST(gap_while_the_tail_is_read),
        TEST(cut_while_the_tail_is_read),
        TEST(stop_wakes_with_what_is_there),
        TEST(waiter_that_leaves_is_not_called),
        TEST(room_that_sleeps_is_not_swept),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
