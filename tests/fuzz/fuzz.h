/* SPDX-License-Identifier: MIT */
/*
 * What the fuzz targets share. A target is one function, LLVMFuzzerTestOneInput, that reads its
 * bytes as a peer's or an operator's, and asserts what must hold of whatever comes out: the same
 * answer however the input was cut, the same value after writing and reading again, the same as a
 * simpler second opinion says. libFuzzer drives it, or replay.c over the files of a corpus.
 */
#ifndef TESTS_FUZZ_FUZZ_H
#define TESTS_FUZZ_FUZZ_H

#include <assert.h>
#include <stdint.h>
#include <stdlib.h>

#include "common/buf.h"
#include "common/mem.h"
#include "common/str.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static inline struct str fuzz_str(const uint8_t *data, size_t size)
{
    return (struct str){(const char *)data, size};
}

/* A copy in a heap block of exactly its size, so that ASan sees a byte read too many; free. */
static inline char *fuzz_copy(struct str s)
{
    char *copy = mem_alloc(s.len ? s.len : 1);
    if (s.len)
        memcpy(copy, s.p, s.len);
    return copy;
}

/* Takes what stands before the next `stop`, or all that is left, off the front. */
static inline struct str fuzz_until(struct str *left, char stop)
{
    const char *at = left->len ? memchr(left->p, stop, left->len) : NULL;
    struct str part = {left->p, at ? (size_t)(at - left->p) : left->len};
    size_t used = part.len + (at ? 1 : 0);
    *left = (struct str){left->p + used, left->len - used};
    return part;
}

/* Numbers that depend on the input alone, so that a finding can be repeated. */
struct fuzz_random {
    uint64_t state;
};

static inline struct fuzz_random fuzz_seed(struct str s)
{
    uint64_t hash = 0xcbf29ce484222325u;
    for (size_t i = 0; i < s.len; i++)
        hash = (hash ^ (unsigned char)s.p[i]) * 0x100000001b3u;
    return (struct fuzz_random){hash | 1};
}

/* From 0 to n - 1. */
static inline size_t fuzz_below(struct fuzz_random *r, size_t n)
{
    r->state ^= r->state << 13;
    r->state ^= r->state >> 7;
    r->state ^= r->state << 17;
    return (size_t)(r->state % n);
}

static inline bool fuzz_same(const struct buf *a, const struct buf *b)
{
    return str_eq(buf_str(a), buf_str(b));
}

#endif
