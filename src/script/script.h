/* One Lua state of one worker: config.lua's functions, the built-in modules, coroutines that may
 * wait, and limits on time and memory that fail closed. Everything C asks of Lua goes through
 * script_run or hook_run. Worker thread.
 *
 * A state belongs to one worker and one version of the configuration. On reload a new one is made
 * beside it; the old one lives until its last coroutine has ended. */
#pragma once

#include "base/err.h"
#include "base/str.h"
#include "core/settings.h"
#include "loop/worker.h"

#include <lua.h>

struct script;

/* What upper layers bring into a state: called once per new state, with the `perigee` module table
 * on top of L's stack (to be left there). */
typedef void script_open_fn(struct script *s, lua_State *L);

/* A tool of the command line, which works in the state that config.lua runs in. Its Lua module has
 * a function new(driver, perigee), called before config.lua; what that returns may have
 *     prepare(request)   changes what programs find (perigee.LoaderRequest)
 *     loaded(config)     takes the table that config.lua returned, and returns the one that counts
 * and finds the loader (lua/perigee/loader.lua) in its field loader. */
struct script_tool {
    const char *module;
    void (*push_driver)(lua_State *L, void *arg); /* pushes what new gets first */
    void *arg;
    bool alone; /* without config.lua's program, and without limits on time and memory */
};

struct script_request {
    struct worker *worker;
    const struct settings *settings; /* referenced by the script */
    script_open_fn *open;            /* bind layer; NULL in tests */
    const struct script_tool *tool;  /* NULL in the server */
};

/* Runs the configuration's chunk for its functions. ERR_SCRIPT with the reason in problem. */
enum err script_new(const struct script_request *request, struct buf *problem,
                    struct script **out) NODISCARD;
/* No new calls; the state goes when its last coroutine has ended. */
void script_close(struct script *s);
/* Wakes every wait that can be cut short (perigee.sleep) with an error: for shutdown, when nobody
 * may be waited for any longer. Before or after script_close; s may be gone afterwards then. */
void script_cancel(struct script *s);

struct worker *script_worker(const struct script *s);
const struct settings *script_settings(const struct script *s);
lua_State *script_state(struct script *s); /* the main stack; leave it balanced */
struct script *script_of(lua_State *L);    /* from any coroutine of the state */
/* What the upper layer keeps with the state; it lives in the state, as a userdata say. */
void script_attach(struct script *s, void *of_upper);
void *script_attached(const struct script *s);

/* --- calls from C ----------------------------------------------------------------------------- */

/* Called exactly once, when the function has returned (OK: n results on top of co) or failed
 * (ERR_SCRIPT: error, over time, over memory; the traceback is logged and counted already).
 * May be called before script_run returns. co is valid during the call only. */
typedef void script_done_fn(void *arg, enum err err, lua_State *co, int n);

/* A coroutine with an empty stack (recycled where possible): push a function and its arguments,
 * then run it. what names it in logs: "hook publish of namespace chat". */
lua_State *script_begin(struct script *s);
void script_run(struct script *s, lua_State *co, int nargs, const char *what, script_done_fn *fn,
                void *arg);
/* Between the two: co may compute for so long between two waits, whatever lua.timeout says. */
void script_set_budget(lua_State *co, uint64_t ms);
/* Pushes a field of the tool's table. */
void script_push_tool(struct script *s, lua_State *L, const char *field);

/* --- C functions that wait -------------------------------------------------------------------- */

/* Inside a lua_CFunction:
 *     struct script_wait *w = script_wait_begin(L, "perigee.sleep");   raises where none may wait
 *     start_something(..., on_answer, w);
 *     return script_wait_end(L, w);                                    yields, or returns at once
 * and later, exactly once, also when it was answered before script_wait_end:
 *     lua_State *co = script_wait_state(w);    push n results there
 *     script_wake(w, n);                       w is gone */
struct script_wait;
struct script_wait *script_wait_begin(lua_State *L, const char *name);
int script_wait_end(lua_State *L, struct script_wait *w);
lua_State *script_wait_state(struct script_wait *w);
void script_wake(struct script_wait *w, int n);
/* Optional, before script_wait_end: how script_cancel cuts it short. fn must wake w. */
void script_wait_on_cancel(struct script_wait *w, void (*fn)(void *arg), void *arg);

/* After C code that may have worked long: ends this run if it is out of time. */
void script_check_time(lua_State *L);

/* Counters for metrics: errors, time-outs, coroutines alive, bytes in use. */
struct script_stats {
    uint64_t errors, timeouts, out_of_memory;
    size_t coroutines, bytes;
};
struct script_stats script_stats(const struct script *s);
