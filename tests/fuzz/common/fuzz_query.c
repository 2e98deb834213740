/* SPDX-License-Identifier: MIT */
/*
 * Queries and paths; the input is `name LF query`, and the query alone is a path segment too.
 * Properties: the value of a name is that of a reader who splits and decodes everything; decoding
 * what was encoded gives it back; a whole number is what strtoll makes of it; all that is reported
 * is JSON.
 */
#include "common/http.h"
#include "common/json.h"
#include "common/query.h"
#include "tests/fuzz/fuzz.h"

/* ---- a second opinion ---- */

static int hex(char c)
{
    static const char digits[] = "00112233445566778899aAbBcCdDeEfF";
    const char *found = c ? strchr(digits, c) : NULL;
    return found ? (int)(found - digits) / 2 : -1;
}

/* NULL: a broken escape; else the caller frees it. */
static struct buf *decode(struct str s, bool plus, bool *broken)
{
    struct buf *out = NULL;
    *broken = false;
    while (s.len && !*broken) {
        char c = *s.p;
        size_t used = 1;
        if (c == '%') {
            *broken = s.len < 3 || hex(s.p[1]) < 0 || hex(s.p[2]) < 0;
            c = *broken ? 0 : (char)(hex(s.p[1]) * 16 + hex(s.p[2]));
            used = *broken ? 1 : 3;
        }
        buf_add_char(&out, plus && *s.p == '+' ? ' ' : c);
        s = (struct str){s.p + used, s.len - used};
    }
    if (*broken)
        buf_free(&out);
    return out;
}

/* As http_query_get. */
static int query_get(struct str query, struct str name, struct buf **out)
{
    int found = 0;
    while (query.len) {
        struct str value = fuzz_until(&query, '&'), key = fuzz_until(&value, '=');
        bool broken;
        struct buf *decoded = decode(key, true, &broken);
        if ((!broken && str_eq(buf_str(decoded), name)) || str_eq(key, name)) {
            buf_free(out);
            *out = decode(value, true, &broken);
            found = broken ? -1 : 1;
        }
        buf_free(&decoded);
    }
    return found;
}

static void check_get(struct str query, const char *name)
{
    struct buf *expected = NULL;
    char *value = NULL;
    size_t len = 0;
    int found = http_query_get(query, name, &value, &len);
    assert(found == query_get(query, str_of(name), &expected));
    if (found == 1) {
        assert(str_eq((struct str){value, len}, buf_str(expected)) && value[len] == 0);
        free(value);
    }
    buf_free(&expected);
}

/* ---- paths ---- */

static void check_path(struct str segment)
{
    bool broken;
    struct buf *expected = decode(segment, false, &broken);
    size_t size = segment.len, len = 0, again = 0;
    char *out = mem_alloc(size ? size : 1);
    bool decoded = http_path_decode(segment, out, size, &len);
    assert(decoded == !broken);
    if (decoded) {
        assert(str_eq((struct str){out, len}, buf_str(expected)));
        char *exact = mem_alloc(len ? len : 1);
        assert(http_path_decode(segment, exact, len, &again) && again == len);
        assert(len == 0 || !http_path_decode(segment, exact, len - 1, &again));
        free(exact);
    }
    free(out);
    buf_free(&expected);
}

/* The same path, however plainly it is written, and nothing is left to write plainer. */
static void check_plain(struct str path)
{
    bool broken, still;
    char *out = mem_alloc(path.len ? path.len : 1), *again = mem_alloc(path.len ? path.len : 1);
    struct str plain = http_path_plain(path, out);
    struct buf *expected = decode(path, false, &broken), *got = decode(plain, false, &still);
    assert(still == broken && (broken ? str_eq(plain, path) : fuzz_same(got, expected)));
    assert(plain.len <= path.len && str_eq(http_path_plain(plain, again), plain));
    buf_free(&expected);
    buf_free(&got);
    free(out);
    free(again);
}

/* Every byte escaped is decoded to itself. */
static void check_escaped(struct str bytes)
{
    struct buf *escaped = NULL;
    for (size_t i = 0; i < bytes.len; i++)
        buf_printf(&escaped, i % 2 ? "%%%02x" : "%%%02X", (unsigned)(unsigned char)bytes.p[i]);
    size_t len = 0;
    char *out = mem_alloc(bytes.len ? bytes.len : 1);
    bool decoded = http_path_decode(buf_str(escaped), out, bytes.len, &len);
    assert(decoded && str_eq((struct str){out, len}, bytes));
    free(out);
    buf_free(&escaped);
}

/* ---- numbers ---- */

static void check_whole(struct str text)
{
    int64_t n;
    char *terminated = mem_strndup(text.p, text.len), *end;
    long long expected = strtoll(terminated, &end, 10);
    end += end > terminated ? strspn(end, " \t\n\v\f\r") : 0;
    bool whole = end == terminated + text.len && end > terminated;
    bool read = whole_number_read(text, &n);
    assert(read == whole);
    if (read)
        assert(n == expected || (expected == INT64_MIN && n == -INT64_MAX));
    free(terminated);
}

static void check_number(struct str query, const char *name)
{
    struct buf *detail = NULL, *list = NULL;
    uint64_t n = 7;
    size_t at;
    bool there = query_number_read(query, name, "[\"query\",\"n\"]", 5, 1000, &n, &detail);
    assert(detail ? there && n == 7 : n >= 5 && n <= 1000);
    buf_add_char(&list, '[');
    buf_add_str(&list, buf_str(detail));
    buf_add_char(&list, ']');
    assert(!json_check(buf_str(list), 3, &at));
    buf_free(&list);
    buf_free(&detail);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct str rest = fuzz_str(data, size), first = fuzz_until(&rest, '\n');
    char *name = mem_strndup(first.p ? first.p : "", first.len), *copy = fuzz_copy(rest);
    struct str query = {copy, rest.len};
    check_get(query, name);
    check_number(query, name);
    check_path(query);
    check_plain(query);
    check_escaped(query);
    check_whole(query);
    free(name);
    free(copy);
    return 0;
}
