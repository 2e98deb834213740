/* SPDX-License-Identifier: MIT */
/*
 * Bytes that grow at one end and are used up at the other. An empty buffer is a NULL pointer, so
 * that a connection with nothing half-read or half-written pays 8 bytes for it.
 *
 *      bytes        off              off + len         cap
 *      | used up    | there          | room            |
 */
#ifndef COMMON_BUF_H
#define COMMON_BUF_H

#include <stdint.h>

#include "common/str.h"

struct buf {
    size_t off;   /* bytes used up at the front */
    size_t len;   /* bytes there, from off */
    size_t cap;   /* bytes allocated in all */
    char bytes[]; /* cap of them */
};

/* How many bytes are there. */
static inline size_t buf_len(const struct buf *b)
{
    return b ? b->len : 0;
}

/* How many bytes are allocated for it, those used up among them. */
static inline size_t buf_cap(const struct buf *b)
{
    return b ? b->cap : 0;
}

/* The bytes that are there; valid until the buffer changes. */
static inline struct str buf_str(const struct buf *b)
{
    return b ? (struct str){b->bytes + b->off, b->len} : (struct str){"", 0};
}

/* Makes room for at least n more bytes and returns where they go; say how many came by
 * buf_grew. The first room is made to measure, then it doubles; what was used up is reclaimed
 * first. */
char *buf_reserve(struct buf **b, size_t n);
void buf_grew(struct buf *b, size_t n);

/* Appends a copy. */
void buf_add(struct buf **b, const void *bytes, size_t n);
void buf_add_str(struct buf **b, struct str s);
void buf_add_char(struct buf **b, char c);

/* Appends a number in decimal. */
void buf_add_u64(struct buf **b, uint64_t n);

/* Appends like printf, at most 1,023 bytes; for rare and short texts. */
void buf_printf(struct buf **b, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* Uses up n <= len bytes at the front; frees the buffer and sets NULL when none are left. */
void buf_take(struct buf **b, size_t n);

/* Drops n <= len bytes at the end; frees the buffer and sets NULL when none are left. */
void buf_cut(struct buf **b, size_t n);

/* Frees and sets NULL; b may hold NULL. */
void buf_free(struct buf **b);

#endif
