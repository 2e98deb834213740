/* SPDX-License-Identifier: MIT */
/*
 * The loop's beginning and end. Its turns are the owner's: what is owed at the end of a turn, and
 * when the draining is done, only the programs know.
 */
#include "common/loop.h"

#include <event2/dns.h>
#include <event2/event.h>
#include <malloc.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

enum {
    TOP_PAD_BYTES = 256 << 10, /* malloc asks the kernel for so much more at a time */
};

void process_prepare(int keep_bytes)
{
    struct rlimit files;
    signal(SIGPIPE, SIG_IGN);
    if (getrlimit(RLIMIT_NOFILE, &files) == 0) {
        files.rlim_cur = files.rlim_max;
        setrlimit(RLIMIT_NOFILE, &files);
    }
    if (!keep_bytes)
        return;
    mallopt(M_TRIM_THRESHOLD, keep_bytes);
    mallopt(M_TOP_PAD, TOP_PAD_BYTES);
}

static void signal_cb(evutil_socket_t number, short what, void *arg)
{
    (void)what;
    struct loop *l = arg;
    if (l->draining) {
        l->over = true;
        return;
    }
    l->draining = true;
    l->drain(l->ctx, number == SIGTERM ? "SIGTERM" : "SIGINT");
}

/* Without a resolv.conf names are looked up in the hosts file alone. */
static bool dns_start(struct loop *l)
{
    const int flags = EVDNS_BASE_INITIALIZE_NAMESERVERS | EVDNS_BASE_DISABLE_WHEN_INACTIVE;
    l->dns = evdns_base_new(l->base, flags);
    if (l->dns)
        return true;
    l->dns = evdns_base_new(l->base, EVDNS_BASE_DISABLE_WHEN_INACTIVE);
    if (l->dns)
        evdns_base_load_hosts(l->dns, "/etc/hosts");
    return l->dns;
}

bool loop_init(struct loop *l, void (*drain)(void *ctx, const char *signal), void *ctx, char *error,
               size_t size)
{
    static const int numbers[LOOP_SIGNALS] = {SIGTERM, SIGINT};
    const char *debug = getenv("EVENT_DEBUG_MODE");
    *l = (struct loop){.drain = drain, .ctx = ctx};
    if (debug && strcmp(debug, "1") == 0)
        event_enable_debug_mode();
    l->base = event_base_new();
    if (!l->base || !dns_start(l)) {
        snprintf(error, size, "cannot start the event loop");
        return false;
    }
    for (int i = 0; i < LOOP_SIGNALS; i++) {
        l->signals[i] = evsignal_new(l->base, numbers[i], signal_cb, l);
        event_add(l->signals[i], NULL);
    }
    return true;
}

void loop_turn(struct loop *l, bool more)
{
    /* Without EVLOOP_ONCE it would return only when nothing is ready: one who always sends would
     * let all others wait. */
    event_base_loop(l->base, more ? EVLOOP_NONBLOCK | EVLOOP_ONCE : EVLOOP_ONCE);
}

void loop_done(struct loop *l)
{
    for (int i = 0; i < LOOP_SIGNALS; i++)
        if (l->signals[i])
            event_free(l->signals[i]);
    if (l->dns)
        evdns_base_free(l->dns, 0);
    if (l->base)
        event_base_free(l->base);
    libevent_global_shutdown();
}
