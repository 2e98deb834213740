/* SPDX-License-Identifier: MIT */
/* Who is refused again and again is read slower, and whom a refusal ends is let go. */
#include "server_rig.h"

#define NO "HTTP/1.1 403 Forbidden\r\n"

/* Says a text n times, and hears until n answers have come. */
static const char *converse(int fd, const char *text, size_t n)
{
    static char all[1 << 20];
    size_t len = 0;
    uint64_t end_ms = now_ms() + 60000;
    for (size_t i = 0; i < n; i++)
        say_bytes(fd, text, strlen(text));
    for (*all = 0; count(all, "HTTP/1.1 ") < n;) {
        const char *more = hear(fd);
        assert_true(now_ms() < end_ms && len + strlen(more) < sizeof all);
        strcpy(all + len, more);
        len += strlen(more);
    }
    return all;
}

/* A connection that was refused for long, and rests after each refusal. */
static int dial_refused(void)
{
    int fd = dial_and_say(GET("/now"));
    assert_string_equal(hear(fd), OK("3", "now"));
    struct conn *c = TAILQ_FIRST(&rig.server->waits[WAIT_IDLE]);
    assert_non_null(c);
    c->refusals.forgotten_ms = server_now_ms() + (uint64_t)REFUSALS_MAX * REFUSAL_FORGET_MS;
    rig.server->burst.most = 0;
    return fd;
}

static uint64_t rests(void)
{
    return server_counts(rig.server)->rests;
}

/* All that are too many are answered, each after a pause, and what is good behind them, too. */
static void test_refused_again(void **state)
{
    (void)state;
    int fd = dial_refused();
    uint64_t begun_ms = now_ms();
    assert_int_equal(count(converse(fd, GET("/no"), 5), NO), 5);
    assert_int_equal(rests(), 5);
    assert_true(now_ms() >= begun_ms + 2 * REFUSAL_PAUSE_MS);
    say(fd, GET("/now"));
    turn_until_rested();
    assert_string_equal(hear(fd), OK("3", "now"));
    assert_int_equal(rests(), 5);
    close(fd);
}

/* Who was refused less often does not rest, whatever the others do. */
static void test_few(void **state)
{
    (void)state;
    int fd = dial();
    rig.server->burst.most = 0;
    assert_int_equal(count(converse(fd, GET("/no"), REFUSALS_FREE), NO), REFUSALS_FREE);
    assert_int_equal(rests(), 0);
    close(fd);
}

/* Nobody rests while all of them together are refused seldom. */
static void test_within_a_burst(void **state)
{
    (void)state;
    int fd = dial_refused();
    rig.server->burst.most = 5;
    converse(fd, GET("/no"), 5);
    assert_int_equal(rests(), 0);
    close(fd);
}

/* A proxy's connection, half of whose requests are wrong. */
static void test_good_ones_between(void **state)
{
    (void)state;
    int fd = dial();
    for (int i = 0; i < 100; i++) {
        converse(fd, GET("/no"), 1);
        converse(fd, GET("/now"), 1);
    }
    assert_int_equal(rests(), 0);
    close(fd);
}

/* What was asked before is answered while it rests. */
static void test_answers_while_resting(void **state)
{
    (void)state;
    int fd = dial_refused();
    say(fd, GET("/late"));
    say(fd, GET("/no"));
    assert_string_equal(hear(fd), "");
    assert_int_equal(rests(), 1);
    answer(rig.held[0], "x");
    const char *text = hear(fd);
    assert_non_null(strstr(text, "\r\n\r\nx" NO));
    turn_until_rested();
    close(fd);
    turn();
    assert_int_equal(server_conns(rig.server), 0);
}

/* The peer of a refusal that ends the connection closes meanwhile, or stays. */
static void test_ended_by_a_refusal(void **state)
{
    (void)state;
    int gone = dial_and_say("x\r\n"), stays = dial_and_say("x\r\n");
    assert_non_null(strstr(hear(gone), "400 Bad Request"));
    assert_non_null(strstr(hear(stays), " EOF"));
    assert_int_equal(rests(), 2);
    close(gone);
    turn_until_rested();
    assert_int_equal(server_conns(rig.server), 1);
    later(HTTP_LINGER_MS + 1);
    assert_int_equal(server_conns(rig.server), 0);
    close(stays);
}

/* A drain does not wait for who rests. */
static void test_drain_while_resting(void **state)
{
    (void)state;
    int fd = dial_refused();
    for (int i = 0; i < 3; i++)
        say_bytes(fd, GET("/no"), strlen(GET("/no")));
    turn();
    server_drain(rig.server);
    turn();
    assert_true(server_idle(rig.server));
    assert_non_null(strstr(hear(fd), " EOF"));
    close(fd);
    turn_until_rested();
    turn();
    assert_int_equal(server_conns(rig.server), 0);
}

/* Nothing is left behind: the teardown frees the server. */
static void test_free_while_resting(void **state)
{
    (void)state;
    int fd = dial_refused();
    say(fd, GET("/no") GET("/no"));
    close(fd);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_refused_again),         TEST(test_few),
        TEST(test_within_a_burst),        TEST(test_good_ones_between),
        TEST(test_answers_while_resting), TEST(test_ended_by_a_refusal),
        TEST(test_drain_while_resting),   TEST(test_free_while_resting),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
