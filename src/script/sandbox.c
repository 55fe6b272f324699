#include "script/sandbox.h"

#include "base/log.h"
#include "script/config.h"
#include "script/embedded.h"
#include "script/pattern.h"
#include "script/script_state.h"

#include <lauxlib.h>
#include <lualib.h>
#include <string.h>

#define SOURCE_MAX (4 << 20)      /* of one file that require reads */
#define PATTERN_STEPS_MAX 5000000 /* some 20 ms */
#define ELEMENTS_MAX (4 << 20)    /* of one call of a table function */
#define SORTED_PER_MS 4000        /* by Lua's own comparison, at least */

/* --- functions that could work long inside C ---------------------------------------------------
 *
 * A run that is out of time ends when C returns, so each guard bounds one call. The real function
 * is reached directly; it sees the same stack. */

enum {
    STRING_REP,
    STRING_FIND,
    STRING_MATCH,
    STRING_GMATCH,
    STRING_GSUB,
    TABLE_INSERT,
    TABLE_REMOVE,
    TABLE_CONCAT,
    TABLE_SORT,
    TABLE_MOVE,
    TABLE_UNPACK,
    GUARDS
};

static lua_CFunction real(lua_State *L)
{
    return lua_tocfunction(L, lua_upvalueindex(1));
}

static struct str string_arg(lua_State *L, int arg)
{
    struct str s;

    s.ptr = luaL_checklstring(L, arg, &s.len);
    return s;
}

static int guard_rep(lua_State *L)
{
    struct str s = string_arg(L, 1);
    size_t separator = 0;

    luaL_optlstring(L, 3, "", &separator);
    if (s.len + separator == 0) { /* would loop n times over nothing */
        lua_pushliteral(L, "");
        return 1;
    }
    return real(L)(L);
}

static int guard_pattern(lua_State *L, int init_arg, bool all)
{
    struct str subject = string_arg(L, 1), pattern = string_arg(L, 2);
    lua_Integer init = init_arg ? luaL_optinteger(L, init_arg, 1) : 1;

    if (init > 1)
        subject = str_cut(subject, MIN((size_t)init - 1, subject.len));
    if (!pattern_is_cheap(subject, pattern, all, PATTERN_STEPS_MAX))
        return luaL_error(L, "this pattern takes too many steps on a string of %d bytes",
                          (int)MIN(subject.len, 1u << 30));
    return real(L)(L);
}

static int guard_find(lua_State *L)
{
    struct str subject = string_arg(L, 1), text = string_arg(L, 2);
    lua_Integer init = luaL_optinteger(L, 3, 1);
    const char *found;

    if (!lua_toboolean(L, 4))
        return guard_pattern(L, 3, false);
    /* Plain: memmem is linear, Lua's own search is not. */
    if (init < 0)
        init = init < -(lua_Integer)subject.len ? 1 : (lua_Integer)subject.len + init + 1;
    init = MAX(init, 1);
    found =
        (size_t)init - 1 > subject.len
            ? NULL
            : memmem(subject.ptr + init - 1, subject.len - (size_t)init + 1, text.ptr, text.len);
    if (!found) {
        luaL_pushfail(L);
        return 1;
    }
    lua_pushinteger(L, found - subject.ptr + 1);
    lua_pushinteger(L, found - subject.ptr + (ptrdiff_t)text.len);
    return 2;
}

static int guard_match(lua_State *L)
{
    return guard_pattern(L, 3, false);
}

static int guard_gmatch(lua_State *L)
{
    return guard_pattern(L, 3, true);
}

static int guard_gsub(lua_State *L)
{
    return guard_pattern(L, 0, true);
}

static lua_Integer table_length(lua_State *L)
{
    if (!lua_istable(L, 1))
        return 0;
    if (!lua_getmetatable(L, 1))
        return (lua_Integer)lua_rawlen(L, 1);
    lua_pop(L, 1);
    return luaL_len(L, 1); /* a __len of the script may say anything */
}

static int guard_table(lua_State *L)
{
    lua_Integer n = table_length(L);

    if (n > ELEMENTS_MAX)
        return luaL_error(L, "the table is too long");
    return real(L)(L);
}

/* Sorting calls nothing back that the time limit could end, if C compares. */
static int guard_sort(lua_State *L)
{
    struct script *s = script_of(L);
    lua_Integer ms = s && s->run ? (lua_Integer)(s->run->budget_ns / 1000000) : 0;

    if (table_length(L) > MAX(ms, 1) * SORTED_PER_MS)
        return luaL_error(L, "the table is too long to be sorted within lua.timeout");
    return guard_table(L);
}

static int guard_range(lua_State *L, int first_arg, int last_arg)
{
    lua_Integer first = luaL_optinteger(L, first_arg, 1), last = luaL_optinteger(L, last_arg, 0);

    if (last > first && (lua_Unsigned)last - (lua_Unsigned)first > ELEMENTS_MAX)
        return luaL_error(L, "too many elements");
    return guard_table(L);
}

static int guard_concat(lua_State *L)
{
    return guard_range(L, 3, 4);
}

static int guard_move(lua_State *L)
{
    return guard_range(L, 2, 3);
}

static int guard_unpack(lua_State *L)
{
    return guard_range(L, 2, 3);
}

static const struct {
    const char *library, *name;
    lua_CFunction guard;
} guards[GUARDS] = {
    [STRING_REP] = {"string", "rep", guard_rep},
    [STRING_FIND] = {"string", "find", guard_find},
    [STRING_MATCH] = {"string", "match", guard_match},
    [STRING_GMATCH] = {"string", "gmatch", guard_gmatch},
    [STRING_GSUB] = {"string", "gsub", guard_gsub},
    [TABLE_INSERT] = {"table", "insert", guard_table},
    [TABLE_REMOVE] = {"table", "remove", guard_table},
    [TABLE_CONCAT] = {"table", "concat", guard_concat},
    [TABLE_SORT] = {"table", "sort", guard_sort},
    [TABLE_MOVE] = {"table", "move", guard_move},
    [TABLE_UNPACK] = {"table", "unpack", guard_unpack},
};

/* --- base functions --------------------------------------------------------------------------- */

/* A finalizer runs with hooks off, so nothing could stop it. */
static int base_setmetatable(lua_State *L)
{
    if (lua_istable(L, 2)) {
        lua_pushliteral(L, "__gc");
        if (lua_rawget(L, 2) != LUA_TNIL)
            return luaL_error(L, "finalizers (__gc) are not available");
        lua_pop(L, 1);
    }
    return real(L)(L);
}

/* The handler of an xpcall is called from inside the count hook when that raises, with hooks off:
 * then the script's own one must not run. */
static int guarded_handler(lua_State *L)
{
    struct script *s = script_of(L);

    if (s && s->run && s->run->over)
        return 1;
    lua_pushvalue(L, lua_upvalueindex(1));
    lua_insert(L, 1);
    lua_call(L, lua_gettop(L) - 1, LUA_MULTRET);
    return lua_gettop(L);
}

static int all_results(lua_State *L, int status, lua_KContext context)
{
    (void)status;
    return lua_gettop(L) - (int)context;
}

static int base_xpcall(lua_State *L)
{
    luaL_checktype(L, 2, LUA_TFUNCTION);
    lua_pushvalue(L, 2);
    lua_pushcclosure(L, guarded_handler, 1);
    lua_replace(L, 2);
    lua_pushvalue(L, lua_upvalueindex(1));
    lua_insert(L, 1);
    lua_callk(L, lua_gettop(L) - 1, LUA_MULTRET, 0, all_results);
    return all_results(L, LUA_OK, 0);
}

static int base_print(lua_State *L)
{
    int n = lua_gettop(L);
    luaL_Buffer text;

    if (!log_enabled(LOG_INFO))
        return 0;
    luaL_checkstack(L, n + LUA_MINSTACK, NULL);
    for (int i = 1; i <= n; i++)
        luaL_tolstring(L, i, NULL);
    luaL_buffinit(L, &text);
    for (int i = 1; i <= n; i++) {
        if (i > 1)
            luaL_addchar(&text, '\t');
        lua_pushvalue(L, n + i);
        luaL_addvalue(&text);
    }
    luaL_pushresult(&text);
    {
        struct str line = string_arg(L, -1);

        log_write(LOG_INFO, line, NULL, 0);
    }
    return 0;
}

/* --- coroutines of the script ------------------------------------------------------------------
 *
 * They share the run's time. What C runs (hooks, timers) is not theirs to resume or to yield. */

static lua_State *coroutine_arg(lua_State *L)
{
    lua_State *co = lua_tothread(L, 1);

    luaL_argexpected(L, co, 1, "coroutine");
    if (script_is_own(L, co))
        luaL_error(L, "this coroutine is not the script's own");
    return co;
}

/* Resumes co with the n values on top of L: the number of results on top of L, or -1 with the
 * error there. */
static int resume(lua_State *L, lua_State *co, int n)
{
    int status, results = 0;

    if (lua_status(co) == LUA_OK && lua_gettop(co) == 0) {
        lua_pop(L, n);
        lua_pushliteral(L, "cannot resume dead coroutine");
        return -1;
    }
    if (!lua_checkstack(co, n)) {
        lua_pop(L, n);
        lua_pushliteral(L, "too many arguments to resume");
        return -1;
    }
    status = script_resume_nested(L, co, n, &results);
    if (status != LUA_OK && status != LUA_YIELD) {
        lua_xmove(co, L, 1);
        return -1;
    }
    if (!lua_checkstack(L, results + 1)) {
        lua_pop(co, results);
        lua_pushliteral(L, "too many results to resume");
        return -1;
    }
    lua_xmove(co, L, results);
    return results;
}

static int co_resume(lua_State *L)
{
    int results = resume(L, coroutine_arg(L), lua_gettop(L) - 1);

    lua_pushboolean(L, results >= 0);
    lua_insert(L, results >= 0 ? -(results + 1) : -2);
    return results >= 0 ? results + 1 : 2;
}

static int wrapped(lua_State *L)
{
    int results = resume(L, lua_tothread(L, lua_upvalueindex(1)), lua_gettop(L));

    return results >= 0 ? results : lua_error(L);
}

static int co_wrap(lua_State *L)
{
    lua_State *co;

    luaL_checktype(L, 1, LUA_TFUNCTION);
    co = lua_newthread(L);
    lua_pushvalue(L, 1);
    lua_xmove(L, co, 1);
    lua_pushcclosure(L, wrapped, 1);
    return 1;
}

static int co_yield (lua_State *L)
{
    if (script_is_running(L))
        return luaL_error(L, "attempt to yield from outside a coroutine");
    return lua_yield(L, lua_gettop(L));
}

/* One that failed is left to the collector: its pending __close would run with hooks off if the
 * time limit ended it. */
static int co_close(lua_State *L)
{
    lua_State *co = coroutine_arg(L);

    lua_Debug frame;

    if (lua_status(co) != LUA_OK && lua_status(co) != LUA_YIELD) {
        lua_pushboolean(L, false);
        lua_pushliteral(L, "the coroutine failed");
        return 2;
    }
    if (co == L || (lua_status(co) == LUA_OK && lua_getstack(co, 0, &frame)))
        return luaL_error(L, "cannot close a coroutine that runs");
    lua_pushboolean(L, script_reset_nested(L, co) == LUA_OK);
    if (lua_toboolean(L, -1))
        return 1;
    lua_xmove(co, L, 1);
    return 2;
}

/* --- opening ---------------------------------------------------------------------------------- */

/* library.name = guard, with the real function as upvalue. */
static void replace(lua_State *L, const char *library, const char *name, lua_CFunction guard)
{
    lua_getglobal(L, library);
    lua_getfield(L, -1, name);
    lua_pushcclosure(L, guard, 1);
    lua_setfield(L, -2, name);
    lua_pop(L, 1);
}

static void keep_only(lua_State *L, const char *library, const char *const *names)
{
    lua_newtable(L);
    lua_getglobal(L, library);
    for (; *names; names++) {
        lua_getfield(L, -1, *names);
        lua_setfield(L, -3, *names);
    }
    lua_pop(L, 1);
    lua_setglobal(L, library);
}

void sandbox_open(lua_State *L)
{
    static const luaL_Reg libraries[] = {
        {LUA_GNAME, luaopen_base},        {LUA_TABLIBNAME, luaopen_table},
        {LUA_STRLIBNAME, luaopen_string}, {LUA_MATHLIBNAME, luaopen_math},
        {LUA_UTF8LIBNAME, luaopen_utf8},  {LUA_COLIBNAME, luaopen_coroutine},
        {LUA_OSLIBNAME, luaopen_os},
    };
    static const char *const os_kept[] = {"clock", "date", "difftime", "getenv", "time", NULL};
    static const char *const gone[] = {"dofile", "loadfile", "collectgarbage", "warn"};

    for (size_t i = 0; i < ARRAY_LEN(libraries); i++) {
        luaL_requiref(L, libraries[i].name, libraries[i].func, 1);
        lua_pop(L, 1);
    }
    for (size_t i = 0; i < GUARDS; i++)
        replace(L, guards[i].library, guards[i].name, guards[i].guard);
    replace(L, LUA_GNAME, "setmetatable", base_setmetatable);
    replace(L, LUA_GNAME, "xpcall", base_xpcall);
    replace(L, LUA_GNAME, "print", base_print);
    replace(L, LUA_COLIBNAME, "resume", co_resume);
    replace(L, LUA_COLIBNAME, "wrap", co_wrap);
    replace(L, LUA_COLIBNAME, "yield", co_yield );
    replace(L, LUA_COLIBNAME, "close", co_close);
    keep_only(L, LUA_OSLIBNAME, os_kept);
    for (size_t i = 0; i < ARRAY_LEN(gone); i++) {
        lua_pushnil(L);
        lua_setglobal(L, gone[i]);
    }
    lua_getglobal(L, LUA_STRLIBNAME);
    lua_pushnil(L);
    lua_setfield(L, -2, "dump");
    lua_pop(L, 1);
    lua_pushcfunction(L, embedded_require); /* for our modules; the user's chunk sees another */
    lua_setglobal(L, "require");
}

/* read(path) → text, or nil and why not. In the server only while config.lua loads: it blocks. */
static int read_file(lua_State *L)
{
    struct script *s = script_of(L);
    const char *path = luaL_checkstring(L, 1);
    struct buf text = BUF_INIT(SOURCE_MAX);
    bool was_limited = s->limited;
    enum err err;

    if (!s->loading && s->tool_ref == LUA_NOREF)
        return luaL_error(L, "require may read a file only while config.lua loads");
    err = config_read_file(path, &text);
    s->limited = false; /* so that nothing raises while text is ours to free */
    if (err == OK) {
        lua_pushlstring(L, text.ptr ? text.ptr : "", text.len);
    } else {
        lua_pushnil(L);
    }
    s->limited = was_limited;
    buf_deinit(&text);
    lua_pushstring(L, err == OK ? NULL : "cannot be read");
    return 2;
}

/* The folders that require looks into: beside config.lua, then lua.path. */
static void push_folders(lua_State *L, const struct settings *set)
{
    ptrdiff_t slash = str_rfind(set->path, '/');
    struct str base = slash < 0 ? STR("./") : str_of(set->path.ptr, (size_t)slash + 1);

    lua_createtable(L, (int)set->lua_path.count + 1, 0);
    lua_pushlstring(L, base.ptr, base.len);
    lua_rawseti(L, -2, 1);
    for (size_t i = 0; i < set->lua_path.count; i++) {
        struct str folder = set->lua_path.items[i];
        bool relative = folder.len == 0 || folder.ptr[0] != '/';

        lua_pushlstring(L, base.ptr, relative ? base.len : 0);
        lua_pushlstring(L, folder.ptr ? folder.ptr : "", folder.len);
        lua_concat(L, 2);
        lua_rawseti(L, -2, (lua_Integer)i + 2);
    }
}

/* Replaces the finished module on top of the stack by a read-only view of it. */
static void close_module(lua_State *L)
{
    embedded_push(L, "perigee.strict", "module");
    lua_pushliteral(L, "perigee");
    lua_pushvalue(L, -3);
    lua_call(L, 2, 1);
    lua_replace(L, -2);
}

/* The tool may add to what programs find. */
static void prepare(lua_State *L, struct script *s)
{
    lua_rawgeti(L, LUA_REGISTRYINDEX, s->tool_ref);
    if (lua_getfield(L, -1, "prepare") == LUA_TFUNCTION) {
        lua_pushvalue(L, -3);
        lua_call(L, 1, 0);
    } else {
        lua_pop(L, 1);
    }
    lua_pop(L, 1);
}

void sandbox_open_loader(lua_State *L, const struct settings *set)
{
    struct script *s = script_of(L);
    int module = lua_gettop(L);

    close_module(L);
    embedded_push(L, "perigee.loader", "new");
    lua_newtable(L);
    lua_pushglobaltable(L);
    lua_setfield(L, -2, "globals");
    lua_pushcfunction(L, read_file);
    lua_setfield(L, -2, "read");
    push_folders(L, set);
    lua_setfield(L, -2, "folders");
    lua_createtable(L, 0, 1);
    lua_pushvalue(L, module);
    lua_setfield(L, -2, "perigee");
    lua_setfield(L, -2, "modules");
    if (s->tool_ref != LUA_NOREF)
        prepare(L, s);
    lua_call(L, 1, 1);
    lua_replace(L, module);
    lua_settop(L, module);
}

void sandbox_run_config(lua_State *L, const struct settings *set)
{
    int loader = lua_gettop(L);

    lua_getfield(L, loader, "load");
    lua_pushlstring(L, set->source.ptr ? set->source.ptr : "return {}",
                    set->source.ptr ? set->source.len : 9);
    lua_pushlstring(L, set->path.ptr ? set->path.ptr : "config.lua",
                    set->path.ptr ? set->path.len : 10);
    lua_call(L, 2, 2);
    if (lua_isnil(L, -2))
        lua_error(L);
    lua_pop(L, 1);
    lua_call(L, 0, 1);
    if (!lua_istable(L, -1))
        luaL_error(L, "config.lua must return a table, not a %s", luaL_typename(L, -1));
    lua_replace(L, loader);
    lua_settop(L, loader);
}
