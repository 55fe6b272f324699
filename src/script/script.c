#include "script/script.h"

#include "base/check.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "script/embedded.h"
#include "script/module.h"
#include "script/sandbox.h"
#include "script/script_state.h"

#include <lauxlib.h>

#define COROUTINES_MAX 10000      /* that wait at once */
#define COROUTINES_KEPT 256       /* finished ones kept for reuse */
#define LOAD_BUDGET_NS 5000000000 /* the chunk may compute; it runs before anybody waits */
#define TRACEBACKS_PER_SECOND 10
#define MESSAGE_MAX 4096 /* of an error, in front of its traceback */

/* Only our own mistakes get here: user code always runs protected, and memory is not limited
 * outside of it. */
static int on_panic(lua_State *L)
{
    const char *text = lua_tostring(L, -1);

    panic("unprotected Lua error: %s", text ? text : "not a string");
}

/* --- running ---------------------------------------------------------------------------------- */

struct script *script_of(lua_State *L)
{
    struct script **of = *(struct script ***)lua_getextraspace(L);

    return of ? *of : NULL;
}

bool script_is_own(lua_State *L, lua_State *co)
{
    struct script *s = script_of(L);

    return s && *(void **)lua_getextraspace(co) != (void *)s;
}

bool script_is_running(lua_State *L)
{
    struct script *s = script_of(L);

    return s && s->run && s->run->L == L;
}

/* Back in Lua that called us, if any did. */
static void relimit(struct script *s)
{
    s->limited = s->run != NULL;
}

static struct coroutine *coroutine_new(struct script *s)
{
    struct coroutine *co = mem_zalloc(sizeof *co);

    co->script = s;
    co->L = lua_newthread(s->L);
    co->ref = luaL_ref(s->L, LUA_REGISTRYINDEX);
    *(struct coroutine **)lua_getextraspace(co->L) = co;
    list_init(&co->in_script);
    return co;
}

static void coroutine_free(struct script *s, struct coroutine *co)
{
    *(struct script **)lua_getextraspace(co->L) = s;
    luaL_unref(s->L, LUA_REGISTRYINDEX, co->ref);
    mem_free(co);
}

static void script_free(struct script *s);

/* A failed coroutine is not used again: its stack and its hooks are in an unknown state. */
static void coroutine_end(struct script *s, struct coroutine *co, bool reusable)
{
    list_del(&co->in_script);
    s->alive_count--;
    if (reusable && s->free_count < COROUTINES_KEPT && !s->closing) {
        lua_settop(co->L, 0);
        co->next_free = s->free;
        s->free = co;
        s->free_count++;
    } else {
        coroutine_free(s, co);
    }
    relimit(s);
    if (s->closing && s->alive_count == 0 && !s->run)
        script_free(s);
}

lua_State *script_begin(struct script *s)
{
    struct coroutine *co = s->free;

    s->limited = false;
    if (co) {
        s->free = co->next_free;
        s->free_count--;
    } else {
        co = coroutine_new(s);
    }
    co->budget_ns = 0;
    list_add_tail(&s->alive, &co->in_script);
    s->alive_count++;
    return co->L;
}

void script_set_budget(lua_State *L, uint64_t ms)
{
    struct coroutine *co = *(struct coroutine **)lua_getextraspace(L);

    co->budget_ns = MIN(ms, UINT64_MAX / 2000000) * 1000000;
}

/* Is this one to be logged? */
static bool may_log(struct script *s)
{
    uint64_t second = clock_mono_ms() / 1000;

    if (second != s->log_second) {
        if (s->log_dropped > 0)
            LOG_WITH(LOG_ERROR, "more Lua errors, not logged", LOG_I("count", s->log_dropped));
        s->log_second = second;
        s->logged = s->log_dropped = 0;
    }
    if (s->logged < TRACEBACKS_PER_SECOND) {
        s->logged++;
        return true;
    }
    s->log_dropped++;
    return false;
}

void script_failed(struct script *s, lua_State *co, int status, const char *what, const char *why)
{
    bool limited = s->limited;
    int top = lua_gettop(s->L);

    s->errors++;
    if (status == LUA_ERRMEM)
        s->out_of_memory++;
    if (!may_log(s))
        return;
    s->limited = false;
    lua_pushnil(s->L);
    if (!why && lua_type(co, -1) == LUA_TSTRING) {
        size_t len;

        why = lua_tolstring(co, -1, &len);
        why = lua_pushlstring(s->L, why, MIN(len, MESSAGE_MAX)); /* longer than a log line */
    }
    if (!why) /* its __tostring is the script's code and would run without limits here */
        why = lua_pushfstring(s->L, "(the error is a %s value)", luaL_typename(co, -1));
    luaL_traceback(s->L, co, why, 0);
    LOG_WITH(LOG_ERROR, "Lua failed", LOG_Z("in", what), LOG_Z("error", lua_tostring(s->L, -1)));
    lua_settop(s->L, top);
    s->limited = limited;
}

static void coroutine_resume(struct coroutine *co, int nargs)
{
    struct script *s = co->script;
    struct run run;
    int status, n = 0;

    limits_begin(s, &run, co->L, co, co->budget_ns ? co->budget_ns : s->budget_ns);
    status = lua_resume(co->L, run.outer ? run.outer->L : NULL, nargs, &n);
    limits_ended(s, &run, status);
    if (status == LUA_YIELD && co->wait.active && !run.over) {
        co->wait.yielded = true;
        relimit(s);
        return;
    }
    if (status == LUA_OK && !run.over) {
        if (co->fn)
            co->fn(co->arg, OK, co->L, n);
        coroutine_end(s, co, true);
        return;
    }
    CHECK(status != LUA_YIELD || !co->wait.active);
    script_failed(s, co->L, run.over ? LUA_ERRRUN : status, co->what,
                  run.over ? LIMITS_OVER_TEXT : NULL);
    if (co->fn)
        co->fn(co->arg, ERR_SCRIPT, co->L, 0);
    coroutine_end(s, co, false);
}

void script_run(struct script *s, lua_State *L, int nargs, const char *what, script_done_fn *fn,
                void *arg)
{
    struct coroutine *co = *(struct coroutine **)lua_getextraspace(L);

    CHECK((void *)co != (void *)s && co->L == L);
    co->what = what;
    co->fn = fn;
    co->arg = arg;
    co->wait = (struct script_wait){0};
    if (s->alive_count > COROUTINES_MAX) {
        script_failed(s, L, LUA_ERRRUN, what, "too many Lua functions wait at once");
        if (fn)
            fn(arg, ERR_SCRIPT, L, 0);
        coroutine_end(s, co, false);
        return;
    }
    coroutine_resume(co, nargs);
}

/* --- waiting ---------------------------------------------------------------------------------- */

struct script_wait *script_wait_begin(lua_State *L, const char *name)
{
    struct script *s = script_of(L);
    struct run *run = s ? s->run : NULL;
    struct script_wait *w;

    if (!s || s->loading)
        luaL_error(L, "%s may not wait while config.lua loads", name);
    if (!run || run->L != L)
        luaL_error(L, "%s may not wait inside a coroutine that the script itself made", name);
    if (!lua_isyieldable(L))
        luaL_error(L, "%s may not wait inside a callback of a library function", name);
    if (run->over)
        limits_end(L, run);
    luaL_checkstack(L, LUA_MINSTACK, "too many values to wait with");
    w = &run->co->wait;
    CHECK(!w->active);
    *w = (struct script_wait){.active = true};
    return w;
}

int script_wait_end(lua_State *L, struct script_wait *w)
{
    if (w->answered) {
        w->active = false;
        return w->n;
    }
    return lua_yield(L, 0);
}

lua_State *script_wait_state(struct script_wait *w)
{
    struct coroutine *co = container_of(w, struct coroutine, wait);

    co->script->limited = false; /* an error here would find nobody to catch it */
    return co->L;                /* script_wait_begin made room for LUA_MINSTACK values */
}

void script_wake(struct script_wait *w, int n)
{
    struct coroutine *co = container_of(w, struct coroutine, wait);

    CHECK(w->active && !w->answered);
    w->cancel = NULL;
    if (!w->yielded) {
        w->answered = true;
        w->n = n;
        relimit(co->script);
        return;
    }
    *w = (struct script_wait){0};
    coroutine_resume(co, n);
}

void script_wait_on_cancel(struct script_wait *w, void (*fn)(void *arg), void *arg)
{
    w->cancel = fn;
    w->cancel_arg = arg;
}

/* --- life ------------------------------------------------------------------------------------- */

/* The tool's table, made with the module on top of the stack. */
static void open_tool(struct script *s, lua_State *L, const struct script_tool *tool)
{
    embedded_push(L, tool->module, "new");
    tool->push_driver(L, tool->arg);
    lua_pushvalue(L, -3);
    lua_call(L, 2, 1);
    s->tool_ref = luaL_ref(L, LUA_REGISTRYINDEX);
}

void script_push_tool(struct script *s, lua_State *L, const char *field)
{
    lua_rawgeti(L, LUA_REGISTRYINDEX, s->tool_ref);
    lua_getfield(L, -1, field);
    lua_remove(L, -2);
}

/* The loader is on top of the stack, and then the table that config.lua returned. */
static void run_config_for_tool(struct script *s, lua_State *L, const struct script_tool *tool)
{
    lua_rawgeti(L, LUA_REGISTRYINDEX, s->tool_ref);
    lua_pushvalue(L, -2);
    lua_setfield(L, -2, "loader");
    lua_pop(L, 1);
    if (tool->alone) {
        lua_newtable(L);
        return;
    }
    sandbox_run_config(L, s->settings);
    script_push_tool(s, L, "loaded");
    if (lua_isfunction(L, -1)) {
        lua_insert(L, -2);
        lua_call(L, 1, 1);
    } else {
        lua_pop(L, 1);
    }
}

/* Runs protected on the main stack: the sandbox, the modules, the chunk and its functions. */
static int load(lua_State *L)
{
    const struct script_request *request = lua_touserdata(L, 1);
    struct script *s = script_of(L);

    sandbox_open(L);
    hook_open(L);
    lua_newtable(L);
    module_open(L);
    timing_open(L);
    if (request->open)
        request->open(s, L);
    if (request->tool)
        open_tool(s, L, request->tool);
    sandbox_open_loader(L, s->settings);
    lua_getfield(L, -1, "sources");
    lua_insert(L, -2);
    if (request->tool)
        run_config_for_tool(s, L, request->tool);
    else
        sandbox_run_config(L, s->settings);
    hooks_load(s, L, lua_gettop(L));
    channel_options_load(s, L, lua_gettop(L) - 1);
    s->config_ref = luaL_ref(L, LUA_REGISTRYINDEX);
    lua_pop(L, 1);
    return 0;
}

enum err script_new(const struct script_request *request, struct buf *problem, struct script **out)
{
    struct script *s = mem_zalloc(sizeof *s);
    struct run run;
    int status;

    s->self = s;
    s->worker = request->worker;
    s->settings = settings_ref(request->settings);
    s->bytes_max = (size_t)MAX(s->settings->lua_memory_limit, 1 << 20);
    s->budget_ns = (uint64_t)MAX(s->settings->lua_timeout_ms, 1) * 1000000;
    s->rpc_ref = s->api_ref = s->config_ref = s->tool_ref = LUA_NOREF;
    if (request->tool && request->tool->alone) {
        s->bytes_max = SIZE_MAX / 2;
        s->budget_ns = UINT64_MAX / 2;
    }
    s->encoded = BUF_INIT(16 << 20);
    list_init(&s->alive);
    list_init(&s->timers);
    s->L = lua_newstate(limits_allocate, s);
    CHECK(s->L);
    lua_atpanic(s->L, on_panic);
    *(struct script **)lua_getextraspace(s->L) = s;
    limits_open(s);

    lua_pushcfunction(s->L, load);
    lua_pushlightuserdata(s->L, (void *)request);
    s->loading = true;
    limits_begin(s, &run, s->L, NULL, LOAD_BUDGET_NS);
    status = lua_pcall(s->L, 1, 0, 0);
    limits_ended(s, &run, status);
    s->loading = false;
    if (status == LUA_OK && !run.over) {
        *out = s;
        return OK;
    }
    if (status != LUA_OK && lua_type(s->L, -1) == LUA_TSTRING)
        buf_printf(problem, "%s", lua_tostring(s->L, -1));
    else
        buf_printf(problem, "config.lua raised %s%s", run.over ? "" : "a ",
                   run.over ? "no error but ran too long" : luaL_typename(s->L, -1));
    s->closing = true;
    script_free(s);
    return ERR_SCRIPT;
}

static void script_free(struct script *s)
{
    CHECK(!s->run && list_empty(&s->alive));
    timing_close(s);
    tick_stop(&s->tick);
    s->limited = false;
    while (s->free) {
        struct coroutine *co = s->free;

        s->free = co->next_free;
        coroutine_free(s, co);
    }
    lua_close(s->L);
    channel_options_unload(s);
    hooks_unload(s);
    buf_deinit(&s->encoded);
    settings_unref(s->settings);
    CHECK(s->bytes == 0);
    mem_free(s);
}

void script_close(struct script *s)
{
    CHECK(!s->closing);
    s->closing = true;
    timing_close(s);
    if (s->alive_count == 0 && !s->run)
        script_free(s);
}

void script_cancel(struct script *s)
{
    s->cancelled = true;
    s->alive_count++; /* the state outlives this loop */
    list_each_safe (&s->alive, it) {
        struct coroutine *co = container_of(it, struct coroutine, in_script);

        if (co->wait.active && co->wait.yielded && co->wait.cancel)
            co->wait.cancel(co->wait.cancel_arg);
    }
    s->alive_count--;
    if (s->closing && s->alive_count == 0 && !s->run)
        script_free(s);
}

struct worker *script_worker(const struct script *s)
{
    return s->worker;
}

const struct settings *script_settings(const struct script *s)
{
    return s->settings;
}

void script_attach(struct script *s, void *of_upper)
{
    s->attached = of_upper;
}

void *script_attached(const struct script *s)
{
    return s->attached;
}

lua_State *script_state(struct script *s)
{
    return s->L;
}

struct script_stats script_stats(const struct script *s)
{
    return (struct script_stats){.errors = s->errors,
                                 .timeouts = s->timeouts,
                                 .out_of_memory = s->out_of_memory,
                                 .coroutines = s->alive_count,
                                 .bytes = s->bytes};
}
