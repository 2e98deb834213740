/* SPDX-License-Identifier: MIT */
/* The memory of half requests and of unsent answers: counted as it is, bounded in sum, given back.
 */
#include "server_rig.h"

#include "common/limits.h"

enum {
    LARGE_BYTES = 2 * KEPT_SMALL_BYTES_MAX,
};

#define HALF "POST /body HTTP/1.1\r\n" HOST "Content-Length: 100000\r\n\r\n"
#define GAVE_WAY(more)                                                                             \
    FAIL("503 Service Unavailable", "50", "Connection: close\r\n" more "Retry-After: 1\r\n",       \
         "Too much of other requests waits here")

static char junk[LARGE_BYTES];

static int dial_large(void)
{
    rig.server->body_max = 100000;
    int fd = dial_and_say(HALF);
    say_bytes(fd, junk, sizeof junk);
    turn();
    return fd;
}

static void test_nothing_is_kept_of_what_is_whole(void **state)
{
    (void)state;
    int fd = dial_and_say(GET("/now") POST("/body", "2", "hi"));
    assert_int_equal(server_kept(rig.server), 0);
    say(fd, "GET /n");
    assert_true(server_kept(rig.server) > 0);
    say(fd, "ow HTTP/1.1\r\n" HOST "\r\n");
    assert_int_equal(server_kept(rig.server), 0);
    assert_string_equal(hear(fd), OK("3", "now") OK("4", "<hi>") OK("3", "now"));
    say(fd, "GET /n");
    close(fd);
    turn();
    assert_int_equal(server_kept(rig.server), 0);
}

/* A few bytes behind a large body do not keep its memory. */
static void test_the_rest_is_kept_in_little(void **state)
{
    (void)state;
    static char chunk[LARGE_BYTES + 1];
    rig.server->body_max = LARGE_BYTES;
    memset(chunk, 'x', LARGE_BYTES);
    int fd = dial_and_say(CHUNKED("/now", "10000\r\n")); /* LARGE_BYTES */
    say(fd, chunk);
    assert_true(server_kept(rig.server) >= LARGE_BYTES);
    say(fd, "\r\n0\r\n\r\nGET /n");
    assert_string_equal(hear(fd), OK("3", "now"));
    assert_true(server_kept(rig.server) > 0 && server_kept(rig.server) < 1000);
    say(fd, "ow HTTP/1.1\r\n" HOST "\r\n");
    assert_string_equal(hear(fd), OK("3", "now"));
    close(fd);
}

static void test_the_earliest_large_one_gives_way(void **state)
{
    (void)state;
    int small = dial_and_say("POST /body HTTP/1.1\r\n" HOST "Content-Length: 2\r\n\r\nh");
    int first = dial_large();
    rig.server->kept.most = server_kept(rig.server) * 3 / 2;
    assert_string_equal(hear(first), "");
    int second = dial_large();
    assert_string_equal(hear(first), GAVE_WAY("X-Hook: 1\r\n") " EOF");
    assert_string_equal(hear(second), "");
    assert_true(server_kept(rig.server) <= rig.server->kept.most);
    say(small, "o");
    assert_string_equal(hear(small), OK("4", "<ho>"));
    close(second);
    turn();
    assert_int_equal(server_kept(rig.server), 0);
    int third = dial_large();
    assert_string_equal(hear(third), "");
    close(third);
    close(first);
    close(small);
}

static void test_heads_give_way_too(void **state)
{
    (void)state;
    rig.server->kept.most = 100;
    int fd = dial_and_say("GET /now HTTP/1.1\r\n" HOST "X: 1");
    assert_string_equal(hear(fd), GAVE_WAY("") " EOF");
    assert_int_equal(server_kept(rig.server), 0);
    close(fd);
}

/* Requests that wait for others to be answered are dropped, and the others are answered. */
static void test_a_pipeline_gives_way(void **state)
{
    (void)state;
    int fd = dial_and_say(POST("/late", "0", "") GET("/now"));
    rig.server->kept.most = 1;
    turn();
    assert_int_equal(server_kept(rig.server), 0);
    answer(rig.held[0], "x");
    assert_string_equal(hear(fd), OK("1", "x") GAVE_WAY("") " EOF");
    assert_int_equal(rig.requests, 1);
    close(fd);
}

/* An answer takes its memory until it is sent to the last byte. */
static void test_unsent_answers_count_as_what_they_take(void **state)
{
    (void)state;
    static char text[BIG_BYTES];
    int fd = dial(), small = 32768, asked = 0;
    setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &small, sizeof small);
    do
        say(fd, GET("/big"));
    while (!server_unsent(rig.server) && ++asked < 100);
    while (server_unsent(rig.server)) {
        assert_true(server_unsent(rig.server) >= BIG_BYTES);
        assert_true(recv(fd, text, 10000, 0) > 0);
        turn();
    }
    assert_true(asked < 100);
    close(fd);
}

/* Those of up to HTTP_SMALL_BYTES_MAX are given when larger ones are not. */
static void test_small_answers_are_given_even_then(void **state)
{
    (void)state;
    rig.server->unsent_max = 1;
    int fd = dial_and_say(GET("/late") GET("/small") GET("/small") GET("/larger"));
    rig.server->unsent_max = BIG_BYTES; /* room for this one to read */
    answer(rig.held[0], "x");
    const char *text = hear(fd);
    assert_int_equal(count(text, "200 OK"), 3);
    assert_int_equal(count(text, "Content-Length: 65536"), 2);
    assert_int_equal(count(text, "503 Service Unavailable"), 1);
    close(fd);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_nothing_is_kept_of_what_is_whole),
        TEST(test_the_rest_is_kept_in_little),
        TEST(test_the_earliest_large_one_gives_way),
        TEST(test_heads_give_way_too),
        TEST(test_a_pipeline_gives_way),
        TEST(test_unsent_answers_count_as_what_they_take),
        TEST(test_small_answers_are_given_even_then),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
