/* SPDX-License-Identifier: MIT */
/*
 * The terms of an offer, RFC 7692 section 7.1, and the two transformations, section 7.2: a message
 * is a run of deflate blocks that ends with an empty stored one, whose last four bytes 00 00 FF FF
 * are left out on the wire.
 *
 *      message ──deflate, sync flush──► blocks 00 00 FF FF ──cut──► payload
 *      message ◄──────inflate────────── blocks 00 00 FF FF ◄─add─── payload
 */
#include "gateway/deflate.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>
#define ZLIB_CONST
#include <zlib.h>

#include "common/mem.h"

enum {
    PIECE_BYTES = 16384,       /* of output at a time */
    DATA_TYPE_BLOCK_END = 128, /* in z_stream.data_type, see inflate() in zlib.h */
    MEMORY_LEVEL = 6,          /* a table of 16 KiB: it is cleared for each message */
};

static const char tail[4] = {0, 0, '\xff', '\xff'};

/* ---- the offers ---- */

/* What the offer asks for. */
struct terms {
    bool server_no_takeover, client_no_takeover;
    unsigned server_bits, client_bits; /* 0: not named */
};

static bool is_space(char c)
{
    return c == ' ' || c == '\t';
}

static void skip_spaces(struct str *s)
{
    while (s->len && is_space(*s->p))
        s->p++, s->len--;
}

/* Takes everything up to one of the stops, or to the end, off; without spaces at its ends. Quotes
 * hide what they hold. */
static struct str cut_until(struct str *s, const char *stops)
{
    size_t n = 0;
    bool quoted = false;
    for (; n < s->len && (quoted || !strchr(stops, s->p[n])); n++)
        if (s->p[n] == '"')
            quoted = !quoted;
    struct str part = {s->p, n};
    s->p += n;
    s->len -= n;
    skip_spaces(&part);
    while (part.len && is_space(part.p[part.len - 1]))
        part.len--;
    return part;
}

/* Skips the stop that cut_until stood before; false at the end. */
static bool cut_stop(struct str *s)
{
    if (!s->len)
        return false;
    s->p++, s->len--;
    return true;
}

/* 8 to 15, without leading zeros, perhaps in quotes; else 0. */
static unsigned bits_read(struct str value)
{
    if (value.len >= 2 && value.p[0] == '"' && value.p[value.len - 1] == '"')
        value = (struct str){value.p + 1, value.len - 2};
    if (value.len == 1 && (*value.p == '8' || *value.p == '9'))
        return (unsigned)(*value.p - '0');
    if (value.len == 2 && value.p[0] == '1' && value.p[1] >= '0' && value.p[1] <= '5')
        return 10 + (unsigned)(value.p[1] - '0');
    return 0;
}

/* One parameter; a name that is unknown, comes twice or has a wrong value spoils the offer. */
static bool param_take(struct terms *t, struct str name, bool has_value, struct str value)
{
    bool *flag = str_eq(name, STR("server_no_context_takeover"))   ? &t->server_no_takeover
                 : str_eq(name, STR("client_no_context_takeover")) ? &t->client_no_takeover
                                                                   : NULL;
    if (flag) {
        bool fine = !has_value && !*flag;
        *flag = true;
        return fine;
    }
    bool server = str_eq(name, STR("server_max_window_bits"));
    unsigned *bits = server                                        ? &t->server_bits
                     : str_eq(name, STR("client_max_window_bits")) ? &t->client_bits
                                                                   : NULL;
    if (!bits || *bits)
        return false;
    *bits = has_value ? bits_read(value) : server ? 0 : DEFLATE_BITS_MAX;
    return *bits;
}

/* The parameters of one offer, behind its name. */
static bool terms_read(struct terms *t, struct str offer)
{
    while (cut_stop(&offer)) {
        struct str param = cut_until(&offer, ";");
        struct str name = cut_until(&param, "=");
        bool has_value = cut_stop(&param);
        skip_spaces(&param);
        if (!param_take(t, name, has_value, param))
            return false;
    }
    return true;
}

bool deflate_accept(struct str offers, unsigned least_bits, unsigned *bits, struct buf **answer)
{
    do {
        struct terms t = {0};
        struct str offer = cut_until(&offers, ",");
        struct str name = cut_until(&offer, ";");
        if (!str_eq_nocase(name, STR("permessage-deflate")) || !terms_read(&t, offer))
            continue;
        *bits = t.server_bits ? t.server_bits : DEFLATE_BITS_MAX;
        if (*bits < least_bits || *bits < DEFLATE_BITS_MIN)
            continue;
        buf_add_str(answer, STR("permessage-deflate; server_no_context_takeover; "
                                "client_no_context_takeover"));
        if (t.server_bits)
            buf_printf(answer, "; server_max_window_bits=%u", t.server_bits);
        return true;
    } while (cut_stop(&offers));
    return false;
}

bool deflate_negotiate(const struct http_request *req, unsigned least_bits, unsigned *bits,
                       struct buf **answer)
{
    struct str offers;
    for (size_t at = 0; http_header_next(req, "Sec-WebSocket-Extensions", &at, &offers);)
        if (deflate_accept(offers, least_bits, bits, answer))
            return true;
    return false;
}

/* ---- the transformations ---- */

static z_stream packer, unpacker;
static unsigned packer_bits; /* 0: not there */
static bool unpacker_open;

/* Where the input has ended. */
static enum {
    WITHIN_BLOCK,
    BETWEEN_BLOCKS,
    BEHIND_LAST, /* block, one with BFINAL */
} unpacker_at;

static void *zalloc(void *ctx, unsigned count, unsigned size)
{
    (void)ctx;
    return mem_grow(NULL, count, size);
}

static void zfree(void *ctx, void *p)
{
    (void)ctx;
    free(p);
}

static const z_stream fresh = {.zalloc = zalloc, .zfree = zfree};

static void packer_start(unsigned bits)
{
    assert(bits >= DEFLATE_BITS_MIN && bits <= DEFLATE_BITS_MAX);
    if (packer_bits == bits) {
        deflateReset(&packer);
        return;
    }
    if (packer_bits)
        deflateEnd(&packer);
    packer_bits = bits;
    packer = fresh;
    int result = deflateInit2(&packer, Z_DEFAULT_COMPRESSION, Z_DEFLATED, -(int)bits, MEMORY_LEVEL,
                              Z_DEFAULT_STRATEGY);
    assert(result == Z_OK);
}

void deflate_pack(struct str message, unsigned bits, struct buf **out)
{
    static unsigned char piece[PIECE_BYTES];
    size_t before = buf_len(*out);
    packer_start(bits);
    packer.next_in = (const unsigned char *)message.p;
    packer.avail_in = (unsigned)message.len;
    do {
        packer.next_out = piece;
        packer.avail_out = sizeof piece;
        deflate(&packer, Z_SYNC_FLUSH);
        buf_add(out, (const char *)piece, sizeof piece - packer.avail_out);
    } while (packer.avail_out == 0);
    assert(buf_len(*out) - before > sizeof tail);
    buf_cut(out, sizeof tail);
}

/* Inflates some of a message. A last block (BFINAL) does not end it: RFC 7692 section 7.2.3.4 lets
 * another stream follow. */
static enum deflate_result unpack_some(struct str packed, size_t max, size_t *made,
                                       struct buf **out)
{
    static unsigned char piece[PIECE_BYTES];
    int result = Z_OK;
    unpacker.next_in = (const unsigned char *)packed.p;
    unpacker.avail_in = (unsigned)packed.len;
    do {
        unpacker.next_out = piece;
        unpacker.avail_out = sizeof piece;
        result = inflate(&unpacker, Z_SYNC_FLUSH);
        if (result != Z_OK && result != Z_STREAM_END && result != Z_BUF_ERROR)
            return DEFLATE_BROKEN;
        size_t got = sizeof piece - unpacker.avail_out;
        if (got > max - *made)
            return DEFLATE_TOO_BIG;
        *made += got;
        buf_add(out, (const char *)piece, got);
        unpacker_at = result == Z_STREAM_END                     ? BEHIND_LAST
                      : unpacker.data_type & DATA_TYPE_BLOCK_END ? BETWEEN_BLOCKS
                                                                 : WITHIN_BLOCK;
        if (result == Z_STREAM_END)
            inflateReset(&unpacker);
    } while (unpacker.avail_out == 0 || (result == Z_STREAM_END && unpacker.avail_in));
    return unpacker.avail_in ? DEFLATE_BROKEN : DEFLATE_OK;
}

static void unpacker_start(void)
{
    if (unpacker_open) {
        inflateReset(&unpacker);
        return;
    }
    unpacker = fresh;
    int result = inflateInit2(&unpacker, -DEFLATE_BITS_MAX);
    assert(result == Z_OK);
    unpacker_open = true;
}

/* What was cut off takes the tail for some of its own bytes: they become text, or end inside a
 * block. */
static enum deflate_result unpack_tail(size_t max, size_t *made, struct buf **out)
{
    const size_t before = *made;
    enum deflate_result result = unpack_some((struct str){tail, sizeof tail}, max, made, out);
    bool cut_off = *made > before || unpacker_at == WITHIN_BLOCK;
    return result == DEFLATE_OK && cut_off ? DEFLATE_BROKEN : result;
}

enum deflate_result deflate_unpack(struct str packed, size_t max, struct buf **out)
{
    size_t made = 0;
    unpacker_start();
    if (!packed.len)
        return DEFLATE_OK;
    enum deflate_result result = unpack_some(packed, max, &made, out);
    if (result == DEFLATE_OK && unpacker_at != BEHIND_LAST)
        result = unpack_tail(max, &made, out);
    return result;
}

void deflate_done(void)
{
    if (packer_bits)
        deflateEnd(&packer);
    if (unpacker_open)
        inflateEnd(&unpacker);
    packer_bits = 0;
    unpacker_open = false;
}
