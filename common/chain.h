/* SPDX-License-Identifier: MIT */
/*
 * A chain of hashes over the log, as the lab compares it between replicas: after each message
 *
 *      hash = SHA-1(the hash before ‖ id ‖ ":" ‖ message)
 *
 * so that two replicas which agree on one hash agree on all messages before it, on their bytes and
 * on their order. A replica that started today has not seen what one of last year has, and must
 * agree with it all the same: the chain begins anew, from zeros, behind every CHAIN_WINDOWth id.
 * Who missed the start of a window does not know its hash, and says so, until the next window
 * begins or somebody gives it the window's messages from the start. Pure.
 */
#ifndef COMMON_CHAIN_H
#define COMMON_CHAIN_H

#include <stdint.h>

#include "common/buf.h"
#include "common/sha1.h"

enum {
    CHAIN_WINDOW = 256, /* ids; a whole window is less than a page of the stream */
    CHAIN_RECENT = 32,  /* hashes that are kept of the last messages */
    CHAIN_ENDS = 8,     /* and of the ends of the last windows */
};

/* The chain's hash right after the message with that id. */
struct chain_mark {
    uint64_t id;
    char hash[SHA1_HEX + 1];
};

struct chain {
    bool known;     /* all of the window up to here was added */
    uint64_t start; /* the window's ids are start + 1 … start + CHAIN_WINDOW */
    char hash[SHA1_HEX + 1];
    struct chain_mark last;                 /* of the window; id 0: none yet */
    struct chain_mark recent[CHAIN_RECENT]; /* rings, the oldest at count % size */
    struct chain_mark ends[CHAIN_ENDS];
    uint64_t nrecent, nends; /* ever written */
};

/* The start of the window that an id is in; 0 for id 0. */
uint64_t chain_window(uint64_t id);

/* Everything after start is going to be added, from a window's start on. */
void chain_begin(struct chain *c, uint64_t start);

/* Messages up to position are not known, or some that were added are void. */
void chain_lose(struct chain *c, uint64_t position);

/* The next message: ids ascend. */
void chain_add(struct chain *c, uint64_t id, struct str json);

/* Appends {"known":…,"start":…,"last":…,"hash":"…","marks":[[id,"hash"],…]}; hashes are cut to 16
 * digits. */
void chain_describe(const struct chain *c, struct buf **json);

#endif
