/* perigee.jwt: tokens made and checked in Lua, by codec/jwt.h. Needs nothing but the state. */
#pragma once

#include <lua.h>

/* Pushes the table perigee.jwt: sign, verify. Once per state, after lua_json_open. */
void lua_jwt_open(lua_State *L);
