/* The hook channel_options: options computed per channel, asked for once, shared, forgotten, and
 * closed when it fails; whatever begins something in a channel. */
#include "lib/loopback.h"
#include "script/channel_options.h"

#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>

static const char config[] =
    "local perigee = require 'perigee'\n"
    "local asked = {}\n"
    "local results = {\n"
    "  open = function() return { allow_subscribe_for_client = true,\n"
    "    allow_publish_for_subscriber = true } end,\n"
    "  stream = function() return { allow_subscribe_for_client = true, history_size = 3,\n"
    "    history_ttl = '60s', force_recovery = true, allow_history_for_subscriber = true } end,\n"
    "  same = function() return { allow_publish_for_subscriber = true,\n"
    "    allow_subscribe_for_client = true } end,\n"
    "  room = function() return { allow_subscribe_for_client = true, presence = true,\n"
    "    allow_presence_for_subscriber = true } end,\n"
    "  users = function() return { allow_user_limited_channels = true } end,\n"
    "  digits = function() return { allow_subscribe_for_client = true,\n"
    "    channel_regex = '^digits[0-9]+$' } end,\n"
    "  closed = function() return { allow_subscribe_for_client = false } end,\n"
    "  none = function() return nil end,\n"
    "  yes = function() return true end,\n"
    "  no = function() return false end,\n"
    "  gone = function() return perigee.error(404, 'no such room') end,\n"
    "  failure = function() return perigee.history { channel = 'nosuch:x' } end,\n"
    "  slow = function() perigee.sleep(2) return { allow_subscribe_for_client = true } end,\n"
    "  asks = function(channel) perigee.publish { channel = channel, data = 1 } end,\n"
    "  ping = function() perigee.publish { channel = 'pong', data = 1 } end,\n"
    "  pong = function() perigee.sleep(1) perigee.publish { channel = 'ping', data = 1 } end,\n"
    "  unknown = function() return { history_sise = 1 } end,\n"
    "  type = function() return { presence = 'yes' } end,\n"
    "  alone = function() return { history_size = 1 } end,\n"
    "  hooks = function() return { hooks = {} } end,\n"
    "  broken = function() return { channel_regex = '(' } end,\n"
    "  number = function() return 5 end,\n"
    "  raises = function() error 'oops' end,\n"
    "  endless = function() while true do end end,\n"
    "  kick = function() return perigee.disconnect_code(4500, 'go') end,\n"
    "  kicknil = function() return nil, perigee.disconnect_code(4500, 'go') end,\n"
    "  failed = function() return nil, 'connection refused' end,\n"
    "}\n"
    "return {\n"
    "  client = { token = { hmac_secret_key = 'secret' }, ping_interval = 0, pong_timeout = 0,\n"
    "    presence_update_interval = '30s', channel_position_check_delay = '10s',\n"
    "    rate_limit = { client_command = { history = {\n"
    "      buckets = { { interval = '1m', rate = 2 } } } } } },\n"
    "  channel = { options_cache_size = 4, options_cache_ttl = '1h', max_length = 20,\n"
    "    namespaces = {\n"
    "      own = { allow_subscribe_for_client = true, hooks = {\n"
    "        channel_options = function(channel)\n"
    "          if channel == 'own:closed' then return { allow_subscribe_for_client = false } end\n"
    "        end } } } },\n"
    "  hooks = {\n"
    "    connect = function(ctx) if ctx.data then return { channels = ctx.data } end end,\n"
    "    channel_options = function(channel)\n"
    "      asked[#asked + 1] = channel\n"
    "      local result = results[channel:match '%a+']\n"
    "      if result then return result(channel) end\n"
    "    end },\n"
    "  rpc = {\n"
    "    asked = function() local text = table.concat(asked, ' ') asked = {} return text end,\n"
    "    publish = function(client, data)\n"
    "      local result, err = perigee.publish(data)\n"
    "      return result or err.code .. ' ' .. err.message end,\n"
    "    subscribe = function(client, data) client:subscribe(data) end,\n"
    "    unsubscribe = function(client, data) client:unsubscribe(data) end,\n"
    "    order = function(client, data)\n"
    "      local _, err = perigee.subscribe { user = client.user, channel = data }\n"
    "      return err and err.code or 'done' end },\n"
    "}\n";

static struct loopback *me;

static int set_up(void **state)
{
    world_begin(config);
    me = loopback_connected("me", KIND_WS_JSON, "7");
    return 0;
}

static int tear_down(void **state)
{
    loopback_close_all();
    world_pass(10000); /* hooks that wait end */
    world_end();
    return 0;
}

/* Sends one command and returns what comes, the id cut off. */
static const char *answer(struct loopback *l, const char *method, const char *params)
{
    char text[512];
    const char *reply;

    snprintf(text, sizeof text, "{\"id\":9,\"%s\":%s}", method, params);
    loopback_put(l, text);
    world_turn();
    reply = loopback_read(l);
    return strncmp(reply, "{\"id\":9,", 8) == 0 ? reply + 8 : reply;
}

static const char *in_channel(const char *method, const char *channel)
{
    static char params[128];

    snprintf(params, sizeof params, "{\"channel\":\"%s\"}", channel);
    return answer(me, method, params);
}

static const char *rpc(const char *method, const char *data)
{
    static char params[256];

    snprintf(params, sizeof params, "{\"method\":\"%s\",\"data\":%s}", method, data);
    return answer(me, "rpc", params);
}

#define subscribe(channel) in_channel("subscribe", channel)
#define expect(got, text) assert_string_equal(got, text)
#define expect_asked(names) expect(rpc("asked", "0"), "\"rpc\":{\"data\":\"" names "\"}}")
#define OK_SUBSCRIBE "\"subscribe\":{}}"
#define DENIED "\"error\":{\"code\":103,\"message\":\"permission denied\"}}"
#define INTERNAL                                                                                   \
    "\"error\":{\"code\":100,\"message\":\"internal server error\",\"temporary\":true}}"

static void what_it_returns_are_the_options_of_the_channel(void **state)
{
    expect(subscribe("open1"), OK_SUBSCRIBE);
    expect(answer(me, "publish", "{\"channel\":\"open1\",\"data\":1}"),
           "{\"push\":{\"channel\":\"open1\",\"pub\":{\"data\":1,\"info\":{\"user\":\"7\","
           "\"client\":\"me\"}}}}\n{\"id\":9,\"publish\":{}}");
    expect(in_channel("presence", "open1"),
           "\"error\":{\"code\":108,\"message\":\"not available\"}}");
    expect(subscribe("room1"), OK_SUBSCRIBE);
    expect(in_channel("presence_stats", "room1"),
           "\"presence_stats\":{\"num_clients\":1,\"num_users\":1}}");
    expect(subscribe("stream1"),
           "\"subscribe\":{\"recoverable\":true,\"epoch\":\"E\",\"positioned\":true}}");
    expect(in_channel("history", "stream1"),
           "\"history\":{\"publications\":[],\"epoch\":\"E\",\"offset\":0}}");
    expect(subscribe("closed1"), DENIED);
    expect(subscribe("none1"), DENIED);
    expect(subscribe("yes1"), DENIED);
}

static void it_decides_about_names_and_lists_too(void **state)
{
    expect(subscribe("digits12"), OK_SUBSCRIBE);
    expect(subscribe("digits-x"), "\"error\":{\"code\":107,\"message\":\"bad request\"}}");
    expect(subscribe("users#7"), OK_SUBSCRIBE);
    expect(subscribe("users#8"), DENIED);
    expect(subscribe("none#7"), DENIED);
}

static void a_namespace_has_its_own_and_falls_back_to_the_common_one(void **state)
{
    expect(subscribe("own:x"), OK_SUBSCRIBE);
    expect(subscribe("own:closed"), DENIED);
    expect_asked("own:x");
    expect(subscribe("nosuch:open"), "\"error\":{\"code\":102,\"message\":\"unknown channel\"}}");
    expect_asked("");
}

static void it_is_asked_once_per_channel(void **state)
{
    struct loopback *other = loopback_connected("other", KIND_WS_PROTOBUF, "8");

    expect(subscribe("open1"), OK_SUBSCRIBE);
    expect(answer(other, "subscribe", "{\"channel\":\"open1\"}"), OK_SUBSCRIBE);
    in_channel("presence", "open1");
    in_channel("history", "open1");
    rpc("publish", "{\"channel\":\"open1\",\"data\":1}");
    rpc("order", "\"open1\"");
    expect_asked("open1");
}

static void while_it_waits_commands_stay_in_order(void **state)
{
    struct loopback *other = loopback_connected("other", KIND_WS_JSON, "8");

    loopback_expect(me,
                    "{\"id\":1,\"subscribe\":{\"channel\":\"slow\"}}\n"
                    "{\"id\":2,\"subscribe\":{\"channel\":\"open\"}}\n"
                    "{\"id\":3,\"unsubscribe\":{\"channel\":\"slow\"}}",
                    "");
    loopback_expect(other,
                    "{\"id\":1,\"history\":{\"channel\":\"slow\"}}\n"
                    "{\"id\":2,\"subscribe\":{\"channel\":\"slow\"}}",
                    "");
    world_pass(2000);
    expect(loopback_read(me), "{\"id\":1,\"subscribe\":{}}\n{\"id\":2,\"subscribe\":{}}\n"
                              "{\"id\":3,\"unsubscribe\":{}}");
    expect(loopback_read(other),
           "{\"id\":1,\"error\":{\"code\":108,\"message\":\"not available\"}}\n"
           "{\"id\":2,\"subscribe\":{}}");
    expect_asked("slow open");
}

static void a_command_that_waited_counts_once(void **state)
{
    loopback_expect(me, "{\"id\":1,\"history\":{\"channel\":\"slow\"}}", "");
    world_pass(2000);
    expect(loopback_read(me), "{\"id\":1,\"error\":{\"code\":108,\"message\":\"not available\"}}");
    expect(in_channel("history", "open"),
           "\"error\":{\"code\":108,\"message\":\"not available\"}}");
    expect(in_channel("history", "open"),
           "\"error\":{\"code\":111,\"message\":\"too many requests\",\"temporary\":true}}");
}

static void who_leaves_while_it_waits_leaves_nothing_behind(void **state)
{
    static const char *const commands[] = {
        "{\"id\":2,\"subscribe\":{\"channel\":\"slow1\"}}",
        "{\"id\":2,\"rpc\":{\"method\":\"subscribe\",\"data\":\"slow2\"}}",
        "{\"id\":2,\"rpc\":{\"method\":\"publish\",\"data\":{\"channel\":\"slow3\",\"data\":1}}}",
    };

    for (size_t i = 0; i < ARRAY_LEN(commands); i++) {
        struct loopback *l = loopback_connected("l", KIND_WS_JSON, "9");

        loopback_expect(l, commands[i], i == 1 ? "{\"id\":2,\"rpc\":{}}" : "");
        loopback_close(l);
    }
    {
        struct loopback *l = loopback_open("l", KIND_WS_JSON);

        loopback_put(l, loopback_with_token("{\"id\":1,\"connect\":{\"token\":\"%s\"}}",
                                            "{\"sub\":\"9\",\"channels\":[\"slow4\",\"slow5\"]}"));
        world_turn();
        loopback_close(l);
    }
    world_pass(2000);
    assert_int_equal(hub_counts(core->hub).clients, 1);
    assert_int_equal(hub_counts(core->hub).channels, 0);
}

static void mistakes_fail_closed(void **state)
{
    static const char *const channels[] = {"unknown", "type",   "alone",  "hooks",
                                           "broken",  "number", "raises", "endless",
                                           "kicknil", "failed", "kick"};

    for (size_t i = 0; i < ARRAY_LEN(channels); i++) {
        expect(subscribe(channels[i]), INTERNAL);
        assert_int_equal(script_stats(core->script).errors, i + 1);
    }
    expect(subscribe("kick"), INTERNAL); /* not asked again for a moment */
    assert_int_equal(script_stats(core->script).errors, ARRAY_LEN(channels));
    expect(rpc("publish", "{\"channel\":\"type\",\"data\":1}"),
           "\"rpc\":{\"data\":\"100 internal server error\"}}");
    world_pass(1000);
    expect(subscribe("kick"), INTERNAL);
    assert_int_equal(script_stats(core->script).errors, ARRAY_LEN(channels) + 2);
}

static void it_may_refuse_a_channel(void **state)
{
    expect(subscribe("gone"), "\"error\":{\"code\":404,\"message\":\"no such room\"}}");
    expect(in_channel("presence", "gone"),
           "\"error\":{\"code\":404,\"message\":\"no such room\"}}");
    expect(subscribe("no"), DENIED);
    expect(subscribe("failure"), "\"error\":{\"code\":102,\"message\":\"unknown channel\"}}");
    expect(rpc("order", "\"gone\""), "\"rpc\":{\"data\":404}}");
    expect_asked("gone no failure");
    assert_int_equal(script_stats(core->script).errors, 0);
}

static void a_circle_is_refused_instead_of_waiting_for_ever(void **state)
{
    expect(subscribe("asks"), DENIED); /* its own publish failed, and it went on */
    loopback_expect(me, "{\"id\":1,\"subscribe\":{\"channel\":\"ping\"}}", "");
    world_pass(1000);
    expect(loopback_read(me),
           "{\"id\":1,\"error\":{\"code\":103,\"message\":\"permission denied\"}}");
    expect_asked("asks ping pong");
}

static void a_name_that_is_too_long_is_not_asked_about(void **state)
{
    expect(subscribe("open56789012345678901"),
           "\"error\":{\"code\":107,\"message\":\"bad request\"}}");
    expect(answer(me, "publish", "{\"channel\":\"open56789012345678901\",\"data\":1}"),
           "\"error\":{\"code\":107,\"message\":\"bad request\"}}");
    expect(rpc("publish", "{\"channel\":\"open56789012345678901\",\"data\":1}"),
           "\"rpc\":{\"data\":\"107 bad request\"}}");
    expect_asked("");
}

static size_t channels_kept(void)
{
    return channel_options_counts(core->script).channels;
}

static size_t rows_kept(void)
{
    return channel_options_counts(core->script).rows;
}

static void equal_results_share_a_row_and_the_oldest_channels_are_forgotten(void **state)
{
    subscribe("open1");
    subscribe("same1"); /* in another order */
    subscribe("open2");
    assert_int_equal(rows_kept(), 1);
    subscribe("room1");
    assert_int_equal(rows_kept(), 2);
    assert_int_equal(channels_kept(), 4);
    in_channel("presence", "open1"); /* now same1 is the oldest */
    expect_asked("open1 same1 open2 room1");
    for (int i = 0; i < 3; i++)
        in_channel("presence", i == 0 ? "none1" : i == 1 ? "none2" : "none3");
    assert_int_equal(channels_kept(), 4);
    assert_int_equal(rows_kept(), 1); /* room1's is left, and open1's is forgotten */
    in_channel("presence", "room1");
    in_channel("presence", "open1");
    expect_asked("none1 none2 none3 room1 open1");
    assert_int_equal(channels_kept(), 4);
    assert_int_equal(rows_kept(), 2);
}

static void it_is_asked_again_when_its_time_is_over(void **state)
{
    subscribe("open1");
    world_pass(3599 * 1000);
    in_channel("presence", "open1");
    expect_asked("open1");
    world_pass(1000);
    in_channel("presence", "open1");
    expect_asked("open1");
    assert_int_equal(channels_kept(), 1);
}

/* A row may be held by what waits for longer than the cache remembers it. */
static void a_row_in_use_stays(void **state)
{
    struct channel_parts parts;
    struct hook_verdict refused;
    const struct ns *ns;

    subscribe("room1");
    assert_int_equal(channel_options_find(core->script, settings, STR("room1"), &parts, &refused),
                     OK);
    ns = ns_ref(parts.ns);
    for (int i = 0; i < 5; i++)
        in_channel("presence", (const char *const[]){"a", "b", "c", "d", "e"}[i]);
    assert_int_equal(rows_kept(), 1);
    assert_true(ns->opt.presence);
    assert_true(settings_allows(ns, WHO_SUBSCRIBED, ACTION_PRESENCE));
    expect(subscribe("room2"), OK_SUBSCRIBE);
    assert_int_equal(channel_options_find(core->script, settings, STR("room2"), &parts, &refused),
                     OK);
    assert_ptr_equal(parts.ns, ns); /* found again, though no channel had it any more */
    ns_unref(ns);
}

static void reasons_name_who_decided(void **state)
{
    struct channel_parts parts;
    struct hook_verdict refused;

    subscribe("closed1");
    assert_int_equal(channel_options_find(core->script, settings, STR("closed1"), &parts, &refused),
                     OK);
    assert_true(str_eq(settings_denied_option(parts.ns, 0, ACTION_SUBSCRIBE),
                       STR("hooks.channel_options: allow_subscribe_for_client")));
    assert_true(str_eq(settings_denied_option(parts.ns, 0, ACTION_PUBLISH),
                       STR("channel.without_namespace.allow_publish_for_client")));
    assert_true(settings_denied_cause(parts.ns, 0, ACTION_SUBSCRIBE).len > 0);
}

static void server_side_channels_have_computed_options(void **state)
{
    struct loopback *l = loopback_open("l", KIND_WS_JSON);

    loopback_put(l, loopback_with_token("{\"id\":1,\"connect\":{\"token\":\"%s\",\"subs\":{"
                                        "\"open1\":{},\"closed1\":{},\"gone1\":{}}}}",
                                        "{\"sub\":\"9\",\"channels\":[\"slow1\",\"stream1\"]}"));
    world_turn();
    expect(loopback_read(l), "");
    world_pass(2000);
    expect(
        loopback_read(l),
        "{\"id\":1,\"connect\":{\"client\":\"l\",\"version\":\"test\",\"subs\":{\"slow1\":{},"
        "\"stream1\":{\"recoverable\":true,\"epoch\":\"E\",\"positioned\":true},\"open1\":{}}}}");
    rpc("asked", "0");
    loopback_put(l, "{\"id\":2,\"unsubscribe\":{\"channel\":\"slow1\"}}");
    l = loopback_open("m", KIND_WS_JSON);
    loopback_expect(l,
                    loopback_with_token("{\"id\":1,\"connect\":{\"token\":\"%s\","
                                        "\"data\":[\"open1\",\"gone2\"]}}",
                                        "{\"sub\":\"9\"}"),
                    "{\"id\":1,\"error\":{\"code\":404,\"message\":\"no such room\"}}");
    l = loopback_open("n", KIND_WS_JSON);
    loopback_expect(l,
                    loopback_with_token("{\"id\":1,\"connect\":{\"token\":\"%s\","
                                        "\"data\":[\"a\",\"unknown1\"]}}",
                                        "{\"sub\":\"9\"}"),
                    "{\"id\":1," INTERNAL);
    assert_int_equal(l->client->state, CLIENT_UNUSABLE);
}

static void orders_wait_and_can_be_taken_back(void **state)
{
    expect(rpc("subscribe", "\"stream1\""),
           "\"rpc\":{}}\n{\"push\":{\"channel\":\"stream1\",\"subscribe\":{\"recoverable\":true,"
           "\"epoch\":\"E\",\"positioned\":true}}}");
    expect(rpc("subscribe", "\"slow1\""), "\"rpc\":{}}");
    expect(rpc("subscribe", "\"slow2\""), "\"rpc\":{}}");
    rpc("unsubscribe", "\"slow2\"");
    world_pass(2000);
    expect(loopback_read(me), "{\"push\":{\"channel\":\"slow1\",\"subscribe\":{}}}");
    expect(rpc("subscribe", "\"unknown1\""), "\"rpc\":{}}");
    assert_int_equal(hub_counts(core->hub).subscriptions, 2);
}

static void publications_of_the_api_follow_them(void **state)
{
    assert_non_null(strstr(rpc("publish", "{\"channel\":\"stream1\",\"data\":1}"), "\"offset\":1"));
    expect(rpc("publish", "{\"channel\":\"open1\",\"data\":1}"), "\"rpc\":{\"data\":{}}}");
    for (int i = 0; i < 5; i++)
        rpc("publish", "{\"channel\":\"stream1\",\"data\":1}");
    subscribe("stream1");
    assert_non_null(strstr(answer(me, "history", "{\"channel\":\"stream1\",\"limit\":-1}"),
                           "\"history\":{\"publications\":[{\"data\":1,\"offset\":4}"));
}

static void a_position_is_checked_against_the_channels_own_stream(void **state)
{
    subscribe("stream1");
    rpc("publish", "{\"channel\":\"stream1\",\"data\":1}");
    for (int i = 0; i < 5; i++) /* it will have to be asked again */
        in_channel("presence", (const char *const[]){"a", "b", "c", "d", "e"}[i]);
    expect_asked("stream1 a b c d e");
    world_pass(60000);
    expect_asked("stream1");
    assert_int_equal(hub_counts(core->hub).subscriptions, 1);
    assert_false(me->closed);
}

static void a_reload_forgets_everything(void **state)
{
    subscribe("open1");
    loopback_put(me, "{\"id\":1,\"subscribe\":{\"channel\":\"slow\"}}");
    world_turn();
    world_reload(config);
    assert_int_equal(channels_kept(), 0);
    world_pass(4000); /* the old hook, then the new one */
    expect(loopback_read(me), "{\"id\":1,\"subscribe\":{}}");
    in_channel("presence", "open1");
    expect_asked("slow open1");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
#define T(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
        T(what_it_returns_are_the_options_of_the_channel),
        T(it_decides_about_names_and_lists_too),
        T(a_namespace_has_its_own_and_falls_back_to_the_common_one),
        T(it_is_asked_once_per_channel),
        T(while_it_waits_commands_stay_in_order),
        T(a_command_that_waited_counts_once),
        T(who_leaves_while_it_waits_leaves_nothing_behind),
        T(mistakes_fail_closed),
        T(it_may_refuse_a_channel),
        T(a_circle_is_refused_instead_of_waiting_for_ever),
        T(a_name_that_is_too_long_is_not_asked_about),
        T(equal_results_share_a_row_and_the_oldest_channels_are_forgotten),
        T(it_is_asked_again_when_its_time_is_over),
        T(a_row_in_use_stays),
        T(reasons_name_who_decided),
        T(server_side_channels_have_computed_options),
        T(orders_wait_and_can_be_taken_back),
        T(publications_of_the_api_follow_them),
        T(a_position_is_checked_against_the_channels_own_stream),
        T(a_reload_forgets_everything),
#undef T
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
