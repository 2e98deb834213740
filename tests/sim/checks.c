/* SPDX-License-Identifier: MIT */
/*
 * The promises, and how they are looked at. Each violation begins with one of these words:
 *
 *   REUSE     an id was given to two messages
 *   LEASE     an id, a lease, a `stored` or a `base` in Redis is above what the file has committed
 *   BACK      a value of an open log went back
 *   TWICE     a message is in the file under two ids
 *   ORDER     rows, a subscriber's messages, or one gateway's posts are not in the order of ids
 *   TIME      created_at goes back from one row to the next
 *   ACK       an answer names another message than the one that was sent
 *   STORED    who was told 'stored' does not find it in the file
 *   LOST      an acknowledged message is not in the file, and nothing that happened excuses it
 *   REFUSED   who was told 'not stored' is stored, or was in the log
 *   GHOST     a subscriber got what is not in the file, and nothing excuses it
 *   MISSING   a subscriber that stayed or resumed lacks a message of its room
 *   RESET     a subscriber is told that an id which it has was never given
 *   OPENING   the persister opens a log anew that is open at its server, as it left it
 *   ADVANCE   an advance was done at a server where the log is not open
 *   AGREE     a gateway's room holds something else than the file
 *   ALIVE     after the last fault something does not work again
 *
 * What is excused is what DESIGN calls the end of the promise: an id that the data which the name
 * leads to lost with a file or a failover before it was stored, or that was given by the wrong side
 * of a split: by the server that the name does not lead to, or that the persister has left for the
 * other one.
 */
#include <inttypes.h>
#include <stdlib.h>

#include "common/iso_time.h"
#include "common/message.h"
#include "gateway/room.h"
#include "procs.h"
#include "wires.h"

struct known { /* an id that was given */
    struct str json;
    uint64_t marker;
    bool excused;
};

struct standing { /* of an open log, as last seen */
    uint64_t opening, seq, lease, stored, base;
    uint32_t life;
    char replid[REPLID_BYTES];
    bool advanced; /* so the persister knows that it is open */
};

static struct known *known;
static size_t known_cap; /* by id */
static struct standing standings[SERVERS];
static uint64_t written_total;
static struct str state_key;
static const struct server *followed; /* where the persister has last opened the log */

void checks_begin(void)
{
    known = NULL;
    known_cap = 0;
    state_key = STR("{chat}:state");
    followed = NULL;
    for (int i = 0; i < SERVERS; i++)
        standings[i] = (struct standing){0};
}

static struct known *known_at(uint64_t id)
{
    if (id >= known_cap) {
        size_t cap = known_cap ? known_cap : 512;
        while (cap <= id)
            cap *= 2;
        struct known *larger = arena_alloc(cap * sizeof *larger);
        if (known_cap)
            memcpy(larger, known, known_cap * sizeof *known);
        known = larger;
        known_cap = cap;
    }
    return &known[id];
}

uint64_t marker_of(struct str json)
{
    static const char name[] = "\"content\":\"m";
    const char *at = json.len ? memmem(json.p, json.len, name, sizeof name - 1) : NULL;
    return at ? strtoull(at + sizeof name - 1, NULL, 10) : 0;
}

static struct posting *posting_of(uint64_t marker)
{
    for (size_t i = 0; i < posting_count; i++)
        if (postings[i].marker == marker)
            return &postings[i];
    return NULL;
}

/* ---- the log in Redis ---- */

static uint64_t state_number(struct server *s, const char *field)
{
    uint64_t n = 0;
    digits_read(db_hash_get(&s->db, state_key, str_of(field)), &n);
    return n;
}

static bool only_refused(const struct posting *p)
{
    return p->tries > 0 && p->refused == p->tries && !p->pending && !p->done;
}

void entry_written(const struct server *s, struct str entry_id, struct str json)
{
    uint64_t id;
    struct str room;
    if (!message_peek(json, &id, &room)) {
        violation("REUSE an entry is no message: %.*s", (int)entry_id.len, entry_id.p);
        return;
    }
    struct known *k = known_at(id);
    if (k->json.p && !str_eq(k->json, json))
        violation("REUSE id %" PRIu64 ": %.*s and %.*s", id, (int)k->json.len, k->json.p,
                  (int)json.len, json.p);
    if (id > disk_file.lease)
        violation("LEASE id %" PRIu64 " was given, the lease in the file is %" PRIu64, id,
                  disk_file.lease);
    if (k->json.p)
        return;
    *k = (struct known){arena_str(json), marker_of(json),
                        s != master || (followed && s != followed)};
    written_total++;
    const struct posting *p = posting_of(k->marker);
    if (p && only_refused(p))
        violation("REFUSED m%" PRIu64 " was refused, and is written as %" PRIu64, p->marker, id);
}

static bool in_stream(struct server *s, uint64_t id)
{
    struct key *k = db_find(&s->db, STR("{chat}:log"), 0);
    for (size_t i = 0; k && i < k->count; i++)
        if (k->items[k->first + i].ms == id)
            return true;
    return false;
}

/* What is neither stored nor in this server's stream is lost from here on. */
static void excuse_all_but(struct server *s)
{
    for (uint64_t id = 1; id < known_cap; id++)
        if (known[id].json.p && !known[id].excused && !row_find(id) && !in_stream(s, id)) {
            known[id].excused = true;
            trace("lost: %" PRIu64 ", m%" PRIu64, id, known[id].marker);
        }
}

void checks_data_changed(void)
{
    for (int i = 0; i < SERVERS; i++)
        standings[i] = (struct standing){0};
    excuse_all_but(master);
}

/* The persister has sealed a log: which of two masters counts is decided. */
static void sealed_here(struct server *s, struct str number)
{
    const struct server *other = &servers[s == &servers[0]];
    if (followed != s && !other->replica)
        excuse_all_but(s);
    followed = s;
    const struct standing *was = &standings[s - servers];
    uint64_t n = 0;
    if (was->advanced && was->life == s->life && strcmp(was->replid, s->replid) == 0 &&
        digits_read(number, &n) && n == was->opening + 1)
        violation("OPENING %c is sealed, and was open as %" PRIu64, s->name, was->opening);
}

static bool went_back(const struct standing *was, const struct standing *is)
{
    return is->seq < was->seq || is->lease < was->lease || is->stored < was->stored ||
           is->base < was->base;
}

void scripts_checked(struct server *s, enum redis_script script, const struct str *keys,
                     size_t nkeys, const struct str *args, size_t nargs, const struct reply *reply)
{
    (void)keys, (void)nkeys, (void)nargs;
    if (script != REDIS_PUBLISH && script != REDIS_OPEN)
        return;
    if (reply->type == REPLY_ERROR)
        trace("%c answers %.*s", s->name, (int)reply->str.len, reply->str.p);
    else if (script == REDIS_OPEN)
        trace("%c %.*s %.*s: %s", s->name, (int)args[0].len, args[0].p, (int)args[1].len, args[1].p,
              reply->n == 1 ? "done" : "refused");
    if (script == REDIS_OPEN && reply->n == 1 && str_eq(args[0], STR("seal")))
        sealed_here(s, args[1]);
    struct str token = db_hash_get(&s->db, state_key, STR("token"));
    bool advanced = script == REDIS_OPEN && reply->n == 1 && str_eq(args[0], STR("advance"));
    if (!str_eq(token, str_of(s->replid))) {
        if (advanced)
            violation("ADVANCE at %c, which was not opened", s->name);
        standings[s - servers] = (struct standing){0};
        return;
    }
    struct standing now = {
        .opening = state_number(s, "opening"),
        .seq = state_number(s, "seq"),
        .lease = state_number(s, "lease"),
        .stored = state_number(s, "stored"),
        .base = state_number(s, "base"),
        .life = s->life,
    };
    memcpy(now.replid, s->replid, sizeof now.replid);
    struct standing *was = &standings[s - servers];
    if (now.lease > disk_file.lease || now.stored > disk_file.position || now.base > now.stored ||
        now.seq > now.lease)
        violation("LEASE %c has lease %" PRIu64 " stored %" PRIu64 " base %" PRIu64 " seq %" PRIu64
                  ", the file lease %" PRIu64 " position %" PRIu64,
                  s->name, now.lease, now.stored, now.base, now.seq, disk_file.lease,
                  disk_file.position);
    if (was->opening == now.opening && was->life == now.life && went_back(was, &now))
        violation("BACK %c: seq %" PRIu64 " lease %" PRIu64 " stored %" PRIu64 " base %" PRIu64
                  " came after %" PRIu64 " %" PRIu64 " %" PRIu64 " %" PRIu64,
                  s->name, now.seq, now.lease, now.stored, now.base, was->seq, was->lease,
                  was->stored, was->base);
    now.advanced = advanced || (was->advanced && was->opening == now.opening);
    *was = now;
}

/* ---- the file ---- */

static struct str time_of(struct str json)
{
    static const char name[] = "\"created_at\":\"";
    const char *at = memmem(json.p, json.len, name, sizeof name - 1);
    return at ? (struct str){at + sizeof name - 1, ISO_TIME_BYTES} : (struct str){"", 0};
}

void checks_row(const struct row *row)
{
    const struct known *k = known_at(row->id);
    if (!k->json.p || !str_eq(k->json, row->json))
        violation("REUSE row %" PRIu64 " is no message that was given this id", row->id);
    for (const struct row *r = disk_file.rows; r < row; r++)
        if (r->marker == row->marker)
            violation("TWICE m%" PRIu64 " is stored as %" PRIu64 " and as %" PRIu64, row->marker,
                      r->id, row->id);
    if (row > disk_file.rows) {
        struct str before = time_of(row[-1].json), now = time_of(row->json);
        if (before.len != now.len || memcmp(before.p, now.p, now.len) > 0)
            violation("TIME row %" PRIu64 " is older than the one before it", row->id);
    }
}

/* ---- the people ---- */

static void check_done(struct posting *p, uint64_t id, struct str json)
{
    const struct known *k = known_at(id);
    if (!k->json.p || !str_eq(k->json, json) || k->marker != p->marker)
        violation("ACK m%" PRIu64 " is said to be %.*s", p->marker, (int)json.len, json.p);
    const struct row *row = row_find(id);
    if (p->stored && !row)
        violation("STORED m%" PRIu64 " is said to be stored as %" PRIu64, p->marker, id);
    if (p->id && p->id != id && !known_at(p->id)->excused && !k->excused)
        violation("ACK m%" PRIu64 " was %" PRIu64 " and is %" PRIu64 " now", p->marker, p->id, id);
    if (!p->id || !k->excused)
        p->id = id;
}

void checks_answer(struct posting *p, enum send_result result, uint64_t id, struct str json)
{
    if (result == SEND_DONE)
        check_done(p, id, json);
    if (result == SEND_MISMATCH)
        violation("ACK m%" PRIu64 ": its key is said to be of other content", p->marker);
    if (!only_refused(p))
        return;
    for (uint64_t n = 1; n < known_cap; n++)
        if (known[n].json.p && known[n].marker == p->marker)
            violation("REFUSED m%" PRIu64 " is refused, and was written as %" PRIu64, p->marker, n);
}

void checks_received(struct subscriber *s, uint64_t id, struct str json)
{
    const struct known *k = known_at(id);
    trace("s%d gets %" PRIu64, (int)(s - subscribers), id);
    if (!k->json.p || !str_eq(k->json, json))
        violation("GHOST a subscriber got %.*s", (int)json.len, json.p);
    if (s->count && id <= s->ids[s->count - 1])
        violation("ORDER a subscriber got %" PRIu64 " behind %" PRIu64, id, s->ids[s->count - 1]);
    if (!s->based) {
        s->based = true;
        s->base = id - 1;
    }
    s->last = id;
    if (s->count == s->cap)
        s->ids = arena_grow(s->ids, s->count, &s->cap, sizeof *s->ids);
    s->ids[s->count++] = id;
}

/* ---- at the end, when all is well again ---- */

static void end_postings(void)
{
    for (size_t i = 0; i < posting_count; i++) {
        const struct posting *p = &postings[i];
        if (p->pending)
            violation("ALIVE m%" PRIu64 " has no answer since %.3f", p->marker,
                      (double)p->asked_us / SECOND);
        if (p->probe && !p->done)
            violation("ALIVE the probe at %s does not get through", p->gateway->process.name);
        if (p->id && !row_find(p->id) && !known[p->id].excused)
            violation("LOST m%" PRIu64 ", acknowledged as %" PRIu64, p->marker, p->id);
    }
}

static void end_subscriber(const struct subscriber *s, int number)
{
    size_t at = 0;
    for (size_t i = 0; i < disk_file.count; i++) {
        const struct row *row = &disk_file.rows[i];
        if (!s->based || row->id <= s->base || !str_eq(row->room, s->room))
            continue;
        while (at < s->count && s->ids[at] < row->id)
            at++;
        if (at == s->count || s->ids[at] != row->id)
            violation("MISSING subscriber %d lacks %" PRIu64 ", m%" PRIu64, number, row->id,
                      row->marker);
    }
    for (size_t i = 0; i < s->count; i++)
        if (!row_find(s->ids[i]) && !known[s->ids[i]].excused)
            violation("GHOST subscriber %d got %" PRIu64 ", which is not in the file", number,
                      s->ids[i]);
}

/* A gateway's room against the file: the same bytes. */
static void end_room(struct gateway *g, const char *name)
{
    struct str room = str_of(name);
    struct room *r = room_get(g->rooms, room, link_position(g->link), world.now_us / MS);
    struct buf *has = NULL, *due = NULL;
    room_log_page(&r->log, 0, 0, SIZE_MAX / 2, SIZE_MAX, false, &has);
    for (size_t i = 0; i < disk_file.count; i++) {
        const struct row *row = &disk_file.rows[i];
        if (row->id <= r->log.reach || !str_eq(row->room, room))
            continue;
        if (due)
            buf_add_char(&due, ',');
        buf_add_str(&due, row->json);
    }
    /* The log may reach further back than it says. */
    struct str h = buf_str(has), d = buf_str(due);
    if (h.len < d.len || (d.len && memcmp(h.p + h.len - d.len, d.p, d.len) != 0))
        violation("AGREE %s has in %s above %" PRIu64 ": %.*s; the file: %.*s", g->process.name,
                  name, r->log.reach, (int)h.len, h.p ? h.p : "", (int)d.len, d.p ? d.p : "");
    buf_free(&has);
    buf_free(&due);
}

void checks_end(void)
{
    const char *why;
    end_postings();
    if (!persister_settled(&why))
        violation("ALIVE the persister: %s", why);
    for (int i = 0; i < SUBSCRIBERS; i++) {
        if (!subscribers[i].peer)
            violation("ALIVE subscriber %d has no connection", i);
        end_subscriber(&subscribers[i], i);
    }
    for (size_t i = 0; i < gateway_count; i++) {
        struct gateway *g = &gateways[i];
        if (!link_ready(g->link, &why))
            violation("ALIVE %s: %s", g->process.name, why);
        if (!link_empty(g->link))
            violation("ALIVE %s has something under way for ever", g->process.name);
        end_room(g, "lobby");
        end_room(g, "side");
    }
}
