/* SPDX-License-Identifier: MIT */
/* Backups of the running persister's file, one at a time, on a thread of their own. */
#ifndef PERSISTER_BACKUP_H
#define PERSISTER_BACKUP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct backups;
struct event_base;

enum {
    BACKUP_WHY_BYTES = 512,
};

struct backup_result {
    bool ok;
    char error[BACKUP_WHY_BYTES]; /* one line, when it is not */
    char file[4096];              /* the whole new file */
    uint64_t bytes, ms;           /* its size; how long it took */
};

typedef void (*backup_cb)(void *arg, const struct backup_result *result);

/* path: the database; folder: where the copies go, or "" for no backups. Both are borrowed. */
struct backups *backups_new(struct event_base *base, const char *path, const char *folder);

/* Begins one; cb (or NULL) is called in the loop, later, exactly once. False with one line in error
 * when none can be begun. */
bool backups_start(struct backups *b, backup_cb cb, void *arg, char *error, size_t size);

/* Stops the one under way, whose callback comes from here, and waits for it. NULL is fine. */
void backups_free(struct backups *b);

#endif
