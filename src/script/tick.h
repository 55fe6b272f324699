/* A tick of processor time: while the calling thread computes, it is interrupted by a signal after
 * every interval of it. Who waits is not, and a thread that does nothing costs nothing. */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <time.h>

struct tick {
    timer_t timer;
    bool is_on;
};

/* From now on fn runs on this thread, as a signal handler: it may do next to nothing. All ticks of
 * the process share one fn. False: the system has no such timer. Interrupted system calls are
 * restarted where that can be. */
bool tick_start(struct tick *t, uint64_t interval_ns, void (*fn)(int signal));
void tick_stop(struct tick *t); /* any thread */
