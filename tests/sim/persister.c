/* SPDX-License-Identifier: MIT */
/*
 * The persister: its glue, feed and ingest are the real ones, over a model of persister/store.h.
 * The file outlives it: a transaction that had not ended when the process died is in it or not,
 * as a whole.
 */
#include <assert.h>
#include <inttypes.h>
#include <stdio.h>
#include <unistd.h>

#include "common/message.h"
#include "persister_glue.h"
#undef link
#undef link_config
#undef link_new
#undef link_stop
#undef link_free
#undef link_ready
#undef link_describe
#include "procs.h"

enum {
    READ_MAX = 1000, /* rows of one read */
};

struct store {
    struct store_log log;
    bool committing, read_failed;
    struct store_commit commit;
    store_done_cb done;
    void *arg;
};

struct process persister;
struct disk_file disk_file;
static struct store file;
static struct persister_link *glue;

/* ---- transactions ---- */

const struct row *row_find(uint64_t id)
{
    size_t low = 0, high = disk_file.count;
    while (low < high) {
        size_t mid = (low + high) / 2;
        if (disk_file.rows[mid].id < id)
            low = mid + 1;
        else
            high = mid;
    }
    return low < disk_file.count && disk_file.rows[low].id == id ? &disk_file.rows[low] : NULL;
}

static void row_add(const struct entry *e)
{
    uint64_t id;
    struct str room;
    if (!message_peek(e->json, &id, &room) || id != e->id) {
        violation("ROW an entry that is no message was committed: %.*s", (int)e->json.len,
                  e->json.p);
        return;
    }
    if (disk_file.count == disk_file.cap)
        disk_file.rows =
            arena_grow(disk_file.rows, disk_file.count, &disk_file.cap, sizeof *disk_file.rows);
    struct row *row = &disk_file.rows[disk_file.count];
    *row = (struct row){.id = e->id,
                        .marker = marker_of(e->json),
                        .json = e->json,
                        .origin = e->origin,
                        .key = e->key,
                        .value = e->value,
                        .room = room};
    checks_row(row);
    disk_file.count++;
    file.log.last = e->id;
}

/* False: an id is there with other content. */
static bool apply(const struct store_commit *c)
{
    for (size_t i = 0; i < c->count; i++) {
        const struct row *row = row_find(c->entries[i].id);
        if (row && !str_eq(row->json, c->entries[i].json))
            return false;
    }
    for (size_t i = 0; i < c->count; i++) {
        const struct entry *e = &c->entries[i];
        if (!row_find(e->id) && e->id < file.log.last)
            violation("ORDER row %" PRIu64 " comes behind row %" PRIu64, e->id, file.log.last);
        else if (!row_find(e->id))
            row_add(e);
    }
    file.log.position = disk_file.position = c->position;
    file.log.lease = disk_file.lease = c->lease;
    file.log.opening = c->opening;
    return true;
}

static void commit_cb(void *arg, uint64_t n)
{
    struct store *s = arg;
    (void)n;
    s->committing = false;
    bool failed = disk_file.disk == DISK_FAILING || s->read_failed;
    s->read_failed = false;
    enum store_result result = STORE_FAILED;
    if (!failed)
        result = apply(&s->commit) ? STORE_OK : STORE_CONFLICT;
    if (result == STORE_CONFLICT)
        violation("CONFLICT the stream and the file differ in a message");
    trace("commit of %zu up to %" PRIu64 ", lease %" PRIu64 ", opening %" PRIu64 ": %s",
          s->commit.count, s->commit.position, s->commit.lease, s->commit.opening,
          result == STORE_OK ? "done" : "failed");
    s->done(s->arg, result, result == STORE_OK ? "" : "the disk fails");
}

void store_commit(struct store *s, const struct store_commit *c, store_done_cb done, void *arg)
{
    assert(!s->committing);
    assert(c->position >= s->log.position && c->lease >= s->log.lease &&
           c->opening >= s->log.opening);
    struct entry *own = arena_alloc((c->count + 1) * sizeof *own);
    for (size_t i = 0; i < c->count; i++) {
        const struct entry *e = &c->entries[i];
        own[i] = (struct entry){e->id, arena_str(e->json), arena_str(e->origin), arena_str(e->key),
                                arena_str(e->value)};
    }
    s->commit = *c;
    s->commit.entries = own;
    s->committing = true;
    s->done = done;
    s->arg = arg;
    uint64_t takes_us = draw_between(MS, disk_file.disk == DISK_SLOW ? SECOND : 8 * MS);
    event_at(world.now_us + takes_us, &persister, commit_cb, s, 0);
}

/* ---- reads ---- */

static bool read_fails(struct store *s)
{
    if (disk_file.disk != DISK_FAILING || !draw_chance(50))
        return false;
    s->read_failed = true;
    return true;
}

const struct store_log *store_standing(const struct store *s)
{
    return &s->log;
}

struct entries store_entries_after(struct store *s, uint64_t after, size_t limit)
{
    static struct entry found[READ_MAX];
    struct entries e = {.at = found};
    size_t bytes = 0;
    if (read_fails(s))
        return (struct entries){.failed = true};
    assert(limit > 0 && limit <= READ_MAX);
    for (size_t i = 0; i < disk_file.count && !e.more; i++) {
        const struct row *row = &disk_file.rows[i];
        if (row->id <= after)
            continue;
        found[e.count++] = (struct entry){row->id, row->json, row->origin, row->key, row->value};
        bytes += row->json.len + row->origin.len + row->key.len + row->value.len;
        e.more = e.count == limit || bytes >= ROWS_BYTES;
    }
    return e;
}

/* No retention is modelled: what has a key has a row. */
struct entries store_keys_after(struct store *s, uint64_t after, size_t limit)
{
    return store_entries_after(s, after, limit);
}

uint64_t store_newest_floor(struct store *s, uint64_t n)
{
    if (read_fails(s))
        return s->log.last;
    return disk_file.count > n ? disk_file.rows[disk_file.count - 1 - n].id : 0;
}

/* All of a run lies in the window. */
uint64_t store_window_floor(struct store *s)
{
    return read_fails(s) ? s->log.last : 0;
}

/* ---- life ---- */

static void stored_cb(void *ctx)
{
    (void)ctx;
}

void persister_start(void)
{
    static const struct persister_link_config config = {
        .redis_url = "redis://sim",
        .redis_prefix = "chat",
        .limits = {.backlog_max = BACKLOG_MAX, .tail = TAIL, .window_s = WINDOW_S},
    };
    persister.alive = true;
    file.committing = file.read_failed = false;
    trace("%s starts, at %" PRIu64, persister.name, file.log.position);
    glue = persister_link_new((struct event_base *)(void *)&persister, NULL, &config, &file,
                              stored_cb, NULL);
}

void persister_kill(void)
{
    if (!persister.alive)
        return;
    bool ends =
        file.committing && disk_file.disk != DISK_FAILING && !file.read_failed && draw_chance(50);
    trace("%s dies%s", persister.name, ends ? ", its commit ends" : "");
    process_die(&persister);
    persister_link_stop(glue);
    if (ends && !apply(&file.commit))
        violation("CONFLICT the stream and the file differ in a message");
    persister_link_free(glue);
}

void persister_begin(void)
{
    persister = (struct process){.name = "p"};
    disk_file = (struct disk_file){0};
    file = (struct store){.log = {.owner = "00000000000f11e0"}};
    persister_start();
}

void persister_end(void)
{
    persister_kill();
}

bool persister_settled(const char **why)
{
    *why = "it is not alive";
    return persister.alive && persister_link_ready(glue, why);
}
