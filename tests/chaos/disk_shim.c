/* SPDX-License-Identifier: MIT */
/*
 * A disk that fails on demand, for LD_PRELOAD into the persister. CHAOS_DISK names a folder; the
 * file `mode` in it holds one word, read at each call:
 *
 *      full       writes end with ENOSPC          sync    fsync and fdatasync end with EIO
 *      readonly   writes end with EROFS           (anything else, or no file: all goes through)
 *
 * Only files whose name begins with CHAOS_DATABASE are concerned. Each call that was made to fail
 * adds a byte to the file `hits`, which is the proof that the fault was met.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/types.h>
#include <unistd.h>

enum {
    PATH_BYTES = 4096,
    WORD_BYTES = 16,
};

/* A file of the folder, by the system call alone, so that nothing of this runs through itself. */
static int folder_open(const char *name, int flags)
{
    char path[PATH_BYTES];
    const char *folder = getenv("CHAOS_DISK");
    if (!folder || snprintf(path, sizeof path, "%s/%s", folder, name) >= (int)sizeof path)
        return -1;
    return (int)syscall(SYS_openat, AT_FDCWD, path, flags | O_CLOEXEC, 0600);
}

static int is_mode(const char *word)
{
    char text[WORD_BYTES] = "";
    int fd = folder_open("mode", O_RDONLY);
    if (fd < 0)
        return 0;
    ssize_t n = syscall(SYS_read, fd, text, sizeof text - 1);
    syscall(SYS_close, fd);
    return n > 0 && strncmp(text, word, strlen(word)) == 0;
}

static int is_database(int fd)
{
    char link[64], path[PATH_BYTES];
    const char *database = getenv("CHAOS_DATABASE");
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t n = readlink(link, path, sizeof path - 1);
    if (n < 0 || !database)
        return 0;
    path[n] = 0;
    return strncmp(path, database, strlen(database)) == 0;
}

static int fail(int error)
{
    int fd = folder_open("hits", O_WRONLY | O_CREAT | O_APPEND);
    if (fd >= 0) {
        syscall(SYS_write, fd, ".", 1);
        syscall(SYS_close, fd);
    }
    errno = error;
    return -1;
}

/* Must this write fail? 0, or the error. */
static int write_error(int fd)
{
    if (!is_database(fd))
        return 0;
    return is_mode("full") ? ENOSPC : is_mode("readonly") ? EROFS : 0;
}

ssize_t write(int fd, const void *bytes, size_t n)
{
    int error = write_error(fd);
    return error ? fail(error) : (ssize_t)syscall(SYS_write, fd, bytes, n);
}

ssize_t pwrite64(int fd, const void *bytes, size_t n, off64_t at)
{
    int error = write_error(fd);
    return error ? fail(error) : (ssize_t)syscall(SYS_pwrite64, fd, bytes, n, at);
}

ssize_t pwrite(int fd, const void *bytes, size_t n, off_t at)
{
    return pwrite64(fd, bytes, n, at);
}

int ftruncate64(int fd, off64_t size)
{
    int error = write_error(fd);
    return error ? fail(error) : (int)syscall(SYS_ftruncate, fd, size);
}

int ftruncate(int fd, off_t size)
{
    return ftruncate64(fd, size);
}

int posix_fallocate64(int fd, off64_t at, off64_t size)
{
    int error = write_error(fd);
    if (error) {
        fail(error);
        return error;
    }
    return syscall(SYS_fallocate, fd, 0, at, size) == 0 ? 0 : errno;
}

int posix_fallocate(int fd, off_t at, off_t size)
{
    return posix_fallocate64(fd, at, size);
}

int fsync(int fd)
{
    return is_database(fd) && is_mode("sync") ? fail(EIO) : (int)syscall(SYS_fsync, fd);
}

int fdatasync(int fd)
{
    return is_database(fd) && is_mode("sync") ? fail(EIO) : (int)syscall(SYS_fdatasync, fd);
}
