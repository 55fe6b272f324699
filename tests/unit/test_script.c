/* The limits of a Lua state: whatever a script does, that one call fails and nothing else. */
#include "lib/script_fixture.h"

#include <lauxlib.h>

/* Each body is the rpc method "bad"; afterwards "good" must still work. */
static char config[4096];

static struct script *with_body(const char *body)
{
    snprintf(config, sizeof config,
             "local perigee = require 'perigee'\n"
             "return { rpc = {\n"
             "  bad = function(client, data) %s end,\n"
             "  good = function() return 1 + #('x'):rep(5):upper() end,\n"
             "} }",
             body);
    return fixture_script(config);
}

static struct script_stats run_bad(const char *body)
{
    struct script *s = with_body(body);
    struct script_stats stats;
    uint64_t begun = clock_thread_ns();

    print_message("         %s\n", body);
    assert_string_equal(fixture_call(s, "bad"), "error 100 internal server error");
    stats = script_stats(s);
    assert_true(stats.errors >= 1);
    assert_int_equal(stats.coroutines, 0);
    assert_string_equal(fixture_call(s, "good"), "6");
    assert_string_equal(fixture_call(s, "bad"), "error 100 internal server error");
    assert_string_equal(fixture_call(s, "good"), "6");
    assert_int_equal(lua_gettop(script_state(s)), 0);
    script_close(s);
    assert_true(clock_thread_ns() - begun < 8000000000); /* sanitizers are slow */
    return stats;
}

static void what_runs_for_ever_is_stopped(void **state)
{
    static const char *const endless[] = {
        "while true do end",
        "repeat until false",
        "for i = 1, math.huge do end",
        "goto a ::a:: goto a",
        "local function f() return f() end f()",
        "while true do pcall(error) end",
        "while true do pcall(function() while true do end end) end",
        "while true do xpcall(function() while true do end end, function() while true do end end) "
        "end",
        "local function f() pcall(f) pcall(f) end while true do f() end",
        "return pcall(function() while true do end end)",
        "while true do coroutine.wrap(function() while true do end end)() end",
        "while true do pcall(coroutine.wrap(function() while true do end end)) end",
        "local function f() while true do pcall(coroutine.wrap(f)) end end f()",
        "while true do coroutine.resume(coroutine.create(function() while true do end end)) end",
        "local co = coroutine.wrap(function() while true do coroutine.yield() end end)"
        " while true do co() end",
        "local t <close> = setmetatable({}, { __close = function() while true do end end })",
        "local t <close> = setmetatable({}, { __close = function() while true do end end })"
        " while true do end",
        "setmetatable({}, { __index = function() while true do end end }).x = nil"
        " return setmetatable({}, { __index = function() while true do end end }).x",
        "table.sort({ 3, 2, 1 }, function() while true do end end)",
        "('x'):gsub('x', function() while true do end end)",
        "load 'while true do end' ()",
        "load(function() while true do end end)",
        "local s = ('a'):rep(200000) while true do s:find(s .. 'b', 1, true) end",
        "local t = {} for i = 1, 200000 do t[i] = i end while true do table.insert(t, 1, 0) end",
        "local s = ('ab'):rep(200000) while true do s:gsub('a', 'b') end",
        "while true do perigee.json.decode(perigee.json.encode { 1, 2, 3 }) end",
    };

    for (size_t i = 0; i < ARRAY_LEN(endless); i++)
        assert_true(run_bad(endless[i]).timeouts >= 1);
}

static void what_takes_too_much_memory_is_stopped(void **state)
{
    static const char *const greedy[] = {
        "return ('x'):rep(2^31)",
        "local s = 'x' while true do s = s .. s end",
        "local s = ('x'):rep(2^20) return table.concat({ s, s, s, s, s, s, s, s }, s:rep(16))",
        "local t = {} for i = 1, 1e8 do t[i] = i end",
        "local t = {} for i = 1, 1e8 do t[i] = { t } end",
        "local t = table.pack(table.unpack({}, 1, 1e8))",
        "local t = {} while true do t[#t + 1] = coroutine.create(print) end",
        "return ('x'):rep(2^20):gsub('x', ('y'):rep(2^10))",
        "return string.pack('!16 c100000000', 'x')",
    };

    for (size_t i = 0; i < ARRAY_LEN(greedy); i++)
        run_bad(greedy[i]);
    assert_true(run_bad(greedy[0]).out_of_memory + run_bad(greedy[1]).out_of_memory >= 1);
}

static void recursion_ends_in_an_error(void **state)
{
    static const char *const deep[] = {
        "local function f() return 1 + f() end return f()",
        "local function f() pcall(f) error 'x' end f()",
        "local t = setmetatable({}, {}) getmetatable(t).__index = t return t.x.y",
        "local t = {} setmetatable(t, { __index = function(_, k) return t[k] end }) return t.x",
        "local function f() return coroutine.wrap(f)() end return f()",
        "local s = ('a'):rep(300000, '(') return load(s)()",
        "local function f() return ('x'):gsub('x', f) end return f()",
        "return tostring(setmetatable({}, { __tostring = function(t) return tostring(t) end }))",
    };

    for (size_t i = 0; i < ARRAY_LEN(deep); i++)
        run_bad(deep[i]);
}

static void library_functions_do_not_work_without_end(void **state)
{
    static const char *const long_in_c[] = {
        "return ('a'):rep(30):find(('a?'):rep(30) .. ('a'):rep(30) .. 'b')",
        "return ('a'):rep(100):match(('a*'):rep(50) .. 'b')",
        "return ('a'):rep(1000):gsub(('.-'):rep(10) .. 'b', '')",
        "for _ in ('a'):rep(500):gmatch(('[a-z]+'):rep(9) .. '!') do end",
        "return ('('):rep(200000):match('.-%b()')",
        "return table.move({}, 1, 2^53, 2)",
        "return table.insert(setmetatable({}, { __len = function() return 2^53 end }), 1, 'x')",
        "return table.remove(setmetatable({}, { __len = function() return 2^53 end }), 1)",
        "return table.concat(setmetatable({}, { __index = function() return '' end }), '', 1, "
        "2^53)",
    };

    for (size_t i = 0; i < ARRAY_LEN(long_in_c); i++)
        run_bad(long_in_c[i]);
}

/* A method's result, from a state of its own. */
static void gives(const char *body, const char *expected)
{
    struct script *s = with_body(body);

    assert_string_equal(fixture_call(s, "bad"), expected);
    script_close(s);
}

static void guarded_functions_give_what_lua_gives(void **state)
{
    gives("return ('hello world'):find('o w')", "5");
    gives("return select(2, ('a.b'):find('.', 1, true))", "2");
    gives("return ('a.b'):find('.', -1, true)", "");
    gives("return ('abc'):find('', 10, true)", "");
    gives("return ('abc'):find('', 4, true)", "4");
    gives("return ('abc'):find('b', -2, true)", "2");
    gives("return ('key = value'):match('^(%w+)%s*=%s*(%w+)$')", "\"key\"");
    gives("return ('x'):rep(3, '-')", "\"x-x-x\"");
    gives("return (''):rep(1e15)", "\"\"");
    gives("local n = 0 for w in ('one two  three'):gmatch('%a+') do n = n + #w end return n", "11");
    gives("return (('abc'):rep(2000):gsub('(a)(b)', '%2%1')):sub(1, 6)", "\"bacbac\"");
    gives("return table.concat({ 1, 2, 3 }, ',', 2)", "\"2,3\"");
    gives("return select('#', table.unpack({ 1, nil, 3 }, 1, 3))", "3");
    gives("local t = { 3, 1, 2 } table.sort(t) table.insert(t, 4) return t", "[1,2,3,4]");
    gives("return { xpcall(function() error 'x' end, function(m) return 'h' .. #m end) }",
          "[false,\"h15\"]");
    gives("return { xpcall(function(...) return ... end, print, 1, 2) }", "[true,1,2]");
    gives("local g = coroutine.wrap(function(a) local b = coroutine.yield(a + 1) return b * 2 end)"
          " return { g(1), g(5) }",
          "[2,10]");
    gives("local co = coroutine.create(function() error 'e' end)"
          " local ok, why = coroutine.resume(co)"
          " return { ok, why ~= nil, coroutine.status(co), (coroutine.resume(co)) }",
          "[false,true,\"dead\",false]");
    gives("local co = coroutine.create(print) return coroutine.close(co)", "true");
}

static void nothing_dangerous_is_in_reach(void **state)
{
    static const char *const names[] = {"io",       "debug", "package",        "dofile",
                                        "loadfile", "ffi",   "collectgarbage", "warn"};
    char body[256];

    for (size_t i = 0; i < ARRAY_LEN(names); i++) {
        snprintf(body, sizeof body,
                 "return select(2, pcall(function() return %s end)):match 'no global'", names[i]);
        gives(body, "\"no global\"");
    }
    gives("return { os.execute == nil, os.exit == nil, os.remove == nil, os.rename == nil,"
          " os.tmpname == nil, os.setlocale == nil, string.dump == nil, ('').dump == nil }",
          "[true,true,true,true,true,true,true,true]");
    gives("return pcall(load, '\\27Lua')", "true");
    gives("return (load('\\27Lua', 'x', 'b'))", "");
    gives("return getmetatable('')", "false");
    gives("return (pcall(setmetatable, {}, { __gc = print }))", "false");
    gives("return (pcall(function() x = 1 end))", "false");
    gives("return (pcall(function() string.x = 1 end))", "false");
    gives("return (pcall(rawset, _G, 'x', 1))", "false");
    gives("return (pcall(rawset, string, 'x', 1))", "false");
    gives("return (pcall(function() perigee.x = 1 end))", "false");
    gives("return (pcall(function() return perigee.nothing end))", "false");
    gives("return (pcall(require, 'perigee.rules'))", "false");
    gives("return (pcall(require, '../secret'))", "false");
}

static void own_coroutines_are_not_for_scripts_to_resume(void **state)
{
    struct script *s = fixture_script(
        "local perigee = require 'perigee'\n"
        "local sleeper\n"
        "return { rpc = {\n"
        "  sleep = function() sleeper = coroutine.running() perigee.sleep(0.02) return 'slept' "
        "end,\n"
        "  wake = function()\n"
        "    return { (pcall(coroutine.resume, sleeper)), (pcall(coroutine.close, sleeper)),\n"
        "      (pcall(coroutine.wrap(function() perigee.sleep(0) end))),\n"
        "      (pcall(table.sort, { 1, 2 }, function() perigee.sleep(0) end)),\n"
        "      (pcall(coroutine.yield)) }\n"
        "  end,\n"
        "} }");
    struct answered slept = {0};

    hook_run_rpc(s, &(struct hook_request){.method = STR("sleep")}, fixture_answered, &slept);
    assert_string_equal(fixture_call(s, "wake"), "[false,false,false,false,false]");
    assert_int_equal(slept.count, 0);
    fixture_until(&slept.count, 1);
    assert_string_equal(slept.data, "\"slept\"");
    script_close(s);
}

static void nothing_waits_while_the_configuration_loads(void **state)
{
    fixture_refused("require('perigee').sleep(1) return {}",
                    "perigee.sleep may not wait while config.lua loads");
    fixture_refused("require('perigee').sleep('x') return {}", "number expected");
    fixture_refused("return { hooks = { connect = nothing } }", "there is no global \"nothing\"");
    fixture_refused("error { code = 1 }", "config.lua raised a table");
    fixture_refused("local s = 'x' while true do s = s .. s end", "not enough memory");
    fixture_refused("return require 'no.such.module'", "no.such.module");
}

static void a_pause_resets_the_time_but_not_the_memory(void **state)
{
    struct script *s = with_body("for i = 1, 4 do local t = os.clock()"
                                 " while os.clock() - t < 0.03 do end perigee.sleep(0) end"
                                 " return 'done'");

    s = (script_close(s), with_body("for i = 1, 4 do local t = os.clock()"
                                    " while os.clock() - t < 0.03 do end perigee.sleep(0) end"
                                    " return 'done'"));
    assert_string_equal(fixture_call(s, "bad"), "\"done\"");
    script_close(s);
}

static void many_wait_at_once_and_too_many_fail(void **state)
{
    struct script *s = with_body("perigee.sleep(0.05) return 1");
    struct answered all = {0};
    struct hook_request request = {.method = STR("bad")};

    for (int i = 0; i < 9999; i++)
        hook_run_rpc(s, &request, fixture_answered, &all);
    assert_int_equal(all.count, 0);
    assert_int_equal(script_stats(s).coroutines, 9999);
    hook_run_rpc(s, &request, fixture_answered, &all);
    hook_run_rpc(s, &request, fixture_answered, &all);
    assert_int_equal(all.count, 1);
    assert_int_equal(all.verdict.code, 100);
    fixture_until(&all.count, 10001);
    assert_int_equal(script_stats(s).coroutines, 0);
    assert_string_equal(fixture_call(s, "good"), "6");
    script_close(s);
}

static void a_closed_state_ends_with_its_last_coroutine(void **state)
{
    struct script *s = with_body("perigee.sleep(0.01) return 'late'");
    struct answered late = {0};

    hook_run_rpc(s, &(struct hook_request){.method = STR("bad")}, fixture_answered, &late);
    script_close(s); /* leaks and late accesses are the sanitizer's to find */
    assert_int_equal(late.count, 0);
    fixture_until(&late.count, 1);
    assert_string_equal(late.data, "\"late\"");
}

static void at_shutdown_sleepers_are_woken(void **state)
{
    struct script *s = with_body("perigee.sleep(1000) perigee.sleep(1000)");
    struct answered a[3] = {{0}};

    for (int i = 0; i < 3; i++)
        hook_run_rpc(s, &(struct hook_request){.method = STR("bad")}, fixture_answered, &a[i]);
    script_close(s);
    script_cancel(s);
    for (int i = 0; i < 3; i++)
        assert_int_equal(a[i].verdict.code, 100);
    assert_int_equal(worker->timers.count, 0);
}

static void timers_call_once_or_again_and_again(void **state)
{
    struct script *s =
        fixture_script("local perigee = require 'perigee'\n"
                       "local after, every, at_once, most = 0, 0, 0, 0\n"
                       "perigee.every(0.002, function()\n"
                       "  every, at_once = every + 1, at_once + 1 most = math.max(most, at_once)\n"
                       "  perigee.sleep(0.005) at_once = at_once - 1\n"
                       "end)\n"
                       "return { hooks = { start = function()\n"
                       "  perigee.after(0, function() after = after + 1 end)\n"
                       "  perigee.after(0, function() error 'x' end)\n"
                       "end }, rpc = { read = function()\n"
                       "  while every < 3 do perigee.sleep(0.001) end\n"
                       "  return { after, every >= 3, most } end } }");

    hook_run(s, 0, HOOK_START, NULL, NULL, NULL);
    assert_string_equal(fixture_call(s, "read"), "[1,true,1]");
    assert_int_equal(script_stats(s).errors, 1);
    script_close(s);
    for (int i = 0; i < 30; i++) {
        uv_run(&worker->loop, UV_RUN_NOWAIT);
        uv_sleep(1);
    }
    assert_int_equal(worker->timers.count, 0);
}

static void every_runs_on_the_first_worker_unless_told(void **state)
{
    static const char text[] = "local perigee = require 'perigee'\n"
                               "perigee.every(1, function() end)\n"
                               "perigee.every(1, function() end, { each = true })\n"
                               "assert(not pcall(perigee.every, 1, print, { eahc = true }))\n"
                               "assert(not pcall(perigee.every, 1, print, { each = 1 }))\n"
                               "return {}";
    struct script *s;

    worker->index = 1;
    s = fixture_script(text);
    assert_int_equal(worker->timers.count, 1);
    script_close(s);
    worker->index = 0;
    s = fixture_script(text);
    assert_int_equal(worker->timers.count, 2);
    script_close(s);
    assert_int_equal(worker->timers.count, 0);
}

static void helpers_are_checked_against_known_values(void **state)
{
    gives("return perigee.sha256 'abc'",
          "\"ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad\"");
    gives("return perigee.hmac('key', 'The quick brown fox jumps over the lazy dog')",
          "\"f7bc83f430538424b13298e6aa6fb143ef4d59a14946175997479dbc2d1a3cd8\"");
    gives("return #perigee.hmac('k', 't', 'raw')", "32");
    gives("return { perigee.base64.encode 'a?>', perigee.base64.encode_url '\\xff\\xef',"
          " perigee.base64.decode 'YT8+', (perigee.base64.decode '!') == nil }",
          "[\"YT8+\",\"_-8\",\"a?>\",true]");
    gives("return #perigee.uuid()", "36");
    gives("return perigee.now() > 1.6e9", "true");
    gives("return { perigee.env('NO_SUCH_NAME', 'd'), perigee.env 'NO_SUCH_NAME' == nil }",
          "[\"d\",true]");
    gives("perigee.log.info('text', { a = 1, b = 'x', c = true }) return type(perigee.version)",
          "\"string\"");
}

/* Waiting functions of C that answer before they wait, as a memory engine may. */
static int answer_at_once(lua_State *L)
{
    struct script_wait *w = script_wait_begin(L, "answer_at_once");
    lua_State *co = script_wait_state(w);

    lua_pushliteral(co, "now");
    lua_pushinteger(co, 2);
    script_wake(w, 2);
    return script_wait_end(L, w);
}

static void open_answer(struct script *s, lua_State *L)
{
    lua_pushcfunction(L, answer_at_once);
    lua_setfield(L, -2, "answer_at_once");
}

static void an_early_answer_is_taken(void **state)
{
    struct script_request request = {
        .worker = worker,
        .settings = fixture_settings("local perigee = require 'perigee' return { rpc = { get ="
                                     " function() return { 0, perigee.answer_at_once() } end } }"),
        .open = open_answer};
    struct buf problem = BUF_INIT(4096);
    struct script *s;

    assert_int_equal(script_new(&request, &problem, &s), OK);
    settings_unref(request.settings);
    assert_string_equal(fixture_call(s, "get"), "[0,\"now\",2]");
    assert_string_equal(fixture_call(s, "get"), "[0,\"now\",2]");
    script_close(s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_runs_for_ever_is_stopped),
        cmocka_unit_test(what_takes_too_much_memory_is_stopped),
        cmocka_unit_test(recursion_ends_in_an_error),
        cmocka_unit_test(library_functions_do_not_work_without_end),
        cmocka_unit_test(guarded_functions_give_what_lua_gives),
        cmocka_unit_test(nothing_dangerous_is_in_reach),
        cmocka_unit_test(own_coroutines_are_not_for_scripts_to_resume),
        cmocka_unit_test(nothing_waits_while_the_configuration_loads),
        cmocka_unit_test(a_pause_resets_the_time_but_not_the_memory),
        cmocka_unit_test(many_wait_at_once_and_too_many_fail),
        cmocka_unit_test(a_closed_state_ends_with_its_last_coroutine),
        cmocka_unit_test(at_shutdown_sleepers_are_woken),
        cmocka_unit_test(timers_call_once_or_again_and_again),
        cmocka_unit_test(every_runs_on_the_first_worker_unless_told),
        cmocka_unit_test(helpers_are_checked_against_known_values),
        cmocka_unit_test(an_early_answer_is_taken),
    };

    return cmocka_run_group_tests(tests, fixture_set_up, fixture_tear_down);
}
