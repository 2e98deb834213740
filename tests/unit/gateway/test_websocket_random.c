/* SPDX-License-Identifier: MIT */
/*
 * Random conversations, valid and corrupted: the transcript (websocket_listener.h) of a valid one
 * is known from its making, and that of any must not depend on how the input was cut.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "common/buf.h"
#include "common/limits.h"
#include "gateway/websocket.h"
#include "tests/unit/gateway/websocket_listener.h"

enum {
    CONVERSATIONS = 2000,
    CUTS_EACH = 4,    /* random cuts of each conversation */
    SMALL_MAX = 1000, /* message_max */
};

static uint64_t random_state;

static size_t random_below(size_t n)
{
    random_state ^= random_state << 13;
    random_state ^= random_state >> 7;
    random_state ^= random_state << 17;
    return (size_t)(random_state % n);
}

static void random_payload(struct buf **b, enum ws_opcode opcode, size_t max)
{
    static const char *const characters[] = {"a", "\xc3\xa4", "\xe2\x82\xac", "\xf0\x9f\x98\x80"};
    size_t len = random_below(8) ? random_below(max / 8 + 1) : random_below(max + 1);
    while (buf_len(*b) + 4 <= len) {
        if (opcode == WS_TEXT)
            buf_add_str(b, str_of(characters[random_below(4)]));
        else
            buf_add_char(b, (char)random_below(128));
    }
}

static void random_control(struct buf **b, struct buf **expected)
{
    enum ws_opcode opcode = random_below(2) ? WS_PING : WS_PONG;
    struct buf *payload = NULL;
    random_payload(&payload, opcode, WS_CONTROL_BYTES_MAX);
    frame_add(b, FIN | (unsigned)opcode, buf_str(payload));
    note(expected, opcode, buf_str(payload));
    buf_free(&payload);
}

/* A message in one to four fragments, control frames between. */
static void random_message(struct buf **b, struct buf **expected)
{
    enum ws_opcode opcode = random_below(3) ? WS_TEXT : WS_BINARY;
    struct buf *payload = NULL;
    random_payload(&payload, opcode, SMALL_MAX);
    struct str all = buf_str(payload), rest = all;
    unsigned first = opcode;
    for (size_t fragments = random_below(4); fragments > 0; fragments--) {
        size_t n = random_below(rest.len + 1);
        frame_add(b, first, (struct str){rest.p, n});
        rest = (struct str){rest.p + n, rest.len - n};
        first = WS_CONTINUATION;
        while (random_below(3) == 0)
            random_control(b, expected);
    }
    frame_add(b, FIN | first, rest);
    note(expected, opcode, all);
    buf_free(&payload);
}

/* Flips a bit, leaves bytes out or doubles some: anything may come of it. */
static void corrupt(struct buf *b)
{
    size_t at = random_below(b->len);
    char *p = b->bytes + b->off + at;
    if (random_below(2)) {
        *p = (char)((unsigned char)*p ^ 1U << random_below(8));
        return;
    }
    size_t n = random_below(b->len - at) / 2;
    if (random_below(2)) {
        memmove(p, p + n, b->len - at - n);
        b->len -= n;
    } else {
        memmove(p + n, p, b->len - at - n);
    }
}

static struct buf *hear_cut(struct str input)
{
    struct listener l = {.message_max = SMALL_MAX};
    size_t piece_max = 1 + random_below(random_below(2) ? 12 : 600);
    while (input.len) {
        size_t n = 1 + random_below(piece_max);
        n = n < input.len ? n : input.len;
        listen_piece(&l, input.p, n);
        input = (struct str){input.p + n, input.len - n};
    }
    return listen_end(&l);
}

static void test_random(void **state)
{
    (void)state;
    unsigned failures = 0;
    for (unsigned seed = 1; seed <= CONVERSATIONS; seed++) {
        random_state = seed * 0x9e3779b97f4a7c15U;
        struct buf *b = NULL, *expected = NULL;
        for (size_t messages = 1 + random_below(8); messages > 0; messages--)
            random_message(&b, &expected);
        bool valid = seed % 2;
        if (!valid)
            corrupt(b);
        struct buf *whole = hear_whole(buf_str(b), SMALL_MAX);
        if (valid)
            assert_transcript(whole, buf_str(expected));
        failures += memmem(buf_str(whole).p, buf_len(whole), "fail:", 5) != NULL;
        for (unsigned i = 0; i < CUTS_EACH; i++) {
            struct buf *cut = hear_cut(buf_str(b));
            assert_transcript(cut, buf_str(whole));
            buf_free(&cut);
        }
        buf_free(&whole);
        buf_free(&expected);
        buf_free(&b);
    }
    assert_in_range(failures, CONVERSATIONS / 8, CONVERSATIONS / 2); /* corruption corrupts */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_random),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
