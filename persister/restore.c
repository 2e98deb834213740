/* SPDX-License-Identifier: MIT */
/*
 * Putting back what Redis lost. Lost is every row above both the stream's top and base: at or below
 * base SQLite alone has them, and the stream would refuse their ids.
 *
 *        base/top        newest                                last
 *   ────────┼───────────────┼───────────────────────────────────┤
 *           │ keyed rows go │ all rows go back: backlog_max     │
 *           │ back for      │ + tail of them                    │
 *           │ their keys    │                                   │
 *
 * With a loss larger than that, base becomes newest, and the first advance trims what lies below:
 * it was put there only because a key is set together with its entry, by the same script.
 *
 * A row that the stream would refuse, since it lies below newer entries or below ids that it has
 * passed, stays in SQLite alone: base rises over it, when its key is set (`keys`) and its
 * producer's record is there. Without them a retry would be a second message. So do the keys of
 * messages go back that retention has removed meanwhile.
 *
 * Producer records first, entries after: an entry that is back lifts the top, and would no longer
 * count as lost if the link broke before its producer's record was there. For the same reason
 * nothing goes back behind a read of producers or keys that failed: another opening begins.
 *
 * A record names all of its batch or a retry would double the rest. A put may end inside a batch,
 * and the link break then; so the gathering begins a batch below the lost rows, and records without
 * a lost row are left as they are.
 *
 * A large loss is worked off in slices of RESTORE_ROWS, one a tick, so that history stays served.
 */
#include <inttypes.h>
#include <stdlib.h>

#include "common/iso_time.h"
#include "common/log.h"
#include "common/mem.h"
#include "persister/ingest_internal.h"

/* <boot>:<batch>:<index> */
struct origin {
    struct str boot;
    uint64_t batch, index;
};

uint64_t restore_time(struct str json)
{
    static const char name[] = "\"created_at\":\""; /* in a value the quotes would be escaped */
    const size_t len = sizeof name - 1;
    const char *at = json.len ? memmem(json.p, json.len, name, len) : NULL;
    uint64_t ms;
    if (!at || json.len - (size_t)(at - json.p) < len + ISO_TIME_BYTES ||
        !iso_time_read((struct str){at + len, ISO_TIME_BYTES}, &ms))
        return 0;
    return ms;
}

/* ---- Producers ---- */

/* Cuts the number behind the last colon off. */
static bool number_cut(struct str *s, uint64_t *out)
{
    const char *colon = s->len ? memrchr(s->p, ':', s->len) : NULL;
    if (!colon)
        return false;
    size_t before = (size_t)(colon - s->p);
    struct str digits = {colon + 1, s->len - before - 1};
    s->len = before;
    return digits_read(digits, out);
}

static bool origin_read(struct origin *o, struct str s)
{
    o->boot = s;
    return number_cut(&o->boot, &o->index) && number_cut(&o->boot, &o->batch) && o->boot.len;
}

static struct producer *producer_of(struct ingest *g, struct str boot)
{
    struct opening *o = &g->o;
    const size_t prefix = strlen(g->names->producers);
    for (size_t i = o->nproducers; i-- > 0;)
        if (str_eq(str_of(o->producers[i].key + prefix), boot))
            return &o->producers[i];
    if (o->nproducers == o->producers_cap) {
        o->producers_cap = o->producers_cap ? o->producers_cap * 2 : 16;
        o->producers = mem_grow(o->producers, o->producers_cap, sizeof *o->producers);
    }
    struct buf *b = NULL;
    buf_add_str(&b, str_of(g->names->producers));
    buf_add_str(&b, boot);
    struct producer *p = &o->producers[o->nproducers++];
    *p = (struct producer){.key = mem_strndup(buf_str(b).p, buf_len(b))};
    buf_free(&b);
    return p;
}

/* Remembers the row when it is of its producer's last batch. */
static void producer_note(struct ingest *g, const struct entry *row)
{
    struct origin origin;
    if (!origin_read(&origin, row->origin))
        return;
    struct producer *p = producer_of(g, origin.boot);
    if (origin.batch < p->batch)
        return;
    if (origin.batch > p->batch)
        p->count = 0;
    p->batch = origin.batch;
    if (p->count == PUBLISH_BATCH_MAX)
        return;
    if (p->count == p->cap) {
        p->cap = p->cap ? p->cap * 2 : 4;
        p->stored = mem_grow(p->stored, p->cap, sizeof *p->stored);
    }
    p->stored[p->count++] = (struct produced){origin.index, row->id, restore_time(row->json)};
}

/* Gathers from a slice of the lost rows; false: SQLite fails. */
static bool collect(struct ingest *g)
{
    struct opening *o = &g->o;
    for (size_t seen = 0; o->collecting && seen < RESTORE_ROWS; seen += READ_ROWS) {
        const struct entries rows = g->io->entries_after(g->ctx, o->collected, READ_ROWS);
        for (size_t i = 0; i < rows.count; i++)
            producer_note(g, &rows.at[i]);
        if (rows.count)
            o->collected = rows.at[rows.count - 1].id;
        o->collecting = rows.more;
        if (rows.failed)
            return false;
    }
    return true;
}

static bool has_lost(const struct opening *o, const struct producer *p)
{
    return p->stored[p->count - 1].id > o->lost_above;
}

static void producer_send(struct ingest *g)
{
    const struct producer *p = &g->o.producers[g->o.producer];
    words_clear(&g->words);
    words_u64(&g->words, g->limits.window_s);
    words_u64(&g->words, p->batch);
    for (size_t i = 0; i < p->count; i++) {
        words_u64(&g->words, p->stored[i].index);
        words_u64(&g->words, p->stored[i].id);
        words_u64(&g->words, p->stored[i].time_ms);
    }
    struct str key = str_of(p->key);
    ingest_script(g, INGEST_RESTORING, "prod", g->o.number, &key, 1);
}

/* ---- Rows ---- */

static void row_add(struct ingest *g, const struct entry *row, struct str *key)
{
    bool keyed = row->key.len > 0;
    *key = keyed ? row->key : str_of(g->names->state);
    words_u64(&g->words, row->id);
    words_str(&g->words, row->json);
    words_str(&g->words, row->origin);
    words_str(&g->words, keyed ? row->value : STR(""));
    words_u64(&g->words, keyed ? g->limits.window_s : 0);
}

/* Sends the keys of the next PUT_ROWS in (keyed, keyed_to], if they have any; false: SQLite fails.
 */
static bool keys_send(struct ingest *g)
{
    struct opening *o = &g->o;
    struct str keys[PUT_ROWS];
    const struct entries rows = g->io->keys_after(g->ctx, o->keyed, PUT_ROWS);
    size_t n = 0;
    if (rows.failed)
        return false;
    words_clear(&g->words);
    words_u64(&g->words, g->limits.window_s);
    o->putting = rows.more ? rows.at[rows.count - 1].id : o->keyed_to;
    for (size_t i = 0; i < rows.count && rows.at[i].id <= o->keyed_to; i++)
        if (rows.at[i].key.len) {
            keys[n++] = rows.at[i].key;
            words_str(&g->words, rows.at[i].value);
        }
    if (n)
        ingest_script(g, INGEST_RESTORING, "keys", o->number, keys, n);
    else
        o->keyed = o->putting;
    return true;
}

/* Sends the next rows, if there are any in the next PUT_ROWS; false when all have been looked at.
 * What it sends is valid until entries_after is called again: the script is copied before. */
static bool rows_send(struct ingest *g)
{
    struct opening *o = &g->o;
    struct str keys[PUT_ROWS];
    const struct entries rows = g->io->entries_after(g->ctx, o->put, PUT_ROWS);
    words_clear(&g->words);
    o->put_rows = 0;
    o->putting = o->put;
    for (size_t i = 0; i < rows.count; i++) {
        const struct entry *row = &rows.at[i];
        o->putting = row->id;
        if (row->id <= o->newest && row->key.len == 0)
            continue;
        row_add(g, row, &keys[o->put_rows++]);
    }
    if (o->put_rows)
        ingest_script(g, INGEST_RESTORING, "put", o->number, keys, o->put_rows);
    else
        o->put = o->putting;
    return rows.count > 0;
}

/* ---- The order ---- */

static void read_failed(struct ingest *g)
{
    ingest_look_again(g, "SQLite does not read what Redis lost", RETRY_MIN_MS);
}

/* Their entries cannot be put back; keys and records can. */
static void missing_begin(struct opening *o)
{
    log_warn("the stream lacks entries below newer ones: they stay in SQLite alone",
             "first=%" PRIu64 " base=%" PRIu64, o->missing, o->base);
    o->lost_above = o->collected = o->missing - 1;
    if (o->keyed == o->keyed_to || o->keyed > o->collected)
        o->keyed = o->collected;
    o->keyed_to = max_u64(o->keyed_to, o->base);
}

void restore_begin(struct ingest *g)
{
    struct opening *o = &g->o;
    uint64_t has = max_u64(o->top, o->base);
    uint64_t window = g->io->window_floor(g->ctx);
    o->newest = g->io->newest_floor(g->ctx, g->limits.backlog_max + g->limits.tail);
    o->put = max_u64(has, o->newest < window ? o->newest : window);
    o->lost_above = has;
    o->collected = o->put;
    if (o->had < standing(g)->pruned) {
        o->keyed = max_u64(o->had, window);
        o->keyed_to = max_u64(o->keyed, standing(g)->pruned);
    }
    if (o->missing)
        missing_begin(o);
    if (o->newest > has)
        o->base = o->newest;
    o->collected -= o->collected < PUBLISH_BATCH_MAX ? o->collected : PUBLISH_BATCH_MAX;
    o->collecting = true;
    ingest_state_set(g, INGEST_RESTORING);
    restore_step(g);
}

void restore_step(struct ingest *g)
{
    struct opening *o = &g->o;
    if (o->collecting && !collect(g)) {
        read_failed(g);
        return;
    }
    if (o->collecting)
        return; /* until the next tick */
    while (o->producer < o->nproducers && !has_lost(o, &o->producers[o->producer]))
        o->producer++;
    if (o->producer < o->nproducers) {
        producer_send(g);
        return;
    }
    for (size_t seen = 0; seen < RESTORE_ROWS && !g->script_asked; seen += PUT_ROWS)
        if (o->keyed < o->keyed_to) {
            if (!keys_send(g)) {
                read_failed(g);
                return;
            }
        } else if (!rows_send(g)) {
            opening_grant(g);
            return;
        }
}

void restore_replied(struct ingest *g)
{
    struct opening *o = &g->o;
    if (o->producer < o->nproducers) {
        o->producer++;
    } else if (o->keyed < o->keyed_to) {
        o->keyed = o->putting;
    } else {
        g->status.restored += o->put_rows;
        o->put = o->putting;
    }
    restore_step(g);
}

void restore_give_up(struct ingest *g)
{
    struct opening *o = &g->o;
    log_error("the stream refuses rows that it lost: they stay in SQLite alone", "");
    o->base = max_u64(o->base, standing(g)->last);
    o->keyed = o->put;
    o->keyed_to = o->put = o->base;
    restore_step(g);
}

void restore_clear(struct opening *o)
{
    for (size_t i = 0; i < o->nproducers; i++) {
        free(o->producers[i].key);
        free(o->producers[i].stored);
    }
    free(o->producers);
    o->producers = NULL;
    o->nproducers = 0;
}
