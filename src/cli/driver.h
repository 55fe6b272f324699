/* A world that a tool's Lua module drives: clients that it speaks for, and time that passes when it
 * says so. The module's functions run as a coroutine in the state of config.lua; those below that
 * wait yield to driver_run, which lets the world work. */
#pragma once

#include "cli/loopback.h"
#include "cli/world.h"

#include <lua.h>

struct script_wait;

struct driver {
    struct world world;
    bool clock_stopped;  /* time passes by world_step, not by itself */
    struct list clients; /* of driver.client */
    struct timer alarm;  /* ends a sleep, with the system's clock */
    /* What the tool's coroutine waits for, NULL when it does not: that a client is told something
     * (if any), or a time: until_ms, on the stopped clock when left_ms have passed. */
    struct script_wait *wait;
    bool any;
    uint64_t until_ms, left_ms;
    uint64_t idle_ms;  /* how long the tool has waited for others, on the stopped clock */
    bool done, failed; /* the tool's function has returned */
    bool over;         /* nothing that it says counts any more */
    int code;          /* what it returned: an exit code */
};

/* Opens the world, with the tool's module in its Lua state. open adds to the driver's table on top
 * of the stack; NULL: nothing to add. ERR_SCRIPT: problem says why; there is nothing to close. */
enum err driver_open(struct driver *d, struct settings *settings, struct script_tool *tool,
                     void (*open)(lua_State *L, struct driver *d), struct buf *problem) NODISCARD;
void driver_close(struct driver *d);

/* A coroutine for the tool's function `field`, which is pushed: push its arguments, then run it. */
lua_State *driver_begin(struct driver *d, const char *field);
/* Runs it to its end. The exit code that it returned; 1 if it failed, which is logged, or waits for
 * what never comes (not d->done). */
int driver_run(struct driver *d, lua_State *co, int nargs);
/* The client at a place of the stack. Raises. */
struct loopback *driver_client(lua_State *L, int index);
