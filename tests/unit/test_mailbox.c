/* The mailbox: many posters, one owner; order per poster, nothing lost, bounded delivery. */
#include "loop/worker.h"

#include "base/mem.h"

#include <string.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <cmocka.h>

#define POSTERS 4
#define POSTS 20000

struct letter {
    struct mail mail;
    unsigned from;
    unsigned number;
};

static unsigned next_of[POSTERS + 1];
static unsigned arrived;
static bool in_order;

static void on_letter(struct worker *w, struct mail *m)
{
    struct letter *l = container_of(m, struct letter, mail);

    in_order = in_order && l->number == next_of[l->from];
    next_of[l->from]++;
    arrived++;
    mem_free(l);
    if (arrived == (POSTERS + 1) * POSTS)
        worker_close_handles(w);
}

static void post(struct worker *to, unsigned from, unsigned number)
{
    struct letter *l = mem_alloc(sizeof *l);

    *l = (struct letter){{NULL, on_letter}, from, number};
    worker_post(to, &l->mail);
}

static void poster_main(void *arg)
{
    static atomic_uint ids;
    unsigned id = atomic_fetch_add(&ids, 1);

    for (unsigned i = 0; i < POSTS; i++)
        post(arg, id, i);
}

/* The owner posts to itself meanwhile, a few per turn. */
static void post_own(struct turn_task *task)
{
    struct worker *w = worker_current();
    static unsigned sent;

    for (unsigned i = 0; i < 7 && sent < POSTS; i++)
        post(w, POSTERS, sent++);
    if (sent < POSTS)
        worker_queue(w, task);
}

static void reset(void)
{
    memset(next_of, 0, sizeof next_of);
    arrived = 0;
    in_order = true;
}

static void mail_of_many_threads_arrives_complete_and_in_order_per_poster(void **state)
{
    struct worker *w = worker_new(0);
    struct turn_task task = {.run = post_own};
    uv_thread_t threads[POSTERS];

    reset();
    list_init(&task.in_turn);
    worker_queue(w, &task);
    for (unsigned i = 0; i < POSTERS; i++)
        assert_int_equal(uv_thread_create(&threads[i], poster_main, w), 0);
    worker_run(w);
    for (unsigned i = 0; i < POSTERS; i++)
        uv_thread_join(&threads[i]);
    assert_int_equal(arrived, (POSTERS + 1) * POSTS);
    assert_true(in_order);
    assert_int_equal(mailbox_depth(w->mailbox), 0);
    worker_free(w);
}

static void mail_to_oneself_is_never_delivered_from_inside_post(void **state)
{
    struct worker *w = worker_new(0);

    reset();
    worker_enter(w);
    post(w, 0, 0);
    post(w, 0, 1);
    assert_int_equal(arrived, 0);
    assert_int_equal(mailbox_depth(w->mailbox), 2);
    uv_run(&w->loop, UV_RUN_NOWAIT);
    assert_int_equal(arrived, 2);
    assert_true(in_order);
    worker_free(w);
}

static void drain_delivers_no_more_than_asked_and_keeps_the_rest(void **state)
{
    struct worker *w = worker_new(0);

    reset();
    for (unsigned i = 0; i < 5; i++) /* no worker's thread: these count as others' mail */
        post(w, 0, i);
    worker_enter(w);
    for (unsigned i = 0; i < 5; i++)
        post(w, 1, i);
    assert_int_equal(mailbox_depth(w->mailbox), 10);
    assert_int_equal(mailbox_drain(w->mailbox, 2), 4);
    assert_int_equal(mailbox_depth(w->mailbox), 6);
    assert_true(mailbox_waits(w->mailbox));
    assert_int_equal(mailbox_drain(w->mailbox, 100), 6);
    assert_false(mailbox_waits(w->mailbox));
    assert_int_equal(mailbox_drain(w->mailbox, 100), 0);
    assert_true(in_order);
    worker_free(w);
}

static void mail_that_waits_when_the_loop_ends_is_still_delivered(void **state)
{
    struct worker *w = worker_new(0);

    reset();
    for (unsigned i = 0; i < 3000; i++)
        post(w, 0, i);
    worker_enter(w);
    worker_close_handles(w);
    worker_run(w);
    assert_int_equal(arrived, 3000);
    assert_true(in_order);
    worker_free(w);
    worker_enter(NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(mail_of_many_threads_arrives_complete_and_in_order_per_poster),
        cmocka_unit_test(mail_to_oneself_is_never_delivered_from_inside_post),
        cmocka_unit_test(drain_delivers_no_more_than_asked_and_keeps_the_rest),
        cmocka_unit_test(mail_that_waits_when_the_loop_ends_is_still_delivered),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
