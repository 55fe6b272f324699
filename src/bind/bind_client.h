/* A client as Lua sees it: a view whose pointer is cleared when the client closes, so that code
 * which waited meanwhile cannot reach it. Worker thread. */
#pragma once

#include <lua.h>

/* Makes the views' metatable in a new state. Raises. */
void bind_client_open(lua_State *L);
/* Pushes the view of a struct client, the same one while Lua holds it: a hook_push_client_fn. */
void bind_client_push(lua_State *L, void *client);
