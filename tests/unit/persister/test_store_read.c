/* SPDX-License-Identifier: MIT */
/* What the store gives back, what its retention removes, and its backup. */
#include "store_rig.h"

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
    struct entries got;
    uint64_t late = now_ms(), early = late - (WINDOW_S + 60) * 1000;
    got = store_entries_after(rig.store, 0, 10);
    assert_true(got.count == 0 && !got.more && !got.failed);
    assert_int_equal(store_window_floor(rig.store), 0);
    assert_int_equal(store_newest_floor(rig.store, 0), 0);
    entries_add(1, 20, early);
    entries_add(21, 200, late);
    assert_int_equal(commit(200, 300, 1), STORE_OK);
    got = store_entries_after(rig.store, 15, 100);
    assert_true(got.count == 100 && got.more);
    for (size_t i = 0; i < 100; i++)
        expect_entry(&got.at[i], 16 + i, 16 + i > 20, 16 + i > 20 ? late : early);
    got = store_entries_after(rig.store, 198, 100);
    assert_true(got.count == 2 && !got.more);
    assert_int_equal(store_entries_after(rig.store, 200, 100).count, 0);
    assert_int_equal(store_window_floor(rig.store), 20);
    assert_int_equal(store_newest_floor(rig.store, 0), 200);
    assert_int_equal(store_newest_floor(rig.store, 150), 50);
    assert_int_equal(store_newest_floor(rig.store, 200), 0);
}

/* Long messages: a read ends with the one that passes its bytes, and the next goes on there. */
static void test_entries_bytes(void **state)
{
    (void)state;
    enum {
        BYTES = 16000,
        COUNT = 3 * (ROWS_BYTES / BYTES),
    };
    commit_range(1, COUNT, now_ms());
    sql("UPDATE messages SET content = printf('%.*c', 16000, 'x')");
    uint64_t after = 0;
    unsigned reads = 0;
    struct entries got;
    do {
        got = store_entries_after(rig.store, after, 1000);
        size_t bytes = 0;
        for (size_t i = 0; i < got.count; i++) {
            assert_true(bytes < ROWS_BYTES);
            assert_int_equal(got.at[i].id, ++after);
            assert_true(got.at[i].json.len > BYTES);
            bytes += got.at[i].json.len + got.at[i].origin.len;
        }
        reads++;
    } while (got.more);
    assert_int_equal(after, COUNT);
    assert_in_range(reads, 3, 4);
}

/* Origins leave with the commits, and are not served meanwhile. */
static void test_origins_leave(void **state)
{
    (void)state;
    struct entries got;
    commit_range(1, 300, now_ms());
    sql("UPDATE origins SET at = at - 3700 WHERE id <= 250");
    got = store_entries_after(rig.store, 249, 2);
    assert_int_equal(got.count, 2);
    assert_int_equal(got.at[0].origin.len, 0);
    assert_int_not_equal(got.at[1].origin.len, 0);
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
    struct store_query q = {str_of(room), has_after, after, before, limit, 0};
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

/* The page ends with the message that passes the bound, at the end it is read from. */
static void test_history_bytes(void **state)
{
    (void)state;
    struct store_page page;
    struct buf *all = NULL;
    size_t ends[31] = {0};
    uint64_t time_ms = now_ms();
    entries_add(1, 30, time_ms);
    assert_int_equal(commit(31, 131, 1), STORE_OK);
    for (uint64_t id = 1; id <= 30; id++) {
        add_json(&all, id, "Hola\n/ \\ é", time_ms);
        buf_add_char(&all, ';');
        ends[id] = buf_len(all);
    }
    const size_t len = buf_len(all);
    for (size_t bytes = 1; bytes <= len; bytes++) {
        struct store_query q = {.has_after = true, .before = 31, .limit = 30, .bytes_max = bytes};
        size_t n = 0, from = 30;
        while (n < 30 && ends[n] <= bytes)
            n++;
        assert_true(store_history(rig.store, &q, ';', &page));
        assert_int_equal(page.count, n);
        assert_true(str_eq(buf_str(page.json), (struct str){buf_str(all).p, ends[n]}));
        buf_free(&page.json);

        q.has_after = false;
        while (from > 0 && len - ends[from] <= bytes)
            from--;
        assert_true(store_history(rig.store, &q, ';', &page));
        assert_int_equal(page.count, 30 - from);
        assert_true(str_eq(buf_str(page.json),
                           (struct str){buf_str(all).p + ends[from], len - ends[from]}));
        buf_free(&page.json);
    }
    buf_free(&all);
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
    assert_true(store_backup(rig.path, copy, NULL, rig.error, sizeof rig.error));
    assert_false(store_backup(rig.path, copy, NULL, rig.error, sizeof rig.error));
    assert_non_null(strstr(rig.error, "already exists"));
    commit_range(101, 101, now_ms());
    store_close(rig.store);
    assert_int_equal(rename(copy, rig.path), 0);
    rig.store = NULL;
    reopen(0);
    assert_int_equal(store_standing(rig.store)->position, 100);
    assert_int_equal(sql_number("SELECT count(*) FROM messages"), 100);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_entries_after),
        TEST(test_entries_bytes),
        TEST(test_origins_leave),
        TEST(test_history),
        TEST(test_history_bytes),
        TEST(test_history_fails),
        TEST(test_read_during_write),
        TEST(test_retention_by_count),
        TEST(test_retention_by_age),
        TEST(test_retention_spares_tail),
        TEST(test_backup),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
