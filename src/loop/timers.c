#include "loop/timers.h"

#include "base/check.h"
#include "base/clock.h"
#include "base/mem.h"
#include "loop/worker.h"

/* Four children per node: half the levels of a binary heap, and siblings share a cache line. */
#define CHILDREN 4
#define CAP_MIN 16

static void put(struct timers *ts, size_t i, struct timer *t)
{
    ts->heap[i] = t;
    t->slot = (uint32_t)i + 1;
}

/* Moves t from place i towards the root until its parent is due no later. */
static void sift_up(struct timers *ts, size_t i, struct timer *t)
{
    while (i > 0) {
        size_t parent = (i - 1) / CHILDREN;

        if (ts->heap[parent]->due_ms <= t->due_ms)
            break;
        put(ts, i, ts->heap[parent]);
        i = parent;
    }
    put(ts, i, t);
}

static void sift_down(struct timers *ts, size_t i, struct timer *t)
{
    for (;;) {
        size_t first = i * CHILDREN + 1, least = first;

        if (first >= ts->count)
            break;
        for (size_t c = first + 1; c < MIN(first + CHILDREN, ts->count); c++) {
            if (ts->heap[c]->due_ms < ts->heap[least]->due_ms)
                least = c;
        }
        if (ts->heap[least]->due_ms >= t->due_ms)
            break;
        put(ts, i, ts->heap[least]);
        i = least;
    }
    put(ts, i, t);
}

/* Grows by doubling; gives back half once three quarters are empty, so that it does not flutter. */
static void fit(struct timers *ts)
{
    size_t cap = ts->cap;

    if (ts->count == cap)
        cap = MAX(cap * 2, (size_t)CAP_MIN);
    else if (cap > CAP_MIN && ts->count < cap / 4)
        cap /= 2;
    if (cap == ts->cap)
        return;
    ts->heap = mem_realloc(ts->heap, cap * sizeof *ts->heap);
    ts->cap = cap;
}

static void on_tick(uv_timer_t *tick);

/* Only ever moves the uv_timer to an earlier time: when the first timer was moved back or unset,
 * the tick that comes too early sets it anew, which is cheaper than following every move. */
static void arm(struct timers *ts)
{
    uint64_t due, now;

    if (ts->firing || ts->count == 0 || uv_is_closing((uv_handle_t *)&ts->tick))
        return;
    due = ts->heap[0]->due_ms;
    if (ts->armed_for != 0 && ts->armed_for <= due)
        return;
    now = clock_mono_ms();
    ts->armed_for = MAX(due, (uint64_t)1);
    CHECK(uv_timer_start(&ts->tick, on_tick, due > now ? due - now : 0, 0) == 0);
}

static void on_tick(uv_timer_t *tick)
{
    timers_fire(container_of(tick, struct timers, tick));
}

void timers_fire(struct timers *ts)
{
    struct worker *w = ts->tick.loop->data;
    uint64_t now = clock_mono_ms();

    if (w)
        w->now_ms = now;
    ts->armed_for = 0;
    ts->firing = MAX(now, (uint64_t)1);
    while (ts->count > 0 && ts->heap[0]->due_ms <= now) {
        struct timer *t = ts->heap[0];

        timer_unset(ts, t);
        t->fn(t);
    }
    ts->firing = 0;
    arm(ts);
}

void timers_init(struct timers *ts, uv_loop_t *loop)
{
    *ts = (struct timers){0};
    CHECK(uv_timer_init(loop, &ts->tick) == 0);
}

void timers_close(struct timers *ts)
{
    while (ts->count > 0)
        ts->heap[--ts->count]->slot = 0;
    uv_close((uv_handle_t *)&ts->tick, NULL);
}

void timers_deinit(struct timers *ts)
{
    mem_free(ts->heap);
    ts->heap = NULL;
    ts->count = ts->cap = 0;
}

void timer_set(struct timers *ts, struct timer *t, uint64_t due_ms)
{
    /* Otherwise a timer that sets itself to "now" would keep the tick from ever ending. */
    if (ts->firing && due_ms <= ts->firing)
        due_ms = ts->firing + 1;
    if (timer_is_set(t)) {
        bool earlier = due_ms < t->due_ms;

        t->due_ms = due_ms;
        if (earlier)
            sift_up(ts, t->slot - 1, t);
        else
            sift_down(ts, t->slot - 1, t);
    } else {
        CHECK(ts->count < UINT32_MAX);
        fit(ts);
        t->due_ms = due_ms;
        sift_up(ts, ts->count++, t);
    }
    arm(ts);
}

void timer_unset(struct timers *ts, struct timer *t)
{
    struct timer *last;
    size_t i;

    if (!timer_is_set(t))
        return;
    i = t->slot - 1;
    CHECK(i < ts->count && ts->heap[i] == t);
    t->slot = 0;
    last = ts->heap[--ts->count];
    if (last != t) {
        if (last->due_ms < t->due_ms)
            sift_up(ts, i, last);
        else
            sift_down(ts, i, last);
    }
    fit(ts);
}
