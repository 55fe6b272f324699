/* The world of the command line's tools (cli/world.h) for tests and fuzzers, one at a time: on a
 * config.lua given as text, under a clock that only the test moves. Needs no test framework. */
#pragma once

#include "base/check.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/random.h"
#include "bind/bind.h"
#include "cli/world.h"
#include "client/client.h"
#include "core/control.h"
#include "script/config.h"

#include <stdlib.h>
#include <unistd.h>

#define WORLD_EPOCH_MS INT64_C(1700000000000)

static struct world world;
static struct settings *settings;
static struct worker *worker;
static struct core *core;

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

static UNUSED void world_begin(const char *config)
{
    struct buf problem = BUF_INIT(65536);

    CHECK(log_setup(LOG_NONE, LOG_AUTO, NULL) == OK);
    settings = world_settings(config);
    world_stop_clock(WORLD_EPOCH_MS);
    if (world_open(&world, settings, NULL, &problem) != OK)
        panic("%.*s", STR_ARGS(buf_str(&problem)));
    buf_deinit(&problem);
    world.node.version = STR("test");
    worker = world.worker;
    core = world.core;
}

/* Other settings and functions from now on; hooks that wait end as they began. */
static UNUSED void world_reload(const char *config)
{
    struct script *old = core->script;
    struct script_request request = {.worker = worker, .open = bind_open};
    struct buf problem = BUF_INIT(65536);

    settings_unref(settings);
    request.settings = settings = world_settings(config);
    if (script_new(&request, &problem, &core->script) != OK)
        panic("%.*s", STR_ARGS(buf_str(&problem)));
    buf_deinit(&problem);
    settings_unref(core->settings);
    core->settings = settings_ref(settings);
    script_close(old);
}

static UNUSED void world_turn(void)
{
    world_rest(&world);
}

/* Lets ms pass; every timer that is due on the way fires at its time. */
static UNUSED void world_pass(uint64_t ms)
{
    do
        ms -= world_step(&world, ms);
    while (ms > 0 || world_next(&world, 1) == 0);
}

static UNUSED int64_t world_now_s(void)
{
    return clock_wall_ms() / 1000;
}

/* Without clients left. */
static UNUSED void world_end(void)
{
    world_turn();
    world_close(&world);
    settings_unref(settings);
}
