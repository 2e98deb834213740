/* SPDX-License-Identifier: MIT */
/*
 * Where Redis is, taken out of a URL. Pure.
 *
 *   redis://[[user]:password@]host[:port][/db]
 *   redis+sentinel://[[user]:password@]host[:port][,host[:port]…]/master[/db]
 *   rediss://… and rediss+sentinel://…, the same over TLS, to the sentinels too
 *
 * User, password and master are percent-decoded; an IPv6 address stands in brackets. The password
 * is that of the master: sentinels are asked without one.
 */
#ifndef COMMON_REDIS_URL_H
#define COMMON_REDIS_URL_H

#include <stdbool.h>
#include <stdint.h>

#include "common/limits.h"
#include "common/str.h"

struct redis_host {
    const char *name; /* a name or an address, without brackets */
    uint16_t port;
};

struct redis_url {
    char *text;           /* owned: what the pointers here point into */
    const char *user;     /* "" when there is none */
    const char *password; /* "" when there is none */
    const char *master;   /* the sentinels' name of it; NULL: hosts[0] is the server itself */
    bool tls;
    unsigned db;
    size_t nhosts; /* 1 without sentinels */
    struct redis_host hosts[SENTINELS_MAX];
};

/* NULL when the URL is right, else static words that say what is accepted, and nothing is owned. */
const char *redis_url_parse(struct redis_url *u, const char *url);
void redis_url_done(struct redis_url *u);

#endif
