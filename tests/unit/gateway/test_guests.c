/* SPDX-License-Identifier: MIT */
/* Who comes in and how much each may: connections and messages by client and by address. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>

#include "common/limits.h"
#include "gateway/guests.h"

enum {
    START_US = 5000000,
    SECOND_US = 1000000,
};

static struct guests *gs;

static void begin(struct guests_config config)
{
    config.trusted_proxies = "10.0.0.0/8, 2001:db8::/32";
    gs = guests_new(&config);
}

static struct address address(const char *text)
{
    struct address a;
    assert_true(address_read(&a, str_of(text)));
    return a;
}

static bool comes(const char *from, struct guest **g)
{
    const struct address a = address(from);
    struct http_refusal no = {0, NULL};
    *g = NULL;
    bool welcome = guests_open(gs, &a, g, &no);
    assert_int_equal(no.status, welcome ? 0 : 429);
    return welcome;
}

static struct http_request request(const char *forwarded, const char *more)
{
    struct http_request req = {.method = HTTP_POST};
    const char *values[] = {forwarded, more};
    for (int i = 0; i < 2 && values[i]; i++) {
        req.headers[req.nheaders].name = STR("x-forwarded-for");
        req.headers[req.nheaders++].value = str_of(values[i]);
    }
    return req;
}

static bool settles(struct guest *g, const char *from, const char *forwarded)
{
    const struct address a = address(from);
    const struct http_request req = request(forwarded, NULL);
    return guests_settle(gs, g, &a, &req);
}

static void test_nothing_limited(void **state)
{
    (void)state;
    struct guest *g;
    uint64_t retry_s = 0;
    struct buf *headers = NULL;
    const struct address a = address("192.0.2.1");
    const struct http_request req = request(NULL, NULL);
    begin((struct guests_config){0});
    assert_true(comes("192.0.2.1", &g));
    assert_null(g);
    assert_null(guests_post(gs, g, &a, &req, START_US, &headers));
    assert_null(headers);
    assert_true(guests_settle(gs, g, &a, &req));
    assert_null(guests_frame(gs, g, START_US, &retry_s));
    guests_close(gs, g);
    guests_free(gs);
}

static void test_conns_per_address(void **state)
{
    (void)state;
    struct guest *g[4], *other;
    begin((struct guests_config){.conns_per_address = 2});
    assert_true(comes("192.0.2.1", &g[0]) && comes("192.0.2.1", &g[1]));
    assert_false(comes("192.0.2.1", &g[2]));
    assert_null(g[2]);
    assert_true(comes("192.0.2.2", &other)); /* another address */
    guests_close(gs, other);
    guests_close(gs, g[0]);
    assert_true(comes("192.0.2.1", &g[0]));
    assert_true(comes("2001:db9:0:1::1", &g[2]) && comes("2001:db9:0:1::2", &g[3]));
    assert_false(comes("2001:db9:0:1:ffff::3", &other)); /* one customer's /64 */
    for (int i = 0; i < 4; i++)
        guests_close(gs, g[i]);
    guests_sweep(gs, START_US);
    guests_free(gs);
}

/* A proxy may have any number of connections; who is behind it has two. */
static void test_behind_a_proxy(void **state)
{
    (void)state;
    struct guest *g[5];
    begin((struct guests_config){.conns_per_address = 2});
    for (int i = 0; i < 5; i++)
        assert_true(comes("10.1.2.3", &g[i]));
    assert_true(settles(g[0], "10.1.2.3", "192.0.2.1"));
    assert_true(settles(g[1], "10.1.2.3", "198.51.100.9, 192.0.2.1"));
    assert_false(settles(g[2], "10.1.2.3", "192.0.2.1, 10.0.0.7"));
    assert_true(settles(g[2], "10.1.2.3", "192.0.2.1, 192.0.2.7"));
    assert_true(settles(g[0], "10.1.2.3", "192.0.2.1")); /* counted already */
    guests_close(gs, g[1]);
    assert_true(settles(g[3], "10.1.2.3", "192.0.2.1"));
    assert_true(settles(g[4], "10.1.2.3", NULL)); /* nobody is named: the proxy itself */
    guests_close(gs, g[0]);
    guests_close(gs, g[2]);
    guests_close(gs, g[3]);
    guests_close(gs, g[4]);
    assert_true(comes("192.0.2.50", &g[0]));
    assert_true(settles(g[0], "192.0.2.50", "192.0.2.1")); /* a stranger's claim is nothing */
    guests_close(gs, g[0]);
    guests_free(gs);
}

/* What a post is told: NULL, or the words of the 429; its headers in *headers. */
static const char *posts(struct guest *g, const char *from, const struct http_request *req,
                         uint64_t now_us, struct buf **headers)
{
    const struct address a = address(from);
    buf_free(headers);
    const char *why = guests_post(gs, g, &a, req, now_us, headers);
    buf_add_char(headers, 0);
    return why;
}

static void test_posts(void **state)
{
    (void)state;
    struct guest *g, *second;
    struct buf *headers = NULL;
    const struct http_request req = request(NULL, NULL);
    begin((struct guests_config){
        .client_rate = 2, .client_burst = 3, .address_rate = 1, .address_burst = 4});
    assert_true(comes("192.0.2.1", &g));
    assert_true(comes("192.0.2.1", &second));
    assert_null(posts(g, "192.0.2.1", &req, START_US, &headers));
    assert_string_equal(buf_str(headers).p,
                        "RateLimit-Policy: \"client\";q=3;w=2, \"address\";q=4;w=4\r\n"
                        "RateLimit: \"client\";r=2;t=1, \"address\";r=3;t=1\r\n");
    assert_null(posts(g, "192.0.2.1", &req, START_US, &headers));
    assert_null(posts(g, "192.0.2.1", &req, START_US, &headers));
    const char *why = posts(g, "192.0.2.1", &req, START_US, &headers);
    assert_non_null(strstr(why, "CLIENT_RATE"));
    assert_non_null(strstr(buf_str(headers).p, "\"client\";r=0;t=2, \"address\";r=1;t=3\r\n"
                                               "Retry-After: 1\r\n"));
    assert_null(posts(second, "192.0.2.1", &req, START_US, &headers));
    why = posts(second, "192.0.2.1", &req, START_US, &headers);
    assert_non_null(strstr(why, "ADDRESS_RATE"));
    /* Who was refused by its address has lost nothing of its own. */
    assert_non_null(strstr(buf_str(headers).p, "\"client\";r=2;"));
    assert_null(posts(second, "192.0.2.1", &req, START_US + SECOND_US, &headers));
    guests_close(gs, g);
    guests_close(gs, second);
    buf_free(&headers);
    guests_free(gs);
}

/* One connection of a proxy carries the requests of many; each address has its own bucket. */
static void test_posts_through_a_proxy(void **state)
{
    (void)state;
    struct guest *g;
    struct buf *headers = NULL;
    const struct http_request one = request("192.0.2.1", NULL), two = request("192.0.2.2", NULL),
                              both = request("192.0.2.2", "192.0.2.1");
    begin((struct guests_config){.client_rate = 1, .address_rate = 1, .address_burst = 2});
    assert_true(comes("10.0.0.1", &g));
    for (int i = 0; i < 2; i++)
        assert_null(posts(g, "10.0.0.1", &one, START_US, &headers));
    assert_null(strstr(buf_str(headers).p, "client"));
    assert_non_null(posts(g, "10.0.0.1", &one, START_US, &headers));
    assert_non_null(posts(g, "10.0.0.1", &both, START_US, &headers)); /* the last line counts */
    assert_null(posts(g, "10.0.0.1", &two, START_US, &headers));
    guests_close(gs, g);
    buf_free(&headers);
    guests_free(gs);
}

static void test_frames(void **state)
{
    (void)state;
    struct guest *g;
    const char *why = NULL;
    uint64_t retry_s = 0;
    uint64_t now = START_US;
    begin((struct guests_config){.client_rate = 10});
    assert_true(comes("192.0.2.1", &g));
    for (int i = 0; i < 10; i++)
        assert_null(guests_frame(gs, g, now, &retry_s));
    why = guests_frame(gs, g, now, &retry_s);
    assert_non_null(why);
    assert_non_null(strstr(why, "CLIENT_RATE"));
    assert_int_equal(retry_s, 1);
    now += 1000000; /* all are back */
    for (int i = 0; i < 10; i++)
        assert_null(guests_frame(gs, g, now, &retry_s));
    assert_non_null(guests_frame(gs, g, now, &retry_s));
    guests_close(gs, g);
    guests_free(gs);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_nothing_limited),       cmocka_unit_test(test_conns_per_address),
        cmocka_unit_test(test_behind_a_proxy),        cmocka_unit_test(test_posts),
        cmocka_unit_test(test_posts_through_a_proxy), cmocka_unit_test(test_frames),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
