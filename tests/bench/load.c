/* SPDX-License-Identifier: MIT */
/*
 * chat-load: connects, publishes or asks, counts, and prints one JSON object; see load.h.
 *
 *      connect ── settle ── warm up ── the measured messages ── result ── hold
 *      A          B         C          D     A…D: processes are sampled
 *
 * From A to B is the cost of connecting, and of each idle client; from C to D that of the messages.
 */
#include "tests/bench/load.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/random.h>
#include <sys/resource.h>

#include "common/clock.h"
#include "common/json.h"
#include "common/mem.h"

/* What the result tells. */
struct outcome {
    struct procs_sample idle, connected, before, after;
    uint64_t deliveries, requests, us; /* of the measured phase */
    bool complete;
};

static void files_allow(void)
{
    struct rlimit files;
    if (getrlimit(RLIMIT_NOFILE, &files) == 0) {
        files.rlim_cur = files.rlim_max;
        setrlimit(RLIMIT_NOFILE, &files);
    }
}

static void conn_plan(struct load *l, enum conn_kind kind, bool publishes)
{
    struct conn *c = &l->conns[l->nconns];
    *c = (struct conn){.kind = kind, .target = (uint16_t)(l->nconns % l->o->ntargets)};
    if (kind == CONN_SUBSCRIBER && l->o->messages && !l->o->get)
        c->seen = mem_zalloc(l->o->publishers * sizeof *c->seen);
    if (publishes)
        l->publishers[l->npublishers++] = c;
    l->nconns++;
}

static void load_plan(struct load *l)
{
    const struct options *o = l->o;
    bool own = o->http || o->get || o->publish_path;
    unsigned long publishers = o->messages ? o->publishers : 0;
    size_t all = o->clients + o->slow + (own ? publishers : 0);
    l->conns = mem_grow(NULL, all + 1, sizeof *l->conns);
    l->missing = mem_grow(NULL, o->warmup + o->messages + 1, sizeof *l->missing);
    for (unsigned long i = 0; i < o->clients; i++)
        conn_plan(l, CONN_SUBSCRIBER, !own && i < publishers);
    for (unsigned long i = 0; i < o->slow; i++)
        conn_plan(l, CONN_SLOW, false);
    for (unsigned long i = 0; own && i < publishers; i++)
        conn_plan(l, o->http || o->get ? CONN_REQUESTER : CONN_PUBLISHER, true);
    for (size_t i = 0; i < l->npublishers; i++)
        l->audiences[i] = conn_audience(l, l->publishers[i]);
    uint32_t run;
    if (getrandom(&run, sizeof run, 0) != sizeof run)
        run = (uint32_t)now_us();
    l->mark_len = (size_t)snprintf(l->mark, sizeof l->mark, "~%08" PRIx32 ".", run);
}

static void rest(struct load *l, uint64_t ms)
{
    for (uint64_t end = now_us() + ms * 1000, now; (now = now_us()) < end;)
        conns_poll(l, (int64_t)(end - now));
}

/* Until the goal is reached; false when nothing moves any more. */
static bool phase_run(struct load *l, uint64_t goal)
{
    l->goal = goal;
    l->first = l->counts.sent;
    l->start_us = l->progress_us = now_us();
    while (!publish_done(l)) {
        uint64_t now = now_us();
        if (now - l->progress_us > l->o->timeout_s * 1000000)
            return false;
        conns_poll(l, publish_due(l, now));
    }
    return true;
}

static void load_run(struct load *l, struct outcome *out)
{
    const struct options *o = l->o;
    procs_take(&out->idle, o->pids, o->npids);
    bool opened = conns_open(l);
    rest(l, o->settle_ms);
    procs_take(&out->connected, o->pids, o->npids);
    if (!o->messages) {
        out->complete = opened;
        return;
    }
    l->measured = o->warmup;
    bool warm = opened && phase_run(l, o->warmup);
    procs_take(&out->before, o->pids, o->npids);
    uint64_t unique = l->counts.unique, answers = l->counts.answers, start = now_us();
    out->complete = warm && phase_run(l, o->warmup + o->messages);
    out->us = now_us() - start;
    procs_take(&out->after, o->pids, o->npids);
    out->deliveries = l->counts.unique - unique;
    out->requests = l->counts.answers - answers;
}

/* ---- the result ---- */

static double cpu_us(const struct options *o, const struct procs_sample *from,
                     const struct procs_sample *to)
{
    uint64_t ns = 0;
    for (size_t i = 0; i < o->npids; i++)
        ns += to->cpu_ns[i] - from->cpu_ns[i];
    return (double)ns / 1000;
}

static double user_bytes(const struct options *o, const struct procs_sample *s)
{
    uint64_t bytes = 0;
    for (size_t i = 0; i < o->npids; i++)
        bytes += s->user_bytes[i];
    return (double)bytes;
}

static void print_hist(const char *name, const struct hist *h)
{
    if (!h->count)
        return;
    static const struct {
        const char *name;
        double share;
    } points[] = {{"p50", 0.5}, {"p90", 0.9}, {"p99", 0.99}, {"p999", 0.999}, {"max", 1}};
    printf(",\"%s\":{\"count\":%" PRIu64, name, h->count);
    for (size_t i = 0; i < sizeof points / sizeof *points; i++)
        printf(",\"%s\":%.3f", points[i].name, (double)hist_quantile_us(h, points[i].share) / 1000);
    printf("}");
}

static void print_processes(const struct options *o, const struct outcome *out)
{
    const struct procs_sample *from = o->messages ? &out->before : &out->idle;
    const struct procs_sample *to = o->messages ? &out->after : &out->connected;
    printf(",\"processes\":[");
    for (size_t i = 0; i < o->npids; i++)
        printf("%s{\"pid\":%d,\"name\":\"%s\",\"cpu_s\":%.4f,\"user_bytes\":%" PRIu64 "}",
               i ? "," : "", o->pids[i], procs_name(o->pids[i]),
               (double)(to->cpu_ns[i] - from->cpu_ns[i]) / 1e9, to->user_bytes[i]);
    printf("]");
}

static void print_connecting(const struct load *l, const struct outcome *out)
{
    double clients = (double)(l->o->clients + l->o->slow);
    if (clients < 1 || !l->o->npids)
        return;
    printf(",\"connect_cpu_us\":%.2f,\"client_user_bytes\":%.1f,\"client_kernel_bytes\":%.1f",
           cpu_us(l->o, &out->idle, &out->connected) / clients,
           (user_bytes(l->o, &out->connected) - user_bytes(l->o, &out->idle)) / clients,
           ((double)out->connected.tcp_bytes - (double)out->idle.tcp_bytes) / clients);
}

static void print_running(const struct load *l, const struct outcome *out)
{
    double seconds = (double)out->us / 1e6, cpu = cpu_us(l->o, &out->before, &out->after);
    printf(",\"seconds\":%.3f,\"deliveries\":%" PRIu64 ",\"deliveries_per_s\":%.0f"
           ",\"requests\":%" PRIu64 ",\"requests_per_s\":%.0f,\"generator_busy\":%.2f",
           seconds, out->deliveries, (double)out->deliveries / seconds, out->requests,
           (double)out->requests / seconds,
           (double)(out->after.own_cpu_ns - out->before.own_cpu_ns) / 1000 / (double)out->us);
    if (l->o->npids && out->deliveries)
        printf(",\"cpu_us_per_delivery\":%.3f", cpu / (double)out->deliveries);
    if (l->o->npids && out->requests)
        printf(",\"cpu_us_per_request\":%.3f", cpu / (double)out->requests);
    if (l->o->npids)
        printf(",\"user_bytes\":%.0f,\"kernel_bytes\":%" PRIu64, user_bytes(l->o, &out->after),
               out->after.tcp_bytes);
    print_hist("delivery_ms", &l->deliveries);
    print_hist("request_ms", &l->requests);
}

static bool print_result(const struct load *l, const struct outcome *out)
{
    const struct counts *n = &l->counts;
    struct buf *label = NULL;
    uint64_t lost = n->expected > n->unique ? n->expected - n->unique : 0;
    json_add_bytes(&label, str_of(l->o->label));
    printf("{\"label\":%.*s,\"clients\":%lu,\"slow\":%lu,\"publishers\":%zu,\"messages\":%lu",
           (int)buf_len(label), buf_str(label).p, l->o->clients, l->o->slow, l->npublishers,
           l->o->messages);
    buf_free(&label);
    printf(",\"complete\":%s,\"lost\":%" PRIu64 ",\"doubled\":%" PRIu64 ",\"out_of_order\":%" PRIu64
           ",\"refused\":%" PRIu64 ",\"closed\":%" PRIu64,
           out->complete ? "true" : "false", lost, n->doubled, n->out_of_order, n->refused,
           n->closed);
    print_connecting(l, out);
    if (l->o->messages)
        print_running(l, out);
    if (l->o->npids)
        print_processes(l->o, out);
    printf("}\n");
    fflush(stdout);
    return out->complete && !lost && !n->doubled && !n->out_of_order && !n->refused && !n->closed;
}

int main(int argc, char **argv)
{
    static struct load l;
    static struct options o;
    struct outcome out = {0};
    options_read(&o, argc, argv);
    files_allow();
    l.o = &o;
    l.epoll = epoll_create1(EPOLL_CLOEXEC);
    load_plan(&l);
    load_run(&l, &out);
    bool good = print_result(&l, &out);
    rest(&l, o.hold_s * 1000);
    for (size_t i = 0; i < l.nconns; i++) {
        buf_free(&l.conns[i].in);
        buf_free(&l.conns[i].out);
        free(l.conns[i].seen);
    }
    free(l.conns);
    free(l.missing);
    return good ? EXIT_SUCCESS : EXIT_FAILURE;
}
