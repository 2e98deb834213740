/* SPDX-License-Identifier: MIT */
/* permessage-deflate: the offers of RFC 7692 section 7.1, the bytes of section 7.2.3, and payloads
 * that mean harm. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdlib.h>
#include <string.h>

#include "common/mem.h"
#include "gateway/deflate.h"

#define BASE "permessage-deflate; server_no_context_takeover; client_no_context_takeover"

static void check_offer(const char *offers, unsigned least, unsigned want_bits, const char *want)
{
    struct buf *answer = NULL;
    unsigned bits = 0;
    bool taken = deflate_accept(str_of(offers), least, &bits, &answer);
    if (taken != (want != NULL))
        fail_msg("'%s' was %s", offers, taken ? "taken" : "declined");
    if (want) {
        struct str got = buf_str(answer);
        assert_int_equal(got.len, strlen(want));
        assert_memory_equal(got.p, want, got.len);
        assert_int_equal(bits, want_bits);
    }
    buf_free(&answer);
}

static void test_offers_taken(void **state)
{
    (void)state;
    check_offer("permessage-deflate", 9, 15, BASE);
    check_offer("Permessage-Deflate", 9, 15, BASE);
    check_offer("permessage-deflate; client_max_window_bits", 15, 15, BASE);
    check_offer(" permessage-deflate ;\tserver_no_context_takeover ; client_max_window_bits = 10 ",
                15, 15, BASE);
    check_offer("permessage-deflate; client_no_context_takeover; server_max_window_bits=12", 9, 12,
                BASE "; server_max_window_bits=12");
    check_offer("permessage-deflate; server_max_window_bits=\"15\"", 15, 15,
                BASE "; server_max_window_bits=15");
    check_offer("x-webkit-deflate-frame, permessage-deflate", 15, 15, BASE);
    check_offer("foo; a=\"b, permessage-deflate; c\", permessage-deflate", 15, 15, BASE);
    check_offer("permessage-deflate; server_max_window_bits=10, permessage-deflate", 15, 15, BASE);
}

static void test_offers_declined(void **state)
{
    (void)state;
    static const char *const wrong[] = {
        "",
        ",",
        ";",
        "x-webkit-deflate-frame",
        "permessage-deflatE2",
        "permessage-deflate; unknown",
        "permessage-deflate; ",
        "permessage-deflate; server_max_window_bits",
        "permessage-deflate; server_max_window_bits=",
        "permessage-deflate; server_max_window_bits=7",
        "permessage-deflate; server_max_window_bits=8",
        "permessage-deflate; server_max_window_bits=16",
        "permessage-deflate; server_max_window_bits=010",
        "permessage-deflate; server_max_window_bits=+9",
        "permessage-deflate; client_max_window_bits=0",
        "permessage-deflate; client_max_window_bits=99999999999999999999",
        "permessage-deflate; server_no_context_takeover=1",
        "permessage-deflate; client_no_context_takeover; client_no_context_takeover",
        "permessage-deflate; server_max_window_bits=9; server_max_window_bits=9",
        "permessage-deflate; a=\"unclosed, permessage-deflate",
    };
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++)
        check_offer(wrong[i], 9, 0, NULL);
    check_offer("permessage-deflate; server_max_window_bits=14", 15, 0, NULL);
}

static enum deflate_result unpack(const char *bytes, size_t len, size_t max, struct buf **out)
{
    return deflate_unpack((struct str){bytes, len}, max, out);
}

static void check_unpack(const char *bytes, size_t len, const char *want)
{
    struct buf *out = NULL;
    assert_int_equal(unpack(bytes, len, 100, &out), DEFLATE_OK);
    assert_int_equal(buf_len(out), strlen(want));
    assert_memory_equal(buf_str(out).p, want, strlen(want));
    buf_free(&out);
}

/* The examples of RFC 7692 sections 7.2.3.1 to 7.2.3.6. */
static void test_examples_of_the_rfc(void **state)
{
    (void)state;
#define UNPACK(hex, want) check_unpack(hex, sizeof(hex) - 1, want)
    UNPACK("\xf2\x48\xcd\xc9\xc9\x07\x00", "Hello");
    UNPACK("\x00\x05\x00\xfa\xff\x48\x65\x6c\x6c\x6f\x00", "Hello");         /* no compression */
    UNPACK("\xf3\x48\xcd\xc9\xc9\x07\x00\x00", "Hello");                     /* BFINAL */
    UNPACK("\xf2\x48\x05\x00\x00\x00\xff\xff\xca\xc9\xc9\x07\x00", "Hello"); /* two blocks */
    UNPACK("\xf3\x48\xcd\xc9\xc9\x07\x00", "Hello"); /* BFINAL, and nothing behind it */
    UNPACK("\x01", "");                              /* ... which the tail completes */
    UNPACK("\x00", "");
    UNPACK("", "");
}

static void check_round(struct str message, unsigned bits)
{
    struct buf *packed = NULL, *back = NULL;
    deflate_pack(message, bits, &packed);
    assert_true(buf_len(packed) > 0);
    assert_int_equal(deflate_unpack(buf_str(packed), message.len, &back), DEFLATE_OK);
    assert_int_equal(buf_len(back), message.len);
    assert_memory_equal(buf_str(back).p, message.p, message.len);
    buf_free(&packed);
    buf_free(&back);
}

static void test_rounds(void **state)
{
    (void)state;
    enum {
        LEN = 300000
    };
    char *text = mem_alloc(LEN), *noise = mem_alloc(LEN);
    uint32_t x = 1;
    for (size_t i = 0; i < LEN; i++) {
        x = x * 1664525u + 1013904223u;
        noise[i] = (char)(x >> 24);
        text[i] = "the quick brown fox "[x >> 28];
    }
    static const size_t sizes[] = {0, 1, 2, 125, 126, 4096, 16384, 65535, 65536, LEN};
    for (unsigned bits = DEFLATE_BITS_MIN; bits <= DEFLATE_BITS_MAX; bits++)
        for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
            check_round((struct str){text, sizes[i]}, bits);
            check_round((struct str){noise, sizes[i]}, bits);
        }
    free(text);
    free(noise);
}

static void test_pack_pays(void **state)
{
    (void)state;
    struct buf *out = NULL;
    char text[2000];
    memset(text, 'a', sizeof text);
    deflate_pack((struct str){text, sizeof text}, 15, &out);
    assert_in_range(buf_len(out), 1, 40);
    buf_free(&out);
}

static void test_bombs_stop_early(void **state)
{
    (void)state;
    enum {
        LEN = 8 << 20,
        MAX = 100000
    };
    char *zeros = mem_zalloc(LEN);
    struct buf *bomb = NULL, *out = NULL;
    deflate_pack((struct str){zeros, LEN}, 15, &bomb);
    assert_in_range(buf_len(bomb), 1, 20000);
    assert_int_equal(deflate_unpack(buf_str(bomb), MAX, &out), DEFLATE_TOO_BIG);
    assert_in_range(buf_len(out), 0, MAX);
    buf_free(&out);
    assert_int_equal(deflate_unpack(buf_str(bomb), LEN - 1, &out), DEFLATE_TOO_BIG);
    buf_free(&out);
    assert_int_equal(deflate_unpack(buf_str(bomb), LEN, &out), DEFLATE_OK);
    buf_free(&out);
    buf_free(&bomb);
    free(zeros);
}

/* Each of these is refused, and the next message is read as if nothing had been. */
static void test_broken_streams(void **state)
{
    (void)state;
    const struct str broken[] = {
        STR("\x07"),                      /* block type 3 */
        STR("\xff\xff\xff\xff"),          /* the same, deeper */
        STR("\x00\x05\x00\x00\x00Hello"), /* a stored length that contradicts itself */
        STR("\x4a\x0c\x02\x00\x00\x00\xff\xff\x03\x82"), /* a distance before the beginning */
        STR("\xf2\x48\xcd\xc9"),                         /* a block without its end */
        STR("\x00\x06\x00\xf9\xffHe"),                   /* a stored one that the tail fills up */
        STR("\x00\x09\x00\xf6\xffHe"),                   /* ... and does not */
        STR("\xf2\x48\xcd\xc9\xc9\x07\x00\x00"),         /* half a length */
    };
    for (size_t i = 0; i < sizeof broken / sizeof *broken; i++) {
        struct buf *out = NULL;
        if (deflate_unpack(broken[i], 1000, &out) != DEFLATE_BROKEN)
            fail_msg("case %zu was taken", i);
        buf_free(&out);
        check_unpack("\xf2\x48\xcd\xc9\xc9\x07\x00", 7, "Hello");
    }
}

/* Any bytes: an answer, within the bound, and no report of a sanitizer. */
static void test_noise(void **state)
{
    (void)state;
    uint32_t x = 7;
    for (int round = 0; round < 20000; round++) {
        char bytes[64];
        size_t len = 0;
        do {
            x = x * 1664525u + 1013904223u;
            bytes[len++] = (char)(x >> 24);
        } while (len < sizeof bytes && (x >> 20 & 31));
        struct buf *out = NULL;
        deflate_unpack((struct str){bytes, len}, 5000, &out);
        assert_in_range(buf_len(out), 0, 5000);
        buf_free(&out);
    }
}

static int teardown(void **state)
{
    (void)state;
    deflate_done();
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_offers_taken),        cmocka_unit_test(test_offers_declined),
        cmocka_unit_test(test_examples_of_the_rfc), cmocka_unit_test(test_rounds),
        cmocka_unit_test(test_pack_pays),           cmocka_unit_test(test_bombs_stop_early),
        cmocka_unit_test(test_broken_streams),      cmocka_unit_test(test_noise),
    };
    return cmocka_run_group_tests(tests, NULL, teardown);
}
