/* SPDX-License-Identifier: MIT */
/* Allocation that cannot fail; see mem.h. */
#include "common/mem.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void *must(void *p)
{
    if (!p) {
        fputs("out of memory\n", stderr);
        abort();
    }
    return p;
}

void *mem_alloc(size_t size)
{
    return must(malloc(size ? size : 1));
}

void *mem_zalloc(size_t size)
{
    return must(calloc(1, size ? size : 1));
}

void *mem_grow(void *old, size_t count, size_t size)
{
    return must(reallocarray(old, count ? count : 1, size));
}

char *mem_strndup(const char *bytes, size_t len)
{
    char *copy = mem_alloc(len + 1);
    if (len)
        memcpy(copy, bytes, len);
    copy[len] = 0;
    return copy;
}
