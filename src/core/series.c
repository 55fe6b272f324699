#include "core/series.h"

#include "base/check.h"
#include "base/mem.h"

#define BLOCK_ITEMS 127
/* A bigger joined series gives its memory back at the turn's end. */
#define JOIN_KEPT_BYTES (16 * 1024)

struct series_block {
    struct series_block *older;
    struct series items[BLOCK_ITEMS];
};

static struct series *new_item(struct series_pool *pool)
{
    struct series_block *block = pool->blocks;

    if (block == NULL || pool->used == BLOCK_ITEMS) {
        block = mem_alloc(sizeof *block);
        block->older = pool->blocks;
        pool->blocks = block;
        pool->used = 0;
    }
    return &block->items[pool->used++];
}

struct series *series_after(struct series_pool *pool, struct series *before, struct frame *f)
{
    struct series *s = new_item(pool);

    DCHECK(series_has_room(before, f));
    *s = (struct series){.before = before, .frame = frame_ref(f), .count = 1, .bytes = f->len};
    if (before) {
        s->count += before->count;
        s->bytes += before->bytes;
    }
    return s;
}

static struct str join(struct series_join *place, const struct series *s)
{
    char *at;

    place->of = s;
    place->bytes.max = SERIES_BYTES_MAX;
    buf_clear(&place->bytes);
    at = buf_reserve(&place->bytes, s->bytes);
    place->bytes.len = s->bytes;
    at += s->bytes;
    for (; s; s = s->before) {
        at -= s->frame->len;
        memcpy(at, s->frame->bytes, s->frame->len);
    }
    return buf_str(&place->bytes);
}

struct str series_join(struct series_pool *pool, struct series *s)
{
    if (s->count == 1)
        return frame_bytes(s->frame);
    if (pool->joins[s->join].of == s)
        return buf_str(&pool->joins[s->join].bytes);
    s->join = pool->next_join++ % SERIES_JOINS;
    return join(&pool->joins[s->join], s);
}

void series_frames(const struct series *s, struct frame **out)
{
    for (; s; s = s->before)
        out[s->count - 1] = frame_ref(s->frame);
}

static void drop_block(struct series_block *block, unsigned used)
{
    for (unsigned i = 0; i < used; i++)
        frame_unref(block->items[i].frame);
}

void series_reset(struct series_pool *pool)
{
    if (pool->used == 0) /* nothing was made in this turn */
        return;
    while (pool->blocks && pool->blocks->older) {
        struct series_block *block = pool->blocks;

        pool->blocks = block->older;
        drop_block(block, pool->used);
        mem_free(block);
        pool->used = BLOCK_ITEMS;
    }
    if (pool->blocks)
        drop_block(pool->blocks, pool->used);
    pool->used = 0;
    for (unsigned i = 0; i < SERIES_JOINS; i++) {
        struct series_join *place = &pool->joins[i];

        place->of = NULL;
        if (place->bytes.cap > JOIN_KEPT_BYTES)
            buf_deinit(&place->bytes);
    }
}

void series_pool_deinit(struct series_pool *pool)
{
    series_reset(pool);
    mem_free(pool->blocks);
    for (unsigned i = 0; i < SERIES_JOINS; i++)
        buf_deinit(&pool->joins[i].bytes);
}
