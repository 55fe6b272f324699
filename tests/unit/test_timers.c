/* Timers: the heap against a plain model, and what callbacks may do to it. */
#include "loop/worker.h"

#include "base/clock.h"
#include "base/random.h"

#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>

#define MANY 500

static uint64_t fake_ns = 1000 * 1000000ull;

static uint64_t fake_mono(void)
{
    return fake_ns;
}

static int64_t fake_wall(void)
{
    return 0;
}

static const struct clock_source fake_clock = {fake_mono, fake_wall};

static struct worker *w;
static struct timer many[MANY];
static unsigned fired;
static uint64_t last_due;
static bool in_order;

static uint64_t now(void)
{
    return fake_ns / 1000000;
}

/* Turns the loop until libuv's timer ticked, with our clock `ms` later; real time passes little. */
static void pass(uint64_t ms)
{
    fake_ns += ms * 1000000;
    uv_timer_start(&w->timers.tick, w->timers.tick.timer_cb, 0, 0);
    uv_run(&w->loop, UV_RUN_NOWAIT);
}

static void count_fired(struct timer *t)
{
    assert_false(timer_is_set(t));
    fired++;
    in_order = in_order && t->due_ms >= last_due && t->due_ms <= now();
    last_due = t->due_ms;
}

static int set_up(void **state)
{
    clock_set_source(&fake_clock);
    w = worker_new(0);
    worker_enter(w);
    for (unsigned i = 0; i < MANY; i++)
        many[i] = TIMER_INIT(count_fired);
    fired = 0;
    last_due = 0;
    in_order = true;
    return 0;
}

static int tear_down(void **state)
{
    worker_free(w);
    return 0;
}

static void many_timers_due_at_once_fire_in_due_order(void **state)
{
    for (unsigned i = 0; i < MANY; i++)
        timer_set(&w->timers, &many[i], now() + 1 + random_u64() % 100);
    pass(0);
    assert_int_equal(fired, 0);
    pass(100);
    assert_int_equal(fired, MANY);
    assert_true(in_order);
    assert_int_equal(w->timers.count, 0);
}

static void random_sets_moves_and_unsets_agree_with_a_model(void **state)
{
    uint64_t due[MANY] = {0}; /* 0: not set */

    for (unsigned step = 0; step < 20000; step++) {
        unsigned i = (unsigned)(random_u64() % MANY);

        if (random_u64() % 3 == 0) {
            timer_unset(&w->timers, &many[i]);
            due[i] = 0;
        } else {
            due[i] = now() + 1 + random_u64() % 1000;
            timer_set(&w->timers, &many[i], due[i]);
        }
        if (step % 50 == 0) {
            unsigned expected = 0;

            fired = 0;
            last_due = 0;
            pass(random_u64() % 40);
            for (unsigned k = 0; k < MANY; k++) {
                if (due[k] != 0 && due[k] <= now()) {
                    expected++;
                    due[k] = 0;
                }
                assert_int_equal(timer_is_set(&many[k]), due[k] != 0);
            }
            assert_int_equal(fired, expected);
            assert_true(in_order);
        }
    }
}

static void set_again(struct timer *t)
{
    fired++;
    timer_set(&w->timers, t, 0);
}

static void a_timer_that_sets_itself_to_the_past_fires_once_per_tick(void **state)
{
    struct timer t = TIMER_INIT(set_again);

    timer_set(&w->timers, &t, now());
    pass(1);
    assert_int_equal(fired, 1);
    pass(1);
    assert_int_equal(fired, 2);
    timer_unset(&w->timers, &t);
}

static void unset_the_next(struct timer *t)
{
    fired++;
    timer_unset(&w->timers, &many[1]);
    timer_unset(&w->timers, t);
}

static void a_callback_may_unset_a_timer_that_is_due_as_well(void **state)
{
    many[0].fn = unset_the_next;
    timer_set(&w->timers, &many[0], now() + 1);
    timer_set(&w->timers, &many[1], now() + 2);
    timer_set(&w->timers, &many[2], now() + 3);
    pass(10);
    assert_int_equal(fired, 2);
    assert_false(timer_is_set(&many[1]));
}

static void real_fired(struct timer *t)
{
    fired++;
    worker_close_handles(w);
}

static void the_loop_wakes_up_for_the_earliest_timer(void **state)
{
    static const uint64_t wait_ms = 20;
    struct timer t = TIMER_INIT(real_fired), late = TIMER_INIT(count_fired);
    uint64_t start = uv_hrtime();

    /* libuv's clock and the fake one agree about a distance; the fake one jumps when asked. */
    timer_set(&w->timers, &late, now() + 60000);
    timer_set(&w->timers, &t, now() + wait_ms);
    fake_ns += wait_ms * 1000000;
    worker_run(w);
    assert_int_equal(fired, 1);
    assert_true(uv_hrtime() - start >= (wait_ms - 2) * 1000000);
    assert_true(uv_hrtime() - start < 10 * 1000000000ull);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(many_timers_due_at_once_fire_in_due_order, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(random_sets_moves_and_unsets_agree_with_a_model, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(a_timer_that_sets_itself_to_the_past_fires_once_per_tick,
                                        set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_callback_may_unset_a_timer_that_is_due_as_well, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(the_loop_wakes_up_for_the_earliest_timer, set_up,
                                        tear_down),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
