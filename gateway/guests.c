/* SPDX-License-Identifier: MIT */
/*
 * Connections and messages counted; see guests.h. A message needs a token of its client and one of
 * its address, and takes both or none.
 *
 * The RateLimit fields are those of draft-ietf-httpapi-ratelimit-headers-10: of each policy, q is
 * the burst and w the seconds in which an empty bucket becomes full, r what is left now and t the
 * seconds until it is full.
 */
#include "gateway/guests.h"

#include <assert.h>
#include <inttypes.h>
#include <stdlib.h>

#include "common/mem.h"

enum {
    SECOND_US = 1000000,
};

struct guests {
    struct networks trusted;
    struct rate client, address;
    size_t conns_per_address;
    bool limited; /* is anything? */
    size_t count; /* guests */
    struct peers *peers;
};

struct guest {
    struct peer *peer;    /* counts it among its connections; NULL: a trusted proxy */
    struct bucket bucket; /* of CLIENT_RATE */
};

static const char client_words[] = "Too many messages on this connection: CLIENT_RATE";
static const char address_words[] = "Too many messages from this address: ADDRESS_RATE";

struct guests *guests_new(const struct guests_config *config)
{
    struct guests *gs = mem_zalloc(sizeof *gs);
    bool readable = networks_read(&gs->trusted, config->trusted_proxies);
    assert(readable); /* settings.c has checked it */
    gs->client = rate_of(config->client_rate, config->client_burst);
    gs->address = rate_of(config->address_rate, config->address_burst);
    gs->conns_per_address = config->conns_per_address;
    gs->limited = gs->client.step_us || gs->address.step_us || gs->conns_per_address;
    gs->peers = peers_new();
    return gs;
}

void guests_free(struct guests *gs)
{
    if (!gs)
        return;
    assert(!gs->count);
    peers_free(gs->peers);
    free(gs);
}

void guests_sweep(struct guests *gs, uint64_t now_us)
{
    peers_sweep(gs->peers, now_us);
}

/* ---- connections ---- */

/* Counts a connection more; false when there are enough. */
static bool guest_count(struct guests *gs, struct guest *g, const struct address *who)
{
    struct peer *p = peers_get(gs->peers, who);
    if (gs->conns_per_address && p->conns >= gs->conns_per_address)
        return false;
    p->conns++;
    g->peer = p;
    return true;
}

bool guests_open(struct guests *gs, const struct address *peer, struct guest **g,
                 struct http_refusal *no)
{
    struct guest found = {0};
    if (!gs->limited)
        return true;
    if (!networks_have(&gs->trusted, peer) && !guest_count(gs, &found, peer)) {
        *no =
            (struct http_refusal){429, "Too many connections from this address: CONNS_PER_ADDRESS"};
        return false;
    }
    *g = mem_zalloc(sizeof **g);
    **g = found;
    gs->count++;
    return true;
}

void guests_close(struct guests *gs, struct guest *g)
{
    if (!g)
        return;
    if (g->peer)
        g->peer->conns--;
    gs->count--;
    free(g);
}

static struct address behind(const struct guests *gs, const struct address *peer,
                             const struct http_request *req)
{
    struct buf *list = NULL;
    if (!networks_have(&gs->trusted, peer))
        return *peer;
    http_header_list(req, "X-Forwarded-For", &list);
    struct address found = address_behind(peer, &gs->trusted, buf_str(list));
    buf_free(&list);
    return found;
}

bool guests_settle(struct guests *gs, struct guest *g, const struct address *peer,
                   const struct http_request *req)
{
    if (!g || g->peer)
        return true;
    struct address who = behind(gs, peer, req);
    return guest_count(gs, g, &who);
}

/* ---- messages ---- */

/* The limit that is met, or NULL after a token was taken of each bucket there is. */
static const struct rate *take(struct guests *gs, struct bucket *client, struct bucket *address,
                               uint64_t now_us)
{
    if (client && bucket_wait_us(client, &gs->client, now_us))
        return &gs->client;
    if (!bucket_take(address, &gs->address, now_us))
        return &gs->address;
    if (client)
        bucket_take(client, &gs->client, now_us);
    return NULL;
}

static uint64_t seconds_up(uint64_t us)
{
    return (us + SECOND_US - 1) / SECOND_US;
}

static uint64_t retry_after(const struct bucket *b, const struct rate *met, uint64_t now_us)
{
    uint64_t wait_us = bucket_wait_us(b, met, now_us);
    return wait_us ? seconds_up(wait_us) : 1;
}

struct counted {
    const char *name; /* of the policy */
    const struct rate *rate;
    const struct bucket *bucket; /* NULL: it does not count here */
};

static void fields_add(const struct counted *all, size_t count, uint64_t now_us,
                       struct buf **headers)
{
    struct buf *state = NULL;
    const char *comma = "";
    buf_add_str(headers, STR("RateLimit-Policy: "));
    for (const struct counted *c = all; c < all + count; c++) {
        if (!c->bucket || !c->rate->step_us)
            continue;
        buf_printf(headers, "%s\"%s\";q=%" PRIu64 ";w=%" PRIu64, comma, c->name, c->rate->burst,
                   seconds_up(c->rate->burst * c->rate->step_us));
        buf_printf(&state, "%s\"%s\";r=%" PRIu64 ";t=%" PRIu64, comma, c->name,
                   bucket_left(c->bucket, c->rate, now_us),
                   seconds_up(bucket_full_in_us(c->bucket, now_us)));
        comma = ", ";
    }
    buf_add_str(headers, STR("\r\nRateLimit: "));
    buf_add_str(headers, buf_str(state));
    buf_add_str(headers, STR("\r\n"));
    buf_free(&state);
}

const char *guests_post(struct guests *gs, struct guest *g, const struct address *peer,
                        const struct http_request *req, uint64_t now_us, struct buf **headers)
{
    bool client_counts = g && g->peer && gs->client.step_us;
    if (!g || (!client_counts && !gs->address.step_us))
        return NULL;
    struct address who = behind(gs, peer, req);
    struct bucket *address = g->peer ? &g->peer->bucket : &peers_get(gs->peers, &who)->bucket;
    struct bucket *client = client_counts ? &g->bucket : NULL;
    const struct rate *met = take(gs, client, address, now_us);
    const struct counted all[] = {{"client", &gs->client, client},
                                  {"address", &gs->address, address}};
    fields_add(all, 2, now_us, headers);
    if (!met)
        return NULL;
    buf_printf(headers, "Retry-After: %" PRIu64 "\r\n",
               retry_after(met == &gs->client ? client : address, met, now_us));
    return met == &gs->client ? client_words : address_words;
}

const char *guests_frame(struct guests *gs, struct guest *g, uint64_t now_us, uint64_t *retry_s)
{
    if (!g)
        return NULL;
    const struct rate *met = take(gs, &g->bucket, &g->peer->bucket, now_us);
    if (!met)
        return NULL;
    *retry_s = retry_after(met == &gs->client ? &g->bucket : &g->peer->bucket, met, now_us);
    return met == &gs->client ? client_words : address_words;
}
