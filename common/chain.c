/* SPDX-License-Identifier: MIT */
/*
 * The chain itself; see chain.h. It trusts its caller that nothing is left out between two
 * messages: the feed hands each one on exactly once and in order, and tells of every gap.
 */
#include "common/chain.h"

#include <assert.h>
#include <inttypes.h>
#include <stdio.h>

enum {
    SHOWN_DIGITS = 16, /* of a hash: enough to compare 2^32 of them */
};

uint64_t chain_window(uint64_t id)
{
    return id ? (id - 1) / CHAIN_WINDOW * CHAIN_WINDOW : 0;
}

static void window_begin(struct chain *c, uint64_t start)
{
    c->known = true;
    c->start = start;
    c->last = (struct chain_mark){0};
    memset(c->hash, '0', SHA1_HEX);
    c->hash[SHA1_HEX] = 0;
}

void chain_begin(struct chain *c, uint64_t start)
{
    assert(start % CHAIN_WINDOW == 0);
    *c = (struct chain){0};
    window_begin(c, start);
}

void chain_lose(struct chain *c, uint64_t position)
{
    *c = (struct chain){.start = position ? chain_window(position) : UINT64_MAX};
}

void chain_add(struct chain *c, uint64_t id, struct str json)
{
    char text[24];
    unsigned char digest[SHA1_BYTES];
    struct sha1 sha;
    if (chain_window(id) != c->start) {
        if (c->known && c->last.id)
            c->ends[c->nends++ % CHAIN_ENDS] = c->last;
        window_begin(c, chain_window(id));
    }
    if (!c->known)
        return;
    int len = snprintf(text, sizeof text, "%" PRIu64 ":", id);
    sha1_init(&sha);
    sha1_add(&sha, (struct str){c->hash, SHA1_HEX});
    sha1_add(&sha, (struct str){text, (size_t)len});
    sha1_add(&sha, json);
    sha1_done(&sha, digest);
    sha1_hex(digest, c->hash);
    c->last.id = id;
    memcpy(c->last.hash, c->hash, sizeof c->hash);
    c->recent[c->nrecent++ % CHAIN_RECENT] = c->last;
}

static void add_marks(struct buf **json, const struct chain_mark *marks, uint64_t written,
                      uint64_t size, bool *first)
{
    for (uint64_t i = written > size ? written - size : 0; i < written; i++) {
        const struct chain_mark *m = &marks[i % size];
        buf_printf(json, "%s[%" PRIu64 ",\"%.*s\"]", *first ? "" : ",", m->id, SHOWN_DIGITS,
                   m->hash);
        *first = false;
    }
}

void chain_describe(const struct chain *c, struct buf **json)
{
    bool first = true;
    buf_printf(json,
               "{\"known\":%s,\"start\":%" PRIu64 ",\"last\":%" PRIu64
               ",\"hash\":\"%.*s\",\"marks\":[",
               c->known ? "true" : "false", c->known ? c->start : 0, c->last.id,
               c->known ? SHOWN_DIGITS : 0, c->hash);
    add_marks(json, c->ends, c->nends, CHAIN_ENDS, &first);
    add_marks(json, c->recent, c->nrecent, CHAIN_RECENT, &first);
    buf_add_str(json, STR("]}"));
}
