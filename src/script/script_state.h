/* What the files of src/script share about a state; nobody else includes it. Worker thread.
 *
 * The extra space of every lua_State points to a struct whose first member is the script: to the
 * script itself for the main stack and for coroutines that Lua code makes, to its struct coroutine
 * for those that C runs. */
#pragma once

#include "base/arena.h"
#include "base/list.h"
#include "script/hook.h"
#include "script/script.h"
#include "script/tick.h"

/* One wait at a time per coroutine, so it lives inside it. */
struct script_wait {
    bool active;   /* between script_wait_begin and script_wake */
    bool yielded;  /* the coroutine is suspended */
    bool answered; /* script_wake came before script_wait_end */
    int n;         /* results of such an early answer */
    void (*cancel)(void *arg);
    void *cancel_arg;
};

struct coroutine {
    struct script *script; /* first, see above */
    lua_State *L;
    int ref;               /* in the registry: keeps L alive */
    struct list in_script; /* of script->alive */
    const char *what;      /* static text */
    uint64_t budget_ns;    /* 0: the script's */
    script_done_fn *fn;
    void *arg;
    struct script_wait wait;
    struct coroutine *next_free;
};

/* Lua running right now; lives on the C stack of whoever started it. */
struct run {
    lua_State *L;
    lua_State *volatile inner; /* L, or the coroutine of the script itself that runs in its place */
    struct coroutine *co;      /* NULL while the chunk loads */
    struct run *outer;
    struct run *interrupted; /* what ran on this thread before; of another state after a reload */
    uint64_t started_ns;     /* processor time at the first check; 0: not checked yet */
    uint64_t budget_ns;
    bool over; /* out of time: everything that still runs is to fail */
};

struct script {
    struct script *self; /* first, see above */
    lua_State *L;
    struct worker *worker;
    const struct settings *settings;
    struct run *run; /* innermost */
    int tool_ref;    /* the tool's table; LUA_NOREF in the server */
    bool limited;    /* the memory limit counts: only where Lua catches the error */
    bool loading;    /* the chunk runs; nothing may wait */
    bool collect;    /* memory was refused: collect all of it once that is safe */
    bool closing;
    bool cancelled; /* the server stops: nothing sleeps any more */
    size_t bytes, bytes_max;
    size_t collect_at; /* bytes from which on the collector is to go on */
    uint64_t budget_ns;
    struct tick tick; /* when to look at the clock */

    struct list alive; /* struct coroutine: running or waiting */
    size_t alive_count, free_count;
    struct coroutine *free;

    uint64_t errors, timeouts, out_of_memory;
    uint64_t log_second; /* tracebacks are logged at a limited rate */
    unsigned logged, log_dropped;

    struct list timers; /* struct script_timer (timing.c) */
    size_t timer_count;

    /* hook.c */
    struct hooks *rows;
    uint32_t hooks_set; /* 1 << enum hook: somewhere */
    size_t rows_count;
    int rpc_ref, api_ref; /* tables, or LUA_NOREF */
    int config_ref;       /* what the chunk returned */
    bool wants_headers;
    struct channel_cache *channel_cache; /* channel_options.c; NULL: no such hook */
    size_t events_running;               /* hooks of is_event */
    hook_push_client_fn *push_client;
    void *attached;     /* what an upper layer keeps with the state */
    struct buf encoded; /* scratch for results */
};

/* --- limits.c --- */

#define LIMITS_OVER_TEXT "ran longer than lua.timeout"

void *limits_allocate(void *script, void *ptr, size_t old_size, size_t new_size);
void limits_open(struct script *s); /* once its L is there */
/* Around every call of Lua. Afterwards run->over says whether it was ended for its time. */
void limits_begin(struct script *s, struct run *run, lua_State *L, struct coroutine *co,
                  uint64_t budget_ns);
void limits_ended(struct script *s, struct run *run, int status);
/* Ends a run that is out of time: raises, or, in a hook, yields for good. */
void limits_end(lua_State *L, const struct run *run);
/* coroutine.resume for Lua code: moves n arguments from L to co; lua_resume's status. Out of time
 * inside co is out of time for L as well. */
int script_resume_nested(lua_State *L, lua_State *co, int n, int *results);
int script_reset_nested(lua_State *L, lua_State *co); /* coroutine.close: lua_resetthread's */

/* --- script.c --- */

/* Counts and logs a failure of co, with why (NULL: the error on top of co) and its traceback. */
void script_failed(struct script *s, lua_State *co, int status, const char *what, const char *why);
/* Is co one that C runs? Lua code must not resume or close those. */
bool script_is_own(lua_State *L, lua_State *co);
/* Does L run as a coroutine started by C, directly? */
bool script_is_running(lua_State *L);

/* hook.c: what requests need in a new state. */
void hook_open(lua_State *L);
/* hook_load.c: takes hooks, rpc and api out of the table the chunk returned (at idx). Raises. */
void hooks_load(struct script *s, lua_State *L, int idx);
void hooks_unload(struct script *s);

/* channel_options.c: prepares for the hook, if one is set; sources are what sandbox_run_config
 * leaves. Raises. */
void channel_options_load(struct script *s, lua_State *L, int sources);
void channel_options_unload(struct script *s);

/* timing.c: sleep, after, every into the module on top of L's stack. */
void timing_open(lua_State *L);
void timing_close(struct script *s); /* after and every end; sleepers sleep on */
