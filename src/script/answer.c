#include "script/answer.h"

#include "base/utf8.h"

#include <lauxlib.h>

/* Codes below 100 are nobody's, those from 3000 on are disconnects. */
#define ERROR_MIN 100
#define ERROR_MAX 2999
#define DISCONNECT_MIN 3000
#define DISCONNECT_MAX 4999
#define MESSAGE_MAX 1024
#define REASON_MAX 123 /* what a WebSocket close frame holds */

/* Registry keys of the two metatables. */
static const char error_key, disconnect_key;

static bool text_ok(struct str text, size_t max)
{
    return text.len <= max && utf8_valid(text);
}

static struct str text_arg(lua_State *L, int arg, size_t max)
{
    struct str text;

    text.ptr = luaL_checklstring(L, arg, &text.len);
    luaL_argcheck(L, text_ok(text, max), arg, "too long, or not UTF-8");
    return text;
}

/* perigee.error(code, message[, temporary]) */
static int make_error(lua_State *L)
{
    lua_Integer code = luaL_checkinteger(L, 1);

    luaL_argcheck(L, code >= ERROR_MIN && code <= ERROR_MAX, 1,
                  "an error code is between 100 and 2999");
    text_arg(L, 2, MESSAGE_MAX);
    if (!lua_isnoneornil(L, 3))
        luaL_checktype(L, 3, LUA_TBOOLEAN);
    lua_settop(L, 3);
    lua_createtable(L, 0, 3);
    lua_pushinteger(L, code);
    lua_setfield(L, -2, "code");
    lua_pushvalue(L, 2);
    lua_setfield(L, -2, "message");
    lua_pushboolean(L, lua_toboolean(L, 3));
    lua_setfield(L, -2, "temporary");
    lua_rawgetp(L, LUA_REGISTRYINDEX, &error_key);
    lua_setmetatable(L, -2);
    return 1;
}

/* perigee.disconnect_code(code, reason) */
static int make_disconnect(lua_State *L)
{
    lua_Integer code = luaL_checkinteger(L, 1);

    luaL_argcheck(L, code >= DISCONNECT_MIN && code <= DISCONNECT_MAX, 1,
                  "a disconnect code is between 3000 and 4999");
    text_arg(L, 2, REASON_MAX);
    lua_createtable(L, 0, 2);
    lua_pushinteger(L, code);
    lua_setfield(L, -2, "code");
    lua_pushvalue(L, 2);
    lua_setfield(L, -2, "reason");
    lua_rawgetp(L, LUA_REGISTRYINDEX, &disconnect_key);
    lua_setmetatable(L, -2);
    return 1;
}

/* The string stays in its table, so the slice stays valid as long as that does. */
static bool read_field(lua_State *L, int idx, const char *name, struct str *out)
{
    bool ok;

    lua_pushstring(L, name);
    ok = lua_rawget(L, idx) == LUA_TSTRING;
    if (ok)
        out->ptr = lua_tolstring(L, -1, &out->len);
    lua_pop(L, 1);
    return ok;
}

static bool read_code(lua_State *L, int idx, uint32_t min, uint32_t max, uint32_t *out)
{
    lua_Integer code;
    bool ok;

    lua_pushliteral(L, "code");
    ok = lua_rawget(L, idx) == LUA_TNUMBER && lua_isinteger(L, -1);
    code = lua_tointeger(L, -1);
    lua_pop(L, 1);
    if (!ok || code < min || code > max)
        return false;
    *out = (uint32_t)code;
    return true;
}

static void read_temporary(lua_State *L, int idx, struct answer *out)
{
    lua_pushliteral(L, "temporary");
    lua_rawget(L, idx);
    out->temporary = lua_toboolean(L, -1);
    lua_pop(L, 1);
}

enum answer_kind answer_kind(lua_State *L, int idx)
{
    enum answer_kind kind = ANSWER_NONE;

    if (lua_type(L, idx) != LUA_TTABLE || !lua_getmetatable(L, idx))
        return ANSWER_NONE;
    lua_rawgetp(L, LUA_REGISTRYINDEX, &error_key);
    lua_rawgetp(L, LUA_REGISTRYINDEX, &disconnect_key);
    if (lua_rawequal(L, -3, -2))
        kind = ANSWER_ERROR;
    else if (lua_rawequal(L, -3, -1))
        kind = ANSWER_DISCONNECT;
    lua_pop(L, 3);
    return kind;
}

enum answer_kind answer_at(lua_State *L, int idx, struct answer *out, bool *broken)
{
    enum answer_kind kind = answer_kind(L, idx);

    *out = (struct answer){0};
    *broken = false;
    idx = lua_absindex(L, idx);
    if (kind == ANSWER_ERROR && read_code(L, idx, ERROR_MIN, ERROR_MAX, &out->code) &&
        read_field(L, idx, "message", &out->text) && text_ok(out->text, MESSAGE_MAX)) {
        read_temporary(L, idx, out);
        return kind;
    }
    if (kind == ANSWER_DISCONNECT &&
        read_code(L, idx, DISCONNECT_MIN, DISCONNECT_MAX, &out->code) &&
        read_field(L, idx, "reason", &out->text) && text_ok(out->text, REASON_MAX))
        return kind;
    *broken = kind != ANSWER_NONE;
    return ANSWER_NONE;
}

bool answer_from_failure(lua_State *L, int idx, struct answer *out)
{
    *out = (struct answer){0};
    idx = lua_absindex(L, idx);
    if (lua_type(L, idx) != LUA_TTABLE || !read_code(L, idx, 1, ERROR_MAX, &out->code) ||
        !read_field(L, idx, "message", &out->text) || !text_ok(out->text, MESSAGE_MAX))
        return false;
    read_temporary(L, idx, out);
    return true;
}

static void make_metatable(lua_State *L, const char *name, const void *key)
{
    lua_createtable(L, 0, 2);
    lua_pushstring(L, name);
    lua_setfield(L, -2, "__name");
    lua_pushboolean(L, false);
    lua_setfield(L, -2, "__metatable");
    lua_rawsetp(L, LUA_REGISTRYINDEX, key);
}

void answer_open(lua_State *L)
{
    make_metatable(L, "perigee.error", &error_key);
    make_metatable(L, "perigee.disconnect_code", &disconnect_key);
    lua_pushcfunction(L, make_error);
    lua_setfield(L, -2, "error");
    lua_pushcfunction(L, make_disconnect);
    lua_setfield(L, -2, "disconnect_code");
}
