/* SPDX-License-Identifier: MIT */
/* The loop of a program: what the process is prepared for, signals, and names. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <event2/event.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "common/loop.h"
#include "common/resolve.h"

static struct {
    struct loop loop;
    unsigned drains, resolved;
    char signal[16], ip[64];
} rig;

static void drain(void *ctx, const char *name)
{
    assert_ptr_equal(ctx, &rig);
    assert_true(rig.loop.draining);
    strncpy(rig.signal, name, sizeof rig.signal - 1);
    rig.drains++;
}

static void resolved_cb(void *ctx, const char *ip, const char *why)
{
    assert_ptr_equal(ctx, &rig);
    assert_true(ip || why);
    strncpy(rig.ip, ip ? ip : "", sizeof rig.ip - 1);
    rig.resolved++;
}

static int begin(void **state)
{
    char error[128] = "";
    (void)state;
    memset(&rig, 0, sizeof rig);
    assert_true(loop_init(&rig.loop, drain, &rig, error, sizeof error));
    assert_string_equal(error, "");
    return 0;
}

static int end(void **state)
{
    (void)state;
    loop_done(&rig.loop);
    return 0;
}

static void test_signals(void **state)
{
    const int *first = *state;
    loop_turn(&rig.loop, true); /* does not wait */
    assert_false(rig.loop.draining || rig.loop.over);
    assert_int_equal(kill(getpid(), *first), 0);
    while (!rig.drains)
        loop_turn(&rig.loop, false);
    assert_string_equal(rig.signal, *first == SIGTERM ? "SIGTERM" : "SIGINT");
    assert_true(rig.loop.draining && !rig.loop.over);
    assert_int_equal(kill(getpid(), SIGTERM), 0);
    while (!rig.loop.over)
        loop_turn(&rig.loop, false);
    assert_int_equal(rig.drains, 1);
}

static void test_names(void **state)
{
    struct resolve *slot = NULL;
    (void)state;
    resolve_start(&slot, rig.loop.dns, "localhost", 0, resolved_cb, &rig);
    while (!rig.resolved)
        loop_turn(&rig.loop, false);
    assert_true(strcmp(rig.ip, "127.0.0.1") == 0 || strcmp(rig.ip, "::1") == 0);
}

static void test_never_started(void **state)
{
    (void)state;
    struct loop loop = {0};
    loop_done(&loop);
}

static void test_process(void **state)
{
    struct rlimit files;
    int ends[2];
    (void)state;
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &files), 0);
    files.rlim_cur = 64;
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &files), 0);
    process_prepare(1 << 20);
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &files), 0);
    assert_true(files.rlim_cur == files.rlim_max);
    assert_int_equal(pipe(ends), 0);
    close(ends[0]);
    assert_int_equal(write(ends[1], "x", 1), -1);
    assert_int_equal(errno, EPIPE);
    close(ends[1]);
}

int main(void)
{
    static int terminate = SIGTERM, interrupt = SIGINT;
    unsetenv("EVENT_DEBUG_MODE"); /* it allows one loop in a process */
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_prestate_setup_teardown(test_signals, begin, end, &terminate),
        cmocka_unit_test_prestate_setup_teardown(test_signals, begin, end, &interrupt),
        cmocka_unit_test_setup_teardown(test_names, begin, end),
        cmocka_unit_test(test_never_started),
        cmocka_unit_test(test_process),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
