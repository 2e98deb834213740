/* SPDX-License-Identifier: MIT */
/*
 * What the tests of the store share: a store over a real file in a temporary folder, entries for
 * it, and a second connection of our own to the same file. Include it first.
 */
#ifndef TESTS_STORE_RIG_H
#define TESTS_STORE_RIG_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <event2/event.h>
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include "common/iso_time.h"
#include "common/mem.h"
#include "common/message.h"
#include "persister/store.h"

enum {
    WINDOW_S = 3600,
    ENTRIES_MAX = 4000,
};

static struct {
    struct event_base *base;
    struct store *store;
    char folder[64], path[96];
    bool done; /* the last commit's answer */
    enum store_result result;
    char why[256];
    struct entry entries[ENTRIES_MAX];
    size_t count;
    char error[256];
} rig;

/* ---- entries ---- */

static inline uint64_t now_ms(void)
{
    return (uint64_t)time(NULL) * 1000;
}

static inline const char *room_of(uint64_t id)
{
    return id % 3 ? "lobby" : "attic";
}

static inline void add_json(struct buf **out, uint64_t id, const char *content, uint64_t time_ms)
{
    char created_at[ISO_TIME_BYTES + 1];
    iso_time_write(created_at, time_ms);
    message_add(out, id, STR("Ana \"ñ\""), str_of(content), str_of(created_at),
                str_of(room_of(id)));
}

static inline struct str copied(struct buf *b)
{
    struct str s = buf_str(b);
    return (struct str){mem_strndup(s.p, s.len), s.len};
}

static inline void entries_clear(void)
{
    for (size_t i = 0; i < rig.count; i++) {
        union {
            const char *borrowed;
            char *owned;
        } json = {rig.entries[i].json.p};
        free(json.owned);
    }
    rig.count = 0;
}

/* An entry with an origin, and a key where the id is even. */
static inline struct entry *entry_add_at(uint64_t id, const char *content, uint64_t time_ms)
{
    struct buf *json = NULL;
    add_json(&json, id, content, time_ms);
    struct entry *e = &rig.entries[rig.count++];
    *e = (struct entry){.id = id, .json = copied(json), .origin = STR("00ff:7:1")};
    buf_free(&json);
    if (id % 2 == 0) {
        e->key = STR("{chat}:idem:lobby:Ana:k");
        e->value = STR("2 1700000000000 f");
    }
    return e;
}

static inline void entries_add(uint64_t first, uint64_t last, uint64_t time_ms)
{
    for (uint64_t id = first; id <= last; id++)
        entry_add_at(id, "Hola\n/ \\ é", time_ms);
}

/* ---- commits ---- */

static inline void done_cb(void *arg, enum store_result result, const char *why)
{
    assert_ptr_equal(arg, &rig);
    assert_false(rig.done);
    rig.done = true;
    rig.result = result;
    snprintf(rig.why, sizeof rig.why, "%s", why);
}

static inline enum store_result wait_done(void)
{
    while (!rig.done)
        event_base_loop(rig.base, EVLOOP_ONCE);
    return rig.result;
}

/* Commits the entries that were added, and forgets them. */
static inline enum store_result commit(uint64_t position, uint64_t lease, uint64_t opening)
{
    struct store_commit c = {.entries = rig.entries,
                             .count = rig.count,
                             .position = position,
                             .lease = lease,
                             .opening = opening};
    rig.done = false;
    store_commit(rig.store, &c, done_cb, &rig);
    entries_clear(); /* it has copied them */
    return wait_done();
}

static inline void commit_range(uint64_t first, uint64_t last, uint64_t time_ms)
{
    entries_add(first, last, time_ms);
    assert_int_equal(commit(last, last + 100, 1), STORE_OK);
}

/* ---- the file ---- */

static inline struct store *try_open(const char *path, uint64_t lease_floor)
{
    rig.error[0] = '\0';
    return store_open(rig.base, path, lease_floor, WINDOW_S, rig.error, sizeof rig.error);
}

static inline void reopen(uint64_t lease_floor)
{
    store_close(rig.store);
    rig.store = try_open(rig.path, lease_floor);
    assert_string_equal(rig.error, "");
    assert_non_null(rig.store);
}

/* With a connection of our own. */
static inline void sql(const char *text)
{
    sqlite3 *db = NULL;
    assert_int_equal(sqlite3_open(rig.path, &db), SQLITE_OK);
    assert_int_equal(sqlite3_exec(db, text, NULL, NULL, NULL), SQLITE_OK);
    sqlite3_close(db);
}

static inline int64_t sql_number(const char *text)
{
    sqlite3 *db = NULL;
    sqlite3_stmt *statement = NULL;
    assert_int_equal(sqlite3_open(rig.path, &db), SQLITE_OK);
    assert_int_equal(sqlite3_prepare_v2(db, text, -1, &statement, NULL), SQLITE_OK);
    assert_int_equal(sqlite3_step(statement), SQLITE_ROW);
    int64_t n = sqlite3_column_int64(statement, 0);
    sqlite3_finalize(statement);
    sqlite3_close(db);
    return n;
}

static inline int setup(void **state)
{
    (void)state;
    memset(&rig, 0, sizeof rig);
    snprintf(rig.folder, sizeof rig.folder, "/tmp/test_store.XXXXXX");
    if (!mkdtemp(rig.folder))
        return -1;
    snprintf(rig.path, sizeof rig.path, "%s/chat.db", rig.folder);
    rig.base = event_base_new();
    rig.store = try_open(rig.path, 0);
    return rig.store ? 0 : -1;
}

static inline int teardown(void **state)
{
    (void)state;
    store_close(rig.store);
    entries_clear();
    event_base_free(rig.base);
    static const char *const ends[] = {"", "-wal", "-shm", ".lock", ".copy", ".link"};
    for (size_t i = 0; i < sizeof ends / sizeof *ends; i++) {
        char path[128];
        snprintf(path, sizeof path, "%s%s", rig.path, ends[i]);
        unlink(path);
    }
    return rmdir(rig.folder); /* nothing else was left there */
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

#endif
