/* SPDX-License-Identifier: MIT */
/* Token buckets, and the table of addresses that have them. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>

#include "common/limits.h"
#include "gateway/peers.h"

enum {
    START_US = 5000000,
};

static void test_burst_then_rate(void **state)
{
    (void)state;
    struct rate r = rate_of(10, 5);
    struct bucket b = {0};
    uint64_t now = START_US;
    assert_int_equal(bucket_left(&b, &r, now), 5);
    for (int i = 0; i < 5; i++)
        assert_true(bucket_take(&b, &r, now));
    assert_false(bucket_take(&b, &r, now));
    assert_int_equal(bucket_left(&b, &r, now), 0);
    assert_int_equal(bucket_wait_us(&b, &r, now), 100000);
    assert_int_equal(bucket_full_in_us(&b, now), 500000);
    now += 99999;
    assert_false(bucket_take(&b, &r, now));
    now += 1;
    assert_true(bucket_take(&b, &r, now));
    assert_false(bucket_take(&b, &r, now));
    now += 10000000; /* it never holds more than the burst */
    assert_int_equal(bucket_left(&b, &r, now), 5);
    assert_int_equal(bucket_wait_us(&b, &r, now), 0);
}

/* In the long run exactly the rate, whenever one asks. */
static void test_long_run(void **state)
{
    (void)state;
    struct rate r = rate_of(50, 1);
    struct bucket b = {0};
    unsigned taken = 0;
    for (uint64_t t = 0; t < 10000000; t += 7001)
        taken += bucket_take(&b, &r, START_US + t);
    assert_in_range(taken, 470, 500);
}

static void test_no_limit(void **state)
{
    (void)state;
    struct rate r = rate_of(0, 7);
    struct bucket b = {0};
    for (int i = 0; i < 1000; i++)
        assert_true(bucket_take(&b, &r, START_US));
    assert_int_equal(bucket_wait_us(&b, &r, START_US), 0);
    assert_int_equal(rate_of(3, 0).burst, 3);
}

static struct address address(const char *text)
{
    struct address a;
    assert_true(address_read(&a, str_of(text)));
    return a;
}

static void test_customers(void **state)
{
    (void)state;
    struct peers *ps = peers_new();
    struct address a = address("192.0.2.1"), b = address("192.0.2.2"),
                   c = address("2001:db8:0:1::5"), d = address("2001:db8:0:1:ffff::9"),
                   e = address("2001:db8:0:2::5");
    struct peer *p = peers_get(ps, &a);
    assert_ptr_equal(peers_get(ps, &a), p);
    assert_ptr_not_equal(peers_get(ps, &b), p);
    assert_ptr_equal(peers_get(ps, &c), peers_get(ps, &d));
    assert_ptr_not_equal(peers_get(ps, &c), peers_get(ps, &e));
    assert_int_equal(peers_count(ps), 4);
    peers_free(ps);
}

static void test_sweep_keeps_who_matters(void **state)
{
    (void)state;
    struct peers *ps = peers_new();
    struct rate r = rate_of(1, 10);
    struct address a = address("192.0.2.1"), b = address("192.0.2.2"), c = address("192.0.2.3");
    peers_get(ps, &a)->conns = 1;
    assert_true(bucket_take(&peers_get(ps, &b)->bucket, &r, START_US));
    peers_get(ps, &c);
    peers_sweep(ps, START_US);
    assert_int_equal(peers_count(ps), 2);
    peers_sweep(ps, START_US + 1000000);
    assert_int_equal(peers_count(ps), 1);
    peers_get(ps, &a)->conns = 0;
    peers_sweep(ps, START_US + 1000000);
    assert_int_equal(peers_count(ps), 0);
    peers_free(ps);
}

static void test_bounded(void **state)
{
    (void)state;
    struct peers *ps = peers_new();
    struct address a = address("10.0.0.0");
    for (uint32_t i = 0; i < PEERS_MAX; i++) {
        a.bytes[13] = (uint8_t)(i >> 16);
        a.bytes[14] = (uint8_t)(i >> 8);
        a.bytes[15] = (uint8_t)i;
        peers_get(ps, &a)->conns++;
    }
    assert_int_equal(peers_count(ps), PEERS_MAX);
    struct address b = address("192.0.2.1"), c = address("192.0.2.2");
    assert_ptr_equal(peers_get(ps, &b), peers_get(ps, &c));
    assert_int_equal(peers_get(ps, &a)->conns, 1);
    assert_int_equal(peers_count(ps), PEERS_MAX);
    peers_free(ps);
}

/* Addresses that differ in two bytes only, as those of one network do, do not share a chain. */
static void test_spread(void **state)
{
    (void)state;
    static const struct {
        const char *first;
        int byte; /* of the two that count up, the first */
    } networks[] = {{"10.0.0.0", 14},  {"10.0.0.0", 13},  {"10.0.0.0", 12},
                    {"2001:db8::", 6}, {"2001:db8::", 5}, {"2001::", 2}};
    for (size_t n = 0; n < sizeof networks / sizeof *networks; n++) {
        struct peers *ps = peers_new();
        struct address a = address(networks[n].first);
        for (uint32_t i = 0; i < PEERS_MAX; i++) {
            a.bytes[networks[n].byte] = (uint8_t)(i >> 8);
            a.bytes[networks[n].byte + 1] = (uint8_t)i;
            peers_get(ps, &a);
        }
        assert_int_equal(peers_count(ps), PEERS_MAX);
        assert_in_range(peers_chain_max(ps), 1, 40);
        peers_free(ps);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_burst_then_rate),
        cmocka_unit_test(test_long_run),
        cmocka_unit_test(test_no_limit),
        cmocka_unit_test(test_customers),
        cmocka_unit_test(test_sweep_keeps_who_matters),
        cmocka_unit_test(test_bounded),
        cmocka_unit_test(test_spread),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
