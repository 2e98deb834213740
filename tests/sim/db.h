/* SPDX-License-Identifier: MIT */
/* The data of one model of Redis, and its commands: those that the log's scripts use, and a few
 * that let a test look at the result. Keys live in the run's memory. */
#ifndef TESTS_SIM_DB_H
#define TESTS_SIM_DB_H

#include "common/reply.h"
#include "world.h"

enum {
    DB_BUCKETS = 64
};

struct field {
    struct str name, value;
};

struct item { /* of a stream */
    uint64_t ms, seq;
    struct field *fields;
    size_t count;
};

enum key_type {
    KEY_STRING,
    KEY_HASH,
    KEY_STREAM,
};

struct key {
    struct key *next; /* in its bucket */
    struct str name;
    enum key_type type;
    uint64_t expires_ms; /* Unix time, 0: never */
    struct str value;
    struct field *fields;       /* of a hash */
    struct item *items;         /* of a stream */
    size_t first, count, cap;   /* first: of the items that are still there */
    uint64_t last_ms, last_seq; /* of a stream: the highest id ever given */
};

struct db {
    struct key *buckets[DB_BUCKETS];
};

enum command_effect {
    EFFECT_NONE,
    EFFECT_WRITE,
};

struct command {
    const char *name;
    bool write;    /* refused by a replica */
    bool deny_oom; /* refused where memory is short */
    struct reply (*run)(struct db *db, const struct str *argv, size_t n, uint64_t now_ms);
};

/* NULL: not one of the model's. Names are taken in any case. */
const struct command *command_find(struct str name);

/* The live key, or NULL; one that has expired is removed. */
struct key *db_find(struct db *db, struct str name, uint64_t now_ms);

/* A field of a hash; empty when it is not there. */
struct str db_hash_get(struct db *db, struct str name, struct str field);

struct reply reply_error(const char *text);

#endif
