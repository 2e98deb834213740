/* SPDX-License-Identifier: MIT */
/* The WebSocket handshake, writer and reader, case by case; see websocket_listener.h. */
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "common/buf.h"
#include "common/mem.h"
#include "gateway/websocket.h"
#include "tests/unit/gateway/websocket_listener.h"

enum {
    MESSAGE_MAX = 1 << 20, /* message_max where it does not matter */
};

/* --- checks --- */

/* Whole, byte by byte and, when short, cut at every place: always the expected transcript. */
static void check(struct str input, uint64_t message_max, struct str expected)
{
    struct buf *got = hear_whole(input, message_max);
    assert_transcript(got, expected);
    buf_free(&got);

    struct listener slow = {.message_max = message_max};
    for (size_t i = 0; i < input.len; i++)
        listen_piece(&slow, input.p + i, 1);
    got = listen_end(&slow);
    assert_transcript(got, expected);
    buf_free(&got);

    for (size_t cut = 0; cut <= input.len && input.len < 1000; cut++) {
        struct listener l = {.message_max = message_max};
        listen_piece(&l, input.p, cut);
        listen_piece(&l, input.p + cut, input.len - cut);
        got = listen_end(&l);
        assert_transcript(got, expected);
        buf_free(&got);
    }
}

/* Checks what was built, and frees it. */
static void check_built(struct buf **built, const char *expected)
{
    check(buf_str(*built), MESSAGE_MAX, str_of(expected));
    buf_free(built);
}

/* --- the handshake --- */

static void test_accept(void **state)
{
    (void)state;
    char accept[WS_ACCEPT_BYTES];
    ws_accept(STR("dGhlIHNhbXBsZSBub25jZQ=="), accept); /* section 1.3 */
    assert_memory_equal(accept, "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=", WS_ACCEPT_BYTES);
}

static void test_key(void **state)
{
    (void)state;
    assert_true(ws_key_valid(STR("dGhlIHNhbXBsZSBub25jZQ==")));
    assert_true(ws_key_valid(STR("+/09azAZaz09azAZaz09aw==")));
    static const char *const wrong[] = {
        "",
        "dGhlIHNhbXBsZSBub25jZQ=",
        "dGhlIHNhbXBsZSBub25jZQ===",
        "dGhlIHNhbXBsZSBub25jZQ=A",
        "dGhlIHNhbXBsZSBub25jZQA=",
        "dGhlIHNhbXBsZSBub25jZQAA",
        "dGhlIHNhbXBsZSBub25j=Q==",
        "dGhlIHNhbXBsZSBub25j Q==",
        "-_hlIHNhbXBsZSBub25jZQ==",
        " dGhlIHNhbXBsZSBub25jZQ==",
    };
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++)
        assert_false(ws_key_valid(str_of(wrong[i])));
    assert_false(ws_key_valid((struct str){"dGhlIHNhbXBsZSBub25j\0Q==", 24}));
    assert_false(ws_key_valid((struct str){NULL, 0}));
}

static void test_handshake_fault(void **state)
{
    (void)state;
#define KEY "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
#define OFFERS "Sec-WebSocket-Extensions:"
#define UPGRADE "Upgrade: websocket\r\nConnection: keep-alive, upgrade\r\n"
    static const struct {
        const char *line, *headers;
        bool fault;
    } table[] = {
        {"GET / HTTP/1.1", UPGRADE KEY, false},
        {"GET / HTTP/1.1", UPGRADE KEY "Content-Length: 0\r\n", false},
        {"GET / HTTP/1.1", "Upgrade: websocket\r\nConnection: x\r\n" KEY, true},
        {"GET / HTTP/1.1", UPGRADE, true},
        {"GET / HTTP/1.1", UPGRADE KEY KEY, true},
        {"GET / HTTP/1.1", UPGRADE "Sec-WebSocket-Key: x\r\n", true},
        {"GET / HTTP/1.1", UPGRADE KEY "Content-Length: 1\r\n", true},
        {"GET / HTTP/1.1", UPGRADE KEY "Transfer-Encoding: chunked\r\n", true},
        {"GET / HTTP/1.1", UPGRADE KEY "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Version: 8\r\n",
         true},
        {"GET / HTTP/1.1", UPGRADE KEY "Sec-WebSocket-Protocol: a, v1.chat\r\n", false},
        {"GET / HTTP/1.1", UPGRADE KEY "Sec-WebSocket-Protocol: a;b\r\n", true},
        {"GET / HTTP/1.1", UPGRADE KEY "Sec-WebSocket-Protocol: a b\r\n", true},
        {"GET / HTTP/1.1", UPGRADE KEY OFFERS "\r\n", false},
        {"GET / HTTP/1.1", UPGRADE KEY OFFERS " a ; b = \"c\";d=1 ,, e\r\n", false},
        {"GET / HTTP/1.1", UPGRADE KEY OFFERS " a;\r\n", true},
        {"GET / HTTP/1.1", UPGRADE KEY OFFERS " a\r\n" OFFERS " a=b\r\n", true},
        {"GET / HTTP/1.1", UPGRADE KEY OFFERS " a; b=\"c\r\n", true},
        {"GET / HTTP/1.1", UPGRADE KEY OFFERS " a; b=\"c \"\r\n", true},
        {"GET / HTTP/1.1", UPGRADE KEY OFFERS " a; b=\r\n", true},
        {"GET / HTTP/1.0", UPGRADE KEY, true},
        {"POST / HTTP/1.1", UPGRADE KEY, true},
    };
    for (size_t i = 0; i < sizeof table / sizeof table[0]; i++) {
        struct http_request req;
        struct http_refusal refusal;
        char head[512];
        int n =
            snprintf(head, sizeof head, "%s\r\nHost: a\r\n%s\r\n", table[i].line, table[i].headers);
        assert_true(http_parse_head(&req, head, (size_t)n, &refusal));
        assert_int_equal(ws_handshake_fault(&req) != NULL, table[i].fault);
    }
}

/* --- writing --- */

static void test_header_write(void **state)
{
    (void)state;
    static const struct {
        enum ws_opcode opcode;
        uint64_t len;
        struct str header;
    } cases[] = {
        {WS_TEXT, 5, {"\x81\x05", 2}}, /* these and the next three: section 5.7 */
        {WS_PONG, 5, {"\x8a\x05", 2}},
        {WS_BINARY, 256, {"\x82\x7e\x01\x00", 4}},
        {WS_BINARY, 65536, {"\x82\x7f\0\0\0\0\0\x01\0\0", 10}},
        {WS_TEXT, 0, {"\x81\x00", 2}},
        {WS_CLOSE, 125, {"\x88\x7d", 2}},
        {WS_TEXT, 126, {"\x81\x7e\x00\x7e", 4}},
        {WS_TEXT, 65535, {"\x81\x7e\xff\xff", 4}},
        {WS_TEXT, INT64_MAX, {"\x81\x7f\x7f\xff\xff\xff\xff\xff\xff\xff", 10}},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        char header[WS_HEADER_MAX];
        size_t len = ws_header_write(header, cases[i].opcode, cases[i].len);
        assert_int_equal(len, cases[i].header.len);
        assert_memory_equal(header, cases[i].header.p, len);
        assert_int_equal(ws_header_len(header), len);
    }
}

/* --- the reader: what is right --- */

static void test_rfc_examples(void **state)
{
    (void)state;
    check(STR("\x81\x85\x37\xfa\x21\x3d\x7f\x9f\x4d\x51\x58"), MESSAGE_MAX, STR("text:5:Hello\n"));
    check(STR("\x8a\x85\x37\xfa\x21\x3d\x7f\x9f\x4d\x51\x58"), MESSAGE_MAX, STR("pong:5:Hello\n"));
    struct buf *b = NULL;
    frame_add(&b, WS_TEXT, STR("Hel"));
    frame_add(&b, FIN | WS_CONTINUATION, STR("lo"));
    frame_add(&b, FIN | WS_PING, STR("Hello"));
    check_built(&b, "text:5:Hello\nping:5:Hello\n");
}

static void test_lengths(void **state)
{
    (void)state;
    static const size_t lengths[] = {0,   1,   7,   8,   9,    124,   125,   126,
                                     127, 128, 256, 999, 4096, 65535, 65536, 65537};
    for (size_t i = 0; i < sizeof lengths / sizeof lengths[0]; i++) {
        size_t len = lengths[i];
        char *payload = mem_alloc(len + 1);
        for (size_t k = 0; k < len; k++)
            payload[k] = (char)(k * 7 + len);
        struct buf *b = NULL, *expected = NULL;
        frame_add(&b, FIN | WS_BINARY, (struct str){payload, len});
        note(&expected, WS_BINARY, (struct str){payload, len});
        check(buf_str(b), len, buf_str(expected));
        buf_free(&b);
        buf_free(&expected);
        free(payload);
    }
}

static void test_fragments(void **state)
{
    (void)state;
    struct buf *b = NULL;
    frame_add(&b, WS_TEXT, STR("\xe2")); /* a euro sign over three frames, pings in between */
    frame_add(&b, FIN | WS_PING, STR("one"));
    frame_add(&b, WS_CONTINUATION, STR("\x82"));
    frame_add(&b, WS_CONTINUATION, STR(""));
    frame_add(&b, FIN | WS_PONG, STR(""));
    frame_add(&b, FIN | WS_PING, STR("\xff"));
    frame_add(&b, FIN | WS_CONTINUATION, STR("\xac!"));
    frame_add(&b, WS_BINARY, STR(""));
    frame_add(&b, FIN | WS_CONTINUATION, STR(""));
    frame_add(&b, FIN | WS_TEXT, STR(""));
    frame_add(&b, WS_BINARY, STR("\xff\xfe"));
    frame_add(&b, FIN | WS_CLOSE, STR("\x03\xe8g\xc3\xb6"));
    check_built(&b, "ping:3:one\npong:0:\nping:1:\xff\ntext:4:\xe2\x82\xac!\nbinary:0:\ntext:0:\n"
                    "close:1000:3:g\xc3\xb6\n");
}

/* The pieces come at once, not when the message is whole. */
static void test_pieces_come_early(void **state)
{
    (void)state;
    char bytes[] = "\x81\x85\x37\xfa\x21\x3d\x7f\x9f\x4d";
    struct ws_reader reader = {0};
    struct ws_result result;
    ws_read(&reader, bytes, 6, MESSAGE_MAX, &result);
    assert_int_equal(result.event, WS_NEED_MORE);
    assert_int_equal(result.used, 6);
    ws_read(&reader, bytes + 6, 3, MESSAGE_MAX, &result);
    assert_int_equal(result.event, WS_DATA);
    assert_int_equal(result.opcode, WS_TEXT);
    assert_true(str_eq(result.piece, STR("Hel")));
    ws_read(&reader, NULL, 0, MESSAGE_MAX, &result);
    assert_int_equal(result.event, WS_NEED_MORE);
    assert_int_equal(result.used, 0);
}

/* --- the reader: what is wrong --- */

static void test_wrong_frames(void **state)
{
    (void)state;
    static const struct {
        struct str input;
        const char *expected;
    } cases[] = {
        {{"\xc1\x80", 2}, "fail:1002:reserved bits are set\n"},
        {{"\xa1\x80", 2}, "fail:1002:reserved bits are set\n"},
        {{"\x91\x80", 2}, "fail:1002:reserved bits are set\n"},
        {{"\x09\x80", 2}, "fail:1002:fragmented control frame\n"},
        {{"\x08\x80", 2}, "fail:1002:fragmented control frame\n"},
        {{"\x80\x80", 2}, "fail:1002:continuation of nothing\n"},
        {{"\x00\x80", 2}, "fail:1002:continuation of nothing\n"},
        {{"\x01\x80\0\0\0\0\x81\x80", 8}, "fail:1002:new message inside another\n"},
        {{"\x02\x80\0\0\0\0\x01\x80", 8}, "fail:1002:new message inside another\n"},
        {{"\x01\x80\0\0\0\0\x82\x80", 8}, "fail:1002:new message inside another\n"},
        {{"\x81\x80\0\0\0\0\x80\x80", 8}, "text:0:\nfail:1002:continuation of nothing\n"},
        {{"\x81\x05Hello", 7}, "fail:1002:frame without mask\n"},
        {{"\x89\x00", 2}, "fail:1002:frame without mask\n"},
        {{"\x89\xfe", 2}, "fail:1002:control frame is too long\n"},
        {{"\x88\xff", 2}, "fail:1002:control frame is too long\n"},
        {{"\x81\xfe\x00\x7d", 4}, "fail:1002:length is not in its shortest form\n"},
        {{"\x81\xfe\x00\x00", 4}, "fail:1002:length is not in its shortest form\n"},
        {{"\x82\xff\0\0\0\0\0\0\xff\xff", 10}, "fail:1002:length is not in its shortest form\n"},
        {{"\x82\xff\0\0\0\0\0\0\0\x05", 10}, "fail:1002:length is not in its shortest form\n"},
        {{"\x82\xff\x80\0\0\0\0\0\0\0", 10}, "fail:1002:length has its top bit set\n"},
        {{"\x82\xff\x7f\xff\xff\xff\xff\xff\xff\xff", 10}, "fail:1009:message is too big\n"},
        {{"\x88\x81\0\0\0\0\x03", 7}, "fail:1002:close code is cut short\n"},
        {{"\x88\x83\0\0\0\0\x03\xe8\xff", 9}, "fail:1007:close reason is not UTF-8\n"},
        {{"\x88\x84\0\0\0\0\x03\xe8\xe2\x82", 10}, "fail:1007:close reason is not UTF-8\n"},
        {{"\x88\x83\0\0\0\0\x03\xed\xff", 9}, "fail:1002:close code is not allowed\n"},
        {{"\x81\x84\0\0\0\0ab\xff", 9}, "fail:1007:text is not UTF-8\n"}, /* the 4th is to come */
        {{"\x81\x84\0\0\0\0\xed\xa0", 8}, "fail:1007:text is not UTF-8\n"},
        {{"\x81\x84\0\0\0\0\xc0", 7}, "fail:1007:text is not UTF-8\n"},
        {{"\x81\x82\0\0\0\0\xe2\x82", 8}, "fail:1007:text ends inside a character\n"},
        {{"\x01\x81\0\0\0\0\xc3\x80\x80\0\0\0\0", 13}, "fail:1007:text ends inside a character\n"},
        {{"\x01\x81\0\0\0\0\xc3\x80\x81\0\0\0\0a", 14}, "fail:1007:text is not UTF-8\n"},
        {{"\x01\x81\0\0\0\0\xc3\x89\x81\0\0\0\0\xa4\x80\x81\0\0\0\0\xa4", 21},
         "ping:1:\xa4\ntext:2:\xc3\xa4\n"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++)
        check(cases[i].input, MESSAGE_MAX, str_of(cases[i].expected));
}

static void test_opcodes(void **state)
{
    (void)state;
    for (unsigned opcode = 0; opcode < 16; opcode++) {
        char input[] = {(char)(FIN | opcode), (char)0x80, 0, 0, 0, 0};
        struct buf *got = hear_whole((struct str){input, sizeof input}, MESSAGE_MAX);
        bool unknown = (opcode > 2 && opcode < 8) || opcode > 10;
        assert_int_equal(str_eq(buf_str(got), STR("fail:1002:unknown opcode\n")), unknown);
        buf_free(&got);
    }
}

/* Every code there is, but for those above 6,000 only each 97th. */
static void test_close_codes(void **state)
{
    (void)state;
    static const uint16_t ranges[][2] = {{1000, 1003}, {1007, 1014}, {3000, 4999}};
    for (unsigned code = 0; code <= UINT16_MAX; code += code < 6000 ? 1 : 97) {
        bool allowed = false;
        for (size_t i = 0; i < sizeof ranges / sizeof ranges[0]; i++)
            allowed |= code >= ranges[i][0] && code <= ranges[i][1];
        char payload[] = {(char)(code >> 8 & 0xff), (char)(code & 0xff)};
        struct buf *b = NULL, *expected = NULL;
        frame_add(&b, FIN | WS_CLOSE, (struct str){payload, sizeof payload});
        if (allowed)
            note_close(&expected, code, STR(""));
        else
            buf_printf(&expected, "fail:1002:close code is not allowed\n");
        struct buf *got = hear_whole(buf_str(b), MESSAGE_MAX);
        assert_transcript(got, buf_str(expected));
        buf_free(&got);
        buf_free(&b);
        buf_free(&expected);
    }
    check(STR("\x88\x80\0\0\0\0"), MESSAGE_MAX, STR("close:1005:0:\n"));
}

static void test_too_big(void **state)
{
    (void)state;
    check(STR("\x81\x84\0\0\0\0abcd"), 4, STR("text:4:abcd\n"));
    check(STR("\x81\x85"), 4, STR("fail:1009:message is too big\n")); /* by the length alone */
    check(STR("\x81\xfe\x01\x00"), 255, STR("fail:1009:message is too big\n"));
    check(STR("\x01\x83\0\0\0\0abc\x80\x82"), 4, STR("fail:1009:message is too big\n"));
    check(STR("\x02\x82\0\0\0\0ab\0\x82\0\0\0\0cd\x80\x81"), 4,
          STR("fail:1009:message is too big\n")); /* by the third fragment */
    check(STR("\x01\x83\0\0\0\0abc\x80\x81\0\0\0\0d\x81\x84\0\0\0\0efgh"), 4,
          STR("text:4:abcd\ntext:4:efgh\n")); /* the sum starts anew */
    check(STR("\x01\x84\0\0\0\0abcd\x89\x82\0\0\0\0hi\x80\x80\0\0\0\0"), 4,
          STR("ping:2:hi\ntext:4:abcd\n")); /* a control frame does not count */
    check(STR("\x02\x81\0\0\0\0a\x80\xff\x7f\xff\xff\xff\xff\xff\xff\xff"), INT64_MAX,
          STR("fail:1009:message is too big\n"));
    check(STR("\x02\x81\0\0\0\0a\x80\xff\x7f\xff\xff\xff\xff\xff\xff\xff\0\0\0\0"), UINT64_MAX,
          STR("")); /* no bound: waits */
}

/* Runs in a child: to read on after a failure is our own mistake. */
static void read_after_failure(void)
{
    char bytes[] = "\x81\x05";
    struct ws_reader reader = {0};
    struct ws_result result;
    if (!freopen("/dev/null", "w", stderr))
        _exit(1);
    ws_read(&reader, bytes, 2, MESSAGE_MAX, &result);
    if (result.event != WS_FAIL)
        _exit(2);
    ws_read(&reader, bytes, 2, MESSAGE_MAX, &result);
    _exit(0);
}

static void test_failure_is_final(void **state)
{
    (void)state;
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0)
        read_after_failure();
    int status;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_accept),           cmocka_unit_test(test_key),
        cmocka_unit_test(test_handshake_fault),  cmocka_unit_test(test_header_write),
        cmocka_unit_test(test_rfc_examples),     cmocka_unit_test(test_lengths),
        cmocka_unit_test(test_fragments),        cmocka_unit_test(test_pieces_come_early),
        cmocka_unit_test(test_wrong_frames),     cmocka_unit_test(test_opcodes),
        cmocka_unit_test(test_close_codes),      cmocka_unit_test(test_too_big),
        cmocka_unit_test(test_failure_is_final),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
