/* SPDX-License-Identifier: MIT */
/* A hash table of addresses that doubles as it fills, up to PEERS_MAX. */
#include "gateway/peers.h"

#include <stdlib.h>
#include <sys/random.h>

#include "common/limits.h"
#include "common/mem.h"

enum {
    BUCKETS_MIN = 64,
};

struct peers {
    struct peer **buckets;
    size_t nbuckets, count; /* nbuckets is a power of two */
    uint64_t secret;        /* so that nobody chooses addresses that share a bucket */
    struct peer others;     /* whoever finds no room */
};

struct peers *peers_new(void)
{
    struct peers *ps = mem_zalloc(sizeof *ps);
    ps->nbuckets = BUCKETS_MIN;
    ps->buckets = mem_zalloc(BUCKETS_MIN * sizeof(struct peer *));
    if (getrandom(&ps->secret, sizeof ps->secret, 0) < 0)
        ps->secret = (uintptr_t)ps; /* a machine without entropy: better than nothing */
    return ps;
}

void peers_free(struct peers *ps)
{
    if (!ps)
        return;
    for (size_t i = 0; i < ps->nbuckets; i++)
        for (struct peer *p = ps->buckets[i], *next; p; p = next) {
            next = p->next;
            free(p);
        }
    free(ps->buckets);
    free(ps);
}

size_t peers_count(const struct peers *ps)
{
    return ps->count;
}

size_t peers_chain_max(const struct peers *ps)
{
    size_t max = 0;
    for (size_t i = 0; i < ps->nbuckets; i++) {
        size_t len = 0;
        for (const struct peer *p = ps->buckets[i]; p; p = p->next)
            len++;
        max = len > max ? len : max;
    }
    return max;
}

/* The /64 of an IPv6 address, an IPv4 address whole. */
static struct address customer(const struct address *a)
{
    struct address c = *a;
    if (!address_is_v4(a))
        memset(c.bytes + 8, 0, 8);
    return c;
}

/* A multiplication carries a bit upwards only, and the shift brings the upper half down; a last
 * round brings down what came in at the top, which is where an IPv4 address has its last byte. */
static size_t slot_of(const struct peers *ps, const struct address *a)
{
    uint64_t halves[2], h = ps->secret;
    memcpy(halves, a->bytes, sizeof halves);
    for (int i = 0; i < 2; i++) {
        h = (h ^ halves[i]) * 0x9e3779b97f4a7c15u;
        h ^= h >> 32;
    }
    h *= 0x9e3779b97f4a7c15u;
    h ^= h >> 32;
    return h & (ps->nbuckets - 1);
}

static void grow(struct peers *ps)
{
    struct peer **old = ps->buckets;
    size_t n = ps->nbuckets;
    ps->nbuckets = n * 2;
    ps->buckets = mem_zalloc(ps->nbuckets * sizeof(struct peer *));
    for (size_t i = 0; i < n; i++)
        for (struct peer *p = old[i], *next; p; p = next) {
            next = p->next;
            size_t slot = slot_of(ps, &p->address);
            p->next = ps->buckets[slot];
            ps->buckets[slot] = p;
        }
    free(old);
}

struct peer *peers_get(struct peers *ps, const struct address *address)
{
    const struct address whom = customer(address);
    struct peer *p = ps->buckets[slot_of(ps, &whom)];
    while (p && !address_eq(&p->address, &whom))
        p = p->next;
    if (p)
        return p;
    if (ps->count == PEERS_MAX)
        return &ps->others;
    if (ps->count == ps->nbuckets)
        grow(ps);
    size_t slot = slot_of(ps, &whom);
    p = mem_zalloc(sizeof *p);
    p->address = whom;
    p->next = ps->buckets[slot];
    ps->buckets[slot] = p;
    ps->count++;
    return p;
}

void peers_sweep(struct peers *ps, uint64_t now_us)
{
    for (size_t i = 0; i < ps->nbuckets && ps->count; i++)
        for (struct peer **at = &ps->buckets[i], *p; (p = *at);) {
            if (p->conns || bucket_full_in_us(&p->bucket, now_us)) {
                at = &p->next;
                continue;
            }
            *at = p->next;
            ps->count--;
            free(p);
        }
}
