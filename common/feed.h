/* SPDX-License-Identifier: MIT */
/*
 * The feed: every message with id > N exactly once, in order, whatever happens to the connections.
 * An engine without I/O: it knows no socket, no clock and no Redis library. What happens comes in
 * as a call (connected, page, live, …); what it wants goes out through feed_io, which never calls
 * back into the feed before it has returned.
 *
 *            connected                  a page that is not full
 *     OFF ─────────────► CATCHING_UP ───────────────────────────► LIVE
 *      ▲                  │      ▲                                 │
 *      └── disconnected ──┘      └── an id is missing ─────────────┘
 *
 * In *push* mode (the gateways) messages are delivered from pages and from the channel. In *pull*
 * mode (the persister) the channel is only a doorbell: pages are handed to the owner as they are,
 * whether the log is open or not, one at a time, and the owner asks for the next by feed_release.
 */
#ifndef COMMON_FEED_H
#define COMMON_FEED_H

#include "common/buf.h"
#include "common/script.h"

struct feed_io {
    void (*page)(void *ctx, uint64_t after, unsigned count); /* answered by feed_page */
    void (*beat)(void *ctx);                                 /* a heartbeat through Redis */
    void (*drop)(void *ctx, const char *why); /* both connections; feed_disconnected follows */
    void (*proved)(void *ctx);                /* the link serves: a drop may reconnect soon */
};

/* What the owner is told. All but page are of push mode; none may call back into the feed, but for
 * feed_release from page. */
struct feed_owner {
    void (*deliver)(void *ctx, uint64_t id, struct str json);
    /* Everything up to id has been delivered, or does not exist. */
    void (*passed)(void *ctx, uint64_t id);
    /* A new opening: what exists up to prev stays, ids prev+1…from are void, new ones follow. */
    void (*opened)(void *ctx, uint64_t was, uint64_t opening, uint64_t prev, uint64_t from);
    /* Of the messages after…base the stream no longer has all, or some that were delivered may be
     * void: they can only come from history. Behind `opened`, where both are told. */
    void (*gap)(void *ctx, uint64_t after, uint64_t base);
    /* Everything up to stored is in SQLite, as of this opening. */
    void (*stored)(void *ctx, uint64_t opening, uint64_t stored);
    /* Pull mode: a page. The next one comes after feed_release. */
    void (*page)(void *ctx, const struct page *page);
};

enum feed_state {
    FEED_OFF,         /* no connections */
    FEED_CATCHING_UP, /* pages are read */
    FEED_LIVE,        /* messages come from the channel */
};

/* A message that came live while pages are read. */
struct feed_held {
    uint64_t id;
    char *json; /* owned */
    size_t len;
};

struct feed {
    const struct feed_io *io;
    const struct feed_owner *owner;
    void *io_ctx, *owner_ctx;
    bool pull; /* mode */
    enum feed_state state;
    bool page_asked;  /* one is on its way */
    bool page_wanted; /* one more is needed after it */
    bool released;    /* pull: the owner has no page, of whatever connection */
    bool started;     /* push: an open log was seen, position and opening are its */
    bool reached;     /* this connection has served: LIVE was reached, or (pull) a heartbeat came */
    uint64_t position;      /* N: everything up to here was delivered, or told of as a gap */
    uint64_t opening;       /* of the log, as last seen open; 0: never */
    uint64_t lease;         /* as last seen */
    uint64_t lease_room;    /* how far seq was below it then */
    uint64_t stored;        /* as last seen, of this opening */
    uint64_t seq;           /* the highest id given, as last seen; for metrics */
    uint64_t beat_sent_ms;  /* the last heartbeat sent, 0: none on this connection */
    uint64_t beat_seen_ms;  /* the last one seen, or when the connection came */
    uint64_t sealed_ms;     /* since when the log is not open, 0: it is */
    struct feed_held *held; /* ordered by id, no hole inside */
    size_t nheld, held_cap, held_bytes;
};

/* io, owner and the contexts are borrowed until feed_done. position and opening are what the owner
 * has; both 0 for a gateway, which then starts at the end of the open log: `started` in feed tells
 * when it knows, and `passed` is called with that position first. */
void feed_init(struct feed *f, bool pull, uint64_t position, uint64_t opening,
               const struct feed_io *io, void *io_ctx, const struct feed_owner *owner,
               void *owner_ctx);
void feed_done(struct feed *f);

/* Events. now_ms is of a monotonic clock and never 0. */
void feed_connected(struct feed *f, uint64_t now_ms);
void feed_disconnected(struct feed *f);
void feed_page(struct feed *f, const struct page *page, uint64_t now_ms);
/* The page was answered by an error (nothing happened): asked again at the next tick. */
void feed_page_failed(struct feed *f);
void feed_live(struct feed *f, uint64_t id, struct str json, uint64_t now_ms);
void feed_beat(struct feed *f, const struct beat *beat, uint64_t now_ms);
void feed_control(struct feed *f, uint64_t opening, uint64_t upto, uint64_t now_ms);
/* Call it every 100 ms or so. */
void feed_tick(struct feed *f, uint64_t now_ms);

/* Something suggests that the log was sealed or opened anew (a publish was refused): look. */
void feed_nudge(struct feed *f);

/* Pull mode: the owner has done with the page; everything up to position is its. now: the next page
 * is wanted at once; else when the doorbell rings, or within a second. Once for each page, also
 * when its connection is gone: no other page is given before. */
void feed_release(struct feed *f, uint64_t position, bool now);

/* Is the log open and followed live? If not, *why says so in static words. */
bool feed_ready(const struct feed *f, const char **why);

#endif
