/* SPDX-License-Identifier: MIT */
/*
 * A blocking client of one request. One deadline is for all of it: what is left of it is set as the
 * socket's own timeout before each call that may wait, so a server that sends a byte now and then
 * does not hold it up either.
 *
 * Only the status line is read: /livez says nothing else that matters here.
 */
#include "common/healthcheck.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "common/clock.h"
#include "common/config.h"
#include "common/limits.h"

enum {
    PORT_MAX = 65535,
    LINE_BYTES = 64, /* of the answer: more than "HTTP/1.1 200" */
    WHY_BYTES = 160,
};

struct probe {
    union {
        struct sockaddr any;
        struct sockaddr_in v4;
        struct sockaddr_in6 v6;
    } address;
    socklen_t address_len;
    int fd;
    uint64_t deadline_ms;
    char why[WHY_BYTES]; /* it failed */
};

static bool fail(struct probe *p, const char *what)
{
    bool late = errno == EAGAIN || errno == EINPROGRESS || errno == EWOULDBLOCK;
    snprintf(p->why, sizeof p->why, "%s: %s", what, late ? "not in time" : strerror(errno));
    return false;
}

static bool address_set(struct probe *p, const char *host, const char *port)
{
    char *end;
    unsigned long number = strtoul(port, &end, 10);
    if (*end || number == 0 || number > PORT_MAX) {
        snprintf(p->why, sizeof p->why, "PORT=%.20s: a number from 1 to %d is needed", port,
                 PORT_MAX);
        return false;
    }
    if (inet_pton(AF_INET6, host, &p->address.v6.sin6_addr) == 1) {
        p->address.v6.sin6_family = AF_INET6;
        p->address.v6.sin6_port = htons((uint16_t)number);
        p->address_len = sizeof p->address.v6;
        if (IN6_IS_ADDR_UNSPECIFIED(&p->address.v6.sin6_addr))
            p->address.v6.sin6_addr = in6addr_loopback;
        return true;
    }
    memset(&p->address, 0, sizeof p->address);
    p->address.v4.sin_family = AF_INET;
    p->address.v4.sin_port = htons((uint16_t)number);
    p->address_len = sizeof p->address.v4;
    if (inet_pton(AF_INET, host, &p->address.v4.sin_addr) != 1) {
        snprintf(p->why, sizeof p->why, "HOST=%.50s: a numeric address is needed", host);
        return false;
    }
    if (p->address.v4.sin_addr.s_addr == htonl(INADDR_ANY))
        p->address.v4.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    return true;
}

/* The next call may wait for what is left. A zero would be for ever. */
static bool patience_set(struct probe *p)
{
    uint64_t now = now_ms();
    if (now >= p->deadline_ms) {
        errno = EAGAIN;
        return false;
    }
    uint64_t left = p->deadline_ms - now;
    struct timeval patience = {(time_t)(left / 1000), (suseconds_t)(left % 1000 * 1000)};
    return setsockopt(p->fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience) == 0 &&
           setsockopt(p->fd, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof patience) == 0;
}

static bool request_send(struct probe *p)
{
    static const char request[] = "GET /livez HTTP/1.1\r\nHost: localhost\r\n"
                                  "User-Agent: healthcheck\r\nConnection: close\r\n\r\n";
    if (!patience_set(p) || connect(p->fd, &p->address.any, p->address_len) != 0)
        return fail(p, "connect");
    /* The first bytes of a connection: the kernel takes them in one. */
    if (!patience_set(p) || send(p->fd, request, sizeof request - 1, MSG_NOSIGNAL) < 0)
        return fail(p, "send");
    return true;
}

static bool answer_read(struct probe *p)
{
    char line[LINE_BYTES];
    size_t len = 0;
    do {
        ssize_t n = patience_set(p) ? recv(p->fd, line + len, sizeof line - 1 - len, 0) : -1;
        if (n < 0)
            return fail(p, "answer");
        if (n == 0) {
            snprintf(p->why, sizeof p->why, "the connection was closed without an answer");
            return false;
        }
        len += (size_t)n;
    } while (len < sizeof line - 1 && !memchr(line, '\n', len));
    line[len] = 0;
    line[strcspn(line, "\r\n")] = 0;
    if (strncmp(line, "HTTP/1.1 200 ", 13) == 0)
        return true;
    snprintf(p->why, sizeof p->why, "answered %s", line);
    return false;
}

static bool probe_address(struct probe *p, const char *host, const char *port)
{
    if (!address_set(p, host, port))
        return false;
    p->fd = socket(p->address.any.sa_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (p->fd < 0)
        return fail(p, "socket");
    bool good = request_send(p) && answer_read(p);
    close(p->fd);
    return good;
}

/* Who listens on :: listens on 0.0.0.0 too, and containers without IPv6 lack ::1. */
static bool probe_run(struct probe *p, const char *host, const char *port)
{
    struct in6_addr address;
    bool every = inet_pton(AF_INET6, host, &address) == 1 && IN6_IS_ADDR_UNSPECIFIED(&address);
    return probe_address(p, host, port) || (every && probe_address(p, "0.0.0.0", port));
}

bool healthcheck_asked(int argc, char **argv)
{
    for (int i = 1; i < argc; i++)
        if (strcmp(argv[i], "--healthcheck") == 0)
            return true;
    return false;
}

int healthcheck_run(const char *program, const char *port, int argc, char **argv)
{
    struct probe p = {.deadline_ms = now_ms() + HEALTHCHECK_MS};
    const char *host = config_value("HOST", "0.0.0.0", argc, argv);
    port = config_value("PORT", port, argc, argv);
    bool good = probe_run(&p, host, port);
    fprintf(good ? stdout : stderr, "%s: host=%s port=%s: %s\n", program, host, port,
            good ? "alive" : p.why);
    return good ? EXIT_SUCCESS : EXIT_FAILURE;
}
