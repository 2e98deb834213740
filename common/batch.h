/* SPDX-License-Identifier: MIT */
/*
 * The writes of a turn, handed to the kernel together. A job is one gathered write to one socket;
 * none ever blocks, and all are finished when batch_run returns, so no buffer and no descriptor is
 * ever in flight. Jobs may share their iovecs: most clients of a room are owed the same bytes.
 */
#ifndef COMMON_BATCH_H
#define COMMON_BATCH_H

#include <sys/types.h>
#include <sys/uio.h>

#include "common/limits.h"

struct batch_job {
    int fd;
    const struct iovec *iov;
    size_t iovs;  /* at least 1 */
    size_t len;   /* bytes in all iovecs */
    ssize_t sent; /* the result: bytes, or -errno (-EAGAIN: the socket is full) */
};

/* Runs up to BATCH_JOBS jobs and fills in what was sent. SIGPIPE is not raised. */
void batch_run(struct batch_job *jobs, size_t count);

#endif
