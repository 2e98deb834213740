/* SPDX-License-Identifier: MIT */
/* A second opinion on deflate_unpack: an inflater of its own for each message, block by block. */
#ifndef TESTS_FUZZ_GATEWAY_INFLATED_H
#define TESTS_FUZZ_GATEWAY_INFLATED_H

#include <zlib.h>

#include "gateway/deflate.h"
#include "tests/fuzz/fuzz.h"

/* What one inflater makes of a message with its tail. */
struct inflated {
    size_t made;  /* bytes of output */
    bool broken;  /* no deflate */
    bool cut_off; /* it does not end with the tail's empty block, nor with a last one */
};

static inline struct inflated inflate_blocks(struct str input, size_t tail_len, unsigned char *out,
                                             size_t max)
{
    z_stream z = {.next_in = (unsigned char *)(uintptr_t)input.p,
                  .avail_in = (unsigned)input.len,
                  .next_out = out,
                  .avail_out = (unsigned)max};
    struct inflated i = {.cut_off = true};
    size_t block_at = 0; /* where its output begins */
    int status = inflateInit2(&z, -DEFLATE_BITS_MAX);
    assert(status == Z_OK);
    do {
        status = inflate(&z, Z_BLOCK);
        i.made = max - z.avail_out;
        if (status == Z_STREAM_END && z.avail_in) /* else it is as its last block was */
            i.cut_off = z.avail_in < tail_len;
        else if (status == Z_OK)
            i.cut_off = !(z.data_type & 128) || i.made > block_at;
        if (status == Z_STREAM_END || z.data_type & 128)
            block_at = i.made;
        if (status == Z_STREAM_END && z.avail_in == tail_len)
            break;
        if (status == Z_STREAM_END)
            inflateReset(&z);
    } while (status == Z_OK || (status == Z_STREAM_END && z.avail_in));
    i.broken = status != Z_OK && status != Z_STREAM_END && status != Z_BUF_ERROR;
    inflateEnd(&z);
    return i;
}

/* What packed, 00 00 FF FF behind it, inflates to in at most max bytes, is result and message. */
static inline void check_inflated(struct str packed, size_t max, enum deflate_result result,
                                  const struct buf *message)
{
    struct buf *input = NULL;
    unsigned char *out = mem_alloc(max + 1);
    buf_add_str(&input, packed);
    buf_add(&input, "\0\0\xff\xff", 4);
    struct inflated i = inflate_blocks(buf_str(input), 4, out, max + 1);
    bool wrong = i.broken || (i.cut_off && packed.len);
    /* A stream that is wrong and too big may be told as either: how far it is read before is open.
     */
    if (result == DEFLATE_OK)
        assert(!wrong && i.made <= max && str_eq(buf_str(message), fuzz_str(out, i.made)));
    else
        assert(result == DEFLATE_BROKEN ? wrong || i.made > max : i.made > max);
    assert(buf_len(message) <= max);
    free(out);
    buf_free(&input);
}

#endif
