/* SPDX-License-Identifier: MIT */
/* The store over real SQLite files in a temporary folder. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <event2/event.h>
#include <fcntl.h>
#include <inttypes.h>
#include <signal.h>
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "common/iso_time.h"
#include "common/mem.h"
#include "common/message.h"
#include "persister/store.h"
#include "tests/unit/capture.h"

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

static uint64_t now_ms(void)
{
    return (uint64_t)time(NULL) * 1000;
}

static const char *room_of(uint64_t id)
{
    return id % 3 ? "lobby" : "attic";
}

static void add_json(struct buf **out, uint64_t id, const char *content, uint64_t time_ms)
{
    char created_at[ISO_TIME_BYTES + 1];
    iso_time_write(created_at, time_ms);
    message_add(out, id, STR("Ana \"ñ\""), str_of(content), str_of(created_at),
                str_of(room_of(id)));
}

static struct str copied(struct buf *b)
{
    struct str s = buf_str(b);
    return (struct str){mem_strndup(s.p, s.len), s.len};
}

static void entries_clear(void)
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
static struct entry *entry_add_at(uint64_t id, const char *content, uint64_t time_ms)
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

static void entries_add(uint64_t first, uint64_t last, uint64_t time_ms)
{
    for (uint64_t id = first; id <= last; id++)
        entry_add_at(id, "Hola\n/ \\ é", time_ms);
}

/* ---- commits ---- */

static void done_cb(void *arg, enum store_result result, const char *why)
{
    assert_ptr_equal(arg, &rig);
    assert_false(rig.done);
    rig.done = true;
    rig.result = result;
    snprintf(rig.why, sizeof rig.why, "%s", why);
}

static enum store_result wait_done(void)
{
    while (!rig.done)
        event_base_loop(rig.base, EVLOOP_ONCE);
    return rig.result;
}

/* Commits the entries that were added, and forgets them. */
static enum store_result commit(uint64_t position, uint64_t lease, uint64_t opening)
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

static void commit_range(uint64_t first, uint64_t last, uint64_t time_ms)
{
    entries_add(first, last, time_ms);
    assert_int_equal(commit(last, last + 100, 1), STORE_OK);
}

/* ---- the file ---- */

static struct store *try_open(const char *path, uint64_t lease_floor)
{
    rig.error[0] = '\0';
    return store_open(rig.base, path, lease_floor, WINDOW_S, rig.error, sizeof rig.error);
}

static void reopen(uint64_t lease_floor)
{
    store_close(rig.store);
    rig.store = try_open(rig.path, lease_floor);
    assert_string_equal(rig.error, "");
    assert_non_null(rig.store);
}

/* With a connection of our own. */
static void sql(const char *text)
{
    sqlite3 *db = NULL;
    assert_int_equal(sqlite3_open(rig.path, &db), SQLITE_OK);
    assert_int_equal(sqlite3_exec(db, text, NULL, NULL, NULL), SQLITE_OK);
    sqlite3_close(db);
}

static int64_t sql_number(const char *text)
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

static int setup(void **state)
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

static int teardown(void **state)
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

/* ---- opening and closing ---- */

static void test_fresh_and_reopened(void **state)
{
    (void)state;
    struct store_log fresh = *store_standing(rig.store);
    assert_int_equal(fresh.position, 0);
    assert_int_equal(fresh.lease, 0);
    assert_int_equal(fresh.opening, 0);
    assert_int_equal(fresh.last, 0);
    assert_int_equal(strlen(fresh.owner), 16);
    assert_null(store_trouble(rig.store));
    entries_add(1, 3, now_ms());
    assert_int_equal(commit(5, 105, 2), STORE_OK);
    assert_string_equal(rig.why, "");
    reopen(0);
    const struct store_log *log = store_standing(rig.store);
    assert_int_equal(log->position, 5);
    assert_int_equal(log->lease, 105);
    assert_int_equal(log->opening, 2);
    assert_int_equal(log->last, 3);
    assert_string_equal(log->owner, fresh.owner);
    reopen(50);
    assert_int_equal(store_standing(rig.store)->lease, 105);
    reopen(1000);
    reopen(0);
    assert_int_equal(store_standing(rig.store)->lease, 1000);
}

/* A clean end leaves one file with everything in it. */
static void test_closed_is_one_file(void **state)
{
    (void)state;
    char wal[128];
    snprintf(wal, sizeof wal, "%s-wal", rig.path);
    commit_range(1, 10, now_ms());
    assert_int_equal(access(wal, F_OK), 0);
    store_close(rig.store);
    rig.store = NULL;
    assert_int_not_equal(access(wal, F_OK), 0);
    assert_int_equal(sql_number("SELECT count(*) FROM messages"), 10);
}

static void test_second_process(void **state)
{
    (void)state;
    char expected[256], name[128];
    snprintf(expected, sizeof expected, "%s is already in use by another persister", rig.path);
    assert_null(try_open(rig.path, 0));
    assert_string_equal(rig.error, expected);
    snprintf(name, sizeof name, "%s.link", rig.path);
    assert_int_equal(symlink(rig.path, name), 0);
    assert_null(try_open(name, 0));
    assert_non_null(strstr(rig.error, "already in use"));
    commit_range(1, 1, now_ms()); /* the first one is not disturbed */
}

static void expect_refused(const char *words)
{
    assert_null(try_open(rig.path, 0));
    assert_non_null(strstr(rig.error, words));
    assert_null(strchr(rig.error, '\n'));
}

static void test_refused_files(void **state)
{
    (void)state;
    assert_null(try_open(":memory:", 0));
    assert_non_null(strstr(rig.error, "in memory"));
    assert_null(try_open("", 0));
    assert_null(try_open("/nonexistent/chat.db", 0));
    assert_non_null(strstr(rig.error, "No such file"));
    store_close(rig.store);
    rig.store = NULL;
    sql("PRAGMA user_version = 2");
    expect_refused("newer version");
    sql("PRAGMA user_version = 0");
    expect_refused("another program");
}

static void test_corrupt(void **state)
{
    (void)state;
    commit_range(1, 2000, now_ms());
    store_close(rig.store);
    rig.store = NULL;
    struct stat info;
    char noise[4096];
    memset(noise, 0x5A, sizeof noise);
    int fd = open(rig.path, O_RDWR);
    assert_int_equal(fstat(fd, &info), 0);
    assert_true(info.st_size > 100000);
    for (off_t at = 4096 * 5; at < info.st_size; at += 4096 * 3)
        assert_int_equal(pwrite(fd, noise, sizeof noise, at), sizeof noise);
    expect_refused("is corrupt: ");
    assert_int_equal(ftruncate(fd, 0), 0);
    assert_int_equal(pwrite(fd, noise, sizeof noise, 0), sizeof noise);
    expect_refused("not a database");
    close(fd);
}

/* Killed between two commits and in the middle of many: what was told is there. */
static void test_killed(void **state)
{
    (void)state;
    store_close(rig.store);
    rig.store = NULL;
    int told[2];
    assert_int_equal(pipe(told), 0);
    pid_t child = fork();
    if (child == 0) {
        event_reinit(rig.base);
        rig.store = try_open(rig.path, 0);
        for (uint64_t id = 1;; id++) {
            entries_add(id, id, now_ms());
            if (!rig.store || commit(id, id + 100, 1) != STORE_OK)
                _exit(1);
            if (write(told[1], &id, sizeof id) != sizeof id)
                _exit(1);
        }
    }
    uint64_t id = 0, last = 0;
    while (last < 50)
        assert_int_equal(read(told[0], &last, sizeof last), sizeof last);
    kill(child, SIGKILL);
    assert_int_equal(waitpid(child, NULL, 0), child);
    close(told[1]);
    while (read(told[0], &id, sizeof id) == sizeof id)
        last = id;
    close(told[0]);
    reopen(0);
    const struct store_log *log = store_standing(rig.store);
    assert_in_range(log->position, last, last + 1);
    assert_int_equal(log->last, log->position);
    assert_int_equal(sql_number("SELECT count(*) FROM messages"), log->position);
}

/* ---- commits ---- */

static void test_again_and_conflict(void **state)
{
    (void)state;
    uint64_t at_ms = now_ms();
    commit_range(1, 5, at_ms);
    entries_add(3, 7, at_ms);
    assert_int_equal(commit(7, 200, 1), STORE_OK);
    assert_int_equal(sql_number("SELECT count(*) FROM messages"), 7);
    entry_add_at(8, "new", at_ms);
    entry_add_at(4, "other", at_ms);
    assert_int_equal(commit(8, 300, 2), STORE_CONFLICT);
    assert_string_equal(rig.why, "message 4 is stored with other content");
    assert_string_equal(store_trouble(rig.store), rig.why);
    assert_int_equal(sql_number("SELECT count(*) FROM messages"), 7);
    assert_int_equal(store_standing(rig.store)->position, 7);
    assert_int_equal(store_standing(rig.store)->lease, 200);
    entries_add(8, 8, at_ms);
    assert_int_equal(commit(8, 300, 2), STORE_OK);
    assert_null(store_trouble(rig.store));
    entries_add(5, 5, at_ms + 1); /* another time is another message */
    assert_int_equal(commit(8, 300, 2), STORE_CONFLICT);
}

/* Rubbish in the stream does not stop the service, and is told. */
static void test_no_messages(void **state)
{
    (void)state;
    char output[2048];
    entries_add(1, 1, now_ms());
    entries_add(2, 2, now_ms());
    rig.entries[1].id = 3; /* its text says 2 */
    entries_add(4, 4, now_ms());
    rig.entries[2].json.len--;
    entries_add(5, 5, now_ms());
    struct capture c = capture_begin(STDERR_FILENO);
    enum store_result result = commit(5, 105, 1);
    capture_end(c, output, sizeof output);
    assert_int_equal(result, STORE_OK);
    assert_non_null(strstr(output, "ERROR - entries are no messages and were left out count=2 "
                                   "first=3"));
    assert_int_equal(sql_number("SELECT count(*) FROM messages"), 2);
    assert_int_equal(sql_number("SELECT max(id) FROM messages"), 5);
    assert_int_equal(store_standing(rig.store)->position, 5);
}

/* The file may not grow: nothing happens, then all of it. */
static void test_disk_full(void **state)
{
    (void)state;
    struct rlimit before, none;
    char wal[128];
    struct stat info;
    commit_range(1, 10, now_ms());
    snprintf(wal, sizeof wal, "%s-wal", rig.path);
    assert_int_equal(stat(wal, &info), 0);
    signal(SIGXFSZ, SIG_IGN);
    getrlimit(RLIMIT_FSIZE, &before);
    none = before;
    none.rlim_cur = (rlim_t)info.st_size + 8192;
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &none), 0);
    entries_add(11, 500, now_ms());
    enum store_result result = commit(500, 600, 1);
    setrlimit(RLIMIT_FSIZE, &before);
    assert_int_equal(result, STORE_FAILED);
    assert_non_null(strstr(rig.why, "disk"));
    assert_string_equal(store_trouble(rig.store), rig.why);
    assert_int_equal(store_standing(rig.store)->position, 10);
    assert_int_equal(sql_number("SELECT count(*) FROM messages"), 10);
    commit_range(11, 500, now_ms());
    assert_null(store_trouble(rig.store));
    assert_int_equal(sql_number("SELECT count(*) FROM messages"), 500);
}

/* A tool holds the file. */
static void test_busy(void **state)
{
    (void)state;
    sqlite3 *db = NULL;
    assert_int_equal(sqlite3_open(rig.path, &db), SQLITE_OK);
    assert_int_equal(sqlite3_exec(db, "BEGIN IMMEDIATE", NULL, NULL, NULL), SQLITE_OK);
    entries_add(1, 1, now_ms());
    assert_int_equal(commit(1, 101, 1), STORE_FAILED);
    assert_string_equal(rig.why, "database is locked");
    assert_int_equal(sqlite3_exec(db, "ROLLBACK", NULL, NULL, NULL), SQLITE_OK);
    sqlite3_close(db);
    commit_range(1, 1, now_ms());
}

/* What the engine decided on a read that failed does not become durable. */
static void test_failed_read_fails_commit(void **state)
{
    (void)state;
    const struct entry *entries;
    commit_range(1, 5, now_ms());
    sql("ALTER TABLE origins RENAME TO elsewhere");
    assert_int_equal(store_entries_after(rig.store, 0, 10, &entries), 0);
    assert_int_equal(store_window_floor(rig.store), 5);
    assert_non_null(strstr(store_trouble(rig.store), "no such table"));
    sql("ALTER TABLE elsewhere RENAME TO origins");
    assert_int_equal(commit(5, 200, 1), STORE_FAILED);
    assert_non_null(strstr(rig.why, "no such table"));
    assert_int_equal(store_standing(rig.store)->lease, 105);
    assert_int_equal(store_entries_after(rig.store, 0, 10, &entries), 5);
    assert_int_equal(commit(5, 200, 1), STORE_OK);
    assert_null(store_trouble(rig.store));
}

/* Closing waits for the commit. */
static void test_close_waits(void **state)
{
    (void)state;
    entries_add(1, 1000, now_ms());
    struct store_commit c = {rig.entries, rig.count, 1000, 2000, 1};
    store_commit(rig.store, &c, done_cb, &rig);
    entries_clear();
    reopen(0);
    assert_false(rig.done);
    assert_int_equal(store_standing(rig.store)->position, 1000);
    assert_int_equal(sql_number("SELECT count(*) FROM messages"), 1000);
}

/* ---- reads ---- */

static void expect_entry(const struct entry *e, uint64_t id, bool with_origin, uint64_t time_ms)
{
    struct buf *json = NULL;
    add_json(&json, id, "Hola\n/ \\ é", time_ms);
    assert_int_equal(e->id, id);
    assert_true(str_eq(e->json, buf_str(json)));
    assert_true(str_eq(e->origin, with_origin ? STR("00ff:7:1") : STR("")));
    bool with_key = with_origin && id % 2 == 0;
    assert_true(str_eq(e->key, with_key ? STR("{chat}:idem:lobby:Ana:k") : STR("")));
    assert_true(str_eq(e->value, with_key ? STR("2 1700000000000 f") : STR("")));
    buf_free(&json);
}

static void test_entries_after(void **state)
{
    (void)state;
    const struct entry *entries;
    uint64_t late = now_ms(), early = late - (WINDOW_S + 60) * 1000;
    assert_int_equal(store_entries_after(rig.store, 0, 10, &entries), 0);
    assert_int_equal(store_window_floor(rig.store), 0);
    assert_int_equal(store_newest_floor(rig.store, 0), 0);
    entries_add(1, 20, early);
    entries_add(21, 200, late);
    assert_int_equal(commit(200, 300, 1), STORE_OK);
    assert_int_equal(store_entries_after(rig.store, 15, 100, &entries), 100);
    for (size_t i = 0; i < 100; i++)
        expect_entry(&entries[i], 16 + i, 16 + i > 20, 16 + i > 20 ? late : early);
    assert_int_equal(store_entries_after(rig.store, 198, 100, &entries), 2);
    assert_int_equal(store_entries_after(rig.store, 200, 100, &entries), 0);
    assert_int_equal(store_window_floor(rig.store), 20);
    assert_int_equal(store_newest_floor(rig.store, 0), 200);
    assert_int_equal(store_newest_floor(rig.store, 150), 50);
    assert_int_equal(store_newest_floor(rig.store, 200), 0);
}

/* Origins leave with the commits, and are not served meanwhile. */
static void test_origins_leave(void **state)
{
    (void)state;
    const struct entry *entries;
    commit_range(1, 300, now_ms());
    sql("UPDATE origins SET at = at - 3700 WHERE id <= 250");
    assert_int_equal(store_entries_after(rig.store, 249, 2, &entries), 2);
    assert_int_equal(entries[0].origin.len, 0);
    assert_int_not_equal(entries[1].origin.len, 0);
    assert_int_equal(store_window_floor(rig.store), 250);
    int64_t before = 300;
    while (before > 50) {
        assert_int_equal(commit(300, 400, 1), STORE_OK);
        int64_t after = sql_number("SELECT count(*) FROM origins");
        assert_in_range(before - after, 1, 64);
        before = after;
    }
    assert_int_equal(commit(300, 400, 1), STORE_OK);
    assert_int_equal(sql_number("SELECT count(*) FROM origins"), 50);
    sql("DELETE FROM origins");
    assert_int_equal(store_window_floor(rig.store), 300);
}

static void expect_history(const char *room, bool has_after, uint64_t after, uint64_t before,
                           size_t limit, uint64_t time_ms)
{
    uint64_t ids[64];
    size_t n = 0, first = 0;
    for (uint64_t id = 1; id <= 30; id++)
        if (id > after && id < before && (!*room || strcmp(room, room_of(id)) == 0))
            ids[n++] = id;
    if (n > limit && !has_after)
        first = n - limit;
    struct buf *expected = NULL;
    for (size_t i = first; i < n && i < first + limit; i++) {
        add_json(&expected, ids[i], "Hola\n/ \\ é", time_ms);
        buf_add_char(&expected, ';');
    }
    struct store_query q = {str_of(room), has_after, after, before, limit};
    struct store_page page;
    assert_true(store_history(rig.store, &q, ';', &page));
    assert_true(str_eq(buf_str(page.json), buf_str(expected)));
    assert_int_equal(page.count, n < limit ? n : limit);
    assert_int_equal(page.position, 31);
    assert_int_equal(page.pruned, 0);
    buf_free(&page.json);
    buf_free(&expected);
}

static void test_history(void **state)
{
    (void)state;
    static const char *const rooms[] = {"", "lobby", "attic", "empty"};
    static const uint64_t bounds[] = {0, 1, 7, 30, 31, 1000};
    static const size_t limits[] = {1, 4, 30, 1000};
    uint64_t time_ms = now_ms();
    entries_add(1, 30, time_ms);
    assert_int_equal(commit(31, 131, 1), STORE_OK);
    for (size_t r = 0; r < 4; r++)
        for (size_t l = 0; l < 4; l++)
            for (size_t a = 0; a < 6; a++)
                for (size_t b = 0; b < 6; b++) {
                    expect_history(rooms[r], false, 0, bounds[b], limits[l], time_ms);
                    expect_history(rooms[r], true, bounds[a], bounds[b], limits[l], time_ms);
                    expect_history(rooms[r], true, bounds[a], INT64_MAX, limits[l], time_ms);
                }
}

static void test_history_fails(void **state)
{
    (void)state;
    struct store_query q = {.before = INT64_MAX, .limit = 10};
    struct store_page page;
    commit_range(1, 5, now_ms());
    sql("ALTER TABLE messages RENAME TO elsewhere");
    assert_false(store_history(rig.store, &q, ',', &page));
    assert_null(page.json);
    assert_non_null(store_trouble(rig.store));
    sql("ALTER TABLE elsewhere RENAME TO messages");
    assert_true(store_history(rig.store, &q, ',', &page));
    assert_int_equal(page.count, 5);
    assert_null(store_trouble(rig.store));
    buf_free(&page.json);
    assert_int_equal(commit(5, 200, 1), STORE_OK); /* no read of the engine failed */
}

/* A reader does not wait for a writer: here one that holds the file. */
static void test_read_during_write(void **state)
{
    (void)state;
    struct store_query q = {.before = INT64_MAX, .limit = 10};
    struct store_page page;
    sqlite3 *db = NULL;
    commit_range(1, 5, now_ms());
    assert_int_equal(sqlite3_open(rig.path, &db), SQLITE_OK);
    assert_int_equal(sqlite3_exec(db, "BEGIN IMMEDIATE; DELETE FROM messages", NULL, NULL, NULL),
                     SQLITE_OK);
    assert_true(store_history(rig.store, &q, ',', &page));
    assert_int_equal(page.count, 5);
    buf_free(&page.json);
    sqlite3_close(db);
}

/* ---- retention and backup ---- */

static void wait_pruned(uint64_t pruned)
{
    time_t begin = time(NULL);
    while (store_standing(rig.store)->pruned != pruned && time(NULL) < begin + 10)
        event_base_loop(rig.base, EVLOOP_ONCE);
    assert_int_equal(store_standing(rig.store)->pruned, pruned);
}

static void test_retention_by_count(void **state)
{
    (void)state;
    struct store_query q = {.before = INT64_MAX, .limit = 1000};
    struct store_page page;
    commit_range(1, 2000, now_ms());
    store_retain(rig.store, &(struct store_retention){.count = 300, .tail = 100});
    wait_pruned(1700);
    assert_true(store_history(rig.store, &q, ',', &page));
    assert_int_equal(page.count, 300);
    assert_int_equal(page.pruned, 1700);
    buf_free(&page.json);
    entries_add(1650, 1700, now_ms() - 5000); /* what was pruned is no conflict and stays away */
    assert_int_equal(commit(2000, 2100, 1), STORE_OK);
    assert_int_equal(sql_number("SELECT min(id) FROM messages"), 1701);
    commit_range(2001, 2010, now_ms());
    wait_pruned(1710);
    assert_int_equal(sql_number("SELECT count(*) FROM messages"), 300);
    reopen(0);
    assert_int_equal(store_standing(rig.store)->pruned, 1710);
}

static void test_retention_by_age(void **state)
{
    (void)state;
    const uint64_t day_ms = 86400000;
    entries_add(1, 700, now_ms() - 3 * day_ms);
    entries_add(701, 1000, now_ms());
    assert_int_equal(commit(1000, 1100, 1), STORE_OK);
    store_retain(rig.store, &(struct store_retention){.days = 2});
    wait_pruned(700);
    assert_int_equal(sql_number("SELECT count(*) FROM messages"), 300);
}

/* What Redis may still hold stays, however old it is. */
static void test_retention_spares_tail(void **state)
{
    (void)state;
    commit_range(1, 1000, 1000);
    store_retain(rig.store, &(struct store_retention){.count = 1, .days = 1, .tail = 400});
    wait_pruned(600);
    event_base_loop(rig.base, EVLOOP_ONCE);
    assert_int_equal(sql_number("SELECT min(id) FROM messages"), 601);
}

static void test_backup(void **state)
{
    (void)state;
    char copy[128];
    snprintf(copy, sizeof copy, "%s.copy", rig.path);
    commit_range(1, 100, now_ms());
    assert_true(store_backup(rig.path, copy, rig.error, sizeof rig.error));
    assert_false(store_backup(rig.path, copy, rig.error, sizeof rig.error));
    assert_non_null(strstr(rig.error, "already exists"));
    commit_range(101, 101, now_ms());
    store_close(rig.store);
    assert_int_equal(rename(copy, rig.path), 0);
    rig.store = NULL;
    reopen(0);
    assert_int_equal(store_standing(rig.store)->position, 100);
    assert_int_equal(sql_number("SELECT count(*) FROM messages"), 100);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_fresh_and_reopened),
        TEST(test_closed_is_one_file),
        TEST(test_second_process),
        TEST(test_refused_files),
        TEST(test_corrupt),
        TEST(test_killed),
        TEST(test_again_and_conflict),
        TEST(test_no_messages),
        TEST(test_disk_full),
        TEST(test_busy),
        TEST(test_failed_read_fails_commit),
        TEST(test_close_waits),
        TEST(test_entries_after),
        TEST(test_origins_leave),
        TEST(test_history),
        TEST(test_history_fails),
        TEST(test_read_during_write),
        TEST(test_retention_by_count),
        TEST(test_retention_by_age),
        TEST(test_retention_spares_tail),
        TEST(test_backup),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
