/* The libraries of a worker's Lua state, without what could block, break out or run without end:
 * no files, processes, debug, bytecode or finalizers, and no library function that works long
 * inside C where the time limit cannot see it. The read-only view that user code gets of all this
 * is lua/perigee/strict.lua. Worker thread. */
#pragma once

#include "core/settings.h"

#include <lua.h>

/* Opens the libraries as globals, with the built-in modules' require. Raises. */
void sandbox_open(lua_State *L);

/* Makes the loader of user programs (lua/perigee/loader.lua), which gives them a read-only view of
 * the module table on top of the stack as `perigee`, and replaces that by it. Raises. */
void sandbox_open_loader(lua_State *L, const struct settings *settings);
/* Runs config.lua (settings' source) by the loader on top of the stack, and replaces that by the
 * table it returned. Raises. */
void sandbox_run_config(lua_State *L, const struct settings *settings);
