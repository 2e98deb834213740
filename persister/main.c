/* SPDX-License-Identifier: MIT */
/*
 * chat-persister: stores the chat's log in SQLite, and serves its history.
 *
 * The end, on SIGTERM or SIGINT: no new connections, requests under way are answered; then Redis is
 * left, the commit under way finishes, and SQLite is closed with everything in one file. A second
 * signal does not wait for the requests.
 */
#include <event2/dns.h>
#include <event2/event.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>

#include "common/log.h"
#include "common/server.h"
#include "common/version.h"
#include "persister/link.h"
#include "persister/routes.h"
#include "persister/settings.h"

enum {
    CONNS_MAX = 1024,
    SIGNALS = 2,
    ERROR_BYTES = 512,
};

struct persister {
    struct settings settings;
    struct event_base *base;
    struct evdns_base *dns;
    struct store *store;
    struct routes *routes;
    struct server *server;
    struct link *link;
    struct event *signals[SIGNALS];
    struct event *deadline; /* of the drain */
    bool draining, over;
};

/* ---- what the parts ask of each other ---- */

static bool ready(void *ctx, const char **why)
{
    const struct persister *p = ctx;
    return link_ready(p->link, why);
}

static void describe(void *ctx, struct buf **json)
{
    const struct persister *p = ctx;
    link_describe(p->link, json);
}

static const struct routes_owner routes_owner = {.ready = ready, .describe = describe};

static void stored(void *ctx)
{
    struct persister *p = ctx;
    routes_stored(p->routes);
}

/* ---- the end ---- */

static void signal_cb(evutil_socket_t number, short what, void *arg)
{
    (void)what;
    struct persister *p = arg;
    if (p->draining) {
        p->over = true;
        return;
    }
    p->draining = true;
    log_info("stopping", "signal=%s", number == SIGTERM ? "SIGTERM" : "SIGINT");
    routes_drain(p->routes);
    server_drain(p->server);
    event_add(p->deadline, &(struct timeval){.tv_sec = (time_t)p->settings.drain_seconds});
}

static void deadline_cb(evutil_socket_t fd, short what, void *arg)
{
    (void)fd, (void)what;
    struct persister *p = arg;
    p->over = true;
}

/* ---- the start ---- */

/* Without a resolv.conf names are looked up in the hosts file alone. */
static bool dns_start(struct persister *p)
{
    const int flags = EVDNS_BASE_INITIALIZE_NAMESERVERS | EVDNS_BASE_DISABLE_WHEN_INACTIVE;
    p->dns = evdns_base_new(p->base, flags);
    if (p->dns)
        return true;
    p->dns = evdns_base_new(p->base, EVDNS_BASE_DISABLE_WHEN_INACTIVE);
    if (p->dns)
        evdns_base_load_hosts(p->dns, "/etc/hosts");
    return p->dns;
}

static bool loop_start(struct persister *p, char *error, size_t size)
{
    static const int numbers[SIGNALS] = {SIGTERM, SIGINT};
    const char *debug = getenv("EVENT_DEBUG_MODE");
    if (debug && strcmp(debug, "1") == 0)
        event_enable_debug_mode();
    p->base = event_base_new();
    if (!p->base || !dns_start(p)) {
        snprintf(error, size, "cannot start the event loop");
        return false;
    }
    for (int i = 0; i < SIGNALS; i++) {
        p->signals[i] = evsignal_new(p->base, numbers[i], signal_cb, p);
        event_add(p->signals[i], NULL);
    }
    p->deadline = evtimer_new(p->base, deadline_cb, p);
    return true;
}

static bool store_start(struct persister *p, char *error, size_t size)
{
    const struct settings *s = &p->settings;
    p->store =
        store_open(p->base, s->database_path, s->lease_floor, s->idempotency_seconds, error, size);
    if (!p->store)
        return false;
    store_retain(p->store, &(struct store_retention){.count = s->retention_count,
                                                     .days = s->retention_days,
                                                     .tail = s->stream_tail});
    return true;
}

static bool server_start(struct persister *p, char *error, size_t size)
{
    const struct server_config config = {
        .host = p->settings.host,
        .port = (unsigned)p->settings.port,
        .conns_max = CONNS_MAX,
    };
    p->routes = routes_new(p->base, p->store, &routes_owner, p);
    p->server = server_new(p->base, &config, &routes_ops, p->routes, error, size);
    return p->server;
}

static void link_start(struct persister *p)
{
    const struct settings *s = &p->settings;
    const struct link_config config = {
        .redis_url = s->redis_url,
        .redis_prefix = s->redis_prefix,
        .limits = {.backlog_max = s->backlog_limit,
                   .tail = s->stream_tail,
                   .window_s = s->idempotency_seconds},
    };
    p->link = link_new(p->base, p->dns, &config, p->store, stored, p);
}

static bool start(struct persister *p)
{
    char error[ERROR_BYTES];
    if (!loop_start(p, error, sizeof error) || !store_start(p, error, sizeof error) ||
        !server_start(p, error, sizeof error)) {
        log_error("cannot start", "reason=%s", error);
        return false;
    }
    link_start(p);
    const struct store_log *log = store_standing(p->store);
    log_info("started", "version=%s host=%s port=%u file=%s position=%llu lease=%llu opening=%llu",
             CHAT_VERSION, p->settings.host, server_port(p->server), log->owner,
             (unsigned long long)log->position, (unsigned long long)log->lease,
             (unsigned long long)log->opening);
    return true;
}

static void run(struct persister *p)
{
    while (!p->over && !(p->draining && server_idle(p->server)))
        event_base_loop(p->base, server_turn(p->server) ? EVLOOP_NONBLOCK : EVLOOP_ONCE);
}

/* In the order in which the parts lean on each other; each may not be there. */
static void stop(struct persister *p)
{
    if (p->link)
        link_stop(p->link);
    server_free(p->server);
    routes_free(p->routes);
    store_close(p->store);
    link_free(p->link);
    if (p->deadline)
        event_free(p->deadline);
    for (int i = 0; i < SIGNALS; i++)
        if (p->signals[i])
            event_free(p->signals[i]);
    if (p->dns)
        evdns_base_free(p->dns, 0);
    if (p->base)
        event_base_free(p->base);
    libevent_global_shutdown();
}

static int backup(const struct settings *s)
{
    char error[ERROR_BYTES];
    if (store_backup(s->database_path, s->backup_to, error, sizeof error)) {
        log_info("backup made", "from=%s to=%s", s->database_path, s->backup_to);
        return EXIT_SUCCESS;
    }
    log_error("no backup was made", "reason=%s", error);
    return EXIT_FAILURE;
}

int main(int argc, char **argv)
{
    struct persister p = {0};
    switch (settings_load(&p.settings, argc, argv)) {
    case CONFIG_OK:
        break;
    case CONFIG_SHOWN:
        return EXIT_SUCCESS;
    case CONFIG_WRONG:
        return 2;
    }
    log_init("persister", (enum log_level)p.settings.log_level, p.settings.log_format == 1);
    if (*p.settings.backup_to)
        return backup(&p.settings);
    settings_log(&p.settings);
    signal(SIGPIPE, SIG_IGN);
    bool started = start(&p);
    if (started)
        run(&p);
    stop(&p);
    if (started)
        log_info("stopped", "");
    return started ? EXIT_SUCCESS : EXIT_FAILURE;
}
