/* SPDX-License-Identifier: MIT */
/*
 * The head of a request. Two passes over the same bytes: http_head_end finds where it ends and
 * sees to the line ends, http_parse_head takes it apart.
 *
 *   GET /messages?limit=5 HTTP/1.1 CRLF      request line: exactly two single spaces
 *   Host: chat.example CRLF                  header lines: token ':' white space value
 *   Connection: close CRLF
 *   CRLF
 *
 * Whoever sits before us (a proxy, a cache) must read the same request as we do, else a client can
 * hide a second one in the first. So wherever the grammar of RFC 9112 leaves a choice to lenient
 * servers, this parser makes none: it refuses. Invariants of a request that was accepted:
 *   - its body has one framing: chunked, or one Content-Length of digits (no sign, no leading
 *     zero), or none at all;
 *   - HTTP/1.1 has exactly one Host, and every Host is a name or an address with or without a port;
 *   - no string in it holds CR, LF or NUL, and the target holds only what a URI may.
 *
 * What a header says is looked up by http_headers.c; bodies are in http_chunks.c, query strings and
 * paths in http_query.c.
 */
#include "common/http.h"

#include <stddef.h>

#include "common/address.h"

enum {
    EMPTY_LINES_MAX = 4,    /* before a request line; old clients send one behind a body */
    LENGTH_DIGITS_MAX = 19, /* of a Content-Length: what 64 bits hold, whatever the digits */
    PORT_DIGITS_MAX = 5,
    TLS_HANDSHAKE = 0x16, /* the first byte of a TLS client */
};

/* What a character may be part of. */
enum {
    IN_TOKEN = 1,
    IN_VALUE = 2,
    IN_URI = 4,
    IN_HOST = 8,
};

/* clang-format off */
static const unsigned char classes[128] = {
    0, 0, 0, 0, 0, 0, 0, 0, 0, 2, 0, 0, 0, 0, 0, 0,
    0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0,
    2, 15, 2, 3, 15, 7, 15, 15, 14, 14, 15, 15, 6, 15, 15, 6,
    15, 15, 15, 15, 15, 15, 15, 15, 15, 15, 6, 14, 2, 14, 2, 6,
    6, 15, 15, 15, 15, 15, 15, 15, 15, 15, 15, 15, 15, 15, 15, 15,
    15, 15, 15, 15, 15, 15, 15, 15, 15, 15, 15, 6, 2, 6, 3, 15,
    3, 15, 15, 15, 15, 15, 15, 15, 15, 15, 15, 15, 15, 15, 15, 15,
    15, 15, 15, 15, 15, 15, 15, 15, 15, 15, 15, 2, 3, 2, 15, 0,
};
/* clang-format on */

static bool all_in(struct str s, int class)
{
    for (size_t i = 0; i < s.len; i++) {
        unsigned char c = (unsigned char)s.p[i];
        if (c < 128 ? !(classes[c] & class) : class != IN_VALUE)
            return false;
    }
    return true;
}

bool http_token_char(char c)
{
    return all_in((struct str){&c, 1}, IN_TOKEN);
}

static unsigned char lower(char c)
{
    return (unsigned char)(c >= 'A' && c <= 'Z' ? c + ('a' - 'A') : c);
}

bool str_eq_nocase(struct str a, struct str b)
{
    if (a.len != b.len)
        return false;
    for (size_t i = 0; i < a.len; i++)
        if (lower(a.p[i]) != lower(b.p[i]))
            return false;
    return true;
}

static bool refused(struct http_refusal *refusal, int status, const char *reason)
{
    *refusal = (struct http_refusal){status, reason};
    return false;
}

/* ---- the request line ---- */

/* Takes what stands before the separator off the front; false when there is none. */
static bool cut(struct str *s, char separator, struct str *part)
{
    const char *at = s->len ? memchr(s->p, separator, s->len) : NULL;
    if (!at)
        return false;
    *part = (struct str){s->p, (size_t)(at - s->p)};
    s->len -= part->len + 1;
    s->p = at + 1;
    return true;
}

static enum http_method method_of(struct str name)
{
    if (str_eq(name, STR("GET")))
        return HTTP_GET;
    if (str_eq(name, STR("HEAD")))
        return HTTP_HEAD;
    if (str_eq(name, STR("POST")))
        return HTTP_POST;
    if (str_eq(name, STR("OPTIONS")))
        return HTTP_OPTIONS;
    return HTTP_OTHER;
}

static bool parse_version(struct http_request *req, struct str v, struct http_refusal *refusal)
{
    req->http_1_0 = str_eq(v, STR("HTTP/1.0"));
    if (req->http_1_0 || str_eq(v, STR("HTTP/1.1")))
        return true;
    bool digits = v.len == 8 && v.p[5] >= '0' && v.p[5] <= '9' && v.p[7] >= '0' && v.p[7] <= '9';
    if (digits && memcmp(v.p, "HTTP/", 5) == 0 && v.p[6] == '.')
        return refused(refusal, 505, "HTTP version not supported");
    return refused(refusal, 400, "Malformed request line");
}

static bool port_valid(struct str port)
{
    unsigned long n = 0;
    if (port.len > PORT_DIGITS_MAX)
        return false;
    for (size_t i = 0; i < port.len; i++) {
        if (port.p[i] < '0' || port.p[i] > '9')
            return false;
        n = n * 10 + (unsigned long)(port.p[i] - '0');
    }
    return n <= 65535;
}

/* A name or an address, and perhaps a port. No user, no escapes: no host name has them. */
static bool host_valid(struct str host)
{
    struct str name = host, port = {NULL, 0};
    struct str rest = host;
    if (host.len && host.p[0] == '[') {
        struct address address;
        if (!cut(&rest, ']', &name))
            return false;
        name.len++; /* its bracket */
        if (!address_read(&address, name) || (rest.len && rest.p[0] != ':'))
            return false;
        if (rest.len)
            port = (struct str){rest.p + 1, rest.len - 1};
        return port_valid(port);
    }
    if (cut(&rest, ':', &name))
        port = rest;
    return name.len && all_in(name, IN_HOST) && port_valid(port);
}

/* http://host/path?query, as clients write it to proxies: *rest is what follows the host. False:
 * not of this form, or the host is malformed. */
static bool absolute_form(struct str target, struct str *rest)
{
    static const struct str schemes[] = {{"http://", 7}, {"https://", 8}};
    for (size_t i = 0; i < sizeof schemes / sizeof *schemes; i++) {
        size_t n = schemes[i].len;
        if (target.len < n || !str_eq_nocase((struct str){target.p, n}, schemes[i]))
            continue;
        size_t end = n;
        while (end < target.len && target.p[end] != '/' && target.p[end] != '?')
            end++;
        *rest = (struct str){target.p + end, target.len - end};
        return host_valid((struct str){target.p + n, end - n});
    }
    return false;
}

static bool parse_target(struct http_request *req, struct http_refusal *refusal)
{
    struct str rest = req->target;
    if (rest.len > HTTP_TARGET_BYTES_MAX)
        return refused(refusal, 414, "Request target too long");
    if (!rest.len || !all_in(rest, IN_URI))
        return refused(refusal, 400, "Malformed request target");
    if (str_eq(rest, STR("*"))) {
        if (req->method != HTTP_OPTIONS)
            return refused(refusal, 400, "Malformed request target");
    } else if (rest.p[0] != '/' && !absolute_form(rest, &rest)) {
        return refused(refusal, 400, "Malformed request target");
    }
    req->path = rest;
    req->query = (struct str){"", 0};
    if (cut(&rest, '?', &req->path))
        req->query = rest;
    if (!req->path.len)
        req->path = STR("/");
    return true;
}

static bool parse_request_line(struct http_request *req, struct str line,
                               struct http_refusal *refusal)
{
    if (!cut(&line, ' ', &req->method_name) || !cut(&line, ' ', &req->target) ||
        !req->method_name.len || !all_in(req->method_name, IN_TOKEN))
        return refused(refusal, 400, "Malformed request line");
    req->method = method_of(req->method_name);
    return parse_version(req, line, refusal) && parse_target(req, refusal);
}

/* ---- where a head ends ---- */

/* Checks the bytes of one line, without its CR LF. */
static bool line_clean(const char *line, size_t len, struct http_refusal *refusal)
{
    if (memchr(line, '\r', len))
        return refused(refusal, 400, "Bare CR in the request");
    if (memchr(line, 0, len))
        return refused(refusal, 400, "NUL in the request");
    return true;
}

/* Is the line that ends with the LF at lf an empty one? */
static bool line_empty(const char *bytes, size_t lf)
{
    return lf == 1 || (lf >= 2 && bytes[lf - 2] == '\n');
}

/* The length of the empty lines before the request line. */
static size_t empty_lines(const char *bytes, size_t len)
{
    size_t n = 0;
    while (n + 2 <= len && bytes[n] == '\r' && bytes[n + 1] == '\n')
        n += 2;
    return n;
}

/* Refuses what begins as no request line does: it is not waited for. */
static bool first_byte_wrong(struct str line, struct http_refusal *refusal)
{
    if (!line.len || *line.p == '\r' || http_token_char(*line.p))
        return false;
    refused(refusal, 400, "Malformed request line");
    return true;
}

/* The head's bytes have come to their limit without an end. */
static void refuse_long(const char *bytes, size_t len, struct http_refusal *refusal)
{
    size_t start = empty_lines(bytes, len);
    if (first_byte_wrong((struct str){bytes + start, len - start}, refusal))
        return;
    if (memchr(bytes + start, '\n', len - start))
        refused(refusal, 431, "Request header fields too large");
    else
        refused(refusal, 414, "Request target too long");
}

/* A head that goes on behind a request line that just came whole: whoever speaks another protocol
 * (or HTTP/0.9) waits for an answer now. So does whoever sent more of a body than its length told.
 */
static void first_line_check(struct str seen, size_t seen_before, struct http_refusal *refusal)
{
    struct http_request req = {.nheaders = 0};
    size_t start = empty_lines(seen.p, seen.len);
    struct str rest = {seen.p + start, seen.len - start}, line;
    if (first_byte_wrong(rest, refusal))
        return;
    if (!cut(&rest, '\n', &line) || start + line.len < seen_before)
        return;
    struct http_refusal no = {0};
    line.len--; /* its CR */
    if (!parse_request_line(&req, line, &no) && req.method != HTTP_HEAD)
        *refusal = no;
}

size_t http_head_end(const char *bytes, size_t len, size_t *scanned, struct http_refusal *refusal)
{
    size_t max = len < HTTP_HEAD_BYTES_MAX ? len : HTTP_HEAD_BYTES_MAX;
    const size_t scanned_before = *scanned;
    if (len && bytes[0] == TLS_HANDSHAKE) {
        refused(refusal, 400, "This port speaks HTTP, not TLS");
        return 0;
    }
    for (const char *lf; (lf = memchr(bytes + *scanned, '\n', max - *scanned));) {
        size_t at = (size_t)(lf - bytes);
        if (!at || bytes[at - 1] != '\r') {
            refused(refusal, 400, "Bare LF in the request");
            return 0;
        }
        if (at > *scanned && !line_clean(bytes + *scanned, at - 1 - *scanned, refusal))
            return 0;
        if (line_empty(bytes, at)) {
            if (empty_lines(bytes, at + 1) <= at)
                return at + 1;
            if (at + 1 > (size_t)EMPTY_LINES_MAX * 2) {
                refused(refusal, 400, "Empty lines before the request");
                return 0;
            }
        }
        *scanned = at + 1;
    }
    size_t rest = max - *scanned;
    if (rest && bytes[max - 1] == '\r') /* an LF may follow it */
        rest--;
    if (!line_clean(bytes + *scanned, rest, refusal))
        return 0;
    *scanned += rest;
    if (max == HTTP_HEAD_BYTES_MAX)
        refuse_long(bytes, max, refusal);
    else
        first_line_check((struct str){bytes, max}, scanned_before, refusal);
    return 0;
}

/* ---- the headers ---- */

static bool blank(char c)
{
    return c == ' ' || c == '\t';
}

static bool parse_header(struct http_request *req, struct str line, struct http_refusal *refusal)
{
    struct http_header h;
    if (blank(line.p[0]))
        return refused(refusal, 400, "Folded header");
    if (!cut(&line, ':', &h.name) || !h.name.len || !all_in(h.name, IN_TOKEN))
        return refused(refusal, 400, "Malformed header name");
    h.value = str_trim(line);
    if (!all_in(h.value, IN_VALUE))
        return refused(refusal, 400, "Control character in a header");
    if (req->nheaders == HTTP_HEADERS_MAX)
        return refused(refusal, 431, "Too many headers");
    req->headers[req->nheaders++] = h;
    return true;
}

static bool parse_host(const struct http_request *req, struct http_refusal *refusal)
{
    size_t n = http_header_count(req, "Host");
    if (n == 0 && req->http_1_0)
        return true;
    if (n != 1)
        return refused(refusal, 400, n ? "More than one Host" : "Missing Host");
    if (!host_valid(http_header(req, "Host")))
        return refused(refusal, 400, "Malformed Host");
    return true;
}

static bool parse_length(struct http_request *req, struct http_refusal *refusal)
{
    struct str digits = http_header(req, "Content-Length");
    bool padded = digits.len > 1 && digits.p[0] == '0';
    if (!digits.len || padded || digits.len > LENGTH_DIGITS_MAX)
        return refused(refusal, 400, "Malformed Content-Length");
    for (size_t i = 0; i < digits.len; i++) {
        if (digits.p[i] < '0' || digits.p[i] > '9')
            return refused(refusal, 400, "Malformed Content-Length");
        req->length = req->length * 10 + (uint64_t)(digits.p[i] - '0');
    }
    req->has_length = true;
    return true;
}

/* How the body is framed: the one question on which two parsers must never differ. So an unknown
 * coding is no 501 but, like all that is unclear here, a 400. */
static bool parse_framing(struct http_request *req, struct http_refusal *refusal)
{
    size_t codings = http_header_count(req, "Transfer-Encoding");
    size_t lengths = http_header_count(req, "Content-Length");
    if (codings && lengths)
        return refused(refusal, 400, "Content-Length with Transfer-Encoding");
    if (lengths > 1)
        return refused(refusal, 400, "More than one Content-Length");
    if (lengths)
        return parse_length(req, refusal);
    if (!codings)
        return true;
    struct str coding = http_header(req, "Transfer-Encoding");
    if (req->http_1_0 || codings > 1 || !coding.len)
        return refused(refusal, 400, "Malformed Transfer-Encoding");
    if (!str_eq_nocase(coding, STR("chunked")))
        return refused(refusal, 400, "Transfer-Encoding is not chunked");
    req->chunked = true;
    return true;
}

static bool parse_expect(struct http_request *req, struct http_refusal *refusal)
{
    for (size_t i = 0; i < req->nheaders; i++) {
        if (!str_eq_nocase(req->headers[i].name, STR("Expect")))
            continue;
        if (!str_eq_nocase(req->headers[i].value, STR("100-continue")))
            return refused(refusal, 417, "Expectation not supported");
        req->expect_continue = !req->http_1_0 && (req->chunked || req->length);
    }
    return true;
}

bool http_parse_head(struct http_request *req, const char *head, size_t len,
                     struct http_refusal *refusal)
{
    size_t start = empty_lines(head, len);
    struct str rest = {head + start, len - start}, line;
    memset(req, 0, offsetof(struct http_request, headers)); /* only nheaders of them are read */
    req->nheaders = 0;
    for (bool first = true; cut(&rest, '\n', &line); first = false) {
        if (!line.len || line.p[--line.len] != '\r')
            return refused(refusal, 400, "Bare LF in the request");
        if (first && !parse_request_line(req, line, refusal))
            return false;
        if (!first && !line.len) {
            req->keep_alive = !http_header_has(req, "Connection", "close") &&
                              (!req->http_1_0 || http_header_has(req, "Connection", "keep-alive"));
            return parse_host(req, refusal) && parse_framing(req, refusal) &&
                   parse_expect(req, refusal);
        }
        if (!first && !parse_header(req, line, refusal))
            return false;
    }
    return refused(refusal, 400, "Incomplete request");
}
