/* SPDX-License-Identifier: MIT */
/*
 * Streams: explicit ids only, and each above the highest that was ever given, which neither XDEL
 * nor XTRIM lowers. A stream stays when it is empty.
 */
#include <inttypes.h>
#include <stdio.h>

#include "db_internal.h"

/* <ms>-<seq>, or <ms> alone, which means missing_seq. */
static bool id_read(struct str s, uint64_t missing_seq, uint64_t *ms, uint64_t *seq)
{
    const char *dash = s.len ? memchr(s.p, '-', s.len) : NULL;
    size_t head = dash ? (size_t)(dash - s.p) : s.len;
    *seq = missing_seq;
    return number_read((struct str){s.p, head}, ms) &&
           (!dash || number_read((struct str){dash + 1, s.len - head - 1}, seq));
}

static bool above(uint64_t ms, uint64_t seq, uint64_t than_ms, uint64_t than_seq)
{
    return ms > than_ms || (ms == than_ms && seq > than_seq);
}

static struct reply bad_id(void)
{
    return reply_error("ERR Invalid stream ID specified as stream command argument");
}

/* XADD key id field value … */
struct reply run_xadd(struct db *db, const struct str *argv, size_t n, uint64_t now_ms)
{
    uint64_t ms, seq;
    if (n < 5 || n % 2 == 0)
        return wrong_count();
    if (!id_read(argv[2], 0, &ms, &seq))
        return bad_id();
    struct key *k = db_find(db, argv[1], now_ms);
    if (k && k->type != KEY_STREAM)
        return wrong_type();
    if (ms == 0 && seq == 0)
        return reply_error("ERR The ID specified in XADD must be greater than 0-0");
    if (k && !above(ms, seq, k->last_ms, k->last_seq))
        return reply_error("ERR The ID specified in XADD is equal or smaller than the target "
                           "stream top item");
    if (!k)
        k = db_make(db, argv[1], KEY_STREAM);
    size_t end = k->first + k->count;
    if (end == k->cap)
        k->items = arena_grow(k->items, end, &k->cap, sizeof *k->items);
    struct item *item = &k->items[end];
    *item = (struct item){ms, seq, NULL, (n - 3) / 2};
    item->fields = arena_alloc(item->count * sizeof *item->fields);
    for (size_t i = 0; i < item->count; i++)
        item->fields[i] = (struct field){arena_str(argv[3 + 2 * i]), arena_str(argv[4 + 2 * i])};
    k->count++;
    k->last_ms = ms;
    k->last_seq = seq;
    return reply_text(arena_printf("%" PRIu64 "-%" PRIu64, ms, seq));
}

struct reply run_xdel(struct db *db, const struct str *argv, size_t n, uint64_t now_ms)
{
    int64_t removed = 0;
    struct key *k = db_find(db, argv[1], now_ms);
    if (k && k->type != KEY_STREAM)
        return wrong_type();
    for (size_t a = 2; a < n; a++) {
        uint64_t ms, seq;
        if (!id_read(argv[a], 0, &ms, &seq))
            return bad_id();
        for (size_t i = 0; k && i < k->count; i++) {
            struct item *item = &k->items[k->first + i];
            if (item->ms != ms || item->seq != seq)
                continue;
            memmove(item, item + 1, (k->count - i - 1) * sizeof *item);
            k->count--;
            removed++;
            break;
        }
    }
    return reply_number(removed);
}

/* XTRIM key MINID id */
struct reply run_xtrim(struct db *db, const struct str *argv, size_t n, uint64_t now_ms)
{
    uint64_t ms, seq;
    int64_t removed = 0;
    if (n != 4 || !word_is(argv[2], "MINID") || !id_read(argv[3], 0, &ms, &seq))
        return bad_id();
    struct key *k = db_find(db, argv[1], now_ms);
    if (k && k->type != KEY_STREAM)
        return wrong_type();
    while (k && k->count && above(ms, seq, k->items[k->first].ms, k->items[k->first].seq)) {
        k->first++;
        k->count--;
        removed++;
    }
    return reply_number(removed);
}

static struct reply item_reply(const struct item *item)
{
    struct reply *pair = arena_alloc(2 * sizeof *pair);
    struct reply *fields = arena_alloc(2 * item->count * sizeof *fields);
    for (size_t i = 0; i < item->count; i++) {
        fields[2 * i] = reply_text(item->fields[i].name);
        fields[2 * i + 1] = reply_text(item->fields[i].value);
    }
    pair[0] = reply_text(arena_printf("%" PRIu64 "-%" PRIu64, item->ms, item->seq));
    pair[1] = (struct reply){.type = REPLY_ARRAY, .n = 2 * item->count, .at = fields};
    return (struct reply){.type = REPLY_ARRAY, .n = 2, .at = pair};
}

struct bound {
    uint64_t ms, seq;
    bool open; /* the bound itself is not meant */
};

static bool bound_read(struct str s, bool upper, struct bound *b)
{
    *b = (struct bound){0};
    if (s.len && s.p[0] == '(') {
        b->open = true;
        s = (struct str){s.p + 1, s.len - 1};
    }
    if (str_eq(s, STR("-")))
        return true;
    if (str_eq(s, STR("+"))) {
        b->ms = b->seq = UINT64_MAX;
        return true;
    }
    return id_read(s, upper ? UINT64_MAX : 0, &b->ms, &b->seq);
}

static bool within(const struct item *i, const struct bound *low, const struct bound *high)
{
    bool over = above(i->ms, i->seq, low->ms, low->seq) ||
                (!low->open && i->ms == low->ms && i->seq == low->seq);
    bool under = above(high->ms, high->seq, i->ms, i->seq) ||
                 (!high->open && i->ms == high->ms && i->seq == high->seq);
    return over && under;
}

/* X[REV]RANGE key from to [COUNT n] */
static struct reply range(struct db *db, const struct str *argv, size_t n, uint64_t now_ms,
                          bool reverse)
{
    struct bound low, high;
    uint64_t limit = UINT64_MAX;
    if (n != 4 && n != 6)
        return wrong_count();
    if (!bound_read(argv[reverse ? 3 : 2], false, &low) ||
        !bound_read(argv[reverse ? 2 : 3], true, &high))
        return bad_id();
    if (high.open && high.ms == 0 && high.seq == 0)
        return reply_error("ERR invalid end ID for the interval");
    if (n == 6 && (!word_is(argv[4], "COUNT") || !number_read(argv[5], &limit)))
        return reply_error("ERR syntax error");
    struct key *k = db_find(db, argv[1], now_ms);
    if (k && k->type != KEY_STREAM)
        return wrong_type();
    size_t count = k ? k->count : 0, found = 0;
    struct reply *at = arena_alloc((count < limit ? count : limit) * sizeof *at);
    for (size_t i = 0; i < count && found < limit; i++) {
        const struct item *item = &k->items[k->first + (reverse ? count - 1 - i : i)];
        if (within(item, &low, &high))
            at[found++] = item_reply(item);
    }
    return (struct reply){.type = REPLY_ARRAY, .n = found, .at = at};
}

struct reply run_xrange(struct db *db, const struct str *argv, size_t n, uint64_t now_ms)
{
    return range(db, argv, n, now_ms, false);
}

struct reply run_xrevrange(struct db *db, const struct str *argv, size_t n, uint64_t now_ms)
{
    return range(db, argv, n, now_ms, true);
}

struct reply run_xlen(struct db *db, const struct str *argv, size_t n, uint64_t now_ms)
{
    struct key *k = db_find(db, argv[1], now_ms);
    if (n != 2)
        return wrong_count();
    if (k && k->type != KEY_STREAM)
        return wrong_type();
    return reply_number(k ? (int64_t)k->count : 0);
}
