/* SPDX-License-Identifier: MIT */
/*
 * The listening socket. What accepted sockets inherit (TCP_NODELAY, TCP_NOTSENT_LOWAT) is set here
 * once instead of for each. With TCP_DEFER_ACCEPT a connection is accepted when its first bytes
 * are there.
 *
 * Who may not stay is still answered: beyond conns_max, or where server_ops.opened says no, a
 * connection is accepted, told why and closed. Without free descriptors nothing can be accepted,
 * and a level-triggered listener would spin: accepting pauses, and at each retry a spare descriptor
 * lets some be told 503.
 */
#include <arpa/inet.h>
#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <sys/socket.h>
#include <unistd.h>

#include "common/log.h"
#include "common/server_internal.h"

enum {
    STARVED_MS = 200,      /* a pause of accepting */
    DROPPED_READS_MAX = 4, /* of who is turned away: its request, not all that it can send */
    ANSWER_BYTES = 512,    /* of what it is told */
};

static const struct http_refusal no_room = {503, "Too many connections"};

/* Tells a connection why it may not stay. Its request is read first: closing a socket with unread
 * bytes resets it, and the answer would be lost. */
static void turn_away(struct server *s, int fd, struct http_refusal no)
{
    char answer[ANSWER_BYTES], dropped[4096];
    s->counts.turned_away++;
    int size = snprintf(answer, sizeof answer,
                        "HTTP/1.1 %d %s\r\n"
                        "Content-Type: application/json\r\n"
                        "Content-Length: %zu\r\n"
                        "%s"
                        "Retry-After: 1\r\n"
                        "Connection: close\r\n"
                        "\r\n"
                        "{\"detail\":\"%s\"}",
                        no.status, http_status_words(no.status),
                        strlen("{\"detail\":\"\"}") + strlen(no.reason), server_date(s), no.reason);
    assert(size > 0 && size < ANSWER_BYTES);
    for (int i = 0; i < DROPPED_READS_MAX; i++)
        if (recv(fd, dropped, sizeof dropped, MSG_DONTWAIT) < (ssize_t)sizeof dropped)
            break;
    send(fd, answer, (size_t)size, MSG_DONTWAIT | MSG_NOSIGNAL);
    shutdown(fd, SHUT_WR);
    close(fd);
}

static int accept_one(struct server *s, struct address *peer)
{
    struct sockaddr_storage from = {0};
    socklen_t size = sizeof from;
    int fd = accept4(event_get_fd(&s->listening), (struct sockaddr *)&from, &size,
                     SOCK_NONBLOCK | SOCK_CLOEXEC);
    *peer = address_of((struct sockaddr *)&from);
    return fd;
}

static int spare_open(void)
{
    return open("/dev/null", O_RDONLY | O_CLOEXEC);
}

/* No descriptor is left. */
static void listener_starve(struct server *s, int error)
{
    if (!s->starving)
        log_warn("accepting paused", "reason=%s connections=%zu", strerror(error), s->nconns);
    s->starving = true;
    s->counts.pauses++;
    if (s->spare >= 0)
        close(s->spare);
    struct address peer;
    for (int i = 0, fd; i < TURN_ACCEPTS && (fd = accept_one(s, &peer)) >= 0; i++)
        turn_away(s, fd, no_room);
    s->spare = spare_open();
    event_del(&s->listening);
}

/* All that waited have been accepted. */
static void listener_emptied(struct server *s)
{
    if (s->starving)
        log_info("accepting resumed", "connections=%zu", s->nconns);
    s->starving = false;
}

static void listener_admit(struct server *s, int fd, const struct address *peer)
{
    struct http_refusal no = no_room;
    void *guest = NULL;
    bool room = s->nconns < s->conns_max;
    if (room && (!s->ops->opened || s->ops->opened(s->ctx, peer, &guest, &no))) {
        s->counts.accepted++;
        conn_new(s, fd, peer, guest);
    } else {
        turn_away(s, fd, no);
    }
}

void listener_tell_closed(struct conn *c)
{
    if (c->guest)
        c->server->ops->closed(c->server->ctx, c->guest);
    c->guest = NULL;
}

/* False: nothing more to accept for now. */
static bool listener_accept(struct server *s)
{
    struct address peer;
    int fd = accept_one(s, &peer);
    if (fd >= 0) {
        listener_admit(s, fd, &peer);
        return !s->draining;
    }
    switch (errno) {
    case EMFILE:
    case ENFILE:
    case ENOBUFS:
    case ENOMEM:
        listener_starve(s, errno);
        return false;
    case EAGAIN:
        listener_emptied(s);
        return false;
    default: /* this one has gone before it was accepted */
        return true;
    }
}

static void listener_accept_some(struct server *s)
{
    server_begins_reading(s); /* who is accepted is read at once */
    for (int i = 0; i < TURN_ACCEPTS; i++)
        if (!listener_accept(s) || server_has_read(s))
            return;
}

static void listening_cb(evutil_socket_t fd, short what, void *arg)
{
    (void)fd, (void)what;
    struct server *s = arg;
    listener_accept_some(s);
    /* When nobody connects, only another try finds out that it is over. */
    if (s->starving && !s->draining)
        event_add(&s->starved, &(struct timeval){.tv_usec = STARVED_MS * 1000L});
}

static void starved_cb(evutil_socket_t fd, short what, void *arg)
{
    struct server *s = arg;
    event_add(&s->listening, NULL);
    listening_cb(fd, what, s);
}

/* ---- opening ---- */

static bool address_parse(const struct server_config *config, struct sockaddr_storage *address,
                          socklen_t *size)
{
    struct sockaddr_in *v4 = (struct sockaddr_in *)address;
    struct sockaddr_in6 *v6 = (struct sockaddr_in6 *)address;
    memset(address, 0, sizeof *address);
    if (inet_pton(AF_INET, config->host, &v4->sin_addr) == 1) {
        v4->sin_family = AF_INET;
        v4->sin_port = htons((uint16_t)config->port);
        *size = sizeof *v4;
        return true;
    }
    if (inet_pton(AF_INET6, config->host, &v6->sin6_addr) == 1) {
        v6->sin6_family = AF_INET6;
        v6->sin6_port = htons((uint16_t)config->port);
        *size = sizeof *v6;
        return true;
    }
    return false;
}

static void set_option(int fd, int level, int option, int value)
{
    setsockopt(fd, level, option, &value, sizeof value); /* each is only for speed or comfort */
}

static bool listen_at(int fd, const struct sockaddr_storage *address, socklen_t size)
{
    set_option(fd, SOL_SOCKET, SO_REUSEADDR, 1);
    set_option(fd, IPPROTO_TCP, TCP_NODELAY, 1);
    set_option(fd, IPPROTO_TCP, TCP_NOTSENT_LOWAT, NOTSENT_LOWAT_BYTES);
    set_option(fd, IPPROTO_TCP, TCP_DEFER_ACCEPT, 1);
    if (address->ss_family == AF_INET6)
        set_option(fd, IPPROTO_IPV6, IPV6_V6ONLY, 0);
    return bind(fd, (const struct sockaddr *)address, size) == 0 && listen(fd, LISTEN_BACKLOG) == 0;
}

static unsigned port_of(int fd)
{
    union {
        struct sockaddr any;
        struct sockaddr_in v4;
        struct sockaddr_in6 v6;
    } address = {.v6 = {.sin6_port = 0}};
    socklen_t size = sizeof address;
    if (getsockname(fd, &address.any, &size))
        return 0;
    return ntohs(address.any.sa_family == AF_INET ? address.v4.sin_port : address.v6.sin6_port);
}

bool listener_open(struct server *s, const struct server_config *config, char *error, size_t size)
{
    struct sockaddr_storage address;
    socklen_t address_size;
    if (!address_parse(config, &address, &address_size)) {
        snprintf(error, size, "%s is not a numeric address", config->host);
        return false;
    }
    int fd = socket(address.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0 || !listen_at(fd, &address, address_size)) {
        snprintf(error, size, "cannot listen on %s port %u: %s", config->host, config->port,
                 strerror(errno));
        if (fd >= 0)
            close(fd);
        return false;
    }
    s->port = port_of(fd);
    s->spare = spare_open();
    event_assign(&s->listening, s->base, fd, EV_READ | EV_PERSIST, listening_cb, s);
    event_assign(&s->starved, s->base, -1, 0, starved_cb, s);
    event_add(&s->listening, NULL);
    return true;
}

void listener_close(struct server *s)
{
    int fd = event_get_fd(&s->listening);
    if (fd < 0)
        return;
    event_del(&s->listening);
    event_del(&s->starved);
    close(fd);
    if (s->spare >= 0)
        close(s->spare);
    event_assign(&s->listening, s->base, -1, EV_READ, listening_cb, s);
}
