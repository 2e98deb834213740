/* SPDX-License-Identifier: MIT */
/* Drafts and their errors as pydantic would write them; final messages there and back. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "common/limits.h"
#include "common/message.h"
#include "common/utf8.h"

/* ---- drafts ---- */

static void assert_refused(struct str body, bool with_nonce, enum draft_result result,
                           const char *expected)
{
    struct draft d;
    struct buf *detail = NULL;
    assert_int_equal(draft_parse(&d, body, CONTENT_CHARS_MAX, with_nonce, &detail), result);
    draft_done(&d);
    buf_add_char(&detail, 0);
    assert_string_equal(buf_str(detail).p, expected);
    buf_free(&detail);
}

static void invalid(const char *body, const char *expected)
{
    assert_refused(str_of(body), true, DRAFT_INVALID, expected);
}

static void accepted(const char *body, bool with_nonce, struct draft *d)
{
    struct buf *detail = NULL;
    enum draft_result r = draft_parse(d, str_of(body), CONTENT_CHARS_MAX, with_nonce, &detail);
    if (r != DRAFT_OK)
        fail_msg("%s: %d", body, (int)r);
    assert_null(detail);
}

static void good_drafts(void **state)
{
    (void)state;
    struct draft d;
    accepted(" {\"content\":\"Hola\\n\\ud83d\\ude00/\",\"x\":[{}],\"username\":\"Jos\xC3\xA9\"} ",
             false, &d);
    assert_true(str_eq(d.username, STR("Jos\xC3\xA9")));
    assert_true(str_eq(d.content, STR("Hola\n\xF0\x9F\x98\x80/")));
    assert_false(d.has_nonce);
    assert_int_equal(d.nonce.len, 0);
    draft_done(&d);
    assert_null(d.parsed);
    draft_done(&d);

    accepted("{\"username\":\"a\",\"content\":\"b\",\"nonce\":\"n1\"}", true, &d);
    assert_true(d.has_nonce && str_eq(d.nonce, STR("n1")));
    draft_done(&d);

    accepted("{\"username\":\"a\",\"content\":\"b\",\"nonce\":5}", false, &d);
    assert_false(d.has_nonce);
    draft_done(&d);
}

static void pings(void **state)
{
    (void)state;
    struct draft d;
    struct buf *detail = NULL;
    const struct str ping = STR("{\"type\":\"ping\",\"nonce\":\"n1\",\"x\":1}");
    assert_int_equal(draft_parse(&d, ping, CONTENT_CHARS_MAX, true, &detail), DRAFT_PING);
    assert_true(d.has_nonce && str_eq(d.nonce, STR("n1")));
    draft_done(&d);
    assert_int_equal(draft_parse(&d, STR("{\"type\":\"ping\"}"), 1, true, &detail), DRAFT_PING);
    assert_false(d.has_nonce);
    draft_done(&d);
    assert_null(detail);
    invalid("{\"type\":\"ping\",\"nonce\":5}",
            "[{\"type\":\"string_type\",\"loc\":[\"body\",\"nonce\"],"
            "\"msg\":\"Input should be a valid string\",\"input\":5}]");

    /* A message is a message, whatever else is in it; and a body is never a ping. */
    accepted("{\"type\":\"ping\",\"username\":\"a\",\"content\":\"b\"}", true, &d);
    draft_done(&d);
    assert_int_equal(draft_parse(&d, ping, CONTENT_CHARS_MAX, false, &detail), DRAFT_INVALID);
    assert_false(d.has_nonce);
    draft_done(&d);
    buf_free(&detail);
    const char *none[] = {"{\"type\":\"pong\"}", "{\"type\":5}",
                          "{\"type\":\"ping\",\"content\":\"b\"}"};
    for (size_t i = 0; i < sizeof none / sizeof *none; i++) {
        assert_int_equal(draft_parse(&d, str_of(none[i]), 9, true, &detail), DRAFT_INVALID);
        draft_done(&d);
        buf_free(&detail);
    }
}

static void refused_nonces(void **state)
{
    (void)state;
    static const struct {
        const char *frame, *nonce;
    } cases[] = {
        {"{\"nonce\":\"n1\"}", "n1"},
        {"{\"username\":5,\"content\":\"b\",\"nonce\":\"\\u00e9\"}", "\xC3\xA9"},
        {"{\"type\":\"ping\",\"wait\":5,\"nonce\":\"p\"}", "p"},
        {"{\"username\":\"a\",\"content\":\"\"}", NULL},
        {"{\"username\":\"a\",\"content\":\"b\",\"nonce\":\"\"}", NULL},
        {"{\"username\":\"a\",\"content\":\"b\",\"nonce\":\"a\\u0000\"}", NULL},
        {"{\"content\":\"b\",\"nonce\":5}", NULL},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct draft d;
        struct buf *detail = NULL;
        assert_int_equal(draft_parse(&d, str_of(cases[i].frame), 9, true, &detail), DRAFT_INVALID);
        assert_int_equal(d.has_nonce, cases[i].nonce != NULL);
        assert_true(str_eq(d.nonce, str_of(cases[i].nonce)));
        draft_done(&d);
        buf_free(&detail);
    }
}

static void no_object(void **state)
{
    (void)state;
    const char *none = "[{\"type\":\"missing\",\"loc\":[\"body\"],\"msg\":\"Field required\","
                       "\"input\":null}]";
    assert_refused(STR(""), false, DRAFT_EMPTY, none);
    assert_refused((struct str){NULL, 0}, false, DRAFT_EMPTY, none);
    assert_refused(STR("null"), false, DRAFT_NOT_OBJECT, none);
#define NOT_OBJECT(input)                                                                          \
    "[{\"type\":\"model_attributes_type\",\"loc\":[\"body\"],\"msg\":\"Input should be a valid "   \
    "dictionary or object to extract fields from\",\"input\":" input "}]"
    assert_refused(STR(" [ 1 ] "), false, DRAFT_NOT_OBJECT, NOT_OBJECT("[1]"));
    assert_refused(STR("5"), false, DRAFT_NOT_OBJECT, NOT_OBJECT("5"));
    assert_refused(STR("1.50"), false, DRAFT_NOT_OBJECT, NOT_OBJECT("1.50"));
    assert_refused(STR("true"), false, DRAFT_NOT_OBJECT, NOT_OBJECT("true"));
    assert_refused(STR("\"\\u00e9/\""), false, DRAFT_NOT_OBJECT, NOT_OBJECT("\"\xC3\xA9/\""));
    assert_refused(STR("[[[[[[[[5]]]]]]]]"), false, DRAFT_NOT_OBJECT,
                   NOT_OBJECT("[[[[[[[[5]]]]]]]]"));
}

static void no_json(void **state)
{
    (void)state;
#define NOT_JSON(at, words)                                                                        \
    "[{\"type\":\"json_invalid\",\"loc\":[\"body\"," at "],\"msg\":\"JSON decode error\","         \
    "\"input\":{},\"ctx\":{\"error\":\"" words "\"}}]"
    assert_refused(STR("{"), false, DRAFT_NOT_JSON,
                   NOT_JSON("1", "Expecting property name enclosed in double quotes"));
    assert_refused(STR("hello"), false, DRAFT_NOT_JSON, NOT_JSON("0", "Expecting value"));
    assert_refused(STR("\"\xC3\xA9\\x\""), false, DRAFT_NOT_JSON,
                   NOT_JSON("2", "Invalid \\\\escape"));
    assert_refused(STR("{\"username\":\"a\",\"content\":\"\\ud800\"}"), false, DRAFT_NOT_JSON,
                   NOT_JSON("27", "Unpaired surrogate in \\\\u escape"));
    assert_refused(STR("{\"username\":\"a\",\"username\":\"b\",\"content\":\"c\"}"), false,
                   DRAFT_NOT_JSON, NOT_JSON("16", "Duplicate key"));
    assert_refused(STR("{\"username\\u0000\":\"a\",\"content\":\"c\"}"), false, DRAFT_NOT_JSON,
                   NOT_JSON("1", "NUL character in a key"));
    assert_refused(STR("{'username':'a','content':'c'}"), false, DRAFT_NOT_JSON,
                   NOT_JSON("1", "Expecting property name enclosed in double quotes"));
}

static void missing_and_mistyped(void **state)
{
    (void)state;
    invalid("{\"username\": \"a\"}",
            "[{\"type\":\"missing\",\"loc\":[\"body\",\"content\"],\"msg\":\"Field required\","
            "\"input\":{\"username\":\"a\"}}]");
    invalid("{ \"nonce\" : null, \"x\\u00e9\" : [ 1.0 , \"/\\u0001\\n\" ] , \"content\" : 5 }",
            "[{\"type\":\"missing\",\"loc\":[\"body\",\"username\"],\"msg\":\"Field required\","
            "\"input\":{\"nonce\":null,\"x\xC3\xA9\":[1.0,\"/\\u0001\\n\"],\"content\":5}},"
            "{\"type\":\"string_type\",\"loc\":[\"body\",\"content\"],"
            "\"msg\":\"Input should be a valid string\",\"input\":5},"
            "{\"type\":\"string_type\",\"loc\":[\"body\",\"nonce\"],"
            "\"msg\":\"Input should be a valid string\",\"input\":null}]");
    invalid("{\"username\":{\"a\":[]},\"content\":false}",
            "[{\"type\":\"string_type\",\"loc\":[\"body\",\"username\"],"
            "\"msg\":\"Input should be a valid string\",\"input\":{\"a\":[]}},"
            "{\"type\":\"string_type\",\"loc\":[\"body\",\"content\"],"
            "\"msg\":\"Input should be a valid string\",\"input\":false}]");
}

static void nul_in_a_text(void **state)
{
    (void)state;
    invalid("{\"username\":\"a\\u0000\",\"content\":\"c\"}",
            "[{\"type\":\"string_pattern_mismatch\",\"loc\":[\"body\",\"username\"],"
            "\"msg\":\"String should match pattern '^[^\\\\x00]*$'\",\"input\":\"a\\u0000\","
            "\"ctx\":{\"pattern\":\"^[^\\\\x00]*$\"}}]");
}

/* A body whose username is n times the character. */
static struct buf *body_with(const char *character, size_t n, const char *content)
{
    struct buf *body = NULL;
    buf_add_str(&body, STR("{\"username\":\""));
    for (size_t i = 0; i < n; i++)
        buf_add_str(&body, str_of(character));
    buf_printf(&body, "\",\"content\":\"%s\"}", content);
    return body;
}

static enum draft_result parse_body(struct buf *body, struct buf **detail)
{
    struct draft d;
    enum draft_result r = draft_parse(&d, buf_str(body), 3, false, detail);
    draft_done(&d);
    buf_free(&body);
    return r;
}

static void lengths(void **state)
{
    (void)state;
    struct buf *detail = NULL;
    assert_int_equal(parse_body(body_with("\xC3\xA9", USERNAME_CHARS_MAX, "abc"), &detail),
                     DRAFT_OK);
    assert_null(detail);
    assert_int_equal(parse_body(body_with("x", 0, "abcd"), &detail), DRAFT_INVALID);
    buf_add_char(&detail, 0);
    assert_string_equal(
        buf_str(detail).p,
        "[{\"type\":\"string_too_short\",\"loc\":[\"body\",\"username\"],\"msg\":\"String should "
        "have at least 1 character\",\"input\":\"\",\"ctx\":{\"min_length\":1}},"
        "{\"type\":\"string_too_long\",\"loc\":[\"body\",\"content\"],\"msg\":\"String should "
        "have at most 3 characters\",\"input\":\"abcd\",\"ctx\":{\"max_length\":3}}]");
    buf_free(&detail);
    assert_int_equal(parse_body(body_with("\xC3\xA9", USERNAME_CHARS_MAX + 1, "a"), &detail),
                     DRAFT_INVALID);
    buf_free(&detail);
}

/* An input that is too long is cut between two characters, and other values give way. */
static void long_inputs(void **state)
{
    (void)state;
    struct buf *detail = NULL;
    assert_int_equal(parse_body(body_with("\xE2\x82\xAC", 1000, "a"), &detail), DRAFT_INVALID);
    const struct str before = STR("\"input\":\"");
    const char *input = memmem(buf_str(detail).p, buf_len(detail), before.p, before.len);
    assert_non_null(input);
    struct str echoed = {input + before.len, ERROR_INPUT_BYTES_MAX - 1}; /* 85 times 3 bytes */
    assert_true(utf8_valid(echoed));
    assert_int_equal(echoed.p[echoed.len], '"');
    buf_free(&detail);

    struct buf *body = NULL;
    buf_add_str(&body, STR("{\"username\":["));
    for (int i = 0; i < ERROR_INPUT_BYTES_MAX; i++)
        buf_add_str(&body, STR("1,"));
    buf_add_str(&body, STR("1]}"));
    assert_refused(buf_str(body), false, DRAFT_INVALID,
                   "[{\"type\":\"string_type\",\"loc\":[\"body\",\"username\"],"
                   "\"msg\":\"Input should be a valid string\",\"input\":[]},"
                   "{\"type\":\"missing\",\"loc\":[\"body\",\"content\"],"
                   "\"msg\":\"Field required\",\"input\":{}}]");
    buf_free(&body);
}

static void entries(void **state)
{
    (void)state;
    struct buf *detail = NULL;
    buf_add_char(&detail, '[');
    detail_add(&detail, "int_parsing", "[\"query\",\"limit\"]", "Input \"x\"", "\"abc\"", NULL);
    detail_add(&detail, "greater_than_equal", "[\"query\",\"limit\"]", "m", "\"0\"", "{\"ge\":1}");
    buf_add(&detail, "]", 2);
    assert_string_equal(buf_str(detail).p,
                        "[{\"type\":\"int_parsing\",\"loc\":[\"query\",\"limit\"],"
                        "\"msg\":\"Input \\\"x\\\"\",\"input\":\"abc\"},"
                        "{\"type\":\"greater_than_equal\",\"loc\":[\"query\",\"limit\"],"
                        "\"msg\":\"m\",\"input\":\"0\",\"ctx\":{\"ge\":1}}]");
    buf_free(&detail);
}

/* ---- messages ---- */

static void room_names(void **state)
{
    (void)state;
    char name[ROOM_BYTES_MAX + 1];
    memset(name, 'r', sizeof name);
    assert_true(room_name_valid((struct str){name, ROOM_BYTES_MAX}));
    assert_false(room_name_valid((struct str){name, ROOM_BYTES_MAX + 1}));
    assert_true(room_name_valid(STR("aZ09_.-")));
    assert_false(room_name_valid(STR("")));
    assert_false(room_name_valid(STR("a b")));
    assert_false(room_name_valid(STR("a/b")));
    assert_false(room_name_valid(STR("caf\xC3\xA9")));
    assert_false(room_name_valid(STR("a\0")));
}

#define TIME "2025-06-14T22:15:03.123Z"
#define TIME_MS 1749939303123u
#define DIEGO                                                                                      \
    "{\"id\":42,\"username\":\"Diego\",\"content\":\"Hola\",\"created_at\":\"" TIME                \
    "\",\"room\":\"lobby\"}"

static void writing(void **state)
{
    (void)state;
    struct buf *out = NULL;
    message_add(&out, 42, STR("Diego"), STR("Hola"), STR(TIME), STR("lobby"));
    assert_true(str_eq(buf_str(out), STR(DIEGO)));
    buf_free(&out);
    buf_add_str(&out, STR("{\"id\":42"));
    message_add_head(&out, STR("Diego"), STR("Hola"));
    buf_add_str(&out, STR("\"created_at\":\"" TIME "\""));
    message_add_tail(&out, STR("lobby"));
    assert_true(str_eq(buf_str(out), STR(DIEGO)));
    buf_free(&out);
}

static void peeking(void **state)
{
    (void)state;
    uint64_t id = 0;
    struct str room = {0};
    assert_true(message_peek(STR(DIEGO), &id, &room));
    assert_int_equal(id, 42);
    assert_true(str_eq(room, STR("lobby")));
    assert_true(message_peek(STR("{\"id\":9223372036854775807,,\"room\":\"r\"}"), &id, &room));
    assert_int_equal(id, INT64_MAX);

    static const char *const wrong[] = {
        "",
        "{}",
        "{\"id\":42,",
        ",\"room\":\"lobby\"}",
        (" " DIEGO),
        (DIEGO " "),
        "{\"id\":,,\"room\":\"r\"}",
        "{\"id\":0,,\"room\":\"r\"}",
        "{\"id\":042,,\"room\":\"r\"}",
        "{\"id\":-1,,\"room\":\"r\"}",
        "{\"id\":1.0,,\"room\":\"r\"}",
        "{\"id\":9223372036854775808,,\"room\":\"r\"}",
        "{\"id\":18446744073709551617,,\"room\":\"r\"}",
        "{\"id\":42,,\"room\":\"\"}",
        "{\"id\":42,,\"room\":\"a b\"}",
        "{\"id\":42,,\"rOom\":\"r\"}",
        "{\"id\":42,\"room\":\"r\"}", /* the comma belongs to one of them only */
        "{\"id\":42,\"content\":\"x,\\\"room\\\":\\\"fake\"}",
    };
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++)
        if (message_peek(str_of(wrong[i]), &id, &room))
            fail_msg("%s", wrong[i]);
}

static void peeking_at_long_rooms(void **state)
{
    (void)state;
    char name[ROOM_BYTES_MAX + 1];
    memset(name, 'r', sizeof name);
    for (size_t len = ROOM_BYTES_MAX; len <= sizeof name; len++) {
        struct buf *out = NULL;
        uint64_t id;
        struct str room;
        message_add(&out, 1, STR("a"), STR("b"), STR(TIME), (struct str){name, len});
        assert_int_equal(message_peek(buf_str(out), &id, &room), len == ROOM_BYTES_MAX);
        buf_free(&out);
    }
}

/* A content that imitates a room changes nothing; any text comes back as it was. */
static void there_and_back(void **state)
{
    (void)state;
    const struct str texts[] = {
        STR(",\"room\":\"fake\"}"), STR("\\"),          STR("\",\"room\":\"fake"),
        STR("/\x7F\x1F\n\t"),       STR("caf\xC3\xA9"), STR("\"id\":1,"),
        STR("\xF0\x9F\x98\x80"),    STR("{}"),
    };
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        struct buf *out = NULL;
        uint64_t id = 0;
        struct str room = {0};
        struct message m;
        message_add(&out, 7 + i, texts[i], texts[i], STR(TIME), STR("real"));
        assert_true(message_peek(buf_str(out), &id, &room));
        assert_true(id == 7 + i && str_eq(room, STR("real")));
        assert_true(message_parse(&m, buf_str(out)));
        assert_true(m.id == 7 + i && str_eq(m.room, STR("real")));
        assert_true(str_eq(m.username, texts[i]) && str_eq(m.content, texts[i]));
        assert_true(str_eq(m.created_at, STR(TIME)) && m.created_ms == TIME_MS);
        message_done(&m);
        assert_null(m.unescaped);
        buf_free(&out);
    }
}

#define MESSAGE(id, username, time, room)                                                          \
    "{\"id\":" id ",\"username\":" username ",\"content\":\"c\",\"created_at\":\"" time            \
    "\",\"room\":\"" room "\"}"

static void no_messages(void **state)
{
    (void)state;
    struct message m;
    assert_true(message_parse(&m, STR(MESSAGE("1", "\"a\"", TIME, "r"))));
    message_done(&m);
    static const char *const wrong[] = {
        "",
        "[]",
        "5",
        "null",
        "{}",
        (DIEGO " "),
        MESSAGE("0", "\"a\"", TIME, "r"),
        MESSAGE("-1", "\"a\"", TIME, "r"),
        MESSAGE("1.0", "\"a\"", TIME, "r"),
        MESSAGE("01", "\"a\"", TIME, "r"),
        MESSAGE("\"1\"", "\"a\"", TIME, "r"),
        MESSAGE("1e1", "\"a\"", TIME, "r"),
        MESSAGE("9223372036854775808", "\"a\"", TIME, "r"),
        MESSAGE("99999999999999999999", "\"a\"", TIME, "r"),
        MESSAGE("1", "\"\"", TIME, "r"),
        MESSAGE("1", "5", TIME, "r"),
        MESSAGE("1", " \"a\"", TIME, "r"),
        MESSAGE("1", "'a'", TIME, "r"),
        MESSAGE("1", "\"\\u0041\"", TIME, "r"),
        MESSAGE("1", "\"\\/\"", TIME, "r"),
        MESSAGE("1", "\"\\u000a\"", TIME, "r"),
        MESSAGE("1", "\"\\u001F\"", TIME, "r"),
        MESSAGE("1", "\"\\u0020\"", TIME, "r"),
        MESSAGE("1", "\"\\u007f\"", TIME, "r"),
        MESSAGE("1", "\"\\ud83d\\ude00\"", TIME, "r"),
        MESSAGE("1", "\"\\x\"", TIME, "r"),
        MESSAGE("1", "\"a\nb\"", TIME, "r"),
        MESSAGE("1", "\"\xED\xA0\x80\"", TIME, "r"),
        "{\"id\":1,\"username\":\"a",
        "{\"id\":1,\"username\":\"a\\",
        "{\"id\":1,\"username\":\"a\\u00",
        "{\"id\":1,\"content\":\"c\",\"username\":\"a\",\"created_at\":\"" TIME
        "\",\"room\":\"r\"}",
        MESSAGE("1", "\"a\\u0000\"", TIME, "r"),
        MESSAGE("1", "\"\xC0\xAF\"", TIME, "r"),
        MESSAGE("1", "\"a\",\"username\":\"a\"", TIME, "r"),
        MESSAGE("1", "\"a\",\"more\":1", TIME, "r"),
        MESSAGE("1", "\"a\"", "2025-02-30T22:15:03.123Z", "r"),
        MESSAGE("1", "\"a\"", TIME, "r r"),
    };
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        if (message_parse(&m, str_of(wrong[i])))
            fail_msg("%s", wrong[i]);
        assert_null(m.unescaped);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(good_drafts),    cmocka_unit_test(pings),
        cmocka_unit_test(refused_nonces), cmocka_unit_test(no_object),
        cmocka_unit_test(no_json),        cmocka_unit_test(missing_and_mistyped),
        cmocka_unit_test(nul_in_a_text),  cmocka_unit_test(lengths),
        cmocka_unit_test(long_inputs),    cmocka_unit_test(entries),
        cmocka_unit_test(room_names),     cmocka_unit_test(writing),
        cmocka_unit_test(peeking),        cmocka_unit_test(peeking_at_long_rooms),
        cmocka_unit_test(there_and_back), cmocka_unit_test(no_messages),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
