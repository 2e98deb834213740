/* SPDX-License-Identifier: MIT */
/*
 * Opening the log: making SQLite and the stream agree while nobody publishes, then letting ids go
 * on above everything that was ever allowed.
 *
 *   NUMBERING   n+1 is in SQLite before Redis hears of it: no number is used for two openings
 *   SEALING     nobody publishes from here on; the number's seal also ends an earlier opening's
 *               late scripts
 *   REVIEWING   the stream from base to position, against the rows: entries without a row are void
 *               (a partitioned master gave them, or Redis came back with an older log) and go, with
 *               key and producer record; a row without an entry below newer entries cannot be put
 *               back, so base rises to it, once restore.c has put back its key and its producer's
 *               record. CONFIRMING comes between finding and taking out
 *   DRAINING    what is above position is stored
 *   RESTORING   restore.c
 *   GRANTING    S is above every lease ever granted: no id is used twice, whatever was lost
 *   OPENING     with position = S in SQLite, the first id is S + 1
 *
 * Every page shows whether the seal still holds and the server is the same; else all begins anew.
 */
#include <assert.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "common/log.h"
#include "common/mem.h"
#include "persister/ingest_internal.h"

static void strays_clear(struct opening *o)
{
    for (size_t i = 0; i < o->nstrays; i++) {
        free(o->strays[i].key);
        free(o->strays[i].producer);
    }
    o->nstrays = 0;
    o->stray = 0;
}

void opening_clear(struct opening *o)
{
    strays_clear(o);
    free(o->strays);
    restore_clear(o);
    *o = (struct opening){0};
}

void opening_begin(struct ingest *g, const struct page *p)
{
    const struct store_log *own = standing(g);
    struct opening *o = &g->o;
    g->settled = false;
    snprintf(g->why, sizeof g->why, "the log is being opened");
    if (p->here.len == 0 || p->here.len > sizeof o->here) {
        ingest_look_again(g, "Redis tells no replication id", RETRY_MIN_MS);
        return;
    }
    opening_clear(o);
    o->number = max_u64(own->opening, p->opening) + 1;
    memcpy(o->here, p->here.p, p->here.len);
    o->here_len = p->here.len;
    o->reviewed = p->base < own->position ? p->base : own->position;
    ingest_commit(g, INGEST_NUMBERING, NULL, 0, (struct store_commit){.opening = o->number});
}

/* Does the seal of this opening still hold, on the same server? */
static bool still_ours(const struct opening *o, const struct page *p)
{
    char sealed[32];
    snprintf(sealed, sizeof sealed, "sealed:%" PRIu64, o->number);
    return p->opening == o->number && str_eq(p->token, str_of(sealed)) &&
           str_eq(p->here, (struct str){o->here, o->here_len});
}

/* ---- Reviewing ---- */

static void stray_add(struct ingest *g, const struct entry *e)
{
    struct opening *o = &g->o;
    if (e->id <= standing(g)->pruned)
        return; /* it had a row */
    if (o->nstrays == o->strays_cap) {
        o->strays_cap = o->strays_cap ? o->strays_cap * 2 : 16;
        o->strays = mem_grow(o->strays, o->strays_cap, sizeof *o->strays);
    }
    struct stray *s = &o->strays[o->nstrays++];
    *s = (struct stray){.id = e->id};
    if (e->key.len)
        s->key = mem_strndup(e->key.p, e->key.len);
    const char *colon = e->origin.len ? memchr(e->origin.p, ':', e->origin.len) : NULL;
    if (colon) {
        struct buf *b = NULL;
        buf_add_str(&b, str_of(g->names->producers));
        buf_add(&b, e->origin.p, (size_t)(colon - e->origin.p));
        s->producer = mem_strndup(buf_str(b).p, buf_len(b));
        buf_free(&b);
    }
}

/* Its entry cannot be put back. */
static void missing_note(struct opening *o, uint64_t id)
{
    if (!o->missing)
        o->missing = id;
    o->base = max_u64(o->base, id);
}

/* Walks n entries and the rows of (o->reviewed, upto] side by side. */
static void compare(struct ingest *g, const struct entry *entries, size_t n, uint64_t upto)
{
    struct opening *o = &g->o;
    uint64_t cursor = o->reviewed;
    size_t i = 0;
    while (cursor < upto) {
        const struct entries rows = g->io->entries_after(g->ctx, cursor, READ_ROWS);
        for (size_t r = 0; r < rows.count && rows.at[r].id <= upto; r++) {
            const struct entry *row = &rows.at[r];
            while (i < n && entries[i].id < row->id)
                stray_add(g, &entries[i++]);
            if (i < n && entries[i].id == row->id)
                overlap_contents(g, &entries[i++], row); /* the log opens even so */
            else
                missing_note(o, row->id);
        }
        cursor = rows.more ? rows.at[rows.count - 1].id : upto;
    }
    while (i < n)
        stray_add(g, &entries[i++]);
}

/* Takes out the next stray; when none is left, goes on to the next page. */
static void review_go_on(struct ingest *g)
{
    struct opening *o = &g->o;
    if (o->stray < o->nstrays) {
        const struct stray *s = &o->strays[o->stray];
        struct str keys[] = {str_of(s->key ? s->key : g->names->state),
                             str_of(s->producer ? s->producer : g->names->state)};
        words_clear(&g->words);
        words_u64(&g->words, s->id);
        ingest_script(g, INGEST_VOIDING, "void", o->number, keys, 2);
        return;
    }
    strays_clear(o);
    o->reviewed = o->reviewing;
    if (o->review_ends)
        ingest_await(g, INGEST_DRAINING, standing(g)->position);
    else
        ingest_await(g, INGEST_REVIEWING, o->reviewed);
}

void opening_review(struct ingest *g, const struct page *p)
{
    struct opening *o = &g->o;
    if (!still_ours(o, p)) {
        ingest_look_again(g, "the log changed while it was being opened", 0);
        return;
    }
    uint64_t position = standing(g)->position;
    size_t n = 0;
    while (n < p->count && p->entries[n].id <= position)
        n++;
    bool passed =
        n < p->count; /* the stream goes on above position: rows up to there are all due */
    o->review_ends = passed || !p->full;
    o->reviewing = passed ? position : n ? p->entries[n - 1].id : o->reviewed;
    compare(g, p->entries, n, o->reviewing);
    if (o->nstrays) /* a read that failed would make everything a stray: then this commit fails */
        ingest_commit(g, INGEST_CONFIRMING, NULL, 0, (struct store_commit){0});
    else
        review_go_on(g);
}

/* ---- Draining ---- */

void opening_drain(struct ingest *g, const struct page *p)
{
    struct opening *o = &g->o;
    if (!still_ours(o, p)) {
        ingest_look_again(g, "the log changed while it was being opened", 0);
        return;
    }
    if (p->count) { /* the lease stays: it is not granted yet, and S must be above it */
        ingest_commit(g, INGEST_SAVING, p->entries, p->count,
                      (struct store_commit){.position = p->entries[p->count - 1].id});
        return;
    }
    const struct store_log *own = standing(g);
    if (p->top > own->last && !o->reviewed_again) { /* SQLite left it out: it is no message */
        o->reviewed_again = true;
        o->reviewed = own->last;
        ingest_await(g, INGEST_REVIEWING, o->reviewed);
        return;
    }
    o->seq = p->seq;
    o->lease = p->lease;
    o->high = p->high;
    o->ts = p->ts;
    o->top = p->top;
    o->had = max_u64(p->top, p->base);
    o->base = max_u64(o->base, p->base);
    if (!p->base && !p->top) /* the stream is new: what exists begins behind what was pruned */
        o->base = max_u64(o->base, own->pruned);
    restore_begin(g);
}

/* ---- Granting and opening ---- */

/* created_at of the newest row: no later message may be older. */
static uint64_t last_time(struct ingest *g)
{
    uint64_t last = standing(g)->last;
    if (last == 0)
        return 0;
    const struct entries rows = g->io->entries_after(g->ctx, last - 1, 1);
    return rows.count ? restore_time(rows.at[0].json) : 0;
}

void opening_grant(struct ingest *g)
{
    const struct store_log *own = standing(g);
    struct opening *o = &g->o;
    o->ts = max_u64(o->ts, last_time(g)); /* read before the commit, which fails if this does */
    uint64_t s = max_u64(max_u64(own->position, own->last), own->lease);
    s = max_u64(s, max_u64(o->seq, o->lease));
    s = max_u64(s, max_u64(o->top, o->high));
    ingest_commit(g, INGEST_GRANTING, NULL, 0,
                  (struct store_commit){.position = s, .lease = s + g->limits.backlog_max});
}

static void open_log(struct ingest *g)
{
    struct opening *o = &g->o;
    const struct store_log *own = standing(g);
    words_clear(&g->words);
    words_str(&g->words, (struct str){o->here, o->here_len});
    words_u64(&g->words, own->position);
    words_u64(&g->words, own->lease);
    words_u64(&g->words, own->last);
    words_u64(&g->words, o->base);
    words_u64(&g->words, o->ts);
    words_str(&g->words, str_of(g->names->control));
    ingest_script(g, INGEST_OPENING, "open", o->number, NULL, 0);
}

static void opened(struct ingest *g)
{
    struct opening *o = &g->o;
    const struct store_log *own = standing(g);
    memcpy(g->here, o->here, o->here_len);
    g->here_len = o->here_len;
    g->prev = own->last;
    g->from = own->position;
    g->status.openings++;
    log_info("log opened", "opening=%" PRIu64 " prev=%" PRIu64 " from=%" PRIu64 " lease=%" PRIu64,
             o->number, own->last, own->position, own->lease);
    opening_clear(o);
    overlap_skip(g); /* the review has seen all of it */
    ingest_advance(g, true);
}

void opening_committed(struct ingest *g)
{
    switch (g->state) {
    case INGEST_NUMBERING:
        words_clear(&g->words);
        ingest_script(g, INGEST_SEALING, "seal", g->o.number, NULL, 0);
        break;
    case INGEST_CONFIRMING:
        review_go_on(g);
        break;
    case INGEST_SAVING:
        ingest_await(g, INGEST_DRAINING, standing(g)->position);
        break;
    case INGEST_GRANTING:
        open_log(g);
        break;
    default:
        abort();
    }
}

void opening_replied(struct ingest *g)
{
    switch (g->state) {
    case INGEST_SEALING:
        ingest_await(g, INGEST_REVIEWING, g->o.reviewed);
        break;
    case INGEST_VOIDING:
        log_warn("an entry of the log is void: SQLite never had it", "id=%" PRIu64,
                 g->o.strays[g->o.stray].id);
        g->o.stray++;
        g->status.voided++;
        review_go_on(g);
        break;
    case INGEST_RESTORING:
        restore_replied(g);
        break;
    case INGEST_OPENING:
        opened(g);
        break;
    default:
        abort();
    }
}
