#include "lib/arena.h"

#include <math.h>

#include "base/mem.h"
#include "codec/json.h"
#include "base/utf8.h"

/* On the heap without spare room, so that a sanitizer sees a read behind the end. */
static bool valid_exact(struct str text)
{
    struct str copy = str_dup(text);
    bool valid = json_valid(copy);

    str_free(&copy);
    return valid;
}

static void json_accepts_the_grammar(void **state)
{
    static const struct str good[] = {
        STR("null"),
        STR("true"),
        STR(" false "),
        STR("0"),
        STR("-0"),
        STR("10"),
        STR("-1.50e+10"),
        STR("1E5"),
        STR("1e400"),
        STR("12345678901234567890123"),
        STR("\"\""),
        STR("\"a longer text without anything special in it\""),
        STR("\"\\\"\\\\\\/\\b\\f\\n\\r\\t\\u0000\\uD83D\\ude00\\udead\""),
        STR("\"caf\xC3\xA9 \xE2\x82\xAC \xF0\x9F\x98\x80 and on it goes\""),
        STR("\"\x7F\""),
        STR("[]"),
        STR("{}"),
        STR("[ ]"),
        STR("{ }"),
        STR("[1,2,[3,[]],{}]"),
        STR("\r\n\t {\"a\" : 1 , \"b\" : [ true , null ] , \"\" : { \"a\" : { } } } \n"),
        STR("{\"a\":1,\"a\":2}"),
    };

    for (size_t i = 0; i < ARRAY_LEN(good); i++) {
        if (!valid_exact(good[i]))
            fail_msg("refused: %.*s", STR_ARGS(good[i]));
    }
}

static void json_refuses_everything_else(void **state)
{
    static const struct str bad[] = {
        STR(""),
        STR("  "),
        STR("nul"),
        STR("nulls"),
        STR("True"),
        STR("NaN"),
        STR("Infinity"),
        STR("-"),
        STR("+1"),
        STR("01"),
        STR("-01"),
        STR("1."),
        STR(".5"),
        STR("1e"),
        STR("1e+"),
        STR("0x10"),
        STR("1 2"),
        STR("\""),
        STR("\"abc"),
        STR("\"abcdefghijk"),
        STR("'a'"),
        STR("\"\\x41\""),
        STR("\"\\u12\""),
        STR("\"\\u12g4\""),
        STR("\"\\"),
        STR("\"\\u"),
        STR("\"\n\""),
        STR("\"\0\""),
        STR("\"12345678\x1F\""),
        STR("\"\xC3\""),
        STR("\"\xC0\x80\""),
        STR("\"\xED\xA0\x80\""),
        STR("\"1234567\xFF\""),
        STR("["),
        STR("]"),
        STR("[1,]"),
        STR("[,1]"),
        STR("[1 2]"),
        STR("[1}"),
        STR("{"),
        STR("}"),
        STR("{]"),
        STR("{\"a\"}"),
        STR("{\"a\":}"),
        STR("{\"a\":1,}"),
        STR("{,}"),
        STR("{1:2}"),
        STR("{\"a\" 1}"),
        STR("{a:1}"),
        STR("{\"a\":1 \"b\":2}"),
        STR("{\"a\":1]"),
        STR("[1]]"),
        STR("{}x"),
        STR("\xEF\xBB\xBF{}"),
        STR("// c\n1"),
        STR("[1]//"),
        STR("\0"),
        STR("1\0"),
        STR("\v1"),
    };

    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        if (valid_exact(bad[i]))
            fail_msg("accepted: %.*s", STR_ARGS(bad[i]));
    }
}

static void json_every_prefix_of_a_value_is_incomplete(void **state)
{
    struct str text = STR("{\"k\\u00e9\":[1,-2.5e3,\"\xE2\x82\xAC\\n\",true,{\"x\":null}]}");

    assert_true(valid_exact(text));
    for (size_t n = 0; n < text.len; n++)
        assert_false(valid_exact(str_of(text.ptr, n)));
}

static struct str nested(size_t depth, bool objects)
{
    struct buf b = BUF_INIT(1 << 20);

    for (size_t i = 0; i < depth; i++)
        buf_add_str(&b, objects ? STR("{\"a\":") : STR("["));
    buf_add_lit(&b, "1");
    for (size_t i = 0; i < depth; i++)
        buf_add_char(&b, objects ? '}' : ']');
    return buf_str(&b);
}

static void json_bounds_the_depth(void **state)
{
    static const struct {
        size_t depth;
        bool valid;
    } rows[] = {{JSON_DEPTH_MAX, true}, {JSON_DEPTH_MAX + 1, false}, {100000, false}};

    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        for (int objects = 0; objects < 2; objects++) {
            struct str text = nested(rows[i].depth, objects != 0);

            assert_int_equal(json_valid(text), rows[i].valid);
            str_free(&text);
        }
    }
    /* The bracket that closes must be of the kind that opened, at every depth. */
    for (size_t i = 0; i < JSON_DEPTH_MAX; i++) {
        struct str text = nested(JSON_DEPTH_MAX, false);

        ((char *)text.ptr)[text.len - 1 - i] = '}';
        assert_false(json_valid(text));
        str_free(&text);
    }
}

static void json_skip_takes_one_value_and_leaves_the_rest(void **state)
{
    struct str rest = STR(" {\"a\":[1]} \t\"x\"5,tail"), value;

    assert_int_equal(json_skip(&rest, &value), OK);
    expect_str(value, STR("{\"a\":[1]}"));
    assert_int_equal(json_skip(&rest, &value), OK);
    expect_str(value, STR("\"x\""));
    assert_int_equal(json_skip(&rest, &value), OK);
    expect_str(value, STR("5"));
    expect_str(rest, STR(",tail"));
    assert_int_equal(json_skip(&rest, &value), ERR_SYNTAX);
    expect_str(rest, STR(",tail"));
    rest = STR(" \n ");
    assert_int_equal(json_skip(&rest, &value), ERR_NOT_FOUND);
    rest = STR_NONE;
    assert_int_equal(json_skip(&rest, &value), ERR_NOT_FOUND);
}

static void json_objects_yield_keys_and_values(void **state)
{
    struct json_iter it = json_iter(STR(" { \"a\" : 1 , \"b\\n\\u00e9\":{\"x\":[]},\"\":\"s\" } "));
    struct str key, value;

    assert_int_equal(json_object_next(&it, &arena, &key, &value), OK);
    expect_str(key, STR("a"));
    expect_str(value, STR("1"));
    assert_int_equal(json_object_next(&it, &arena, &key, &value), OK);
    expect_str(key, STR("b\n\xC3\xA9"));
    expect_str(value, STR("{\"x\":[]}"));
    assert_int_equal(json_object_next(&it, &arena, &key, &value), OK);
    expect_str(key, STR(""));
    expect_str(value, STR("\"s\""));
    assert_int_equal(json_object_next(&it, &arena, &key, &value), ERR_NOT_FOUND);
}

static void json_arrays_yield_values(void **state)
{
    struct json_iter it = json_iter(STR("[1, [2] ,null]"));
    struct str value;

    assert_int_equal(json_array_next(&it, &value), OK);
    expect_str(value, STR("1"));
    assert_int_equal(json_array_next(&it, &value), OK);
    expect_str(value, STR("[2]"));
    assert_int_equal(json_array_next(&it, &value), OK);
    expect_str(value, STR("null"));
    assert_int_equal(json_array_next(&it, &value), ERR_NOT_FOUND);
    it = json_iter(STR("[]"));
    assert_int_equal(json_array_next(&it, &value), ERR_NOT_FOUND);
}

static void json_iteration_refuses_what_is_broken(void **state)
{
    static const struct str objects[] = {
        STR(""),           STR("[]"),
        STR("null"),       STR("{"),
        STR("{\"a\""),     STR("{\"a\":"),
        STR("{\"a\":1"),   STR("{\"a\":1,"),
        STR("{\"a\":1,}"), STR("{\"a\":1 \"b\":2}"),
        STR("{,}"),        STR("{\"a\":}"),
        STR("{1:1}"),
    };
    static const struct str arrays[] = {STR(""),    STR("{}"),   STR("["),   STR("[1"),
                                        STR("[1,"), STR("[1,]"), STR("[,]"), STR("[1 2]")};
    struct str key, value;

    for (size_t i = 0; i < ARRAY_LEN(objects); i++) {
        struct json_iter it = json_iter(objects[i]);
        enum err err;

        while ((err = json_object_next(&it, &arena, &key, &value)) == OK)
            ;
        if (err != ERR_SYNTAX)
            fail_msg("object %zu", i);
    }
    for (size_t i = 0; i < ARRAY_LEN(arrays); i++) {
        struct json_iter it = json_iter(arrays[i]);
        enum err err;

        while ((err = json_array_next(&it, &value)) == OK)
            ;
        if (err != ERR_SYNTAX)
            fail_msg("array %zu", i);
    }
}

static void json_get_returns_the_last_member_of_a_name(void **state)
{
    struct str value;

    assert_int_equal(json_get(STR("{\"a\":1,\"b\":2,\"\\u0061\":3}"), STR("a"), &arena, &value),
                     OK);
    expect_str(value, STR("3"));
    assert_int_equal(json_get(STR("{\"a\":1}"), STR("c"), &arena, &value), ERR_NOT_FOUND);
    assert_int_equal(json_get(STR("[]"), STR("a"), &arena, &value), ERR_SYNTAX);
    assert_int_equal(json_get(STR("{\"a\":1,"), STR("a"), &arena, &value), ERR_SYNTAX);
}

static void json_type_is_told_by_the_first_byte(void **state)
{
    assert_int_equal(json_type(STR(" {")), JSON_OBJECT);
    assert_int_equal(json_type(STR("[")), JSON_ARRAY);
    assert_int_equal(json_type(STR("\"")), JSON_STRING);
    assert_int_equal(json_type(STR("-1")), JSON_NUMBER);
    assert_int_equal(json_type(STR("0")), JSON_NUMBER);
    assert_int_equal(json_type(STR("true")), JSON_BOOL);
    assert_int_equal(json_type(STR("false")), JSON_BOOL);
    assert_int_equal(json_type(STR("null")), JSON_NULL);
    assert_int_equal(json_type(STR("x")), JSON_NONE);
    assert_int_equal(json_type(STR("")), JSON_NONE);
    assert_true(json_is_null(STR("null")));
    assert_false(json_is_null(STR("nul")));
}

static void json_strings_are_unescaped(void **state)
{
    static const struct {
        struct str json, text;
    } rows[] = {
        {STR("\"\""), STR("")},
        {STR("\"plain\""), STR("plain")},
        {STR("\"\\\"\\\\\\/\\b\\f\\n\\r\\t\""), STR("\"\\/\b\f\n\r\t")},
        {STR("\"a\\u0000b\""), STR("a\0b")},
        {STR("\"\\u00E9\\u20ac\\uFFFF\""), STR("\xC3\xA9\xE2\x82\xAC\xEF\xBF\xBF")},
        {STR("\"\\uD83D\\uDE00\""), STR("\xF0\x9F\x98\x80")},
        {STR("\"\\uDBFF\\uDFFF\""), STR("\xF4\x8F\xBF\xBF")},
        {STR("\"\\uD83D\""), STR("\xEF\xBF\xBD")},
        {STR("\"\\uDE00x\""), STR("\xEF\xBF\xBDx")},
        {STR("\"\\uD83Dx\""), STR("\xEF\xBF\xBDx")},
        {STR("\"\\uD83D\\n\""), STR("\xEF\xBF\xBD\n")},
        {STR("\"\\uD83D\\u0041\""), STR("\xEF\xBF\xBD"
                                        "A")},
        {STR("\"\\uD83D\\uD83D\\uDE00\""), STR("\xEF\xBF\xBD\xF0\x9F\x98\x80")},
    };
    struct str out;

    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        assert_true(json_valid(rows[i].json));
        assert_int_equal(json_string(rows[i].json, &arena, &out), OK);
        expect_str(out, rows[i].text);
        assert_true(utf8_valid(out));
    }
}

static void json_strings_without_escapes_are_not_copied(void **state)
{
    struct str value = STR("\"plain\""), out;

    assert_int_equal(json_string(value, &arena, &out), OK);
    assert_ptr_equal(out.ptr, value.ptr + 1);
}

static void json_string_refuses_other_values(void **state)
{
    static const struct str bad[] = {STR("1"),   STR("null"),   STR(""),        STR("\""),
                                     STR("\"a"), STR("\"\\\""), STR("\"\\u\""), STR("\"\\uD83\"")};
    struct str out;

    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        struct str copy = str_dup(bad[i]);

        if (json_string(copy, &arena, &out) != ERR_SYNTAX)
            fail_msg("sample %zu", i);
        str_free(&copy);
    }
}

static void json_integers_are_integer_literals_in_range(void **state)
{
    int64_t i;
    uint64_t u;

    assert_int_equal(json_i64(STR("-9223372036854775808"), INT64_MIN, INT64_MAX, &i), OK);
    assert_true(i == INT64_MIN);
    assert_int_equal(json_i64(STR("9223372036854775807"), INT64_MIN, INT64_MAX, &i), OK);
    assert_true(i == INT64_MAX);
    assert_int_equal(json_i64(STR("9223372036854775808"), INT64_MIN, INT64_MAX, &i), ERR_SYNTAX);
    assert_int_equal(json_i64(STR("-9223372036854775809"), INT64_MIN, INT64_MAX, &i), ERR_SYNTAX);
    assert_int_equal(json_i64(STR("-0"), INT64_MIN, INT64_MAX, &i), OK);
    assert_true(i == 0);
    assert_int_equal(json_i64(STR("6"), 0, 5, &i), ERR_SYNTAX);
    assert_int_equal(json_i64(STR("-1"), 0, 5, &i), ERR_SYNTAX);
    assert_int_equal(json_u64(STR("18446744073709551615"), UINT64_MAX, &u), OK);
    assert_true(u == UINT64_MAX);
    assert_int_equal(json_u64(STR("18446744073709551616"), UINT64_MAX, &u), ERR_SYNTAX);
    assert_int_equal(json_u64(STR("-1"), UINT64_MAX, &u), ERR_SYNTAX);
    static const struct str bad[] = {STR("1.0"), STR("1e3"), STR("\"1\""), STR("null"), STR("true"),
                                     STR(""),    STR("-"),   STR("01"),    STR("-01"),  STR("00")};
    for (size_t k = 0; k < ARRAY_LEN(bad); k++) {
        assert_int_equal(json_i64(bad[k], INT64_MIN, INT64_MAX, &i), ERR_SYNTAX);
        assert_int_equal(json_u64(bad[k], UINT64_MAX, &u), ERR_SYNTAX);
    }
}

static void json_doubles_take_any_number(void **state)
{
    char digits[1000];
    double d;

    assert_int_equal(json_double(STR("-1.5e2"), &d), OK);
    assert_true(d == -150);
    assert_int_equal(json_double(STR("0"), &d), OK);
    assert_true(d == 0);
    assert_int_equal(json_double(STR("1e-400"), &d), OK);
    assert_true(d == 0);
    assert_int_equal(json_double(STR("1e400"), &d), ERR_LIMIT);
    assert_true(isinf(d) && d > 0);
    assert_int_equal(json_double(STR("-1e400"), &d), ERR_LIMIT);
    assert_true(isinf(d) && d < 0);
    memset(digits, '0', sizeof digits);
    digits[0] = '1';
    digits[1] = '.';
    assert_int_equal(json_double(str_of(digits, sizeof digits), &d), OK);
    assert_true(d == 1);
    assert_int_equal(json_double(STR("inf"), &d), ERR_SYNTAX);
    assert_int_equal(json_double(STR("nan"), &d), ERR_SYNTAX);
    assert_int_equal(json_double(STR("0x1p3"), &d), ERR_SYNTAX);
    assert_int_equal(json_double(STR("1 "), &d), ERR_SYNTAX);
    assert_int_equal(json_double(STR("\"1\""), &d), ERR_SYNTAX);
    assert_int_equal(json_double(STR(""), &d), ERR_SYNTAX);
}

static void json_bools_are_true_or_false(void **state)
{
    bool yes = false;

    assert_int_equal(json_bool(STR("true"), &yes), OK);
    assert_true(yes);
    assert_int_equal(json_bool(STR("false"), &yes), OK);
    assert_false(yes);
    assert_int_equal(json_bool(STR("1"), &yes), ERR_SYNTAX);
    assert_int_equal(json_bool(STR("null"), &yes), ERR_SYNTAX);
}

static void json_add_string_escapes_what_json_requires(void **state)
{
    static const struct {
        struct str text, json;
    } rows[] = {
        {STR(""), STR("\"\"")},
        {STR("plain </>&'"), STR("\"plain </>&'\"")},
        {STR("\"\\\b\f\n\r\t"), STR("\"\\\"\\\\\\b\\f\\n\\r\\t\"")},
        {STR("\0\x01\x1F\x7F"), STR("\"\\u0000\\u0001\\u001f\x7F\"")},
        {STR("0123456789\"0123456789"), STR("\"0123456789\\\"0123456789\"")},
        {STR("caf\xC3\xA9 \xF0\x9F\x98\x80"), STR("\"caf\xC3\xA9 \xF0\x9F\x98\x80\"")},
        {STR("a\xFF"
             "b\xC3"),
         STR("\"a\xEF\xBF\xBD"
             "b\xEF\xBF\xBD\"")},
        {STR("\xED\xA0\x80"), STR("\"\xEF\xBF\xBD\xEF\xBF\xBD\xEF\xBF\xBD\"")},
    };

    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct buf out = BUF_INIT(1000);

        json_add_string(&out, rows[i].text);
        expect_str(buf_str(&out), rows[i].json);
        assert_true(json_valid(buf_str(&out)));
        buf_deinit(&out);
    }
}

static void json_add_string_and_json_string_are_inverse(void **state)
{
    struct buf out = BUF_INIT(100);
    struct str back;
    char text[9];

    for (int c = 0; c < 128; c++) {
        for (size_t at = 0; at < sizeof text; at++) {
            memset(text, 'x', sizeof text);
            text[at] = (char)c;
            buf_clear(&out);
            json_add_string(&out, str_of(text, sizeof text));
            assert_true(json_valid(buf_str(&out)));
            assert_int_equal(json_string(buf_str(&out), &arena, &back), OK);
            expect_str(back, str_of(text, sizeof text));
        }
    }
    buf_deinit(&out);
}

static void json_add_raw_leaves_out_newlines_only(void **state)
{
    struct buf out = BUF_INIT(100);

    json_add_raw(&out, STR("\n{\n \"a\":\r\n1}\n\n"));
    json_add_raw(&out, STR(""));
    json_add_raw(&out, STR("[2]"));
    expect_str(buf_str(&out), STR("{ \"a\":\r1}[2]"));
    buf_deinit(&out);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(json_accepts_the_grammar),
        CASE(json_refuses_everything_else),
        CASE(json_every_prefix_of_a_value_is_incomplete),
        CASE(json_bounds_the_depth),
        CASE(json_skip_takes_one_value_and_leaves_the_rest),
        CASE(json_objects_yield_keys_and_values),
        CASE(json_arrays_yield_values),
        CASE(json_iteration_refuses_what_is_broken),
        CASE(json_get_returns_the_last_member_of_a_name),
        CASE(json_type_is_told_by_the_first_byte),
        CASE(json_strings_are_unescaped),
        CASE(json_strings_without_escapes_are_not_copied),
        CASE(json_string_refuses_other_values),
        CASE(json_integers_are_integer_literals_in_range),
        CASE(json_doubles_take_any_number),
        CASE(json_bools_are_true_or_false),
        CASE(json_add_string_escapes_what_json_requires),
        CASE(json_add_string_and_json_string_are_inverse),
        CASE(json_add_raw_leaves_out_newlines_only),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
