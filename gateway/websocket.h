/* SPDX-License-Identifier: MIT */
/*
 * WebSocket (RFC 6455), the protocol alone: no I/O, no allocation of what a peer declares, no
 * libevent. A frame's payload is handed on piece by piece, as it comes; the caller collects
 * messages and sets the bounds.
 */
#ifndef GATEWAY_WEBSOCKET_H
#define GATEWAY_WEBSOCKET_H

#include <stdint.h>

#include "common/http.h"

enum ws_opcode {
    WS_CONTINUATION = 0,
    WS_TEXT = 1,
    WS_BINARY = 2,
    WS_CLOSE = 8,
    WS_PING = 9,
    WS_PONG = 10,
};

/* Section 7.4.1, and our own from 4000 on; docs/PROTOCOL.md has them all. */
enum ws_close {
    WS_CLOSE_NONE = 0,
    WS_CLOSE_NORMAL = 1000,
    WS_CLOSE_GOING_AWAY = 1001,
    WS_CLOSE_PROTOCOL = 1002,
    WS_CLOSE_UNSUPPORTED = 1003,
    WS_CLOSE_NO_STATUS = 1005, /* never on the wire */
    WS_CLOSE_LOST = 1006,      /* likewise: no close frame came */
    WS_CLOSE_BAD_DATA = 1007,
    WS_CLOSE_POLICY = 1008,
    WS_CLOSE_TOO_BIG = 1009,
    WS_CLOSE_RESTART = 1012,
    WS_CLOSE_TRY_AGAIN = 1013,
    WS_CLOSE_SLOW = 4008,
    WS_CLOSE_RATE = 4429,
};

enum {
    WS_ACCEPT_BYTES = 28, /* of Sec-WebSocket-Accept */
    WS_HEADER_MAX = 10,   /* bytes of a server's frame header */
    WS_KEEP_MAX = 130,    /* bytes that ws_read may leave unused */
};

/* Is this a Sec-WebSocket-Key: base64 of exactly 16 bytes (section 4.2.1)? */
bool ws_key_valid(struct str key);

/* Section 4.2.2 item 5.4; not terminated. */
void ws_accept(struct str key, char out[WS_ACCEPT_BYTES]);

/* What is wrong with a request that asks for `Upgrade: websocket` (section 4.2.1), in static words
 * for a 400; NULL when nothing is. Whether its Sec-WebSocket-Version is known and its Origin is
 * welcome are the caller's questions: their answers are 426 and 403. */
const char *ws_handshake_fault(const struct http_request *req);

/* Writes the header of an unmasked, final frame; returns its length. */
size_t ws_header_write(char out[WS_HEADER_MAX], enum ws_opcode opcode, uint64_t len);

/* The same of a compressed message's first frame: with RSV1 (RFC 7692 section 6). */
size_t ws_header_write_packed(char out[WS_HEADER_MAX], enum ws_opcode opcode, uint64_t len);

/* How long is the header of such a frame, by its first two bytes? */
size_t ws_header_len(const char *frame);

/* Reads the frames of one client. All zero is the start; then `deflate` may be set. */
struct ws_reader {
    uint8_t mask[4]; /* of the data frame under way */
    uint8_t mask_at; /* which byte of it is next */
    uint8_t message; /* WS_TEXT or WS_BINARY while a message is under way, else 0 */
    bool final;      /* is the data frame under way the last of its message? */
    bool deflate;    /* permessage-deflate was negotiated: a message may be compressed */
    bool packed;     /* the message under way is */
    bool failed;     /* WS_FAIL was told; to read on is our own mistake, and aborts */
    uint32_t utf8;   /* of the text under way, see utf8.h */
    uint64_t left;   /* payload bytes of the data frame under way still to come */
    uint64_t total;  /* payload bytes of the message, all frames so far, as declared */
};

enum ws_event {
    WS_NEED_MORE, /* nothing whole is left: keep what is unused and come back with more */
    WS_DATA,      /* a piece of a message's payload (of plain text: checked UTF-8 so far) */
    WS_MESSAGE,   /* the last piece of a message, maybe empty; message is whole now */
    WS_CONTROL,   /* a whole ping, pong or close, payload in control */
    WS_FAIL,      /* the peer broke the protocol: close with code, never call ws_read again */
};

struct ws_result {
    enum ws_event event;
    size_t used;           /* bytes of the input used up, at any event; if less than given: call
                              again, but after WS_NEED_MORE and WS_FAIL */
    struct str piece;      /* WS_DATA, WS_MESSAGE: unmasked in place in the input */
    bool packed;           /* WS_DATA, WS_MESSAGE: compressed, and text is not checked yet */
    enum ws_opcode opcode; /* WS_DATA, WS_MESSAGE: WS_TEXT or WS_BINARY; WS_CONTROL: which */
    struct str control;    /* WS_CONTROL: the payload (a close: code and reason), in the input */
    uint16_t code;         /* WS_FAIL: the close code; WS_CONTROL of a close: its code, or 1005 */
    const char *why;       /* WS_FAIL: static words for the reason of the close frame */
};

/*
 * Reads on, one event at a time. The header of a frame, and a control frame as a whole, are used
 * only when they are there to the last byte: so at most WS_KEEP_MAX bytes ever stay unused, and the
 * caller puts them before the next input. Payload of messages is used as it comes. How the input is
 * cut makes no difference but to the pieces of a message.
 *
 * Fails with 1002 for: reserved bits (but RSV1 of a message's first frame, when deflate is set) or
 * opcodes, a frame without mask (section 5.1), a
 * control frame that is fragmented or longer than 125, a length not in its shortest form or with
 * its top bit set, a continuation of nothing, a new message inside another, a close payload of one
 * byte or with a code that must not be sent (section 7.4); 1007 for text that is not UTF-8, at the
 * first wrong byte, and for such a close reason; 1009 when a message is longer than message_max, at
 * once from the declared length. Pieces of a message that fails later may have been told before.
 *
 * After a close of the peer the caller reads no more: what follows it means nothing.
 */
void ws_read(struct ws_reader *r, char *bytes, size_t len, uint64_t message_max,
             struct ws_result *result);

#endif
