/* SPDX-License-Identifier: MIT */
/* Borrowed bytes: a pointer and a length, not terminated, not owned. */
#ifndef COMMON_STR_H
#define COMMON_STR_H

#include <stdbool.h>
#include <stddef.h>
#include <string.h>

struct str {
    const char *p; /* may be NULL when len is 0 */
    size_t len;    /* bytes */
};

#define STR(literal) ((struct str){(literal), sizeof(literal) - 1})

static inline struct str str_of(const char *s)
{
    return (struct str){s, s ? strlen(s) : 0};
}

static inline bool str_eq(struct str a, struct str b)
{
    return a.len == b.len && (a.len == 0 || memcmp(a.p, b.p, a.len) == 0);
}

/* Without the spaces and tabs at its ends. */
static inline struct str str_trim(struct str s)
{
    while (s.len && (*s.p == ' ' || *s.p == '\t'))
        s.p++, s.len--;
    while (s.len && (s.p[s.len - 1] == ' ' || s.p[s.len - 1] == '\t'))
        s.len--;
    return s;
}

/* Takes the first element off a list, with its separator; trimmed. Of the last one nothing is left.
 */
static inline struct str str_cut(struct str *list, char separator)
{
    const char *end = list->len ? memchr(list->p, separator, list->len) : NULL;
    struct str head = {list->p, end ? (size_t)(end - list->p) : list->len};
    size_t used = head.len + (end != NULL);
    *list = (struct str){list->p + used, list->len - used};
    return str_trim(head);
}

#endif
