/* SPDX-License-Identifier: MIT */
/* What processes of this machine have used so far, read from /proc. */
#ifndef BENCH_PROCS_H
#define BENCH_PROCS_H

#include <stdint.h>
#include <sys/types.h>

enum {
    PROCS_MAX = 32,
};

struct procs_sample {
    uint64_t cpu_ns[PROCS_MAX];     /* of all threads that live */
    uint64_t user_bytes[PROCS_MAX]; /* anonymous memory that is resident */
    uint64_t own_cpu_ns;            /* of this process */
    uint64_t tcp_bytes;             /* the kernel's socket buffers, of the whole machine */
};

/* A process that has gone counts 0. */
void procs_take(struct procs_sample *s, const pid_t *pids, size_t count);

/* The program's name, or ""; valid until the next call. */
const char *procs_name(pid_t pid);

#endif
