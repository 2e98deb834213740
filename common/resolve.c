/* SPDX-License-Identifier: MIT */
/*
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

#include "common/mem.h"

struct resolve {
    struct resolve **slot; /* points here; NULL: cancelled */
    resolve_cb cb;
    void *ctx;
    unsigned turn;                           /* which of several addresses */
    struct evdns_getaddrinfo_request *asked; /* NULL until evdns took the question */
};

static bool address_pick(const struct evutil_addrinfo *list, unsigned turn, char *ip, size_t size)
{
    unsigned count = 0;
    for (const struct evutil_addrinfo *a = list; a; a = a->ai_next)
        count++;
    if (!count)
        return false;
    const struct evutil_addrinfo *a = list;
    for (unsigned skip = turn % count; skip; skip--)
        a = a->ai_next;
    return getnameinfo(a->ai_addr, (socklen_t)a->ai_addrlen, ip, (socklen_t)size, NULL, 0,
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
        .ai_flags = EVUTIL_AI_ADDRCONFIG,
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
