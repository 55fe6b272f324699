#include "base/clock.h"

#include <time.h>

static uint64_t system_mono_ns(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000000 + (uint64_t)t.tv_nsec;
}

static int64_t wall_ms_of(clockid_t clock)
{
    struct timespec t;

    clock_gettime(clock, &t);
    return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

static int64_t system_wall_ms(void)
{
    return wall_ms_of(CLOCK_REALTIME);
}

static struct clock_source source = {system_mono_ns, system_wall_ms};

void clock_set_source(const struct clock_source *replacement)
{
    source = *replacement;
}

uint64_t clock_mono_ms(void)
{
    return source.mono_ns() / 1000000;
}

int64_t clock_wall_ms(void)
{
    return source.wall_ms();
}

int64_t clock_wall_tick_ms(void)
{
    return source.wall_ms == system_wall_ms ? wall_ms_of(CLOCK_REALTIME_COARSE) : source.wall_ms();
}

uint64_t clock_thread_ns(void)
{
    struct timespec t;

    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
    return (uint64_t)t.tv_sec * 1000000000 + (uint64_t)t.tv_nsec;
}
