/* SPDX-License-Identifier: MIT */
/*
 * A WebSocket client: a cursor in its room's log, and a few private bytes (pong, ack, error, close,
 * older history) that go between two shared frames.
 *
 *   JOINING ──► LIVE ──► CLOSING ──► doomed, and freed at the end of a turn
 *   the room wakes, older history comes   the close frame is out, and our side is shut behind it;
 *                                         what still comes is read, so that no reset overtakes it,
 *                                         until the peer has closed or its time is over
 */
#ifndef GATEWAY_CLIENT_H
#define GATEWAY_CLIENT_H

#include <sys/queue.h>

#include "common/budget.h"
#include "common/buf.h"
#include "common/refusals.h"
#include "gateway/room.h"
#include "gateway/websocket.h"

struct clients;
struct event_base;
struct guest;
struct joining;

enum client_state {
    CLIENT_JOINING, /* no cursor yet */
    CLIENT_LIVE,    /* a cursor in its room */
    CLIENT_CLOSING, /* the last bytes, then the end */
    CLIENT_DOOMED,  /* freed soon */
};

/* One for each connection: every byte counts. */
struct client {
    struct clients *clients;
    TAILQ_ENTRY(client) queued; /* in the bucket of due_ms; DOOMED: among those to be freed */
    struct room *room;
    uint64_t pos;        /* the cursor: stream position of the next byte owed, in client_log */
    struct buf *in;      /* the head of an incomplete frame */
    struct buf *out;     /* private bytes: whole frames */
    struct buf *message; /* the fragments of a message under way */
    struct ws_reader reader;
    struct joining *joining;   /* JOINING, or ahead of this gateway: see join.c */
    struct guest *guest;       /* who it is, for limits; NULL: nothing is limited */
    struct budget_share *kept; /* what it makes us keep; NULL: nothing */
    uint64_t heard_ms;         /* the last byte from it */
    uint64_t due_ms;           /* when its deadlines are looked at */
    struct refusals refusals;
    uint32_t message_due_s; /* the deadline of a message under way; 0: none */
    int fd;
    uint32_t slot;    /* in room->subs */
    uint32_t pending; /* posts, history and rests under way that name this client */
    enum client_state state : 8;
    uint8_t watched; /* events that epoll tells of: EPOLLIN, EPOLLOUT */
    bool full : 1;   /* its socket took no more: EPOLLOUT is awaited */
    bool owing : 1;  /* on the list of those to be written */
    bool busy : 1;   /* in the batch */
    bool deaf : 1;   /* its close frame came, or it cannot be understood: what follows is dropped */
    bool packed : 1; /* the cursor is in the log of compressed frames */
    bool pinged : 1; /* a ping was sent since it was heard */
    bool paused : 1; /* not read: too much is unsent or under way, or it rests */
    bool resting : 1; /* its messages were refused again and again; see rests.c */
};

/* Who ends a connection. */
enum close_by {
    CLOSE_BY_GATEWAY,
    CLOSE_BY_CLIENT, /* also by going without a word: 1006 */
    CLOSE_BYS,
};

/* Whence a client that joins got what is older than now. */
enum join_from {
    JOIN_MEMORY,  /* the room's log reached back far enough */
    JOIN_HISTORY, /* the persister was asked */
    JOIN_GAP,     /* neither has all of it, and the client was told */
    JOIN_FROMS,
};

enum {
    CLOSE_CODES = 16, /* told apart in metrics; see clients_close_codes */
};

/* The codes that are counted one by one; the last one, 0, stands for all others. */
extern const unsigned clients_close_codes[CLOSE_CODES];

/* What happened since the start, for metrics; the last three are of now. */
struct clients_counts {
    uint64_t opened;
    uint64_t joined[JOIN_FROMS], resumed[JOIN_FROMS];
    uint64_t closed[CLOSE_BYS][CLOSE_CODES];
    uint64_t silent;              /* of those closed: no pong came */
    uint64_t frames;              /* whole messages read, of any content */
    uint64_t bytes_in, bytes_out; /* behind the handshake; out: with its answer */
    uint64_t writes;              /* system calls or jobs of io_uring */
    uint64_t blocks;              /* of these: the socket did not take all */
    uint64_t rests;               /* clients not read for a while, since they were refused */
    size_t blocked;               /* clients whose socket is full */
    size_t joining;               /* clients without a cursor yet */
    size_t deflating;             /* clients that take compressed messages */
};

struct clients_ops {
    /* A whole text message of a live client. */
    void (*message)(void *ctx, struct client *c, struct str text);
    uint64_t (*position)(void *ctx); /* of the feed */
    /* Is the id above all that are known here to be given, or to be allowed? */
    bool (*beyond)(void *ctx, uint64_t id);
    /* A client with a guest has ended. */
    void (*gone)(void *ctx, struct guest *guest);
};

struct clients_config {
    size_t clients_max;
};

struct clients *clients_new(struct event_base *base, struct rooms *rooms, struct history *history,
                            const struct clients_config *config, const struct clients_ops *ops,
                            void *ctx);

/* Frees all at once; ends no posts: outbox first. */
void clients_free(struct clients *cs);
size_t clients_count(const struct clients *cs);

/* Valid until clients_free, and current. */
const struct clients_counts *clients_counts(const struct clients *cs);
size_t clients_kept(const struct clients *cs); /* bytes, see client_count_kept */
const struct histogram *clients_fanout_seconds(const struct clients *cs);
bool clients_full(const struct clients *cs);

/* The log that the cursor of a live client is in. */
static inline const struct room_log *client_log(const struct client *c)
{
    return c->packed ? &c->room->packed : &c->room->log;
}

/* Takes the descriptor and the buffers (bytes that came behind the handshake, and bytes that must
 * go before anything else: the 101 is among them). resume: all after `after`, else the newest.
 * deflate: it takes and sends compressed messages. Takes the guest, too. */
void client_new(struct clients *cs, int fd, struct guest *guest, struct room *room, bool resume,
                uint64_t after, uint32_t newest, bool deflate, struct buf *in, struct buf *out,
                uint64_t now_ms);

/* Sends a frame of its own to one client, between two shared ones; nothing when it is closing. */
void client_send(struct client *c, enum ws_opcode opcode, struct str payload);

/* Starts the closing handshake; the reason has at most 123 bytes. */
void client_close(struct client *c, unsigned code, const char *reason);

/* A message of its was refused, and it was told so: counts that. After many it is not read for a
 * while, after too many it is closed with 4429 and `why`, static words of at most 123 bytes. */
void client_refused(struct client *c, const char *why);

/* A post that names the client begins or ends. */
void client_hold(struct client *c);
void client_release(struct client *c);

/* The end of a turn: writes, then frees; true when more is to be done at once. */
bool clients_turn(struct clients *cs);

/* Pings, deadlines; call it every 100 ms or so. */
void clients_tick(struct clients *cs, uint64_t now_ms);

/* Drain: closes up to count live clients with 1012; returns how many are left. */
size_t clients_drain(struct clients *cs, size_t count);

#endif
