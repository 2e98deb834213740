/* SPDX-License-Identifier: MIT */
/*
 * The log's Lua scripts as the C code sees them: the keys they work on, and their replies taken
 * apart. Pure: nothing here sends anything.
 */
#ifndef COMMON_SCRIPT_H
#define COMMON_SCRIPT_H

#include <stdint.h>

#include "common/limits.h"
#include "common/reply.h"

/* The texts, compiled in from common/NAME.lua. */
extern const char script_publish[], script_page[], script_beat[], script_open[], script_lab[];

/* The log's key and channel names; all share the hash tag {prefix}. */
struct log_names {
    char *state, *log, *live, *control;
    char *beat;      /* this process' heartbeat channel */
    char *producer;  /* this process' record of its last batch */
    char *idem;      /* in front of an idempotency key: {prefix}:idem: */
    char *producers; /* in front of a boot id: {prefix}:producer: */
};

/* prefix: letters, digits, '-', '_', '.', ':'; boot: this process' random id, 16 hex digits. */
void log_names_init(struct log_names *n, const char *prefix, const char *boot);
void log_names_done(struct log_names *n);

/* A random id for a process or a file: 16 hex digits. Made after fork. */
void boot_id_make(char out[17]);

/* One entry of the stream. */
struct entry {
    uint64_t id;
    struct str json;       /* the final message */
    struct str origin;     /* <boot>:<batch>:<index>, or empty */
    struct str key, value; /* idempotency key (the whole Redis key) and value, or empty */
};

/* Everything that page.lua tells, as of one moment. The log is open when token is here's. */
struct page {
    bool exists;            /* there is a state at all */
    bool open;              /* open, for this very server */
    struct str token, here; /* here: the server's master_replid */
    struct str owner;       /* id of the SQLite file, or empty */
    uint64_t opening, seq, lease, prev, from, base, stored, high, ts, top;
    size_t count;                /* entries */
    const struct entry *entries; /* also of an empty page an array */
    bool full; /* their count or their bytes ended it, with one at least: there may be more */
};

/* Takes a reply of page.lua apart. The strings belong to the reply, the array of entries is the
 * callee's and valid until the next call. False when the reply has another shape (our own mistake,
 * or a foreign script). */
bool page_read(struct page *p, const struct reply *r);

enum {
    PAGE_NUMBERS = 4,
    PAGE_WORDS_MAX = 2 + PAGE_NUMBERS + 1, /* keys, numbers, 'back' */
};

/* The words of page.lua; text is where the numbers among them are written. */
struct page_words {
    size_t n;
    struct str at[PAGE_WORDS_MAX];
    char text[PAGE_NUMBERS][21];
};

/* For up to count entries after id, oldest first, or (back) before it, newest first. The names are
 * borrowed; w must not be moved. */
void page_words_make(struct page_words *w, const struct log_names *n, uint64_t id, unsigned count,
                     bool back);

/* A heartbeat's payload, `opening seq stored base`; opening 0: the log is not open. */
struct beat {
    uint64_t opening, seq, stored, base;
};
bool beat_read(struct beat *b, struct str payload);

/* An announcement on the control channel, `opening stored`. */
bool control_read(struct str payload, uint64_t *opening, uint64_t *stored);

/* A string of digits as a number; false for anything else, or past 2^53 (what Lua can count). */
bool digits_read(struct str s, uint64_t *out);

#endif
