/* Capabilities: what the list means, and what is no such list. */
#include "base/mem.h"
#include "client/caps.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <cmocka.h>

#define EVERYTHING (ALLOW_SUBSCRIBE | ALLOW_PUBLISH | ALLOW_PRESENCE | ALLOW_HISTORY)

static unsigned rights(const char *json, const char *channel)
{
    struct caps *caps;
    unsigned bits;

    assert_int_equal(caps_new(str_from(json), &caps), OK);
    bits = caps_for(caps, str_from(channel));
    caps_free(caps);
    return bits;
}

static void each_word_is_a_right(void **state)
{
    assert_int_equal(rights("[{\"channels\":[\"a\"],\"allow\":[\"sub\"]}]", "a"), ALLOW_SUBSCRIBE);
    assert_int_equal(rights("[{\"channels\":[\"a\"],\"allow\":[\"pub\"]}]", "a"), ALLOW_PUBLISH);
    assert_int_equal(rights("[{\"channels\":[\"a\"],\"allow\":[\"prs\"]}]", "a"), ALLOW_PRESENCE);
    assert_int_equal(rights("[{\"channels\":[\"a\"],\"allow\":[\"hst\"]}]", "a"), ALLOW_HISTORY);
    assert_int_equal(
        rights("[{\"allow\":[\"sub\",\"pub\",\"prs\",\"hst\"],\"channels\":[\"b\",\"a\"]}]", "a"),
        EVERYTHING);
    assert_int_equal(rights("[{\"channels\":[\"a\"],\"allow\":[\"fly\"]}]", "a"), 0);
}

static void the_first_match_decides(void **state)
{
    const char *json = "[{\"channels\":[\"news\",\"user_42\"],\"allow\":[\"sub\"]},"
                       "{\"channels\":[\"user_*\"],\"match\":\"wildcard\",\"allow\":[\"pub\"]}]";

    assert_int_equal(rights(json, "user_42"), ALLOW_SUBSCRIBE);
    assert_int_equal(rights(json, "user_43"), ALLOW_PUBLISH);
    assert_int_equal(rights(json, "other"), 0);
}

static void exact_is_not_a_pattern(void **state)
{
    const char *json = "[{\"channels\":[\"a*\"],\"match\":\"exact\",\"allow\":[\"sub\"]}]";

    assert_int_equal(rights(json, "ab"), 0);
    assert_int_equal(rights(json, "a*"), ALLOW_SUBSCRIBE);
    assert_int_equal(rights("[{\"channels\":[\"a\"],\"match\":\"\",\"allow\":[\"sub\"]}]", "a"),
                     ALLOW_SUBSCRIBE);
}

static void expressions_match_as_they_are_written(void **state)
{
    const char *json =
        "[{\"channels\":[\"^posts_\\\\d+$\"],\"match\":\"regex\",\"allow\":[\"hst\"]}]";

    assert_int_equal(rights(json, "posts_17"), ALLOW_HISTORY);
    assert_int_equal(rights(json, "posts_17x"), 0);
    assert_int_equal(rights(json, "my_posts_17"), 0);
}

static void none_is_a_null_pointer(void **state)
{
    static const char *const texts[] = {"",
                                        "null",
                                        "[]",
                                        "[{}]",
                                        "[{\"allow\":[\"sub\"]}]",
                                        "[{\"channels\":null,\"match\":null,\"allow\":null}]"};

    for (size_t i = 0; i < ARRAY_LEN(texts); i++) {
        struct caps *caps = (struct caps *)texts;

        assert_int_equal(caps_new(str_from(texts[i]), &caps), OK);
        assert_null(caps);
    }
    assert_int_equal(caps_for(NULL, STR("a")), 0);
}

static void what_is_no_such_list_is_refused(void **state)
{
    static const char *const texts[] = {
        "{}",
        "1",
        "\"sub\"",
        "[1]",
        "[[]]",
        "[null]",
        "[{\"channels\":\"a\"}]",
        "[{\"channels\":[1]}]",
        "[{\"channels\":[\"a\"],\"allow\":\"sub\"}]",
        "[{\"channels\":[\"a\"],\"allow\":[1]}]",
        "[{\"channels\":[\"a\"],\"match\":\"prefix\"}]",
        "[{\"channels\":[\"a\"],\"match\":1}]",
        "[{\"channels\":[\"a(\"],\"match\":\"regex\"}]",
        "[{\"channels\":[\"a\"],\"allow\":[\"sub\"]},2]",
    };

    for (size_t i = 0; i < ARRAY_LEN(texts); i++) {
        struct caps *caps = NULL;

        if (caps_new(str_from(texts[i]), &caps) != ERR_SYNTAX || caps != NULL)
            fail_msg("%s", texts[i]);
    }
}

static enum err many(unsigned count, const char *match)
{
    struct buf json = BUF_INIT(1 << 20);
    struct caps *caps;
    enum err err;

    buf_printf(&json, "[{\"match\":\"%s\",\"allow\":[\"sub\"],\"channels\":[\"a\"", match);
    for (unsigned i = 1; i < count; i++)
        buf_add_lit(&json, ",\"a\"");
    buf_add_lit(&json, "]}]");
    err = caps_new(buf_str(&json), &caps);
    caps_free(caps);
    buf_deinit(&json);
    return err;
}

static void their_number_is_limited(void **state)
{
    assert_int_equal(many(CAPS_PATTERNS_MAX, "exact"), OK);
    assert_int_equal(many(CAPS_PATTERNS_MAX + 1, "exact"), ERR_LIMIT);
    assert_int_equal(many(CAPS_REGEX_MAX, "regex"), OK);
    assert_int_equal(many(CAPS_REGEX_MAX + 1, "regex"), ERR_LIMIT);
}

static void a_list_of_words_is_read_on_its_own(void **state)
{
    unsigned bits;

    assert_int_equal(caps_read_allow(STR("[\"pub\",\"later\",\"h\\u0073t\"]"), &bits), OK);
    assert_int_equal(bits, ALLOW_PUBLISH | ALLOW_HISTORY);
    assert_int_equal(caps_read_allow(STR("[\"pub\",1]"), &bits), ERR_SYNTAX);
    assert_int_equal(caps_read_allow(STR("{}"), &bits), ERR_SYNTAX);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_word_is_a_right),
        cmocka_unit_test(the_first_match_decides),
        cmocka_unit_test(exact_is_not_a_pattern),
        cmocka_unit_test(expressions_match_as_they_are_written),
        cmocka_unit_test(none_is_a_null_pointer),
        cmocka_unit_test(what_is_no_such_list_is_refused),
        cmocka_unit_test(their_number_is_limited),
        cmocka_unit_test(a_list_of_words_is_read_on_its_own),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
