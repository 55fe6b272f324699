/* The server API without HTTP: descriptions of parameters and results, and commands run on one
 * worker with the memory engine. */
#include "api/api.h"

#include "base/check.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/random.h"
#include "bind/bind_api.h"
#include "codec/json.h"
#include "core/control.h"
#include "loop/worker.h"
#include "script/config.h"
#include "script/script.h"
#include "transport/server.h"

#include <lauxlib.h>
#include <lualib.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>
#include <cmocka.h>

/* ---- descriptions ---- */

static struct api_args args;
static struct arena taken;

static lua_State *bare_state(void)
{
    lua_State *L = luaL_newstate();

    assert_non_null(L);
    luaL_openlibs(L);
    return L;
}

static struct api_spec spec_of(lua_State *L, const char *text)
{
    struct api_spec spec;
    char chunk[512];

    snprintf(chunk, sizeof chunk, "return %s", text);
    assert_int_equal(luaL_dostring(L, chunk), LUA_OK);
    api_spec_load(L, -1, &spec);
    lua_pop(L, 1);
    return spec;
}

/* OK: the arguments are on L, the first at index 1. They were checked first and pushed then, which
 * must come to the same as doing both at once. */
static enum err decode(lua_State *L, const char *fields, const char *text)
{
    struct api_spec spec = spec_of(L, fields);
    struct str rest = str_from(text), behind;
    struct api_given given;
    enum err err;

    lua_settop(L, 0);
    api_args_reset(&args);
    err = api_decode(&spec, rest, &args, L);
    assert_int_equal(lua_gettop(L), err == OK ? (int)spec.count : 0);
    api_args_reset(&args);
    lua_settop(L, 0);
    arena_reset(&taken);
    if (api_take(&spec, &rest, &taken, &given) == OK &&
        json_skip(&rest, &behind) == ERR_NOT_FOUND) {
        assert_int_equal(err, OK);
        api_push_given(&spec, &given, &args, L);
        assert_int_equal(lua_gettop(L), (int)spec.count);
    } else {
        assert_int_equal(err, ERR_SYNTAX);
    }
    api_spec_deinit(&spec);
    return err;
}

static void assert_raw(lua_State *L, int index, const char *bytes, bool is_json)
{
    struct api_raw raw;

    assert_true(api_to_raw(L, index, &raw));
    assert_true(str_eq(raw.bytes, str_from(bytes)));
    assert_int_equal(raw.is_json, is_json);
}

static void parameters_arrive_in_their_order_whatever_the_body_s(void **state)
{
    lua_State *L = bare_state();

    assert_int_equal(decode(L, "{{'a','string'},{'b','bool'},{'c','int'},{'d','uint'}}",
                            " {\"d\":18446744073709551615,\"x\":[1,{}],\"c\":-7,\"b\":true,"
                            "\"a\":\"t\\u00e9\"} "),
                     OK);
    assert_string_equal(lua_tostring(L, 1), "t\xc3\xa9");
    assert_true(lua_toboolean(L, 2));
    assert_int_equal(lua_tointeger(L, 3), -7);
    assert_true((uint64_t)lua_tointeger(L, 4) == UINT64_MAX);
    lua_close(L);
}

static void absent_and_null_are_the_same_but_for_raw_data(void **state)
{
    static const char *const bodies[] = {"null", "{}", "{\"a\":null,\"b\":null,\"o\":null}"};
    lua_State *L = bare_state();

    for (size_t i = 0; i < ARRAY_LEN(bodies); i++) {
        assert_int_equal(
            decode(L, "{{'a','string'},{'b','int'},{'l','strings'},{'o','object'}}", bodies[i]),
            OK);
        assert_string_equal(lua_tostring(L, 1), "");
        assert_int_equal(lua_tointeger(L, 2), 0);
        assert_true(lua_istable(L, 3));
        assert_true(lua_isnil(L, 4));
    }
    assert_int_equal(decode(L, "{{'d','raw'}}", "{\"d\":null}"), OK);
    assert_raw(L, 1, "null", true);
    assert_int_equal(decode(L, "{{'d','raw'}}", "{}"), OK);
    assert_true(lua_isnil(L, 1));
    lua_close(L);
}

static void raw_parameters_are_the_bytes_that_arrived(void **state)
{
    lua_State *L = bare_state();

    assert_int_equal(decode(L, "{{'d','raw'},{'t','string_map'}}",
                            "{\"d\": {\"n\" : 12345678901234567890, \"l\":[] } ,"
                            "\"t\":{\"k\":\"\\u0041\"}}"),
                     OK);
    assert_raw(L, 1, "{\"n\" : 12345678901234567890, \"l\":[] }", true);
    assert_raw(L, 2, "{\"k\":\"\\u0041\"}", true);
    lua_close(L);
}

static void base64_is_decoded_or_false(void **state)
{
    lua_State *L = bare_state();

    assert_int_equal(decode(L, "{{'b','base64'}}", "{\"b\":\"AQID\"}"), OK);
    assert_raw(L, 1, "\1\2\3", false);
    assert_int_equal(decode(L, "{{'b','base64'}}", "{\"b\":\"A?==\"}"), OK);
    assert_true(lua_isboolean(L, 1) && !lua_toboolean(L, 1));
    assert_int_equal(decode(L, "{{'b','base64'}}", "{\"b\":\"\"}"), OK);
    assert_true(lua_isnil(L, 1));
    lua_close(L);
}

static void the_last_of_two_equal_names_counts(void **state)
{
    lua_State *L = bare_state();

    assert_int_equal(decode(L, "{{'a','string'}}", "{\"a\":1,\"a\":\"x\"}"), OK);
    assert_string_equal(lua_tostring(L, 1), "x");
    lua_close(L);
}

static void what_is_no_json_or_of_another_type_is_refused(void **state)
{
    static const char *const bad[] = {
        "",
        " ",
        "[]",
        "1",
        "{",
        "{\"s\":\"x\"} y",
        "{\"s\":\"x\"}{}",
        "{\"s\":\"x\",}",
        "{\"s\":1}",
        "{\"b\":1}",
        "{\"b\":\"true\"}",
        "{\"i\":1.0}",
        "{\"i\":\"1\"}",
        "{\"i\":2147483648}",
        "{\"u\":-1}",
        "{\"u\":18446744073709551616}",
        "{\"m\":{\"a\":1}}",
        "{\"m\":[]}",
        "{\"o\":[]}",
        "{\"l\":\"x\"}",
        "{\"l\":[1]}",
        "{\"r\":5}",
        "{\"r\":{\"n\":\"x\"}}",
        "{\"x\":tru}",
        "{\"x\":\"\xff\"}",
    };
    lua_State *L = bare_state();

    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        if (decode(L,
                   "{{'s','string'},{'b','bool'},{'i','int32'},{'u','uint'},{'m','string_map'},"
                   "{'o','object'},{'l','strings'},{'r',{{'n','uint'}}}}",
                   bad[i]) != ERR_SYNTAX)
            fail_msg("taken: %s", bad[i]);
    }
    lua_close(L);
}

static void a_handle_that_was_kept_reads_as_empty(void **state)
{
    lua_State *L = bare_state();
    struct api_raw raw;

    assert_int_equal(decode(L, "{{'d','raw'}}", "{\"d\":[1]}"), OK);
    api_args_reset(&args);
    assert_true(api_to_raw(L, 1, &raw));
    assert_int_equal(raw.bytes.len, 0);
    lua_close(L);
}

static void assert_encodes(lua_State *L, const char *fields, const char *values,
                           const char *expected)
{
    struct api_spec spec = spec_of(L, fields);
    struct buf out = BUF_INIT(4096);
    char chunk[256];

    lua_settop(L, 0);
    snprintf(chunk, sizeof chunk, "return %s", values);
    assert_int_equal(luaL_dostring(L, chunk), LUA_OK);
    if (!expected) {
        assert_int_equal(api_encode(&spec, L, 1, lua_gettop(L), &out), ERR_SCRIPT);
    } else {
        assert_int_equal(api_encode(&spec, L, 1, lua_gettop(L), &out), OK);
        buf_add_char(&out, 0);
        assert_string_equal(out.ptr, expected);
    }
    buf_deinit(&out);
    api_spec_deinit(&spec);
}

static void results_leave_out_zeros_unless_always_present(void **state)
{
    lua_State *L = bare_state();

    assert_encodes(L, "{{'o','uint'},{'e','string'}}", "0, ''", "{}");
    assert_encodes(L, "{{'o','uint'},{'e','string'}}", "3, 'x\"'", "{\"o\":3,\"e\":\"x\\\"\"}");
    assert_encodes(L, "{{'p','raw!'},{'o','uint!'},{'e','string!'}}", "'[]', 0, ''",
                   "{\"p\":[],\"o\":0,\"e\":\"\"}");
    assert_encodes(L, "{{'o','uint'}}", "-1", "{\"o\":18446744073709551615}");
    assert_encodes(L, "{}", "true", "{}");
    lua_close(L);
}

static void a_result_of_the_wrong_type_is_the_command_s_failure(void **state)
{
    lua_State *L = bare_state();

    assert_encodes(L, "{{'o','uint'}}", "'x'", NULL);
    assert_encodes(L, "{{'o','uint'}}", "1.5", NULL);
    assert_encodes(L, "{{'e','string'}}", "{}", NULL);
    lua_close(L);
}

/* ---- commands ---- */

static struct worker *worker;
static struct core *core;
static struct node node;
static struct settings *settings;
static struct control_order last_order;
static unsigned orders;
static char last_reason[64], last_user[64];

static const char config[] =
    "local perigee = require 'perigee'\n"
    "return {\n"
    "  channel = { without_namespace = {}, namespaces = {\n"
    "    hist = { history_size = 3, history_ttl = '60s', presence = true },\n"
    "  } },\n"
    "  api = {\n"
    "    echo = function(p) return p end,\n"
    "    none = function() end,\n"
    "    refuse = function() return nil, perigee.error(150, 'no') end,\n"
    "    alone = function() return perigee.error(151, 'never') end,\n"
    "    broken = function() error 'x' end,\n"
    "    pass = function(p) return perigee.publish(p) end,\n"
    "    list = function(p) return perigee.history(p.channel) end,\n"
    "    members = function(p) return perigee.presence(p.channel) end,\n"
    "    stats = function(p) return perigee.presence_stats(p) end,\n"
    "  },\n"
    "}\n";

static void on_order(struct core *c, const struct control_order *order)
{
    last_order = *order;
    snprintf(last_reason, sizeof last_reason, "%.*s", STR_ARGS(order->reason));
    snprintf(last_user, sizeof last_user, "%.*s", STR_ARGS(order->target.user));
    orders++;
}

static struct settings *load_settings(void)
{
    char path[] = "/tmp/test_api_XXXXXX";
    int fd = mkstemp(path);
    struct buf problems = BUF_INIT(4096);
    struct config_request request = {.path = path};
    struct settings *s = NULL;

    assert_true(fd >= 0);
    assert_int_equal(write(fd, config, sizeof config - 1), sizeof config - 1);
    close(fd);
    if (config_load(&request, &s, &problems) != OK)
        fail_msg("%.*s", STR_ARGS(buf_str(&problems)));
    unlink(path);
    buf_deinit(&problems);
    return s;
}

static int set_up(void **state)
{
    struct buf problem = BUF_INIT(4096);
    struct script_request request = {.open = bind_api_open};

    assert_int_equal(log_setup(LOG_NONE, LOG_AUTO, NULL), OK);
    settings = load_settings();
    worker = worker_new(0);
    worker_enter(worker);
    random_uuid(node.uid);
    node.name = STR("test");
    node.version = STR("1");
    node.worker_count = 1;
    node.workers[0] = worker;
    core = core_new(&node, worker, settings);
    control_set_handler(core, on_order);
    request.worker = worker;
    request.settings = settings;
    if (script_new(&request, &problem, &core->script) != OK)
        fail_msg("%.*s", STR_ARGS(buf_str(&problem)));
    buf_deinit(&problem);
    api_register(core, server_new(core));
    return 0;
}

static int tear_down(void **state)
{
    script_close(core->script);
    worker_close_handles(worker);
    worker_run(worker);
    api_unregister(core);
    server_free(core->server);
    core_free(core);
    worker_free(worker);
    settings_unref(settings);
    arena_deinit(&args.arena);
    arena_deinit(&taken);
    return 0;
}

struct answer {
    unsigned count;
    char text[2048];
};

static void on_reply(void *arg, const struct api_reply *reply)
{
    struct answer *a = arg;

    a->count++;
    if (reply->code == 0)
        snprintf(a->text, sizeof a->text, "%.*s", STR_ARGS(reply->result));
    else
        snprintf(a->text, sizeof a->text, "error %u %.*s", reply->code,
                 STR_ARGS(reply->message.len > 0 ? reply->message : api_message(reply->code)));
}

/* The result as text, "error <code> <message>", or "bad request" when it was not started. */
static const char *call(const char *name, const char *params)
{
    static struct answer a;
    struct api_target target = {api_find(str_from(name)), str_from(name)};
    char *body = str_dupz(str_from(params));
    enum err err;

    a = (struct answer){0};
    assert_true(api_exists(core, &target));
    err = api_start(core->api, &target, str_from(body), on_reply, &a);
    memset(body, '?', strlen(body)); /* what was borrowed is not looked at again */
    mem_free(body);
    if (err != OK)
        return "bad request";
    for (int turns = 0; a.count == 0 && turns < 1000; turns++)
        uv_run(&worker->loop, UV_RUN_NOWAIT);
    assert_int_equal(a.count, 1);
    return a.text;
}

static void publish_refuses_in_the_documented_order(void **state)
{
    assert_string_equal(call("publish", "{\"data\":1}"), "error 107 bad request");
    assert_string_equal(call("publish", "{\"channel\":\"no:x\",\"b64data\":\"?\"}"),
                        "error 107 bad request");
    assert_string_equal(call("publish", "{\"channel\":\"no:x\"}"), "error 102 unknown channel");
    assert_string_equal(call("publish", "{\"channel\":\"x\"}"), "error 107 bad request");
    assert_string_equal(call("publish", "{\"channel\":1}"), "bad request");
}

static void publish_without_history_has_an_empty_result(void **state)
{
    assert_string_equal(call("publish", "{\"channel\":\"x\",\"data\":null}"), "{}");
}

static void history_gives_back_the_bytes_that_were_published(void **state)
{
    const char *text;

    assert_non_null(strstr(call("publish", "{\"channel\":\"hist:a\",\"data\":{\"n\" : "
                                           "12345678901234567890,\"l\":[]},"
                                           "\"tags\":{\"t\":\"1\"}}"),
                           "\"offset\":1,\"epoch\":"));
    call("publish", "{\"channel\":\"hist:a\",\"b64data\":\"WzFd\",\"data\":7}");
    text = call("history", "{\"channel\":\"hist:a\",\"limit\":-1}");
    assert_int_equal(
        strncmp(text,
                "{\"publications\":[{\"data\":{\"n\" : 12345678901234567890,\"l\":[]},"
                "\"offset\":1,\"tags\":{\"t\":\"1\"}},{\"data\":[1],\"offset\":2}],\"epoch\":\"",
                120),
        0);
    assert_int_equal(strncmp(call("history", "{\"channel\":\"hist:a\"}"),
                             "{\"publications\":[],\"epoch\":\"", 28),
                     0);
}

static void history_names_what_is_wrong(void **state)
{
    call("publish", "{\"channel\":\"hist:b\",\"data\":1}");
    assert_string_equal(call("history", "{\"channel\":\"\"}"), "error 107 bad request");
    assert_string_equal(call("history", "{\"channel\":\"no:x\"}"), "error 102 unknown channel");
    assert_string_equal(call("history", "{\"channel\":\"x\"}"), "error 108 not available");
    assert_string_equal(
        call("history", "{\"channel\":\"hist:b\",\"since\":{\"offset\":0,\"epoch\":\"old\"}}"),
        "error 112 unrecoverable position");
}

static void binary_data_cannot_be_read_as_json(void **state)
{
    char expected[64];

    call("publish", "{\"channel\":\"hist:bin\",\"b64data\":\"AP8=\"}");
    snprintf(expected, sizeof expected, "error %u internal server error", API_NOT_ENCODABLE);
    assert_string_equal(call("history", "{\"channel\":\"hist:bin\",\"limit\":-1}"), expected);
}

static void a_repeated_idempotency_key_gives_the_first_answer(void **state)
{
    char first[256];

    snprintf(first, sizeof first, "%s",
             call("publish", "{\"channel\":\"hist:i\",\"data\":1,\"idempotency_key\":\"k\"}"));
    call("publish", "{\"channel\":\"hist:i\",\"data\":2}");
    assert_string_equal(
        call("publish", "{\"channel\":\"hist:i\",\"data\":3,\"idempotency_key\":\"k\"}"), first);
}

static void broadcast_answers_each_channel_in_its_place(void **state)
{
    assert_string_equal(
        call("broadcast", "{\"channels\":[\"a\",\"no:x\",\"\",\"b\"],\"data\":[]}"),
        "{\"responses\":[{\"result\":{}},{\"error\":{\"code\":102,\"message\":\"unknown "
        "channel\"}},{\"error\":{\"code\":107,\"message\":\"bad request\"}},{\"result\":{}}]}");
    assert_string_equal(call("broadcast", "{\"channels\":[],\"data\":1}"), "error 107 bad request");
}

static void presence_needs_the_option(void **state)
{
    assert_string_equal(call("presence", "{\"channel\":\"x\"}"), "error 108 not available");
    assert_string_equal(call("presence", "{\"channel\":\"hist:p\"}"), "{\"presence\":{}}");
    assert_string_equal(call("presence_stats", "{\"channel\":\"hist:p\"}"),
                        "{\"num_clients\":0,\"num_users\":0}");
}

static void orders_reach_the_workers_with_their_defaults(void **state)
{
    orders = 0;
    assert_string_equal(call("disconnect", "{\"user\":\"u\"}"), "{}");
    assert_int_equal(orders, 1);
    assert_int_equal(last_order.kind, CONTROL_DISCONNECT);
    assert_int_equal(last_order.code, 3503);
    assert_string_equal(last_reason, "force disconnect");
    assert_string_equal(last_user, "u");
    call("disconnect", "{\"user\":\"u\",\"disconnect\":{\"code\":4001,\"reason\":\"bye\"}}");
    assert_int_equal(last_order.code, 4001);
    assert_string_equal(last_reason, "bye");
    assert_string_equal(call("unsubscribe", "{\"user\":\"u\",\"channel\":\"no:x\"}"),
                        "error 102 unknown channel");
    call("unsubscribe", "{\"user\":\"u\",\"channel\":\"x\"}");
    assert_int_equal(last_order.code, 2000);
    call("refresh", "{\"user\":\"u\",\"expire_at\":99}");
    assert_int_equal(last_order.kind, CONTROL_REFRESH);
    assert_int_equal(last_order.expire_at, 99);
    assert_string_equal(call("subscribe", "{\"user\":\"u\"}"), "error 107 bad request");
    call("subscribe", "{\"user\":\"u\",\"channel\":\"x\",\"recover_since\":{\"offset\":4}}");
    assert_true(last_order.subscribe.has_since);
    assert_int_equal(last_order.subscribe.since_offset, 4);
    assert_int_equal(orders, 5);
}

static void a_command_of_config_lua_decides_its_answer(void **state)
{
    assert_string_equal(call("echo", "{\"l\":[12345678901,[],{},1.5]}"),
                        "{\"l\":[12345678901,[],{},1.5]}");
    assert_string_equal(call("none", "null"), "{}");
    assert_string_equal(call("refuse", "{}"), "error 150 no");
    assert_string_equal(call("alone", "{}"), "error 151 never");
    assert_string_equal(call("broken", "{}"), "error 100 internal server error");
    assert_string_equal(call("echo", "{"), "bad request");
    assert_string_equal(call("echo", "[]"), "bad request");
}

static void lua_calls_the_same_commands(void **state)
{
    assert_non_null(
        strstr(call("pass", "{\"channel\":\"hist:l\",\"data\":{\"a\":[]}}"), "\"offset\":1"));
    assert_string_equal(call("pass", "{\"channel\":\"x\",\"data\":\"text\"}"), "{}");
    assert_string_equal(call("pass", "{\"channel\":\"no:x\",\"data\":1}"),
                        "error 102 unknown channel");
    /* a field that does not exist is a mistake in the program */
    assert_string_equal(call("pass", "{\"chanel\":\"x\"}"), "error 100 internal server error");
    assert_string_equal(call("list", "{\"channel\":\"hist:none\"}"), "[]");
    assert_non_null(strstr(call("list", "{\"channel\":\"hist:l\"}"), "\"data\":{\"a\":[]}"));
    assert_string_equal(call("members", "{\"channel\":\"x\"}"), "error 108 not available");
    assert_non_null(strstr(call("stats", "{\"channel\":\"hist:l\"}"), "\"num_clients\":0"));
}

static void counts_calls_and_errors(void **state)
{
    const struct api_counts *counts = api_counts(core->api);
    uint64_t calls = counts->calls[API_rpc], errors = counts->errors[API_rpc];

    assert_string_equal(call("rpc", "{\"method\":\"x\"}"), "error 104 not found");
    assert_int_equal(counts->calls[API_rpc], calls + 1);
    assert_int_equal(counts->errors[API_rpc], errors + 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(parameters_arrive_in_their_order_whatever_the_body_s),
        cmocka_unit_test(absent_and_null_are_the_same_but_for_raw_data),
        cmocka_unit_test(raw_parameters_are_the_bytes_that_arrived),
        cmocka_unit_test(base64_is_decoded_or_false),
        cmocka_unit_test(the_last_of_two_equal_names_counts),
        cmocka_unit_test(what_is_no_json_or_of_another_type_is_refused),
        cmocka_unit_test(a_handle_that_was_kept_reads_as_empty),
        cmocka_unit_test(results_leave_out_zeros_unless_always_present),
        cmocka_unit_test(a_result_of_the_wrong_type_is_the_command_s_failure),
        cmocka_unit_test(publish_refuses_in_the_documented_order),
        cmocka_unit_test(publish_without_history_has_an_empty_result),
        cmocka_unit_test(history_gives_back_the_bytes_that_were_published),
        cmocka_unit_test(history_names_what_is_wrong),
        cmocka_unit_test(binary_data_cannot_be_read_as_json),
        cmocka_unit_test(a_repeated_idempotency_key_gives_the_first_answer),
        cmocka_unit_test(broadcast_answers_each_channel_in_its_place),
        cmocka_unit_test(presence_needs_the_option),
        cmocka_unit_test(orders_reach_the_workers_with_their_defaults),
        cmocka_unit_test(a_command_of_config_lua_decides_its_answer),
        cmocka_unit_test(lua_calls_the_same_commands),
        cmocka_unit_test(counts_calls_and_errors),
    };

    return cmocka_run_group_tests(tests, set_up, tear_down);
}
