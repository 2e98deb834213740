/* SPDX-License-Identifier: MIT */
/* Keys and the commands on strings and hashes; those on streams are in db_stream.c. */
#include "db.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <strings.h>

#include "db_internal.h"

static size_t bucket_of(struct str name)
{
    uint32_t h = 2166136261u;
    for (size_t i = 0; i < name.len; i++)
        h = (h ^ (unsigned char)name.p[i]) * 16777619u;
    return h % DB_BUCKETS;
}

struct key *db_find(struct db *db, struct str name, uint64_t now_ms)
{
    for (struct key **at = &db->buckets[bucket_of(name)]; *at; at = &(*at)->next) {
        struct key *k = *at;
        if (!str_eq(k->name, name))
            continue;
        if (k->expires_ms && k->expires_ms <= now_ms) {
            *at = k->next;
            return NULL;
        }
        return k;
    }
    return NULL;
}

struct key *db_make(struct db *db, struct str name, enum key_type type)
{
    struct key **bucket = &db->buckets[bucket_of(name)];
    struct key *k = arena_alloc(sizeof *k);
    *k = (struct key){.next = *bucket, .name = arena_str(name), .type = type};
    *bucket = k;
    return k;
}

bool db_remove(struct db *db, struct str name, uint64_t now_ms)
{
    if (!db_find(db, name, now_ms))
        return false;
    for (struct key **at = &db->buckets[bucket_of(name)]; *at; at = &(*at)->next)
        if (str_eq((*at)->name, name)) {
            *at = (*at)->next;
            return true;
        }
    return false;
}

struct reply reply_error(const char *text)
{
    return (struct reply){.type = REPLY_ERROR, .str = str_of(text)};
}

struct reply wrong_type(void)
{
    return reply_error("WRONGTYPE Operation against a key holding the wrong kind of value");
}

struct reply reply_number(int64_t n)
{
    return (struct reply){.type = REPLY_INTEGER, .integer = n};
}

struct reply reply_text(struct str s)
{
    return (struct reply){.type = REPLY_STRING, .str = s};
}

struct reply reply_ok(void)
{
    return reply_text(STR("OK"));
}

bool number_read(struct str s, uint64_t *out)
{
    uint64_t n = 0;
    if (!s.len || s.len > 19)
        return false;
    for (size_t i = 0; i < s.len; i++) {
        if (!isdigit((unsigned char)s.p[i]))
            return false;
        n = n * 10 + (uint64_t)(s.p[i] - '0');
    }
    *out = n;
    return true;
}

bool word_is(struct str s, const char *word)
{
    return s.len == strlen(word) && strncasecmp(s.p, word, s.len) == 0;
}

/* ---- strings and keys ---- */

static struct reply run_get(struct db *db, const struct str *argv, size_t n, uint64_t now_ms)
{
    struct key *k = db_find(db, argv[1], now_ms);
    if (n != 2)
        return wrong_count();
    if (!k)
        return (struct reply){.type = REPLY_NIL};
    return k->type == KEY_STRING ? reply_text(k->value) : wrong_type();
}

/* SET key value [EX seconds | PXAT ms] */
static struct reply run_set(struct db *db, const struct str *argv, size_t n, uint64_t now_ms)
{
    uint64_t expires_ms = 0;
    if (n == 5) {
        if (!number_read(argv[4], &expires_ms) || expires_ms == 0)
            return reply_error("ERR invalid expire time in 'set' command");
        if (word_is(argv[3], "EX"))
            expires_ms = now_ms + expires_ms * 1000;
        else if (!word_is(argv[3], "PXAT"))
            return reply_error("ERR syntax error");
    } else if (n != 3) {
        return wrong_count();
    }
    struct key *k = db_find(db, argv[1], now_ms);
    if (!k)
        k = db_make(db, argv[1], KEY_STRING);
    *k = (struct key){.next = k->next, .name = k->name, .type = KEY_STRING};
    k->value = arena_str(argv[2]);
    k->expires_ms = expires_ms;
    return reply_ok();
}

static struct reply run_del(struct db *db, const struct str *argv, size_t n, uint64_t now_ms)
{
    int64_t removed = 0;
    for (size_t i = 1; i < n; i++)
        removed += db_remove(db, argv[i], now_ms);
    return reply_number(removed);
}

static struct reply run_ttl(struct db *db, const struct str *argv, size_t n, uint64_t now_ms)
{
    struct key *k = db_find(db, argv[1], now_ms);
    if (n != 2)
        return wrong_count();
    if (!k)
        return reply_number(-2);
    return reply_number(k->expires_ms ? (int64_t)(k->expires_ms - now_ms + 500) / 1000 : -1);
}

static struct reply run_flushall(struct db *db, const struct str *argv, size_t n, uint64_t now_ms)
{
    (void)argv, (void)n, (void)now_ms;
    *db = (struct db){{0}};
    return reply_ok();
}

/* ---- hashes ---- */

static struct field *field_find(const struct key *k, struct str name)
{
    for (size_t i = 0; k && i < k->count; i++)
        if (str_eq(k->fields[i].name, name))
            return &k->fields[i];
    return NULL;
}

struct str db_hash_get(struct db *db, struct str name, struct str field)
{
    struct key *k = db_find(db, name, 0);
    struct field *f = k && k->type == KEY_HASH ? field_find(k, field) : NULL;
    return f ? f->value : (struct str){"", 0};
}

static struct reply run_hset(struct db *db, const struct str *argv, size_t n, uint64_t now_ms)
{
    int64_t added = 0;
    if (n < 4 || n % 2)
        return wrong_count();
    struct key *k = db_find(db, argv[1], now_ms);
    if (k && k->type != KEY_HASH)
        return wrong_type();
    if (!k)
        k = db_make(db, argv[1], KEY_HASH);
    for (size_t i = 2; i < n; i += 2) {
        struct field *f = field_find(k, argv[i]);
        if (!f) {
            if (k->count == k->cap)
                k->fields = arena_grow(k->fields, k->count, &k->cap, sizeof *k->fields);
            f = &k->fields[k->count++];
            f->name = arena_str(argv[i]);
            added++;
        }
        f->value = arena_str(argv[i + 1]);
    }
    return reply_number(added);
}

static struct reply run_hdel(struct db *db, const struct str *argv, size_t n, uint64_t now_ms)
{
    int64_t removed = 0;
    struct key *k = db_find(db, argv[1], now_ms);
    if (k && k->type != KEY_HASH)
        return wrong_type();
    for (size_t i = 2; k && i < n; i++) {
        struct field *f = field_find(k, argv[i]);
        if (!f)
            continue;
        *f = k->fields[--k->count];
        removed++;
    }
    if (k && !k->count)
        db_remove(db, argv[1], now_ms);
    return reply_number(removed);
}

static struct reply run_hmget(struct db *db, const struct str *argv, size_t n, uint64_t now_ms)
{
    struct key *k = db_find(db, argv[1], now_ms);
    if (k && k->type != KEY_HASH)
        return wrong_type();
    struct reply *at = arena_alloc((n - 2) * sizeof *at);
    for (size_t i = 2; i < n; i++) {
        struct field *f = field_find(k, argv[i]);
        at[i - 2] = f ? reply_text(f->value) : (struct reply){.type = REPLY_NIL};
    }
    return (struct reply){.type = REPLY_ARRAY, .n = n - 2, .at = at};
}

static const struct command commands[] = {
    {"get", false, false, run_get},     {"set", true, true, run_set},
    {"del", true, false, run_del},      {"ttl", false, false, run_ttl},
    {"hset", true, true, run_hset},     {"hdel", true, false, run_hdel},
    {"hmget", false, false, run_hmget}, {"flushall", true, false, run_flushall},
    {"xadd", true, true, run_xadd},     {"xdel", true, false, run_xdel},
    {"xtrim", true, false, run_xtrim},  {"xrange", false, false, run_xrange},
    {"xlen", false, false, run_xlen},   {"xrevrange", false, false, run_xrevrange},
};

const struct command *command_find(struct str name)
{
    for (size_t i = 0; i < sizeof commands / sizeof *commands; i++)
        if (tolower((unsigned char)name.p[0]) == commands[i].name[0] &&
            word_is(name, commands[i].name))
            return &commands[i];
    return NULL;
}
