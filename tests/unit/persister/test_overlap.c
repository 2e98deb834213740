/* SPDX-License-Identifier: MIT */
/* persister/overlap.c: each connection compares what is in the stream with the rows. */
#include "tests/unit/persister/ingest_story.h"

/* Twenty messages, stored, in the stream; pages of five. */
static struct world *stored_world(void)
{
    struct world *w = opened_world();
    fill(w, 2, TAIL / 2);
    assert_int_equal(w->r->log.n, TAIL);
    w->page_size = 5;
    return w;
}

static void row_change(struct world *w, uint64_t id)
{
    struct row *row = row_find(w->rows, id);
    snprintf(row->json, sizeof row->json, "{\"id\":%" PRIu64 ",\"changed\":true}", id);
}

static void reconnect(struct world *w)
{
    if (w->linked)
        link_down(w);
    w->trace[0] = '\0';
    link_up(w);
}

static void step_until(struct world *w, const char *state)
{
    while (strcmp(ingest_status(w->g)->state, state) != 0)
        step(w);
}

static uint64_t conflicts(struct world *w)
{
    return ingest_status(w->g)->conflicts;
}

static void test_all_agrees(void **state)
{
    (void)state;
    struct world *w = stored_world();
    reconnect(w);
    run(w);
    assert_string_equal(w->trace, "advance idle ");
    assert_int_equal(conflicts(w), 0);
    assert_agree(w);
    world_free(w);
}

static void test_one_differs(void **state)
{
    (void)state;
    for (uint64_t id = 1; id <= TAIL; id++) {
        struct world *w = stored_world();
        restart_persister(w);
        row_change(w, id);
        reconnect(w);
        run(w);
        assert_string_equal(w->trace, "advance idle "); /* an alarm, and nothing more */
        assert_int_equal(w->r->opening, 1);
        assert_int_equal(conflicts(w), 1);
        assert_int_equal(ingest_status(w->g)->nconflict_ids, 1);
        assert_int_equal(ingest_status(w->g)->conflict_ids[0], id);
        reconnect(w);
        run(w);
        assert_int_equal(conflicts(w), 1); /* known */
        world_free(w);
    }
}

static void test_many_differ(void **state)
{
    (void)state;
    struct world *w = stored_world();
    for (uint64_t id = 1; id <= TAIL; id++)
        row_change(w, id);
    reconnect(w);
    run(w);
    assert_int_equal(conflicts(w), TAIL);
    assert_int_equal(ingest_status(w->g)->nconflict_ids, CONFLICTS_TOLD);
    for (size_t i = 0; i < CONFLICTS_TOLD; i++)
        assert_int_equal(ingest_status(w->g)->conflict_ids[i], i + 1);
    world_free(w);
}

/* The log is followed in turn: a page of what is new comes between any two of the overlap. */
static void test_in_turn(void **state)
{
    (void)state;
    struct world *w = stored_world();
    size_t pages = 0;
    uint64_t asked_after[32];
    row_change(w, TAIL);
    reconnect(w);
    while (conflicts(w) == 0) {
        if (asked(w) == PAGE) {
            assert_true(pages < 32);
            asked_after[pages++] = w->after;
            publish(w, "a", 10 + pages, 1);
        }
        step(w);
    }
    assert_int_equal(pages, 8);
    for (size_t i = 0; i < pages; i += 2) {
        assert_true(asked_after[i] >= TAIL);
        assert_int_equal(asked_after[i + 1], i / 2 * 5);
    }
    assert_true(w->rows->n >= TAIL + 3); /* all but the newest is stored meanwhile */
    run(w);
    assert_int_equal(w->rows->n, TAIL + 8);
    assert_int_equal(w->r->stored, w->file.position);
    world_free(w);
}

/* Only what both have can differ. */
static void test_only_one_has_it(void **state)
{
    (void)state;
    struct world *w = stored_world();
    memmove(w->rows->at, w->rows->at + 4, (TAIL - 4) * sizeof w->rows->at[0]);
    w->rows->n -= 4; /* retention */
    w->file.pruned = 4;
    memmove(w->r->log.at + 9, w->r->log.at + 11, (TAIL - 11) * sizeof w->rows->at[0]);
    w->r->log.n -= 2; /* a hand deleted 10 and 11 */
    row_change(w, 10);
    row_change(w, 12);
    reconnect(w);
    run(w);
    assert_string_equal(w->trace, "advance idle ");
    assert_int_equal(conflicts(w), 1);
    assert_int_equal(ingest_status(w->g)->conflict_ids[0], 12);
    world_free(w);
}

/* An entry without a row: a commit tells that SQLite has not failed. */
static void test_entry_without_row(void **state)
{
    (void)state;
    struct world *w = stored_world();
    struct row *row = row_find(w->rows, 7);
    memmove(row, row + 1, (TAIL - 7) * sizeof *row);
    w->rows->n--;
    reconnect(w);
    run(w);
    assert_string_equal(w->trace, "advance commit advance idle ");
    assert_int_equal(conflicts(w), 0);
    assert_int_equal(w->r->opening, 1);
    world_free(w);
}

/* Reads that fail give no rows, and make the next commit fail: then all is compared anew. */
static void test_failed_read(void **state)
{
    (void)state;
    struct world *w = stored_world();
    row_change(w, 3);
    reconnect(w);
    step_until(w, "comparing");
    const size_t n = w->rows->n;
    w->rows->n = 0;
    step(w);
    w->rows->n = n;
    w->result = STORE_FAILED;
    step_until(w, "committing");
    assert_int_equal(conflicts(w), 0);
    step(w);
    assert_false(ready(w));
    w->result = STORE_OK;
    run(w);
    assert_int_equal(conflicts(w), 1);
    world_free(w);
}

static void test_link_breaks_at_each_step(void **state)
{
    (void)state;
    for (unsigned k = 0; k < 12; k++) {
        struct world *w = stored_world();
        row_change(w, TAIL);
        reconnect(w);
        for (unsigned i = 0; i < k; i++)
            step(w);
        reconnect(w);
        run(w);
        assert_int_equal(conflicts(w), 1);
        assert_int_equal(w->r->opening, 1);
        world_free(w);
    }
}

static void test_sealed_meanwhile(void **state)
{
    (void)state;
    struct world *w = stored_world();
    row_change(w, 2);
    row_change(w, TAIL);
    reconnect(w);
    step_until(w, "comparing");
    step(w);
    assert_int_equal(conflicts(w), 1);
    step_until(w, "comparing");
    snprintf(w->r->token, sizeof w->r->token, "regressed");
    run(w);
    assert_int_equal(w->r->opening, 2);
    assert_int_equal(conflicts(w), 2); /* by the review, which knows the first one */
    world_free(w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_all_agrees),       cmocka_unit_test(test_one_differs),
        cmocka_unit_test(test_many_differ),      cmocka_unit_test(test_in_turn),
        cmocka_unit_test(test_only_one_has_it),  cmocka_unit_test(test_entry_without_row),
        cmocka_unit_test(test_failed_read),      cmocka_unit_test(test_link_breaks_at_each_step),
        cmocka_unit_test(test_sealed_meanwhile),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
