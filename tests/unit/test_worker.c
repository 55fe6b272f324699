/* Four workers pass tokens round a ring while timers and turn tasks run; then they stop cleanly. */
#include "loop/worker.h"

#include "base/clock.h"
#include "base/mem.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <cmocka.h>

#define WORKERS 4
#define TOKENS 50
#define ROUNDS 400

struct token {
    struct mail mail;
    unsigned hops;
};

/* One worker's share; touched by its thread only, read by the main thread after the join. */
struct member {
    struct worker *worker;
    struct timer tick;
    struct turn_task task;
    unsigned hops, ticks, tasks, own, stale_times;
    bool stopped;
};

static struct member ring[WORKERS];
static atomic_uint tokens_done, acks;

static void on_own_mail(struct worker *w, struct mail *m)
{
    ring[w->index].own++;
    mem_free(m);
}

static void on_task(struct turn_task *task)
{
    struct member *me = container_of(task, struct member, task);
    struct mail *m;

    me->tasks++;
    if (me->stopped)
        return;
    m = mem_alloc(sizeof *m);
    m->deliver = on_own_mail;
    worker_post(me->worker, m);
}

static void on_token(struct worker *w, struct mail *m)
{
    struct token *t = container_of(m, struct token, mail);
    struct member *me = &ring[w->index];

    me->hops++;
    me->stale_times += clock_mono_ms() > w->now_ms + 1000;
    worker_queue(w, &me->task);
    if (++t->hops == ROUNDS * WORKERS) {
        mem_free(t);
        atomic_fetch_add(&tokens_done, 1);
        return;
    }
    worker_post(ring[(w->index + 1) % WORKERS].worker, &t->mail);
}

static void on_tick(struct timer *t)
{
    struct member *me = container_of(t, struct member, tick);

    me->ticks++;
    worker_queue(me->worker, &me->task);
    timer_set(&me->worker->timers, t, me->worker->now_ms + 1);
}

static void start(struct worker *w, void *arg)
{
    struct member *me = arg;

    assert_ptr_equal(worker_current(), w);
    me->tick = TIMER_INIT(on_tick);
    timer_set(&w->timers, &me->tick, w->now_ms + 1);
}

static void on_stop(struct worker *w, struct mail *m)
{
    struct member *me = &ring[w->index];

    me->stopped = true;
    timer_unset(&w->timers, &me->tick);
    mem_free(m);
    atomic_fetch_add(&acks, 1);
}

static void on_last(struct worker *w, struct mail *m)
{
    mem_free(m);
    worker_close_handles(w);
}

static void post_to_all(mail_fn *deliver)
{
    for (unsigned i = 0; i < WORKERS; i++) {
        struct mail *m = mem_alloc(sizeof *m);

        m->deliver = deliver;
        worker_post(ring[i].worker, m);
    }
}

static void wait_for(atomic_uint *count, unsigned n)
{
    for (unsigned waited = 0; atomic_load(count) < n; waited++) {
        assert_true(waited < 60000);
        uv_sleep(1);
    }
}

static void four_workers_pass_mail_round_while_timers_and_tasks_run_and_stop_cleanly(void **state)
{
    unsigned hops = 0;

    for (unsigned i = 0; i < WORKERS; i++) {
        ring[i].worker = worker_new(i);
        ring[i].task.run = on_task;
        list_init(&ring[i].task.in_turn);
    }
    for (unsigned i = 0; i < WORKERS; i++)
        assert_int_equal(worker_start(ring[i].worker, start, &ring[i]), 0);
    for (unsigned i = 0; i < TOKENS; i++) {
        struct token *t = mem_zalloc(sizeof *t);

        t->mail.deliver = on_token;
        worker_post(ring[i % WORKERS].worker, &t->mail);
    }
    wait_for(&tokens_done, TOKENS);
    uv_sleep(10);
    post_to_all(on_stop);
    wait_for(&acks, WORKERS);
    post_to_all(on_last);
    for (unsigned i = 0; i < WORKERS; i++)
        worker_join(ring[i].worker);
    for (unsigned i = 0; i < WORKERS; i++) {
        assert_int_equal(mailbox_depth(ring[i].worker->mailbox), 0);
        worker_free(ring[i].worker);
        assert_int_equal(ring[i].hops, ROUNDS * TOKENS);
        assert_true(ring[i].ticks > 0);
        assert_true(ring[i].own > 0 && ring[i].own <= ring[i].tasks);
        assert_int_equal(ring[i].stale_times, 0);
        hops += ring[i].hops;
    }
    assert_int_equal(hops, ROUNDS * TOKENS * WORKERS);
}

static unsigned pings, wakes;
static struct worker *alone;

static void on_ping(struct worker *w, struct mail *m)
{
    pings++;
    if (wakes < 3)
        worker_post(w, m);
    else
        worker_close_handles(w);
}

static void on_wake(struct timer *t)
{
    wakes++;
    timer_set(&alone->timers, t, alone->now_ms);
}

static void mail_that_posts_itself_forever_leaves_timers_their_turns(void **state)
{
    struct mail m = {.deliver = on_ping};
    struct timer t = TIMER_INIT(on_wake);

    alone = worker_new(0);
    worker_enter(alone);
    pings = wakes = 0;
    timer_set(&alone->timers, &t, alone->now_ms);
    worker_post(alone, &m);
    worker_run(alone);
    assert_int_equal(wakes, 3);
    assert_true(pings > 3);
    worker_free(alone);
    worker_enter(NULL);
}

static char order[16];
static unsigned noted;

static void note_a(struct turn_task *task)
{
    order[noted++] = 'a';
}

static void note_mail(struct worker *w, struct mail *m)
{
    order[noted++] = 'm';
}

static void tasks_run_once_and_after_the_mail_of_the_turn(void **state)
{
    struct worker *w = worker_new(0);
    struct turn_task a = {.run = note_a};
    struct mail first = {.deliver = note_mail}, second = {.deliver = note_mail};

    worker_enter(w);
    list_init(&a.in_turn);
    worker_queue(w, &a);
    worker_queue(w, &a);
    worker_post(w, &first);
    worker_post(w, &second);
    uv_run(&w->loop, UV_RUN_NOWAIT);
    assert_string_equal(order, "mma");
    worker_free(w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(four_workers_pass_mail_round_while_timers_and_tasks_run_and_stop_cleanly),
        cmocka_unit_test(mail_that_posts_itself_forever_leaves_timers_their_turns),
        cmocka_unit_test(tasks_run_once_and_after_the_mail_of_the_turn),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
