/* SPDX-License-Identifier: MIT */
/*
 * What the programs take from the machine: the clock, randomness, libevent's timers and the
 * descriptors of their clients. The definitions here come before those of the libraries, so that
 * the programs' own code runs as it is.
 */
#include <errno.h>
#include <event2/event.h>
#include <event2/event_struct.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "common/batch.h"
#include "common/mem.h"
#include "gateway/websocket.h"
#include "procs.h"

enum {
    TIMERS_MAX = 64,
    FD_BASE = 1 << 20,   /* clients */
    POLL_BASE = 1 << 21, /* epolls */
};

/* ---- the clock and randomness ---- */

int clock_gettime(clockid_t id, struct timespec *now)
{
    (void)id;
    *now = (struct timespec){.tv_sec = (time_t)(world.now_us / SECOND),
                             .tv_nsec = (long)(world.now_us % SECOND) * 1000};
    return 0;
}

/* Not from the run's own numbers: a library may ask once in the life of this process. */
ssize_t getrandom(void *out, size_t size, unsigned flags)
{
    static uint64_t seed, state;
    (void)flags;
    if (seed != world.seed || !state) {
        seed = world.seed;
        state = seed * 0x9e3779b97f4a7c15u + 1;
    }
    for (size_t i = 0; i < size; i++) {
        state = state * 6364136223846793005u + 1442695040888963407u;
        ((unsigned char *)out)[i] = (unsigned char)(state >> 56);
    }
    return (ssize_t)size;
}

/* ---- epolls ---- */

struct poll {
    struct event *ready; /* the gateway's: NULL when it is gone */
};

static struct poll **polls;
static size_t poll_count, poll_cap;

static struct poll *poll_of(int fd)
{
    return polls[fd - POLL_BASE];
}

/* ---- timers ---- */

struct timer {
    struct event *event; /* NULL: free */
    uint64_t number;     /* of this use of the place */
    uint64_t every_us;
};

static struct timer timers[TIMERS_MAX];
static uint64_t timer_numbers;

static struct process *process_of(const struct event *ev)
{
    return (struct process *)(void *)ev->ev_base;
}

static void event_call(struct event *ev, short what)
{
    ev->ev_evcallback.evcb_cb_union.evcb_callback(ev->ev_fd, what, ev->ev_evcallback.evcb_arg);
}

static void timer_cb(void *arg, uint64_t number)
{
    struct timer *t = arg;
    struct event *ev = t->event;
    if (!ev || t->number != number)
        return;
    if (ev->ev_events & EV_PERSIST)
        event_at(world.now_us + t->every_us, process_of(ev), timer_cb, t, number);
    else
        t->event = NULL;
    event_call(ev, EV_TIMEOUT);
}

int event_assign(struct event *ev, struct event_base *base, evutil_socket_t fd, short events,
                 event_callback_fn cb, void *arg)
{
    *ev = (struct event){.ev_base = base, .ev_fd = fd, .ev_events = events};
    ev->ev_evcallback.evcb_cb_union.evcb_callback = cb;
    ev->ev_evcallback.evcb_arg = arg;
    return 0;
}

int event_add(struct event *ev, const struct timeval *after)
{
    event_del(ev);
    if (!after) {
        poll_of(ev->ev_fd)->ready = ev;
        return 0;
    }
    struct timer *t = timers;
    while (t->event)
        if (++t == timers + TIMERS_MAX)
            abort();
    *t = (struct timer){ev, ++timer_numbers,
                        (uint64_t)after->tv_sec * SECOND + (uint64_t)after->tv_usec};
    event_at(world.now_us + t->every_us, process_of(ev), timer_cb, t, t->number);
    return 0;
}

int event_del(struct event *ev)
{
    for (struct timer *t = timers; t < timers + TIMERS_MAX; t++)
        if (t->event == ev)
            t->event = NULL;
    if (ev->ev_fd >= POLL_BASE)
        poll_of(ev->ev_fd)->ready = NULL;
    return 0;
}

struct event *event_new(struct event_base *base, evutil_socket_t fd, short events,
                        event_callback_fn cb, void *arg)
{
    struct event *ev = mem_alloc(sizeof *ev);
    event_assign(ev, base, fd, events, cb, arg);
    return ev;
}

void event_free(struct event *ev)
{
    event_del(ev);
    free(ev);
}

evutil_socket_t event_get_fd(const struct event *ev)
{
    return ev->ev_fd;
}

void event_debug_unassign(struct event *ev)
{
    (void)ev;
}

/* ---- descriptors of clients ---- */

static struct peer **peers;
static size_t peer_count, peer_cap;

static struct peer *peer_of(int fd)
{
    return peers[fd - FD_BASE];
}

void peers_begin(void)
{
    peers = NULL;
    polls = NULL;
    peer_count = peer_cap = poll_count = poll_cap = 0;
    for (struct timer *t = timers; t < timers + TIMERS_MAX; t++)
        t->event = NULL;
}

void peers_end(void)
{
    for (size_t i = 0; i < peer_count; i++) {
        buf_free(&peers[i]->in);
        buf_free(&peers[i]->out);
    }
}

int peer_new(struct subscriber *s, struct gateway *g, struct peer **peer)
{
    struct peer *p = arena_alloc(sizeof *p);
    *p = (struct peer){.gateway = g, .subscriber = s, .open = true, .arrives_us = world.now_us};
    if (peer_count == peer_cap)
        peers = arena_grow(peers, peer_count, &peer_cap, sizeof *peers);
    peers[peer_count++] = p;
    *peer = p;
    return FD_BASE + (int)(peer_count - 1);
}

/* What epoll would tell of it now. */
static uint32_t peer_ready(const struct peer *p)
{
    uint32_t all =
        (p->out || p->closed ? (uint32_t)EPOLLIN : 0) | (p->room ? (uint32_t)EPOLLOUT : 0);
    return p->poll ? all & p->watched : 0;
}

static void peer_ready_cb(void *arg, uint64_t n)
{
    (void)n;
    struct peer *p = arg;
    if (peer_ready(p) && p->poll->ready)
        event_call(p->poll->ready, EV_READ);
}

static void room_cb(void *arg, uint64_t n)
{
    struct peer *p = arg;
    p->room = true;
    peer_ready_cb(p, n);
}

int epoll_create1(int flags)
{
    (void)flags;
    if (poll_count == poll_cap)
        polls = arena_grow(polls, poll_count, &poll_cap, sizeof *polls);
    polls[poll_count++] = arena_alloc(sizeof(struct poll));
    return POLL_BASE + (int)(poll_count - 1);
}

int evutil_make_socket_nonblocking(evutil_socket_t fd)
{
    (void)fd;
    return 0;
}

/* What the program waits for: at once if it is there, and room for bytes at some time. */
int epoll_ctl(int fd, int operation, int socket, struct epoll_event *e)
{
    struct peer *p = peer_of(socket);
    uint32_t before = p->watched;
    p->poll = operation == EPOLL_CTL_DEL ? NULL : poll_of(fd);
    p->watched = p->poll ? e->events : 0;
    p->watcher = p->poll ? e->data.ptr : NULL;
    uint64_t wait_us = draw_between(MS, p->subscriber->slow ? 400 * MS : 30 * MS);
    if (p->watched & ~before & EPOLLOUT) {
        p->room = false;
        event_at(world.now_us + wait_us, &p->gateway->process, room_cb, p, 0);
    }
    if (peer_ready(p))
        event_at(world.now_us, &p->gateway->process, peer_ready_cb, p, 0);
    return 0;
}

/* Those that are ready; whom it has no place for is told of by an event of its own. */
int epoll_wait(int fd, struct epoll_event *events, int max, int timeout)
{
    (void)timeout;
    int n = 0;
    for (size_t i = 0; i < peer_count && n < max; i++) {
        struct peer *p = peers[i];
        uint32_t ready = p->poll == poll_of(fd) ? peer_ready(p) : 0;
        if (ready)
            events[n++] = (struct epoll_event){.events = ready, .data.ptr = p->watcher};
    }
    return n;
}

void peer_close(struct peer *p)
{
    if (p->closed)
        return;
    p->open = false;
    p->closed = true;
    event_at(world.now_us + draw_between(MS, 20 * MS), &p->gateway->process, peer_ready_cb, p, 0);
}

/* The gateway reads: pongs, then the end. */
ssize_t recv(int fd, void *bytes, size_t size, int flags)
{
    if (fd < FD_BASE)
        return syscall(SYS_recvfrom, fd, bytes, size, flags, NULL, NULL);
    struct peer *p = peer_of(fd);
    size_t n = buf_len(p->out) < size ? buf_len(p->out) : size;
    if (n) {
        memcpy(bytes, buf_str(p->out).p, n);
        buf_take(&p->out, n);
        return (ssize_t)n;
    }
    if (p->closed)
        return 0;
    errno = EAGAIN;
    return -1;
}

int shutdown(int fd, int how)
{
    return fd < FD_BASE ? (int)syscall(SYS_shutdown, fd, how) : 0;
}

/* The end of the stream, behind the last bytes. */
static void end_cb(void *arg, uint64_t n)
{
    (void)n;
    struct peer *p = arg;
    if (p->open)
        subscriber_lost(p);
}

int close(int fd)
{
    if (fd < FD_BASE)
        return (int)syscall(SYS_close, fd);
    if (fd < POLL_BASE) {
        struct peer *p = peer_of(fd);
        uint64_t at_us = world.now_us + 5 * MS;
        p->poll = NULL;
        event_at(at_us < p->arrives_us ? p->arrives_us : at_us, NULL, end_cb, p, 0);
    }
    return 0;
}

struct piece { /* bytes on their way to a subscriber */
    struct peer *peer;
    struct str bytes;
};

static void piece_cb(void *arg, uint64_t n)
{
    (void)n;
    struct piece *piece = arg;
    struct peer *p = piece->peer;
    if (!p->open)
        return;
    buf_add_str(&p->in, piece->bytes);
    subscriber_reads(p);
    static const char pong[] = {(char)0x8a, (char)0x80, 0, 0, 0, 0};
    if (p->open && !p->out && draw_chance(2)) { /* a sign of life */
        buf_add(&p->out, pong, sizeof pong);
        event_at(world.now_us + MS, &p->gateway->process, peer_ready_cb, p, 0);
    }
}

/* The first n bytes of a job go on their way. */
static void send_bytes(struct peer *p, const struct batch_job *job, size_t n)
{
    struct piece *piece = arena_alloc(sizeof *piece);
    char *to = arena_alloc(n);
    *piece = (struct piece){p, {to, n}};
    for (size_t i = 0, left = n; left; i++) {
        size_t part = job->iov[i].iov_len < left ? job->iov[i].iov_len : left;
        memcpy(to, job->iov[i].iov_base, part);
        to += part;
        left -= part;
    }
    uint64_t at_us = world.now_us + draw_between(200, 5 * MS);
    if (at_us < p->arrives_us)
        at_us = p->arrives_us;
    p->arrives_us = at_us;
    event_at(at_us, NULL, piece_cb, piece, 0);
}

void batch_run(struct batch_job *jobs, size_t count)
{
    for (struct batch_job *j = jobs; j < jobs + count; j++) {
        struct peer *p = peer_of(j->fd);
        if (p->closed) {
            j->sent = -EPIPE;
            continue;
        }
        size_t n = j->len;
        if (draw_chance(p->subscriber->slow ? 60 : 15))
            n = draw_below(j->len);
        if (p->full && !n)
            n = 1; /* it was told that it may write */
        p->full = !n;
        j->sent = n ? (ssize_t)n : -EAGAIN;
        if (n)
            send_bytes(p, j, n);
    }
}
