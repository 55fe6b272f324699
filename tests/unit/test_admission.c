/* The node's limits: alone, and with threads that race for the last place. */
#include "core/admission.h"

#include "base/base.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <cmocka.h>
#include <uv.h>

static struct admission *admission;
static struct settings settings;

static int set_up(void **state)
{
    admission = admission_new();
    settings = (struct settings){0};
    return 0;
}

static int tear_down(void **state)
{
    admission_free(admission);
    return 0;
}

static unsigned enter(unsigned times, uint64_t now_ms, enum err refusal)
{
    unsigned entered = 0;

    while (times-- > 0) {
        enum err err = admission_enter(admission, &settings, now_ms);

        assert_true(err == OK || err == refusal);
        entered += err == OK;
    }
    return entered;
}

static void without_limits_everybody_is_counted_and_comes_in(void **state)
{
    assert_int_equal(enter(1000, 1000, OK), 1000);
    assert_int_equal(admission_counts(admission).connections, 1000);
}

static void over_the_limit_nobody_comes_in_until_somebody_leaves(void **state)
{
    settings.client_connection_limit = 3;
    assert_int_equal(enter(5, 1000, ERR_LIMIT), 3);
    admission_leave(admission);
    assert_int_equal(enter(5, 1000, ERR_LIMIT), 1);
    assert_int_equal(admission_counts(admission).connections, 3);
    assert_int_equal(admission_counts(admission).over_limit, 6);
}

static void the_rate_is_per_second_with_a_burst_as_big(void **state)
{
    settings.client_connection_rate_limit = 4;
    assert_int_equal(enter(10, 1000, ERR_BUSY), 4);
    assert_int_equal(enter(10, 1249, ERR_BUSY), 0);
    assert_int_equal(enter(10, 1250, ERR_BUSY), 1);
    assert_int_equal(enter(10, 9000, ERR_BUSY), 4);
    assert_int_equal(admission_counts(admission).connections, 9);
    assert_int_equal(admission_counts(admission).over_rate, 6 + 10 + 9 + 6);
}

static void a_user_has_so_many_and_others_have_theirs(void **state)
{
    assert_int_equal(admission_enter_user(admission, STR("a"), 2), OK);
    assert_int_equal(admission_enter_user(admission, STR("a"), 2), OK);
    assert_int_equal(admission_enter_user(admission, STR("a"), 2), ERR_LIMIT);
    assert_int_equal(admission_enter_user(admission, STR("b"), 2), OK);
    admission_leave_user(admission, STR("a"));
    assert_int_equal(admission_enter_user(admission, STR("a"), 2), OK);
    assert_int_equal(admission_enter_user(admission, STR("a"), 2), ERR_LIMIT);
}

static void a_warning_comes_every_three_seconds(void **state)
{
    assert_true(admission_may_warn(admission, 5000));
    assert_false(admission_may_warn(admission, 5001));
    assert_false(admission_may_warn(admission, 7999));
    assert_true(admission_may_warn(admission, 8000));
}

/* --- threads ------------------------------------------------------------------------------------
 */

#define THREADS 4
#define ROUNDS 20000

struct racer {
    uv_thread_t thread;
    unsigned entered, user_entered;
};

static void race(void *arg)
{
    struct racer *r = arg;

    for (unsigned i = 0; i < ROUNDS; i++) {
        struct str user = str_of(&"abcdefgh"[i % 8], 1);

        if (admission_enter(admission, &settings, 1000) == OK) {
            r->entered++;
            if (i % 3 != 0) {
                admission_leave(admission);
                r->entered--;
            }
        }
        if (admission_enter_user(admission, user, 5) == OK) {
            if (i % 3 != 0)
                admission_leave_user(admission, user);
            else
                r->user_entered++;
        }
    }
}

static void racing_threads_never_pass_a_limit_nor_lose_a_place(void **state)
{
    struct racer racers[THREADS] = {0};
    unsigned entered = 0, user_entered = 0;

    settings.client_connection_limit = 100;
    for (size_t i = 0; i < THREADS; i++)
        assert_int_equal(uv_thread_create(&racers[i].thread, race, &racers[i]), 0);
    for (size_t i = 0; i < THREADS; i++) {
        uv_thread_join(&racers[i].thread);
        entered += racers[i].entered;
        user_entered += racers[i].user_entered;
    }
    assert_int_equal(entered, 100);
    assert_int_equal(admission_counts(admission).connections, 100);
    assert_int_equal(user_entered, 8 * 5);
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(without_limits_everybody_is_counted_and_comes_in),
        CASE(over_the_limit_nobody_comes_in_until_somebody_leaves),
        CASE(the_rate_is_per_second_with_a_burst_as_big),
        CASE(a_user_has_so_many_and_others_have_theirs),
        CASE(a_warning_comes_every_three_seconds),
        CASE(racing_threads_never_pass_a_limit_nor_lose_a_place),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
