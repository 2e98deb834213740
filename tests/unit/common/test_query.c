/* SPDX-License-Identifier: MIT */
/* Numbers in queries and paths, and how a wrong one is told. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "common/limits.h"
#include "common/query.h"

static void test_whole_numbers(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        int64_t n;
    } right[] = {
        {"0", 0},
        {"-0", 0},
        {"+7", 7},
        {" \t12\r\n", 12},
        {"0012", 12},
        {"9223372036854775799", 9223372036854775799},
        {"9223372036854775800", 9223372036854775800},
        {"9223372036854775807", INT64_MAX},
        {"9223372036854775808", INT64_MAX},
        {"99999999999999999999990", INT64_MAX},
        {"-9223372036854775806", -9223372036854775806},
        {"-9223372036854775808", -INT64_MAX},
    };
    static const char *const wrong[] = {"", " ", "-", "+-1", "1 2", "1.0", "0x1", "1e3", "a"};
    int64_t n;
    for (size_t i = 0; i < sizeof right / sizeof *right; i++) {
        assert_true(whole_number_read(str_of(right[i].text), &n));
        assert_true(n == right[i].n);
    }
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++)
        assert_false(whole_number_read(str_of(wrong[i]), &n));
    assert_false(whole_number_read((struct str){"1\0", 2}, &n));
}

static void assert_read(const char *query, bool there, uint64_t n, const char *detail)
{
    struct buf *told = NULL;
    uint64_t got = 99;
    assert_int_equal(query_number_read(str_of(query), "n", "[\"query\",\"n\"]", 1, 50, &got, &told),
                     there);
    assert_int_equal(got, n);
    buf_add_char(&told, 0);
    assert_string_equal(buf_str(told).p, detail);
    buf_free(&told);
}

#define TOLD(type, msg, input, rest)                                                               \
    "{\"type\":\"" type "\",\"loc\":[\"query\",\"n\"],\"msg\":\"Input should be " msg              \
    "\",\"input\":\"" input "\"" rest "}"
#define NO_NUMBER "a valid integer, unable to parse string as an integer"

static void test_query_numbers(void **state)
{
    (void)state;
    assert_read("", false, 99, "");
    assert_read("m=5", false, 99, "");
    assert_read("n=5&n=%2B6", true, 6, "");
    assert_read(
        "n=0", true, 99,
        TOLD("greater_than_equal", "greater than or equal to 1", "0", ",\"ctx\":{\"ge\":1}"));
    assert_read("n=51", true, 99,
                TOLD("less_than_equal", "less than or equal to 50", "51", ",\"ctx\":{\"le\":50}"));
    assert_read("n=%", true, 99, TOLD("int_parsing", NO_NUMBER, "", ""));
    assert_read("n=a%22b", true, 99, TOLD("int_parsing", NO_NUMBER, "a\\\"b", ""));
    assert_read("n=a%ff", true, 99, TOLD("int_parsing", NO_NUMBER, "a\xef\xbf\xbd", ""));
}

/* Long input is cut, at the end of a character. */
static void test_long_input(void **state)
{
    (void)state;
    char text[ERROR_INPUT_BYTES_MAX + 2], expected[ERROR_INPUT_BYTES_MAX + 256];
    struct buf *told = NULL;
    memset(text, 'x', ERROR_INPUT_BYTES_MAX - 1);
    memcpy(text + ERROR_INPUT_BYTES_MAX - 1, "\xc3\xa4", 3);
    detail_add_not_whole(&told, "[\"query\",\"n\"]", str_of(text));
    buf_add_char(&told, 0);
    text[ERROR_INPUT_BYTES_MAX - 1] = 0;
    snprintf(expected, sizeof expected, TOLD("int_parsing", NO_NUMBER, "%s", ""), text);
    assert_string_equal(buf_str(told).p, expected);
    buf_free(&told);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_whole_numbers),
        cmocka_unit_test(test_query_numbers),
        cmocka_unit_test(test_long_input),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
