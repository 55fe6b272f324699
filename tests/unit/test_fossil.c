#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/clock.h"
#include "base/mem.h"
#include "codec/fossil.h"
#include "base/utf8.h"

#define OUT_MAX (64 << 20)

static void expect_str(struct str got, struct str expected)
{
    if (!str_eq(got, expected))
        fail_msg("got \"%.*s\", not \"%.*s\"", STR_ARGS(got), STR_ARGS(expected));
}

/* The delta, or empty when there is none; checks that it brings the target back. */
static struct str round_trip(struct str base, struct str target, struct buf *delta)
{
    struct buf back = BUF_INIT(OUT_MAX);
    struct str result = STR_NONE;

    if (fossil_encode(base, target, delta)) {
        assert_true(delta->len < target.len);
        assert_int_equal(fossil_apply(base, buf_str(delta), &back), OK);
        assert_true(str_eq(buf_str(&back), target));
        result = buf_str(delta);
    }
    buf_deinit(&back);
    return result;
}

static uint32_t next_random(uint32_t *seed)
{
    *seed = *seed * 1664525 + 1013904223;
    return *seed >> 8;
}

#define SEQ1 STR("{\"seq\":1,\"state\":\"waiting\",\"players\":[\"ann\",\"bob\"]}")
#define SEQ2 STR("{\"seq\":2,\"state\":\"waiting\",\"players\":[\"ann\",\"bob\"]}")

static void a_changed_member_is_the_delta_that_others_make(void **state)
{
    struct buf delta = BUF_INIT(OUT_MAX);

    expect_str(round_trip(SEQ1, SEQ2, &delta), STR("o\n8:{\"seq\":2g@8,17~9Yd;"));
    buf_deinit(&delta);
}

static void deltas_of_others_apply(void **state)
{
    static const struct {
        struct str base, delta, target;
    } rows[] = {
        {STR("{}"), STR("7\n7:{\"v\":1}2qK~CY;"), STR("{\"v\":1}")},
        {SEQ1, STR("o\n8:{\"seq\":2g@8,17~9Yd;"), SEQ2},
        {SEQ1, STR("o\n7@0,1:2g@8,17~9Yd;"), SEQ2},
        {STR("x"), STR("0\n0;"), STR("")},
        {STR("abcd"), STR("4\n4@0,1XOaZ_;"), STR_NONE}, /* a wrong checksum */
        {STR(""), STR("5\n5:abcde36ObD_;"), STR("abcde")},
    };

    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct buf out = BUF_INIT(OUT_MAX);
        enum err err = fossil_apply(rows[i].base, rows[i].delta, &out);

        if (rows[i].target.ptr == NULL) {
            assert_int_equal(err, ERR_SYNTAX);
        } else {
            assert_int_equal(err, OK);
            expect_str(buf_str(&out), rows[i].target);
        }
        buf_deinit(&out);
    }
}

static void broken_deltas_are_refused(void **state)
{
    static const struct str rows[] = {
        STR(""),
        STR("\n"),
        STR("5"),
        STR("5\n"),
        STR("5\n5:abcde"),
        STR("5\n5:abcde36ObD_"),   /* no end */
        STR("5\n5:abcde36ObD_;x"), /* something behind it */
        STR("4\n5:abcde36ObD_;"),  /* longer than it says */
        STR("6\n5:abcde36ObD_;"),  /* shorter */
        STR("5\n5:abcde36ObD0;"),  /* checksum */
        STR("5\n6:abcde36ObD_;"),  /* the literal runs over the end */
        STR("5\n5@0,36ObD_;"),     /* beyond the base */
        STR("2\n2@3,0;"),          /* its end is beyond */
        STR("2\n2@~~~~~~,0;"),     /* not 32 bits */
        STR("2\n1@1"),
        STR("2\n1@1;"),
        STR("2\n1@,0;"),
        STR("~~~~~~~\n0;"),
        STR("5 5:abcde36ObD_;"),
        STR("-1\n0;"),
    };

    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct buf out = BUF_INIT(OUT_MAX);

        if (fossil_apply(STR("abcd"), rows[i], &out) != ERR_SYNTAX)
            fail_msg("\"%.*s\" was taken", STR_ARGS(rows[i]));
        buf_deinit(&out);
    }
}

static void what_does_not_fit_the_buffer_is_a_limit(void **state)
{
    struct buf out = BUF_INIT(4);

    assert_int_equal(fossil_apply(STR(""), STR("5\n5:abcde36ObD_;"), &out), ERR_LIMIT);
    buf_deinit(&out);
}

static void there_is_no_delta_where_it_would_not_be_shorter(void **state)
{
    static const struct {
        struct str base, target;
    } rows[] = {
        {STR(""), STR("")},
        {STR("abc"), STR("")},
        {STR("{\"v\":1}"), STR("{\"v\":1}")}, /* shorter than a block */
        {STR("the quick brown fox jumps over"), STR("a lazy dog of some other length")},
    };
    struct buf delta = BUF_INIT(OUT_MAX);

    for (size_t i = 0; i < ARRAY_LEN(rows); i++)
        assert_false(fossil_encode(rows[i].base, rows[i].target, &delta));
    buf_deinit(&delta);
}

static void equal_texts_become_one_copy(void **state)
{
    struct buf delta = BUF_INIT(OUT_MAX);

    assert_true(round_trip(SEQ1, SEQ1, &delta).len < 16);
    buf_deinit(&delta);
}

/* What is inserted, removed, moved and changed at random comes back byte for byte. */
static void random_edits_round_trip(void **state)
{
    static const char letters[] = "abcdefgh{}:,\"\xC3\xA9\xF0\x9F\x98\x80\x00\xFF";
    uint32_t seed = 1;
    size_t shorter = 0;

    for (int round = 0; round < 3000; round++) {
        struct buf base = BUF_INIT(OUT_MAX), target = BUF_INIT(OUT_MAX), delta = BUF_INIT(OUT_MAX);
        size_t length = next_random(&seed) % 600;
        size_t few = 1 + next_random(&seed) % (sizeof letters - 1);

        for (size_t i = 0; i < length; i++)
            buf_add_char(&base, letters[next_random(&seed) % few]);
        for (size_t at = 0; at < base.len;) {
            size_t wanted = next_random(&seed) % 80, n = MIN(base.len - at, wanted);
            uint32_t what = next_random(&seed) % 4;

            if (what == 0)
                buf_add_char(&target, letters[next_random(&seed) % few]);
            if (what != 1)
                buf_add(&target, base.ptr + at, n);
            if (what == 2)
                buf_add(&target, base.ptr, n);
            at += n + 1;
        }
        shorter += round_trip(buf_str(&base), buf_str(&target), &delta).len > 0;
        buf_deinit(&base);
        buf_deinit(&target);
        buf_deinit(&delta);
    }
    assert_in_range(shorter, 1000, 3000); /* it is not only literals that were tried */
}

static void deltas_of_text_are_text(void **state)
{
    static const char *const characters[] = {"a", "é", "è", "€", "₭", "😀", "😁", "ê"};
    uint32_t seed = 7;
    size_t made = 0;

    for (int round = 0; round < 3000; round++) {
        struct buf base = BUF_INIT(OUT_MAX), target = BUF_INIT(OUT_MAX), delta = BUF_INIT(OUT_MAX);

        for (int i = 0; i < 60; i++) {
            const char *c = characters[next_random(&seed) % ARRAY_LEN(characters)];
            const char *other = characters[next_random(&seed) % ARRAY_LEN(characters)];

            buf_add(&base, c, strlen(c));
            if (next_random(&seed) % 16 == 0)
                c = other; /* often with the same first bytes */
            buf_add(&target, c, strlen(c));
        }
        if (fossil_encode(buf_str(&base), buf_str(&target), &delta)) {
            made++;
            assert_true(utf8_valid(buf_str(&delta)));
        }
        round_trip(buf_str(&base), buf_str(&target), &delta);
        buf_deinit(&base);
        buf_deinit(&target);
        buf_deinit(&delta);
    }
    assert_in_range(made, 1000, 3000);
}

/* All blocks look alike, and every place of the target finds them all: still about linear. */
static void hostile_texts_take_no_longer(void **state)
{
    enum { LENGTH = 1 << 20 };
    char *base = mem_alloc(LENGTH), *target = mem_alloc(LENGTH);
    struct buf delta = BUF_INIT(OUT_MAX);
    uint64_t begin = clock_thread_ns();

    for (size_t i = 0; i < LENGTH; i++) {
        base[i] = i % 16 == 0 && i % 64 != 0 ? 'b' : 'a';
        target[i] = i % 17 == 0 ? 'b' : 'a';
    }
    (void)fossil_encode(str_of(base, LENGTH), str_of(target, LENGTH), &delta);
    memset(base, 'a', LENGTH);
    memset(target, 'a', LENGTH);
    target[LENGTH / 2] = 'b';
    assert_true(round_trip(str_of(base, LENGTH), str_of(target, LENGTH), &delta).len > 0);
    assert_true(clock_thread_ns() - begin < 5000000000u);
    mem_free(base);
    mem_free(target);
    buf_deinit(&delta);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_changed_member_is_the_delta_that_others_make),
        cmocka_unit_test(deltas_of_others_apply),
        cmocka_unit_test(broken_deltas_are_refused),
        cmocka_unit_test(what_does_not_fit_the_buffer_is_a_limit),
        cmocka_unit_test(there_is_no_delta_where_it_would_not_be_shorter),
        cmocka_unit_test(equal_texts_become_one_copy),
        cmocka_unit_test(random_edits_round_trip),
        cmocka_unit_test(deltas_of_text_are_text),
        cmocka_unit_test(hostile_texts_take_no_longer),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
