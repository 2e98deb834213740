/* SPDX-License-Identifier: MIT */
/*
 * What the tests of WebSocket clients share: rooms, clients and the client of the persister as a
 * gateway has them, a persister that answers when the test says so, peers at the other end of
 * socket pairs, and a clock that goes as we say. Include it first.
 */
#ifndef TESTS_CLIENTS_RIG_H
#define TESTS_CLIENTS_RIG_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <event2/event.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/socket.h>
#include <unistd.h>

#include "common/clock.h"
#include "common/server.h"
#include "gateway/clients_internal.h"
#include "gateway/deflate.h"

enum {
    HISTORY_KEPT = 20, /* messages of a room in memory */
    LAG_BYTES = 1 << 20,
    PEERS = 2 * JOINS_ASKED_MAX,
    SECOND_MS = 1000, /* how late the wheel of deadlines may be */
    POSITION = 10000, /* of the feed, where rooms are older than memory */
};

/* What one of them has heard, frame by frame. */
struct peer {
    int fd;
    struct buf *in; /* an incomplete frame */
    size_t texts, pings, pongs;
    unsigned close; /* the code of a close frame, 0: none came */
    bool gone;      /* the end of the stream */
};

static struct {
    struct event_base *base;
    struct rooms *rooms;
    struct history *history;
    struct clients *clients;
    struct server *persister;
    struct exchange *asked[PEERS]; /* of it, not answered yet from `nanswered` on */
    size_t nasked, nanswered;
    uint64_t position; /* the feed's */
    size_t messages;   /* that clients sent */
    struct client *held[PEERS];
    size_t nheld;
    bool hold; /* messages wait for their answer, which is client_release */
    struct peer peers[PEERS];
    size_t npeers;
} rig;

/* ---- the parts' questions ---- */

static inline void rig_message(void *ctx, struct client *c, struct str text)
{
    assert_ptr_equal(ctx, &rig);
    assert_true(text.len > 0);
    rig.messages++;
    if (rig.hold) {
        client_hold(c);
        rig.held[rig.nheld++] = c;
    }
}

static inline uint64_t rig_position(void *ctx)
{
    assert_ptr_equal(ctx, &rig);
    return rig.position;
}

static inline bool rig_beyond(void *ctx, uint64_t id)
{
    (void)ctx, (void)id;
    return false;
}

static const struct clients_ops rig_ops = {
    .message = rig_message, .position = rig_position, .beyond = rig_beyond};

/* A room wakes at once, and has the newest messages up to its position. */
static inline bool rig_history(void *ctx, struct str room, uint64_t before, unsigned limit,
                               uint64_t min_id, history_cb cb, void *arg)
{
    (void)ctx, (void)room, (void)min_id, (void)cb, (void)arg;
    assert_true(limit == HISTORY_KEPT && before == POSITION + 1);
    return false;
}

static inline bool rig_page(void *ctx, uint64_t before, unsigned count)
{
    (void)ctx, (void)before, (void)count;
    return true; /* answered in rig_room */
}

static const struct rooms_sources rig_sources = {.history = rig_history, .page = rig_page};

static inline void rig_asked(void *ctx, struct exchange *x, const struct http_request *req,
                             struct str body)
{
    (void)ctx, (void)req, (void)body;
    assert_true(rig.nasked < PEERS);
    rig.asked[rig.nasked++] = x;
}

static const struct server_ops rig_persister = {.request = rig_asked};

/* ---- the rig ---- */

static inline int setup(void **state)
{
    (void)state;
    char error[128] = "", url[64];
    struct server_config config = {.host = "127.0.0.1", .conns_max = (size_t)PEERS, .body_max = 1};
    memset(&rig, 0, sizeof rig);
    rig.base = event_base_new();
    rig.persister = server_new(rig.base, &config, &rig_persister, &rig, error, sizeof error);
    assert_non_null(rig.persister);
    snprintf(url, sizeof url, "http://127.0.0.1:%u", server_port(rig.persister));
    rig.history = history_new(rig.base, NULL, url);
    rig.rooms = rooms_new(&(struct rooms_config){HISTORY_KEPT, LAG_BYTES, 0}, &rig_sources, &rig);
    rig.clients = clients_new(rig.base, rig.rooms, rig.history, &(struct clients_config){PEERS},
                              &rig_ops, &rig);
    return 0;
}

static inline int teardown(void **state)
{
    (void)state;
    history_free(rig.history);
    while (rig.nanswered < rig.nasked)
        exchange_fail(rig.asked[rig.nanswered++], 503, "the end");
    clients_free(rig.clients);
    rooms_free(rig.rooms);
    server_free(rig.persister);
    event_base_free(rig.base);
    deflate_done();
    for (size_t i = 0; i < rig.npeers; i++) {
        close(rig.peers[i].fd);
        buf_free(&rig.peers[i].in);
    }
    return 0;
}

/* The room of that name. Where the feed is somewhere already, it is older than memory: of what is
 * below POSITION neither the stream nor this gateway has anything. */
static inline struct room *rig_room(const char *name)
{
    struct room *r = room_get(rig.rooms, str_of(name), rig.position, now_ms());
    assert_non_null(r);
    if (!r->awake)
        rooms_page(rig.rooms, &(struct page){.exists = true,
                                             .open = true,
                                             .seq = POSITION,
                                             .base = POSITION,
                                             .stored = POSITION,
                                             .top = POSITION});
    assert_true(r->awake);
    return r;
}

/* Turns the loop until nothing has happened for some turns. */
static inline void turn(void)
{
    for (int quiet = 0; quiet < 5; quiet++) {
        event_base_loop(rig.base, EVLOOP_NONBLOCK);
        bool persister = server_turn(rig.persister), clients = clients_turn(rig.clients);
        if (persister || clients)
            quiet = 0;
        usleep(100);
    }
}

/* The only client. */
static inline const struct client *only_client(void)
{
    const struct client *c = NULL;
    assert_int_equal(clients_count(rig.clients), 1);
    for (size_t i = 0; !c; i++)
        c = TAILQ_FIRST(&rig.clients->deadlines[i]);
    return c;
}

/* A client of the room, which wants what is newer than the id `after`. */
static inline struct peer *join(const char *room, uint64_t after)
{
    int fds[2];
    assert_true(rig.npeers < PEERS);
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds), 0);
    fcntl(fds[0], F_SETFL, O_NONBLOCK);
    struct peer *p = &rig.peers[rig.npeers++];
    p->fd = fds[1];
    client_new(rig.clients, fds[0], NULL, rig_room(room), true, after, 0, false, NULL, NULL,
               now_ms());
    return p;
}

/* Sends a frame as clients do, masked with zeros, of less than 126 bytes. False: no room. */
static inline bool say_if(const struct peer *p, enum ws_opcode opcode, bool fin,
                          const char *payload)
{
    size_t len = strlen(payload);
    char frame[6 + WS_CONTROL_BYTES_MAX] = {(char)((fin ? 0x80 : 0) | (int)opcode),
                                            (char)(0x80 | len)};
    memcpy(frame + 6, payload, len);
    ssize_t n = send(p->fd, frame, 6 + len, MSG_DONTWAIT | MSG_NOSIGNAL);
    assert_true(n == (ssize_t)(6 + len) || (n < 0 && errno == EAGAIN));
    return n > 0;
}

static inline void say(const struct peer *p, enum ws_opcode opcode, bool fin, const char *payload)
{
    assert_true(say_if(p, opcode, fin, payload));
}

/* Takes the whole frames of p->in apart. */
static inline void frames_count(struct peer *p)
{
    for (;;) {
        struct str s = buf_str(p->in);
        size_t head = s.len < 2 ? 2 : ws_header_len(s.p), len = s.len < 2 ? 0 : s.p[1] & 0x7f;
        if (s.len < head)
            return;
        if (head > 2)
            len = 0;
        for (size_t i = 2; i < head; i++)
            len = len << 8 | (unsigned char)s.p[i];
        if (s.len < head + len)
            return;
        const unsigned char *payload = (const unsigned char *)s.p + head;
        switch (s.p[0] & 0xf) {
        case WS_PING:
            p->pings++;
            break;
        case WS_PONG:
            p->pongs++;
            break;
        case WS_CLOSE:
            p->close = (unsigned)payload[0] << 8 | payload[1];
            break;
        default:
            p->texts++;
        }
        buf_take(&p->in, head + len);
    }
}

/* All that has come for it. */
static inline struct peer *hear(struct peer *p)
{
    static char bytes[1 << 18];
    ssize_t n;
    turn();
    while ((n = recv(p->fd, bytes, sizeof bytes, MSG_DONTWAIT)) > 0) {
        buf_add(&p->in, bytes, (size_t)n);
        frames_count(p);
        turn();
    }
    p->gone = n == 0 || errno == ECONNRESET;
    return p;
}

/* The time has come to now_ms, as the program's tick tells it. */
static inline void tick(uint64_t now_ms)
{
    clients_tick(rig.clients, now_ms);
    turn();
}

/* So many clients were closed with this code. */
static inline uint64_t closed(unsigned code)
{
    size_t i = 0;
    while (clients_close_codes[i] != code)
        assert_true(++i < CLOSE_CODES);
    return clients_counts(rig.clients)->closed[CLOSE_BY_GATEWAY][i];
}

/* So many questions have gone out to the persister. */
static inline size_t questions(void)
{
    const uint64_t *ended = history_counts(rig.history)->ended;
    return history_under_way(rig.history) + ended[HISTORY_ANSWERED] + ended[HISTORY_FAILED];
}

/* The persister answers the question that came first, and the answer has been read. */
static inline void answer(struct str lines)
{
    const uint64_t *read = &history_counts(rig.history)->ended[HISTORY_ANSWERED], before = *read;
    assert_true(history_under_way(rig.history) > 0);
    while (rig.nanswered == rig.nasked)
        turn();
    exchange_respond(rig.asked[rig.nanswered++], &(struct response){.status = 200, .body = lines});
    while (*read == before)
        turn();
}

#define TEST(name) cmocka_unit_test_setup_teardown(test_##name, setup, teardown)

#endif
