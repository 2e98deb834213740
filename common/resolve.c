/* SPDX-License-Identifier: MIT */
/*
 * Of the addresses those count to which this machine has a route: names of two families are common
 * where only one of them is connected. The library's own flag for that, AI_ADDRCONFIG, will not do:
 * it takes a machine with a unique local address (fd00::/8), as clusters have, for one without
 * IPv6. Where no address has a route, all count.
 *
 * A cancelled look-up is still answered by evdns, in a later turn of the loop. So it is an object
 * of its own, which only evdns' callback frees, and slot says whether anybody still waits for it.
 */
#include "common/resolve.h"

#include <arpa/inet.h>
#include <assert.h>
#include <event2/dns.h>
#include <event2/util.h>
#include <netdb.h>
#include <stdbool.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "common/mem.h"

struct resolve {
    struct resolve **slot; /* points here; NULL: cancelled */
    resolve_cb cb;
    void *ctx;
    unsigned turn;                           /* which of several addresses */
    struct evdns_getaddrinfo_request *asked; /* NULL until evdns took the question */
};

/* Connecting a datagram socket asks the routes and sends nothing. */
static bool has_route(const struct evutil_addrinfo *a)
{
    int fd = socket(a->ai_family, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    bool routed = fd >= 0 && connect(fd, a->ai_addr, (socklen_t)a->ai_addrlen) == 0;
    if (fd >= 0)
        close(fd);
    return routed;
}

/* Number turn, counted round, of all addresses or of those with a route; NULL: there is none. */
static const struct evutil_addrinfo *address_nth(const struct evutil_addrinfo *list, unsigned turn,
                                                 bool all)
{
    unsigned count = 0;
    for (const struct evutil_addrinfo *a = list; a; a = a->ai_next)
        count += all || has_route(a);
    if (!count)
        return NULL;
    turn %= count;
    for (const struct evutil_addrinfo *a = list; a; a = a->ai_next)
        if ((all || has_route(a)) && turn-- == 0)
            return a;
    return NULL;
}

static bool address_pick(const struct evutil_addrinfo *list, unsigned turn, char *ip, size_t size)
{
    const struct evutil_addrinfo *a = address_nth(list, turn, false);
    if (!a)
        a = address_nth(list, turn, true);
    return a && getnameinfo(a->ai_addr, (socklen_t)a->ai_addrlen, ip, (socklen_t)size, NULL, 0,
                            NI_NUMERICHOST) == 0;
}

static void resolved_cb(int error, struct evutil_addrinfo *list, void *arg)
{
    struct resolve *look = arg;
    char ip[NI_MAXHOST];
    bool found = !error && address_pick(list, look->turn, ip, sizeof ip);
    if (list)
        evutil_freeaddrinfo(list);
    if (look->slot) {
        *look->slot = NULL;
        look->cb(look->ctx, found ? ip : NULL,
                 error ? evutil_gai_strerror(error) : "the name has no address");
    }
    free(look);
}

void resolve_start(struct resolve **slot, struct evdns_base *dns, const char *host, unsigned turn,
                   resolve_cb cb, void *ctx)
{
    assert(!*slot);
    struct resolve *look = mem_alloc(sizeof *look);
    *look = (struct resolve){.slot = slot, .cb = cb, .ctx = ctx, .turn = turn};
    *slot = look;
    struct evutil_addrinfo hints = {
        .ai_family = AF_UNSPEC,
        .ai_socktype = SOCK_STREAM,
    };
    struct evdns_getaddrinfo_request *asked =
        evdns_getaddrinfo(dns, host, NULL, &hints, resolved_cb, look);
    if (asked) /* else it was answered already, and is gone */
        look->asked = asked;
}

void resolve_cancel(struct resolve **slot)
{
    struct resolve *look = *slot;
    if (!look)
        return;
    *slot = NULL;
    look->slot = NULL;
    evdns_getaddrinfo_cancel(look->asked);
}
