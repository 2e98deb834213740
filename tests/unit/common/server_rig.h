/* SPDX-License-Identifier: MIT */
/*
 * What the tests of the server share: a server with simple handlers, real loopback sockets, a loop
 * that is turned by hand, and a clock that goes as we say. Include it first.
 */
#ifndef TESTS_SERVER_RIG_H
#define TESTS_SERVER_RIG_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <arpa/inet.h>
#include <cmocka.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include "common/clock.h"
#include "common/server_internal.h"

#define HOST "Host: a\r\n"
#define GET(path) "GET " path " HTTP/1.1\r\n" HOST "\r\n"
#define POST(path, length, body)                                                                   \
    "POST " path " HTTP/1.1\r\n" HOST "Content-Length: " length "\r\n\r\n" body
/* An answer of the handlers below, its Date left out. */
#define OK(length, body)                                                                           \
    "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: " length "\r\nX-Hook: 1\r\n"   \
    "X-Own: 2\r\n\r\n" body
#define FAIL(status, length, more, detail)                                                         \
    "HTTP/1.1 " status "\r\nContent-Type: application/json\r\nContent-Length: " length "\r\n" more \
    "\r\n{\"detail\":\"" detail "\"}"

enum {
    BODY_MAX = 1000,
    CONNS_MAX = 8,
    BIG_BYTES = 300000,
    HELD_MAX = 256,
};

static struct {
    struct event_base *base;
    struct server *server;
    struct exchange *held[HELD_MAX]; /* requests to /late */
    size_t nheld;
    size_t requests; /* handled */
    size_t guests;   /* opened and not closed */
    struct address last_peer;
    bool closed_door; /* opened says no */
    int taken;        /* descriptor of /take */
    struct buf *taken_in, *taken_out;
} rig;

static char received_text[8 << 20];

/* ---- handlers ---- */

static inline void answer(struct exchange *x, const char *text)
{
    exchange_respond(x, &(struct response){.status = 200,
                                           .content_type = "text/plain",
                                           .headers = STR("X-Own: 2\r\n"),
                                           .body = str_of(text)});
}

static inline void answer_body(struct exchange *x, struct str body)
{
    char text[BODY_MAX + 16];
    snprintf(text, sizeof text, "<%.*s>", (int)body.len, body.p);
    answer(x, text);
}

/* Uses up all the time that a turn has, for reading or for writing. */
static inline void waste_a_turn(void)
{
    for (uint64_t end_us = now_us() + TURN_READ_US + TURN_WRITE_US; now_us() < end_us;)
        ;
}

static inline void handle(void *ctx, struct exchange *x, const struct http_request *req,
                          struct str body)
{
    static char big[BIG_BYTES];
    assert_ptr_equal(ctx, &rig);
    rig.requests++;
    memset(big, 'z', sizeof big);
    if (str_eq(req->path, STR("/late")))
        rig.held[rig.nheld++] = x;
    else if (str_eq(req->path, STR("/body")))
        answer_body(x, body);
    else if (str_eq(req->path, STR("/take")))
        rig.taken = exchange_take(x, &rig.taken_in, &rig.taken_out);
    else if (str_eq(req->path, STR("/close")))
        exchange_respond(x, &(struct response){.status = 200, .close = true});
    else if (str_eq(req->path, STR("/204")))
        exchange_respond(x, &(struct response){.status = 204});
    else if (str_eq(req->path, STR("/304")))
        exchange_respond(x, &(struct response){.status = 304, .headers = STR("ETag: \"1\"\r\n")});
    else if (str_eq(req->path, STR("/big")))
        exchange_respond(x, &(struct response){.status = 200, .body = {big, sizeof big}});
    else if (str_eq(req->path, STR("/small")))
        exchange_respond(x, &(struct response){.status = 200, .body = {big, HTTP_SMALL_BYTES_MAX}});
    else if (str_eq(req->path, STR("/larger")))
        exchange_respond(
            x, &(struct response){.status = 200, .body = {big, HTTP_SMALL_BYTES_MAX + 1}});
    else if (str_eq(req->path, STR("/slow")))
        waste_a_turn(), answer(x, "slow");
    else
        answer(x, "now");
}

static inline bool refuse(void *ctx, const struct http_request *req, struct response *refusal)
{
    (void)ctx;
    if (!str_eq(req->path, STR("/no")))
        return false;
    *refusal = (struct response){.status = 403, .body = STR("no")};
    return true;
}

static inline void hook(void *ctx, const struct http_request *req, struct buf **out)
{
    (void)ctx, (void)req;
    buf_add_str(out, STR("X-Hook: 1\r\n"));
}

static inline bool opened(void *ctx, const struct address *peer, void **guest,
                          struct http_refusal *no)
{
    assert_ptr_equal(ctx, &rig);
    rig.last_peer = *peer;
    *no = (struct http_refusal){429, "too many of you"};
    if (rig.closed_door)
        return false;
    rig.guests++;
    *guest = &rig.guests;
    return true;
}

static inline void closed(void *ctx, void *guest)
{
    assert_ptr_equal(ctx, &rig);
    assert_ptr_equal(guest, &rig.guests);
    rig.guests--;
}

static const struct server_ops ops = {
    .request = handle, .refuse = refuse, .headers = hook, .opened = opened, .closed = closed};

/* ---- the rig ---- */

static inline int setup(void **state)
{
    (void)state;
    char error[128] = "";
    struct server_config config = {
        .host = "127.0.0.1", .conns_max = CONNS_MAX, .body_max = BODY_MAX};
    memset(&rig, 0, sizeof rig);
    rig.taken = -1;
    rig.base = event_base_new();
    rig.server = server_new(rig.base, &config, &ops, &rig, error, sizeof error);
    assert_non_null(rig.server);
    return 0;
}

static inline int teardown(void **state)
{
    (void)state;
    server_free(rig.server);
    event_base_free(rig.base);
    if (rig.taken >= 0)
        close(rig.taken);
    buf_free(&rig.taken_in);
    buf_free(&rig.taken_out);
    return 0;
}

/* Turns the loop until nothing has happened for some turns. */
static inline void turn(void)
{
    for (int quiet = 0; quiet < 5; quiet++) {
        event_base_loop(rig.base, EVLOOP_NONBLOCK);
        if (server_turn(rig.server))
            quiet = 0;
        usleep(100);
    }
}

static inline int dial(void)
{
    struct sockaddr_in a = {.sin_family = AF_INET,
                            .sin_port = htons((uint16_t)server_port(rig.server)),
                            .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), one = 1;
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one); /* a piece said is a piece sent */
    assert_int_equal(connect(fd, (struct sockaddr *)&a, sizeof a), 0);
    return fd;
}

static inline void say_bytes(int fd, const char *bytes, size_t len)
{
    while (len) {
        ssize_t n = send(fd, bytes, len, MSG_DONTWAIT | MSG_NOSIGNAL);
        assert_true(n > 0 || errno == EAGAIN);
        bytes += n > 0 ? n : 0;
        len -= n > 0 ? (size_t)n : 0;
        if (n < 0)
            turn();
    }
}

static inline void say(int fd, const char *text)
{
    say_bytes(fd, text, strlen(text));
    turn();
}

static inline int dial_and_say(const char *text)
{
    int fd = dial();
    say(fd, text);
    return fd;
}

/* All that has come, without the Date lines; " EOF" or " RST" follows when that was seen. */
static inline const char *hear(int fd)
{
    char *text = received_text, *date;
    size_t len = 0;
    ssize_t n;
    turn();
    while ((n = recv(fd, text + len, sizeof received_text - len - 8, MSG_DONTWAIT)) > 0) {
        len += (size_t)n;
        turn();
    }
    strcpy(text + len, n == 0 ? " EOF" : errno == EAGAIN ? "" : " RST");
    while ((date = strstr(text, "Date: "))) {
        char *next = strstr(date, "\r\n") + 2;
        assert_int_equal(next - date, strlen("Date: Tue, 24 Nov 2026 04:00:00 GMT\r\n"));
        memmove(date, next, strlen(next) + 1);
    }
    return text;
}

static inline size_t count(const char *text, const char *word)
{
    size_t n = 0;
    for (; (text = strstr(text, word)); text += strlen(word))
        n++;
    return n;
}

/* Turns the loop until nobody rests any more, if need be for as long as the deadline is. */
static inline void turn_until_rested(void)
{
    uint64_t end_ms = now_ms() + 60000;
    do {
        turn();
        assert_true(now_ms() < end_ms);
    } while (!TAILQ_EMPTY(&rig.server->waits[WAIT_REST]));
}

static inline void later(uint64_t ms)
{
    server_sweep(rig.server, server_now_ms() + ms);
    turn();
}

#define CHUNKED(path, chunks)                                                                      \
    "POST " path " HTTP/1.1\r\n" HOST "Transfer-Encoding: chunked\r\n\r\n" chunks

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

#endif
