/* SPDX-License-Identifier: MIT */
/* The persister's engine between a model of the log in Redis (what open.lua and page.lua do) and
 * one of the SQLite file. One step runs one thing that is under way, so that a link can break
 * before or after any of them. */
#ifndef TESTS_INGEST_WORLD_H
#define TESTS_INGEST_WORLD_H

#include "tests/unit/persister/ingest_file.h"

/* ---- Redis ---- */

static inline uint64_t arg(const struct world *w, size_t i)
{
    uint64_t n = 0;
    assert_true(i < w->nargv && digits_read(str_of(w->argv[i]), &n));
    return n;
}

static inline void run_void(struct world *w)
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

static inline void run_keys(struct world *w)
{
    assert_int_equal(w->nargv, 1 + w->nkeyv);
    assert_int_equal(arg(w, 0), WINDOW_S);
    for (size_t i = 0; i < w->nkeyv; i++)
        key_raise(w->r, w->keyv[i], w->argv[i + 1]);
}

static inline void run_prod(struct world *w)
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

static inline void run_open(struct world *w)
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

static inline void run_advance(struct world *w)
{
    struct redis_model *r = w->r;
    assert_int_equal(w->nargv, 5);
    r->lease = higher(r->lease, arg(w, 1));
    r->stored = higher(r->stored, arg(w, 2));
    r->base = higher(r->base, arg(w, 3));
    log_remove_upto(r, r->base);
    assert_true(r->stored <= w->file.position && r->lease <= w->file.lease);
}

static inline void reply_send(struct world *w, const char *word, const char *detail)
{
    struct reply at[3] = {{.type = REPLY_INTEGER, .integer = word == NULL},
                          {.type = REPLY_STRING, .str = str_of(word)},
                          {.type = REPLY_STRING, .str = str_of(detail)}};
    struct reply r = {.type = REPLY_ARRAY, .n = word ? 3 : 1, .at = at};
    ingest_reply(w->g, &r);
}

static inline void error_send(struct world *w, const char *text)
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
    else if (strcmp(w->verb, "keys") == 0)
        run_keys(w);
    else if (strcmp(w->verb, "open") == 0)
        run_open(w);
    else
        fail_msg("unknown verb %s", w->verb);
    return NULL;
}

static inline void io_script(void *ctx, const char *verb, uint64_t opening, const struct str *keys,
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

static inline void io_ahead(void *ctx, const struct page *p)
{
    struct world *w = ctx;
    assert_true(w->commit_asked && p->full && p->count > 0);
    w->aheads++;
}

static inline void io_release(void *ctx, uint64_t position, enum ingest_next next)
{
    struct world *w = ctx;
    bool now = next != NEXT_NEWS;
    w->next = next;
    assert_true(w->page_given && !w->page_asked);
    w->page_given = false;
    w->after = position;
    w->page_asked = w->linked && (now || w->page_wanted);
    w->page_wanted = false;
    if (w->linked && !now)
        strcat(w->trace, "idle ");
}

static inline void page_send(struct world *w)
{
    struct redis_model *r = w->r;
    assert_false(w->page_given);
    w->page_asked = false;
    w->page_given = true;
    size_t n = entries_list(w, 0, &r->log, w->after, w->page_size, false);
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
    .ahead = io_ahead,
    .script = io_script,
    .release = io_release,
    .entries_after = io_entries_after,
    .keys_after = io_keys_after,
    .newest_floor = io_newest_floor,
    .window_floor = io_window_floor,
    .standing = io_standing,
};

static inline void link_up(struct world *w)
{
    w->linked = true;
    ingest_connected(w->g);
    w->page_asked = !w->page_given; /* as the feed does */
    w->page_wanted = w->page_given;
}

static inline void link_down(struct world *w)
{
    if (w->script_asked) {
        w->script_asked = false;
        ingest_reply(w->g, NULL);
    }
    w->linked = false;
    w->page_asked = w->page_wanted = false;
    ingest_disconnected(w->g);
}

static inline enum asked asked(const struct world *w)
{
    return w->commit_asked ? COMMIT : w->script_asked ? SCRIPT : w->page_asked ? PAGE : NOTHING;
}

static inline void script_answer(struct world *w)
{
    const char *error;
    const char *word = script_run(w, &error);
    w->script_asked = false;
    if (error)
        error_send(w, error);
    else
        reply_send(w, word, w->r->owner);
}

static inline void step(struct world *w)
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

static inline bool ready(const struct world *w)
{
    const char *why;
    return ingest_ready(w->g, &why);
}

/* Until nothing is under way and the log is followed. */
static inline void run(struct world *w)
{
    while (asked(w) != NOTHING || !ready(w))
        step(w);
}

static inline struct world *world_new(void)
{
    struct world *w = mem_zalloc(sizeof *w);
    w->r = mem_zalloc(sizeof *w->r);
    w->rows = mem_zalloc(sizeof *w->rows);
    w->removed = mem_zalloc(sizeof *w->removed);
    w->committing = mem_zalloc(sizeof *w->committing);
    w->entries = mem_zalloc(ROWS * sizeof *w->entries);
    log_names_init(&w->names, "chat", "0123456789abcdef");
    snprintf(w->file.owner, sizeof w->file.owner, "%s", OWN);
    snprintf(w->r->here, sizeof w->r->here, "server-1");
    w->page_size = 50;
    w->now_ms = 1000;
    w->g = ingest_new(&(struct ingest_limits){BACKLOG, TAIL, WINDOW_S}, &w->names, &io, w);
    return w;
}

static inline void world_free(struct world *w)
{
    ingest_free(w->g);
    log_names_done(&w->names);
    void *parts[] = {w->r, w->rows, w->removed, w->committing, w->entries, w};
    for (size_t i = 0; i < sizeof parts / sizeof *parts; i++)
        free(parts[i]);
}

#endif
