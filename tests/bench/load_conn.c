/* SPDX-License-Identifier: MIT */
/* Sockets of the load generator: connecting, reading, writing; no meaning of bytes. */
#include <errno.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "common/clock.h"
#include "tests/bench/load.h"

enum {
    CONNECTS = 256, /* under way at one time */
    EVENTS = 256,
    READ_SIZE = 1 << 18,
    SLOW_BUFFER = 4096, /* of a socket that never reads */
};

static void conn_watch(struct load *l, struct conn *c, int operation, bool writing)
{
    struct epoll_event e = {.events = EPOLLIN | (writing ? EPOLLOUT : 0), .data.ptr = c};
    epoll_ctl(l->epoll, operation, c->fd, &e);
    c->writing = writing;
}

void conn_close(struct load *l, struct conn *c)
{
    if (c->state == CONN_CLOSED)
        return;
    if (c->state == CONN_OPEN)
        l->nopen--;
    c->state = CONN_CLOSED;
    close(c->fd);
    buf_free(&c->in);
    buf_free(&c->out);
    l->counts.closed++;
}

/* Tries to send what waits; false: the connection is gone. */
static void conn_flush(struct load *l, struct conn *c)
{
    struct str out = buf_str(c->out);
    ssize_t n = send(c->fd, out.p, out.len, MSG_DONTWAIT | MSG_NOSIGNAL);
    if (n < 0 && errno != EAGAIN) {
        conn_close(l, c);
        return;
    }
    if (n > 0)
        buf_take(&c->out, (size_t)n);
    if (c->writing != (c->out != NULL))
        conn_watch(l, c, EPOLL_CTL_MOD, c->out != NULL);
}

void conn_write(struct load *l, struct conn *c, const char *bytes, size_t len)
{
    ssize_t n = c->out ? 0 : send(c->fd, bytes, len, MSG_DONTWAIT | MSG_NOSIGNAL);
    if (n < 0 && errno != EAGAIN) {
        conn_close(l, c);
        return;
    }
    size_t sent = n > 0 ? (size_t)n : 0;
    if (sent == len)
        return;
    buf_add(&c->out, bytes + sent, len - sent);
    if (!c->writing)
        conn_watch(l, c, EPOLL_CTL_MOD, true);
}

/* ---- connecting ---- */

static void conn_ready(struct load *l, struct conn *c)
{
    c->state = CONN_OPEN;
    l->nopen++;
    if (c->kind == CONN_SLOW)
        epoll_ctl(l->epoll, EPOLL_CTL_DEL, c->fd, NULL);
}

static void conn_upgrade(struct load *l, struct conn *c)
{
    const struct target *t = &l->o->targets[c->target];
    const char *path =
        c->kind == CONN_PUBLISHER && l->o->publish_path ? l->o->publish_path : t->path;
    const char *room = l->o->rooms > 1 ? strstr(path, "%r") : NULL;
    struct buf *request = NULL, *where = NULL;
    buf_add(&where, path, room ? (size_t)(room - path) : strlen(path));
    if (room)
        buf_printf(&where, "%lu%s", conn_room(l, c), room + 2);
    buf_printf(&request,
               "GET %.*s HTTP/1.1\r\nHost: %s:%s\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
               "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n",
               (int)where->len, buf_str(where).p, t->host, t->port);
    c->state = CONN_UPGRADING;
    conn_write(l, c, buf_str(request).p, request->len);
    buf_free(&request);
    buf_free(&where);
}

static void conn_start(struct load *l, struct conn *c)
{
    const struct target *t = &l->o->targets[c->target];
    const int on = 1, small = SLOW_BUFFER;
    c->fd = socket(t->address.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (c->fd < 0) {
        perror("chat-load: socket (is the limit of open files too low? ulimit -n)");
        exit(2);
    }
    setsockopt(c->fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    if (c->kind == CONN_SLOW)
        setsockopt(c->fd, SOL_SOCKET, SO_RCVBUF, &small, sizeof small);
    c->state = CONN_CONNECTING;
    int result = connect(c->fd, (const struct sockaddr *)&t->address, t->address_size);
    if (result < 0 && errno != EINPROGRESS) {
        perror("chat-load: connect");
        exit(2);
    }
    conn_watch(l, c, EPOLL_CTL_ADD, true);
}

static void conn_connected(struct load *l, struct conn *c)
{
    int error = 0;
    socklen_t size = sizeof error;
    getsockopt(c->fd, SOL_SOCKET, SO_ERROR, &error, &size);
    if (error) {
        conn_close(l, c);
        return;
    }
    conn_watch(l, c, EPOLL_CTL_MOD, false);
    if (c->kind == CONN_REQUESTER)
        conn_ready(l, c);
    else
        conn_upgrade(l, c);
}

/* The answer to the upgrade; returns how many bytes it has. */
static size_t upgrade_read(struct load *l, struct conn *c, const char *bytes, size_t len)
{
    const char *end = memmem(bytes, len, "\r\n\r\n", 4);
    if (!end)
        return 0;
    if (len < 12 || memcmp(bytes + 8, " 101", 4) != 0) {
        fprintf(stderr, "chat-load: no upgrade: %.*s\n", (int)strcspn(bytes, "\r"), bytes);
        conn_close(l, c);
        return len;
    }
    conn_ready(l, c);
    return (size_t)(end - bytes) + 4;
}

bool conns_open(struct load *l)
{
    size_t started = 0;
    uint64_t timeout_us = l->o->timeout_s * 1000000;
    l->progress_us = now_us();
    while (l->nopen + l->counts.closed < l->nconns) {
        while (started < l->nconns && started - l->nopen - l->counts.closed < CONNECTS)
            conn_start(l, &l->conns[started++]);
        conns_poll(l, 100000);
        if (now_us() - l->progress_us > timeout_us)
            return false;
    }
    return l->counts.closed == 0;
}

/* ---- events ---- */

static size_t bytes_use(struct load *l, struct conn *c, const char *bytes, size_t len, uint64_t now)
{
    size_t used = 0;
    if (c->state == CONN_UPGRADING)
        used = upgrade_read(l, c, bytes, len);
    if (c->state != CONN_OPEN || used == len || c->kind == CONN_SLOW)
        return c->state == CONN_UPGRADING ? used : len;
    if (c->kind == CONN_REQUESTER)
        return answer_read(l, c, bytes, len, now);
    return used + frames_read(l, c, bytes + used, len - used, now);
}

static void conn_read(struct load *l, struct conn *c, uint64_t now)
{
    static char bytes[READ_SIZE];
    size_t kept = buf_len(c->in);
    if (kept > sizeof bytes / 2) { /* no frame of a chat is so long */
        conn_close(l, c);
        return;
    }
    ssize_t n = recv(c->fd, bytes + kept, sizeof bytes - kept, MSG_DONTWAIT);
    if (n < 0 && errno == EAGAIN)
        return;
    if (n <= 0) {
        conn_close(l, c);
        return;
    }
    memcpy(bytes, buf_str(c->in).p, kept);
    buf_free(&c->in);
    l->progress_us = now;
    size_t len = kept + (size_t)n, used = bytes_use(l, c, bytes, len, now);
    if (c->state != CONN_CLOSED && used < len)
        buf_add(&c->in, bytes + used, len - used);
}

void conns_poll(struct load *l, int64_t us)
{
    struct epoll_event events[EVENTS];
    struct timespec wait = {us / 1000000, us % 1000000 * 1000};
    int n = epoll_pwait2(l->epoll, events, EVENTS, &wait, NULL);
    uint64_t now = now_us();
    for (int i = 0; i < n; i++) {
        struct conn *c = events[i].data.ptr;
        if (c->state == CONN_CLOSED)
            continue;
        if (c->state == CONN_CONNECTING) {
            conn_connected(l, c);
            continue;
        }
        if (events[i].events & EPOLLOUT)
            conn_flush(l, c);
        if (c->state != CONN_CLOSED && events[i].events & ~(uint32_t)EPOLLOUT)
            conn_read(l, c, now);
    }
}
