#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/utf8.h"

static const struct sample {
    struct str text;
    bool valid;
} samples[] = {
    {STR(""), true},
    {STR("plain ASCII, longer than one word of eight bytes"), true},
    {STR("\x7F\x01\t\n"), true},
    {STR("\xC2\x80 \xDF\xBF"), true},
    {STR("\xE0\xA0\x80 \xED\x9F\xBF \xEE\x80\x80 \xEF\xBF\xBF"), true},
    {STR("\xF0\x90\x80\x80 \xF4\x8F\xBF\xBF"), true},
    {STR("12345678\xC3\xA9"
         "12345678\xE2\x82\xAC"
         "1234567\xF0\x9F\x98\x80"),
     true},
    {STR("\0\0"), true},
    {STR("\x80"), false},
    {STR("12345678\xBF"), false},
    {STR("\xC0\x80"), false}, /* overlong */
    {STR("\xC1\xBF"), false},
    {STR("\xE0\x9F\xBF"), false},
    {STR("\xF0\x8F\xBF\xBF"), false},
    {STR("\xED\xA0\x80"), false}, /* surrogates */
    {STR("\xED\xBF\xBF"), false},
    {STR("\xF4\x90\x80\x80"), false}, /* above U+10FFFF */
    {STR("\xF5\x80\x80\x80"), false},
    {STR("\xFF"), false},
    {STR("\xC3"), false}, /* cut off */
    {STR("\xE2\x82"), false},
    {STR("\xF0\x9F\x98"), false},
    {STR("\xC3 "), false},
    {STR("\xE2\x82 "), false},
    {STR("\xF0\x9F\x98 "), false},
    {STR("\xC3\xA9\xA9"), false},
};

static void utf8_tells_valid_from_invalid(void **state)
{
    for (size_t i = 0; i < ARRAY_LEN(samples); i++) {
        if (utf8_valid(samples[i].text) != samples[i].valid)
            fail_msg("sample %zu", i);
    }
}

static void utf8_feed_agrees_wherever_the_text_is_split(void **state)
{
    for (size_t i = 0; i < ARRAY_LEN(samples); i++) {
        struct str text = samples[i].text;

        for (size_t at = 0; at <= text.len; at++) {
            for (size_t second = at; second <= text.len; second++) {
                struct utf8_state st = UTF8_STATE_INIT;
                bool valid = utf8_feed(&st, str_of(text.ptr, at)) &&
                             utf8_feed(&st, str_of(text.ptr + at, second - at)) &&
                             utf8_feed(&st, str_cut(text, second)) && utf8_complete(&st);

                if (valid != samples[i].valid)
                    fail_msg("sample %zu split at %zu and %zu", i, at, second);
            }
        }
    }
}

static void utf8_feed_fails_at_the_first_hopeless_byte(void **state)
{
    struct utf8_state st = UTF8_STATE_INIT;

    assert_true(utf8_feed(&st, STR("ok \xED")));
    assert_false(utf8_complete(&st));
    assert_false(utf8_feed(&st, STR("\xA0"))); /* a surrogate, whatever comes third */
}

static void utf8_char_gives_the_length_of_what_is_valid(void **state)
{
    assert_int_equal(utf8_char(STR("a")), 1);
    assert_int_equal(utf8_char(STR("\xC3\xA9z")), 2);
    assert_int_equal(utf8_char(STR("\xE2\x82\xAC")), 3);
    assert_int_equal(utf8_char(STR("\xF0\x9F\x98\x80z")), 4);
    assert_int_equal(utf8_char(STR("\xF0\x9F\x98")), 0);
    assert_int_equal(utf8_char(STR("\x80")), 0);
    assert_int_equal(utf8_char(STR("\xED\xA0\x80")), 0);
    assert_int_equal(utf8_char(STR("\xE2\x28\xA1")), 0);
}

static void utf8_cut_never_splits_a_character(void **state)
{
    struct str text = STR("a\xC3\xA9\xF0\x9F\x98\x80z"); /* 1 + 2 + 4 + 1 bytes */
    static const size_t expected[] = {0, 1, 1, 3, 3, 3, 3, 7, 8, 8};

    for (size_t max = 0; max < ARRAY_LEN(expected); max++)
        assert_int_equal(utf8_cut(text, max).len, expected[max]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(utf8_tells_valid_from_invalid),
        cmocka_unit_test(utf8_feed_agrees_wherever_the_text_is_split),
        cmocka_unit_test(utf8_feed_fails_at_the_first_hopeless_byte),
        cmocka_unit_test(utf8_char_gives_the_length_of_what_is_valid),
        cmocka_unit_test(utf8_cut_never_splits_a_character),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
