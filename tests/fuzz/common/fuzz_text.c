/* SPDX-License-Identifier: MIT */
/*
 * Text: UTF-8, JSON strings, times, SHA-1. Properties: the decoder agrees with one written from the
 * table of Unicode, in whatever pieces; a JSON string read by json-c is the text that was written;
 * bytes that are no UTF-8 become a JSON string all the same; a time is what timegm(3) says; a
 * digest does not depend on the pieces.
 */
#include <json-c/json.h>
#include <stdio.h>
#include <time.h>

#include "common/iso_time.h"
#include "common/json.h"
#include "common/sha1.h"
#include "common/utf8.h"
#include "tests/fuzz/fuzz.h"

/* The length of the character at p, 0: none. By its value, where ours goes by its bytes. */
static size_t character_len(const unsigned char *p, size_t len)
{
    if (p[0] < 0x80)
        return 1;
    size_t n = p[0] >= 0xF0 ? 4 : p[0] >= 0xE0 ? 3 : 2;
    static const uint32_t least[] = {0, 0, 0x80, 0x800, 0x10000};
    if (p[0] < 0xC0 || p[0] >= 0xF8 || len < n)
        return 0;
    uint32_t value = p[0] & (0xFFu >> (n + 1));
    for (size_t i = 1; i < n; i++) {
        if ((p[i] & 0xC0) != 0x80)
            return 0;
        value = value << 6 | (p[i] & 0x3Fu);
    }
    bool surrogate = value >= 0xD800 && value < 0xE000;
    return value >= least[n] && value <= 0x10FFFF && !surrogate ? n : 0;
}

static void check_utf8(struct str text, struct fuzz_random *random)
{
    size_t valid = 0, chars = 0, n = 1;
    while (valid < text.len &&
           (n = character_len((const unsigned char *)text.p + valid, text.len - valid))) {
        valid += n;
        chars++;
    }
    assert(utf8_valid(text) == (valid == text.len) && utf8_valid_len(text) == valid);
    assert(utf8_chars((struct str){text.p, valid}) == chars);
    uint32_t state = UTF8_START;
    for (size_t at = 0; at < text.len; at += n) {
        n = 1 + fuzz_below(random, text.len - at);
        state = utf8_feed(state, text.p + at, n);
    }
    assert((state == UTF8_START) == (valid == text.len));
    if (valid == text.len) {
        struct str cut = utf8_cut(text, fuzz_below(random, text.len + 1));
        assert(utf8_valid(cut) && str_eq(cut, (struct str){text.p, cut.len}));
    }
}

/* Both ways of writing make one JSON string; that of valid text is read back as it was. */
static void check_json(struct str text)
{
    struct buf *string = NULL, *bytes = NULL;
    size_t at;
    json_add_bytes(&bytes, text);
    assert(!json_check(buf_str(bytes), 0, &at));
    if (utf8_valid(text)) {
        json_add_string(&string, text);
        assert(fuzz_same(string, bytes));
        buf_add_char(&string, 0);
        struct json_object *read = json_tokener_parse(buf_str(string).p);
        assert(json_object_is_type(read, json_type_string));
        assert(str_eq(text, (struct str){json_object_get_string(read),
                                         (size_t)json_object_get_string_len(read)}));
        json_object_put(read);
    }
    buf_free(&string);
    buf_free(&bytes);
}

static void check_time(struct str text)
{
    uint64_t ms = 0;
    char written[ISO_TIME_BYTES + 1];
    if (iso_time_read(text, &ms)) {
        struct tm tm = {0};
        unsigned rest;
        char *copy = mem_strndup(text.p, text.len);
        int n = sscanf(copy, "%4d-%2d-%2dT%2d:%2d:%2d.%3uZ", &tm.tm_year, &tm.tm_mon, &tm.tm_mday,
                       &tm.tm_hour, &tm.tm_min, &tm.tm_sec, &rest);
        tm.tm_year -= 1900;
        tm.tm_mon -= 1;
        assert(n == 7 && ms == (uint64_t)timegm(&tm) * 1000 + rest);
        iso_time_write(written, ms);
        assert(str_eq(text, str_of(written)));
        free(copy);
    }
    memcpy(&ms, text.p, text.len < sizeof ms ? text.len : sizeof ms);
    iso_time_write(written, ms % 260000000000000);
    assert(iso_time_read(str_of(written), &ms));
}

static void check_sha1(struct str text, struct fuzz_random *random)
{
    struct sha1 whole, pieces;
    unsigned char digest[SHA1_BYTES], again[SHA1_BYTES];
    char hex[SHA1_HEX + 1];
    sha1_init(&whole);
    sha1_init(&pieces);
    sha1_add(&whole, text);
    for (size_t at = 0, n; at < text.len; at += n) {
        n = 1 + fuzz_below(random, text.len - at);
        sha1_add(&pieces, (struct str){text.p + at, n});
    }
    sha1_done(&whole, digest);
    sha1_done(&pieces, again);
    assert(memcmp(digest, again, sizeof digest) == 0);
    sha1_hex(digest, hex);
    assert(strspn(hex, "0123456789abcdef") == SHA1_HEX && !hex[SHA1_HEX]);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char *copy = fuzz_copy(fuzz_str(data, size));
    struct str text = {copy, size};
    struct fuzz_random random = fuzz_seed(text);
    check_utf8(text, &random);
    check_json(text);
    check_time(text);
    check_sha1(text, &random);
    free(copy);
    return 0;
}
