#include "script/hook.h"

#include "base/check.h"
#include "base/mem.h"
#include "codec/json.h"
#include "core/channel.h"
#include "script/lua_json.h"
#include "script/script_state.h"
#include "script/verdict.h"

#define OLD_DEPTH_MAX 16 /* of tables that the reload hook is given */

/* Registry key of the metatable of requests, and the key of the client in a connect context. */
static const char request_key, client_key;

static const char *const hook_texts[HOOK_COUNT] = {
#define X(upper, lower) [HOOK_##upper] = "hooks." #lower,
    HOOK_LIST(X)
#undef X
};

const struct hooks *script_hooks(const struct script *s, unsigned ns_index)
{
    DCHECK(ns_index < s->rows_count);
    return &s->rows[ns_index];
}

unsigned hook_row(const struct script *s, struct str channel)
{
    struct channel_parts parts;

    return channel_resolve(s->settings, channel, &parts) == OK ? (unsigned)parts.ns->index : 0;
}

size_t hook_events_running(const struct script *s)
{
    return s->events_running;
}

void hook_set_client_view(struct script *s, hook_push_client_fn *push)
{
    s->push_client = push;
}

bool hook_is_set_anywhere(const struct script *s, enum hook which)
{
    return s && s->hooks_set & 1u << which;
}

bool hook_wants_headers(const struct script *s)
{
    return s->wants_headers;
}

/* --- what a hook is told ---------------------------------------------------------------------- */

/* What a connect context may lack: nil, rather than a question to its client. */
static bool is_own_field(const char *key)
{
    static const char *const own[] = {"raw", "token", "name", "version", "channels"};

    for (size_t i = 0; i < ARRAY_LEN(own); i++) {
        if (strcmp(key, own[i]) == 0)
            return true;
    }
    return false;
}

/* request.data: decoded when it is first asked for. What a connect context has not, its client
 * has. */
static int request_index(lua_State *L)
{
    const char *key = lua_type(L, 2) == LUA_TSTRING ? lua_tostring(L, 2) : "";

    if (strcmp(key, "data") == 0) {
        struct str raw;

        lua_pushliteral(L, "raw");
        if (lua_rawget(L, 1) != LUA_TSTRING)
            return 0;
        raw.ptr = lua_tolstring(L, -1, &raw.len);
        if (lua_json_push(L, raw) != OK)
            return luaL_error(L, "the data is not valid JSON");
        lua_pushvalue(L, 2);
        lua_pushvalue(L, -2);
        lua_rawset(L, 1);
        return 1;
    }
    if (lua_rawgetp(L, 1, &client_key) == LUA_TNIL || is_own_field(key))
        return 0;
    lua_pushvalue(L, 2);
    if (lua_gettable(L, -2) == LUA_TFUNCTION)
        return luaL_error(L, "ctx:%s: the client is not connected yet", key);
    return 1;
}

void hook_open(lua_State *L)
{
    lua_createtable(L, 0, 2);
    lua_pushcfunction(L, request_index);
    lua_setfield(L, -2, "__index");
    lua_pushboolean(L, false);
    lua_setfield(L, -2, "__metatable");
    lua_rawsetp(L, LUA_REGISTRYINDEX, &request_key);
}

static void push_text(lua_State *L, struct str text)
{
    lua_pushlstring(L, text.ptr ? text.ptr : "", text.len);
}

static void set_json(lua_State *L, const char *name, struct str json)
{
    if (json.len > 0 && lua_json_push(L, json) == OK)
        lua_setfield(L, -2, name);
}

static void set_text(lua_State *L, const char *name, struct str text)
{
    if (text.len == 0)
        return;
    lua_pushlstring(L, text.ptr, text.len);
    lua_setfield(L, -2, name);
}

static void push_client(struct script *s, lua_State *L, void *client)
{
    if (client && s->push_client)
        s->push_client(L, client);
    else
        lua_pushnil(L);
}

static void push_data(lua_State *L, const struct hook_request *request)
{
    if (request->data.len == 0)
        lua_pushnil(L);
    else if (lua_json_push(L, request->data) != OK)
        lua_pushlstring(L, request->data.ptr, request->data.len);
}

static void push_channels(lua_State *L, const struct hook_request *request)
{
    lua_createtable(L, (int)request->channel_count, 0);
    for (size_t i = 0; i < request->channel_count; i++) {
        struct str channel = request->channels[i];

        push_text(L, channel);
        lua_rawseti(L, -2, (lua_Integer)i + 1);
    }
}

static void push_request(struct script *s, lua_State *L, enum hook which,
                         const struct hook_request *request)
{
    lua_createtable(L, 0, 4);
    set_text(L, "channel", request->channel);
    set_text(L, "method", request->method);
    set_text(L, "token", request->token);
    set_text(L, "raw", request->data);
    if (request->data_is_binary && !json_valid(request->data))
        set_text(L, "data", request->data);
    set_json(L, "tags", request->tags);
    if (request->user_limited) {
        lua_pushboolean(L, true);
        lua_setfield(L, -2, "user_limited");
    }
    if (which == HOOK_UNSUBSCRIBE || which == HOOK_DISCONNECT) {
        lua_pushinteger(L, request->code);
        lua_setfield(L, -2, "code");
        push_text(L, request->reason);
        lua_setfield(L, -2, "reason");
    }
    if (which == HOOK_CONNECT) {
        set_text(L, "name", request->name);
        set_text(L, "version", request->version);
        push_channels(L, request);
        lua_setfield(L, -2, "channels");
        if (request->has_user) {
            push_text(L, request->user);
            lua_setfield(L, -2, "user");
            set_json(L, "info", request->info);
            set_json(L, "meta", request->meta);
        }
        push_client(s, L, request->client);
        lua_rawsetp(L, -2, &client_key);
    }
    lua_rawgetp(L, LUA_REGISTRYINDEX, &request_key);
    lua_setmetatable(L, -2);
}

/* Copies the value on top of from, which it pops, to the other state: tables, strings, numbers and
 * booleans. False: it is something else, and nothing is pushed. */
static bool move_plain(lua_State *from, lua_State *to, int depth)
{
    struct str text;
    bool plain = true;

    CHECK(lua_checkstack(from, LUA_MINSTACK) && lua_checkstack(to, LUA_MINSTACK));
    switch (depth < OLD_DEPTH_MAX ? lua_type(from, -1) : LUA_TNONE) {
    case LUA_TBOOLEAN:
        lua_pushboolean(to, lua_toboolean(from, -1));
        break;
    case LUA_TNUMBER:
        if (lua_isinteger(from, -1))
            lua_pushinteger(to, lua_tointeger(from, -1));
        else
            lua_pushnumber(to, lua_tonumber(from, -1));
        break;
    case LUA_TSTRING:
        text.ptr = lua_tolstring(from, -1, &text.len);
        lua_pushlstring(to, text.ptr, text.len);
        break;
    case LUA_TTABLE:
        lua_newtable(to);
        for (lua_pushnil(from); lua_next(from, -2);) {
            lua_pushvalue(from, -2);
            if (!move_plain(from, to, depth + 1))
                lua_pop(from, 1);
            else if (move_plain(from, to, depth + 1))
                lua_rawset(to, -3);
            else
                lua_pop(to, 1);
        }
        break;
    default:
        plain = false;
    }
    lua_pop(from, 1);
    return plain;
}

static void push_old(lua_State *L, const struct script *old)
{
    lua_rawgeti(old->L, LUA_REGISTRYINDEX, old->config_ref);
    if (!move_plain(old->L, L, 0))
        lua_pushnil(L);
}

/* Pushes the arguments and returns how many. */
static int push_arguments(struct script *s, lua_State *L, enum hook which,
                          const struct hook_request *request)
{
    switch (which) {
    case HOOK_CONNECT:
    case HOOK_TRANSFORM:
        push_request(s, L, which, request);
        return 1;
    case HOOK_REFRESH:
    case HOOK_SUBSCRIBE:
    case HOOK_SUB_REFRESH:
    case HOOK_PUBLISH:
    case HOOK_RPC:
    case HOOK_PRESENCE:
    case HOOK_HISTORY:
    case HOOK_UNSUBSCRIBE:
    case HOOK_DISCONNECT:
        push_client(s, L, request->client);
        push_request(s, L, which, request);
        return 2;
    case HOOK_MESSAGE:
        push_client(s, L, request->client);
        push_data(L, request);
        return 2;
    case HOOK_OCCUPIED:
    case HOOK_VACATED:
        push_text(L, request->channel);
        return 1;
    case HOOK_RELOAD:
        push_old(L, request->old);
        return 1;
    case HOOK_START:
    case HOOK_STOP:
    case HOOK_CHANNEL_OPTIONS: /* channel_options.c asks it */
    case HOOK_COUNT:
        break;
    }
    return 0;
}

/* --- running ---------------------------------------------------------------------------------- */

struct hook_call {
    struct script *script;
    hook_done_fn *fn;
    void *arg;
    struct verdict_request request;
    struct arena arena; /* of the verdict */
    const char *what;
};

static bool is_event(enum hook which)
{
    return which == HOOK_UNSUBSCRIBE || which == HOOK_DISCONNECT || which == HOOK_OCCUPIED ||
           which == HOOK_VACATED;
}

static void on_returned(void *arg, enum err err, lua_State *L, int n)
{
    struct hook_call *call = arg;
    struct script *s = call->script;
    struct hook_verdict verdict;
    const char *why, *field;

    call->request.arena = &call->arena;
    call->request.scratch = &s->encoded;
    if (err != OK) {
        verdict_internal(&verdict);
    } else if (!verdict_read(&call->request, L, n, &verdict, &why, &field)) {
        lua_pushfstring(L, field ? "%s: %s in its result %s" : "%s: %s%s", call->what,
                        field ? field : why, field ? why : "");
        script_failed(s, L, LUA_ERRRUN, call->what, NULL);
        verdict_internal(&verdict);
    }
    if (s->encoded.cap > (64 << 10)) {
        size_t max = s->encoded.max;

        buf_deinit(&s->encoded);
        s->encoded = BUF_INIT(max);
    }
    if (is_event(call->request.which))
        s->events_running--;
    call->fn(call->arg, &verdict);
    arena_deinit(&call->arena);
    mem_free(call);
}

/* The frame of call_both: own hook, common hook, what, then the arguments. */
enum { BOTH_OWN = 1, BOTH_COMMON, BOTH_EVENT, BOTH_FIRST };

static int common_returned(lua_State *L, int status, lua_KContext base)
{
    (void)status;
    return lua_gettop(L) - (int)base;
}

static void push_call(lua_State *L, int function, int base)
{
    luaL_checkstack(L, base + 1, NULL);
    lua_pushvalue(L, function);
    for (int i = BOTH_FIRST; i <= base; i++)
        lua_pushvalue(L, i);
}

static int own_returned(lua_State *L, int status, lua_KContext context)
{
    int base = (int)context;
    const char *event = lua_touserdata(L, BOTH_EVENT);

    if (event && status != LUA_OK && status != LUA_YIELD)
        script_failed(script_of(L), L, status, event, NULL);
    else if (!event && lua_gettop(L) > base &&
             (!lua_isnil(L, base + 1) || lua_gettop(L) > base + 1))
        return lua_gettop(L) - base;
    lua_settop(L, base);
    push_call(L, BOTH_COMMON, base);
    lua_callk(L, base - BOTH_FIRST + 1, LUA_MULTRET, base, common_returned);
    return common_returned(L, LUA_OK, base);
}

/* A namespace's own hook, then the common one: for events always, else when the first is silent. */
static int call_both(lua_State *L)
{
    int base = lua_gettop(L), status = LUA_OK;

    push_call(L, BOTH_OWN, base);
    if (lua_touserdata(L, BOTH_EVENT))
        status = lua_pcallk(L, base - BOTH_FIRST + 1, LUA_MULTRET, 0, base, own_returned);
    else
        lua_callk(L, base - BOTH_FIRST + 1, LUA_MULTRET, base, own_returned);
    return own_returned(L, status, base);
}

void hook_run_pushed(struct script *s, lua_State *co, int nargs,
                     const struct verdict_request *request, const char *what, hook_done_fn *fn,
                     void *arg)
{
    struct hook_call *call;

    if (!fn) {
        script_run(s, co, nargs, what, NULL, NULL);
        return;
    }
    call = mem_alloc(sizeof *call);
    *call =
        (struct hook_call){.script = s, .fn = fn, .arg = arg, .request = *request, .what = what};
    script_run(s, co, nargs, what, on_returned, call);
}

void hook_run(struct script *s, unsigned ns_index, enum hook which,
              const struct hook_request *request, hook_done_fn *fn, void *arg)
{
    static const struct hook_request nothing;
    const struct hooks *hooks = script_hooks(s, ns_index);
    int own = hooks->own[which], common = hooks->common[which];
    const struct verdict_request how = {.which = which,
                                        .is_binary = request && request->data_is_binary};
    lua_State *co = script_begin(s);
    int nargs = 0;

    CHECK(hooks_has(hooks, which));
    if (is_event(which)) {
        CHECK(fn);
        s->events_running++;
    }
    if (own != LUA_NOREF && common != LUA_NOREF) {
        lua_pushcfunction(co, call_both);
        lua_rawgeti(co, LUA_REGISTRYINDEX, own);
        lua_rawgeti(co, LUA_REGISTRYINDEX, common);
        lua_pushlightuserdata(co, is_event(which) ? (void *)hook_texts[which] : NULL);
        nargs = BOTH_FIRST - 1;
    } else {
        lua_rawgeti(co, LUA_REGISTRYINDEX, own != LUA_NOREF ? own : common);
    }
    nargs += push_arguments(s, co, which, request ? request : &nothing);
    hook_run_pushed(s, co, nargs, &how, hook_texts[which], fn, arg);
}

/* --- methods and commands --------------------------------------------------------------------- */

static bool push_function(struct script *s, lua_State *L, int table, struct str name)
{
    bool limited = s->limited, found;

    if (table == LUA_NOREF)
        return false;
    s->limited = false; /* nobody would catch an error here */
    lua_rawgeti(L, LUA_REGISTRYINDEX, table);
    push_text(L, name);
    lua_rawget(L, -2);
    lua_remove(L, -2);
    s->limited = limited;
    found = lua_isfunction(L, -1);
    if (!found)
        lua_pop(L, 1);
    return found;
}

bool hook_has_rpc(struct script *s, struct str method)
{
    if (!push_function(s, s->L, s->rpc_ref, method))
        return false;
    lua_pop(s->L, 1);
    return true;
}

bool hook_has_any_rpc(const struct script *s)
{
    return s->rpc_ref != LUA_NOREF || hooks_has(&s->rows[0], HOOK_RPC);
}

void hook_run_rpc(struct script *s, const struct hook_request *request, hook_done_fn *fn, void *arg)
{
    const struct verdict_request how = {
        .which = HOOK_RPC, .is_method = true, .is_binary = request->data_is_binary};
    lua_State *co = script_begin(s);

    CHECK(push_function(s, co, s->rpc_ref, request->method));
    push_client(s, co, request->client);
    push_data(co, request);
    hook_run_pushed(s, co, 2, &how, "rpc", fn, arg);
}

bool hook_push_api(struct script *s, lua_State *L, struct str command)
{
    return push_function(s, L, s->api_ref, command);
}
