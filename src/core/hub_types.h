/* The hub's own structs, shared by hub.c and hub_fanout.c only. Worker thread. */
#pragma once

#include "base/arena.h"
#include "core/hub.h"

/* One encoded publication may not be bigger: API bodies are limited well below. */
#define FRAME_BYTES_MAX ((size_t)1 << 31)

struct hub_user {
    struct map_node by_name;
    struct list clients; /* by in_user */
    char name[];
};

struct hub_channel {
    struct map_node by_name;
    struct subscription **subs; /* those with SUB_PUSH_JOIN_LEAVE first */
    uint32_t count, cap;
    uint32_t told;         /* how many of them: joins and leaves go no further */
    uint32_t epoch_number; /* of `epoch`; 0: none seen */
    struct str epoch;      /* of the newest position seen; owned */
    char name[];
};

struct hub {
    struct core *core;
    const struct hub_ops *ops;
    struct map users, channels;
    size_t client_count, subscription_count;
    struct buf scratch; /* one encoding at a time */
    struct buf patch;   /* of the publication that is being delivered */
    struct arena arena; /* reset with every publication */
};

uint32_t hub_epoch_number(struct hub_channel *ch, struct str epoch);
