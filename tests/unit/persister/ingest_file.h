/* SPDX-License-Identifier: MIT */
/* The world of ingest_world.h, and its SQLite file: rows that are read and committed, or fail. */
#ifndef TESTS_INGEST_FILE_H
#define TESTS_INGEST_FILE_H

#include <inttypes.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "common/mem.h"
#include "persister/ingest.h"
#include "tests/unit/persister/log_model.h"

enum {
    BACKLOG = 100,
    TAIL = 20,
    WINDOW_S = 86400,
    STEPS = 4000,
    TICK_MS = 100
};

static const char OWN[] = "f11ef11ef11ef11e";

enum asked {
    NOTHING,
    PAGE,
    COMMIT,
    SCRIPT
};

struct world {
    struct ingest *g;
    struct log_names names;
    struct redis_model *r;
    struct store_log file;
    struct rows *rows;    /* of SQLite */
    struct rows *removed; /* by retention: their keys are there still */
    struct entry *entries;
    bool linked, page_asked, commit_asked, script_asked;
    bool page_wanted; /* by a connection, when the earlier one's is released */
    bool page_given;  /* and not released yet, by whatever connection */
    uint64_t after, now_ms;
    unsigned aheads;       /* pages that more may be read behind */
    enum ingest_next next; /* of the last release */
    unsigned page_size;
    struct rows *committing;
    struct store_commit commit;
    char verb[16], argv[1100][128], keyv[210][64];
    uint64_t opening;
    size_t nargv, nkeyv;
    enum store_result result; /* of the next commits */
    unsigned reads_good;      /* this many reads of rows more, then one that fails; 0: none fails */
    bool unsure;              /* one failed: so will the next commit */
    char trace[STEPS * 10];   /* what was asked for, in order */
    unsigned steps;
};

static inline struct entry entry_of(const struct row *row, bool forget)
{
    struct entry e = {.id = row->id, .json = str_of(row->json)};
    if (!forget || !row->old) {
        e.origin = str_of(row->origin);
        e.key = str_of(row->key);
        e.value = str_of(row->value);
    }
    return e;
}

static inline size_t entries_list(struct world *w, size_t found, const struct rows *rows,
                                  uint64_t after, size_t limit, bool forget)
{
    for (size_t i = 0; i < rows->n && found < limit; i++)
        if (rows->at[i].id > after)
            w->entries[found++] = entry_of(&rows->at[i], forget);
    return found;
}

static inline struct entries entries_read(struct world *w, size_t count, size_t limit)
{
    if (w->reads_good && --w->reads_good == 0) {
        w->unsure = true;
        return (struct entries){.failed = true};
    }
    return (struct entries){.at = w->entries, .count = count, .more = count == limit};
}

static inline struct entries io_entries_after(void *ctx, uint64_t after, size_t limit)
{
    struct world *w = ctx;
    return entries_read(w, entries_list(w, 0, w->rows, after, limit, true), limit);
}

static inline struct entries io_keys_after(void *ctx, uint64_t after, size_t limit)
{
    struct world *w = ctx;
    size_t n = entries_list(w, 0, w->removed, after, limit, true);
    return entries_read(w, entries_list(w, n, w->rows, after, limit, true), limit);
}

static inline uint64_t io_newest_floor(void *ctx, uint64_t n)
{
    struct world *w = ctx;
    return w->rows->n > n ? w->rows->at[w->rows->n - 1 - n].id : 0;
}

static inline uint64_t io_window_floor(void *ctx)
{
    struct world *w = ctx;
    uint64_t floor = 0;
    for (size_t i = 0; i < w->rows->n && w->rows->at[i].old; i++)
        floor = w->rows->at[i].id;
    return floor;
}

static const struct store_log *io_standing(void *ctx)
{
    return &((struct world *)ctx)->file;
}

static inline void row_of_entry(struct row *row, const struct entry *e)
{
    *row = (struct row){.id = e->id};
    text_copy(row->json, sizeof row->json, e->json);
    text_copy(row->origin, sizeof row->origin, e->origin);
    text_copy(row->key, sizeof row->key, e->key);
    text_copy(row->value, sizeof row->value, e->value);
}

static inline void io_commit(void *ctx, const struct store_commit *c)
{
    struct world *w = ctx;
    assert_false(w->commit_asked);
    assert_true(c->position >= w->file.position && c->lease >= w->file.lease &&
                c->opening >= w->file.opening);
    w->commit_asked = true;
    w->commit = *c;
    w->committing->n = c->count;
    for (size_t i = 0; i < c->count; i++)
        row_of_entry(&w->committing->at[i], &c->entries[i]);
    strcat(w->trace, "commit ");
}

static inline void commit_run(struct world *w)
{
    w->commit_asked = false;
    const enum store_result result = w->unsure ? STORE_FAILED : w->result;
    w->unsure = false;
    if (result == STORE_OK) {
        for (size_t i = 0; i < w->committing->n; i++) {
            assert_null(row_find(w->rows, w->committing->at[i].id));
            if (w->committing->at[i].json[0] != '{')
                continue; /* no message */
            w->rows->at[w->rows->n++] = w->committing->at[i];
            w->file.last = w->committing->at[i].id;
        }
        w->file.position = w->commit.position;
        w->file.lease = w->commit.lease;
        w->file.opening = w->commit.opening;
    }
    ingest_committed(w->g, result, result == STORE_OK ? "" : "disk");
}

#endif
