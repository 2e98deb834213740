/* SPDX-License-Identifier: MIT */
/* Who gives way, and in which order. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "common/budget.h"
#include "common/limits.h"

enum {
    SMALL = KEPT_SMALL_BYTES_MAX,
    LARGE = SMALL + 1,
    OWNERS = 4,
};

static struct budget b;
static struct budget_share *shares[OWNERS];

static void keep(int owner, size_t bytes)
{
    budget_count(&b, &shares[owner], &shares[owner], bytes);
}

/* The number of the debtor; -1: none. */
static int debtor(void)
{
    struct budget_share **owner = budget_debtor(&b);
    return owner ? (int)(owner - shares) : -1;
}

static int setup(void **state)
{
    (void)state;
    budget_init(&b, 2 * LARGE);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    for (int i = 0; i < OWNERS; i++)
        keep(i, 0);
    assert_int_equal(b.kept, 0);
    assert_int_equal(debtor(), -1);
    return 0;
}

static void test_nobody_within_it(void **state)
{
    (void)state;
    keep(0, LARGE);
    keep(1, LARGE);
    assert_int_equal(b.kept, b.most);
    assert_int_equal(debtor(), -1);
    keep(2, 1);
    assert_int_equal(debtor(), 0);
    keep(2, 0);
    assert_null(shares[2]);
    assert_int_equal(debtor(), -1);
}

static void test_the_large_first(void **state)
{
    (void)state;
    keep(0, SMALL);
    keep(1, LARGE);
    keep(2, LARGE);
    assert_int_equal(debtor(), 1);
    keep(1, 0);
    keep(3, LARGE);
    assert_int_equal(debtor(), 2);
}

static void test_small_ones_pay_when_nobody_is_large(void **state)
{
    (void)state;
    b.most = 2 * SMALL;
    keep(0, SMALL);
    keep(1, 10);
    keep(2, SMALL);
    assert_int_equal(debtor(), 0);
    keep(0, 5);
    assert_int_equal(debtor(), -1);
    keep(3, SMALL);
    assert_int_equal(debtor(), 0); /* it has been there for longest still */
}

/* A place in a line is kept by who stays in it, and lost by who leaves it. */
static void test_growing_makes_nobody_younger(void **state)
{
    (void)state;
    keep(0, LARGE);
    keep(1, LARGE);
    keep(0, 2 * LARGE);
    assert_int_equal(debtor(), 0);
    keep(0, SMALL);
    keep(0, 2 * LARGE);
    assert_int_equal(debtor(), 1);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_nobody_within_it),
        TEST(test_the_large_first),
        TEST(test_small_ones_pay_when_nobody_is_large),
        TEST(test_growing_makes_nobody_younger),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
