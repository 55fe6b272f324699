/* perigee.http: requests to other servers that a hook waits for. Worker thread. */
#pragma once

#include <lua.h>

/* Adds `http` to the module table on top of the stack. */
void bind_http_open(lua_State *L);
