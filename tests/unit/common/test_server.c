/* SPDX-License-Identifier: MIT */
/* The server's requests: keep-alive, pipelines, bodies, refusals. */
#include "server_rig.h"

/* ---- requests and answers ---- */

static void test_keep_alive(void **state)
{
    (void)state;
    int fd = dial_and_say(GET("/now"));
    assert_string_equal(hear(fd), OK("3", "now"));
    say(fd, POST("/body", "2", "hi"));
    assert_string_equal(hear(fd), OK("4", "<hi>"));
    say(fd, GET("/close"));
    assert_string_equal(hear(fd), "HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n"
                                  "X-Hook: 1\r\n\r\n EOF");
    assert_int_equal(server_conns(rig.server), 1); /* lingers for our end */
    close(fd);
    turn();
    assert_int_equal(server_conns(rig.server), 0);
}

static void test_http_1_0(void **state)
{
    (void)state;
    int fd = dial_and_say("GET /204 HTTP/1.0\r\n\r\n");
    assert_string_equal(hear(fd),
                        "HTTP/1.1 204 No Content\r\nConnection: close\r\nX-Hook: 1\r\n\r\n EOF");
    close(fd);
    fd = dial_and_say("GET /204 HTTP/1.0\r\nConnection: keep-alive\r\n\r\n");
    assert_string_equal(hear(fd),
                        "HTTP/1.1 204 No Content\r\nConnection: keep-alive\r\nX-Hook: 1\r\n\r\n");
    close(fd);
}

static void test_bodiless(void **state)
{
    (void)state;
    int fd = dial_and_say("HEAD /now HTTP/1.1\r\n" HOST "\r\n" GET("/304") GET("/now"));
    assert_string_equal(hear(fd), OK("3", "") "HTTP/1.1 304 Not Modified\r\nX-Hook: 1\r\n"
                                              "ETag: \"1\"\r\n\r\n" OK("3", "now"));
    close(fd);
}

static void test_cut_everywhere(void **state)
{
    (void)state;
    static const char text[] = "\r\n" GET("/now") POST("/body", "5", "hello")
        CHUNKED("/body", "3\r\nabc\r\n2;x\r\nde\r\n0\r\nT: v\r\n\r\n") GET("/now");
    static const char expected[] =
        OK("3", "now") OK("7", "<hello>") OK("7", "<abcde>") OK("3", "now");
    size_t len = sizeof text - 1;
    for (size_t cut = 1; cut < len; cut++) {
        int fd = dial();
        say_bytes(fd, text, cut);
        turn();
        say_bytes(fd, text + cut, len - cut);
        assert_string_equal(hear(fd), expected);
        close(fd);
        turn();
    }
    int fd = dial();
    for (size_t i = 0; i < len; i++) {
        say_bytes(fd, text + i, 1);
        turn();
    }
    assert_string_equal(hear(fd), expected);
    close(fd);
}

/* ---- pipelines ---- */

static void test_order_of_late_answers(void **state)
{
    (void)state;
    int fd = dial_and_say(GET("/late") GET("/now") GET("/late") GET("/now"));
    assert_int_equal(rig.requests, 4);
    assert_int_equal(rig.nheld, 2);
    answer(rig.held[1], "second");
    assert_string_equal(hear(fd), "");
    assert_false(server_idle(rig.server));
    answer(rig.held[0], "first");
    assert_string_equal(hear(fd), OK("5", "first") OK("3", "now") OK("6", "second") OK("3", "now"));
    assert_true(server_idle(rig.server));
    close(fd);
}

static void test_classes(void **state)
{
    (void)state;
    int fd = dial_and_say(POST("/late", "0", "") POST("/late", "0", "") GET("/now"));
    assert_int_equal(rig.requests, 2);
    answer(rig.held[1], "b");
    turn();
    assert_int_equal(rig.requests, 2);
    answer(rig.held[0], "a");
    assert_string_equal(hear(fd), OK("1", "a") OK("1", "b") OK("3", "now"));
    say(fd, GET("/late") POST("/now", "0", ""));
    assert_int_equal(rig.requests, 4);
    answer(rig.held[2], "c");
    turn();
    assert_int_equal(rig.requests, 5);
    say(fd, "PUT /late HTTP/1.1\r\n" HOST "\r\n"
            "PUT /now HTTP/1.1\r\n" HOST "\r\n");
    assert_int_equal(rig.requests, 6);
    answer(rig.held[3], "d");
    turn();
    assert_int_equal(rig.requests, 7);
    close(fd);
}

static void test_pipeline_bounded(void **state)
{
    (void)state;
    enum {
        MANY = HTTP_PIPELINE_MAX + 36,
    };
    int fd = dial();
    for (int i = 0; i < MANY; i++)
        say_bytes(fd, GET("/late"), strlen(GET("/late")));
    turn();
    assert_int_equal(rig.nheld, HTTP_PIPELINE_MAX);
    for (size_t i = 0; i < rig.nheld; i++) {
        answer(rig.held[i], "x");
        turn();
    }
    assert_int_equal(rig.nheld, MANY);
    assert_int_equal(count(hear(fd), OK("1", "x")), MANY);
    for (int i = 0; i < 5 * MANY; i++) /* answered at once: more than one visit's worth */
        say_bytes(fd, GET("/now"), strlen(GET("/now")));
    assert_int_equal(count(hear(fd), OK("3", "now")), 5 * MANY);
    close(fd);
}

/* Who does not read its answers is not read either. */
static void test_unsent_bounded(void **state)
{
    (void)state;
    enum {
        MANY = 60,
    };
    int fd = dial(), small = 65536;
    setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &small, sizeof small);
    for (int i = 0; i < MANY; i++)
        say_bytes(fd, GET("/big"), strlen(GET("/big")));
    turn();
    size_t handled = rig.requests;
    assert_true(handled < MANY / 2);
    later(HTTP_WRITE_MS - 1000);
    assert_int_equal(rig.requests, handled);
    assert_false(server_idle(rig.server));
    size_t got = 0;
    for (ssize_t n; (n = recv(fd, received_text, sizeof received_text, MSG_DONTWAIT)) > 0 ||
                    rig.requests < MANY || !server_idle(rig.server);
         turn())
        got += n > 0 ? (size_t)n : 0;
    assert_int_equal(rig.requests, MANY);
    assert_true(got > (size_t)MANY * BIG_BYTES);
    close(fd);
}

/* Beyond the bound of all connections large answers become 503s, and who does not read is shed. */
static void test_unsent_of_all_bounded(void **state)
{
    (void)state;
    rig.server->unsent_max = BIG_BYTES * 3 / 2;
    int fd = dial_and_say(GET("/late") GET("/big") GET("/big") GET("/big") GET("/now"));
    assert_true(rig.server->unsent > (size_t)BIG_BYTES * 2);
    rig.server->unsent_max *= 4; /* room for this one to read */
    answer(rig.held[0], "x");
    const char *text = hear(fd);
    assert_int_equal(count(text, "200 OK"), 4);
    assert_int_equal(count(text, "Content-Length: 300000"), 2);
    assert_int_equal(count(text, "503 Service Unavailable"), 1);
    assert_int_equal(count(text, "Retry-After: 1"), 1);
    assert_int_equal(count(text, "now"), 1);
    assert_int_equal(rig.server->unsent, 0);

    rig.server->unsent_max = BIG_BYTES / 2;
    int idle = dial(), small = 4096, asked = 0;
    setsockopt(idle, SOL_SOCKET, SO_RCVBUF, &small, sizeof small);
    do
        say(idle, GET("/big"));
    while (server_conns(rig.server) == 2 && ++asked < 100);
    assert_int_equal(server_conns(rig.server), 1); /* the first one is still there */
    assert_int_equal(rig.server->unsent, 0);
    say(fd, GET("/now"));
    assert_string_equal(hear(fd), OK("3", "now"));
    close(idle);
    close(fd);
}

/* ---- refusals ---- */

static void test_bad_request_ends(void **state)
{
    (void)state;
    int fd = dial_and_say(GET("/late") "GET / HTTP/1.1\r\nHost : a\r\n\r\n" GET("/now"));
    assert_int_equal(rig.requests, 1);
    answer(rig.held[0], "x");
    assert_string_equal(hear(fd),
                        OK("1", "x") FAIL("400 Bad Request", "34", "Connection: close\r\n",
                                          "Malformed header name") " EOF");
    say(fd, GET("/now"));
    assert_int_equal(rig.requests, 1);
    close(fd);
}

static void test_refused_before_body(void **state)
{
    (void)state;
    int fd = dial_and_say(GET("/no") POST("/no", "3", "abc") GET("/now"));
    assert_string_equal(hear(fd), "HTTP/1.1 403 Forbidden\r\nContent-Length: 2\r\nX-Hook: 1\r\n"
                                  "\r\nno"
                                  "HTTP/1.1 403 Forbidden\r\nContent-Length: 2\r\n"
                                  "Connection: close\r\nX-Hook: 1\r\n\r\nno EOF");
    assert_int_equal(rig.requests, 0);
    close(fd);
}

#define TOO_LARGE                                                                                  \
    FAIL("413 Content Too Large", "35", "Connection: close\r\nX-Hook: 1\r\n",                      \
         "Request body too large")

static void test_too_large(void **state)
{
    (void)state;
    static const char *const texts[] = {
        POST("/body", "1001", ""),
        CHUNKED("/body", "3e9\r\n"),
        CHUNKED("/body", "3\r\nabc\r\n3e6\r\n"),
        CHUNKED("/body", "ffffffffffffffff\r\n"),
    };
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        int fd = dial_and_say(texts[i]);
        assert_string_equal(hear(fd), TOO_LARGE " EOF");
        close(fd);
        turn();
    }
    assert_int_equal(rig.requests, 0);
    char text[BODY_MAX + 200];
    snprintf(text, sizeof text, CHUNKED("/body", "3e8\r\n%01000d\r\n0\r\n\r\n"), 0);
    int fd = dial_and_say(text);
    assert_non_null(strstr(hear(fd), "HTTP/1.1 200 OK"));
    close(fd);
}

/* The answer arrives although its client went on sending. */
static void test_linger(void **state)
{
    (void)state;
    static char junk[1 << 20];
    int fd = dial_and_say(POST("/body", "100000000", ""));
    say_bytes(fd, junk, sizeof junk);
    turn();
    assert_string_equal(hear(fd), TOO_LARGE " EOF");
    turn_until_rested();
    assert_int_equal(server_conns(rig.server), 1);
    later(HTTP_LINGER_MS + 1);
    assert_int_equal(server_conns(rig.server), 0);
    close(fd);
}

static void test_bad_chunk(void **state)
{
    (void)state;
    int fd = dial_and_say(CHUNKED("/body", "3\r\nabcd"));
    assert_string_equal(hear(fd),
                        FAIL("400 Bad Request", "28", "Connection: close\r\nX-Hook: 1\r\n",
                             "Malformed chunk") " EOF");
    close(fd);
}

static void test_continue(void **state)
{
    (void)state;
#define EXPECT "Expect: 100-continue\r\n"
    int fd = dial_and_say("POST /body HTTP/1.1\r\n" HOST EXPECT "Content-Length: 2\r\n\r\n");
    assert_string_equal(hear(fd), "HTTP/1.1 100 Continue\r\n\r\n");
    say(fd, "hi");
    assert_string_equal(hear(fd), OK("4", "<hi>"));
    say(fd, "POST /body HTTP/1.1\r\n" HOST EXPECT "Content-Length: 2\r\n\r\nho");
    assert_string_equal(hear(fd), OK("4", "<ho>"));
    say(fd,
        POST("/late", "0", "") "POST /body HTTP/1.1\r\n" HOST EXPECT "Content-Length: 2\r\n\r\n");
    assert_string_equal(hear(fd), ""); /* the 100 may not overtake the answer before it */
    answer(rig.held[0], "x");
    assert_string_equal(hear(fd), OK("1", "x") "HTTP/1.1 100 Continue\r\n\r\n");
    say(fd, "hu");
    assert_string_equal(hear(fd), OK("4", "<hu>"));
    say(fd, "POST /no HTTP/1.1\r\n" HOST EXPECT "Content-Length: 2\r\n\r\n");
    assert_null(strstr(hear(fd), "100 Continue"));
    close(fd);
}

/* However many are readable: what the first one costs is all that a turn reads, and all have their
 * turn. */
static void test_reads_of_a_turn_bounded(void **state)
{
    (void)state;
    int fds[CONNS_MAX - 1];
    const size_t n = sizeof fds / sizeof *fds;
    for (size_t i = 0; i < n; i++)
        fds[i] = dial();
    turn();
    for (size_t i = 0; i < n; i++)
        assert_true(send(fds[i], GET("/slow"), strlen(GET("/slow")), 0) > 0);
    for (size_t i = 1; i <= n; i++) {
        event_base_loop(rig.base, EVLOOP_ONCE);
        assert_int_equal(rig.requests, i);
        server_turn(rig.server);
    }
    for (size_t i = 0; i < n; i++) {
        assert_string_equal(hear(fds[i]), OK("4", "slow"));
        close(fds[i]);
    }
}

/* Likewise for requests that had to wait, and are taken up when the answers before are sent. */
static void test_resumes_of_a_turn_bounded(void **state)
{
    (void)state;
    int fds[CONNS_MAX - 1];
    const size_t n = sizeof fds / sizeof *fds;
    for (size_t i = 0; i < n; i++)
        fds[i] = dial_and_say(POST("/late", "0", "") GET("/slow"));
    assert_int_equal(rig.requests, n);
    for (size_t i = 0; i < n; i++)
        answer(rig.held[i], "x");
    for (size_t i = 1; i <= n; i++) {
        assert_true(server_turn(rig.server));
        assert_int_equal(rig.requests, n + i);
    }
    for (size_t i = 0; i < n; i++) {
        assert_string_equal(hear(fds[i]), OK("1", "x") OK("4", "slow"));
        close(fds[i]);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_keep_alive),
        TEST(test_http_1_0),
        TEST(test_bodiless),
        TEST(test_cut_everywhere),
        TEST(test_order_of_late_answers),
        TEST(test_classes),
        TEST(test_pipeline_bounded),
        TEST(test_unsent_bounded),
        TEST(test_reads_of_a_turn_bounded),
        TEST(test_resumes_of_a_turn_bounded),
        TEST(test_unsent_of_all_bounded),
        TEST(test_bad_request_ends),
        TEST(test_refused_before_body),
        TEST(test_too_large),
        TEST(test_linger),
        TEST(test_bad_chunk),
        TEST(test_continue),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
