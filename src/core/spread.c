#include "core/spread.h"

#include "base/check.h"

static struct series no_step; /* no outbox has it */

void spread_begin(struct spread *s, struct outboxes *all, struct frame *f)
{
    CHECK(f->len > 0);
    s->step = (struct spread_step){.from = &no_step};
    s->all = all;
    s->frame = f;
    s->steps[0] = (struct spread_step){0}; /* from the beginning: that one always has its place */
    s->count = 1;
}

/* The step from this series, known or new. False: there is no place for one more. */
static bool find_step(struct spread *s, struct series *from)
{
    unsigned i = 0;

    while (i < s->count && s->steps[i].from != from)
        i++;
    if (i == SPREAD_STEPS)
        return false;
    if (i == s->count)
        s->steps[s->count++] = (struct spread_step){.from = from};
    if (s->steps[i].to == NULL)
        s->steps[i].to = series_after(&s->all->series, from, s->frame);
    s->step = s->steps[i];
    return true;
}

void spread_push_slow(struct spread *s, struct outbox *o)
{
    if (outbox_has_series(o) && !series_has_room(o->series, s->frame))
        outbox_flush(o);
    if (o->series == &outbox_no_series || !series_has_room(o->series, s->frame) ||
        !find_step(s, o->series)) {
        outbox_push(o, s->frame);
        return;
    }
    o->series = s->step.to;
    outbox_list(o, s->all);
}
