/* SPDX-License-Identifier: MIT */
/* A host's address, looked up without blocking the loop: numbers, /etc/hosts, then DNS. */
#ifndef COMMON_RESOLVE_H
#define COMMON_RESOLVE_H

struct evdns_base;
struct resolve;

/* ip is NULL when there is none, and why says so; both are valid during the call only. */
typedef void (*resolve_cb)(void *ctx, const char *ip, const char *why);

/*
 * The callback is called once, perhaps before this returns; *slot is set while it is awaited. Of
 * several addresses it gets number `turn`, counted round: who counts up tries them all in time.
 */
void resolve_start(struct resolve **slot, struct evdns_base *dns, const char *host, unsigned turn,
                   resolve_cb cb, void *ctx);

/* Clears *slot, if it is set: the callback will not be called. */
void resolve_cancel(struct resolve **slot);

#endif
