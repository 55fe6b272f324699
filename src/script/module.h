/* The helpers of the `perigee` module that need nothing but the state, and so are there while main
 * reads config.lua, too: error, disconnect_code, json, jwt, log, now, env, version, uuid, hmac,
 * sha256, base64. sleep, after and every are timing.c's, the rest comes from src/bind. */
#pragma once

#include <lua.h>

/* Adds them to the table on top of the stack. */
void module_open(lua_State *L);
