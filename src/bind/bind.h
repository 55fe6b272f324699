/* What Lua sees of the server, put together: the helpers (script/module.h), the server calls
 * (bind_api.h) and the view of a client (bind_client.h). Worker thread. */
#pragma once

#include "core/core.h"
#include "script/script.h"

/* Fills the `perigee` table on top of L's stack: a script_open_fn. */
void bind_open(struct script *s, lua_State *L);
/* Runs the start hook, when everything of the worker is there but the listener. */
void bind_start(struct core *core);
/* Runs the reload hook, in the new state, which has replaced old. */
void bind_reload(struct core *core, const struct script *old);
/* Runs the stop hook; what it waits for is cut short. */
void bind_stop(struct core *core);
