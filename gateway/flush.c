/* SPDX-License-Identifier: MIT */
/*
 * The writes of a turn. Nothing is written while events are handled; at the end of the turn who is
 * behind is gathered into a batch of jobs, one write each of all that it is owed:
 *
 *      [rest of a half-sent shared frame] [private bytes] [shared frames]
 *
 * and the batch goes to the kernel. A turn writes for TURN_WRITE_US; if more is owed, the next one
 * does not wait for events, and what came meanwhile rides along. Most clients of a room are owed
 * the same bytes: their jobs share the iovecs of the one before.
 */
#include <sys/socket.h>

#include "common/batch.h"
#include "common/clock.h"
#include "common/limits.h"
#include "common/mem.h"
#include "gateway/clients_internal.h"

enum {
    IOVS = 8
}; /* pieces of one write */

struct job {
    struct client *client;
    size_t rest, own, shared; /* bytes of the three parts */
};

static struct batch_job jobs[BATCH_JOBS];
static struct job infos[BATCH_JOBS];
static struct iovec iovs[BATCH_JOBS * IOVS];
static size_t njobs, niovs;

void clients_owe(struct client *c)
{
    struct clients *cs = c->clients;
    if (c->owing || c->full || c->state == CLIENT_DOOMED)
        return;
    if (cs->nowing == cs->owing_cap) {
        cs->owing_cap = cs->owing_cap * 2 + 64;
        cs->owing = mem_grow(cs->owing, cs->owing_cap, sizeof(struct client *));
    }
    cs->owing[cs->nowing++] = c;
    c->owing = true;
}

static bool behind(const struct client *c)
{
    return c->out || (c->state == CLIENT_LIVE && c->pos != client_log(c)->end);
}

/* It has got all that it is owed. */
static void settle(struct client *c)
{
    if (c->state == CLIENT_JOINING) {
        join_taken(c);
        return;
    }
    if (c->state == CLIENT_LIVE && c->reader.deflate && !c->packed)
        room_pack(c->room, c);
    if (c->state == CLIENT_CLOSING && !c->out)
        shutdown(c->fd, SHUT_WR); /* the peer's close, or time, ends it */
}

static void job_fill(struct client *c, struct job *j, struct batch_job *b)
{
    struct iovec *v = iovs + niovs;
    const struct room_log *l = c->state == CLIENT_LIVE ? client_log(c) : NULL;
    uint64_t pos = c->pos;
    size_t n = 0, used = 0;
    *j = (struct job){.client = c};
    if (c->out) {
        uint64_t stop = l ? room_log_boundary(l, pos) : pos;
        if (stop > pos) {
            j->rest = room_log_iovecs(l, pos, stop, v, 1, &used);
            n += used;
        }
        pos = stop;
        struct str own = buf_str(c->out);
        v[n++] = (struct iovec){(void *)(uintptr_t)own.p, own.len};
        j->own = own.len;
    }
    if (l) {
        j->shared = room_log_iovecs(l, pos, l->end, v + n, IOVS - n, &used);
        n += used;
    }
    *b = (struct batch_job){.fd = c->fd, .iov = v, .iovs = n, .len = j->rest + j->own + j->shared};
    niovs += n;
}

static void batch_add(struct client *c)
{
    if (c->busy || c->full || c->state == CLIENT_DOOMED)
        return;
    if (c->joining && c->state == CLIENT_LIVE)
        join_skip(c);
    if (!behind(c)) {
        settle(c);
        return;
    }
    c->busy = true;
    struct job *j = &infos[njobs], *before = njobs ? j - 1 : NULL;
    struct batch_job *b = &jobs[njobs++];
    if (before && !c->out && !before->own && before->client->state == CLIENT_LIVE &&
        client_log(c) == client_log(before->client) && c->pos == before->client->pos) {
        *j = (struct job){c, 0, 0, before->shared};
        *b = *(b - 1);
        b->fd = c->fd;
        return;
    }
    job_fill(c, j, b);
}

static void job_done(struct job *j, const struct batch_job *b)
{
    struct client *c = j->client;
    c->busy = false;
    if (c->state == CLIENT_DOOMED)
        return;
    if (b->sent < 0 && b->sent != -EAGAIN) {
        client_doom(c);
        return;
    }
    size_t sent = b->sent > 0 ? (size_t)b->sent : 0;
    c->clients->counts.writes++;
    c->clients->counts.bytes_out += sent;
    size_t rest = sent < j->rest ? sent : j->rest;
    size_t own = sent - rest < j->own ? sent - rest : j->own;
    buf_take(&c->out, own);
    if (c->state == CLIENT_LIVE)
        c->pos = room_log_advance(client_log(c), c->pos, sent - own);
    c->full = sent < b->len;
    if (j->own)
        client_count_kept(c);
    if (c->full) {
        c->clients->counts.blocks++;
        c->clients->counts.blocked++;
        client_watch(c);
        return;
    }
    client_resume_reading(c);
    if (behind(c))
        clients_owe(c);
    else
        settle(c);
}

/* Takes who is behind into the batch: first who has bytes of its own, then room by room. */
static void batch_gather(struct clients *cs)
{
    struct room *r;
    njobs = niovs = 0;
    while (cs->nowing && njobs < BATCH_JOBS) {
        struct client *c = cs->owing[--cs->nowing];
        c->owing = false;
        client_resume_reading(c);
        batch_add(c);
    }
    while (njobs < BATCH_JOBS && (r = rooms_next_owing(cs->rooms))) {
        uint32_t before = r->todo;
        for (; r->todo && njobs < BATCH_JOBS; r->todo--, r->turn++) {
            if (r->turn >= r->nsubs)
                r->turn = 0;
            if (!r->nsubs)
                break;
            batch_add(r->subs[r->turn]);
        }
        fanout_visited(&r->fanout, &cs->fanout, before - r->todo);
        if (r->todo && r->nsubs)
            room_owe(r); /* at the end of the list: a large room delays no other */
    }
}

bool clients_turn(struct clients *cs)
{
    clients_shed(cs);
    uint64_t end = now_us() + TURN_WRITE_US;
    while (cs->nowing || rooms_owing(cs->rooms)) {
        batch_gather(cs);
        if (njobs)
            batch_run(jobs, njobs);
        for (size_t i = 0; i < njobs; i++)
            job_done(&infos[i], &jobs[i]);
        fanout_written(&cs->fanout);
        if (now_us() >= end)
            break;
    }
    bool frees = clients_reap(cs);
    return frees || cs->nowing || rooms_owing(cs->rooms);
}
