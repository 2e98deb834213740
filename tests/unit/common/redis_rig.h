/* SPDX-License-Identifier: MIT */
/*
 * What the tests of the link share: real servers on loopback, each in a folder of its own, and an
 * owner that counts what it is told. Include it first.
 */
#ifndef TESTS_REDIS_RIG_H
#define TESTS_REDIS_RIG_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <arpa/inet.h>
#include <cmocka.h>
#include <event2/dns.h>
#include <event2/event.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "common/redis.h"

/* ---- servers ---- */

struct backend {
    pid_t pid; /* 0: it does not run */
    uint16_t port;
    char folder[64];
};

static inline uint16_t free_port(void)
{
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof at;
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    assert_int_equal(bind(fd, (struct sockaddr *)&at, len), 0);
    assert_int_equal(getsockname(fd, (struct sockaddr *)&at, &len), 0);
    close(fd);
    return ntohs(at.sin_port);
}

static inline int dial(uint16_t port)
{
    struct sockaddr_in at = {
        .sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (connect(fd, (struct sockaddr *)&at, sizeof at) == 0)
        return fd;
    close(fd);
    return -1;
}

/* Sends an inline command; the reply's first bytes, or "" without a server. */
static inline const char *admin(uint16_t port, const char *command)
{
    static char reply[256];
    struct timeval patience = {5, 0};
    int fd = dial(port);
    reply[0] = 0;
    if (fd < 0)
        return reply;
    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
    char line[256];
    int len = snprintf(line, sizeof line, "%s\r\n", command);
    assert_int_equal(send(fd, line, (size_t)len, MSG_NOSIGNAL), len);
    ssize_t got = recv(fd, reply, sizeof reply - 1, 0);
    reply[got > 0 ? got : 0] = 0;
    close(fd);
    return reply;
}

static inline void pause_ms(long ms)
{
    nanosleep(&(struct timespec){ms / 1000, ms % 1000 * 1000000}, NULL);
}

/* Becomes CHAT_REDIS_SERVER, dying with the test; config is a file of the folder. */
static inline void backend_exec(const struct backend *b, bool sentinel)
{
    char standard[] = "redis-server", mode[] = "--sentinel", config[] = "conf";
    char *chosen = getenv("CHAT_REDIS_SERVER"), *name = chosen ? chosen : standard;
    char *argv[] = {name, config, sentinel ? mode : NULL, NULL};
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (chdir(b->folder) == 0)
        execvp(name, argv);
    _exit(127);
}

/* Starts it on its port, or on a free one when that is 0; more: lines of its configuration. */
static inline void backend_start(struct backend *b, const char *more, bool sentinel)
{
    char path[128];
    if (!b->port)
        b->port = free_port();
    if (!b->folder[0]) {
        strcpy(b->folder, "/tmp/test_redis.XXXXXX");
        assert_non_null(mkdtemp(b->folder));
    }
    snprintf(path, sizeof path, "%s/conf", b->folder);
    FILE *f = fopen(path, "w");
    assert_non_null(f);
    fprintf(f, "port %u\nbind 127.0.0.1\nlogfile log\n%s%s\n", b->port,
            sentinel ? "" : "save \"\"\n", more);
    assert_int_equal(fclose(f), 0);
    b->pid = fork();
    assert_true(b->pid >= 0);
    if (b->pid == 0)
        backend_exec(b, sentinel);
    for (int i = 0; i < 500 && !*admin(b->port, "PING"); i++)
        pause_ms(10);
    assert_true(*admin(b->port, "PING"));
}

static inline void backend_kill(struct backend *b)
{
    if (!b->pid)
        return;
    kill(b->pid, SIGKILL);
    waitpid(b->pid, NULL, 0);
    b->pid = 0;
}

static inline void backend_done(struct backend *b)
{
    static const char *const files[] = {"conf", "log"};
    char path[128];
    backend_kill(b);
    for (size_t i = 0; i < sizeof files / sizeof *files; i++) {
        snprintf(path, sizeof path, "%s/%s", b->folder, files[i]);
        unlink(path);
    }
    if (b->folder[0])
        assert_int_equal(rmdir(b->folder), 0);
    *b = (struct backend){0};
}

/* ---- the owner ---- */

static struct {
    struct event_base *base;
    struct evdns_base *dns;
    struct event *tick; /* so that the loop turns */
    struct redis *redis;
    struct backend server, sentinel;
    char url[128];
    unsigned ups, downs, messages, replies, nulls;
    unsigned nulls_at_down;      /* of nulls, when down was told */
    unsigned evals_when_failing; /* sent from a callback that got NULL: must be none */
    bool drop_at_reply;
    char down_why[256];
    char said[256]; /* the last message: channel=payload; or the last reply */
} rig;

static inline void up_cb(void *ctx)
{
    assert_ptr_equal(ctx, &rig);
    assert_true(redis_is_up(rig.redis));
    rig.ups++;
}

static inline void down_cb(void *ctx, const char *why)
{
    assert_ptr_equal(ctx, &rig);
    assert_false(redis_is_up(rig.redis));
    rig.downs++;
    assert_int_equal(rig.downs, rig.ups);
    rig.nulls_at_down = rig.nulls;
    snprintf(rig.down_why, sizeof rig.down_why, "%s", why);
}

static inline void message_cb(void *ctx, size_t channel, struct str payload)
{
    assert_ptr_equal(ctx, &rig);
    rig.messages++;
    snprintf(rig.said, sizeof rig.said, "%zu=%.*s", channel, (int)payload.len, payload.p);
}

static inline void reply_cb(void *arg, const struct reply *r);

static inline bool eval_beat(void)
{
    const struct str words[] = {STR("{t}:state"), STR("second")};
    return redis_eval(rig.redis, REDIS_BEAT, 1, words, 2, reply_cb, &rig);
}

/* A script that writes. */
static inline bool eval_seal(void)
{
    const struct str words[] = {STR("{t}:state"), STR("{t}:log"), STR("seal"), STR("1"), STR("f")};
    return redis_eval(rig.redis, REDIS_OPEN, 2, words, 5, reply_cb, &rig);
}

static inline void reply_cb(void *arg, const struct reply *r)
{
    assert_ptr_equal(arg, &rig);
    if (!r) {
        rig.nulls++;
        rig.evals_when_failing += rig.redis && eval_beat();
        return;
    }
    rig.replies++;
    if (rig.drop_at_reply)
        redis_drop(rig.redis, "the test wants it");
    if (r->type == REPLY_INTEGER)
        snprintf(rig.said, sizeof rig.said, "%lld", (long long)r->integer);
    else if (r->type == REPLY_ARRAY)
        snprintf(rig.said, sizeof rig.said, "array %zu", r->n);
    else
        snprintf(rig.said, sizeof rig.said, "%.*s", (int)r->str.len, r->str.p);
}

static inline void tick_cb(evutil_socket_t fd, short what, void *arg)
{
    (void)fd;
    (void)what;
    (void)arg;
}

/* Turns the loop until *counter reaches value; false after ms. */
static inline bool wait_for(const unsigned *counter, unsigned value, int ms)
{
    struct timespec from, now;
    clock_gettime(CLOCK_MONOTONIC, &from);
    do {
        if (*counter >= value)
            return true;
        event_base_loop(rig.base, EVLOOP_ONCE);
        clock_gettime(CLOCK_MONOTONIC, &now);
    } while ((now.tv_sec - from.tv_sec) * 1000 + (now.tv_nsec - from.tv_nsec) / 1000000 < ms);
    return *counter >= value;
}

static inline void turn_ms(int ms)
{
    static const unsigned never;
    (void)wait_for(&never, 1, ms);
}

/* Turns the loop until the status holds the word. */
static inline bool status_comes(const char *word, int ms)
{
    for (; ms > 0 && !strstr(redis_status(rig.redis), word); ms -= 10)
        turn_ms(10);
    if (ms <= 0)
        print_error("status: %s\n", redis_status(rig.redis));
    return ms > 0;
}

static inline void link_start_url(const char *url)
{
    static const char *const channels[] = {"first", "second"};
    static struct redis_config config = {.purpose = "test", .channels = channels, .nchannels = 2};
    static const struct redis_ops ops = {up_cb, down_cb, message_cb};
    snprintf(rig.url, sizeof rig.url, "%s", url);
    config.url = rig.url;
    rig.redis = redis_new(rig.base, rig.dns, &config, &ops, &rig);
}

/* To the server; userinfo as ":secret@". */
static inline void link_start(const char *userinfo, const char *path)
{
    char url[96];
    snprintf(url, sizeof url, "redis://%s127.0.0.1:%u%s", userinfo, rig.server.port, path);
    link_start_url(url);
}

/* The pending callbacks must not find the link. */
static inline void link_stop(void)
{
    redis_free(rig.redis);
    rig.redis = NULL;
}

static inline int rig_begin(void **state)
{
    (void)state;
    memset(&rig, 0, sizeof rig);
    rig.base = event_base_new();
    rig.dns = evdns_base_new(rig.base, EVDNS_BASE_DISABLE_WHEN_INACTIVE);
    rig.tick = event_new(rig.base, -1, EV_PERSIST, tick_cb, NULL);
    event_add(rig.tick, &(struct timeval){0, 2000});
    return 0;
}

static inline int rig_end(void **state)
{
    (void)state;
    if (rig.redis)
        link_stop();
    event_base_loop(rig.base, EVLOOP_NONBLOCK); /* cancelled look-ups */
    assert_int_equal(rig.evals_when_failing, 0);
    event_free(rig.tick);
    evdns_base_free(rig.dns, 0);
    event_base_free(rig.base);
    backend_done(&rig.server);
    backend_done(&rig.sentinel);
    return 0;
}

#endif
