/* perigee.core, the mechanics behind the API commands (lua/perigee/api): functions that publish,
 * read and order, and wait for the answer. They check nothing that is a decision; the commands do.
 * Results come as plain values, or as strings of JSON where they are lists; failure is nil and an
 * error code, and maybe a message. Worker thread. */
#pragma once

#include <lua.h>

/* Pushes the module's table; a new one, once per state. */
void bind_core_push(lua_State *L);
/* Its parts, each a file: they add functions to the table on top of the stack. */
void bind_publish_open(lua_State *L);
void bind_read_open(lua_State *L);
void bind_order_open(lua_State *L);
