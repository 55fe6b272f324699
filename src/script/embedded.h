/* What is compiled into the binary: our Lua modules ("perigee.schema") and the files of the web
 * pages ("web/index.html"). Constant; any thread. */
#pragma once

#include "base/str.h"

#include <lua.h>

struct embedded_file {
    const char *name;
    const char *data;
    size_t len;
};

extern const struct embedded_file embedded_files[]; /* sorted by name */
extern const size_t embedded_count;

const struct embedded_file *embedded_find(struct str name); /* NULL: there is none */

/* A lua_CFunction, require for our own modules: takes a name, gives what the module returned, and
 * keeps it in the registry's table of loaded modules. */
int embedded_require(lua_State *L);
/* Pushes such a module, or a field of it. */
void embedded_push(lua_State *L, const char *module, const char *field);
