#include "loop/worker.h"

#include "base/clock.h"
#include "base/err.h"
#include "base/mem.h"
#include "loop/stream.h"

#include <pthread.h>
#include <stdio.h>

/* Mail delivered at one turn's end, from oneself and from others each. */
#define MAIL_PER_TURN 1024
/* Tasks cause mail and mail causes tasks; so often at one turn's end, then sockets get a look. */
#define ROUNDS_PER_TURN 8

static __thread struct worker *current;

struct worker *worker_current(void)
{
    return current;
}

void worker_enter(struct worker *w)
{
    current = w;
}

void worker_take_time(struct worker *w)
{
    w->now_ms = clock_mono_ms();
    w->slept = false;
}

/* Runs what was queued before the call; what a task queues comes with the next call. */
static void run_tasks(struct worker *w)
{
    struct list tasks;

    list_take(&tasks, &w->turn);
    while (!list_empty(&tasks)) {
        struct turn_task *task = container_of(tasks.next, struct turn_task, in_turn);

        list_del(&task->in_turn);
        task->run(task);
    }
}

/* Mail first, then tasks, so that all that one round's mail has for a client is written at once.
 * False when nothing is left. */
static bool end_turn(struct worker *w)
{
    size_t budget = MAIL_PER_TURN;

    for (unsigned round = 0; round < ROUNDS_PER_TURN && budget > 0; round++) {
        size_t delivered = mailbox_drain(w->mailbox, budget);

        budget -= MIN(delivered, budget);
        run_tasks(w);
        if (list_empty(&w->turn) && !mailbox_waits(w->mailbox))
            return false;
    }
    /* Out of rounds or budget: what the last mail queued is written before others' next share. */
    run_tasks(w);
    return !list_empty(&w->turn) || mailbox_waits(w->mailbox);
}

static void on_keep_awake(uv_idle_t *idle)
{
    /* Being active is enough: the loop polls without sleeping. */
}

static void on_before_sleep(uv_prepare_t *prepare)
{
    struct worker *w = prepare->loop->data;

    if (end_turn(w))
        uv_idle_start(&w->keep_awake, on_keep_awake);
    else
        uv_idle_stop(&w->keep_awake);
    w->slept = true;
}

static void on_after_sleep(uv_check_t *check)
{
    worker_woke(check->loop->data);
}

struct worker *worker_new(unsigned index)
{
    struct worker *w = mem_zalloc(sizeof *w);

    CHECK(uv_loop_init(&w->loop) == 0);
    w->loop.data = w;
    w->index = index;
    w->read_buffer = mem_alloc(READ_BUFFER_BYTES);
    w->mailbox = mailbox_new(w);
    timers_init(&w->timers, &w->loop);
    list_init(&w->turn);
    w->streams = streams_new(w);
    CHECK(uv_prepare_init(&w->loop, &w->before_sleep) == 0);
    CHECK(uv_check_init(&w->loop, &w->after_sleep) == 0);
    CHECK(uv_idle_init(&w->loop, &w->keep_awake) == 0);
    CHECK(uv_prepare_start(&w->before_sleep, on_before_sleep) == 0);
    CHECK(uv_check_start(&w->after_sleep, on_after_sleep) == 0);
    worker_take_time(w);
    return w;
}

void worker_close_handles(struct worker *w)
{
    CHECK_ON(w);
    mailbox_unref(w->mailbox);
    uv_unref((uv_handle_t *)&w->timers.tick);
    uv_unref((uv_handle_t *)&w->before_sleep);
    uv_unref((uv_handle_t *)&w->after_sleep);
}

/* The loop has ended: delivers what came meanwhile, then closes the worker's own handles. */
static void finish(struct worker *w)
{
    while (end_turn(w))
        continue;
    mailbox_close(w->mailbox);
    timers_close(&w->timers);
    streams_close(w->streams);
    uv_close((uv_handle_t *)&w->before_sleep, NULL);
    uv_close((uv_handle_t *)&w->after_sleep, NULL);
    uv_close((uv_handle_t *)&w->keep_awake, NULL);
    uv_run(&w->loop, UV_RUN_DEFAULT);
    w->ended = true;
}

void worker_run(struct worker *w)
{
    struct worker *before = current;

    current = w;
    worker_take_time(w);
    uv_run(&w->loop, UV_RUN_DEFAULT);
    finish(w);
    current = before;
}

struct start {
    struct worker *worker;
    worker_start_fn *fn;
    void *arg;
};

static void worker_main(void *arg)
{
    struct start start = *(struct start *)arg;
    char name[16];

    mem_free(arg);
    snprintf(name, sizeof name, "perigee-%u", start.worker->index);
    pthread_setname_np(pthread_self(), name);
    current = start.worker;
    worker_take_time(start.worker);
    if (start.fn)
        start.fn(start.worker, start.arg);
    worker_run(start.worker);
}

int worker_start(struct worker *w, worker_start_fn *fn, void *arg)
{
    struct start *start = mem_alloc(sizeof *start);

    *start = (struct start){w, fn, arg};
    if (uv_thread_create(&w->thread, worker_main, start) != 0) {
        mem_free(start);
        return ERR_IO;
    }
    return OK;
}

void worker_join(struct worker *w)
{
    CHECK(uv_thread_join(&w->thread) == 0);
}

void worker_free(struct worker *w)
{
    if (!w->ended) { /* it never ran, or was turned by hand */
        struct worker *before = current;

        current = w;
        finish(w);
        current = before == w ? NULL : before;
    }
    CHECK(uv_loop_close(&w->loop) == 0);
    mailbox_free(w->mailbox);
    timers_deinit(&w->timers);
    streams_free(w->streams);
    mem_free(w->read_buffer);
    mem_free(w);
}
