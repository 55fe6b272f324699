/* Rate limits of users: over connections and workers, with those of the connection, and as many
 * threads at once as there are workers. */
#include "lib/world.h"

#include "client/limit.h"
#include "core/user_limits.h"

#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>

static const char config[] =
    "return { client = { rate_limit = {\n"
    "  client_command = { connect = { buckets = { { interval = '10s', rate = 2 } } },\n"
    "    publish = { buckets = { { interval = '1s', rate = 3 } } } },\n"
    "  user_command = { publish = { buckets = { { interval = '1s', rate = 5 },\n"
    "      { interval = '10s', rate = 6 } } },\n"
    "    total = { buckets = { { interval = '1s', rate = 8 } } } },\n"
    "} } }\n";

/* Two workers' limits of one node, and connections of one user on each. */
static struct limits *limits[2];
static struct limit_slot slots[2];

static int set_up(void **state)
{
    world_begin(config);
    for (size_t i = 0; i < ARRAY_LEN(limits); i++) {
        limits[i] = limits_new(core);
        slots[i] = (struct limit_slot){0};
    }
    return 0;
}

static int tear_down(void **state)
{
    for (size_t i = 0; i < ARRAY_LEN(limits); i++) {
        limit_release(limits[i], &slots[i]);
        limits_free(limits[i]);
    }
    world_end();
    return 0;
}

static unsigned take(unsigned i, const char *user, enum method method, unsigned times)
{
    unsigned taken = 0;

    while (times-- > 0)
        taken += limit_take(limits[i], &slots[i], str_from(user), method);
    return taken;
}

static void assert_option(unsigned i, const char *path)
{
    struct str option = limit_option(limits[i]);

    assert_int_equal(option.len, strlen(path));
    assert_memory_equal(option.ptr, path, option.len);
}

static void connections_of_a_user_share_its_bucket(void **state)
{
    assert_int_equal(take(0, "7", METHOD_PUBLISH, 3), 3);
    assert_int_equal(take(1, "7", METHOD_PUBLISH, 3), 2);
    assert_option(1, "client.rate_limit.user_command.publish.buckets");
    assert_int_equal(take(1, "8", METHOD_PUBLISH, 1), 1); /* its third, of another user's five */
}

static void all_commands_of_a_user_have_one_too(void **state)
{
    assert_int_equal(take(0, "7", METHOD_RPC, 20), 8);
    assert_option(0, "client.rate_limit.user_command.total.buckets");
    assert_int_equal(take(1, "7", METHOD_PUBLISH, 1), 0);
    world_pass(125);
    assert_int_equal(take(1, "7", METHOD_PUBLISH, 9), 1);
    assert_int_equal(limit_counts(limits[0]).refused, 12);
}

static void what_a_connection_may_not_takes_nothing_from_the_user(void **state)
{
    assert_int_equal(take(0, "7", METHOD_PUBLISH, 100), 3);
    assert_option(0, "client.rate_limit.client_command.publish.buckets");
    assert_int_equal(take(1, "7", METHOD_PUBLISH, 100), 2);
    /* and what the user may not, nothing from the connection */
    assert_int_equal(take(1, "8", METHOD_PUBLISH, 100), 1);
}

static void every_bucket_of_a_list_counts(void **state)
{
    assert_int_equal(take(0, "7", METHOD_PUBLISH, 3) + take(1, "7", METHOD_PUBLISH, 3), 5);
    world_pass(1000);
    assert_int_equal(take(0, "7", METHOD_PUBLISH, 3), 1); /* 1.6 are left in the one of ten */
    world_pass(670);
    assert_int_equal(take(0, "7", METHOD_PUBLISH, 3), 1);
}

static void nobody_in_particular_has_no_limit(void **state)
{
    assert_int_equal(take(0, "", METHOD_RPC, 200), 200);
    assert_int_equal(user_limits_count(world.node.user_limits), 0);
}

static void what_has_no_option_counts_as_one_of_all(void **state)
{
    assert_int_equal(take(0, "7", METHOD_PING, 20), 8);
}

static void connects_count_by_user(void **state)
{
    assert_true(limit_take_connect(limits[0], STR("7")));
    assert_true(limit_take_connect(limits[1], STR("7")));
    assert_false(limit_take_connect(limits[0], STR("7")));
    assert_option(0, "client.rate_limit.client_command.connect.buckets");
    assert_true(limit_take_connect(limits[0], STR("8")));
    assert_int_equal(take(0, "7", METHOD_RPC, 20), 8); /* no part of total */
    for (int i = 0; i < 100; i++)
        assert_true(limit_take_connect(limits[0], STR_NONE));
    world_pass(5000);
    assert_true(limit_take_connect(limits[1], STR("7")));
    assert_false(limit_take_connect(limits[1], STR("7")));
}

static void users_whose_buckets_are_full_are_forgotten(void **state)
{
    char name[16];

    for (int i = 0; i < 1000; i++) {
        snprintf(name, sizeof name, "user%d", i);
        assert_int_equal(take(0, name, METHOD_RPC, 1), 1);
        world_pass(10);
    }
    assert_in_range(user_limits_count(world.node.user_limits), 10, 400);
    world_pass(2100); /* two sweeps of the worker */
    assert_int_equal(user_limits_count(world.node.user_limits), 0);
    assert_int_equal(take(0, "user0", METHOD_RPC, 20), 8);
}

static void tighter_buckets_hold_at_once(void **state)
{
    struct rate_buckets wide = {{{60000, 600}}, 1}, tight = {{{1000, 2}}, 1};
    struct user_limits *ul = world.node.user_limits;
    unsigned taken = 0;

    while (user_limits_take(ul, STR("7"), &(struct user_limit){1, &wide}, 1, 1) == 1)
        taken++;
    assert_int_equal(taken, 600);
    assert_int_equal(user_limits_take(ul, STR("7"), &(struct user_limit){1, &tight}, 1, 1), 0);
    assert_int_equal(user_limits_take(ul, STR("7"), &(struct user_limit){1, &tight}, 1, 1000000001),
                     1);
}

/* --- threads -----------------------------------------------------------------------------------
 */

#define THREADS 4
#define TRIES 20000

static _Atomic unsigned taken_by_all;

static void take_many(void *arg)
{
    static const struct rate_buckets b = {{{1000, 5000}}, 1};
    unsigned taken = 0;

    for (int i = 0; i < TRIES; i++)
        taken += user_limits_take(arg, STR("7"), &(struct user_limit){2, &b}, 1, 1000000) == 1;
    taken_by_all += taken;
}

static void threads_take_no_more_than_there_is(void **state)
{
    uv_thread_t threads[THREADS];

    taken_by_all = 0;
    for (int i = 0; i < THREADS; i++)
        assert_int_equal(uv_thread_create(&threads[i], take_many, world.node.user_limits), 0);
    for (int i = 0; i < THREADS; i++)
        assert_int_equal(uv_thread_join(&threads[i]), 0);
    assert_int_equal(taken_by_all, 5000);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(connections_of_a_user_share_its_bucket),
        TEST(all_commands_of_a_user_have_one_too),
        TEST(what_a_connection_may_not_takes_nothing_from_the_user),
        TEST(every_bucket_of_a_list_counts),
        TEST(nobody_in_particular_has_no_limit),
        TEST(what_has_no_option_counts_as_one_of_all),
        TEST(connects_count_by_user),
        TEST(users_whose_buckets_are_full_are_forgotten),
        TEST(tighter_buckets_hold_at_once),
        TEST(threads_take_no_more_than_there_is),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
