/* SPDX-License-Identifier: MIT */
/*
 * A decoder that only says yes or no, as a small automaton. A lead byte tells how many bytes
 * follow; four of the lead bytes also narrow what may come second, and this alone keeps out
 * overlong forms, surrogates and what lies above U+10FFFF (RFC 3629 section 4):
 *
 *      00..7F                                          1 byte
 *      C2..DF  80..BF                                  2 bytes (C0, C1: overlong)
 *      E0      A0..BF  80..BF                          3 bytes (80..9F: overlong)
 *      E1..EF  80..BF  80..BF                          3 bytes
 *      ED      80..9F  80..BF                          3 bytes (A0..BF: surrogates)
 *      F0      90..BF  80..BF  80..BF                  4 bytes (80..8F: overlong)
 *      F1..F3  80..BF  80..BF  80..BF                  4 bytes
 *      F4      80..8F  80..BF  80..BF                  4 bytes (90..BF: too high)
 *
 * Chats are mostly ASCII: eight bytes of it are passed over at a time.
 */
#include "common/utf8.h"

/* What is awaited next; the first two are UTF8_START and UTF8_BAD. */
enum utf8_state {
    START = UTF8_START,
    BAD = UTF8_BAD,
    TAIL_1, /* one more byte */
    TAIL_2, /* two more */
    TAIL_3, /* three more */
    AFTER_E0,
    AFTER_ED,
    AFTER_F0,
    AFTER_F4,
};

static uint32_t after_lead(unsigned char c)
{
    if (c < 0x80)
        return START;
    if (c < 0xC2 || c > 0xF4)
        return BAD;
    if (c < 0xE0)
        return TAIL_1;
    if (c < 0xF0)
        return c == 0xE0 ? AFTER_E0 : c == 0xED ? AFTER_ED : TAIL_2;
    return c == 0xF0 ? AFTER_F0 : c == 0xF4 ? AFTER_F4 : TAIL_3;
}

static uint32_t expect(unsigned char c, unsigned char low, unsigned char high, uint32_t next)
{
    return c >= low && c <= high ? next : BAD;
}

static uint32_t step(uint32_t state, unsigned char c)
{
    switch (state) {
    case START:
        return after_lead(c);
    case TAIL_1:
        return expect(c, 0x80, 0xBF, START);
    case TAIL_2:
        return expect(c, 0x80, 0xBF, TAIL_1);
    case TAIL_3:
        return expect(c, 0x80, 0xBF, TAIL_2);
    case AFTER_E0:
        return expect(c, 0xA0, 0xBF, TAIL_1);
    case AFTER_ED:
        return expect(c, 0x80, 0x9F, TAIL_1);
    case AFTER_F0:
        return expect(c, 0x90, 0xBF, TAIL_2);
    case AFTER_F4:
        return expect(c, 0x80, 0x8F, TAIL_2);
    default:
        return BAD;
    }
}

/* The first byte that may not be ASCII: exact at the end, else to within eight bytes. */
static const char *skip_ascii(const char *p, const char *end)
{
    while (end - p >= 8) {
        uint64_t eight;
        memcpy(&eight, p, 8);
        if (eight & 0x8080808080808080u)
            break;
        p += 8;
    }
    return p;
}

uint32_t utf8_feed(uint32_t state, const char *bytes, size_t len)
{
    if (!len)
        return state;
    const char *p = bytes, *end = bytes + len;
    while (p < end && state != BAD) {
        if (state == START && (p = skip_ascii(p, end)) == end)
            break;
        state = step(state, (unsigned char)*p++);
    }
    return state;
}

bool utf8_valid(struct str s)
{
    return utf8_feed(UTF8_START, s.p, s.len) == UTF8_START;
}

size_t utf8_valid_len(struct str s)
{
    size_t valid = 0;
    uint32_t state = START;
    for (size_t i = 0; i < s.len && state != BAD; i++) {
        state = step(state, (unsigned char)s.p[i]);
        if (state == START)
            valid = i + 1;
    }
    return valid;
}

/* Is it a byte inside a character, not its first one? */
static bool is_tail(char c)
{
    return ((unsigned char)c & 0xC0) == 0x80;
}

size_t utf8_chars(struct str s)
{
    size_t chars = 0;
    for (size_t i = 0; i < s.len; i++)
        chars += !is_tail(s.p[i]);
    return chars;
}

struct str utf8_cut(struct str s, size_t max)
{
    if (s.len <= max)
        return s;
    while (max && is_tail(s.p[max]))
        max--;
    return (struct str){s.p, max};
}
