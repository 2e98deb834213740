/* SPDX-License-Identifier: MIT */
/* cmsgpack.pack and cmsgpack.unpack as Redis gives them to scripts, for one value each: numbers,
 * strings, booleans, nil, and tables that are arrays. */
#ifndef TESTS_SIM_MSGPACK_H
#define TESTS_SIM_MSGPACK_H

struct lua_State;

int msgpack_pack(struct lua_State *l);
int msgpack_unpack(struct lua_State *l);

#endif
