/* SPDX-License-Identifier: MIT */
/*
 * json_check has said that the text is JSON before it is taken apart here, so every token ends
 * where it should; what is refused is JSON that is richer than this.
 */
#include "common/flat.h"

#include "common/json.h"

static void skip_space(struct str *s)
{
    while (s->len && strchr(" \t\r\n", *s->p))
        s->p++, s->len--;
}

static bool skip(struct str *s, char c)
{
    skip_space(s);
    if (!s->len || *s->p != c)
        return false;
    s->p++, s->len--;
    return true;
}

static bool string_read(struct str *s, struct str *out)
{
    if (!skip(s, '"'))
        return false;
    const char *end = memchr(s->p, '"', s->len);
    if (!end || memchr(s->p, '\\', (size_t)(end - s->p)))
        return false;
    *out = (struct str){s->p, (size_t)(end - s->p)};
    s->p = end + 1;
    s->len -= out->len + 1;
    return true;
}

static bool digits_take(struct str *s, struct str *out)
{
    skip_space(s);
    *out = (struct str){s->p, 0};
    while (s->len && *s->p >= '0' && *s->p <= '9')
        s->p++, s->len--, out->len++;
    return out->len;
}

static bool member_read(struct str *s, struct flat_member *m)
{
    if (!string_read(s, &m->name) || !skip(s, ':'))
        return false;
    m->type = FLAT_STRING;
    if (string_read(s, &m->text))
        return true;
    m->type = FLAT_NUMBER;
    return digits_take(s, &m->text);
}

int flat_read(struct str text, struct flat_member *members, int max)
{
    size_t at;
    int n = 0;
    if (json_check(text, 1, &at) || !skip(&text, '{'))
        return -1;
    if (skip(&text, '}'))
        return 0;
    do {
        if (n == max || !member_read(&text, &members[n]))
            return -1;
        n++;
    } while (skip(&text, ','));
    return skip(&text, '}') ? n : -1;
}
