/* SPDX-License-Identifier: MIT */
/*
 * Sec-WebSocket-Extensions. Properties: an offer that was taken names the extension and has a
 * window that was asked for; the answer is itself an offer that is taken, with the same window; a
 * taken list is taken as well behind an offer of something else, in the same line of the header or
 * in another; a larger least window never takes more.
 */
/*
 * Sec-WebSocket-Extensions. Properties: an offer that was taken names the extension and has a
 * window that was asked for; the answer is itself an offer that is taken, with the same window; a
 * taken list is taken as well behind an offer of something else; a larger least window never takes
 * more.
 */
#include "common/http.h"
#include "gateway/deflate.h"
#include "tests/fuzz/fuzz.h"

static bool accept(struct str offers, unsigned least, unsigned *bits)
{
    struct buf *answer = NULL;
    static const struct str start = {"permessage-deflate; ", 20};
    bool taken = deflate_accept(offers, least, bits, &answer);
    struct str words = buf_str(answer);
    assert(taken == (answer != NULL));
    if (taken) {
        unsigned again = 0;
        struct buf *unused = NULL;
        assert(*bits >= DEFLATE_BITS_MIN && *bits <= DEFLATE_BITS_MAX && *bits >= least);
        assert(words.len > start.len && memcmp(words.p, start.p, start.len) == 0);
        assert(!memchr(words.p, '\r', words.len) && !memchr(words.p, ',', words.len));
        bool taken_again = deflate_accept(words, least, &again, &unused);
        assert(taken_again && again == *bits && fuzz_same(answer, unused));
        buf_free(&unused);
    }
    buf_free(&answer);
    return taken;
}

/* Behind a line of the header with another offer. */
static bool negotiate(struct str offers, unsigned *bits)
{
    struct buf *answer = NULL;
    const struct http_header lines[] = {{STR("sec-websocket-extensions"), STR("x-other; a=1")},
                                        {STR("Host"), STR("permessage-deflate")},
                                        {STR("Sec-WebSocket-Extensions"), offers}};
    struct http_request req = {.nheaders = 3};
    memcpy(req.headers, lines, sizeof lines);
    bool taken = deflate_negotiate(&req, DEFLATE_BITS_MIN, bits, &answer);
    buf_free(&answer);
    return taken;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char *copy = fuzz_copy(fuzz_str(data, size));
    struct str offers = {copy, size};
    struct buf *longer = NULL;
    unsigned bits = 0, strict_bits = 0;
    bool taken = accept(offers, DEFLATE_BITS_MIN, &bits);
    bool strict = accept(offers, DEFLATE_BITS_MAX, &strict_bits);
    assert(taken || !strict);
    buf_add_str(&longer, STR("x-other; a=\"permessage-deflate, b\", "));
    buf_add_str(&longer, offers);
    assert(accept(buf_str(longer), DEFLATE_BITS_MIN, &strict_bits) == taken);
    assert(!taken || strict_bits == bits);
    assert(negotiate(offers, &strict_bits) == taken && (!taken || strict_bits == bits));
    buf_free(&longer);
    free(copy);
    return 0;
}
