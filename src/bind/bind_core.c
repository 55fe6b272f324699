#include "bind/bind_core.h"

#include "api/spec.h"
#include "base/check.h"
#include "codec/json.h"
#include "core/channel.h"
#include "script/script.h"

#include <lauxlib.h>

static const char *const data_formats[] = {
    [CHANNEL_PUBLICATION_DATA_FORMAT_NONE] = "",
    [CHANNEL_PUBLICATION_DATA_FORMAT_JSON] = "json",
    [CHANNEL_PUBLICATION_DATA_FORMAT_JSON_OBJECT] = "json_object",
    [CHANNEL_PUBLICATION_DATA_FORMAT_BINARY] = "binary",
};

/* A namespace's options as Lua sees them: flags and numbers by name (durations in milliseconds),
 * and the row's number in [1] for the functions that take such a table. */
static void push_options(lua_State *L, const struct settings *s, const struct ns *ns)
{
    int format = ns->opt.publication_data_format;

    lua_newtable(L);
    lua_pushinteger(L, (lua_Integer)ns->index);
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
        format = s->channel_publication_data_format;
    CHECK(format >= 0 && format < (int)ARRAY_LEN(data_formats));
    lua_pushstring(L, data_formats[format]);
    lua_setfield(L, -2, "publication_data_format");
}

/* namespace(channel) → options, or nil when there is no such namespace. */
static int core_namespace(lua_State *L)
{
    const struct settings *s = script_settings(script_of(L));
    struct channel_parts parts;
    size_t len;
    const char *name = luaL_checklstring(L, 1, &len);

    if (channel_resolve(s, str_of(name, len), &parts) != OK)
        return 0;
    if (lua_rawgeti(L, lua_upvalueindex(1), (lua_Integer)parts.ns->index + 1) == LUA_TTABLE)
        return 1;
    push_options(L, s, parts.ns);
    lua_pushvalue(L, -1);
    lua_rawseti(L, lua_upvalueindex(1), (lua_Integer)parts.ns->index + 1);
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
        {"is_json", core_is_json},
        {"is_json_object", core_is_json_object},
        {NULL, NULL},
    };

    luaL_newlib(L, functions);
    lua_newtable(L); /* options by row, filled on first use */
    lua_pushcclosure(L, core_namespace, 1);
    lua_setfield(L, -2, "namespace");
    bind_publish_open(L);
    bind_read_open(L);
    bind_order_open(L);
}
