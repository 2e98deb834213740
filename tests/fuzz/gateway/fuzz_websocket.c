/* SPDX-License-Identifier: MIT */
/*
 * What a client sends after its handshake. The first byte chooses: bit 0, permessage-deflate was
 * negotiated; bit 1, messages may be long. Properties: what the reader tells does not depend on how
 * the bytes come in pieces, and keeps to its bounds; plain text is UTF-8; a compressed message is
 * what a fresh inflater of zlib makes of it; a message written as frames again is read the same.
 */
#include "common/limits.h"
#include "common/utf8.h"
#include "gateway/deflate.h"
#include "gateway/websocket.h"
#include "tests/fuzz/gateway/inflated.h"

struct listener {
    struct ws_reader reader;
    uint64_t message_max;
    struct buf *kept;       /* unused input */
    struct buf *message;    /* pieces so far */
    struct buf *transcript; /* a line for each event */
    bool over;              /* a failure was told, or a close */
};

static void note(struct listener *l, const char *what, unsigned n, struct str payload)
{
    buf_printf(&l->transcript, "%s %u %zu:", what, n, payload.len);
    buf_add_str(&l->transcript, payload);
    buf_add_char(&l->transcript, '\n');
}

static void hear_packed(struct listener *l, unsigned opcode)
{
    struct buf *message = NULL;
    enum deflate_result result = deflate_unpack(buf_str(l->message), l->message_max, &message);
    check_inflated(buf_str(l->message), l->message_max, result, message);
    note(l, "packed", (unsigned)result * 16 + opcode, buf_str(message));
    buf_free(&message);
}

static void hear_data(struct listener *l, const struct ws_result *result)
{
    bool text = result->opcode == WS_TEXT;
    buf_add_str(&l->message, result->piece);
    struct str whole = buf_str(l->message);
    assert(whole.len <= l->message_max && (text || result->opcode == WS_BINARY));
    assert(!result->packed || l->reader.deflate);
    if (result->event == WS_DATA) {
        assert(result->piece.len > 0);
        return;
    }
    if (result->packed)
        hear_packed(l, result->opcode);
    else
        note(l, "plain", result->opcode, whole);
    assert(result->packed || !text || utf8_valid(whole));
    buf_free(&l->message);
}

static void hear_control(struct listener *l, const struct ws_result *result)
{
    struct str payload = result->control;
    assert(payload.len <= WS_CONTROL_BYTES_MAX && result->opcode >= WS_CLOSE);
    l->over = result->opcode == WS_CLOSE;
    if (l->over && payload.len)
        assert(payload.len >= 2 && utf8_valid((struct str){payload.p + 2, payload.len - 2}));
    note(l, "control", l->over ? result->code : (unsigned)result->opcode, payload);
}

/* Reads all events of the bytes; returns how many bytes were used. */
static size_t hear_events(struct listener *l, char *bytes, size_t len)
{
    size_t at = 0;
    struct ws_result result = {.event = WS_DATA};
    while (!l->over && result.event != WS_NEED_MORE) {
        ws_read(&l->reader, bytes + at, len - at, l->message_max, &result);
        assert(result.used <= len - at);
        at += result.used;
        if (result.event == WS_DATA || result.event == WS_MESSAGE) {
            hear_data(l, &result);
        } else if (result.event == WS_CONTROL) {
            hear_control(l, &result);
        } else if (result.event == WS_FAIL) {
            assert(strlen(result.why) <= WS_CONTROL_BYTES_MAX - 2);
            note(l, "fail", result.code, str_of(result.why));
            l->over = true;
        }
    }
    return at;
}

static struct buf *hear(struct str input, unsigned choices, size_t piece_max,
                        struct fuzz_random *random)
{
    struct listener l = {.message_max = choices & 2 ? WS_MESSAGE_BYTES_MAX : 200};
    l.reader.deflate = choices & 1;
    while (input.len && !l.over) {
        size_t n = 1 + fuzz_below(random, piece_max);
        n = n < input.len ? n : input.len;
        buf_add(&l.kept, input.p, n);
        input = (struct str){input.p + n, input.len - n};
        struct str kept = buf_str(l.kept);
        char *bytes = fuzz_copy(kept);
        buf_take(&l.kept, hear_events(&l, bytes, kept.len));
        free(bytes);
        assert(l.over || buf_len(l.kept) <= WS_KEEP_MAX);
    }
    buf_free(&l.kept);
    buf_free(&l.message);
    return l.transcript;
}

/* Our own frames, with a mask of zeros put in. */
static void check_written(struct str payload, unsigned choices, struct fuzz_random *random)
{
    char header[WS_HEADER_MAX], mask[4] = {0};
    struct buf *frames = NULL, *packed = NULL;
    bool deflate = choices & 1;
    if (deflate)
        deflate_pack(payload, DEFLATE_BITS_MAX, &packed);
    struct str sent = deflate ? buf_str(packed) : payload;
    size_t n = deflate ? ws_header_write_packed(header, WS_BINARY, sent.len)
                       : ws_header_write(header, WS_BINARY, sent.len);
    assert(n == ws_header_len(header));
    header[1] = (char)(header[1] | 0x80);
    buf_add(&frames, header, n);
    buf_add(&frames, mask, sizeof mask);
    buf_add_str(&frames, sent);
    struct buf *heard = hear(buf_str(frames), choices | 2, 1000, random);
    struct listener expected = {0};
    note(&expected, deflate ? "packed" : "plain", WS_BINARY, payload);
    assert(fuzz_same(heard, expected.transcript));
    buf_free(&expected.transcript);
    buf_free(&heard);
    buf_free(&frames);
    buf_free(&packed);
}

static void check_handshake(struct str key)
{
    char accept[WS_ACCEPT_BYTES];
    struct http_header headers[] = {{STR("connection"), STR("keep-alive, upgrade")},
                                    {STR("sec-websocket-key"), key}};
    struct http_request req = {.nheaders = 2};
    memcpy(req.headers, headers, sizeof headers);
    assert(!ws_handshake_fault(&req) == ws_key_valid(key));
    if (ws_key_valid(key)) {
        ws_accept(key, accept);
        assert(accept[WS_ACCEPT_BYTES - 1] == '=' && accept[WS_ACCEPT_BYTES - 2] != '=');
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size == 0)
        return 0;
    struct str input = fuzz_str(data + 1, size - 1);
    struct fuzz_random random = fuzz_seed(input);
    struct buf *whole = hear(input, data[0], input.len + 1, &random);
    struct buf *cut = hear(input, data[0], 40, &random);
    assert(fuzz_same(whole, cut));
    buf_free(&cut);
    if (input.len <= 256) {
        cut = hear(input, data[0], 1, &random);
        assert(fuzz_same(whole, cut));
        buf_free(&cut);
    }
    buf_free(&whole);
    check_written(input, data[0], &random);
    check_handshake(input);
    return 0;
}
