/* SPDX-License-Identifier: MIT */
/* persister/ingest.c: following an open log, and what makes it open the log anew. */
#include "tests/unit/persister/ingest_story.h"

static void test_batch(void **state)
{
    (void)state;
    struct world *w = opened_world();
    w->trace[0] = '\0';
    publish(w, "a", 1, 70); /* more than a page */
    ring(w);
    assert_string_equal(w->trace, "commit advance commit advance idle ");
    assert_int_equal(w->rows->n, 70);
    assert_agree(w);
    assert_int_equal(w->r->base, 70 - TAIL);
    assert_int_equal(ingest_status(w->g)->messages, 70);
    assert_int_equal(ingest_status(w->g)->batches, 2);
    w->trace[0] = '\0';
    ring(w);
    assert_string_equal(w->trace, "idle ");
    world_free(w);
}

/* More may be read behind a full page, once what both have was compared; it is used behind an
 * advance that was answered well. */
static void test_ahead(void **state)
{
    (void)state;
    struct world *w = opened_world();
    publish(w, "a", 1, 40);
    ring(w);
    assert_int_equal(w->aheads, 0); /* it was all */
    assert_int_equal(w->next, NEXT_NEWS);
    publish(w, "a", 2, 90);
    w->page_asked = true;
    step(w); /* page */
    assert_int_equal(w->aheads, 1);
    step(w); /* commit */
    step(w); /* advance */
    assert_int_equal(w->next, NEXT_AHEAD);
    run(w);
    assert_int_equal(w->aheads, 1);
    assert_int_equal(w->next, NEXT_NEWS);
    assert_agree(w);
    world_free(w);
}

static void test_ahead_not_used(void **state)
{
    (void)state;
    struct world *w = opened_world();
    publish(w, "a", 1, 90);
    w->page_asked = true;
    w->result = STORE_FAILED;
    step(w); /* page */
    assert_int_equal(w->aheads, 1);
    step(w); /* commit */
    while (asked(w) != PAGE)
        step(w); /* the pause */
    assert_int_equal(w->next, NEXT_NOW);
    w->result = STORE_OK;
    while (asked(w) != SCRIPT)
        step(w);
    assert_int_equal(w->aheads, 2);
    snprintf(w->r->token, sizeof w->r->token, "regressed");
    step(w); /* advance */
    assert_int_equal(w->next, NEXT_NOW);
    run(w);
    assert_int_equal(w->file.opening, 2);
    assert_int_equal(w->rows->n, 90);
    assert_agree(w);
    world_free(w);
}

static void test_retell_after_reconnect(void **state)
{
    (void)state;
    struct world *w = opened_world();
    publish(w, "a", 1, 5);
    w->page_asked = true;
    step(w); /* page */
    step(w); /* commit */
    assert_string_equal(w->verb, "advance");
    link_down(w); /* Redis did not hear of it */
    assert_int_equal(w->r->stored, 0);
    link_up(w);
    w->trace[0] = '\0';
    run(w);
    assert_string_equal(w->trace, "advance idle ");
    assert_agree(w);
    world_free(w);
}

static void test_retell_when_idle(void **state)
{
    (void)state;
    struct world *w = opened_world();
    fill(w, 1, 5);
    w->r->stored = 2; /* an older state under the same token */
    w->r->lease = 50;
    ring(w);
    assert_agree(w);
    world_free(w);
}

static void test_higher_backlog_after_restart(void **state)
{
    (void)state;
    struct world *w = opened_world();
    restart_persister(w);
    ingest_free(w->g);
    struct ingest_limits limits = {.backlog_max = 500, .tail = TAIL, .window_s = WINDOW_S};
    w->g = ingest_new(&limits, &w->names, &io, w);
    link_up(w);
    run(w);
    assert_int_equal(w->r->lease, 500);
    assert_int_equal(w->file.opening, 1);
    world_free(w);
}

static void test_commit_fails(void **state)
{
    (void)state;
    struct world *w = opened_world();
    const char *why;
    publish(w, "a", 1, 5);
    w->result = STORE_FAILED;
    w->page_asked = true;
    uint64_t tried_ms[8] = {0};
    for (size_t tries = 0; tries < 8; step(w))
        if (asked(w) == COMMIT)
            tried_ms[tries++] = w->now_ms;
    assert_false(ingest_ready(w->g, &why));
    assert_string_equal(why, "SQLite does not store: disk");
    assert_int_equal(w->r->stored, 0);
    assert_int_equal(tried_ms[1] - tried_ms[0], 100);
    assert_int_equal(tried_ms[2] - tried_ms[1], 200);
    assert_int_equal(tried_ms[3] - tried_ms[2], 400);
    assert_int_equal(tried_ms[7] - tried_ms[6], 2000);
    w->result = STORE_OK;
    run(w);
    assert_agree(w);
    assert_int_equal(w->rows->n, 5);
    assert_true(ingest_status(w->g)->commit_failures >= 8);
    world_free(w);
}

static void test_conflict(void **state)
{
    (void)state;
    struct world *w = opened_world();
    const char *why;
    publish(w, "a", 1, 5);
    w->result = STORE_CONFLICT;
    w->page_asked = true;
    for (int i = 0; i < 40; i++)
        step(w);
    assert_false(ingest_ready(w->g, &why));
    assert_string_equal(why, "the log and SQLite differ in a message: disk");
    assert_int_equal(w->r->stored, 0);
    assert_true(ingest_status(w->g)->conflicts > 1);
    w->result = STORE_OK;
    run(w);
    assert_agree(w);
    world_free(w);
}

static void test_retell_while_sqlite_fails(void **state)
{
    (void)state;
    struct world *w = opened_world();
    fill(w, 1, 5);
    link_down(w);
    w->r->stored = 0;
    w->file.lease -= 1; /* one more is due */
    w->r->lease -= 1;
    w->result = STORE_FAILED;
    link_up(w);
    step(w);
    step(w);
    step(w);
    assert_int_equal(w->r->stored, 5);
    assert_false(ready(w));
    w->result = STORE_OK;
    run(w);
    assert_agree(w);
    world_free(w);
}

static void test_owner(void **state)
{
    (void)state;
    struct world *w = opened_world();
    const char *why;
    fill(w, 1, 5);
    snprintf(w->r->owner, sizeof w->r->owner, "another");
    step(w); /* the engine knows the time */
    w->trace[0] = '\0';
    w->page_asked = true;
    uint64_t start = w->now_ms;
    for (int i = 0; i < 44; i++)
        step(w);
    assert_string_equal(w->trace, ""); /* neither commit nor script */
    assert_int_equal((w->now_ms - start) / 1000, 4);
    assert_false(ingest_ready(w->g, &why));
    assert_string_equal(why, "the log in Redis belongs to another SQLite file: another");
    snprintf(w->r->owner, sizeof w->r->owner, "%s", OWN);
    run(w);
    assert_agree(w);
    assert_int_equal(w->file.opening, 1);
    world_free(w);
}

static void test_sealed_at_advance(void **state)
{
    (void)state;
    struct world *w = opened_world();
    publish(w, "a", 1, 5);
    w->page_asked = true;
    step(w);
    step(w);
    assert_string_equal(w->verb, "advance");
    snprintf(w->r->token, sizeof w->r->token, "regressed");
    w->r->high = 1000; /* a gateway has seen it */
    run(w);
    assert_agree(w);
    assert_int_equal(w->r->opening, 2);
    assert_int_equal(w->r->from, 1000);
    world_free(w);
}

static void test_error_reply(void **state)
{
    (void)state;
    struct world *w = opened_world();
    publish(w, "a", 1, 5);
    w->page_asked = true;
    step(w);
    step(w);
    w->script_asked = false;
    error_send(w, "OOM command not allowed");
    assert_int_equal(asked(w), NOTHING);
    assert_false(ready(w));
    run(w);
    assert_agree(w);
    world_free(w);
}

/* Each difference alone leads to an opening. */
static void test_differences(void **state)
{
    (void)state;
    for (int i = 0; i < 7; i++) {
        struct world *w = opened_world();
        fill(w, 1, 5);
        struct redis_model *r = w->r;
        switch (i) {
        case 0:
            r->opening = 0;
            break;
        case 1:
            r->opening = 7;
            break;
        case 2:
            r->lease += 1;
            break;
        case 3:
            r->seq = r->last_generated = 4;
            r->log.n = 4;
            break;
        case 4:
            r->high = 6;
            break;
        case 5:
            xadd(r, &(struct row){.id = 9, .json = "no message"}); /* top above seq */
            break;
        default:
            snprintf(r->token, sizeof r->token, "sealed:1");
        }
        ring(w);
        assert_agree(w);
        assert_int_equal(r->opening, i == 1 ? 8 : 2);
        assert_int_equal(r->from, i == 2 ? 6 + BACKLOG : 5 + BACKLOG);
        world_free(w);
    }
}

static void test_base_above_position(void **state)
{
    (void)state;
    struct world *w = opened_world();
    fill(w, 6, 10);
    w->rows->n = 10; /* an old backup of the file was restored */
    w->file.position = w->file.last = 10;
    w->file.lease = 10 + BACKLOG;
    restart_persister(w);
    link_up(w);
    run(w);
    assert_int_equal(w->rows->n, 10 + TAIL);
    assert_int_equal(ingest_status(w->g)->hole_from, 10);
    assert_int_equal(ingest_status(w->g)->hole_to, 40);
    assert_agree(w);
    world_free(w);
}

static void test_commit_outlives_connection(void **state)
{
    (void)state;
    struct world *w = opened_world();
    publish(w, "a", 1, 5);
    w->page_asked = true;
    step(w);
    link_down(w);
    assert_true(w->page_given); /* the commit is still under way */
    link_up(w);
    assert_false(w->page_asked || w->script_asked);
    run(w);
    assert_int_equal(w->rows->n, 5);
    assert_agree(w);
    publish(w, "a", 2, 5);
    w->page_asked = true;
    step(w);
    link_down(w);
    commit_run(w);
    assert_false(w->page_given);
    link_up(w);
    assert_true(w->page_asked);
    run(w);
    assert_int_equal(w->rows->n, 10);
    assert_agree(w);
    world_free(w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_batch),
        cmocka_unit_test(test_ahead),
        cmocka_unit_test(test_ahead_not_used),
        cmocka_unit_test(test_retell_after_reconnect),
        cmocka_unit_test(test_retell_when_idle),
        cmocka_unit_test(test_higher_backlog_after_restart),
        cmocka_unit_test(test_commit_fails),
        cmocka_unit_test(test_conflict),
        cmocka_unit_test(test_retell_while_sqlite_fails),
        cmocka_unit_test(test_owner),
        cmocka_unit_test(test_sealed_at_advance),
        cmocka_unit_test(test_error_reply),
        cmocka_unit_test(test_differences),
        cmocka_unit_test(test_base_above_position),
        cmocka_unit_test(test_commit_outlives_connection),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
