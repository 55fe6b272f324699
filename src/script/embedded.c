#include "script/embedded.h"

#include <lauxlib.h>

const struct embedded_file *embedded_find(struct str name)
{
    size_t low = 0, high = embedded_count;

    while (low < high) {
        size_t middle = low + (high - low) / 2;
        int order = str_cmp(name, str_from(embedded_files[middle].name));

        if (order == 0)
            return &embedded_files[middle];
        if (order < 0)
            high = middle;
        else
            low = middle + 1;
    }
    return NULL;
}

int embedded_require(lua_State *L)
{
    size_t len;
    const char *name = luaL_checklstring(L, 1, &len);
    const struct embedded_file *file;

    lua_settop(L, 1);
    luaL_getsubtable(L, LUA_REGISTRYINDEX, LUA_LOADED_TABLE);
    lua_pushvalue(L, 1);
    if (lua_rawget(L, 2) != LUA_TNIL)
        return 1;
    lua_pop(L, 1);
    file = embedded_find(str_of(name, len));
    if (!file)
        return luaL_error(L, "there is no built-in module \"%s\"", name);
    lua_pushfstring(L, "=%s", name);
    if (luaL_loadbufferx(L, file->data, file->len, lua_tostring(L, -1), "t") != LUA_OK)
        return lua_error(L);
    lua_pushvalue(L, 1);
    lua_call(L, 1, 1);
    if (lua_isnil(L, -1)) {
        lua_pop(L, 1);
        lua_pushboolean(L, 1);
    }
    lua_pushvalue(L, 1);
    lua_pushvalue(L, -2);
    lua_rawset(L, 2);
    return 1;
}

void embedded_push(lua_State *L, const char *module, const char *field)
{
    lua_pushcfunction(L, embedded_require);
    lua_pushstring(L, module);
    lua_call(L, 1, 1);
    if (field) {
        lua_getfield(L, -1, field);
        lua_remove(L, -2);
    }
}
