/* SPDX-License-Identifier: MIT */
/* What ingest.c (following an open log), overlap.c (comparing what both have), opening.c (opening
 * the log) and restore.c (putting back what Redis lost) share; for nobody else. */
#ifndef PERSISTER_INGEST_INTERNAL_H
#define PERSISTER_INGEST_INTERNAL_H

#include "persister/ingest.h"

enum {
    PUT_ROWS = 200,        /* of one put */
    READ_ROWS = 1000,      /* of one read from SQLite; fewer are read of long ones: ROWS_BYTES */
    RESTORE_ROWS = 20000,  /* looked at before the loop has its turn */
    REPLID_BYTES_MAX = 64, /* Redis gives 40 */
    RETRY_MIN_MS = 100,    /* after a failure; doubled … */
    RETRY_MAX_MS = 2000,   /* … up to this */
    FOREIGN_MS = 1000,     /* between two looks at another file's log */
    ALARM_BYTES_MAX = 256, /* of the words of a trouble */
    WORDS_MAX = 5 * PUT_ROWS + 8,
    NUMBERS_MAX = 3 * PUBLISH_BATCH_MAX + 8, /* a prod has three for each message of a batch … */
};
_Static_assert(NUMBERS_MAX <= WORDS_MAX, "a number is a word");
_Static_assert(2 * PUT_ROWS + 8 <= NUMBERS_MAX, "a put has two numbers for each message");

enum ingest_state {
    INGEST_OFF,        /* no connection */
    INGEST_WATCHING,   /* a page of the open log is awaited */
    INGEST_COMPARING,  /* a page of what is at or below position is awaited */
    INGEST_COMMITTING, /* a batch, or a higher lease */
    INGEST_ADVANCING,  /* Redis is told */
    INGEST_NUMBERING,  /* the number of the opening is committed */
    INGEST_SEALING,    /* from here on nobody publishes */
    INGEST_REVIEWING,  /* a page of what is at or below position is awaited */
    INGEST_CONFIRMING, /* a commit of nothing: SQLite has not failed in the reads of the review */
    INGEST_VOIDING,    /* an entry that SQLite does not have is taken out */
    INGEST_DRAINING,   /* a page of what is above position is awaited */
    INGEST_SAVING,     /* it is committed */
    INGEST_RESTORING,  /* what Redis lost is put back */
    INGEST_GRANTING,   /* position := S and the new lease are committed */
    INGEST_OPENING,    /* the last script */
    INGEST_PAUSED,     /* until resume_ms; then it looks again */
    INGEST_LOST,       /* a reply will never come; the link is about to say that it is down */
};

/* The comparison of the stream with the rows, once a connection. */
struct overlap {
    bool begun, done;
    bool unsure;       /* an entry had no row, as if SQLite had failed */
    uint64_t from, to; /* what is still to be compared: ids in (from, to] */
    uint64_t more;     /* messages that differ and were not told one by one */
};

/* The words of a script, and the text of those that are numbers. */
struct words {
    size_t count, numbers;
    struct str at[WORDS_MAX];
    char text[NUMBERS_MAX][21];
};

/* An entry to be taken out. */
struct stray {
    uint64_t id;
    char *key;      /* its idempotency key, or NULL */
    char *producer; /* the key of its producer's record, or NULL */
};

/* A message of a producer's last batch. */
struct produced {
    uint64_t index, id, time_ms;
};

/* What SQLite has of the last batch of a gateway process. */
struct producer {
    char *key;               /* of its record in Redis */
    uint64_t batch;          /* the highest seen */
    struct produced *stored; /* count of them */
    size_t count, cap;
};

/* One opening, from the page that made it necessary to the open log. */
struct opening {
    uint64_t number;                    /* n of this opening */
    char here[REPLID_BYTES_MAX];        /* master_replid; another one: begin anew */
    size_t here_len;                    /* of here */
    uint64_t reviewed;                  /* the stream was compared with SQLite up to here */
    uint64_t reviewing;                 /* … and will be up to here when the strays are out */
    bool review_ends;                   /* the page under review is the last one to be reviewed */
    bool reviewed_again;                /* also what draining left over */
    struct stray *strays;               /* of the page under review; nstrays of them */
    size_t nstrays, strays_cap, stray;  /* stray: how many are out */
    uint64_t base;                      /* what `base` will be */
    uint64_t seq, lease, high, ts, top; /* as of the last page */
    uint64_t missing;           /* the first row without an entry below newer entries, or 0 */
    uint64_t lost_above;        /* rows above it are lost, or may be: missing ones */
    uint64_t newest;            /* rows above it go back all, others for their keys only */
    uint64_t collected;         /* producers were gathered from rows up to here */
    bool collecting;            /* that is not finished */
    struct producer *producers; /* nproducers of them */
    size_t nproducers, producers_cap, producer; /* producer: how many Redis has */
    uint64_t had;             /* Redis has the keys of all up to here: its own top, or base */
    uint64_t keyed, keyed_to; /* of rows in between the keys alone are set: none takes their ids */
    uint64_t put, putting;    /* rows up to here are back; … when the reply has come */
    size_t put_rows;          /* rows of the put under way */
};

struct ingest {
    struct ingest_limits limits;
    const struct log_names *names;
    const struct ingest_io *io;
    void *ctx; /* of io */
    enum ingest_state state;
    struct opening o; /* zeroed outside of an opening */
    struct overlap overlap;
    struct ingest_status status;
    uint64_t prev, from;         /* of the open log, as last seen */
    char here[REPLID_BYTES_MAX]; /* its token */
    size_t here_len;             /* of here */
    uint64_t now_ms;             /* of the last tick */
    uint64_t resume_ms;          /* PAUSED until then */
    uint64_t retry_ms;           /* the next pause */
    size_t committing;           /* messages of the commit under way */
    bool commit_asked;           /* one is under way, perhaps since an earlier connection */
    bool script_asked;           /* one is under way, on this connection */
    bool has_page;               /* the feed gives the next one after its release */
    bool retell;                 /* this connection has not been told lease and position yet */
    bool again;                  /* after the advance the next page is wanted at once */
    bool commit_failed;          /* the last one */
    bool settled;                /* ready */
    char why[ALARM_BYTES_MAX];   /* not ready, in words */
    char alarm[ALARM_BYTES_MAX]; /* the last trouble that was logged; it is logged once */
    struct words words;          /* of the script being made */
};

static inline uint64_t max_u64(uint64_t a, uint64_t b)
{
    return a > b ? a : b;
}

static inline const struct store_log *standing(const struct ingest *g)
{
    return g->io->standing(g->ctx);
}

/* ---- ingest.c ---- */

/* The only one that changes the state. */
void ingest_state_set(struct ingest *g, enum ingest_state state);

/* Commits; position and lease are raised to what they already are. The state says what for. */
void ingest_commit(struct ingest *g, enum ingest_state state, const struct entry *entries,
                   size_t count, struct store_commit to);
/* Runs a verb with g->words; the state says what for. */
void ingest_script(struct ingest *g, enum ingest_state state, const char *verb, uint64_t opening,
                   const struct str *keys, size_t nkeys);
/* Waits for a page after position. */
void ingest_await(struct ingest *g, enum ingest_state state, uint64_t position);
/* Gives up what it is doing and looks at a page, after at_least_ms or, in a row of failures, later.
 */
void ingest_look_again(struct ingest *g, const char *why, uint64_t at_least_ms);
/* Tells Redis where SQLite stands. */
void ingest_advance(struct ingest *g, bool again);
/* Is this the log as this file left it? */
bool ingest_agrees(const struct store_log *own, const struct page *p);

void words_clear(struct words *w);
void words_str(struct words *w, struct str s);
void words_u64(struct words *w, uint64_t n);

/* ---- overlap.c ---- */

/* The connection's comparison: all of it is still to be done. */
void overlap_reset(struct ingest *g);
/* What there is to compare, as of a page of the open log; when it has begun, nothing. */
void overlap_begin(struct ingest *g, const struct page *p);
/* Is there nothing to compare any more? */
bool overlap_done(const struct ingest *g);
/* Asks for a page to be compared; false when there is none to ask for. */
bool overlap_ask(struct ingest *g);
/* The page came. False when it ended the comparison on rows that could not be read for certain: a
 * commit must tell. */
bool overlap_compare(struct ingest *g, const struct page *p);
/* All was compared in another way. */
void overlap_skip(struct ingest *g);
/* Alarm if two messages of one id differ; told once for each of the first few. */
void overlap_contents(struct ingest *g, const struct entry *entry, const struct entry *row);

/* ---- opening.c ---- */

void opening_begin(struct ingest *g, const struct page *p);
void opening_review(struct ingest *g, const struct page *p);
void opening_drain(struct ingest *g, const struct page *p);
/* The commit of the state succeeded. */
void opening_committed(struct ingest *g);
/* The script of the state answered {1}. */
void opening_replied(struct ingest *g);
/* All that was lost is back. */
void opening_grant(struct ingest *g);
/* Frees what an opening has gathered; harmless outside of one. */
void opening_clear(struct opening *o);

/* ---- restore.c ---- */

void restore_begin(struct ingest *g);
/* The script under way answered {1}. */
void restore_replied(struct ingest *g);
/* Goes on; called at each tick too. */
void restore_step(struct ingest *g);
/* Redis refuses ids that its stream has passed: rows are left to history, but for their keys. */
void restore_give_up(struct ingest *g);
void restore_clear(struct opening *o);
/* created_at of a message, Unix time in ms; 0 when it has none. */
uint64_t restore_time(struct str json);

#endif
