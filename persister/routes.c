/* SPDX-License-Identifier: MIT */
/*
 * The answers of the persister's HTTP server.
 *
 * A request with min_id is answered when the store has come as far. Who waits is in a list, in the
 * order of the deadlines, which are all equally long; what is above the lease cannot come in that
 * time, and is refused at once. An id that no opening reached is passed by the position too, so
 * nobody waits for a message that does not exist.
 */
#include "persister/routes.h"

#include <event2/event.h>
#include <event2/event_struct.h>
#include <inttypes.h>
#include <stdlib.h>
#include <sys/queue.h>

#include "common/clock.h"
#include "common/json.h"
#include "common/mem.h"
#include "common/message.h"
#include "common/program_metrics.h"
#include "common/version.h"
#include "persister/backup.h"
#include "persister/routes_query.h"

enum {
    SWEEP_MS = 100, /* between two looks at the deadlines */
};

#define RETRY STR("Retry-After: 1\r\n")

/* A request for a page, which may have to wait. */
struct asked {
    TAILQ_ENTRY(asked) entry;
    struct exchange *x;
    struct history_query query;
    bool lines; /* NDJSON */
    uint64_t deadline_ms;
};

TAILQ_HEAD(asked_list, asked);

struct routes {
    struct store *store;
    struct backups *backups;
    const struct routes_owner *owner;
    void *owner_ctx;
    struct asked_list waiting; /* for min_id */
    struct event sweep;        /* pending while somebody waits */
    size_t nwaiting;
    bool draining;
    struct histogram read_seconds;
};

/* ---- answers ---- */

static void answer_json(struct exchange *x, int status, struct str headers, struct str body)
{
    exchange_respond(x, &(struct response){.status = status,
                                           .content_type = "application/json",
                                           .headers = headers,
                                           .body = body});
}

static void answer_unavailable(struct exchange *x, const char *words)
{
    struct buf *body = NULL;
    buf_add_str(&body, STR("{\"detail\":"));
    json_add_bytes(&body, str_of(words));
    buf_add_char(&body, '}');
    answer_json(x, 503, RETRY, buf_str(body));
    buf_free(&body);
}

static void answer_invalid(struct exchange *x, struct str errors)
{
    struct buf *body = NULL;
    buf_add_str(&body, STR("{\"detail\":"));
    buf_add_str(&body, errors);
    buf_add_char(&body, '}');
    answer_json(x, 422, STR(""), buf_str(body));
    buf_free(&body);
}

static void answer_failing(struct routes *r, struct exchange *x)
{
    const char *trouble = store_trouble(r->store);
    answer_unavailable(x, trouble ? trouble : "SQLite failed");
}

static void add_standing(const struct routes *r, struct buf **headers,
                         const struct store_page *page)
{
    buf_printf(headers,
               "Chat-Position: %" PRIu64 "\r\nChat-Pruned: %" PRIu64 "\r\nChat-Lease: %" PRIu64
               "\r\n",
               page->position, page->pruned, store_standing(r->store)->lease);
}

/* ---- GET /messages ---- */

/* The messages are parted by commas, between brackets; or each ends its line. */
static void answer_page(struct routes *r, struct asked *a)
{
    struct store_page page;
    struct buf *headers = NULL, *array = NULL;
    a->query.page.room = str_of(a->query.room);
    uint64_t began_us = now_us();
    bool read = store_history(r->store, &a->query.page, a->lines ? '\n' : ',', &page);
    histogram_add(&r->read_seconds, now_us() - began_us);
    if (!read) {
        answer_failing(r, a->x);
        return;
    }
    add_standing(r, &headers, &page);
    struct str json = buf_str(page.json);
    if (!a->lines) {
        buf_reserve(&array, json.len + 2);
        buf_add_char(&array, '[');
        buf_add(&array, json.p, json.len ? json.len - 1 : 0);
        buf_add_char(&array, ']');
        json = buf_str(array);
    }
    exchange_respond(a->x, &(struct response){.status = 200,
                                              .content_type = a->lines ? "application/x-ndjson"
                                                                       : "application/json",
                                              .headers = buf_str(headers),
                                              .body = json});
    buf_free(&page.json);
    buf_free(&headers);
    buf_free(&array);
}

static void wait_end(struct routes *r, struct asked *a)
{
    TAILQ_REMOVE(&r->waiting, a, entry);
    r->nwaiting--;
    if (TAILQ_EMPTY(&r->waiting))
        event_del(&r->sweep);
    free(a);
}

static void wait_begin(struct routes *r, const struct asked *asked)
{
    struct asked *a = mem_alloc(sizeof *a);
    *a = *asked;
    a->deadline_ms = now_ms() + MIN_ID_MS;
    if (TAILQ_EMPTY(&r->waiting))
        event_add(&r->sweep, &(struct timeval){.tv_usec = SWEEP_MS * 1000L});
    TAILQ_INSERT_TAIL(&r->waiting, a, entry);
    r->nwaiting++;
}

static void get_messages(struct routes *r, struct exchange *x, const struct http_request *req)
{
    struct asked a = {.x = x};
    struct buf *errors = NULL;
    a.lines = http_header_has(req, "Accept", "application/x-ndjson");
    const struct store_log *log = store_standing(r->store);
    if (!history_query_read(&a.query, req->query, &errors))
        answer_invalid(x, buf_str(errors));
    else if (a.query.min_id <= log->position)
        answer_page(r, &a);
    else if (a.query.min_id > log->lease || r->draining)
        answer_unavailable(x, "min_id is not stored yet");
    else
        wait_begin(r, &a);
    buf_free(&errors);
}

void routes_stored(struct routes *r)
{
    uint64_t position = store_standing(r->store)->position;
    for (struct asked *a = TAILQ_FIRST(&r->waiting), *next; a; a = next) {
        next = TAILQ_NEXT(a, entry);
        if (a->query.min_id > position)
            continue;
        answer_page(r, a);
        wait_end(r, a);
    }
}

/* Ends the waits whose deadline is not above now. */
static void waits_expire(struct routes *r, uint64_t now)
{
    for (struct asked *a = TAILQ_FIRST(&r->waiting), *next; a && a->deadline_ms <= now; a = next) {
        next = TAILQ_NEXT(a, entry);
        answer_unavailable(a->x, "min_id is not stored yet");
        wait_end(r, a);
    }
}

static void sweep_cb(evutil_socket_t fd, short what, void *arg)
{
    (void)fd, (void)what;
    waits_expire(arg, now_ms());
}

/* ---- GET /messages/{id} ---- */

static void answer_message(struct routes *r, struct exchange *x, int64_t id)
{
    struct store_page page = {0};
    struct buf *headers = NULL;
    if (id < 1 || id == INT64_MAX) {
        exchange_fail(x, 404, "Not Found");
        return;
    }
    const struct store_query q = {
        .has_after = true, .after = (uint64_t)id - 1, .before = (uint64_t)id + 1, .limit = 1};
    if (!store_history(r->store, &q, '\n', &page)) {
        answer_failing(r, x);
        return;
    }
    add_standing(r, &headers, &page);
    struct str json = buf_str(page.json);
    if (page.count)
        answer_json(x, 200, buf_str(headers), (struct str){json.p, json.len - 1});
    else
        answer_json(x, 404, buf_str(headers), STR("{\"detail\":\"Not Found\"}"));
    buf_free(&page.json);
    buf_free(&headers);
}

static void get_message(struct routes *r, struct exchange *x, struct str segment)
{
    char text[HTTP_TARGET_BYTES_MAX];
    size_t len = 0;
    int64_t id;
    struct buf *errors = NULL;
    if (!http_path_decode(segment, text, sizeof text, &len)) {
        exchange_fail(x, 400, "Broken percent-encoding in the path");
    } else if (whole_number_read((struct str){text, len}, &id)) {
        answer_message(r, x, id);
    } else {
        buf_add_char(&errors, '[');
        detail_add_not_whole(&errors, "[\"path\",\"id\"]", (struct str){text, len});
        buf_add_char(&errors, ']');
        answer_invalid(x, buf_str(errors));
        buf_free(&errors);
    }
}

/* ---- probes ---- */

static void add_details(struct routes *r, struct buf **json)
{
    const struct store_log *log = store_standing(r->store);
    buf_printf(json,
               ",\"version\":\"%s\",\"file\":\"%s\",\"position\":%" PRIu64 ",\"lease\":%" PRIu64
               ",\"opening\":%" PRIu64 ",\"pruned\":%" PRIu64 ",\"last\":%" PRIu64 ",",
               CHAT_VERSION, log->owner, log->position, log->lease, log->opening, log->pruned,
               log->last);
    r->owner->describe(r->owner_ctx, json);
}

static const char *unready_reason(struct routes *r)
{
    const char *why = NULL;
    if (r->draining)
        return "shutting down";
    if (store_trouble(r->store))
        return store_trouble(r->store);
    return r->owner->ready(r->owner_ctx, &why) ? NULL : why;
}

/* why: NULL when all is well. */
static void answer_probe(struct routes *r, struct exchange *x, const char *why, bool verbose)
{
    struct buf *body = NULL;
    buf_add_str(&body,
                why ? STR("{\"status\":\"unavailable\",\"detail\":") : STR("{\"status\":\"ok\""));
    if (why)
        json_add_bytes(&body, str_of(why));
    if (verbose)
        add_details(r, &body);
    buf_add_char(&body, '}');
    answer_json(x, why ? 503 : 200, why ? RETRY : STR(""), buf_str(body));
    buf_free(&body);
}

static bool is_verbose(const struct http_request *req)
{
    char *value = NULL;
    size_t len;
    int found = http_query_get(req->query, "verbose", &value, &len);
    free(value);
    return found != 0;
}

/* ---- POST /admin/backup ---- */

static void backup_done(void *arg, const struct backup_result *result)
{
    struct exchange *x = arg;
    struct buf *body = NULL;
    if (!result->ok) {
        exchange_fail(x, 500, result->error);
        return;
    }
    buf_add_str(&body, STR("{\"file\":"));
    json_add_bytes(&body, str_of(result->file));
    buf_printf(&body, ",\"bytes\":%" PRIu64 ",\"ms\":%" PRIu64 "}", result->bytes, result->ms);
    answer_json(x, 201, STR(""), buf_str(body));
    buf_free(&body);
}

/* 409: a backup is under way, or there is no folder for it. */
static void post_backup(struct routes *r, struct exchange *x)
{
    char error[BACKUP_WHY_BYTES];
    if (r->draining)
        answer_unavailable(x, "shutting down");
    else if (!backups_start(r->backups, backup_done, x, error, sizeof error))
        exchange_fail(x, 409, error);
}

static void answer_metrics(struct routes *r, struct exchange *x)
{
    struct buf *out = NULL;
    r->owner->metrics(r->owner_ctx, &out);
    metrics_respond(x, buf_str(out));
    buf_free(&out);
}

/* ---- the table ---- */

static void handle(void *ctx, struct exchange *x, const struct http_request *req, struct str body)
{
    const struct str item = STR("/messages/");
    struct routes *r = ctx;
    struct str path = req->path;
    bool is_messages = str_eq(path, STR("/messages"));
    bool is_message = path.len > item.len && memcmp(path.p, item.p, item.len) == 0 &&
                      !memchr(path.p + item.len, '/', path.len - item.len);
    bool is_livez = str_eq(path, STR("/livez")), is_readyz = str_eq(path, STR("/readyz"));
    bool is_healthz = str_eq(path, STR("/healthz")), is_metrics = str_eq(path, STR("/metrics"));
    bool is_backup = str_eq(path, STR("/admin/backup"));
    (void)body;
    if (is_backup && req->method == HTTP_POST)
        post_backup(r, x);
    else if (is_backup)
        answer_json(x, 405, STR("Allow: POST\r\n"), STR("{\"detail\":\"Method Not Allowed\"}"));
    else if (!is_messages && !is_message && !is_livez && !is_readyz && !is_healthz && !is_metrics)
        exchange_fail(x, 404, "Not Found");
    else if (req->method != HTTP_GET && req->method != HTTP_HEAD)
        answer_json(x, 405, STR("Allow: GET, HEAD\r\n"),
                    STR("{\"detail\":\"Method Not Allowed\"}"));
    else if (is_messages)
        get_messages(r, x, req);
    else if (is_message)
        get_message(r, x, (struct str){path.p + item.len, path.len - item.len});
    else if (is_metrics)
        answer_metrics(r, x);
    else
        answer_probe(r, x, is_livez ? NULL : unready_reason(r), is_healthz || is_verbose(req));
}

const struct server_ops routes_ops = {.request = handle};

/* ---- life ---- */

struct routes *routes_new(struct event_base *base, struct store *store, struct backups *backups,
                          const struct routes_owner *owner, void *owner_ctx)
{
    struct routes *r = mem_zalloc(sizeof *r);
    r->store = store;
    r->backups = backups;
    r->owner = owner;
    r->owner_ctx = owner_ctx;
    TAILQ_INIT(&r->waiting);
    event_assign(&r->sweep, base, -1, EV_PERSIST, sweep_cb, r);
    return r;
}

const struct histogram *routes_read_seconds(const struct routes *r)
{
    return &r->read_seconds;
}

size_t routes_waiting(const struct routes *r)
{
    return r->nwaiting;
}

bool routes_ready(struct routes *r)
{
    return !unready_reason(r);
}

void routes_drain(struct routes *r)
{
    r->draining = true;
    waits_expire(r, UINT64_MAX);
}

void routes_free(struct routes *r)
{
    if (!r)
        return;
    event_del(&r->sweep);
    event_debug_unassign(&r->sweep);
    free(r);
}
