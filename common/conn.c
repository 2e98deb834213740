/* SPDX-License-Identifier: MIT */
/*
 * One connection: its input becomes requests, its deadlines are kept, it ends well. Its output is
 * in conn_output.c.
 *
 *   OPEN ───────────► LAST ──────────► LINGER ──────► DOOMED ──► freed
 *     requests are     answers are      our side is     off all lists but one
 *     read             still owed       shut
 *
 * Nearly always a whole request arrives in one read, into a buffer that all connections share, and
 * nothing of it stays. Only the rest of an incomplete request is kept, and then read on in place:
 *
 *     in:   | head | body, decoded so far | next requests |
 *           0      head_len               head_len + body_len
 *
 * A head is taken apart again when its body is whole, because its strings point into bytes that
 * may have moved; that costs a microsecond for slow bodies and no memory for idle connections.
 *
 * Reading pauses while a whole request must wait (`blocked`): for earlier ones to be answered, for
 * answers to be sent, or for its turn. Each of these ends with bytes written, and whoever is
 * visited for writing, or has written, parses on; so nothing else needs to wake it. The event is
 * not removed before it fires, since most clients send nothing while they wait.
 */
#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "common/mem.h"
#include "common/server_internal.h"

enum {
    INPUT_BYTES_MIN = 4096, /* of room for the rest of a request */
};

enum step {
    STEP_ON,   /* a request was taken, or refused */
    STEP_MORE, /* the input ends amid one */
    STEP_WAIT, /* earlier ones must be answered first */
};

static const uint64_t waits_ms[CONN_WAITS] = {
    [WAIT_IDLE] = HTTP_IDLE_MS,   [WAIT_HEAD] = HTTP_HEAD_MS,     [WAIT_BODY] = HTTP_BODY_MS,
    [WAIT_WRITE] = HTTP_WRITE_MS, [WAIT_LINGER] = HTTP_LINGER_MS, [WAIT_REST] = REFUSAL_PAUSE_MS,
};

static char shared[READ_BYTES]; /* whatever is read first comes here */

/* ---- what it waits for ---- */

static enum conn_wait conn_waits_for(const struct conn *c)
{
    if (c->state == CONN_LINGER)
        return c->resting ? WAIT_REST : WAIT_LINGER;
    if (c->writable)
        return WAIT_WRITE;
    if (c->resting && c->state == CONN_OPEN)
        return WAIT_REST;
    if (c->blocked || c->state == CONN_LAST)
        return WAIT_ANSWER;
    if (c->in) /* the peer's turn, whatever else it waits for */
        return c->head_len ? WAIT_BODY : WAIT_HEAD;
    return c->first ? WAIT_ANSWER : WAIT_IDLE;
}

static void conn_join_wait(struct conn *c, enum conn_wait wait)
{
    c->wait = wait;
    c->deadline_ms = server_now_ms() + waits_ms[wait];
    TAILQ_INSERT_TAIL(&c->server->waits[wait], c, waiting);
    if (wait == WAIT_REST)
        rests_await(c->server);
}

static void conn_set_wait(struct conn *c)
{
    enum conn_wait wait = conn_waits_for(c);
    if (wait == c->wait && !c->renew)
        return;
    c->renew = false;
    TAILQ_REMOVE(&c->server->waits[c->wait], c, waiting);
    conn_join_wait(c, wait);
}

static void conn_set_reading(struct conn *c, bool on)
{
    if (c->reading == on)
        return;
    c->reading = on;
    if (on)
        event_add(&c->readable, NULL);
    else
        event_del(&c->readable);
}

static bool conn_wants_input(const struct conn *c)
{
    return !c->resting &&
           (c->state == CONN_LINGER || (c->state == CONN_OPEN && !c->eof && !c->blocked));
}

void conn_owe(struct conn *c)
{
    if (c->is_owing || c->state == CONN_DOOMED)
        return;
    c->is_owing = true;
    TAILQ_INSERT_TAIL(&c->server->owing, c, owing);
}

/* All is answered and sent. The peer may still be sending: closing now would make its kernel
 * throw our last answer away. */
static void conn_finish(struct conn *c)
{
    if (c->eof || shutdown(conn_fd(c), SHUT_WR))
        conn_doom(c);
    else
        c->state = CONN_LINGER;
}

void conn_settle(struct conn *c)
{
    conn_count_kept(c);
    bool over = c->eof || (c->server->draining && !c->in);
    if (c->state == CONN_OPEN && over && !c->blocked)
        c->state = CONN_LAST;
    if (conn_is_last(c) && !c->out)
        conn_finish(c);
    if (c->state == CONN_DOOMED)
        return;
    if (c->out && !c->writable)
        conn_owe(c);
    if (conn_wants_input(c))
        conn_set_reading(c, true);
    conn_set_wait(c);
}

/* ---- requests ---- */

static void conn_fail(struct exchange *x, struct http_refusal no)
{
    if (no.status == 503)
        exchange_add_headers(x, STR("Retry-After: 1\r\n"));
    exchange_fail(x, no.status, no.reason);
}

static void conn_refuse(struct conn *c, const struct http_request *req, struct http_refusal no)
{
    conn_fail(exchange_new(c, req, false), no);
}

/* Likewise when the request was not understood, or only the beginning of it. */
static void conn_refuse_head(struct conn *c, enum http_method method, struct http_refusal no)
{
    struct exchange *x = exchange_new(c, NULL, false);
    x->head = method == HTTP_HEAD;
    conn_fail(x, no);
}

static enum exchange_kind kind_of(const struct http_request *req)
{
    if (req->expect_continue || http_header_count(req, "Upgrade"))
        return KIND_ALONE;
    switch (req->method) {
    case HTTP_GET:
    case HTTP_HEAD:
    case HTTP_OPTIONS:
        return KIND_SAFE;
    case HTTP_POST:
        return KIND_POST;
    case HTTP_OTHER:
        break;
    }
    return KIND_ALONE;
}

static bool conn_admits(const struct conn *c, enum exchange_kind kind)
{
    if (buf_len(c->out) + c->queued >= HTTP_OUT_BYTES_MAX ||
        c->answers + c->exchanges >= HTTP_PIPELINE_MAX)
        return false;
    return !c->first || (c->kind == kind && kind != KIND_ALONE);
}

/* Uses up n bytes of input. The next request's deadlines start anew. */
static void conn_used(struct conn *c, struct input *in, size_t n)
{
    in->p += n;
    in->len -= n;
    c->scanned = c->head_len = c->body_len = c->length = 0;
    c->chunked = false;
    c->chunks = (struct http_chunks){0};
    c->renew = true;
}

/* Lets the owner refuse before the body comes. */
static bool conn_refused_by_owner(struct conn *c, struct input *in, const struct http_request *req,
                                  size_t head_len)
{
    struct server *s = c->server;
    struct response refusal = {0};
    if (!s->ops->refuse || !s->ops->refuse(s->ctx, req, &refusal))
        return false;
    bool bodiless = !req->chunked && !req->length;
    struct exchange *x = exchange_new(c, req, req->keep_alive && bodiless);
    conn_used(c, in, head_len);
    exchange_respond(x, &refusal);
    return true;
}

/* Looks for a head. STEP_ON with head_len: it is accepted, and *req filled. */
static enum step conn_take_head(struct conn *c, struct input *in, struct http_request *req)
{
    struct http_refusal no = {0};
    size_t head_len = http_head_end(in->p, in->len, &c->scanned, &no);
    if (!head_len && !no.status)
        return STEP_MORE;
    if (!head_len || !http_parse_head(req, in->p, head_len, &no)) {
        conn_refuse_head(c, head_len ? req->method : HTTP_OTHER, no);
        return STEP_ON;
    }
    enum exchange_kind kind = kind_of(req);
    if (!conn_admits(c, kind))
        return STEP_WAIT;
    c->kind = kind;
    if (conn_refused_by_owner(c, in, req, head_len))
        return STEP_ON;
    if (req->length > c->server->body_max) {
        conn_refuse(c, req, (struct http_refusal){413, "Request body too large"});
        return STEP_ON;
    }
    c->head_len = head_len;
    c->chunked = req->chunked;
    c->length = (size_t)req->length;
    if (req->expect_continue && in->len == head_len)
        buf_add_str(&c->out, STR("HTTP/1.1 100 Continue\r\n\r\n"));
    return STEP_ON;
}

/* Decodes what came; true when the body is whole, and the request *end bytes of input. */
static bool conn_take_chunks(struct conn *c, struct input *in, size_t *end, struct http_refusal *no)
{
    size_t at = c->head_len + c->body_len, max = c->server->body_max, used = 0, decoded = 0;
    enum http_chunk_result result =
        http_chunks_feed(&c->chunks, in->p + at, in->len - at, &used, &decoded, &no->reason);
    c->body_len += decoded;
    if (result == HTTP_CHUNK_BAD)
        no->status = 400;
    else if (c->body_len > max || c->chunks.left > max - c->body_len)
        *no = (struct http_refusal){413, "Request body too large"};
    else if (result == HTTP_CHUNK_MORE)
        in->len = c->head_len + c->body_len; /* what was framing is gone */
    *end = at + used;
    return result == HTTP_CHUNK_DONE && !no->status;
}

static bool conn_take_body(struct conn *c, struct input *in, size_t *end, struct http_refusal *no)
{
    if (c->chunked)
        return conn_take_chunks(c, in, end, no);
    c->body_len = c->length;
    *end = c->head_len + c->length;
    return in->len >= *end;
}

static void conn_dispatch(struct conn *c, struct input *in, const struct http_request *req,
                          size_t end)
{
    struct server *s = c->server;
    struct str body = {in->p + c->head_len, c->body_len};
    struct exchange *x =
        exchange_new(c, req, req->keep_alive); /* NOLINT: conn_step has filled it in */
    conn_used(c, in, end);
    s->ops->request(s->ctx, x, req, body);
}

/* The head was accepted before: takes it apart again, since its bytes may have moved. */
static void conn_reparse(const struct conn *c, const char *head, struct http_request *req)
{
    struct http_refusal no;
    bool ok = http_parse_head(req, head, c->head_len, &no);
    assert(ok);
}

static enum step conn_step(struct conn *c, struct input *in)
{
    struct http_request req; /* filled by whichever of the two below parses the head */
    struct http_refusal no = {0};
    bool parsed = !c->head_len;
    size_t end;
    if (parsed) {
        enum step step = conn_take_head(c, in, &req);
        if (!c->head_len)
            return step;
    }
    bool whole = conn_take_body(c, in, &end, &no);
    if (!whole && !no.status)
        return STEP_MORE;
    if (!parsed)
        conn_reparse(c, in->p, &req);
    if (whole)
        conn_dispatch(c, in, &req, end);
    else
        conn_refuse(c, &req, no);
    return STEP_ON;
}

/* ---- input ---- */

/* Keeps what is not used up, and no memory of what is. */
static void conn_store(struct conn *c, const struct input *in)
{
    struct buf *rest = NULL;
    if (c->state == CONN_OPEN && in->len && in->p == buf_str(c->in).p) {
        c->in->len = in->len;
        return;
    }
    if (c->state == CONN_OPEN)
        buf_add(&rest, in->p, in->len);
    buf_free(&c->in);
    c->in = rest;
}

/* Takes requests off the input, a pipeline's worth at most: others want their turn too. */
static void conn_parse(struct conn *c, struct input in)
{
    struct server *s = c->server;
    enum step step = STEP_ON;
    s->handling = c;
    s->input = &in;
    for (int i = 0; i < HTTP_PIPELINE_MAX && step == STEP_ON; i++) {
        if (c->state != CONN_OPEN || c->resting || !in.len)
            break;
        step = conn_step(c, &in);
    }
    s->handling = NULL;
    s->input = NULL;
    c->blocked = c->state == CONN_OPEN && in.len && step != STEP_MORE;
    conn_store(c, &in);
    conn_settle(c);
}

void conn_resume(struct conn *c)
{
    if (c->blocked && !c->resting && c->state == CONN_OPEN)
        conn_parse(c, (struct input){c->in->bytes + c->in->off, c->in->len});
}

/* How much to read behind a half-read request. */
static size_t conn_input_room(const struct conn *c)
{
    size_t have = c->in->len, room = have;
    if (c->head_len && !c->chunked)
        room = c->head_len + c->length - have;
    else if (room < INPUT_BYTES_MIN)
        room = INPUT_BYTES_MIN;
    size_t max = c->chunked ? CHUNKED_READ_BYTES : READ_BYTES;
    return room < max ? room : max;
}

static void conn_read(struct conn *c)
{
    size_t room = c->in ? conn_input_room(c) : sizeof shared;
    char *at = c->in ? buf_reserve(&c->in, room) : shared;
    ssize_t n = recv(conn_fd(c), at, room, MSG_DONTWAIT);
    c->server->counts.bytes_in += n > 0 ? (uint64_t)n : 0;
    if (n < 0 && errno != EAGAIN && errno != EINTR) {
        conn_doom(c);
    } else if (n > 0 && c->in) {
        buf_grew(c->in, (size_t)n);
        conn_parse(c, (struct input){c->in->bytes + c->in->off, c->in->len});
    } else if (n > 0) {
        conn_parse(c, (struct input){shared, (size_t)n});
    } else {
        c->eof = n == 0;
        conn_settle(c);
    }
}

static void conn_readable_cb(evutil_socket_t fd, short what, void *arg)
{
    (void)fd, (void)what;
    struct conn *c = arg;
    server_begins_reading(c->server);
    if (!conn_wants_input(c))
        conn_set_reading(c, false);
    else if (c->state == CONN_LINGER)
        conn_discard(c);
    else
        conn_read(c);
    server_has_read(c->server);
}

/* ---- its beginning and its end ---- */

void conn_new(struct server *s, int fd, const struct address *peer, void *guest)
{
    struct conn *c = mem_zalloc(sizeof *c);
    *c = (struct conn){.server = s, .last = &c->first, .peer = *peer, .guest = guest};
    event_assign(&c->readable, s->base, fd, EV_READ | EV_PERSIST, conn_readable_cb, c);
    s->nconns++;
    conn_join_wait(c, WAIT_IDLE);
    conn_read(c); /* a request is there already, see TCP_DEFER_ACCEPT */
}

/* Answers the request that c->in begins with by a refusal, the last answer of the connection. */
static void conn_give_up(struct conn *c, struct http_refusal no)
{
    struct http_request req;
    if (c->head_len) {
        conn_reparse(c, buf_str(c->in).p, &req);
        conn_refuse(c, &req, no);
    } else {
        conn_refuse_head(c, HTTP_OTHER, no);
    }
    buf_free(&c->in);
}

void conn_expire(struct conn *c)
{
    static const struct http_refusal late = {408, "Request took too long"};
    if (c->wait == WAIT_HEAD || c->wait == WAIT_BODY)
        conn_give_up(c, late);
    else
        conn_doom(c);
}

void conn_count_kept(struct conn *c)
{
    budget_count(&c->server->kept, &c->kept, c, buf_cap(c->in));
}

void conn_give_way(struct conn *c)
{
    static const struct http_refusal busy = {503, "Too much of other requests waits here"};
    if (c->state == CONN_OPEN)
        conn_give_up(c, busy);
    buf_free(&c->in);
    conn_count_kept(c);
}

void conn_doom(struct conn *c)
{
    struct server *s = c->server;
    if (c->state == CONN_DOOMED)
        return;
    c->state = CONN_DOOMED;
    conn_set_reading(c, false);
    if (c->writable)
        event_free(c->writable);
    c->writable = NULL;
    exchanges_drop(c);
    conn_count_unsent(c);
    TAILQ_REMOVE(&s->waits[c->wait], c, waiting);
    s->nconns--;
    listener_tell_closed(c);
    if (c->is_owing)
        TAILQ_REMOVE(&s->owing, c, owing);
    c->is_owing = false;
    TAILQ_INSERT_TAIL(&s->doomed, c, owing);
}

void conn_give_away(struct conn *c)
{
    assert(c->state == CONN_DOOMED);
    event_assign(&c->readable, c->server->base, -1, EV_READ, conn_readable_cb, c);
}

void conn_free(struct conn *c)
{
    if (conn_fd(c) >= 0)
        close(conn_fd(c));
    buf_free(&c->in);
    buf_free(&c->out);
    conn_count_kept(c);
    free(c);
}
