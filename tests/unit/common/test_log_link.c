/* SPDX-License-Identifier: MIT */
/* The log's link over a real Redis: the hooks' order, the feed over it, and pages beside it. */
#include "tests/unit/common/redis_rig.h"

#include <string.h>

#include "common/log_link.h"

enum {
    SOON_MS = 20000,
    STEPS_MAX = 16,
};

static struct {
    struct log_link link;
    bool started;
    char steps[STEPS_MAX + 1]; /* what was called: u up, d down, p a page, f a full one, n none */
    unsigned called;           /* of steps */
    unsigned ticks;
    unsigned delivered;
    uint64_t last; /* id delivered */
    uint64_t first_entry;
    size_t entries;
    bool exists;
} seen;

static void step(char name)
{
    assert_true(seen.called < STEPS_MAX);
    seen.steps[seen.called++] = name;
}

static void up(void *ctx)
{
    assert_ptr_equal(ctx, &seen);
    assert_int_equal(seen.link.feed.state, FEED_CATCHING_UP); /* it was told first */
    step('u');
}

static void down(void *ctx)
{
    assert_ptr_equal(ctx, &seen);
    assert_int_equal(seen.link.feed.state, FEED_OFF);
    step('d');
}

static void ticked(void *ctx, uint64_t now_ms)
{
    assert_ptr_equal(ctx, &seen);
    assert_true(now_ms > 0);
    seen.ticks++;
}

static void deliver(void *ctx, uint64_t id, struct str json)
{
    assert_ptr_equal(ctx, &seen);
    assert_true(json.len > 0);
    seen.last = id;
    seen.delivered++;
}

static void passed(void *ctx, uint64_t id)
{
    (void)ctx;
    (void)id;
}

static void stored(void *ctx, uint64_t opening, uint64_t id)
{
    (void)ctx;
    (void)opening;
    (void)id;
}

static void page_got(void *arg, const struct page *page)
{
    assert_ptr_equal(arg, &seen);
    step(!page ? 'n' : page->full ? 'f' : 'p');
    seen.exists = page && page->exists;
    seen.entries = page ? page->count : 0;
    seen.first_entry = page && page->count ? page->entries[0].id : 0;
}

static bool ask(uint64_t after, unsigned count)
{
    return log_link_page(&seen.link, after, count, page_got, &seen);
}

static int begin(void **state)
{
    static const struct feed_owner owner = {.deliver = deliver, .passed = passed, .stored = stored};
    static const struct log_link_ops ops = {.up = up, .down = down, .tick = ticked};
    rig_begin(state);
    memset(&seen, 0, sizeof seen);
    backend_start(&rig.server, "", false);
    snprintf(rig.url, sizeof rig.url, "redis://127.0.0.1:%u", rig.server.port);
    log_link_init(&seen.link, &(struct log_link_config){.redis_url = rig.url, .prefix = "t"},
                  &owner, &ops, &seen);
    return 0;
}

static void stop(void)
{
    log_link_stop(&seen.link);
    seen.started = false;
}

static int end(void **state)
{
    if (seen.started)
        stop();
    log_link_done(&seen.link);
    return rig_end(state);
}

static void start(void)
{
    log_link_start(&seen.link, rig.base, rig.dns);
    seen.started = true;
    assert_true(wait_for(&seen.called, 1, SOON_MS));
    assert_string_equal(seen.steps, "u");
}

/* An open log without messages, as the persister leaves it. */
static void log_open(void)
{
    const char *reply =
        admin(rig.server.port, "EVAL \"local r=string.match(redis.call('INFO','replication'),"
                               "'master_replid:(%x+)') return redis.call('HSET','{t}:state',"
                               "'token',r,'opening',1,'seq',0,'lease',99,'stored',0,'base',0)\" 0");
    assert_string_equal(reply, ":6\r\n");
}

static void test_no_connection(void **state)
{
    (void)state;
    assert_string_equal(log_link_status(&seen.link), "stopped");
    assert_false(ask(0, 1)); /* not started */
    log_link_start(&seen.link, rig.base, rig.dns);
    seen.started = true;
    assert_false(ask(0, 1)); /* not up yet */
    assert_true(wait_for(&seen.called, 1, SOON_MS));
    assert_string_equal(log_link_status(&seen.link), "up");
    stop();
    assert_false(ask(0, 1));
    assert_string_equal(log_link_status(&seen.link), "stopped");
    turn_ms(50);
    assert_string_equal(seen.steps, "u");
}

static void test_page(void **state)
{
    (void)state;
    start();
    assert_true(ask(0, 10));
    assert_string_equal(seen.steps, "u"); /* never from within */
    assert_true(wait_for(&seen.called, 2, SOON_MS));
    assert_string_equal(seen.steps, "up");
    assert_false(seen.exists);
    assert_int_equal(seen.entries, 0);

    log_open();
    for (int id = 5; id <= 7; id++) {
        char command[64];
        snprintf(command, sizeof command, "XADD {t}:log %d-0 m x", id);
        admin(rig.server.port, command);
    }
    assert_true(ask(5, 1) && wait_for(&seen.called, 3, SOON_MS));
    assert_true(seen.exists);
    assert_int_equal(seen.entries, 1);
    assert_int_equal(seen.first_entry, 6);
    assert_true(ask(0, PAGE_ENTRIES) && wait_for(&seen.called, 4, SOON_MS));
    assert_int_equal(seen.entries, 3);
    assert_int_equal(seen.first_entry, 5);
    assert_string_equal(seen.steps, "upfp");
    seen.link.feed.opening = 0; /* on a slow machine a heartbeat has told it already */
    assert_true(log_link_page_back(&seen.link, 7, 5, page_got, &seen));
    assert_true(wait_for(&seen.called, 5, SOON_MS));
    assert_string_equal(seen.steps, "upfpn"); /* the feed knows of no opening */
    seen.link.feed.opening = 1;
    assert_true(log_link_page_back(&seen.link, 7, 5, page_got, &seen));
    assert_true(wait_for(&seen.called, 6, SOON_MS));
    assert_string_equal(seen.steps, "upfpnp");
    assert_int_equal(seen.entries, 2);
    assert_int_equal(seen.first_entry, 6);
}

/* Pages of different counts that are under way together do not mix, nor with the feed's. */
static void test_pages_together(void **state)
{
    (void)state;
    admin(rig.server.port, "XADD {t}:log 5-0 m x");
    log_open();
    start();
    assert_true(ask(0, 1) && ask(0, 2));
    assert_true(wait_for(&seen.called, 3, SOON_MS));
    assert_string_equal(seen.steps, "ufp");
}

static void test_wrong_answer(void **state)
{
    (void)state;
    admin(rig.server.port, "SET {t}:log x");
    start();
    assert_true(ask(0, 1) && wait_for(&seen.called, 2, SOON_MS));
    assert_string_equal(seen.steps, "un");
    assert_string_equal(log_link_status(&seen.link), "up");
    admin(rig.server.port, "DEL {t}:log");
    assert_true(ask(0, 1) && wait_for(&seen.called, 3, SOON_MS));
    assert_string_equal(seen.steps, "unp");
}

static void test_connection_goes(void **state)
{
    (void)state;
    start();
    assert_int_equal(kill(rig.server.pid, SIGSTOP), 0);
    assert_true(ask(0, 1) && ask(0, 1));
    backend_kill(&rig.server);
    assert_true(wait_for(&seen.called, 4, SOON_MS));
    assert_string_equal(seen.steps, "unnd");
    backend_start(&rig.server, "", false);
    assert_true(wait_for(&seen.called, 5, SOON_MS));
    assert_string_equal(seen.steps, "unndu");
}

static void test_stop_answers(void **state)
{
    (void)state;
    start();
    assert_int_equal(kill(rig.server.pid, SIGSTOP), 0);
    assert_true(ask(0, 1));
    stop();
    assert_string_equal(seen.steps, "un"); /* and no down */
    assert_false(ask(0, 1));
}

static void test_feed(void **state)
{
    static const char message[] = "{\"id\":1,\"username\":\"a\",\"content\":\"b\","
                                  "\"created_at\":\"2025-06-14T22:15:03.123Z\",\"room\":\"r\"}";
    char command[256];
    const char *why = NULL;
    (void)state;
    log_open();
    start();
    for (int ms = 0; ms < SOON_MS && !feed_ready(&seen.link.feed, &why); ms += 10)
        turn_ms(10);
    assert_null(why);
    assert_true(seen.ticks > 0 || wait_for(&seen.ticks, 1, SOON_MS));
    admin(rig.server.port, "PUBLISH {t}:live stranger");
    admin(rig.server.port, "PUBLISH {t}:control stranger");
    snprintf(command, sizeof command, "XADD {t}:log 1-0 m '%s'", message);
    admin(rig.server.port, command);
    admin(rig.server.port, "HSET {t}:state seq 1");
    snprintf(command, sizeof command, "PUBLISH {t}:live '%s'", message);
    assert_string_equal(admin(rig.server.port, command), ":1\r\n");
    assert_true(wait_for(&seen.delivered, 1, SOON_MS));
    assert_int_equal(seen.last, 1);
    admin(rig.server.port, "PUBLISH {t}:control '1 1'");
    for (int ms = 0; ms < SOON_MS && seen.link.feed.stored != 1; ms += 10)
        turn_ms(10);
    assert_int_equal(seen.link.feed.stored, 1);
    assert_int_equal(seen.delivered, 1);
    assert_string_equal(seen.steps, "u");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_no_connection, begin, end),
        cmocka_unit_test_setup_teardown(test_page, begin, end),
        cmocka_unit_test_setup_teardown(test_pages_together, begin, end),
        cmocka_unit_test_setup_teardown(test_wrong_answer, begin, end),
        cmocka_unit_test_setup_teardown(test_connection_goes, begin, end),
        cmocka_unit_test_setup_teardown(test_stop_answers, begin, end),
        cmocka_unit_test_setup_teardown(test_feed, begin, end),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
