/* SPDX-License-Identifier: MIT */
/*
 * What both programs are made of at the outside: the event loop with its resolver, and the signals
 * that end it. The first SIGTERM or SIGINT asks the owner to drain; a second one does not wait.
 *
 *      running ── a signal: drain() ──► draining ── a signal, or the owner sets over ──► over
 */
#ifndef COMMON_LOOP_H
#define COMMON_LOOP_H

#include <stdbool.h>
#include <stddef.h>

struct event;
struct event_base;
struct evdns_base;

enum {
    LOOP_SIGNALS = 2
};

struct loop {
    struct event_base *base;
    struct evdns_base *dns;
    struct event *signals[LOOP_SIGNALS];
    void (*drain)(void *ctx, const char *signal);
    void *ctx;     /* of drain */
    bool draining; /* drain was called */
    bool over;     /* no further turn is wanted; the owner may set it too */
};

/*
 * For the whole process, before anything is opened: a peer that went away is an error and no
 * SIGPIPE, and as many files may be open as the hard limit grants. With keep_bytes, malloc keeps so
 * many freed bytes, so that what a burst took is not given back and faulted in again; 0: malloc's
 * own way.
 */
void process_prepare(int keep_bytes);

/* EVENT_DEBUG_MODE=1 in the environment turns libevent's checks on. False: error says why; then,
 * too, loop_done is to be called. drain gets the signal's name, and comes once at the most. */
bool loop_init(struct loop *l, void (*drain)(void *ctx, const char *signal), void *ctx, char *error,
               size_t size);

/* Serves what happened, and waits for something to happen unless there is more to do anyway. */
void loop_turn(struct loop *l, bool more);

/* When all that hangs on the loop is gone: libevent is shut down too. A zeroed one is fine. */
void loop_done(struct loop *l);

#endif
