/* SPDX-License-Identifier: MIT */
/*
 * A batch of writes, one system call each, or one for all where batch_ring.c may do it. A short
 * write means what it always means on a non-blocking socket: its buffer is full, and the caller
 * waits for EV_WRITE.
 */
#include "common/batch.h"

#include <assert.h>
#include <errno.h>
#include <limits.h>
#include <stdint.h>
#include <string.h>
#include <sys/socket.h>

#include "common/batch_ring.h"

static bool ring_open; /* the ring serves */

bool batch_open(enum batch_way way, const char **why)
{
    int error = way == BATCH_SENDMSG ? 0 : batch_ring_open();
    ring_open = way != BATCH_SENDMSG && error == 0;
    *why = ring_open ? NULL : way == BATCH_SENDMSG ? "not asked for" : strerror(error);
    return ring_open || way != BATCH_IO_URING;
}

void batch_close(void)
{
    if (ring_open)
        batch_ring_close();
    ring_open = false;
}

static ssize_t job_send(const struct batch_job *job)
{
    const int flags = MSG_DONTWAIT | MSG_NOSIGNAL | (job->more ? MSG_MORE : 0);
    if (job->iovs == 1)
        return send(job->fd, job->iov->iov_base, job->iov->iov_len, flags);
    struct msghdr msg = {
        .msg_iov = (struct iovec *)(uintptr_t)job->iov, /* sendmsg does not change them */
        .msg_iovlen = job->iovs,
    };
    return sendmsg(job->fd, &msg, flags);
}

void batch_run(struct batch_job *jobs, size_t count)
{
    assert(count <= BATCH_JOBS);
    size_t done = 0;
    if (ring_open && count > 1) {
        done = batch_ring_run(jobs, count);
        if (done < count) /* the ring is broken: what it did not take goes the other way */
            batch_close();
    }
    for (struct batch_job *job = jobs + done; job < jobs + count; job++) {
        assert(job->iovs >= 1 && job->iovs <= IOV_MAX);
        job->sent = job_send(job);
        if (job->sent < 0)
            job->sent = -errno;
    }
}
