/* SPDX-License-Identifier: MIT */
/*
 * Compressed messages. Properties: a payload inflates to what a fresh inflater of zlib makes of it,
 * never to more than was allowed, whatever stood in the one before; a message that is packed with
 * any window is unpacked to itself, and unpacking it with less room says so.
 */
#include "gateway/deflate.h"
#include "tests/fuzz/gateway/inflated.h"

enum {
    MAX = 40000, /* more than a piece of the inflater's output, twice */
};

static void check_unpack(struct str packed, size_t max)
{
    struct buf *message = NULL;
    enum deflate_result result = deflate_unpack(packed, max, &message);
    check_inflated(packed, max, result, message);
    buf_free(&message);
}

static void check_pack(struct str message, unsigned bits)
{
    struct buf *packed = NULL, *unpacked = NULL;
    deflate_pack(message, bits, &packed);
    enum deflate_result result = deflate_unpack(buf_str(packed), message.len, &unpacked);
    assert(result == DEFLATE_OK && str_eq(buf_str(unpacked), message));
    buf_free(&unpacked);
    if (message.len) {
        result = deflate_unpack(buf_str(packed), message.len - 1, &unpacked);
        assert(result == DEFLATE_TOO_BIG && buf_len(unpacked) < message.len);
    }
    buf_free(&unpacked);
    buf_free(&packed);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char *copy = fuzz_copy(fuzz_str(data, size));
    struct str bytes = {copy, size};
    struct fuzz_random random = fuzz_seed(bytes);
    check_unpack(bytes, MAX);
    check_unpack(bytes, fuzz_below(&random, 64));
    check_pack(bytes, DEFLATE_BITS_MAX - (unsigned)(size % 7));
    check_unpack(bytes, MAX);
    if (size % 64 == 0)
        deflate_done();
    free(copy);
    return 0;
}
