/* SPDX-License-Identifier: MIT */
/*
 * A batch of writes, one system call each. A short write means what it always means on a
 * non-blocking socket: its buffer is full, and the caller waits for EV_WRITE.
 */
#include "common/batch.h"

#include <assert.h>
#include <errno.h>
#include <limits.h>
#include <stdint.h>
#include <sys/socket.h>

static ssize_t job_send(const struct batch_job *job)
{
    if (job->iovs == 1)
        return send(job->fd, job->iov->iov_base, job->iov->iov_len, MSG_DONTWAIT | MSG_NOSIGNAL);
    struct msghdr msg = {
        .msg_iov = (struct iovec *)(uintptr_t)job->iov, /* sendmsg does not change them */
        .msg_iovlen = job->iovs,
    };
    return sendmsg(job->fd, &msg, MSG_DONTWAIT | MSG_NOSIGNAL);
}

void batch_run(struct batch_job *jobs, size_t count)
{
    assert(count <= BATCH_JOBS);
    for (struct batch_job *job = jobs; job < jobs + count; job++) {
        assert(job->iovs >= 1 && job->iovs <= IOV_MAX);
        job->sent = job_send(job);
        if (job->sent < 0)
            job->sent = -errno;
    }
}
