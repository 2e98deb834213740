/* SPDX-License-Identifier: MIT */
/*
 * Writing JSON strings, reading them again, and the question whether a text is JSON at all.
 *
 * The check is one pass by recursive descent, no deeper than its caller allows. It builds nothing:
 * the keys of the top level are remembered as slices of the text, and only those that hold an
 * escape are copied, unescaped, to be compared. What it refuses beyond the grammar is what two
 * readers could take for two different things (json.h).
 */
#include "common/json.h"

#include <stdint.h>
#include <stdlib.h>

#include "common/limits.h"
#include "common/mem.h"
#include "common/utf8.h"

static const char SURROGATE_ALONE[] = "Unpaired surrogate in \\u escape";

/* The first byte of a string's text that cannot stand for itself: a quote, a backslash or a control
 * character. Eight bytes are tested at once by the usual carries. */
static const char *plain_end(const char *p, const char *end)
{
    const uint64_t ones = 0x0101010101010101u, tops = 0x8080808080808080u;
    while (end - p >= 8) {
        uint64_t x;
        memcpy(&x, p, 8);
        uint64_t quote = x ^ (ones * '"'), backslash = x ^ (ones * '\\');
        uint64_t found = ((x - ones * 0x20) & ~x) | ((quote - ones) & ~quote) |
                         ((backslash - ones) & ~backslash);
        if (found & tops)
            break;
        p += 8;
    }
    while (p < end && (unsigned char)*p >= 0x20 && *p != '"' && *p != '\\')
        p++;
    return p;
}

/* ---- writing ---- */

static void add_escape(struct buf **out, char c)
{
    static const char plain[] = "\"\\\b\f\n\r\t", letters[] = "\"\\bfnrt",
                      hex[] = "0123456789abcdef";
    const char *found = c ? strchr(plain, c) : NULL;
    if (found)
        buf_add(out, (char[]){'\\', letters[found - plain]}, 2);
    else
        buf_add(out, (char[]){'\\', 'u', '0', '0', hex[c >> 4], hex[c & 15]}, 6);
}

static void add_escaped(struct buf **out, struct str text)
{
    if (!text.len)
        return;
    const char *p = text.p, *end = p + text.len;
    for (;;) {
        const char *stop = plain_end(p, end);
        buf_add(out, p, (size_t)(stop - p));
        if (stop == end)
            return;
        add_escape(out, *stop);
        p = stop + 1;
    }
}

void json_add_string(struct buf **out, struct str text)
{
    buf_add_char(out, '"');
    add_escaped(out, text);
    buf_add_char(out, '"');
}

void json_add_bytes(struct buf **out, struct str bytes)
{
    buf_add_char(out, '"');
    while (bytes.len) {
        size_t valid = utf8_valid_len(bytes);
        add_escaped(out, (struct str){bytes.p, valid});
        if (valid < bytes.len) {
            buf_add_str(out, STR("\xEF\xBF\xBD"));
            valid++;
        }
        bytes.p += valid;
        bytes.len -= valid;
    }
    buf_add_char(out, '"');
}

/* ---- reading what was written ---- */

/* Takes an escape, at its backslash, that add_escape writes. */
static bool take_escape(const char **p, const char *end, char *c)
{
    static const char plain[] = "\"\\\b\f\n\r\t", letters[] = "\"\\bfnrt",
                      hex[] = "0123456789abcdef";
    const char *at = *p;
    if (end - at < 2)
        return false;
    const char *found = memchr(letters, at[1], sizeof letters - 1);
    if (found) {
        *c = plain[found - letters];
        *p = at + 2;
        return true;
    }
    if (end - at < 6 || memcmp(at, "\\u00", 4) != 0 || (at[4] != '0' && at[4] != '1'))
        return false;
    const char *digit = memchr(hex, at[5], sizeof hex - 1);
    if (!digit)
        return false;
    *c = (char)((at[4] - '0') * 16L + (digit - hex));
    *p = at + 6;
    return !memchr(plain, *c, sizeof plain - 1);
}

bool json_take_string(struct str *text, char **room, struct str *string)
{
    if (!text->len || *text->p != '"')
        return false;
    const char *first = text->p + 1, *end = text->p + text->len, *stop = plain_end(first, end);
    if (stop < end && *stop == '"') {
        *string = (struct str){first, (size_t)(stop - first)};
    } else {
        char *out = *room;
        for (const char *p = first;; stop = plain_end(p, end)) {
            if (stop == end || (*stop != '"' && *stop != '\\'))
                return false;
            memcpy(out, p, (size_t)(stop - p));
            out += stop - p;
            if (*stop == '"')
                break;
            p = stop;
            if (!take_escape(&p, end, out++))
                return false;
        }
        *string = (struct str){*room, (size_t)(out - *room)};
        *room = out;
    }
    *text = (struct str){stop + 1, (size_t)(end - stop - 1)};
    return true;
}

/* ---- checking ---- */

struct scan {
    const char *p, *end; /* what is left */
    const char *wrong;   /* where the mistake is */
    const char *words;   /* what it is */
    int depth, depth_max;
    size_t nkeys;
    struct str *keys; /* JSON_KEYS_MAX of them, of the top level, unescaped */
    char *unescaped;  /* NULL, or room for every key that had an escape */
    size_t unescaped_len;
};

static bool fail(struct scan *s, const char *wrong, const char *words)
{
    s->wrong = wrong;
    s->words = words;
    return false;
}

static bool scan_value(struct scan *s);

static bool next_is(const struct scan *s, char c)
{
    return s->p < s->end && *s->p == c;
}

static bool take(struct scan *s, char c)
{
    bool there = next_is(s, c);
    s->p += there;
    return there;
}

static void skip_space(struct scan *s)
{
    while (next_is(s, ' ') || next_is(s, '\n') || next_is(s, '\r') || next_is(s, '\t'))
        s->p++;
}

static int hex_digit(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    c |= 0x20;
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* The unit of an escape `\uXXXX` at p, or -1 if there is none. */
static int32_t unit_at(const char *p, const char *end)
{
    if (end - p < 6 || p[0] != '\\' || p[1] != 'u')
        return -1;
    int32_t unit = 0;
    for (int i = 2; i < 6; i++) {
        int digit = hex_digit(p[i]);
        if (digit < 0)
            return -1;
        unit = unit * 16 + digit;
    }
    return unit;
}

static bool is_high(int32_t unit)
{
    return unit >= 0xD800 && unit < 0xDC00;
}

static bool is_low(int32_t unit)
{
    return unit >= 0xDC00 && unit < 0xE000;
}

/* At the backslash. */
static bool scan_escape(struct scan *s, const char *quote)
{
    if (s->end - s->p < 2)
        return fail(s, quote, "Unterminated string starting at");
    if (s->p[1] != 'u') {
        if (!s->p[1] || !strchr("\"\\/bfnrt", s->p[1]))
            return fail(s, s->p, "Invalid \\escape");
        s->p += 2;
        return true;
    }
    int32_t unit = unit_at(s->p, s->end);
    if (unit < 0)
        return fail(s, s->p + 1, "Invalid \\uXXXX escape");
    if (is_low(unit) || (is_high(unit) && !is_low(unit_at(s->p + 6, s->end))))
        return fail(s, s->p, SURROGATE_ALONE);
    s->p += is_high(unit) ? 12 : 6;
    return true;
}

/* At the opening quote. *text is what stands between the quotes. */
static bool scan_string(struct scan *s, struct str *text)
{
    const char *quote = s->p++;
    for (;;) {
        const char *stop = plain_end(s->p, s->end);
        struct str plain = {s->p, (size_t)(stop - s->p)};
        if (!utf8_valid(plain))
            return fail(s, s->p + utf8_valid_len(plain), "Invalid UTF-8");
        s->p = stop;
        if (stop == s->end)
            return fail(s, quote, "Unterminated string starting at");
        if (*stop == '"')
            break;
        if (*stop != '\\')
            return fail(s, stop, "Invalid control character at");
        if (!scan_escape(s, quote))
            return false;
    }
    *text = (struct str){quote + 1, (size_t)(s->p - quote - 1)};
    s->p++;
    return true;
}

static const char *digits_end(const char *p, const char *end)
{
    while (p < end && *p >= '0' && *p <= '9')
        p++;
    return p;
}

static bool scan_number(struct scan *s)
{
    const char *p = s->p, *end = s->end;
    if (p < end && *p == '-')
        p++;
    const char *after = digits_end(p, end);
    if (after == p)
        return fail(s, s->p, "Expecting value");
    p = *p == '0' ? p + 1 : after; /* 01 is a 0, and a 1 too much */
    if (p < end && *p == '.' && digits_end(p + 1, end) > p + 1)
        p = digits_end(p + 1, end);
    if (p < end && (*p == 'e' || *p == 'E')) {
        const char *exponent = p + 1;
        if (exponent < end && (*exponent == '+' || *exponent == '-'))
            exponent++;
        if (digits_end(exponent, end) > exponent)
            p = digits_end(exponent, end);
    }
    s->p = p;
    return true;
}

static bool scan_word(struct scan *s, struct str word)
{
    if ((size_t)(s->end - s->p) < word.len || memcmp(s->p, word.p, word.len) != 0)
        return fail(s, s->p, "Expecting value");
    s->p += word.len;
    return true;
}

static bool scan_array(struct scan *s)
{
    s->p++;
    skip_space(s);
    if (take(s, ']'))
        return true;
    for (;;) {
        skip_space(s);
        if (!scan_value(s))
            return false;
        skip_space(s);
        if (take(s, ']'))
            return true;
        if (!take(s, ','))
            return fail(s, s->p, "Expecting ',' delimiter");
    }
}

static size_t put_utf8(char *out, uint32_t c)
{
    if (c < 0x80) {
        out[0] = (char)c;
        return 1;
    }
    size_t tails = c < 0x800 ? 1 : c < 0x10000 ? 2 : 3;
    uint32_t lead = tails == 1 ? 0xC0 : tails == 2 ? 0xE0 : 0xF0;
    out[0] = (char)(lead | c >> 6 * tails);
    for (size_t i = 1; i <= tails; i++)
        out[i] = (char)(0x80 | (c >> 6 * (tails - i) & 0x3F));
    return tails + 1;
}

/* Writes what the escape at *p of a checked string stands for, and moves *p behind it. */
static size_t put_escaped(char *out, const char **p, const char *end)
{
    static const char letters[] = "bfnrt", plain[] = "\b\f\n\r\t";
    const char *escape = *p;
    int32_t unit = unit_at(escape, end);
    if (unit < 0) {
        const char *found = strchr(letters, escape[1]);
        *out = found ? plain[found - letters] : escape[1];
        *p += 2;
        return 1;
    }
    *p += is_high(unit) ? 12 : 6;
    if (is_high(unit))
        unit = 0x10000 + ((unit - 0xD800) << 10) + (unit_at(escape + 6, end) - 0xDC00);
    return put_utf8(out, (uint32_t)unit);
}

/* The key as a reader sees it; no text grows by being unescaped. */
static struct str unescape(struct scan *s, struct str key)
{
    if (!memchr(key.p, '\\', key.len))
        return key;
    if (!s->unescaped) /* all keys to come, this one included, are in what is left from here */
        s->unescaped = mem_alloc((size_t)(s->end - key.p));
    char *first = s->unescaped + s->unescaped_len, *out = first;
    for (const char *p = key.p, *end = p + key.len; p < end;) {
        if (*p == '\\')
            out += put_escaped(out, &p, end);
        else
            *out++ = *p++;
    }
    s->unescaped_len += (size_t)(out - first);
    return (struct str){first, (size_t)(out - first)};
}

static bool remember_key(struct scan *s, struct str raw)
{
    const char *quote = raw.p - 1;
    if (s->nkeys == JSON_KEYS_MAX)
        return fail(s, quote, "Too many keys");
    struct str key = unescape(s, raw);
    if (memchr(key.p, 0, key.len))
        return fail(s, quote, "NUL character in a key");
    for (size_t i = 0; i < s->nkeys; i++)
        if (str_eq(s->keys[i], key))
            return fail(s, quote, "Duplicate key");
    s->keys[s->nkeys++] = key;
    return true;
}

static bool scan_member(struct scan *s)
{
    struct str key;
    if (!next_is(s, '"'))
        return fail(s, s->p, "Expecting property name enclosed in double quotes");
    if (!scan_string(s, &key) || (s->depth == 1 && !remember_key(s, key)))
        return false;
    skip_space(s);
    if (!take(s, ':'))
        return fail(s, s->p, "Expecting ':' delimiter");
    skip_space(s);
    return scan_value(s);
}

static bool scan_object(struct scan *s)
{
    s->p++;
    skip_space(s);
    if (take(s, '}'))
        return true;
    for (;;) {
        skip_space(s);
        if (!scan_member(s))
            return false;
        skip_space(s);
        if (take(s, '}'))
            return true;
        if (!take(s, ','))
            return fail(s, s->p, "Expecting ',' delimiter");
    }
}

static bool scan_nested(struct scan *s)
{
    if (s->depth == s->depth_max)
        return fail(s, s->p, "Nested too deep");
    s->depth++;
    bool right = *s->p == '{' ? scan_object(s) : scan_array(s);
    s->depth--;
    return right;
}

/* White space was skipped. */
static bool scan_value(struct scan *s)
{
    struct str text;
    switch (s->p < s->end ? *s->p : 0) {
    case '{':
    case '[':
        return scan_nested(s);
    case '"':
        return scan_string(s, &text);
    case 't':
        return scan_word(s, STR("true"));
    case 'f':
        return scan_word(s, STR("false"));
    case 'n':
        return scan_word(s, STR("null"));
    default:
        return scan_number(s);
    }
}

const char *json_check(struct str text, int depth_max, size_t *at)
{
    const char *start = text.len ? text.p : "";
    struct str keys[JSON_KEYS_MAX]; /* not zeroed: most texts use two or three */
    struct scan s = {.p = start, .end = start + text.len, .depth_max = depth_max, .keys = keys};
    skip_space(&s);
    if (scan_value(&s)) {
        skip_space(&s);
        if (s.p < s.end)
            fail(&s, s.p, "Extra data");
    }
    free(s.unescaped);
    if (s.words)
        *at = utf8_chars((struct str){start, (size_t)(s.wrong - start)});
    return s.words;
}
