/* SPDX-License-Identifier: MIT */
/*
 * Query strings, path segments, and the words of a status: the small change of HTTP. Escapes are
 * decoded once and never twice; a broken one (%, %4, %zz) is an error and not a literal.
 */
#include <assert.h>
#include <stdlib.h>

#include "common/http.h"
#include "common/mem.h"

int http_hex_digit(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    if (c >= 'a' && c <= 'f')
        return c - 'a' + 10;
    if (c >= 'A' && c <= 'F')
        return c - 'A' + 10;
    return -1;
}

/* The byte of the escape that begins at i, or -1 when it is broken. */
static int escape_at(struct str s, size_t i)
{
    int high = i + 2 < s.len ? http_hex_digit(s.p[i + 1]) : -1;
    int low = i + 2 < s.len ? http_hex_digit(s.p[i + 2]) : -1;
    return high < 0 || low < 0 ? -1 : high << 4 | low;
}

/* Decodes into out, which has room for size bytes. */
static bool decode(struct str s, bool plus_is_space, char *out, size_t size, size_t *len)
{
    size_t n = 0;
    for (size_t i = 0; i < s.len; i++) {
        char c = s.p[i];
        if (c == '%') {
            int byte = escape_at(s, i);
            if (byte < 0)
                return false;
            c = (char)byte;
            i += 2;
        } else if (c == '+' && plus_is_space) {
            c = ' ';
        }
        if (n == size)
            return false;
        out[n++] = c;
    }
    *len = n;
    return true;
}

bool http_path_decode(struct str segment, char *out, size_t size, size_t *len)
{
    return decode(segment, false, out, size, len);
}

/* RFC 3986 section 2.3. */
static bool is_unreserved(int c)
{
    return (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-' ||
           c == '.' || c == '_' || c == '~';
}

struct str http_path_plain(struct str path, char *out)
{
    size_t n = 0;
    if (!path.len || !memchr(path.p, '%', path.len))
        return path;
    for (size_t i = 0; i < path.len; i++) {
        int byte = path.p[i] == '%' ? escape_at(path, i) : 0;
        if (byte < 0)
            return path;
        bool plain = is_unreserved(byte);
        out[n++] = plain ? (char)byte : path.p[i];
        i += plain ? 2 : 0;
    }
    return (struct str){out, n};
}

/* The next name=value of the query; false at its end. */
static bool next_pair(struct str *query, struct str *name, struct str *value)
{
    if (!query->len)
        return false;
    const char *amp = memchr(query->p, '&', query->len);
    size_t len = amp ? (size_t)(amp - query->p) : query->len;
    const char *eq = len ? memchr(query->p, '=', len) : NULL;
    *name = (struct str){query->p, eq ? (size_t)(eq - query->p) : len};
    *value = eq ? (struct str){eq + 1, len - name->len - 1} : (struct str){"", 0};
    query->p += len + (amp != NULL);
    query->len -= len + (amp != NULL);
    return true;
}

/* Is the encoded name this one? */
static bool name_is(struct str encoded, struct str name)
{
    if (encoded.len < name.len || encoded.len > 3 * name.len)
        return false;
    char *decoded = mem_alloc(encoded.len);
    size_t len;
    bool same = decode(encoded, true, decoded, encoded.len, &len) &&
                str_eq((struct str){decoded, len}, name);
    free(decoded);
    return same;
}

int http_query_get(struct str query, const char *name, char **out, size_t *len)
{
    struct str wanted = str_of(name), key, value, last = {NULL, 0};
    while (next_pair(&query, &key, &value))
        if (str_eq(key, wanted) || name_is(key, wanted))
            last = value;
    if (!last.p)
        return 0;
    char *decoded = mem_alloc(last.len + 1);
    if (!decode(last, true, decoded, last.len, len)) {
        free(decoded);
        return -1;
    }
    decoded[*len] = 0;
    *out = decoded;
    return 1;
}

const char *http_status_words(int status)
{
    static const struct {
        int status;
        const char *words;
    } table[] = {
        {100, "Continue"},
        {101, "Switching Protocols"},
        {200, "OK"},
        {201, "Created"},
        {202, "Accepted"},
        {204, "No Content"},
        {301, "Moved Permanently"},
        {303, "See Other"},
        {304, "Not Modified"},
        {307, "Temporary Redirect"},
        {308, "Permanent Redirect"},
        {400, "Bad Request"},
        {401, "Unauthorized"},
        {403, "Forbidden"},
        {404, "Not Found"},
        {405, "Method Not Allowed"},
        {406, "Not Acceptable"},
        {408, "Request Timeout"},
        {409, "Conflict"},
        {411, "Length Required"},
        {412, "Precondition Failed"},
        {413, "Content Too Large"},
        {414, "URI Too Long"},
        {415, "Unsupported Media Type"},
        {417, "Expectation Failed"},
        {422, "Unprocessable Entity"},
        {426, "Upgrade Required"},
        {429, "Too Many Requests"},
        {431, "Request Header Fields Too Large"},
        {500, "Internal Server Error"},
        {501, "Not Implemented"},
        {502, "Bad Gateway"},
        {503, "Service Unavailable"},
        {504, "Gateway Timeout"},
        {505, "HTTP Version Not Supported"},
    };
    for (size_t i = 0; i < sizeof table / sizeof *table; i++)
        if (table[i].status == status)
            return table[i].words;
    return "Unknown";
}
