/* SPDX-License-Identifier: MIT */
/*
 * What a WebSocket client sends: a message on its way, an ack when it had a nonce and is in the
 * log, and an error object otherwise. The connection stays whatever the text was.
 */
#include <stdlib.h>

#include "common/json.h"
#include "common/mem.h"
#include "common/message.h"
#include "gateway/routes.h"

/* A frame's message under way. */
struct framed {
    struct client *client;
    char *nonce; /* as JSON, or NULL */
};

static void frame_error(struct client *c, const char *code, struct str detail)
{
    struct buf *text = NULL;
    buf_printf(&text, "{\"type\":\"error\",\"code\":\"%s\",\"detail\":", code);
    buf_add_str(&text, detail);
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

void routes_frame(void *ctx, struct client *c, struct str text)
{
    struct routes *r = ctx;
    struct draft d;
    struct buf *detail = NULL;
    enum draft_result result = draft_parse(&d, text, r->settings->content_max, true, &detail);
    if (result != DRAFT_OK) {
        frame_error(c, result == DRAFT_INVALID ? "invalid_message" : "invalid_json",
                    buf_str(detail));
        buf_free(&detail);
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
    const struct send send = {.room = {c->room->name, c->room->name_len},
                              .username = d.username,
                              .content = d.content,
                              .key = d.nonce,
                              .stored = r->settings->ack == ACK_STORED};
    client_hold(c);
    if (!link_send(r->link, &send, frame_done, f))
        frame_done(f, SEND_REFUSED, 0, STR(""));
    draft_done(&d);
}
