/* SPDX-License-Identifier: MIT */
/* The link to a real redis-server: it comes up, serves, falls, says why, and comes back. */
#include "redis_rig.h"

enum {
    SOON_MS = 3000,
    RETRY_MS = 8000, /* the longest backoff and a greeting */
};

static void start_up(const char *config, const char *userinfo, const char *path)
{
    backend_start(&rig.server, config, false);
    link_start(userinfo, path);
    assert_false(redis_is_up(rig.redis));
    assert_true(wait_for(&rig.ups, 1, SOON_MS));
    assert_string_equal(redis_status(rig.redis), "up");
}

static void start_refused(const char *config, const char *userinfo, const char *word)
{
    backend_start(&rig.server, config, false);
    link_start(userinfo, "");
    assert_true(status_comes(word, SOON_MS));
    turn_ms(300); /* some retries */
    assert_non_null(strstr(redis_status(rig.redis), word));
    assert_int_equal(rig.ups, 0);
    assert_false(eval_beat());
}

/* ---- serving ---- */

static void test_serves(void **state)
{
    (void)state;
    start_up("", "", "");
    assert_true(eval_beat());
    assert_int_equal(rig.replies, 0);
    assert_true(wait_for(&rig.messages, 1, SOON_MS) && wait_for(&rig.replies, 1, SOON_MS));
    const struct str words[] = {STR("{t}:state"), STR("{t}:log"), STR("0"),
                                STR("10"),        STR("9999"),    STR("5")};
    assert_true(redis_eval(rig.redis, REDIS_PAGE, 2, words, 6, reply_cb, &rig));
    assert_true(wait_for(&rig.replies, 2, SOON_MS));
    assert_string_equal(rig.said, "array 15");
    admin(rig.server.port, "PUBLISH first hello");
    assert_true(wait_for(&rig.messages, 2, SOON_MS));
    assert_string_equal(rig.said, "0=hello");
    admin(rig.server.port, "PUBLISH elsewhere x");
    turn_ms(50);
    assert_int_equal(rig.messages, 2);
    for (unsigned i = 0; i < 1000; i++)
        assert_true(eval_beat());
    assert_true(wait_for(&rig.replies, 1002, SOON_MS) && wait_for(&rig.messages, 1002, SOON_MS));
    assert_int_equal(rig.nulls + rig.downs, 0);
}

static void test_binary_words(void **state)
{
    (void)state;
    start_up("", "", "");
    const struct str words[] = {
        STR("{t}:state"), STR("{t}:log"), STR("a\0b\r\n"), {NULL, 0}, STR("f")};
    assert_true(redis_eval(rig.redis, REDIS_OPEN, 2, words, 5, reply_cb, &rig));
    assert_true(wait_for(&rig.replies, 1, SOON_MS));
    assert_string_equal(rig.said, "array 3"); /* {0, 'VERB', verb} */
}

static void test_authenticates(void **state)
{
    (void)state;
    start_up("requirepass s3cret/\nuser me on >p@ss ~* &* +@all", ":s3cret%2F@", "/5");
    link_stop();
    link_start("me:p%40ss@", "/5");
    assert_true(wait_for(&rig.ups, 2, SOON_MS));
    assert_true(eval_seal());
    assert_true(wait_for(&rig.replies, 1, SOON_MS));
}

static void test_name_of_hosts(void **state)
{
    (void)state;
    char url[64];
    backend_start(&rig.server, "", false);
    assert_int_equal(evdns_base_load_hosts(rig.dns, "/etc/hosts"), 0);
    snprintf(url, sizeof url, "redis://localhost:%u", rig.server.port);
    link_start_url(url);
    assert_true(wait_for(&rig.ups, 1, SOON_MS)); /* at a retry, when ::1 comes first */
}

static void test_script_is_loaded_again(void **state)
{
    (void)state;
    start_up("", "", "");
    assert_string_equal(admin(rig.server.port, "SCRIPT FLUSH"), "+OK\r\n");
    assert_true(eval_beat() && eval_beat());
    assert_true(wait_for(&rig.replies, 2, SOON_MS));
    assert_int_equal(strncmp(rig.said, "NOSCRIPT ", 9), 0);
    assert_true(eval_beat());
    assert_true(wait_for(&rig.replies, 3, SOON_MS) && wait_for(&rig.messages, 1, SOON_MS));
    assert_int_equal(rig.downs, 0);
}

/* ---- falling and coming back ---- */

static void test_subscription_is_killed(void **state)
{
    (void)state;
    start_up("", "", "");
    admin(rig.server.port, "CLIENT KILL TYPE pubsub");
    assert_true(wait_for(&rig.downs, 1, SOON_MS));
    assert_true(wait_for(&rig.ups, 2, SOON_MS));
    admin(rig.server.port, "PUBLISH first again");
    assert_true(wait_for(&rig.messages, 1, SOON_MS));
}

/* Three commands that will not be answered. */
static void leave_pending(void)
{
    assert_string_equal(admin(rig.server.port, "CLIENT PAUSE 60000 WRITE"), "+OK\r\n");
    assert_true(eval_seal() && eval_seal() && eval_seal());
    turn_ms(50);
    assert_int_equal(rig.replies + rig.nulls, 0);
}

static void test_commands_are_killed(void **state)
{
    (void)state;
    start_up("", "", "");
    leave_pending();
    admin(rig.server.port, "CLIENT KILL TYPE normal");
    assert_true(wait_for(&rig.downs, 1, SOON_MS));
    assert_int_equal(rig.nulls_at_down, 3);
    admin(rig.server.port, "CLIENT UNPAUSE"); /* Redis 6.2 pauses SCRIPT LOAD, too */
    assert_true(wait_for(&rig.ups, 2, SOON_MS));
    assert_int_equal(rig.nulls, 3);
}

static void test_server_dies_and_returns(void **state)
{
    (void)state;
    start_up("", "", "");
    leave_pending();
    backend_kill(&rig.server);
    assert_true(wait_for(&rig.downs, 1, SOON_MS));
    assert_int_equal(rig.nulls, 3);
    assert_true(status_comes("refused", SOON_MS));
    backend_start(&rig.server, "", false);
    assert_true(wait_for(&rig.ups, 2, RETRY_MS));
    assert_true(eval_beat());
    assert_true(wait_for(&rig.replies, 1, SOON_MS));
}

static void test_server_hangs(void **state)
{
    (void)state;
    start_up("", "", "");
    kill(rig.server.pid, SIGSTOP);
    assert_true(eval_beat());
    assert_false(wait_for(&rig.downs, 1, 4800)); /* REDIS_REPLY_MS is 5 s */
    assert_true(wait_for(&rig.downs, 1, 700));
    assert_non_null(strstr(rig.down_why, "no reply"));
    assert_int_equal(rig.nulls, 1);
    assert_true(status_comes("greeting took longer", 5000)); /* the kernel still accepts */
    kill(rig.server.pid, SIGCONT);
    assert_true(wait_for(&rig.ups, 2, RETRY_MS));
}

static void test_drop(void **state)
{
    (void)state;
    backend_start(&rig.server, "", false);
    link_start("", "");
    redis_drop(rig.redis, "not up: nothing");
    assert_true(wait_for(&rig.ups, 1, SOON_MS));
    turn_ms(20);
    assert_int_equal(rig.downs, 0);
    redis_drop(rig.redis, "the first reason");
    redis_drop(rig.redis, "the second reason");
    assert_true(redis_is_up(rig.redis));
    assert_true(wait_for(&rig.downs, 1, SOON_MS));
    assert_string_equal(rig.down_why, "the first reason");
    assert_true(wait_for(&rig.ups, 2, SOON_MS));
    rig.drop_at_reply = true;
    assert_true(eval_beat());
    assert_true(wait_for(&rig.downs, 2, SOON_MS));
    assert_int_equal(rig.replies, 1);
    assert_string_equal(rig.down_why, "the test wants it");
    assert_true(wait_for(&rig.ups, 3, SOON_MS));
}

static long until_up_ms(void)
{
    struct timespec from, to;
    unsigned ups = rig.ups;
    redis_drop(rig.redis, "once more");
    clock_gettime(CLOCK_MONOTONIC, &from);
    assert_true(wait_for(&rig.ups, ups + 1, RETRY_MS));
    clock_gettime(CLOCK_MONOTONIC, &to);
    return (to.tv_sec - from.tv_sec) * 1000 + (to.tv_nsec - from.tv_nsec) / 1000000;
}

static void test_backoff(void **state)
{
    (void)state;
    start_up("", "", "");
    for (int i = 0; i < 4; i++)
        until_up_ms();
    assert_true(until_up_ms() >= 400); /* half of 50 · 2⁴ */
    redis_proved(rig.redis);
    assert_true(until_up_ms() < 300);
}

static void test_demoted(void **state)
{
    (void)state;
    start_up("", "", "");
    assert_string_equal(admin(rig.server.port, "REPLICAOF 127.0.0.1 1"), "+OK\r\n");
    assert_true(eval_seal());
    assert_true(wait_for(&rig.downs, 1, SOON_MS));
    assert_int_equal(rig.replies, 1);
    assert_non_null(strstr(rig.said, "READONLY ")); /* in the middle, in Redis 6.2 */
    assert_non_null(strstr(rig.down_why, "READONLY"));
    assert_true(status_comes("role is slave", SOON_MS));
    assert_int_equal(rig.ups, 1);
    admin(rig.server.port, "REPLICAOF NO ONE");
    assert_true(wait_for(&rig.ups, 2, RETRY_MS));
}

/* ---- refused ---- */

static void test_wrong_password(void **state)
{
    (void)state;
    start_refused("requirepass right", ":wrong@", "WRONGPASS");
}

static void test_no_password(void **state)
{
    (void)state;
    start_refused("requirepass right", "", "NOAUTH");
}

static void test_eviction(void **state)
{
    (void)state;
    start_refused("maxmemory-policy allkeys-lru", "", "maxmemory-policy is allkeys-lru");
    admin(rig.server.port, "CONFIG SET maxmemory-policy noeviction");
    assert_true(wait_for(&rig.ups, 1, RETRY_MS));
}

static void test_replica(void **state)
{
    (void)state;
    start_refused("replicaof 127.0.0.1 1", "", "role is slave");
}

static void test_channel_is_forbidden(void **state)
{
    (void)state;
    start_refused("user me on >p ~* resetchannels &first +@all", "me:p@", "NOPERM");
}

/* ---- freed in every state ---- */

static void test_free_at_once(void **state)
{
    (void)state;
    backend_start(&rig.server, "", false);
    link_start("", "");
    link_stop();
    redis_free(NULL);
    turn_ms(20);
}

static void test_free_between(void **state)
{
    (void)state;
    backend_start(&rig.server, "", false);
    for (unsigned turns = 1; turns < 40; turns++) { /* somewhere on the way up */
        link_start("", "/1");
        for (unsigned i = 0; i < turns; i++)
            event_base_loop(rig.base, EVLOOP_ONCE);
        link_stop();
    }
    assert_true(rig.ups > 0);
    assert_int_equal(rig.downs, 0);
}

static void test_free_pending(void **state)
{
    (void)state;
    start_up("", "", "");
    leave_pending();
    assert_true(eval_beat()); /* not even sent */
    struct redis *r = rig.redis;
    rig.redis = NULL;
    redis_free(r);
    assert_int_equal(rig.nulls, 4);
    turn_ms(50);
    assert_int_equal(rig.nulls, 4);
    assert_int_equal(rig.downs, 0);
}

/* Nobody accepts, and the queue is full: connections stay half made. */
static void test_free_connecting(void **state)
{
    (void)state;
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int fds[4], fd = socket(AF_INET, SOCK_STREAM, 0);
    rig.server.port = free_port();
    at.sin_port = htons(rig.server.port);
    assert_int_equal(bind(fd, (struct sockaddr *)&at, sizeof at) | listen(fd, 0), 0);
    for (size_t i = 0; i < 4; i++) {
        fds[i] = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
        (void)connect(fds[i], (struct sockaddr *)&at, sizeof at);
    }
    link_start("", "");
    turn_ms(100);
    assert_string_equal(redis_status(rig.redis), "connecting");
    assert_true(status_comes("connecting took longer than 3000 ms", 4000));
    turn_ms(200); /* connecting again */
    link_stop();
    for (size_t i = 0; i < 4; i++)
        close(fds[i]);
    close(fd);
}

/* A name server that never answers. */
static void test_free_resolving(void **state)
{
    (void)state;
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof at;
    char server[32];
    int fd = socket(AF_INET, SOCK_DGRAM, 0);
    assert_int_equal(bind(fd, (struct sockaddr *)&at, len), 0);
    assert_int_equal(getsockname(fd, (struct sockaddr *)&at, &len), 0);
    snprintf(server, sizeof server, "127.0.0.1:%u", ntohs(at.sin_port));
    assert_int_equal(evdns_base_nameserver_ip_add(rig.dns, server), 0);
    link_start_url("redis://redis.invalid");
    turn_ms(50);
    assert_string_equal(redis_status(rig.redis), "resolving the name");
    link_stop();
    close(fd);
}

/* ---- sentinels ---- */

static void test_sentinel(void **state)
{
    (void)state;
    char config[128], url[96];
    backend_start(&rig.server, "", false);
    snprintf(config, sizeof config, "sentinel monitor m 127.0.0.1 %u 1", rig.server.port);
    backend_start(&rig.sentinel, config, true);
    snprintf(url, sizeof url, "redis+sentinel://127.0.0.1:1,127.0.0.1:%u/other", rig.sentinel.port);
    link_start_url(url); /* the first one is not there */
    assert_true(status_comes("does not know the master", SOON_MS));
    assert_int_equal(rig.ups, 0);
    link_stop();
    snprintf(url, sizeof url, "redis+sentinel://127.0.0.1:1,127.0.0.1:%u/m/2", rig.sentinel.port);
    link_start_url(url);
    assert_true(wait_for(&rig.ups, 1, SOON_MS));
    assert_true(eval_beat());
    assert_true(wait_for(&rig.messages, 1, SOON_MS));
    kill(rig.sentinel.pid, SIGSTOP);
    admin(rig.server.port, "CLIENT KILL TYPE pubsub");
    assert_true(status_comes("sentinel 127.0.0.1: ", 4000));
    assert_true(status_comes("refused", 4000)); /* the other one was asked after it */
    kill(rig.sentinel.pid, SIGCONT);
    assert_true(wait_for(&rig.ups, 2, RETRY_MS));
    link_stop();
    link_start_url(url);
    event_base_loop(rig.base, EVLOOP_ONCE);
}

#define IN_RIG(test) cmocka_unit_test_setup_teardown(test, rig_begin, rig_end)

int main(void)
{
    const struct CMUnitTest tests[] = {
        IN_RIG(test_serves),
        IN_RIG(test_binary_words),
        IN_RIG(test_authenticates),
        IN_RIG(test_name_of_hosts),
        IN_RIG(test_script_is_loaded_again),
        IN_RIG(test_subscription_is_killed),
        IN_RIG(test_commands_are_killed),
        IN_RIG(test_server_dies_and_returns),
        IN_RIG(test_server_hangs),
        IN_RIG(test_drop),
        IN_RIG(test_backoff),
        IN_RIG(test_demoted),
        IN_RIG(test_wrong_password),
        IN_RIG(test_no_password),
        IN_RIG(test_eviction),
        IN_RIG(test_replica),
        IN_RIG(test_channel_is_forbidden),
        IN_RIG(test_free_at_once),
        IN_RIG(test_free_between),
        IN_RIG(test_free_pending),
        IN_RIG(test_free_connecting),
        IN_RIG(test_free_resolving),
        IN_RIG(test_sentinel),
    };
    (void)signal(SIGPIPE, SIG_IGN);
    event_enable_debug_mode();
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    libevent_global_shutdown();
    return failed;
}
