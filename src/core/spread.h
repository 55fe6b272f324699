/* One frame to many outboxes, within one turn: what most of them have in common is done once.
 * Outboxes that got the same frames so far have the same series, and so they have when each got one
 * more; a spread remembers from which series to which it led. Worker thread. */
#pragma once

#include "core/outbox.h"

/* Outboxes with other series than that many have them as a queue of their own. */
#define SPREAD_STEPS 8

struct spread_step {
    struct series *from, *to; /* from NULL: of an empty outbox */
};

struct spread {
    struct spread_step step; /* the one taken last */
    struct outboxes *all;
    struct frame *frame; /* borrowed */
    unsigned count;
    struct spread_step steps[SPREAD_STEPS];
};

/* f: not empty; the caller's reference must outlive the spread. */
void spread_begin(struct spread *s, struct outboxes *all, struct frame *f);
void spread_push_slow(struct spread *s, struct outbox *o);

/* outbox_push of the frame. */
static inline void spread_push(struct spread *s, struct outbox *o)
{
    if (__builtin_expect(o->series != s->step.from, 0)) {
        spread_push_slow(s, o);
        return;
    }
    o->series = s->step.to;
    if (o->listed == 0)
        outbox_list(o, s->all);
}
