#include "api/api_types.h"

#include "base/check.h"
#include "base/clock.h"
#include "base/mem.h"
#include "codec/json.h"
#include "core/control.h"
#include "script/embedded.h"
#include "script/hook.h"

#include <assert.h>
#include <lauxlib.h>

/* ---- words ---- */

struct str api_message(uint32_t code)
{
    switch (code) {
    case API_INTERNAL:
    case API_NOT_ENCODABLE:
        return STR("internal server error");
    case API_UNKNOWN_CHANNEL:
        return STR("unknown channel");
    case API_NOT_FOUND:
        return STR("not found");
    case API_BAD_REQUEST:
        return STR("bad request");
    case API_NOT_AVAILABLE:
        return STR("not available");
    case API_UNRECOVERABLE_POSITION:
        return STR("unrecoverable position");
    case API_CONFLICT:
        return STR("conflict");
    default:
        return STR("error");
    }
}

void api_add_error(struct buf *out, uint32_t code, struct str message)
{
    buf_add_lit(out, "{\"code\":");
    buf_add_u64(out, code == API_NOT_ENCODABLE ? API_INTERNAL : code);
    buf_add_lit(out, ",\"message\":");
    json_add_string(out, message.len > 0 ? message : api_message(code));
    buf_add_char(out, '}');
}

void api_add_node(struct buf *out, const struct node *node, const struct control_info *info)
{
    const struct {
        const char *key;
        uint64_t number;
    } numbers[] = {
        {"num_clients", info->clients},
        {"num_users", info->users},
        {"num_channels", info->channels},
        {"num_subs", info->subscriptions},
        {"uptime", (clock_mono_ms() - node->started_ms) / 1000},
    };

    buf_add_lit(out, "[{\"uid\":");
    json_add_string(out, str_of(node->uid, sizeof node->uid));
    buf_add_lit(out, ",\"name\":");
    json_add_string(out, node->name);
    buf_add_lit(out, ",\"version\":");
    json_add_string(out, node->version);
    for (size_t i = 0; i < ARRAY_LEN(numbers); i++) {
        buf_printf(out, ",\"%s\":", numbers[i].key);
        buf_add_u64(out, numbers[i].number);
    }
    buf_add_lit(out, "}]");
}

/* ---- the commands of a state ---- */

struct commands {
    struct api_command rows[API_COMMAND_COUNT];
    struct buf scratch;
};

static const struct {
    const char *name, *module, *what;
} modules[] = {
#define X(name, number) {#name, "perigee.api." #name, "api command " #name},
    API_COMMANDS(X)
#undef X
};
static_assert(ARRAY_LEN(modules) == API_COMMAND_COUNT, "one module per command");

enum api_name api_find(struct str name)
{
    for (size_t i = 0; i < API_COMMAND_COUNT; i++) {
        if (str_eq(name, str_from(modules[i].name)))
            return (enum api_name)i;
    }
    return API_COMMAND_COUNT;
}

struct str api_name_of(enum api_name which)
{
    CHECK(which < API_COMMAND_COUNT);
    return str_from(modules[which].name);
}

static int commands_gc(lua_State *L)
{
    struct commands *c = lua_touserdata(L, 1);

    for (size_t i = 0; i < API_COMMAND_COUNT; i++) {
        api_spec_deinit(&c->rows[i].params);
        api_spec_deinit(&c->rows[i].result);
    }
    buf_deinit(&c->scratch);
    return 0;
}

/* The module's table is on top of the stack. */
static void load_command(lua_State *L, struct api_command *row, const char *module)
{
    if (!lua_istable(L, -1))
        luaL_error(L, "%s must return a table", module);
    lua_getfield(L, -1, "params");
    api_spec_load(L, -1, &row->params);
    lua_getfield(L, -2, "result");
    api_spec_load(L, -1, &row->result);
    if (lua_getfield(L, -3, "run") != LUA_TFUNCTION)
        luaL_error(L, "%s must have a function named run", module);
    row->run = luaL_ref(L, LUA_REGISTRYINDEX);
    lua_pop(L, 2);
}

void api_load(lua_State *L)
{
    struct commands *c = lua_newuserdatauv(L, sizeof *c, 0);

    *c = (struct commands){.scratch = BUF_INIT(API_SCRATCH_MAX)};
    lua_createtable(L, 0, 1);
    lua_pushcfunction(L, commands_gc);
    lua_setfield(L, -2, "__gc");
    lua_setmetatable(L, -2);
    luaL_ref(L, LUA_REGISTRYINDEX); /* as long as the state */
    script_attach(script_of(L), c);
    for (size_t i = 0; i < API_COMMAND_COUNT; i++) {
        c->rows[i].name = modules[i].name;
        c->rows[i].what = modules[i].what;
        embedded_push(L, modules[i].module, NULL);
        load_command(L, &c->rows[i], modules[i].module);
        lua_pop(L, 1);
    }
}

static struct commands *commands_of(lua_State *L)
{
    struct commands *c = script_attached(script_of(L));

    CHECK(c);
    return c;
}

const struct api_command *api_command(lua_State *L, enum api_name which)
{
    CHECK(which < API_COMMAND_COUNT);
    return &commands_of(L)->rows[which];
}

struct buf *api_scratch(lua_State *L)
{
    struct buf *scratch = &commands_of(L)->scratch;

    buf_clear(scratch);
    if (scratch->cap > API_SCRATCH_KEPT)
        buf_shrink(scratch);
    return scratch;
}

bool api_exists(struct core *core, const struct api_target *target)
{
    lua_State *L = script_state(core->script);

    if (target->which != API_CUSTOM)
        return true;
    if (!hook_push_api(core->script, L, target->name))
        return false;
    lua_pop(L, 1);
    return true;
}

/* ---- calls ---- */

static struct api_call *call_new(struct api *api)
{
    struct api_call *call = api->free;

    if (call) {
        api->free = call->next_free;
    } else {
        call = mem_zalloc(sizeof *call);
        call->api = api;
        api->calls++;
    }
    return call;
}

static void call_free(struct api_call *call)
{
    api_args_reset(&call->args);
    call->next_free = call->api->free;
    call->api->free = call;
}

/* nil, code and maybe a message, as the commands return it. */
static void read_error(lua_State *co, int first, int n, struct api_reply *reply)
{
    lua_Integer code = n >= 2 ? lua_tointeger(co, first + 1) : 0;

    reply->code = code > 0 && code <= UINT32_MAX ? (uint32_t)code : API_INTERNAL;
    if (n >= 3 && lua_type(co, first + 2) == LUA_TSTRING)
        reply->message.ptr = lua_tolstring(co, first + 2, &reply->message.len);
}

#define WRAP "{\"result\":"

static void make_reply(struct api_call *call, lua_State *co, int n, struct api_reply *reply)
{
    struct buf *out = &call->api->out;
    int first = lua_gettop(co) - n + 1;

    buf_clear(out);
    buf_add_lit(out, WRAP);
    if (call->which == API_CUSTOM)
        api_read_custom(co, first, n, out, reply);
    else if (n > 0 && lua_isnil(co, first))
        read_error(co, first, n, reply);
    else if (api_encode(&api_command(co, call->which)->result, co, first, n, out) != OK)
        reply->code = API_INTERNAL;
    buf_add_char(out, '}');
    if (reply->code == 0 && out->overflow)
        reply->code = API_INTERNAL;
    if (reply->code != 0)
        return;
    reply->wrapped = buf_str(out);
    reply->result = str_of(out->ptr + sizeof WRAP - 1, out->len - (sizeof WRAP - 1) - 1);
}

static void on_done(void *arg, enum err err, lua_State *co, int n)
{
    struct api_call *call = arg;
    struct api *api = call->api;
    struct api_reply reply = {0};

    lua_checkstack(co, LUA_MINSTACK);
    if (err == OK)
        make_reply(call, co, n, &reply);
    else
        reply.code = API_INTERNAL;
    if (reply.code != 0)
        api->counts.errors[call->which]++;
    if (call->done)
        *call->done = true;
    call->fn(call->arg, &reply);
    if (api->out.cap > API_SCRATCH_KEPT) {
        buf_clear(&api->out);
        buf_shrink(&api->out);
    }
    call_free(call);
}

static int do_nothing(lua_State *L)
{
    (void)L;
    return 0;
}

/* Gives a coroutine back that was begun for nothing. */
static void abandon(struct script *s, lua_State *co)
{
    lua_settop(co, 0);
    lua_pushcfunction(co, do_nothing);
    script_run(s, co, 0, "api", NULL, NULL);
}

/* Pushes the command's function and its arguments: given, or else those in the text params. */
static enum err push_command(struct api_call *call, lua_State *co, const struct api_target *target,
                             struct str params, const struct api_given *given)
{
    const struct api_command *command;

    if (target->which == API_CUSTOM)
        return api_push_custom(call->api->core->script, co, target->name,
                               given ? given->values[0] : params);
    command = api_command(co, target->which);
    lua_rawgeti(co, LUA_REGISTRYINDEX, command->run);
    if (!given)
        return api_decode(&command->params, params, &call->args, co);
    api_push_given(&command->params, given, &call->args, co);
    return OK;
}

static enum err start(struct api *api, const struct api_target *target, struct str params,
                      const struct api_given *given, api_done_fn *fn, void *arg)
{
    struct script *s = api->core->script;
    struct api_call *call = call_new(api);
    lua_State *co = script_begin(s);
    bool done = false;

    call->which = target->which;
    call->fn = fn;
    call->arg = arg;
    call->done = &done;
    lua_checkstack(co, 2 * API_FIELDS_MAX);
    if (push_command(call, co, target, params, given) != OK) {
        abandon(s, co);
        call_free(call);
        return ERR_SYNTAX;
    }
    api->counts.calls[target->which]++;
    script_run(s, co, lua_gettop(co) - 1,
               target->which == API_CUSTOM ? "api command of config.lua"
                                           : api_command(co, target->which)->what,
               on_done, call);
    if (!done) { /* it waits, and params may go: its raw arguments have been taken by then */
        call->done = NULL;
        for (size_t i = 0; i < call->args.raw_count; i++)
            call->args.raws[i] = (struct api_raw){0};
    }
    return OK;
}

enum err api_start(struct api *api, const struct api_target *target, struct str params,
                   api_done_fn *fn, void *arg)
{
    return start(api, target, params, NULL, fn, arg);
}

enum err api_take_params(struct api *api, const struct api_target *target, struct str *rest,
                         struct arena *a, struct api_given *out)
{
    const struct api_command *command;

    if (target->which == API_CUSTOM) {
        *out = (struct api_given){1, arena_alloc(a, sizeof *out->values)};
        return json_skip(rest, out->values) == OK ? OK : ERR_SYNTAX;
    }
    command = api_command(script_state(api->core->script), target->which);
    return api_take(&command->params, rest, a, out);
}

enum err api_start_given(struct api *api, const struct api_target *target,
                         const struct api_given *given, api_done_fn *fn, void *arg)
{
    return start(api, target, STR_NONE, given, fn, arg);
}

const struct api_counts *api_counts(const struct api *api)
{
    return &api->counts;
}
