#include "bind/bind_dict.h"

#include "script/embedded.h"
#include "script/lua_json.h"
#include "script/script.h"

#include <lauxlib.h>
#include <math.h>

#define KEYS_BYTES_MAX (64 << 20) /* of one stripe; lua.memory_limit is usually lower */
#define SCRATCH_KEPT (64 << 10)
#define TTL_SECONDS_MAX (100.0 * 365 * 86400)

/* Registry key of the handles' metatable. */
static const char handle_key;

/* Upvalues of every method. The scratch memory is a userdata's, so that an error leaks nothing. */
enum { UP_SCRATCH = 1, UP_DURATION };

static struct buf *scratch_of(lua_State *L)
{
    return lua_touserdata(L, lua_upvalueindex(UP_SCRATCH));
}

static void scratch_done(struct buf *scratch)
{
    if (scratch->cap > SCRATCH_KEPT) {
        buf_deinit(scratch);
        *scratch = BUF_INIT(KEYS_BYTES_MAX);
    }
}

static int scratch_gc(lua_State *L)
{
    buf_deinit(lua_touserdata(L, 1));
    return 0;
}

/* --- arguments -------------------------------------------------------------------------------- */

static struct dict *handle_arg(lua_State *L)
{
    struct dict **handle = lua_touserdata(L, 1);
    bool ok = handle && lua_getmetatable(L, 1);

    if (ok) {
        lua_rawgetp(L, LUA_REGISTRYINDEX, &handle_key);
        ok = lua_rawequal(L, -1, -2);
        lua_pop(L, 2);
    }
    if (!ok)
        luaL_typeerror(L, 1, "dict (call its methods with a colon)");
    return *handle;
}

static struct str string_arg(lua_State *L, int arg, size_t min, size_t max)
{
    struct str s;

    s.ptr = luaL_checklstring(L, arg, &s.len);
    if (s.len < min || s.len > max)
        luaL_argerror(L, arg, lua_pushfstring(L, "%d to %d bytes", (int)min, (int)max));
    return s;
}

static struct str key_arg(lua_State *L)
{
    return string_arg(L, 2, 1, DICT_KEY_MAX);
}

static struct dict_value number_arg(lua_State *L, int arg)
{
    struct dict_value v = {.type = DICT_NUMBER};

    v.number = luaL_checknumber(L, arg);
    if (lua_isinteger(L, arg))
        v = (struct dict_value){.type = DICT_INTEGER, .integer = lua_tointeger(L, arg)};
    return v;
}

static struct dict_value value_arg(lua_State *L, int arg)
{
    switch (lua_type(L, arg)) {
    case LUA_TSTRING:
        return (struct dict_value){.type = DICT_TEXT, .text = string_arg(L, arg, 0, DICT_TEXT_MAX)};
    case LUA_TNUMBER:
        return number_arg(L, arg);
    case LUA_TBOOLEAN:
        return (struct dict_value){.type = DICT_BOOLEAN, .boolean = lua_toboolean(L, arg)};
    default:
        luaL_typeerror(L, arg, "string, number or boolean");
        return (struct dict_value){0};
    }
}

/* Seconds, or text such as "10m", as milliseconds; absent: 0. */
static uint64_t ttl_arg(lua_State *L, int arg)
{
    lua_Number ms;

    if (lua_isnoneornil(L, arg))
        return 0;
    if (lua_type(L, arg) == LUA_TSTRING) {
        lua_pushvalue(L, lua_upvalueindex(UP_DURATION));
        lua_pushvalue(L, arg);
        lua_call(L, 1, 2);
        if (lua_isnil(L, -2))
            luaL_argerror(L, arg, lua_tostring(L, -1));
        ms = lua_tonumber(L, -2);
        lua_pop(L, 2);
    } else {
        ms = ceil(luaL_checknumber(L, arg) * 1000);
    }
    luaL_argcheck(L, ms > 0 && ms <= TTL_SECONDS_MAX * 1000, arg, /* false for NaN, too */
                  "the time to live must be above 0 and at most a century");
    return (uint64_t)ms;
}

/* --- methods ---------------------------------------------------------------------------------- */

static void push_value(lua_State *L, const struct dict_value *v)
{
    switch (v->type) {
    case DICT_TEXT:
        lua_pushlstring(L, v->text.ptr ? v->text.ptr : "", v->text.len);
        break;
    case DICT_INTEGER:
        lua_pushinteger(L, v->integer);
        break;
    case DICT_NUMBER:
        lua_pushnumber(L, v->number);
        break;
    case DICT_BOOLEAN:
        lua_pushboolean(L, v->boolean);
        break;
    }
}

static int failure(lua_State *L, const char *message)
{
    lua_pushnil(L);
    lua_pushstring(L, message);
    return 2;
}

static int full(lua_State *L)
{
    return failure(L, "the dict is full");
}

/* get(key) → value, or nil */
static int l_get(lua_State *L)
{
    struct buf *scratch = scratch_of(L);
    struct dict *d = handle_arg(L);
    struct dict_value v;

    if (dict_get(d, key_arg(L), scratch, &v) != OK)
        return 0;
    push_value(L, &v);
    scratch_done(scratch);
    return 1;
}

/* set(key, value[, ttl]) → true; nil and a message when the dict is full */
static int l_set(lua_State *L)
{
    struct dict *d = handle_arg(L);
    struct str key = key_arg(L);
    struct dict_value v = value_arg(L, 3);

    if (dict_set(d, key, &v, ttl_arg(L, 4)) != OK)
        return full(L);
    lua_pushboolean(L, true);
    return 1;
}

/* add(key, value[, ttl]) → true, or false when there is one; nil and a message when it is full */
static int l_add(lua_State *L)
{
    struct dict *d = handle_arg(L);
    struct str key = key_arg(L);
    struct dict_value v = value_arg(L, 3);
    enum err err = dict_add(d, key, &v, ttl_arg(L, 4));

    if (err == ERR_LIMIT)
        return full(L);
    lua_pushboolean(L, err == OK);
    return 1;
}

/* incr(key[, n[, ttl]]) → the sum; nil and a message when it is full or no number */
static int l_incr(lua_State *L)
{
    struct dict *d = handle_arg(L);
    struct str key = key_arg(L);
    struct dict_value by = {.type = DICT_INTEGER, .integer = 1}, sum;

    if (!lua_isnoneornil(L, 3))
        by = number_arg(L, 3);
    switch (dict_incr(d, key, &by, ttl_arg(L, 4), &sum)) {
    case OK:
        push_value(L, &sum);
        return 1;
    case ERR_SYNTAX:
        return failure(L, "the value is not a number");
    case ERR_DENIED:
        return failure(L, "the sum does not fit a 64-bit integer");
    default:
        return full(L);
    }
}

/* delete(key) → was there one? */
static int l_delete(lua_State *L)
{
    struct dict *d = handle_arg(L);

    lua_pushboolean(L, dict_delete(d, key_arg(L)));
    return 1;
}

/* keys([prefix]) → a list, in no order */
static int l_keys(lua_State *L)
{
    struct buf *scratch = scratch_of(L);
    struct dict *d = handle_arg(L);
    struct str prefix = STR_NONE, rest, key;
    lua_Integer n = 0;

    if (!lua_isnoneornil(L, 2))
        prefix = string_arg(L, 2, 0, DICT_KEY_MAX);
    lua_settop(L, 2);
    CHECK(lua_json_push(L, STR("[]")) == OK); /* stays a list in JSON when it is empty */
    for (unsigned stripe = 0; stripe < DICT_STRIPES; stripe++) {
        buf_clear(scratch);
        if (dict_keys(d, stripe, prefix, scratch) != OK)
            return luaL_error(L, "too many keys");
        rest = buf_str(scratch);
        while (dict_next_key(&rest, &key)) {
            lua_pushlstring(L, key.ptr, key.len);
            lua_rawseti(L, -2, ++n);
        }
        script_check_time(L);
    }
    scratch_done(scratch);
    return 1;
}

/* --- dicts ------------------------------------------------------------------------------------ */

/* dict(name): the same handle for the same name. Upvalues: all dicts, the handles made so far. */
static int l_dict(lua_State *L)
{
    struct dicts *all = lua_touserdata(L, lua_upvalueindex(1));
    struct str name = string_arg(L, 1, 1, DICT_NAME_MAX);
    struct dict **handle;

    if (!all)
        return luaL_error(L, "perigee.dict is not available here");
    lua_settop(L, 1);
    lua_pushvalue(L, 1);
    if (lua_rawget(L, lua_upvalueindex(2)) != LUA_TNIL)
        return 1;
    handle = lua_newuserdatauv(L, sizeof *handle, 0);
    if (dicts_get(all, name, handle) != OK)
        return luaL_error(L, "there are %d dicts already; use one with keys that have a prefix",
                          DICTS_MAX);
    lua_rawgetp(L, LUA_REGISTRYINDEX, &handle_key);
    lua_setmetatable(L, -2);
    lua_pushvalue(L, 1);
    lua_pushvalue(L, -2);
    lua_rawset(L, lua_upvalueindex(2));
    return 1;
}

static void push_scratch(lua_State *L)
{
    struct buf *scratch = lua_newuserdatauv(L, sizeof *scratch, 0);

    *scratch = BUF_INIT(KEYS_BYTES_MAX);
    lua_createtable(L, 0, 1);
    lua_pushcfunction(L, scratch_gc);
    lua_setfield(L, -2, "__gc");
    lua_setmetatable(L, -2);
}

void bind_dict_open(lua_State *L, struct dicts *all)
{
    static const luaL_Reg methods[] = {{"get", l_get},   {"set", l_set},       {"add", l_add},
                                       {"incr", l_incr}, {"delete", l_delete}, {"keys", l_keys},
                                       {NULL, NULL}};

    lua_createtable(L, 0, 3);
    luaL_newlibtable(L, methods);
    push_scratch(L);
    embedded_push(L, "perigee.value", "duration");
    luaL_setfuncs(L, methods, 2);
    lua_setfield(L, -2, "__index");
    lua_pushliteral(L, "perigee.dict");
    lua_setfield(L, -2, "__name");
    lua_pushboolean(L, false);
    lua_setfield(L, -2, "__metatable");
    lua_rawsetp(L, LUA_REGISTRYINDEX, &handle_key);

    lua_pushlightuserdata(L, all);
    lua_newtable(L);
    lua_pushcclosure(L, l_dict, 2);
    lua_setfield(L, -2, "dict");
}
