/* SPDX-License-Identifier: MIT */
/* What db.c and db_stream.c share. */
#ifndef TESTS_SIM_DB_INTERNAL_H
#define TESTS_SIM_DB_INTERNAL_H

#include "db.h"

struct key *db_make(struct db *db, struct str name, enum key_type type);
bool db_remove(struct db *db, struct str name, uint64_t now_ms);

struct reply reply_number(int64_t n);
struct reply reply_text(struct str s);
struct reply reply_ok(void);
struct reply wrong_type(void);

static inline struct reply wrong_count(void)
{
    return reply_error("ERR wrong number of arguments");
}

bool number_read(struct str s, uint64_t *out);
bool word_is(struct str s, const char *word); /* in any case */

struct reply run_xadd(struct db *db, const struct str *argv, size_t n, uint64_t now_ms);
struct reply run_xdel(struct db *db, const struct str *argv, size_t n, uint64_t now_ms);
struct reply run_xtrim(struct db *db, const struct str *argv, size_t n, uint64_t now_ms);
struct reply run_xrange(struct db *db, const struct str *argv, size_t n, uint64_t now_ms);
struct reply run_xrevrange(struct db *db, const struct str *argv, size_t n, uint64_t now_ms);
struct reply run_xlen(struct db *db, const struct str *argv, size_t n, uint64_t now_ms);

#endif
