/* SPDX-License-Identifier: MIT */
/* The HTTP parser alone: what it accepts, what it refuses, and that no cut of the input matters. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "common/http.h"

#define HOST "Host: a.example\r\n"

/* Finds the end and parses; the status of the refusal, 0 when accepted, -1 when not whole. */
static int parse_bytes(struct http_request *req, const char *bytes, size_t len)
{
    struct http_refusal no = {0};
    size_t scanned = 0, end = http_head_end(bytes, len, &scanned, &no);
    if (!end)
        return no.status ? no.status : -1;
    return http_parse_head(req, bytes, end, &no) ? 0 : no.status;
}

static int parse(struct http_request *req, const char *text)
{
    return parse_bytes(req, text, strlen(text));
}

static void assert_str(struct str s, const char *expected)
{
    assert_int_equal(s.len, strlen(expected));
    assert_memory_equal(s.p ? s.p : "", expected, s.len);
}

static void test_request(void **state)
{
    (void)state;
    struct http_request req;
    assert_int_equal(parse(&req, "POST /a/b%20c?x=1&y=2?z HTTP/1.1\r\n" HOST
                                 "X-Empty:\r\nX-Pad: \t v w \t\r\ncontent-LENGTH: 7\r\n\r\n"),
                     0);
    assert_int_equal(req.method, HTTP_POST);
    assert_str(req.method_name, "POST");
    assert_str(req.target, "/a/b%20c?x=1&y=2?z");
    assert_str(req.path, "/a/b%20c");
    assert_str(req.query, "x=1&y=2?z");
    assert_true(req.keep_alive && req.has_length && !req.chunked && !req.http_1_0);
    assert_int_equal(req.length, 7);
    assert_int_equal(req.nheaders, 4);
    assert_str(http_header(&req, "x-empty"), "");
    assert_str(http_header(&req, "x-pad"), "v w");
    assert_null(http_header(&req, "x-none").p);
}

static void test_accepted(void **state)
{
    (void)state;
    static const char *const heads[] = {
        "\r\n\r\nGET / HTTP/1.1\r\n" HOST "\r\n",
        "GET / HTTP/1.0\r\n\r\n",
        "BREW /pot HTTP/1.1\r\n" HOST "\r\n",
        "OPTIONS * HTTP/1.1\r\n" HOST "\r\n",
        "GET / HTTP/1.1\r\nHost: [::1]:8080\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: 127.0.0.1:65535\r\n\r\n",
        "GET / HTTP/1.1\r\nhost:x\r\n\r\n",
        "GET / HTTP/1.1\r\n" HOST "X: caf\xc3\xa9\tbar\r\n\r\n",
        "GET / HTTP/1.1\r\n" HOST "Transfer-Encoding: Chunked\r\n\r\n",
        "GET / HTTP/1.1\r\n" HOST "Content-Length: 9999999999999999999\r\n\r\n",
    };
    for (size_t i = 0; i < sizeof heads / sizeof *heads; i++) {
        struct http_request req;
        int status = parse(&req, heads[i]);
        if (status)
            print_error("refused with %d: %s\n", status, heads[i]);
        assert_int_equal(status, 0);
    }
}

struct refused {
    int status;
    const char *head;
};

static void check_refused(const struct refused *table, size_t len)
{
    for (size_t i = 0; i < len; i++) {
        struct http_request req;
        int status = parse(&req, table[i].head);
        if (status != table[i].status)
            print_error("%d instead of %d: %s\n", status, table[i].status, table[i].head);
        assert_int_equal(status, table[i].status);
    }
}

static void test_request_lines_refused(void **state)
{
    (void)state;
    static const struct refused table[] = {
        {400, "GET /\r\n" HOST "\r\n"},           {400, "GET  / HTTP/1.1\r\n" HOST "\r\n"},
        {400, "GET /  HTTP/1.1\r\n" HOST "\r\n"}, {400, "GET / HTTP/1.1 \r\n" HOST "\r\n"},
        {400, " GET / HTTP/1.1\r\n" HOST "\r\n"}, {400, "GET\t/ HTTP/1.1\r\n" HOST "\r\n"},
        {400, "G(T / HTTP/1.1\r\n" HOST "\r\n"},  {400, "GET / http/1.1\r\n" HOST "\r\n"},
        {400, "GET / HTTP/1.1x\r\n" HOST "\r\n"}, {400, "GET / HTTP/11\r\n" HOST "\r\n"},
        {505, "GET / HTTP/2.0\r\n" HOST "\r\n"},  {505, "GET / HTTP/1.2\r\n" HOST "\r\n"},
        {505, "GET / HTTP/0.9\r\n" HOST "\r\n"},  {400, "\x16\x03\x01"},
        {505, "PRI * HTTP/2.0\r\n\r\n"},
    };
    check_refused(table, sizeof table / sizeof *table);
}

static void test_targets_refused(void **state)
{
    (void)state;
    static const struct refused table[] = {
        {400, "GET * HTTP/1.1\r\n" HOST "\r\n"},
        {400, "GET a HTTP/1.1\r\n" HOST "\r\n"},
        {400, "GET /a#b HTTP/1.1\r\n" HOST "\r\n"},
        {400, "GET /a\"b HTTP/1.1\r\n" HOST "\r\n"},
        {400, "GET /a\x7f HTTP/1.1\r\n" HOST "\r\n"},
        {400, "GET /caf\xc3\xa9 HTTP/1.1\r\n" HOST "\r\n"},
        {400, "GET http:///x HTTP/1.1\r\n" HOST "\r\n"},
        {400, "GET http://u@h/ HTTP/1.1\r\n" HOST "\r\n"},
        {400, "GET http://h:99999/ HTTP/1.1\r\n" HOST "\r\n"},
        {400, "GET ftp://h/ HTTP/1.1\r\n" HOST "\r\n"},
        {400, "CONNECT h:443 HTTP/1.1\r\n" HOST "\r\n"},
    };
    check_refused(table, sizeof table / sizeof *table);
}

static void test_hosts_refused(void **state)
{
    (void)state;
    static const struct refused table[] = {
        {400, "GET / HTTP/1.1\r\n\r\n"},
        {400, "GET / HTTP/1.1\r\n" HOST HOST "\r\n"},
        {400, "GET / HTTP/1.0\r\n" HOST HOST "\r\n"},
        {400, "GET / HTTP/1.1\r\nHost:\r\n\r\n"},
        {400, "GET / HTTP/1.1\r\nHost: a b\r\n\r\n"},
        {400, "GET / HTTP/1.1\r\nHost: a,b\r\n\r\n"},
        {400, "GET / HTTP/1.1\r\nHost: a/b\r\n\r\n"},
        {400, "GET / HTTP/1.1\r\nHost: u@a\r\n\r\n"},
        {400, "GET / HTTP/1.1\r\nHost: a:b\r\n\r\n"},
        {400, "GET / HTTP/1.1\r\nHost: :80\r\n\r\n"},
        {400, "GET / HTTP/1.1\r\nHost: [::1\r\n\r\n"},
        {400, "GET / HTTP/1.1\r\nHost: [::1]x\r\n\r\n"},
        {400, "GET / HTTP/1.0\r\nHost: a b\r\n\r\n"},
    };
    check_refused(table, sizeof table / sizeof *table);
}

static void test_header_lines_refused(void **state)
{
    (void)state;
    static const struct refused table[] = {
        {400, "GET / HTTP/1.1\r\n" HOST "X : v\r\n\r\n"},
        {400, "GET / HTTP/1.1\r\n" HOST ": v\r\n\r\n"},
        {400, "GET / HTTP/1.1\r\n" HOST "novalue\r\n\r\n"},
        {400, "GET / HTTP/1.1\r\n" HOST "X: v\r\n folded\r\n\r\n"},
        {400, "GET / HTTP/1.1\r\n X: v\r\n" HOST "\r\n"},
        {400, "GET / HTTP/1.1\r\n" HOST "X: a\x01\r\n\r\n"},
        {400, "GET / HTTP/1.1\r\n" HOST "X: a\x7f\r\n\r\n"},
        {400, "GET / HTTP/1.1\r\n" HOST "X(: v\r\n\r\n"},
        {400, "GET / HTTP/1.1\r\n" HOST "X: a\rb\r\n\r\n"},
        {400, "GET / HTTP/1.1\r\n" HOST "X: v\r\r\n\r\n"},
        {400, "GET / HTTP/1.1\n" HOST "\r\n"},
        {400, "GET / HTTP/1.1\r\n" HOST "\n"},
        {400, "\nGET / HTTP/1.1\r\n" HOST "\r\n"},
        {400, "\r\n\r\n\r\n\r\n\r\nGET / HTTP/1.1\r\n" HOST "\r\n"},
    };
    check_refused(table, sizeof table / sizeof *table);
}

static void test_framing_refused(void **state)
{
    (void)state;
    static const struct refused table[] = {
        {400, "POST / HTTP/1.1\r\n" HOST "Content-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n"},
        {400, "POST / HTTP/1.1\r\n" HOST "Content-Length: 1\r\nContent-Length: 1\r\n\r\n"},
        {400, "POST / HTTP/1.1\r\n" HOST "Content-Length: 1\r\nContent-Length: 2\r\n\r\n"},
        {400, "POST / HTTP/1.1\r\n" HOST "Content-Length: 1, 1\r\n\r\n"},
        {400, "POST / HTTP/1.1\r\n" HOST "Content-Length:\r\n\r\n"},
        {400, "POST / HTTP/1.1\r\n" HOST "Content-Length: +1\r\n\r\n"},
        {400, "POST / HTTP/1.1\r\n" HOST "Content-Length: -1\r\n\r\n"},
        {400, "POST / HTTP/1.1\r\n" HOST "Content-Length: 1 1\r\n\r\n"},
        {400, "POST / HTTP/1.1\r\n" HOST "Content-Length: 0x1\r\n\r\n"},
        {400, "POST / HTTP/1.1\r\n" HOST "Content-Length: 18446744073709551616\r\n\r\n"},
        {400, "POST / HTTP/1.1\r\n" HOST "Content-Length: 00000000000000000001\r\n\r\n"},
        {400, "POST / HTTP/1.1\r\n" HOST "Content-Length: 01\r\n\r\n"},
        {400, "POST / HTTP/1.1\r\n" HOST "Content-Length: 00\r\n\r\n"},
        {400, "POST / HTTP/1.1\r\n" HOST "Content-Length: \"1\"\r\n\r\n"},
        {400, "POST / HTTP/1.1\r\n" HOST "Content-Length: 1.\r\n\r\n"},
        {400, "POST / HTTP/1.1\r\n" HOST "Transfer-Encoding: identity\r\n\r\n"},
        {400, "POST / HTTP/1.1\r\n" HOST "Transfer-Encoding: chunked, chunked\r\n\r\n"},
        {400, "POST / HTTP/1.1\r\n" HOST "Transfer-Encoding: chunked,\r\n\r\n"},
        {400, "POST / HTTP/1.1\r\n" HOST "Transfer-Encoding: \"chunked\"\r\n\r\n"},
        {400, "POST / HTTP/1.1\r\n" HOST "Transfer-Encoding: gzip\r\n\r\n"},
        {400, "POST / HTTP/1.1\r\n" HOST "Transfer-Encoding: gzip, chunked\r\n\r\n"},
        {400, "POST / HTTP/1.1\r\n" HOST "Transfer-Encoding: xchunked\r\n\r\n"},
        {400, "POST / HTTP/1.1\r\n" HOST "Transfer-Encoding: chunked;q=1\r\n\r\n"},
        {400, "POST / HTTP/1.1\r\n" HOST "Transfer-Encoding:\r\n\r\n"},
        {400, "POST / HTTP/1.1\r\n" HOST
              "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n"},
        {400, "POST / HTTP/1.0\r\n" HOST "Transfer-Encoding: chunked\r\n\r\n"},
        {417, "POST / HTTP/1.1\r\n" HOST "Expect: miracles\r\nContent-Length: 1\r\n\r\n"},
    };
    check_refused(table, sizeof table / sizeof *table);
}

static void test_nul(void **state)
{
    (void)state;
    struct http_request req;
    static const char in_value[] = "GET / HTTP/1.1\r\n" HOST "X: a\0b\r\n\r\n";
    static const char unfinished[] = "GET /\0";
    assert_int_equal(parse_bytes(&req, in_value, sizeof in_value - 1), 400);
    assert_int_equal(parse_bytes(&req, unfinished, sizeof unfinished - 1), 400);
}

static void test_targets(void **state)
{
    (void)state;
    static const struct {
        const char *target, *path, *query;
    } table[] = {
        {"/", "/", ""},
        {"/?", "/", ""},
        {"//x", "//x", ""},
        {"http://h", "/", ""},
        {"HTTP://h:80/p?q", "/p", "q"},
        {"https://[::1]:1/p", "/p", ""},
        {"http://h?q=1", "/", "q=1"},
    };
    for (size_t i = 0; i < sizeof table / sizeof *table; i++) {
        struct http_request req;
        char head[128];
        snprintf(head, sizeof head, "GET %s HTTP/1.1\r\n" HOST "\r\n", table[i].target);
        assert_int_equal(parse(&req, head), 0);
        assert_str(req.path, table[i].path);
        assert_str(req.query, table[i].query);
    }
}

static void test_keep_alive_and_expect(void **state)
{
    (void)state;
    struct http_request req;
    assert_int_equal(parse(&req, "GET / HTTP/1.1\r\n" HOST "Connection: x, Close\r\n\r\n"), 0);
    assert_false(req.keep_alive);
    assert_int_equal(parse(&req, "GET / HTTP/1.0\r\n\r\n"), 0);
    assert_false(req.keep_alive);
    assert_int_equal(parse(&req, "GET / HTTP/1.0\r\nConnection: Keep-Alive\r\n\r\n"), 0);
    assert_true(req.keep_alive);
    assert_int_equal(
        parse(&req, "POST / HTTP/1.1\r\n" HOST "Expect: 100-Continue\r\nContent-Length: 1\r\n\r\n"),
        0);
    assert_true(req.expect_continue);
    assert_int_equal(
        parse(&req, "POST / HTTP/1.0\r\nExpect: 100-continue\r\nContent-Length: 1\r\n\r\n"), 0);
    assert_false(req.expect_continue);
    assert_int_equal(parse(&req, "GET / HTTP/1.1\r\n" HOST "Expect: 100-continue\r\n\r\n"), 0);
    assert_false(req.expect_continue);
}

static void test_lists(void **state)
{
    (void)state;
    struct http_request req;
    assert_int_equal(parse(&req, "GET / HTTP/1.1\r\n" HOST
                                 "Connection: keep-alive ,\t Upgrade\r\nConnection: third\r\n\r\n"),
                     0);
    assert_true(http_header_has(&req, "connection", "UPGRADE"));
    assert_true(http_header_has(&req, "connection", "keep-alive"));
    assert_true(http_header_has(&req, "connection", "third"));
    assert_false(http_header_has(&req, "connection", "up"));
    assert_false(http_header_has(&req, "upgrade", "websocket"));
    assert_int_equal(http_header_count(&req, "CONNECTION"), 2);
    assert_true(str_eq_nocase(STR("aZ[@"), STR("Az[@")));
    assert_false(str_eq_nocase(STR("@"), STR("`")));
}

/* The end is found at the same place however the bytes come, and never too early. */
static void test_head_byte_by_byte(void **state)
{
    (void)state;
    static const char head[] = "\r\nGET / HTTP/1.1\r\n" HOST "A: b\r\n\r\nBODY";
    size_t scanned = 0, whole = sizeof head - 1 - 4;
    for (size_t len = 1; len <= sizeof head - 1; len++) {
        struct http_refusal no = {0};
        size_t end = http_head_end(head, len, &scanned, &no);
        assert_int_equal(no.status, 0);
        assert_int_equal(end, len < whole ? 0 : whole);
    }
}

/* What is no request line is refused when the line is whole: nobody waits for headers that another
 * protocol does not have. */
static void test_line_refused_at_once(void **state)
{
    (void)state;
    static const struct {
        const char *bytes;
        int status;
    } table[] = {
        {"GET /\r\n", 400},
        {"EHLO client.example\r\n", 400},
        {"PING\r\n", 400},
        {"*1\r\n$4\r\nPING\r\n", 400},
        {"GET / HTTP/2.0\r\n", 505},
        {"GET x HTTP/1.1\r\n", 400},
        {"\r\nGET /\r\n", 400},
        {"GET /\r\nHost: a\r\n", 400},
        {"GET / HTTP/1.1\r\n", 0},
        {"GET /", 0},
        {"GET /\r", 0},
        {"\r\n", 0},
        {"HEAD x HTTP/1.1\r\n", 0},
    };
    for (size_t i = 0; i < sizeof table / sizeof *table; i++) {
        const char *bytes = table[i].bytes;
        size_t whole = strlen(bytes), scanned = 0;
        struct http_refusal at_once = {0}, in_pieces = {0};
        assert_int_equal(http_head_end(bytes, whole, &scanned, &at_once), 0);
        scanned = 0;
        for (size_t len = 1; len <= whole && !in_pieces.status; len++)
            assert_int_equal(http_head_end(bytes, len, &scanned, &in_pieces), 0);
        assert_int_equal(at_once.status, table[i].status);
        assert_int_equal(in_pieces.status, table[i].status);
    }
}

static void test_etags(void **state)
{
    (void)state;
    static const char *const naming[] = {"\"a\"",
                                         "W/\"a\"",
                                         "*",
                                         "\"b\", \"a\"",
                                         "\"b\" ,\tW/\"a\" ",
                                         ",,\"a\"",
                                         "\"b, c\",W/\"a\"",
                                         "\"b,\"a\",\"a\""};
    static const char *const others[] = {
        "",          "a",         "\"A\"",   "\"a",        "w/\"a\"", "W/", "\"b\", \"c\"", "**",
        "\"b,*,c\"", "\"b,\"a\"", "\"a\" b", "\"a\"\"a\"", ",",       "\"", "\",*"};
    for (size_t i = 0; i < sizeof naming / sizeof *naming; i++)
        assert_int_equal(http_condition(STR(""), str_of(naming[i]), STR("\"a\"")), 304);
    for (size_t i = 0; i < sizeof others / sizeof *others; i++)
        assert_int_equal(http_condition(STR(""), str_of(others[i]), STR("\"a\"")), 200);
}

/* If-Match compares strongly, and comes first. */
static void test_conditions(void **state)
{
    (void)state;
    static const struct {
        const char *match, *none_match;
        int status;
    } table[] = {
        {"", "", 200},
        {"\"a\"", "", 200},
        {"*", "", 200},
        {"\"b\", \"a\"", "", 200},
        {"W/\"a\", \"a\"", "", 200},
        {"W/\"a\"", "", 412},
        {"\"b\"", "", 412},
        {"a", "", 412},
        {"\"a\"", "\"b\"", 200},
        {"\"a\"", "W/\"a\"", 304},
        {"\"b\"", "\"a\"", 412},
    };
    for (size_t i = 0; i < sizeof table / sizeof *table; i++)
        assert_int_equal(
            http_condition(str_of(table[i].match), str_of(table[i].none_match), STR("\"a\"")),
            table[i].status);
}

static void test_too_long(void **state)
{
    (void)state;
    struct http_request req;
    size_t size = HTTP_HEAD_BYTES_MAX + 100;
    char *big = malloc(size);
    assert_non_null(big);
    memset(big, 'a', size);
    memcpy(big, "GET /", 5);
    assert_int_equal(parse_bytes(&req, big, HTTP_HEAD_BYTES_MAX - 1), -1);
    assert_int_equal(parse_bytes(&req, big, size), 414);
    *big = ' ';
    assert_int_equal(parse_bytes(&req, big, size), 400);
    memcpy(big, "GET / HTTP/1.1\r\nX: ", 19);
    assert_int_equal(parse_bytes(&req, big, size), 431);
    memcpy(big, "GET / HTTP/1.1\r\n" HOST "X: ", 19 + strlen(HOST));
    memcpy(big + HTTP_HEAD_BYTES_MAX - 4, "\r\n\r\n", 4);
    assert_int_equal(parse_bytes(&req, big, size), 0);
    memset(big, 'a', size);
    memcpy(big + HTTP_HEAD_BYTES_MAX - 3, "\r\n\r\n", 4);
    memcpy(big, "GET / HTTP/1.1\r\n" HOST "X: ", 19 + strlen(HOST));
    assert_int_equal(parse_bytes(&req, big, size), 431);
    free(big);

    char target[HTTP_TARGET_BYTES_MAX + 100];
    for (int extra = 0; extra <= 1; extra++) {
        int n = snprintf(target, sizeof target, "GET /%0*d HTTP/1.1\r\n" HOST "\r\n",
                         HTTP_TARGET_BYTES_MAX - 1 + extra, 0);
        assert_int_equal(parse_bytes(&req, target, (size_t)n), extra ? 414 : 0);
    }
}

static void test_many_headers(void **state)
{
    (void)state;
    for (size_t n = HTTP_HEADERS_MAX - 1; n <= HTTP_HEADERS_MAX; n++) {
        struct http_request req;
        char head[1024] = "GET / HTTP/1.1\r\n" HOST;
        for (size_t i = 0; i < n; i++)
            strcat(head, "a:b\r\n");
        strcat(head, "\r\n");
        assert_int_equal(parse(&req, head), n < HTTP_HEADERS_MAX ? 0 : 431);
    }
}

static void test_status_words(void **state)
{
    (void)state;
    assert_string_equal(http_status_words(201), "Created");
    assert_string_equal(http_status_words(299), "Unknown");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_request),
        cmocka_unit_test(test_accepted),
        cmocka_unit_test(test_request_lines_refused),
        cmocka_unit_test(test_targets_refused),
        cmocka_unit_test(test_hosts_refused),
        cmocka_unit_test(test_header_lines_refused),
        cmocka_unit_test(test_framing_refused),
        cmocka_unit_test(test_nul),
        cmocka_unit_test(test_targets),
        cmocka_unit_test(test_keep_alive_and_expect),
        cmocka_unit_test(test_lists),
        cmocka_unit_test(test_head_byte_by_byte),
        cmocka_unit_test(test_line_refused_at_once),
        cmocka_unit_test(test_etags),
        cmocka_unit_test(test_conditions),
        cmocka_unit_test(test_too_long),
        cmocka_unit_test(test_many_headers),
        cmocka_unit_test(test_status_words),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
