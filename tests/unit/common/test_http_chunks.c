/* SPDX-License-Identifier: MIT */
/* Chunked bodies, decoded in place: what is refused, the bounds, and that no cut matters. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "common/http.h"

/* Feeds text in two or more pieces as the server does: each piece lies behind the payload. */
static enum http_chunk_result feed(const char *text, const size_t *cuts, size_t ncuts, char *body,
                                   size_t *body_len, size_t *taken)
{
    struct http_chunks c = {0};
    enum http_chunk_result result = HTTP_CHUNK_MORE;
    size_t from = 0, total = strlen(text);
    *body_len = *taken = 0;
    for (size_t i = 0; i <= ncuts && result == HTTP_CHUNK_MORE; i++) {
        size_t to = i < ncuts ? cuts[i] : total, used, out;
        const char *reason = NULL;
        memcpy(body + *body_len, text + from, to - from);
        result = http_chunks_feed(&c, body + *body_len, to - from, &used, &out, &reason);
        assert_true(used <= to - from && out <= used);
        assert_true(result != HTTP_CHUNK_MORE || used == to - from);
        assert_true((result == HTTP_CHUNK_BAD) == (reason != NULL));
        *body_len += out;
        *taken += used;
        from = to;
    }
    return result;
}

static void test_chunks_cut_everywhere(void **state)
{
    (void)state;
    static const char text[] = "5\r\nhello\r\n00A;x=\"y\"\r\n, \r\nworld!\r\n"
                               "0\r\nTrailer: v\r\nOther:\r\n\r\nNEXT";
    size_t whole = sizeof text - 1 - 4;
    char body[sizeof text];
    size_t body_len, taken;
    for (size_t a = 0; a <= whole; a++)
        for (size_t b = a; b <= whole; b++) {
            size_t cuts[] = {a, b};
            assert_int_equal(feed(text, cuts, 2, body, &body_len, &taken), HTTP_CHUNK_DONE);
            assert_int_equal(taken, whole);
            assert_int_equal(body_len, 15);
            assert_memory_equal(body, "hello, \r\nworld!", 15);
        }
}

static void test_chunks_refused(void **state)
{
    (void)state;
    static const char *const table[] = {
        "\r\n",
        " 5\r\nhello\r\n",
        "5 \r\nhello\r\n",
        "+5\r\nhello\r\n",
        "-5\r\nhello\r\n",
        "0x5\r\nhello\r\n",
        "5\nhello\r\n",
        "5\r\rhello",
        "g\r\n",
        ";x\r\n",
        "5\r\nhello!\r\n",
        "5\r\nhello\n0\r\n\r\n",
        "5\t\r\nhello\r\n",
        "5;x\ny\r\nhello\r\n",
        "5;\r\nhello\r\n",
        "5;;x\r\nhello\r\n",
        "5;=y\r\nhello\r\n",
        "5;x=\r\nhello\r\n",
        "5;x=;y\r\nhello\r\n",
        "5;x y\r\nhello\r\n",
        "5;x=y=z\r\nhello\r\n",
        "5;x=y z\r\nhello\r\n",
        "5;x \r\nhello\r\n",
        "5;x=y \r\nhello\r\n",
        "5;(x)\r\nhello\r\n",
        "5;x=\xe9\r\nhello\r\n",
        "5;\"x\"\r\nhello\r\n",
        "5;x=\"y\r\nhello\r\n",
        "5;x=\"y\\\"\r\nhello\r\n",
        "5;x=\"y\"z\r\nhello\r\n",
        "5;x=y\"z\"\r\nhello\r\n",
        "5;x=\"\x01\"\r\nhello\r\n",
        "5;x=\"\\\x7f\"\r\nhello\r\n",
        "5,x\r\nhello\r\n",
        "10000000000000000\r\n",
        "0\r\n\rx",
        "0\r\nBad Name: v\r\n\r\n",
        "0\r\n: v\r\n\r\n",
        "0\r\n folded\r\n\r\n",
        "0\r\nA: \x01\r\n\r\n",
        "0\r\nA: b\n\r\n",
        "0\r\nA\r\n\r\n",
    };
    char body[64];
    size_t body_len, taken;
    for (size_t i = 0; i < sizeof table / sizeof *table; i++) {
        enum http_chunk_result whole = feed(table[i], NULL, 0, body, &body_len, &taken);
        if (whole != HTTP_CHUNK_BAD)
            print_error("accepted: %s\n", table[i]);
        assert_int_equal(whole, HTTP_CHUNK_BAD);
        for (size_t cut = 0; cut <= strlen(table[i]); cut++)
            assert_int_equal(feed(table[i], &cut, 1, body, &body_len, &taken), HTTP_CHUNK_BAD);
    }
    assert_int_equal(feed("ffffffffffffffff\r\nx", NULL, 0, body, &body_len, &taken),
                     HTTP_CHUNK_MORE);
}

/* All that the grammar has: with 'bad' white space, which is to be read, and any quoted text. */
static void test_extensions(void **state)
{
    (void)state;
    static const char *const table[] = {
        ";x",
        ";x;y=z;1=2",
        ";x=\"\"",
        ";x=\"y;z=\\\"\\\\, \t\xe9\";w",
        " ;\tx = y ;z\t=\t\"w\"",
        ";x ;y",
        ";!#$%&'*+-.^_`|~09azAZ=~",
    };
    char text[128], body[128];
    size_t body_len, taken;
    for (size_t i = 0; i < sizeof table / sizeof *table; i++) {
        snprintf(text, sizeof text, "5%s\r\nhello\r\n0%s\r\n\r\n", table[i], table[i]);
        for (size_t cut = 0; cut <= strlen(text); cut++) {
            assert_int_equal(feed(text, &cut, 1, body, &body_len, &taken), HTTP_CHUNK_DONE);
            assert_int_equal(body_len, 5);
        }
    }
}

static void test_chunks_bounded(void **state)
{
    (void)state;
    static char text[HTTP_HEAD_BYTES_MAX * 2], body[sizeof text];
    size_t body_len, taken;
    snprintf(text, sizeof text, "1;%0*d", HTTP_CHUNK_LINE_BYTES_MAX - 3, 0);
    assert_int_equal(feed(text, NULL, 0, body, &body_len, &taken), HTTP_CHUNK_MORE);
    strcat(text, "00");
    assert_int_equal(feed(text, NULL, 0, body, &body_len, &taken), HTTP_CHUNK_BAD);
    strcpy(text, "0\r\n");
    while (strlen(text) < HTTP_HEAD_BYTES_MAX + 100)
        strcat(text, "Name: a value of a trailer that goes on for a while, but not too long\r\n");
    assert_int_equal(feed(text, NULL, 0, body, &body_len, &taken), HTTP_CHUNK_BAD);
}

/* Each line may be short, and yet the framing many times the body. */
static void test_extensions_bounded(void **state)
{
    (void)state;
    static char text[HTTP_EXTRA_BYTES_MAX * 2], body[sizeof text];
    const char chunk[] = "1;a=bcdefghijklmnopqrstuvwxyz\r\nx\r\n";
    const size_t extension = strlen("a=bcdefghijklmnopqrstuvwxyz\r");
    size_t body_len, taken, n = HTTP_EXTRA_BYTES_MAX / extension;
    for (size_t i = 0; i < n; i++)
        strcat(text, chunk);
    assert_int_equal(feed(text, NULL, 0, body, &body_len, &taken), HTTP_CHUNK_MORE);
    assert_int_equal(body_len, n);
    strcat(text, chunk);
    assert_int_equal(feed(text, NULL, 0, body, &body_len, &taken), HTTP_CHUNK_BAD);
    /* Without extensions a body may come in as many chunks as it has bytes. */
    for (*text = 0, n = 0; strlen(text) < sizeof text - 8; n++)
        strcat(text, "1\r\nx\r\n");
    assert_int_equal(feed(text, NULL, 0, body, &body_len, &taken), HTTP_CHUNK_MORE);
    assert_int_equal(body_len, n);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_chunks_cut_everywhere),
        cmocka_unit_test(test_chunks_refused),
        cmocka_unit_test(test_extensions),
        cmocka_unit_test(test_chunks_bounded),
        cmocka_unit_test(test_extensions_bounded),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
