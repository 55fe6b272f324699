/* perigee.dict: the stores that all workers share (core/dict.h). Nothing here waits. */
#pragma once

#include "core/dict.h"

#include <lua.h>

/* Adds `dict` to the module table on top of the stack. all outlives the state; NULL: perigee.dict
 * raises. */
void bind_dict_open(lua_State *L, struct dicts *all);
