/* What waits to be written to one stream. Pushing only queues; the turn's end writes everything
 * that the turn brought with one call. Worker thread.
 *
 * It is in one of three states, which `series` tells:
 *   NULL               empty and open: a shared frame begins a series
 *   a series           frames that others got too (core/series.h, core/spread.h): nothing is
 *                      allocated, and written, it is gone
 *   outbox_no_series   a queue of its own: frames that nobody else got, or what a full socket has
 *                      not taken; or nothing can be queued, or nothing is written
 * One frame of its own lies in the struct itself, so an answer allocates nothing either, and an
 * empty outbox owns no memory. */
#pragma once

#include "core/frame.h"
#include "core/series.h"
#include "loop/stream.h"

struct outbox;

/* What the owner must know: the queue went over its limit, or the socket broke. Called at most
 * once, from the turn's end or from a push; never frees the outbox inside. */
typedef void outbox_fail_fn(struct outbox *o, enum err why); /* ERR_LIMIT or ERR_CLOSED */
typedef void outbox_empty_fn(struct outbox *o);              /* everything is written */

struct outbox {
    struct stream *stream; /* NULL: nothing is written, outbox_take empties it */
    struct series *series;
    outbox_empty_fn *on_empty; /* NULL, or one shot: cleared before the call */
    uint32_t listed;           /* place in struct outboxes, from 1; 0: none */
    bool failed;
    bool sealed; /* the last frame is queued */
    /* The queue of its own. */
    uint32_t head, count, cap;
    uint32_t in_flight; /* first frames, which libuv is writing: they must stay in place */
    union {
        struct frame *one;    /* cap 0 */
        struct frame **queue; /* ring of cap frames: head … head+count */
    };
    size_t sent;             /* bytes of the first frame that are out already */
    size_t bytes, bytes_max; /* waiting, in flight included */
    outbox_fail_fn *on_fail;
};

/* What the outboxes of one worker share; in its core. */
struct outboxes {
    struct worker *worker;
    struct turn_task task;  /* writes those that are listed */
    struct outbox **listed; /* NULL: it is gone */
    uint32_t count, cap;
    struct series_pool series; /* of this turn */
};
struct outboxes *outboxes_new(struct worker *w);
void outboxes_free(struct outboxes *all);

/* s: NULL, or of a worker that has its core by the first push. */
void outbox_init(struct outbox *o, struct stream *s, size_t bytes_max, outbox_fail_fn *on_fail);
/* Drops what waits. While the stream is draining, only from its on_closed. */
void outbox_deinit(struct outbox *o);
/* Queues one reference of frame (the caller keeps its own). ERR_LIMIT through on_fail when the
 * queue is over its maximum even after the socket took what it could; a failed outbox drops
 * everything. */
void outbox_push(struct outbox *o, struct frame *f);
void outbox_push_take(struct outbox *o, struct frame *f); /* takes the caller's reference */
/* Drops what is not in flight and takes pushes again, also after ERR_LIMIT: for last words. */
void outbox_drop(struct outbox *o);
/* What is pushed from now on is dropped: nothing may follow last words. */
void outbox_seal(struct outbox *o);
void outbox_flush(struct outbox *o);   /* writes now instead of at the turn's end */
void outbox_drained(struct outbox *o); /* to be called from the stream's on_drained */
/* Calls fn once when everything queued is written: at the end of a turn, never from in here. Not
 * at all when the outbox fails before, or has failed already. */
void outbox_when_empty(struct outbox *o, outbox_empty_fn *fn);
/* Without a stream: the first frame with its reference, or NULL. */
struct frame *outbox_take(struct outbox *o);
bool outbox_is_empty(const struct outbox *o);
size_t outbox_bytes(const struct outbox *o); /* waiting, in flight included */

/* --- for core/spread.[ch] --------------------------------------------------------------------- */

extern struct series outbox_no_series;
static inline bool outbox_has_series(const struct outbox *o)
{
    return o->series != NULL && o->series != &outbox_no_series;
}
/* The turn's end writes it; a second call does nothing. */
void outbox_list(struct outbox *o, struct outboxes *all);
