/* Rate limits of one connection, next to plain buckets that are never thrown away. */
#include "lib/world.h"

#include "client/limit.h"

#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>

static const char config[] =
    "return { client = { rate_limit = { client_command = {\n"
    "  publish = { buckets = { { interval = '1s', rate = 5 }, { interval = '10s', rate = 8 } } },\n"
    "  rpc = { buckets = { { interval = '700ms', rate = 3 } } },\n"
    "  send = { buckets = {} },\n"
    "  total = { buckets = { { interval = '2s', rate = 12 } } } },\n"
    "  client_error = { total = { buckets = { { interval = '5s', rate = 4 } } } },\n"
    "} } }\n";

static struct limits *limits;
static struct limit_slot slot;

static int open_with(const char *text)
{
    world_begin(text);
    limits = limits_new(core);
    slot = (struct limit_slot){0};
    return 0;
}

static int set_up(void **state)
{
    return open_with(config);
}

static int set_up_defaults(void **state)
{
    return open_with("return {}\n");
}

static int set_up_strict(void **state)
{
    return open_with("return { client = { rate_limit = { client_command = {\n"
                     "  publish = { buckets = { { interval = '1s', rate = 1 } } } } } } }\n");
}

static int tear_down(void **state)
{
    limit_release(limits, &slot);
    limits_free(limits);
    world_end();
    return 0;
}

static unsigned take(enum method method, unsigned times)
{
    unsigned taken = 0;

    while (times-- > 0)
        taken += limit_take(limits, &slot, STR_NONE, method);
    return taken;
}

static void assert_option(const char *path)
{
    struct str option = limit_option(limits);

    assert_int_equal(option.len, strlen(path));
    assert_memory_equal(option.ptr, path, option.len);
}

/* --- cases --------------------------------------------------------------------------------------
 */

static void a_bucket_gives_its_rate_at_once_and_refills_evenly(void **state)
{
    assert_int_equal(take(METHOD_RPC, 10), 3);
    assert_option("client.rate_limit.client_command.rpc.buckets");
    world_pass(233);
    assert_int_equal(take(METHOD_RPC, 10), 0);
    world_pass(1);
    assert_int_equal(take(METHOD_RPC, 10), 1);
    world_pass(700);
    assert_int_equal(take(METHOD_RPC, 10), 3);
}

static void every_bucket_of_a_list_counts(void **state)
{
    assert_int_equal(take(METHOD_PUBLISH, 10), 5);
    world_pass(1000);
    assert_int_equal(take(METHOD_PUBLISH, 10), 3); /* 0.8 are left in the one of ten seconds */
    world_pass(249);
    assert_int_equal(take(METHOD_PUBLISH, 10), 0);
    world_pass(1);
    assert_int_equal(take(METHOD_PUBLISH, 10), 1);
}

static void what_is_refused_takes_nothing_from_total(void **state)
{
    assert_int_equal(take(METHOD_RPC, 1000), 3);
    assert_int_equal(take(METHOD_SEND, 1000), 9);
    assert_option("client.rate_limit.client_command.total.buckets");
    assert_int_equal(limit_counts(limits).refused, 997 + 991);
}

static void a_bucket_of_one_gives_one(void **state)
{
    assert_int_equal(take(METHOD_PUBLISH, 2), 1);
    world_pass(999);
    assert_int_equal(take(METHOD_PUBLISH, 1), 0);
    world_pass(1);
    assert_int_equal(take(METHOD_PUBLISH, 2), 1);
}

static void defaults_let_a_hundred_subscribes_pass_at_once(void **state)
{
    assert_int_equal(take(METHOD_SUBSCRIBE, 100), 100);
    assert_int_equal(take(METHOD_SUBSCRIBE, 10000), 900);
}

static void two_commands_now_and_then_cost_no_memory(void **state)
{
    for (int i = 0; i < 100; i++) {
        assert_int_equal(take(METHOD_PUBLISH, 2), 2);
        assert_int_equal(limit_counts(limits).records, 0);
        world_pass(1000);
    }
    assert_int_equal(take(METHOD_PUBLISH, 3), 3);
    assert_int_equal(limit_counts(limits).records, 1);
}

static void a_record_is_given_back_when_its_buckets_are_full(void **state)
{
    take(METHOD_PUBLISH, 150);
    assert_int_equal(limit_counts(limits).records, 1);
    world_pass(3000);
    assert_int_equal(limit_counts(limits).records, 0);
    assert_int_equal(slot.word, 0);
}

static void a_flood_is_logged_once_a_second(void **state)
{
    unsigned logged = 0;

    for (int i = 0; i < 3000; i++) {
        if (!limit_take(limits, &slot, STR_NONE, METHOD_PUBLISH) && limit_may_log(limits, &slot))
            logged++;
        if (i % 1000 == 999)
            world_pass(200);
    }
    assert_int_equal(logged, 1);
}

static void other_settings_start_afresh(void **state)
{
    struct settings *other =
        world_settings("return { client = { rate_limit = { client_command = {\n"
                       "  rpc = { buckets = { { interval = '1s', rate = 4 } } } } } } }\n");

    assert_int_equal(take(METHOD_RPC, 10), 3);
    settings_unref(core->settings);
    core->settings = other; /* as a reload does */
    assert_int_equal(take(METHOD_RPC, 10), 4);
}

/* --- errors ------------------------------------------------------------------------------------
 */

static void errors_have_a_bucket_of_their_own(void **state)
{
    assert_int_equal(take(METHOD_SEND, 12), 12); /* total is empty now */
    for (int i = 0; i < 4; i++)
        assert_true(limit_take_error(limits, &slot));
    assert_false(limit_take_error(limits, &slot));
    assert_option("client.rate_limit.client_error.total.buckets");
    world_pass(1250);
    assert_true(limit_take_error(limits, &slot));
    assert_false(limit_take_error(limits, &slot));
    assert_int_equal(limit_counts(limits).refused, 0); /* of commands */
}

static void two_errors_now_and_then_cost_no_memory(void **state)
{
    for (int i = 0; i < 10; i++) {
        assert_true(limit_take_error(limits, &slot));
        assert_true(limit_take_error(limits, &slot));
        assert_int_equal(limit_counts(limits).records, 0);
        world_pass(10000);
    }
    assert_int_equal(take(METHOD_PUBLISH, 10), 5);
}

static void without_an_option_errors_are_not_counted(void **state)
{
    for (int i = 0; i < 10000; i++)
        assert_true(limit_take_error(limits, &slot));
    assert_int_equal(slot.word, 0);
}

/* --- the model ----------------------------------------------------------------------------------
 */

struct plain_bucket {
    enum method method; /* METHOD_NONE: of all */
    int64_t interval_ns, rate, level_ns;
};

static struct plain_bucket model[] = {
    {METHOD_PUBLISH, 1000000000, 5, 0},
    {METHOD_PUBLISH, 10000000000, 8, 0},
    {METHOD_RPC, 700000000, 3, 0},
    {METHOD_NONE, 2000000000, 12, 0},
};

static bool model_take(enum method method)
{
    for (size_t i = 0; i < ARRAY_LEN(model); i++) {
        struct plain_bucket *b = &model[i];

        if ((b->method == method || b->method == METHOD_NONE) &&
            b->level_ns < b->interval_ns / b->rate)
            return false;
    }
    for (size_t i = 0; i < ARRAY_LEN(model); i++) {
        struct plain_bucket *b = &model[i];

        if (b->method == method || b->method == METHOD_NONE)
            b->level_ns -= b->interval_ns / b->rate;
    }
    return true;
}

static void model_pass(uint64_t ms)
{
    for (size_t i = 0; i < ARRAY_LEN(model); i++)
        model[i].level_ns = MIN(model[i].level_ns + (int64_t)ms * 1000000, model[i].interval_ns);
    if (ms > 0)
        world_pass(ms);
}

static void it_decides_as_plain_buckets_would(void **state)
{
    static const enum method methods[] = {METHOD_PUBLISH, METHOD_RPC, METHOD_SEND};
    unsigned refused = 0;

    for (size_t i = 0; i < ARRAY_LEN(model); i++)
        model[i].level_ns = model[i].interval_ns;
    srand(7);
    for (int i = 0; i < 20000; i++) {
        enum method method = methods[rand() % 3];
        bool expected = model_take(method);

        if (limit_take(limits, &slot, STR_NONE, method) != expected)
            fail_msg("command %d: %s", i, expected ? "refused" : "taken");
        refused += !expected;
        switch (rand() % 6) {
        case 0:
            model_pass((uint64_t)rand() % 400);
            break;
        case 1:
            model_pass((uint64_t)rand() % 1200);
            break;
        case 2:
            model_pass(rand() % 20 == 0 ? 11000 : 0);
            break;
        }
    }
    assert_in_range(refused, 2000, 18000);
}

#define CASE(name, up) cmocka_unit_test_setup_teardown(name, up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(a_bucket_gives_its_rate_at_once_and_refills_evenly, set_up),
        CASE(every_bucket_of_a_list_counts, set_up),
        CASE(what_is_refused_takes_nothing_from_total, set_up),
        CASE(a_bucket_of_one_gives_one, set_up_strict),
        CASE(defaults_let_a_hundred_subscribes_pass_at_once, set_up_defaults),
        CASE(two_commands_now_and_then_cost_no_memory, set_up_defaults),
        CASE(a_record_is_given_back_when_its_buckets_are_full, set_up_defaults),
        CASE(a_flood_is_logged_once_a_second, set_up),
        CASE(other_settings_start_afresh, set_up),
        CASE(errors_have_a_bucket_of_their_own, set_up),
        CASE(two_errors_now_and_then_cost_no_memory, set_up),
        CASE(without_an_option_errors_are_not_counted, set_up_defaults),
        CASE(it_decides_as_plain_buckets_would, set_up),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
