/* The server calls of the perigee module. Worker thread. */
#pragma once

#include "script/script.h"

/* Adds them to the module's table on top of L's stack, and loads the API's command modules into
 * the state. Raises. */
void bind_api_open(struct script *s, lua_State *L);
