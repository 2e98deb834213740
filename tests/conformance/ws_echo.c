/* SPDX-License-Identifier: MIT */
/*
 * A WebSocket echo server for conformance suites. The HTTP server and the protocol are the
 * gateway's own (common/server.h, gateway/websocket.h); the bounds are those that such suites ask
 * for, and what is echoed is none of the product's business.
 *
 *   ws_echo [port [message bytes]]     prints `listening on <port>`, ends on SIGTERM
 *
 * A peer is in one of three places: open, closing (our close frame is the last of `out`), lingering
 * (all is sent and our side is shut; what still comes is thrown away until the peer has closed, so
 * that no reset overtakes our close frame). It is freed at the end of a callback, by peer_settle
 * alone.
 */
#include <errno.h>
#include <event2/event.h>
#include <event2/event_struct.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "common/limits.h"
#include "common/mem.h"
#include "common/server.h"
#include "common/utf8.h"
#include "gateway/deflate.h"
#include "gateway/websocket.h"

enum {
    MESSAGE_BYTES_MAX = 16 << 20, /* unless the command line says otherwise */
    OUT_BYTES_MAX = 32 << 20,     /* unsent; then the peer is not read */
    SILENT_S = 120,               /* without a byte from the peer: closed */
    CONNS_MAX = 1000,
};

struct peer {
    struct event readable;  /* with the descriptor */
    struct event *writable; /* exists only while the socket is full */
    struct buf *in;         /* the start of an incomplete frame */
    struct buf *out;        /* unsent */
    struct buf *message;    /* the pieces of a message under way */
    struct ws_reader reader;
    unsigned bits; /* window of compressed messages, 0: none were negotiated */
    bool reading;  /* is readable armed? */
    bool closing;  /* our close frame is in out, or sent */
    bool deaf;     /* the peer's close came, or it broke the protocol: what follows is dropped */
    bool shut;     /* our side is */
    bool over;     /* to be freed */
};

static struct event_base *base;
static uint64_t message_max = MESSAGE_BYTES_MAX;
static bool stopping;

static int peer_fd(const struct peer *p)
{
    return event_get_fd(&p->readable);
}

/* ---- writing ---- */

static void peer_send(struct peer *p, enum ws_opcode opcode, struct str payload)
{
    char header[WS_HEADER_MAX];
    if (p->closing)
        return;
    buf_add(&p->out, header, ws_header_write(header, opcode, payload.len));
    buf_add_str(&p->out, payload);
}

static void peer_close(struct peer *p, unsigned code, const char *why);

/* An echo is compressed if the client takes it so. */
static void peer_echo(struct peer *p, enum ws_opcode opcode, struct str message)
{
    char header[WS_HEADER_MAX];
    struct buf *packed = NULL;
    if (!p->bits || p->closing) {
        peer_send(p, opcode, message);
        return;
    }
    deflate_pack(message, p->bits, &packed);
    buf_add(&p->out, header, ws_header_write_packed(header, opcode, buf_len(packed)));
    buf_add_str(&p->out, buf_str(packed));
    buf_free(&packed);
}

static void peer_fail(struct peer *p, unsigned code, const char *why)
{
    peer_close(p, code, why);
    p->deaf = true;
}

static void peer_message(struct peer *p, enum ws_opcode opcode, struct str message, bool packed)
{
    struct buf *plain = NULL;
    enum deflate_result result = DEFLATE_OK;
    if (packed) {
        result = deflate_unpack(message, message_max, &plain);
        message = buf_str(plain);
    }
    if (result == DEFLATE_TOO_BIG)
        peer_fail(p, WS_CLOSE_TOO_BIG, "message is too big");
    else if (result == DEFLATE_BROKEN)
        peer_fail(p, WS_CLOSE_BAD_DATA, "compressed data is broken");
    else if (packed && opcode == WS_TEXT && !utf8_valid(message))
        peer_fail(p, WS_CLOSE_BAD_DATA, "text is not UTF-8");
    else
        peer_echo(p, opcode, message);
    buf_free(&plain);
}

static void peer_close(struct peer *p, unsigned code, const char *why)
{
    struct buf *payload = NULL;
    if (code != WS_CLOSE_NO_STATUS) {
        buf_add_char(&payload, (char)(code >> 8));
        buf_add_char(&payload, (char)code);
    }
    buf_add_str(&payload, str_of(why));
    peer_send(p, WS_CLOSE, buf_str(payload));
    p->closing = true;
    buf_free(&payload);
}

static void peer_settle(struct peer *p);

static void writable_cb(evutil_socket_t fd, short what, void *arg)
{
    (void)fd, (void)what;
    struct peer *p = arg;
    event_free(p->writable);
    p->writable = NULL;
    peer_settle(p);
}

static void peer_write(struct peer *p)
{
    while (p->out && !p->writable && !p->over) {
        struct str bytes = buf_str(p->out);
        ssize_t n = send(peer_fd(p), bytes.p, bytes.len, MSG_DONTWAIT | MSG_NOSIGNAL);
        if (n > 0) {
            buf_take(&p->out, (size_t)n);
        } else if (n < 0 && errno == EAGAIN) {
            p->writable = event_new(base, peer_fd(p), EV_WRITE, writable_cb, p);
            event_add(p->writable, NULL);
        } else if (n == 0 || errno != EINTR) {
            p->over = true;
        }
    }
    if (p->closing && p->deaf && !p->out && !p->shut) {
        shutdown(peer_fd(p), SHUT_WR);
        p->shut = true;
    }
}

static void peer_free(struct peer *p)
{
    event_del(&p->readable);
    close(peer_fd(p));
    event_debug_unassign(&p->readable);
    if (p->writable)
        event_free(p->writable);
    buf_free(&p->in);
    buf_free(&p->out);
    buf_free(&p->message);
    free(p);
}

/* The end of every way into a peer. */
static void peer_settle(struct peer *p)
{
    peer_write(p);
    if (p->over) {
        peer_free(p);
        return;
    }
    bool wanted = buf_len(p->out) < OUT_BYTES_MAX;
    if (wanted && !p->reading)
        event_add(&p->readable, &(struct timeval){.tv_sec = SILENT_S});
    else if (!wanted && p->reading)
        event_del(&p->readable);
    p->reading = wanted;
}

/* ---- reading ---- */

static void peer_control(struct peer *p, const struct ws_result *r)
{
    if (r->opcode == WS_PING)
        peer_send(p, WS_PONG, r->control);
    if (r->opcode != WS_CLOSE)
        return;
    peer_close(p, r->code, "");
    p->deaf = true;
}

static void peer_hear(struct peer *p, const struct ws_result *r)
{
    switch (r->event) {
    case WS_NEED_MORE:
        break;
    case WS_DATA:
        buf_add_str(&p->message, r->piece);
        break;
    case WS_MESSAGE:
        if (p->message)
            buf_add_str(&p->message, r->piece);
        peer_message(p, r->opcode, p->message ? buf_str(p->message) : r->piece, r->packed);
        buf_free(&p->message);
        break;
    case WS_CONTROL:
        peer_control(p, r);
        break;
    case WS_FAIL:
        peer_fail(p, r->code, r->why);
        break;
    }
}

/* Takes all whole frames; keeps the rest, which is WS_KEEP_MAX bytes at most. */
static void peer_take(struct peer *p, char *bytes, size_t len)
{
    struct ws_result r = {.event = WS_DATA};
    size_t used = 0;
    while (used < len && !p->deaf && r.event != WS_NEED_MORE) {
        ws_read(&p->reader, bytes + used, len - used, message_max, &r);
        used += r.used;
        peer_hear(p, &r);
    }
    if (!p->deaf)
        buf_add(&p->in, bytes + used, len - used);
}

static void readable_cb(evutil_socket_t fd, short what, void *arg)
{
    static char bytes[WS_KEEP_MAX + READ_BYTES];
    struct peer *p = arg;
    struct str kept = buf_str(p->in);
    ssize_t n = 0;
    if (what & EV_READ)
        n = recv(fd, bytes + kept.len, READ_BYTES, MSG_DONTWAIT);
    if (n > 0) {
        memcpy(bytes, kept.p, kept.len);
        buf_free(&p->in);
        peer_take(p, bytes, kept.len + (size_t)n);
    } else if (n == 0 || (errno != EAGAIN && errno != EINTR)) {
        p->over = true;
    }
    peer_settle(p);
}

/* ---- the handshake ---- */

static void upgrade(struct exchange *x, const struct http_request *req)
{
    struct buf *in = NULL, *out = NULL, *extensions = NULL;
    unsigned bits = 0;
    char accept[WS_ACCEPT_BYTES];
    ws_accept(http_header(req, "Sec-WebSocket-Key"), accept);
    bool deflate = deflate_negotiate(req, DEFLATE_BITS_MIN, &bits, &extensions);
    int fd = exchange_take(x, &in, &out);
    if (fd < 0) {
        buf_free(&extensions);
        return;
    }
    struct peer *p = mem_zalloc(sizeof *p);
    p->out = out;
    p->reader.deflate = deflate;
    p->bits = deflate ? bits : 0;
    buf_add_str(&p->out, STR("HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n"
                             "Connection: Upgrade\r\nSec-WebSocket-Accept: "));
    buf_add(&p->out, accept, sizeof accept);
    if (deflate)
        buf_add_str(&p->out, STR("\r\nSec-WebSocket-Extensions: "));
    buf_add_str(&p->out, buf_str(extensions));
    buf_add_str(&p->out, STR("\r\n\r\n"));
    buf_free(&extensions);
    event_assign(&p->readable, base, fd, EV_READ | EV_PERSIST, readable_cb, p);
    if (in)
        peer_take(p, in->bytes + in->off, in->len);
    buf_free(&in);
    peer_settle(p);
}

static void request(void *ctx, struct exchange *x, const struct http_request *req, struct str body)
{
    (void)ctx, (void)body;
    const char *fault = ws_handshake_fault(req);
    if (!http_header_has(req, "Upgrade", "websocket"))
        exchange_fail(x, 426, "Upgrade Required");
    else if (fault)
        exchange_fail(x, 400, fault);
    else
        upgrade(x, req);
}

/* ---- the process ---- */

static void stop_cb(evutil_socket_t number, short what, void *arg)
{
    (void)number, (void)what, (void)arg;
    stopping = true;
}

static uint64_t number_of(const char *text)
{
    char *end;
    unsigned long long n = strtoull(text, &end, 10);
    if (*end || end == text) {
        fprintf(stderr, "usage: ws_echo [port [message bytes]]\n");
        exit(2);
    }
    return n;
}

int main(int argc, char **argv)
{
    char error[256];
    const struct server_ops ops = {.request = request};
    struct server_config config = {.host = "127.0.0.1", .conns_max = CONNS_MAX};
    if (argc > 1)
        config.port = (unsigned)number_of(argv[1]);
    if (argc > 2)
        message_max = number_of(argv[2]);
    base = event_base_new();
    struct server *server = server_new(base, &config, &ops, NULL, error, sizeof error);
    if (!server) {
        fprintf(stderr, "%s\n", error);
        return EXIT_FAILURE;
    }
    struct event *term = evsignal_new(base, SIGTERM, stop_cb, NULL);
    event_add(term, NULL);
    printf("listening on %u\n", server_port(server));
    fflush(stdout);
    while (!stopping)
        event_base_loop(base, server_turn(server) ? EVLOOP_NONBLOCK : EVLOOP_ONCE);
    server_free(server);
    deflate_done();
    event_free(term);
    event_base_free(base);
    return EXIT_SUCCESS;
}
