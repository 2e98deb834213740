/* SPDX-License-Identifier: MIT */
/* ALLOWED_ORIGINS: what may stand in it, whom it lets in, and the headers that tell so. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "gateway/origins.h"

static void test_setting(void **state)
{
    (void)state;
    static const char *const good[] = {"*",
                                       "https://chat.example",
                                       "http://localhost:3000",
                                       "http://127.0.0.1",
                                       "null",
                                       "http://[::1]:8080",
                                       "https://a, https://b:444",
                                       "HTTPS://Chat.Example",
                                       "a://b",
                                       "chrome-extension://abcdefghijklmnop"};
    static const char *const bad[] = {"chat.example",
                                      "https://chat.example/",
                                      "https://chat.example/a",
                                      "https://",
                                      "//a",
                                      "https://a:",
                                      "https://a:b",
                                      "https://a:123456",
                                      "https://a,",
                                      ",https://a",
                                      "https://a https://b",
                                      "https://a,*",
                                      "https://*.a",
                                      "https://user@a",
                                      "https://a?b",
                                      "https://[::1",
                                      "https://a#b",
                                      "https://a:80:80",
                                      " ",
                                      "://a"};
    for (size_t i = 0; i < sizeof good / sizeof *good; i++)
        if (origins_check(good[i]))
            fail_msg("%s is refused", good[i]);
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        if (!origins_check(bad[i]))
            fail_msg("%s is accepted", bad[i]);
}

static struct http_request from(const char *origin)
{
    struct http_request req = {.method = HTTP_GET};
    if (origin) {
        req.headers[0].name = STR("origin");
        req.headers[req.nheaders++].value = str_of(origin);
    }
    return req;
}

static bool allows(const char *list, const char *origin)
{
    const struct http_request req = from(origin);
    return origins_allow(list, &req);
}

static void test_allows(void **state)
{
    (void)state;
    const char *list = "https://chat.example, http://localhost:3000,https://Other.Example:443";
    assert_true(allows("*", "https://any.example") && allows("*", "null") && allows("*", NULL));
    assert_true(allows(list, NULL));
    assert_true(allows(list, "https://chat.example"));
    assert_true(allows(list, "https://chat.example:443"));
    assert_true(allows(list, "HTTPS://CHAT.EXAMPLE"));
    assert_true(allows(list, "http://localhost:3000"));
    assert_true(allows(list, "https://other.example"));
    static const char *const others[] = {
        "",
        "null",
        "http://chat.example",
        "https://chat.example:444",
        "https://chat.example/",
        "https://chat.example.",
        "https://chat.example.evil.example",
        "https://evil.example?https://chat.example",
        "https://xchat.example",
        "https://sub.chat.example",
        "http://localhost",
        "http://localhost:30000",
        "https://chat.example, http://localhost:3000",
        "chat.example",
    };
    for (size_t i = 0; i < sizeof others / sizeof *others; i++)
        if (allows(list, others[i]))
            fail_msg("%s is allowed", others[i]);
    assert_true(allows("https://a,null", "null"));
    assert_false(allows("http://[::1]", "http://[::1]:81"));
    assert_true(allows("http://[::1]", "http://[::1]:80"));
}

static void test_two_origins(void **state)
{
    (void)state;
    struct http_request req = from("https://chat.example");
    req.headers[1] = req.headers[0];
    req.nheaders = 2;
    assert_false(origins_allow("https://chat.example", &req));
}

static void expect_headers(const char *list, const char *origin, const char *wanted)
{
    const struct http_request req = from(origin);
    struct buf *headers = NULL;
    origins_headers(list, &req, &headers);
    buf_add_char(&headers, 0);
    assert_string_equal(buf_str(headers).p, wanted);
    buf_free(&headers);
}

#define EXPOSED                                                                                    \
    "Access-Control-Expose-Headers: Location, Link, ETag, Retry-After, RateLimit, "                \
    "RateLimit-Policy, X-Request-ID, Chat-Complete, Chat-Gap, Chat-Replica\r\n"

static void test_headers(void **state)
{
    (void)state;
    const char *list = "https://a.example";
    expect_headers("*", NULL, "");
    expect_headers("*", "https://b", "Access-Control-Allow-Origin: *\r\n" EXPOSED);
    expect_headers(list, NULL, "Vary: Origin\r\n");
    expect_headers(list, "https://b", "Vary: Origin\r\n");
    expect_headers(list, "https://a.example",
                   "Vary: Origin\r\nAccess-Control-Allow-Origin: https://a.example\r\n" EXPOSED);
}

static void test_preflight(void **state)
{
    (void)state;
    struct http_request req = from("https://a.example");
    struct buf *headers = NULL;
    req.headers[1].name = STR("Access-Control-Request-Headers");
    req.headers[1].value = STR("content-type,x-a");
    req.nheaders = 2;
    origins_preflight("https://b.example", &req, "GET, POST", &headers);
    assert_null(headers);
    origins_preflight("https://a.example", &req, "GET, POST", &headers);
    buf_add_char(&headers, 0);
    assert_string_equal(buf_str(headers).p, "Access-Control-Allow-Methods: GET, POST\r\n"
                                            "Access-Control-Max-Age: 600\r\n"
                                            "Access-Control-Allow-Headers: content-type,x-a\r\n");
    buf_free(&headers);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_setting),     cmocka_unit_test(test_allows),
        cmocka_unit_test(test_two_origins), cmocka_unit_test(test_headers),
        cmocka_unit_test(test_preflight),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
