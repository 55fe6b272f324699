/* Hooks: what they are told, what they may answer, and that every mistake fails closed. */
#include "lib/script_fixture.h"

#include <lauxlib.h>

static struct answered a;

static void run_hook(struct script *s, unsigned ns, enum hook which, const struct hook_request *r)
{
    a = (struct answered){0};
    assert_true(hooks_has(script_hooks(s, ns), which));
    hook_run(s, ns, which, r, fixture_answered, &a);
    fixture_until(&a.count, 1);
    assert_int_equal(a.count, 1);
}

/* Runs hooks.<name> = function(client, req) <body> end and returns what the verdict says. */
static enum hook_outcome decide(enum hook which, const char *name, const char *body)
{
    static char config[2048];
    struct hook_request request = {.channel = STR("chat:1"), .data = STR("{\"text\":\"hi\"}")};
    struct script *s;

    snprintf(config, sizeof config,
             "local perigee = require 'perigee'\n"
             "return { hooks = { %s = function(client, req) %s end } }",
             name, body);
    s = fixture_script(config);
    run_hook(s, 0, which, &request);
    if (a.verdict.code == 100)
        assert_true(script_stats(s).errors == 1);
    script_close(s);
    return a.verdict.outcome;
}

#define PUBLISH(body) decide(HOOK_PUBLISH, "publish", body)

static void internal(enum hook_outcome outcome)
{
    assert_int_equal(outcome, VERDICT_ERROR);
    assert_int_equal(a.verdict.code, 100);
    assert_string_equal(a.message, "internal server error");
    assert_true(a.verdict.temporary);
}

static void absent_hooks_are_known_without_lua(void **state)
{
    struct script *s = fixture_script("return { hooks = { connect = function() end } }");

    for (int which = 0; which < HOOK_COUNT; which++)
        assert_int_equal(hooks_has(script_hooks(s, 1), which), which == HOOK_CONNECT);
    assert_false(hook_has_rpc(s, STR("time")));
    assert_true(hook_wants_headers(s));
    script_close(s);
    s = fixture_script("return { hooks = { start = function() end } }");
    assert_false(hook_wants_headers(s));
    assert_false(hook_has_any_rpc(s));
    script_close(s);
}

static void a_hook_sees_its_request(void **state)
{
    assert_int_equal(
        PUBLISH("assert(client == nil) assert(req.channel == 'chat:1')"
                "assert(req.raw == '{\"text\":\"hi\"}') assert(rawget(req, 'data') == nil)"
                "assert(req.data.text == 'hi') assert(req.data == req.data)"
                "assert(req.token == nil and req.whatever == nil)"),
        VERDICT_NIL);
}

static void every_kind_of_answer_is_understood(void **state)
{
    assert_int_equal(PUBLISH(""), VERDICT_NIL);
    assert_int_equal(PUBLISH("return nil"), VERDICT_NIL);
    assert_int_equal(PUBLISH("return true"), VERDICT_ALLOW);
    assert_int_equal(PUBLISH("return {}"), VERDICT_ALLOW);
    assert_false(a.verdict.has_data);
    assert_int_equal(PUBLISH("return false"), VERDICT_ERROR);
    assert_int_equal(a.verdict.code, 103);
    assert_int_equal(PUBLISH("return perigee.error(400, 'too long', true)"), VERDICT_ERROR);
    assert_int_equal(a.verdict.code, 400);
    assert_string_equal(a.message, "too long");
    assert_true(a.verdict.temporary);
    assert_int_equal(PUBLISH("return perigee.disconnect_code(4500, 'go')"), VERDICT_DISCONNECT);
    assert_int_equal(a.verdict.code, 4500);
    assert_string_equal(a.message, "go");
    assert_int_equal(PUBLISH("return nil, { code = 102, message = 'unknown channel' }"),
                     VERDICT_ERROR);
    assert_int_equal(a.verdict.code, 102);
    assert_int_equal(PUBLISH("return nil, perigee.error(450, 'no')"), VERDICT_ERROR);
    assert_int_equal(a.verdict.code, 450);
    assert_int_equal(PUBLISH("return nil, perigee.disconnect_code(4500, 'go')"),
                     VERDICT_DISCONNECT);
    assert_int_equal(a.verdict.code, 4500);
    assert_int_equal(PUBLISH("return nil, nil"), VERDICT_NIL);
    assert_int_equal(decide(HOOK_PRESENCE, "presence", "return false"), VERDICT_REFUSE);
    assert_int_equal(decide(HOOK_HISTORY, "history", "return true"), VERDICT_ALLOW);
}

static void changed_data_is_encoded_again(void **state)
{
    assert_int_equal(PUBLISH("req.data.text = req.data.text:upper() return { data = req.data }"),
                     VERDICT_ALLOW);
    assert_true(a.verdict.has_data);
    assert_string_equal(a.data, "{\"text\":\"HI\"}");
    assert_int_equal(PUBLISH("return { data = perigee.json.array {}, skip_history = true }"),
                     VERDICT_ALLOW);
    assert_string_equal(a.data, "[]");
    assert_true(a.verdict.has_skip_history && a.verdict.skip_history);
}

static void connect_answers_carry_credentials(void **state)
{
    assert_int_equal(decide(HOOK_CONNECT, "connect",
                            "return { user = '42', info = { name = 'A' }, expire_at = 1.9e9 + 0.5,"
                            " channels = { 'a', 'b' }, subs = { x = {} }, data = 1, meta = {} }"),
                     VERDICT_ALLOW);
    assert_true(a.verdict.has_user && a.verdict.has_expire_at && a.verdict.has_data);
    assert_string_equal(a.user, "42");
    assert_string_equal(a.info, "{\"name\":\"A\"}");
    assert_true(a.verdict.expire_at == 1900000000);
    assert_int_equal(a.verdict.channel_count, 2);
    assert_int_equal(decide(HOOK_CONNECT, "connect",
                            "return { subs = { a = { info = 1, data = {}, override = {"
                            " presence = true, join_leave = { value = false } } } } }"),
                     VERDICT_ALLOW);
}

static void wrong_answers_fail_closed(void **state)
{
    static const char *const wrong[] = {
        "return 1",
        "return 'yes'",
        "return print",
        "return nil, 'connection refused'",
        "return nil, 5",
        "return nil, false",
        "return nil, {}",
        "return nil, { code = 'x', message = 'y' }",
        "return { dat = 1 }",
        "return { data = print }",
        "return { skip_history = 1 }",
        "return { tags = { a = 1 } }",
        "return { tags = { 'a' } }",
        "return { user = '1' }",
        "return { data = 0/0 }",
        "return { data = '\\xff' }",
        "return { 1 }",
        "return { tags = 'x' }",
        "local e = perigee.error(103, 'x') e.code = 'x' return e",
        "local e = perigee.disconnect_code(4000, 'x') e.reason = nil return e",
        "error 'no'",
        "error()",
        "error(nil)",
        "error { code = 1 }",
        "error(setmetatable({}, { __tostring = function() while true do end end }))",
        "return perigee.error(99, 'x')",
        "return perigee.error('x', 'x')",
        "return perigee.error(103)",
        "return perigee.error(103, '\\xff')",
        "return perigee.disconnect_code(103, 'x')",
        "return perigee.disconnect_code(4000, ('x'):rep(124))",
        "local x = nil .. 'a'",
        "return req.data.text.x.y",
        "coroutine.yield()",
    };
    static const char *const wrong_connect[] = {
        "return { user = 42 }",
        "return { user = '\\xff' }",
        "return { channels = { 1 } }",
        "return { channels = 'a' }",
        "return { channels = { a = true } }",
        "return { channels = { 'a', '' } }",
        "return { channels = { '\\xff' } }",
        "return { expire_at = -1 }",
        "return { expire_at = 0/0 }",
        "return { expire_at = '1' }",
        "return { subs = perigee.json.array {} }",
        "return { subs = { 'a' } }",
        "return { subs = { a = true } }",
        "return { subs = { [''] = {} } }",
        "return { subs = { a = { expires = 1 } } }",
        "return { subs = { a = { override = true } } }",
        "return { subs = { a = { override = { presence = 1 } } } }",
    };
    static const char *const wrong_override[] = {
        "return { override = true }",
        "return { override = { 'presence' } }",
        "return { override = { presense = true } }",
        "return { override = { presence = 'yes' } }",
        "return { override = { presence = {} } }",
        "return { override = { history_size = 10 } }",
    };

    for (size_t i = 0; i < ARRAY_LEN(wrong); i++) {
        print_message("         %s\n", wrong[i]);
        internal(PUBLISH(wrong[i]));
    }
    for (size_t i = 0; i < ARRAY_LEN(wrong_connect); i++) {
        print_message("         %s\n", wrong_connect[i]);
        internal(decide(HOOK_CONNECT, "connect", wrong_connect[i]));
    }
    for (size_t i = 0; i < ARRAY_LEN(wrong_override); i++) {
        print_message("         %s\n", wrong_override[i]);
        internal(decide(HOOK_SUBSCRIBE, "subscribe", wrong_override[i]));
    }
    internal(decide(HOOK_PRESENCE, "presence", "return {}"));
    internal(decide(HOOK_MESSAGE, "message", "return {}"));
}

static const char layered[] =
    "local seen = {}\n"
    "return {\n"
    "  hooks = {\n"
    "    publish = function(client, req) return { data = 'common' } end,\n"
    "    disconnect = function(client, reason)\n"
    "      seen[#seen + 1] = 'common' .. reason.code .. reason.reason end,\n"
    "    unsubscribe = function(client, req) seen[#seen + 1] = 'common' .. req.channel end,\n"
    "    history = function() return true end,\n"
    "  },\n"
    "  channel = { namespaces = { chat = { hooks = {\n"
    "    publish = function(client, req) if req.data == 1 then return { data = 'own' } end end,\n"
    "    unsubscribe = function(client, req) seen[#seen + 1] = 'own'\n"
    "      if req.code == 7 then error 'x' end end,\n"
    "    history = function() return false end,\n"
    "  } } } },\n"
    "  rpc = { seen = function() local s = table.concat(seen, ',') seen = {} return s end },\n"
    "}\n";

static void the_own_hook_is_asked_before_the_common_one(void **state)
{
    struct script *s = fixture_script(layered);

    run_hook(s, 1, HOOK_PUBLISH, &(struct hook_request){.data = STR("1")});
    assert_string_equal(a.data, "\"own\"");
    run_hook(s, 1, HOOK_PUBLISH, &(struct hook_request){.data = STR("2")});
    assert_string_equal(a.data, "\"common\"");
    run_hook(s, 0, HOOK_PUBLISH, &(struct hook_request){.data = STR("1")});
    assert_string_equal(a.data, "\"common\"");
    run_hook(s, 1, HOOK_HISTORY, &(struct hook_request){0});
    assert_int_equal(a.verdict.outcome, VERDICT_REFUSE);
    script_close(s);
}

static void of_events_both_hooks_run_even_if_one_fails(void **state)
{
    struct script *s = fixture_script(layered);
    struct hook_request request = {.channel = STR("c")};

    run_hook(s, 1, HOOK_UNSUBSCRIBE, &request);
    assert_string_equal(fixture_call(s, "seen"), "\"own,commonc\"");
    request.code = 7;
    run_hook(s, 1, HOOK_UNSUBSCRIBE, &request);
    assert_string_equal(fixture_call(s, "seen"), "\"own,commonc\"");
    assert_int_equal(script_stats(s).errors, 1);
    run_hook(s, 1, HOOK_DISCONNECT, &(struct hook_request){.code = 3001, .reason = STR("r")});
    assert_string_equal(fixture_call(s, "seen"), "\"common3001r\"");
    script_close(s);
}

static void push_fake_client(lua_State *L, void *client)
{
    lua_newtable(L);
    lua_pushstring(L, client);
    lua_setfield(L, -2, "user");
    lua_pushstring(L, "web");
    lua_setfield(L, -2, "transport");
}

static void a_connect_context_falls_back_to_its_client(void **state)
{
    struct script *s = fixture_script(
        "return { hooks = { connect = function(ctx)\n"
        "  return { user = table.concat({ ctx.user, ctx.transport, ctx.name, ctx.data.x,\n"
        "    ctx.channels[2], tostring(ctx.info and ctx.info.i), tostring(ctx.nothing) }, ' ') }\n"
        "end } }");
    struct str channels[] = {STR("a"), STR("b")};
    struct hook_request request = {.client = "41",
                                   .name = STR("js"),
                                   .data = STR("{\"x\":7}"),
                                   .channels = channels,
                                   .channel_count = 2};

    hook_set_client_view(s, push_fake_client);
    run_hook(s, 0, HOOK_CONNECT, &request);
    assert_string_equal(a.user, "41 web js 7 b nil nil");
    request.has_user = true;
    request.user = STR("from token");
    request.info = STR("{\"i\":true}");
    run_hook(s, 0, HOOK_CONNECT, &request);
    assert_string_equal(a.user, "from token web js 7 b true nil");
    script_close(s);
}

static void methods_and_commands_are_found_by_name(void **state)
{
    struct script *s =
        fixture_script("local perigee = require 'perigee'\n"
                       "return {\n"
                       "  rpc = {\n"
                       "    double = function(client, data) return data * 2 end,\n"
                       "    list = function() return perigee.json.array {} end,\n"
                       "    nothing = function() end,\n"
                       "    no = function() return false end,\n"
                       "    refuse = function() return perigee.error(404, 'none') end,\n"
                       "  },\n"
                       "  api = { kick = function(params) return params end },\n"
                       "}");
    lua_State *L = script_state(s);

    assert_true(hook_has_rpc(s, STR("double")) && hook_has_any_rpc(s));
    assert_false(hook_has_rpc(s, STR("triple")) || hook_has_rpc(s, STR("")));
    a = (struct answered){0};
    hook_run_rpc(s, &(struct hook_request){.method = STR("double"), .data = STR("21")},
                 fixture_answered, &a);
    assert_string_equal(a.data, "42");
    assert_string_equal(fixture_call(s, "list"), "[]");
    assert_string_equal(fixture_call(s, "no"), "false");
    assert_string_equal(fixture_call(s, "nothing"), "");
    assert_string_equal(fixture_call(s, "refuse"), "error 404 none");
    assert_true(hook_push_api(s, L, STR("kick")));
    lua_pop(L, 1);
    assert_false(hook_push_api(s, L, STR("kic")));
    assert_int_equal(lua_gettop(L), 0);
    script_close(s);
}

static void binary_data_stays_bytes(void **state)
{
    struct script *s = fixture_script(
        "return { hooks = { publish = function(client, req)\n"
        "  assert(req.data == '\\xff\\x01') return { data = req.data .. '\\xfe' } end } }");

    run_hook(s, 0, HOOK_PUBLISH,
             &(struct hook_request){.data = STR("\xff\x01"), .data_is_binary = true});
    assert_string_equal(a.data, "\xff\x01\xfe");
    script_close(s);
}

static void what_is_json_is_decoded_whichever_protocol_brings_it(void **state)
{
    struct script *s = fixture_script(
        "local perigee = require 'perigee'\n"
        "local function back(client, data) return data end\n"
        "return { hooks = { publish = function(client, req)\n"
        "  assert(req.data.n == 1 and req.raw == '{\"n\":1}') return { data = req.data } end,\n"
        "  rpc = function(client, req) return perigee.json.raw(req.raw) end },\n"
        "  rpc = { back = back } }");
    struct hook_request request = {
        .data = STR("{\"n\":1}"), .data_is_binary = true, .method = STR("back")};

    run_hook(s, 0, HOOK_PUBLISH, &request);
    assert_string_equal(a.data, "{\"n\":1}");
    assert_true(a.verdict.data_is_json);
    a = (struct answered){0};
    hook_run_rpc(s, &request, fixture_answered, &a);
    assert_string_equal(a.data, "{\"n\":1}");
    request.data = STR("[\xff");
    a = (struct answered){0};
    hook_run_rpc(s, &request, fixture_answered, &a);
    assert_string_equal(a.data, "[\xff");
    request.data = STR("{\"n\": 12345678901234567890}");
    run_hook(s, 0, HOOK_RPC, &request);
    assert_string_equal(a.data, "{\"n\": 12345678901234567890}");
    script_close(s);
}

static void a_reload_is_given_what_the_old_file_returned(void **state)
{
    struct script *old = fixture_script(
        "return { lua = { timeout = 0.05 }, rpc = { f = print }, channel = { namespaces = {\n"
        "  chat = { presence = true, history_size = 5, allowed_delta_types = { 'fossil' },\n"
        "    hooks = { publish = print } } } } }");
    struct script *s = fixture_script(
        "return { hooks = { reload = function(old)\n"
        "  local chat = old.channel.namespaces.chat\n"
        "  assert(old.lua.timeout == 0.05 and chat.presence == true)\n"
        "  assert(math.type(chat.history_size) == 'integer' and chat.history_size == 5)\n"
        "  assert(chat.allowed_delta_types[1] == 'fossil')\n"
        "  assert(chat.hooks.publish == nil and old.rpc.f == nil) end } }");

    run_hook(s, 0, HOOK_RELOAD, &(struct hook_request){.old = old});
    assert_int_equal(a.verdict.outcome, VERDICT_NIL);
    assert_int_equal(script_stats(s).errors, 0);
    script_close(old);
    script_close(s);
}

static void a_waiting_hook_answers_later_and_only_once(void **state)
{
    struct script *s =
        fixture_script("local perigee = require 'perigee'\n"
                       "return { hooks = { subscribe = function(client, req)\n"
                       "  perigee.sleep(0.01) return { info = req.channel } end } }");
    struct hook_request request = {.channel = STR("c")};

    a = (struct answered){0};
    hook_run(s, 0, HOOK_SUBSCRIBE, &request, fixture_answered, &a);
    assert_int_equal(a.count, 0);
    assert_int_equal(script_stats(s).coroutines, 1);
    fixture_until(&a.count, 1);
    assert_int_equal(a.count, 1);
    assert_string_equal(a.info, "\"c\"");
    assert_int_equal(script_stats(s).coroutines, 0);
    script_close(s);
}

static void misspelt_hooks_are_refused_at_load(void **state)
{
    fixture_refused("return { hooks = { conect = print } }", "there is no hook \"conect\"");
    fixture_refused("return { hooks = { connect = 1 } }", "hooks.connect must be a function");
    fixture_refused("return { hooks = 1 }", "hooks must be a table");
    fixture_refused("return { rpc = { a = 1 } }", "rpc.a must be a function, not a number");
    fixture_refused("return { channel = { namespaces = { chat = { hooks = { x = print } } } } }",
                    "channel.namespaces.chat.hooks: there is no hook \"x\"");
    fixture_refused("return 1", "must return a table");
    fixture_refused("return {", "config.lua:1:");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(absent_hooks_are_known_without_lua),
        cmocka_unit_test(a_hook_sees_its_request),
        cmocka_unit_test(every_kind_of_answer_is_understood),
        cmocka_unit_test(changed_data_is_encoded_again),
        cmocka_unit_test(connect_answers_carry_credentials),
        cmocka_unit_test(wrong_answers_fail_closed),
        cmocka_unit_test(the_own_hook_is_asked_before_the_common_one),
        cmocka_unit_test(of_events_both_hooks_run_even_if_one_fails),
        cmocka_unit_test(a_connect_context_falls_back_to_its_client),
        cmocka_unit_test(methods_and_commands_are_found_by_name),
        cmocka_unit_test(binary_data_stays_bytes),
        cmocka_unit_test(what_is_json_is_decoded_whichever_protocol_brings_it),
        cmocka_unit_test(a_reload_is_given_what_the_old_file_returned),
        cmocka_unit_test(a_waiting_hook_answers_later_and_only_once),
        cmocka_unit_test(misspelt_hooks_are_refused_at_load),
    };

    return cmocka_run_group_tests(tests, fixture_set_up, fixture_tear_down);
}
