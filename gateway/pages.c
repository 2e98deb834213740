/* SPDX-License-Identifier: MIT */
/*
 * A page is read from the room's log as far as that reaches back, and what is older is asked of the
 * persister and put in front: [persister: id <= reach][log: id > reach]. With the persister away,
 * what memory has is served, with `Chat-Complete: false`; a page of which memory has nothing is
 * 503. What retention has removed is told of: `Chat-Gap`.
 *
 * The newest page of a room is what nearly everybody asks for, and mostly nothing has come since it
 * was asked for before: then the answer is there already, as bytes.
 */
#include "gateway/pages.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "common/clock.h"
#include "common/limits.h"
#include "common/mem.h"
#include "common/message.h"
#include "common/query.h"
#include "gateway/answer.h"

enum {
    ETAG_BYTES = 80,
};

/* One GET under way. */
struct getting {
    struct routes *routes;
    struct exchange *x;
    struct room *room;
    struct room_waiter waiter;
    struct wait wait;       /* for min_id */
    uint64_t after, before; /* bounds, 0: none */
    size_t limit;
    bool newest;            /* of what is between the bounds; else the oldest */
    uint64_t split;         /* the persister was asked for ids up to here */
    struct buf *match;      /* the values of If-Match, or NULL */
    struct buf *none_match; /* those of If-None-Match, or NULL */
    struct getting *next_due;
};

/* Who waits for a turn of the loop in which its page can be composed. */
static struct {
    struct getting *first, *last;
    size_t composed; /* bytes, in this turn */
    unsigned waited; /* turns */
} due;

/* An answer with a room's newest messages. It holds while the log is as it was then. */
struct ready {
    uint64_t room; /* its number; 0: an empty place */
    size_t limit;
    uint64_t end, frames, reach, last; /* of the log */
    char etag[ETAG_BYTES];
    struct buf *headers, *body;
};

static struct ready readies[PAGES_READY];

static void getting_free(struct getting *g)
{
    if (g->room)
        g->room->holds--;
    buf_free(&g->match);
    buf_free(&g->none_match);
    free(g);
}

static struct ready *ready_place(const struct getting *g)
{
    return &readies[(g->room->number * 31 + g->limit) % PAGES_READY];
}

static bool ready_serves(const struct getting *g)
{
    return g->newest && !g->before;
}

/* The answer that holds now, or NULL. */
static const struct ready *ready_find(const struct getting *g)
{
    const struct ready *y = ready_place(g);
    const struct room_log *l = &g->room->log;
    bool holds = ready_serves(g) && y->room == g->room->number && y->limit == g->limit &&
                 y->end == l->end && y->frames == l->frames && y->reach == l->reach &&
                 y->last == l->last;
    return holds ? y : NULL;
}

static void ready_clear(struct ready *y)
{
    buf_free(&y->headers);
    buf_free(&y->body);
    *y = (struct ready){0};
}

/* Keeps an answer; takes headers and body. */
static void ready_keep(const struct getting *g, const char *etag, struct buf *headers,
                       struct buf *body)
{
    struct ready *y = ready_place(g);
    const struct room_log *l = &g->room->log;
    ready_clear(y);
    *y = (struct ready){.room = g->room->number,
                        .limit = g->limit,
                        .end = l->end,
                        .frames = l->frames,
                        .reach = l->reach,
                        .last = l->last,
                        .headers = headers,
                        .body = body};
    memcpy(y->etag, etag, sizeof y->etag);
}

void pages_done(void)
{
    for (size_t i = 0; i < PAGES_READY; i++)
        ready_clear(&readies[i]);
}

static void page_respond(struct getting *g, const char *etag, struct str headers, struct str body)
{
    due.composed += body.len;
    int status = http_condition(buf_str(g->match), buf_str(g->none_match), str_of(etag));
    if (status == 412)
        exchange_fail(g->x, 412, "If-Match names another page");
    else if (status == 304)
        exchange_respond(g->x, &(struct response){.status = 304, .headers = headers});
    else
        answer_json(g->x, 200, headers, body);
}

/* Who reads forward would take a short page for the last one. */
static void link_next(const struct getting *g, uint64_t last, struct buf **headers)
{
    buf_printf(headers, "Link: <?limit=%zu&after=%" PRIu64, g->limit, last);
    if (g->before)
        buf_printf(headers, "&before=%" PRIu64, g->before);
    buf_add_str(headers, STR(">; rel=\"next\"\r\n"));
}

/* For who reads from below what retention has removed, or back to it. */
static void gap_add(const struct getting *g, const struct room_page *page, struct buf **headers)
{
    uint64_t pruned = history_pruned(g->routes->history);
    bool reaches =
        g->newest ? g->before && page->count < g->limit && !page->cut : g->after < pruned;
    if (pruned && reaches)
        buf_printf(headers, "Chat-Gap: %" PRIu64 "\r\n", pruned + 1);
}

/* of_log: all of it is from the room's log. */
static void page_answer(struct getting *g, struct buf *array, struct room_page page, bool complete,
                        bool of_log)
{
    struct buf *headers = NULL, *body = NULL;
    char etag[ETAG_BYTES] = "";
    snprintf(etag, sizeof etag, "\"%" PRIu64 "-%" PRIu64 "-%zu%s\"", page.first, page.last,
             page.count, complete ? "" : "p");
    buf_printf(&headers, "ETag: %s\r\nCache-Control: no-cache\r\n", etag);
    if (page.cut && !g->newest)
        link_next(g, page.last, &headers);
    else if ((page.count == g->limit || page.cut) && page.first > 1)
        buf_printf(&headers, "Link: <?limit=%zu&before=%" PRIu64 ">; rel=\"prev\"\r\n", g->limit,
                   page.first);
    if (complete)
        gap_add(g, &page, &headers);
    else
        buf_add_str(&headers, STR("Chat-Complete: false\r\n"));
    buf_add_char(&body, '[');
    buf_add_str(&body, buf_str(array));
    buf_add_char(&body, ']');
    page_respond(g, etag, buf_str(headers), buf_str(body));
    if (of_log && ready_serves(g) && buf_len(body) <= PAGE_READY_BYTES_MAX) {
        ready_keep(g, etag, headers, body);
        return;
    }
    buf_free(&headers);
    buf_free(&body);
}

static void page_serve(struct getting *g);

static size_t lines_count(struct str lines)
{
    size_t count = 0;
    struct str line = {0};
    while (history_line(&lines, &line))
        count++;
    return count;
}

/* Appends the last `most` of the lines, or of them as many as have `bytes`, the newest or the
 * oldest, but one. */
static struct room_page lines_add(struct str lines, size_t most, size_t bytes, bool newest,
                                  struct buf **array)
{
    struct room_page page = {0};
    struct str line = {0}, room;
    size_t count = lines_count(lines), left = lines.len, start = buf_len(*array);
    uint64_t id;
    for (; history_line(&lines, &line); count--, left = lines.len) {
        if (count > most)
            continue;
        if (newest ? count > 1 && left > bytes
                   : page.count && buf_len(*array) - start + line.len > bytes) {
            page.cut = true;
            if (newest)
                continue;
            break;
        }
        if (!message_peek(line, &id, &room))
            continue;
        if (page.count++)
            buf_add_char(array, ',');
        else
            page.first = id;
        page.last = id;
        buf_add_str(array, line);
    }
    return page;
}

/* What the log has behind the split: at most `most` of the page. */
static struct room_page recent_add(struct getting *g, size_t most, size_t bytes,
                                   struct buf **recent)
{
    uint64_t from = g->after > g->split ? g->after : g->split;
    if (!most || (g->before && g->before <= g->split + 1))
        return (struct room_page){0};
    return room_log_page(&g->room->log, from, g->before, most, bytes, g->newest, recent);
}

static size_t bytes_left(const struct buf *b)
{
    return buf_len(b) < PAGE_BYTES_MAX ? PAGE_BYTES_MAX - buf_len(b) : 0;
}

/* The newest are taken from the log first: what came while the persister was asked pushes the
 * oldest of its lines out, and leaves no hole between the two parts. */
static void older_came(void *arg, bool ok, int status, struct str lines)
{
    (void)status;
    struct getting *g = arg;
    if (g->room->log.reach > g->split) { /* the log was trimmed meanwhile */
        page_serve(g);
        return;
    }
    struct buf *array = NULL, *recent = NULL;
    struct room_page old, new;
    if (g->newest) {
        new = recent_add(g, g->limit, PAGE_BYTES_MAX, &recent);
        old =
            lines_add(lines, new.cut ? 0 : g->limit - new.count, bytes_left(recent), true, &array);
    } else {
        old = lines_add(lines, g->limit, PAGE_BYTES_MAX, false, &array);
        new = recent_add(g, old.cut ? 0 : g->limit - old.count, bytes_left(array), &recent);
    }
    if (!ok && (!new.count || !g->newest)) { /* who reads forward must not skip a hole */
        answer_unavailable(g->x, "older messages cannot be reached now");
    } else {
        if (old.count && new.count)
            buf_add_char(&array, ',');
        buf_add_str(&array, buf_str(recent));
        struct room_page page = {old.count + new.count, old.count ? old.first : new.first,
                                 new.count ? new.last : old.last, old.cut || new.cut};
        page_answer(g, array, page, ok, false);
    }
    buf_free(&array);
    buf_free(&recent);
    getting_free(g);
}

/* Does memory have all of the page? If not, what is missing is asked of the persister. */
static void page_serve(struct getting *g)
{
    const struct room_log *l = &g->room->log;
    const struct ready *y = ready_find(g);
    struct buf *array = NULL;
    if (exchange_gone(g->x)) {
        answer_unavailable(g->x, "nobody is there to read it");
        getting_free(g);
        return;
    }
    if (y) {
        page_respond(g, y->etag, buf_str(y->headers), buf_str(y->body));
        getting_free(g);
        return;
    }
    uint64_t after = g->after > l->reach ? g->after : l->reach;
    struct room_page page = {0};
    if (!g->before || g->before > after)
        page = room_log_page(l, after, g->before, g->limit, PAGE_BYTES_MAX, g->newest, &array);
    bool whole = l->reach == 0 || g->after >= l->reach ||
                 (g->newest && (page.count == g->limit || page.cut));
    if (whole) {
        page_answer(g, array, page, true, true);
        buf_free(&array);
        getting_free(g);
        return;
    }
    buf_free(&array);
    g->split = l->reach;
    uint64_t before = g->before && g->before <= l->reach ? g->before : l->reach + 1;
    size_t limit = g->newest ? g->limit - page.count : g->limit;
    struct str name = {g->room->name, g->room->name_len};
    if (!history_page(g->routes->history, name, g->newest ? HISTORY_NEWEST : g->after, before,
                      (unsigned)limit, before - 1, older_came, g))
        older_came(g, false, 0, STR(""));
}

/* Many pages may become due at once: for those that wait for one min_id or for one room, and for
 * requests that came together. Some are composed in each turn, and others are served between. */
static void page_due(struct getting *g)
{
    if (!due.first && due.composed < TURN_PAGES_BYTES) {
        page_serve(g);
        return;
    }
    g->next_due = NULL;
    if (due.first)
        due.last->next_due = g;
    else
        due.first = g;
    due.last = g;
}

static struct getting *due_take(void)
{
    struct getting *g = due.first;
    due.first = g->next_due;
    return g;
}

bool pages_turn(bool busy)
{
    due.composed = 0;
    if (busy && due.first && ++due.waited < TURN_PAGES_WAIT)
        return true;
    due.waited = 0;
    while (due.first && due.composed < TURN_PAGES_BYTES)
        page_serve(due_take());
    return due.first;
}

void pages_stop(void)
{
    while (due.first) {
        struct getting *g = due_take();
        answer_unavailable(g->x, "this server restarts");
        getting_free(g);
    }
}

static void getting_awake(struct room_waiter *w)
{
    page_due((struct getting *)(void *)((char *)w - offsetof(struct getting, waiter)));
}

static void getting_begin(struct getting *g)
{
    g->waiter.awake = getting_awake;
    room_wait(g->room, &g->waiter);
}

static void min_id_done(struct wait *w, enum wait_result result)
{
    struct getting *g = (struct getting *)(void *)((char *)w - offsetof(struct getting, wait));
    if (result == WAIT_MET) {
        getting_begin(g);
        return;
    }
    answer_unavailable(g->x, "min_id has not come to this gateway yet");
    getting_free(g);
}

static bool query_read(struct getting *g, struct str query, uint64_t *min_id, struct buf **errors)
{
    uint64_t limit = PAGE_LIMIT_DEFAULT;
    const int64_t id_max = (int64_t)1 << 53;
    bool before, after;
    query_number_read(query, "limit", "[\"query\",\"limit\"]", 1, PAGE_LIMIT_MAX, &limit, errors);
    before =
        query_number_read(query, "before", "[\"query\",\"before\"]", 1, id_max, &g->before, errors);
    after =
        query_number_read(query, "after", "[\"query\",\"after\"]", 0, id_max, &g->after, errors);
    query_number_read(query, "min_id", "[\"query\",\"min_id\"]", 0, id_max, min_id, errors);
    g->limit = (size_t)limit;
    g->newest = !after;
    (void)before;
    return !*errors;
}

void pages_get(struct routes *r, struct exchange *x, const struct http_request *req,
               struct str room)
{
    struct getting *g = mem_zalloc(sizeof *g);
    struct buf *errors = NULL;
    uint64_t min_id = 0;
    *g = (struct getting){.routes = r, .x = x};
    if (!query_read(g, req->query, &min_id, &errors)) {
        answer_invalid(x, buf_str(errors));
        buf_free(&errors);
        free(g);
        return;
    }
    http_header_list(req, "If-Match", &g->match);
    http_header_list(req, "If-None-Match", &g->none_match);
    if (!link_started(r->link) ||
        !(g->room = room_get(r->rooms, room, link_position(r->link), now_ms()))) {
        answer_unavailable(x, "the log has not been read yet");
        getting_free(g);
        return;
    }
    g->room->holds++;
    if (min_id > link_position(r->link) && min_id > link_lease(r->link)) {
        answer_unavailable(x, "min_id is above every id that can exist now");
        getting_free(g);
        return;
    }
    g->wait = (struct wait){
        .id = min_id, .deadline_ms = now_ms() + MIN_ID_MS, .what = WAIT_SEEN, .done = min_id_done};
    if (min_id > link_position(r->link))
        link_wait(r->link, &g->wait);
    else
        getting_begin(g);
}
