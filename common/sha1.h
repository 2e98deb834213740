/* SPDX-License-Identifier: MIT */
/* SHA-1 (RFC 3174), for Sec-WebSocket-Accept and as a fingerprint of contents. */
#ifndef COMMON_SHA1_H
#define COMMON_SHA1_H

#include <stdint.h>

#include "common/str.h"

enum {
    SHA1_BYTES = 20,
    SHA1_HEX = 40
};

struct sha1 {
    uint32_t h[5];           /* the state */
    uint64_t bytes;          /* taken in so far */
    unsigned char block[64]; /* not yet a whole block */
};

void sha1_init(struct sha1 *s);
void sha1_add(struct sha1 *s, struct str bytes);
void sha1_done(struct sha1 *s, unsigned char out[SHA1_BYTES]);

/* Lower-case hexadecimal of a digest, terminated. */
void sha1_hex(const unsigned char digest[SHA1_BYTES], char out[SHA1_HEX + 1]);

#endif
