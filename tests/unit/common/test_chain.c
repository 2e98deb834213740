/* SPDX-License-Identifier: MIT */
/* The chain of hashes, by values that were computed with sha1sum. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "common/chain.h"

static void add(struct chain *c, uint64_t id)
{
    char text[40];
    int n = snprintf(text, sizeof text, "{\"id\":%llu}", (unsigned long long)id);
    chain_add(c, id, (struct str){text, (size_t)n});
}

static void add_range(struct chain *c, uint64_t from, uint64_t to)
{
    for (uint64_t id = from; id <= to; id++)
        add(c, id);
}

static void test_the_hash_is_of_all_that_came_before(void **state)
{
    struct chain c, other;
    (void)state;
    chain_begin(&c, 0);
    add(&c, 1);
    assert_string_equal(c.hash, "265317e003c656b7edce4666950f353abc125ef3");
    add(&c, 2);
    assert_string_equal(c.hash, "ab65d17c735497a57ed7f2069cc93ca574ac3b28");
    chain_begin(&other, 0);
    chain_add(&other, 1, STR("{\"id\":1} "));
    add(&other, 2);
    assert_string_not_equal(c.hash, other.hash);
}

static void test_who_starts_later_agrees_from_the_next_window_on(void **state)
{
    struct chain old, young;
    (void)state;
    chain_begin(&old, 0);
    chain_lose(&young, 100);
    add_range(&old, 1, CHAIN_WINDOW);
    add_range(&young, 101, CHAIN_WINDOW);
    assert_true(old.known);
    assert_false(young.known);
    add_range(&old, CHAIN_WINDOW + 1, CHAIN_WINDOW + 3);
    add_range(&young, CHAIN_WINDOW + 1, CHAIN_WINDOW + 3);
    assert_true(young.known);
    assert_string_equal(young.hash, old.hash);
    assert_int_equal(old.nends, 1);
    assert_int_equal(old.ends[0].id, CHAIN_WINDOW);
    assert_int_equal(young.nends, 0);
}

static void test_ids_that_do_not_exist_leave_no_trace(void **state)
{
    struct chain c, other;
    (void)state;
    chain_lose(&c, CHAIN_WINDOW); /* all of the first window: the next one is seen whole */
    add(&c, CHAIN_WINDOW + 7);
    chain_begin(&other, CHAIN_WINDOW);
    add(&other, CHAIN_WINDOW + 7);
    assert_true(c.known);
    assert_string_equal(c.hash, other.hash);
    chain_lose(&c, 0);
    add(&c, 1);
    assert_true(c.known); /* from the first one on */
}

static void test_description(void **state)
{
    struct chain c;
    struct buf *json = NULL;
    (void)state;
    chain_begin(&c, 0);
    add(&c, 3);
    chain_describe(&c, &json);
    buf_add_char(&json, 0);
    char expected[200];
    snprintf(expected, sizeof expected,
             "{\"known\":true,\"start\":0,\"last\":3,\"hash\":\"%.16s\",\"marks\":[[3,\"%.16s\"]]}",
             c.hash, c.hash);
    assert_string_equal(buf_str(json).p, expected);
    buf_free(&json);
    chain_lose(&c, 3);
    chain_describe(&c, &json);
    buf_add_char(&json, 0);
    assert_string_equal(buf_str(json).p,
                        "{\"known\":false,\"start\":0,\"last\":0,\"hash\":\"\",\"marks\":[]}");
    buf_free(&json);
}

static void test_marks_are_the_newest(void **state)
{
    struct chain c;
    (void)state;
    chain_begin(&c, 0);
    add_range(&c, 1, CHAIN_RECENT + 5);
    assert_int_equal(c.recent[c.nrecent % CHAIN_RECENT].id, 6);
    assert_int_equal(c.recent[(c.nrecent - 1) % CHAIN_RECENT].id, CHAIN_RECENT + 5);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_the_hash_is_of_all_that_came_before),
        cmocka_unit_test(test_who_starts_later_agrees_from_the_next_window_on),
        cmocka_unit_test(test_ids_that_do_not_exist_leave_no_trace),
        cmocka_unit_test(test_description),
        cmocka_unit_test(test_marks_are_the_newest),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
