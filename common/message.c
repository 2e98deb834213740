/* SPDX-License-Identifier: MIT */
/*
 * Drafts in, messages out.
 *
 * Reading asks json_check first, and only what that lets through is given to json-c, which by
 * itself takes single quotes, NaN, raw control characters and overlong UTF-8 for JSON. Whatever is
 * wrong with the fields is collected, not only the first of it.
 *
 * A final message is taken apart in two ways. message_peek looks at both ends only, at a place
 * where nothing that a client wrote can stand: a quote inside a string has a backslash before it,
 * so
 * `,"room":"` with nothing but a room's characters and `"}` behind it is no part of a content.
 * message_parse believes nothing: it undoes message_add, and takes no byte that this would not
 * have written.
 */
#include "common/message.h"

#include <assert.h>
#include <json-c/json.h>
#include <limits.h>
#include <stdlib.h>

#include "common/iso_time.h"
#include "common/json.h"
#include "common/limits.h"
#include "common/mem.h"
#include "common/utf8.h"

/* json-c counts a scalar as one more level. */
enum {
    TOKENER_DEPTH = JSON_DEPTH_MAX + 1
};

_Static_assert((uint64_t)HTTP_BODY_BYTES_MAX < INT_MAX && (uint64_t)WS_MESSAGE_BYTES_MAX < INT_MAX,
               "json-c takes lengths as int");

/* NULL with the value in *value (NULL stands for null), else what json-c has against the text. */
static const char *parse(struct str text, struct json_object **value)
{
    assert(text.len < INT_MAX);
    struct json_tokener *t = json_tokener_new_ex(TOKENER_DEPTH);
    assert(t);
    json_tokener_set_flags(t, JSON_TOKENER_VALIDATE_UTF8);
    *value = json_tokener_parse_ex(t, text.p, (int)text.len);
    enum json_tokener_error error = json_tokener_get_error(t);
    if (error == json_tokener_continue) { /* a number may go on: the terminator ends it */
        *value = json_tokener_parse_ex(t, "", 1);
        error = json_tokener_get_error(t);
    }
    json_tokener_free(t);
    return error == json_tokener_success ? NULL : json_tokener_error_desc(error);
}

static struct str string_of(struct json_object *string)
{
    return (struct str){json_object_get_string(string), (size_t)json_object_get_string_len(string)};
}

static bool has_nul(struct str s)
{
    return s.len && memchr(s.p, 0, s.len);
}

/* ---- what is wrong with a draft ---- */

void detail_add(struct buf **detail, const char *type, const char *loc_json, const char *msg,
                const char *input_json, const char *ctx_json)
{
    struct str before = buf_str(*detail);
    if (before.len && before.p[before.len - 1] == '}')
        buf_add_char(detail, ',');
    buf_add_str(detail, STR("{\"type\":"));
    json_add_string(detail, str_of(type));
    buf_add_str(detail, STR(",\"loc\":"));
    buf_add_str(detail, str_of(loc_json));
    buf_add_str(detail, STR(",\"msg\":"));
    json_add_string(detail, str_of(msg));
    buf_add_str(detail, STR(",\"input\":"));
    buf_add_str(detail, str_of(input_json));
    if (ctx_json) {
        buf_add_str(detail, STR(",\"ctx\":"));
        buf_add_str(detail, str_of(ctx_json));
    }
    buf_add_char(detail, '}');
}

/* The value as it is echoed, terminated. */
static void add_input(struct buf **out, struct json_object *value)
{
    if (json_object_is_type(value, json_type_string)) {
        json_add_string(out, utf8_cut(string_of(value), ERROR_INPUT_BYTES_MAX));
    } else {
        const int flags = JSON_C_TO_STRING_PLAIN | JSON_C_TO_STRING_NOSLASHESCAPE;
        size_t len;
        const char *text = json_object_to_json_string_length(value, flags, &len);
        if (len <= ERROR_INPUT_BYTES_MAX)
            buf_add(out, text, len);
        else if (json_object_is_type(value, json_type_object))
            buf_add_str(out, STR("{}"));
        else if (json_object_is_type(value, json_type_array))
            buf_add_str(out, STR("[]"));
        else
            buf_add_str(out, STR("null"));
    }
    buf_add_char(out, 0);
}

static void report(struct buf **errors, const char *type, const char *loc_json, const char *msg,
                   struct json_object *value, const char *ctx_json)
{
    struct buf *input = NULL;
    add_input(&input, value);
    detail_add(errors, type, loc_json, msg, buf_str(input).p, ctx_json);
    buf_free(&input);
}

static void report_no_body(struct buf **errors)
{
    detail_add(errors, "missing", "[\"body\"]", "Field required", "null", NULL);
}

static void report_not_json(struct buf **errors, size_t at, const char *words)
{
    struct buf *loc = NULL, *ctx = NULL;
    buf_printf(&loc, "[\"body\",%zu]%c", at, 0);
    buf_add_str(&ctx, STR("{\"error\":"));
    json_add_string(&ctx, str_of(words));
    buf_add(&ctx, "}", 2);
    detail_add(errors, "json_invalid", buf_str(loc).p, "JSON decode error", "{}", buf_str(ctx).p);
    buf_free(&loc);
    buf_free(&ctx);
}

/* A string is too short (bound: "min_length", which: "at least") or too long. */
static void report_length(struct buf **errors, const char *type, const char *loc_json,
                          struct json_object *value, const char *which, const char *bound, size_t n)
{
    struct buf *msg = NULL, *ctx = NULL;
    buf_printf(&msg, "String should have %s %zu character%s%c", which, n, n == 1 ? "" : "s", 0);
    buf_printf(&ctx, "{\"%s\":%zu}%c", bound, n, 0);
    report(errors, type, loc_json, buf_str(msg).p, value, buf_str(ctx).p);
    buf_free(&msg);
    buf_free(&ctx);
}

/* ---- reading a draft ---- */

/* Reads a string of 1 to chars_max characters, or reports why it is none. */
static bool read_string(struct json_object *value, const char *loc_json, size_t chars_max,
                        struct str *out, struct buf **errors)
{
    if (!json_object_is_type(value, json_type_string)) {
        report(errors, "string_type", loc_json, "Input should be a valid string", value, NULL);
        return false;
    }
    struct str s = string_of(value);
    if (!s.len)
        report_length(errors, "string_too_short", loc_json, value, "at least", "min_length", 1);
    else if (utf8_chars(s) > chars_max)
        report_length(errors, "string_too_long", loc_json, value, "at most", "max_length",
                      chars_max);
    else if (has_nul(s))
        report(errors, "string_pattern_mismatch", loc_json,
               "String should match pattern '^[^\\x00]*$'", value,
               "{\"pattern\":\"^[^\\\\x00]*$\"}");
    else
        *out = s;
    return out->len > 0;
}

static void read_required(struct json_object *body, const char *name, const char *loc_json,
                          size_t chars_max, struct str *out, struct buf **errors)
{
    struct json_object *value;
    if (json_object_object_get_ex(body, name, &value))
        read_string(value, loc_json, chars_max, out, errors);
    else
        report(errors, "missing", loc_json, "Field required", body, NULL);
}

/* What a browser sends, which cannot send WebSocket's own pings. */
static bool is_ping(struct json_object *body)
{
    struct json_object *value;
    return json_object_object_get_ex(body, "type", &value) &&
           json_object_is_type(value, json_type_string) && str_eq(string_of(value), STR("ping")) &&
           !json_object_object_get_ex(body, "username", NULL) &&
           !json_object_object_get_ex(body, "content", NULL);
}

/* "log", which asks for nothing more, or "stored". */
static void read_wait(struct draft *d, struct json_object *value, struct buf **errors)
{
    struct str s = {"", 0};
    if (json_object_is_type(value, json_type_string))
        s = string_of(value);
    d->wait_stored = str_eq(s, STR("stored"));
    if (!d->wait_stored && !str_eq(s, STR("log")))
        report(errors, "literal_error", "[\"body\",\"wait\"]", "Input should be 'log' or 'stored'",
               value, "{\"expected\":\"'log' or 'stored'\"}");
}

static enum draft_result read_fields(struct draft *d, struct json_object *body,
                                     size_t content_chars_max, bool with_nonce, struct buf **errors)
{
    struct json_object *nonce, *wait;
    bool ping = with_nonce && is_ping(body);
    if (!ping) {
        read_required(body, "username", "[\"body\",\"username\"]", USERNAME_CHARS_MAX, &d->username,
                      errors);
        read_required(body, "content", "[\"body\",\"content\"]", content_chars_max, &d->content,
                      errors);
    }
    if (with_nonce && json_object_object_get_ex(body, "nonce", &nonce))
        d->has_nonce =
            read_string(nonce, "[\"body\",\"nonce\"]", NONCE_CHARS_MAX, &d->nonce, errors);
    if (with_nonce && json_object_object_get_ex(body, "wait", &wait))
        read_wait(d, wait, errors);
    return *errors ? DRAFT_INVALID : ping ? DRAFT_PING : DRAFT_OK;
}

/* What was parsed belongs to the draft from here on, whatever the result is. */
static enum draft_result read_draft(struct draft *d, struct str text, size_t content_chars_max,
                                    bool with_nonce, struct buf **errors)
{
    if (!text.len) {
        report_no_body(errors);
        return DRAFT_EMPTY;
    }
    struct json_object *body = NULL;
    size_t at = 0;
    const char *mistake = json_check(text, JSON_DEPTH_MAX, &at);
    if (!mistake)
        mistake = parse(text, &body); /* newer releases refuse integers of more than 64 bits */
    d->parsed = body;
    if (mistake) {
        report_not_json(errors, at, mistake);
        return DRAFT_NOT_JSON;
    }
    if (!body) {
        report_no_body(errors);
        return DRAFT_NOT_OBJECT;
    }
    if (!json_object_is_type(body, json_type_object)) {
        report(errors, "model_attributes_type", "[\"body\"]",
               "Input should be a valid dictionary or object to extract fields from", body, NULL);
        return DRAFT_NOT_OBJECT;
    }
    return read_fields(d, body, content_chars_max, with_nonce, errors);
}

enum draft_result draft_parse(struct draft *d, struct str text, size_t content_chars_max,
                              bool with_nonce, struct buf **detail)
{
    *d = (struct draft){0};
    struct buf *errors = NULL;
    enum draft_result result = read_draft(d, text, content_chars_max, with_nonce, &errors);
    if (result != DRAFT_OK && result != DRAFT_PING) {
        buf_add_char(detail, '[');
        buf_add_str(detail, buf_str(errors));
        buf_add_char(detail, ']');
    }
    buf_free(&errors);
    return result;
}

void draft_done(struct draft *d)
{
    json_object_put(d->parsed);
    *d = (struct draft){0};
}

/* ---- the final JSON ---- */

static bool is_room_char(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' ||
           c == '.' || c == '-';
}

bool room_name_valid(struct str name)
{
    for (size_t i = 0; i < name.len; i++)
        if (!is_room_char(name.p[i]))
            return false;
    return name.len >= 1 && name.len <= ROOM_BYTES_MAX;
}

void message_add_head(struct buf **out, struct str username, struct str content)
{
    buf_add_str(out, STR(",\"username\":"));
    json_add_string(out, username);
    buf_add_str(out, STR(",\"content\":"));
    json_add_string(out, content);
    buf_add_char(out, ',');
}

void message_add_tail(struct buf **out, struct str room)
{
    buf_add_str(out, STR(",\"room\":\""));
    buf_add_str(out, room);
    buf_add_str(out, STR("\"}"));
}

void message_add(struct buf **out, uint64_t id, struct str username, struct str content,
                 struct str created_at, struct str room)
{
    buf_add_str(out, STR("{\"id\":"));
    buf_add_u64(out, id);
    message_add_head(out, username, content);
    buf_add_str(out, STR("\"created_at\":\""));
    buf_add_str(out, created_at);
    buf_add_char(out, '"');
    message_add_tail(out, room);
}

/* Takes `{"id":<digits>,` off the front. */
static bool peek_id(struct str *json, uint64_t *id)
{
    const struct str before = STR("{\"id\":");
    if (json->len < before.len || memcmp(json->p, before.p, before.len) != 0)
        return false;
    const char *p = json->p + before.len, *end = json->p + json->len;
    const char *first = p;
    uint64_t n = 0;
    for (; p < end && *p >= '0' && *p <= '9' && p - first < 19; p++)
        n = n * 10 + (uint64_t)(*p - '0'); /* 19 digits are less than 2^64 */
    if (p == first || *first == '0' || n > INT64_MAX || p == end || *p != ',')
        return false;
    *id = n;
    *json = (struct str){p + 1, (size_t)(end - p - 1)};
    return true;
}

/* Finds `,"room":"<name>"}` at the end. */
static bool peek_room(struct str json, struct str *room)
{
    const struct str before = STR(",\"room\":\""), after = STR("\"}");
    if (json.len < before.len + after.len)
        return false;
    const char *end = json.p + json.len - after.len, *p = end;
    if (memcmp(end, after.p, after.len) != 0)
        return false;
    while (p > json.p && end - p < ROOM_BYTES_MAX && is_room_char(p[-1]))
        p--;
    *room = (struct str){p, (size_t)(end - p)};
    return room->len && (size_t)(p - json.p) >= before.len &&
           memcmp(p - before.len, before.p, before.len) == 0;
}

bool message_peek(struct str json, uint64_t *id, struct str *room)
{
    return peek_id(&json, id) && peek_room(json, room);
}

bool message_peek_time(struct str json, struct str room, uint64_t *unix_ms)
{
    const struct str behind = STR("\",\"room\":\""), end = STR("\"}");
    size_t tail = behind.len + room.len + end.len;
    if (json.len < ISO_TIME_BYTES + tail)
        return false;
    const char *time = json.p + json.len - tail - ISO_TIME_BYTES;
    return memcmp(time + ISO_TIME_BYTES, behind.p, behind.len) == 0 &&
           iso_time_read((struct str){time, ISO_TIME_BYTES}, unix_ms);
}

static bool take(struct str *json, struct str word)
{
    if (json->len < word.len || memcmp(json->p, word.p, word.len) != 0)
        return false;
    *json = (struct str){json->p + word.len, json->len - word.len};
    return true;
}

/* A member whose value is a text of a message: not empty, without NUL. */
static bool take_text(struct str *json, struct str name, char **room, struct str *text)
{
    return take(json, name) && json_take_string(json, room, text) && text->len && !has_nul(*text);
}

bool message_parse(struct message *m, struct str json)
{
    *m = (struct message){0};
    if (!utf8_valid(json))
        return false;
    if (json.len && memchr(json.p, '\\', json.len))
        m->unescaped = mem_alloc(json.len);
    char *room = m->unescaped;
    if (peek_id(&json, &m->id) && take_text(&json, STR("\"username\":"), &room, &m->username) &&
        take_text(&json, STR(",\"content\":"), &room, &m->content) &&
        take_text(&json, STR(",\"created_at\":"), &room, &m->created_at) &&
        take_text(&json, STR(",\"room\":"), &room, &m->room) && str_eq(json, STR("}")) &&
        iso_time_read(m->created_at, &m->created_ms) && room_name_valid(m->room))
        return true;
    message_done(m);
    return false;
}

void message_done(struct message *m)
{
    free(m->unescaped);
    *m = (struct message){0};
}
