/* SPDX-License-Identifier: MIT */
/*
 * A model of a Redis server: its data, the journal of what changed them (its append-only file, and
 * what a replica follows), and the scripts that run on it. Two of them make a master and a replica.
 */
#ifndef TESTS_SIM_SERVER_H
#define TESTS_SIM_SERVER_H

#include "common/redis.h"
#include "db.h"

enum {
    SERVERS = 2,
    REPLID_BYTES = 41,
};

/* A command that changed something. */
struct written {
    uint64_t at_us;
    uint64_t call; /* of which script: a file that is cut loses a script as a whole */
    const struct str *argv;
    size_t n;
};

struct server {
    char name;
    bool up, loading, replica;
    uint32_t life; /* changes at each start */
    char replid[REPLID_BYTES];
    struct db db;
    struct written *journal;
    size_t written, journal_cap;
    uint64_t calls;     /* scripts so far, the number of the one under way */
    int64_t clock_us;   /* how wrong its clock is */
    const char *oom;    /* the error for what needs memory, or NULL */
    const char *refuse; /* the error for every write, or NULL */
    /* Who is given what it publishes. */
    void (*published)(struct server *s, struct str channel, struct str payload);
    char info[256]; /* INFO replication, as made for */
    size_t info_len;
    int info_role; /* this role, 0: none yet */
};

extern struct server servers[SERVERS];

/* published: who is given what the servers publish. */
void servers_begin(void (*published)(struct server *s, struct str channel, struct str payload));
uint64_t server_now_ms(const struct server *s); /* Unix time, of its own clock */

/* A new replication id: a start, a promotion, the first replica. */
void server_replid_new(struct server *s);
void server_replid_set(struct server *s, const char *replid);

/* Runs one of the scripts, or one command, at once. What it publishes goes to s->published. */
struct reply server_eval(struct server *s, enum redis_script script, const struct str *keys,
                         size_t nkeys, const struct str *args, size_t nargs);
struct reply server_command(struct server *s, const struct str *argv, size_t n);

/* The owner's: an entry was written, with its field m. */
void entry_written(const struct server *s, struct str id, struct str json);

/* How much of the journal was written up to a time: whole scripts only. */
size_t server_written_until(const struct server *s, uint64_t at_us);

/* The data become those of the first `written` entries of from's journal. */
void server_load(struct server *s, const struct server *from, size_t written);

/* ---- lua.c ---- */

/* Compiles the scripts; of a folder, or those that are compiled in (NULL). False, with a line on
 * standard error, when one does not compile. */
bool scripts_begin(const char *folder);
void scripts_end(void);
struct reply scripts_run(struct server *s, enum redis_script script, const struct str *keys,
                         size_t nkeys, const struct str *args, size_t nargs);

/* What redis.call does; an error is the script's end. dirty: it has written before. */
struct reply server_call(struct server *s, const struct str *argv, size_t n, bool *dirty);

#endif
