/* SPDX-License-Identifier: MIT */
/* See msgpack.h. The shortest form of each value is written, as lua-cmsgpack does, so that a record
 * is the same bytes as in a real Redis; what is read may have any form of these types. */
#include "msgpack.h"

#include <endian.h>
#include <lauxlib.h>
#include <lua.h>
#include <math.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#include "common/buf.h"

enum {
    DEPTH_MAX = 16
};

/* A tag and the low `bytes` of n, big end first. */
static void put(struct buf **b, unsigned tag, uint64_t n, size_t bytes)
{
    uint64_t big = htobe64(n);
    buf_add_char(b, (char)tag);
    buf_add(b, (char *)&big + 8 - bytes, bytes);
}

static void put_unsigned(struct buf **b, uint64_t n)
{
    if (n < 128)
        buf_add_char(b, (char)n);
    else if (n <= UINT8_MAX)
        put(b, 0xcc, n, 1);
    else if (n <= UINT16_MAX)
        put(b, 0xcd, n, 2);
    else if (n <= UINT32_MAX)
        put(b, 0xce, n, 4);
    else
        put(b, 0xcf, n, 8);
}

static void put_signed(struct buf **b, int64_t n)
{
    if (n >= -32)
        buf_add_char(b, (char)n);
    else if (n >= INT8_MIN)
        put(b, 0xd0, (uint64_t)n, 1);
    else if (n >= INT16_MIN)
        put(b, 0xd1, (uint64_t)n, 2);
    else if (n >= INT32_MIN)
        put(b, 0xd2, (uint64_t)n, 4);
    else
        put(b, 0xd3, (uint64_t)n, 8);
}

static void put_number(struct buf **b, double d)
{
    if (floor(d) == d && fabs(d) < 9e15) {
        if (d >= 0)
            put_unsigned(b, (uint64_t)d);
        else
            put_signed(b, (int64_t)d);
        return;
    }
    uint64_t bits;
    memcpy(&bits, &d, sizeof bits);
    put(b, 0xcb, bits, 8);
}

static void put_string(struct buf **b, struct str s)
{
    if (s.len < 32)
        buf_add_char(b, (char)(0xa0 | s.len));
    else if (s.len <= UINT8_MAX)
        put(b, 0xd9, s.len, 1);
    else if (s.len <= UINT16_MAX)
        put(b, 0xda, s.len, 2);
    else
        put(b, 0xdb, s.len, 4);
    buf_add_str(b, s);
}

/* The value at the top of the stack. False when it is of another kind, or nested too deep. */
static bool put_value(lua_State *l, struct buf **b, int depth)
{
    struct str s;
    switch (lua_type(l, -1)) {
    case LUA_TNIL:
        buf_add_char(b, (char)0xc0);
        return true;
    case LUA_TBOOLEAN:
        buf_add_char(b, (char)(lua_toboolean(l, -1) ? 0xc3 : 0xc2));
        return true;
    case LUA_TNUMBER:
        put_number(b, lua_tonumber(l, -1));
        return true;
    case LUA_TSTRING:
        s.p = lua_tolstring(l, -1, &s.len);
        put_string(b, s);
        return true;
    case LUA_TTABLE: {
        size_t n = lua_objlen(l, -1);
        bool good = depth < DEPTH_MAX;
        if (n < 16)
            buf_add_char(b, (char)(0x90 | n));
        else
            put(b, n <= UINT16_MAX ? 0xdc : 0xdd, n, n <= UINT16_MAX ? 2 : 4);
        for (size_t i = 1; good && i <= n; i++) {
            lua_rawgeti(l, -1, (int)i);
            good = put_value(l, b, depth + 1);
            lua_pop(l, 1);
        }
        return good;
    }
    default:
        return false;
    }
}

int msgpack_pack(lua_State *l)
{
    struct buf *b = NULL;
    lua_settop(l, 1);
    bool good = put_value(l, &b, 0);
    lua_pushlstring(l, buf_str(b).p, buf_len(b));
    buf_free(&b);
    return good ? 1 : luaL_error(l, "cmsgpack: a value of this kind is not packed");
}

static bool take(struct str *s, size_t n, const char **at)
{
    if (n > s->len)
        return false;
    *at = s->p;
    s->p += n;
    s->len -= n;
    return true;
}

static bool take_number(struct str *s, size_t bytes, uint64_t *n)
{
    const char *at;
    uint64_t big = 0;
    if (!take(s, bytes, &at))
        return false;
    memcpy((char *)&big + 8 - bytes, at, bytes);
    *n = be64toh(big);
    return true;
}

static bool take_value(lua_State *l, struct str *s, int depth);

static bool take_string(lua_State *l, struct str *s, size_t len)
{
    const char *at;
    if (!take(s, len, &at))
        return false;
    lua_pushlstring(l, at, len);
    return true;
}

static bool take_array(lua_State *l, struct str *s, size_t n, int depth)
{
    if (depth >= DEPTH_MAX || n > s->len)
        return false;
    luaL_checkstack(l, 4, "cmsgpack");
    lua_createtable(l, (int)n, 0);
    for (size_t i = 1; i <= n; i++) {
        if (!take_value(l, s, depth + 1))
            return false;
        lua_rawseti(l, -2, (int)i);
    }
    return true;
}

/* Values whose tag is followed by a number. */
static bool take_tagged(lua_State *l, struct str *s, unsigned tag, int depth)
{
    static const uint8_t bytes[] = {[0xcb - 0xc0] = 8, [0xcc - 0xc0] = 1, [0xcd - 0xc0] = 2,
                                    [0xce - 0xc0] = 4, [0xcf - 0xc0] = 8, [0xd0 - 0xc0] = 1,
                                    [0xd1 - 0xc0] = 2, [0xd2 - 0xc0] = 4, [0xd3 - 0xc0] = 8,
                                    [0xd9 - 0xc0] = 1, [0xda - 0xc0] = 2, [0xdb - 0xc0] = 4,
                                    [0xdc - 0xc0] = 2, [0xdd - 0xc0] = 4};
    uint64_t n = 0;
    size_t width = tag - 0xc0 < sizeof bytes ? bytes[tag - 0xc0] : 0;
    double d;
    if (!width || !take_number(s, width, &n))
        return false;
    if (tag >= 0xdc)
        return take_array(l, s, n, depth);
    if (tag >= 0xd9)
        return take_string(l, s, n);
    if (tag == 0xcb)
        memcpy(&d, &n, sizeof d);
    else if (tag >= 0xd0)
        d = (double)((int64_t)(n << (64 - 8 * width)) >> (64 - 8 * width));
    else
        d = (double)n;
    lua_pushnumber(l, d);
    return true;
}

static bool take_value(lua_State *l, struct str *s, int depth)
{
    const char *at;
    if (!take(s, 1, &at))
        return false;
    unsigned tag = (unsigned char)*at;
    if (tag < 0x80 || tag >= 0xe0)
        lua_pushnumber(l, (signed char)tag);
    else if (tag >= 0xa0 && tag < 0xc0)
        return take_string(l, s, tag & 31);
    else if (tag >= 0x90 && tag < 0xa0)
        return take_array(l, s, tag & 15, depth);
    else if (tag == 0xc0)
        lua_pushnil(l);
    else if (tag == 0xc2 || tag == 0xc3)
        lua_pushboolean(l, tag == 0xc3);
    else
        return take_tagged(l, s, tag, depth);
    return true;
}

int msgpack_unpack(lua_State *l)
{
    struct str s;
    s.p = luaL_checklstring(l, 1, &s.len);
    if (!take_value(l, &s, 0) || s.len)
        return luaL_error(l, "cmsgpack: these bytes are not one packed value");
    return 1;
}
