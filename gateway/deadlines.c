/* SPDX-License-Identifier: MIT */
/*
 * The deadlines of clients: a wheel of buckets, one for each second, so that nobody is looked at
 * before its time has come. A byte from a client moves nothing; it is found out at the deadline.
 * Nor does the beginning of a message, whose own deadline is later than what the client waits for.
 *
 * Many may be due in one second (who connected together is pinged together): a tick looks at some,
 * the rest waits for the next one.
 */
#include "gateway/clients_internal.h"

enum {
    TICK_CLIENTS = 1000,     /* looked at in one tick, and … */
    TICK_CLIENTS_SHARE = 50, /* … this part of all, so that it keeps up with any number */
};

static struct client_list *bucket_of(struct clients *cs, uint64_t ms)
{
    return &cs->deadlines[ms / 1000 % DEADLINE_BUCKETS];
}

void deadlines_init(struct clients *cs, uint64_t now_ms)
{
    for (size_t i = 0; i < DEADLINE_BUCKETS; i++)
        TAILQ_INIT(&cs->deadlines[i]);
    cs->emptied_s = now_ms / 1000;
}

void deadline_set(struct client *c, uint64_t due_ms)
{
    c->due_ms = due_ms;
    TAILQ_INSERT_TAIL(bucket_of(c->clients, due_ms), c, queued);
}

void deadline_clear(struct client *c)
{
    TAILQ_REMOVE(bucket_of(c->clients, c->due_ms), c, queued);
}

void deadline_move(struct client *c, uint64_t due_ms)
{
    deadline_clear(c);
    deadline_set(c, due_ms);
}

/* At due_ms, or at the deadline of a message under way if that is earlier. */
static void look_again(struct client *c, uint64_t due_ms)
{
    uint64_t message_ms = c->message_due_s * (uint64_t)1000;
    deadline_move(c, message_ms && message_ms < due_ms ? message_ms : due_ms);
}

static void deadline_came(struct client *c, uint64_t now_ms)
{
    uint64_t silent_ms = now_ms - c->heard_ms;
    if (c->state == CLIENT_CLOSING) {
        client_doom(c);
    } else if (c->message_due_s && c->message_due_s < now_ms / 1000) {
        client_close(c, WS_CLOSE_POLICY, "the message took too long");
    } else if (c->pinged && silent_ms >= WS_PING_MS + WS_PONG_MS) {
        c->clients->counts.silent++;
        client_doom(c);
    } else if (c->pinged) { /* it was due for a message that is not under way any more */
        look_again(c, c->heard_ms + WS_PING_MS + WS_PONG_MS);
    } else if (silent_ms < WS_PING_MS) {
        look_again(c, c->heard_ms + WS_PING_MS);
    } else {
        look_again(c, now_ms + WS_PONG_MS);
        c->pinged = true;
        client_send(c, WS_PING, STR(""));
    }
}

void clients_tick(struct clients *cs, uint64_t now_ms)
{
    joins_tick(cs, now_ms);
    size_t left = TICK_CLIENTS + cs->count / TICK_CLIENTS_SHARE;
    uint64_t now_s = now_ms / 1000;
    if (now_s - cs->emptied_s > DEADLINE_LATE_S) /* the process was stopped */
        cs->emptied_s = now_s - DEADLINE_LATE_S;
    for (; cs->emptied_s < now_s; cs->emptied_s++) {
        struct client_list *due = bucket_of(cs, cs->emptied_s * 1000);
        for (struct client *c; (c = TAILQ_FIRST(due)); left--) {
            if (!left)
                return;
            deadline_came(c, now_ms);
        }
    }
}

size_t clients_drain(struct clients *cs, size_t count)
{
    for (size_t i = 0; i < DEADLINE_BUCKETS; i++)
        for (struct client *c = TAILQ_FIRST(&cs->deadlines[i]), *next; c && count; c = next) {
            next = TAILQ_NEXT(c, queued);
            if (c->state >= CLIENT_CLOSING)
                continue;
            client_close(c, WS_CLOSE_RESTART, "this server restarts: reconnect");
            count--;
        }
    return cs->count;
}
