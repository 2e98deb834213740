/* SPDX-License-Identifier: MIT */
/*
 * Clients whose messages are refused again and again; see common/refusals.h. One that is to pause
 * rests: it is not read until a timer that all who rest share has passed, so for REFUSAL_PAUSE_MS
 * at the most. Who goes on is closed.
 */
#include <event2/event.h>
#include <stdlib.h>

#include "common/clock.h"
#include "common/mem.h"
#include "gateway/clients_internal.h"

static void over_cb(evutil_socket_t fd, short what, void *arg)
{
    (void)fd, (void)what;
    struct rests *rests = &((struct clients *)arg)->rests;
    for (size_t i = 0; i < rests->n; i++) {
        rests->clients[i]->resting = false;
        client_release(rests->clients[i]); /* read on at the end of the turn */
    }
    rests->n = 0;
}

void client_rests_init(struct clients *cs, struct event_base *base)
{
    cs->rests.burst.most = WS_REFUSALS_BURST;
    evtimer_assign(&cs->rests.over, base, over_cb, cs);
}

void client_rests_done(struct clients *cs)
{
    event_del(&cs->rests.over);
    event_debug_unassign(&cs->rests.over);
    free(cs->rests.clients);
}

static void rest(struct client *c)
{
    struct rests *rests = &c->clients->rests;
    if (c->resting)
        return;
    if (rests->n == rests->cap) {
        rests->cap = rests->cap * 2 + 64;
        rests->clients = mem_grow(rests->clients, rests->cap, sizeof(struct client *));
    }
    rests->clients[rests->n++] = c;
    c->resting = true;
    c->clients->counts.rests++;
    client_hold(c);
    if (rests->n == 1)
        evtimer_add(&rests->over, &(struct timeval){.tv_usec = REFUSAL_PAUSE_MS * 1000L});
}

void client_refused(struct client *c, const char *why)
{
    if (c->state >= CLIENT_CLOSING)
        return;
    uint64_t ms = now_ms();
    switch (refusals_add(&c->refusals, ms)) {
    case REFUSALS_FEW:
        break;
    case REFUSALS_MANY:
        if (refusals_pause(&c->clients->rests.burst, ms))
            rest(c);
        break;
    case REFUSALS_TOO_MANY:
        client_close(c, WS_CLOSE_RATE, why);
        break;
    }
}
