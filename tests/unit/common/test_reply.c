/* SPDX-License-Identifier: MIT */
/* The helpers of reply.h, for every shape of a reply. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "common/reply.h"

static struct reply text_of(enum reply_type type, const char *text)
{
    return (struct reply){.type = type, .str = str_of(text)};
}

static void test_is_error(void **state)
{
    (void)state;
    struct reply bare = text_of(REPLY_ERROR, "NOSCRIPT");
    struct reply full = text_of(REPLY_ERROR, "NOSCRIPT No matching script.");
    struct reply other = text_of(REPLY_ERROR, "NOSCRIPTS x");
    struct reply brief = text_of(REPLY_ERROR, "NO");
    struct reply string = text_of(REPLY_STRING, "NOSCRIPT");
    assert_true(reply_is_error(&bare, "NOSCRIPT"));
    assert_true(reply_is_error(&full, "NOSCRIPT"));
    assert_false(reply_is_error(&full, "READONLY"));
    assert_false(reply_is_error(&other, "NOSCRIPT"));
    assert_false(reply_is_error(&brief, "NOSCRIPT"));
    assert_false(reply_is_error(&string, "NOSCRIPT"));
}

static void test_u64(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        bool good;
        uint64_t value;
    } rows[] = {
        {"0", true, 0},
        {"007", true, 7},
        {"9223372036854775807", true, INT64_MAX},
        {"9223372036854775808", false, 0},
        {"99999999999999999999", false, 0},
        {"", false, 0},
        {"-1", false, 0},
        {" 1", false, 0},
        {"1x", false, 0},
    };
    uint64_t n;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct reply r = text_of(REPLY_STRING, rows[i].text);
        assert_int_equal(reply_u64(&r, &n), rows[i].good);
        if (rows[i].good)
            assert_true(n == rows[i].value);
    }
    struct reply big = {.type = REPLY_INTEGER, .integer = INT64_MAX};
    struct reply negative = {.type = REPLY_INTEGER, .integer = -1};
    struct reply nil = {.type = REPLY_NIL};
    struct reply error = text_of(REPLY_ERROR, "1");
    assert_true(reply_u64(&big, &n) && n == INT64_MAX);
    assert_false(reply_u64(&negative, &n));
    assert_false(reply_u64(&nil, &n));
    assert_false(reply_u64(&error, &n));
}

static void test_str(void **state)
{
    (void)state;
    struct reply string = text_of(REPLY_STRING, "ab");
    struct reply error = text_of(REPLY_ERROR, "ab");
    struct reply nil = {.type = REPLY_NIL};
    assert_true(str_eq(reply_str(&string), STR("ab")));
    assert_int_equal(reply_str(&error).len, 0);
    assert_int_equal(reply_str(&nil).len, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_is_error),
        cmocka_unit_test(test_u64),
        cmocka_unit_test(test_str),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
