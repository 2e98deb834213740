/* SPDX-License-Identifier: MIT */
/*
 * The log's real scripts in a real Lua 5.1, with what Redis gives them: KEYS, ARGV, redis.call,
 * redis.error_reply, cmsgpack. As in Redis an error of a command ends the script, and what it has
 * written before stays.
 */
#include <lauxlib.h>
#include <lua.h>
#include <lualib.h>
#include <stdio.h>
#include <stdlib.h>

#include "common/mem.h"
#include "common/script.h"
#include "msgpack.h"
#include "server.h"

enum {
    CALL_ARGS_MAX = 64,
};

static lua_State *lua;
static int refs[REDIS_SCRIPTS];
static struct server *running; /* on which a script runs */
static bool dirty;             /* it has written */

/* ---- from Redis to Lua ---- */

static void push(lua_State *l, const struct reply *r)
{
    switch (r->type) {
    case REPLY_NIL:
        lua_pushboolean(l, 0);
        break;
    case REPLY_STRING:
        lua_pushlstring(l, r->str.p, r->str.len);
        break;
    case REPLY_INTEGER:
        lua_pushnumber(l, (lua_Number)r->integer);
        break;
    case REPLY_ARRAY:
        luaL_checkstack(l, 4, "reply");
        lua_createtable(l, (int)r->n, 0);
        for (size_t i = 0; i < r->n; i++) {
            push(l, &r->at[i]);
            lua_rawseti(l, -2, (int)i + 1);
        }
        break;
    case REPLY_ERROR:
        lua_createtable(l, 0, 1);
        lua_pushlstring(l, r->str.p, r->str.len);
        lua_setfield(l, -2, "err");
        break;
    }
}

/* Numbers go as Redis 7 writes them: 17 digits. */
static struct str argument(lua_State *l, int i)
{
    struct str s;
    if (lua_type(l, i) == LUA_TNUMBER)
        return arena_printf("%.17g", lua_tonumber(l, i));
    s.p = lua_tolstring(l, i, &s.len);
    return s;
}

static int redis_call(lua_State *l)
{
    struct str argv[CALL_ARGS_MAX];
    int n = lua_gettop(l);
    if (n < 1 || n > CALL_ARGS_MAX)
        return luaL_error(l, "ERR wrong number of arguments in a script's command");
    for (int i = 1; i <= n; i++) {
        if (!lua_isstring(l, i))
            return luaL_error(l, "ERR Lua redis lib command arguments must be strings or integers");
        argv[i - 1] = argument(l, i);
    }
    struct reply r = server_call(running, argv, (size_t)n, &dirty);
    push(l, &r);
    return r.type == REPLY_ERROR ? lua_error(l) : 1;
}

static int redis_error_reply(lua_State *l)
{
    lua_createtable(l, 0, 1);
    lua_pushvalue(l, 1);
    lua_setfield(l, -2, "err");
    return 1;
}

/* ---- from Lua to Redis ---- */

static struct reply reply_of(lua_State *l)
{
    struct reply r = {.type = REPLY_NIL};
    struct str s;
    switch (lua_type(l, -1)) {
    case LUA_TSTRING:
        s.p = lua_tolstring(l, -1, &s.len);
        return (struct reply){.type = REPLY_STRING, .str = arena_str(s)};
    case LUA_TNUMBER:
        return (struct reply){.type = REPLY_INTEGER, .integer = (int64_t)lua_tonumber(l, -1)};
    case LUA_TBOOLEAN:
        if (lua_toboolean(l, -1))
            r = (struct reply){.type = REPLY_INTEGER, .integer = 1};
        return r;
    case LUA_TTABLE:
        lua_getfield(l, -1, "err");
        if (lua_isstring(l, -1)) {
            s.p = lua_tolstring(l, -1, &s.len);
            r = (struct reply){.type = REPLY_ERROR, .str = arena_str(s)};
            lua_pop(l, 1);
            return r;
        }
        lua_pop(l, 1);
        break;
    default:
        return r;
    }
    size_t n = lua_objlen(l, -1);
    struct reply *at = arena_alloc((n + 1) * sizeof *at);
    luaL_checkstack(l, 4, "reply");
    for (r.n = 0; r.n < n; r.n++) {
        lua_rawgeti(l, -1, (int)r.n + 1);
        bool end = lua_isnil(l, -1);
        if (!end)
            at[r.n] = reply_of(l);
        lua_pop(l, 1);
        if (end)
            break;
    }
    r.type = REPLY_ARRAY;
    r.at = at;
    return r;
}

static void set_words(const char *name, const struct str *words, size_t n)
{
    lua_createtable(lua, (int)n, 0);
    for (size_t i = 0; i < n; i++) {
        lua_pushlstring(lua, words[i].len ? words[i].p : "", words[i].len);
        lua_rawseti(lua, -2, (int)i + 1);
    }
    lua_setglobal(lua, name);
}

struct reply scripts_run(struct server *s, enum redis_script script, const struct str *keys,
                         size_t nkeys, const struct str *args, size_t nargs)
{
    running = s;
    dirty = false;
    set_words("KEYS", keys, nkeys);
    set_words("ARGV", args, nargs);
    lua_rawgeti(lua, LUA_REGISTRYINDEX, refs[script]);
    bool failed = lua_pcall(lua, 0, 1, 0) != 0;
    struct reply r = reply_of(lua);
    if (failed && r.type == REPLY_STRING) /* a mistake in the script itself */
        r.type = REPLY_ERROR;
    lua_settop(lua, 0);
    return r;
}

/* ---- life ---- */

static bool compile(enum redis_script script, const char *folder, const char *name,
                    const char *text)
{
    char path[512];
    snprintf(path, sizeof path, "%s/%s.lua", folder ? folder : "", name);
    int bad = folder ? luaL_loadfile(lua, path) : luaL_loadbuffer(lua, text, strlen(text), name);
    if (bad) {
        fprintf(stderr, "sim: %s\n", lua_tostring(lua, -1));
        return false;
    }
    refs[script] = luaL_ref(lua, LUA_REGISTRYINDEX);
    return true;
}

bool scripts_begin(const char *folder)
{
    static const luaL_Reg redis[] = {
        {"call", redis_call}, {"error_reply", redis_error_reply}, {NULL, NULL}};
    static const luaL_Reg cmsgpack[] = {
        {"pack", msgpack_pack}, {"unpack", msgpack_unpack}, {NULL, NULL}};
    lua = luaL_newstate();
    if (!lua)
        return false;
    luaL_openlibs(lua);
    lua_gc(lua, LUA_GCSETPAUSE, 1000);
    luaL_register(lua, "redis", redis);
    luaL_register(lua, "cmsgpack", cmsgpack);
    lua_settop(lua, 0);
    return compile(REDIS_PUBLISH, folder, "publish", script_publish) &&
           compile(REDIS_PAGE, folder, "page", script_page) &&
           compile(REDIS_BEAT, folder, "beat", script_beat) &&
           compile(REDIS_OPEN, folder, "open", script_open);
}

void scripts_end(void)
{
    lua_close(lua);
}
