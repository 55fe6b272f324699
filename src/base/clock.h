/* The only source of time: a simulator or a rule test replaces it. Any thread. */
#pragma once

#include "base/base.h"

uint64_t clock_mono_ms(void);     /* never goes back; starts anywhere */
int64_t clock_wall_ms(void);      /* Unix time in milliseconds */
int64_t clock_wall_tick_ms(void); /* the same as of the kernel's last tick, some 4 ms ago: cheap */
uint64_t clock_thread_ns(void); /* processor time this thread has used: for limits, not for order */

/* Where time comes from; set before any thread starts. */
struct clock_source {
    uint64_t (*mono_ns)(void);
    int64_t (*wall_ms)(void);
};
void clock_set_source(const struct clock_source *source);
