/* SPDX-License-Identifier: MIT */
/* persister/opening.c and restore.c: rows whose entries cannot be put back, since the stream is
 * past their ids, get their keys and producer records back all the same: a retry is recognised. */
#include "tests/unit/persister/ingest_story.h"

static struct row *row_of(struct rows *rows, uint64_t id)
{
    struct row *row = row_find(rows, id);
    if (!row)
        abort();
    return row;
}

/* The entry is gone from the stream, with its key, and the record of its producer too. */
static void lose(struct world *w, uint64_t id, const char *boot)
{
    struct redis_model *r = w->r;
    char record[48];
    struct row *row = row_of(&r->log, id);
    if (row->key[0])
        key_remove(r, row->key);
    memmove(row, row + 1, (size_t)(r->log.at + r->log.n - (row + 1)) * sizeof *row);
    r->log.n--;
    snprintf(record, sizeof record, "%s%s", w->names.producers, boot);
    struct record *rec = record_find(r, record);
    if (rec)
        rec->key[0] = '\0';
}

static void server_opens(struct world *w)
{
    server_restarts(w, "server-2");
    link_up(w);
    run(w);
}

/* 6 is keyed and gone, 7 to 20 are there. */
static void test_missing_row(void **state)
{
    (void)state;
    struct world *w = opened_world();
    fill(w, 2, 10);
    lose(w, 6, "odd");
    server_opens(w);
    assert_agree(w);
    assert_int_equal(w->r->base, 6);
    assert_recorded(w, "odd", 1, 10);
    assert_recorded(w, "even", 2, 10);
    world_free(w);
}

/* Some of each batch, in a stream of several pages. */
static struct world *holed_world(void)
{
    struct world *w = opened_world();
    for (uint64_t b = 1; b <= 8; b++)
        publish(w, b % 2 ? "odd" : "even", b, 12);
    w->page_size = 7;
    ring(w);
    for (uint64_t id = 78; id < 90; id += 3) /* all have keys */
        lose(w, id, (id - 1) / 12 % 2 ? "even" : "odd");
    w->trace[0] = '\0';
    w->steps = 0;
    server_restarts(w, "server-2");
    return w;
}

static void assert_whole(struct world *w)
{
    assert_int_equal(w->rows->n, 96);
    assert_agree(w);
    assert_recorded(w, "odd", 7, 12);
    assert_recorded(w, "even", 8, 12);
}

static void test_missing_rows(void **state)
{
    (void)state;
    struct world *w = holed_world();
    link_up(w);
    run(w);
    assert_whole(w);
    const unsigned steps = w->steps;
    world_free(w);
    for (unsigned k = 0; k <= steps; k++) { /* and when the link breaks at any step */
        w = holed_world();
        link_up(w);
        for (unsigned i = 0; i < k; i++)
            step(w);
        link_down(w);
        link_up(w);
        run(w);
        assert_whole(w);
        world_free(w);
    }
}

/* A key that names a later message by now is left to it. */
static void test_key_of_a_later_message(void **state)
{
    (void)state;
    struct world *w = opened_world();
    fill(w, 1, 10);
    struct row *later = row_of(w->rows, 9), *entry = row_of(&w->r->log, 9);
    char key[sizeof later->key];
    snprintf(key, sizeof key, "%s", row_of(w->rows, 6)->key);
    lose(w, 6, "odd");
    key_remove(w->r, later->key);
    snprintf(later->key, sizeof later->key, "%s", key);
    snprintf(entry->key, sizeof entry->key, "%s", key);
    key_set(w->r, key, later->value);
    row_of(w->rows, 6)->old = true; /* assert_agree looks for the later value */
    server_restarts(w, "server-2");
    row_of(w->rows, 6)->old = false;
    link_up(w);
    run(w);
    assert_string_equal(key_value(w->r, key), later->value);
    world_free(w);
}

/* Deleted by hand: the stream takes none of 11 to 20 again. */
static void test_put_refused(void **state)
{
    (void)state;
    struct world *w = opened_world();
    fill(w, 2, 10);
    for (uint64_t id = 20; id > 10; id--)
        lose(w, id, "even");
    server_opens(w);
    assert_agree(w);
    assert_int_equal(w->r->base, 20);
    assert_recorded(w, "even", 2, 10);
    publish(w, "even", 3, 5);
    ring(w);
    assert_agree(w);
    world_free(w);
}

/* A read that fails gives no rows: the log must not open on that. */
static void test_failed_read(void **state)
{
    (void)state;
    struct world *w = opened_world();
    fill(w, 2, 10);
    lose(w, 6, "odd");
    server_restarts(w, "server-2");
    link_up(w);
    while (strcmp(w->verb, "prod") != 0 || !w->script_asked)
        step(w);
    size_t n = w->rows->n;
    w->rows->n = 0;
    w->result = STORE_FAILED;
    step(w); /* its reply, and the reading of keys */
    while (!w->commit_asked)
        step(w);
    step(w);
    w->rows->n = n;
    w->result = STORE_OK;
    run(w);
    assert_agree(w);
    world_free(w);
}

/* Whichever read fails, and SQLite well again right behind it: what Redis lost is put back whole,
 * the record of the batch with its messages. */
static void test_each_read_fails(void **state)
{
    (void)state;
    unsigned nth = 1;
    for (bool failed = true; failed; nth++) {
        struct world *w = opened_world();
        fill(w, 2, 10);
        struct redis_model *older = mem_alloc(sizeof *older);
        *older = *w->r;
        publish(w, "odd", 3, 7);
        ring(w);
        *w->r = *older;
        free(older);
        server_restarts(w, "server-2");
        w->reads_good = nth;
        link_up(w);
        run(w);
        assert_agree(w);
        assert_recorded(w, "odd", 3, 7);
        failed = w->reads_good == 0;
        world_free(w);
    }
    assert_true(nth > 5);
}

/* Retention removes the first rows; their keys are still in the window. */
static void prune(struct world *w, uint64_t upto)
{
    struct rows *rows = w->rows;
    size_t n = 0;
    while (n < rows->n && rows->at[n].id <= upto)
        n++;
    memcpy(w->removed->at, rows->at, n * sizeof rows->at[0]);
    w->removed->n = n;
    memmove(rows->at, rows->at + n, (rows->n - n) * sizeof rows->at[0]);
    rows->n -= n;
    w->file.pruned = upto;
}

static void assert_keys_of_removed(struct world *w)
{
    size_t keyed = 0;
    for (size_t i = 0; i < w->removed->n; i++) {
        const struct row *row = &w->removed->at[i];
        if (!row->key[0])
            continue;
        keyed++;
        assert_non_null(key_value(w->r, row->key));
        assert_string_equal(key_value(w->r, row->key), row->value);
    }
    assert_true(keyed > 0);
}

/* Redis lost all that it had, or its last messages. */
static void test_keys_of_removed(void **state)
{
    (void)state;
    struct world *w = opened_world();
    fill(w, 2, 10);
    prune(w, 15);
    redis_flush(w);
    server_opens(w);
    assert_agree(w);
    assert_keys_of_removed(w);
    world_free(w);

    w = opened_world();
    fill(w, 1, 10);
    struct redis_model *older = mem_alloc(sizeof *older);
    *older = *w->r;
    fill(w, 2, 10);
    *w->r = *older;
    free(older);
    prune(w, 15);
    server_opens(w);
    assert_agree(w);
    assert_keys_of_removed(w);
    world_free(w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_missing_row),  cmocka_unit_test(test_keys_of_removed),
        cmocka_unit_test(test_missing_rows), cmocka_unit_test(test_key_of_a_later_message),
        cmocka_unit_test(test_put_refused),  cmocka_unit_test(test_failed_read),
        cmocka_unit_test(test_put_refused),  cmocka_unit_test(test_each_read_fails),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
