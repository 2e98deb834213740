/* SPDX-License-Identifier: MIT */
/*
 * What a client posts, and the final JSON of a message. Properties:
 *   - what json_check accepts json-c accepts too, also deeper inside and with space around it; what
 *     json-c writes of it is accepted again;
 *   - a draft keeps its bounds, and the final message made of it is found and taken apart again as
 *     it was;
 *   - a refused one is told by a JSON array whose length is bounded;
 *   - a text that message_parse takes is what message_add writes for it, byte for byte, and is
 *     found by message_peek too, with the same id, room and time.
 */
#include <json-c/json.h>

#include "common/iso_time.h"
#include "common/json.h"
#include "common/limits.h"
#include "common/message.h"
#include "common/utf8.h"
#include "tests/fuzz/fuzz.h"

enum {
    CONTENT_MAX = 300,       /* small, so that the bound is met */
    DETAIL_BYTES_MAX = 8192, /* three entries, each with an input of 256 bytes, all escaped */
};

static struct json_object *strict(struct str text)
{
    struct json_tokener *t = json_tokener_new_ex(JSON_DEPTH_MAX + 4);
    json_tokener_set_flags(t, JSON_TOKENER_STRICT | JSON_TOKENER_VALIDATE_UTF8);
    struct json_object *value = json_tokener_parse_ex(t, text.p, (int)text.len);
    if (json_tokener_get_error(t) == json_tokener_continue)
        value = json_tokener_parse_ex(t, "", 1);
    assert(json_tokener_get_error(t) == json_tokener_success);
    json_tokener_free(t);
    return value;
}

static void check_wrapped(struct str text, const char *before, const char *after, int deeper)
{
    struct buf *out = NULL;
    size_t at;
    buf_add_str(&out, str_of(before));
    buf_add_str(&out, text);
    buf_add_str(&out, str_of(after));
    assert(!json_check(buf_str(out), JSON_DEPTH_MAX + deeper, &at));
    json_object_put(strict(buf_str(out)));
    buf_free(&out);
}

static void check_json(struct str text)
{
    size_t at = SIZE_MAX, again;
    const char *wrong = json_check(text, JSON_DEPTH_MAX, &at);
    if (wrong) {
        assert(at <= text.len && utf8_valid(str_of(wrong)));
        return;
    }
    assert(utf8_valid(text));
    check_wrapped(text, " \t\r\n", "\n ", 0);
    check_wrapped(text, "[", "]", 1);
    check_wrapped(text, "{\"\\u006b\":", ",\"l\":[ ]}", 1);
    struct json_object *value = strict(text);
    const char *written = json_object_to_json_string_ext(value, JSON_C_TO_STRING_PLAIN);
    assert(!json_check(str_of(written), JSON_DEPTH_MAX, &again));
    json_object_put(value);
}

/* ---- drafts ---- */

static void check_text(struct str text, size_t chars_max)
{
    assert(text.len && utf8_valid(text) && utf8_chars(text) <= chars_max);
    assert(!memchr(text.p, 0, text.len));
}

static void check_final(const struct draft *d, uint64_t id)
{
    static const struct str time = {"2024-02-29T23:59:59.999Z", 24}, room = {"lobby_-.9", 9};
    struct buf *json = NULL;
    struct str found;
    struct message m;
    uint64_t peeked;
    message_add(&json, id, d->username, d->content, time, room);
    char *copy = fuzz_copy(buf_str(json));
    struct str text = {copy, buf_len(json)};
    bool peek = message_peek(text, &peeked, &found), parse = message_parse(&m, text);
    assert(peek && peeked == id && str_eq(found, room));
    assert(parse && m.id == id && str_eq(m.room, room) && str_eq(m.created_at, time));
    assert(str_eq(m.username, d->username) && str_eq(m.content, d->content));
    message_done(&m);
    free(copy);
    buf_free(&json);
}

static void check_draft(struct str text, bool with_nonce, struct fuzz_random *random)
{
    struct draft d;
    struct buf *detail = NULL;
    size_t at;
    enum draft_result result = draft_parse(&d, text, CONTENT_MAX, with_nonce, &detail);
    if (result == DRAFT_OK) {
        assert(!detail && !json_check(text, JSON_DEPTH_MAX, &at));
        check_text(d.username, USERNAME_CHARS_MAX);
        check_text(d.content, CONTENT_MAX);
        if (d.has_nonce)
            check_text(d.nonce, NONCE_CHARS_MAX);
        assert(with_nonce || !d.has_nonce);
        check_final(&d, 1 + fuzz_below(random, INT64_MAX));
        draft_done(&d);
        return;
    }
    assert(with_nonce || !d.has_nonce);
    if (d.has_nonce)
        check_text(d.nonce, NONCE_CHARS_MAX);
    if (result == DRAFT_PING) {
        assert(with_nonce && !detail && !d.username.len && !d.content.len);
        draft_done(&d);
        return;
    }
    draft_done(&d);
    assert((result == DRAFT_EMPTY) == (text.len == 0));
    assert(!json_check(buf_str(detail), JSON_DEPTH_MAX + 3, &at));
    assert(buf_len(detail) <= DETAIL_BYTES_MAX);
    bool json = text.len && !json_check(text, JSON_DEPTH_MAX, &at);
    assert((result == DRAFT_NOT_OBJECT || result == DRAFT_INVALID) == json);
    buf_free(&detail);
}

/* ---- final messages ---- */

static void check_message(struct str text)
{
    struct message m;
    struct str room;
    uint64_t id, ms, peeked_ms;
    bool peek = message_peek(text, &id, &room);
    bool timed = peek && message_peek_time(text, room, &peeked_ms);
    if (peek)
        assert(id >= 1 && id <= INT64_MAX && room_name_valid(room));
    if (!message_parse(&m, text))
        return;
    assert(peek && m.id == id && str_eq(m.room, room));
    bool has_time = iso_time_read(m.created_at, &ms);
    assert(has_time && ms == m.created_ms && timed && ms == peeked_ms);
    struct buf *again = NULL;
    message_add(&again, m.id, m.username, m.content, m.created_at, m.room);
    assert(str_eq(buf_str(again), text));
    buf_free(&again);
    check_text(m.username, SIZE_MAX);
    check_text(m.content, SIZE_MAX);
    message_done(&m);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char *copy = fuzz_copy(fuzz_str(data, size));
    struct str text = {copy, size};
    struct fuzz_random random = fuzz_seed(text);
    check_json(text);
    check_draft(text, false, &random);
    check_draft(text, true, &random);
    check_message(text);
    free(copy);
    return 0;
}
