/* SPDX-License-Identifier: MIT */
/* A second opinion on deflate_unpack: an inflater of its own for each message, all in one go. */
#ifndef TESTS_FUZZ_GATEWAY_INFLATED_H
#define TESTS_FUZZ_GATEWAY_INFLATED_H

#include <zlib.h>

#include "gateway/deflate.h"
#include "tests/fuzz/fuzz.h"

/* What packed, 00 00 FF FF behind it, inflates to in at most max bytes, is result and message. */
static inline void check_inflated(struct str packed, size_t max, enum deflate_result result,
                                  const struct buf *message)
{
    struct buf *input = NULL;
    unsigned char *out = mem_alloc(max + 1);
    z_stream z = {0};
    buf_add_str(&input, packed);
    buf_add(&input, "\0\0\xff\xff", 4);
    z.next_in = (unsigned char *)(uintptr_t)buf_str(input).p;
    z.avail_in = (unsigned)buf_len(input);
    z.next_out = out;
    z.avail_out = (unsigned)max + 1;
    int status = inflateInit2(&z, -DEFLATE_BITS_MAX);
    assert(status == Z_OK);
    while ((status = inflate(&z, Z_SYNC_FLUSH)) == Z_STREAM_END && z.avail_in)
        inflateReset(&z);
    size_t made = (size_t)max + 1 - z.avail_out;
    bool broken = status != Z_OK && status != Z_STREAM_END && status != Z_BUF_ERROR;
    /* A stream that is both may be told as either: how far it is read before is open. */
    if (result == DEFLATE_OK)
        assert(!broken && made <= max && str_eq(buf_str(message), fuzz_str(out, made)));
    else
        assert(result == DEFLATE_BROKEN ? broken || made > max : made > max);
    assert(buf_len(message) <= max);
    inflateEnd(&z);
    free(out);
    buf_free(&input);
}

#endif
