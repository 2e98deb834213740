/* SPDX-License-Identifier: MIT */
/*
 * One modelled server behind Redis' own protocol, on standard input and output: so a test can run
 * the same commands here and on a real one. Beside the model's commands there are
 *
 *   EVAL name numkeys …   one of the log's scripts, by its name
 *   MODEL replid text | role master|slave | memory short|enough
 *   PUBLISHED             what was published since, as [channel, payload, …]
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <strings.h>
#include <unistd.h>

#include "common/mem.h"
#include "procs.h"

enum {
    WORDS_MAX = 1024,
    PUBLISHED_MAX = 1024,
};

static struct reply published[PUBLISHED_MAX];
static size_t published_count;

static void publish(struct server *s, struct str channel, struct str payload)
{
    (void)s;
    if (published_count + 2 > PUBLISHED_MAX)
        return;
    published[published_count++] = (struct reply){.type = REPLY_STRING, .str = arena_str(channel)};
    published[published_count++] = (struct reply){.type = REPLY_STRING, .str = arena_str(payload)};
}

/* A line `<mark><number>`; false at the end of the input. */
static bool number_line(char mark, size_t *n)
{
    char line[64];
    if (!fgets(line, sizeof line, stdin) || line[0] != mark)
        return false;
    *n = strtoul(line + 1, NULL, 10);
    return true;
}

static size_t command_read(struct str words[WORDS_MAX])
{
    size_t count, len;
    if (!number_line('*', &count) || count > WORDS_MAX)
        return 0;
    for (size_t i = 0; i < count; i++) {
        if (!number_line('$', &len))
            return 0;
        char *p = arena_alloc(len + 2);
        if (fread(p, 1, len + 2, stdin) != len + 2)
            return 0;
        words[i] = (struct str){p, len};
    }
    return count;
}

static void reply_write(const struct reply *r)
{
    switch (r->type) {
    case REPLY_NIL:
        printf("$-1\r\n");
        break;
    case REPLY_STRING:
        printf("$%zu\r\n", r->str.len);
        fwrite(r->str.p, 1, r->str.len, stdout);
        printf("\r\n");
        break;
    case REPLY_INTEGER:
        printf(":%" PRId64 "\r\n", r->integer);
        break;
    case REPLY_ERROR:
        printf("-%.*s\r\n", (int)r->str.len, r->str.p);
        break;
    case REPLY_ARRAY:
        printf("*%zu\r\n", r->n);
        for (size_t i = 0; i < r->n; i++)
            reply_write(&r->at[i]);
        break;
    }
}

static bool is(struct str s, const char *word)
{
    return s.len == strlen(word) && strncasecmp(s.p, word, s.len) == 0;
}

static struct reply ok(void)
{
    return (struct reply){.type = REPLY_STRING, .str = STR("OK")};
}

static struct reply set(struct server *s, struct str what, struct str to)
{
    if (is(what, "replid")) {
        char replid[REPLID_BYTES] = "";
        memcpy(replid, to.p, to.len < REPLID_BYTES - 1 ? to.len : REPLID_BYTES - 1);
        server_replid_set(s, replid);
    } else if (is(what, "role")) {
        s->replica = is(to, "slave");
        server_replid_set(s, s->replid);
    } else {
        s->oom = is(to, "short") ? "OOM command not allowed" : NULL;
    }
    return ok();
}

static struct reply eval(struct server *s, const struct str *words, size_t n)
{
    static const char *const names[REDIS_SCRIPTS] = {[REDIS_PUBLISH] = "publish",
                                                     [REDIS_PAGE] = "page",
                                                     [REDIS_BEAT] = "beat",
                                                     [REDIS_OPEN] = "open"};
    size_t nkeys = n > 2 ? strtoul(words[2].p, NULL, 10) : 0;
    for (int i = 0; i < REDIS_SCRIPTS; i++)
        if (is(words[1], names[i]) && 3 + nkeys <= n)
            return server_eval(s, (enum redis_script)i, words + 3, nkeys, words + 3 + nkeys,
                               n - 3 - nkeys);
    return reply_error("ERR no such script");
}

bool model_serve(void)
{
    static struct str words[WORDS_MAX];
    world_begin(1, false);
    checks_begin();
    servers_begin(publish);
    for (size_t n; (n = command_read(words)) > 0;) {
        struct reply r;
        if (is(words[0], "EVAL"))
            r = eval(&servers[0], words, n);
        else if (is(words[0], "MODEL") && n == 3)
            r = set(&servers[0], words[1], words[2]);
        else if (is(words[0], "PUBLISHED"))
            r = (struct reply){.type = REPLY_ARRAY, .n = published_count, .at = published};
        else
            r = server_command(&servers[0], words, n);
        reply_write(&r);
        fflush(stdout);
        if (is(words[0], "PUBLISHED"))
            published_count = 0;
    }
    scripts_end();
    world_end();
    return true;
}
