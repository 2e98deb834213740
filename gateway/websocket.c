/* SPDX-License-Identifier: MIT */
/*
 * WebSocket (RFC 6455), the server's side: a frame is
 *
 *      0                 1                 2 ..             .. then
 *     +-+---+----------+-+---------------+------------------+----------+-----------------
 *     |F|RSV|  opcode  |M|  length 7 bit | 0, 2 or 8 bytes  | 4 bytes  | payload, each
 *     |I|   |          |A|  126: 2 more  | of length, most  | of mask  | byte xor the
 *     |N|000|          |S|  127: 8 more  | significant first| (client) | mask, in turn
 *     +-+---+----------+-+---------------+------------------+----------+-----------------
 *
 * A message is one data frame, or one without FIN and continuations up to one with FIN. Control
 * frames are whole and short and may stand between the fragments of a message, never inside one.
 * So the reader is in one of three places: before a header outside a message, before a header
 * inside a message (message is its opcode), or in a payload (left > 0).
 *
 * Invariants: what ws_read tells does not depend on how the input was cut, but for where a message
 * is cut into pieces. Therefore the checks come in the order of the bytes, each as soon as the
 * bytes it needs are whole: first two bytes, length, payload. Pieces are unmasked in place, each
 * byte once, as unmasked bytes are always used up. Outside a message total is 0 and utf8 is
 * UTF8_START. total never exceeds the caller's bound, so what the caller collects does not either;
 * nothing is allocated here.
 *
 * It refuses to guess: after the first error there is no next frame to find.
 */
#include "gateway/websocket.h"

#include <assert.h>

#include "common/limits.h"
#include "common/sha1.h"
#include "common/utf8.h"

enum {
    BIT_FIN = 0x80,
    BITS_RESERVED = 0x70,
    BIT_RSV1 = 0x40, /* a compressed message's first frame, RFC 7692 */
    BITS_OPCODE = 0x0f,
    BIT_CONTROL = 0x08, /* of an opcode */
    BIT_MASK = 0x80,
    BITS_LENGTH = 0x7f,

    LENGTH_16 = 126, /* the length is in the next two bytes */
    LENGTH_64 = 127, /* in the next eight */

    START_BYTES = 2,
    MASK_BYTES = 4,
    KEY_BYTES = 24,  /* base64 of 16 bytes ... */
    KEY_DIGITS = 22, /* ... and what of it is not padding */
    CODE_BYTES = 2,  /* of a close */
};

_Static_assert(WS_KEEP_MAX == START_BYTES + MASK_BYTES + WS_CONTROL_BYTES_MAX - 1,
               "the longest control frame but its last byte");
_Static_assert(LENGTH_16 - WS_CONTROL_BYTES_MAX == 1, "control frames have the short header");

/* A frame's header. */
struct header {
    enum ws_opcode opcode;
    bool final;   /* no fragment follows */
    bool packed;  /* RSV1 */
    uint64_t len; /* of the payload */
    size_t bytes; /* of the header itself, its mask included */
    uint8_t mask[MASK_BYTES];
};

/* --- the handshake --- */

static const char base64_digits[] =
    "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

/* The four bits that the last digit has too many are not looked at, as most decoders do. */
bool ws_key_valid(struct str key)
{
    if (key.len != KEY_BYTES || key.p[KEY_DIGITS] != '=' || key.p[KEY_DIGITS + 1] != '=')
        return false;
    for (size_t i = 0; i < KEY_DIGITS; i++)
        if (!memchr(base64_digits, key.p[i], sizeof base64_digits - 1))
            return false;
    return true;
}

static void skip_blanks(struct str *s)
{
    while (s->len && (*s->p == ' ' || *s->p == '\t'))
        s->p++, s->len--;
}

static bool take_char(struct str *s, char c)
{
    skip_blanks(s);
    if (!s->len || *s->p != c)
        return false;
    s->p++, s->len--;
    return true;
}

static bool take_token(struct str *s)
{
    skip_blanks(s);
    const char *start = s->p;
    while (s->len && http_token_char(*s->p))
        s->p++, s->len--;
    return s->p > start;
}

/* A value may be quoted, but has to be a token then, too (RFC 6455 section 9.1). */
static bool take_value(struct str *s)
{
    if (!take_char(s, '"'))
        return take_token(s);
    return s->len && http_token_char(*s->p) && take_token(s) && s->len && *s->p == '"' &&
           take_char(s, '"');
}

/* Tokens between commas, where any may be missing; with ;name and ;name=value behind them where
 * there may be parameters. */
static bool is_list(struct str s, bool with_parameters)
{
    for (bool more = true; more; more = take_char(&s, ',')) {
        if (!take_token(&s))
            continue;
        while (with_parameters && take_char(&s, ';'))
            if (!take_token(&s) || (take_char(&s, '=') && !take_value(&s)))
                return false;
    }
    skip_blanks(&s);
    return !s.len;
}

static bool all_lists(const struct http_request *req, const char *name, bool with_parameters)
{
    struct str list;
    for (size_t at = 0; http_header_next(req, name, &at, &list);)
        if (!is_list(list, with_parameters))
            return false;
    return true;
}

const char *ws_handshake_fault(const struct http_request *req)
{
    if (req->method != HTTP_GET)
        return "a handshake is a GET";
    if (req->http_1_0)
        return "HTTP/1.1 is needed";
    if (!http_header_has(req, "Connection", "Upgrade"))
        return "Connection: Upgrade is missing";
    if (http_header_count(req, "Sec-WebSocket-Key") != 1 ||
        !ws_key_valid(http_header(req, "Sec-WebSocket-Key")))
        return "Sec-WebSocket-Key: base64 of 16 bytes is needed, once";
    if (http_header_count(req, "Sec-WebSocket-Version") > 1)
        return "Sec-WebSocket-Version is there more than once";
    if (req->chunked || req->length)
        return "a handshake has no body";
    if (!all_lists(req, "Sec-WebSocket-Extensions", true))
        return "Sec-WebSocket-Extensions is malformed";
    if (!all_lists(req, "Sec-WebSocket-Protocol", false))
        return "Sec-WebSocket-Protocol is malformed";
    return NULL;
}

void ws_accept(struct str key, char out[WS_ACCEPT_BYTES])
{
    unsigned char digest[SHA1_BYTES + 1] = {0}; /* one zero byte fills the last group of three */
    struct sha1 sha1;
    sha1_init(&sha1);
    sha1_add(&sha1, key);
    sha1_add(&sha1, STR("258EAFA5-E914-47DA-95CA-C5AB0DC85B11"));
    sha1_done(&sha1, digest);

    for (size_t i = 0; i < sizeof digest; i += 3) {
        uint32_t group = (uint32_t)digest[i] << 16 | (uint32_t)digest[i + 1] << 8 | digest[i + 2];
        for (unsigned shift = 24; shift > 0; shift -= 6)
            *out++ = base64_digits[group >> (shift - 6) & 63];
    }
    out[-1] = '=';
}

/* --- writing --- */

size_t ws_header_write(char out[WS_HEADER_MAX], enum ws_opcode opcode, uint64_t len)
{
    assert(len <= INT64_MAX && (len <= WS_CONTROL_BYTES_MAX || !(opcode & BIT_CONTROL)));
    unsigned length = len < LENGTH_16 ? (unsigned)len : len <= UINT16_MAX ? LENGTH_16 : LENGTH_64;
    out[0] = (char)(BIT_FIN | opcode);
    out[1] = (char)length;
    size_t bytes = ws_header_len(out);
    for (size_t i = bytes; i > START_BYTES; i--, len >>= 8)
        out[i - 1] = (char)(len & 0xff);
    return bytes;
}

size_t ws_header_write_packed(char out[WS_HEADER_MAX], enum ws_opcode opcode, uint64_t len)
{
    size_t bytes = ws_header_write(out, opcode, len);
    out[0] = (char)(BIT_FIN | BIT_RSV1 | opcode);
    return bytes;
}

/* How many bytes of length follow the first two bytes of a header? */
static size_t length_bytes(unsigned length)
{
    return length == LENGTH_64 ? 8 : length == LENGTH_16 ? 2 : 0;
}

size_t ws_header_len(const char *frame)
{
    return START_BYTES + length_bytes((unsigned char)frame[1] & BITS_LENGTH);
}

/* --- reading --- */

static void fail(struct ws_result *result, enum ws_close code, const char *why)
{
    result->event = WS_FAIL;
    result->code = (uint16_t)code;
    result->why = why;
}

/* Reverses the mask, whose byte number at is the first; returns the number of the next. */
static uint8_t unmask(char *bytes, size_t len, const uint8_t mask[MASK_BYTES], uint8_t at)
{
    uint8_t turned[8];
    for (size_t i = 0; i < sizeof turned; i++)
        turned[i] = mask[(at + i) % MASK_BYTES];
    uint64_t wide, word;
    memcpy(&wide, turned, sizeof wide);

    size_t i = 0;
    for (; len - i >= sizeof word; i += sizeof word) {
        memcpy(&word, bytes + i, sizeof word);
        word ^= wide;
        memcpy(bytes + i, &word, sizeof word);
    }
    for (; i < len; i++)
        bytes[i] = (char)((unsigned char)bytes[i] ^ turned[i % sizeof turned]);
    return (uint8_t)((at + len) % MASK_BYTES);
}

static bool opcode_known(unsigned opcode)
{
    return opcode <= WS_BINARY || (opcode >= WS_CLOSE && opcode <= WS_PONG);
}

/* What is wrong with the first two bytes of a frame? NULL: nothing. */
static const char *start_wrong(const struct ws_reader *r, unsigned first, unsigned second)
{
    unsigned opcode = first & BITS_OPCODE;
    bool starts = opcode == WS_TEXT || opcode == WS_BINARY; /* a message */
    if (first & BITS_RESERVED & ~(r->deflate && starts ? (unsigned)BIT_RSV1 : 0u))
        return "reserved bits are set";
    if (!opcode_known(opcode))
        return "unknown opcode";
    if (opcode & BIT_CONTROL && !(first & BIT_FIN))
        return "fragmented control frame";
    if (opcode == WS_CONTINUATION && !r->message)
        return "continuation of nothing";
    if (starts && r->message)
        return "new message inside another";
    if (!(second & BIT_MASK))
        return "frame without mask";
    if (opcode & BIT_CONTROL && (second & BITS_LENGTH) > WS_CONTROL_BYTES_MAX)
        return "control frame is too long";
    return NULL;
}

/* What is wrong with a length that took so many bytes after the first two? NULL: nothing. */
static const char *length_wrong(uint64_t len, size_t bytes)
{
    if (len > INT64_MAX)
        return "length has its top bit set";
    if ((bytes == 2 && len < LENGTH_16) || (bytes == 8 && len <= UINT16_MAX))
        return "length is not in its shortest form";
    return NULL;
}

/* Would a frame of len bytes make the message under way longer than max? */
static bool too_big(const struct ws_reader *r, const struct header *h, uint64_t max)
{
    if (h->opcode & BIT_CONTROL)
        return false;
    return h->len > max || r->total > max - h->len;
}

/* Decodes a header if it is whole; false: more bytes are needed, or it is wrong (see result). */
static bool header_read(const struct ws_reader *r, const char *bytes, size_t len, uint64_t max,
                        struct header *h, struct ws_result *result)
{
    if (len < START_BYTES)
        return false;
    unsigned first = (unsigned char)bytes[0], second = (unsigned char)bytes[1];
    const char *why = start_wrong(r, first, second);
    if (why) {
        fail(result, WS_CLOSE_PROTOCOL, why);
        return false;
    }
    h->opcode = (enum ws_opcode)(first & BITS_OPCODE);
    h->final = first & BIT_FIN;
    h->packed = first & BIT_RSV1;
    h->len = second & BITS_LENGTH;

    size_t more = length_bytes(second & BITS_LENGTH);
    if (len < START_BYTES + more)
        return false;
    if (more)
        h->len = 0;
    for (size_t i = 0; i < more; i++)
        h->len = h->len << 8 | (unsigned char)bytes[START_BYTES + i];
    why = length_wrong(h->len, more);
    if (why)
        fail(result, WS_CLOSE_PROTOCOL, why);
    else if (too_big(r, h, max))
        fail(result, WS_CLOSE_TOO_BIG, "message is too big");
    h->bytes = START_BYTES + more + MASK_BYTES;
    if (result->event == WS_FAIL || len < h->bytes)
        return false;
    memcpy(h->mask, bytes + START_BYTES + more, MASK_BYTES);
    return true;
}

/* May a peer send this code (sections 7.4.1 and 7.4.2, and the registry up to 1014)? */
static bool close_code_allowed(unsigned code)
{
    return (code >= 1000 && code <= 1003) || (code >= 1007 && code <= 1014) ||
           (code >= 3000 && code <= 4999);
}

/* Takes the payload of a close apart. */
static void close_read(struct str payload, struct ws_result *result)
{
    if (payload.len == 0) {
        result->code = WS_CLOSE_NO_STATUS;
        return;
    }
    if (payload.len < CODE_BYTES) {
        fail(result, WS_CLOSE_PROTOCOL, "close code is cut short");
        return;
    }
    unsigned code = (unsigned)(unsigned char)payload.p[0] << 8 | (unsigned char)payload.p[1];
    result->code = (uint16_t)code;
    if (!close_code_allowed(code))
        fail(result, WS_CLOSE_PROTOCOL, "close code is not allowed");
    else if (!utf8_valid((struct str){payload.p + CODE_BYTES, payload.len - CODE_BYTES}))
        fail(result, WS_CLOSE_BAD_DATA, "close reason is not UTF-8");
}

/* Reads a whole control frame, whose header is known; frame is where it starts. */
static void control_read(const struct header *h, char *frame, struct ws_result *result)
{
    size_t len = (size_t)h->len;
    unmask(frame + h->bytes, len, h->mask, 0);
    result->event = WS_CONTROL;
    result->used += h->bytes + len;
    result->opcode = h->opcode;
    result->control = (struct str){frame + h->bytes, len};
    if (h->opcode == WS_CLOSE)
        close_read(result->control, result);
}

/* Enters the payload of a data frame. */
static void data_begin(struct ws_reader *r, const struct header *h, struct ws_result *result)
{
    if (h->opcode != WS_CONTINUATION) {
        r->message = (uint8_t)h->opcode;
        r->packed = h->packed;
    }
    memcpy(r->mask, h->mask, MASK_BYTES);
    r->mask_at = 0;
    r->final = h->final;
    r->left = h->len;
    r->total += h->len;
    result->used += h->bytes;
}

static void message_end(struct ws_reader *r, struct ws_result *result)
{
    if (r->message == WS_TEXT && r->utf8 != UTF8_START) {
        fail(result, WS_CLOSE_BAD_DATA, "text ends inside a character");
        return;
    }
    result->event = WS_MESSAGE;
    r->message = 0;
    r->total = 0;
}

/* Takes what is there of a data frame's payload: all of it, when the frame is empty. */
static void data_read(struct ws_reader *r, char *payload, size_t len, struct ws_result *result)
{
    size_t n = len < r->left ? len : (size_t)r->left;
    r->left -= n;
    r->mask_at = unmask(payload, n, r->mask, r->mask_at);
    result->used += n;
    if (r->message == WS_TEXT && !r->packed) {
        r->utf8 = utf8_feed(r->utf8, payload, n);
        if (r->utf8 == UTF8_BAD) {
            fail(result, WS_CLOSE_BAD_DATA, "text is not UTF-8");
            return;
        }
    }
    result->piece = (struct str){payload, n};
    result->opcode = (enum ws_opcode)r->message;
    result->packed = r->packed;
    if (r->final && r->left == 0)
        message_end(r, result);
    else if (n)
        result->event = WS_DATA;
}

/* Reads a header, and with it a whole control frame or the first piece of a data frame. */
static void frame_read(struct ws_reader *r, char *bytes, size_t len, uint64_t max,
                       struct ws_result *result)
{
    struct header h;
    if (!header_read(r, bytes, len, max, &h, result))
        return;
    if (!(h.opcode & BIT_CONTROL)) {
        data_begin(r, &h, result);
        data_read(r, bytes + h.bytes, len - h.bytes, result);
    } else if (len - h.bytes >= h.len) {
        control_read(&h, bytes, result);
    }
}

void ws_read(struct ws_reader *r, char *bytes, size_t len, uint64_t message_max,
             struct ws_result *result)
{
    assert(!r->failed);
    *result = (struct ws_result){.event = WS_NEED_MORE};
    size_t before;
    do { /* goes round again only after an empty fragment or a header without payload yet */
        before = result->used;
        if (before == len)
            return;
        if (r->left)
            data_read(r, bytes + before, len - before, result);
        else
            frame_read(r, bytes + before, len - before, message_max, result);
    } while (result->event == WS_NEED_MORE && result->used > before);
    r->failed = result->event == WS_FAIL;
}
