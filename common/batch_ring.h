/* SPDX-License-Identifier: MIT */
/* The way of batch.c through io_uring; for nobody else. */
#ifndef COMMON_BATCH_RING_H
#define COMMON_BATCH_RING_H

#include "common/batch.h"

/* Sets the ring up; 0, or an errno: ENOSYS without io_uring in the build or the kernel, EPERM or
 * ENOMEM where a container forbids it, EOPNOTSUPP on a kernel before 5.17. */
int batch_ring_open(void);
void batch_ring_close(void);

/* Like batch_run. Returns how many of the first jobs were run: fewer than count only when the ring
 * fails, which it then does for ever. */
size_t batch_ring_run(struct batch_job *jobs, size_t count);

#endif
