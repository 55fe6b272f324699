/* A server without sockets: n workers, each with its core and clients, on a config.lua given as
 * text. With one worker the test's thread is the worker and turns the loop by hand, under a clock
 * that only the test moves. For tests and fuzzers: needs no test framework. */
#pragma once

#include "base/check.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/random.h"
#include "bind/bind.h"
#include "client/client.h"
#include "core/control.h"
#include "loop/worker.h"
#include "script/config.h"
#include "script/script.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

static struct node node;
static struct settings *settings;
static struct worker *worker; /* of a world with one */
static struct core *core;

/* --- settings --------------------------------------------------------------------------------- */

static UNUSED struct settings *world_settings(const char *config)
{
    char path[] = "/tmp/perigee-world-XXXXXX";
    int fd = mkstemp(path);
    size_t len = strlen(config);
    struct buf problems = BUF_INIT(65536);
    struct config_request request = {.path = path};
    struct settings *s = NULL;

    CHECK(fd >= 0 && write(fd, config, len) == (ssize_t)len);
    close(fd);
    if (config_load(&request, &s, &problems) != OK)
        panic("%.*s", STR_ARGS(buf_str(&problems)));
    unlink(path);
    buf_deinit(&problems);
    return s;
}

/* --- the clock -------------------------------------------------------------------------------- */

#define WORLD_EPOCH_MS INT64_C(1700000000000)

static uint64_t world_mono_ms;

static uint64_t world_mono_ns(void)
{
    return world_mono_ms * 1000000;
}

static int64_t world_wall_ms(void)
{
    return WORLD_EPOCH_MS + (int64_t)world_mono_ms - 1000;
}

static UNUSED int64_t world_now_s(void)
{
    return world_wall_ms() / 1000;
}

/* --- one worker ------------------------------------------------------------------------------- */

/* Turns the loop until mail and tasks have come to rest. */
static UNUSED void world_turn(void)
{
    do
        uv_run(&worker->loop, UV_RUN_NOWAIT);
    while (uv_is_active((uv_handle_t *)&worker->keep_awake));
}

/* Lets ms pass; every timer that is due on the way fires at its time. */
static UNUSED void world_pass(uint64_t ms)
{
    uint64_t target = world_mono_ms + ms;

    for (;;) {
        struct timers *ts = &worker->timers;
        uint64_t next = ts->count > 0 ? MIN(ts->heap[0]->due_ms, target) : target;

        world_mono_ms = MAX(next, world_mono_ms);
        worker_take_time(worker);
        timers_fire(ts);
        world_turn();
        if (world_mono_ms == target && (ts->count == 0 || ts->heap[0]->due_ms > target))
            return;
    }
}

static UNUSED void world_open(const char *config, bool with_script)
{
    static const struct clock_source fake = {world_mono_ns, world_wall_ms};

    CHECK(log_setup(LOG_NONE, LOG_AUTO, NULL) == OK);
    settings = world_settings(config);
    world_mono_ms = 1000;
    clock_set_source(&fake);
    worker = worker_new(0);
    worker_enter(worker);
    node = (struct node){.version = STR("test"), .worker_count = 1, .workers = {worker}};
    core = core_new(&node, worker, settings);
    clients_new(core);
    if (with_script) {
        struct script_request request = {.worker = worker, .settings = settings, .open = bind_open};
        struct buf problem = BUF_INIT(65536);

        if (script_new(&request, &problem, &core->script) != OK)
            panic("%.*s", STR_ARGS(buf_str(&problem)));
        buf_deinit(&problem);
    }
}

/* Without clients left. */
static UNUSED void world_close(void)
{
    world_turn();
    if (core->script) {
        script_cancel(core->script);
        script_close(core->script);
    }
    worker_close_handles(worker);
    worker_run(worker);
    worker_enter(worker);
    clients_free(core->clients);
    core_free(core);
    worker_enter(NULL);
    worker_free(worker);
    settings_unref(settings);
}
