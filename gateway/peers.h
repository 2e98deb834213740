/* SPDX-License-Identifier: MIT */
/*
 * What is counted for each address: its connections, and the messages it may send. An IPv6 address
 * counts with its /64, for that is what one customer is given. The table is bounded: when it is
 * full of addresses that matter, all further ones share one entry.
 */
#ifndef GATEWAY_PEERS_H
#define GATEWAY_PEERS_H

#include "common/address.h"
#include "gateway/rate.h"

struct peers;

struct peer {
    struct peer *next; /* of its bucket in the table */
    struct address address;
    uint32_t conns;       /* open */
    struct bucket bucket; /* of messages */
};

struct peers *peers_new(void);
void peers_free(struct peers *ps);

/* The entry of an address, made if need be; valid until the next call of peers_sweep, or as long as
 * conns is above 0. */
struct peer *peers_get(struct peers *ps, const struct address *address);

/* Each second: forgets who has no connection and a full bucket. */
void peers_sweep(struct peers *ps, uint64_t now_us);
size_t peers_count(const struct peers *ps);

/* How many entries must be looked at for one address, at the worst: a few, whoever comes. */
size_t peers_chain_max(const struct peers *ps);

#endif
