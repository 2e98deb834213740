/* SPDX-License-Identifier: MIT */
/* persister/opening.c and restore.c: the log opens after any loss, whatever breaks on the way. */
#include "tests/unit/persister/ingest_story.h"

static void test_first_start(void **state)
{
    (void)state;
    struct world *w = world_new();
    const char *why;
    assert_false(ingest_ready(w->g, &why));
    assert_string_equal(why, "Redis is not connected");
    link_up(w);
    assert_false(ingest_ready(w->g, &why));
    run(w);
    assert_string_equal(w->trace, "commit seal commit open advance idle ");
    assert_int_equal(w->r->seq, 0);
    assert_int_equal(w->r->lease, BACKLOG);
    assert_int_equal(w->r->opening, 1);
    assert_string_equal(w->r->owner, OWN);
    assert_agree(w);
    publish(w, "a", 1, 1);
    assert_int_equal(top_of(w->r), 1);
    world_free(w);
}

static void test_redis_restarts(void **state)
{
    (void)state;
    struct world *w = opened_world();
    fill(w, 3, 10);
    publish(w, "b", 4, 4); /* not saved yet */
    server_restarts(w, "server-2");
    link_up(w);
    run(w);
    assert_int_equal(w->rows->n, 34);
    assert_int_equal(w->r->prev, 34);
    assert_int_equal(w->r->from, 30 + BACKLOG); /* the old lease */
    assert_int_equal(w->r->base, 34 - TAIL);    /* the jump takes nothing of the tail */
    assert_agree(w);
    assert_recorded(w, "b", 4, 4);
    publish(w, "b", 5, 30);
    ring(w);
    assert_agree(w);
    assert_int_equal(w->r->base, 30 + BACKLOG + 30 - TAIL);
    world_free(w);
}

static void test_flushall(void **state)
{
    (void)state;
    struct world *w = opened_world();
    fill(w, 5, 10);
    redis_flush(w);
    ring(w);
    assert_agree(w);
    assert_int_equal(w->r->log.n, TAIL);
    assert_int_equal(ingest_status(w->g)->restored, 50);
    assert_recorded(w, "odd", 5, 10);
    assert_recorded(w, "even", 4, 10);
    assert_true(w->r->from >= 40 + BACKLOG);
    assert_int_equal(w->r->ts, 1749939303050);
    world_free(w);
}

static void test_tail_lost(void **state)
{
    (void)state;
    struct world *w = opened_world();
    fill(w, 2, 10);
    struct redis_model *older = mem_alloc(sizeof *older);
    *older = *w->r;
    publish(w, "odd", 3, 7);
    ring(w);
    publish(w, "even", 4, 3); /* seen by nobody, lost */
    *w->r = *older;
    free(older);
    server_restarts(w, "server-2");
    link_up(w);
    run(w);
    assert_int_equal(w->rows->n, 27);
    assert_agree(w);
    assert_recorded(w, "odd", 3, 7);
    assert_recorded(w, "even", 2, 10);
    assert_int_equal(ingest_status(w->g)->restored, 7);
    assert_int_equal(w->r->prev, 27);
    assert_true(w->r->from >= 30);
    world_free(w);
}

static void test_large_loss(void **state)
{
    (void)state;
    struct world *w = opened_world();
    fill(w, 60, 50);
    for (size_t i = 0; i < 900; i++)
        w->rows->at[i].old = true;
    redis_flush(w);
    w->page_asked = true;
    while (strcmp(w->r->token, w->r->here) != 0)
        step(w);
    assert_int_equal(w->r->base, 3000 - BACKLOG - TAIL); /* keyed ones below it do not count */
    run(w);
    assert_agree(w); /* all keys in the window */
    assert_int_equal(w->r->base, 3000 - TAIL);
    size_t keyed = 0;
    for (size_t i = 900; i < 3000 - BACKLOG - TAIL; i++)
        keyed += w->rows->at[i].key[0] != '\0';
    assert_int_equal(ingest_status(w->g)->restored, keyed + BACKLOG + TAIL);
    assert_null(key_value(w->r, w->rows->at[2].key)); /* out of the window */
    assert_recorded(w, "odd", 59, 50);
    assert_recorded(w, "even", 60, 50);
    world_free(w);
}

static void test_void(void **state)
{
    (void)state;
    struct world *w = opened_world();
    fill(w, 2, 10);
    publish(w, "void", 1, 5); /* 21 to 25: a partitioned master gave them */
    link_down(w);
    w->file.position = 25 + BACKLOG;
    w->file.lease = 25 + 2 * BACKLOG;
    w->file.opening = 2;
    link_up(w);
    run(w);
    assert_agree(w);
    assert_null(row_find(w->rows, 21));
    assert_int_equal(ingest_status(w->g)->voided, 5);
    assert_int_equal(top_of(w->r), 20);
    assert_string_equal(key_value(w->r, "{chat}:idem:24"), "");
    assert_null(record_find(w->r, "{chat}:producer:void"));
    assert_recorded(w, "even", 2, 10);
    world_free(w);
}

/* Reads that fail give nothing, and make the next commit fail: nothing may be voided on that. */
static void test_void_on_failed_read(void **state)
{
    (void)state;
    struct world *w = opened_world();
    fill(w, 2, 10);
    server_restarts(w, "server-2");
    link_up(w);
    while (strcmp(w->verb, "seal") != 0 || w->script_asked)
        step(w);
    size_t n = w->rows->n;
    w->rows->n = 0;
    w->result = STORE_FAILED;
    step(w); /* the page that is reviewed */
    step(w);
    w->rows->n = n;
    w->result = STORE_OK;
    run(w);
    assert_int_equal(ingest_status(w->g)->voided, 0);
    assert_int_equal(w->r->log.n, 20);
    assert_agree(w);
    world_free(w);
}

/* What a stranger wrote into the stream SQLite leaves out; it goes before the log opens. */
static void test_stranger(void **state)
{
    (void)state;
    struct world *w = opened_world();
    fill(w, 2, 10);
    xadd(w->r, &(struct row){.id = 25, .json = "hello"});
    ring(w);
    assert_agree(w);
    assert_int_equal(w->r->log.n, 20);
    assert_int_equal(ingest_status(w->g)->voided, 1);
    world_free(w);
}

static void test_void_spares_pruned(void **state)
{
    (void)state;
    struct world *w = opened_world();
    fill(w, 1, 10);
    memmove(w->rows->at, w->rows->at + 4, 6 * sizeof w->rows->at[0]);
    w->rows->n = 6;
    w->file.pruned = 4;
    server_restarts(w, "server-2");
    link_up(w);
    run(w);
    assert_int_equal(ingest_status(w->g)->voided, 0);
    assert_int_equal(w->r->log.n, 10);
    world_free(w);
}

static void test_contents_differ(void **state)
{
    (void)state;
    struct world *w = opened_world();
    fill(w, 1, 10);
    snprintf(w->r->log.at[4].json, sizeof w->r->log.at[4].json, "{\"id\":5}");
    server_restarts(w, "server-2");
    link_up(w);
    run(w);
    assert_int_equal(ingest_status(w->g)->conflicts, 1);
    assert_int_equal(w->r->log.n, 10);
    world_free(w);
}

static void test_owner_at_seal(void **state)
{
    (void)state;
    struct world *w = world_new();
    const char *why;
    link_up(w);
    step(w); /* page */
    step(w); /* commit */
    snprintf(w->r->owner, sizeof w->r->owner, "another");
    step(w); /* seal */
    assert_int_equal(w->r->opening, 0);
    assert_false(ingest_ready(w->g, &why));
    assert_string_equal(why, "the log in Redis belongs to another SQLite file: another");
    world_free(w);
}

static void test_newer(void **state)
{
    (void)state;
    struct world *w = world_new();
    link_up(w);
    step(w);
    step(w);
    assert_string_equal(w->verb, "seal");
    w->r->exists = true;
    w->r->opening = 8;
    snprintf(w->r->token, sizeof w->r->token, "sealed:8");
    run(w);
    assert_int_equal(w->r->opening, 9);
    assert_agree(w);
    world_free(w);
}

/* Another server between the seal and a page. */
static void test_server_changes_while_opening(void **state)
{
    (void)state;
    struct world *w = opened_world();
    fill(w, 1, 5);
    snprintf(w->r->here, sizeof w->r->here, "server-2");
    w->trace[0] = '\0';
    w->page_asked = true;
    while (strcmp(w->verb, "seal") != 0 || w->script_asked)
        step(w);
    snprintf(w->r->here, sizeof w->r->here, "server-3");
    run(w);
    assert_agree(w);
    assert_int_equal(w->r->opening, 3);
    assert_string_equal(w->trace, "commit seal commit seal commit open advance idle ");
    world_free(w);
}

/* The stream, with void entries at or below position, entries to drain and 450 rows lost whose
 * batches a put cuts. */
static struct world *wounded_world(void)
{
    struct world *w = opened_world();
    fill(w, 2, 10);
    struct redis_model *older = mem_alloc(sizeof *older);
    *older = *w->r;
    for (uint64_t b = 3; b < 12; b++) {
        publish(w, b % 2 ? "odd" : "even", b, 73);
        ring(w);
    }
    *w->r = *older;
    free(older);
    w->r->lease = 40;
    publish(w, "void", 1, 6); /* 21 to 26 again, by a master that was cut off */
    for (uint64_t i = 0; i < 6; i++) {
        struct row *row = row_find(w->rows, 21 + i);
        memmove(row, row + 1, (size_t)(w->rows->at + w->rows->n - (row + 1)) * sizeof *row);
        w->rows->n--;
    }
    server_restarts(w, "server-2");
    w->trace[0] = '\0';
    w->steps = 0;
    return w;
}

static void assert_healed(struct world *w, size_t rows)
{
    assert_int_equal(w->rows->n, rows);
    assert_agree(w);
    assert_recorded(w, "odd", 11, 73);
    assert_recorded(w, "even", 10, 73);
}

enum fault {
    LOST_REQUEST,
    LOST_REPLY,
    PERSISTER_KILLED,
    COMMIT_FAILED,
    SERVER_CHANGED,
    FAULTS
};

static void fault_do(struct world *w, enum fault f)
{
    const char *error;
    switch (f) {
    case LOST_REPLY: /* the command ran */
        if (w->script_asked)
            script_run(w, &error);
        link_down(w);
        break;
    case PERSISTER_KILLED:
        w->commit_asked = false;
        restart_persister(w);
        break;
    case COMMIT_FAILED:
        w->result = STORE_FAILED;
        step(w);
        w->result = STORE_OK;
        return;
    case SERVER_CHANGED:
        server_restarts(w, "server-3");
        break;
    default:
        link_down(w);
    }
    link_up(w);
}

/* Whatever breaks at whatever step of an opening: it opens at last, and nothing is lost. */
static void test_fault_at_each_step(void **state)
{
    (void)state;
    struct world *w = wounded_world();
    const size_t rows = w->rows->n;
    link_up(w);
    run(w);
    const unsigned steps = w->steps;
    assert_healed(w, rows);
    assert_int_equal(ingest_status(w->g)->voided, 6);
    assert_non_null(strstr(w->trace, "void void void void void void prod "));
    assert_non_null(strstr(w->trace, "put put "));
    world_free(w);
    assert_true(steps > 20);
    for (enum fault f = LOST_REQUEST; f < FAULTS; f++)
        for (unsigned k = 0; k <= steps; k++) {
            w = wounded_world();
            link_up(w);
            for (unsigned i = 0; i < k; i++)
                step(w);
            fault_do(w, f);
            run(w);
            assert_healed(w, rows);
            world_free(w);
        }
}

/* Two faults, and publishing goes on as soon as it is allowed: no id is given twice. */
static void test_two_faults(void **state)
{
    (void)state;
    for (unsigned seed = 1; seed <= 300; seed++) {
        srand(seed);
        struct world *w = wounded_world();
        uint64_t newest = w->file.last;
        link_up(w);
        for (int i = 0; i < 3; i++) {
            for (int k = rand() % 30; k > 0; k--)
                step(w);
            fault_do(w, (enum fault)(rand() % FAULTS));
        }
        run(w);
        publish(w, "new", seed, 3);
        assert_true(w->r->seq - 2 > newest);
        ring(w);
        assert_agree(w);
        assert_recorded(w, "new", seed, 3);
        world_free(w);
    }
}

static void test_drain(void **state)
{
    (void)state;
    struct world *w = opened_world();
    publish(w, "a", 1, 90); /* two pages, none saved */
    server_restarts(w, "server-2");
    w->trace[0] = '\0';
    link_up(w);
    run(w);
    assert_string_equal(w->trace, "commit seal commit commit commit open advance idle ");
    assert_int_equal(w->rows->n, 90);
    assert_int_equal(w->r->from, BACKLOG); /* not above what was ever allowed */
    assert_agree(w);
    world_free(w);
}

/* Ten restarts without a message: each takes the rest of a lease, no more. */
static void test_lease(void **state)
{
    (void)state;
    struct world *w = opened_world();
    for (uint64_t i = 1; i <= 10; i++) {
        server_restarts(w, i % 2 ? "server-2" : "server-1");
        link_up(w);
        run(w);
        assert_int_equal(w->r->from, i * BACKLOG);
        assert_int_equal(w->r->prev, 0);
        assert_agree(w);
    }
    w->r->lease = 5000; /* Redis knows of a lease that SQLite does not (an old backup) */
    ring(w);
    assert_int_equal(w->r->from, 5000);
    assert_agree(w);
    world_free(w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_first_start),
        cmocka_unit_test(test_redis_restarts),
        cmocka_unit_test(test_flushall),
        cmocka_unit_test(test_tail_lost),
        cmocka_unit_test(test_large_loss),
        cmocka_unit_test(test_void),
        cmocka_unit_test(test_void_on_failed_read),
        cmocka_unit_test(test_stranger),
        cmocka_unit_test(test_void_spares_pruned),
        cmocka_unit_test(test_contents_differ),
        cmocka_unit_test(test_owner_at_seal),
        cmocka_unit_test(test_newer),
        cmocka_unit_test(test_server_changes_while_opening),
        cmocka_unit_test(test_fault_at_each_step),
        cmocka_unit_test(test_two_faults),
        cmocka_unit_test(test_drain),
        cmocka_unit_test(test_lease),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
