/* SPDX-License-Identifier: MIT */
/*
 * chat-gateway: HTTP and WebSocket on one side, the log in Redis on the other. This file puts the
 * parts together, turns the loop and ends it.
 *
 * The end, on SIGTERM or SIGINT: /readyz says 503, no new connections, WebSocket clients are closed
 * with 1012 spread over half of DRAIN_SECONDS, what is in flight is answered. A second signal does
 * not wait. The port of its own that /metrics may have is served to the last.
 */
#include <event2/event.h>
#include <stdio.h>
#include <stdlib.h>

#include "common/batch.h"
#include "common/clock.h"
#include "common/healthcheck.h"
#include "common/log.h"
#include "common/loop.h"
#include "common/server.h"
#include "common/version.h"
#include "gateway/admin.h"
#include "gateway/assets.h"
#include "gateway/deflate.h"
#include "gateway/lookup.h"
#include "gateway/pages.h"
#include "gateway/routes.h"

enum {
    ERROR_BYTES = 512,
    SECOND_MS = 1000,
    TICK_MS = 100,
    KEEP_BYTES = 64 << 20, /* of freed memory, so that a burst's is not given back and faulted in */
};

struct gateway {
    struct settings settings;
    struct loop loop;
    struct history *history;
    struct rooms *rooms;
    struct link *link;
    struct clients *clients;
    struct server *server, *admin; /* admin: NULL without ADMIN_PORT */
    struct routes routes;
    struct event *tick;
    uint64_t swept_ms, deadline_ms;
    size_t drain_step; /* clients closed at each tick */
    bool was_ready;
};

static uint64_t position(void *ctx)
{
    const struct gateway *g = ctx;
    return link_position(g->link);
}

static bool beyond(void *ctx, uint64_t id)
{
    const struct gateway *g = ctx;
    return id > link_position(g->link) && id > link_lease(g->link);
}

static void frame(void *ctx, struct client *c, struct str text)
{
    struct gateway *g = ctx;
    routes_frame(&g->routes, c, text);
}

static void gone(void *ctx, struct guest *guest)
{
    struct gateway *g = ctx;
    guests_close(g->routes.guests, guest);
}

static const struct clients_ops clients_ops = {
    .message = frame, .position = position, .beyond = beyond, .gone = gone};

/* ---- whence rooms have what is older ---- */

static bool ask_history(void *ctx, struct str room, uint64_t before, unsigned limit,
                        uint64_t min_id, history_cb cb, void *arg)
{
    struct gateway *g = ctx;
    return history_page(g->history, room, HISTORY_NEWEST, before, limit, min_id, cb, arg);
}

static void page_cb(void *arg, const struct page *page)
{
    struct gateway *g = arg;
    rooms_page(g->rooms, page);
}

static bool ask_page(void *ctx, uint64_t before, unsigned count)
{
    struct gateway *g = ctx;
    return link_page_back(g->link, before, count, page_cb, g);
}

static const struct rooms_sources rooms_sources = {.history = ask_history, .page = ask_page};

/* ---- the end ---- */

static void drain(void *ctx, const char *signal)
{
    struct gateway *g = ctx;
    log_info("stopping", "signal=%s clients=%zu", signal, clients_count(g->clients));
    g->routes.draining = true;
    g->deadline_ms = now_ms() + g->settings.drain_seconds * 1000;
    size_t ticks = g->settings.drain_seconds * 1000 / TICK_MS / 2 + 1;
    g->drain_step = clients_count(g->clients) / ticks + 1;
    server_drain(g->server);
}

static void drain_step(struct gateway *g)
{
    size_t left = clients_drain(g->clients, g->drain_step);
    bool done = !left && server_idle(g->server) && link_empty(g->link);
    if (done || now_ms() >= g->deadline_ms)
        g->loop.over = true;
}

static void tick_cb(evutil_socket_t fd, short what, void *arg)
{
    (void)fd, (void)what;
    struct gateway *g = arg;
    const char *why = NULL;
    uint64_t now = now_ms();
    rooms_tick(g->rooms, now);
    clients_tick(g->clients, now);
    if (g->routes.draining)
        drain_step(g);
    bool ready = routes_ready(&g->routes, &why);
    if (ready != g->was_ready)
        log_info(ready ? "ready" : "not ready", "why=%s", ready ? "" : why);
    g->was_ready = ready;
    if (now - g->swept_ms < SECOND_MS)
        return;
    g->swept_ms = now;
    guests_sweep(g->routes.guests, now_us());
}

/* ---- the start ---- */

static bool servers_start(struct gateway *g, char *error, size_t size)
{
    const struct settings *s = &g->settings;
    const struct server_config public = {.host = s->host,
                                         .port = (unsigned)s->port,
                                         .conns_max = s->conns_max,
                                         .body_max = HTTP_BODY_BYTES_MAX};
    const struct server_config admin = {
        .host = s->admin_host, .port = (unsigned)s->admin_port, .conns_max = ADMIN_CONNS_MAX};
    g->server = server_new(g->loop.base, &public, &routes_ops, &g->routes, error, size);
    if (g->server && s->admin_port)
        g->admin = server_new(g->loop.base, &admin, &admin_ops, &g->routes, error, size);
    g->routes.server = g->server;
    g->routes.admin = g->admin;
    return g->server && (g->admin || !s->admin_port);
}

/* How bytes go to clients. */
static bool writes_start(const struct settings *s, char *error, size_t size)
{
    const char *why;
    if (!batch_open((enum batch_way)s->write_with, &why)) {
        snprintf(error, size, "WRITE_WITH=io_uring, but the kernel says: %s", why);
        return false;
    }
    log_info("writes go", "with=%s why_not_io_uring=%s", why ? "sendmsg" : "io_uring",
             why ? why : "");
    return true;
}

static bool start(struct gateway *g)
{
    const struct settings *s = &g->settings;
    char error[ERROR_BYTES];
    const struct guests_config guests = {s->trusted_proxies, s->conns_per_address,
                                         s->client_rate,     s->client_burst,
                                         s->address_rate,    s->address_burst};
    g->routes.settings = s;
    g->routes.guests = guests_new(&guests);
    if (!loop_init(&g->loop, drain, g, error, sizeof error) ||
        !writes_start(s, error, sizeof error) || !servers_start(g, error, sizeof error)) {
        log_error("cannot start", "reason=%s", error);
        return false;
    }
    g->history = history_new(g->loop.base, g->loop.dns, s->persister_url);
    const struct rooms_config rooms = {s->history_messages, s->lag_bytes, s->rooms_max};
    g->rooms = rooms_new(&rooms, &rooms_sources, g);
    g->clients = clients_new(g->loop.base, g->rooms, g->history,
                             &(struct clients_config){s->clients_max}, &clients_ops, g);
    const struct link_config link = {&s->redis_tls, s->redis_url,           s->redis_prefix,
                                     s->outbox_max, s->idempotency_seconds, s->post_deadline_ms};
    g->link = link_new(g->loop.base, g->loop.dns, &link, g->rooms);
    g->routes.link = g->link;
    g->routes.rooms = g->rooms;
    g->routes.clients = g->clients;
    g->routes.history = g->history;
    if (s->lab)
        g->routes.lab = gateway_lab_new(g->loop.base, g->loop.dns, s, g->link, g->clients);
    g->tick = event_new(g->loop.base, -1, EV_PERSIST, tick_cb, g);
    event_add(g->tick, &(struct timeval){.tv_usec = TICK_MS * 1000L});
    log_info("started", "version=%s host=%s port=%u", CHAT_VERSION, s->host,
             server_port(g->server));
    return true;
}

/* A turn: events, then the writes and the frees that they made us owe. */
static void run(struct gateway *g)
{
    while (!g->loop.over) {
        bool http = server_turn(g->server), sockets = clients_turn(g->clients);
        bool admin = g->admin && server_turn(g->admin);
        bool pages = pages_turn(sockets);
        loop_turn(&g->loop, http || sockets || admin || pages);
    }
    server_turn(g->server);
    clients_turn(g->clients);
}

/* In the order in which the parts lean on each other; each may not be there. */
static void stop(struct gateway *g)
{
    if (g->rooms)
        rooms_stop(g->rooms);
    gateway_lab_stop(g->routes.lab);
    lookup_stop();
    link_free(g->link);
    gateway_lab_free(g->routes.lab);
    history_free(g->history);
    pages_stop();
    if (g->server)
        server_turn(g->server);
    clients_free(g->clients);
    rooms_free(g->rooms);
    server_free(g->server);
    server_free(g->admin);
    guests_free(g->routes.guests);
    batch_close();
    deflate_done();
    pages_done();
    if (g->tick)
        event_free(g->tick);
    loop_done(&g->loop);
}

int main(int argc, char **argv)
{
    struct gateway g = {0};
    if (healthcheck_asked(argc, argv))
        return healthcheck_run("chat-gateway", PORT_DEFAULT, argc, argv);
    enum config_result loaded = settings_load(&g.settings, argc, argv);
    if (loaded != CONFIG_OK)
        return config_exit(loaded);
    log_init("gateway", (enum log_level)g.settings.log_level, g.settings.log_format == 1);
    settings_log(&g.settings);
    process_prepare(KEEP_BYTES);
    assets_init(g.settings.lab);
    bool started = start(&g);
    if (started)
        run(&g);
    stop(&g);
    if (started)
        log_info("stopped", "");
    return started ? EXIT_SUCCESS : EXIT_FAILURE;
}
