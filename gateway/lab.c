/* SPDX-License-Identifier: MIT */
/*
 * What the chain needs: where the feed has begun in the middle of a window (at the start, behind a
 * gap, at a new opening), the window's messages are read from the stream once more, if Redis has
 * them all, and the chain is made of them. Until that has come it says that it is not known.
 *
 * A fault is asked for by a page of this very origin only: ALLOWED_ORIGINS says who may chat, not
 * who may end a process.
 */
#include "gateway/lab.h"

#include <event2/event.h>
#include <inttypes.h>
#include <json-c/json.h>
#include <stdlib.h>

#include "common/chain.h"
#include "common/json.h"
#include "common/lab.h"
#include "common/limits.h"
#include "common/mem.h"
#include "common/message.h"
#include "gateway/answer.h"

enum {
    SEED_MS = 500, /* between two looks whether the chain is known */
    SECONDS_DEFAULT = 10,
};

struct gateway_lab {
    struct lab *lab;
    struct link *link;
    struct log_link *log; /* the link's */
    const struct clients *clients;
    struct chain chain;  /* which the link adds to */
    uint64_t seed_start; /* of the window that was asked for */
    bool seeding;        /* a page of it is on its way */
    struct event tick;
};

/* ---- the chain ---- */

static void seed_cb(void *arg, const struct page *page)
{
    struct gateway_lab *g = arg;
    struct str room;
    uint64_t named, position = link_position(g->link);
    g->seeding = false;
    if (!page || !page->open || g->chain.known || page->base > g->seed_start ||
        page->seq < position || chain_window(position) != g->seed_start)
        return;
    if (page->full && page->entries[page->count - 1].id < position)
        return; /* of messages so long the next window is awaited */
    chain_begin(&g->chain, g->seed_start);
    for (size_t i = 0; i < page->count && page->entries[i].id <= position; i++) {
        const struct entry *e = &page->entries[i];
        if (message_peek(e->json, &named, &room) && named == e->id)
            chain_add(&g->chain, e->id, e->json);
    }
}

static void tick_cb(evutil_socket_t fd, short what, void *arg)
{
    (void)fd, (void)what;
    struct gateway_lab *g = arg;
    if (g->chain.known || g->seeding || !link_started(g->link))
        return;
    g->seed_start = chain_window(link_position(g->link));
    g->seeding = log_link_page(g->log, g->seed_start, CHAIN_WINDOW, seed_cb, g);
}

/* ---- telling ---- */

static void describe(void *ctx, struct buf **json)
{
    const struct gateway_lab *g = ctx;
    const struct link_parts parts = link_parts(g->link);
    buf_printf(json, ",\"opening\":%" PRIu64 ",\"lease\":%" PRIu64 ",\"stored\":%" PRIu64,
               g->log->feed.opening, g->log->feed.lease, g->log->feed.stored);
    buf_printf(json,
               ",\"clients\":%zu,\"outbox\":%zu,\"waits\":%zu,\"sent\":%" PRIu64 ",\"chain\":",
               clients_count(g->clients), parts.outbox->queued + parts.outbox->batch_count,
               parts.waits->count, link_sent(g->link));
    chain_describe(&g->chain, json);
}

/* ---- the routes ---- */

bool gateway_lab_reads(struct str path)
{
    return str_eq(path, STR("/lab/state")) || str_eq(path, STR("/lab/replicas"));
}

bool gateway_lab_faults(struct str path)
{
    return str_eq(path, STR("/lab/faults"));
}

/* From a page of another origin? A request without an Origin comes from no page. */
static bool is_foreign(const struct http_request *req)
{
    struct str origin = http_header(req, "Origin"), host = http_header(req, "Host");
    if (!origin.p)
        return false;
    const char *mark = memmem(origin.p, origin.len, "://", 3);
    if (!mark)
        return true;
    size_t scheme = (size_t)(mark - origin.p) + 3;
    return !str_eq_nocase((struct str){origin.p + scheme, origin.len - scheme}, host);
}

struct asked {
    struct str replica; /* of the object */
    enum lab_fault fault;
    unsigned seconds;
};

/* Takes one member; false when it is none of ours, or of another type. */
static bool member_read(struct asked *a, struct str name, struct json_object *value)
{
    struct str text = {json_object_get_string(value), (size_t)json_object_get_string_len(value)};
    int64_t seconds = json_object_get_int64(value);
    bool string = json_object_is_type(value, json_type_string);
    if (str_eq(name, STR("replica")) && string)
        a->replica = text;
    else if (str_eq(name, STR("fault")) && string)
        a->fault = lab_fault_named(text);
    else if (str_eq(name, STR("seconds")) && json_object_is_type(value, json_type_int) &&
             seconds > 0 && seconds <= LAB_FAULT_S_MAX)
        a->seconds = (unsigned)seconds;
    else
        return false;
    return true;
}

/* Words that say what is wrong, or NULL. */
static const char *asked_read(struct asked *a, struct json_object *object)
{
    if (!json_object_is_type(object, json_type_object))
        return "An object of replica, fault and seconds is expected";
    json_object_object_foreach(object, name, value)
    {
        if (!member_read(a, str_of(name), value))
            return "replica and fault are strings, seconds is a number from 1 to 300";
    }
    if (!room_name_valid(a->replica))
        return "replica is the name of a gateway, or persister";
    return a->fault ? NULL : "fault is pause_redis, drop_redis, stop_reading or exit";
}

/* What is not JSON, or deeper than an object, is NULL. */
static struct json_object *body_parse(struct str body)
{
    size_t at;
    if (json_check(body, 1, &at))
        return NULL;
    struct json_tokener *t = json_tokener_new();
    struct json_object *object = json_tokener_parse_ex(t, body.p, (int)body.len);
    json_tokener_free(t);
    return object;
}

static void fault_send(struct gateway_lab *g, struct exchange *x, const struct asked *a)
{
    switch (lab_fault_send(g->lab, a->replica, a->fault, a->seconds)) {
    case LAB_DONE:
        answer_json(x, 202, STR(""), STR("{\"status\":\"done\"}"));
        break;
    case LAB_SENT:
        answer_json(x, 202, STR(""), STR("{\"status\":\"sent\"}"));
        break;
    case LAB_UNKNOWN:
        exchange_fail(x, 404, "No replica of that name told anything lately");
        break;
    case LAB_DISCONNECTED:
        answer_unavailable(x, "Redis, through which it would be sent, cannot be reached");
        break;
    }
}

static void fault_answer(struct gateway_lab *g, struct exchange *x, struct str body)
{
    struct asked a = {.seconds = SECONDS_DEFAULT};
    struct json_object *object = body_parse(body);
    const char *wrong = asked_read(&a, object);
    if (wrong)
        exchange_fail(x, 422, wrong);
    else
        fault_send(g, x, &a);
    json_object_put(object);
}

void gateway_lab_answer(struct gateway_lab *g, struct exchange *x, const struct http_request *req,
                        struct str body)
{
    struct buf *json = NULL;
    if (gateway_lab_faults(req->path) && is_foreign(req)) {
        exchange_fail(x, 403, "Faults are asked for from the lab's own page only");
    } else if (gateway_lab_faults(req->path)) {
        fault_answer(g, x, body);
    } else {
        if (str_eq(req->path, STR("/lab/state")))
            lab_state(g->lab, &json);
        else
            lab_replicas(g->lab, &json);
        answer_json(x, 200, STR("Cache-Control: no-store\r\n"), buf_str(json));
        buf_free(&json);
    }
}

/* ---- life ---- */

struct gateway_lab *gateway_lab_new(struct event_base *base, struct evdns_base *dns,
                                    const struct settings *settings, struct link *link,
                                    const struct clients *clients)
{
    struct gateway_lab *g = mem_zalloc(sizeof *g);
    g->log = link_chain_start(link, &g->chain);
    const struct lab_config config = {.role = "gateway",
                                      .name = settings->replica,
                                      .prefix = settings->redis_prefix,
                                      .log = g->log};
    g->link = link;
    g->clients = clients;
    chain_lose(&g->chain, 0);
    event_assign(&g->tick, base, -1, EV_PERSIST, tick_cb, g);
    event_add(&g->tick, &(struct timeval){.tv_usec = SEED_MS * 1000L});
    g->lab = lab_new(base, dns, &config, describe, g);
    return g;
}

void gateway_lab_stop(struct gateway_lab *g)
{
    if (!g)
        return;
    event_del(&g->tick);
    event_debug_unassign(&g->tick);
    lab_free(g->lab);
    g->lab = NULL;
}

void gateway_lab_free(struct gateway_lab *g)
{
    free(g);
}
