#include "base/arena.h"

#include "base/mem.h"

#include <stdalign.h>

#define FIRST_BLOCK_BYTES 4096

struct arena_block {
    struct arena_block *older;
    size_t size;
    alignas(max_align_t) char bytes[];
};

void *arena_alloc(struct arena *a, size_t size)
{
    size_t rounded = (size + alignof(max_align_t) - 1) & ~(alignof(max_align_t) - 1);

    if (a->blocks == NULL || rounded > a->blocks->size - a->used) {
        size_t want = a->blocks ? a->blocks->size * 2 : FIRST_BLOCK_BYTES;
        struct arena_block *block;

        want = MAX(want, rounded);
        block = mem_alloc(sizeof *block + want);
        *block = (struct arena_block){a->blocks, want};
        a->blocks = block;
        a->used = 0;
    }
    a->used += rounded;
    return a->blocks->bytes + (a->used - rounded);
}

void *arena_zalloc(struct arena *a, size_t size)
{
    return memset(arena_alloc(a, size), 0, size);
}

struct str arena_dup(struct arena *a, struct str s)
{
    if (s.len == 0)
        return STR_NONE;
    return str_of(memcpy(arena_alloc(a, s.len), s.ptr, s.len), s.len);
}

void arena_reset(struct arena *a)
{
    a->used = 0;
    while (a->blocks && a->blocks->older) { /* all but the oldest, smallest one */
        struct arena_block *block = a->blocks;

        a->blocks = block->older;
        mem_free(block);
    }
}

void arena_deinit(struct arena *a)
{
    arena_reset(a);
    mem_free(a->blocks);
    *a = ARENA_INIT;
}
