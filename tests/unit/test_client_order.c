/* What happens in which order: commands that wait and those behind them, ends in the middle of
 * something, and the clock: stale, pings, expiries. All over the loopback transport. */
#include "client/control.h"
#include "client/subscribe.h"
#include "lib/loopback.h"

#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>

static const char config[] =
    "local perigee = require 'perigee'\n"
    "return {\n"
    "  client = {\n"
    "    token = { hmac_secret_key = 'secret' },\n"
    "    allow_anonymous_connect_without_token = true,\n"
    "    channel_position_max_time_lag = '1s',\n"
    "  },\n"
    "  hooks = { connect = function(ctx) if ctx.data and ctx.data.slow then perigee.sleep(1) end\n"
    "    if ctx.data and ctx.data.no then return perigee.error(1000, 'no') end end },\n"
    "  channel = { without_namespace = { allow_subscribe_for_client = true,\n"
    "    allow_publish_for_client = true, allow_subscribe_for_anonymous = true,\n"
    "    history_size = 5, history_ttl = '60s', force_recovery = true },\n"
    "    namespaces = { plain = { allow_subscribe_for_client = true,\n"
    "      history_size = 5, history_ttl = '60s' } } },\n"
    "  rpc = { slow = function(client, data) perigee.sleep(1) return data end,\n"
    "    fast = function(client, data) return data end,\n"
    "    broken = function() error 'oops' end },\n"
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

static void commands_behind_one_that_waits_keep_their_order(void **state)
{
    struct loopback *l = loopback_connected("me", KIND_WS_JSON, "7");

    loopback_expect(l,
                    "{\"id\":2,\"rpc\":{\"method\":\"slow\",\"data\":1}}\n"
                    "{\"id\":3,\"rpc\":{\"method\":\"fast\",\"data\":2}}",
                    "");
    loopback_expect(l,
                    "{\"id\":4,\"rpc\":{\"method\":\"slow\",\"data\":3}}\n"
                    "{\"id\":5,\"rpc\":{\"method\":\"broken\"}}",
                    "");
    loopback_expect(l, "{\"id\":6,\"rpc\":{\"method\":\"none\"}}", "");
    world_pass(1000);
    assert_string_equal(loopback_read(l), "{\"id\":2,\"rpc\":{\"data\":1}}\n"
                                          "{\"id\":3,\"rpc\":{\"data\":2}}");
    world_pass(1000);
    assert_string_equal(loopback_read(l),
                        "{\"id\":4,\"rpc\":{\"data\":3}}\n"
                        "{\"id\":5,\"error\":{\"code\":100,\"message\":\"internal server error\","
                        "\"temporary\":true}}\n"
                        "{\"id\":6,\"error\":{\"code\":104,\"message\":\"method not found\"}}");
    loopback_close(l);
}

static void commands_sent_with_connect_wait_for_its_end(void **state)
{
    struct loopback *l = loopback_open("me", KIND_WS_JSON);

    loopback_expect(l,
                    "{\"id\":1,\"connect\":{\"data\":{\"slow\":true}}}\n"
                    "{\"id\":2,\"rpc\":{\"method\":\"fast\",\"data\":2}}",
                    "");
    world_pass(1000);
    assert_string_equal(loopback_read(l),
                        "{\"id\":1,\"connect\":{\"client\":\"me\",\"version\":\"test\",\"ping\":25,"
                        "\"pong\":true}}\n{\"id\":2,\"rpc\":{\"data\":2}}");
    loopback_close(l);
}

static void what_waited_behind_a_failed_connect_is_dropped(void **state)
{
    struct loopback *l = loopback_open("me", KIND_WS_JSON);

    loopback_expect(l,
                    "{\"id\":1,\"connect\":{\"data\":{\"slow\":true,\"no\":true}}}\n"
                    "{\"id\":2,\"rpc\":{\"method\":\"fast\"}}",
                    "");
    loopback_put(l, "{\"id\":3,\"rpc\":{\"method\":\"fast\"}}");
    world_pass(1000);
    assert_string_equal(loopback_read(l),
                        "{\"id\":1,\"error\":{\"code\":1000,\"message\":\"no\"}}");
    loopback_put(l, "{\"id\":4,\"rpc\":{\"method\":\"fast\"}}");
    loopback_ended(l, 3501, "bad request");
    loopback_close(l);
}

static void a_syntax_error_behind_a_waiting_command_ends_the_client_after_its_answer(void **state)
{
    struct loopback *l = loopback_connected("me", KIND_WS_JSON, "7");

    loopback_expect(l, "{\"id\":2,\"rpc\":{\"method\":\"slow\",\"data\":1}}\nnonsense", "");
    assert_false(l->closed);
    world_pass(1000);
    assert_string_equal(loopback_read(l), "{\"id\":2,\"rpc\":{\"data\":1}}");
    loopback_ended(l, 3501, "bad request");
    loopback_close(l);
}

/* Frames of command are put until the transport is told to pause; how many that took. */
static unsigned put_until_paused(struct loopback *l, const char *command)
{
    unsigned n = 0;

    while (l->pauses == 0 && n < 100000) {
        client_receive(l->client, str_from(command));
        n++;
    }
    return n;
}

static void too_much_behind_a_waiting_command_pauses_reading_until_it_is_done(void **state)
{
    struct loopback *l = loopback_connected("me", KIND_WS_JSON, "7");
    unsigned n;

    loopback_put(l, "{\"id\":2,\"rpc\":{\"method\":\"slow\"}}");
    n = put_until_paused(l, "{\"id\":3,\"rpc\":{\"method\":\"fast\"}}");
    assert_in_range(n, 10, 3000);
    assert_int_equal(l->pauses, 1);
    assert_int_equal(l->resumes, 0);
    world_pass(1000);
    assert_int_equal(l->resumes, 1);
    loopback_close(l);
}

static void empty_frames_behind_a_waiting_command_are_counted_too(void **state)
{
    struct loopback *l = loopback_connected("me", KIND_WS_JSON, "7");

    loopback_put(l, "{\"id\":2,\"rpc\":{\"method\":\"slow\"}}");
    assert_in_range(put_until_paused(l, ""), 10, 10000);
    world_pass(1000);
    loopback_ended(l, 3501, "bad request");
    loopback_close(l);
}

static void a_client_that_goes_while_its_command_waits_takes_everything_along(void **state)
{
    static const char *const commands[] = {
        "{\"id\":2,\"rpc\":{\"method\":\"slow\"}}\n{\"id\":3,\"rpc\":{\"method\":\"fast\"}}",
        "{\"id\":2,\"subscribe\":{\"channel\":\"x\"}}",
        "{\"id\":2,\"publish\":{\"channel\":\"x\",\"data\":{}}}",
        "{\"id\":2,\"subscribe\":{\"channel\":\"x\"}}\n{\"id\":3,\"unsubscribe\":{\"channel\":"
        "\"x\"}}",
    };

    for (size_t i = 0; i < ARRAY_LEN(commands); i++) {
        struct loopback *l = loopback_connected("me", KIND_WS_JSON, "7");

        loopback_put(l, commands[i]);
        loopback_close(l);
        world_pass(1000);
        assert_int_equal(hub_counts(core->hub).clients, 0);
        assert_int_equal(hub_counts(core->hub).subscriptions, 0);
    }
}

static void a_client_that_goes_while_it_connects_is_in_no_channel(void **state)
{
    struct loopback *l = loopback_open("me", KIND_WS_JSON);

    loopback_put(l, loopback_with_token("{\"id\":1,\"connect\":{\"token\":\"%s\"}}",
                                        "{\"sub\":\"7\",\"channels\":[\"a\",\"b\"]}"));
    loopback_close(l);
    assert_int_equal(hub_counts(core->hub).clients, 0);
    assert_int_equal(hub_counts(core->hub).subscriptions, 0);
}

static struct control_order unsubscribe_order(void)
{
    return (struct control_order){
        .kind = CONTROL_UNSUBSCRIBE,
        .target.user = STR("7"),
        .subscribe.channel = STR("x"),
        .code = UNSUBSCRIBE_SERVER,
        .reason = STR("server unsubscribe"),
    };
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

#define UNSUBSCRIBED                                                                               \
    "{\"push\":{\"channel\":\"x\",\"unsubscribe\":{\"code\":2000,"                                 \
    "\"reason\":\"server unsubscribe\"}}}"

static void the_server_unsubscribes_what_is_still_on_its_way(void **state)
{
    struct loopback *l = loopback_connected("me", KIND_WS_JSON, "7");
    struct control_order order = unsubscribe_order();

    loopback_put(l, "{\"id\":2,\"subscribe\":{\"channel\":\"x\"}}");
    client_control(core, &order);
    world_turn();
    loopback_read(l);
    assert_int_equal(hub_counts(core->hub).subscriptions, 0);
    loopback_close(l);
}

static void the_client_and_the_server_may_both_unsubscribe_it(void **state)
{
    struct loopback *l = loopback_connected("me", KIND_WS_JSON, "7");
    struct control_order order = unsubscribe_order();

    loopback_put(l, "{\"id\":2,\"subscribe\":{\"channel\":\"x\"}}\n"
                    "{\"id\":3,\"unsubscribe\":{\"channel\":\"x\"}}");
    client_control(core, &order);
    world_turn();
    assert_string_equal(loopback_read(l),
                        UNSUBSCRIBED "\n{\"id\":2,\"subscribe\":{\"recoverable\":true,"
                                     "\"epoch\":\"E\",\"positioned\":true}}\n"
                                     "{\"id\":3,\"unsubscribe\":{}}");
    assert_int_equal(hub_counts(core->hub).subscriptions, 0);
    loopback_close(l);
}

static void a_lost_position_unsubscribes_once(void **state)
{
    struct loopback *l = loopback_connected("me", KIND_WS_JSON, "7");
    struct publication *p = publication_new(
        &(struct publication_source){.channel = STR("x"), .data = STR("1"), .data_is_json = true});

    loopback_put(l, "{\"id\":2,\"subscribe\":{\"channel\":\"x\"}}");
    world_turn();
    loopback_read(l);
    publication_set_position(p, 9, STR("whatever"));
    hub_fanout(core->hub, p, NULL);
    hub_fanout(core->hub, p, NULL);
    publication_unref(p);
    loopback_said(l, "{\"push\":{\"channel\":\"x\",\"unsubscribe\":{\"code\":2500,"
                     "\"reason\":\"insufficient state\"}}}");
    assert_int_equal(hub_counts(core->hub).subscriptions, 0);
    assert_false(l->closed);
    loopback_close(l);
}

/* Published now, delivered after ms. */
static void publish_late(const char *channel, uint64_t ms)
{
    struct publication *p = publication_new(&(struct publication_source){
        .channel = str_from(channel), .data = STR("1"), .data_is_json = true});
    struct publish_request request = {.stream = {5, 60000, 3600000}};

    world_pass(ms);
    home_publish(core, p, &request, NULL, NULL);
    world_turn();
}

static void a_publication_that_was_too_long_on_its_way_loses_the_position(void **state)
{
    struct loopback *l = loopback_connected("me", KIND_WS_JSON, "7");

    loopback_expect(l, "{\"id\":2,\"subscribe\":{\"channel\":\"x\"}}",
                    "{\"id\":2,\"subscribe\":{\"recoverable\":true,\"epoch\":\"E\","
                    "\"positioned\":true}}");
    publish_late("x", 1000);
    loopback_said(l, "{\"push\":{\"channel\":\"x\",\"pub\":{\"data\":1,\"offset\":1,"
                     "\"epoch\":\"E\"}}}");
    publish_late("x", 1001);
    loopback_said(l, "{\"push\":{\"channel\":\"x\",\"unsubscribe\":{\"code\":2500,"
                     "\"reason\":\"insufficient state\"}}}");
    loopback_close(l);
}

static void who_watches_no_position_gets_late_ones_too(void **state)
{
    struct loopback *l = loopback_connected("me", KIND_WS_JSON, "7");

    loopback_expect(l, "{\"id\":2,\"subscribe\":{\"channel\":\"plain:x\"}}",
                    "{\"id\":2,\"subscribe\":{}}");
    publish_late("plain:x", 5000);
    loopback_said(l, "{\"push\":{\"channel\":\"plain:x\",\"pub\":{\"data\":1,\"offset\":1,"
                     "\"epoch\":\"E\"}}}");
    loopback_close(l);
}

/* --- the clock -------------------------------------------------------------------------------- */

static void who_never_connects_is_stale_after_ten_seconds(void **state)
{
    struct loopback *l = loopback_open("me", KIND_WS_JSON);

    world_pass(9999);
    assert_false(l->closed);
    world_pass(1);
    loopback_ended(l, 3502, "stale");
    loopback_close(l);
}

static void a_ping_wants_its_pong_in_time(void **state)
{
    struct loopback *l = loopback_connected("me", KIND_WS_PROTOBUF, "7");
    uint64_t waited = 0;

    while (*loopback_read(l) == '\0') {
        world_pass(100);
        waited += 100;
        assert_true(waited <= 25000);
    }
    assert_true(waited >= 12400);
    assert_string_equal(l->text.ptr, "{}");
    loopback_expect(l, "{}", "");
    world_pass(24700);
    assert_string_equal(loopback_read(l), "");
    world_pass(300);
    assert_string_equal(loopback_read(l), "{}");
    world_pass(7700);
    assert_false(l->closed);
    world_pass(300);
    loopback_ended(l, 3012, "no pong");
    loopback_close(l);
}

/* Each wakes the worker: a thousand clients at a thousand times cost far more than their pings. */
static void pings_share_their_times(void **state)
{
    enum { CLIENTS = 400, POINTS = 12500 / 100 + 2 };
    uint64_t at[CLIENTS];
    unsigned times = 0;

    for (unsigned i = 0; i < CLIENTS; i++) {
        struct loopback *l = loopback_connected("me", KIND_WS_JSON, "7");
        unsigned j = 0;

        at[i] = l->client->timer.due_ms;
        while (at[j] != at[i])
            j++;
        times += i == j;
        loopback_close(l);
    }
    assert_in_range(times, POINTS / 2, POINTS);
}

/* Lets seconds pass with a pong to every ping. */
static void live(struct loopback *l, unsigned seconds)
{
    for (unsigned i = 0; i < seconds && !l->closed; i++) {
        world_pass(1000);
        if (strcmp(loopback_read(l), "{}") == 0)
            loopback_put(l, "{}");
    }
}

static struct loopback *expiring(unsigned in_s)
{
    struct loopback *l = loopback_open("me", KIND_WS_JSON);
    char claims[64], want[256];

    snprintf(claims, sizeof claims, "{\"sub\":\"7\",\"exp\":%lld}",
             (long long)world_now_s() + in_s);
    snprintf(want, sizeof want,
             "{\"id\":1,\"connect\":{\"client\":\"me\",\"version\":\"test\",\"expires\":true,"
             "\"ttl\":%u,\"ping\":25,\"pong\":true}}",
             in_s);
    loopback_expect(l, loopback_with_token("{\"id\":1,\"connect\":{\"token\":\"%s\"}}", claims),
                    want);
    return l;
}

static void an_expired_connection_ends_after_its_grace(void **state)
{
    struct loopback *l = expiring(60);

    live(l, 60 + 24);
    assert_false(l->closed);
    live(l, 2);
    loopback_ended(l, 3005, "connection expired");
    loopback_close(l);
}

static void a_refresh_moves_or_ends_the_expiry(void **state)
{
    struct loopback *l = expiring(60);
    char claims[64];

    live(l, 60);
    snprintf(claims, sizeof claims, "{\"sub\":\"7\",\"exp\":%lld}", (long long)world_now_s() + 100);
    loopback_expect(l, loopback_with_token("{\"id\":2,\"refresh\":{\"token\":\"%s\"}}", claims),
                    "{\"id\":2,\"refresh\":{\"expires\":true,\"ttl\":100}}");
    live(l, 100);
    assert_false(l->closed);
    loopback_expect(
        l, loopback_with_token("{\"id\":3,\"refresh\":{\"token\":\"%s\"}}", "{\"sub\":\"7\"}"),
        "{\"id\":3,\"refresh\":{}}");
    live(l, 100);
    assert_false(l->closed);
    loopback_close(l);
}

static void a_refresh_for_another_user_or_too_late_ends_the_connection(void **state)
{
    static const struct {
        const char *claims;
        uint32_t code;
        const char *reason;
    } cases[] = {
        {"{\"sub\":\"8\"}", 3500, "invalid token"},
        {"{\"sub\":\"7\",\"exp\":1600000000}", 3005, "connection expired"},
        {"{\"sub\":\"7\",\"channels\":[\"x\"]}", 3010, "insufficient state"},
    };

    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct loopback *l = expiring(60);

        loopback_expect(
            l, loopback_with_token("{\"id\":2,\"refresh\":{\"token\":\"%s\"}}", cases[i].claims),
            "");
        loopback_ended(l, cases[i].code, cases[i].reason);
        loopback_close(l);
    }
}

static const char *subscription_token(unsigned in_s)
{
    static char claims[96];

    snprintf(claims, sizeof claims, "{\"sub\":\"7\",\"channel\":\"x\",\"exp\":%lld}",
             (long long)world_now_s() + in_s);
    return claims;
}

#define SUBSCRIBE_X "{\"id\":2,\"subscribe\":{\"channel\":\"x\",\"token\":\"%s\"}}"

static void an_expired_subscription_is_unsubscribed_at_a_tick_after_its_grace(void **state)
{
    struct loopback *l = loopback_connected("me", KIND_WS_JSON, "7");

    loopback_put(l, loopback_with_token(SUBSCRIBE_X, subscription_token(60)));
    world_turn();
    assert_non_null(strstr(loopback_read(l), "\"expires\":true,\"ttl\":60"));
    live(l, 60 + 24);
    assert_int_equal(hub_counts(core->hub).subscriptions, 1);
    live(l, 2 + 27);
    assert_int_equal(hub_counts(core->hub).subscriptions, 0);
    assert_false(l->closed);
    loopback_close(l);
}

static void a_sub_refresh_keeps_the_subscription(void **state)
{
    struct loopback *l = loopback_connected("me", KIND_WS_JSON, "7");

    loopback_put(l, loopback_with_token(SUBSCRIBE_X, subscription_token(60)));
    live(l, 60);
    loopback_expect(l,
                    loopback_with_token("{\"id\":3,\"sub_refresh\":{\"channel\":\"x\","
                                        "\"token\":\"%s\"}}",
                                        subscription_token(90)),
                    "{\"id\":3,\"sub_refresh\":{\"expires\":true,\"ttl\":90}}");
    live(l, 90);
    assert_int_equal(hub_counts(core->hub).subscriptions, 1);
    loopback_expect(l,
                    loopback_with_token("{\"id\":4,\"sub_refresh\":{\"channel\":\"x\","
                                        "\"token\":\"%s\"}}",
                                        "{\"sub\":\"7\",\"channel\":\"x\",\"exp\":1600000000}"),
                    "{\"id\":4,\"error\":{\"code\":109,\"message\":\"token expired\"}}");
    live(l, 25 + 2 + 27);
    assert_int_equal(hub_counts(core->hub).subscriptions, 0);
    loopback_close(l);
}

static void an_expiry_in_the_farthest_future_is_not_over(void **state)
{
    struct loopback *l = loopback_connected("me", KIND_WS_JSON, "7");
    struct control_order order = {
        .kind = CONTROL_SUBSCRIBE,
        .target.user = STR("7"),
        .subscribe = {.channel = STR("x"), .expire_at = INT64_MAX},
    };

    client_control(core, &order);
    live(l, 60);
    assert_false(l->closed);
    assert_int_equal(hub_counts(core->hub).subscriptions, 1);
    loopback_close(l);
}

static void shutdown_is_told_to_everybody(void **state)
{
    struct loopback *me = loopback_connected("me", KIND_WS_JSON, "7");
    struct loopback *new = loopback_open("new", KIND_WS_JSON);

    clients_shutdown(core->clients);
    loopback_ended(me, 3001, "shutdown");
    loopback_ended(new, 3001, "shutdown");
    loopback_close(me);
    loopback_close(new);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(commands_behind_one_that_waits_keep_their_order),
        TEST(commands_sent_with_connect_wait_for_its_end),
        TEST(what_waited_behind_a_failed_connect_is_dropped),
        TEST(a_syntax_error_behind_a_waiting_command_ends_the_client_after_its_answer),
        TEST(too_much_behind_a_waiting_command_pauses_reading_until_it_is_done),
        TEST(empty_frames_behind_a_waiting_command_are_counted_too),
        TEST(a_client_that_goes_while_its_command_waits_takes_everything_along),
        TEST(a_client_that_goes_while_it_connects_is_in_no_channel),
        TEST(the_server_unsubscribes_what_is_still_on_its_way),
        TEST(the_client_and_the_server_may_both_unsubscribe_it),
        TEST(a_lost_position_unsubscribes_once),
        TEST(a_publication_that_was_too_long_on_its_way_loses_the_position),
        TEST(who_watches_no_position_gets_late_ones_too),
        TEST(who_never_connects_is_stale_after_ten_seconds),
        TEST(a_ping_wants_its_pong_in_time),
        TEST(pings_share_their_times),
        TEST(an_expired_connection_ends_after_its_grace),
        TEST(a_refresh_moves_or_ends_the_expiry),
        TEST(a_refresh_for_another_user_or_too_late_ends_the_connection),
        TEST(an_expired_subscription_is_unsubscribed_at_a_tick_after_its_grace),
        TEST(a_sub_refresh_keeps_the_subscription),
        TEST(an_expiry_in_the_farthest_future_is_not_over),
        TEST(shutdown_is_told_to_everybody),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
