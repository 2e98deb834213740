/* SPDX-License-Identifier: MIT */
/*
 * The life of a WebSocket client: what it reads, how it joins its room and how it ends; see
 * client.h. What it is owed is written by flush.c at the end of the turn.
 *
 * Joining without hole or repeat: the client names what it has (`after`), or wants the newest N.
 * What the room's log does not reach back to is asked of the persister and sent as private frames;
 * then the cursor is placed behind the last of them, if the log still reaches back so far, and else
 * the persister is asked once more. Without the persister the client is told of the gap.
 */
#include "gateway/client.h"

#include <assert.h>
#include <errno.h>
#include <event2/event.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "common/clock.h"
#include "common/limits.h"
#include "common/mem.h"
#include "common/message.h"
#include "common/utf8.h"
#include "gateway/clients_internal.h"
#include "gateway/deflate.h"

enum {
    REASON_MAX = 123, /* bytes of a close frame's reason, RFC 6455 section 5.5 */
};

static void client_read(struct client *c);

struct clients *clients_new(struct event_base *base, struct rooms *rooms, struct history *history,
                            const struct clients_config *config, const struct clients_ops *ops,
                            void *ctx)
{
    struct clients *cs = mem_zalloc(sizeof *cs);
    cs->base = base;
    cs->rooms = rooms;
    cs->history = history;
    cs->config = *config;
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

/* ---- the end ---- */

/* Takes the client out of its room. The rest of a half-sent shared frame becomes private, so that
 * the log owes it nothing. */
static void leave(struct client *c)
{
    if (c->state == CLIENT_JOINING) {
        room_wait_cancel(c->room, &c->waiter);
        c->clients->counts.joining--;
    }
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
    if (c->state != CLIENT_CLOSING)
        client_count_close(c, CLOSE_BY_CLIENT, WS_CLOSE_LOST);
    leave(c);
    c->state = CLIENT_DOOMED;
    if (c->guest)
        c->clients->ops->gone(c->clients->ctx, c->guest);
    c->guest = NULL;
    event_del(&c->readable);
    if (c->writable) {
        event_free(c->writable);
        c->clients->counts.blocked--;
    }
    c->writable = NULL;
    c->clients->doomed++;
    c->clients->counts.deflating -= c->reader.deflate;
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
    c->deadline_ms = now_ms() + WS_CLOSE_MS;
    clients_owe(c);
}

void client_close(struct client *c, unsigned code, const char *reason)
{
    if (c->state >= CLIENT_CLOSING)
        return;
    client_count_close(c, CLOSE_BY_GATEWAY, code);
    close_by(c, code, reason);
}

static void client_free(struct client *c)
{
    struct clients *cs = c->clients;
    if (c->prev)
        c->prev->next = c->next;
    else
        cs->first = c->next;
    if (c->next)
        c->next->prev = c->prev;
    cs->count--;
    close(event_get_fd(&c->readable));
    event_debug_unassign(&c->readable);
    buf_free(&c->in);
    buf_free(&c->out);
    buf_free(&c->message);
    free(c);
}

bool clients_reap(struct clients *cs)
{
    size_t left = TURN_REAPS;
    for (struct client *c = cs->doomed ? cs->first : NULL, *next; c && left; c = next) {
        next = c->next;
        if (c->state != CLIENT_DOOMED || c->owing || c->pending)
            continue;
        client_free(c);
        cs->doomed--;
        left--;
    }
    return !left;
}

void clients_free(struct clients *cs)
{
    if (!cs)
        return;
    for (struct client *c = cs->first, *next; c; c = next) {
        next = c->next;
        client_doom(c);
        client_free(c);
    }
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
    c->pending--;
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
    clients_owe(c);
}

/* ---- joining ---- */

static void join_go_on(struct client *c);

static void tell_gap(struct client *c, uint64_t before)
{
    char text[96];
    int n = snprintf(text, sizeof text,
                     "{\"type\":\"gap\",\"after\":%" PRIu64 ",\"before\":%" PRIu64 "}", c->after,
                     before);
    client_send(c, WS_TEXT, (struct str){text, (size_t)n});
    c->gapped = true;
}

/* What retention has removed cannot be served: the client is told before what is left comes. */
static void tell_pruned(struct client *c)
{
    uint64_t pruned = history_pruned(c->clients->history);
    if (c->newest || c->after >= pruned)
        return;
    tell_gap(c, pruned + 1);
    c->after = pruned;
}

static void join_history_cb(void *arg, bool ok, int status, struct str lines)
{
    (void)status;
    struct client *c = arg;
    struct str line = {0}, room;
    uint64_t id, wanted = c->after; /* where the log began when this was asked */
    c->pending--;
    if (c->state != CLIENT_JOINING)
        return;
    size_t count = 0;
    uint64_t last = c->join_floor;
    if (ok)
        tell_pruned(c);
    while (ok && history_line(&lines, &line))
        if (message_peek(line, &id, &room)) {
            client_send(c, WS_TEXT, line);
            last = id;
            count++;
        }
    if (!ok) {
        tell_gap(c, c->join_before);
        c->after = c->join_before - 1;
    } else if (c->newest || count < PAGE_LIMIT_MAX) {
        if (c->after < c->join_before - 1)
            c->after = c->join_before - 1;
    } else {
        c->after = last > wanted ? last : wanted;
    }
    c->newest = 0;
    join_go_on(c);
}

/* Asks for what lies between the client and the room's log. */
static void join_ask(struct client *c, uint64_t before, uint32_t limit)
{
    c->join_before = before;
    c->join_floor = c->after;
    uint64_t after = c->newest ? HISTORY_NEWEST : c->after;
    if (history_page(c->clients->history, (struct str){c->room->name, c->room->name_len}, after,
                     before, limit, before - 1, join_history_cb, c)) {
        c->pending++;
        c->asked = true;
        return;
    }
    tell_gap(c, before);
    c->after = before - 1;
    c->newest = 0;
    join_go_on(c);
}

static void join_place(struct client *c, uint64_t pos)
{
    struct clients_counts *n = &c->clients->counts;
    enum join_from from = c->gapped ? JOIN_GAP : c->asked ? JOIN_HISTORY : JOIN_MEMORY;
    (c->resuming ? n->resumed : n->joined)[from]++;
    n->joining--;
    c->pos = pos;
    c->ahead = c->after > c->room->log.last;
    c->state = CLIENT_LIVE;
    room_add(c->room, c);
    clients_owe(c);
    client_read(c);
}

static void join_go_on(struct client *c)
{
    const struct room_log *l = &c->room->log;
    tell_pruned(c);
    if (c->newest) {
        struct room_page page = room_log_look(l, 0, 0, c->newest, true);
        if (page.count >= c->newest || l->reach == 0) {
            join_place(c, room_log_back(l, c->newest));
            return;
        }
        uint64_t before = page.count ? page.first : l->reach + 1;
        join_ask(c, before, c->newest - (uint32_t)page.count);
    } else if (c->after >= l->reach) {
        join_place(c, room_log_after(l, c->after));
    } else {
        join_ask(c, l->reach + 1, PAGE_LIMIT_MAX);
    }
}

static void join_awake(struct room_waiter *w)
{
    join_go_on((struct client *)(void *)((char *)w - offsetof(struct client, waiter)));
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

/* Inflates a compressed message; false: the client is being closed. */
static bool unpack(struct client *c, struct str packed, bool is_text, struct buf **out)
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
    if (!is_text || utf8_valid(buf_str(*out)))
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
    bool readable = !r->packed || unpack(c, text, r->opcode == WS_TEXT, &plain);
    if (r->packed)
        text = buf_str(plain);
    if (!readable)
        c->deaf = true;
    else if (r->opcode == WS_BINARY)
        client_close(c, WS_CLOSE_UNSUPPORTED, "send text frames with JSON");
    else if (c->state == CLIENT_LIVE || c->state == CLIENT_JOINING)
        c->clients->ops->message(c->clients->ctx, c, text);
    buf_free(&plain);
    buf_free(&c->message);
}

static bool reading_allowed(const struct client *c)
{
    return c->pending < WS_PENDING_MAX && buf_len(c->out) <= WS_OUT_BYTES_MAX;
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
        if (r.event == WS_DATA)
            buf_add_str(&c->message, r.piece);
        else if (r.event == WS_MESSAGE)
            on_message(c, &r);
        else
            on_control(c, &r);
        if (r.event != WS_DATA && !c->reader.message && c->state < CLIENT_CLOSING)
            c->deadline_ms = 0;
    }
    return c->deaf ? len : used;
}

/* A message or a frame under way has a total deadline, which a byte now and then does not prolong;
 * only while we do not read it has none. */
static void set_deadline(struct client *c)
{
    bool under_way = !c->paused && (c->in || c->reader.message);
    if (c->state >= CLIENT_CLOSING)
        return;
    if (!under_way)
        c->deadline_ms = 0;
    else if (!c->deadline_ms)
        c->deadline_ms = now_ms() + WS_MESSAGE_MS;
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

static void client_read(struct client *c)
{
    if (c->state == CLIENT_DOOMED)
        return;
    consume_kept(c);
    bool paused = !reading_allowed(c);
    if (paused != c->paused && c->state != CLIENT_DOOMED) {
        c->paused = paused;
        if (paused)
            event_del(&c->readable);
        else
            event_add(&c->readable, NULL);
    }
    set_deadline(c);
}

void client_resume_reading(struct client *c)
{
    if (c->paused && reading_allowed(c))
        client_read(c);
}

static void readable_cb(evutil_socket_t fd, short what, void *arg)
{
    (void)what;
    static char bytes[READ_BYTES]; /* every client reads into this one */
    struct client *c = arg;
    size_t kept = buf_len(c->in);
    if (kept >= READ_BYTES / 2) { /* cannot be: see WS_KEEP_MAX and the pause */
        client_doom(c);
        return;
    }
    ssize_t n = recv(fd, bytes + kept, WS_READ_BYTES, MSG_DONTWAIT);
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
    c->after = resume ? after : cs->ops->position(cs->ctx);
    c->newest = resume ? 0 : newest;
    if (c->newest)
        c->after = 0;
    c->reader.deflate = deflate;
    c->resuming = resume;
    c->heard_ms = now_ms;
    c->next = cs->first;
    if (cs->first)
        cs->first->prev = c;
    cs->first = c;
    cs->count++;
    cs->counts.opened++;
    cs->counts.joining++;
    cs->counts.deflating += deflate;
    event_assign(&c->readable, cs->base, fd, EV_READ | EV_PERSIST, readable_cb, c);
    event_add(&c->readable, NULL);
    clients_owe(c);
    c->waiter.awake = join_awake;
    room_wait(room, &c->waiter);
    client_read(c);
}
