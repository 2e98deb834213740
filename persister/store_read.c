/* SPDX-License-Identifier: MIT */
/*
 * Reading, in the loop, on a query_only connection of its own: in WAL mode a commit under way does
 * not stall it. Every statement is reset as soon as it has told what it knows: one that is left
 * open pins its snapshot, and no checkpoint could pass it.
 *
 * What is stored are the parts of a message; its JSON is written anew by message_add, the same
 * bytes that the log once carried.
 */
#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "common/limits.h"
#include "common/mem.h"
#include "common/message.h"
#include "persister/store_internal.h"

#define COLUMNS "id, username, content, created_at, room"
#define RANGE "id > ?1 AND id < ?2"

static const char *const sql[READER_STATEMENTS] = {
    [READER_LOG] = log_select,
    [READER_ENTRIES] = "SELECT m.id, m.username, m.content, m.created_at, m.room,"
                       " o.origin, o.key, o.value"
                       " FROM messages m LEFT JOIN origins o ON o.id = m.id AND o.at >= ?3"
                       " WHERE m.id > ?1 ORDER BY m.id LIMIT ?2",
    [READER_KEYS] = "SELECT id, origin, key, value FROM origins"
                    " WHERE id > ?1 AND at >= ?3 ORDER BY id LIMIT ?2",
    [READER_NEWEST_FLOOR] = "SELECT id FROM messages ORDER BY id DESC LIMIT 1 OFFSET ?1",
    [READER_WINDOW] = "SELECT id - 1 FROM origins WHERE at >= ?1 ORDER BY id LIMIT 1",
    [READER_OLDEST] = "SELECT " COLUMNS " FROM messages WHERE " RANGE " ORDER BY id LIMIT ?3",
    [READER_NEWEST] = "SELECT " COLUMNS " FROM messages WHERE " RANGE " ORDER BY id DESC LIMIT ?3",
    [READER_ROOM_OLDEST] = "SELECT " COLUMNS " FROM messages INDEXED BY messages_room"
                           " WHERE room = ?4 AND " RANGE " ORDER BY id LIMIT ?3",
    [READER_ROOM_NEWEST] = "SELECT " COLUMNS " FROM messages INDEXED BY messages_room"
                           " WHERE room = ?4 AND " RANGE " ORDER BY id DESC LIMIT ?3",
};

bool reader_prepare(struct store *s)
{
    return statements_prepare(s->reader, sql, s->reads, READER_STATEMENTS);
}

/* Notes how a read ended: its words, or that all is well. */
static bool note(struct store *s, bool ok)
{
    if (ok)
        s->read_trouble[0] = 0;
    else
        snprintf(s->read_trouble, sizeof s->read_trouble, "%s", sqlite3_errmsg(s->reader));
    return ok;
}

/* Likewise, for a read that the engine decides on. */
static bool note_for_engine(struct store *s, bool ok)
{
    if (!note(s, ok))
        memcpy(s->unsure, s->read_trouble, sizeof s->unsure);
    return ok;
}

static void add_message(struct buf **out, sqlite3_stmt *row)
{
    message_add(out, column_u64(row, 0), column_str(row, 1), column_str(row, 2), column_str(row, 3),
                column_str(row, 4));
}

/* The time at which the window of origins begins. */
static uint64_t window_begin(const struct store *s)
{
    uint64_t now = (uint64_t)time(NULL);
    return now > s->window_s ? now - s->window_s : 0;
}

/* The id that a statement gives, or without a row `otherwise`; the last one when SQLite fails. */
static uint64_t read_id(struct store *s, sqlite3_stmt *r, uint64_t otherwise)
{
    int step = sqlite3_step(r);
    uint64_t id = step == SQLITE_ROW ? column_u64(r, 0) : otherwise;
    if (!note_for_engine(s, step == SQLITE_ROW || step == SQLITE_DONE))
        id = s->standing.last;
    statement_reset(r);
    return id;
}

uint64_t store_newest_floor(struct store *s, uint64_t n)
{
    sqlite3_stmt *r = s->reads[READER_NEWEST_FLOOR];
    bind_u64(r, 1, n);
    return read_id(s, r, 0);
}

uint64_t store_window_floor(struct store *s)
{
    sqlite3_stmt *r = s->reads[READER_WINDOW];
    bind_u64(r, 1, window_begin(s));
    return read_id(s, r, s->standing.last);
}

/* ---- entries, as the stream had them ---- */

/* The bytes are appended to one buffer, which may move: until all are there, p is NULL and the
 * strings have only their lengths, in the order json, origin, key, value. whole: with the message.
 */
static struct entry read_entry(struct buf **bytes, sqlite3_stmt *row, bool whole)
{
    struct entry e = {.id = column_u64(row, 0)};
    size_t before = buf_len(*bytes);
    if (whole)
        add_message(bytes, row);
    e.json.len = buf_len(*bytes) - before;
    struct str *rest[] = {&e.origin, &e.key, &e.value};
    for (int i = 0; i < 3; i++) {
        struct str text = column_str(row, (whole ? 5 : 1) + i);
        buf_add_str(bytes, text);
        rest[i]->len = text.len;
    }
    return e;
}

static void place_entries(struct entry *entries, size_t count, struct str bytes)
{
    for (size_t i = 0; i < count; i++) {
        struct str *all[] = {&entries[i].json, &entries[i].origin, &entries[i].key,
                             &entries[i].value};
        for (size_t k = 0; k < sizeof all / sizeof *all; k++) {
            all[k]->p = bytes.p;
            bytes.p += all[k]->len;
        }
    }
}

static struct entries read_entries(struct store *s, enum reader_statement which, uint64_t after,
                                   size_t limit)
{
    sqlite3_stmt *r = s->reads[which];
    struct entries e = {0};
    size_t room = 0;
    int step = SQLITE_DONE;
    buf_free(&s->entry_bytes);
    bind_u64(r, 1, after);
    bind_u64(r, 2, limit);
    bind_u64(r, 3, window_begin(s));
    while (!e.more && (step = sqlite3_step(r)) == SQLITE_ROW) {
        if (e.count == room) {
            room = room ? room * 2 : 64;
            s->entries = mem_grow(s->entries, room, sizeof *s->entries);
        }
        s->entries[e.count++] = read_entry(&s->entry_bytes, r, which == READER_ENTRIES);
        e.more = e.count == limit || buf_len(s->entry_bytes) >= ROWS_BYTES;
    }
    statement_reset(r);
    if (!note_for_engine(s, e.more || step == SQLITE_DONE))
        return (struct entries){.failed = true};
    place_entries(s->entries, e.count, buf_str(s->entry_bytes));
    e.at = s->entries;
    return e;
}

struct entries store_entries_after(struct store *s, uint64_t after, size_t limit)
{
    return read_entries(s, READER_ENTRIES, after, limit);
}

struct entries store_keys_after(struct store *s, uint64_t after, size_t limit)
{
    return read_entries(s, READER_KEYS, after, limit);
}

/* ---- history ---- */

static sqlite3_stmt *bind_query(struct store *s, const struct store_query *q)
{
    enum reader_statement which = q->has_after ? READER_OLDEST : READER_NEWEST;
    if (q->room.len)
        which = q->has_after ? READER_ROOM_OLDEST : READER_ROOM_NEWEST;
    sqlite3_stmt *r = s->reads[which];
    bind_u64(r, 1, q->after);
    bind_u64(r, 2, q->before);
    bind_u64(r, 3, q->limit);
    if (q->room.len)
        bind_str(r, 4, q->room);
    return r;
}

static bool read_log(struct store *s, struct store_page *page)
{
    sqlite3_stmt *r = s->reads[READER_LOG];
    struct store_log log;
    bool ok = sqlite3_step(r) == SQLITE_ROW;
    if (ok) {
        log_columns(r, &log);
        page->position = log.position;
        page->pruned = log.pruned;
    }
    statement_reset(r);
    return ok;
}

/* Puts the page's messages, which were read newest first, in the order of their ids; ends has where
 * each ends. */
static void turn_round(struct store_page *page, const size_t *ends)
{
    struct buf *turned = NULL;
    struct str json = buf_str(page->json);
    buf_reserve(&turned, json.len);
    for (size_t i = page->count; i-- > 0;) {
        size_t begin = i ? ends[i - 1] : 0;
        buf_add(&turned, json.p + begin, ends[i] - begin);
    }
    buf_free(&page->json);
    page->json = turned;
}

static bool read_messages(struct store *s, const struct store_query *q, char end,
                          struct store_page *page)
{
    sqlite3_stmt *r = bind_query(s, q);
    size_t *ends = mem_grow(NULL, q->limit, sizeof *ends);
    int step = SQLITE_DONE;
    bool cut = false;
    while (!cut && (step = sqlite3_step(r)) == SQLITE_ROW) {
        add_message(&page->json, r);
        buf_add_char(&page->json, end);
        ends[page->count++] = buf_len(page->json);
        cut = q->bytes_max && buf_len(page->json) > q->bytes_max;
    }
    statement_reset(r);
    if (!q->has_after && page->count > 1)
        turn_round(page, ends);
    free(ends);
    return cut || step == SQLITE_DONE;
}

bool store_history(struct store *s, const struct store_query *q, char end, struct store_page *page)
{
    *page = (struct store_page){0};
    bool ok = sqlite3_exec(s->reader, "BEGIN", NULL, NULL, NULL) == SQLITE_OK &&
              read_log(s, page) && read_messages(s, q, end, page);
    note(s, ok);
    if (!sqlite3_get_autocommit(s->reader))
        sqlite3_exec(s->reader, "COMMIT", NULL, NULL, NULL);
    if (!ok) {
        buf_free(&page->json);
        *page = (struct store_page){0};
    }
    return ok;
}
