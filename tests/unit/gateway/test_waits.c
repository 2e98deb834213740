/* SPDX-License-Identifier: MIT */
/* The waits: who is told what, when, and what its callback may do to the others. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "common/mem.h"
#include "gateway/waits.h"

struct case_wait {
    struct wait wait; /* the first member */
    int result;       /* -1: still waiting */
    struct waits *ws;
    struct case_wait *frees; /* NULL, or whom its done takes off and frees */
    struct case_wait *adds;  /* NULL, or whom its done adds, with an id that is not met */
    uint64_t passes;         /* 0, or up to where its done says that the feed is */
};

static void wait_add(struct waits *ws, struct case_wait *c, enum wait_for what, uint64_t opening,
                     uint64_t id);

static void on_done(struct wait *w, enum wait_result result)
{
    struct case_wait *c = (struct case_wait *)(void *)w;
    assert_int_equal(c->result, -1); /* once */
    c->result = (int)result;
    if (c->frees) {
        waits_remove(c->ws, &c->frees->wait);
        free(c->frees);
    }
    if (c->adds)
        wait_add(c->ws, c->adds, WAIT_SEEN, c->ws->opening, UINT64_MAX);
    if (c->passes)
        waits_passed(c->ws, c->passes);
}

static void wait_add(struct waits *ws, struct case_wait *c, enum wait_for what, uint64_t opening,
                     uint64_t id)
{
    *c = (struct case_wait){
        .wait = {.opening = opening, .id = id, .deadline_ms = 1000, .what = what, .done = on_done},
        .result = -1,
        .ws = ws};
    waits_add(ws, &c->wait);
}

static void test_wait_met(void **state)
{
    (void)state;
    struct waits ws = {.opening = 4, .seen = 10, .stored = 5};
    struct case_wait a, b, c, d, e;
    wait_add(&ws, &a, WAIT_SEEN, 4, 10);
    wait_add(&ws, &b, WAIT_STORED, 4, 5);
    assert_true(a.result == WAIT_MET && b.result == WAIT_MET && ws.count == 0);
    wait_add(&ws, &a, WAIT_SEEN, 4, 13);
    wait_add(&ws, &b, WAIT_SEEN, 4, 11); /* out of order */
    wait_add(&ws, &c, WAIT_STORED, 4, 11);
    wait_add(&ws, &d, WAIT_STORED, 4, 12);
    wait_add(&ws, &e, WAIT_STORED, 4, 9);
    assert_int_equal(ws.count, 5);
    waits_passed(&ws, 11);
    assert_true(b.result == WAIT_MET && a.result == -1 && c.result == -1 && e.result == -1);
    waits_stored(&ws, 3, 99); /* of another opening: says nothing */
    assert_true(c.result == -1 && e.result == -1);
    waits_stored(&ws, 4, 12);
    assert_true(c.result == WAIT_MET && e.result == WAIT_MET);
    assert_int_equal(d.result, -1); /* stored, but not seen yet */
    waits_passed(&ws, 12);
    assert_true(d.result == WAIT_MET && a.result == -1 && ws.count == 1);
    waits_remove(&ws, &a.wait);
    waits_passed(&ws, 20);
    assert_int_equal(a.result, -1);
    assert_true(!ws.waiting.first && !ws.waiting.last && ws.count == 0);
}

static void test_wait_opened(void **state)
{
    (void)state;
    struct waits ws = {.opening = 4, .seen = 10};
    struct case_wait seen, kept, lost, ahead, late;
    wait_add(&ws, &seen, WAIT_STORED, 4, 10);
    wait_add(&ws, &kept, WAIT_STORED, 4, 12);
    wait_add(&ws, &lost, WAIT_SEEN, 4, 13);
    wait_add(&ws, &ahead, WAIT_SEEN, 5, 20); /* the reply was faster than the feed */
    waits_opened(&ws, 4, 5, 12);
    assert_int_equal(seen.result, WAIT_MET); /* what is at or below prev is stored */
    assert_true(kept.result == -1 && lost.result == WAIT_LOST && ahead.result == -1);
    wait_add(&ws, &late, WAIT_SEEN, 4, 1);
    assert_int_equal(late.result, WAIT_LOST);
    waits_passed(&ws, 12);
    assert_int_equal(kept.result, WAIT_MET);
    waits_passed(&ws, 20);
    assert_true(ahead.result == WAIT_MET && ws.count == 0);
}

/* SQLite was set back, and Redis is empty: 13 is another message than the 13 that was seen. */
static void test_wait_ids_begin_anew(void **state)
{
    (void)state;
    struct waits ws = {.opening = 4, .seen = 100, .stored = 90};
    struct case_wait again;
    waits_opened(&ws, 4, 5, 12);
    wait_add(&ws, &again, WAIT_SEEN, 5, 13);
    assert_int_equal(again.result, -1);
    waits_passed(&ws, 13);
    assert_int_equal(again.result, WAIT_MET);
}

static void test_wait_unknown(void **state)
{
    (void)state;
    struct waits ws = {.opening = 4, .seen = 10};
    struct case_wait a, b;
    wait_add(&ws, &a, WAIT_STORED, 4, 10);
    wait_add(&ws, &b, WAIT_SEEN, 6, 10); /* seen, but of an opening not heard of */
    assert_int_equal(b.result, -1);
    waits_opened(&ws, 4, 6, 12); /* what did opening 5 declare void? */
    assert_int_equal(a.result, WAIT_LOST);
    assert_int_equal(b.result, WAIT_MET);
    assert_int_equal(ws.count, 0);
}

static void test_wait_timeout(void **state)
{
    (void)state;
    struct waits ws = {.opening = 4};
    struct case_wait a, b, c;
    wait_add(&ws, &a, WAIT_SEEN, 4, 1);
    wait_add(&ws, &b, WAIT_SEEN, 4, 2);
    wait_add(&ws, &c, WAIT_SEEN, 4, 3);
    b.wait.deadline_ms = 500;
    waits_tick(&ws, 499);
    assert_int_equal(ws.count, 3);
    waits_tick(&ws, 500);
    assert_true(a.result == -1 && b.result == WAIT_TIMEOUT && c.result == -1);
    waits_passed(&ws, 1);
    assert_int_equal(a.result, WAIT_MET);
    waits_end(&ws);
    assert_true(c.result == WAIT_TIMEOUT && ws.count == 0);
}

/* Events that end waits 1 to 3 of the test below at once. */
static void end_by_passed(struct waits *ws)
{
    waits_passed(ws, 3);
}

static void end_by_stored(struct waits *ws)
{
    waits_passed(ws, 3); /* which is not enough for any */
    waits_stored(ws, 4, 3);
}

static void end_by_opened(struct waits *ws)
{
    waits_opened(ws, 4, 6, 0);
}

static void end_by_tick(struct waits *ws)
{
    waits_tick(ws, 1000);
}

/* The first one's callback frees the second, which ends by the same event; the third is told all
 * the same, and frees the last, which may not have ended. */
static void test_done_frees_others(void **state)
{
    (void)state;
    static const struct {
        void (*event)(struct waits *ws);
        enum wait_for what;
        enum wait_result result;
    } events[] = {
        {end_by_passed, WAIT_SEEN, WAIT_MET},  {end_by_stored, WAIT_STORED, WAIT_MET},
        {end_by_opened, WAIT_SEEN, WAIT_LOST}, {end_by_tick, WAIT_SEEN, WAIT_TIMEOUT},
        {waits_end, WAIT_SEEN, WAIT_TIMEOUT},
    };
    for (size_t i = 0; i < sizeof events / sizeof *events; i++) {
        struct waits ws = {.opening = 4};
        struct case_wait first, third, added;
        struct case_wait *second = mem_zalloc(sizeof *second), *last = mem_zalloc(sizeof *last);
        wait_add(&ws, &first, events[i].what, 4, 1);
        wait_add(&ws, second, events[i].what, 4, 2);
        wait_add(&ws, &third, events[i].what, 4, 3);
        wait_add(&ws, last, events[i].what, 4, 4);
        first.frees = second;
        third.frees = last;
        third.adds = &added;
        events[i].event(&ws);
        assert_int_equal(first.result, events[i].result);
        assert_int_equal(third.result, events[i].result);
        waits_end(&ws);
        assert_int_equal(added.result, WAIT_TIMEOUT);
        assert_true(!ws.waiting.first && !ws.ending.first && ws.count == 0);
    }
}

/* A callback brings the next event: everybody is told once. */
static void test_done_brings_event(void **state)
{
    (void)state;
    struct waits ws = {.opening = 4};
    struct case_wait a, b, c, d;
    wait_add(&ws, &a, WAIT_SEEN, 4, 1);
    wait_add(&ws, &b, WAIT_SEEN, 4, 2);
    wait_add(&ws, &c, WAIT_SEEN, 4, 3);
    wait_add(&ws, &d, WAIT_SEEN, 4, 9);
    a.passes = 3;
    waits_passed(&ws, 2);
    assert_true(a.result == WAIT_MET && b.result == WAIT_MET && c.result == WAIT_MET);
    assert_true(d.result == -1 && ws.count == 1);
    waits_end(&ws);
    assert_true(d.result == WAIT_TIMEOUT && ws.count == 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_wait_met),
        cmocka_unit_test(test_wait_opened),
        cmocka_unit_test(test_wait_ids_begin_anew),
        cmocka_unit_test(test_wait_unknown),
        cmocka_unit_test(test_wait_timeout),
        cmocka_unit_test(test_done_frees_others),
        cmocka_unit_test(test_done_brings_event),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
