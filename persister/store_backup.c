/* SPDX-License-Identifier: MIT */
/*
 * A backup: VACUUM INTO a new file, read from a snapshot, while a persister may write. This
 * connection only reads, and leaves checkpoints to the persister even when it is the last one to
 * close the file.
 */
#include <errno.h>
#include <fcntl.h>
#include <sqlite3.h>
#include <stdio.h>
#include <unistd.h>

#include "persister/store.h"

enum {
    STOP_STEPS = 10000, /* of SQLite's machine, between two looks at stop */
};

static int stop_cb(void *arg)
{
    const atomic_bool *stop = *(const atomic_bool *const *)arg;
    return atomic_load(stop);
}

static bool copy(sqlite3 *db, const char *to)
{
    sqlite3_stmt *statement = NULL;
    bool ok = sqlite3_prepare_v2(db, "VACUUM INTO ?1", -1, &statement, NULL) == SQLITE_OK &&
              sqlite3_bind_text(statement, 1, to, -1, SQLITE_STATIC) == SQLITE_OK &&
              sqlite3_step(statement) == SQLITE_DONE;
    sqlite3_finalize(statement);
    return ok;
}

/* VACUUM INTO leaves that to us. */
static bool make_durable(const char *to)
{
    int fd = open(to, O_RDONLY | O_CLOEXEC);
    bool ok = fd >= 0 && fsync(fd) == 0;
    if (fd >= 0)
        close(fd);
    return ok;
}

bool store_backup(const char *path, const char *to, const atomic_bool *stop, char *error,
                  size_t size)
{
    sqlite3 *db = NULL;
    bool ready = sqlite3_open_v2(path, &db, SQLITE_OPEN_READONLY, NULL) == SQLITE_OK &&
                 sqlite3_db_config(db, SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1, NULL) == SQLITE_OK &&
                 sqlite3_busy_timeout(db, 5000) == SQLITE_OK;
    if (ready && stop)
        sqlite3_progress_handler(db, STOP_STEPS, stop_cb, &stop);
    bool copied = ready && copy(db, to);
    bool durable = copied && make_durable(to);
    if (!copied)
        snprintf(error, size, "cannot copy %s to %s: %s", path, to, sqlite3_errmsg(db));
    else if (!durable)
        snprintf(error, size, "cannot sync %s: %s", to, strerror(errno));
    sqlite3_close(db);
    return durable;
}
