/* perigee.sleep, after and every: Lua on the worker's timers. Worker thread. */
#include "base/check.h"
#include "base/clock.h"
#include "base/mem.h"
#include "script/script_state.h"

#include <lauxlib.h>
#include <math.h>

#define TIMERS_MAX 10000 /* of one state: every one keeps a function alive */
#define SECONDS_MAX (366 * 86400)
#define EVERY_SECONDS_MIN 0.001

struct script_timer {
    struct timer timer;
    struct script *script;
    struct list in_script;
    struct script_wait *wait; /* of a sleeper */
    int function;             /* of after and every, in the registry */
    uint64_t every_ms;        /* 0: once */
    bool running;             /* every: the last call has not ended */
};

static uint64_t milliseconds_arg(lua_State *L, int arg, double min)
{
    lua_Number seconds = luaL_checknumber(L, arg);

    luaL_argcheck(L, seconds >= min && seconds <= SECONDS_MAX, arg, /* false for NaN, too */
                  "seconds, from 0 (every: 0.001) to a year");
    return (uint64_t)ceil(seconds * 1000);
}

/* Before anything is taken that an error would leak. */
static void check_room(lua_State *L)
{
    if (script_of(L)->timer_count >= TIMERS_MAX)
        luaL_error(L, "more than %d timers", TIMERS_MAX);
}

static struct script_timer *timer_start(struct script *s, uint64_t ms, timer_fn *fn, int function)
{
    struct script_timer *t = mem_zalloc(sizeof *t);

    t->timer = TIMER_INIT(fn);
    t->script = s;
    t->function = function;
    list_add_tail(&s->timers, &t->in_script);
    s->timer_count++;
    /* not the turn's time: the program may have computed for long in this turn */
    timer_set(&s->worker->timers, &t->timer, clock_mono_ms() + ms);
    return t;
}

static void timer_end(struct script_timer *t)
{
    timer_unset(&t->script->worker->timers, &t->timer);
    list_del(&t->in_script);
    t->script->timer_count--;
    luaL_unref(t->script->L, LUA_REGISTRYINDEX, t->function);
    mem_free(t);
}

/* --- sleep ------------------------------------------------------------------------------------ */

static void on_slept(struct timer *timer)
{
    struct script_timer *t = container_of(timer, struct script_timer, timer);
    struct script_wait *wait = t->wait;

    timer_end(t);
    script_wake(wait, 0);
}

static void cancel_sleep(void *arg)
{
    on_slept(&((struct script_timer *)arg)->timer);
}

/* sleep(seconds) */
static int l_sleep(lua_State *L)
{
    uint64_t ms = milliseconds_arg(L, 1, 0);
    struct script *s = script_of(L);
    struct script_wait *wait;
    struct script_timer *t;

    if (s->cancelled)
        return luaL_error(L, "perigee.sleep is over: the server stops");
    check_room(L);
    wait = script_wait_begin(L, "perigee.sleep");
    t = timer_start(s, ms, on_slept, LUA_NOREF);
    t->wait = wait;
    script_wait_on_cancel(wait, cancel_sleep, t);
    return script_wait_end(L, wait);
}

/* --- after, every ----------------------------------------------------------------------------- */

static void on_called(void *arg, enum err err, lua_State *co, int n)
{
    struct script_timer *t = arg;

    (void)err, (void)co, (void)n;
    t->running = false;
    if (t->script->closing)
        timer_end(t);
}

static void on_due(struct timer *timer)
{
    struct script_timer *t = container_of(timer, struct script_timer, timer);
    struct script *s = t->script;
    lua_State *co;

    if (t->every_ms > 0)
        timer_set(&s->worker->timers, &t->timer, s->worker->now_ms + t->every_ms);
    if (t->running) /* it waits for something longer than its interval */
        return;
    co = script_begin(s);
    lua_rawgeti(co, LUA_REGISTRYINDEX, t->function);
    if (t->every_ms > 0) {
        t->running = true;
        script_run(s, co, 0, "perigee.every", on_called, t);
    } else {
        timer_end(t);
        script_run(s, co, 0, "perigee.after", NULL, NULL);
    }
}

static void check_context(lua_State *L, const char *name)
{
    struct script *s = script_of(L);

    if (s->closing)
        luaL_error(L, "%s may not be called by a config.lua that was replaced", name);
    check_room(L);
}

/* after(seconds, fn) */
static int l_after(lua_State *L)
{
    uint64_t ms = milliseconds_arg(L, 1, 0);

    luaL_checktype(L, 2, LUA_TFUNCTION);
    check_context(L, "perigee.after");
    lua_settop(L, 2);
    timer_start(script_of(L), ms, on_due, luaL_ref(L, LUA_REGISTRYINDEX));
    return 0;
}

/* Of a table that holds { each = bool } or nothing. */
static bool each_arg(lua_State *L, int arg)
{
    bool each = false;

    luaL_checktype(L, arg, LUA_TTABLE);
    for (lua_pushnil(L); lua_next(L, arg); lua_pop(L, 1)) {
        luaL_argcheck(L,
                      lua_type(L, -2) == LUA_TSTRING && strcmp(lua_tostring(L, -2), "each") == 0 &&
                          lua_isboolean(L, -1),
                      arg, "holds { each = true } or nothing");
        each = lua_toboolean(L, -1);
    }
    return each;
}

/* every(seconds, fn[, { each = true }]) */
static int l_every(lua_State *L)
{
    uint64_t ms = milliseconds_arg(L, 1, EVERY_SECONDS_MIN);
    struct script *s = script_of(L);
    bool each = false;

    luaL_checktype(L, 2, LUA_TFUNCTION);
    if (!lua_isnoneornil(L, 3))
        each = each_arg(L, 3);
    check_context(L, "perigee.every");
    if (s->worker->index != 0 && !each)
        return 0;
    lua_settop(L, 2);
    timer_start(s, ms, on_due, luaL_ref(L, LUA_REGISTRYINDEX))->every_ms = ms;
    return 0;
}

void timing_open(lua_State *L)
{
    static const luaL_Reg functions[] = {
        {"sleep", l_sleep}, {"after", l_after}, {"every", l_every}, {NULL, NULL}};

    luaL_setfuncs(L, functions, 0);
}

void timing_close(struct script *s)
{
    list_each_safe (&s->timers, it) {
        struct script_timer *t = container_of(it, struct script_timer, in_script);

        if (!t->wait && !t->running)
            timer_end(t);
        else if (!t->wait)
            timer_unset(&s->worker->timers, &t->timer); /* on_called ends it */
    }
}
