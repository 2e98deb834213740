/* SPDX-License-Identifier: MIT */
/* persister/ingest.c, opening.c and restore.c against a small model of the log in Redis (what
 * open.lua and page.lua do, with the stream's rule that ids only grow) and of the SQLite file. One
 * step runs one thing that is under way, so that a link can break before or after any of them. */
#include <inttypes.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "common/mem.h"
#include "persister/ingest.h"

enum {
    BACKLOG = 100,
    TAIL = 20,
    WINDOW_S = 86400,
    ROWS = 4096,
    STEPS = 4000,
    TICK_MS = 100
};

static const char OWN[] = "f11ef11ef11ef11e";

struct row {
    uint64_t id;
    char json[96], origin[32], key[40], value[48];
    bool old; /* out of the window: SQLite has forgotten origin and key */
};

struct rows {
    size_t n;
    struct row at[ROWS];
};

struct record { /* of a producer */
    char key[48];
    uint64_t batch;
    bool full;
    size_t n;
    uint64_t index[256], id[256];
};

struct redis_model {
    bool exists;
    char token[64], here[64], owner[32];
    uint64_t opening, seq, lease, prev, from, base, stored, high, ts;
    uint64_t last_generated; /* the stream's: XADD must exceed it */
    struct rows log;
    size_t nkeys, nrecords;
    struct {
        char key[40], value[48];
    } keys[ROWS];
    struct record records[8];
};

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
    struct rows *rows; /* of SQLite */
    struct entry *entries;
    bool linked, page_asked, commit_asked, script_asked;
    uint64_t after, now_ms;
    unsigned page_size;
    struct rows *committing;
    struct store_commit commit;
    char verb[16], argv[1100][128], keyv[210][64];
    uint64_t opening;
    size_t nargv, nkeyv;
    enum store_result result; /* of the next commits */
    char trace[STEPS * 10];   /* what was asked for, in order */
    unsigned steps;
};

/* ---- SQLite ---- */

static struct row *row_find(struct rows *rows, uint64_t id)
{
    for (size_t i = 0; i < rows->n; i++)
        if (rows->at[i].id == id)
            return &rows->at[i];
    return NULL;
}

static struct entry entry_of(const struct row *row, bool forget)
{
    struct entry e = {.id = row->id, .json = str_of(row->json)};
    if (!forget || !row->old) {
        e.origin = str_of(row->origin);
        e.key = str_of(row->key);
        e.value = str_of(row->value);
    }
    return e;
}

static size_t entries_list(struct world *w, const struct rows *rows, uint64_t after, size_t limit,
                           bool forget)
{
    size_t n = 0;
    for (size_t i = 0; i < rows->n && n < limit; i++)
        if (rows->at[i].id > after)
            w->entries[n++] = entry_of(&rows->at[i], forget);
    return n;
}

static size_t io_entries_after(void *ctx, uint64_t after, size_t limit, const struct entry **out)
{
    struct world *w = ctx;
    *out = w->entries;
    return entries_list(w, w->rows, after, limit, true);
}

static uint64_t io_newest_floor(void *ctx, uint64_t n)
{
    struct world *w = ctx;
    return w->rows->n > n ? w->rows->at[w->rows->n - 1 - n].id : 0;
}

static uint64_t io_window_floor(void *ctx)
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

static void text_copy(char *out, size_t size, struct str s)
{
    assert_true(s.len < size);
    if (s.len)
        memcpy(out, s.p, s.len);
    out[s.len] = '\0';
}

static void row_of_entry(struct row *row, const struct entry *e)
{
    *row = (struct row){.id = e->id};
    text_copy(row->json, sizeof row->json, e->json);
    text_copy(row->origin, sizeof row->origin, e->origin);
    text_copy(row->key, sizeof row->key, e->key);
    text_copy(row->value, sizeof row->value, e->value);
}

static void io_commit(void *ctx, const struct store_commit *c)
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

static void commit_run(struct world *w)
{
    w->commit_asked = false;
    if (w->result == STORE_OK) {
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
    ingest_committed(w->g, w->result, w->result == STORE_OK ? "" : "disk");
}

/* ---- Redis ---- */

static uint64_t top_of(const struct redis_model *r)
{
    return r->log.n ? r->log.at[r->log.n - 1].id : 0;
}

static bool xadd(struct redis_model *r, const struct row *row)
{
    if (row->id <= r->last_generated)
        return false;
    r->log.at[r->log.n++] = *row;
    r->last_generated = row->id;
    return true;
}

static void log_remove_upto(struct redis_model *r, uint64_t id)
{
    size_t gone = 0;
    while (gone < r->log.n && r->log.at[gone].id <= id)
        gone++;
    memmove(r->log.at, r->log.at + gone, (r->log.n - gone) * sizeof *r->log.at);
    r->log.n -= gone;
}

static const char *key_value(const struct redis_model *r, const char *key)
{
    for (size_t i = 0; i < r->nkeys; i++)
        if (strcmp(r->keys[i].key, key) == 0)
            return r->keys[i].value;
    return NULL;
}

static void key_set(struct redis_model *r, const char *key, const char *value)
{
    size_t i = 0;
    while (i < r->nkeys && strcmp(r->keys[i].key, key) != 0)
        i++;
    if (i == r->nkeys)
        r->nkeys++;
    snprintf(r->keys[i].key, sizeof r->keys[i].key, "%s", key);
    snprintf(r->keys[i].value, sizeof r->keys[i].value, "%s", value);
}

static struct record *record_find(struct redis_model *r, const char *key)
{
    for (size_t i = 0; i < r->nrecords; i++)
        if (strcmp(r->records[i].key, key) == 0)
            return &r->records[i];
    return NULL;
}

static struct record *record_set(struct redis_model *r, const char *key, uint64_t batch, bool full)
{
    struct record *rec = record_find(r, key);
    if (!rec)
        rec = &r->records[r->nrecords++];
    *rec = (struct record){.batch = batch, .full = full};
    snprintf(rec->key, sizeof rec->key, "%s", key);
    return rec;
}

static uint64_t arg(const struct world *w, size_t i)
{
    uint64_t n = 0;
    assert_true(i < w->nargv && digits_read(str_of(w->argv[i]), &n));
    return n;
}

static void run_void(struct world *w)
{
    struct redis_model *r = w->r;
    uint64_t id = arg(w, 0);
    struct row *row = row_find(&r->log, id);
    if (row) {
        size_t i = (size_t)(row - r->log.at);
        memmove(row, row + 1, (r->log.n - i - 1) * sizeof *row);
        r->log.n--;
    }
    char start[24];
    int len = snprintf(start, sizeof start, "%" PRIu64 " ", id);
    const char *value = key_value(r, w->keyv[0]);
    if (value && strncmp(value, start, (size_t)len) == 0)
        key_set(r, w->keyv[0], "");
    struct record *rec = record_find(r, w->keyv[1]);
    for (size_t i = 0; rec && i < rec->n; i++)
        if (rec->id[i] == id)
            rec->key[0] = '\0';
}

static const char *run_put(struct world *w)
{
    struct redis_model *r = w->r;
    assert_int_equal(w->nargv, 5 * w->nkeyv);
    for (size_t i = 0; i < w->nkeyv; i++) {
        struct row row = {.id = arg(w, 5 * i)};
        bool keyed = strcmp(w->keyv[i], w->names.state) != 0;
        snprintf(row.json, sizeof row.json, "%s", w->argv[5 * i + 1]);
        snprintf(row.origin, sizeof row.origin, "%.31s", w->argv[5 * i + 2]);
        if (keyed) {
            snprintf(row.key, sizeof row.key, "%.39s", w->keyv[i]);
            snprintf(row.value, sizeof row.value, "%.47s", w->argv[5 * i + 3]);
            assert_int_equal(arg(w, 5 * i + 4), WINDOW_S);
        }
        if (!xadd(r, &row))
            return "ERR The ID specified in XADD is equal or smaller than the target stream top";
        if (keyed)
            key_set(r, row.key, row.value);
    }
    uint64_t below = arg(w, 0) - 1;
    if (!r->base || below < r->base)
        r->base = below;
    return NULL;
}

static void run_prod(struct world *w)
{
    assert_int_equal(arg(w, 0), WINDOW_S);
    struct record *rec = record_find(w->r, w->keyv[0]);
    if (rec && rec->batch > arg(w, 1))
        return;
    rec = record_set(w->r, w->keyv[0], arg(w, 1), false);
    for (size_t a = 2; a < w->nargv; a += 3) {
        rec->index[rec->n] = arg(w, a);
        rec->id[rec->n++] = arg(w, a + 1);
        assert_int_equal(arg(w, a + 2), 1749939303000 + arg(w, a + 1) % 1000);
    }
}

static void run_open(struct world *w)
{
    struct redis_model *r = w->r;
    assert_int_equal(w->nargv, 7);
    snprintf(r->token, sizeof r->token, "%.63s", w->argv[0]);
    r->seq = r->from = r->stored = arg(w, 1);
    r->lease = arg(w, 2);
    r->prev = arg(w, 3);
    r->base = arg(w, 4);
    r->ts = arg(w, 5);
    r->high = 0;
    assert_string_equal(w->argv[6], w->names.control);
    assert_true(top_of(r) <= r->prev && r->prev <= r->seq);
}

static uint64_t higher(uint64_t a, uint64_t b)
{
    return a > b ? a : b;
}

static void run_advance(struct world *w)
{
    struct redis_model *r = w->r;
    assert_int_equal(w->nargv, 5);
    r->lease = higher(r->lease, arg(w, 1));
    r->stored = higher(r->stored, arg(w, 2));
    r->base = higher(r->base, arg(w, 3));
    log_remove_upto(r, r->base);
    assert_true(r->stored <= w->file.position && r->lease <= w->file.lease);
}

static void reply_send(struct world *w, const char *word, const char *detail)
{
    struct reply at[3] = {{.type = REPLY_INTEGER, .integer = word == NULL},
                          {.type = REPLY_STRING, .str = str_of(word)},
                          {.type = REPLY_STRING, .str = str_of(detail)}};
    struct reply r = {.type = REPLY_ARRAY, .n = word ? 3 : 1, .at = at};
    ingest_reply(w->g, &r);
}

static void error_send(struct world *w, const char *text)
{
    struct reply r = {.type = REPLY_ERROR, .str = str_of(text)};
    ingest_reply(w->g, &r);
}

/* What open.lua does; the refusing word, or NULL for {1}. An error's text is put in *error. */
static const char *script_run(struct world *w, const char **error)
{
    struct redis_model *r = w->r;
    char sealed[32];
    *error = NULL;
    snprintf(sealed, sizeof sealed, "sealed:%" PRIu64, w->opening);
    if (r->owner[0] && strcmp(r->owner, w->file.owner) != 0)
        return "OWNER";
    if (strcmp(w->verb, "seal") == 0) {
        if (r->opening >= w->opening)
            return "NEWER";
        r->exists = true;
        r->opening = w->opening;
        memcpy(r->token, sealed, sizeof sealed);
        snprintf(r->owner, sizeof r->owner, "%s", w->file.owner);
        return NULL;
    }
    bool advance = strcmp(w->verb, "advance") == 0;
    if (advance ? strcmp(r->token, w->argv[0]) != 0 || r->opening != w->opening
                : strcmp(r->token, sealed) != 0)
        return "SEALED";
    if (advance)
        run_advance(w);
    else if (strcmp(w->verb, "void") == 0)
        run_void(w);
    else if (strcmp(w->verb, "put") == 0)
        *error = run_put(w);
    else if (strcmp(w->verb, "prod") == 0)
        run_prod(w);
    else if (strcmp(w->verb, "open") == 0)
        run_open(w);
    else
        fail_msg("unknown verb %s", w->verb);
    return NULL;
}

static void io_script(void *ctx, const char *verb, uint64_t opening, const struct str *keys,
                      size_t nkeys, const struct str *words, size_t nwords)
{
    struct world *w = ctx;
    assert_true(w->linked && !w->script_asked && !w->page_asked);
    assert_true(nkeys <= 200);
    w->script_asked = true;
    snprintf(w->verb, sizeof w->verb, "%s", verb);
    w->opening = opening;
    w->nkeyv = nkeys;
    w->nargv = nwords;
    for (size_t i = 0; i < nkeys; i++)
        text_copy(w->keyv[i], sizeof w->keyv[i], keys[i]);
    for (size_t i = 0; i < nwords; i++)
        text_copy(w->argv[i], sizeof w->argv[i], words[i]);
    strcat(w->trace, verb);
    strcat(w->trace, " ");
}

static void io_release(void *ctx, uint64_t position, bool now)
{
    struct world *w = ctx;
    assert_true(w->linked && !w->page_asked);
    w->after = position;
    w->page_asked = now;
    if (!now)
        strcat(w->trace, "idle ");
}

static void page_send(struct world *w)
{
    struct redis_model *r = w->r;
    w->page_asked = false;
    size_t n = entries_list(w, &r->log, w->after, w->page_size, false);
    struct entry *entries = mem_alloc((n + 1) * sizeof *entries);
    memcpy(entries, w->entries, n * sizeof *entries); /* the engine may read rows meanwhile */
    struct page p = {
        .exists = r->exists,
        .open = r->exists && strcmp(r->token, r->here) == 0,
        .token = str_of(r->token),
        .here = str_of(r->here),
        .owner = str_of(r->owner),
        .opening = r->opening,
        .seq = r->seq,
        .lease = r->lease,
        .prev = r->prev,
        .from = r->from,
        .base = r->base,
        .stored = r->stored,
        .high = r->high,
        .ts = r->ts,
        .top = top_of(r),
        .count = n,
        .entries = entries,
        .full = n == w->page_size,
    };
    ingest_page(w->g, &p);
    free(entries);
}

/* ---- The world ---- */

static const struct ingest_io io = {
    .commit = io_commit,
    .script = io_script,
    .release = io_release,
    .entries_after = io_entries_after,
    .newest_floor = io_newest_floor,
    .window_floor = io_window_floor,
    .standing = io_standing,
};

static void link_up(struct world *w)
{
    w->linked = true;
    ingest_connected(w->g);
    w->page_asked = true; /* as the feed does */
}

static void link_down(struct world *w)
{
    if (w->script_asked) {
        w->script_asked = false;
        ingest_reply(w->g, NULL);
    }
    w->linked = false;
    w->page_asked = false;
    ingest_disconnected(w->g);
}

static enum asked asked(const struct world *w)
{
    return w->commit_asked ? COMMIT : w->script_asked ? SCRIPT : w->page_asked ? PAGE : NOTHING;
}

static void script_answer(struct world *w)
{
    const char *error;
    const char *word = script_run(w, &error);
    w->script_asked = false;
    if (error)
        error_send(w, error);
    else
        reply_send(w, word, w->r->owner);
}

static void step(struct world *w)
{
    assert_true(++w->steps < STEPS);
    switch (asked(w)) {
    case COMMIT:
        commit_run(w);
        break;
    case SCRIPT:
        script_answer(w);
        break;
    case PAGE:
        page_send(w);
        break;
    case NOTHING:
        w->now_ms += TICK_MS;
        ingest_tick(w->g, w->now_ms);
    }
}

static bool ready(const struct world *w)
{
    const char *why;
    return ingest_ready(w->g, &why);
}

/* Until nothing is under way and the log is followed. */
static void run(struct world *w)
{
    while (asked(w) != NOTHING || !ready(w))
        step(w);
}

/* The doorbell. */
static void ring(struct world *w)
{
    w->page_asked = true;
    run(w);
}

static struct world *world_new(void)
{
    struct world *w = mem_zalloc(sizeof *w);
    w->r = mem_zalloc(sizeof *w->r);
    w->rows = mem_zalloc(sizeof *w->rows);
    w->committing = mem_zalloc(sizeof *w->committing);
    w->entries = mem_zalloc(ROWS * sizeof *w->entries);
    log_names_init(&w->names, "chat", "0123456789abcdef");
    snprintf(w->file.owner, sizeof w->file.owner, "%s", OWN);
    snprintf(w->r->here, sizeof w->r->here, "server-1");
    w->page_size = 50;
    w->now_ms = 1000;
    struct ingest_limits limits = {.backlog_max = BACKLOG, .tail = TAIL, .window_s = WINDOW_S};
    w->g = ingest_new(&limits, &w->names, &io, w);
    return w;
}

static void world_free(struct world *w)
{
    ingest_free(w->g);
    log_names_done(&w->names);
    free(w->r);
    free(w->rows);
    free(w->committing);
    free(w->entries);
    free(w);
}

static struct world *opened_world(void)
{
    struct world *w = world_new();
    link_up(w);
    run(w);
    return w;
}

static void restart_persister(struct world *w)
{
    link_down(w);
    ingest_free(w->g);
    struct ingest_limits limits = {.backlog_max = BACKLOG, .tail = TAIL, .window_s = WINDOW_S};
    w->g = ingest_new(&limits, &w->names, &io, w);
}

/* A batch of a gateway; every third message has a key. */
static void publish(struct world *w, const char *boot, uint64_t batch, size_t n)
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
static void assert_agree(struct world *w)
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
static void assert_recorded(struct world *w, const char *boot, uint64_t batch, size_t n)
{
    char key[48];
    snprintf(key, sizeof key, "%s%s", w->names.producers, boot);
    struct record *rec = record_find(w->r, key);
    assert_non_null(rec);
    assert_int_equal(rec->batch, batch);
    assert_int_equal(rec->n, n);
    for (size_t i = 0; i < n; i++) {
        assert_int_equal(rec->index[i], i + 1);
        assert_non_null(row_find(w->rows, rec->id[i]));
    }
}

static void server_restarts(struct world *w, const char *here)
{
    if (w->linked)
        link_down(w);
    snprintf(w->r->here, sizeof w->r->here, "%s", here);
}

static void redis_flush(struct world *w)
{
    char here[64];
    memcpy(here, w->r->here, sizeof here);
    memset(w->r, 0, sizeof *w->r);
    memcpy(w->r->here, here, sizeof here);
}

static void fill(struct world *w, size_t batches, size_t n)
{
    for (size_t b = 1; b <= batches; b++) {
        publish(w, b % 2 ? "odd" : "even", b, n);
        ring(w);
    }
}

/* ---- Tests ---- */

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
    ring(w);
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

static void test_missing_row(void **state)
{
    (void)state;
    struct world *w = opened_world();
    fill(w, 1, 10);
    struct rows *log = &w->r->log;
    memmove(log->at + 4, log->at + 5, 5 * sizeof log->at[0]); /* 5 is gone, 6 to 10 are there */
    log->n = 9;
    server_restarts(w, "server-2");
    link_up(w);
    run(w);
    assert_int_equal(w->r->base, 5);
    assert_agree(w);
    world_free(w);
}

static void test_put_refused(void **state)
{
    (void)state;
    struct world *w = opened_world();
    fill(w, 1, 10);
    w->r->log.n = 7; /* deleted by hand: the stream does not take 8 again */
    server_restarts(w, "server-2");
    link_up(w);
    run(w);
    assert_int_equal(w->r->base, 10);
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
            r->seq = 4;
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

/* Another server between the seal and a page. */
static void test_server_changes_while_opening(void **state)
{
    (void)state;
    struct world *w = opened_world();
    fill(w, 1, 5);
    snprintf(w->r->here, sizeof w->r->here, "server-2");
    w->page_asked = true;
    while (strcmp(w->verb, "seal") != 0 || w->script_asked)
        step(w);
    snprintf(w->r->here, sizeof w->r->here, "server-3");
    run(w);
    assert_agree(w);
    assert_int_equal(w->r->opening, 3);
    world_free(w);
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
    link_up(w);
    page_send(w); /* the commit is still under way */
    assert_false(w->page_asked || w->script_asked);
    run(w);
    assert_int_equal(w->rows->n, 5);
    assert_agree(w);
    publish(w, "a", 2, 5);
    w->page_asked = true;
    step(w);
    link_down(w);
    commit_run(w);
    link_up(w);
    run(w);
    assert_int_equal(w->rows->n, 10);
    assert_agree(w);
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
        cmocka_unit_test(test_batch),
        cmocka_unit_test(test_retell_after_reconnect),
        cmocka_unit_test(test_retell_when_idle),
        cmocka_unit_test(test_higher_backlog_after_restart),
        cmocka_unit_test(test_commit_fails),
        cmocka_unit_test(test_conflict),
        cmocka_unit_test(test_retell_while_sqlite_fails),
        cmocka_unit_test(test_redis_restarts),
        cmocka_unit_test(test_flushall),
        cmocka_unit_test(test_tail_lost),
        cmocka_unit_test(test_large_loss),
        cmocka_unit_test(test_void),
        cmocka_unit_test(test_void_on_failed_read),
        cmocka_unit_test(test_stranger),
        cmocka_unit_test(test_void_spares_pruned),
        cmocka_unit_test(test_missing_row),
        cmocka_unit_test(test_put_refused),
        cmocka_unit_test(test_owner),
        cmocka_unit_test(test_owner_at_seal),
        cmocka_unit_test(test_newer),
        cmocka_unit_test(test_sealed_at_advance),
        cmocka_unit_test(test_error_reply),
        cmocka_unit_test(test_differences),
        cmocka_unit_test(test_server_changes_while_opening),
        cmocka_unit_test(test_base_above_position),
        cmocka_unit_test(test_commit_outlives_connection),
        cmocka_unit_test(test_fault_at_each_step),
        cmocka_unit_test(test_two_faults),
        cmocka_unit_test(test_drain),
        cmocka_unit_test(test_lease),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
