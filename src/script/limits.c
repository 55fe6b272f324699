/* What a Lua state may use: memory, and time between two waits. */
#include "base/clock.h"
#include "base/mem.h"
#include "script/script_state.h"

#include <lauxlib.h>

#define TICK_NS 4000000        /* processor time between two looks at the clock, at most */
#define COUNT_STEP 10000       /* instructions between them, where there is no tick */
#define LATE_BYTES_MAX 0x10000 /* who is late gets no more at once */
#define COLLECT_STEP 0x4000    /* bytes that a state grows by between two steps of the collector */

/* --- collection -------------------------------------------------------------------------------
 *
 * The collector calls finalizers on the stack of whoever happens to run. Deep in C calls, at the
 * end of its stack or of its memory such a call fails, and what it should have freed is lost. So
 * the collector never starts by itself: its steps are made here, without limits and on the main
 * stack, which no function of the script uses once config.lua is loaded. Only when memory is used
 * up Lua collects on its own, and then it leaves the finalizers for later. */

/* How much a state may grow by between two collections: as much again, and half of what is left. */
static size_t growth(const struct script *s)
{
    size_t left = s->bytes_max > s->bytes ? s->bytes_max - s->bytes : 0;

    return MAX(MIN(s->bytes, left / 2), COLLECT_STEP);
}

static void collect(struct script *s)
{
    bool limited = s->limited, done = s->collect;

    if (!s->collect && s->bytes < s->collect_at)
        return;
    s->limited = false;
    if (s->collect)
        lua_gc(s->L, LUA_GCCOLLECT);
    else
        for (size_t due = s->bytes - s->collect_at + 1; !done && due > 0;
             due -= MIN(due, COLLECT_STEP))
            done = lua_gc(s->L, LUA_GCSTEP, 0);
    s->collect = false;
    s->collect_at = s->bytes + (done ? growth(s) : COLLECT_STEP);
    s->limited = limited;
}

/* --- time ------------------------------------------------------------------------------------- */

/* The clock is first read here, so that short runs never pay for it. */
static bool is_late(struct run *run)
{
    uint64_t now = clock_thread_ns();

    if (run->started_ns == 0)
        run->started_ns = now;
    return run->over || now - run->started_ns > run->budget_ns;
}

static void on_hook(lua_State *L, lua_Debug *ar)
{
    struct script *s = script_of(L);

    (void)ar;
    script_check_time(L);
    if (s->run && s->run->over)
        return;
    if (s->tick.is_on) /* until the next tick Lua runs without a hook */
        lua_sethook(L, NULL, 0, 0);
    collect(s);
}

/* What runs on this thread, innermost; read by a signal handler, so what it points to must have
 * been written before it is: the compiler may not know better. */
static __thread struct run *volatile running;

static void set_running(struct run *run)
{
    __asm__ volatile("" ::: "memory");
    running = run;
    __asm__ volatile("" ::: "memory");
}

/* Has the clock looked at before the next instruction: setting a hook is the one thing that Lua
 * allows a signal handler. A hook that is always set would cost as much as the instructions. */
static void on_tick(int signal)
{
    struct run *run = running;

    (void)signal;
    if (run)
        lua_sethook(run->inner, on_hook, LUA_MASKCOUNT, 1);
}

/* Ends a run that is out of time. Where L may yield it does, for good: no pcall can catch that, and
 * it takes no time however deep the calls are. Otherwise (inside a callback of C) an error has to
 * unwind, and until L may yield again every further instruction fails, so that a pcall cannot go on
 * for long. From a hook, and only from there, this returns. */
void limits_end(lua_State *L, const struct run *run)
{
    if (lua_isyieldable(L)) {
        lua_yield(L, 0);
        return;
    }
    if (!(lua_gethookmask(L) & LUA_MASKLINE))
        lua_sethook(L, on_hook, LUA_MASKLINE | LUA_MASKCOUNT, 1);
    luaL_where(L, 0);
    lua_pushfstring(L, LIMITS_OVER_TEXT " (%d ms)", (int)(run->budget_ns / 1000000));
    lua_concat(L, 2);
    lua_error(L);
}

static void is_over(struct script *s, struct run *run)
{
    run->over = true;
    s->timeouts++;
}

void script_check_time(lua_State *L)
{
    struct script *s = script_of(L);
    struct run *run = s ? s->run : NULL;

    if (!run || !is_late(run))
        return;
    if (!run->over)
        is_over(s, run);
    limits_end(L, run);
}

/* --- memory ----------------------------------------------------------------------------------- */

/* Inside C, too, who is out of time gets nothing big any more: that is how what Lua itself does
 * without end comes to one (a __call whose __call … pushes its arguments up the stack). */
static bool may_have(struct script *s, size_t bytes, size_t more)
{
    if (!s->limited)
        return true;
    return s->bytes + more <= s->bytes_max && (bytes <= LATE_BYTES_MAX || !is_late(s->run));
}

void *limits_allocate(void *ud, void *ptr, size_t old_size, size_t new_size)
{
    struct script *s = ud;

    if (!ptr)
        old_size = 0; /* Lua passes a type there */
    if (new_size == 0) {
        mem_free(ptr);
        s->bytes -= old_size;
        return NULL;
    }
    if (new_size > old_size && !may_have(s, new_size, new_size - old_size)) {
        s->collect = true; /* what Lua's string functions had built hangs on finalizers */
        return NULL;
    }
    ptr = mem_realloc(ptr, new_size);
    s->bytes += new_size - old_size;
    return ptr;
}

/* --- runs ------------------------------------------------------------------------------------- */

void limits_open(struct script *s)
{
    uint64_t interval = MIN(s->budget_ns / 4 + 1, (uint64_t)TICK_NS);

    lua_gc(s->L, LUA_GCSTOP);
    if (!tick_start(&s->tick, interval, on_tick))
        lua_sethook(s->L, on_hook, LUA_MASKCOUNT, COUNT_STEP);
}

void limits_begin(struct script *s, struct run *run, lua_State *L, struct coroutine *co,
                  uint64_t budget_ns)
{
    if (!s->run)
        collect(s);
    *run = (struct run){.L = L,
                        .inner = L,
                        .co = co,
                        .outer = s->run,
                        .interrupted = running,
                        .budget_ns = budget_ns};
    s->run = run;
    s->limited = true;
    set_running(run);
}

void limits_ended(struct script *s, struct run *run, int status)
{
    CHECK(s->run == run);
    set_running(run->interrupted);
    s->run = run->outer;
    s->limited = false; /* what C does with the result is not the script's memory */
    if (status == LUA_ERRMEM && !run->over && is_late(run))
        is_over(s, run); /* it got nothing more because of that */
}

/* What ran inside has ended; out of time there is out of time here as well. */
static void back_from(lua_State *L, struct run *run)
{
    if (!run)
        return;
    run->inner = L;
    if (run->over)
        limits_end(L, run);
}

int script_resume_nested(lua_State *L, lua_State *co, int n, int *results)
{
    struct script *s = script_of(L);
    struct run *run = s ? s->run : NULL;
    int status;

    lua_xmove(L, co, n);
    if (run)
        run->inner = co;
    status = lua_resume(co, L, n, results);
    back_from(L, run);
    return status;
}

int script_reset_nested(lua_State *L, lua_State *co)
{
    struct script *s = script_of(L);
    struct run *run = s ? s->run : NULL;
    int status;

    if (run)
        run->inner = co;
    status = lua_resetthread(co);
    back_from(L, run);
    return status;
}
