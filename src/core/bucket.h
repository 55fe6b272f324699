/* A token bucket as one time, "when it will be full again": it holds `rate` tokens, each of which
 * moves that time on by interval / rate, and it may lie at most one interval ahead. So refilling
 * costs nothing, and a bucket whose time has passed is as good as new. Pure; any thread. */
#pragma once

#include "core/settings.h"

struct bucket {
    uint64_t cost_ns, interval_ns;
};

static inline struct bucket bucket_of(struct rate_bucket b)
{
    uint64_t interval_ns = (uint64_t)b.interval_ms * 1000000;

    return (struct bucket){interval_ns / (uint64_t)MAX(b.rate, 1), interval_ns};
}

/* May one more be taken now? */
static inline bool bucket_has(const struct bucket *b, uint64_t full_ns, uint64_t now_ns)
{
    return MAX(full_ns, now_ns) + b->cost_ns <= now_ns + b->interval_ns;
}

/* The time after one was taken. */
static inline uint64_t bucket_take(const struct bucket *b, uint64_t full_ns, uint64_t now_ns)
{
    return MAX(full_ns, now_ns) + b->cost_ns;
}
