/* SPDX-License-Identifier: MIT */
/* Asks the sentinels of a URL, one after the other, for the master's address. */
#ifndef COMMON_SENTINEL_H
#define COMMON_SENTINEL_H

#include "common/redis_url.h"

struct event_base;
struct evdns_base;
struct redis_tls;
struct sentinel;

/* host is NULL when none of them knew, and why tells what the last one said or did; all is valid
 * during the call only. From here sentinel_ask may be called, sentinel_free may not. */
typedef void (*sentinel_cb)(void *ctx, const char *host, uint16_t port, const char *why);

/* Borrows all until sentinel_free. tls is NULL when they are asked in plain text. */
struct sentinel *sentinel_new(struct event_base *base, struct evdns_base *dns,
                              const struct redis_url *url, struct redis_tls *tls, sentinel_cb cb,
                              void *ctx);
void sentinel_free(struct sentinel *s);

/* With tls it must be loaded. The callback follows, once and not from within this call, unless
 * sentinel_stop comes first. Each sentinel has SENTINEL_MS; the one that answered last time is the
 * first to be asked. */
void sentinel_ask(struct sentinel *s);
void sentinel_stop(struct sentinel *s);

#endif
