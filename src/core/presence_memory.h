/* Who is in which channel, in one worker's memory; part of the memory engine. Worker thread. */
#pragma once

#include "base/map.h"
#include "core/engine.h"

struct presence_memory {
    struct map channels;
};

/* Adds the client or replaces what is known of it. */
void presence_memory_add(struct presence_memory *pm, struct str channel,
                         const struct presence_entry *entry);
void presence_memory_remove(struct presence_memory *pm, struct str channel, struct str client);
void presence_memory_read(struct presence_memory *pm, struct str channel, bool stats_only,
                          engine_presence_fn *fn, void *arg);
void presence_memory_deinit(struct presence_memory *pm);
