/* A node of one worker without sockets, in the calling thread: config.lua and its functions run as
 * in the server, for whoever wants to ask them something. Its clock is the system's, or one that
 * only world_pass moves. One at a time. */
#pragma once

#include "core/core.h"
#include "script/script.h"

struct world {
    struct node node;
    struct worker *worker;
    struct core *core;
};

/* From now on time stands still at wall_ms (Unix milliseconds); before the first world_open. */
void world_stop_clock(int64_t wall_ms);

/* settings and tool are borrowed. ERR_SCRIPT: config.lua does not run, and problem says why; there
 * is nothing to close then. */
enum err world_open(struct world *w, struct settings *settings, const struct script_tool *tool,
                    struct buf *problem) NODISCARD;
/* Without clients left. What Lua waits for is cut short. */
void world_close(struct world *w);

/* Turns the loop until nothing is left to do at this time. */
void world_rest(struct world *w);
/* Milliseconds to the next timer, at most max. */
uint64_t world_next(const struct world *w, uint64_t max);
/* Moves the clock on to the next timer or by ms, whichever is less, and lets the world do what is
 * due; how far that was. */
uint64_t world_step(struct world *w, uint64_t ms);
/* Waits, with the system's clock, until something happens. */
void world_wait(struct world *w);
