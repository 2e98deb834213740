/* SPDX-License-Identifier: MIT */
/*
 * Sec-WebSocket-Extensions. Properties: an offer that was taken names the extension and has a
 * window that was asked for; the answer is itself an offer that is taken, with the same window; a
 * taken list is taken as well behind an offer of something else, in the same line of the header or
 * in another; a larger least window never takes more. A well-formed list stays so behind another
 * offer, and is malformed with an empty parameter behind it.
 */
#include "common/http.h"
#include "gateway/deflate.h"
#include "gateway/websocket.h"
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

static bool well_formed(const char *before, struct str offers, const char *behind)
{
    struct buf *all = NULL;
    buf_add_str(&all, str_of(before));
    buf_add_str(&all, offers);
    buf_add_str(&all, str_of(behind));
    const struct http_header lines[] = {{STR("Connection"), STR("Upgrade")},
                                        {STR("Sec-WebSocket-Key"), STR("dGhlIHNhbXBsZSBub25jZQ==")},
                                        {STR("Sec-WebSocket-Extensions"), str_trim(buf_str(all))}};
    struct http_request req = {.nheaders = 3};
    memcpy(req.headers, lines, sizeof lines);
    bool good = !ws_handshake_fault(&req);
    buf_free(&all);
    return good;
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
    assert(well_formed("x-other; a=\"b\";c ,", offers, "") == well_formed("", offers, ""));
    assert(!well_formed("", offers, ";"));
    buf_free(&longer);
    free(copy);
    return 0;
}
