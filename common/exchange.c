/* SPDX-License-Identifier: MIT */
/*
 * Requests under way and their answers. They queue at their connection in the order they came:
 *
 *      first                                last
 *      | waiting | answered | answered | waiting |
 *                 out ──┐     out ──┐
 *      conn.out  ◄──────┴───────────┴── when all before them are answered
 *
 * The answer of the first is composed right behind the bytes to be sent, so who answers at once
 * costs no further copy; the answer of another is kept until its turn has come. An exchange
 * outlives its connection until it is answered: whoever holds it never holds a dead pointer.
 */
#include <assert.h>
#include <stdio.h>
#include <stdlib.h>

#include "common/json.h"
#include "common/mem.h"
#include "common/server_internal.h"

enum {
    HEAD_BYTES_GUESS = 256, /* of an answer's head without its further headers */
};

struct exchange *exchange_new(struct conn *c, const struct http_request *req, bool keep_alive)
{
    struct server *s = c->server;
    struct exchange *x = mem_zalloc(sizeof *x);
    x->conn = c;
    x->keep_alive = keep_alive && !s->draining;
    if (req) {
        x->head = req->method == HTTP_HEAD;
        x->http_1_0 = req->http_1_0;
        if (s->ops->headers)
            s->ops->headers(s->ctx, req, &x->headers);
    }
    *c->last = x;
    c->last = &x->next;
    c->exchanges++;
    s->exchanges++;
    if (!x->keep_alive)
        c->state = CONN_LAST;
    return x;
}

static void exchange_free(struct exchange *x)
{
    buf_free(&x->headers);
    buf_free(&x->out);
    free(x);
}

/* All requests of the connection lose it; the answered ones are freed. */
void exchanges_drop(struct conn *c)
{
    for (struct exchange *x = c->first, *next; x; x = next) {
        next = x->next;
        x->conn = NULL;
        if (x->answered)
            exchange_free(x);
    }
    c->first = NULL;
    c->last = &c->first;
    c->server->exchanges -= c->exchanges;
    c->exchanges = 0;
    c->queued = 0;
}

static void exchange_unlink_first(struct conn *c)
{
    c->first = c->first->next;
    c->exchanges--;
    c->server->exchanges--;
    if (!c->first)
        c->last = &c->first;
}

/* Moves the answers whose turn has come to the bytes to be sent. */
static void exchanges_advance(struct conn *c)
{
    for (struct exchange *x; (x = c->first) && x->answered;) {
        exchange_unlink_first(c);
        c->queued -= buf_len(x->out);
        c->answers++;
        if (!c->out) {
            c->out = x->out;
            x->out = NULL;
        }
        buf_add_str(&c->out, buf_str(x->out)); /* none, if it was composed there */
        if (x->last)
            exchanges_drop(c);
        exchange_free(x);
    }
}

/* ---- composing ---- */

static void compose(struct exchange *x, const struct response *r, struct buf **out)
{
    bool bodiless = r->status == 204 || r->status == 304;
    bool sent = !bodiless && !x->head;
    buf_reserve(out,
                HEAD_BYTES_GUESS + buf_len(x->headers) + r->headers.len + (sent ? r->body.len : 0));
    buf_add_str(out, STR("HTTP/1.1 "));
    buf_add_u64(out, (uint64_t)r->status);
    buf_add_char(out, ' ');
    buf_add_str(out, str_of(http_status_words(r->status)));
    if (r->content_type) {
        buf_add_str(out, STR("\r\nContent-Type: "));
        buf_add_str(out, str_of(r->content_type));
    }
    if (!bodiless) {
        buf_add_str(out, STR("\r\nContent-Length: "));
        buf_add_u64(out, r->body.len);
    }
    buf_add_str(out, STR("\r\n"));
    buf_add_str(out, str_of(server_date(x->conn->server)));
    if (x->last)
        buf_add_str(out, STR("Connection: close\r\n"));
    else if (x->http_1_0)
        buf_add_str(out, STR("Connection: keep-alive\r\n"));
    buf_add_str(out, buf_str(x->headers));
    buf_add_str(out, r->headers);
    buf_add_str(out, STR("\r\n"));
    if (sent)
        buf_add_str(out, r->body);
}

void conn_count_unsent(struct conn *c)
{
    size_t unsent = c->state == CONN_DOOMED ? 0 : buf_cap(c->out) + c->queued;
    c->server->unsent += unsent - c->unsent;
    c->unsent = unsent;
}

/* ---- what handlers call ---- */

/* Many large answers may become due in one turn, which who asked for them need not read. */
static const struct response *affordable(const struct server *s, const struct response *r)
{
    static const char retry[] = "Retry-After: 1\r\n";
    static const char why[] = "{\"detail\":\"Too many answers wait for clients that do not read\"}";
    static const struct response busy = {.status = 503,
                                         .content_type = "application/json",
                                         .headers = {retry, sizeof retry - 1},
                                         .body = {why, sizeof why - 1}};
    return s->unsent > s->unsent_max && r->body.len > HTTP_SMALL_BYTES_MAX ? &busy : r;
}

void exchange_respond(struct exchange *x, const struct response *r)
{
    struct conn *c = x->conn;
    assert(!x->answered && r->status >= STATUS_MIN && r->status <= STATUS_MAX);
    if (!c) {
        exchange_free(x);
        return;
    }
    r = affordable(c->server, r);
    c->server->counts.answers[r->status - STATUS_MIN]++;
    x->answered = true;
    x->last = r->close || !x->keep_alive || (c->server->draining && !x->next);
    if (x->last)
        c->state = CONN_LAST;
    conn_count_refusal(c, r->status, x->last);
    if (x == c->first) {
        compose(x, r, &c->out);
        exchanges_advance(c);
    } else {
        compose(x, r, &x->out);
        c->queued += buf_len(x->out);
    }
    conn_count_unsent(c);
    if (c->server->handling != c) /* else its parser goes on by itself */
        conn_settle(c);
}

void exchange_fail(struct exchange *x, int status, const char *words)
{
    struct buf *body = NULL;
    buf_add_str(&body, STR("{\"detail\":"));
    json_add_string(&body, str_of(words));
    buf_add_char(&body, '}');
    exchange_respond(x, &(struct response){.status = status,
                                           .content_type = "application/json",
                                           .body = buf_str(body)});
    buf_free(&body);
}

bool exchange_gone(const struct exchange *x)
{
    return !x->conn;
}

struct address exchange_peer(const struct exchange *x)
{
    return x->conn ? x->conn->peer : (struct address){{0}};
}

void *exchange_guest(const struct exchange *x)
{
    return x->conn ? x->conn->guest : NULL;
}

void exchange_add_headers(struct exchange *x, struct str headers)
{
    buf_add_str(&x->headers, headers);
}

int exchange_take(struct exchange *x, struct buf **in, struct buf **out)
{
    struct conn *c = x->conn;
    *in = NULL;
    *out = NULL;
    if (!c) {
        exchange_free(x);
        return -1;
    }
    struct server *s = c->server;
    assert(s->handling == c && c->first == x && !x->next && !x->answered);
    int fd = conn_fd(c);
    s->counts.given_away++;
    buf_add(in, s->input->p, s->input->len);
    *out = c->out;
    c->out = NULL;
    c->guest = NULL;
    exchange_unlink_first(c);
    exchange_free(x);
    conn_doom(c);
    conn_give_away(c);
    return fd;
}
