/* Regular expressions of the configuration: named groups. */
#include "core/settings.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <cmocka.h>

static void assert_group(const char *pattern, const char *text, const char *name, const char *want)
{
    struct settings_regex *regex = settings_regex_new(str_from(pattern));
    struct str value = STR_NONE;
    bool found;

    assert_non_null(regex);
    found = settings_regex_group(regex, str_from(text), str_from(name), &value);
    if (want == NULL)
        assert_false(found);
    else if (!found || !str_eq(value, str_from(want)))
        fail_msg("%s in %s: %s is \"%.*s\"", pattern, text, name, STR_ARGS(value));
    settings_regex_free(regex);
}

static void a_named_group_is_found_by_its_name(void **state)
{
    assert_group("^https://(?P<t>red|blue)\\.id$", "https://blue.id", "t", "blue");
    assert_group("(?P<a>x+)(?P<b>y+)", "__xxyyy", "b", "yyy");
    assert_group("(?P<a>x+)(?P<b>y+)", "__xxyyy", "a", "xx");
}

static void other_groups_are_counted_too(void **state)
{
    assert_group("(a)(?:b)((c)(?P<t>d|e))", "abce", "t", "e");
    assert_group("[(](?P<t>d)[)]\\((?P<u>e)", "(d)(e", "u", "e");
}

static void the_longest_alternative_counts(void **state)
{
    assert_group("(?P<t>red|reddish)", "reddish", "t", "reddish");
}

static void no_match_no_group_and_a_group_left_out_are_no_value(void **state)
{
    assert_group("^(?P<t>red)$", "blue", "t", NULL);
    assert_group("^(?P<t>red)$", "red", "u", NULL);
    assert_group("^(?P<t>red)?x$", "x", "t", NULL);
    assert_group("(?P<t>red)", "", "t", NULL);
}

/* What an expression without ^ does takes the square of the length: a client's text is bounded. */
static void a_long_text_matches_nothing(void **state)
{
    struct settings_regex *regex = settings_regex_new(STR("[a-z]+[0-9]$"));
    char text[60000];

    memset(text, 'a', sizeof text);
    text[1023] = '1';
    assert_true(settings_regex_match(regex, str_of(text, 1024)));
    text[1024] = '1';
    assert_false(settings_regex_match(regex, str_of(text, 1025)));
    assert_false(settings_regex_match(regex, str_of(text, sizeof text)));
    settings_regex_free(regex);
}

static void broken_names_and_too_many_are_refused(void **state)
{
    struct buf many = BUF_INIT(4096);

    assert_null(settings_regex_new(STR("(?P<>a)")));
    assert_null(settings_regex_new(STR("(?P<a")));
    assert_null(settings_regex_new(STR("(?P=a)")));
    for (int i = 0; i < 20; i++)
        buf_printf(&many, "(?P<g%d>a)", i);
    assert_null(settings_regex_new(buf_str(&many)));
    buf_clear(&many);
    for (int i = 0; i < 100; i++)
        buf_add_lit(&many, "(a)");
    buf_add_lit(&many, "(?P<t>b)");
    assert_null(settings_regex_new(buf_str(&many)));
    buf_deinit(&many);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_named_group_is_found_by_its_name),
        cmocka_unit_test(other_groups_are_counted_too),
        cmocka_unit_test(the_longest_alternative_counts),
        cmocka_unit_test(no_match_no_group_and_a_group_left_out_are_no_value),
        cmocka_unit_test(a_long_text_matches_nothing),
        cmocka_unit_test(broken_names_and_too_many_are_refused),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
