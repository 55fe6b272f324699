/* JSON ↔ Lua values, in C. Integers stay 64-bit integers, an empty array stays an array (arrays
 * carry a metatable), null is a value of its own, and a raw value is JSON text that is encoded byte
 * for byte as it is. One state's thread. */
#pragma once

#include "base/err.h"
#include "base/str.h"

#include <lua.h>

/* Pushes the value of a JSON text; ERR_SYNTAX pushes nothing. May raise when memory is limited. */
enum err lua_json_push(lua_State *L, struct str json) NODISCARD;

/* Appends the value at idx; never raises and runs no metamethod. ERR_SYNTAX: it has no JSON form,
 * and *why (may be NULL) says which part; ERR_LIMIT: too deep or out is full. On errors out is as
 * long as it was. */
enum err lua_json_encode(lua_State *L, int idx, struct buf *out, const char **why) NODISCARD;

/* Pushes the table perigee.json: encode, decode, array, raw, null. Once per state, before the
 * above. */
void lua_json_open(lua_State *L);
