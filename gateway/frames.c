/* SPDX-License-Identifier: MIT */
/*
 * What a WebSocket client sends: a message on its way, an ack when it had a nonce and is in the
 * log, and an error object otherwise; or a ping. The connection stays whatever the text was. And
 * the greeting of who asked for one.
 */
#include <inttypes.h>
#include <stdlib.h>

#include "common/clock.h"
#include "common/json.h"
#include "common/mem.h"
#include "common/message.h"
#include "gateway/routes.h"

/* A frame's message under way. */
struct framed {
    struct client *client;
    char *nonce; /* as JSON, or NULL */
};

static const char wrong_words[] = "too many of its messages were wrong";

/* The nonce of the frame that is answered, where it had one. */
static void add_nonce(struct buf **text, const struct draft *d)
{
    if (!d->has_nonce)
        return;
    buf_add_str(text, STR(",\"nonce\":"));
    json_add_string(text, d->nonce);
}

/* Who types `hello` into a WebSocket tester is told what to send. */
static void frame_error(struct client *c, const char *code, struct str detail,
                        const struct draft *d)
{
    struct buf *text = NULL;
    buf_printf(&text, "{\"type\":\"error\",\"code\":\"%s\",\"detail\":", code);
    buf_add_str(&text, detail);
    buf_add_str(&text, STR(",\"hint\":"));
    json_add_string(&text, STR("send {\"username\":\"Ana\",\"content\":\"Hola\"}"));
    add_nonce(&text, d);
    buf_add_char(&text, '}');
    client_send(c, WS_TEXT, buf_str(text));
    buf_free(&text);
}

static void frame_fail(struct framed *f, const char *code, const char *words)
{
    struct buf *text = NULL;
    buf_printf(&text, "{\"type\":\"error\",\"code\":\"%s\",\"detail\":", code);
    json_add_bytes(&text, str_of(words));
    if (f->nonce) {
        buf_add_str(&text, STR(",\"nonce\":"));
        buf_add_str(&text, str_of(f->nonce));
    }
    buf_add_char(&text, '}');
    client_send(f->client, WS_TEXT, buf_str(text));
    buf_free(&text);
}

static void frame_done(void *arg, enum send_result result, uint64_t id, struct str json)
{
    (void)json;
    struct framed *f = arg;
    struct buf *ack = NULL;
    switch (result) {
    case SEND_DONE:
        if (f->nonce) {
            buf_add_str(&ack, STR("{\"type\":\"ack\",\"nonce\":"));
            buf_add_str(&ack, str_of(f->nonce));
            buf_add_str(&ack, STR(",\"id\":"));
            buf_add_u64(&ack, id);
            buf_add_char(&ack, '}');
            client_send(f->client, WS_TEXT, buf_str(ack));
            buf_free(&ack);
        }
        break;
    case SEND_MISMATCH:
        frame_fail(f, "nonce_reused", "this nonce was used for another content");
        client_refused(f->client, wrong_words);
        break;
    case SEND_FULL:
    case SEND_REFUSED:
        frame_fail(f, "unavailable", "not stored: send it again later");
        break;
    case SEND_MAYBE:
        frame_fail(f, "timeout", "may be stored: send it again with the same nonce");
        break;
    }
    client_release(f->client);
    free(f->nonce);
    free(f);
}

static void frame_pong(struct client *c, const struct draft *ping)
{
    struct buf *pong = NULL;
    buf_add_str(&pong, STR("{\"type\":\"pong\""));
    add_nonce(&pong, ping);
    buf_add_char(&pong, '}');
    client_send(c, WS_TEXT, buf_str(pong));
    buf_free(&pong);
}

void frames_hello(const struct routes *r, struct buf **out)
{
    struct buf *hello = NULL;
    char header[WS_HEADER_MAX];
    buf_add_str(&hello, STR("{\"type\":\"hello\",\"replica\":"));
    json_add_string(&hello, str_of(r->settings->replica));
    buf_printf(&hello, ",\"position\":%" PRIu64 ",\"content_max\":%lu}", link_position(r->link),
               r->settings->content_max);
    buf_add(out, header, ws_header_write(header, WS_TEXT, buf_len(hello)));
    buf_add_str(out, buf_str(hello));
    buf_free(&hello);
}

/* It is over its rate, as `why` tells. */
static void frame_limited(struct client *c, const struct draft *d, const char *why,
                          uint64_t retry_s)
{
    struct buf *text = NULL;
    buf_add_str(&text, STR("{\"type\":\"error\",\"code\":\"rate_limited\",\"detail\":"));
    json_add_bytes(&text, str_of(why));
    add_nonce(&text, d);
    buf_printf(&text, ",\"retry_after\":%" PRIu64 "}", retry_s);
    client_send(c, WS_TEXT, buf_str(text));
    buf_free(&text);
    client_refused(c, why);
}

void routes_frame(void *ctx, struct client *c, struct str text)
{
    struct routes *r = ctx;
    struct draft d;
    struct buf *detail = NULL;
    uint64_t retry_s = 0;
    const char *limit = guests_frame(r->guests, c->guest, now_us(), &retry_s);
    enum draft_result result = draft_parse(&d, text, r->settings->content_max, true, &detail);
    if (limit) {
        frame_limited(c, &d, limit, retry_s);
        buf_free(&detail);
        draft_done(&d);
        return;
    }
    if (result == DRAFT_PING) {
        frame_pong(c, &d);
        draft_done(&d);
        return;
    }
    if (result != DRAFT_OK) {
        r->invalid[SEND_WS]++;
        frame_error(c, result == DRAFT_INVALID ? "invalid_message" : "invalid_json",
                    buf_str(detail), &d);
        client_refused(c, wrong_words);
        buf_free(&detail);
        draft_done(&d);
        return;
    }
    struct framed *f = mem_zalloc(sizeof *f);
    f->client = c;
    if (d.has_nonce) {
        struct buf *nonce = NULL;
        json_add_string(&nonce, d.nonce);
        struct str s = buf_str(nonce);
        f->nonce = mem_strndup(s.p, s.len);
        buf_free(&nonce);
    }
    const struct send send = {.source = SEND_WS,
                              .room = {c->room->name, c->room->name_len},
                              .username = d.username,
                              .content = d.content,
                              .key = d.nonce,
                              .stored = d.wait_stored || r->settings->ack == ACK_STORED};
    client_hold(c);
    if (!link_send(r->link, &send, frame_done, f))
        frame_done(f, SEND_REFUSED, 0, STR(""));
    draft_done(&d);
}
