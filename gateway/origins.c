/* SPDX-License-Identifier: MIT */
/* Origins as RFC 6454 writes them; see origins.h. The list is short and is read at each request. */
#include "gateway/origins.h"

enum {
    PORT_DIGITS_MAX = 5,
};

static bool allows_all(const char *list)
{
    return strcmp(list, "*") == 0;
}

/* Takes the next origin off the list, without the blanks around it; false at the end. */
static bool next_origin(const char **list, struct str *origin)
{
    if (!*list)
        return false;
    size_t len = strcspn(*list, ",");
    *origin = (struct str){*list, len};
    *list = (*list)[len] ? *list + len + 1 : NULL;
    while (origin->len && *origin->p == ' ')
        origin->p++, origin->len--;
    while (origin->len && origin->p[origin->len - 1] == ' ')
        origin->len--;
    return true;
}

/* Cuts off what stands before the mark, and the mark; false when it is not there. */
static bool cut(struct str *rest, const char *mark, struct str *before)
{
    const char *at = rest->len ? memmem(rest->p, rest->len, mark, strlen(mark)) : NULL;
    if (!at)
        return false;
    *before = (struct str){rest->p, (size_t)(at - rest->p)};
    rest->len -= before->len + strlen(mark);
    rest->p = at + strlen(mark);
    return true;
}

static bool all_of(struct str s, const char *allowed)
{
    for (size_t i = 0; i < s.len; i++)
        if (!s.p[i] || !strchr(allowed, s.p[i]))
            return false;
    return s.len > 0;
}

#define DIGITS "0123456789"
#define LETTERS "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"

/* An IPv6 address stands in brackets. */
static bool host_valid(struct str host)
{
    if (host.len > 2 && *host.p == '[' && host.p[host.len - 1] == ']')
        return all_of((struct str){host.p + 1, host.len - 2}, "0123456789abcdefABCDEF:.");
    return all_of(host, LETTERS DIGITS "-._");
}

/* Where the port's colon stands, or the end: behind the brackets of an IPv6 address. */
static struct str port_cut(struct str *host)
{
    const char *from = host->len ? memchr(host->p, ']', host->len) : NULL;
    from = from ? from : host->p;
    const char *colon = memchr(from, ':', host->len - (size_t)(from - host->p));
    if (!colon)
        return (struct str){NULL, 0};
    struct str port = {colon + 1, (size_t)(host->p + host->len - colon) - 1};
    host->len = (size_t)(colon - host->p);
    return port;
}

static bool origin_valid(struct str origin)
{
    struct str scheme, host = origin;
    if (str_eq(origin, STR("null")))
        return true;
    if (!cut(&host, "://", &scheme) || !all_of(scheme, LETTERS DIGITS "+-.") || !host.len)
        return false;
    struct str port = port_cut(&host);
    return host_valid(host) && (!port.p || (all_of(port, DIGITS) && port.len <= PORT_DIGITS_MAX));
}

const char *origins_check(const char *list)
{
    struct str origin;
    if (allows_all(list))
        return NULL;
    while (next_origin(&list, &origin))
        if (!origin_valid(origin))
            return "* alone, or origins such as https://chat.example or http://localhost:3000, "
                   "without path and without a slash at the end, parted by commas,";
    return NULL;
}

/* Without the port that its scheme has anyway. */
static struct str without_port(struct str origin)
{
    static const char *const usual[][2] = {{"http://", ":80"}, {"https://", ":443"}};
    for (size_t i = 0; i < 2; i++) {
        struct str scheme = str_of(usual[i][0]), port = str_of(usual[i][1]);
        if (origin.len > scheme.len + port.len &&
            str_eq_nocase((struct str){origin.p, scheme.len}, scheme) &&
            str_eq((struct str){origin.p + origin.len - port.len, port.len}, port))
            origin.len -= port.len;
    }
    return origin;
}

bool origins_allow(const char *list, const struct http_request *req)
{
    struct str one, origin = http_header(req, "Origin");
    if (allows_all(list) || !origin.p)
        return true;
    if (http_header_count(req, "Origin") > 1)
        return false;
    origin = without_port(origin);
    while (next_origin(&list, &one))
        if (str_eq_nocase(without_port(one), origin))
            return true;
    return false;
}

void origins_headers(const char *list, const struct http_request *req, struct buf **headers)
{
    struct str origin = http_header(req, "Origin");
    if (!allows_all(list))
        buf_add_str(headers, STR("Vary: Origin\r\n"));
    if (!origin.p || !origins_allow(list, req))
        return;
    buf_add_str(headers, STR("Access-Control-Allow-Origin: "));
    buf_add_str(headers, allows_all(list) ? STR("*") : origin);
    buf_add_str(headers,
                STR("\r\nAccess-Control-Expose-Headers: Location, Link, ETag, Retry-After, "
                    "RateLimit, RateLimit-Policy, X-Request-ID, Chat-Complete, Chat-Gap, "
                    "Chat-Replica\r\n"));
}

void origins_preflight(const char *list, const struct http_request *req, const char *methods,
                       struct buf **headers)
{
    struct str asked = http_header(req, "Access-Control-Request-Headers");
    if (!origins_allow(list, req))
        return;
    buf_printf(headers, "Access-Control-Allow-Methods: %s\r\nAccess-Control-Max-Age: 600\r\n",
               methods);
    if (!asked.p)
        return;
    buf_add_str(headers, STR("Access-Control-Allow-Headers: "));
    buf_add_str(headers, asked);
    buf_add_str(headers, STR("\r\n"));
}
