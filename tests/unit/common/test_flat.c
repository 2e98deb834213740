/* SPDX-License-Identifier: MIT */
/* Small JSON objects: what is read, and what is refused. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include "common/flat.h"

enum {
    MAX = 3
};

static void is(struct str s, const char *expected)
{
    assert_true(str_eq(s, str_of(expected)));
}

static void test_strings_and_numbers(void **state)
{
    struct flat_member m[MAX];
    (void)state;
    assert_int_equal(flat_read(STR(" {\"a\" : \"x y\",\n\"n\":10 ,\"e\":\"\"} "), m, MAX), 3);
    is(m[0].name, "a");
    assert_int_equal(m[0].type, FLAT_STRING);
    is(m[0].text, "x y");
    is(m[1].name, "n");
    assert_int_equal(m[1].type, FLAT_NUMBER);
    is(m[1].text, "10");
    is(m[2].text, "");
    assert_int_equal(flat_read(STR("{ }"), m, MAX), 0);
}

static void test_what_is_refused(void **state)
{
    static const char *const wrong[] = {
        "",
        " ",
        "{",
        "{}x",
        "[]",
        "\"a\"",
        "1",
        "{\"a\"}",
        "{\"a\":}",
        "{\"a\":1,}",
        "{\"a\":1.5}",
        "{\"a\":1e3}",
        "{\"a\":-1}",
        "{\"a\":true}",
        "{\"a\":null}",
        "{\"a\":[]}",
        "{\"a\":{}}",
        "{\"a\":\"\\u0041\"}",
        "{\"\\u0061\":1}",
        "{\"a\":1,\"a\":2}",
        "{\"a\":01}",
        "{\"a\":1,\"b\":2,\"c\":3,\"d\":4}",
        "{\"a\":\"x",
        "{\"a\":\"\xff\"}",
    };
    struct flat_member m[MAX];
    (void)state;
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++)
        assert_int_equal(flat_read(str_of(wrong[i]), m, MAX), -1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_strings_and_numbers),
        cmocka_unit_test(test_what_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
