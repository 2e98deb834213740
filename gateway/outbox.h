/* SPDX-License-Identifier: MIT */
/*
 * The outbox: messages on their way to Redis, in batches, one batch in flight. While it is under
 * way the next one collects, so batches grow with the load by themselves. An engine without I/O.
 *
 *   QUEUED ──► IN FLIGHT ──► published
 *     ▲            │ refused: nothing happened, the batch may be taken apart again
 *     └────────────┤
 *                  └─ no reply: MAYBE. The batch keeps its number and its content until its
 *                     outcome is known; it is sent again as it is.
 *
 * Guarantee: a message is given to Redis under one batch number only, unless every attempt under
 * that number was answered by a refusal. Redis keeps the reply of a number, so a retry cannot store
 * it twice. What a sender is told is never a guess: `refused` is not stored by this request,
 * `maybe` may be.
 */
#ifndef GATEWAY_OUTBOX_H
#define GATEWAY_OUTBOX_H

#include "common/reply.h"
#include "common/script.h"

enum post_result {
    POST_PUBLISHED, /* new: id, time and opening are set */
    POST_KNOWN,     /* its key was used for the same content: the original's id and time */
    POST_MISMATCH,  /* its key was used for other content: 422 */
    POST_FULL,      /* past the lease, Redis holds too much unsaved: 503, not stored */
    POST_REFUSED,   /* not stored by this request: 503 */
    POST_MAYBE,     /* may be stored: 504 */
};

/* A message on its way. */
struct post {
    struct post *next;     /* in the queue or the batch */
    uint64_t deadline_ms;  /* then the sender is told, whatever is known */
    struct str key;        /* whole Redis key of its idempotency key, or empty */
    struct str head, tail; /* the final JSON around the time, see publish.lua */
    char fingerprint[41];  /* of the content */
    bool told;             /* the sender has its answer; only the content matters now */
    uint64_t id, time_ms, opening;
    void *sender; /* of the owner */
};

struct outbox_io {
    /* Sends the batch: answered by outbox_reply, outbox_refused or outbox_lost. floor: the highest
     * id that this gateway knows. False: not connected, nothing was sent. */
    bool (*publish)(void *ctx, uint64_t opening, uint64_t batch, uint64_t floor,
                    const struct post *first, size_t count);
    /* The sender's answer, once per post. published and known: the owner keeps the post and frees
     * it; otherwise it must not be touched afterwards. */
    void (*result)(void *ctx, struct post *post, enum post_result result);
    void (*free_post)(void *ctx, struct post *post);
    void (*nudge)(void *ctx); /* SEALED: the feed should look */
    void (*drop)(void *ctx, const char *why);
};

struct outbox {
    const struct outbox_io *io;
    void *ctx;
    struct post *queue, **queue_tail; /* collected, not in the batch */
    size_t queued, queued_max;        /* posts in the queue; its bound */
    struct post *batch;               /* under its number */
    size_t batch_count;
    uint64_t number; /* of the batch, or of the last one */
    bool in_flight;  /* the batch was sent and is not answered */
    bool maybe;      /* some attempt of it ended without a reply */
    bool connected;
    uint64_t opening;                   /* as the feed has it; 0: none yet */
    uint64_t floor;                     /* the highest id seen by feed or replies */
    uint64_t retry_ms;                  /* not before this */
    uint32_t refusals;                  /* in a row, for the delay */
    uint64_t refused_total, lost_total; /* batches, since the start: answered no, or not at all */
};

void outbox_init(struct outbox *o, size_t queued_max, const struct outbox_io *io, void *ctx);

/* Takes the post and pumps; false when the outbox is full: the post stays the caller's. */
bool outbox_add(struct outbox *o, struct post *post, uint64_t now_ms);

void outbox_connected(struct outbox *o, uint64_t now_ms);
void outbox_disconnected(struct outbox *o); /* after outbox_lost, if a reply was awaited */
void outbox_opened(struct outbox *o, uint64_t opening, uint64_t now_ms);
void outbox_seen(struct outbox *o, uint64_t id); /* the feed has come to id */

void outbox_reply(struct outbox *o, const struct reply *r, uint64_t now_ms);
void outbox_lost(struct outbox *o); /* the connection ended before the reply */
void outbox_tick(struct outbox *o, uint64_t now_ms);

/* Nothing is under way. */
bool outbox_empty(const struct outbox *o);

/* Tells every sender that is still waiting, and frees all. */
void outbox_done(struct outbox *o);

#endif
