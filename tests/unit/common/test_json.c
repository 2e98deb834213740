/* SPDX-License-Identifier: MIT */
/* Writing JSON strings, and telling JSON from what only looks like it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdlib.h>

#include "common/json.h"
#include "common/limits.h"
#include "common/mem.h"
#include "common/utf8.h"

/* ---- writing ---- */

static void assert_written(void (*add)(struct buf **, struct str), struct str text,
                           const char *expected)
{
    struct buf *out = NULL;
    add(&out, text);
    buf_add_char(&out, 0);
    assert_string_equal(buf_str(out).p, expected);
    buf_free(&out);
}

static void strings(void **state)
{
    (void)state;
    assert_written(json_add_string, STR(""), "\"\"");
    assert_written(json_add_string, (struct str){NULL, 0}, "\"\"");
    assert_written(json_add_string, STR("plain / text, longer than eight bytes"),
                   "\"plain / text, longer than eight bytes\"");
    assert_written(json_add_string, STR("caf\xC3\xA9 \xF0\x9F\x98\x80"),
                   "\"caf\xC3\xA9 \xF0\x9F\x98\x80\"");
    assert_written(json_add_string, STR("\"\\\b\f\n\r\t"), "\"\\\"\\\\\\b\\f\\n\\r\\t\"");
    assert_written(json_add_string, STR("\x00\x01\x1F\x7F"), "\"\\u0000\\u0001\\u001f\x7F\"");
    assert_written(json_add_string, STR("12345678\n12345678\n"), "\"12345678\\n12345678\\n\"");
}

/* Every beginning of it is none; with more behind it, that is left. */
static void assert_taken(struct str written, struct str expected)
{
    char *room = mem_alloc(written.len + 1), *at = room;
    char *copy = mem_strndup(written.p, written.len);
    struct str text, string;
    for (size_t len = 0; len < written.len; len++) {
        text = (struct str){copy, len};
        assert_false(json_take_string(&text, &at, &string));
        assert_true(text.p == copy && text.len == len && at == room);
    }
    text = (struct str){copy, written.len + 1}; /* with the terminator */
    assert_true(json_take_string(&text, &at, &string));
    assert_true(str_eq(string, expected));
    assert_true(text.p == copy + written.len && text.len == 1);
    assert_true(at == room || at == room + string.len);
    free(copy);
    free(room);
}

static void strings_not_as_written(void **state)
{
    (void)state;
    static const char *const wrong[] = {
        "",
        "a",
        "'a'",
        "a\"",
        "\"a\nb\"",
        "\"\\/\"",
        "\"\\u0041\"",
        "\"\\u000a\"",
        "\"\\u0022\"",
        "\"\\u005c\"",
        "\"\\u001F\"",
        "\"\\u0020\"",
        "\"\\u007f\"",
        "\"\\u1f00\"",
        "\"\\u00g1\"",
        "\"\\U0001\"",
        "\"\\x\"",
        "\"\\0\"",
        "\"\\ud83d\"",
        "\"\\u00\"",
        "\"abc\\u001",
        "\"abc\\",
    };
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        char room[32], *at = room;
        struct str text = str_of(wrong[i]), string;
        if (json_take_string(&text, &at, &string))
            fail_msg("%s", wrong[i]);
        assert_true(text.p == wrong[i] && at == room);
    }
}

/* Each byte that needs an escape, at each place of a group of eight. */
static void escapes_at_every_place(void **state)
{
    (void)state;
    for (unsigned c = 0; c < 256; c++)
        for (size_t place = 0; place < 20; place++) {
            char text[20];
            memset(text, 'x', sizeof text);
            text[place] = (char)c;
            struct buf *out = NULL;
            json_add_string(&out, (struct str){text, sizeof text});
            bool escaped = buf_len(out) != sizeof text + 2;
            assert_int_equal(escaped, c < 0x20 || c == '"' || c == '\\');
            assert_taken(buf_str(out), (struct str){text, sizeof text});
            buf_free(&out);
        }
}

static void bytes(void **state)
{
    (void)state;
    assert_written(json_add_bytes, STR("caf\xC3\xA9\n"), "\"caf\xC3\xA9\\n\"");
    assert_written(json_add_bytes, STR("a\xFF\xFE"), "\"a\xEF\xBF\xBD\xEF\xBF\xBD\"");
    assert_written(json_add_bytes, STR("\xE2\x82"), "\"\xEF\xBF\xBD\xEF\xBF\xBD\"");
    assert_written(json_add_bytes, STR("\xC3\"x"), "\"\xEF\xBF\xBD\\\"x\"");
    assert_written(json_add_bytes, STR(""), "\"\"");
}

/* ---- checking ---- */

static const char *check(struct str text, size_t *at)
{
    return json_check(text, JSON_DEPTH_MAX, at);
}

static void valid_texts(void **state)
{
    (void)state;
    static const char *const valid[] = {
        "0",
        "-0",
        "10",
        "-1.5",
        "1e5",
        "1E+5",
        "1.25e-10",
        "0.0",
        "true",
        "false",
        "null",
        "\"\"",
        " \t\r\n1 \t\r\n",
        "[]",
        "{}",
        "[ ]",
        "{ }",
        "[1,2 , 3]",
        "{\"a\":1,\"b\":[{\"a\":1,\"a\":2}]}",
        "[{\"a\":1,\"a\":2}]",
        "\"caf\xC3\xA9\"",
        "\"\\u00e9\\uD83D\\ude00\\/\\b\\f\\n\\r\\t\\\"\\\\\"",
        "\"\\u0000\"",
        "\"\x7F\"",
        "[[[[[[[[]]]]]]]]",
        "{\"\":1}",
        "99999999999999999999999999e999",
    };
    for (size_t i = 0; i < sizeof valid / sizeof *valid; i++) {
        size_t at = 77;
        const char *words = check(str_of(valid[i]), &at);
        if (words)
            fail_msg("%s: %s at %zu", valid[i], words, at);
    }
}

struct wrong {
    const char *text;
    size_t at;
    const char *words;
};

static void assert_wrong(const struct wrong *wrong, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        size_t at = 77;
        const char *words = check(str_of(wrong[i].text), &at);
        if (!words || strcmp(words, wrong[i].words) != 0 || at != wrong[i].at)
            fail_msg("%s: %s at %zu", wrong[i].text, words ? words : "valid", at);
    }
}

/* Places and words as Python 3.11 has them. */
static void mistakes_as_python_tells_them(void **state)
{
    (void)state;
    static const struct wrong wrong[] = {
        {"", 0, "Expecting value"},
        {" ", 1, "Expecting value"},
        {"hello", 0, "Expecting value"},
        {"tru", 0, "Expecting value"},
        {"-", 0, "Expecting value"},
        {"+1", 0, "Expecting value"},
        {".5", 0, "Expecting value"},
        {"'a'", 0, "Expecting value"},
        {"[", 1, "Expecting value"},
        {"[1,]", 3, "Expecting value"},
        {"{\"a\":", 5, "Expecting value"},
        {"{", 1, "Expecting property name enclosed in double quotes"},
        {"{a:1}", 1, "Expecting property name enclosed in double quotes"},
        {"{'a':1}", 1, "Expecting property name enclosed in double quotes"},
        {"{\"a\":1,}", 7, "Expecting property name enclosed in double quotes"},
        {"{\"a\"", 4, "Expecting ':' delimiter"},
        {"{\"a\":1 \"b\"", 7, "Expecting ',' delimiter"},
        {"[1 2]", 3, "Expecting ',' delimiter"},
        {"\"abc", 0, "Unterminated string starting at"},
        {"\"\\", 0, "Unterminated string starting at"},
        {"\"a\\x\"", 2, "Invalid \\escape"},
        {"\"\\u12\"", 2, "Invalid \\uXXXX escape"},
        {"\"\\u12g4\"", 2, "Invalid \\uXXXX escape"},
        {"\"a\tb\"", 2, "Invalid control character at"},
        {"\"a\x01\"", 2, "Invalid control character at"},
        {"01", 1, "Extra data"},
        {"1.", 1, "Extra data"},
        {"1e", 1, "Extra data"},
        {"1e+", 1, "Extra data"},
        {"{\"a\":1}x", 7, "Extra data"},
        {"1 /* one */", 2, "Extra data"},
    };
    assert_wrong(wrong, sizeof wrong / sizeof *wrong);
}

/* What json-c or Python would let pass. */
static void mistakes_that_others_accept(void **state)
{
    (void)state;
    static const struct wrong wrong[] = {
        {"NaN", 0, "Expecting value"},
        {"-Infinity", 0, "Expecting value"},
        {"\xEF\xBB\xBF{}", 0, "Expecting value"},
        {"\"\xC3\xA9\xC0\xAF\"", 2, "Invalid UTF-8"},
        {"\"long enough, then \xED\xA0\x80\"", 19, "Invalid UTF-8"},
        {"\"\xC3\"", 1, "Invalid UTF-8"},
        {"\"\\ud800\"", 1, "Unpaired surrogate in \\u escape"},
        {"\"\\udc00\"", 1, "Unpaired surrogate in \\u escape"},
        {"\"\\ud800\\u0041\"", 1, "Unpaired surrogate in \\u escape"},
        {"\"\\ud800\\ud800\"", 1, "Unpaired surrogate in \\u escape"},
        {"{\"a\":1,\"a\":2}", 7, "Duplicate key"},
        {"{\"\xC3\xA9\":1, \"\\u00E9\":2}", 8, "Duplicate key"},
        {"{\"\\ud83d\\ude00\":1,\"\xF0\x9F\x98\x80\":2}", 18, "Duplicate key"},
        {"{\"\\u20ac\\n\":1,\"\xE2\x82\xAC\\u000a\":2}", 14, "Duplicate key"},
        {"{\"\\/\":1,\"/\":2}", 8, "Duplicate key"},
        {"{\"\":1,\"\":2}", 6, "Duplicate key"},
        {"{\"a\\u0000b\":1}", 1, "NUL character in a key"},
        {"[[[[[[[[[]]]]]]]]]", 8, "Nested too deep"},
        {"{\"a\":[[[[[[[{}]]]]]]]}", 12, "Nested too deep"},
    };
    assert_wrong(wrong, sizeof wrong / sizeof *wrong);
}

static void nul_bytes(void **state)
{
    (void)state;
    size_t at;
    assert_non_null(check(STR("\0"), &at));
    assert_non_null(check(STR("{}\0"), &at));
    assert_non_null(check(STR("\"a\0b\""), &at));
    assert_non_null(check(STR("\"\\\0\""), &at));
    assert_int_equal(at, 1);
    assert_non_null(check((struct str){NULL, 0}, &at));
    assert_int_equal(at, 0);
}

static void many_keys(void **state)
{
    (void)state;
    for (size_t keys = JSON_KEYS_MAX; keys <= JSON_KEYS_MAX + 1; keys++) {
        struct buf *text = NULL;
        for (size_t i = 0; i < keys; i++)
            buf_printf(&text, "%c\"\\u0041%zu\":0", i ? ',' : '{', i);
        buf_add_char(&text, '}');
        size_t at = 0;
        const char *words = check(buf_str(text), &at);
        if (keys == JSON_KEYS_MAX)
            assert_null(words);
        else
            assert_string_equal(words, "Too many keys");
        buf_free(&text);
    }
}

/* Nothing that is cut off is valid, and no look goes past the end (the copy is exactly as long). */
static void every_prefix(void **state)
{
    (void)state;
    static const char text[] =
        " {\"us\\u00e9r\":\"\xE2\x82\xAC\\ud83d\\ude00\\n\",\"n\":[-12.5e+3,true,"
        "false,null,{}],\"\\t\":\"\"}";
    for (size_t len = 0; len < sizeof text; len++) {
        char *exact = mem_strndup(text, len);
        exact = mem_grow(exact, len, 1);
        size_t at = 0;
        assert_int_equal(!check((struct str){exact, len}, &at), len == sizeof text - 1);
        assert_true(at <= utf8_chars((struct str){text, len}));
        free(exact);
    }
}

/* What is written is valid, whatever the bytes were: a fixed, long row of them. */
static void what_is_written_is_valid(void **state)
{
    (void)state;
    uint32_t seed = 1;
    for (int round = 0; round < 20000; round++) {
        char text[24];
        for (size_t i = 0; i < sizeof text; i++) {
            seed = seed * 1664525u + 1013904223u;
            text[i] = (char)(seed >> 24);
        }
        struct buf *out = NULL;
        size_t at;
        json_add_bytes(&out, (struct str){text, (size_t)round % sizeof text});
        assert_null(check(buf_str(out), &at));
        buf_free(&out);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(strings),
        cmocka_unit_test(escapes_at_every_place),
        cmocka_unit_test(strings_not_as_written),
        cmocka_unit_test(bytes),
        cmocka_unit_test(valid_texts),
        cmocka_unit_test(mistakes_as_python_tells_them),
        cmocka_unit_test(mistakes_that_others_accept),
        cmocka_unit_test(nul_bytes),
        cmocka_unit_test(many_keys),
        cmocka_unit_test(every_prefix),
        cmocka_unit_test(what_is_written_is_valid),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
