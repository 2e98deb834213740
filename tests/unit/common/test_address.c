/* SPDX-License-Identifier: MIT */
/* Addresses, networks, and who stands behind a proxy. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <arpa/inet.h>
#include <cmocka.h>
#include <netinet/in.h>

#include "common/address.h"

static void check_read(const char *text, const char *want)
{
    struct address a;
    char back[ADDRESS_TEXT_BYTES] = "";
    bool ok = address_read(&a, str_of(text));
    if (ok != (want != NULL))
        fail_msg("'%s' was %s", text, ok ? "read" : "refused");
    if (ok)
        address_write(back, &a);
    if (want)
        assert_string_equal(back, want);
}

static void test_read_and_write(void **state)
{
    (void)state;
    check_read("192.0.2.1", "192.0.2.1");
    check_read("192.0.2.1:8080", "192.0.2.1");
    check_read("2001:DB8::1", "2001:db8::1");
    check_read("[2001:db8::1]", "2001:db8::1");
    check_read("[2001:db8::1]:443", "2001:db8::1");
    check_read("::ffff:192.0.2.1", "192.0.2.1");
    static const char *const wrong[] = {"",         "1.2.3",       "1.2.3.256",   "01.2.3.4",
                                        "1.2.3.4:", "1.2.3.4:x",   "[1.2.3.4]",   "[::1",
                                        "[::1]443", "1.2.3.4:1:2", "unknown",     "_hidden",
                                        " 1.2.3.4", "::1%lo",      "[::1]:123456"};
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++)
        check_read(wrong[i], NULL);
}

static void test_of_a_socket(void **state)
{
    (void)state;
    struct sockaddr_in in = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    struct sockaddr_in6 in6 = {.sin6_family = AF_INET6, .sin6_addr = IN6ADDR_LOOPBACK_INIT};
    struct sockaddr other = {.sa_family = AF_UNIX};
    struct address a = address_of((struct sockaddr *)&in), want;
    assert_true(address_read(&want, STR("127.0.0.1")) && address_eq(&a, &want));
    a = address_of((struct sockaddr *)&in6);
    assert_true(address_read(&want, STR("::1")) && address_eq(&a, &want));
    a = address_of(&other);
    assert_true(address_read(&want, STR("::")) && address_eq(&a, &want));
}

static bool within(const char *networks, const char *address)
{
    struct networks n;
    struct address a;
    assert_true(networks_read(&n, networks));
    assert_true(address_read(&a, str_of(address)));
    return networks_have(&n, &a);
}

static void test_networks(void **state)
{
    (void)state;
    assert_true(within("10.0.0.0/8", "10.255.0.1"));
    assert_false(within("10.0.0.0/8", "11.0.0.1"));
    assert_true(within("192.168.4.0/22", "192.168.7.255"));
    assert_false(within("192.168.4.0/22", "192.168.8.0"));
    assert_true(within("0.0.0.0/0", "203.0.113.9"));
    assert_false(within("0.0.0.0/0", "2001:db8::1"));
    assert_true(within("::/0", "203.0.113.9"));
    assert_true(within("2001:db8::/33", "2001:db8:7fff::1"));
    assert_false(within("2001:db8::/33", "2001:db8:8000::1"));
    assert_true(within(" 127.0.0.1 , ::1 ", "::1"));
    assert_false(within("127.0.0.1,::1", "127.0.0.2"));
    assert_false(within("", "127.0.0.1"));
    struct networks n;
    static const char *const wrong[] = {"10.0.0.0/33", "::/129",        "10.0.0.0/",  "10.0.0.0/+8",
                                        "10.0.0.0/08", "10.0.0.0/8,",   ",10.0.0.1",  "localhost",
                                        "10.0.0.0 /8", "10.0.0.0/8 /8", "10.0.0.1:80"};
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++)
        if (networks_read(&n, wrong[i]))
            fail_msg("'%s' was read", wrong[i]);
}

static void check_behind(const char *peer, const char *forwarded, const char *want)
{
    struct networks trusted;
    struct address p, found;
    char text[ADDRESS_TEXT_BYTES];
    assert_true(networks_read(&trusted, "10.0.0.0/8, fd00::/8"));
    assert_true(address_read(&p, str_of(peer)));
    found = address_behind(&p, &trusted, str_of(forwarded));
    address_write(text, &found);
    assert_string_equal(text, want);
}

static void test_behind_a_proxy(void **state)
{
    (void)state;
    check_behind("203.0.113.9", "198.51.100.1", "203.0.113.9"); /* a stranger claims */
    check_behind("10.0.0.1", "198.51.100.1", "198.51.100.1");
    check_behind("10.0.0.1", "1.1.1.1, 198.51.100.1", "198.51.100.1");
    check_behind("10.0.0.1", "198.51.100.1, 10.9.9.9, [fd00::5]:9", "198.51.100.1");
    check_behind("10.0.0.1", "", "10.0.0.1");
    check_behind("10.0.0.1", "unknown", "10.0.0.1");
    check_behind("10.0.0.1", "198.51.100.1, unknown, 10.0.0.2", "10.0.0.2");
    check_behind("10.0.0.1", "10.0.0.3,10.0.0.2", "10.0.0.3");
    check_behind("10.0.0.1", ",,", "10.0.0.1");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_read_and_write),
        cmocka_unit_test(test_of_a_socket),
        cmocka_unit_test(test_networks),
        cmocka_unit_test(test_behind_a_proxy),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
