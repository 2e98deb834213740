/* SPDX-License-Identifier: MIT */
/*
 * From two connections to a link that serves. Nothing is sent before both are connected; then each
 * step is pipelined, and the next one begins when every reply of it has come:
 *
 *      both            AUTH, SELECT (as the URL says), INFO
 *      commands        in a Redis Cluster: HMGET of the log's state (redis_locate.c)
 *      commands        SCRIPT LOAD of each script
 *      subscription    SUBSCRIBE to all channels
 */
#include <event2/event.h>
#include <stdio.h>
#include <stdlib.h>

#include "common/log.h"
#include "common/redis_internal.h"
#include "common/script.h"

static void say(struct redis *r, enum side_name side, const struct str *words, size_t nwords,
                wire_reply_cb cb, void *arg)
{
    r->awaited++;
    wire_command(r->sides[side].wire, words, nwords, cb, arg);
}

/* Is it a reply that the greeting goes on with? */
static bool greeting_good(struct redis *r, const struct reply *reply)
{
    if (!reply) /* it is being closed */
        return false;
    if (reply->type == REPLY_ERROR)
        link_fail(r, reply->str);
    return reply->type != REPLY_ERROR;
}

static void greeted_cb(void *arg, const struct reply *reply)
{
    struct side *side = arg;
    if (greeting_good(side->redis, reply))
        link_step(side->redis);
}

static void info_cb(void *arg, const struct reply *reply)
{
    struct side *side = arg;
    char why[WHY_BYTES];
    if (!greeting_good(side->redis, reply))
        return;
    redis_info_read(&side->info, reply_str(reply));
    if (redis_info_refused(&side->info, why, sizeof why))
        link_fail(side->redis, str_of(why));
    else
        link_step(side->redis);
}

static void greet(struct redis *r, enum side_name name)
{
    struct side *side = &r->sides[name];
    const struct str user = str_of(r->url.user), password = str_of(r->url.password);
    if (user.len)
        say(r, name, (struct str[]){STR("AUTH"), user, password}, 3, greeted_cb, side);
    else if (password.len)
        say(r, name, (struct str[]){STR("AUTH"), password}, 2, greeted_cb, side);
    if (r->url.db) {
        char db[16];
        snprintf(db, sizeof db, "%u", r->url.db);
        say(r, name, (struct str[]){STR("SELECT"), str_of(db)}, 2, greeted_cb, side);
    }
    say(r, name, (struct str[]){STR("INFO")}, 1, info_cb, side);
}

static void loaded_cb(void *arg, const struct reply *reply)
{
    struct script_slot *slot = arg;
    struct redis *r = slot->redis;
    if (!greeting_good(r, reply))
        return;
    struct str sha = reply_str(reply);
    if (sha.len != SHA1_HEX) {
        link_fail(r, STR("SCRIPT LOAD was not answered by a SHA1"));
        return;
    }
    memcpy(slot->sha, sha.p, SHA1_HEX);
    slot->loading = false;
    if (r->state == LINK_LOADING)
        link_step(r);
}

void link_load_script(struct redis *r, enum redis_script script)
{
    static const char *const texts[] = {
        [REDIS_PUBLISH] = script_publish, [REDIS_PAGE] = script_page, [REDIS_BEAT] = script_beat,
        [REDIS_OPEN] = script_open,       [REDIS_LAB] = script_lab,
    };
    const struct str words[] = {STR("SCRIPT"), STR("LOAD"), str_of(texts[script])};
    wire_command(r->sides[COMMANDS].wire, words, 3, loaded_cb, &r->scripts[script]);
}

static void scripts_load(struct redis *r)
{
    r->state = LINK_LOADING;
    r->awaited = REDIS_SCRIPTS;
    for (enum redis_script i = 0; i < REDIS_SCRIPTS; i++)
        link_load_script(r, i);
}

static void link_up(struct redis *r)
{
    r->state = LINK_UP;
    evtimer_del(&r->timer);
    r->why[0] = r->logged_why[0] = r->drop_why[0] = 0;
    log_info("redis up", "for=%s address=%s version=%s", r->config->purpose, r->address,
             r->sides[COMMANDS].info.version);
    r->ops->up(r->ctx);
}

void link_step(struct redis *r)
{
    if (--r->awaited)
        return;
    switch (r->state) {
    case LINK_CONNECTING:
        r->state = LINK_GREETING;
        greet(r, COMMANDS);
        greet(r, SUBSCRIPTION);
        break;
    case LINK_GREETING:
        if (!redis_info_same(&r->sides[COMMANDS].info, &r->sides[SUBSCRIPTION].info))
            link_fail(r, STR("the two connections lead to different servers"));
        else if (r->config->key && redis_info_is_cluster(&r->sides[COMMANDS].info))
            link_locate(r);
        else
            scripts_load(r);
        break;
    case LINK_LOCATING:
        scripts_load(r);
        break;
    case LINK_LOADING:
        r->state = LINK_SUBSCRIBING;
        r->awaited = r->config->nchannels;
        wire_subscribe(r->sides[SUBSCRIPTION].wire, r->config->channels, r->config->nchannels);
        break;
    case LINK_SUBSCRIBING:
        link_up(r);
        break;
    case LINK_WAITING:
    case LINK_ASKING:
    case LINK_RESOLVING:
    case LINK_UP:
    default:
        abort();
    }
}
