/* SPDX-License-Identifier: MIT */
/* Redis URLs: what is accepted, how it is read, and what is refused with which words. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>

#include "common/redis.h"
#include "common/redis_url.h"

struct good {
    const char *url, *user, *password, *master, *hosts; /* hosts: name|port, each with a space */
    unsigned db;
};

static const struct good goods[] = {
    {"redis://localhost", "", "", NULL, "localhost|6379 ", 0},
    {"REDIS://h", "", "", NULL, "h|6379 ", 0},
    {"redis://h/", "", "", NULL, "h|6379 ", 0},
    {"redis://h/0", "", "", NULL, "h|6379 ", 0},
    {"redis://127.0.0.1:1/999999", "", "", NULL, "127.0.0.1|1 ", 999999},
    {"redis://h:65535", "", "", NULL, "h|65535 ", 0},
    {"redis://[::1]:7000/3", "", "", NULL, "::1|7000 ", 3},
    {"redis://[fe80::1]", "", "", NULL, "fe80::1|6379 ", 0},
    {"redis://:secret@h", "", "secret", NULL, "h|6379 ", 0},
    {"redis://:@h", "", "", NULL, "h|6379 ", 0},
    {"redis://me:a:b@h", "me", "a:b", NULL, "h|6379 ", 0},
    {"redis://me:a@b@h", "me", "a@b", NULL, "h|6379 ", 0},
    {"redis://m%65:%2f%40%3A%25%C3%bc@h", "me", "/@:%\xC3\xBC", NULL, "h|6379 ", 0},
    {"redis+sentinel://a/m", "", "", "m", "a|26379 ", 0},
    {"redis+sentinel://u:p@a:1,[::2]:2,c/my%20m/7", "u", "p", "my m", "a|1 ::2|2 c|26379 ", 7},
    {"redis+sentinel://a/m/", "", "", "m", "a|26379 ", 0},
    {"redis+sentinel://1,2,3,4,5,6,7,8,9,a,b,c,d,e,f,g/m", "", "", "m",
     "1|26379 2|26379 3|26379 4|26379 5|26379 6|26379 7|26379 8|26379 9|26379 a|26379 b|26379 "
     "c|26379 d|26379 e|26379 f|26379 g|26379 ",
     0},
};

static void test_accepted(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof goods / sizeof *goods; i++) {
        const struct good *g = &goods[i];
        struct redis_url u;
        char hosts[512] = "";
        print_message("%s\n", g->url);
        assert_null(redis_url_parse(&u, g->url));
        assert_string_equal(u.user, g->user);
        assert_string_equal(u.password, g->password);
        assert_int_equal(u.master != NULL, g->master != NULL);
        if (g->master)
            assert_string_equal(u.master, g->master);
        for (size_t h = 0, len = 0; h < u.nhosts; h++)
            len += (size_t)snprintf(hosts + len, sizeof hosts - len, "%s|%u ", u.hosts[h].name,
                                    u.hosts[h].port);
        assert_string_equal(hosts, g->hosts);
        assert_int_equal(u.db, g->db);
        redis_url_done(&u);
        assert_null(redis_url_check(g->url));
    }
}

struct bad {
    const char *url, *word; /* which the answer must hold */
};

static const struct bad bads[] = {
    {"", "redis://"},
    {"localhost:6379", "redis://"},
    {"http://h", "redis://"},
    {"redis:/h", "redis://"},
    {"redis+unix:///run/redis", "redis+sentinel://"},
    {"rediss:/h", "redis://"},
    {"redisss://h", "redis://"},
    {"rediss+sentinels://h/m", "redis://"},
    {"redis://", "host[:port]"},
    {"redis:///0", "host[:port]"},
    {"redis://:6379", "host[:port]"},
    {"redis://h:", "host[:port]"},
    {"redis://h:0", "host[:port]"},
    {"redis://h:65536", "host[:port]"},
    {"redis://h:99999999999999999999999", "host[:port]"},
    {"redis://h:+1", "host[:port]"},
    {"redis://h:1:2", "host[:port]"},
    {"redis://::1", "host[:port]"},
    {"redis://[::1", "host[:port]"},
    {"redis://[::1]x", "host[:port]"},
    {"redis://[]", "host[:port]"},
    {"redis://[h]", "host[:port]"},
    {"redis://[1.2.3.4]", "host[:port]"},
    {"redis://a b", "host[:port]"},
    {"redis://h?x=1", "host[:port]"},
    {"redis://a,b", "host[:port]"},
    {"redis://secret@h", "password@"},
    {"redis://u:%4@h", "password@"},
    {"redis://u:%@h", "password@"},
    {"redis://u:%zz@h", "password@"},
    {"redis://u:%00@h", "password@"},
    {"redis://%:p@h", "password@"},
    {"redis://h/x", "database"},
    {"redis://h/-1", "database"},
    {"redis://h/1000000", "database"},
    {"redis://h/1/", "database"},
    {"redis://h/0?x", "database"},
    {"redis+sentinel://a", "master"},
    {"redis+sentinel://a/", "master"},
    {"redis+sentinel://a//1", "master"},
    {"redis+sentinel://a/m%", "master"},
    {"redis+sentinel://a/m?x", "master"},
    {"redis+sentinel://a/m/x", "database"},
    {"redis+sentinel://a,/m", "host[:port]"},
    {"redis+sentinel://,a/m", "host[:port]"},
    {"redis+sentinel://1,2,3,4,5,6,7,8,9,a,b,c,d,e,f,g,h/m", "at most 16"},
};

static void test_refused(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof bads / sizeof *bads; i++) {
        const char *words = redis_url_check(bads[i].url);
        print_message("%s: %s\n", bads[i].url, words ? words : "accepted");
        assert_non_null(words);
        assert_non_null(strstr(words, bads[i].word));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_accepted),
        cmocka_unit_test(test_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
