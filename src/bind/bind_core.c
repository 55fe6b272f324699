#include "bind/bind_core.h"

#include "api/spec.h"
#include "base/check.h"
#include "bind/bind_reply.h"
#include "codec/json.h"
#include "script/channel_options.h"
#include "script/values.h"

#include <lauxlib.h>

static const char *const data_formats[] = {
    [CHANNEL_PUBLICATION_DATA_FORMAT_NONE] = "",
    [CHANNEL_PUBLICATION_DATA_FORMAT_JSON] = "json",
    [CHANNEL_PUBLICATION_DATA_FORMAT_JSON_OBJECT] = "json_object",
    [CHANNEL_PUBLICATION_DATA_FORMAT_BINARY] = "binary",
};

/* Registry keys: the tables of options, for as long as somebody has one; the metatable of rows. */
static const char options_key, row_key;

static int row_gc(lua_State *L)
{
    struct bind_row *row = lua_touserdata(L, 1);

    row->kind = NULL;
    ns_unref(row->ns);
    return 0;
}

static void push_row(lua_State *L, const struct ns *ns)
{
    struct bind_row *row = lua_newuserdatauv(L, sizeof *row, 0);

    *row = (struct bind_row){0};
    lua_rawgetp(L, LUA_REGISTRYINDEX, &row_key);
    lua_setmetatable(L, -2);
    *row = (struct bind_row){&bind_row_kind, ns_ref(ns)};
}

/* A channel's options as Lua sees them: flags and numbers by name (durations in milliseconds), and
 * the row in [1] for the functions that take such a table. */
static void push_options(lua_State *L, const struct ns *ns)
{
    int format = ns->opt.publication_data_format;

    lua_newtable(L);
    push_row(L, ns);
    lua_rawseti(L, -2, 1);
    for (size_t i = 0; i < settings_channel_fields_count; i++) {
        const struct setting_field *field = &settings_channel_fields[i];
        const void *member = (const char *)&ns->opt + field->offset;

        if (field->type == SETTING_BOOL)
            lua_pushboolean(L, *(const bool *)member);
        else if (field->type == SETTING_INT)
            lua_pushinteger(L, *(const int64_t *)member);
        else
            continue;
        lua_setfield(L, -2, field->path);
    }
    if (format == CHANNEL_PUBLICATION_DATA_FORMAT_NONE)
        format = ns->settings->channel_publication_data_format;
    CHECK(format >= 0 && format < (int)ARRAY_LEN(data_formats));
    lua_pushstring(L, data_formats[format]);
    lua_setfield(L, -2, "publication_data_format");
}

/* In the table of all: configured rows, which are few, by number, computed ones by address. */
static int get_made(lua_State *L, int index, const struct ns *ns)
{
    return ns->computed ? lua_rawgetp(L, index, ns) : lua_rawgeti(L, index, ns->index + 1);
}

/* Pushes the one table of a row. */
static void push_shared(lua_State *L, const struct ns *ns)
{
    lua_rawgetp(L, LUA_REGISTRYINDEX, &options_key);
    if (get_made(L, -1, ns) != LUA_TTABLE) {
        lua_pop(L, 1);
        push_options(L, ns);
        lua_pushvalue(L, -1);
        if (ns->computed) {
            lua_rawsetp(L, -3, ns);
        } else {
            lua_rawseti(L, -3, ns->index + 1);
            lua_pushvalue(L, -1);
            luaL_ref(L, LUA_REGISTRYINDEX); /* always wanted again */
        }
    }
    lua_remove(L, -2);
}

static int push_answer(lua_State *L, enum err err, const struct channel_parts *parts,
                       const struct hook_verdict *refused)
{
    switch (err) {
    case OK:
        push_shared(L, parts->ns);
        return 1;
    case ERR_NOT_FOUND:
        return bind_push_error(L, API_UNKNOWN_CHANNEL, STR_NONE);
    case ERR_DENIED:
        return bind_push_error(L, refused->code, refused->message);
    default: /* the name is too long */
        return bind_push_error(L, API_BAD_REQUEST, STR_NONE);
    }
}

static void on_options(void *arg, enum err err, const struct channel_parts *parts,
                       const struct hook_verdict *refused)
{
    struct script_wait *wait = arg;

    script_wake(wait, push_answer(script_wait_state(wait), err, parts, refused));
}

/* options(channel) → options; or nil, an error code and maybe a message. Waits where the hook
 * channel_options has to be asked. */
static int core_options(lua_State *L)
{
    struct script *s = script_of(L);
    const struct settings *settings = script_settings(s);
    struct str channel = values_str(L, 1);
    struct channel_parts parts;
    struct hook_verdict refused;
    enum err err = channel_options_find(s, settings, channel, &parts, &refused);
    struct script_wait *wait;

    /* nearly always it has been made, and stands in the table of all */
    if (err == OK && get_made(L, lua_upvalueindex(1), parts.ns) == LUA_TTABLE)
        return 1;
    if (err != ERR_BUSY)
        return push_answer(L, err, &parts, &refused);
    wait = script_wait_begin(L, "a server call");
    channel_options_get(s, settings, L, channel, on_options, wait);
    return script_wait_end(L, wait);
}

/* has_namespace(channel) */
static int core_has_namespace(lua_State *L)
{
    struct channel_parts parts;

    lua_pushboolean(L,
                    channel_resolve(script_settings(script_of(L)), values_str(L, 1), &parts) == OK);
    return 1;
}

static bool json_at(lua_State *L, struct api_raw *raw)
{
    return api_to_raw(L, 1, raw) && (raw->is_json || json_valid(raw->bytes));
}

static int core_is_json(lua_State *L)
{
    struct api_raw raw;

    lua_pushboolean(L, json_at(L, &raw));
    return 1;
}

static int core_is_json_object(lua_State *L)
{
    struct api_raw raw;

    lua_pushboolean(L, json_at(L, &raw) && json_type(raw.bytes) == JSON_OBJECT);
    return 1;
}

void bind_core_push(lua_State *L)
{
    static const luaL_Reg functions[] = {
        {"has_namespace", core_has_namespace},
        {"is_json", core_is_json},
        {"is_json_object", core_is_json_object},
        {NULL, NULL},
    };

    lua_createtable(L, 0, 1);
    lua_pushcfunction(L, row_gc);
    lua_setfield(L, -2, "__gc");
    lua_rawsetp(L, LUA_REGISTRYINDEX, &row_key);
    lua_newtable(L); /* a table goes before its row does, so a row that is new finds none */
    lua_createtable(L, 0, 1);
    lua_pushliteral(L, "v");
    lua_setfield(L, -2, "__mode");
    lua_setmetatable(L, -2);
    lua_pushvalue(L, -1);
    lua_rawsetp(L, LUA_REGISTRYINDEX, &options_key);
    luaL_newlib(L, functions);
    lua_insert(L, -2);
    lua_pushcclosure(L, core_options, 1);
    lua_setfield(L, -2, "options");
    bind_publish_open(L);
    bind_read_open(L);
    bind_order_open(L);
}
