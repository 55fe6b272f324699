/* Finds the functions in the table that config.lua returned. */
#include "base/mem.h"
#include "script/script_state.h"

static const char *const hook_names[HOOK_COUNT] = {
#define X(upper, lower) [HOOK_##upper] = #lower,
    HOOK_LIST(X)
#undef X
};

/* Hooks that are told of a client, and so of its headers. */
#define CLIENT_HOOKS                                                                               \
    (1u << HOOK_CONNECT | 1u << HOOK_REFRESH | 1u << HOOK_SUBSCRIBE | 1u << HOOK_SUB_REFRESH |     \
     1u << HOOK_PUBLISH | 1u << HOOK_RPC | 1u << HOOK_MESSAGE | 1u << HOOK_PRESENCE |              \
     1u << HOOK_HISTORY | 1u << HOOK_UNSUBSCRIBE | 1u << HOOK_DISCONNECT)

/* Pushes the member of the table at idx; false (and nothing pushed) when it is nil. */
static bool push_member(lua_State *L, int idx, const char *name, const char *path)
{
    int type = lua_getfield(L, idx, name);

    if (type == LUA_TNIL) {
        lua_pop(L, 1);
        return false;
    }
    if (type != LUA_TTABLE)
        luaL_error(L, "%s must be a table, not a %s", path, lua_typename(L, type));
    return true;
}

static int hook_of(lua_State *L, int idx)
{
    const char *name = lua_type(L, idx) == LUA_TSTRING ? lua_tostring(L, idx) : "";

    for (int i = 0; i < HOOK_COUNT; i++) {
        if (strcmp(name, hook_names[i]) == 0)
            return i;
    }
    return -1;
}

/* The table of hooks on top of the stack, which it pops, into slots. */
static void take_hooks(struct script *s, lua_State *L, int *slots, const char *path)
{
    int table = lua_gettop(L);

    for (lua_pushnil(L); lua_next(L, table);) {
        int which = hook_of(L, -2);

        if (which < 0)
            luaL_error(L, "%s: there is no hook \"%s\"", path, luaL_tolstring(L, -2, NULL));
        if (!lua_isfunction(L, -1))
            luaL_error(L, "%s.%s must be a function, not a %s", path, hook_names[which],
                       luaL_typename(L, -1));
        if (CLIENT_HOOKS & 1u << which)
            s->wants_headers = true;
        s->hooks_set |= 1u << which;
        slots[which] = luaL_ref(L, LUA_REGISTRYINDEX);
    }
    lua_pop(L, 1);
}

/* A table of functions by name (rpc, api), kept as it is. */
static int take_functions(lua_State *L, int idx, const char *name)
{
    if (!push_member(L, idx, name, name))
        return LUA_NOREF;
    for (lua_pushnil(L); lua_next(L, -2); lua_pop(L, 1)) {
        const char *type = luaL_typename(L, -1);

        if (lua_type(L, -2) != LUA_TSTRING || !lua_isfunction(L, -1))
            luaL_error(L, "%s.%s must be a function, not a %s", name, luaL_tolstring(L, -2, NULL),
                       type);
    }
    return luaL_ref(L, LUA_REGISTRYINDEX);
}

static void take_namespaces(struct script *s, lua_State *L, int channel)
{
    if (push_member(L, channel, "without_namespace", "channel.without_namespace")) {
        if (push_member(L, lua_gettop(L), "hooks", "channel.without_namespace.hooks"))
            take_hooks(s, L, s->rows[0].own, "channel.without_namespace.hooks");
        lua_pop(L, 1);
    }
    if (!push_member(L, channel, "namespaces", "channel.namespaces"))
        return;
    for (size_t i = 1; i < s->rows_count; i++) {
        struct str name = s->settings->namespaces[i].name;

        lua_pushlstring(L, name.ptr, name.len);
        if (lua_gettable(L, -2) == LUA_TTABLE) {
            const char *path = lua_pushfstring(L, "channel.namespaces.%s.hooks",
                                               lua_pushlstring(L, name.ptr, name.len));

            if (push_member(L, -3, "hooks", path))
                take_hooks(s, L, s->rows[i].own, path);
            lua_pop(L, 2); /* path and name */
        }
        lua_pop(L, 1);
    }
    lua_pop(L, 1);
}

void hooks_load(struct script *s, lua_State *L, int idx)
{
    int common[HOOK_COUNT];

    luaL_checkstack(L, LUA_MINSTACK, NULL);
    for (int which = 0; which < HOOK_COUNT; which++)
        common[which] = LUA_NOREF;
    if (push_member(L, idx, "hooks", "hooks"))
        take_hooks(s, L, common, "hooks");
    s->rows_count = s->settings->namespaces_count;
    s->rows = mem_alloc(s->rows_count * sizeof *s->rows);
    for (size_t i = 0; i < s->rows_count; i++) {
        for (int which = 0; which < HOOK_COUNT; which++) {
            s->rows[i].own[which] = LUA_NOREF;
            s->rows[i].common[which] = common[which];
        }
    }
    if (push_member(L, idx, "channel", "channel")) {
        take_namespaces(s, L, lua_gettop(L));
        lua_pop(L, 1);
    }
    s->rpc_ref = take_functions(L, idx, "rpc");
    s->api_ref = take_functions(L, idx, "api");
    if (s->rpc_ref != LUA_NOREF)
        s->wants_headers = true;
}

void hooks_unload(struct script *s)
{
    mem_free(s->rows);
}
