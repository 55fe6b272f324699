/* The Lua door of spec.h: parameters out of a table, results into one. Raw fields are Lua values
 * there, encoded and decoded on the way. */
#include "api/spec.h"

#include "base/utf8.h"
#include "codec/base64.h"
#include "codec/json.h"
#include "script/lua_json.h"

#include <lauxlib.h>

/* Where a value stands, for error texts. */
struct place {
    const char *call, *field;
};

static int wrong(lua_State *L, const struct place *at, const char *expected)
{
    return luaL_error(L, "perigee.%s: %s must be %s, not %s", at->call, at->field, expected,
                      luaL_typename(L, -1));
}

/* Each of these replaces the value on top of the stack, which is not nil. */

static void take_string(lua_State *L, const struct place *at)
{
    struct str text;

    if (!lua_isstring(L, -1)) /* a number will do: user ids often are */
        wrong(L, at, "a string");
    text.ptr = lua_tolstring(L, -1, &text.len);
    if (!utf8_valid(text))
        luaL_error(L, "perigee.%s: %s is not UTF-8", at->call, at->field);
}

static void take_integer(lua_State *L, const struct place *at)
{
    int is_integer;
    lua_Integer number = lua_tointegerx(L, -1, &is_integer);

    if (lua_type(L, -1) != LUA_TNUMBER || !is_integer)
        wrong(L, at, "an integer");
    lua_pop(L, 1);
    lua_pushinteger(L, number);
}

static void take_raw(lua_State *L, const struct place *at)
{
    struct buf *text = api_scratch(L);
    const char *why = "";

    if (lua_json_encode(L, -1, text, &why) != OK)
        luaL_error(L, "perigee.%s: %s: %s", at->call, at->field, why ? why : "too big");
    lua_pushlstring(L, text->ptr, text->len);
    lua_remove(L, -2);
}

static void take_string_map(lua_State *L, const struct place *at)
{
    if (!lua_istable(L, -1))
        wrong(L, at, "a table of strings");
    lua_pushnil(L);
    while (lua_next(L, -2)) {
        if (lua_type(L, -2) != LUA_TSTRING || lua_type(L, -1) != LUA_TSTRING)
            luaL_error(L, "perigee.%s: %s must hold strings only", at->call, at->field);
        lua_pop(L, 1);
    }
    lua_pushnil(L);
    if (lua_next(L, -2) == 0) { /* nothing in it: {} and [] look alike */
        lua_pop(L, 1);
        lua_pushnil(L);
        return;
    }
    lua_pop(L, 2);
    take_raw(L, at);
}

static void take_base64(lua_State *L, const struct place *at)
{
    struct buf *bytes = api_scratch(L);
    size_t len;
    const char *text;

    take_string(L, at);
    text = lua_tolstring(L, -1, &len);
    if (len == 0)
        lua_pushnil(L);
    else if (base64_decode_add(BASE64_STD, str_of(text, len), bytes) == OK)
        lua_pushlstring(L, bytes->ptr, bytes->len);
    else
        lua_pushboolean(L, false);
    lua_remove(L, -2);
}

static void take_strings(lua_State *L, const struct place *at)
{
    lua_Unsigned count;

    if (!lua_istable(L, -1))
        wrong(L, at, "a list of strings");
    count = lua_rawlen(L, -1);
    for (lua_Unsigned i = 1; i <= count; i++) {
        lua_rawgeti(L, -1, (lua_Integer)i);
        if (lua_type(L, -1) != LUA_TSTRING)
            luaL_error(L, "perigee.%s: %s must hold strings only", at->call, at->field);
        take_string(L, at);
        lua_pop(L, 1);
    }
}

static void take_record(lua_State *L, const struct api_spec *spec, const struct place *at);

static void take(lua_State *L, const struct api_field *field, const struct place *at)
{
    if (lua_isnil(L, -1)) {
        lua_pop(L, 1);
        api_push_absent(L, field->type);
        return;
    }
    switch (field->type) {
    case API_STRING:
        take_string(L, at);
        break;
    case API_BOOL:
        if (!lua_isboolean(L, -1))
            wrong(L, at, "true or false");
        break;
    case API_INT:
    case API_INT32:
    case API_UINT:
    case API_UINT32:
        take_integer(L, at);
        break;
    case API_OBJECT:
        if (!lua_istable(L, -1))
            wrong(L, at, "a table");
        take_raw(L, at);
        break;
    case API_RAW:
        take_raw(L, at);
        break;
    case API_STRING_MAP:
        take_string_map(L, at);
        break;
    case API_BASE64:
        take_base64(L, at);
        break;
    case API_STRINGS:
        take_strings(L, at);
        break;
    case API_RECORD:
        take_record(L, field->record, at);
        break;
    }
}

static void refuse_unknown(lua_State *L, const struct api_spec *spec, int index, const char *call)
{
    lua_pushnil(L);
    while (lua_next(L, index)) {
        bool known = false;

        lua_pop(L, 1);
        for (size_t i = 0; i < spec->count && lua_type(L, -1) == LUA_TSTRING; i++)
            known = known || str_eq(spec->fields[i].name, str_from(lua_tostring(L, -1)));
        if (!known)
            luaL_error(L, "perigee.%s: there is no field %s", call, luaL_tolstring(L, -1, NULL));
    }
}

static void take_record(lua_State *L, const struct api_spec *spec, const struct place *at)
{
    int table = lua_gettop(L);

    if (!lua_istable(L, -1))
        wrong(L, at, "a table");
    refuse_unknown(L, spec, table, at->call);
    lua_createtable(L, 0, (int)spec->count);
    for (size_t i = 0; i < spec->count; i++) {
        struct place inside = {at->call, spec->fields[i].name.ptr};

        lua_getfield(L, table, inside.field);
        take(L, &spec->fields[i], &inside);
        lua_setfield(L, -2, inside.field);
    }
    lua_remove(L, table);
}

/* What is there of the fields that stand in `more`. */
static void take_more(lua_State *L, const struct api_spec *spec, int index, const char *name)
{
    lua_pushnil(L);
    for (size_t i = spec->positional; i < spec->count; i++) {
        struct place at = {name, spec->fields[i].name.ptr};

        if (lua_getfield(L, index, at.field) == LUA_TNIL) {
            lua_pop(L, 1);
            continue;
        }
        take(L, &spec->fields[i], &at);
        if (lua_isnil(L, -2)) {
            lua_newtable(L);
            lua_replace(L, -3);
        }
        lua_setfield(L, -2, at.field);
    }
}

void api_from_table(const struct api_spec *spec, lua_State *L, int index, const char *name)
{
    index = lua_absindex(L, index);
    luaL_checkstack(L, API_FIELDS_MAX + LUA_MINSTACK, "too many fields");
    refuse_unknown(L, spec, index, name);
    for (size_t i = 0; i < spec->positional; i++) {
        struct place at = {name, spec->fields[i].name.ptr};

        lua_getfield(L, index, at.field);
        take(L, &spec->fields[i], &at);
    }
    if (spec->count > spec->positional)
        take_more(L, spec, index, name);
}

static bool is_raw(enum api_type type)
{
    return type == API_RAW || type == API_OBJECT || type == API_STRING_MAP;
}

static bool is_default(lua_State *L, int index)
{
    switch (lua_type(L, index)) {
    case LUA_TNIL:
        return true;
    case LUA_TBOOLEAN:
        return !lua_toboolean(L, index);
    case LUA_TNUMBER:
        return lua_isinteger(L, index) && lua_tointeger(L, index) == 0;
    case LUA_TSTRING:
        return lua_rawlen(L, index) == 0;
    default:
        return false;
    }
}

void api_to_table(const struct api_spec *spec, lua_State *L, int first, int count)
{
    first = lua_absindex(L, first);
    luaL_checkstack(L, LUA_MINSTACK, "too many results");
    lua_createtable(L, 0, (int)spec->count);
    for (int i = 0; i < (int)spec->count && i < count; i++) {
        const struct api_field *field = &spec->fields[i];
        size_t len;
        const char *text;

        if (is_default(L, first + i) && !field->always)
            continue;
        if (is_raw(field->type)) {
            text = luaL_checklstring(L, first + i, &len);
            if (lua_json_push(L, str_of(text, len)) != OK)
                luaL_error(L, "the result's %s is not JSON", field->name.ptr);
        } else {
            lua_pushvalue(L, first + i);
        }
        lua_setfield(L, -2, field->name.ptr);
    }
}
