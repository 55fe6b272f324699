/* The parameters and results of API commands, as their Lua modules declare them, and the way of
 * values between JSON bytes and a Lua stack. One walk over the bytes, no tree, no table: each
 * parameter becomes one positional argument. Those that few requests have can stand in `more`: one
 * further argument, a table of what is there of them, or nil.
 *
 * Raw parameters travel as handles (light userdata, struct api_raw) that Lua code only passes on,
 * so a payload is not copied before it is made a publication; behind the other door, where a Lua
 * program calls, they are strings of JSON. api_to_raw reads both. Worker thread. */
#pragma once

#include "base/arena.h"
#include "base/err.h"
#include "base/str.h"

#include <lua.h>

#define API_FIELDS_MAX 16

enum api_type {
    API_STRING, /* absent: "" */
    API_BOOL,   /* absent: false */
    API_INT,    /* absent: 0; so do the others */
    API_INT32,
    API_UINT, /* 64 bits in a Lua integer */
    API_UINT32,
    API_RAW,        /* any JSON value, null too; absent: nil */
    API_OBJECT,     /* raw, must be an object; absent: nil */
    API_STRING_MAP, /* raw, must be an object of strings; absent: nil */
    API_BASE64,     /* raw bytes; false: cannot be decoded; absent or "": nil */
    API_STRINGS,    /* a table; absent: an empty one */
    API_RECORD,     /* a table of further fields; absent: nil */
};

struct api_spec;

struct api_field {
    struct str name; /* owned */
    enum api_type type;
    bool always;             /* results: written even when zero ("!" behind the type) */
    struct api_spec *record; /* with API_RECORD; owned */
};

struct api_spec {
    struct api_field fields[API_FIELDS_MAX];
    size_t count;
    size_t positional; /* arguments of their own; the others are in `more` */
};

/* How many arguments a command gets. */
static inline size_t api_spec_args(const struct api_spec *spec)
{
    return spec->positional + (spec->count > spec->positional);
}

/* A raw parameter. Lives in struct api_args. */
struct api_raw {
    struct str bytes;
    bool is_json; /* known to be one valid JSON value */
};

/* What a call's arguments point to. Never freed while a Lua state lives, only emptied, so that a
 * handle that was kept too long reads as empty instead of reaching freed memory. */
struct api_args {
    struct arena arena;
    struct api_raw raws[API_FIELDS_MAX];
    size_t raw_count;
};
void api_args_reset(struct api_args *args);

/* Compiles the table { { "name", "type" }, …, more = { … } } at index; raises a Lua error when it
 * is wrong. */
void api_spec_load(lua_State *L, int index, struct api_spec *out);
void api_spec_deinit(struct api_spec *spec);

/* Takes a text that holds one object (or null) and pushes its arguments. ERR_SYNTAX: it does not,
 * or a field is of the wrong type; nothing is pushed then. */
enum err api_decode(const struct api_spec *spec, struct str text, struct api_args *args,
                    lua_State *L) NODISCARD;

/* Parameters that were checked, for a command that runs later. */
struct api_given {
    uint32_t present;   /* a bit for each field that is there */
    struct str *values; /* theirs, in that order; parts of the text */
};
/* Takes an object (or null) from the front of rest, as api_decode would; values lies in a. */
enum err api_take(const struct api_spec *spec, struct str *rest, struct arena *a,
                  struct api_given *out) NODISCARD;
/* Pushes the arguments, as api_decode does. */
void api_push_given(const struct api_spec *spec, const struct api_given *given,
                    struct api_args *args, lua_State *L);
/* The text of one value; empty when there is none. */
struct str api_given_value(const struct api_spec *spec, const struct api_given *given,
                           struct str name);

/* The values from stack index first on as a JSON object. ERR_SCRIPT: one is of the wrong type. */
enum err api_encode(const struct api_spec *spec, lua_State *L, int first, int count,
                    struct buf *out) NODISCARD;

/* The Lua door: pushes the arguments taken from the table at index, or fills a new table with
 * results. Both raise Lua errors; name is for their text. */
void api_from_table(const struct api_spec *spec, lua_State *L, int index, const char *name);
void api_to_table(const struct api_spec *spec, lua_State *L, int first, int count);

/* An empty buffer of the state, for one conversion: an error that Lua raises leaks nothing. */
struct buf *api_scratch(lua_State *L);

/* What an argument is when it is absent. */
void api_push_absent(lua_State *L, enum api_type type);

/* The bytes of a raw argument; false: it is nil or false. */
bool api_to_raw(lua_State *L, int index, struct api_raw *out);
