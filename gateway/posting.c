/* SPDX-License-Identifier: MIT */
/*
 * POST: a body becomes a message on its way, and what becomes of it the answer.
 *
 *      201  in the log, or stored (Prefer: wait=stored, CHAT_ACK)      415, 422  refused as it is
 *      503  not stored by this request                                 504       may be stored
 */
#include "gateway/posting.h"

#include <inttypes.h>
#include <stdlib.h>

#include "common/clock.h"
#include "common/json.h"
#include "common/limits.h"
#include "common/mem.h"
#include "common/message.h"
#include "gateway/answer.h"

/* A POST under way. */
struct posting {
    struct exchange *x;
    bool preferred; /* it asked for wait=stored */
    size_t key_len;
    char key[]; /* its Idempotency-Key, or nothing */
};

static struct posting *posting_new(struct exchange *x, bool preferred, struct str key)
{
    struct posting *p = mem_zalloc(sizeof *p + key.len);
    p->x = x;
    p->preferred = preferred;
    p->key_len = key.len;
    if (key.p)
        memcpy(p->key, key.p, key.len);
    return p;
}

/* 504: what to do to learn it, with the key to do it with. */
static void answer_maybe(const struct posting *p)
{
    struct buf *words = NULL, *text = NULL;
    buf_add_str(&words, STR("May be stored: "));
    if (p->key_len) {
        buf_add_str(&words, STR("ask again with the same Idempotency-Key: "));
        buf_add(&words, p->key, p->key_len);
    } else {
        buf_add_str(&words, STR("without an Idempotency-Key a repetition may store it twice"));
    }
    json_add_bytes(&text, buf_str(words));
    answer_detail(p->x, 504, STR(""), buf_str(text));
    buf_free(&words);
    buf_free(&text);
}

static void post_done(void *arg, enum send_result result, uint64_t id, struct str json)
{
    struct posting *p = arg;
    struct exchange *x = p->x;
    struct buf *headers = NULL;
    switch (result) {
    case SEND_DONE:
        buf_printf(&headers, "Location: /messages/%" PRIu64 "\r\n", id);
        if (p->preferred)
            buf_add_str(&headers, STR("Preference-Applied: wait=stored\r\n"));
        answer_json(x, 201, buf_str(headers), json);
        buf_free(&headers);
        break;
    case SEND_MISMATCH:
        exchange_fail(x, 422, "This Idempotency-Key was used for another content");
        break;
    case SEND_FULL:
        answer_unavailable(x, "Not stored by this request: too much waits for the persister");
        break;
    case SEND_REFUSED:
        answer_unavailable(x, "Not stored by this request: the log does not take messages now");
        break;
    case SEND_MAYBE:
        answer_maybe(p);
        break;
    }
    free(p);
}

/* Another charset than UTF-8? Other parameters mean nothing to us. */
static bool charset_foreign(struct str parameter)
{
    const struct str name = STR("charset=");
    if (parameter.len < name.len || !str_eq_nocase((struct str){parameter.p, name.len}, name))
        return false;
    struct str value = {parameter.p + name.len, parameter.len - name.len};
    return !str_eq_nocase(value, STR("utf-8")) && !str_eq_nocase(value, STR("\"utf-8\""));
}

/* Exactly one Content-Type, and that application/json or application/…+json, in UTF-8? */
static bool body_is_json(const struct http_request *req)
{
    const struct str base = STR("application/"), suffix = STR("+json");
    if (http_header_count(req, "Content-Type") != 1)
        return false;
    struct str type = http_header(req, "Content-Type"), media = str_cut(&type, ';');
    while (type.len)
        if (charset_foreign(str_cut(&type, ';')))
            return false;
    return str_eq_nocase(media, STR("application/json")) ||
           (media.len > base.len + suffix.len &&
            str_eq_nocase((struct str){media.p, base.len}, base) &&
            str_eq_nocase((struct str){media.p + media.len - suffix.len, suffix.len}, suffix));
}

/* A body that is packed or encrypted would have to be opened first (RFC 9110 section 8.4). */
static bool body_is_plain(const struct http_request *req)
{
    struct str value;
    for (size_t at = 0; http_header_next(req, "Content-Encoding", &at, &value);)
        if (value.len && !str_eq_nocase(value, STR("identity")))
            return false;
    return true;
}

struct str posting_unreadable(const struct http_request *req, struct str *headers)
{
    *headers = STR("");
    if (!body_is_json(req))
        return STR("{\"detail\":\"Send application/json\"}");
    if (body_is_plain(req))
        return STR("");
    *headers = STR("Accept-Encoding: identity\r\n");
    return STR("{\"detail\":\"Send it without Content-Encoding\"}");
}

/* Prefer: wait=stored, as RFC 7240 lets it be written: wait = "stored"; with=parameters. */
static bool prefers_stored(struct str list)
{
    while (list.len) {
        struct str one = str_cut(&list, ',');
        struct str value = str_cut(&one, ';');
        const char *equals = value.len ? memchr(value.p, '=', value.len) : NULL;
        if (!equals)
            continue;
        struct str name = str_trim((struct str){value.p, (size_t)(equals - value.p)});
        value = str_trim((struct str){equals + 1, value.len - (size_t)(equals + 1 - value.p)});
        if (str_eq_nocase(name, STR("wait")) &&
            (str_eq_nocase(value, STR("stored")) || str_eq_nocase(value, STR("\"stored\""))))
            return true;
    }
    return false;
}

static bool stored_preferred(const struct http_request *req)
{
    struct str list;
    for (size_t at = 0; http_header_next(req, "Prefer", &at, &list);)
        if (prefers_stored(list))
            return true;
    return false;
}

/* False: it is over its rate, and was answered. */
static bool post_admitted(const struct routes *r, struct exchange *x,
                          const struct http_request *req)
{
    struct buf *headers = NULL;
    const struct address peer = exchange_peer(x);
    const char *limit = guests_post(r->guests, exchange_guest(x), &peer, req, now_us(), &headers);
    exchange_add_headers(x, buf_str(headers));
    buf_free(&headers);
    if (limit)
        exchange_fail(x, 429, limit);
    return !limit;
}

void posting_take(struct routes *r, struct exchange *x, const struct http_request *req,
                  struct str body, struct str room)
{
    struct draft d;
    struct buf *detail = NULL;
    struct str key = http_header(req, "Idempotency-Key");
    bool preferred = stored_preferred(req);
    if (!post_admitted(r, x, req))
        return;
    struct str headers, unreadable = posting_unreadable(req, &headers);
    if (body.len && unreadable.len) {
        answer_json(x, 415, headers, unreadable);
        return;
    }
    if (key.p && (key.len == 0 || key.len > IDEMPOTENCY_KEY_BYTES_MAX ||
                  http_header_count(req, "Idempotency-Key") > 1)) {
        exchange_fail(x, 422, "Idempotency-Key: 1 to 255 bytes are accepted, once");
        return;
    }
    if (draft_parse(&d, body, r->settings->content_max, false, &detail) != DRAFT_OK) {
        r->invalid[SEND_HTTP]++;
        answer_detail(x, 422, STR(""), buf_str(detail));
        buf_free(&detail);
        draft_done(&d);
        return;
    }
    const struct send send = {
        .source = SEND_HTTP,
        .room = room,
        .username = d.username,
        .content = d.content,
        .key = key,
        .stored = preferred || r->settings->ack == ACK_STORED,
    };
    struct posting *p = posting_new(x, preferred, key);
    const char *refused = NULL;
    if (r->draining)
        refused = "Not stored by this request: this server restarts";
    else if (!link_send(r->link, &send, post_done, p))
        refused = "Not stored by this request: too many messages wait for Redis";
    if (refused) {
        free(p);
        answer_unavailable(x, refused);
    }
    draft_done(&d);
}
