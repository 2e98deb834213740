/* SPDX-License-Identifier: MIT */
/* The server's ends: deadlines, clients that go, sockets given away, draining, and no room. */
#include "server_rig.h"

/* ---- deadlines ---- */

/* The socket has had room for so many bytes. */
static void conn_sent_more(struct conn *c, size_t bytes)
{
    assert_non_null(c->writable);
    event_free(c->writable);
    c->writable = NULL;
    conn_sent(c, (ssize_t)bytes);
}

static void test_head_and_body_late(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        uint64_t ms;
        const char *more;
    } table[] = {
        {"GET /now HT", HTTP_HEAD_MS, ""},
        {POST("/body", "9", "abc"), HTTP_BODY_MS, "X-Hook: 1\r\n"},
        {CHUNKED("/body", "9\r\nabc"), HTTP_BODY_MS, "X-Hook: 1\r\n"},
    };
    for (size_t i = 0; i < sizeof table / sizeof *table; i++) {
        int fd = dial_and_say(table[i].text);
        later(table[i].ms - 1000);
        assert_string_equal(hear(fd), "");
        say(fd, "x"); /* the deadline is for all of it: a byte does not move it */
        later(table[i].ms + 1);
        char expected[256];
        snprintf(expected, sizeof expected,
                 FAIL("408 Request Timeout", "34", "Connection: close\r\n%s",
                      "Request took too long") " EOF",
                 table[i].more);
        assert_string_equal(hear(fd), expected);
        close(fd);
        turn();
    }
}

/* The total deadline is counted from the first byte, whatever trickles in behind it. */
static void test_deadline_is_total(void **state)
{
    (void)state;
    int fd = dial_and_say("GET /now HT");
    struct conn *c = TAILQ_FIRST(&rig.server->waits[WAIT_HEAD]);
    assert_non_null(c);
    uint64_t deadline_ms = c->deadline_ms;
    usleep(20000);
    say(fd, "TP");
    assert_int_equal(c->deadline_ms, deadline_ms);
    say(fd, "/1.1\r\n" HOST "\r\n" GET("/now") "GET");
    assert_true(c->deadline_ms > deadline_ms); /* that of a new head */
    close(fd);
}

/* An answer that is not there yet gives no time to the next request. */
static void test_deadline_behind_pending(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        uint64_t ms;
        const char *more;
    } table[] = {
        {GET("/late") "GET /now HT", HTTP_HEAD_MS, ""},
        {POST("/late", "0", "") POST("/body", "9", "abc"), HTTP_BODY_MS, "X-Hook: 1\r\n"},
    };
    for (size_t i = 0; i < sizeof table / sizeof *table; i++) {
        int fd = dial_and_say(table[i].text);
        later(table[i].ms - 1000);
        assert_true(TAILQ_EMPTY(&rig.server->waits[WAIT_ANSWER]));
        later(table[i].ms + 1);
        assert_string_equal(hear(fd), ""); /* the 408 waits for the answer before it */
        assert_false(server_idle(rig.server));
        say(fd, "x" GET("/now")); /* and nothing more is read */
        answer(rig.held[i], "x");
        char expected[512];
        snprintf(expected, sizeof expected,
                 OK("1", "x") FAIL("408 Request Timeout", "34", "Connection: close\r\n%s",
                                   "Request took too long") " EOF",
                 table[i].more);
        assert_string_equal(hear(fd), expected);
        assert_true(server_idle(rig.server));
        close(fd);
        turn();
    }
    assert_int_equal(rig.requests, 2);
}

/* Who takes its answers byte by byte holds them no longer than who takes none. */
static void test_write_deadline_wants_progress(void **state)
{
    (void)state;
    int fd = dial();
    for (int i = 0; i < 40; i++)
        say_bytes(fd, GET("/big"), strlen(GET("/big")));
    turn();
    struct conn *c = TAILQ_FIRST(&rig.server->waits[WAIT_WRITE]);
    assert_non_null(c);
    uint64_t deadline_ms = c->deadline_ms;
    usleep(20000);
    conn_sent_more(c, HTTP_WRITE_BYTES - 1);
    assert_int_equal(c->deadline_ms, deadline_ms);
    conn_sent_more(c, 1);
    assert_true(c->deadline_ms > deadline_ms);
    close(fd);
}

static void test_idle_and_unread(void **state)
{
    (void)state;
    int fd = dial_and_say(GET("/now"));
    assert_string_equal(hear(fd), OK("3", "now"));
    later(HTTP_IDLE_MS - 1000);
    assert_int_equal(server_conns(rig.server), 1);
    later(HTTP_IDLE_MS + 1);
    assert_string_equal(hear(fd), " EOF");
    close(fd);
    fd = dial_and_say(GET("/late"));
    later(HTTP_IDLE_MS + 1); /* waiting for us has no deadline */
    assert_false(exchange_gone(rig.held[0]));
    answer(rig.held[0], "x");
    assert_string_equal(hear(fd), OK("1", "x"));
    for (int i = 0; i < 40; i++)
        say_bytes(fd, GET("/big"), strlen(GET("/big")));
    turn();
    later(HTTP_WRITE_MS + 1);
    assert_int_equal(server_conns(rig.server), 0);
    close(fd);
}

/* ---- guests ---- */

static void test_guests(void **state)
{
    (void)state;
    char text[ADDRESS_TEXT_BYTES];
    int first = dial_and_say(GET("/late")), second = dial_and_say(GET("/now"));
    assert_int_equal(rig.guests, 2);
    assert_ptr_equal(exchange_guest(rig.held[0]), &rig.guests);
    address_write(text, &rig.last_peer);
    assert_string_equal(text, "127.0.0.1");
    close(second);
    turn();
    assert_int_equal(rig.guests, 1);
    exchange_add_headers(rig.held[0], STR("X-Added: 3\r\n"));
    answer(rig.held[0], "x");
    assert_string_equal(hear(first),
                        "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 1\r\n"
                        "X-Hook: 1\r\nX-Added: 3\r\nX-Own: 2\r\n\r\nx");
    say(first, GET("/take"));
    assert_true(rig.taken >= 0);
    assert_int_equal(rig.guests, 1); /* its taker tells when it goes */
    close(first);
}

static void test_guest_turned_away(void **state)
{
    (void)state;
    rig.closed_door = true;
    int fd = dial_and_say(GET("/now"));
    assert_string_equal(hear(fd),
                        FAIL("429 Too Many Requests", "28",
                             "Retry-After: 1\r\nConnection: close\r\n", "too many of you") " EOF");
    assert_int_equal(server_conns(rig.server), 0);
    close(fd);
    rig.closed_door = false;
    fd = dial_and_say(GET("/now"));
    assert_string_equal(hear(fd), OK("3", "now"));
    close(fd);
}

/* ---- ends ---- */

static void test_gone(void **state)
{
    (void)state;
    struct linger reset = {.l_onoff = 1};
    int fd = dial_and_say(GET("/late") GET("/now") GET("/late"));
    char text[ADDRESS_TEXT_BYTES];
    const struct address peer = exchange_peer(rig.held[0]);
    address_write(text, &peer);
    assert_string_equal(text, "127.0.0.1");
    setsockopt(fd, SOL_SOCKET, SO_LINGER, &reset, sizeof reset);
    close(fd);
    turn();
    assert_int_equal(server_conns(rig.server), 0);
    assert_true(exchange_gone(rig.held[0]) && exchange_gone(rig.held[1]));
    const struct address nobody = exchange_peer(rig.held[0]), none = {{0}};
    assert_true(address_eq(&nobody, &none));
    answer(rig.held[1], "x");
    exchange_fail(rig.held[0], 503, "x");
}

static void test_half_closed(void **state)
{
    (void)state;
    int fd = dial();
    say_bytes(fd, POST("/late", "0", "") GET("/now"), strlen(POST("/late", "0", "") GET("/now")));
    shutdown(fd, SHUT_WR);
    turn();
    assert_int_equal(rig.requests, 1);
    answer(rig.held[0], "x");
    assert_string_equal(hear(fd), OK("1", "x") OK("3", "now") " EOF");
    assert_int_equal(server_conns(rig.server), 0);
    close(fd);
}

/* An answer that closes drops what stands behind it. */
static void test_close_amid_pipeline(void **state)
{
    (void)state;
    int fd = dial_and_say(GET("/late") GET("/late") GET("/now"));
    exchange_respond(rig.held[0], &(struct response){.status = 200, .close = true});
    assert_string_equal(hear(fd), "HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n"
                                  "X-Hook: 1\r\n\r\n EOF");
    assert_true(exchange_gone(rig.held[1]));
    answer(rig.held[1], "x");
    close(fd);
}

static void test_take(void **state)
{
    (void)state;
    int fd = dial_and_say(GET("/late") "GET /take HTTP/1.1\r\n" HOST "Upgrade: x\r\n\r\nBEHIND");
    assert_int_equal(rig.taken, -1); /* not alone yet */
    answer(rig.held[0], "x");
    turn();
    assert_true(rig.taken >= 0);
    assert_int_equal(server_conns(rig.server), 0);
    assert_true(str_eq(buf_str(rig.taken_in), STR("BEHIND")));
    assert_int_equal(send(rig.taken, "mine", 4, 0), 4);
    const char *heard = hear(fd);
    assert_non_null(strstr(heard, "mine"));
    assert_int_equal(buf_len(rig.taken_out) == 0, strstr(heard, "HTTP/1.1 200 OK") != NULL);
    say(fd, GET("/now"));
    assert_int_equal(rig.requests, 2);
    close(fd);
}

static void test_take_with_unsent(void **state)
{
    (void)state;
    int fd = dial_and_say(GET("/now") "GET /take HTTP/1.1\r\n" HOST "Upgrade: x\r\n\r\n");
    assert_true(rig.taken >= 0);
    assert_null(rig.taken_in);
    struct str out = buf_str(rig.taken_out);
    assert_true(out.len > 20 && memcmp(out.p, "HTTP/1.1 200 OK", 15) == 0);
    assert_string_equal(hear(fd), "");
    close(fd);
}

static void test_drain(void **state)
{
    (void)state;
    int idle = dial_and_say(GET("/now")), busy = dial_and_say(GET("/late"));
    int half = dial_and_say("GET /now HT");
    assert_string_equal(hear(idle), OK("3", "now"));
    server_drain(rig.server);
    assert_string_equal(hear(idle), " EOF");
    assert_false(server_idle(rig.server));
    say(half, "TP/1.1\r\n" HOST "\r\n");
    assert_non_null(strstr(hear(half), "Connection: close"));
    answer(rig.held[0], "x");
    assert_non_null(strstr(hear(busy), "Connection: close"));
    assert_true(server_idle(rig.server));
    close(idle);
    close(busy);
    close(half);
    turn();
    assert_int_equal(server_conns(rig.server), 0);
}

static void test_free_before_answer(void **state)
{
    (void)state;
    int fd = dial_and_say(GET("/late"));
    server_free(rig.server);
    rig.server = NULL;
    assert_true(exchange_gone(rig.held[0]));
    answer(rig.held[0], "x");
    close(fd);
}

/* ---- the listener ---- */

static void test_conns_max(void **state)
{
    (void)state;
    int fds[CONNS_MAX];
    for (int i = 0; i < CONNS_MAX; i++)
        fds[i] = dial_and_say(GET("/now"));
    int one_more = dial_and_say(GET("/now"));
    assert_string_equal(hear(one_more), FAIL("503 Service Unavailable", "33",
                                             "Retry-After: 1\r\nConnection: close\r\n",
                                             "Too many connections") " EOF");
    close(one_more);
    for (int i = 0; i < CONNS_MAX; i++)
        close(fds[i]);
    turn();
    one_more = dial_and_say(GET("/now"));
    assert_string_equal(hear(one_more), OK("3", "now"));
    close(one_more);
}

/* Connects when no descriptor is left: told 503, not left hanging. */
static void starve(void)
{
    const char *preloaded = getenv("LD_PRELOAD");
    if (preloaded && strstr(preloaded, "vgpreload"))
        skip(); /* valgrind itself closes what is accepted beyond the limit */
    struct rlimit old, low;
    int fd = dial(), probe = dup(fd);
    getrlimit(RLIMIT_NOFILE, &old);
    low = old;
    low.rlim_cur = (rlim_t)probe; /* descriptors below it are all in use */
    close(probe);
    setrlimit(RLIMIT_NOFILE, &low);
    say(fd, GET("/now"));
    setrlimit(RLIMIT_NOFILE, &old);
    assert_true(rig.server->starving);
    assert_non_null(strstr(hear(fd), "503 Service Unavailable"));
    close(fd);
}

static void test_starving(void **state)
{
    (void)state;
    starve();
    int fd = dial_and_say(GET("/now"));
    assert_string_equal(hear(fd), "");
    usleep(250000);
    assert_string_equal(hear(fd), OK("3", "now"));
    close(fd);
    usleep(250000);
    turn();
    assert_false(rig.server->starving);
}

/* That there are descriptors again is found out also when nobody connects. */
static void test_starving_ends(void **state)
{
    (void)state;
    starve();
    turn();
    assert_true(rig.server->starving);
    usleep(250000);
    turn();
    assert_false(rig.server->starving);
}

static void test_cannot_listen(void **state)
{
    (void)state;
    char error[128] = "";
    struct server_config config = {.host = "127.0.0.1", .port = server_port(rig.server)};
    assert_null(server_new(rig.base, &config, &ops, &rig, error, sizeof error));
    assert_non_null(strstr(error, "cannot listen on 127.0.0.1 port"));
    config.host = "localhost";
    assert_null(server_new(rig.base, &config, &ops, &rig, error, sizeof error));
    assert_string_equal(error, "localhost is not a numeric address");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_head_and_body_late),
        TEST(test_deadline_is_total),
        TEST(test_deadline_behind_pending),
        TEST(test_write_deadline_wants_progress),
        TEST(test_idle_and_unread),
        TEST(test_guests),
        TEST(test_guest_turned_away),
        TEST(test_gone),
        TEST(test_half_closed),
        TEST(test_close_amid_pipeline),
        TEST(test_take),
        TEST(test_take_with_unsent),
        TEST(test_drain),
        TEST(test_free_before_answer),
        TEST(test_conns_max),
        TEST(test_starving),
        TEST(test_starving_ends),
        TEST(test_cannot_listen),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
