/* SPDX-License-Identifier: MIT */
/* Growing bytes; see buf.h for the picture. */
#include "common/buf.h"

#include <assert.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "common/mem.h"

enum {
    BUF_MIN = 128,         /* bytes of the smallest buffer, its header not counted */
    BUF_PRINTF_MAX = 1024, /* bytes of one buf_printf, its terminator included */
};

char *buf_reserve(struct buf **b, size_t n)
{
    struct buf *old = *b;
    size_t len = buf_len(old);
    if (old && n <= old->cap - old->off - len)
        return old->bytes + old->off + len;
    if (old && n <= old->cap - len && len <= old->cap / 2) { /* at most half is moved */
        memmove(old->bytes, old->bytes + old->off, len);
        old->off = 0;
        return old->bytes + len;
    }
    assert(n < SIZE_MAX / 4 && len < SIZE_MAX / 4);
    size_t cap = old || n < BUF_MIN ? BUF_MIN : n;
    while (cap < len + n)
        cap *= 2;
    struct buf *new = mem_alloc(sizeof *new + cap);
    new->off = 0;
    new->len = len;
    new->cap = cap;
    if (old)
        memcpy(new->bytes, old->bytes + old->off, len);
    free(old);
    *b = new;
    return new->bytes + len;
}

void buf_grew(struct buf *b, size_t n)
{
    assert(n <= b->cap - b->off - b->len);
    b->len += n;
}

void buf_add(struct buf **b, const void *bytes, size_t n)
{
    if (!n)
        return;
    memcpy(buf_reserve(b, n), bytes, n);
    (*b)->len += n;
}

void buf_add_str(struct buf **b, struct str s)
{
    buf_add(b, s.p, s.len);
}

void buf_add_char(struct buf **b, char c)
{
    buf_add(b, &c, 1);
}

void buf_add_u64(struct buf **b, uint64_t n)
{
    char digits[20], *p = digits + sizeof digits;
    do
        *--p = (char)('0' + n % 10);
    while (n /= 10);
    buf_add(b, p, (size_t)(digits + sizeof digits - p));
}

void buf_printf(struct buf **b, const char *format, ...)
{
    char text[BUF_PRINTF_MAX];
    va_list args;
    va_start(args, format);
    int n = vsnprintf(text, sizeof text, format, args);
    va_end(args);
    assert(n >= 0 && (size_t)n < sizeof text);
    buf_add(b, text, (size_t)n);
}

void buf_take(struct buf **b, size_t n)
{
    if (!n)
        return;
    assert(*b && n <= (*b)->len);
    (*b)->off += n;
    (*b)->len -= n;
    if (!(*b)->len)
        buf_free(b);
}

void buf_cut(struct buf **b, size_t n)
{
    assert(n <= buf_len(*b));
    if (n == buf_len(*b))
        buf_free(b);
    else
        (*b)->len -= n;
}

void buf_free(struct buf **b)
{
    free(*b);
    *b = NULL;
}
