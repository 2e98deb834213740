/* SPDX-License-Identifier: MIT */
/*
 * What a connection sends. Bytes go out in batches at the end of a turn (server.c), and here is
 * what follows: more of them later, when the socket has room, or the next requests.
 */
#include <assert.h>
#include <errno.h>

#include "common/server_internal.h"

static void conn_writable_cb(evutil_socket_t fd, short what, void *arg)
{
    (void)fd, (void)what;
    struct conn *c = arg;
    event_free(c->writable);
    c->writable = NULL;
    conn_owe(c);
}

static void conn_await_room(struct conn *c)
{
    c->writable = event_new(c->server->base, conn_fd(c), EV_WRITE, conn_writable_cb, c);
    assert(c->writable);
    event_add(c->writable, NULL);
}

/* A byte now and then is no progress: it would hold the answers' memory for hours. */
static void conn_count_progress(struct conn *c, size_t sent)
{
    c->progress = c->wait == WAIT_WRITE ? c->progress + sent : 0;
    if (c->progress < HTTP_WRITE_BYTES)
        return;
    c->progress = 0;
    c->renew = true;
}

void conn_sent(struct conn *c, ssize_t sent)
{
    if (sent < 0 && sent != -EAGAIN && sent != -EINTR) {
        conn_doom(c);
        return;
    }
    size_t n = sent > 0 ? (size_t)sent : 0;
    buf_take(&c->out, n);
    conn_count_unsent(c);
    if (n && c->blocked)
        conn_owe(c);
    if (c->out) {
        conn_await_room(c);
        conn_count_progress(c, n);
    } else {
        c->answers = 0;
    }
    conn_settle(c);
}
