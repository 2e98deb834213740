/* SPDX-License-Identifier: MIT */
/* What happens to the log in the tests of the persister's engine, and what must hold at the end. */
#ifndef TESTS_INGEST_STORY_H
#define TESTS_INGEST_STORY_H

#include "tests/unit/persister/ingest_world.h"

static inline struct world *opened_world(void)
{
    struct world *w = world_new();
    link_up(w);
    run(w);
    return w;
}

/* The doorbell. */
static inline void ring(struct world *w)
{
    w->page_asked = true;
    run(w);
}

/* A batch of a gateway; every third message has a key. */
static inline void publish(struct world *w, const char *boot, uint64_t batch, size_t n)
{
    struct redis_model *r = w->r;
    char record[48];
    assert_string_equal(r->token, r->here);
    snprintf(record, sizeof record, "%s%s", w->names.producers, boot);
    struct record *rec = record_set(r, record, batch, true);
    for (size_t i = 1; i <= n; i++) {
        uint64_t id = ++r->seq;
        assert_true(id <= r->lease);
        struct row row = {.id = id};
        snprintf(row.json, sizeof row.json,
                 "{\"id\":%" PRIu64 ",\"created_at\":\"2025-06-14T22:15:03.%03" PRIu64 "Z\"}", id,
                 id % 1000);
        snprintf(row.origin, sizeof row.origin, "%s:%" PRIu64 ":%zu", boot, batch, i);
        if (id % 3 == 0) {
            snprintf(row.key, sizeof row.key, "%s%" PRIu64, w->names.idem, id);
            snprintf(row.value, sizeof row.value, "%" PRIu64 " 1749939303000 print", id);
            key_set(r, row.key, row.value);
        }
        assert_true(xadd(r, &row));
        rec->index[rec->n] = i;
        rec->id[rec->n++] = id;
    }
}

/* SQLite and the stream agree, and nothing above base is missing in either. */
static inline void assert_agree(struct world *w)
{
    struct redis_model *r = w->r;
    assert_string_equal(r->token, r->here);
    assert_int_equal(r->opening, w->file.opening);
    assert_int_equal(r->seq, w->file.position);
    assert_int_equal(r->stored, w->file.position);
    assert_int_equal(r->lease, w->file.lease);
    assert_int_equal(w->file.lease, w->file.position + BACKLOG);
    for (size_t i = 0; i < r->log.n; i++)
        assert_non_null(row_find(w->rows, r->log.at[i].id));
    for (size_t i = 0; i < w->rows->n; i++) {
        struct row *row = &w->rows->at[i], *in = row_find(&r->log, row->id);
        if (row->id > r->base)
            assert_non_null(in);
        if (in)
            assert_string_equal(in->json, row->json);
        if (row->key[0] && !row->old) {
            assert_non_null(key_value(r, row->key));
            assert_string_equal(key_value(r, row->key), row->value);
        }
        assert_true(i == 0 || row[-1].id < row->id);
    }
}

/* The record names the whole of a batch that SQLite has. */
static inline void assert_recorded(struct world *w, const char *boot, uint64_t batch, size_t n)
{
    char key[48];
    snprintf(key, sizeof key, "%s%s", w->names.producers, boot);
    struct record *rec = record_find(w->r, key);
    if (!rec) {
        fail_msg("no record of %s", boot);
        return;
    }
    assert_int_equal(rec->batch, batch);
    assert_int_equal(rec->n, n);
    for (size_t i = 0; i < n; i++) {
        assert_int_equal(rec->index[i], i + 1);
        assert_non_null(row_find(w->rows, rec->id[i]));
    }
}

static inline void restart_persister(struct world *w)
{
    link_down(w);
    w->page_given = false;
    ingest_free(w->g);
    struct ingest_limits limits = {.backlog_max = BACKLOG, .tail = TAIL, .window_s = WINDOW_S};
    w->g = ingest_new(&limits, &w->names, &io, w);
}

static inline void server_restarts(struct world *w, const char *here)
{
    if (w->linked)
        link_down(w);
    snprintf(w->r->here, sizeof w->r->here, "%s", here);
}

static inline void redis_flush(struct world *w)
{
    char here[64];
    memcpy(here, w->r->here, sizeof here);
    memset(w->r, 0, sizeof *w->r);
    memcpy(w->r->here, here, sizeof here);
}

static inline void fill(struct world *w, size_t batches, size_t n)
{
    for (size_t b = 1; b <= batches; b++) {
        publish(w, b % 2 ? "odd" : "even", b, n);
        ring(w);
    }
}

#endif
