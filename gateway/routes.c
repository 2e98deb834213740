/* SPDX-License-Identifier: MIT */
/*
 * Which request goes where, and the handshake of WebSocket. POST is in posting.c, reading in
 * pages.c and lookup.c, what comes over WebSocket in frames.c.
 *
 *   POST /messages, /rooms/{room}/messages    GET likewise, GET /messages/{id}
 *   GET /ws, /rooms/{room}/ws                 GET /livez, /readyz, /healthz
 *   GET / and its files: assets.c             /lab/…, with LAB=1: lab.c
 *   GET /metrics, unless it has a port of its own
 */
#include "gateway/routes.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "common/clock.h"
#include "common/json.h"
#include "common/mem.h"
#include "common/message.h"
#include "common/query.h"
#include "common/version.h"
#include "gateway/answer.h"
#include "gateway/assets.h"
#include "gateway/deflate.h"
#include "gateway/lookup.h"
#include "gateway/metrics.h"
#include "gateway/origins.h"
#include "gateway/pages.h"
#include "gateway/posting.h"

enum route {
    ROUTE_NONE,
    ROUTE_MESSAGES,
    ROUTE_MESSAGE,
    ROUTE_WS,
    ROUTE_LIVEZ,
    ROUTE_READYZ,
    ROUTE_HEALTHZ,
    ROUTE_METRICS,
    ROUTE_SLASH,  /* /messages/: redirected */
    ROUTE_SERVER, /* OPTIONS *: the server as a whole */
    ROUTE_ASSET,
    ROUTE_LAB,
    ROUTE_FAULTS,
};

#define READ "GET, HEAD, OPTIONS"
#define READ_AND_WRITE "GET, HEAD, OPTIONS, POST"

static const char *const allow[] = {
    [ROUTE_NONE] = "",
    [ROUTE_MESSAGES] = READ_AND_WRITE,
    [ROUTE_MESSAGE] = READ,
    [ROUTE_WS] = "GET, OPTIONS",
    [ROUTE_LIVEZ] = READ,
    [ROUTE_READYZ] = READ,
    [ROUTE_HEALTHZ] = READ,
    [ROUTE_METRICS] = READ,
    [ROUTE_SLASH] = READ_AND_WRITE,
    [ROUTE_SERVER] = READ_AND_WRITE,
    [ROUTE_ASSET] = READ,
    [ROUTE_LAB] = READ,
    [ROUTE_FAULTS] = "OPTIONS, POST",
};

/* ---- which route ---- */

static bool cut_prefix(struct str *path, struct str prefix)
{
    if (path->len < prefix.len || memcmp(path->p, prefix.p, prefix.len) != 0)
        return false;
    path->p += prefix.len;
    path->len -= prefix.len;
    return true;
}

/* The copy lives until the next call. */
static struct str path_plain(struct str path)
{
    static char plain[HTTP_TARGET_BYTES_MAX];
    return http_path_plain(path, plain);
}

/* A room's name may come escaped; the copy lives until the next call. */
static bool room_decode(struct str segment, struct str *room)
{
    static char name[ROOM_BYTES_MAX];
    room->p = name;
    return http_path_decode(segment, name, sizeof name, &room->len) && room_name_valid(*room);
}

/* *rest is the id of ROUTE_MESSAGE; *room the room. */
static enum route route_of(const struct routes *r, struct str path, struct str *room,
                           struct str *rest)
{
    struct str p = path;
    *room = STR("lobby");
    *rest = (struct str){"", 0};
    if (str_eq(p, STR("/livez")))
        return ROUTE_LIVEZ;
    if (str_eq(p, STR("/readyz")))
        return ROUTE_READYZ;
    if (str_eq(p, STR("/healthz")))
        return ROUTE_HEALTHZ;
    if (str_eq(p, STR("/metrics")) && !r->admin)
        return ROUTE_METRICS;
    if (cut_prefix(&p, STR("/rooms/"))) {
        const char *slash = p.len ? memchr(p.p, '/', p.len) : NULL;
        if (!slash)
            return ROUTE_NONE;
        const struct str segment = {p.p, (size_t)(slash - p.p)};
        p = (struct str){slash, p.len - segment.len};
        if (!room_decode(segment, room))
            return ROUTE_NONE;
        return str_eq(p, STR("/messages")) ? ROUTE_MESSAGES
               : str_eq(p, STR("/ws"))     ? ROUTE_WS
                                           : ROUTE_NONE;
    }
    if (str_eq(p, STR("*")))
        return ROUTE_SERVER;
    if (str_eq(p, STR("/ws")))
        return ROUTE_WS;
    if (str_eq(p, STR("/messages")))
        return ROUTE_MESSAGES;
    if (str_eq(p, STR("/messages/")))
        return ROUTE_SLASH;
    if (cut_prefix(&p, STR("/messages/")) && !memchr(p.p, '/', p.len)) {
        *rest = p;
        return ROUTE_MESSAGE;
    }
    if (r->lab && gateway_lab_faults(path))
        return ROUTE_FAULTS;
    if (r->lab && gateway_lab_reads(path))
        return ROUTE_LAB;
    return asset_find(path) ? ROUTE_ASSET : ROUTE_NONE;
}

/* ---- headers of every answer ---- */

static void add_headers(void *ctx, const struct http_request *req, struct buf **out)
{
    const struct routes *r = ctx;
    struct str id = http_header(req, "X-Request-ID");
    buf_printf(out, "Chat-Replica: %s\r\n", r->settings->replica);
    origins_headers(r->settings->allowed_origins, req, out);
    if (id.p && id.len && id.len <= IDEMPOTENCY_KEY_BYTES_MAX) {
        buf_add_str(out, STR("X-Request-ID: "));
        buf_add_str(out, id);
        buf_add_str(out, STR("\r\n"));
    }
}

static void preflight(const struct routes *r, struct exchange *x, const struct http_request *req,
                      enum route route)
{
    struct buf *headers = NULL;
    buf_printf(&headers, "Allow: %s\r\n", allow[route]);
    origins_preflight(r->settings->allowed_origins, req, allow[route], &headers);
    exchange_respond(x, &(struct response){.status = 204, .headers = buf_str(headers)});
    buf_free(&headers);
}

/* ---- guests ---- */

static bool opened(void *ctx, const struct address *peer, void **guest, struct http_refusal *no)
{
    const struct routes *r = ctx;
    struct guest *g = NULL;
    bool welcome = guests_open(r->guests, peer, &g, no);
    *guest = g;
    return welcome;
}

static void closed(void *ctx, void *guest)
{
    const struct routes *r = ctx;
    guests_close(r->guests, guest);
}

/* ---- WebSocket ---- */

static bool ws_refuse(struct routes *r, struct exchange *x, const struct http_request *req)
{
    const struct str upgrade = STR("Upgrade: websocket\r\nConnection: Upgrade\r\n");
    if (!http_header_has(req, "Upgrade", "websocket")) {
        answer_detail(x, 426, upgrade, STR("\"Upgrade Required\""));
        return true;
    }
    const char *fault = ws_handshake_fault(req);
    if (fault) {
        exchange_fail(x, 400, fault);
    } else if (!str_eq(http_header(req, "Sec-WebSocket-Version"), STR("13"))) {
        answer_detail(x, 426,
                      STR("Upgrade: websocket\r\nConnection: Upgrade\r\n"
                          "Sec-WebSocket-Version: 13\r\n"),
                      STR("\"Sec-WebSocket-Version: 13 is needed\""));
    } else if (!origins_allow(r->settings->allowed_origins, req)) {
        exchange_fail(x, 403, "This Origin is not in ALLOWED_ORIGINS");
    } else if (r->draining || clients_full(r->clients)) {
        answer_unavailable(x, r->draining ? "this server restarts" : "too many clients");
    } else if (!link_started(r->link)) {
        answer_unavailable(x, "the log has not been read yet");
    } else {
        return false;
    }
    return true;
}

static void ws(struct routes *r, struct exchange *x, const struct http_request *req,
               struct str name)
{
    uint64_t after = 0, newest = JOIN_HISTORY_DEFAULT, hello = 0;
    struct buf *errors = NULL, *in = NULL, *out = NULL, *extensions = NULL;
    if (ws_refuse(r, x, req))
        return;
    bool resume = query_number_read(req->query, "after", "[\"query\",\"after\"]", 0,
                                    (int64_t)1 << 53, &after, &errors);
    query_number_read(req->query, "history", "[\"query\",\"history\"]", 0, PAGE_LIMIT_MAX, &newest,
                      &errors);
    query_number_read(req->query, "hello", "[\"query\",\"hello\"]", 0, 1, &hello, &errors);
    if (errors) {
        answer_invalid(x, buf_str(errors));
        buf_free(&errors);
        return;
    }
    struct room *room = room_get(r->rooms, name, link_position(r->link), now_ms());
    if (!room) {
        answer_unavailable(x, "too many rooms are in use");
        return;
    }
    struct guest *guest = exchange_guest(x);
    const struct address peer = exchange_peer(x);
    if (!guests_settle(r->guests, guest, &peer, req)) {
        answer_detail(x, 429, STR("Retry-After: 1\r\n"),
                      STR("\"Too many connections from this address: CONNS_PER_ADDRESS\""));
        return;
    }
    char accept[WS_ACCEPT_BYTES];
    unsigned bits;
    bool deflate =
        r->settings->ws_deflate && deflate_negotiate(req, DEFLATE_BITS_MAX, &bits, &extensions);
    ws_accept(http_header(req, "Sec-WebSocket-Key"), accept);
    int fd = exchange_take(x, &in, &out);
    if (fd < 0) {
        buf_free(&extensions);
        return;
    }
    buf_add_str(&out, STR("HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n"
                          "Connection: Upgrade\r\nSec-WebSocket-Accept: "));
    buf_add(&out, accept, sizeof accept);
    if (deflate)
        buf_add_str(&out, STR("\r\nSec-WebSocket-Extensions: "));
    buf_add_str(&out, buf_str(extensions));
    buf_printf(&out, "\r\nChat-Replica: %s\r\n\r\n", r->settings->replica);
    buf_free(&extensions);
    if (hello)
        frames_hello(r, &out);
    client_new(r->clients, fd, guest, room, resume, after, (uint32_t)newest, deflate, in, out,
               now_ms());
}

/* ---- probes ---- */

bool routes_ready(struct routes *r, const char **why)
{
    if (r->draining) {
        *why = "shutting down";
        return false;
    }
    if (!link_ready(r->link, why))
        return false;
    struct room *lobby = room_get(r->rooms, STR("lobby"), link_position(r->link), now_ms());
    if (!lobby || !lobby->awake) {
        *why = "the lobby's history is being read";
        return false;
    }
    return true;
}

static void probe(struct routes *r, struct exchange *x, const struct http_request *req,
                  enum route route)
{
    const char *why = NULL;
    struct buf *body = NULL;
    char *value = NULL;
    size_t len;
    bool ok = route == ROUTE_LIVEZ || routes_ready(r, &why);
    bool verbose =
        route == ROUTE_HEALTHZ || http_query_get(req->query, "verbose", &value, &len) != 0;
    free(value);
    buf_add_str(&body,
                ok ? STR("{\"status\":\"ok\"") : STR("{\"status\":\"unavailable\",\"detail\":"));
    if (!ok)
        json_add_bytes(&body, str_of(why));
    if (verbose) {
        buf_printf(&body, ",\"version\":\"%s\",\"clients\":%zu,", CHAT_VERSION,
                   clients_count(r->clients));
        link_describe(r->link, &body);
    }
    buf_add_char(&body, '}');
    answer_json(x, ok ? 200 : 503, ok ? STR("") : STR("Retry-After: 1\r\n"), buf_str(body));
    buf_free(&body);
}

/* ---- dispatch ---- */

/* Lives until the next call. */
static struct str allow_header(enum route route)
{
    static char line[64];
    int n = snprintf(line, sizeof line, "Allow: %s\r\n", allow[route]);
    return (struct str){line, (size_t)n};
}

static bool method_fits(enum route route, enum http_method method)
{
    if (route == ROUTE_FAULTS)
        return method == HTTP_POST;
    if (method == HTTP_GET)
        return true;
    if (method == HTTP_HEAD)
        return route != ROUTE_WS;
    return method == HTTP_POST && (route == ROUTE_MESSAGES || route == ROUTE_SLASH);
}

static void redirect(struct exchange *x, const struct http_request *req)
{
    struct buf *headers = NULL;
    buf_add_str(&headers, STR("Location: /messages"));
    if (req->query.len) {
        buf_add_char(&headers, '?');
        buf_add_str(&headers, req->query);
    }
    buf_add_str(&headers, STR("\r\n"));
    exchange_respond(x, &(struct response){.status = 307, .headers = buf_str(headers)});
    buf_free(&headers);
}

/* Who waits for a 100 before it sends a body is told what is wrong already. Others may as well send
 * theirs: a refusal before the body costs them the connection. */
static bool refuse(void *ctx, const struct http_request *req, struct response *refusal)
{
    struct str room, rest;
    if (!req->expect_continue || req->method == HTTP_OPTIONS)
        return false;
    enum route route = route_of(ctx, path_plain(req->path), &room, &rest);
    refusal->content_type = "application/json";
    if (route == ROUTE_NONE) {
        refusal->status = 404;
        refusal->body = STR("{\"detail\":\"Not Found\"}");
    } else if (!method_fits(route, req->method)) {
        refusal->status = 405;
        refusal->headers = allow_header(route);
        refusal->body = STR("{\"detail\":\"Method Not Allowed\"}");
    } else if (req->method == HTTP_POST) {
        refusal->body = posting_unreadable(req, &refusal->headers);
        refusal->status = refusal->body.len ? 415 : 0;
    }
    return refusal->status;
}

/* False: it is a 415. */
static bool body_readable(struct exchange *x, const struct http_request *req)
{
    struct str headers, why = posting_unreadable(req, &headers);
    if (why.len)
        answer_json(x, 415, headers, why);
    return !why.len;
}

static void dispatch(struct routes *r, struct exchange *x, const struct http_request *req,
                     struct str body)
{
    struct str room, rest;
    enum route route = route_of(r, req->path, &room, &rest);
    if (route == ROUTE_NONE) {
        exchange_fail(x, 404, "Not Found");
    } else if (req->method == HTTP_OPTIONS) {
        preflight(r, x, req, route);
    } else if (!method_fits(route, req->method)) {
        answer_detail(x, 405, allow_header(route), STR("\"Method Not Allowed\""));
    } else if (route == ROUTE_SLASH) {
        redirect(x, req);
    } else if (route == ROUTE_WS) {
        ws(r, x, req, room);
    } else if (route == ROUTE_MESSAGE) {
        lookup_message(r, x, rest);
    } else if (route == ROUTE_MESSAGES && req->method == HTTP_POST) {
        posting_take(r, x, req, body, room);
    } else if (route == ROUTE_MESSAGES) {
        pages_get(r, x, req, room);
    } else if (route == ROUTE_ASSET) {
        asset_answer(asset_find(req->path), x, req);
    } else if (route == ROUTE_METRICS) {
        metrics_answer(r, x);
    } else if (route == ROUTE_LAB || route == ROUTE_FAULTS) {
        if (route == ROUTE_LAB || body_readable(x, req))
            gateway_lab_answer(r->lab, x, req, body);
    } else {
        probe(r, x, req, route);
    }
}

/* All that looks at the path shall see the same one. */
static void handle(void *ctx, struct exchange *x, const struct http_request *req, struct str body)
{
    struct str path = path_plain(req->path);
    if (path.p == req->path.p) {
        dispatch(ctx, x, req, body);
        return;
    }
    struct http_request plain = *req;
    plain.path = path;
    dispatch(ctx, x, &plain, body);
}

const struct server_ops routes_ops = {.request = handle,
                                      .refuse = refuse,
                                      .headers = add_headers,
                                      .opened = opened,
                                      .closed = closed};
