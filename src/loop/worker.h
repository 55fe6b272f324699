/* A thread with its loop. Everything a worker owns is touched by its thread alone; other threads
 * reach it by mail. The main thread owns the workers' structs and joins them.
 *
 * A turn of the loop: timers; mail and sockets; then, before it sleeps, mail to oneself and the
 * turn's tasks (outboxes write here), which may cause more of both: a bounded number of rounds,
 * and what is left comes in the next turn, for which the loop does not sleep.
 *
 * Stop: tell every worker by mail to close what it has open and to post no more; when all have
 * said so, post each a last mail that calls worker_close_handles; join all; free all. */
#pragma once

#include "base/check.h"
#include "base/list.h"
#include "loop/mailbox.h"
#include "loop/timers.h"

#include <uv.h>

#define READ_BUFFER_BYTES (64 * 1024)

struct worker;

/* Things to do once per loop turn, before it sleeps: outboxes with something to write. */
struct turn_task {
    struct list in_turn;                 /* empty list when not queued */
    void (*run)(struct turn_task *task); /* dequeued already: it may queue itself again */
};

struct worker {
    uv_loop_t loop;
    unsigned index; /* 0 … count-1; the place in mail addressing */
    struct mailbox *mailbox;
    struct timers timers;
    struct streams *streams; /* what its streams share (loop/stream.h) */
    struct list turn;        /* struct turn_task, run before the loop sleeps */
    uint64_t now_ms;         /* monotonic, taken once per turn */
    bool slept;              /* now_ms is from before the sleep: see worker_woke */
    bool ended;              /* its own handles are closed */
    char *read_buffer;       /* lent to whichever stream is being read; valid inside on_data */
    void *core;              /* struct core of this worker */
    uv_prepare_t before_sleep;
    uv_check_t after_sleep;
    uv_idle_t keep_awake; /* active while mail to oneself waits */
    uv_thread_t thread;
};

/* Threads: new, then start (fn runs on the new thread before the loop turns); stop is mail. */
struct worker *worker_new(unsigned index);
typedef void worker_start_fn(struct worker *w, void *arg);
int worker_start(struct worker *w, worker_start_fn *fn, void *arg) NODISCARD; /* enum err */
/* The worker's own handles stop keeping the loop alive: it ends as soon as everybody else's are
 * closed. Mail and timers work until then; what mail waits at the end is still delivered. */
void worker_close_handles(struct worker *w);
void worker_join(struct worker *w); /* main thread; then worker_free */
void worker_free(struct worker *w); /* when every thread that posts to it is joined */

/* Without a thread of its own (tools, tests): the calling thread becomes the worker's. worker_run
 * turns the loop until it ends after worker_close_handles; a test may turn it by hand instead. */
void worker_enter(struct worker *w); /* NULL: no worker's any more */
void worker_run(struct worker *w);

struct worker *worker_current(void); /* the calling thread's worker, or NULL */
#define CHECK_ON(w) DCHECK(worker_current() == (w))

void worker_take_time(struct worker *w);

/* The first thing in every callback that polling leads to (sockets, wake-ups): libuv's own "check"
 * comes after those, and they must not see the time from before the sleep. */
static inline void worker_woke(struct worker *w)
{
    if (__builtin_expect(w->slept, 0))
        worker_take_time(w);
}

/* Queues task for the end of this turn; a second call before it ran does nothing. */
static inline void worker_queue(struct worker *w, struct turn_task *task)
{
    if (list_empty(&task->in_turn))
        list_add_tail(&w->turn, &task->in_turn);
}

/* Posts m to worker `to`; sugar for its mailbox. Any thread. */
static inline void worker_post(struct worker *to, struct mail *m)
{
    mailbox_post(to->mailbox, m);
}
