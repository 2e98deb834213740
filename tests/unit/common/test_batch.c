/* SPDX-License-Identifier: MIT */
/* Both ways of a batch, on real sockets: whole, short, full and broken ones side by side. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "common/batch.h"
#include "common/mem.h"

enum {
    PART = 100,
    LARGE = 8 << 20,
};

static char large[LARGE];

static void pair_open(int pair[2])
{
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, pair), 0);
}

static void pair_close(const int pair[2])
{
    close(pair[0]);
    close(pair[1]);
}

static size_t drain(int fd, char *to, size_t max)
{
    size_t got = 0;
    ssize_t n;
    while (got < max && (n = recv(fd, to + got, max - got, MSG_DONTWAIT)) > 0)
        got += (size_t)n;
    return got;
}

/* As many jobs as fit, every second one of two pieces, all with the same iovecs. */
static void test_all_arrive(void **state)
{
    (void)state;
    int pairs[BATCH_JOBS][2];
    char a[PART], b[PART], got[3 * PART];
    memset(a, 'a', sizeof a);
    memset(b, 'b', sizeof b);
    const struct iovec iov[2] = {{a, sizeof a}, {b, sizeof b}};
    struct batch_job jobs[BATCH_JOBS];
    for (size_t i = 0; i < BATCH_JOBS; i++) {
        pair_open(pairs[i]);
        size_t pieces = 1 + i % 2;
        jobs[i] = (struct batch_job){
            .fd = pairs[i][0], .iov = iov, .iovs = pieces, .len = pieces * PART, .sent = -1};
    }
    batch_run(jobs, BATCH_JOBS);
    for (size_t i = 0; i < BATCH_JOBS; i++) {
        size_t want = (1 + i % 2) * PART;
        assert_int_equal(jobs[i].sent, want);
        assert_int_equal(drain(pairs[i][1], got, sizeof got), want);
        assert_memory_equal(got, a, PART);
        if (want > PART)
            assert_memory_equal(got + PART, b, PART);
        pair_close(pairs[i]);
    }
}

/* What a full socket took is told to the byte, and what is sent then goes on where it stopped. */
static void test_short_and_full(void **state)
{
    (void)state;
    int slow[2], good[2];
    pair_open(slow);
    pair_open(good);
    for (size_t i = 0; i < LARGE; i++)
        large[i] = (char)(i * 31 + i / 251);
    const struct iovec iov = {large, LARGE}, few = {large, PART};
    struct batch_job jobs[3] = {{.fd = slow[0], .iov = &iov, .iovs = 1, .len = LARGE},
                                {.fd = slow[0], .iov = &few, .iovs = 1, .len = PART},
                                {.fd = good[0], .iov = &few, .iovs = 1, .len = PART}};
    batch_run(jobs, 3);
    assert_true(jobs[0].sent > 0 && jobs[0].sent < LARGE);
    assert_int_equal(jobs[1].sent, -EAGAIN);
    assert_int_equal(jobs[2].sent, PART);
    char *got = mem_alloc(LARGE);
    size_t n = drain(slow[1], got, LARGE);
    assert_int_equal(n, jobs[0].sent);
    assert_memory_equal(got, large, n);
    free(got);
    pair_close(slow);
    pair_close(good);
}

static void test_broken_ones_hurt_nobody(void **state)
{
    (void)state;
    int gone[2], good[2], shut;
    pair_open(gone);
    pair_open(good);
    close(gone[1]);
    shut = dup(gone[0]);
    close(shut);
    const struct iovec iov = {large, PART};
    struct batch_job jobs[3] = {{.fd = gone[0], .iov = &iov, .iovs = 1, .len = PART},
                                {.fd = shut, .iov = &iov, .iovs = 1, .len = PART},
                                {.fd = good[0], .iov = &iov, .iovs = 1, .len = PART}};
    batch_run(jobs, 3);
    assert_int_equal(jobs[0].sent, -EPIPE);
    assert_int_equal(jobs[1].sent, -EBADF);
    assert_int_equal(jobs[2].sent, PART);
    close(gone[0]);
    pair_close(good);
}

static int sendmsg_setup(void **state)
{
    (void)state;
    const char *why;
    return batch_open(BATCH_SENDMSG, &why) ? 0 : -1;
}

static int ring_setup(void **state)
{
    (void)state;
    const char *why;
    if (batch_open(BATCH_IO_URING, &why))
        return 0;
    printf("io_uring cannot be had here (%s): its tests run over sendmsg\n", why);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    batch_close();
    return 0;
}

int main(void)
{
#define BOTH(f)                                                                                    \
    {#f "_sendmsg", f, sendmsg_setup, teardown, NULL},                                             \
    {                                                                                              \
#f "_io_uring", f, ring_setup, teardown, NULL                                              \
    }
    const struct CMUnitTest tests[] = {
        BOTH(test_all_arrive),
        BOTH(test_short_and_full),
        BOTH(test_broken_ones_hurt_nobody),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
