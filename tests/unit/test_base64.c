#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "codec/base64.h"

static void expect_str(struct str got, struct str expected)
{
    if (!str_eq(got, expected))
        fail_msg("got \"%.*s\", not \"%.*s\"", STR_ARGS(got), STR_ARGS(expected));
}

static void base64_encodes_every_length(void **state)
{
    static const struct {
        struct str bytes, std, url;
    } rows[] = {
        {STR(""), STR(""), STR("")},
        {STR("f"), STR("Zg=="), STR("Zg")},
        {STR("fo"), STR("Zm8="), STR("Zm8")},
        {STR("foo"), STR("Zm9v"), STR("Zm9v")},
        {STR("foob"), STR("Zm9vYg=="), STR("Zm9vYg")},
        {STR("\xFB\xFF\xBF"), STR("+/+/"), STR("-_-_")},
        {STR("\0\0"), STR("AAA="), STR("AAA")},
    };
    struct arena a = ARENA_INIT;

    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct buf out = BUF_INIT(100);
        struct str back;

        base64_add(BASE64_STD, &out, rows[i].bytes);
        expect_str(buf_str(&out), rows[i].std);
        buf_clear(&out);
        base64_add(BASE64_URL, &out, rows[i].bytes);
        expect_str(buf_str(&out), rows[i].url);
        buf_deinit(&out);
        assert_int_equal(base64_decode(BASE64_STD, rows[i].std, &a, &back), OK);
        expect_str(back, rows[i].bytes);
        assert_int_equal(base64_decode(BASE64_URL, rows[i].url, &a, &back), OK);
        expect_str(back, rows[i].bytes);
    }
    arena_deinit(&a);
}

static void base64_gets_every_byte_back(void **state)
{
    char bytes[256];
    struct arena a = ARENA_INIT;
    struct buf out = BUF_INIT(1000), decoded = BUF_INIT(1000);
    struct str back;

    for (int i = 0; i < 256; i++)
        bytes[i] = (char)i;
    for (size_t n = 0; n <= sizeof bytes; n++) {
        for (int kind = 0; kind < 2; kind++) {
            buf_clear(&out);
            buf_clear(&decoded);
            base64_add((enum base64)kind, &out, str_of(bytes, n));
            assert_int_equal(base64_decode((enum base64)kind, buf_str(&out), &a, &back), OK);
            expect_str(back, str_of(bytes, n));
            assert_int_equal(base64_decode_add((enum base64)kind, buf_str(&out), &decoded), OK);
            expect_str(buf_str(&decoded), str_of(bytes, n));
        }
    }
    buf_deinit(&out);
    buf_deinit(&decoded);
    arena_deinit(&a);
}

static void base64_has_one_spelling_per_text(void **state)
{
    static const struct str bad_std[] = {STR("Zg"),     STR("Zg="),   STR("Zg==="), STR("Zm9v="),
                                         STR("Z==="),   STR("===="),  STR("="),     STR("Zm9vYg=a"),
                                         STR("Zh=="),   STR("Zm9="),  STR("-_-_"),  STR(" Zg="),
                                         STR("Zg==\n"), STR("Zm\n9"), STR("Zm\0v"), STR("Zm\xC3v")};
    static const struct str bad_url[] = {STR("Zg=="), STR("Zm8="), STR("Z"),     STR("Zh"),
                                         STR("Zm9"),  STR("+/+/"), STR("Zm9vY"), STR("Zm 9")};
    struct arena a = ARENA_INIT;
    struct str out = STR("untouched");
    struct buf buf = BUF_INIT(100);

    for (size_t i = 0; i < ARRAY_LEN(bad_std); i++) {
        if (base64_decode(BASE64_STD, bad_std[i], &a, &out) != ERR_SYNTAX)
            fail_msg("standard sample %zu", i);
        assert_int_equal(base64_decode_add(BASE64_STD, bad_std[i], &buf), ERR_SYNTAX);
    }
    for (size_t i = 0; i < ARRAY_LEN(bad_url); i++) {
        if (base64_decode(BASE64_URL, bad_url[i], &a, &out) != ERR_SYNTAX)
            fail_msg("url sample %zu", i);
    }
    expect_str(out, STR("untouched"));
    assert_int_equal(buf.len, 0);
    buf_deinit(&buf);
    arena_deinit(&a);
}

static void base64_decode_add_respects_the_maximum(void **state)
{
    struct buf out = BUF_INIT(2);

    assert_int_equal(base64_decode_add(BASE64_STD, STR("Zm9v"), &out), ERR_LIMIT);
    assert_int_equal(out.len, 0);
    buf_deinit(&out);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(base64_encodes_every_length),
        cmocka_unit_test(base64_gets_every_byte_back),
        cmocka_unit_test(base64_has_one_spelling_per_text),
        cmocka_unit_test(base64_decode_add_respects_the_maximum),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
