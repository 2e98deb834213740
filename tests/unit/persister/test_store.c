/* SPDX-License-Identifier: MIT */
/* The store's file and its commits: opening, refusing, conflicts, a full disk, a sudden end. */
#include "store_rig.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include "tests/unit/capture.h"

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
    commit_range(1, 5, now_ms());
    sql("ALTER TABLE origins RENAME TO elsewhere");
    struct entries got = store_entries_after(rig.store, 0, 10);
    assert_true(got.failed && got.count == 0 && !got.more);
    assert_int_equal(store_window_floor(rig.store), 5);
    assert_non_null(strstr(store_trouble(rig.store), "no such table"));
    sql("ALTER TABLE elsewhere RENAME TO origins");
    assert_int_equal(commit(5, 200, 1), STORE_FAILED);
    assert_non_null(strstr(rig.why, "no such table"));
    assert_int_equal(store_standing(rig.store)->lease, 105);
    got = store_entries_after(rig.store, 0, 10);
    assert_true(!got.failed && got.count == 5);
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
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
