/* SPDX-License-Identifier: MIT */
/*
 * Following an open log; see ingest.h for the states. The rules:
 *
 * - Each page is compared with SQLite before anything of it is used. Where they differ in any way
 *   the log is opened anew (opening.c).
 * - Redis hears of a position or a lease only after SQLite has committed it, in `advance`. Its
 *   values only grow, so repeating it is harmless; each connection begins with it, because the last
 *   one may have died between the commit and the advance.
 * - A commit that failed has done nothing: the page is dropped and read again later.
 * - A log of another SQLite file is left alone.
 */
#include "persister/ingest.h"

#include <assert.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "common/log.h"
#include "common/mem.h"
#include "persister/ingest_internal.h"

static const char *const state_names[] = {
    [INGEST_OFF] = "off",
    [INGEST_WATCHING] = "watching",
    [INGEST_COMPARING] = "comparing",
    [INGEST_COMMITTING] = "committing",
    [INGEST_ADVANCING] = "advancing",
    [INGEST_NUMBERING] = "numbering",
    [INGEST_SEALING] = "sealing",
    [INGEST_REVIEWING] = "reviewing",
    [INGEST_CONFIRMING] = "confirming",
    [INGEST_VOIDING] = "voiding",
    [INGEST_DRAINING] = "draining",
    [INGEST_SAVING] = "saving",
    [INGEST_RESTORING] = "restoring",
    [INGEST_GRANTING] = "granting",
    [INGEST_OPENING] = "opening",
    [INGEST_PAUSED] = "paused",
    [INGEST_LOST] = "lost",
};

/* ---- Words of a script ---- */

void words_clear(struct words *w)
{
    w->count = 0;
    w->numbers = 0;
}

void words_str(struct words *w, struct str s)
{
    assert(w->count < WORDS_MAX);
    w->at[w->count++] = s;
}

void words_u64(struct words *w, uint64_t n)
{
    assert(w->numbers < NUMBERS_MAX);
    char *text = w->text[w->numbers++];
    snprintf(text, sizeof w->text[0], "%" PRIu64, n);
    words_str(w, str_of(text));
}

/* ---- Doing one thing ---- */

void ingest_state_set(struct ingest *g, enum ingest_state state)
{
    g->state = state;
    g->status.state = state_names[state];
}

void ingest_commit(struct ingest *g, enum ingest_state state, const struct entry *entries,
                   size_t count, struct store_commit to)
{
    assert(!g->commit_asked && !g->script_asked);
    const struct store_log *own = standing(g);
    to.entries = entries;
    to.count = count;
    to.position = max_u64(own->position, to.position);
    to.lease = max_u64(own->lease, to.lease);
    to.opening = max_u64(own->opening, to.opening);
    ingest_state_set(g, state);
    g->commit_asked = true;
    g->committing = count;
    g->io->commit(g->ctx, &to);
}

void ingest_script(struct ingest *g, enum ingest_state state, const char *verb, uint64_t opening,
                   const struct str *keys, size_t nkeys)
{
    assert(!g->commit_asked && !g->script_asked);
    ingest_state_set(g, state);
    g->script_asked = true;
    g->io->script(g->ctx, verb, opening, keys, nkeys, g->words.at, g->words.count);
}

static void page_release(struct ingest *g, uint64_t position, enum ingest_next next)
{
    assert(g->has_page);
    g->has_page = false;
    g->io->release(g->ctx, position, next);
}

void ingest_await(struct ingest *g, enum ingest_state state, uint64_t position)
{
    ingest_state_set(g, state);
    page_release(g, position, NEXT_NOW);
}

/* Not ready, and why. A trouble is logged once, until all is well again. */
static void trouble(struct ingest *g, enum log_level level, const char *what, const char *why)
{
    g->settled = false;
    snprintf(g->why, sizeof g->why, "%s%s%s", what, *why ? ": " : "", why);
    if (strcmp(g->alarm, g->why) == 0)
        return;
    memcpy(g->alarm, g->why, sizeof g->alarm);
    log_event(level, what, "why=%s", why);
}

static void settle(struct ingest *g)
{
    if (g->commit_failed)
        return;
    g->settled = true;
    g->alarm[0] = '\0';
    g->retry_ms = 0;
}

static void pause_until(struct ingest *g, uint64_t resume_ms)
{
    opening_clear(&g->o);
    ingest_state_set(g, INGEST_PAUSED);
    g->resume_ms = resume_ms;
}

static void look(struct ingest *g)
{
    ingest_await(g, INGEST_WATCHING, standing(g)->position);
}

void ingest_look_again(struct ingest *g, const char *why, uint64_t at_least_ms)
{
    uint64_t wait_ms = max_u64(g->retry_ms, at_least_ms);
    uint64_t next_ms = wait_ms ? 2 * wait_ms : RETRY_MIN_MS;
    g->retry_ms = next_ms < RETRY_MAX_MS ? next_ms : RETRY_MAX_MS;
    g->settled = false;
    if (why)
        snprintf(g->why, sizeof g->why, "%s", why);
    opening_clear(&g->o);
    if (wait_ms)
        pause_until(g, g->now_ms + wait_ms);
    else
        look(g);
}

/* The log belongs to another SQLite file: hands off, for as long as it does. */
static void foreign(struct ingest *g, struct str owner)
{
    char words[64];
    int len = owner.len < 32 ? (int)owner.len : 32;
    snprintf(words, sizeof words, "%.*s", len, owner.len ? owner.p : "");
    trouble(g, LOG_ERROR, "the log in Redis belongs to another SQLite file", words);
    pause_until(g, g->now_ms + FOREIGN_MS);
}

/* ---- Following ---- */

/* Up to where the stream may be trimmed, so that some `tail` messages stay behind position. Ids are
 * dense above `from` and none exist between prev and from: counted by id alone, the jump of an
 * opening would take the whole tail, and tell those who have all up to prev of a gap. */
static uint64_t trim_position(const struct ingest *g, uint64_t position)
{
    uint64_t fresh = position > g->from ? position - g->from : 0;
    if (fresh > g->limits.tail)
        return position - g->limits.tail;
    uint64_t older = g->limits.tail - fresh;
    uint64_t prev = g->prev < position ? g->prev : position;
    return prev > older ? prev - older : 0;
}

void ingest_advance(struct ingest *g, bool again)
{
    const struct store_log *own = standing(g);
    g->again = again;
    words_clear(&g->words);
    words_str(&g->words, (struct str){g->here, g->here_len});
    words_u64(&g->words, own->lease);
    words_u64(&g->words, own->position);
    words_u64(&g->words, trim_position(g, own->position));
    words_str(&g->words, str_of(g->names->control));
    ingest_script(g, INGEST_ADVANCING, "advance", own->opening, NULL, 0);
}

/* The opening's number alone would not do: Redis may have come back with an older state, or with
 * one that a partitioned master went on with. */
bool ingest_agrees(const struct store_log *own, const struct page *p)
{
    return p->open && p->opening == own->opening && p->lease <= own->lease &&
           p->seq >= max_u64(own->position, own->last) && p->top <= p->seq && p->high <= p->seq;
}

static bool is_foreign(const struct store_log *own, const struct page *p)
{
    return p->owner.len && !str_eq(p->owner, str_of(own->owner));
}

/* The stream starts above what the file has: an old backup of it was restored. */
static void hole_note(struct ingest *g, uint64_t position, uint64_t base)
{
    if (g->status.hole_to == base || position >= base)
        return;
    g->status.hole_from = position;
    g->status.hole_to = base;
    log_error("messages are missing for ever: neither this file nor Redis has them",
              "above=%" PRIu64 " up_to=%" PRIu64, position, base);
}

/* Commits what the page brought above position; a page that is not full brought all there is. */
static void batch_commit(struct ingest *g, const struct page *p, size_t skip)
{
    uint64_t position = standing(g)->position;
    if (p->count > skip)
        position = p->entries[p->count - 1].id;
    if (!p->full)
        position = max_u64(position, p->seq);
    g->again = p->full;
    ingest_commit(
        g, INGEST_COMMITTING, p->entries + skip, p->count - skip,
        (struct store_commit){.position = position, .lease = position + g->limits.backlog_max});
    if (p->full && p->count > skip && overlap_done(g))
        g->io->ahead(g->ctx, p);
}

/* The next page, at once or when there is news; in turn with those of the overlap, so that neither
 * keeps the other waiting. */
static void follow(struct ingest *g, bool now)
{
    if (overlap_ask(g))
        return;
    ingest_state_set(g, INGEST_WATCHING);
    page_release(g, standing(g)->position, now ? NEXT_AHEAD : NEXT_NEWS);
}

static void compare(struct ingest *g, const struct page *p)
{
    g->again = true;
    if (overlap_compare(g, p))
        look(g);
    else
        ingest_commit(g, INGEST_COMMITTING, NULL, 0, (struct store_commit){0});
}

static void watch(struct ingest *g, const struct page *p)
{
    const struct store_log *own = standing(g);
    if (!ingest_agrees(own, p) || p->here.len > REPLID_BYTES_MAX) {
        opening_begin(g, p);
        return;
    }
    memcpy(g->here, p->here.p, p->here.len);
    g->here_len = p->here.len;
    g->prev = p->prev;
    g->from = p->from;
    overlap_begin(g, p);
    uint64_t lease = own->position + g->limits.backlog_max;
    size_t skip = 0;
    while (skip < p->count && p->entries[skip].id <= own->position)
        skip++;
    if (g->retell && lease <= own->lease) {
        ingest_advance(g, true);
    } else if (g->retell) {
        g->again = true;
        ingest_commit(g, INGEST_COMMITTING, NULL, 0, (struct store_commit){.lease = lease});
    } else if (p->count > skip || (!p->full && p->seq > own->position) || lease > own->lease ||
               g->commit_failed) { /* one that does not fail is all that tells of the end of it */
        batch_commit(g, p, skip);
    } else if (p->full) {
        look(g); /* it began below position */
    } else if (p->lease < own->lease || p->stored < own->position) {
        ingest_advance(g, false);
    } else {
        settle(g);
        follow(g, false);
    }
}

/* ---- Events ---- */

struct ingest *ingest_new(const struct ingest_limits *limits, const struct log_names *names,
                          const struct ingest_io *io, void *ctx)
{
    struct ingest *g = mem_zalloc(sizeof *g);
    g->limits = *limits;
    g->names = names;
    g->io = io;
    g->ctx = ctx;
    ingest_state_set(g, INGEST_OFF);
    return g;
}

void ingest_free(struct ingest *g)
{
    if (!g)
        return;
    opening_clear(&g->o);
    free(g);
}

void ingest_connected(struct ingest *g)
{
    assert(g->state == INGEST_OFF);
    ingest_state_set(g, INGEST_WATCHING);
    g->retell = true;
    overlap_reset(g);
    snprintf(g->why, sizeof g->why, "the log has not been looked at yet");
}

void ingest_disconnected(struct ingest *g)
{
    opening_clear(&g->o);
    ingest_state_set(g, INGEST_OFF);
    g->script_asked = false;
    g->settled = false;
    if (g->has_page && !g->commit_asked)
        page_release(g, standing(g)->position, NEXT_NEWS);
}

void ingest_page(struct ingest *g, const struct page *p)
{
    if (g->state == INGEST_OFF)
        return;
    assert(!g->has_page && !g->commit_asked);
    g->has_page = true;
    if (is_foreign(standing(g), p)) {
        foreign(g, p->owner);
        return;
    }
    switch (g->state) {
    case INGEST_WATCHING:
        hole_note(g, standing(g)->position, p->base);
        watch(g, p);
        break;
    case INGEST_COMPARING:
        compare(g, p);
        break;
    case INGEST_REVIEWING:
        opening_review(g, p);
        break;
    case INGEST_DRAINING:
        opening_drain(g, p);
        break;
    default:
        abort(); /* the feed gives a page only after release */
    }
}

static void commit_count(struct ingest *g, enum store_result result)
{
    g->commit_failed = result != STORE_OK;
    if (result == STORE_FAILED)
        g->status.commit_failures++;
    else if (result == STORE_CONFLICT)
        g->status.conflicts++;
    if (result != STORE_OK) {
        overlap_reset(g); /* the rows may not have been read as they are */
        return;
    }
    g->status.messages += g->committing;
    g->status.batches += g->committing > 0;
}

void ingest_committed(struct ingest *g, enum store_result result, const char *why)
{
    assert(g->commit_asked);
    g->commit_asked = false;
    commit_count(g, result);
    if (result == STORE_FAILED)
        trouble(g, LOG_ERROR, "SQLite does not store", why);
    else if (result == STORE_CONFLICT)
        trouble(g, LOG_ERROR, "the log and SQLite differ in a message", why);
    switch (g->state) {
    case INGEST_OFF:
        page_release(g, standing(g)->position, NEXT_NEWS);
        break;
    case INGEST_WATCHING: /* it was of an earlier connection, and so was the page */
        look(g);
        break;
    case INGEST_COMMITTING:
        if (result == STORE_OK || g->retell) /* what stands can be told even so */
            ingest_advance(g, g->again);
        else
            ingest_look_again(g, NULL, RETRY_MIN_MS);
        break;
    default:
        if (result == STORE_OK)
            opening_committed(g);
        else
            ingest_look_again(g, NULL, RETRY_MIN_MS);
    }
}

static void script_done(struct ingest *g)
{
    if (g->state != INGEST_ADVANCING) {
        opening_replied(g);
        return;
    }
    g->retell = false;
    settle(g);
    follow(g, g->again);
}

/* An error: nothing was written, but for a put whose first rows fitted. */
static void script_refused(struct ingest *g, const struct reply *r)
{
    static const char passed[] = "ID specified in XADD";
    struct str s = r->type == REPLY_ERROR ? r->str : STR("a reply of another kind");
    char words[ALARM_BYTES_MAX / 2];
    snprintf(words, sizeof words, "%.*s", s.len < 100 ? (int)s.len : 100, s.len ? s.p : "");
    trouble(g, LOG_WARN, "Redis refuses a script of the log", words);
    if (g->state == INGEST_RESTORING && s.len && memmem(s.p, s.len, passed, sizeof passed - 1))
        restore_give_up(g);
    else
        ingest_look_again(g, NULL, RETRY_MIN_MS);
}

void ingest_reply(struct ingest *g, const struct reply *r)
{
    if (!g->script_asked)
        return;
    g->script_asked = false;
    if (!r) {
        opening_clear(&g->o);
        ingest_state_set(g, INGEST_LOST);
        g->settled = false;
        snprintf(g->why, sizeof g->why, "the connection to Redis broke");
        return;
    }
    uint64_t done = 0;
    if (r->type != REPLY_ARRAY || r->n == 0 || !reply_u64(&r->at[0], &done)) {
        script_refused(g, r);
        return;
    }
    struct str word = r->n > 1 ? reply_str(&r->at[1]) : STR("");
    if (done == 1)
        script_done(g);
    else if (str_eq(word, STR("OWNER")))
        foreign(g, r->n > 2 ? reply_str(&r->at[2]) : STR(""));
    else if (str_eq(word, STR("SEALED")) || str_eq(word, STR("NEWER")))
        ingest_look_again(g, "the log was sealed or opened by somebody else", 0);
    else
        script_refused(g, r);
}

void ingest_tick(struct ingest *g, uint64_t now_ms)
{
    g->now_ms = now_ms;
    if (g->state == INGEST_PAUSED && now_ms >= g->resume_ms)
        look(g);
    else if (g->state == INGEST_RESTORING && !g->script_asked)
        restore_step(g);
}

bool ingest_ready(const struct ingest *g, const char **why)
{
    *why = NULL;
    if (g->state == INGEST_OFF)
        *why = "Redis is not connected";
    else if (!g->settled)
        *why = g->why;
    return !*why;
}

const struct ingest_status *ingest_status(struct ingest *g)
{
    return &g->status;
}
