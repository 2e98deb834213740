/* SPDX-License-Identifier: MIT */
/*
 * The writes of a turn, handed to the kernel together. A job is one gathered write to one socket;
 * none ever blocks, and all are finished when batch_run returns, so no buffer and no descriptor is
 * ever in flight. Jobs may share their iovecs: most clients of a room are owed the same bytes.
 *
 * Two ways lead there: one system call for each job (sendmsg), or one for the whole batch
 * (io_uring), where the kernel allows it. Without batch_open it is sendmsg.
 */
#ifndef COMMON_BATCH_H
#define COMMON_BATCH_H

#include <stdbool.h>
#include <sys/types.h>
#include <sys/uio.h>

#include "common/limits.h"

struct batch_job {
    int fd;
    bool more; /* more follows at once, if only the end of our side: may go in one packet */
    const struct iovec *iov;
    size_t iovs;  /* at least 1 */
    size_t len;   /* bytes in all iovecs, at most INT_MAX */
    ssize_t sent; /* the result: bytes, or -errno (-EAGAIN: the socket is full) */
};

enum batch_way {
    BATCH_AUTO, /* io_uring if the kernel allows it, else sendmsg */
    BATCH_IO_URING,
    BATCH_SENDMSG,
};

/* Chooses the way, for this process: call it after any fork, in the thread that runs batches.
 * False: io_uring was demanded and cannot be had. *why (static words) says why it is not io_uring,
 * or is NULL when it is. */
bool batch_open(enum batch_way way, const char **why);
void batch_close(void);

/* Runs up to BATCH_JOBS jobs and fills in what was sent. SIGPIPE is not raised. */
void batch_run(struct batch_job *jobs, size_t count);

#endif
