/* Revoked tokens: by id, by user and time, by channel; expiry and the limit. */
#include "core/revocation.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <cmocka.h>

#define NOW 1000

static struct revocations *table;

static int set_up(void **state)
{
    table = revocations_new();
    return 0;
}

static int tear_down(void **state)
{
    revocations_free(table);
    return 0;
}

static bool revoked(struct revocation_token token, int64_t now_s)
{
    return revocation_has(table, &token, now_s);
}

static struct revocation_token issued(const char *user, const char *channel, int64_t at)
{
    return (struct revocation_token){
        .user = str_from(user), .channel = str_from(channel), .has_issued = true, .issued_at = at};
}

static void a_token_is_known_by_its_id(void **state)
{
    struct revocation_token a = {.uid = STR("a"), .user = STR("u")};
    struct revocation_token b = {.uid = STR("b"), .user = STR("u")};
    struct revocation_token none = {.user = STR("u")};

    assert_int_equal(revocation_add_token(table, STR("a"), NOW + 10, NOW), OK);
    assert_true(revoked(a, NOW));
    assert_true(revoked(a, NOW + 9));
    assert_false(revoked(a, NOW + 10));
    assert_false(revoked(b, NOW));
    assert_false(revoked(none, NOW));
}

static void without_an_expiry_it_stays(void **state)
{
    struct revocation_token a = {.uid = STR("a")};

    assert_int_equal(revocation_add_token(table, STR("a"), 0, NOW), OK);
    assert_int_equal(revocation_add_token(table, STR("a"), NOW + 1, NOW), OK);
    assert_true(revoked(a, NOW + 1000000));
}

static void an_expired_one_can_come_back_for_a_while(void **state)
{
    struct revocation_token a = {.uid = STR("a")};

    assert_int_equal(revocation_add_token(table, STR("a"), NOW + 1, NOW), OK);
    assert_int_equal(revocation_add_token(table, STR("a"), NOW + 20, NOW + 10), OK);
    assert_true(revoked(a, NOW + 15));
    assert_false(revoked(a, NOW + 20));
    assert_int_equal(revocations_count(table), 1);
}

static void a_users_older_tokens_are_revoked(void **state)
{
    assert_int_equal(revocation_add_user(table, STR("u"), STR_NONE, 500, 0, NOW), OK);
    assert_true(revoked(issued("u", "", 499), NOW));
    assert_true(revoked(issued("u", "ch", 499), NOW));
    assert_false(revoked(issued("u", "", 500), NOW));
    assert_false(revoked(issued("v", "", 1), NOW));
    /* the later time counts, whatever came last */
    assert_int_equal(revocation_add_user(table, STR("u"), STR_NONE, 400, 0, NOW), OK);
    assert_true(revoked(issued("u", "", 499), NOW));
}

static void a_token_that_does_not_say_when_counts_as_old(void **state)
{
    struct revocation_token silent = {.user = STR("u")};

    assert_false(revoked(silent, NOW));
    assert_int_equal(revocation_add_user(table, STR("u"), STR_NONE, 500, 0, NOW), OK);
    assert_true(revoked(silent, NOW));
}

static void with_a_channel_only_its_tokens_are_meant(void **state)
{
    assert_int_equal(revocation_add_user(table, STR("u"), STR("ch"), 500, NOW + 5, NOW), OK);
    assert_true(revoked(issued("u", "ch", 499), NOW));
    assert_false(revoked(issued("u", "ch", 499), NOW + 5));
    assert_false(revoked(issued("u", "other", 499), NOW));
    assert_false(revoked(issued("u", "", 499), NOW));
}

static void user_and_channel_do_not_run_together(void **state)
{
    assert_int_equal(revocation_add_user(table, STR("ab"), STR("c"), 500, 0, NOW), OK);
    assert_false(revoked(issued("a", "bc", 1), NOW));
    assert_false(revoked(issued("abc", "", 1), NOW));
    assert_true(revoked(issued("ab", "c", 1), NOW));
}

static void the_table_is_limited_and_forgets_what_expired(void **state)
{
    char uid[16];

    for (int i = 0; i < REVOCATIONS_MAX; i++) {
        int n = snprintf(uid, sizeof uid, "%d", i);

        assert_int_equal(
            revocation_add_token(table, str_of(uid, (size_t)n), i < 10 ? NOW + 1 : 0, NOW), OK);
    }
    assert_false(revocations_has_room(table, NOW));
    assert_int_equal(revocation_add_token(table, STR("new"), 0, NOW), ERR_LIMIT);
    assert_int_equal(revocation_add_user(table, STR("new"), STR_NONE, 1, 0, NOW), ERR_LIMIT);
    assert_int_equal(revocation_add_token(table, STR("5"), 0, NOW), OK); /* is in already */
    assert_true(revocations_has_room(table, NOW + 1));
    assert_int_equal(revocations_count(table), REVOCATIONS_MAX - 9);
    assert_int_equal(revocation_add_token(table, STR("new"), 0, NOW + 1), OK);
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(a_token_is_known_by_its_id),
        CASE(without_an_expiry_it_stays),
        CASE(an_expired_one_can_come_back_for_a_while),
        CASE(a_users_older_tokens_are_revoked),
        CASE(a_token_that_does_not_say_when_counts_as_old),
        CASE(with_a_channel_only_its_tokens_are_meant),
        CASE(user_and_channel_do_not_run_together),
        CASE(the_table_is_limited_and_forgets_what_expired),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
