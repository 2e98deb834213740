/* SPDX-License-Identifier: MIT */
/*
 * The persister's chain is made anew each time, of what SQLite has of the window and of the one
 * before it: so it is a check of the file, and not of what once went in. The window before gives a
 * hash that gateways still have when messages come so fast that they have forgotten the others.
 */
#include "persister/lab.h"

#include <inttypes.h>
#include <stdlib.h>

#include "common/chain.h"
#include "common/lab.h"
#include "common/mem.h"

struct persister_lab {
    struct lab *lab;
    struct link *link;
    struct store *store;
};

/* Adds all from the chain's start up to position. */
static void add_rows(struct store *store, uint64_t position, struct chain *chain)
{
    uint64_t after = chain->start;
    for (bool more = true; more;) {
        const struct entries rows = store_entries_after(store, after, 2 * (size_t)CHAIN_WINDOW);
        for (size_t i = 0; i < rows.count && rows.at[i].id <= position; i++)
            chain_add(chain, rows.at[i].id, rows.at[i].json);
        if (rows.failed)
            chain_lose(chain, position);
        more = rows.more;
        if (more)
            after = rows.at[rows.count - 1].id;
    }
}

static void add_chain(struct store *store, const struct store_log *log, struct buf **json)
{
    struct chain chain;
    uint64_t start = chain_window(log->position);
    if (start && log->pruned <= start - CHAIN_WINDOW)
        start -= CHAIN_WINDOW;
    if (log->pruned > start) {
        chain_lose(&chain, log->position);
    } else {
        chain_begin(&chain, start);
        add_rows(store, log->position, &chain);
    }
    buf_add_str(json, STR(",\"chain\":"));
    chain_describe(&chain, json);
}

static void describe(void *ctx, struct buf **json)
{
    const struct persister_lab *p = ctx;
    const struct store_log *log = store_standing(p->store);
    buf_printf(json,
               ",\"opening\":%" PRIu64 ",\"lease\":%" PRIu64 ",\"stored\":%" PRIu64
               ",\"state\":\"%s\",\"file\":\"%s\"",
               log->opening, log->lease, log->position, link_ingest(p->link)->state, log->owner);
    add_chain(p->store, log, json);
}

struct persister_lab *persister_lab_new(struct event_base *base, struct evdns_base *dns,
                                        const struct settings *settings, struct link *link,
                                        struct store *store)
{
    struct persister_lab *p = mem_zalloc(sizeof *p);
    const struct lab_config config = {.role = "persister",
                                      .name = "persister",
                                      .prefix = settings->redis_prefix,
                                      .log = link_for_lab(link)};
    p->link = link;
    p->store = store;
    p->lab = lab_new(base, dns, &config, describe, p);
    return p;
}

void persister_lab_free(struct persister_lab *p)
{
    if (!p)
        return;
    lab_free(p->lab);
    free(p);
}
