/* The Lua door of the server API: perigee.publish, perigee.presence and so on, each a command of
 * the table that HTTP uses too. They take a table with the HTTP API's fields and return one with
 * the result's; failure is nil and { code =, message = }. */
#include "bind/bind_api.h"

#include "api/api.h"
#include "bind/bind_core.h"
#include "script/script.h"

#include <lauxlib.h>

#define SHORTHAND 0x100 /* called with a channel's name: answers with the list itself */

static void push_failure(lua_State *L, int first, int n)
{
    lua_Integer code =
        n >= 2 && lua_isinteger(L, first + 1) ? lua_tointeger(L, first + 1) : API_INTERNAL;
    struct str message = api_message((uint32_t)code);

    if (code == API_NOT_ENCODABLE)
        code = API_INTERNAL;
    lua_pushnil(L);
    lua_createtable(L, 0, 2);
    lua_pushinteger(L, code);
    lua_setfield(L, -2, "code");
    if (n >= 3 && lua_type(L, first + 2) == LUA_TSTRING)
        lua_pushvalue(L, first + 2);
    else
        lua_pushlstring(L, message.ptr, message.len);
    lua_setfield(L, -2, "message");
}

/* The command has returned; its results stand above the argument. */
static int on_result(lua_State *L, int status, lua_KContext context)
{
    enum api_name which = (enum api_name)(context & ~SHORTHAND);
    int n = lua_gettop(L) - 1;

    (void)status;
    if (n > 0 && lua_isnil(L, 2)) {
        push_failure(L, 2, n);
        return 2;
    }
    api_to_table(&api_command(L, which)->result, L, 2, n);
    if (context & SHORTHAND)
        lua_getfield(L, -1, which == API_history ? "publications" : "presence");
    return 1;
}

static int server_call(lua_State *L)
{
    lua_KContext context = (lua_KContext)lua_tointeger(L, lua_upvalueindex(1));
    const struct api_command *command = api_command(L, (enum api_name)context);

    lua_settop(L, 1);
    if (lua_type(L, 1) == LUA_TSTRING && (context == API_history || context == API_presence)) {
        lua_createtable(L, 0, 2);
        lua_insert(L, 1);
        lua_setfield(L, 1, "channel");
        if (context == API_history) {
            lua_pushinteger(L, -1);
            lua_setfield(L, 1, "limit");
        }
        context |= SHORTHAND;
    } else if (lua_isnil(L, 1)) {
        lua_newtable(L);
        lua_replace(L, 1);
    } else if (!lua_istable(L, 1)) {
        return luaL_error(L, "perigee.%s takes a table, not %s", command->name,
                          luaL_typename(L, 1));
    }
    lua_rawgeti(L, LUA_REGISTRYINDEX, command->run);
    api_from_table(&command->params, L, 1, command->name);
    lua_callk(L, (int)api_spec_args(&command->params), LUA_MULTRET, context, on_result);
    return on_result(L, LUA_OK, context);
}

void bind_api_open(struct script *s, lua_State *L)
{
    (void)s;
    luaL_getsubtable(L, LUA_REGISTRYINDEX, LUA_LOADED_TABLE);
    bind_core_push(L);
    lua_setfield(L, -2, "perigee.core");
    lua_pop(L, 1);
    api_load(L);
    for (int i = 0; i < API_COMMAND_COUNT; i++) {
        if (i == API_rpc) /* it would only call what Lua can call itself */
            continue;
        lua_pushinteger(L, i);
        lua_pushcclosure(L, server_call, 1);
        lua_setfield(L, -2, api_command(L, (enum api_name)i)->name);
    }
}
