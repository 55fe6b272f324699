/* tests/hostile_scripts.txt: each script ends its own call as it is to, soon, and the state works
 * on. */
#include "lib/script_fixture.h"

#include <stdlib.h>
#include <sys/resource.h>
#include <time.h>

#ifdef __SANITIZE_ADDRESS__
#define SOON_NS 3000000000
#else
#define SOON_NS 1000000000 /* the limit is 50 ms, the rest is one call of a library */
#endif

static struct script *with_body(const char *body)
{
    char config[4096];

    snprintf(config, sizeof config,
             "local perigee = require 'perigee'\n"
             "return { rpc = {\n"
             "  bad = function(client, data) %s end,\n"
             "  good = function()\n"
             "    local co = coroutine.wrap(function() coroutine.yield(('x'):rep(3)) end)\n"
             "    return perigee.json.encode { #co(), perigee.sha256 'abc':sub(1, 4) }\n"
             "  end,\n"
             "} }",
             body);
    return fixture_script(config);
}

#define GOOD "\"[3,\\\"ba78\\\"]\""

static void expect_end(const char *kind, const char *body)
{
    struct script *s = with_body(body);
    struct script_stats stats;
    uint64_t begun;

    for (unsigned i = 1; i <= 2; i++) {
        begun = clock_thread_ns();
        if (strcmp(fixture_call(s, "bad"), "error 100 internal server error") != 0)
            fail_msg("not refused: %s", body);
        if (clock_thread_ns() - begun > SOON_NS)
            fail_msg("%d ms: %s", (int)((clock_thread_ns() - begun) / 1000000), body);
        stats = script_stats(s);
        if (stats.errors != i || stats.coroutines != 0 ||
            (strcmp(kind, "time") == 0 && stats.timeouts != i) ||
            (strcmp(kind, "memory") == 0 && stats.timeouts + stats.out_of_memory != i) ||
            (strcmp(kind, "error") == 0 && stats.timeouts + stats.out_of_memory != 0))
            fail_msg("not by its %s (%d late, %d out of memory): %s", kind, (int)stats.timeouts,
                     (int)stats.out_of_memory, body);
        assert_string_equal(fixture_call(s, "good"), GOOD);
    }
    script_close(s);
}

/* Calls fn for each script of the file. */
static unsigned each_script(void (*fn)(const char *kind, const char *body))
{
    char path[512], line[2048], kind[16];
    unsigned count = 0;
    FILE *f;

    snprintf(path, sizeof path, "%.*s/../hostile_scripts.txt",
             (int)(strrchr(__FILE__, '/') - __FILE__), __FILE__);
    f = fopen(path, "r");
    assert_non_null(f);
    while (fgets(line, sizeof line, f)) {
        int from = 0;

        line[strcspn(line, "\n")] = '\0';
        if (line[0] == '#' || sscanf(line, "%15s %n", kind, &from) != 1)
            continue;
        count++;
        fn(kind, line + from);
    }
    fclose(f);
    return count;
}

static void each_ends_alone(void **state)
{
    assert_true(each_script(expect_end) >= 25);
}

static struct buf all;

static void append(const char *kind, const char *body)
{
    buf_printf(&all, "  function() %s end,\n", body);
}

static void one_state_survives_them_all(void **state)
{
    struct script *s;
    unsigned count;

    all = BUF_INIT(1 << 20);
    buf_add_lit(&all, "local perigee = require 'perigee'\nlocal next_one = 0\nlocal all = {\n");
    count = each_script(append);
    buf_add_lit(&all, "}\nreturn { rpc = {\n"
                      "  bad = function() next_one = next_one + 1 return all[next_one]() end,\n"
                      "  good = function() return next_one end,\n} }");
    buf_add_char(&all, '\0');
    s = fixture_script(all.ptr);
    for (unsigned i = 1; i <= count; i++) {
        char expected[16];

        snprintf(expected, sizeof expected, "%u", i);
        assert_string_equal(fixture_call(s, "bad"), "error 100 internal server error");
        assert_string_equal(fixture_call(s, "good"), expected);
    }
    assert_int_equal(script_stats(s).errors, count);
    script_close(s);
    buf_deinit(&all);
}

/* A coroutine that fails inside gsub leaves its buffer to a finalizer, here at every depth of C
 * calls up to the last. */
static void finalizers_run_where_they_cannot_fail(void **state)
{
    struct script *s = with_body(
        "local big, n = ('x'):rep(5000), 0 "
        "local function second_fails() n = n + 1 return n % 2 == 0 and error 'x' or big end "
        "local function fail() return (('xx'):gsub('x', second_fails)) end "
        "local function deeper() "
        "  for i = 1, 50 do coroutine.resume(coroutine.create(fail)) end"
        "  return (('x'):gsub('x', deeper)) "
        "end "
        "deeper()");
    size_t begun, ended;

    for (int i = 0; i < 20; i++) {
        fixture_call(s, "bad");
        fixture_call(s, "good");
        if (i == 0)
            begun = script_stats(s).bytes;
    }
    ended = script_stats(s).bytes;
    if (ended > 2 * begun + (1 << 20))
        fail_msg("%zu bytes after the first call, %zu after the last", begun, ended);
    script_close(s); /* checks that nothing is left */
}

/* Where the system has no timer to give, instructions are counted. */
static void without_a_tick_endless_scripts_end_as_well(void **state)
{
    static const char *const bodies[] = {
        "while true do end",
        "while true do pcall(function() while true do end end) end",
        "while true do coroutine.wrap(function() while true do end end)() end",
        "local a = setmetatable({}, {}) getmetatable(a).__call = a return a()",
    };
    struct rlimit before, none;
    timer_t timer;

    assert_int_equal(getrlimit(RLIMIT_SIGPENDING, &before), 0);
    none = (struct rlimit){.rlim_cur = 0, .rlim_max = before.rlim_max};
    assert_int_equal(setrlimit(RLIMIT_SIGPENDING, &none), 0);
    assert_int_equal(timer_create(CLOCK_THREAD_CPUTIME_ID, NULL, &timer), -1);
    for (size_t i = 0; i < ARRAY_LEN(bodies); i++)
        expect_end("time", bodies[i]);
    assert_int_equal(setrlimit(RLIMIT_SIGPENDING, &before), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_ends_alone),
        cmocka_unit_test(one_state_survives_them_all),
        cmocka_unit_test(finalizers_run_where_they_cannot_fail),
        cmocka_unit_test(without_a_tick_endless_scripts_end_as_well),
    };

    return cmocka_run_group_tests(tests, fixture_set_up, fixture_tear_down);
}
