/* SPDX-License-Identifier: MIT */
/*
 * chat-persister: stores the chat's log in SQLite, and serves its history.
 *
 * The end, on SIGTERM or SIGINT: no new connections, requests under way are answered; then Redis is
 * left, the commit under way finishes, and SQLite is closed with everything in one file. A second
 * signal does not wait for the requests.
 */
#include <event2/event.h>
#include <signal.h>
#include <stdlib.h>

#include "common/healthcheck.h"
#include "common/log.h"
#include "common/loop.h"
#include "common/server.h"
#include "common/version.h"
#include "persister/backup.h"
#include "persister/lab.h"
#include "persister/link.h"
#include "persister/metrics.h"
#include "persister/routes.h"
#include "persister/settings.h"

enum {
    CONNS_MAX = 1024,
    ERROR_BYTES = 512,
};

struct persister {
    struct settings settings;
    struct loop loop;
    struct store *store;
    struct backups *backups;
    struct event *backup_signal; /* SIGUSR1 */
    struct routes *routes;
    struct server *server;
    struct link *link;
    struct persister_lab *lab; /* NULL without LAB=1 */
    struct event *deadline;    /* of the drain */
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

static void metrics(void *ctx, struct buf **out)
{
    const struct persister *p = ctx;
    metrics_write(
        &(struct metrics_of){p->server, p->routes, p->store, p->link, p->settings.backlog_limit},
        out);
}

static const struct routes_owner routes_owner = {
    .ready = ready, .describe = describe, .metrics = metrics};

static void stored(void *ctx)
{
    struct persister *p = ctx;
    routes_stored(p->routes);
}

/* Its outcome is in the log. */
static void backup_signal_cb(evutil_socket_t number, short what, void *arg)
{
    (void)number, (void)what;
    struct persister *p = arg;
    char error[ERROR_BYTES];
    if (!backups_start(p->backups, NULL, NULL, error, sizeof error))
        log_warn("no backup was begun", "reason=%s", error);
}

/* ---- the end ---- */

static void drain(void *ctx, const char *signal)
{
    struct persister *p = ctx;
    log_info("stopping", "signal=%s", signal);
    routes_drain(p->routes);
    server_drain(p->server);
    event_add(p->deadline, &(struct timeval){.tv_sec = (time_t)p->settings.drain_seconds});
}

static void deadline_cb(evutil_socket_t fd, short what, void *arg)
{
    (void)fd, (void)what;
    struct persister *p = arg;
    p->loop.over = true;
}

/* ---- the start ---- */

static bool store_start(struct persister *p, char *error, size_t size)
{
    const struct settings *s = &p->settings;
    p->store = store_open(p->loop.base, s->database_path, s->lease_floor, s->idempotency_seconds,
                          error, size);
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
    p->backups = backups_new(p->loop.base, p->settings.database_path, p->settings.backup_dir);
    p->backup_signal = evsignal_new(p->loop.base, SIGUSR1, backup_signal_cb, p);
    event_add(p->backup_signal, NULL);
    p->routes = routes_new(p->loop.base, p->store, p->backups, &routes_owner, p);
    p->server = server_new(p->loop.base, &config, &routes_ops, p->routes, error, size);
    return p->server;
}

static void link_start(struct persister *p)
{
    const struct settings *s = &p->settings;
    const struct link_config config = {
        .redis_tls = &s->redis_tls,
        .redis_url = s->redis_url,
        .redis_prefix = s->redis_prefix,
        .limits = {.backlog_max = s->backlog_limit,
                   .tail = s->stream_tail,
                   .window_s = s->idempotency_seconds},
    };
    p->link = link_new(p->loop.base, p->loop.dns, &config, p->store, stored, p);
}

static bool start(struct persister *p)
{
    char error[ERROR_BYTES];
    if (!loop_init(&p->loop, drain, p, error, sizeof error) ||
        !store_start(p, error, sizeof error) || !server_start(p, error, sizeof error)) {
        log_error("cannot start", "reason=%s", error);
        return false;
    }
    link_start(p);
    if (p->settings.lab)
        p->lab = persister_lab_new(p->loop.base, p->loop.dns, &p->settings, p->link, p->store);
    p->deadline = evtimer_new(p->loop.base, deadline_cb, p);
    const struct store_log *log = store_standing(p->store);
    log_info("started", "version=%s host=%s port=%u file=%s position=%llu lease=%llu opening=%llu",
             CHAT_VERSION, p->settings.host, server_port(p->server), log->owner,
             (unsigned long long)log->position, (unsigned long long)log->lease,
             (unsigned long long)log->opening);
    return true;
}

static void run(struct persister *p)
{
    while (!p->loop.over && !(p->loop.draining && server_idle(p->server)))
        loop_turn(&p->loop, server_turn(p->server));
}

/* In the order in which the parts lean on each other; each may not be there. */
static void stop(struct persister *p)
{
    persister_lab_free(p->lab);
    if (p->link)
        link_stop(p->link);
    if (p->backup_signal)
        event_free(p->backup_signal);
    backups_free(p->backups);
    server_free(p->server);
    routes_free(p->routes);
    store_close(p->store);
    link_free(p->link);
    if (p->deadline)
        event_free(p->deadline);
    loop_done(&p->loop);
}

static int backup(const struct settings *s)
{
    char error[ERROR_BYTES];
    if (store_backup(s->database_path, s->backup_to, NULL, error, sizeof error)) {
        log_info("backup made", "from=%s to=%s", s->database_path, s->backup_to);
        return EXIT_SUCCESS;
    }
    log_error("no backup was made", "reason=%s", error);
    return EXIT_FAILURE;
}

int main(int argc, char **argv)
{
    struct persister p = {0};
    if (healthcheck_asked(argc, argv))
        return healthcheck_run("chat-persister", PORT_DEFAULT, argc, argv);
    enum config_result loaded = settings_load(&p.settings, argc, argv);
    if (loaded != CONFIG_OK)
        return config_exit(loaded);
    log_init("persister", (enum log_level)p.settings.log_level, p.settings.log_format == 1);
    if (*p.settings.backup_to)
        return backup(&p.settings);
    settings_log(&p.settings);
    process_prepare(0);
    bool started = start(&p);
    if (started)
        run(&p);
    stop(&p);
    if (started)
        log_info("stopped", "");
    return started ? EXIT_SUCCESS : EXIT_FAILURE;
}
