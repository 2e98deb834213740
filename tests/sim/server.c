/* SPDX-License-Identifier: MIT */
/*
 * See server.h. Data are never copied: they are made anew from a journal, whole or cut, as a real
 * server makes them from its file or its master's stream. So a lossy tail, an older copy and a
 * stale replica are all a shorter journal.
 */
#include "server.h"

#include <inttypes.h>
#include <stdio.h>
#include <strings.h>

enum {
    UNIX_START_S = 1750000000
};

struct server servers[SERVERS];

uint64_t server_now_ms(const struct server *s)
{
    return ((uint64_t)UNIX_START_S * SECOND + world.now_us + (uint64_t)s->clock_us) / 1000;
}

void server_replid_set(struct server *s, const char *replid)
{
    memcpy(s->replid, replid, REPLID_BYTES);
    s->info_role = 0;
}

void server_replid_new(struct server *s)
{
    char text[REPLID_BYTES];
    snprintf(text, sizeof text, "%016" PRIx64 "%016" PRIx64 "%08" PRIx64, draw(), draw(),
             draw() >> 32);
    server_replid_set(s, text);
}

void servers_begin(void (*published)(struct server *s, struct str channel, struct str payload))
{
    for (int i = 0; i < SERVERS; i++) {
        servers[i] = (struct server){
            .name = (char)('A' + i), .up = true, .replica = i > 0, .published = published};
        server_replid_new(&servers[i]);
    }
}

/* ---- commands ---- */

/* Asked for by nearly every script, and seldom another one. */
static struct reply info(struct server *s)
{
    char *text = s->info;
    if (s->info_role != (s->replica ? 2 : 1)) {
        s->info_role = s->replica ? 2 : 1;
        s->info_len = (size_t)snprintf(text, sizeof s->info,
                                       "# Replication\r\nrole:%s\r\nconnected_slaves:0\r\n"
                                       "master_failover_state:no-failover\r\nmaster_replid:%s\r\n"
                                       "master_replid2:%040d\r\n",
                                       s->replica ? "slave" : "master", s->replid, 0);
    }
    return (struct reply){.type = REPLY_STRING, .str = {text, s->info_len}};
}

static struct reply time_of(const struct server *s)
{
    uint64_t ms = server_now_ms(s);
    struct reply *at = arena_alloc(2 * sizeof *at);
    at[0] = (struct reply){.type = REPLY_STRING, .str = arena_printf("%" PRIu64, ms / 1000)};
    at[1] = (struct reply){.type = REPLY_STRING, .str = arena_printf("%" PRIu64, ms % 1000 * 1000)};
    return (struct reply){.type = REPLY_ARRAY, .n = 2, .at = at};
}

/* As the file has it: a time to live is written as the time of its end. */
static void journal_add(struct server *s, const struct str *argv, size_t n)
{
    struct str *own = arena_alloc(n * sizeof *own);
    for (size_t i = 0; i < n; i++)
        own[i] = arena_str(argv[i]);
    if (n == 5 && own[3].len == 2 && strncasecmp(own[3].p, "EX", 2) == 0) {
        uint64_t seconds = 0;
        reply_u64(&(struct reply){.type = REPLY_STRING, .str = own[4]}, &seconds);
        own[3] = STR("PXAT");
        own[4] = arena_printf("%" PRIu64, server_now_ms(s) + 1000 * seconds);
    }
    if (s->written == s->journal_cap)
        s->journal = arena_grow(s->journal, s->written, &s->journal_cap, sizeof *s->journal);
    s->journal[s->written++] = (struct written){world.now_us, s->calls, own, n};
}

static bool is(struct str s, const char *word)
{
    return s.len == strlen(word) && strncasecmp(s.p, word, s.len) == 0;
}

struct reply server_call(struct server *s, const struct str *argv, size_t n, bool *dirty)
{
    if (is(argv[0], "INFO"))
        return info(s);
    if (is(argv[0], "TIME"))
        return time_of(s);
    if (is(argv[0], "PUBLISH") && n == 3) {
        s->published(s, argv[1], argv[2]);
        return (struct reply){.type = REPLY_INTEGER};
    }
    const struct command *c = command_find(argv[0]);
    if (!c)
        return reply_error("ERR unknown command");
    if (c->write && !*dirty) {
        if (s->replica)
            return reply_error("READONLY You can't write against a read only replica.");
        if (s->refuse)
            return reply_error(s->refuse);
        if (s->oom && c->deny_oom)
            return reply_error(s->oom);
    }
    struct reply r = c->run(&s->db, argv, n, server_now_ms(s));
    if (c->write && r.type != REPLY_ERROR) {
        if (is(argv[0], "XADD"))
            entry_written(s, argv[2], argv[4]);
        journal_add(s, argv, n);
        *dirty = true;
    }
    return r;
}

struct reply server_command(struct server *s, const struct str *argv, size_t n)
{
    bool dirty = false;
    s->calls++;
    return server_call(s, argv, n, &dirty);
}

struct reply server_eval(struct server *s, enum redis_script script, const struct str *keys,
                         size_t nkeys, const struct str *args, size_t nargs)
{
    if (s->loading)
        return reply_error("LOADING Redis is loading the dataset in memory");
    s->calls++;
    return scripts_run(s, script, keys, nkeys, args, nargs);
}

/* ---- other data ---- */

size_t server_written_until(const struct server *s, uint64_t at_us)
{
    size_t n = s->written;
    while (n && s->journal[n - 1].at_us > at_us)
        n--;
    while (n && n < s->written && s->journal[n].call == s->journal[n - 1].call)
        n--;
    return n;
}

void server_load(struct server *s, const struct server *from, size_t written)
{
    struct written *journal = arena_alloc((written + 1) * sizeof *journal);
    if (written)
        memcpy(journal, from->journal, written * sizeof *journal);
    s->db = (struct db){{0}};
    s->calls = from->calls > s->calls ? from->calls : s->calls;
    s->journal = journal;
    s->written = written;
    s->journal_cap = written;
    for (size_t i = 0; i < written; i++) {
        const struct written *w = &journal[i];
        command_find(w->argv[0])->run(&s->db, w->argv, w->n, 0);
    }
}
