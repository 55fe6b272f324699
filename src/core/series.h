/* The same frames in the same order, waiting in many outboxes: within a turn most subscribers of a
 * channel get the same ones. A series is a list from its last frame back to its first, and an
 * outbox points to the last; series with a common beginning share it. To be written it is joined,
 * once for all outboxes, into one piece of memory. Series live until the turn's end. Worker
 * thread. */
#pragma once

#include "core/frame.h"

/* More is written in several pieces; bigger frames are in no series. */
#define SERIES_BYTES_MAX (64u * 1024)
#define SERIES_JOINS 4

struct series {
    struct series *before; /* NULL: it begins here */
    struct frame *frame;   /* a reference */
    uint32_t count, bytes; /* of it and all before */
    uint32_t join;         /* the place where it may lie joined */
};

/* The series of one worker. Zeroed: empty. */
struct series_pool {
    struct series_block *blocks; /* the newest first */
    unsigned used;               /* of the newest */
    unsigned next_join;
    struct series_join {
        const struct series *of;
        struct buf bytes;
    } joins[SERIES_JOINS]; /* each takes the place of the oldest */
};

/* May `s` (NULL: none yet) go on with f? */
static inline bool series_has_room(const struct series *s, const struct frame *f)
{
    return (size_t)(s ? s->bytes : 0) + f->len <= SERIES_BYTES_MAX;
}
/* The series that goes on after `before` (NULL: begins) with f, of which it takes a reference. */
struct series *series_after(struct series_pool *pool, struct series *before, struct frame *f);
/* All its bytes in one piece, good until the next call. */
struct str series_join(struct series_pool *pool, struct series *s);
/* Its frames with a reference of each, in order, into out: room for count. */
void series_frames(const struct series *s, struct frame **out);
/* Forgets all; keeps a little memory for the next turn. */
void series_reset(struct series_pool *pool);
void series_pool_deinit(struct series_pool *pool);
