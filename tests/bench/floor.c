/* SPDX-License-Identifier: MIT */
/*
 * chat-floor PORT send|io_uring: what the kernel alone charges for a fan-out. It upgrades every
 * connection, and sends each text frame that comes to all of them, with the id and the time that a
 * chat's message has: no parsing of JSON, no rooms, no log, no queue for who is slow. What came in
 * one turn of the loop goes in one write to each.
 */
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include "common/batch.h"
#include "common/buf.h"
#include "gateway/websocket.h"

enum {
    FILES_MAX = 200000,
    EVENTS = 64,
};

static int fds[FILES_MAX]; /* of the clients */
static size_t nfds;
static struct ws_reader *readers[FILES_MAX]; /* by descriptor; NULL: before its upgrade */
static struct buf *turn;                     /* frames that came in this turn */
static int epoll;

static void client_end(int fd)
{
    for (size_t i = 0; i < nfds; i++)
        if (fds[i] == fd) {
            fds[i] = fds[--nfds];
            break;
        }
    free(readers[fd]);
    readers[fd] = NULL;
    close(fd);
}

static void client_upgrade(int fd, const char *request, size_t len)
{
    static const char name[] = "Sec-WebSocket-Key: ";
    const char *key = memmem(request, len, name, sizeof name - 1);
    char accept[WS_ACCEPT_BYTES];
    struct buf *answer = NULL;
    if (!key || key + sizeof name - 1 + 24 > request + len) {
        client_end(fd);
        return;
    }
    ws_accept((struct str){key + sizeof name - 1, 24}, accept);
    buf_printf(&answer,
               "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
               "Sec-WebSocket-Accept: %.*s\r\n\r\n",
               WS_ACCEPT_BYTES, accept);
    if (send(fd, buf_str(answer).p, answer->len, MSG_NOSIGNAL) > 0) {
        readers[fd] = calloc(1, sizeof *readers[fd]);
        fds[nfds++] = fd;
    }
    buf_free(&answer);
}

static void message_add(struct str text)
{
    static const char head[] = "{\"id\":1234567,", time[] = ",\"created_at\":"
                                                            "\"2026-01-01T00:00:00.000Z\","
                                                            "\"room\":\"lobby\"}";
    char header[WS_HEADER_MAX];
    size_t len = sizeof head - 1 + text.len - 2 + sizeof time - 1;
    buf_add(&turn, header, ws_header_write(header, WS_TEXT, len));
    buf_add(&turn, head, sizeof head - 1);
    buf_add(&turn, text.p + 1, text.len - 2);
    buf_add(&turn, time, sizeof time - 1);
}

static void client_read(int fd)
{
    static char bytes[1 << 16];
    struct ws_result r;
    ssize_t n = recv(fd, bytes, sizeof bytes, MSG_DONTWAIT);
    if (n < 0 && errno == EAGAIN)
        return;
    if (n <= 0) {
        client_end(fd);
        return;
    }
    if (!readers[fd]) {
        client_upgrade(fd, bytes, (size_t)n);
        return;
    }
    for (size_t used = 0; used < (size_t)n; used += r.used) {
        ws_read(readers[fd], bytes + used, (size_t)n - used, sizeof bytes, &r);
        if (r.event == WS_MESSAGE && r.piece.len > 2)
            message_add(r.piece);
        else if (r.event == WS_NEED_MORE || r.event == WS_FAIL || r.opcode == WS_CLOSE)
            break;
    }
}

static void fan_out(void)
{
    static struct batch_job jobs[BATCH_JOBS];
    struct str all = buf_str(turn);
    const struct iovec iov = {(void *)(uintptr_t)all.p, all.len};
    for (size_t i = 0; all.len && i < nfds; i += BATCH_JOBS) {
        size_t count = nfds - i < BATCH_JOBS ? nfds - i : BATCH_JOBS;
        for (size_t k = 0; k < count; k++)
            jobs[k] = (struct batch_job){.fd = fds[i + k], .iov = &iov, .iovs = 1, .len = all.len};
        batch_run(jobs, count);
    }
    buf_free(&turn);
}

static void clients_accept(int listener)
{
    for (int fd; (fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC)) >= 0;) {
        struct epoll_event e = {.events = EPOLLIN, .data.fd = fd};
        if (fd >= FILES_MAX)
            close(fd);
        else
            epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &e);
    }
}

static int listen_at(const char *port)
{
    const int on = 1;
    struct sockaddr_in at = {.sin_family = AF_INET,
                             .sin_port = htons((uint16_t)atoi(port)),
                             .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    setsockopt(fd, IPPROTO_TCP, TCP_DEFER_ACCEPT, &on, sizeof on);
    if (bind(fd, (struct sockaddr *)&at, sizeof at) || listen(fd, LISTEN_BACKLOG)) {
        perror("chat-floor: listen");
        exit(2);
    }
    return fd;
}

int main(int argc, char **argv)
{
    struct rlimit files;
    const char *why;
    if (argc != 3 || (strcmp(argv[2], "send") != 0 && strcmp(argv[2], "io_uring") != 0)) {
        fprintf(stderr, "usage: chat-floor PORT send|io_uring\n");
        return 2;
    }
    if (!batch_open(*argv[2] == 'i' ? BATCH_IO_URING : BATCH_SENDMSG, &why)) {
        fprintf(stderr, "chat-floor: no io_uring: %s\n", why);
        return 3;
    }
    getrlimit(RLIMIT_NOFILE, &files);
    files.rlim_cur = files.rlim_max;
    setrlimit(RLIMIT_NOFILE, &files);
    int listener = listen_at(argv[1]);
    epoll = epoll_create1(EPOLL_CLOEXEC);
    struct epoll_event e = {.events = EPOLLIN, .data.fd = listener};
    epoll_ctl(epoll, EPOLL_CTL_ADD, listener, &e);
    for (;;) {
        struct epoll_event events[EVENTS];
        int n = epoll_wait(epoll, events, EVENTS, -1);
        for (int i = 0; i < n; i++)
            if (events[i].data.fd == listener)
                clients_accept(listener);
            else
                client_read(events[i].data.fd);
        fan_out();
    }
}
