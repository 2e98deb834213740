/* SPDX-License-Identifier: MIT */
/* Questions to a reply of Redis; see reply.h. They answer for any shape: a reply is a peer's. */
#include "common/reply.h"

bool reply_is_error(const struct reply *r, const char *code)
{
    size_t len = strlen(code);
    if (r->type != REPLY_ERROR || r->str.len < len || memcmp(r->str.p, code, len) != 0)
        return false;
    return r->str.len == len || r->str.p[len] == ' ';
}

bool reply_u64(const struct reply *r, uint64_t *out)
{
    if (r->type == REPLY_INTEGER) {
        *out = (uint64_t)r->integer;
        return r->integer >= 0;
    }
    if (r->type != REPLY_STRING || r->str.len == 0)
        return false;
    uint64_t n = 0;
    for (size_t i = 0; i < r->str.len; i++) {
        char c = r->str.p[i];
        if (c < '0' || c > '9')
            return false;
        uint64_t digit = (uint64_t)(c - '0');
        if (n > ((uint64_t)INT64_MAX - digit) / 10)
            return false;
        n = n * 10 + digit;
    }
    *out = n;
    return true;
}

struct str reply_str(const struct reply *r)
{
    return r->type == REPLY_STRING ? r->str : (struct str){"", 0};
}
