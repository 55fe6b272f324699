/* All timers of one worker: a heap of intrusive nodes under one uv_timer. A node costs 24 bytes,
 * so every client may own one. Timers fire in the order of their due times; equal ones in any
 * order. Worker thread. */
#pragma once

#include "base/base.h"

#include <uv.h>

struct timer;
typedef void
timer_fn(struct timer *t); /* t is unset already: it may set itself again, or be freed */

struct timer {
    uint64_t due_ms; /* on the worker's monotonic clock */
    timer_fn *fn;
    uint32_t slot; /* place in the heap + 1; 0 when not set */
};

#define TIMER_INIT(callback) ((struct timer){.fn = (callback)})

struct timers {
    uv_timer_t tick;
    struct timer **heap;
    size_t count, cap;
    uint64_t armed_for; /* due time the uv_timer is set to; 0 when it is stopped */
    uint64_t firing;    /* the time of the tick that is firing now; 0 outside */
};

void timers_init(struct timers *ts, uv_loop_t *loop);
void timers_close(struct timers *ts);  /* closes the handle; nodes are forgotten */
void timers_deinit(struct timers *ts); /* after the loop ended: frees the heap */
/* Sets or moves it. Set from a timer's callback it fires in a later tick, never in the same one. */
void timer_set(struct timers *ts, struct timer *t, uint64_t due_ms);
void timer_unset(struct timers *ts, struct timer *t); /* harmless when not set */
/* Fires what is due now. The loop does so by itself; for whoever moves the clock by hand. */
void timers_fire(struct timers *ts);
static inline bool timer_is_set(const struct timer *t)
{
    return t->slot != 0;
}
