/* Bump memory that lives as long as one command: no single frees, one reset. The first block is
 * kept between resets, so a quiet arena costs no malloc. One thread. */
#pragma once

#include "base/str.h"

struct arena_block;

struct arena {
    struct arena_block *blocks; /* newest first */
    size_t used;                /* bytes used in the newest block */
};

#define ARENA_INIT ((struct arena){0})

void *arena_alloc(struct arena *a, size_t size); /* aligned for any type, uninitialised */
void *arena_zalloc(struct arena *a, size_t size);
struct str arena_dup(struct arena *a, struct str s);
void arena_reset(struct arena *a); /* everything taken is gone */
void arena_deinit(struct arena *a);
