/* SPDX-License-Identifier: MIT */
/*
 * A small client of the persister, over libevent's evhttp: it is inner traffic, so a well-kept
 * library does. One connection a request, HISTORY_MS for each, REQUESTS_MAX under way.
 */
#include "gateway/history.h"

#include <event2/buffer.h>
#include <event2/event.h>
#include <event2/http.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "common/limits.h"
#include "common/mem.h"

enum {
    REQUESTS_MAX = 128,
    PATH_BYTES = 512,
    ANSWER_BYTES_MAX = 128 << 20, /* 1,000 messages of the longest kind */
};

struct history_request {
    struct history_request *prev, *next;
    struct history *history;
    struct evhttp_connection *conn;
    history_cb cb;
    void *arg;
};

struct history {
    struct event_base *base;
    struct evdns_base *dns;
    char *host; /* owned */
    int port;
    struct history_request *first;
    size_t count;
    bool closing;
};

struct history *history_new(struct event_base *base, struct evdns_base *dns, const char *url)
{
    struct history *h = mem_zalloc(sizeof *h);
    h->base = base;
    h->dns = dns;
    struct evhttp_uri *uri = evhttp_uri_parse(url);
    const char *host = uri ? evhttp_uri_get_host(uri) : NULL;
    int port = uri ? evhttp_uri_get_port(uri) : -1;
    h->host = host ? mem_strndup(host, strlen(host)) : mem_strndup("127.0.0.1", 9);
    h->port = port > 0 ? port : 80;
    if (uri)
        evhttp_uri_free(uri);
    return h;
}

static void request_unlink(struct history_request *r)
{
    if (r->prev)
        r->prev->next = r->next;
    else
        r->history->first = r->next;
    if (r->next)
        r->next->prev = r->prev;
    r->history->count--;
}

void history_free(struct history *h)
{
    if (!h)
        return;
    h->closing = true;
    while (h->first)
        evhttp_connection_free(h->first->conn); /* calls done_cb */
    free(h->host);
    free(h);
}

static void done_cb(struct evhttp_request *req, void *arg)
{
    struct history_request *r = arg;
    int status = req ? evhttp_request_get_response_code(req) : 0;
    struct str body = {"", 0};
    if (status == 200) {
        struct evbuffer *in = evhttp_request_get_input_buffer(req);
        body.len = evbuffer_get_length(in);
        body.p = body.len ? (const char *)evbuffer_pullup(in, -1) : "";
    }
    request_unlink(r);
    history_cb cb = r->cb;
    void *owner = r->arg;
    free(r);
    cb(owner, status == 200, status, body);
}

static struct history_request *request(struct history *h, const char *path, history_cb cb,
                                       void *arg)
{
    if (h->closing || h->count >= REQUESTS_MAX)
        return NULL;
    struct evhttp_connection *conn =
        evhttp_connection_base_new(h->base, h->dns, h->host, (uint16_t)h->port);
    struct history_request *r = mem_zalloc(sizeof *r);
    *r = (struct history_request){
        .next = h->first, .history = h, .conn = conn, .cb = cb, .arg = arg};
    if (h->first)
        h->first->prev = r;
    h->first = r;
    h->count++;
    evhttp_connection_set_timeout_tv(
        conn, &(struct timeval){HISTORY_MS / 1000, HISTORY_MS % 1000 * 1000L});
    evhttp_connection_set_max_body_size(conn, ANSWER_BYTES_MAX);
    evhttp_connection_free_on_completion(conn);
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
    if (after)
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
