#include "cli/test.h"

#include "api/api.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/random.h"
#include "bind/bind.h"
#include "cli/driver.h"
#include "cli/options.h"
#include "cli/token.h"
#include "codec/json.h"
#include "codec/jwt.h"

#include <lauxlib.h>
#include <stdio.h>
#include <unistd.h>

#define PROBLEM_MAX 65536
#define TOKEN_MAX 65536
#define LOG_MAX ((size_t)4 << 20)
#define SECRET_LETTERS 48
#define CLOCK_START_MS INT64_C(1767225600000) /* 2026-01-01T00:00:00Z */

struct test {
    struct options options;
    struct settings *settings;
    struct driver driver;
    const char **files;
    size_t file_count;
    const char *path, *filter; /* NULL: every test */
    char name[256];            /* of the test that runs */
    struct buf log;            /* lines as JSON objects */
    int number, passed, failed;
    char secrets[2][SECRET_LETTERS + 64]; /* --set of keys that config.lua lacks */
};

static const char test_key; /* registry */

static struct test *test_of(lua_State *L)
{
    struct test *t;

    lua_rawgetp(L, LUA_REGISTRYINDEX, &test_key);
    t = lua_touserdata(L, -1);
    lua_pop(L, 1);
    return t;
}

/* --- the log ---------------------------------------------------------------------------------- */

static void add_member(struct buf *out, const char *name)
{
    buf_add_char(out, ',');
    json_add_string(out, str_from(name));
    buf_add_char(out, ':');
}

static void on_line(void *arg, enum log_level level, struct str message,
                    const struct log_field *fields, size_t n)
{
    static const char *const levels[] = {"trace", "debug", "info", "warn", "error", "none"};
    struct test *t = arg;
    struct buf *out = &t->log;
    size_t before = out->len;

    buf_printf(out, "{\"level\":\"%s\"", levels[level]);
    add_member(out, "message");
    json_add_string(out, message);
    for (size_t i = 0; i < n; i++) {
        add_member(out, fields[i].key);
        if (fields[i].is_number)
            buf_add_i64(out, fields[i].number);
        else
            json_add_string(out, fields[i].text);
    }
    buf_add_lit(out, "}\n");
    if (out->overflow) { /* the first lines are kept */
        out->len = before;
        out->overflow = false;
    }
}

/* log() → lines since the last call, or nil */
static int l_log(lua_State *L)
{
    struct test *t = test_of(L);

    if (t->log.len == 0)
        return 0;
    lua_pushlstring(L, t->log.ptr, t->log.len);
    buf_clear(&t->log);
    return 1;
}

/* --- tokens ----------------------------------------------------------------------------------- */

/* sign(claims, for_a_subscription) → token */
static int l_sign(lua_State *L)
{
    struct str claims, secret = token_secret(test_of(L)->settings, lua_toboolean(L, 2));
    struct buf token = BUF_INIT(TOKEN_MAX);
    bool ok;

    claims.ptr = luaL_checklstring(L, 1, &claims.len);
    ok = jwt_sign(&token, STR("HS256"), STR_NONE, secret, claims) == OK;
    if (ok)
        lua_pushlstring(L, token.ptr, token.len);
    buf_deinit(&token);
    return ok ? 1 : luaL_error(L, "the claims are too long");
}

static void set_text(lua_State *L, const char *name, struct str text)
{
    if (text.len == 0)
        return;
    lua_pushlstring(L, text.ptr, text.len);
    lua_setfield(L, -2, name);
}

/* token_rules() → what the settings ask of a connection token's claims */
static int l_token_rules(lua_State *L)
{
    const struct settings *s = test_of(L)->settings;

    lua_createtable(L, 0, 3);
    set_text(L, "issuer", s->client_token_issuer);
    set_text(L, "audience", s->client_token_audience);
    set_text(L, "user_id_claim", s->client_token_user_id_claim);
    return 1;
}

/* --- the server API --------------------------------------------------------------------------- */

static void on_reply(void *arg, const struct api_reply *reply)
{
    struct script_wait *wait = arg;
    lua_State *L = script_wait_state(wait);
    struct buf error = BUF_INIT(PROBLEM_MAX);

    if (reply->code == 0) {
        lua_pushlstring(L, reply->wrapped.ptr, reply->wrapped.len);
    } else {
        buf_add_lit(&error, "{\"error\":");
        api_add_error(&error, reply->code, reply->message);
        buf_add_char(&error, '}');
        lua_pushlstring(L, error.ptr, error.len);
    }
    buf_deinit(&error);
    script_wake(wait, 1);
}

/* api(command, params) → { "result": … } or { "error": … }; nil: there is no such command, or it
 * takes other parameters */
static int l_api(lua_State *L)
{
    struct core *core = test_of(L)->driver.world.core;
    struct str name, params;
    struct api_target target;
    struct script_wait *wait;

    name.ptr = luaL_checklstring(L, 1, &name.len);
    params.ptr = luaL_checklstring(L, 2, &params.len);
    target = (struct api_target){.which = api_find(name), .name = name};
    if (!api_exists(core, &target))
        return 0;
    wait = script_wait_begin(L, "t.api");
    if (api_start(core->api, &target, params, on_reply, wait) != OK) {
        lua_pushnil(script_wait_state(wait));
        script_wake(wait, 1);
    }
    return script_wait_end(L, wait);
}

/* --- the rest of what Lua asks for ------------------------------------------------------------ */

/* start(name): the test begins, so the start hook runs */
static int l_start(lua_State *L)
{
    struct test *t = test_of(L);

    snprintf(t->name, sizeof t->name, "%s", luaL_checkstring(L, 1));
    bind_start(t->driver.world.core);
    return 0;
}

static void open_test(lua_State *L, struct driver *d)
{
    static const luaL_Reg functions[] = {
        {"log", l_log}, {"sign", l_sign},   {"token_rules", l_token_rules},
        {"api", l_api}, {"start", l_start}, {NULL, NULL}};
    struct test *t = container_of(d, struct test, driver);

    lua_pushlightuserdata(L, t);
    lua_rawsetp(L, LUA_REGISTRYINDEX, &test_key);
    luaL_setfuncs(L, functions, 0);
    lua_pushstring(L, t->path);
    lua_setfield(L, -2, "path");
}

/* --- running ---------------------------------------------------------------------------------- */

static void push_request(lua_State *L, const struct test *t, int index)
{
    lua_createtable(L, 0, 4);
    lua_pushstring(L, t->path);
    lua_setfield(L, -2, "path");
    lua_pushinteger(L, index);
    lua_setfield(L, -2, "index");
    lua_pushinteger(L, t->number + 1);
    lua_setfield(L, -2, "number");
    lua_pushstring(L, t->filter);
    lua_setfield(L, -2, "filter");
}

/* What the tool's function says (lua/perigee/test.lua); -2: there is no world. */
static int run_in_world(struct test *t, int index)
{
    struct script_tool tool = {.module = "perigee.test"};
    struct buf problem = BUF_INIT(PROBLEM_MAX);
    lua_State *co;
    int code = -2;

    buf_clear(&t->log);
    t->name[0] = '\0';
    world_stop_clock(CLOCK_START_MS);
    t->driver = (struct driver){.clock_stopped = true};
    if (driver_open(&t->driver, t->settings, &tool, open_test, &problem) == OK) {
        co = driver_begin(&t->driver, "run");
        push_request(co, t, index);
        code = driver_run(&t->driver, co, 1);
        if (t->driver.failed || !t->driver.done) {
            printf("not ok %d - %s\n#   %s: it %s\n", t->number + 1,
                   *t->name ? t->name : "the file loads", t->path,
                   t->driver.done ? "computed too long without waiting"
                                  : "waits for something that never comes");
            code = index == 0 ? -1 : 1;
        }
        driver_close(&t->driver);
    } else {
        fprintf(stderr, "perigee test: %.*s\n", STR_ARGS(buf_str(&problem)));
    }
    buf_deinit(&problem);
    return code;
}

/* False: the configuration does not run. */
static bool run_file(struct test *t)
{
    int count = run_in_world(t, 0);

    if (count == -1) {
        t->number++;
        t->failed++;
    }
    for (int i = 1; i <= count; i++) {
        int code = run_in_world(t, i);

        t->number++;
        t->passed += code == 0;
        t->failed += code != 0;
    }
    return count >= -1;
}

static int run_files(struct test *t)
{
    bool ran = true;

    log_set_sink(on_line, t);
    for (size_t i = 0; i < t->file_count && ran; i++) {
        t->path = t->files[i];
        ran = run_file(t);
    }
    log_set_sink(NULL, NULL);
    if (!ran)
        return 2;
    printf("1..%d\n# %d passed, %d failed\n", t->number, t->passed, t->failed);
    if (t->number == 0)
        fprintf(stderr, "perigee test: no test was found\n");
    return t->failed > 0 || t->number == 0 ? 1 : 0;
}

/* --- the command line ------------------------------------------------------------------------- */

/* A key of one's own where config.lua has none, as when it comes from an environment that tests do
 * not have: tokens can be made then. Keys that are fetched cannot. */
static bool add_key(struct test *t, size_t which, const char *option, struct str key)
{
    char letters[SECRET_LETTERS + 1] = "";

    if (key.len > 0)
        return false;
    random_letters(letters, SECRET_LETTERS);
    snprintf(t->secrets[which], sizeof t->secrets[which], "%s=%s", option, letters);
    options_set(&t->options, t->secrets[which]);
    return true;
}

static struct settings *load(struct test *t)
{
    struct settings *s = options_load(&t->options);
    bool changed;

    if (s == NULL)
        return NULL;
    changed = add_key(t, 0, "client.token.hmac_secret_key", s->client_token_hmac_secret_key);
    if (s->client_subscription_token_enabled)
        changed |= add_key(t, 1, "client.subscription_token.hmac_secret_key",
                           s->client_subscription_token_hmac_secret_key);
    if (s->client_token_jwks_public_endpoint.len > 0) {
        options_set(&t->options, "client.token.jwks_public_endpoint=");
        changed = true;
    }
    if (s->client_subscription_token_jwks_public_endpoint.len > 0) {
        options_set(&t->options, "client.subscription_token.jwks_public_endpoint=");
        changed = true;
    }
    if (!changed)
        return s;
    settings_unref(s);
    return options_load(&t->options);
}

static bool parse(struct test *t, int argc, char **argv)
{
    const char *value;

    for (int i = 1; i < argc; i++) {
        if (options_take(&t->options, argc, argv, &i))
            continue;
        if ((value = options_value(&t->options, argc, argv, &i, "--filter", "-f")) != NULL)
            t->filter = value;
        else if (argv[i][0] != '-')
            t->files[t->file_count++] = argv[i];
        else
            return options_unexpected(&t->options, argv[i]) == 0;
    }
    if (t->options.config == NULL && access("config.lua", R_OK) == 0)
        t->options.config = "config.lua";
    for (size_t i = 0; i < t->file_count; i++) {
        if (access(t->files[i], R_OK) != 0) {
            fprintf(stderr, "perigee test: %s cannot be read\n", t->files[i]);
            return false;
        }
    }
    if (t->file_count == 0)
        fprintf(stderr,
                "perigee test: which file? perigee test rules_test.lua (perigee help test)\n");
    return t->file_count > 0;
}

int cli_test(int argc, char **argv)
{
    struct test t = {.log = BUF_INIT(LOG_MAX)};
    int code = 2;

    options_init(&t.options, "test", argc);
    t.files = mem_zalloc((size_t)argc * sizeof *t.files);
    if (parse(&t, argc, argv) && (t.settings = load(&t)) != NULL)
        code = run_files(&t);
    settings_unref(t.settings);
    buf_deinit(&t.log);
    mem_free(t.files);
    options_deinit(&t.options);
    return code;
}
