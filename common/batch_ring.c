/* SPDX-License-Identifier: MIT */
/*
 * A batch of writes as one io_uring submission (io_uring_enter(2), io_uring_prep_send(3)).
 *
 * Why nothing is ever in flight: with MSG_DONTWAIT a full socket completes with EAGAIN instead of
 * waiting inside the kernel, so every write is over when the submission returns.
 *
 * Why few completions are read: under IOSQE_CQE_SKIP_SUCCESS a write that succeeds makes none.
 * MSG_WAITALL lets a short write count as a failure (and stop where the socket was full), so it
 * makes one, with the bytes that went out. A job without a completion was sent whole.
 */
#include "common/batch_ring.h"

#include <errno.h>

#ifdef HAVE_LIBURING

#include <assert.h>
#include <liburing.h>
#include <string.h>
#include <sys/socket.h>

static struct io_uring ring;
static struct msghdr headers[BATCH_JOBS];

int batch_ring_open(void)
{
    struct io_uring_params p = {.flags = IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_DEFER_TASKRUN};
    int error = io_uring_queue_init_params(BATCH_JOBS, &ring, &p);
    if (error == -EINVAL) { /* a kernel before 6.1 */
        p = (struct io_uring_params){0};
        error = io_uring_queue_init_params(BATCH_JOBS, &ring, &p);
    }
    if (!error && !(p.features & IORING_FEAT_CQE_SKIP)) {
        io_uring_queue_exit(&ring);
        error = -EOPNOTSUPP;
    }
    return -error;
}

void batch_ring_close(void)
{
    io_uring_queue_exit(&ring);
}

static void job_queue(struct batch_job *job, struct msghdr *header)
{
    const unsigned flags =
        MSG_DONTWAIT | MSG_NOSIGNAL | MSG_WAITALL | (job->more ? (unsigned)MSG_MORE : 0);
    struct io_uring_sqe *sqe = io_uring_get_sqe(&ring);
    assert(sqe); /* the queue holds a batch */
    if (job->iovs == 1) {
        io_uring_prep_send(sqe, job->fd, job->iov->iov_base, job->len, (int)flags);
    } else {
        *header = (struct msghdr){
            .msg_iov = (struct iovec *)(uintptr_t)job->iov, /* they are not changed */
            .msg_iovlen = job->iovs,
        };
        io_uring_prep_sendmsg(sqe, job->fd, header, flags);
    }
    sqe->flags |= IOSQE_CQE_SKIP_SUCCESS;
    io_uring_sqe_set_data(sqe, job);
    job->sent = (ssize_t)job->len;
}

size_t batch_ring_run(struct batch_job *jobs, size_t count)
{
    for (size_t i = 0; i < count; i++)
        job_queue(&jobs[i], &headers[i]);
    size_t done = 0;
    int n = 0;
    while (done < count && ((n = io_uring_submit(&ring)) > 0 || n == -EINTR || n == -EAGAIN))
        done += n > 0 ? (size_t)n : 0;
    struct io_uring_cqe *cqe;
    while (io_uring_peek_cqe(&ring, &cqe) == 0) {
        struct batch_job *job = io_uring_cqe_get_data(cqe);
        job->sent = cqe->res;
        io_uring_cqe_seen(&ring, cqe);
    }
    return done;
}

#else

int batch_ring_open(void)
{
    return ENOSYS;
}

void batch_ring_close(void)
{
}

size_t batch_ring_run(struct batch_job *jobs, size_t count)
{
    (void)jobs, (void)count;
    return 0;
}

#endif
