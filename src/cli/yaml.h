/* YAML (libyaml) as Lua values: mappings and sequences as tables, plain scalars as null, booleans
 * and numbers where YAML 1.2 says so. Aliases and merge keys (<<) work; documents are bounded. */
#pragma once

#include "base/str.h"

#include <lua.h>

/* A lua_CFunction: text → value, or nil and what is wrong, with its line. */
int yaml_read(lua_State *L);
