/* SPDX-License-Identifier: MIT */
/*
 * SHA-1, written after RFC 3174 section 6.1 and no faster than that: it sees one handshake or one
 * content at a time. It is broken as a signature; nothing here relies on it as one.
 */
#include "common/sha1.h"

enum {
    BLOCK = 64,      /* bytes of a block */
    LENGTH_AT = 56,  /* where the length stands in the last block */
    ROUNDS = 80,     /* of one block */
    WORDS_GIVEN = 16 /* of the schedule's words, straight from the block */
};

static uint32_t rotate(uint32_t x, int bits)
{
    return x << bits | x >> (32 - bits);
}

static void schedule(uint32_t w[ROUNDS], const unsigned char *block)
{
    for (int t = 0; t < WORDS_GIVEN; t++, block += 4)
        w[t] = (uint32_t)block[0] << 24 | (uint32_t)block[1] << 16 | (uint32_t)block[2] << 8 |
               block[3];
    for (int t = WORDS_GIVEN; t < ROUNDS; t++)
        w[t] = rotate(w[t - 3] ^ w[t - 8] ^ w[t - 14] ^ w[t - 16], 1);
}

/* The function and the constant of round t (RFC 3174 section 5), added up. */
static uint32_t mix(int t, uint32_t b, uint32_t c, uint32_t d)
{
    if (t < 20)
        return ((b & c) | (~b & d)) + 0x5A827999u;
    if (t < 40)
        return (b ^ c ^ d) + 0x6ED9EBA1u;
    if (t < 60)
        return ((b & c) | (b & d) | (c & d)) + 0x8F1BBCDCu;
    return (b ^ c ^ d) + 0xCA62C1D6u;
}

static void take_block(uint32_t h[5], const unsigned char *block)
{
    uint32_t w[ROUNDS];
    schedule(w, block);
    uint32_t a = h[0], b = h[1], c = h[2], d = h[3], e = h[4];
    for (int t = 0; t < ROUNDS; t++) {
        uint32_t next = rotate(a, 5) + mix(t, b, c, d) + e + w[t];
        e = d;
        d = c;
        c = rotate(b, 30);
        b = a;
        a = next;
    }
    h[0] += a;
    h[1] += b;
    h[2] += c;
    h[3] += d;
    h[4] += e;
}

void sha1_init(struct sha1 *s)
{
    *s = (struct sha1){.h = {0x67452301u, 0xEFCDAB89u, 0x98BADCFEu, 0x10325476u, 0xC3D2E1F0u}};
}

void sha1_add(struct sha1 *s, struct str bytes)
{
    while (bytes.len) {
        size_t filled = s->bytes % BLOCK, n = BLOCK - filled;
        if (n > bytes.len)
            n = bytes.len;
        memcpy(s->block + filled, bytes.p, n);
        s->bytes += n;
        bytes.p += n;
        bytes.len -= n;
        if (s->bytes % BLOCK == 0)
            take_block(s->h, s->block);
    }
}

void sha1_done(struct sha1 *s, unsigned char out[SHA1_BYTES])
{
    static const char padding[BLOCK] = {(char)0x80};
    char length[8];
    for (int i = 0; i < 8; i++)
        length[i] = (char)(s->bytes * 8 >> (56 - 8 * i) & 0xFF);
    size_t filled = s->bytes % BLOCK;
    size_t pad = (filled < LENGTH_AT ? LENGTH_AT : LENGTH_AT + BLOCK) - filled;
    sha1_add(s, (struct str){padding, pad});
    sha1_add(s, (struct str){length, sizeof length});
    for (int i = 0; i < SHA1_BYTES; i++)
        out[i] = (unsigned char)(s->h[i / 4] >> (24 - 8 * (i % 4)) & 0xFF);
}

void sha1_hex(const unsigned char digest[SHA1_BYTES], char out[SHA1_HEX + 1])
{
    static const char hex[] = "0123456789abcdef";
    for (int i = 0; i < SHA1_BYTES; i++) {
        *out++ = hex[digest[i] >> 4];
        *out++ = hex[digest[i] & 15];
    }
    *out = 0;
}
