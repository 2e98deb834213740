/* SPDX-License-Identifier: MIT */
/*
 * The life of a WebSocket client: what it reads and how it ends; see client.h. How it joins its
 * room is in join.c, what it is owed is written by flush.c at the end of the turn, and deadlines.c
 * looks after the silent.
 *
 * All clients are in an epoll of their own, and that epoll is one event of the loop: libevent keeps
 * 128 bytes for each descriptor, and a queue that each of its events goes through.
 */
#include "gateway/client.h"

#include <assert.h>
#include <errno.h>
#include <event2/event.h>
#include <event2/util.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "common/clock.h"
#include "common/limits.h"
#include "common/mem.h"
#include "common/utf8.h"
#include "gateway/clients_internal.h"
#include "gateway/deflate.h"

enum {
    REASON_MAX = 123,   /* bytes of a close frame's reason, RFC 6455 section 5.5 */
    READY_CLIENTS = 64, /* read in one turn at the most */
};

static void ready_cb(evutil_socket_t fd, short what, void *arg);

struct clients *clients_new(struct event_base *base, struct rooms *rooms, struct history *history,
                            const struct clients_config *config, const struct clients_ops *ops,
                            void *ctx)
{
    struct clients *cs = mem_zalloc(sizeof *cs);
    cs->epoll = epoll_create1(EPOLL_CLOEXEC);
    assert(cs->epoll >= 0); /* at the start of the program there are descriptors */
    evutil_make_socket_nonblocking(cs->epoll);
    event_assign(&cs->ready, base, cs->epoll, EV_READ | EV_PERSIST, ready_cb, cs);
    event_add(&cs->ready, NULL);
    deadlines_init(cs, now_ms());
    client_rests_init(cs, base);
    TAILQ_INIT(&cs->doomed);
    TAILQ_INIT(&cs->held);
    TAILQ_INIT(&cs->joins.waiting);
    TAILQ_INIT(&cs->joins.taking);
    cs->rooms = rooms;
    cs->history = history;
    cs->config = *config;
    budget_init(&cs->kept, WS_KEPT_BYTES_MAX);
    cs->ops = ops;
    cs->ctx = ctx;
    return cs;
}

size_t clients_count(const struct clients *cs)
{
    return cs->count;
}

bool clients_full(const struct clients *cs)
{
    return cs->count >= cs->config.clients_max;
}

void client_watch(struct client *c)
{
    uint32_t wanted = (c->paused ? 0 : (uint32_t)EPOLLIN) | (c->full ? (uint32_t)EPOLLOUT : 0);
    struct epoll_event e = {.events = wanted, .data.ptr = c};
    int operation = EPOLL_CTL_MOD;
    if (c->state == CLIENT_DOOMED)
        wanted = 0;
    if (wanted == c->watched)
        return;
    if (!c->watched)
        operation = EPOLL_CTL_ADD;
    else if (!wanted) /* else a hang-up would be told again and again */
        operation = EPOLL_CTL_DEL;
    bool done = epoll_ctl(c->clients->epoll, operation, c->fd, &e) == 0;
    c->watched = (uint8_t)wanted;
    if (!done && wanted) { /* the user has too many watches: see epoll(7) */
        c->watched = 0;
        client_doom(c);
    }
}

/* ---- the end ---- */

/* Takes the client out of its room. The rest of a half-sent shared frame becomes private, so that
 * the log owes it nothing. */
static void leave(struct client *c)
{
    join_end(c);
    if (c->state != CLIENT_LIVE)
        return;
    const struct room_log *l = client_log(c);
    uint64_t stop = room_log_boundary(l, c->pos);
    struct iovec iov;
    size_t used;
    if (stop > c->pos && room_log_iovecs(l, c->pos, stop, &iov, 1, &used)) {
        struct buf *own = c->out;
        c->out = NULL;
        buf_add(&c->out, iov.iov_base, iov.iov_len);
        buf_add_str(&c->out, buf_str(own));
        buf_free(&own);
    }
    room_remove(c->room, c);
}

void client_doom(struct client *c)
{
    if (c->state == CLIENT_DOOMED)
        return;
    struct clients *cs = c->clients;
    if (c->state != CLIENT_CLOSING)
        client_count_close(c, CLOSE_BY_CLIENT, WS_CLOSE_LOST);
    leave(c);
    c->state = CLIENT_DOOMED;
    if (c->guest)
        cs->ops->gone(cs->ctx, c->guest);
    c->guest = NULL;
    cs->counts.blocked -= c->full;
    c->full = false;
    cs->counts.deflating -= c->reader.deflate;
    client_watch(c);
    deadline_clear(c);
    if (c->pending)
        TAILQ_INSERT_TAIL(&cs->held, c, queued);
    else
        TAILQ_INSERT_TAIL(&cs->doomed, c, queued);
}

static void close_by(struct client *c, unsigned code, const char *reason)
{
    const char number[2] = {(char)(code >> 8), (char)code};
    size_t len = strlen(reason) < REASON_MAX ? strlen(reason) : REASON_MAX;
    leave(c);
    char header[WS_HEADER_MAX];
    size_t head = ws_header_write(header, WS_CLOSE, 2 + len);
    buf_add(&c->out, header, head);
    buf_add(&c->out, number, sizeof number);
    buf_add(&c->out, reason, len);
    c->state = CLIENT_CLOSING;
    deadline_move(c, now_ms() + WS_CLOSE_MS);
    client_count_kept(c);
    clients_owe(c);
}

void client_close(struct client *c, unsigned code, const char *reason)
{
    if (c->state >= CLIENT_CLOSING)
        return;
    client_count_close(c, CLOSE_BY_GATEWAY, code);
    close_by(c, code, reason);
}

/* Takes a doomed one off its list first. */
static void client_free(struct client *c, struct client_list *list)
{
    TAILQ_REMOVE(list, c, queued);
    c->clients->count--;
    close(c->fd);
    buf_free(&c->in);
    buf_free(&c->out);
    buf_free(&c->message);
    client_count_kept(c);
    free(c);
}

bool clients_reap(struct clients *cs)
{
    struct client *c;
    uint64_t end = now_us() + TURN_REAP_US;
    for (size_t left = TURN_REAPS; left && (c = TAILQ_FIRST(&cs->doomed)); left--) {
        if (now_us() >= end)
            break;
        if (!c->owing) { // NOLINT(clang-analyzer-unix.Malloc): it does not see the removal
            client_free(c, &cs->doomed);
            continue;
        }
        TAILQ_REMOVE(&cs->doomed, c, queued);
        TAILQ_INSERT_TAIL(&cs->doomed, c, queued);
    }
    return !TAILQ_EMPTY(&cs->doomed);
}

void clients_free(struct clients *cs)
{
    struct client *c;
    if (!cs)
        return;
    for (size_t i = 0; i < DEADLINE_BUCKETS; i++)
        while ((c = TAILQ_FIRST(&cs->deadlines[i])))
            client_doom(c);
    while ((c = TAILQ_FIRST(&cs->doomed)))
        client_free(c, &cs->doomed);
    while ((c = TAILQ_FIRST(&cs->held)))
        client_free(c, &cs->held);
    event_del(&cs->ready);
    event_debug_unassign(&cs->ready);
    client_rests_done(cs);
    close(cs->epoll);
    free(cs->owing);
    free(cs);
}

void client_hold(struct client *c)
{
    c->pending++;
}

void client_release(struct client *c)
{
    assert(c->pending > 0);
    if (--c->pending == 0 && c->state == CLIENT_DOOMED) {
        TAILQ_REMOVE(&c->clients->held, c, queued);
        TAILQ_INSERT_TAIL(&c->clients->doomed, c, queued);
    }
    clients_owe(c); /* it may be read again */
}

/* ---- private frames ---- */

void client_send(struct client *c, enum ws_opcode opcode, struct str payload)
{
    if (c->state >= CLIENT_CLOSING)
        return;
    char header[WS_HEADER_MAX];
    buf_add(&c->out, header, ws_header_write(header, opcode, payload.len));
    buf_add_str(&c->out, payload);
    client_count_kept(c);
    clients_owe(c);
}

/* ---- reading ---- */

static void on_control(struct client *c, const struct ws_result *r)
{
    switch (r->opcode) {
    case WS_PING:
        client_send(c, WS_PONG, r->control);
        break;
    case WS_CLOSE:
        if (c->state != CLIENT_CLOSING) {
            client_count_close(c, CLOSE_BY_CLIENT, r->code);
            close_by(c, r->code == WS_CLOSE_NO_STATUS ? WS_CLOSE_NORMAL : r->code, "");
        }
        c->deaf = true;
        break;
    default: /* a pong: it was heard */
        break;
    }
}

/* Inflates a compressed text; false: the client is being closed. */
static bool unpack(struct client *c, struct str packed, struct buf **out)
{
    switch (deflate_unpack(packed, WS_MESSAGE_BYTES_MAX, out)) {
    case DEFLATE_TOO_BIG:
        client_close(c, WS_CLOSE_TOO_BIG, "message is too big");
        return false;
    case DEFLATE_BROKEN:
        client_close(c, WS_CLOSE_BAD_DATA, "compressed data is broken");
        return false;
    case DEFLATE_OK:
        break;
    }
    if (utf8_valid(buf_str(*out)))
        return true;
    client_close(c, WS_CLOSE_BAD_DATA, "text is not UTF-8");
    return false;
}

static void on_message(struct client *c, const struct ws_result *r)
{
    struct str text = r->piece;
    struct buf *plain = NULL;
    c->clients->counts.frames++;
    if (c->message) {
        buf_add_str(&c->message, r->piece);
        text = buf_str(c->message);
    }
    bool readable = !r->packed || unpack(c, text, &plain);
    if (r->packed)
        text = buf_str(plain);
    if (!readable)
        c->deaf = true;
    else if (c->state == CLIENT_LIVE || c->state == CLIENT_JOINING)
        c->clients->ops->message(c->clients->ctx, c, text);
    buf_free(&plain);
    buf_free(&c->message);
}

static bool reading_allowed(const struct client *c)
{
    return c->pending < WS_PENDING_MAX && buf_len(c->out) <= WS_OUT_BYTES_MAX && !c->resting;
}

static size_t consume(struct client *c, char *bytes, size_t len)
{
    size_t used = 0;
    while (used < len && c->state < CLIENT_DOOMED && !c->deaf) {
        if (!reading_allowed(c))
            break;
        struct ws_result r;
        ws_read(&c->reader, bytes + used, len - used, WS_MESSAGE_BYTES_MAX, &r);
        used += r.used;
        if (r.event == WS_NEED_MORE)
            break;
        if (r.event == WS_FAIL) {
            client_close(c, r.code, r.why);
            c->deaf = true;
            return len;
        }
        if (r.opcode == WS_BINARY) /* from its first piece on */
            client_close(c, WS_CLOSE_UNSUPPORTED, "send text frames with JSON");
        else if (r.event == WS_DATA)
            buf_add_str(&c->message, r.piece);
        else if (r.event == WS_MESSAGE)
            on_message(c, &r);
        else
            on_control(c, &r);
        if (r.event != WS_DATA && !c->reader.message)
            c->message_due_s = 0;
    }
    return c->deaf ? len : used;
}

/* A message or a frame under way has a total deadline, which a byte now and then does not prolong;
 * only while we do not read it has none. It is met in the wheel, where the client is due before. */
static void set_message_deadline(struct client *c)
{
    if (c->paused || (!c->in && !c->reader.message))
        c->message_due_s = 0;
    else if (!c->message_due_s)
        c->message_due_s = (uint32_t)((now_ms() + WS_MESSAGE_MS) / 1000);
}

/* Uses what is there already: bytes behind the handshake, or held back by a bound. */
static void consume_kept(struct client *c)
{
    struct buf *in = c->in;
    if (!in)
        return;
    c->in = NULL;
    size_t used = consume(c, in->bytes + in->off, in->len);
    buf_take(&in, used);
    c->in = in;
}

void client_read(struct client *c)
{
    if (c->state == CLIENT_DOOMED)
        return;
    consume_kept(c);
    bool paused = !reading_allowed(c);
    if (paused != c->paused && c->state != CLIENT_DOOMED) {
        c->paused = paused;
        client_watch(c);
    }
    client_count_kept(c);
    set_message_deadline(c);
}

void client_resume_reading(struct client *c)
{
    if (c->paused && reading_allowed(c))
        client_read(c);
}

static void client_readable(struct client *c)
{
    static char bytes[READ_BYTES]; /* every client reads into this one */
    size_t kept = buf_len(c->in);
    if (kept >= READ_BYTES / 2) { /* cannot be: see WS_KEEP_MAX and the pause */
        client_doom(c);
        return;
    }
    ssize_t n = recv(c->fd, bytes + kept, WS_READ_BYTES, MSG_DONTWAIT);
    if (n < 0 && (errno == EAGAIN || errno == EINTR))
        return;
    if (n <= 0) {
        client_doom(c);
        return;
    }
    c->clients->counts.bytes_in += (uint64_t)n;
    c->heard_ms = now_ms();
    c->pinged = false;
    if (kept)
        memcpy(bytes, buf_str(c->in).p, kept);
    buf_free(&c->in);
    size_t len = kept + (size_t)n, used = consume(c, bytes, len);
    if (c->state != CLIENT_DOOMED && used < len)
        buf_add(&c->in, bytes + used, len - used);
    client_read(c);
}

static void client_ready(struct client *c, uint32_t events)
{
    if (c->full && events & ~(uint32_t)EPOLLIN) { /* or it is broken: the write will tell */
        c->full = false;
        c->clients->counts.blocked--;
        client_watch(c);
        clients_owe(c);
    }
    if (c->watched & EPOLLIN && events & ~(uint32_t)EPOLLOUT)
        client_readable(c);
}

/* The kernel tells of those who are ready in turn, one at a time: who was told of and not read for
 * lack of time would lose its place. A client doomed by an earlier one is watched no more, and
 * freed at the end of the turn. */
static void ready_cb(evutil_socket_t fd, short what, void *arg)
{
    (void)what, (void)arg;
    struct epoll_event e;
    uint64_t end_us = now_us() + TURN_READ_US;
    for (int left = READY_CLIENTS; left && epoll_wait(fd, &e, 1, 0) == 1; left--) {
        client_ready(e.data.ptr, e.events);
        if (now_us() >= end_us)
            break;
    }
}

void client_new(struct clients *cs, int fd, struct guest *guest, struct room *room, bool resume,
                uint64_t after, uint32_t newest, bool deflate, struct buf *in, struct buf *out,
                uint64_t now_ms)
{
    struct client *c = mem_zalloc(sizeof *c);
    c->guest = guest;
    c->clients = cs;
    c->room = room;
    c->in = in;
    c->out = out;
    c->fd = fd;
    c->reader.deflate = deflate;
    c->heard_ms = now_ms;
    cs->count++;
    cs->counts.opened++;
    cs->counts.deflating += deflate;
    deadline_set(c, now_ms + WS_PING_MS);
    client_watch(c);
    if (c->state == CLIENT_DOOMED)
        return;
    clients_owe(c);
    join_begin(c, resume, after, newest);
    client_read(c);
}
