/* perigee.dict as Lua sees it. */
#include "bind/bind_dict.h"
#include "lib/script_fixture.h"

#include <lauxlib.h>

static struct dicts *all;

static int set_up(void **state)
{
    all = dicts_new(1 << 20);
    return fixture_set_up(state);
}

static int tear_down(void **state)
{
    fixture_tear_down(state);
    dicts_free(all);
    return 0;
}

static void open_dict(struct script *s, lua_State *L)
{
    bind_dict_open(L, all);
}

/* A state with the method "run", whose d is the dict "test". */
static struct script *with_body(const char *body)
{
    char config[2048];
    struct script_request request = {.worker = worker, .open = open_dict};
    struct buf problem = BUF_INIT(4096);
    struct script *s = NULL;

    snprintf(config, sizeof config,
             "local perigee = require 'perigee'\nlocal d = perigee.dict 'test'\n"
             "return { rpc = { run = function() %s end } }",
             body);
    request.settings = fixture_settings(config);
    if (script_new(&request, &problem, &s) != OK)
        fail_msg("%.*s", STR_ARGS(buf_str(&problem)));
    settings_unref(request.settings);
    buf_deinit(&problem);
    return s;
}

static void gives(const char *body, const char *expected)
{
    fixture_gives(with_body(body), expected);
}

static void raises(const char *expression, const char *with)
{
    fixture_raises(with_body, expression, with);
}

static void values_keep_their_types(void **state)
{
    gives("return { d:set('i', 9007199254740993), d:set('f', 1.0), d:set('s', 'a\\0b'),"
          " d:set('b', false) }",
          "[true,true,true,true]");
    gives("return { d:get 'i', math.type(d:get 'f'), #d:get 's', d:get 'b', d:get 'none' == nil }",
          "[9007199254740993,\"float\",3,false,true]");
    gives("return select('#', d:get 'none')", "0");
    gives("return { d:delete 'i', d:delete 'i' }", "[true,false]");
    gives("return { d:set(42, 'n'), d:get '42' }", "[true,\"n\"]");
}

static void counters_and_places(void **state)
{
    gives("return { d:incr 'n', d:incr('n', 41), d:incr('n', -2), d:incr('n', 0.5) }",
          "[1,42,40,40.5]");
    gives("return { d:add('seat', 'ann'), d:add('seat', 'bob'), d:get 'seat' }",
          "[true,false,\"ann\"]");
    gives("return { select(2, d:incr 'seat') }", "[\"the value is not a number\"]");
    gives("d:set('top', math.maxinteger) return { d:incr('top') == nil, select(2, d:incr 'top') }",
          "[true,\"the sum does not fit a 64-bit integer\"]");
}

static void the_time_to_live_is_seconds_or_text(void **state)
{
    gives("d:set('a', 1, 0.02) d:set('b', 1, '20ms') d:set('c', 1, '1h') d:incr('e', 1, '1m')"
          " perigee.sleep(0.03) return { d:get 'a' == nil, d:get 'b' == nil, d:get 'c' }",
          "[true,true,1]");
}

static void keys_are_a_list(void **state)
{
    gives("d:set('user:1', 1) d:set('user:2', 1) local k = d:keys 'user:' table.sort(k) return k",
          "[\"user:1\",\"user:2\"]");
    gives("return d:keys 'nobody:'", "[]");
    gives("return #d:keys() >= 2", "true");
}

static void misuse_raises(void **state)
{
    raises("d:set('k')", "string, number or boolean expected");
    raises("d:set('k', {})", "string, number or boolean expected");
    raises("d:set('k', 1, 0)", "time to live");
    raises("d:set('k', 1, 0 / 0)", "time to live");
    raises("d:set('k', 1, '0s')", "time to live");
    raises("d:set('k', 1, 'soon')", "expected a duration");
    raises("d:set('', 1)", "1 to 1024 bytes");
    raises("d:get(('k'):rep(1025))", "1 to 1024 bytes");
    raises("d:set('k', ('v'):rep((1 << 20) + 1))", "0 to 1048576 bytes");
    raises("d:incr('k', 'x')", "number expected");
    raises("d:get({})", "string expected");
    raises("d.get('k')", "with a colon");
    raises("d.get(perigee.json.null, 'k')", "with a colon");
    raises("d:nothing()", "nil value");
    raises("perigee.dict()", "string expected");
    raises("perigee.dict('')", "1 to 255 bytes");
    raises("getmetatable(d).x", "index a boolean");
    raises("rawset(d, 'x', 1)", "table expected");
}

static void full_is_an_answer(void **state)
{
    gives("local n = 0 while d:set('fill' .. n, 'x') do n = n + 1 end"
          " return { n > 1000, select(2, d:set('new', 1)), select(2, d:add('new', 1)),"
          " select(2, d:incr 'new') }",
          "[true,\"the dict is full\",\"the dict is full\",\"the dict is full\"]");
}

static void dicts_are_bounded(void **state)
{
    struct script *s = with_body("for i = 1, 300 do perigee.dict('n' .. i) end");

    assert_string_equal(fixture_call(s, "run"), "error 100 internal server error");
    script_close(s);
    gives("return d:add('still', 1)", "true");
}

/* The time limit sees through keys, and what failed leaves nothing behind. */
static void walking_many_keys_is_limited(void **state)
{
    struct script *s;

    dicts_set_limit(all, 256 << 20);
    s = with_body("while true do d:keys() end");
    for (int i = 0; i < 100000; i++) {
        struct dict *d;
        char key[16];

        snprintf(key, sizeof key, "k%d", i);
        assert_int_equal(dicts_get(all, STR("test"), &d), OK);
        assert_int_equal(
            dict_set(d, str_from(key), &(struct dict_value){.type = DICT_INTEGER, .integer = i}, 0),
            OK);
    }
    assert_string_equal(fixture_call(s, "run"), "error 100 internal server error");
    assert_int_equal(script_stats(s).timeouts, 1);
    script_close(s);
    gives("return d:get 'k7'", "7");
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(values_keep_their_types),
        CASE(counters_and_places),
        CASE(the_time_to_live_is_seconds_or_text),
        CASE(keys_are_a_list),
        CASE(misuse_raises),
        CASE(full_is_an_answer),
        CASE(dicts_are_bounded),
        CASE(walking_many_keys_is_limited),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
