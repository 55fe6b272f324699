#include "cli/world.h"

#include "api/api.h"
#include "base/clock.h"
#include "base/random.h"
#include "bind/bind.h"
#include "client/client.h"
#include "core/admission.h"
#include "core/dict.h"
#include "core/user_limits.h"
#include "transport/server.h"

#include <signal.h>

/* --- the clock -------------------------------------------------------------------------------- */

#define MONO_START_MS 1000 /* 0 means "never" to timers */

static uint64_t stopped_ms = MONO_START_MS;
static int64_t wall_start_ms;

static uint64_t mono_ns(void)
{
    return stopped_ms * 1000000;
}

static int64_t wall_ms(void)
{
    return wall_start_ms + (int64_t)(stopped_ms - MONO_START_MS);
}

void world_stop_clock(int64_t at_ms)
{
    static const struct clock_source stopped = {mono_ns, wall_ms};

    wall_start_ms = at_ms;
    stopped_ms = MONO_START_MS;
    clock_set_source(&stopped);
}

/* --- the node --------------------------------------------------------------------------------- */

static void free_parts(struct world *w)
{
    worker_enter(w->worker);
    api_unregister(w->core);
    server_free(w->core->server);
    clients_free(w->core->clients);
    core_free(w->core);
    worker_enter(NULL);
    worker_free(w->worker);
    admission_free(w->node.admission);
    user_limits_free(w->node.user_limits);
    dicts_free(w->node.dicts);
}

enum err world_open(struct world *w, struct settings *settings, const struct script_tool *tool,
                    struct buf *problem)
{
    struct script_request request = {.settings = settings, .open = bind_open, .tool = tool};
    enum err err;

    signal(SIGPIPE, SIG_IGN);
    w->worker = request.worker = worker_new(0);
    worker_enter(w->worker);
    w->node = (struct node){
        .name = STR("perigee"),
        .version = STR(PERIGEE_VERSION " perigee"),
        .started_ms = clock_mono_ms(),
        .worker_count = 1,
        .workers = {w->worker},
        .admission = admission_new(),
        .user_limits = user_limits_new(),
        .dicts = dicts_new((size_t)settings->lua_dict_memory_limit),
    };
    random_uuid(w->node.uid);
    w->core = core_new(&w->node, w->worker, settings);
    server_new(w->core);
    clients_new(w->core);
    err = script_new(&request, problem, &w->core->script);
    if (err == OK)
        api_register(w->core, w->core->server);
    else
        free_parts(w);
    return err;
}

void world_close(struct world *w)
{
    script_cancel(w->core->script);
    script_close(w->core->script);
    core_close(w->core);
    worker_close_handles(w->worker);
    worker_run(w->worker);
    free_parts(w);
}

/* --- time passes ------------------------------------------------------------------------------ */

void world_rest(struct world *w)
{
    struct worker *worker = w->worker;

    do
        uv_run(&worker->loop, UV_RUN_NOWAIT);
    while (!list_empty(&worker->turn) || mailbox_waits(worker->mailbox));
}

uint64_t world_next(const struct world *w, uint64_t max)
{
    const struct timers *ts = &w->worker->timers;
    uint64_t now = clock_mono_ms();

    if (ts->count == 0)
        return max;
    return ts->heap[0]->due_ms <= now ? 0 : MIN(ts->heap[0]->due_ms - now, max);
}

uint64_t world_step(struct world *w, uint64_t ms)
{
    uint64_t step = world_next(w, ms);

    stopped_ms += step;
    worker_take_time(w->worker);
    timers_fire(&w->worker->timers);
    world_rest(w);
    return step;
}

void world_wait(struct world *w)
{
    uv_run(&w->worker->loop, UV_RUN_ONCE);
}
