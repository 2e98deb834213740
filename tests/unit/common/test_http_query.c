/* SPDX-License-Identifier: MIT */
/* Query strings and paths: what is decoded, what is broken, and that nothing is decoded twice. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "common/http.h"

static void assert_str(struct str s, const char *expected)
{
    assert_int_equal(s.len, strlen(expected));
    assert_memory_equal(s.p ? s.p : "", expected, s.len);
}

static void test_query(void **state)
{
    (void)state;
    static const struct {
        const char *query, *name, *value; /* NULL: not there */
        int result;
    } table[] = {
        {"limit=5", "limit", "5", 1},
        {"limit=5&limit=6", "limit", "6", 1},
        {"a=b&limit", "limit", "", 1},
        {"limit=", "limit", "", 1},
        {"&&limit=1&", "limit", "1", 1},
        {"li%6dit=a%20b+c%2B", "limit", "a b c+", 1},
        {"limit=a=b", "limit", "a=b", 1},
        {"limits=5&imit=3", "limit", NULL, 0},
        {"", "limit", NULL, 0},
        {"Limit=5", "limit", NULL, 0},
        {"limit=%", "limit", NULL, -1},
        {"limit=%4", "limit", NULL, -1},
        {"limit=%zz", "limit", NULL, -1},
        {"limit=%zz&limit=1", "limit", "1", 1},
        {"x=%zz&%zz=1&limit=1", "limit", "1", 1},
        {"limit=%2541", "limit", "%41", 1},
    };
    for (size_t i = 0; i < sizeof table / sizeof *table; i++) {
        char *value = NULL;
        size_t len = 0;
        assert_int_equal(http_query_get(str_of(table[i].query), table[i].name, &value, &len),
                         table[i].result);
        if (table[i].value) {
            assert_string_equal(value, table[i].value);
            assert_int_equal(len, strlen(table[i].value));
        }
        free(value);
    }
    char *value = NULL;
    size_t len = 0;
    assert_int_equal(http_query_get(STR("a=x%00y"), "a", &value, &len), 1);
    assert_int_equal(len, 3);
    assert_memory_equal(value, "x\0y", 4);
    free(value);
}

static void test_path(void **state)
{
    (void)state;
    char out[8];
    size_t len;
    assert_true(http_path_decode(STR("a%2Fb+%41"), out, sizeof out, &len));
    assert_str((struct str){out, len}, "a/b+A");
    assert_true(http_path_decode(STR("12345678"), out, sizeof out, &len));
    assert_int_equal(len, 8);
    assert_false(http_path_decode(STR("123456789"), out, sizeof out, &len));
    assert_false(http_path_decode(STR("a%"), out, sizeof out, &len));
    assert_false(http_path_decode(STR("a%g0"), out, sizeof out, &len));
    assert_false(http_path_decode(STR("a%4"), out, sizeof out, &len));
}

static void test_path_plain(void **state)
{
    (void)state;
    static const char *const table[][2] = {
        {"/a/b", "/a/b"},
        {"", ""},
        {"/%61/%7a%7A/%41%5A%30%39%2d%2E%5f%7E", "/a/zz/AZ09-._~"},
        {"/%2f%25%20%00%e9%2B%40%5b%60%7b", "/%2f%25%20%00%e9%2B%40%5b%60%7b"},
        {"/%2561", "/%2561"},
        /* One that is broken: nothing is decoded, so that nothing is decoded twice. */
        {"/%%36%31", "/%%36%31"},
        {"/%61%", "/%61%"},
        {"/%61%4", "/%61%4"},
        {"/%61%g1", "/%61%g1"},
    };
    char out[64];
    for (size_t i = 0; i < sizeof table / sizeof *table; i++)
        assert_str(http_path_plain(str_of(table[i][0]), out), table[i][1]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_query),
        cmocka_unit_test(test_path),
        cmocka_unit_test(test_path_plain),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
