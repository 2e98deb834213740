/* SPDX-License-Identifier: MIT */
/*
 * For the tests of the WebSocket reader. A conversation is fed in pieces, each in a heap block of
 * its exact size at a changing alignment, so that ASan sees a byte read too many, and what the
 * reader tells is written down as a transcript, one line an event:
 *
 *      text:5:Hello        a whole message, its pieces joined
 *      binary:0:
 *      ping:2:hi           a control frame
 *      close:1000:2:ok     a close: code and reason
 *      fail:1002:words     the end
 *
 * However the input was cut, the transcript must be the same.
 */
#ifndef TESTS_UNIT_GATEWAY_WEBSOCKET_LISTENER_H
#define TESTS_UNIT_GATEWAY_WEBSOCKET_LISTENER_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "common/buf.h"
#include "common/limits.h"
#include "common/mem.h"
#include "common/utf8.h"
#include "gateway/websocket.h"

enum {
    FIN = 0x80,
};

/* --- a reader that keeps a transcript --- */

struct listener {
    struct ws_reader reader;
    uint64_t message_max;
    struct buf *kept;       /* unused input */
    struct buf *message;    /* pieces so far */
    struct buf *transcript; /* see above */
    size_t fed;             /* pieces of input so far */
    bool failed;
};

static inline const char *name(enum ws_opcode opcode)
{
    switch (opcode) {
    case WS_TEXT:
        return "text";
    case WS_BINARY:
        return "binary";
    case WS_CLOSE:
        return "close";
    case WS_PING:
        return "ping";
    case WS_PONG:
        return "pong";
    default:
        fail_msg("opcode %d was told", opcode);
        return "";
    }
}

static inline void note(struct buf **transcript, enum ws_opcode opcode, struct str payload)
{
    buf_printf(transcript, "%s:%zu:", name(opcode), payload.len);
    buf_add_str(transcript, payload);
    buf_add_char(transcript, '\n');
}

static inline void note_close(struct buf **transcript, unsigned code, struct str reason)
{
    buf_printf(transcript, "close:%u:%zu:", code, reason.len);
    buf_add_str(transcript, reason);
    buf_add_char(transcript, '\n');
}

static inline void listen_data(struct listener *l, const struct ws_result *result)
{
    buf_add_str(&l->message, result->piece);
    struct str whole = buf_str(l->message);
    assert_true(whole.len <= l->message_max);
    if (result->opcode == WS_TEXT)
        assert_int_not_equal(utf8_feed(UTF8_START, whole.p, whole.len), UTF8_BAD);
    if (result->event == WS_DATA) {
        assert_true(result->piece.len > 0);
        return;
    }
    note(&l->transcript, result->opcode, whole);
    buf_free(&l->message);
}

static inline void listen_control(struct listener *l, const struct ws_result *result)
{
    struct str payload = result->control;
    assert_true(payload.len <= WS_CONTROL_BYTES_MAX);
    if (result->opcode != WS_CLOSE) {
        note(&l->transcript, result->opcode, payload);
        return;
    }
    size_t code_bytes = payload.len ? 2 : 0;
    note_close(&l->transcript, result->code,
               (struct str){payload.p + code_bytes, payload.len - code_bytes});
}

/* Reads all events of the bytes; returns how many bytes were used. */
static inline size_t listen_events(struct listener *l, char *bytes, size_t len)
{
    size_t at = 0;
    for (;;) {
        struct ws_result result;
        ws_read(&l->reader, bytes + at, len - at, l->message_max, &result);
        assert_true(result.used <= len - at);
        at += result.used;
        switch (result.event) {
        case WS_NEED_MORE:
            return at;
        case WS_DATA:
        case WS_MESSAGE:
            listen_data(l, &result);
            break;
        case WS_CONTROL:
            listen_control(l, &result);
            break;
        case WS_FAIL:
            assert_true(strlen(result.why) <= WS_CONTROL_BYTES_MAX - 2);
            buf_printf(&l->transcript, "fail:%u:%s\n", result.code, result.why);
            l->failed = true;
            return at;
        }
    }
}

static inline void listen_piece(struct listener *l, const char *bytes, size_t n)
{
    if (l->failed)
        return;
    buf_add(&l->kept, bytes, n);
    struct str input = buf_str(l->kept);
    size_t shift = l->fed++ % 8;
    char *block = mem_alloc(shift + input.len + 1);
    char *copy = block + shift + 1;
    if (input.len)
        memcpy(copy, input.p, input.len);
    size_t used = listen_events(l, copy, input.len);
    buf_take(&l->kept, used);
    if (!l->failed)
        assert_true(buf_len(l->kept) <= WS_KEEP_MAX);
    free(block);
}

/* Ends the conversation; the caller frees the transcript. */
static inline struct buf *listen_end(struct listener *l)
{
    buf_free(&l->kept);
    buf_free(&l->message);
    return l->transcript;
}

static inline struct buf *hear_whole(struct str input, uint64_t message_max)
{
    struct listener l = {.message_max = message_max};
    listen_piece(&l, input.p, input.len);
    return listen_end(&l);
}

/* --- what a client sends --- */

/* Appends a frame whose length takes length_bytes (0, 2 or 8) after the first two. */
static inline void frame_add_as(struct buf **b, unsigned first, size_t length_bytes,
                                uint64_t declared, struct str payload)
{
    uint32_t key = 0x37fa213d + (uint32_t)buf_len(*b) * 0x9e3779b1; /* another for each frame */
    unsigned char mask[sizeof key];
    memcpy(mask, &key, sizeof key);
    uint64_t length = length_bytes == 8 ? 127 : length_bytes == 2 ? 126 : declared;
    buf_add_char(b, (char)first);
    buf_add_char(b, (char)(0x80 | length));
    for (size_t i = length_bytes; i-- > 0;)
        buf_add_char(b, (char)(declared >> (8 * i) & 0xff));
    buf_add(b, mask, sizeof mask);
    for (size_t i = 0; i < payload.len; i++)
        buf_add_char(b, (char)((unsigned char)payload.p[i] ^ mask[i % 4]));
}

static inline void frame_add(struct buf **b, unsigned first, struct str payload)
{
    size_t length_bytes = payload.len < 126 ? 0 : payload.len < 65536 ? 2 : 8;
    frame_add_as(b, first, length_bytes, payload.len, payload);
}

static inline void assert_transcript(struct buf *got, struct str expected)
{
    struct str text = buf_str(got);
    if (!str_eq(text, expected))
        fail_msg("got\n%.*s\nexpected\n%.*s", (int)text.len, text.p, (int)expected.len, expected.p);
}

#endif
