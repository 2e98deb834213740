/* SPDX-License-Identifier: MIT */
/*
 * The clock of the day, some seconds off, for LD_PRELOAD into Redis: the file CHAOS_CLOCK holds
 * the offset, read at each call. The monotonic clock stays as it is, as when somebody sets a
 * machine's date. (libfaketime does not start a Redis that is linked with jemalloc 5.3.)
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

/* A copy: Redis moves its environment to make room for its title. */
static char file[4096];

__attribute__((constructor)) static void init(void)
{
    const char *name = getenv("CHAOS_CLOCK");
    if (name && strlen(name) < sizeof file)
        strcpy(file, name);
}

static long offset_s(void)
{
    char text[32] = "";
    int fd = *file ? (int)syscall(SYS_openat, AT_FDCWD, file, O_RDONLY | O_CLOEXEC) : -1;
    if (fd < 0)
        return 0;
    ssize_t n = syscall(SYS_read, fd, text, sizeof text - 1);
    syscall(SYS_close, fd);
    return n > 0 ? strtol(text, NULL, 10) : 0;
}

int clock_gettime(clockid_t clock, struct timespec *out)
{
    int result = (int)syscall(SYS_clock_gettime, clock, out);
    if (result == 0 && (clock == CLOCK_REALTIME || clock == CLOCK_REALTIME_COARSE))
        out->tv_sec += offset_s();
    return result;
}

int gettimeofday(struct timeval *restrict out, void *restrict zone)
{
    struct timespec now;
    (void)zone;
    if (clock_gettime(CLOCK_REALTIME, &now) != 0)
        return -1;
    out->tv_sec = now.tv_sec;
    out->tv_usec = now.tv_nsec / 1000;
    return 0;
}

time_t time(time_t *out)
{
    struct timespec now;
    if (clock_gettime(CLOCK_REALTIME, &now) != 0)
        return -1;
    if (out)
        *out = now.tv_sec;
    return now.tv_sec;
}
