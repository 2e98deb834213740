/* SPDX-License-Identifier: MIT */
/*
 * Redis Cluster, as far as one log needs it: all its keys have one hash tag and so live on one
 * shard, and PUBLISH reaches the subscribers of the node that runs it. So the link has to find the
 * master of that shard, and then serves as with a single server. ASK is not followed: a slot that
 * is being moved is refused until it has arrived.
 */
#include <stdio.h>
#include <stdlib.h>

#include "common/redis_internal.h"

/* MOVED <slot> <host>:<port>; the host may be empty (the one that was asked) or IPv6. */
static bool moved_read(struct str text, char *host, size_t size, uint16_t *port)
{
    char words[128];
    unsigned slot;
    int at = 0;
    if (text.len >= sizeof words)
        return false;
    memcpy(words, text.p, text.len);
    words[text.len] = 0;
    if (sscanf(words, "MOVED %5u %n", &slot, &at) < 1 || !at) /* NOLINT(cert-err34-c) */
        return false;
    char *colon = strrchr(words + at, ':');
    if (!colon)
        return false;
    *colon = 0;
    char *end;
    unsigned long number = strtoul(colon + 1, &end, 10);
    if (*end || number == 0 || number > UINT16_MAX || strlen(words + at) >= size)
        return false;
    *port = (uint16_t)number;
    memcpy(host, words + at, strlen(words + at) + 1);
    return true;
}

static void located_cb(void *arg, const struct reply *reply)
{
    struct redis *r = arg;
    char host[sizeof r->name];
    uint16_t port;
    if (!reply) /* it is being closed */
        return;
    if (reply->type != REPLY_ERROR) {
        link_step(r);
    } else if (moved_read(reply->str, host, sizeof host, &port)) {
        if (!*host)
            memcpy(host, r->name, sizeof host);
        link_move(r, host, port);
    } else {
        link_fail(r, reply->str);
    }
}

void link_locate(struct redis *r)
{
    const struct str words[] = {STR("HMGET"), str_of(r->config->key), STR("token")};
    r->state = LINK_LOCATING;
    r->awaited = 1;
    wire_command(r->sides[COMMANDS].wire, words, 3, located_cb, r);
}
