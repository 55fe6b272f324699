#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "core/filter.h"

/* The filter of a JSON text, as a client would send it. */
static enum err make(const char *json, struct filter **out)
{
    struct arena a = ARENA_INIT;
    struct wire_filter_node node;
    enum err err = wire_decode(WIRE_JSON, &wire_desc_filter_node, str_from(json), &a, &node);

    *out = NULL;
    if (err == OK)
        err = filter_new(&node, out); /* copies what it keeps */
    arena_deinit(&a);
    return err;
}

static void expect_match(const char *json, struct wire_pairs tags, bool expected)
{
    struct filter *f;

    if (make(json, &f) != OK)
        fail_msg("%s is refused", json);
    if (filter_match(f, tags) != expected)
        fail_msg("%s: not %s", json, expected ? "true" : "false");
    filter_free(f);
}

static const struct wire_pair some_tags[] = {
    {STR("lang"), STR("de")},      {STR("prio"), STR("5")},
    {STR("price"), STR("-10.50")}, {STR("none"), STR("")},
    {STR("word"), STR("abcdefg")}, {STR("big"), STR("900719925474099301")},
};
static const struct wire_pairs tags = {some_tags, ARRAY_LEN(some_tags)};
static const struct wire_pairs no_tags = {0};

static void each_comparison_decides_by_one_tag(void **state)
{
    static const struct {
        const char *json;
        bool expected;
    } rows[] = {
        {"{\"key\":\"lang\",\"cmp\":\"eq\",\"val\":\"de\"}", true},
        {"{\"key\":\"lang\",\"cmp\":\"eq\",\"val\":\"d\"}", false},
        {"{\"key\":\"lang\",\"cmp\":\"neq\",\"val\":\"de\"}", false},
        {"{\"key\":\"lang\",\"cmp\":\"neq\",\"val\":\"en\"}", true},
        {"{\"key\":\"lang\",\"cmp\":\"in\",\"vals\":[\"en\",\"de\"]}", true},
        {"{\"key\":\"lang\",\"cmp\":\"in\",\"vals\":[\"en\"]}", false},
        {"{\"key\":\"lang\",\"cmp\":\"nin\",\"vals\":[\"en\"]}", true},
        {"{\"key\":\"lang\",\"cmp\":\"nin\",\"vals\":[\"en\",\"de\"]}", false},
        {"{\"key\":\"lang\",\"cmp\":\"ex\"}", true},
        {"{\"key\":\"none\",\"cmp\":\"ex\"}", true},
        {"{\"key\":\"lang\",\"cmp\":\"nex\"}", false},
        {"{\"cmp\":\"nex\"}", true},
        {"{\"key\":\"word\",\"cmp\":\"sw\",\"val\":\"abc\"}", true},
        {"{\"key\":\"word\",\"cmp\":\"sw\",\"val\":\"bc\"}", false},
        {"{\"key\":\"word\",\"cmp\":\"ew\",\"val\":\"efg\"}", true},
        {"{\"key\":\"word\",\"cmp\":\"ew\",\"val\":\"xabcdefg\"}", false},
        {"{\"key\":\"word\",\"cmp\":\"ct\",\"val\":\"cde\"}", true},
        {"{\"key\":\"word\",\"cmp\":\"ct\",\"val\":\"ced\"}", false},
        {"{\"key\":\"none\",\"cmp\":\"ct\",\"val\":\"a\"}", false},
        {"{\"key\":\"prio\",\"cmp\":\"lt\",\"val\":\"10\"}", true},
        {"{\"key\":\"prio\",\"cmp\":\"lt\",\"val\":\"5\"}", false},
        {"{\"key\":\"prio\",\"cmp\":\"lte\",\"val\":\"5.0\"}", true},
        {"{\"key\":\"prio\",\"cmp\":\"gt\",\"val\":\"4.999\"}", true},
        {"{\"key\":\"prio\",\"cmp\":\"gte\",\"val\":\"+5\"}", true},
        {"{\"key\":\"prio\",\"cmp\":\"gte\",\"val\":\"5.01\"}", false},
        {"{\"key\":\"price\",\"cmp\":\"lt\",\"val\":\"-10.4\"}", true},
        {"{\"key\":\"price\",\"cmp\":\"gt\",\"val\":\"-10.6\"}", true},
        {"{\"key\":\"big\",\"cmp\":\"gt\",\"val\":\"900719925474099300\"}", true},
        {"{\"key\":\"lang\",\"cmp\":\"lt\",\"val\":\"9\"}", false},
        {"{\"key\":\"prio\",\"cmp\":\"lt\",\"val\":\"ten\"}", false},
    };

    for (size_t i = 0; i < ARRAY_LEN(rows); i++)
        expect_match(rows[i].json, tags, rows[i].expected);
}

static void a_missing_tag_has_its_own_answers(void **state)
{
    static const struct {
        const char *json;
        bool expected;
    } rows[] = {
        {"{\"key\":\"k\",\"cmp\":\"eq\",\"val\":\"x\"}", false},
        {"{\"key\":\"k\",\"cmp\":\"neq\",\"val\":\"x\"}", true},
        {"{\"key\":\"k\",\"cmp\":\"in\",\"vals\":[\"x\"]}", false},
        {"{\"key\":\"k\",\"cmp\":\"in\",\"vals\":[\"x\",\"\"]}", true},
        {"{\"key\":\"k\",\"cmp\":\"nin\",\"vals\":[\"x\"]}", true},
        {"{\"key\":\"k\",\"cmp\":\"nin\",\"vals\":[\"\"]}", false},
        {"{\"key\":\"k\",\"cmp\":\"ex\"}", false},
        {"{\"key\":\"k\",\"cmp\":\"nex\"}", true},
        {"{\"key\":\"k\",\"cmp\":\"sw\",\"val\":\"x\"}", false},
        {"{\"key\":\"k\",\"cmp\":\"ew\",\"val\":\"x\"}", false},
        {"{\"key\":\"k\",\"cmp\":\"ct\",\"val\":\"x\"}", false},
        {"{\"key\":\"k\",\"cmp\":\"lt\",\"val\":\"1\"}", false},
        {"{\"key\":\"k\",\"cmp\":\"gte\",\"val\":\"0\"}", false},
    };

    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        expect_match(rows[i].json, tags, rows[i].expected);
        expect_match(rows[i].json, no_tags, rows[i].expected);
    }
}

#define YES "{\"key\":\"lang\",\"cmp\":\"ex\"}"
#define NO "{\"key\":\"lang\",\"cmp\":\"nex\"}"
#define NODE(op, nodes) "{\"op\":\"" op "\",\"nodes\":[" nodes "]}"

static void nodes_combine_what_is_under_them(void **state)
{
    static const struct {
        const char *json;
        bool expected;
    } rows[] = {
        {NODE("and", YES), true},
        {NODE("and", YES "," YES), true},
        {NODE("and", YES "," NO), false},
        {NODE("and", NO "," YES), false},
        {NODE("or", NO "," YES), true},
        {NODE("or", NO "," NO), false},
        {NODE("not", NO), true},
        {NODE("not", YES), false},
        {NODE("and", NODE("or", NO "," YES) "," NODE("not", NODE("and", YES "," NO))), true},
        {NODE("or", NODE("and", YES "," NO) "," NODE("not", NODE("or", NO "," YES)) "," NO), false},
        {NODE("and", "{\"key\":\"lang\",\"cmp\":\"in\",\"vals\":[\"de\",\"en\"]}," NODE(
                         "not", "{\"key\":\"prio\",\"cmp\":\"lt\",\"val\":\"3\"}")),
         true},
    };

    for (size_t i = 0; i < ARRAY_LEN(rows); i++)
        expect_match(rows[i].json, tags, rows[i].expected);
}

static void the_last_of_two_equal_tags_counts(void **state)
{
    static const struct wire_pair twice[] = {{STR("a"), STR("1")}, {STR("a"), STR("2")}};
    struct wire_pairs pairs = {twice, 2};

    expect_match("{\"key\":\"a\",\"cmp\":\"eq\",\"val\":\"2\"}", pairs, true);
    expect_match("{\"key\":\"a\",\"cmp\":\"eq\",\"val\":\"1\"}", pairs, false);
}

static void what_is_no_filter_is_refused(void **state)
{
    static const char *const rows[] = {
        "{}",
        "{\"key\":\"a\"}",
        "{\"key\":\"a\",\"cmp\":\"EQ\",\"val\":\"x\"}",
        "{\"key\":\"a\",\"cmp\":\"eq\"}",
        "{\"cmp\":\"eq\",\"val\":\"x\"}",
        "{\"key\":\"a\",\"cmp\":\"eq\",\"val\":\"x\",\"vals\":[\"y\"]}",
        "{\"key\":\"a\",\"cmp\":\"in\",\"val\":\"x\"}",
        "{\"key\":\"a\",\"cmp\":\"in\",\"vals\":[]}",
        "{\"key\":\"a\",\"cmp\":\"nin\",\"val\":\"x\",\"vals\":[\"y\"]}",
        "{\"key\":\"a\",\"cmp\":\"ex\",\"val\":\"x\"}",
        "{\"key\":\"a\",\"cmp\":\"nex\",\"vals\":[\"x\"]}",
        "{\"key\":\"a\",\"cmp\":\"lt\"}",
        "{\"op\":\"xor\",\"nodes\":[" YES "]}",
        "{\"op\":\"and\"}",
        "{\"op\":\"or\",\"nodes\":[]}",
        NODE("not", YES "," YES),
        "{\"op\":\"not\"}",
        "{\"op\":\"and\",\"key\":\"a\",\"nodes\":[" YES "]}",
        "{\"key\":\"a\",\"cmp\":\"ex\",\"nodes\":[" YES "]}",
        NODE("and", YES ",{}"),
        NODE("or", NODE("not", "{\"cmp\":\"eq\"}")),
    };

    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct filter *f;

        if (make(rows[i], &f) != ERR_SYNTAX)
            fail_msg("%s was taken", rows[i]);
        assert_null(f);
    }
}

/* A chain of "not" of this depth, the leaf counted. */
static enum err make_chain(unsigned depth)
{
    static const struct wire_filter_node leaf = {.key = STR("a"), .cmp = STR("ex")};
    struct wire_filter_node nodes[64];
    struct filter *f = NULL;
    enum err err;

    nodes[0] = leaf;
    for (unsigned i = 1; i < depth; i++)
        nodes[i] = (struct wire_filter_node){.op = STR("not"), .nodes = {&nodes[i - 1], 1}};
    err = filter_new(&nodes[depth - 1], &f);
    filter_free(f);
    return err;
}

/* One "in" with so many values of so many bytes, in so many nodes. */
static enum err make_wide(size_t nodes, size_t values, size_t bytes)
{
    static char text[FILTER_BYTES_MAX + 1];
    static struct str vals[FILTER_VALUES_MAX + 1];
    static struct wire_filter_node leaves[FILTER_NODES_MAX + 1];
    struct wire_filter_node root = {.op = STR("or"), .nodes = {leaves, nodes}};
    struct filter *f = NULL;
    enum err err;

    for (size_t i = 0; i < values; i++)
        vals[i] = str_of(text, bytes);
    for (size_t i = 0; i < nodes; i++)
        leaves[i] =
            (struct wire_filter_node){.key = STR("k"), .cmp = STR("in"), .vals = {vals, values}};
    err = filter_new(&root, &f);
    filter_free(f);
    return err;
}

static void a_filter_has_limits(void **state)
{
    assert_int_equal(make_chain(FILTER_DEPTH_MAX), OK);
    assert_int_equal(make_chain(FILTER_DEPTH_MAX + 1), ERR_LIMIT);
    assert_int_equal(make_wide(FILTER_NODES_MAX - 1, 1, 1), OK);
    assert_int_equal(make_wide(FILTER_NODES_MAX, 1, 1), ERR_LIMIT);
    assert_int_equal(make_wide(1, FILTER_VALUES_MAX, 1), OK);
    assert_int_equal(make_wide(1, FILTER_VALUES_MAX + 1, 1), ERR_LIMIT);
    assert_int_equal(make_wide(1, 1, FILTER_BYTES_MAX - 1), OK);
    assert_int_equal(make_wide(1, 1, FILTER_BYTES_MAX), ERR_LIMIT);
}

static void numbers_are_compared_exactly(void **state)
{
    static const struct {
        struct str a, b;
        int order; /* 2: not numbers */
    } rows[] = {
        {STR("1"), STR("2"), -1},
        {STR("10"), STR("9"), 1},
        {STR("0"), STR("-0.0"), 0},
        {STR("007"), STR("7.000"), 0},
        {STR("+7"), STR("7"), 0},
        {STR("-1"), STR("1"), -1},
        {STR("-10"), STR("-9"), -1},
        {STR("0.1"), STR("0.10"), 0},
        {STR("0.1"), STR("0.09"), 1},
        {STR("-0.1"), STR("-0.09"), -1},
        {STR("1.5"), STR("1.49999999999999999"), 1},
        {STR("9007199254740993"), STR("9007199254740992"), 1},
        {STR("1.1234567890123456789"), STR("1.1234567890123456788"), 1},
        {STR("1.12345678901234567890"), STR("1"), 2}, /* 20 digits behind the point */
        {STR("1e3"), STR("1"), 2},
        {STR(".5"), STR("1"), 2},
        {STR("5."), STR("1"), 2},
        {STR(""), STR("1"), 2},
        {STR("-"), STR("1"), 2},
        {STR("+-1"), STR("1"), 2},
        {STR(" 1"), STR("1"), 2},
        {STR("1"), STR("1 "), 2},
        {STR("0x1"), STR("1"), 2},
        {STR("NaN"), STR("1"), 2},
        {STR("1.2.3"), STR("1"), 2},
    };
    char longest[201];
    int order;

    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        order = 2;
        if (filter_compare_numbers(rows[i].a, rows[i].b, &order))
            order = (order > 0) - (order < 0);
        else
            order = 2;
        if (order != rows[i].order)
            fail_msg("%.*s and %.*s: %d", STR_ARGS(rows[i].a), STR_ARGS(rows[i].b), order);
    }
    memset(longest, '9', sizeof longest);
    assert_true(filter_compare_numbers(str_of(longest, 200), STR("1"), &order));
    assert_true(order > 0);
    assert_false(filter_compare_numbers(str_of(longest, 201), STR("1"), &order));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_comparison_decides_by_one_tag),
        cmocka_unit_test(a_missing_tag_has_its_own_answers),
        cmocka_unit_test(nodes_combine_what_is_under_them),
        cmocka_unit_test(the_last_of_two_equal_tags_counts),
        cmocka_unit_test(what_is_no_filter_is_refused),
        cmocka_unit_test(a_filter_has_limits),
        cmocka_unit_test(numbers_are_compared_exactly),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
