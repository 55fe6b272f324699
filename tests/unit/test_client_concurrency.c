/* client.concurrency: several commands of one client wait at once. Which may overtake each other,
 * which may not, what ends in the middle of it, and that its limits hold. Over the loopback
 * transport. */
#include "client/control.h"
#include "lib/loopback.h"

#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>

static const char config[] =
    "local perigee = require 'perigee'\n"
    "local asked, heard = 0, {}\n"
    "return {\n"
    "  client = {\n"
    "    token = { hmac_secret_key = 'secret' }, concurrency = 3, channel_limit = 3,\n"
    "    allow_anonymous_connect_without_token = true,\n"
    "  },\n"
    "  hooks = {\n"
    "    connect = function(ctx) if ctx.data then perigee.sleep(1) end end,\n"
    "    disconnect = function(client) heard[#heard + 1] = 'disconnect' end,\n"
    "    unsubscribe = function(client, req) heard[#heard + 1] = req.channel end,\n"
    "  },\n"
    "  channel = { without_namespace = { allow_subscribe_for_client = true,\n"
    "      allow_publish_for_client = true },\n"
    "    namespaces = { slow = { hooks = {\n"
    "      subscribe = function(client, req)\n"
    "        asked = asked + 1\n"
    "        perigee.sleep(req.data or 1)\n"
    "        if req.channel == 'slow:no' then return perigee.error(1000, 'no') end\n"
    "        return {}\n"
    "      end } } } },\n"
    "  rpc = { wait = function(client, data) perigee.sleep(data) return data end,\n"
    "    echo = function(client, data) return data end,\n"
    "    asked = function() return asked end,\n"
    "    heard = function() return heard end },\n"
    "}\n";

static int set_up(void **state)
{
    world_begin(config);
    return 0;
}

static int tear_down(void **state)
{
    world_end();
    return 0;
}

#define WAIT(id, seconds) "{\"id\":" #id ",\"rpc\":{\"method\":\"wait\",\"data\":" #seconds "}}"
#define WAITED(id, seconds) "{\"id\":" #id ",\"rpc\":{\"data\":" #seconds "}}"
#define ANSWER(id) "{\"id\":" #id ",\"rpc\":{\"method\":\"echo\",\"data\":0}}"
#define SUBSCRIBE(id, channel, seconds)                                                            \
    "{\"id\":" #id ",\"subscribe\":{\"channel\":\"" channel "\",\"data\":" #seconds "}}"
#define UNSUBSCRIBE(id, channel) "{\"id\":" #id ",\"unsubscribe\":{\"channel\":\"" channel "\"}}"

static void passes(struct loopback *l, uint64_t ms, const char *said)
{
    world_pass(ms);
    assert_string_equal(loopback_read(l), said);
}

/* --- order ------------------------------------------------------------------------------------ */

static void replies_come_when_they_are_ready(void **state)
{
    struct loopback *l = loopback_connected("me", KIND_WS_JSON, "7");

    loopback_expect(l, WAIT(2, 3) "\n" WAIT(3, 1) "\n" ANSWER(4), WAITED(4, 0));
    passes(l, 1000, WAITED(3, 1));
    passes(l, 2000, WAITED(2, 3));
    loopback_close(l);
}

static void no_more_wait_at_once_than_may(void **state)
{
    struct loopback *l = loopback_connected("me", KIND_WS_PROTOBUF, "7");

    loopback_expect(l, WAIT(2, 2) "\n" WAIT(3, 1) "\n" WAIT(4, 3) "\n" WAIT(5, 3) "\n" ANSWER(6),
                    "");
    loopback_expect(l, ANSWER(7), "");
    passes(l, 999, "");
    passes(l, 1, WAITED(3, 1)); /* now 5 begins, and the next ones wait for room again */
    passes(l, 1000, WAITED(2, 2) "\n" WAITED(6, 0) "\n" WAITED(7, 0));
    passes(l, 1000, WAITED(4, 3));
    passes(l, 1000, WAITED(5, 3));
    loopback_close(l);
}

static void nothing_overtakes_connect(void **state)
{
    struct loopback *l = loopback_open("me", KIND_WS_JSON);

    loopback_expect(l, "{\"id\":1,\"connect\":{\"data\":1}}\n" ANSWER(2), "");
    loopback_expect(l, ANSWER(3), "");
    passes(l, 1000,
           "{\"id\":1,\"connect\":{\"client\":\"me\",\"version\":\"test\",\"ping\":25,"
           "\"pong\":true}}\n" WAITED(2, 0) "\n" WAITED(3, 0));
    loopback_close(l);
}

static void other_settings_hold_for_the_next_command(void **state)
{
    struct loopback *l = loopback_connected("me", KIND_WS_JSON, "7");
    struct settings *one = world_settings("return {}");

    loopback_expect(l, WAIT(2, 1) "\n" WAIT(3, 2), "");
    settings_unref(core->settings);
    core->settings = one; /* as a reload does */
    loopback_expect(l, ANSWER(4), "");
    passes(l, 1000, WAITED(2, 1));
    passes(l, 1000, WAITED(3, 2) "\n" WAITED(4, 0));
    loopback_close(l);
}

/* --- subscriptions ---------------------------------------------------------------------------- */

static void a_second_subscribe_to_the_channel_is_refused_before_any_hook(void **state)
{
    struct loopback *l = loopback_connected("me", KIND_WS_JSON, "7");

    loopback_expect(l, SUBSCRIBE(2, "slow:a", 1) "\n" SUBSCRIBE(3, "slow:a", 1),
                    "{\"id\":3,\"error\":{\"code\":105,\"message\":\"already subscribed\"}}");
    passes(l, 1000, "{\"id\":2,\"subscribe\":{}}");
    loopback_expect(l, "{\"id\":4,\"rpc\":{\"method\":\"asked\"}}", WAITED(4, 1));
    loopback_close(l);
}

static void subscribes_under_way_count_against_the_limit(void **state)
{
    struct loopback *l = loopback_connected("me", KIND_WS_JSON, "7");

    loopback_expect(l, SUBSCRIBE(2, "a", 1), "{\"id\":2,\"subscribe\":{}}");
    loopback_expect(
        l, SUBSCRIBE(3, "slow:b", 1) "\n" SUBSCRIBE(4, "slow:no", 1) "\n" SUBSCRIBE(5, "c", 1),
        "{\"id\":5,\"error\":{\"code\":106,\"message\":\"limit exceeded\"}}");
    passes(l, 1000,
           "{\"id\":4,\"error\":{\"code\":1000,\"message\":\"no\"}}\n{\"id\":3,\"subscribe\":{}}");
    loopback_expect(l, SUBSCRIBE(6, "c", 1), "{\"id\":6,\"subscribe\":{}}");
    loopback_close(l);
}

static void an_unsubscribe_waits_for_its_subscribe_and_all_behind_it_too(void **state)
{
    struct loopback *l = loopback_connected("me", KIND_WS_JSON, "7");

    loopback_expect(l, SUBSCRIBE(2, "slow:a", 1) "\n" UNSUBSCRIBE(3, "slow:a") "\n" ANSWER(4), "");
    loopback_expect(l, UNSUBSCRIBE(5, "slow:a"), "");
    passes(l, 999, "");
    passes(l, 1,
           "{\"id\":2,\"subscribe\":{}}\n{\"id\":3,\"unsubscribe\":{}}\n" WAITED(
               4, 0) "\n{\"id\":5,\"unsubscribe\":{}}");
    assert_int_equal(hub_counts(core->hub).subscriptions, 0);
    loopback_close(l);
}

static void an_unsubscribe_of_another_channel_does_not_wait(void **state)
{
    struct loopback *l = loopback_connected("me", KIND_WS_JSON, "7");

    loopback_expect(l, SUBSCRIBE(2, "slow:a", 1) "\n" UNSUBSCRIBE(3, "slow:b"),
                    "{\"id\":3,\"unsubscribe\":{}}");
    passes(l, 1000, "{\"id\":2,\"subscribe\":{}}");
    loopback_close(l);
}

static void an_unsubscribe_of_what_was_refused_is_answered_all_the_same(void **state)
{
    struct loopback *l = loopback_connected("me", KIND_WS_JSON, "7");

    loopback_expect(l, SUBSCRIBE(2, "slow:no", 1) "\n" UNSUBSCRIBE(3, "slow:no"), "");
    passes(
        l, 1000,
        "{\"id\":2,\"error\":{\"code\":1000,\"message\":\"no\"}}\n{\"id\":3,\"unsubscribe\":{}}");
    loopback_close(l);
}

static void an_unsubscribe_waits_five_seconds_at_most(void **state)
{
    struct loopback *l = loopback_connected("me", KIND_WS_JSON, "7");

    loopback_expect(l, SUBSCRIBE(2, "slow:a", 9) "\n" UNSUBSCRIBE(3, "slow:a") "\n" ANSWER(4), "");
    world_pass(4999);
    assert_false(l->closed);
    world_pass(1);
    loopback_ended(l, 3004, "internal server error");
    loopback_close(l);
    world_pass(9000);
    assert_int_equal(hub_counts(core->hub).subscriptions, 0);
}

static struct control_order order_about(enum control_kind kind)
{
    return (struct control_order){
        .kind = kind,
        .target.user = STR("7"),
        .subscribe.channel = STR("slow:a"),
        .code = UNSUBSCRIBE_SERVER,
        .reason = STR("server unsubscribe"),
    };
}

static void the_server_ends_what_a_hook_still_decides(void **state)
{
    struct loopback *l = loopback_connected("me", KIND_WS_JSON, "7");
    struct control_order order = order_about(CONTROL_UNSUBSCRIBE);

    loopback_expect(l, SUBSCRIBE(2, "slow:a", 1), "");
    client_control(core, &order);
    world_turn();
    loopback_read(l);
    passes(l, 1000,
           "{\"id\":2,\"subscribe\":{}}\n{\"push\":{\"channel\":\"slow:a\",\"unsubscribe\":"
           "{\"code\":2000,\"reason\":\"server unsubscribe\"}}}");
    assert_int_equal(hub_counts(core->hub).subscriptions, 0);
    loopback_close(l);
}

static void the_servers_last_order_about_a_subscribe_under_way_counts(void **state)
{
    static const struct {
        enum control_kind orders[4];
        unsigned count;
        bool stays;
    } cases[] = {
        {{CONTROL_SUBSCRIBE}, 1, true},
        {{CONTROL_UNSUBSCRIBE, CONTROL_SUBSCRIBE}, 2, true},
        {{CONTROL_UNSUBSCRIBE, CONTROL_SUBSCRIBE, CONTROL_SUBSCRIBE}, 3, true},
        {{CONTROL_SUBSCRIBE, CONTROL_UNSUBSCRIBE}, 2, false},
        {{CONTROL_UNSUBSCRIBE, CONTROL_SUBSCRIBE, CONTROL_UNSUBSCRIBE}, 3, false},
        {{CONTROL_UNSUBSCRIBE, CONTROL_SUBSCRIBE, CONTROL_UNSUBSCRIBE, CONTROL_SUBSCRIBE}, 4, true},
    };

    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct loopback *l = loopback_connected("me", KIND_WS_JSON, "7");
        struct subscription *sub;

        loopback_expect(l, SUBSCRIBE(2, "slow:a", 1), "");
        for (unsigned n = 0; n < cases[i].count; n++) {
            struct control_order order = order_about(cases[i].orders[n]);

            client_control(core, &order);
            world_turn();
        }
        world_pass(1000);
        sub = hub_find(&l->client->hub, STR("slow:a"));
        if ((sub != NULL) != cases[i].stays || (sub && !(sub->flags & SUB_SERVER_SIDE)))
            fail_msg("case %zu: %s", i, sub ? "subscribed" : "not subscribed");
        loopback_close(l);
        world_pass(1000);
        assert_int_equal(hub_counts(core->hub).subscriptions, 0);
    }
}

static void an_unsubscribe_comes_after_an_order_that_waits_as_well(void **state)
{
    struct loopback *l = loopback_connected("me", KIND_WS_JSON, "7");
    struct control_order order = order_about(CONTROL_SUBSCRIBE);

    loopback_expect(l, SUBSCRIBE(2, "slow:a", 1), "");
    client_control(core, &order);
    loopback_expect(l, UNSUBSCRIBE(3, "slow:a"), "");
    world_pass(1000);
    assert_non_null(strstr(loopback_read(l), "{\"id\":3,\"unsubscribe\":{}}"));
    assert_null(hub_find(&l->client->hub, STR("slow:a")));
    loopback_close(l);
}

/* --- the end, and limits ---------------------------------------------------------------------- */

static void whoever_goes_takes_all_that_waits_along(void **state)
{
    static const char *const frames[] = {
        WAIT(2, 1) "\n" WAIT(3, 2) "\n" SUBSCRIBE(4, "slow:a", 1) "\n" ANSWER(5),
        SUBSCRIBE(2, "slow:a", 1) "\n" SUBSCRIBE(3, "slow:b", 2) "\n" SUBSCRIBE(4, "c", 1),
        SUBSCRIBE(2, "slow:a", 1) "\n" UNSUBSCRIBE(3, "slow:a") "\n" ANSWER(4),
        "{\"id\":2,\"publish\":{\"channel\":\"a\",\"data\":1}}\n" SUBSCRIBE(3, "a", 1),
        WAIT(2, 1) "\n" WAIT(3, 1) "\nnonsense",
    };

    for (size_t i = 0; i < ARRAY_LEN(frames) * 2; i++) {
        struct loopback *l = loopback_connected("me", KIND_WS_JSON, "7");

        loopback_put(l, frames[i / 2]);
        if (i % 2)
            client_disconnect_code(l->client, DISCONNECT_FORCE);
        else
            loopback_close(l);
        world_pass(3000);
        assert_int_equal(hub_counts(core->hub).clients, 0);
        assert_int_equal(hub_counts(core->hub).subscriptions, 0);
        if (i % 2) {
            assert_string_equal(loopback_read(l), "");
            loopback_close(l);
        }
    }
}

static void hooks_hear_of_the_end_in_the_order_of_the_session(void **state)
{
    struct loopback *l = loopback_connected("me", KIND_WS_JSON, "7");
    struct loopback *other = loopback_connected("you", KIND_WS_JSON, "8");

    loopback_put(
        l, SUBSCRIBE(2, "a", 1) "\n" SUBSCRIBE(3, "slow:b", 0) "\n" SUBSCRIBE(4, "slow:never", 5));
    world_pass(10);
    loopback_put(l, UNSUBSCRIBE(5, "a"));
    client_disconnect_code(l->client, DISCONNECT_FORCE);
    world_pass(5000);
    loopback_expect(other, "{\"id\":2,\"rpc\":{\"method\":\"heard\"}}",
                    "{\"id\":2,\"rpc\":{\"data\":[\"a\",\"slow:b\",\"disconnect\"]}}");
    loopback_close(l);
    loopback_close(other);
}

static void too_much_behind_those_that_wait_pauses_reading(void **state)
{
    struct loopback *l = loopback_connected("me", KIND_WS_JSON, "7");
    unsigned n = 0;

    loopback_put(l, WAIT(2, 1) "\n" WAIT(3, 2));
    for (; l->pauses == 0 && n < 100000; n++)
        client_receive(l->client, STR(WAIT(4, 5)));
    assert_in_range(n, 10, 3000); /* 64 KiB, after the one that may wait, too */
    world_pass(1500);
    assert_int_equal(l->resumes, 0);
    loopback_close(l);
}

static void a_broken_command_behind_those_that_wait_ends_the_client(void **state)
{
    struct loopback *l = loopback_connected("me", KIND_WS_JSON, "7");

    loopback_put(l, WAIT(2, 1) "\n" WAIT(3, 1) "\nnonsense");
    loopback_ended(l, 3501, "bad request");
    world_pass(1000);
    assert_string_equal(loopback_read(l), "");
    loopback_close(l);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(replies_come_when_they_are_ready),
        TEST(no_more_wait_at_once_than_may),
        TEST(nothing_overtakes_connect),
        TEST(other_settings_hold_for_the_next_command),
        TEST(a_second_subscribe_to_the_channel_is_refused_before_any_hook),
        TEST(subscribes_under_way_count_against_the_limit),
        TEST(an_unsubscribe_waits_for_its_subscribe_and_all_behind_it_too),
        TEST(an_unsubscribe_of_another_channel_does_not_wait),
        TEST(an_unsubscribe_of_what_was_refused_is_answered_all_the_same),
        TEST(an_unsubscribe_waits_five_seconds_at_most),
        TEST(the_server_ends_what_a_hook_still_decides),
        TEST(the_servers_last_order_about_a_subscribe_under_way_counts),
        TEST(an_unsubscribe_comes_after_an_order_that_waits_as_well),
        TEST(whoever_goes_takes_all_that_waits_along),
        TEST(hooks_hear_of_the_end_in_the_order_of_the_session),
        TEST(too_much_behind_those_that_wait_pauses_reading),
        TEST(a_broken_command_behind_those_that_wait_ends_the_client),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
