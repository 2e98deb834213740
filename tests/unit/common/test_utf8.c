/* SPDX-License-Identifier: MIT */
/* UTF-8: every code point in, everything else out, in pieces as well as at once. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "common/utf8.h"

/* The encoding of any number below 2^21, of a surrogate or one too high as well. */
static size_t encode(char *out, uint32_t c)
{
    size_t tails = c < 0x80 ? 0 : c < 0x800 ? 1 : c < 0x10000 ? 2 : 3;
    static const uint32_t leads[] = {0, 0xC0, 0xE0, 0xF0};
    for (size_t i = 0; i <= tails; i++)
        out[i] = (char)(0x80 | (c >> 6 * (tails - i) & 0x3F));
    out[0] = (char)(leads[tails] | c >> 6 * tails);
    return tails + 1;
}

static void every_code_point(void **state)
{
    (void)state;
    for (uint32_t c = 0; c < 0x1FFFFF; c++) {
        char bytes[4];
        struct str s = {bytes, encode(bytes, c)};
        bool is_character = (c < 0xD800 || c > 0xDFFF) && c <= 0x10FFFF;
        if (utf8_valid(s) != is_character)
            fail_msg("U+%04X", c);
    }
}

/* Counts what a decoder written the other way round, by ranges of pairs, would accept. */
static void every_three_bytes(void **state)
{
    (void)state;
    unsigned valid = 0;
    for (uint32_t n = 0; n < 1u << 24; n++) {
        char bytes[3] = {(char)(n >> 16 & 0xFF), (char)(n >> 8 & 0xFF), (char)(n & 0xFF)};
        valid += utf8_valid((struct str){bytes, 3});
    }
    unsigned one = 0x80, two = 0x800 - 0x80, three = 0x10000 - 0x800 - 0x800;
    assert_int_equal(valid, one * one * one + 2 * one * two + three);
}

static void wrong_texts(void **state)
{
    (void)state;
    static const char *const wrong[] = {
        "\x80",
        "\xBF",
        "\xC0\xAF",
        "\xC1\xBF",
        "\xC2",
        "\xC2\x41",
        "\xE0\x9F\xBF",
        "\xED\xA0\x80",
        "\xE2\x82",
        "\xF0\x8F\xBF\xBF",
        "\xF4\x90\x80\x80",
        "\xF5\x80\x80",
        "\xF0\x9F\x98",
        "\xFE",
        "\xFF",
        "abcdefgh\x80",
        "abcdefg\xC3",
        "\xC3\xA9\xA9",
    };
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++)
        assert_false(utf8_valid(str_of(wrong[i])));
    assert_true(utf8_valid((struct str){NULL, 0}));
    assert_true(utf8_valid((struct str){"\0", 1}));
}

/* RFC 6455: text that is wrong is known as soon as it is. */
static void wrong_at_the_first_byte(void **state)
{
    (void)state;
    assert_int_equal(utf8_feed(UTF8_START, "\xC0", 1), UTF8_BAD);
    assert_int_equal(utf8_feed(UTF8_START, "\xF5", 1), UTF8_BAD);
    assert_int_equal(utf8_feed(UTF8_START, "\xED\xA0", 2), UTF8_BAD);
    assert_int_equal(utf8_feed(UTF8_START, "\xF4\x90", 2), UTF8_BAD);
    assert_int_not_equal(utf8_feed(UTF8_START, "\xF4\x8F", 2), UTF8_BAD);
    assert_int_equal(utf8_feed(UTF8_BAD, "abc", 3), UTF8_BAD);
}

static void pieces(void **state)
{
    (void)state;
    static const char text[] = "a long ASCII start \xC3\xA9\xE2\x82\xAC\xF0\x9F\x98\x80 and an end";
    const size_t len = sizeof text - 1;
    for (size_t cut = 0; cut <= len; cut++) {
        uint32_t s = utf8_feed(UTF8_START, text, cut);
        assert_int_not_equal(s, UTF8_BAD);
        bool inside = cut < len && ((unsigned char)text[cut] & 0xC0) == 0x80;
        assert_int_equal(s != UTF8_START, inside);
        assert_int_equal(utf8_feed(s, text + cut, len - cut), UTF8_START);
    }
    assert_int_equal(utf8_feed(UTF8_START, NULL, 0), UTF8_START);
}

static void valid_prefix(void **state)
{
    (void)state;
    assert_int_equal(utf8_valid_len(STR("caf\xC3\xA9")), 5);
    assert_int_equal(utf8_valid_len(STR("caf\xC3")), 3);
    assert_int_equal(utf8_valid_len(STR("caf\xC3\xA9\xFFx")), 5);
    assert_int_equal(utf8_valid_len(STR("")), 0);
}

static void counting_and_cutting(void **state)
{
    (void)state;
    const struct str s = STR("a\xC3\xA9\xE2\x82\xAC\xF0\x9F\x98\x80");
    assert_int_equal(utf8_chars(s), 4);
    assert_int_equal(utf8_chars(STR("")), 0);
    static const size_t expected[] = {0, 1, 1, 3, 3, 3, 6, 6, 6, 6, 10, 10};
    for (size_t max = 0; max < sizeof expected / sizeof *expected; max++)
        assert_int_equal(utf8_cut(s, max).len, expected[max]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_code_point),
        cmocka_unit_test(every_three_bytes),
        cmocka_unit_test(wrong_texts),
        cmocka_unit_test(wrong_at_the_first_byte),
        cmocka_unit_test(pieces),
        cmocka_unit_test(valid_prefix),
        cmocka_unit_test(counting_and_cutting),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
