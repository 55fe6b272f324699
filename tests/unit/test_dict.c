/* The stores behind perigee.dict: alone under a clock of the test's own, and with threads. */
#include "core/dict.h"

#include "base/clock.h"
#include "base/log.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <cmocka.h>
#include <uv.h>

#define LIMIT (1 << 20)

static struct dicts *all;
static struct dict *dict;
static struct buf scratch;
static _Atomic uint64_t now_ms; /* a thread of the race moves it */

static uint64_t fake_mono_ns(void)
{
    return now_ms * 1000000;
}

static int64_t fake_wall_ms(void)
{
    return (int64_t)now_ms;
}

static struct dict *named(const char *name)
{
    struct dict *d = NULL;

    assert_int_equal(dicts_get(all, str_from(name), &d), OK);
    return d;
}

static int set_up(void **state)
{
    static const struct clock_source fake = {fake_mono_ns, fake_wall_ms};

    clock_set_source(&fake);
    now_ms = 1000;
    assert_int_equal(log_setup(LOG_NONE, LOG_AUTO, NULL), OK);
    all = dicts_new(LIMIT);
    dict = named("test");
    scratch = BUF_INIT(8 << 20);
    return 0;
}

static int tear_down(void **state)
{
    buf_deinit(&scratch);
    dicts_free(all);
    return 0;
}

static struct dict_value text(const char *value)
{
    return (struct dict_value){.type = DICT_TEXT, .text = str_from(value)};
}

static struct dict_value integer(int64_t value)
{
    return (struct dict_value){.type = DICT_INTEGER, .integer = value};
}

static struct dict_value number(double value)
{
    return (struct dict_value){.type = DICT_NUMBER, .number = value};
}

static enum err set(const char *key, struct dict_value value, uint64_t ttl_ms)
{
    return dict_set(dict, str_from(key), &value, ttl_ms);
}

static enum err add(const char *key, struct dict_value value, uint64_t ttl_ms)
{
    return dict_add(dict, str_from(key), &value, ttl_ms);
}

static enum err incr(const char *key, struct dict_value by, uint64_t ttl_ms, struct dict_value *sum)
{
    return dict_incr(dict, str_from(key), &by, ttl_ms, sum);
}

/* "text", 1, 1.5, true or nothing */
static const char *get(const char *key)
{
    static char out[64];
    struct dict_value v;

    if (dict_get(dict, str_from(key), &scratch, &v) != OK)
        return "nothing";
    switch (v.type) {
    case DICT_TEXT:
        snprintf(out, sizeof out, "\"%.*s\"", STR_ARGS(v.text));
        break;
    case DICT_INTEGER:
        snprintf(out, sizeof out, "%lld", (long long)v.integer);
        break;
    case DICT_NUMBER:
        snprintf(out, sizeof out, "%.17g", v.number);
        break;
    case DICT_BOOLEAN:
        snprintf(out, sizeof out, "%s", v.boolean ? "true" : "false");
        break;
    }
    return out;
}

static unsigned count_keys(const char *prefix)
{
    unsigned n = 0;

    for (unsigned stripe = 0; stripe < DICT_STRIPES; stripe++) {
        struct str rest, key;

        buf_clear(&scratch);
        assert_int_equal(dict_keys(dict, stripe, str_from(prefix), &scratch), OK);
        rest = buf_str(&scratch);
        while (dict_next_key(&rest, &key)) {
            assert_true(str_starts(key, str_from(prefix)));
            n++;
        }
    }
    return n;
}

/* --- values ----------------------------------------------------------------------------------- */

static void what_is_set_comes_back_as_it_was(void **state)
{
    struct dict_value no = {.type = DICT_BOOLEAN};

    assert_string_equal(get("a"), "nothing");
    assert_int_equal(set("a", text("one"), 0), OK);
    assert_int_equal(set("b", integer(INT64_MIN), 0), OK);
    assert_int_equal(set("c", number(0.1), 0), OK);
    assert_int_equal(set("d", no, 0), OK);
    assert_int_equal(set("e", text(""), 0), OK);
    assert_string_equal(get("a"), "\"one\"");
    assert_string_equal(get("b"), "-9223372036854775808");
    assert_string_equal(get("c"), "0.10000000000000001");
    assert_string_equal(get("d"), "false");
    assert_string_equal(get("e"), "\"\"");
    assert_int_equal(set("a", integer(7), 0), OK);
    assert_string_equal(get("a"), "7");
    assert_true(dict_delete(dict, STR("a")));
    assert_false(dict_delete(dict, STR("a")));
    assert_string_equal(get("a"), "nothing");
    assert_int_equal(dicts_counts(all).keys, 4);
}

static void bytes_of_any_kind_are_keys(void **state)
{
    char longest[DICT_KEY_MAX];
    struct dict_value v = integer(1), got;

    memset(longest, 0, sizeof longest);
    assert_int_equal(dict_set(dict, str_of(longest, sizeof longest), &v, 0), OK);
    assert_int_equal(dict_get(dict, str_of(longest, sizeof longest), &scratch, &got), OK);
    assert_int_equal(dict_get(dict, str_of(longest, 3), &scratch, &got), ERR_NOT_FOUND);
    assert_int_equal(count_keys(""), 1);
}

static void dicts_of_one_name_are_one_and_others_apart(void **state)
{
    assert_ptr_equal(named("test"), dict);
    assert_int_equal(set("a", integer(1), 0), OK);
    dict = named("other");
    assert_string_equal(get("a"), "nothing");
}

static void so_many_dicts_and_no_more(void **state)
{
    char name[16];
    struct dict *d;

    for (int i = 1; i < DICTS_MAX; i++) {
        snprintf(name, sizeof name, "n%d", i);
        named(name);
    }
    assert_int_equal(dicts_get(all, STR("one more"), &d), ERR_LIMIT);
    assert_int_equal(dicts_get(all, STR("n7"), &d), OK);
}

static void add_stores_only_where_nothing_is(void **state)
{
    assert_int_equal(add("a", integer(1), 50), OK);
    assert_int_equal(add("a", integer(2), 0), ERR_EXISTS);
    assert_string_equal(get("a"), "1");
    now_ms += 50;
    assert_int_equal(add("a", integer(3), 0), OK);
    assert_string_equal(get("a"), "3");
}

static void incr_starts_at_zero_and_stays_exact(void **state)
{
    struct dict_value sum;

    assert_int_equal(incr("n", integer(1), 0, &sum), OK);
    assert_int_equal(sum.integer, 1);
    assert_int_equal(incr("n", integer(-3), 0, &sum), OK);
    assert_int_equal(sum.integer, -2);
    assert_int_equal(set("n", integer(INT64_MAX - 1), 0), OK);
    assert_int_equal(incr("n", integer(1), 0, &sum), OK);
    assert_int_equal(incr("n", integer(1), 0, &sum), ERR_DENIED);
    assert_string_equal(get("n"), "9223372036854775807");
    assert_int_equal(incr("n", number(0.5), 0, &sum), OK);
    assert_int_equal(sum.type, DICT_NUMBER);
    assert_int_equal(incr("f", number(0.5), 0, &sum), OK);
    assert_int_equal(incr("f", integer(1), 0, &sum), OK);
    assert_string_equal(get("f"), "1.5");
    assert_int_equal(set("s", text("1"), 0), OK);
    assert_int_equal(incr("s", integer(1), 0, &sum), ERR_SYNTAX);
    assert_string_equal(get("s"), "\"1\"");
}

/* --- time ------------------------------------------------------------------------------------- */

static void what_is_over_is_gone_at_once(void **state)
{
    assert_int_equal(set("a", integer(1), 100), OK);
    assert_int_equal(set("ab", integer(1), 0), OK);
    now_ms += 99;
    assert_string_equal(get("a"), "1");
    assert_int_equal(count_keys("a"), 2);
    now_ms += 1;
    assert_string_equal(get("a"), "nothing");
    assert_int_equal(count_keys("a"), 1);
    assert_false(dict_delete(dict, STR("a")));
}

static void the_end_is_set_by_set_and_by_the_first_incr(void **state)
{
    struct dict_value sum;

    assert_int_equal(incr("n", integer(1), 100, &sum), OK);
    now_ms += 60;
    assert_int_equal(incr("n", integer(1), 100, &sum), OK); /* does not prolong */
    assert_int_equal(sum.integer, 2);
    now_ms += 40;
    assert_int_equal(incr("n", integer(1), 100, &sum), OK);
    assert_int_equal(sum.integer, 1);
    assert_int_equal(set("n", integer(5), 0), OK); /* for ever now */
    now_ms += 1000000;
    assert_string_equal(get("n"), "5");
}

static void the_sweep_gives_memory_back_in_steps(void **state)
{
    char key[16];
    uint64_t empty = dicts_counts(all).bytes;
    int steps = 0;

    dicts_set_limit(all, 64 << 20);
    for (int i = 0; i < 100000; i++) {
        snprintf(key, sizeof key, "k%d", i);
        assert_int_equal(set(key, integer(i), i % 10 == 0 ? 0 : 1000), OK);
    }
    dicts_sweep(all);
    assert_int_equal(dicts_counts(all).keys, 100000); /* nothing is over yet */
    now_ms += 1000;
    for (; dicts_counts(all).keys > 10000; steps++) {
        uint64_t before = dicts_counts(all).keys;

        dicts_sweep(all);
        assert_true(before - dicts_counts(all).keys < 40000);
        assert_true(steps < 20);
    }
    assert_true(steps > 1);
    assert_string_equal(get("k10"), "10");
    assert_string_equal(get("k11"), "nothing");
    for (int i = 0; i < 100000; i += 10) {
        snprintf(key, sizeof key, "k%d", i);
        assert_true(dict_delete(dict, str_from(key)));
    }
    assert_int_equal(dicts_counts(all).keys, 0);
    assert_int_equal(dicts_counts(all).bytes, empty);
}

/* --- limits ----------------------------------------------------------------------------------- */

static unsigned fill(uint64_t ttl_ms)
{
    char key[16];
    unsigned n = 0;
    enum err err;

    for (;; n++) {
        snprintf(key, sizeof key, "k%u", n);
        err = set(key, text("0123456789"), ttl_ms);
        if (err != OK)
            break;
    }
    assert_int_equal(err, ERR_LIMIT);
    return n;
}

static void a_full_dict_refuses_and_forgets_nothing(void **state)
{
    struct dict_value sum;
    unsigned n = fill(0);

    assert_true(n > LIMIT / 200);
    assert_true(dicts_counts(all).bytes <= LIMIT);
    assert_int_equal(dicts_counts(all).keys, n);
    assert_int_equal(add("new", integer(1), 0), ERR_LIMIT);
    assert_int_equal(incr("new", integer(1), 0, &sum), ERR_LIMIT);
    assert_int_equal(dicts_counts(all).full, 3);
    assert_int_equal(set("k0",
                         text("0123456789012345678901234567890123456789012345678901234567890"
                              "01234567890123456789012345678901234567890123456789012345678"),
                         0),
                     ERR_LIMIT);
    assert_string_equal(get("k0"), "\"0123456789\"");
    assert_int_equal(set("k0", integer(0), 0), OK); /* smaller */
    assert_int_equal(incr("k0", integer(2), 0, &sum), OK);
    assert_int_equal(sum.integer, 2);
    assert_int_equal(count_keys("k"), n);
    assert_true(dict_delete(dict, STR("k1")));
    assert_int_equal(set("new", integer(1), 0), OK);
    dicts_set_limit(all, 2 * LIMIT);
    assert_true(fill(0) > n);
}

static void the_limit_is_of_all_dicts_together(void **state)
{
    fill(0);
    dict = named("other");
    assert_int_equal(set("a", integer(1), 0), ERR_LIMIT);
}

static void what_is_over_makes_room(void **state)
{
    unsigned n = fill(1000), again = 0;
    char key[16];

    now_ms += 1000;
    for (unsigned i = 0; i < n; i++) { /* no timer has swept */
        snprintf(key, sizeof key, "new%u", i);
        again += set(key, integer(1), 0) == OK;
    }
    assert_int_equal(again, n);
}

/* --- threads ---------------------------------------------------------------------------------- */

#define THREADS 4
#define ROUNDS 20000

struct racer {
    uv_thread_t thread;
    unsigned index, added, wrong;
};

/* Adds one to a counter, competes for keys, and looks at all of them while they come, go and are
 * swept. */
static void race(void *arg)
{
    struct racer *r = arg;
    struct buf buf = BUF_INIT(1 << 20);

    for (unsigned i = 0; i < ROUNDS; i++) {
        struct dict_value one = integer(1), word = text("abcdef"), got;
        char key[16];

        r->wrong += dict_incr(dict, STR("hits"), &one, 0, &got) != OK;
        snprintf(key, sizeof key, "seat%u", i);
        r->added += dict_add(dict, str_from(key), &one, 0) == OK;
        snprintf(key, sizeof key, "soon%u", i % 1000);
        r->wrong += dict_set(dict, str_from(key), &one, 1 + i % 3) != OK;
        if (i % 7 == 0)
            dict_delete(dict, str_from(key));
        if (i % 50 == 0 && r->index == 0)
            now_ms++;
        if (i % 100 == 0) {
            buf_clear(&buf);
            r->wrong += dict_keys(dict, i / 100 % DICT_STRIPES, STR("seat"), &buf) != OK;
            dicts_sweep(all);
        }
        snprintf(key, sizeof key, "text%u", i % 10);
        r->wrong += dict_set(dict, str_from(key), &word, 0) != OK;
        r->wrong += dict_get(dict, str_from(key), &buf, &got) != OK;
        r->wrong += !str_eq(got.text, word.text);
    }
    buf_deinit(&buf);
}

static void racing_threads_count_exactly(void **state)
{
    struct racer racers[THREADS] = {0};
    unsigned added = 0;

    dicts_set_limit(all, 64 << 20);
    for (unsigned i = 0; i < THREADS; i++) {
        racers[i].index = i;
        assert_int_equal(uv_thread_create(&racers[i].thread, race, &racers[i]), 0);
    }
    for (unsigned i = 0; i < THREADS; i++) {
        uv_thread_join(&racers[i].thread);
        added += racers[i].added;
        assert_int_equal(racers[i].wrong, 0);
    }
    assert_int_equal(added, ROUNDS);
    assert_string_equal(get("hits"), "80000");
    assert_int_equal(count_keys("seat"), ROUNDS);
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(what_is_set_comes_back_as_it_was),
        CASE(bytes_of_any_kind_are_keys),
        CASE(dicts_of_one_name_are_one_and_others_apart),
        CASE(so_many_dicts_and_no_more),
        CASE(add_stores_only_where_nothing_is),
        CASE(incr_starts_at_zero_and_stays_exact),
        CASE(what_is_over_is_gone_at_once),
        CASE(the_end_is_set_by_set_and_by_the_first_incr),
        CASE(the_sweep_gives_memory_back_in_steps),
        CASE(a_full_dict_refuses_and_forgets_nothing),
        CASE(the_limit_is_of_all_dicts_together),
        CASE(what_is_over_makes_room),
        CASE(racing_threads_count_exactly),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
