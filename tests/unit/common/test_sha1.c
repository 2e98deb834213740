/* SPDX-License-Identifier: MIT */
/* SHA-1 against the vectors of RFC 3174 and RFC 6455. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "common/sha1.h"

static void assert_digest(struct sha1 *s, const char *expected)
{
    unsigned char digest[SHA1_BYTES];
    char hex[SHA1_HEX + 1];
    sha1_done(s, digest);
    sha1_hex(digest, hex);
    assert_string_equal(hex, expected);
}

static void assert_sha1(struct str text, const char *expected)
{
    struct sha1 s;
    sha1_init(&s);
    sha1_add(&s, text);
    assert_digest(&s, expected);
}

static void known_vectors(void **state)
{
    (void)state;
    assert_sha1(STR(""), "da39a3ee5e6b4b0d3255bfef95601890afd80709");
    assert_sha1(STR("abc"), "a9993e364706816aba3e25717850c26c9cd0d89d");
    assert_sha1(STR("abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq"),
                "84983e441c3bd26ebaae4aa1f95129e5e54670f1");
    assert_sha1(STR("dGhlIHNhbXBsZSBub25jZQ==258EAFA5-E914-47DA-95CA-C5AB0DC85B11"),
                "b37a4f2cc0624f1690f64606cf385945b2bec4ea");
}

static void a_million_times_a(void **state)
{
    (void)state;
    struct sha1 s;
    sha1_init(&s);
    for (int i = 0; i < 100000; i++)
        sha1_add(&s, STR("aaaaaaaaaa"));
    assert_digest(&s, "34aa973cd4c4daa4f61eeb2bdbad27316534016f");
}

/* One pattern, every length around the borders of a block, in two pieces at every place. */
static void pieces_do_not_matter(void **state)
{
    (void)state;
    char text[200];
    for (size_t i = 0; i < sizeof text; i++)
        text[i] = (char)(i * 7 & 0x7F);
    for (size_t len = 0; len <= sizeof text; len++) {
        struct sha1 whole;
        unsigned char expected[SHA1_BYTES], digest[SHA1_BYTES];
        sha1_init(&whole);
        sha1_add(&whole, (struct str){text, len});
        sha1_done(&whole, expected);
        for (size_t cut = 0; cut <= len; cut++) {
            struct sha1 s;
            sha1_init(&s);
            sha1_add(&s, (struct str){text, cut});
            sha1_add(&s, (struct str){text + cut, len - cut});
            sha1_done(&s, digest);
            assert_memory_equal(digest, expected, SHA1_BYTES);
        }
    }
}

/* The paddings differ at 55, 56 and 64 bytes: sums made by coreutils. */
static void borders_of_a_block(void **state)
{
    (void)state;
    const char a[] = "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa";
    assert_sha1((struct str){a, 55}, "c1c8bbdc22796e28c0e15163d20899b65621d65a");
    assert_sha1((struct str){a, 56}, "c2db330f6083854c99d4b5bfb6e8f29f201be699");
    assert_sha1((struct str){a, 63}, "03f09f5b158a7a8cdad920bddc29b81c18a551f5");
    assert_sha1((struct str){a, 64}, "0098ba824b5c16427bd7a1122a5a442a25ec644d");
    assert_sha1((struct str){a, 65}, "11655326c708d70319be2610e8a57d9a5b959d3b");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(known_vectors),
        cmocka_unit_test(a_million_times_a),
        cmocka_unit_test(pieces_do_not_matter),
        cmocka_unit_test(borders_of_a_block),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
