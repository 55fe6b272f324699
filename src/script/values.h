/* Values of options between Lua and C, in the form that lua/perigee/value.lua makes: durations in
 * milliseconds, words as their number. What reads raises a Lua error when a value is of another
 * type. */
#pragma once

#include "core/settings.h"

#include <lua.h>

/* Borrowed from the stack. */
struct str values_str(lua_State *L, int index);
/* From the table of values on top of the stack, by path; strings are copied. */
void values_fill(lua_State *L, void *base, const struct setting_field *fields, size_t count);
/* The options of a row and its permissions: { values =, rules = { allow =, why = } } is on top. */
void values_fill_ns(lua_State *L, struct ns *ns);
/* The list of reasons, which `why` points into, is on top. */
void values_fill_reasons(lua_State *L, struct settings_reasons *reasons);
/* Pushes a table of values. */
void values_push_channel(lua_State *L, const struct channel_options *options);
