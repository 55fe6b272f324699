/* config.lua, the environment and --set → struct settings. Runs in a Lua state of its own that is
 * gone when it returns; any thread, one at a time per request. */
#pragma once

#include "base/err.h"
#include "base/str.h"
#include "core/remote.h"
#include "core/settings.h"

#include <lua.h>

struct config_request {
    const char *path;            /* config.lua; NULL: defaults only */
    const char *const *defaults; /* "key=value", weaker than the file; ends with NULL, or NULL */
    const char *const *env;      /* "NAME=value", such as environ; ends with NULL, or NULL */
    const char *const *set;      /* "key=value" of --set; ends with NULL, or NULL */
    const struct remote *watch;  /* what it has is taken, if it is for the same config_source; else
                                  * the source is asked, and waited for; may be NULL */
    /* On success, unless NULL: what is allowed, but weak or without effect, one line each; and
     * where each option stands that was given, "path\tplace\n". */
    struct buf *warnings, *places;
};

/* ERR_CONFIG: everything that is wrong is in problems, one line each, with a newline. Secrets are
 * never among them. On success out has one reference, source and path filled in. */
enum err config_load(const struct config_request *req, struct settings **out,
                     struct buf *problems) NODISCARD;

/* Where else options are kept; type REMOTE_NONE: nowhere. Borrows from s. */
void config_source(const struct settings *s, struct remote_options *out);

/* Appends a whole file; ERR_IO with errno set, ERR_LIMIT when it does not fit. */
enum err config_read_file(const char *path, struct buf *out) NODISCARD;
/* The same for Lua, a lua_CFunction: path → text, or nil and why not. */
int config_read(lua_State *L);
