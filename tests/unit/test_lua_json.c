/* JSON ↔ Lua values: what survives a round trip, and what is refused. */
#include "script/lua_json.h"

#include "base/mem.h"

#include <lauxlib.h>
#include <lualib.h>
#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>

static lua_State *L;

static int set_up(void **state)
{
    L = luaL_newstate();
    luaL_openlibs(L);
    lua_json_open(L);
    lua_setglobal(L, "json");
    return 0;
}

static int tear_down(void **state)
{
    assert_int_equal(lua_gettop(L), 0);
    lua_close(L);
    return 0;
}

static void round_trip(const char *text, const char *expected)
{
    struct buf out = BUF_INIT(1 << 16);

    assert_int_equal(lua_json_push(L, str_from(text)), OK);
    assert_int_equal(lua_gettop(L), 1);
    assert_int_equal(lua_json_encode(L, -1, &out, NULL), OK);
    assert_int_equal(lua_gettop(L), 1);
    buf_add_char(&out, 0);
    assert_string_equal(out.ptr, expected);
    lua_pop(L, 1);
    buf_deinit(&out);
}

static void run(const char *chunk)
{
    if (luaL_dostring(L, chunk))
        fail_msg("%s", lua_tostring(L, -1));
    lua_settop(L, 0);
}

static void values_survive_a_round_trip(void **state)
{
    static const char *const same[] = {
        "[]",
        "{}",
        "null",
        "true",
        "false",
        "\"\"",
        "0",
        "-1",
        "9223372036854775807",
        "-9223372036854775808",
        "0.1",
        "1.5",
        "-2.25e-10",
        "1e+300",
        "[[],{},[[]]]",
        "[1,\"a\",null,true,{\"k\":[]}]",
        "\"\xc3\xa4\\u0001\\\"\\\\\"",
        "[null,null]",
        "{\"1\":true}",
    };

    for (size_t i = 0; i < ARRAY_LEN(same); i++)
        round_trip(same[i], same[i]);
    round_trip(" [ 1 , 2 ] ", "[1,2]");
    round_trip("{\"a\":1,\"a\":2}", "{\"a\":2}");
    round_trip("0.1000000000000000055511151231257827", "0.1");
    round_trip("\"\\u00e4\\n\"", "\"\xc3\xa4\\n\"");
}

static void broken_texts_push_nothing(void **state)
{
    static const char *const broken[] = {
        "",      " ",        "{",  "[1,]",       "[1 2]",   "{\"a\"}", "{\"a\":}",
        "nul",   "01",       "1.", "\"",         "\"\\x\"", "[1]]",    "{} {}",
        "1e999", "\"\xff\"", "[1", "{\"a\":1,}", "'a'",     "\"\t\"",
    };

    for (size_t i = 0; i < ARRAY_LEN(broken); i++) {
        if (lua_json_push(L, str_from(broken[i])) == OK)
            fail_msg("%s was taken", broken[i]);
        assert_int_equal(lua_gettop(L), 0);
    }
}

static void nesting_is_limited_in_both_directions(void **state)
{
    char deep[401];

    memset(deep, '[', 200);
    memset(deep + 200, ']', 200);
    deep[400] = 0;
    assert_int_equal(lua_json_push(L, str_from(deep)), ERR_SYNTAX);
    assert_int_equal(lua_gettop(L), 0);
    run("local t = {} t.t = t local ok, why = pcall(json.encode, t) "
        "assert(not ok and why:find 'contain themselves', why)");
}

static void what_has_no_json_form_is_refused_by_name(void **state)
{
    run("local function no(value, why)"
        "  local ok, message = pcall(json.encode, value)"
        "  assert(not ok and message:find(why, 1, true), message)"
        "end "
        "no({ 1, nil, 3 }, 'gaps') no({ [2] = 1 }, 'gaps') no({ 1, a = 2 }, 'gaps')"
        "no({ [true] = 1 }, 'gaps') no({ [1.5] = 1 }, 'gaps') no(print, 'function')"
        "no({ f = print }, 'function') no(0/0, 'finite') no(math.huge, 'finite')"
        "no('\\xff', 'UTF-8') no({ ['\\xff'] = 1 }, 'UTF-8') no(coroutine.create(print), 'no JSON "
        "form')"
        "no(json.array { a = 1 }, 'gaps')");
}

static void a_failed_encode_leaves_the_buffer_as_it_was(void **state)
{
    struct buf out = BUF_INIT(16);
    const char *why = NULL;

    buf_add_lit(&out, "x");
    run("t = { 1, 2, print }");
    lua_getglobal(L, "t");
    assert_int_equal(lua_json_encode(L, -1, &out, &why), ERR_SYNTAX);
    assert_non_null(why);
    assert_int_equal(out.len, 1);
    lua_settop(L, 0);
    run("t = ('x'):rep(100)");
    lua_getglobal(L, "t");
    assert_int_equal(lua_json_encode(L, -1, &out, &why), ERR_LIMIT);
    assert_int_equal(out.len, 1);
    assert_false(out.overflow);
    assert_int_equal(lua_gettop(L), 1);
    lua_settop(L, 0);
    buf_deinit(&out);
}

static void scripts_see_the_same_through_the_module(void **state)
{
    run("assert(json.encode {} == '{}' and json.encode(json.array {}) == '[]')"
        "assert(json.encode(json.array()) == '[]')"
        "assert(json.decode '[null]'[1] == json.null)"
        "local t = json.decode '[1]' t[1] = nil assert(json.encode(t) == '[]')"
        "assert(math.type(json.decode '7') == 'integer' and math.type(json.decode '7.5') == "
        "'float')"
        "assert(json.decode '12345678901234567890' == 12345678901234567890.0)"
        "assert(json.encode(10 / 2) == '5')"
        "local value, why = json.decode '{' assert(value == nil and why == 'not valid JSON')"
        "assert(getmetatable(json.array {}) == false)"
        "assert(not pcall(json.encode))");
}

static void raw_values_keep_their_bytes(void **state)
{
    run("local text = '{\"f\":1.0,\"n\":12345678901234567890,\"a\":[]}'"
        "local raw = json.raw(text)"
        "assert(json.encode { x = raw } == '{\"x\":' .. text .. '}' and tostring(raw) == text)"
        "assert(json.decode(raw).f == 1.0 and json.encode(json.raw(raw)) == text)"
        "local t = json.decode('{\"data\":' .. text .. ',\"in\":{\"data\":7.0}}', { 'data' })"
        "assert(tostring(t.data) == text and tostring(t['in'].data) == '7.0')"
        "assert(select(2, json.raw '{') == 'not valid JSON' and json.raw '' == nil)"
        "assert(json.decode('{\"data\":{]}', { 'data' }) == nil)"
        "assert(getmetatable(raw) == false and not pcall(function() raw.x = 1 end))"
        "assert(not pcall(json.decode, '{}', { 1 }) and not pcall(json.decode, '{}', 'data'))");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(values_survive_a_round_trip, set_up, tear_down),
        cmocka_unit_test_setup_teardown(broken_texts_push_nothing, set_up, tear_down),
        cmocka_unit_test_setup_teardown(nesting_is_limited_in_both_directions, set_up, tear_down),
        cmocka_unit_test_setup_teardown(what_has_no_json_form_is_refused_by_name, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(a_failed_encode_leaves_the_buffer_as_it_was, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(scripts_see_the_same_through_the_module, set_up, tear_down),
        cmocka_unit_test_setup_teardown(raw_values_keep_their_bytes, set_up, tear_down),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
