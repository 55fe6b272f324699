#include "bind/bind_reply.h"

#include "core/core.h"

#include <lauxlib.h>

struct str bind_to_str(lua_State *L, int index)
{
    size_t len;
    const char *text = lua_tolstring(L, index, &len);

    if (!text) /* nothing, or a mistake */
        text = luaL_optlstring(L, index, "", &len);
    return str_of(text, len);
}

const char bind_row_kind;

const struct ns *bind_to_ns(lua_State *L, int index)
{
    const struct bind_row *row;

    luaL_checktype(L, index, LUA_TTABLE);
    lua_rawgeti(L, index, 1);
    row = lua_touserdata(L, -1);
    luaL_argcheck(L, row && lua_rawlen(L, -1) == sizeof *row && row->kind == &bind_row_kind, index,
                  "not the options of a channel");
    lua_pop(L, 1);
    return row->ns;
}

struct core *bind_core(lua_State *L)
{
    return core_of(script_worker(script_of(L)));
}

uint32_t bind_code(enum err err)
{
    if (err == OK)
        return 0;
    return err == ERR_EXPIRED ? API_UNRECOVERABLE_POSITION : API_INTERNAL;
}

int bind_push_error(lua_State *L, uint32_t code, struct str message)
{
    lua_pushnil(L);
    lua_pushinteger(L, code);
    if (message.len == 0)
        return 2;
    lua_pushlstring(L, message.ptr, message.len);
    return 3;
}

void bind_wake_error(struct script_wait *wait, uint32_t code)
{
    script_wake(wait, bind_push_error(script_wait_state(wait), code, STR_NONE));
}

void bind_wake_done(struct script_wait *wait, enum err err)
{
    if (err != OK) {
        bind_wake_error(wait, bind_code(err));
        return;
    }
    lua_pushboolean(script_wait_state(wait), true);
    script_wake(wait, 1);
}

void bind_wake_json(struct script_wait *wait, struct buf *text)
{
    lua_State *co;

    if (text->overflow) {
        buf_deinit(text);
        bind_wake_error(wait, API_INTERNAL);
        return;
    }
    co = script_wait_state(wait);
    lua_pushlstring(co, text->ptr ? text->ptr : "", text->len);
    buf_deinit(text);
    script_wake(wait, 1);
}
