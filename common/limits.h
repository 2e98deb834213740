/* SPDX-License-Identifier: MIT */
/*
 * Every bound and every deadline of both programs, by name, in one place. What an operator may
 * change is in the configuration (gateway/settings.h, persister/settings.h); these are the rest,
 * and docs/PROTOCOL.md tells those that a client can meet.
 */
#ifndef COMMON_LIMITS_H
#define COMMON_LIMITS_H

enum {
    /* Messages */
    USERNAME_CHARS_MAX = 64,
    CONTENT_CHARS_MAX = 4096,      /* the default of CONTENT_MAX */
    CONTENT_CHARS_CEILING = 16384, /* what CONTENT_MAX may be set to */
    ROOM_BYTES_MAX = 64,
    NONCE_CHARS_MAX = 128,           /* of a frame's nonce */
    IDEMPOTENCY_KEY_BYTES_MAX = 255, /* of the header's value */
    JSON_DEPTH_MAX = 8,              /* of what a client sends */
    JSON_KEYS_MAX = 64,              /* of an object at the top level */
    ERROR_INPUT_BYTES_MAX = 256,     /* of a client's value echoed in a 422 */

    /* The program's own log */
    LOG_LINE_BYTES_MAX = 4096,
    LOG_FIELDS_MAX = 32, /* of one log_event */

    /* History */
    PAGE_LIMIT_DEFAULT = 50,
    PAGE_LIMIT_MAX = 1000,
    JOIN_HISTORY_DEFAULT = 20,
    PAGE_BYTES_MAX = 1 << 20,                  /* of the messages of a page; then it is shorter */
    HISTORY_BYTES_MAX = PAGE_BYTES_MAX + 1024, /* of the persister's: it ends with what passes it */
    LOOKUPS_MAX = 64, /* messages by id that are looked for in the stream at a time: then 503 */
    TURN_PAGES_BYTES = 512 * 1024, /* composed in one turn; then the next page waits for its own */
    TURN_PAGES_WAIT = 16,          /* turns, while live messages are being written */
    PAGES_READY = 64,              /* answers of newest pages that are kept until a message comes */
    PAGE_READY_BYTES_MAX = 65536,  /* of each; larger ones are made anew each time */

    /* HTTP/1.1 */
    HTTP_HEAD_BYTES_MAX = 16384,     /* request line and headers: 431, or 414 for the line */
    HTTP_TARGET_BYTES_MAX = 4096,    /* 414 */
    HTTP_HEADERS_MAX = 64,           /* 431 */
    HTTP_BODY_BYTES_MAX = 262144,    /* 413; a content of 16,384 characters, all escaped, fits */
    HTTP_CHUNK_LINE_BYTES_MAX = 256, /* size line or trailer line of a chunked body */
    HTTP_EXTRA_BYTES_MAX = 16384,    /* of a body's chunk extensions and trailers in sum: 400 */
    HTTP_PIPELINE_MAX = 64,          /* requests of one connection whose answers are not sent */
    HTTP_OUT_BYTES_MAX = 1048576,    /* unsent answers of one connection; then not read */
    HTTP_UNSENT_BYTES_MAX = 1 << 28, /* of all connections; then the slowest are closed */
    HTTP_SMALL_BYTES_MAX = 65536,    /* of an answer that is given even then; larger ones: 503 */
    HTTP_KEPT_BYTES_MAX = 64 << 20,  /* of all half requests; then one of them gives way: 503 */
    HTTP_HEAD_MS = 10000,            /* total, from its first byte */
    HTTP_BODY_MS = 30000,            /* total, from the end of the head */
    HTTP_IDLE_MS = 75000,            /* between two requests */
    HTTP_WRITE_MS = 30000,           /* to take the next HTTP_WRITE_BYTES of waiting answers */
    HTTP_WRITE_BYTES = 16384,
    HTTP_LINGER_MS = 2000, /* after the last answer, until the peer has closed */
    HEALTHCHECK_MS = 2000, /* of --healthcheck in all: then it fails */

    /* WebSocket */
    WS_MESSAGE_BYTES_MAX = 262144,     /* of one message, all fragments together: close 1009 */
    DEFLATE_MESSAGE_MIN = 256,         /* bytes; shorter ones are not compressed: it does not pay */
    WS_CONTROL_BYTES_MAX = 125,        /* RFC 6455 section 5.5 */
    JOINS_ASKED_MAX = 64,              /* clients for which the persister is asked at a time */
    JOINS_UNSENT_BYTES_MAX = 64 << 20, /* of history; then further ones wait */
    JOIN_TAKE_MS = 60000,              /* to take a page of it, and … */
    JOIN_TAKE_PRESSED_MS = 10000,      /* … while others wait for that memory */
    WS_OUT_BYTES_MAX = 1 << 20,        /* unsent pongs, acks and the like; then not read */
    WS_KEPT_BYTES_MAX = 192 << 20,     /* of all clients' half messages and unsent bytes: 1013 */
    WS_PENDING_MAX = 64,               /* its messages on their way; then not read */
    WS_PING_MS = 25000,
    WS_PONG_MS = 10000,    /* without any byte after a ping: closed */
    WS_MESSAGE_MS = 30000, /* for a whole message, from its first byte: close 1008 */
    WS_CLOSE_MS = 5000,    /* for the closing handshake and the last bytes */

    /* What strangers make us keep, see common/budget.h */
    KEPT_SMALL_BYTES_MAX = 32768, /* by one of them; who keeps more gives way first */

    /* Addresses */
    PEERS_MAX = 65536, /* counted one by one; further ones share one count */

    /* Refusals */
    REFUSALS_FREE = 32,   /* requests or messages of one connection; all that had more share … */
    REFUSALS_BURST = 256, /* … so many requests … */
    WS_REFUSALS_BURST = 16, /* … and so many messages … */
    REFUSALS_BURST_MS = 20, /* … in this time; each further one … */
    REFUSAL_PAUSE_MS = 40,  /* … costs its connection this: it is not read */
    REFUSAL_FORGET_MS = 40, /* in this time one of a connection is forgotten */
    REFUSALS_MAX = 250,     /* of a WebSocket; one more closes it with 4429 */

    /* The loop */
    BATCH_JOBS = 64,     /* writes of one batch */
    TURN_READ_US = 100,  /* of reading what clients send, then writes are served */
    TURN_WRITE_US = 250, /* of writing, then events are served */
    TURN_REAPS = 64,     /* objects freed in one turn */
    TURN_REAP_US = 250,  /* of closing WebSocket clients; the kernel takes its time for each */
    TURN_ACCEPTS = 32,   /* of one readiness event */
    READ_BYTES = 32768,  /* of one read of an HTTP connection */
    CHUNKED_READ_BYTES = 4096, /* of one read of a chunked body, which may be framing mostly */
    WS_READ_BYTES = 4096,      /* of one read of a WebSocket client: 200 small messages */
    LISTEN_BACKLOG = 4096,
    NOTSENT_LOWAT_BYTES = 65536, /* what the kernel may hoard for a slow client */

    /* The log in Redis */
    PUBLISH_BATCH_MAX = 256,       /* messages of one publish */
    PUBLISH_BATCH_BYTES = 1 << 20, /* of their text */
    PAGE_ENTRIES = 1000,           /* of one page … */
    PAGE_ENTRIES_BYTES = 4 << 20,  /* … and of their text: it ends with the one that passes it */
    PAGE_STEP = 32,                /* entries that Redis reads at a time while it makes a page */
    FEED_BUFFER_MAX = 4096,        /* live messages held while pages are read; then dropped */
    FEED_BUFFER_BYTES_MAX = 8 << 20,
    BEAT_MS = 1000,            /* a heartbeat through Redis */
    BEAT_LOST_MS = 3000,       /* without one: both connections are dropped */
    SEALED_MS = 1500,          /* SEALED for longer: likewise */
    REDIS_CONNECT_MS = 3000,   /* resolve, connect and greet */
    REDIS_REPLY_MS = 5000,     /* of one command; then the connection is dropped */
    SENTINEL_MS = 1000,        /* of one sentinel: resolve, connect and ask */
    SENTINELS_MAX = 16,        /* in one URL */
    MOVES_MAX = 3,             /* redirections (MOVED) that one try follows */
    REDIS_COMPLAIN_MS = 30000, /* between two log lines that tell the same reason */
    BACKOFF_MIN_MS = 50,
    BACKOFF_MAX_MS = 3000, /* doubled at each failure, with jitter */
    PRODUCER_TTL_S = 86400,
    IDEMPOTENCY_TTL_S = 86400, /* the default of IDEMPOTENCY_SECONDS */

    /* Waits */
    POST_MAYBE_MS = 2000,   /* longer, of a batch that may have run: then given up */
    MIN_ID_MS = 2000,       /* of min_id: then 503 */
    HISTORY_MS = 5000,      /* of a request to the persister */
    HISTORY_REST_MS = 2000, /* after one without an answer, before the next one */

    /* Storing */
    AHEAD_PAGES = 4, /* of PAGE_ENTRIES, that are read while one commit is under way … */
    AHEAD_BYTES = PAGE_ENTRIES_BYTES, /* … and of their text: no page is asked for past it */
    ROWS_BYTES = 1 << 20, /* of rows read at a time, and of one put: ends with what passes it */
    COMMIT_EVERY_MS = 20, /* a batch is not begun sooner after the one before, if that had it all */

    /* Waking a room */
    WAKE_MS = 1000,       /* for the persister's answer; then the stream's tail is read */
    TAIL_MS = 3000,       /* for that; then the room has what was found */
    TAIL_PAGES_MAX = 128, /* of PAGE_ENTRIES, in one read that all waiting rooms share */
    TAIL_REST_MS = 5,     /* after a read, for each of its pages */

    /* The lab (LAB=1) */
    LAB_TELL_MS = 250,     /* a program's state to all others */
    LAB_FORGET_MS = 60000, /* who has told nothing for so long is forgotten */
    LAB_REPLICAS_MAX = 64, /* more are not shown */
    LAB_FAULT_S_MAX = 300, /* the longest fault */
};

#endif
