#include "script/lua_json.h"

#include "codec/json.h"
#include "base/utf8.h"

#include <lauxlib.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#define TEXT_MAX (64 << 20) /* of perigee.json.encode; lua.memory_limit is usually lower */

#define KEPT_NAMES_MAX 16

/* Registry keys: the metatables of arrays and of raw values, and the scratch memory. */
static const char array_key, raw_key, scratch_key;

/* Kept in a userdata, so that an error that passes through C leaks nothing. */
struct scratch {
    struct arena arena;
    struct buf text;
};

static struct scratch *scratch_of(lua_State *L)
{
    struct scratch *s;

    lua_rawgetp(L, LUA_REGISTRYINDEX, &scratch_key);
    s = lua_touserdata(L, -1);
    lua_pop(L, 1);
    return s;
}

/* --- raw values ------------------------------------------------------------------------------- */

/* A raw value is a userdata whose user value is the text: checked once, and never changed. */
static void push_raw(lua_State *L, struct str text)
{
    lua_newuserdatauv(L, 0, 1);
    lua_rawgetp(L, LUA_REGISTRYINDEX, &raw_key);
    lua_setmetatable(L, -2);
    lua_pushlstring(L, text.ptr ? text.ptr : "", text.len);
    lua_setiuservalue(L, -2, 1);
}

/* Its text, or nothing (ptr NULL) when the value at idx is another. */
static struct str raw_at(lua_State *L, int idx)
{
    struct str text = STR_NONE;
    bool is_raw = lua_type(L, idx) == LUA_TUSERDATA && lua_getmetatable(L, idx);

    if (is_raw) {
        lua_rawgetp(L, LUA_REGISTRYINDEX, &raw_key);
        is_raw = lua_rawequal(L, -1, -2);
        lua_pop(L, 2);
    }
    if (is_raw) {
        lua_getiuservalue(L, idx, 1);
        text.ptr = lua_tolstring(L, -1, &text.len);
        lua_pop(L, 1);
    }
    return text;
}

/* --- JSON → Lua ------------------------------------------------------------------------------- */

struct decoder {
    lua_State *L;
    struct str rest;
    struct arena *arena;
    struct str kept[KEPT_NAMES_MAX]; /* members of these names stay raw */
    size_t kept_count;
};

static enum err push(struct decoder *d, int depth);

static bool is_kept(const struct decoder *d, struct str key)
{
    for (size_t i = 0; i < d->kept_count; i++) {
        if (str_eq(d->kept[i], key))
            return true;
    }
    return false;
}

static enum err push_member(struct decoder *d, struct str key, int depth)
{
    struct str value;

    if (!is_kept(d, key))
        return push(d, depth + 1);
    if (json_skip(&d->rest, &value) != OK)
        return ERR_SYNTAX;
    push_raw(d->L, value);
    return OK;
}

static enum err push_object(struct decoder *d, int depth)
{
    lua_State *L = d->L;
    bool started = false;
    struct str key;
    enum err err;

    lua_newtable(L);
    while ((err = json_member(&d->rest, &started, d->arena, &key)) == OK) {
        lua_pushlstring(L, key.ptr ? key.ptr : "", key.len);
        err = push_member(d, key, depth);
        if (err != OK)
            return err;
        lua_rawset(L, -3);
    }
    return err == ERR_NOT_FOUND ? OK : err;
}

static enum err push_array(struct decoder *d, int depth)
{
    lua_State *L = d->L;
    bool started = false;
    enum err err;

    lua_newtable(L);
    lua_rawgetp(L, LUA_REGISTRYINDEX, &array_key);
    lua_setmetatable(L, -2);
    for (lua_Integer i = 1; (err = json_element(&d->rest, &started)) == OK; i++) {
        err = push(d, depth + 1);
        if (err != OK)
            return err;
        lua_rawseti(L, -2, i);
    }
    return err == ERR_NOT_FOUND ? OK : err;
}

static enum err push_number(lua_State *L, struct str value)
{
    int64_t integer;
    double number;

    if (json_i64(value, INT64_MIN, INT64_MAX, &integer) == OK) {
        lua_pushinteger(L, integer);
        return OK;
    }
    if (json_double(value, &number) != OK)
        return ERR_SYNTAX;
    lua_pushnumber(L, number);
    return OK;
}

static enum err push_scalar(lua_State *L, enum json_type type, struct str value, struct arena *a)
{
    struct str text;
    bool yes;

    switch (type) {
    case JSON_NULL:
        lua_pushlightuserdata(L, NULL);
        return OK;
    case JSON_BOOL:
        if (json_bool(value, &yes) != OK)
            return ERR_SYNTAX;
        lua_pushboolean(L, yes);
        return OK;
    case JSON_NUMBER:
        return push_number(L, value);
    case JSON_STRING:
        if (json_string(value, a, &text) != OK)
            return ERR_SYNTAX;
        lua_pushlstring(L, text.ptr ? text.ptr : "", text.len);
        return OK;
    case JSON_NONE:
    case JSON_ARRAY:
    case JSON_OBJECT:
        break;
    }
    return ERR_SYNTAX;
}

static enum err push(struct decoder *d, int depth)
{
    enum json_type type = json_peek(&d->rest);
    struct str value;

    if (depth > JSON_DEPTH_MAX || !lua_checkstack(d->L, 8))
        return ERR_SYNTAX;
    if (type == JSON_OBJECT)
        return push_object(d, depth);
    if (type == JSON_ARRAY)
        return push_array(d, depth);
    if (json_skip(&d->rest, &value) != OK)
        return ERR_SYNTAX;
    return push_scalar(d->L, type, value, d->arena);
}

static enum err decode(struct decoder *d)
{
    int top = lua_gettop(d->L);

    arena_reset(d->arena);
    if (push(d, 0) != OK || json_peek(&d->rest) != JSON_NONE || d->rest.len > 0) {
        lua_settop(d->L, top);
        return ERR_SYNTAX;
    }
    return OK;
}

enum err lua_json_push(lua_State *L, struct str json)
{
    struct decoder d = {.L = L, .rest = json, .arena = &scratch_of(L)->arena};

    return decode(&d);
}

/* --- Lua → JSON ------------------------------------------------------------------------------- */

struct encoder {
    lua_State *L;
    struct buf *out;
    const char *why;
    int depth;
};

static enum err encode(struct encoder *e, int idx);

static enum err refuse(struct encoder *e, const char *why)
{
    e->why = why;
    return ERR_SYNTAX;
}

static enum err encode_string(struct encoder *e, int idx)
{
    struct str text;

    text.ptr = lua_tolstring(e->L, idx, &text.len);
    if (!utf8_valid(text))
        return refuse(e, "a string is not UTF-8");
    json_add_string(e->out, text);
    return OK;
}

/* The shortest text that reads back as the same number. */
static enum err encode_number(struct encoder *e, int idx)
{
    double number;
    char text[40];
    int n = 0;

    if (lua_isinteger(e->L, idx)) {
        buf_add_i64(e->out, lua_tointeger(e->L, idx));
        return OK;
    }
    number = lua_tonumber(e->L, idx);
    if (!isfinite(number))
        return refuse(e, "a number is not finite");
    for (int digits = 15; digits <= 17; digits++) {
        n = snprintf(text, sizeof text, "%.*g", digits, number);
        if (strtod(text, NULL) == number)
            break;
    }
    buf_add(e->out, text, (size_t)n);
    return OK;
}

/* Has the table at idx exactly the keys 1 … n? */
static bool is_sequence(lua_State *L, int idx, lua_Integer n)
{
    lua_Integer count = 0;

    for (lua_pushnil(L); lua_next(L, idx); lua_pop(L, 1)) {
        lua_Integer key = lua_isinteger(L, -2) ? lua_tointeger(L, -2) : 0;

        if (key < 1 || key > n) {
            lua_pop(L, 2);
            return false;
        }
        count++;
    }
    return count == n;
}

static enum err encode_array(struct encoder *e, int idx)
{
    lua_Integer n = (lua_Integer)lua_rawlen(e->L, idx);

    if (!is_sequence(e->L, idx, n))
        return refuse(e, "a table has gaps, or keys of both kinds");
    buf_add_char(e->out, '[');
    for (lua_Integer i = 1; i <= n; i++) {
        enum err err;

        if (i > 1)
            buf_add_char(e->out, ',');
        lua_rawgeti(e->L, idx, i);
        err = encode(e, lua_gettop(e->L));
        lua_pop(e->L, 1);
        if (err != OK)
            return err;
    }
    buf_add_char(e->out, ']');
    return OK;
}

static enum err encode_object(struct encoder *e, int idx)
{
    lua_State *L = e->L;
    bool first = true;

    buf_add_char(e->out, '{');
    for (lua_pushnil(L); lua_next(L, idx); lua_pop(L, 1)) {
        enum err err = ERR_SYNTAX;

        if (lua_type(L, -2) != LUA_TSTRING) {
            e->why = "a table has gaps, or keys of both kinds";
        } else {
            if (!first)
                buf_add_char(e->out, ',');
            first = false;
            err = encode_string(e, lua_gettop(L) - 1);
            buf_add_char(e->out, ':');
            if (err == OK)
                err = encode(e, lua_gettop(L));
        }
        if (err != OK) {
            lua_pop(L, 2);
            return err;
        }
    }
    buf_add_char(e->out, '}');
    return OK;
}

static bool is_array(lua_State *L, int idx)
{
    bool yes = false;

    if (lua_rawlen(L, idx) > 0)
        return true;
    if (lua_getmetatable(L, idx)) {
        lua_rawgetp(L, LUA_REGISTRYINDEX, &array_key);
        yes = lua_rawequal(L, -1, -2);
        lua_pop(L, 2);
    }
    return yes;
}

static enum err encode_table(struct encoder *e, int idx)
{
    enum err err;

    if (++e->depth > JSON_DEPTH_MAX || !lua_checkstack(e->L, 8)) {
        e->why = "tables are nested too deeply, or contain themselves";
        return ERR_LIMIT;
    }
    err = is_array(e->L, idx) ? encode_array(e, idx) : encode_object(e, idx);
    e->depth--;
    return err;
}

static enum err encode(struct encoder *e, int idx)
{
    if (e->out->overflow) {
        e->why = "the text is too long";
        return ERR_LIMIT;
    }
    switch (lua_type(e->L, idx)) {
    case LUA_TNIL:
        buf_add_lit(e->out, "null");
        return OK;
    case LUA_TLIGHTUSERDATA:
        if (lua_touserdata(e->L, idx))
            break;
        buf_add_lit(e->out, "null");
        return OK;
    case LUA_TBOOLEAN:
        if (lua_toboolean(e->L, idx))
            buf_add_lit(e->out, "true");
        else
            buf_add_lit(e->out, "false");
        return OK;
    case LUA_TNUMBER:
        return encode_number(e, idx);
    case LUA_TSTRING:
        return encode_string(e, idx);
    case LUA_TTABLE:
        return encode_table(e, idx);
    case LUA_TUSERDATA: {
        struct str raw = raw_at(e->L, idx);

        if (raw.ptr == NULL)
            break;
        buf_add_str(e->out, raw);
        return OK;
    }
    default:
        break;
    }
    return refuse(e, "a function, coroutine or userdata has no JSON form");
}

enum err lua_json_encode(lua_State *L, int idx, struct buf *out, const char **why)
{
    struct encoder e = {.L = L, .out = out};
    size_t before = out->len;
    enum err err = encode(&e, lua_absindex(L, idx));

    if (err == OK && out->overflow) {
        err = ERR_LIMIT;
        e.why = "the text is too long";
    }
    if (err != OK) {
        out->len = before;
        out->overflow = false;
    }
    if (why)
        *why = e.why;
    return err;
}

/* --- perigee.json ----------------------------------------------------------------------------- */

/* encode(value) → text; raises when the value has no JSON form. */
static int json_encode(lua_State *L)
{
    struct scratch *s = scratch_of(L);
    const char *why;

    luaL_checkany(L, 1);
    buf_clear(&s->text);
    if (lua_json_encode(L, 1, &s->text, &why) != OK)
        return luaL_error(L, "cannot encode as JSON: %s", why);
    lua_pushlstring(L, s->text.ptr ? s->text.ptr : "", s->text.len);
    if (s->text.cap > (64 << 10)) {
        buf_deinit(&s->text);
        s->text = BUF_INIT(TEXT_MAX);
    }
    return 1;
}

/* The text of a string or of a raw value. */
static struct str text_arg(lua_State *L, int arg)
{
    struct str text = raw_at(L, arg);

    if (text.ptr == NULL)
        text.ptr = luaL_checklstring(L, arg, &text.len);
    return text;
}

static int not_json(lua_State *L)
{
    lua_pushnil(L);
    lua_pushliteral(L, "not valid JSON");
    return 2;
}

/* decode(text[, names]) → value; nil and a message when it is not JSON. Members of objects that
 * have one of the names stay raw values. */
static int json_decode(lua_State *L)
{
    struct decoder d = {.L = L, .rest = text_arg(L, 1), .arena = &scratch_of(L)->arena};

    if (!lua_isnoneornil(L, 2)) {
        luaL_checktype(L, 2, LUA_TTABLE);
        d.kept_count = lua_rawlen(L, 2);
        luaL_argcheck(L, d.kept_count <= KEPT_NAMES_MAX, 2, "too many names");
    }
    for (size_t i = 0; i < d.kept_count; i++) {
        bool ok = lua_rawgeti(L, 2, (lua_Integer)i + 1) == LUA_TSTRING;

        luaL_argcheck(L, ok, 2, "names are strings");
        d.kept[i].ptr = lua_tolstring(L, -1, &d.kept[i].len);
        lua_pop(L, 1); /* the table keeps it */
    }
    return decode(&d) == OK ? 1 : not_json(L);
}

/* raw(text) → a value that is encoded as this text, byte for byte; nil and a message when it is
 * not JSON. */
static int json_raw(lua_State *L)
{
    struct str text = text_arg(L, 1);

    if (!json_valid(text))
        return not_json(L);
    push_raw(L, text);
    return 1;
}

static int raw_tostring(lua_State *L)
{
    struct str text = raw_at(L, 1);

    lua_pushlstring(L, text.ptr ? text.ptr : "", text.len);
    return 1;
}

/* array([table]) marks a table as an array, so that it stays one when it is empty. */
static int json_array(lua_State *L)
{
    lua_settop(L, 1);
    if (lua_isnil(L, 1)) {
        lua_newtable(L);
        lua_replace(L, 1);
    }
    luaL_checktype(L, 1, LUA_TTABLE);
    lua_rawgetp(L, LUA_REGISTRYINDEX, &array_key);
    lua_setmetatable(L, 1);
    return 1;
}

static int scratch_gc(lua_State *L)
{
    struct scratch *s = lua_touserdata(L, 1);

    arena_deinit(&s->arena);
    buf_deinit(&s->text);
    return 0;
}

void lua_json_open(lua_State *L)
{
    static const luaL_Reg functions[] = {{"encode", json_encode},
                                         {"decode", json_decode},
                                         {"array", json_array},
                                         {"raw", json_raw},
                                         {NULL, NULL}};
    struct scratch *s = lua_newuserdatauv(L, sizeof *s, 0);

    *s = (struct scratch){.arena = ARENA_INIT, .text = BUF_INIT(TEXT_MAX)};
    lua_createtable(L, 0, 1);
    lua_pushcfunction(L, scratch_gc);
    lua_setfield(L, -2, "__gc");
    lua_setmetatable(L, -2);
    lua_rawsetp(L, LUA_REGISTRYINDEX, &scratch_key);

    lua_createtable(L, 0, 2);
    lua_pushliteral(L, "perigee.array");
    lua_setfield(L, -2, "__name");
    lua_pushboolean(L, false);
    lua_setfield(L, -2, "__metatable"); /* shared by every array: not for scripts to change */
    lua_rawsetp(L, LUA_REGISTRYINDEX, &array_key);

    lua_createtable(L, 0, 3);
    lua_pushliteral(L, "perigee.raw");
    lua_setfield(L, -2, "__name");
    lua_pushcfunction(L, raw_tostring);
    lua_setfield(L, -2, "__tostring");
    lua_pushboolean(L, false);
    lua_setfield(L, -2, "__metatable");
    lua_rawsetp(L, LUA_REGISTRYINDEX, &raw_key);

    luaL_newlib(L, functions);
    lua_pushlightuserdata(L, NULL);
    lua_setfield(L, -2, "null");
}
