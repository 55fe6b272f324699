/* config.lua → struct settings, the rules' bits, reference counts; embedded modules, channel_regex
 * and the generated file. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "base/base.h"
#include "cli/genconfig.h"
#include "script/config.h"
#include "script/embedded.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

static char dir[] = "/tmp/perigee-config-XXXXXX";
static char path[64];

static void write_config(const char *text)
{
    FILE *f = fopen(path, "w");

    assert_non_null(f);
    fputs(text, f);
    fclose(f);
}

static const struct settings *load_with(const char *text, const char *const *env,
                                        const char *const *set)
{
    struct config_request req = {.path = text ? path : NULL, .env = env, .set = set};
    struct buf problems = BUF_INIT(65536);
    struct settings *s = NULL;

    if (text)
        write_config(text);
    if (config_load(&req, &s, &problems) != OK)
        fail_msg("%.*s", STR_ARGS(buf_str(&problems)));
    buf_deinit(&problems);
    return s;
}

/* The problems of a wrong configuration, zero-terminated; free with buf_deinit. */
static struct buf problems_of(const char *text, const char *const *set)
{
    struct config_request req = {.path = path, .set = set};
    struct buf problems = BUF_INIT(65536);
    struct settings *s = NULL;

    if (text)
        write_config(text);
    assert_int_equal(config_load(&req, &s, &problems), ERR_CONFIG);
    assert_null(s);
    buf_add_char(&problems, '\0');
    return problems;
}

#define assert_str(view, text) assert_true(str_eq(view, str_from(text)))

static void settings_without_a_file_are_the_defaults(void **state)
{
    const struct settings *s = load_with(NULL, NULL, NULL);

    assert_int_equal(s->http_server_port, 8000);
    assert_int_equal(s->client_ping_interval_ms, 25000);
    assert_int_equal(s->lua_memory_limit, 64 << 20);
    assert_int_equal(s->log_level, SETTING_LOG_LEVEL_INFO);
    assert_str(s->websocket_handler_prefix, "/connection/websocket");
    assert_str(s->engine_redis_address.items[0], "redis://127.0.0.1:6379");
    assert_int_equal(s->client_rate_limit_client_command_connect_buckets.items[0].interval_ms,
                     1000);
    assert_int_equal(s->namespaces_count, 1);
    assert_int_equal(s->source.len, 0);
    settings_unref(s);
}

static void settings_hold_what_the_file_says(void **state)
{
    static const char text[] =
        "return { workers = 3, log = { level = 'debug' },\n"
        "client = { allowed_origins = { 'https://a.test', 'null' },\n"
        "  token = { hmac_secret_key = 'k\\0ey' }, queue_max_size = '2M' },\n"
        "channel = { namespaces = { chat = { history_size = 7,\n"
        "  history_ttl = '10m', channel_regex = '^[\\\\w-]+$' } } } }";
    const struct settings *s = load_with(text, NULL, NULL);
    const struct ns *chat = settings_ns(s, STR("chat"));

    assert_int_equal(s->workers, 3);
    assert_int_equal(s->log_level, SETTING_LOG_LEVEL_DEBUG);
    assert_int_equal(s->client_allowed_origins.count, 2);
    assert_str(s->client_allowed_origins.items[1], "null");
    assert_true(str_eq(s->client_token_hmac_secret_key, STR("k\0ey")));
    assert_int_equal(s->client_queue_max_size, 2 << 20);
    assert_non_null(chat);
    assert_int_equal(chat->opt.history_size, 7);
    assert_int_equal(chat->opt.history_ttl_ms, 600000);
    assert_true(settings_regex_match(chat->regex, STR("room-1")));
    assert_str(s->source, text);
    assert_str(s->path, path);
    settings_unref(s);
}

static void namespaces_are_found_by_exact_name_and_the_empty_name_is_row_0(void **state)
{
    const struct settings *s =
        load_with("return { channel = { namespaces = { bb = {}, aa = {} } } }", NULL, NULL);

    assert_ptr_equal(settings_ns(s, STR_NONE), &s->namespaces[0]);
    assert_int_equal(settings_ns(s, STR("aa"))->index, 1);
    assert_int_equal(settings_ns(s, STR("bb"))->index, 2);
    assert_null(settings_ns(s, STR("a")));
    assert_null(settings_ns(s, STR("AA")));
    assert_null(settings_ns(s, STR("aaa")));
    settings_unref(s);
}

static void environment_and_set_override_the_file(void **state)
{
    static const char *env[] = {"PERIGEE_HTTP_SERVER_PORT=1", "PERIGEE_LOG_LEVEL=warn", NULL};
    static const char *set[] = {"http_server.port=2", NULL};
    const struct settings *s = load_with("return { http_server = { port = 3 } }", env, set);

    assert_int_equal(s->http_server_port, 2);
    assert_int_equal(s->log_level, SETTING_LOG_LEVEL_WARN);
    settings_unref(s);
}

static void rules_are_cached_as_bits_with_their_reasons(void **state)
{
    const struct settings *s = load_with(
        "return { channel = { namespaces = { chat = {\n"
        "  allow_subscribe_for_client = true, allow_publish_for_subscriber = true } } } }",
        NULL, NULL);
    const struct ns *chat = settings_ns(s, STR("chat"));

    assert_true(settings_allows(chat, 0, ACTION_SUBSCRIBE));
    assert_false(settings_allows(chat, WHO_ANONYMOUS, ACTION_SUBSCRIBE));
    assert_str(settings_denied_option(chat, WHO_ANONYMOUS, ACTION_SUBSCRIBE),
               "channel.namespaces.chat.allow_subscribe_for_anonymous");
    assert_false(settings_allows(chat, WHO_PRIVATE | WHO_INSECURE, ACTION_SUBSCRIBE));
    assert_str(settings_denied_option(chat, WHO_PRIVATE, ACTION_SUBSCRIBE),
               "channel.private_prefix");
    assert_false(settings_allows(chat, 0, ACTION_PUBLISH));
    assert_true(settings_allows(chat, WHO_SUBSCRIBED, ACTION_PUBLISH));
    assert_true(settings_denied_cause(chat, 0, ACTION_PUBLISH).len > 0);
    assert_false(settings_allows(chat, WHO_SUBSCRIBED, ACTION_HISTORY));
    assert_str(settings_denied_option(settings_ns(s, STR_NONE), 0, ACTION_HISTORY),
               "channel.without_namespace.allow_history_for_client");
    assert_int_equal(s->namespaces[0].allow[0], 0);
    assert_int_equal(s->namespaces[0].allow[WHO_INSECURE],
                     ALLOW_SUBSCRIBE | ALLOW_PUBLISH | ALLOW_PRESENCE | ALLOW_HISTORY);
    settings_unref(s);
}

static void wrong_configuration_tells_every_problem_with_its_line(void **state)
{
    static const char *set[] = {"quite_unknown=1", NULL};
    struct buf p = problems_of("return {\n  http_server = { prot = 1 },\n  workers = -1,\n}", set);
    char expected[512];

    snprintf(expected, sizeof expected,
             "--set: quite_unknown: unknown option\n"
             "%s:2: http_server.prot: unknown option (did you mean http_server.port?)\n"
             "%s:3: workers: must be at least 1, or \"auto\"\n",
             path, path);
    assert_string_equal(p.ptr, expected);
    buf_deinit(&p);
}

static void a_file_that_takes_too_much_memory_is_refused(void **state)
{
    struct buf problems = problems_of("local s = ('x'):rep(3 << 29)\nreturn {}\n", NULL);

    assert_non_null(strstr(problems.ptr, "config.lua:1: not enough memory"));
    buf_deinit(&problems);
}

static void a_weak_configuration_is_loaded_with_its_warnings(void **state)
{
    struct buf problems = BUF_INIT(65536), warnings = BUF_INIT(65536);
    struct config_request req = {.path = path, .warnings = &warnings};
    struct settings *s = NULL;
    char expected[512];

    write_config(
        "return {\n  client = { insecure = true, allowed_origins = { 'https://a.test' } },\n"
        "  http_api = { disabled = true },\n}");
    assert_int_equal(config_load(&req, &s, &problems), OK);
    snprintf(expected, sizeof expected,
             "%s:2: client.insecure: warning: everybody may do everything; for development only\n",
             path);
    assert_true(str_eq(buf_str(&warnings), str_from(expected)));
    assert_int_equal(problems.len, 0);
    settings_unref(s);
    buf_deinit(&problems);
    buf_deinit(&warnings);
}

static void a_missing_file_and_a_folder_are_told(void **state)
{
    struct buf p;

    unlink(path);
    p = problems_of(NULL, NULL);
    assert_non_null(strstr(p.ptr, "No such file"));
    buf_deinit(&p);
    assert_int_equal(mkdir(path, 0700), 0);
    p = problems_of(NULL, NULL);
    assert_non_null(strstr(p.ptr, "directory"));
    buf_deinit(&p);
    rmdir(path);
}

static void a_runtime_error_keeps_the_whole_path_however_long(void **state)
{
    char folder[160], file[256], message[512];
    struct config_request req = {.path = file};
    struct buf p = BUF_INIT(65536);
    struct settings *s;
    FILE *f;

    snprintf(folder, sizeof folder, "%s/%0100d", dir, 7);
    snprintf(file, sizeof file, "%s/config.lua", folder);
    snprintf(message, sizeof message, "%s:2: attempt to index", file);
    assert_int_equal(mkdir(folder, 0700), 0);
    f = fopen(file, "w");
    assert_non_null(f);
    fputs("local t = {}\nreturn t.a.b\n", f);
    fclose(f);
    assert_int_equal(config_load(&req, &s, &p), ERR_CONFIG);
    buf_add_char(&p, '\0');
    assert_non_null(strstr(p.ptr, message));
    buf_deinit(&p);
    unlink(file);
    rmdir(folder);
}

static void a_configuration_may_compute_with_the_helpers(void **state)
{
    const struct settings *s = load_with(
        "local p = require 'perigee'\n"
        "local secret = p.sha256(p.hmac('k', p.base64.encode 'salt'))\n"
        "local claims = p.jwt.verify(p.jwt.sign({ user = 'ann' }, secret), secret)\n"
        "assert(#p.uuid() == 36 and p.now() > 1.6e9 and p.env('NO_SUCH_NAME', 'd') == 'd')\n"
        "p.log.info 'not written here'\n"
        "return { node = { name = p.json.decode(p.json.encode { claims.user })[1] },"
        " client = { token = { hmac_secret_key = secret } } }",
        NULL, NULL);
    struct buf problems;

    assert_str(s->node_name, "ann");
    assert_int_equal(s->client_token_hmac_secret_key.len, 64);
    settings_unref(s);
    problems =
        problems_of("local p = require 'perigee'\nreturn { rpc = p.json.encode(print) }", NULL);
    assert_non_null(strstr(problems.ptr, "config.lua:2: cannot encode as JSON"));
    buf_deinit(&problems);
}

static void settings_live_until_the_last_reference(void **state)
{
    struct settings *s = settings_new(1), *again = settings_ref(s);

    settings_add_namespace(s, 0, STR_NONE);
    settings_unref(s);
    assert_int_equal(again->namespaces_count, 1); /* a sanitizer would see it gone */
    settings_unref(again);
    settings_unref(NULL);
}

static void embedded_modules_are_found_by_name(void **state)
{
    assert_non_null(embedded_find(STR("perigee.schema")));
    assert_non_null(embedded_find(STR("perigee.rules")));
    assert_null(embedded_find(STR("perigee.nothing")));
    assert_null(embedded_find(STR("")));
    for (size_t i = 0; i < embedded_count; i++)
        assert_ptr_equal(embedded_find(str_from(embedded_files[i].name)), &embedded_files[i]);
}

static void regex_follows_the_dialect_that_users_write(void **state)
{
    static const struct {
        const char *pattern, *yes, *no;
    } cases[] = {
        {"^room\\d+$", "room42", "room"},
        {"^[a-z\\d_-]+$", "a-1_", "A"},
        {"oo", "room", "rm"},
        {"^(?:a|b)\\.c$", "a.c", "axc"},
        {"^(?P<id>\\d{2})$", "42", "4"},
        {"^[^\\w]$", "-", "a"},
        {"\\Aab\\z", "ab", "abc"},
        {"^[]a]$", "]", "b"},
        {"^[\\]\\-x]$", "-", "y"},
        {"^\\S+$", "ab", "a b"},
    };
    static const char *bad[] = {"(", "[a", "a\\", "(a)\\1", "(?i)a", "\\pL", "[z-a]", "*\\"};

    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct settings_regex *regex = settings_regex_new(str_from(cases[i].pattern));

        assert_non_null(regex);
        assert_true(settings_regex_match(regex, str_from(cases[i].yes)));
        assert_false(settings_regex_match(regex, str_from(cases[i].no)));
        settings_regex_free(regex);
    }
    for (size_t i = 0; i < ARRAY_LEN(bad); i++)
        assert_null(settings_regex_new(str_from(bad[i])));
}

static void a_generated_file_is_valid_private_and_never_overwritten(void **state)
{
    struct buf text = BUF_INIT(16384), other = BUF_INIT(16384);
    struct config_request req = {.path = path};
    struct buf problems = BUF_INIT(65536);
    struct settings *s;
    struct stat st;

    unlink(path);
    genconfig_text(&text);
    genconfig_text(&other);
    assert_false(str_eq(buf_str(&text), buf_str(&other)));
    assert_int_equal(genconfig_write(path, buf_str(&text)), OK);
    assert_int_equal(genconfig_write(path, buf_str(&other)), ERR_EXISTS);
    assert_int_equal(stat(path, &st), 0);
    assert_int_equal(st.st_mode & 0777, 0600);
    assert_int_equal(config_load(&req, &s, &problems), OK);
    assert_true(str_eq(s->source, buf_str(&text)));
    settings_unref(s);
    buf_deinit(&text);
    buf_deinit(&other);
    buf_deinit(&problems);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(settings_without_a_file_are_the_defaults),
        cmocka_unit_test(settings_hold_what_the_file_says),
        cmocka_unit_test(namespaces_are_found_by_exact_name_and_the_empty_name_is_row_0),
        cmocka_unit_test(environment_and_set_override_the_file),
        cmocka_unit_test(rules_are_cached_as_bits_with_their_reasons),
        cmocka_unit_test(wrong_configuration_tells_every_problem_with_its_line),
        cmocka_unit_test(a_file_that_takes_too_much_memory_is_refused),
        cmocka_unit_test(a_weak_configuration_is_loaded_with_its_warnings),
        cmocka_unit_test(a_missing_file_and_a_folder_are_told),
        cmocka_unit_test(a_runtime_error_keeps_the_whole_path_however_long),
        cmocka_unit_test(a_configuration_may_compute_with_the_helpers),
        cmocka_unit_test(settings_live_until_the_last_reference),
        cmocka_unit_test(embedded_modules_are_found_by_name),
        cmocka_unit_test(regex_follows_the_dialect_that_users_write),
        cmocka_unit_test(a_generated_file_is_valid_private_and_never_overwritten),
    };
    int code;

    if (!mkdtemp(dir))
        return 1;
    snprintf(path, sizeof path, "%s/config.lua", dir);
    code = cmocka_run_group_tests(tests, NULL, NULL);
    unlink(path);
    rmdir(dir);
    return code;
}
