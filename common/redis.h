/* SPDX-License-Identifier: MIT */
/*
 * The link to Redis: two connections to the same server that live and die together. One carries
 * commands, the other the subscription.
 *
 *   WAITING ─► RESOLVING ─► CONNECTING ─► GREETING ─► SUBSCRIBING ─► UP
 *      ▲  backoff with jitter                                        │
 *      └───────────── anything that goes wrong, or redis_drop ◄──────┘
 *
 * Greeting, on both connections: AUTH and SELECT as the URL says, then INFO: the role must be
 * master, the two master_replids must be equal (else the two lead to different servers), the
 * version at least 6.2, maxmemory_policy noeviction; then SCRIPT LOAD of all scripts. Only after
 * that SUBSCRIBE; the link is up when the subscription is confirmed.
 *
 * With TLS each try reads the certificate files if they have changed (common/redis_tls.h).
 *
 * A node of a Redis Cluster is asked for the log's key first; MOVED leads this try to another node,
 * MOVES_MAX times at the most. A MOVED of a script is as READONLY is.
 *
 * Each try resolves the name anew (evdns, which does not block the loop), or asks the sentinels for
 * the master. No reply within REDIS_REPLY_MS, or a reply READONLY or LOADING: dropped. Any other
 * error reply of a script is logged here, at most once in REDIS_COMPLAIN_MS for each script.
 */
#ifndef COMMON_REDIS_H
#define COMMON_REDIS_H

#include "common/reply.h"

struct event_base;
struct evdns_base;
struct redis;
struct redis_tls_files;

enum redis_script {
    REDIS_PUBLISH,
    REDIS_PAGE,
    REDIS_BEAT,
    REDIS_OPEN,
    REDIS_LAB,
    REDIS_SCRIPTS,
};

struct redis_config {
    const char *purpose; /* of this link, in log lines; static */
    const char *url;     /* checked by redis_url_check; borrowed for ever */
    /* Checked by redis_tls_check, borrowed for ever; may be NULL when the URL is without TLS. */
    const struct redis_tls_files *tls;
    const char *const *channels; /* to subscribe to; borrowed for ever */
    size_t nchannels;
    const char *key; /* one of the scripts' keys, which all have one hash slot; borrowed; NULL: no
                        Redis Cluster is looked for */
};

struct redis_ops {
    void (*up)(void *ctx);
    /* Once for each up, after every pending callback got NULL; why is one line. */
    void (*down)(void *ctx, const char *why);
    /* A message on channels[channel]. */
    void (*message)(void *ctx, size_t channel, struct str payload);
};

/* reply is NULL when none will come: the command may have run or not. From here redis_eval and
 * redis_drop may be called (a drop takes effect later, in the loop). */
typedef void (*redis_reply_cb)(void *arg, const struct reply *reply);

/*
 * redis://[[user]:password@]host[:port][/db], or
 * redis+sentinel://[[user]:password@]host[:port][,host[:port]…]/master[/db]; the password is the
 * master's. rediss:// and rediss+sentinel:// are the same over TLS, where the build has it. Unix
 * sockets are not supported. NULL when the URL is right, else static words that say what is
 * accepted: a `check` of common/config.h.
 */
const char *redis_url_check(const char *url);

/* Starts at once. Borrows config, dns (never NULL), ops and ctx until redis_free. */
struct redis *redis_new(struct event_base *base, struct evdns_base *dns,
                        const struct redis_config *config, const struct redis_ops *ops, void *ctx);

/* Pending callbacks get NULL, down is not called. Not from a callback; the loop must turn once more
 * before dns is freed, if a name is being looked up. NULL is fine. */
void redis_free(struct redis *r);

bool redis_is_up(const struct redis *r);

/* For /readyz: what it is doing, or why it is down; "up" when up. Valid until the next event. */
const char *redis_status(const struct redis *r);

/* The link served long enough: the next reconnect starts with the shortest backoff again. */
void redis_proved(struct redis *r);

/*
 * Runs a script by its SHA1 on the command connection: keys first, then arguments; all bytes are
 * copied. The callback is called exactly once, never from within this call. NOSCRIPT reaches the
 * caller as the error it is (nothing ran) while the script is loaded again. When the link is not
 * up nothing is sent, nothing will be called, and the result is false.
 */
bool redis_eval(struct redis *r, enum redis_script script, size_t nkeys, const struct str *words,
                size_t nwords, redis_reply_cb cb, void *arg);

/* Gives up both connections and starts anew; why is logged. Nothing when it is not up. */
void redis_drop(struct redis *r, const char *why);

/* Likewise, in whatever state it is, and the next try comes in ms and not before; 0: as after any
 * failure. For the lab. */
void redis_pause(struct redis *r, unsigned ms, const char *why);

/* off: what comes on the subscription is left unread, until on, or until the connection is given
 * up. For the lab. */
void redis_listen(struct redis *r, bool on);

#endif
