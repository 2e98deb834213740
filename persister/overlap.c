/* SPDX-License-Identifier: MIT */
/*
 * At each connection the part of the stream that is stored already, base < id <= position, is
 * compared with the rows: two messages under one id mean that a file or a server is not what it
 * should be (a backup put in the wrong place, a hand that wrote), and neither can be taken back. It
 * is an alarm, and nothing more: the log is followed meanwhile, a page of the one in turn with a
 * page of the other. One page and one read of READ_ROWS rows are looked at before the loop has its
 * turn.
 *
 * An entry without a row is no conflict: retention removed the row, or a stranger wrote the entry,
 * which the next opening takes out. But a read that fails gives no rows either; so where one was
 * missing a commit, which fails after such a read, ends the comparison, and a commit that failed
 * makes it begin anew.
 */
#include <inttypes.h>

#include "common/log.h"
#include "persister/ingest_internal.h"

void overlap_reset(struct ingest *g)
{
    g->overlap = (struct overlap){0};
}

void overlap_begin(struct ingest *g, const struct page *p)
{
    struct overlap *o = &g->overlap;
    if (o->begun)
        return;
    *o = (struct overlap){.begun = true, .from = p->base, .to = standing(g)->position};
    o->done = o->from >= o->to;
}

bool overlap_done(const struct ingest *g)
{
    return g->overlap.begun && g->overlap.done;
}

bool overlap_ask(struct ingest *g)
{
    const struct overlap *o = &g->overlap;
    if (!o->begun || o->done)
        return false;
    ingest_await(g, INGEST_COMPARING, o->from);
    return true;
}

/* All is compared; tells of those that were not told one by one. */
static void end(struct overlap *o)
{
    if (o->more)
        log_error("the log and SQLite differ in more messages", "count=%" PRIu64, o->more);
    o->more = 0;
    o->done = true;
}

void overlap_skip(struct ingest *g)
{
    g->overlap.begun = true;
    end(&g->overlap);
}

void overlap_contents(struct ingest *g, const struct entry *entry, const struct entry *row)
{
    struct ingest_status *s = &g->status;
    if (str_eq(entry->json, row->json))
        return;
    for (size_t i = 0; i < s->nconflict_ids; i++)
        if (s->conflict_ids[i] == entry->id)
            return;
    s->conflicts++;
    if (s->nconflict_ids == CONFLICTS_TOLD) {
        g->overlap.more++;
        return;
    }
    s->conflict_ids[s->nconflict_ids++] = entry->id;
    log_error("the log and SQLite differ in a message", "id=%" PRIu64, entry->id);
}

/* Walks the entries of the page and as many rows side by side; returns up to where. */
static uint64_t walk(struct ingest *g, const struct page *p, uint64_t upto)
{
    struct overlap *o = &g->overlap;
    const struct entries rows = g->io->entries_after(g->ctx, o->from, READ_ROWS);
    size_t r = 0;
    if (rows.more && rows.at[rows.count - 1].id < upto)
        upto = rows.at[rows.count - 1].id;
    for (size_t i = 0; i < p->count && p->entries[i].id <= upto; i++) {
        const struct entry *e = &p->entries[i];
        while (r < rows.count && rows.at[r].id < e->id)
            r++;
        if (r < rows.count && rows.at[r].id == e->id)
            overlap_contents(g, e, &rows.at[r]);
        else if (e->id > standing(g)->pruned)
            o->unsure = true;
    }
    return upto;
}

bool overlap_compare(struct ingest *g, const struct page *p)
{
    struct overlap *o = &g->overlap;
    if (!ingest_agrees(standing(g), p))
        return true; /* an opening will review it */
    uint64_t last = p->full ? p->entries[p->count - 1].id : o->to;
    o->from = walk(g, p, last < o->to ? last : o->to);
    if (o->from >= o->to)
        end(o);
    return !o->done || !o->unsure;
}
