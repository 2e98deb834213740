/* SPDX-License-Identifier: MIT */
/* Refusals counted: few, many, too many, and forgotten. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "common/limits.h"
#include "common/refusals.h"

static const uint64_t start_ms = 1000000;

static void test_levels(void **state)
{
    (void)state;
    struct refusals r = {0};
    for (int i = 0; i < REFUSALS_FREE; i++)
        assert_int_equal(refusals_add(&r, start_ms), REFUSALS_FEW);
    for (int i = REFUSALS_FREE; i < REFUSALS_MAX; i++)
        assert_int_equal(refusals_add(&r, start_ms), REFUSALS_MANY);
    for (int i = 0; i < 1000; i++)
        assert_int_equal(refusals_add(&r, start_ms), REFUSALS_TOO_MANY);
    assert_int_equal(refusals_add(&r, start_ms + REFUSAL_FORGET_MS), REFUSALS_MANY);
    assert_int_equal(refusals_add(&r, start_ms + REFUSAL_FORGET_MS), REFUSALS_TOO_MANY);
}

/* However many there were, in a known time there are none. */
static void test_forgotten(void **state)
{
    (void)state;
    struct refusals r = {0};
    for (int i = 0; i < 10 * REFUSALS_MAX; i++)
        refusals_add(&r, start_ms);
    uint64_t later_ms = start_ms + (uint64_t)REFUSALS_MAX * REFUSAL_FORGET_MS;
    for (int i = 0; i < REFUSALS_FREE; i++)
        assert_int_equal(refusals_add(&r, later_ms), REFUSALS_FEW);
    assert_int_equal(refusals_add(&r, later_ms), REFUSALS_MANY);
}

/* Who is refused as often as it forgets, never waits. */
static void test_now_and_then(void **state)
{
    (void)state;
    struct refusals r = {0};
    for (uint64_t i = 0; i < 10000; i++)
        assert_int_equal(refusals_add(&r, start_ms + i * REFUSAL_FORGET_MS), REFUSALS_FEW);
}

/* What is served makes up for what is refused, and is no credit for later. */
static void test_redeemed(void **state)
{
    (void)state;
    struct refusals r = {0};
    for (int i = 0; i < 10000; i++) {
        assert_int_equal(refusals_add(&r, start_ms), REFUSALS_FEW);
        refusals_redeem(&r);
    }
    for (int i = 0; i < 10000; i++)
        refusals_redeem(&r);
    for (int i = 0; i < REFUSALS_FREE; i++)
        assert_int_equal(refusals_add(&r, start_ms), REFUSALS_FEW);
    assert_int_equal(refusals_add(&r, start_ms), REFUSALS_MANY);
    refusals_redeem(&r);
    assert_int_equal(refusals_add(&r, start_ms), REFUSALS_MANY);
}

/* So many of a burst, whoever they are of; the next burst begins with its first. */
static void test_bursts(void **state)
{
    (void)state;
    struct refusals_burst b = {.most = REFUSALS_BURST};
    for (int burst = 0; burst < 3; burst++) {
        uint64_t began_ms = start_ms + (uint64_t)burst * (REFUSALS_BURST_MS + 3);
        for (uint32_t i = 0; i < REFUSALS_BURST; i++)
            assert_false(refusals_pause(&b, began_ms + i % REFUSALS_BURST_MS));
        for (uint64_t ms = 0; ms < REFUSALS_BURST_MS; ms++)
            assert_true(refusals_pause(&b, began_ms + ms));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_levels),       cmocka_unit_test(test_forgotten),
        cmocka_unit_test(test_now_and_then), cmocka_unit_test(test_redeemed),
        cmocka_unit_test(test_bursts),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
