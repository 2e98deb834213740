/* SPDX-License-Identifier: MIT */
/*
 * A small client of the persister, over libevent's evhttp: it is inner traffic, so a well-kept
 * library does. One connection a request, HISTORY_MS for each, REQUESTS_MAX under way.
 *
 * The connection is ours: evhttp frees it by itself after an answer only, not when the persister
 * could not be reached. It is freed in the next turn, since evhttp still uses it when it calls.
 *
 * A persister that hangs would let everybody wait for HISTORY_MS. So after one request without an
 * answer nobody is let through for HISTORY_REST_MS, and then one request at a time, until one is
 * answered:
 *
 *      ANSWERS ──► no answer in HISTORY_MS ──► RESTS ──► HISTORY_REST_MS ──► TRIED: one goes out
 *         ▲                                      ▲                              │
 *         └───────────── an answer ──────────────┴──────── none ────────────────┘
 */
#include "gateway/history.h"

#include <event2/buffer.h>
#include <event2/event.h>
#include <event2/event_struct.h>
#include <event2/http.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/queue.h>

#include "common/clock.h"
#include "common/limits.h"
#include "common/log.h"
#include "common/mem.h"

enum {
    REQUESTS_MAX = 128,
    SLACK_MS = 500, /* a timer may be that early */
    PATH_BYTES = 512,
    URL_BYTES_MAX = 512,                              /* the setting has fewer */
    ANSWER_BYTES_MAX = HISTORY_BYTES_MAX + (1 << 20), /* the last message may be of the longest */
};

enum persister_state {
    PERSISTER_ANSWERS,
    PERSISTER_RESTS,
    PERSISTER_TRIED,
};

struct history_request {
    LIST_ENTRY(history_request) entry;
    struct history *history;
    struct evhttp_connection *conn; /* owned */
    history_cb cb;                  /* NULL: the owner was told */
    void *arg;
    uint64_t began_us;
};

LIST_HEAD(history_list, history_request);

struct history {
    struct event_base *base;
    struct evdns_base *dns;
    char *host; /* owned */
    int port;
    struct history_list under_way, over; /* over: to be freed */
    size_t count;                        /* under way */
    uint64_t pruned;                     /* retention has removed messages up to here */
    uint64_t lease;                      /* as last told */
    struct event reaper;                 /* made active when one is over */
    enum persister_state state;
    uint64_t rest_until_ms; /* PERSISTER_RESTS */
    bool closing;
    struct history_counts counts;
};

static void reaper_cb(evutil_socket_t fd, short what, void *arg)
{
    (void)fd, (void)what;
    struct history *h = arg;
    for (struct history_request *r = LIST_FIRST(&h->over), *next; r; r = next) {
        next = LIST_NEXT(r, entry);
        evhttp_connection_free(r->conn);
        free(r);
    }
    LIST_INIT(&h->over);
}

struct history *history_new(struct event_base *base, struct evdns_base *dns, const char *url)
{
    struct history *h = mem_zalloc(sizeof *h);
    h->base = base;
    h->dns = dns;
    char full[URL_BYTES_MAX];
    snprintf(full, sizeof full, "%s%s", strstr(url, "://") ? "" : "http://", url);
    struct evhttp_uri *uri = evhttp_uri_parse(full);
    const char *host = uri ? evhttp_uri_get_host(uri) : NULL;
    int port = uri ? evhttp_uri_get_port(uri) : -1;
    h->host = host ? mem_strndup(host, strlen(host)) : mem_strndup("127.0.0.1", 9);
    h->port = port > 0 ? port : 80;
    if (uri)
        evhttp_uri_free(uri);
    event_assign(&h->reaper, base, -1, 0, reaper_cb, h);
    return h;
}

const struct history_counts *history_counts(const struct history *h)
{
    return &h->counts;
}

size_t history_under_way(const struct history *h)
{
    return h->count;
}

/* Tells the owner; the request is over. */
static void request_end(struct history_request *r, int status, struct str body)
{
    struct history *h = r->history;
    history_cb cb = r->cb;
    r->cb = NULL;
    LIST_REMOVE(r, entry);
    LIST_INSERT_HEAD(&h->over, r, entry);
    h->count--;
    event_active(&h->reaper, 0, 0);
    h->counts.ended[status == 200 || status == 404 ? HISTORY_ANSWERED : HISTORY_FAILED]++;
    histogram_add(&h->counts.seconds, now_us() - r->began_us);
    cb(r->arg, status == 200, status, body);
}

void history_free(struct history *h)
{
    if (!h)
        return;
    h->closing = true;
    while (!LIST_EMPTY(&h->under_way))
        request_end(LIST_FIRST(&h->under_way), 0, STR(""));
    reaper_cb(-1, 0, h);
    event_del(&h->reaper);
    event_debug_unassign(&h->reaper);
    free(h->host);
    free(h);
}

static void standing_read(struct history *h, struct evhttp_request *req)
{
    const struct evkeyvalq *headers = evhttp_request_get_input_headers(req);
    const char *text = evhttp_find_header(headers, "Chat-Pruned");
    uint64_t pruned = text ? strtoull(text, NULL, 10) : 0;
    if (pruned > h->pruned)
        h->pruned = pruned;
    text = evhttp_find_header(headers, "Chat-Lease");
    h->lease = text ? strtoull(text, NULL, 10) : UINT64_MAX;
}

/* What the end of a request says about the persister. A refused connection is told at once and
 * costs nobody any time; only who tried once more rests again after one. */
static void persister_judge(struct history *h, uint64_t begun_ms, bool answered)
{
    uint64_t now = now_ms();
    bool hangs = !answered && now - begun_ms >= HISTORY_MS - SLACK_MS;
    if (answered) {
        if (h->state != PERSISTER_ANSWERS)
            log_info("the persister answers again", "");
        h->state = PERSISTER_ANSWERS;
    } else if (hangs || h->state == PERSISTER_TRIED) {
        if (h->state == PERSISTER_ANSWERS)
            log_warn("the persister does not answer", "waited_ms=%d", HISTORY_MS);
        h->state = PERSISTER_RESTS;
        h->rest_until_ms = now + HISTORY_REST_MS;
    }
}

/* May a request go out now? */
static bool persister_admits(struct history *h)
{
    if (h->state == PERSISTER_ANSWERS)
        return true;
    if (h->state == PERSISTER_TRIED || now_ms() < h->rest_until_ms)
        return false;
    h->state = PERSISTER_TRIED;
    return true;
}

static void done_cb(struct evhttp_request *req, void *arg)
{
    struct history_request *r = arg;
    int status = req ? evhttp_request_get_response_code(req) : 0;
    struct str body = {"", 0};
    if (!r->cb) /* history_free ended it */
        return;
    persister_judge(r->history, r->began_us / 1000, status != 0);
    if (status == 200) {
        standing_read(r->history, req);
        struct evbuffer *in = evhttp_request_get_input_buffer(req);
        body.len = evbuffer_get_length(in);
        body.p = body.len ? (const char *)evbuffer_pullup(in, -1) : "";
    }
    request_end(r, status, body);
}

static struct history_request *request(struct history *h, const char *path, history_cb cb,
                                       void *arg)
{
    if (h->closing || h->count >= REQUESTS_MAX || !persister_admits(h)) {
        h->counts.ended[HISTORY_REFUSED]++;
        return NULL;
    }
    struct evhttp_connection *conn =
        evhttp_connection_base_new(h->base, h->dns, h->host, (uint16_t)h->port);
    struct history_request *r = mem_zalloc(sizeof *r);
    *r = (struct history_request){
        .history = h, .conn = conn, .cb = cb, .arg = arg, .began_us = now_us()};
    LIST_INSERT_HEAD(&h->under_way, r, entry);
    h->count++;
    evhttp_connection_set_timeout_tv(
        conn, &(struct timeval){HISTORY_MS / 1000, HISTORY_MS % 1000 * 1000L});
    evhttp_connection_set_max_body_size(conn, ANSWER_BYTES_MAX);
    struct evhttp_request *req = evhttp_request_new(done_cb, r);
    struct evkeyvalq *headers = evhttp_request_get_output_headers(req);
    evhttp_add_header(headers, "Host", "persister");
    evhttp_add_header(headers, "Accept", "application/x-ndjson");
    evhttp_add_header(headers, "Connection", "close");
    evhttp_make_request(conn, req, EVHTTP_REQ_GET, path);
    return r;
}

struct history_request *history_page(struct history *h, struct str room, uint64_t after,
                                     uint64_t before, unsigned limit, uint64_t min_id,
                                     history_cb cb, void *arg)
{
    char path[PATH_BYTES];
    int n =
        snprintf(path, sizeof path, "/messages?room=%.*s&limit=%u", (int)room.len, room.p, limit);
    if (after != HISTORY_NEWEST)
        n += snprintf(path + n, sizeof path - (size_t)n, "&after=%" PRIu64, after);
    if (before)
        n += snprintf(path + n, sizeof path - (size_t)n, "&before=%" PRIu64, before);
    if (min_id)
        snprintf(path + n, sizeof path - (size_t)n, "&min_id=%" PRIu64, min_id);
    return request(h, path, cb, arg);
}

struct history_request *history_message(struct history *h, uint64_t id, history_cb cb, void *arg)
{
    char path[PATH_BYTES];
    snprintf(path, sizeof path, "/messages/%" PRIu64, id);
    return request(h, path, cb, arg);
}

uint64_t history_pruned(const struct history *h)
{
    return h->pruned;
}

uint64_t history_lease(const struct history *h)
{
    return h->lease;
}

bool history_line(struct str *lines, struct str *line)
{
    if (!lines->len)
        return false;
    const char *end = memchr(lines->p, '\n', lines->len);
    size_t len = end ? (size_t)(end - lines->p) : lines->len;
    *line = (struct str){lines->p, len};
    size_t used = end ? len + 1 : len;
    lines->p += used;
    lines->len -= used;
    return true;
}
