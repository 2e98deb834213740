/* SPDX-License-Identifier: MIT */
/*
 * permessage-deflate (RFC 7692) without windows of its own for each client: both sides start every
 * message with an empty window (no_context_takeover), so a message is compressed once for all who
 * negotiated it, one context inflates for everybody, and a client costs nothing.
 * Pure: no I/O. The two contexts are the process's; one thread uses them.
 */
#ifndef GATEWAY_DEFLATE_H
#define GATEWAY_DEFLATE_H

#include <stdbool.h>

#include "common/buf.h"
#include "common/http.h"

enum {
    DEFLATE_BITS_MIN = 9, /* zlib has no smaller window for raw deflate */
    DEFLATE_BITS_MAX = 15,
};

/* Reads the value of one Sec-WebSocket-Extensions header, a list of offers, and takes the first
 * that can be met with a window of at least least_bits. Then *answer is the value of the header of
 * the response, *bits the window that deflate_pack has to use, and the result true. What is no
 * extension list at all is declined like an offer that cannot be met (RFC 7692 section 5.1). */
bool deflate_accept(struct str offers, unsigned least_bits, unsigned *bits, struct buf **answer);

/* The same for a handshake, whose offers may stand in several lines of the header. */
bool deflate_negotiate(const struct http_request *req, unsigned least_bits, unsigned *bits,
                       struct buf **answer);

/* Appends the payload of a compressed message: RSV1 is to be set on its first frame. */
void deflate_pack(struct str message, unsigned bits, struct buf **out);

enum deflate_result {
    DEFLATE_OK,
    DEFLATE_BROKEN,  /* it is no deflate stream: close with 1007 */
    DEFLATE_TOO_BIG, /* more than max bytes would come out: close with 1009 */
};

/* Appends the message whose payload, all fragments joined, is packed. No more than max bytes are
 * ever made, whatever the payload promises. */
enum deflate_result deflate_unpack(struct str packed, size_t max, struct buf **out);

/* Frees the contexts. */
void deflate_done(void);

#endif
