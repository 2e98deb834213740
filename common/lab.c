/* SPDX-License-Identifier: MIT */
/*
 * The board and the faults; see lab.h. What comes from Redis may be a stranger's: a state that is
 * no JSON is left out, a message on the channel that does not read as a fault is not looked at, and
 * no more than LAB_REPLICAS_MAX replicas are kept.
 */
#include "common/lab.h"

#include <event2/event.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "common/clock.h"
#include "common/json.h"
#include "common/log.h"
#include "common/mem.h"
#include "common/message.h"
#include "common/version.h"

enum {
    LOG_FACTS = 6,    /* of the script's reply; replicas follow, three elements each */
    EXIT_STATUS = 86, /* of LAB_EXIT */
    EXIT_MS = 100,    /* for the answer to be written */
    STATE_DEPTH = 6,  /* of the JSON that another one tells */
};

/* What another one told. */
struct told {
    char *name, *state;
    uint64_t told_ms; /* by our clock */
};

struct lab {
    struct lab_config config;
    struct log_names names;
    char key[96]; /* of the hash and of the channel */
    const char *channel;
    struct redis *redis; /* the board's */
    struct redis_config redis_config;
    lab_describe_fn describe;
    void *ctx;
    struct event tick, end; /* end: of the fault, or of the process */
    enum lab_fault fault;   /* under way */
    uint64_t fault_end_ms;
    uint64_t fault_connects; /* of the log's link when it began */
    bool asked;              /* a reply is awaited */
    uint64_t log[LOG_FACTS];
    struct told told[LAB_REPLICAS_MAX];
    size_t ntold;
};

static const char *const fault_names[LAB_FAULTS] = {
    [LAB_NO_FAULT] = "",
    [LAB_PAUSE_REDIS] = "pause_redis",
    [LAB_DROP_REDIS] = "drop_redis",
    [LAB_STOP_READING] = "stop_reading",
    [LAB_EXIT] = "exit",
};

enum lab_fault lab_fault_named(struct str word)
{
    for (enum lab_fault f = LAB_PAUSE_REDIS; f < LAB_FAULTS; f++)
        if (str_eq(word, str_of(fault_names[f])))
            return f;
    return LAB_NO_FAULT;
}

/* ---- telling ---- */

void lab_state(const struct lab *l, struct buf **json)
{
    const struct feed *f = &l->config.log->feed;
    uint64_t now = now_ms();
    buf_printf(json, "{\"name\":\"%s\",\"role\":\"%s\",\"version\":\"%s\",\"boot\":\"%s\"",
               l->config.name, l->config.role, CHAT_VERSION, l->config.log->boot);
    buf_add_str(json, STR(",\"redis\":"));
    json_add_bytes(json, str_of(log_link_status(l->config.log)));
    buf_printf(json,
               ",\"connects\":%" PRIu64 ",\"live\":%s,\"position\":%" PRIu64
               ",\"fault\":\"%s\",\"fault_ms\":%" PRIu64,
               l->config.log->connects,
               f->state == FEED_LIVE || (f->pull && f->reached) ? "true" : "false", f->position,
               fault_names[l->fault],
               l->fault && l->fault_end_ms > now ? l->fault_end_ms - now : 0);
    l->describe(l->ctx, json);
    buf_add_char(json, '}');
}

void lab_replicas(const struct lab *l, struct buf **json)
{
    static const char *const facts[LOG_FACTS] = {"opening", "seq",  "lease",
                                                 "stored",  "base", "entries"};
    uint64_t now = now_ms();
    buf_printf(json, "{\"here\":\"%s\",\"board\":", l->config.name);
    json_add_bytes(json, str_of(redis_status(l->redis)));
    for (size_t i = 0; i < LOG_FACTS; i++)
        buf_printf(json, "%s\"%s\":%" PRIu64, i ? "," : ",\"log\":{", facts[i], l->log[i]);
    buf_add_str(json, STR("},\"replicas\":[{\"age_ms\":0,\"state\":"));
    lab_state(l, json);
    for (size_t i = 0; i < l->ntold; i++) {
        if (strcmp(l->told[i].name, l->config.name) == 0)
            continue;
        buf_printf(json, "},{\"age_ms\":%" PRIu64 ",\"state\":", now - l->told[i].told_ms);
        buf_add_str(json, str_of(l->told[i].state));
    }
    buf_add_str(json, STR("}]}"));
}

/* ---- what the others told ---- */

static void told_clear(struct lab *l)
{
    for (size_t i = 0; i < l->ntold; i++) {
        free(l->told[i].name);
        free(l->told[i].state);
    }
    l->ntold = 0;
}

/* {"name":"<name>",… */
static bool names_itself(struct str state, struct str name)
{
    const struct str head = STR("{\"name\":\"");
    return state.len > head.len + name.len && memcmp(state.p, head.p, head.len) == 0 &&
           memcmp(state.p + head.len, name.p, name.len) == 0 && state.p[head.len + name.len] == '"';
}

static void told_add(struct lab *l, const struct reply *at, uint64_t now)
{
    struct str name = reply_str(&at[0]), state = reply_str(&at[2]);
    uint64_t age_ms;
    size_t wrong;
    if (!room_name_valid(name) || !reply_u64(&at[1], &age_ms) || age_ms >= now ||
        !names_itself(state, name) || json_check(state, STATE_DEPTH, &wrong))
        return;
    l->told[l->ntold++] = (struct told){.name = mem_strndup(name.p, name.len),
                                        .state = mem_strndup(state.p, state.len),
                                        .told_ms = now - age_ms};
}

static void board_cb(void *arg, const struct reply *reply)
{
    struct lab *l = arg;
    l->asked = false;
    if (!reply || reply->type != REPLY_ARRAY || reply->n < LOG_FACTS)
        return;
    redis_proved(l->redis);
    told_clear(l);
    for (size_t i = 0; i < LOG_FACTS; i++)
        if (!reply_u64(&reply->at[i], &l->log[i]))
            l->log[i] = 0;
    for (size_t i = LOG_FACTS; i + 2 < reply->n && l->ntold < LAB_REPLICAS_MAX; i += 3)
        told_add(l, &reply->at[i], now_ms());
}

/* ---- faults ---- */

static void fault_over(struct lab *l)
{
    log_info("the lab's fault is over", "fault=%s", fault_names[l->fault]);
    evtimer_del(&l->end);
    redis_listen(l->config.log->redis, true);
    l->fault = LAB_NO_FAULT;
}

/* A link that came up since is read again. */
static void fault_look(struct lab *l)
{
    if (l->fault == LAB_STOP_READING && l->config.log->connects != l->fault_connects)
        fault_over(l);
}

static void fault_end_cb(evutil_socket_t fd, short what, void *arg)
{
    (void)fd, (void)what;
    struct lab *l = arg;
    if (l->fault == LAB_EXIT) {
        log_warn("the lab ends this process", "status=%d", EXIT_STATUS);
        _exit(EXIT_STATUS);
    }
    fault_over(l);
}

/* A new one takes the place of the one under way. */
static void fault_do(struct lab *l, enum lab_fault fault, unsigned seconds)
{
    unsigned ms = fault == LAB_EXIT || fault == LAB_DROP_REDIS ? EXIT_MS : seconds * 1000;
    struct redis *redis = l->config.log->redis;
    if (!redis || l->fault == LAB_EXIT)
        return;
    log_warn("the lab asks for a fault", "fault=%s seconds=%u", fault_names[fault], seconds);
    redis_listen(redis, fault != LAB_STOP_READING);
    if (fault == LAB_PAUSE_REDIS)
        redis_pause(redis, ms, "paused by the lab");
    else if (fault == LAB_DROP_REDIS)
        redis_pause(redis, 0, "dropped by the lab");
    l->fault = fault;
    l->fault_connects = l->config.log->connects;
    l->fault_end_ms = now_ms() + ms;
    event_add(&l->end, &(struct timeval){ms / 1000, (suseconds_t)(ms % 1000 * 1000)});
}

/* `name fault seconds`, on the channel. */
static void fault_heard(void *ctx, size_t channel, struct str payload)
{
    struct lab *l = ctx;
    struct str words[2];
    uint64_t seconds;
    (void)channel;
    for (size_t i = 0; i < 2; i++) {
        const char *end = payload.len ? memchr(payload.p, ' ', payload.len) : NULL;
        if (!end)
            return;
        words[i] = (struct str){payload.p, (size_t)(end - payload.p)};
        payload = (struct str){end + 1, payload.len - words[i].len - 1};
    }
    enum lab_fault fault = lab_fault_named(words[1]);
    if (str_eq(words[0], str_of(l->config.name)) && fault && digits_read(payload, &seconds) &&
        seconds && seconds <= LAB_FAULT_S_MAX)
        fault_do(l, fault, (unsigned)seconds);
}

/* Nothing hangs on it: the board shows whether it was heard. */
static void sent_cb(void *arg, const struct reply *reply)
{
    (void)arg, (void)reply;
}

enum lab_sent lab_fault_send(struct lab *l, struct str name, enum lab_fault fault, unsigned seconds)
{
    struct buf *payload = NULL;
    bool known = false;
    if (str_eq(name, str_of(l->config.name))) {
        fault_do(l, fault, seconds);
        return LAB_DONE;
    }
    for (size_t i = 0; i < l->ntold; i++)
        known |= str_eq(name, str_of(l->told[i].name));
    if (!known)
        return LAB_UNKNOWN;
    buf_add_str(&payload, name);
    buf_printf(&payload, " %s %u", fault_names[fault], seconds);
    const struct str words[] = {str_of(l->key), str_of(l->names.state), str_of(l->names.log),
                                STR("fault"),   str_of(l->key),         buf_str(payload)};
    bool sent =
        redis_eval(l->redis, REDIS_LAB, 3, words, sizeof words / sizeof *words, sent_cb, NULL);
    buf_free(&payload);
    return sent ? LAB_SENT : LAB_DISCONNECTED;
}

/* ---- life ---- */

static void tick_cb(evutil_socket_t fd, short what, void *arg)
{
    (void)fd, (void)what;
    struct lab *l = arg;
    struct buf *state = NULL;
    char forget_ms[12];
    fault_look(l);
    if (l->asked)
        return;
    lab_state(l, &state);
    snprintf(forget_ms, sizeof forget_ms, "%d", LAB_FORGET_MS);
    const struct str words[] = {str_of(l->key),   str_of(l->names.state), str_of(l->names.log),
                                STR("tell"),      str_of(l->config.name), buf_str(state),
                                str_of(forget_ms)};
    l->asked = redis_eval(l->redis, REDIS_LAB, 3, words, sizeof words / sizeof *words, board_cb, l);
    buf_free(&state);
}

static void board_up(void *ctx)
{
    tick_cb(-1, 0, ctx);
}

static void board_down(void *ctx, const char *why)
{
    (void)ctx, (void)why; /* what was told last stays, and grows old */
}

static const struct redis_ops redis_ops = {
    .up = board_up, .down = board_down, .message = fault_heard};

struct lab *lab_new(struct event_base *base, struct evdns_base *dns,
                    const struct lab_config *config, lab_describe_fn describe, void *ctx)
{
    struct lab *l = mem_zalloc(sizeof *l);
    l->config = *config;
    l->describe = describe;
    l->ctx = ctx;
    log_names_init(&l->names, config->prefix, config->log->boot);
    snprintf(l->key, sizeof l->key, "{%s}:lab", config->prefix);
    l->channel = l->key;
    l->redis_config = (struct redis_config){.purpose = "lab",
                                            .url = config->log->config.url,
                                            .tls = config->log->config.tls,
                                            .channels = &l->channel,
                                            .nchannels = 1};
    event_assign(&l->tick, base, -1, EV_PERSIST, tick_cb, l);
    evtimer_assign(&l->end, base, fault_end_cb, l);
    event_add(&l->tick, &(struct timeval){.tv_usec = LAB_TELL_MS * 1000L});
    l->redis = redis_new(base, dns, &l->redis_config, &redis_ops, l);
    log_warn("the lab is on: who reaches /lab can break this program", "setting=LAB name=%s",
             config->name);
    return l;
}

void lab_free(struct lab *l)
{
    if (!l)
        return;
    struct event *events[] = {&l->tick, &l->end};
    for (size_t i = 0; i < sizeof events / sizeof *events; i++) {
        event_del(events[i]);
        event_debug_unassign(events[i]);
    }
    redis_free(l->redis);
    told_clear(l);
    log_names_done(&l->names);
    free(l);
}
