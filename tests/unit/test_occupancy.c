/* The hooks occupied and vacated: in turn for every channel, once each, however often subscribers
 * come and go while the delay runs or a hook waits; and what other hooks may do while they run. */
#include "client/occupancy.h"
#include "lib/loopback.h"

#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>

#define NOTE_HOOKS                                                                                 \
    "  hooks = { occupied = note '+', vacated = note '-' },\n"                                     \
    "  rpc = { events = function()\n"                                                              \
    "    local text = table.concat(events, ' ') events = {} return text end },\n"

#define HEAD                                                                                       \
    "local perigee = require 'perigee'\n"                                                          \
    "local events, waits = {}, {}\n"                                                               \
    "local function note(mark) return function(channel)\n"                                         \
    "  events[#events + 1] = mark .. channel\n"                                                    \
    "  if channel:find 'slow' then perigee.sleep(10) events[#events + 1] = '.' .. channel end\n"   \
    "  if channel:find 'bad' then error 'oops' end\n"                                              \
    "end end\n"                                                                                    \
    "return {\n"                                                                                   \
    "  client = { token = { hmac_secret_key = 'secret' }, channel_limit = -1,\n"                   \
    "    ping_interval = 0, pong_timeout = 0,\n"                                                   \
    "    rate_limit = { client_command = { subscribe = { buckets = {} },\n"                        \
    "      unsubscribe = { buckets = {} }, total = { buckets = {} } } } },\n"                      \
    "  channel = { without_namespace = { allow_subscribe_for_client = true },\n"                   \
    "    namespaces = { quiet = { allow_subscribe_for_client = true } } },\n"

static const char config[] = HEAD NOTE_HOOKS "}\n";

static int set_up(void **state)
{
    world_begin(config);
    return 0;
}

static struct loopback *asker; /* whom hooks do not look at */

static int tear_down(void **state)
{
    loopback_close_all();
    asker = NULL;
    world_pass(120000); /* for the hooks that wait */
    world_end();
    return 0;
}

/* What the hooks have noted since the last call. */
static const char *events(void)
{
    static char text[4096];
    const char *reply, *at, *end;

    if (asker == NULL)
        asker = loopback_connected("asker", KIND_WS_JSON, "asker");
    loopback_put(asker, "{\"id\":99,\"rpc\":{\"method\":\"events\"}}");
    world_turn();
    reply = loopback_read(asker);
    at = strstr(reply, "\"data\":\"");
    assert_non_null(at);
    at += strlen("\"data\":\"");
    end = strchr(at, '"');
    snprintf(text, sizeof text, "%.*s", (int)(end - at), at);
    return text;
}

static void subscribe(struct loopback *l, const char *channel)
{
    char text[256];

    snprintf(text, sizeof text, "{\"id\":2,\"subscribe\":{\"channel\":\"%s\"}}", channel);
    loopback_expect(l, text, "{\"id\":2,\"subscribe\":{}}");
}

static void unsubscribe(struct loopback *l, const char *channel)
{
    char text[256];

    snprintf(text, sizeof text, "{\"id\":3,\"unsubscribe\":{\"channel\":\"%s\"}}", channel);
    loopback_expect(l, text, "{\"id\":3,\"unsubscribe\":{}}");
}

static void the_first_occupies_and_the_last_vacates_after_the_delay(void **state)
{
    struct loopback *a = loopback_connected("a", KIND_WS_JSON, "1");
    struct loopback *b = loopback_connected("b", KIND_WS_JSON, "2");

    subscribe(a, "x");
    assert_string_equal(events(), "+x");
    subscribe(b, "x");
    unsubscribe(a, "x");
    world_pass(60000);
    assert_string_equal(events(), "");
    unsubscribe(b, "x");
    world_pass(4999);
    assert_string_equal(events(), "");
    world_pass(1);
    assert_string_equal(events(), "-x");
    subscribe(a, "x");
    assert_string_equal(events(), "+x");
    loopback_close(a);
    world_pass(5000);
    assert_string_equal(events(), "-x");
    assert_true(occupancy_is_idle(core->clients->occupancy));
}

static void who_comes_back_in_time_is_not_told(void **state)
{
    struct loopback *a = loopback_connected("a", KIND_WS_JSON, "1");

    subscribe(a, "x");
    for (int i = 0; i < 5; i++) {
        unsubscribe(a, "x");
        world_pass(4000);
        subscribe(a, "x");
        assert_true(occupancy_is_idle(core->clients->occupancy));
    }
    assert_string_equal(events(), "+x");
    unsubscribe(a, "x");
    world_pass(4000);
    subscribe(a, "x");
    unsubscribe(a, "x");
    world_pass(4000); /* the delay began anew */
    assert_string_equal(events(), "");
    world_pass(1000);
    assert_string_equal(events(), "-x");
}

static void the_next_event_of_a_channel_waits_for_the_hook(void **state)
{
    struct loopback *a = loopback_connected("a", KIND_WS_JSON, "1");

    subscribe(a, "slow");
    unsubscribe(a, "slow");
    subscribe(a, "fast");
    world_pass(6000); /* the delay is over, the hook is not */
    assert_string_equal(events(), "+slow +fast");
    world_pass(4000);
    assert_string_equal(events(), ".slow -slow");
    subscribe(a, "slow");
    unsubscribe(a, "slow");
    subscribe(a, "slow");
    world_pass(10000);
    assert_string_equal(events(), ".slow +slow");
    unsubscribe(a, "slow");
    world_pass(15000);
    assert_string_equal(events(), ".slow -slow");
    subscribe(a, "slow"); /* and away again before anybody could be told */
    unsubscribe(a, "slow");
    world_pass(60000);
    assert_string_equal(events(), ".slow");
    loopback_close(a);
    world_pass(5000);
    assert_string_equal(events(), "-fast");
}

static void a_hook_that_fails_has_been_told(void **state)
{
    struct loopback *a = loopback_connected("a", KIND_WS_JSON, "1");

    subscribe(a, "bad");
    unsubscribe(a, "bad");
    world_pass(5000);
    assert_string_equal(events(), "+bad -bad");
    assert_int_equal(script_stats(core->script).errors, 2);
}

static void many_at_once_queue_and_none_is_lost(void **state)
{
    struct loopback *a = loopback_connected("a", KIND_WS_JSON, "1");
    char channel[64];

    for (int i = 0; i < 3000; i++) {
        snprintf(channel, sizeof channel, "slow%d", i);
        subscribe(a, channel);
    }
    world_pass(31000); /* three rounds of a thousand, ten seconds each */
    assert_true(occupancy_is_idle(core->clients->occupancy));
    loopback_close(a);
    world_pass(5000);
    assert_int_equal(script_stats(core->script).coroutines, 1000);
    world_pass(31000);
    assert_true(occupancy_is_idle(core->clients->occupancy));
    assert_int_equal(script_stats(core->script).errors, 0);
}

static void a_stop_waits_for_no_delay(void **state)
{
    struct loopback *a = loopback_connected("a", KIND_WS_JSON, "1");
    struct loopback *b = loopback_connected("b", KIND_WS_JSON, "2");

    subscribe(a, "x");
    subscribe(a, "slow");
    subscribe(b, "y");
    world_pass(10000);
    loopback_close(a);
    assert_string_equal(events(), "+x +slow +y .slow");
    clients_finish(core->clients);
    world_turn();
    assert_false(clients_finished(core->clients)); /* a hook waits */
    loopback_close(b);
    world_pass(10000);
    assert_true(clients_finished(core->clients));
    assert_true(strstr(events(), "-y") != NULL);
}

static void hooks_that_were_stopped_hear_nothing(void **state)
{
    struct loopback *a = loopback_connected("a", KIND_WS_JSON, "1");

    subscribe(a, "x");
    unsubscribe(a, "x");
    subscribe(a, "slow");
    clients_stop(core->clients);
    subscribe(a, "z");
    world_pass(60000);
    assert_string_equal(events(), "+x +slow .slow");
}

/* --- hooks of a namespace, and hooks that come with a reload -------------------------------------
 */

static const char without_hooks[] =
    HEAD "  rpc = { events = function() local n = #events + #waits note('') return n end } }\n";

static void new_hooks_hear_what_happens_from_then_on(void **state)
{
    struct loopback *a = loopback_connected("a", KIND_WS_JSON, "1");

    world_reload(without_hooks);
    subscribe(a, "x");
    subscribe(a, "y");
    unsubscribe(a, "y");
    assert_true(occupancy_is_idle(core->clients->occupancy)); /* no hook, no cost */
    world_reload(config);
    world_pass(60000);
    assert_string_equal(events(), "");
    subscribe(a, "z");
    unsubscribe(a, "x");
    world_pass(5000);
    assert_string_equal(events(), "+z -x");
    unsubscribe(a, "z");
    world_reload(without_hooks);
    world_pass(5000); /* nobody is there to be told */
    assert_true(occupancy_is_idle(core->clients->occupancy));
}

static void a_namespace_has_its_own(void **state)
{
    struct loopback *a = loopback_connected("a", KIND_WS_JSON, "1");

    world_reload(
        "local events = {}\n"
        "local function note(mark) return function(channel)\n"
        "  events[#events + 1] = mark .. channel end end\n"
        "return { client = { token = { hmac_secret_key = 'secret' }, ping_interval = 0, "
        "pong_timeout = 0 },\n"
        "  channel = { vacated_event_delay = 0,\n"
        "    without_namespace = { allow_subscribe_for_client = true },\n"
        "    namespaces = { own = { allow_subscribe_for_client = true,\n"
        "      hooks = { vacated = note '~' } } } },\n"
        "  rpc = { events = function() local text = table.concat(events, ' ') events = {}\n"
        "    return text end } }\n");
    subscribe(a, "x");
    assert_true(occupancy_is_idle(core->clients->occupancy));
    subscribe(a, "own:1");
    unsubscribe(a, "own:1");
    world_pass(1);
    assert_string_equal(events(), "~own:1");
}

/* --- what a hook about the end may do ------------------------------------------------------------
 */

static const char meddling[] =
    "local perigee = require 'perigee'\n"
    "local events = {}\n"
    "return { client = { token = { hmac_secret_key = 'secret' }, ping_interval = 0, pong_timeout = "
    "0 },\n"
    "  channel = { without_namespace = { allow_subscribe_for_client = true } },\n"
    "  hooks = {\n"
    "    unsubscribe = function(client, req)\n"
    "      client:unsubscribe(req.channel)\n"
    "      if req.channel == 'all' then\n"
    "        for _, other in ipairs(client.channels) do client:unsubscribe(other) end\n"
    "      elseif req.channel == 'again' then\n"
    "        client:subscribe(req.channel)\n"
    "      end\n"
    "      events[#events + 1] = '-' .. req.channel\n"
    "    end,\n"
    "    disconnect = function(client, reason)\n"
    "      perigee.sleep(1)\n"
    "      events[#events + 1] = table.concat({ 'end of', client.user, client.ip,\n"
    "        client.transport, client.protocol, #client.id, #client.channels }, '/')\n"
    "    end },\n"
    "  rpc = { events = function() local text = table.concat(events, ' ') events = {}\n"
    "    return text end } }\n";

static int set_up_meddling(void **state)
{
    world_begin(meddling);
    return 0;
}

static void an_unsubscribe_hook_may_unsubscribe_and_subscribe(void **state)
{
    struct loopback *a = loopback_connected("a", KIND_WS_JSON, "1");

    for (const char *const *channel = (const char *const[]){"x", "y", "all", "again", NULL};
         *channel; channel++)
        subscribe(a, *channel);
    loopback_put(a, "{\"id\":3,\"unsubscribe\":{\"channel\":\"all\"}}");
    world_turn();
    assert_non_null(strstr(loopback_read(a), "{\"id\":3,\"unsubscribe\":{}}"));
    assert_string_equal(events(), "-x -y -again -all");
    assert_int_equal(a->client->hub.sub_count, 1); /* again */
    loopback_close(a);
    world_pass(1000);
    assert_string_equal(events(), "end of/1/127.0.0.1/loopback/json/36/0");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
#define T(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
        T(the_first_occupies_and_the_last_vacates_after_the_delay),
        T(who_comes_back_in_time_is_not_told),
        T(the_next_event_of_a_channel_waits_for_the_hook),
        T(a_hook_that_fails_has_been_told),
        T(many_at_once_queue_and_none_is_lost),
        T(a_stop_waits_for_no_delay),
        T(hooks_that_were_stopped_hear_nothing),
#undef T
        cmocka_unit_test_setup_teardown(new_hooks_hear_what_happens_from_then_on, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(a_namespace_has_its_own, set_up, tear_down),
        cmocka_unit_test_setup_teardown(an_unsubscribe_hook_may_unsubscribe_and_subscribe,
                                        set_up_meddling, tear_down),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
