/* One worker without a thread, and Lua states on it made from a text: what the tests of src/script
 * share. */
#pragma once

#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "loop/worker.h"
#include "script/hook.h"
#include "script/script.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <cmocka.h>

static struct worker *worker;
static struct settings *settings; /* of the last fixture_script */

static int fixture_set_up(void **state)
{
    assert_int_equal(log_setup(LOG_NONE, LOG_AUTO, NULL), OK);
    worker = worker_new(0);
    worker_enter(worker);
    return 0;
}

static int fixture_tear_down(void **state)
{
    worker_close_handles(worker);
    worker_run(worker);
    worker_free(worker);
    return 0;
}

/* Settings with the namespaces "" (row 0) and chat (row 1), 64 MB and 50 ms. */
static struct settings *fixture_settings(const char *config)
{
    struct settings *s = settings_new(2);

    settings_add_namespace(s, 0, STR(""));
    settings_add_namespace(s, 1, STR("chat"));
    s->source = str_dup(str_from(config));
    s->path = str_dup(STR("config.lua"));
#ifdef __SANITIZE_THREAD__
    s->lua_timeout_ms = 1000; /* it is that much slower */
#else
    s->lua_timeout_ms = 50;
#endif
    s->lua_memory_limit = 64 << 20;
    return s;
}

static enum err fixture_try(struct settings *s, struct buf *problem, struct script **out)
{
    struct script_request request = {.worker = worker, .settings = s};
    enum err err = script_new(&request, problem, out);

    settings_unref(s); /* the script has its own reference */
    return err;
}

static UNUSED struct script *fixture_script(const char *config)
{
    struct buf problem = BUF_INIT(4096);
    struct script *s = NULL;

    settings = fixture_settings(config);
    if (fixture_try(settings, &problem, &s) != OK)
        fail_msg("%.*s", STR_ARGS(buf_str(&problem)));
    buf_deinit(&problem);
    return s;
}

/* The sentence that a text is refused with. */
static UNUSED void fixture_refused(const char *config, const char *with)
{
    struct buf problem = BUF_INIT(4096);
    struct script *s = NULL;

    assert_int_equal(fixture_try(fixture_settings(config), &problem, &s), ERR_SCRIPT);
    buf_add_char(&problem, 0);
    if (!strstr(problem.ptr, with))
        fail_msg("\"%s\" instead of \"%s\"", problem.ptr, with);
    buf_deinit(&problem);
}

/* Turns the loop until *count is at least n, a second at most. */
static UNUSED void fixture_until(const unsigned *count, unsigned n)
{
    for (int turns = 0; *count < n && turns < 1000; turns++) {
        uv_run(&worker->loop, UV_RUN_NOWAIT);
        uv_sleep(1);
    }
    assert_true(*count >= n);
}

/* A verdict that outlives its callback. */
struct answered {
    unsigned count;
    struct hook_verdict verdict;
    char message[256], data[1024], info[256], user[64];
};

static UNUSED void fixture_keep(char *out, size_t size, struct str text)
{
    snprintf(out, size, "%.*s", STR_ARGS(text));
}

static UNUSED void fixture_answered(void *arg, const struct hook_verdict *verdict)
{
    struct answered *a = arg;

    a->count++;
    a->verdict = *verdict;
    fixture_keep(a->message, sizeof a->message, verdict->message);
    fixture_keep(a->data, sizeof a->data, verdict->data);
    fixture_keep(a->info, sizeof a->info, verdict->info);
    fixture_keep(a->user, sizeof a->user, verdict->user);
}

/* Runs the rpc method of config.lua and returns its result as text (or "error <code> <message>").
 */
static UNUSED const char *fixture_call(struct script *s, const char *method)
{
    static struct answered a;
    static char text[1100];
    struct hook_request request = {.method = str_from(method)};

    a = (struct answered){0};
    hook_run_rpc(s, &request, fixture_answered, &a);
    fixture_until(&a.count, 1);
    assert_int_equal(a.count, 1);
    if (a.verdict.outcome == VERDICT_ERROR)
        snprintf(text, sizeof text, "error %u %s", a.verdict.code, a.message);
    else
        snprintf(text, sizeof text, "%s", a.data);
    return text;
}

/* What the method run of s returns. Takes s. */
static UNUSED void fixture_gives(struct script *s, const char *expected)
{
    assert_string_equal(fixture_call(s, "run"), expected);
    script_close(s);
}

/* The message of the error that an expression raises; with_body makes a script whose method run has
 * the body. */
static UNUSED void fixture_raises(struct script *(*with_body)(const char *body),
                                  const char *expression, const char *with)
{
    char body[1024];
    struct script *s;
    const char *message;

    snprintf(body, sizeof body, "return select(2, pcall(function() return %s end))", expression);
    s = with_body(body);
    message = fixture_call(s, "run");
    if (!strstr(message, with))
        fail_msg("%s: \"%s\" instead of \"%s\"", expression, message, with);
    script_close(s);
}
