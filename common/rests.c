/* SPDX-License-Identifier: MIT */
/*
 * Connections that rest: they are not read for REFUSAL_PAUSE_MS, since they were refused.
 *
 *   - Connections that are refused again and again (refusals.h) rest, so that a flood of wrong
 *     requests takes a small part of the server's time, whatever is sent.
 *   - Whom a refusal ends rests before we look whether the peer has closed as well (RFC 9112,
 *     9.6). Mostly it has by then, and epoll need not be told of it: a refusal costs less than
 *     what is served. A good peer's descriptor is not kept for so long.
 *
 * All of them are on one waiting list, in the order of their deadlines, and share one timer. A wait
 * of the loop for it costs as much as twenty refusals: who is due soon is woken with the first.
 */
#include <errno.h>
#include <sys/socket.h>

#include "common/server_internal.h"

enum {
    DISCARD_BYTES = 1 << 20,        /* thrown away at once */
    SOON_MS = REFUSAL_PAUSE_MS / 4, /* also more than the coarse clock may be late */
};

/* The kernel drops it without copying it; see tcp(7). */
void conn_discard(struct conn *c)
{
    ssize_t n = recv(conn_fd(c), NULL, DISCARD_BYTES, MSG_DONTWAIT | MSG_TRUNC);
    if (n == 0 || (n < 0 && errno != EAGAIN && errno != EINTR))
        conn_doom(c);
}

/* A 5xx is not the peer's fault, and no merit. */
void conn_count_refusal(struct conn *c, int status, bool last)
{
    if (status < 400)
        refusals_redeem(&c->refusals);
    if (status < 400 || status >= 500)
        return;
    uint64_t now_ms = server_now_ms();
    bool many = refusals_add(&c->refusals, now_ms) != REFUSALS_FEW;
    if (!(many && refusals_pause(&c->server->burst, now_ms)) && !last)
        return;
    c->resting = true;
    c->renew = true;
    c->server->counts.rests++;
}

/* ---- the end of a rest ---- */

static void conn_wake(struct conn *c)
{
    c->resting = false;
    if (c->state == CONN_LINGER)
        conn_discard(c);
    conn_resume(c);
    conn_settle(c);
}

static void rested_cb(evutil_socket_t fd, short what, void *arg)
{
    (void)fd, (void)what;
    struct server *s = arg;
    uint64_t now_ms = server_now_ms();
    bool over = false;
    server_begins_reading(s); /* they are read on */
    for (struct conn *c; !over && (c = TAILQ_FIRST(&s->waits[WAIT_REST]));) {
        if (c->deadline_ms > now_ms + SOON_MS)
            break;
        conn_wake(c);
        over = server_has_read(s);
    }
    rests_await(s);
}

void rests_await(struct server *s)
{
    const struct conn *c = TAILQ_FIRST(&s->waits[WAIT_REST]);
    if (!c || evtimer_pending(&s->rested, NULL))
        return;
    uint64_t now_ms = server_now_ms();
    uint64_t left_ms = c->deadline_ms > now_ms ? c->deadline_ms - now_ms : 0;
    evtimer_add(&s->rested, &(struct timeval){.tv_usec = (suseconds_t)left_ms * 1000});
}

void rests_init(struct server *s)
{
    s->burst.most = REFUSALS_BURST;
    evtimer_assign(&s->rested, s->base, rested_cb, s);
}

void rests_done(struct server *s)
{
    event_del(&s->rested);
}
