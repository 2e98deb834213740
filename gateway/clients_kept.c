/* SPDX-License-Identifier: MIT */
/*
 * What clients make this gateway keep, in sum: halves of messages, and bytes of their own (pongs,
 * acks, errors, history) that their sockets do not take. What a socket may still take at the end of
 * the turn does not count, so a frame that goes out at once costs nothing here; nor does a room's
 * log, which is kept once for all.
 */
#include "gateway/clients_internal.h"

_Static_assert(WS_KEPT_BYTES_MAX >= JOINS_UNSENT_BYTES_MAX + JOINS_ASKED_MAX * HISTORY_BYTES_MAX,
               "those who join do not press each other out");

void client_count_kept(struct client *c)
{
    bool stuck = c->full || c->state == CLIENT_DOOMED;
    size_t half = buf_cap(c->in) + buf_cap(c->message);
    budget_count(&c->clients->kept, &c->kept, c, half + (stuck ? buf_cap(c->out) : 0));
}

size_t clients_kept(const struct clients *cs)
{
    return cs->kept.kept;
}

/* It is told why, if it takes bytes; else no word would reach it. */
static void give_way(struct client *c)
{
    bool told = !c->full && c->state < CLIENT_CLOSING;
    client_close(c, WS_CLOSE_TRY_AGAIN, "too much is kept for clients: reconnect later");
    c->deaf = true;
    buf_free(&c->in);
    buf_free(&c->message);
    if (!told) {
        client_doom(c);
        buf_free(&c->out);
    }
    client_count_kept(c);
}

void clients_shed(struct clients *cs)
{
    for (struct client *c; (c = budget_debtor(&cs->kept));)
        give_way(c);
}
