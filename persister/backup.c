/* SPDX-License-Identifier: MIT */
/*
 * A backup while the persister works: store_backup on a thread, into a file that gets its name only
 * when it is whole and durable. So whatever is named chat-<time>.db in the folder is a backup.
 *
 *      loop    backups_start ──► thread ──► <name>.part ──► rename ──► fsync of the folder
 *              finish        ◄── eventfd ◄────────────────────────────────────┘
 */
#include "persister/backup.h"

#include <errno.h>
#include <event2/event.h>
#include <event2/event_struct.h>
#include <fcntl.h>
#include <inttypes.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "common/clock.h"
#include "common/log.h"
#include "common/mem.h"
#include "persister/store.h"

struct backups {
    const char *path, *folder;
    int done_fd; /* the thread is done */
    struct event done_event;
    bool under_way; /* the thread is there, or its end was not taken yet */
    atomic_bool stop;
    pthread_t thread;
    uint64_t begun_ms;
    backup_cb cb;
    void *arg;
    struct backup_result result; /* the thread's while it is under way */
};

/* The thread's own; false with the reason in the result. */
static bool folder_sync(const char *folder)
{
    int fd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    bool ok = fd >= 0 && fsync(fd) == 0;
    if (fd >= 0)
        close(fd);
    return ok;
}

static void make(struct backups *b)
{
    struct backup_result *r = &b->result;
    char part[sizeof r->file + 8];
    struct stat made;
    snprintf(part, sizeof part, "%s.part", r->file);
    unlink(part); /* of a persister that was killed in the same second */
    r->ok = store_backup(b->path, part, &b->stop, r->error, sizeof r->error);
    if (r->ok &&
        (rename(part, r->file) != 0 || !folder_sync(b->folder) || stat(r->file, &made) != 0)) {
        snprintf(r->error, sizeof r->error, "cannot finish the backup: %s", strerror(errno));
        r->ok = false;
    }
    if (r->ok)
        r->bytes = (uint64_t)made.st_size;
    else
        unlink(part);
}

static void *thread_main(void *arg)
{
    struct backups *b = arg;
    const uint64_t one = 1;
    make(b);
    if (write(b->done_fd, &one, sizeof one) < 0)
        abort(); /* a counter of 1 always fits */
    return NULL;
}

static void finish(struct backups *b)
{
    pthread_join(b->thread, NULL);
    b->under_way = false;
    b->result.ms = now_ms() - b->begun_ms;
    if (b->result.ok)
        log_info("backup made", "file=%s bytes=%" PRIu64 " ms=%" PRIu64, b->result.file,
                 b->result.bytes, b->result.ms);
    else
        log_error("no backup was made", "reason=%s", b->result.error);
    if (b->cb)
        b->cb(b->arg, &b->result);
}

static void done_cb(evutil_socket_t fd, short what, void *arg)
{
    (void)what;
    uint64_t ignored;
    if (read(fd, &ignored, sizeof ignored) == sizeof ignored)
        finish(arg);
}

struct backups *backups_new(struct event_base *base, const char *path, const char *folder)
{
    struct backups *b = mem_zalloc(sizeof *b);
    b->path = path;
    b->folder = folder;
    b->done_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    event_assign(&b->done_event, base, b->done_fd, EV_READ | EV_PERSIST, done_cb, b);
    if (b->done_fd >= 0)
        event_add(&b->done_event, NULL);
    return b;
}

/* All signals are for the loop's thread. */
static int thread_start(struct backups *b)
{
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    int failed = pthread_create(&b->thread, NULL, thread_main, b);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    return failed;
}

bool backups_start(struct backups *b, backup_cb cb, void *arg, char *error, size_t size)
{
    char stamp[32];
    time_t now = time(NULL);
    struct tm utc;
    const char *why = NULL;
    if (!*b->folder)
        why = "BACKUP_DIR is not set";
    else if (b->under_way)
        why = "a backup is under way";
    else if (b->done_fd < 0)
        why = "no eventfd was to be had";
    if (why) {
        snprintf(error, size, "%s", why);
        return false;
    }
    gmtime_r(&now, &utc);
    strftime(stamp, sizeof stamp, "%Y%m%dT%H%M%SZ", &utc);
    b->result = (struct backup_result){0};
    snprintf(b->result.file, sizeof b->result.file, "%s/chat-%s.db", b->folder, stamp);
    if (access(b->result.file, F_OK) == 0) {
        snprintf(error, size, "one was made in this second");
        return false;
    }
    b->begun_ms = now_ms();
    b->cb = cb;
    b->arg = arg;
    b->under_way = thread_start(b) == 0;
    if (!b->under_way)
        snprintf(error, size, "cannot start a thread");
    return b->under_way;
}

void backups_free(struct backups *b)
{
    if (!b)
        return;
    atomic_store(&b->stop, true);
    if (b->under_way)
        finish(b);
    if (b->done_fd >= 0) {
        event_del(&b->done_event);
        close(b->done_fd);
    }
    event_debug_unassign(&b->done_event);
    free(b);
}
