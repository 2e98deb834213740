/* SPDX-License-Identifier: MIT */
/* Which messages are timed, when they count as out, and what is measured. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <time.h>

#include "common/iso_time.h"
#include "gateway/fanout.h"

enum {
    SECOND_MS = 1000
};

static uint64_t unix_ms(void)
{
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

/* A message of the room "r"; valid until the next call. */
static struct str message(uint64_t created_ms)
{
    static struct buf *json;
    char time[ISO_TIME_BYTES + 1];
    iso_time_write(time, created_ms);
    buf_free(&json);
    buf_printf(
        &json,
        "{\"id\":7,\"username\":\"u\",\"content\":\"c\",\"created_at\":\"%s\",\"room\":\"r\"}",
        time);
    return buf_str(json);
}

static uint64_t count(const struct fanout_times *t)
{
    uint64_t n = 0;
    for (size_t i = 0; i <= HISTOGRAM_BOUNDS; i++)
        n += t->seconds.counts[i];
    return n;
}

static void test_is_out_when_all_were_visited(void **state)
{
    (void)state;
    struct fanout f = {0};
    struct fanout_times t = {0};
    fanout_begin(&f, message(unix_ms() - 3 * SECOND_MS), STR("r"), 100);
    fanout_visited(&f, &t, 64);
    fanout_written(&t);
    assert_int_equal(count(&t), 0);
    fanout_visited(&f, &t, 36);
    assert_int_equal(count(&t), 0); /* in the batch, not yet written */
    fanout_written(&t);
    assert_int_equal(count(&t), 1);
    assert_true(t.seconds.sum_us >= 3000000 && t.seconds.sum_us < 60000000);
    fanout_visited(&f, &t, 100); /* nothing is timed any more */
    fanout_written(&t);
    assert_int_equal(count(&t), 1);
}

static void test_one_at_a_time(void **state)
{
    (void)state;
    struct fanout f = {0};
    struct fanout_times t = {0};
    fanout_begin(&f, message(unix_ms() - 3 * SECOND_MS), STR("r"), 2);
    fanout_begin(&f, message(unix_ms()), STR("r"), 2);
    fanout_visited(&f, &t, 2);
    fanout_written(&t);
    assert_int_equal(count(&t), 1);
    assert_true(t.seconds.sum_us >= 3000000); /* the first one */
}

static void test_who_leaves_is_not_awaited(void **state)
{
    (void)state;
    struct fanout f = {0};
    struct fanout_times t = {0};
    fanout_begin(&f, message(unix_ms()), STR("r"), 3);
    fanout_recount(&f, 1);
    fanout_visited(&f, &t, 1);
    fanout_written(&t);
    assert_int_equal(count(&t), 1);
    fanout_begin(&f, message(unix_ms()), STR("r"), 3);
    fanout_recount(&f, 0); /* nobody is left: nothing to measure */
    fanout_visited(&f, &t, 1);
    fanout_written(&t);
    assert_int_equal(count(&t), 1);
    fanout_recount(&f, 5); /* and nothing begins by itself */
    assert_int_equal(f.left, 0);
}

static void test_what_is_not_timed(void **state)
{
    (void)state;
    struct fanout f = {0};
    fanout_begin(&f, message(unix_ms()), STR("r"), 0);
    assert_int_equal(f.left, 0);
    fanout_begin(&f, message(unix_ms()), STR("other"), 1);
    assert_int_equal(f.left, 0);
    fanout_begin(&f, STR("{}"), STR("r"), 1);
    assert_int_equal(f.left, 0);
}

static void test_a_clock_that_is_behind(void **state)
{
    (void)state;
    struct fanout f = {0};
    struct fanout_times t = {0};
    fanout_begin(&f, message(unix_ms() + 3600 * SECOND_MS), STR("r"), 1);
    fanout_visited(&f, &t, 1);
    fanout_written(&t);
    assert_int_equal(t.seconds.counts[0], 1);
    assert_int_equal(t.seconds.sum_us, 0);
}

static void test_more_rooms_than_jobs(void **state)
{
    (void)state;
    struct fanout f[BATCH_JOBS + 5] = {0};
    struct fanout_times t = {0};
    for (size_t i = 0; i < BATCH_JOBS + 5; i++) {
        fanout_begin(&f[i], message(unix_ms()), STR("r"), 1);
        fanout_visited(&f[i], &t, 1);
        assert_int_equal(f[i].left, 0);
    }
    fanout_written(&t);
    assert_int_equal(count(&t), BATCH_JOBS);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_is_out_when_all_were_visited),
        cmocka_unit_test(test_one_at_a_time),
        cmocka_unit_test(test_who_leaves_is_not_awaited),
        cmocka_unit_test(test_what_is_not_timed),
        cmocka_unit_test(test_a_clock_that_is_behind),
        cmocka_unit_test(test_more_rooms_than_jobs),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
