/* SPDX-License-Identifier: MIT */
/*
 * Looking up what the headers of a request say: their values, the lists in them, entity tags. A
 * header that may be a list may as well come in several lines, which are one list (RFC 9110 section
 * 5.3).
 */
#include "common/http.h"

bool http_header_next(const struct http_request *req, const char *name, size_t *at,
                      struct str *value)
{
    struct str wanted = str_of(name);
    while (*at < req->nheaders) {
        const struct http_header *h = &req->headers[(*at)++];
        if (!str_eq_nocase(h->name, wanted))
            continue;
        *value = h->value;
        return true;
    }
    return false;
}

struct str http_header(const struct http_request *req, const char *name)
{
    struct str value = {NULL, 0};
    size_t at = 0;
    http_header_next(req, name, &at, &value);
    return value;
}

size_t http_header_count(const struct http_request *req, const char *name)
{
    struct str value;
    size_t n = 0;
    for (size_t at = 0; http_header_next(req, name, &at, &value);)
        n++;
    return n;
}

void http_header_list(const struct http_request *req, const char *name, struct buf **list)
{
    struct str value;
    for (size_t at = 0; http_header_next(req, name, &at, &value);) {
        if (*list)
            buf_add_char(list, ',');
        buf_add_str(list, value);
    }
}

/* Takes the first element off a list of entity tags, without its W/; *weak: it had one. A comma
 * between quotes belongs to the tag (RFC 9110 section 8.8.3). */
static struct str etag_cut(struct str *list, bool *weak)
{
    struct str one = str_trim(*list);
    *weak = one.len > 2 && one.p[0] == 'W' && one.p[1] == '/';
    if (*weak)
        one = (struct str){one.p + 2, one.len - 2};
    *list = STR("");
    if (!one.len)
        return one;
    const char *end = one.p + one.len;
    const char *close = *one.p == '"' ? memchr(one.p + 1, '"', one.len - 1) : NULL;
    if (*one.p == '"' && !close) /* open quotes hide all that follows */
        return one;
    const char *from = close ? close : one.p;
    const char *comma = memchr(from, ',', (size_t)(end - from));
    if (comma) {
        one.len = (size_t)(comma - one.p);
        *list = (struct str){comma + 1, (size_t)(end - comma) - 1};
    }
    return str_trim(one);
}

/* Does the list name this tag? A strong comparison takes no weak one for it (section 8.8.3.2). */
static bool etag_listed(struct str list, struct str etag, bool strong)
{
    while (list.len) {
        bool weak;
        struct str one = etag_cut(&list, &weak);
        if (str_eq(one, STR("*")) || (str_eq(one, etag) && !(strong && weak)))
            return true;
    }
    return false;
}

int http_condition(struct str match, struct str none_match, struct str etag)
{
    if (match.len && !etag_listed(match, etag, true))
        return 412;
    return none_match.len && etag_listed(none_match, etag, false) ? 304 : 200;
}

static bool list_has(struct str list, struct str token)
{
    while (list.len)
        if (str_eq_nocase(str_cut(&list, ','), token))
            return true;
    return false;
}

bool http_header_has(const struct http_request *req, const char *name, const char *token)
{
    struct str list;
    for (size_t at = 0; http_header_next(req, name, &at, &list);)
        if (list_has(list, str_of(token)))
            return true;
    return false;
}
