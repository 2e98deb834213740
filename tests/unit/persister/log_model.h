/* SPDX-License-Identifier: MIT */
/* What the log in Redis is made of, for the tests of the persister's engine: the state, a stream
 * whose ids only grow, idempotency keys and producer records. */
#ifndef TESTS_LOG_MODEL_H
#define TESTS_LOG_MODEL_H

#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/str.h"

enum {
    ROWS = 4096
};

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
    char key[64];
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
        char key[64], value[64];
    } keys[ROWS];
    struct record records[8];
};

static inline uint64_t higher(uint64_t a, uint64_t b)
{
    return a > b ? a : b;
}

static inline void text_copy(char *out, size_t size, struct str s)
{
    assert_true(s.len < size);
    if (s.len)
        memcpy(out, s.p, s.len);
    out[s.len] = '\0';
}

static inline struct row *row_find(struct rows *rows, uint64_t id)
{
    for (size_t i = 0; i < rows->n; i++)
        if (rows->at[i].id == id)
            return &rows->at[i];
    return NULL;
}

static inline uint64_t top_of(const struct redis_model *r)
{
    return r->log.n ? r->log.at[r->log.n - 1].id : 0;
}

static inline bool xadd(struct redis_model *r, const struct row *row)
{
    if (row->id <= r->last_generated)
        return false;
    r->log.at[r->log.n++] = *row;
    r->last_generated = row->id;
    return true;
}

static inline void log_remove_upto(struct redis_model *r, uint64_t id)
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

static inline void key_set(struct redis_model *r, const char *key, const char *value)
{
    size_t i = 0;
    while (i < r->nkeys && strcmp(r->keys[i].key, key) != 0)
        i++;
    if (i == r->nkeys)
        r->nkeys++;
    snprintf(r->keys[i].key, sizeof r->keys[i].key, "%s", key);
    snprintf(r->keys[i].value, sizeof r->keys[i].value, "%s", value);
}

/* Unless it names a later id. */
static inline void key_raise(struct redis_model *r, const char *key, const char *value)
{
    const char *known = key_value(r, key);
    if (!known || strtoull(known, NULL, 10) < strtoull(value, NULL, 10))
        key_set(r, key, value);
}

static inline void key_remove(struct redis_model *r, const char *key)
{
    for (size_t i = 0; i < r->nkeys; i++)
        if (strcmp(r->keys[i].key, key) == 0)
            r->keys[i] = r->keys[--r->nkeys];
}

static inline struct record *record_find(struct redis_model *r, const char *key)
{
    for (size_t i = 0; i < r->nrecords; i++)
        if (strcmp(r->records[i].key, key) == 0)
            return &r->records[i];
    return NULL;
}

static inline struct record *record_set(struct redis_model *r, const char *key, uint64_t batch,
                                        bool full)
{
    struct record *rec = record_find(r, key);
    if (!rec)
        rec = &r->records[r->nrecords++];
    *rec = (struct record){.batch = batch, .full = full};
    snprintf(rec->key, sizeof rec->key, "%s", key);
    return rec;
}

#endif
