#include "script/config.h"

#include "base/check.h"
#include "base/clock.h"
#include "base/mem.h"
#include "codec/jwt.h"
#include "script/embedded.h"
#include "script/lua_json.h"
#include "script/module.h"
#include "script/values.h"

#include <errno.h>
#include <fcntl.h>
#include <lauxlib.h>
#include <lualib.h>
#include <sys/stat.h>
#include <unistd.h>

#define FILE_MAX ((size_t)16 << 20) /* config.lua and every file it reads */
#define RUN_MAX_MS 10000            /* a configuration that computes longer is an endless loop */
#define RUN_CHECK_EVERY 1000000     /* instructions */
#define RUN_MEMORY_MAX ((size_t)1 << 30) /* more is a mistake, too */

struct loading {
    const void *script; /* first, and NULL: script_of finds none here */
    const struct config_request *req;
    struct buf source;
    struct buf *problems;
    struct settings *settings;
    uint64_t remote_hash;
    uint64_t deadline_ms;
    bool endless;  /* it was passed, and problems says so */
    size_t memory; /* of the Lua state */
};

/* Of Lua: bounded. The limit of workers is not known before the file has run. */
static void *allocate(void *arg, void *ptr, size_t old, size_t size)
{
    struct loading *loading = arg;

    if (ptr == NULL)
        old = 0; /* Lua says what it is for */
    if (size > old && size - old > RUN_MEMORY_MAX - loading->memory)
        return NULL;
    loading->memory += size - old;
    if (size > 0)
        return mem_realloc(ptr, size);
    mem_free(ptr);
    return NULL;
}

enum err config_read_file(const char *path, struct buf *out)
{
    enum err err = OK;
    int fd = open(path, O_RDONLY | O_CLOEXEC);

    if (fd < 0)
        return ERR_IO;
    for (;;) {
        char block[16384];
        ssize_t n = read(fd, block, sizeof block);

        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            err = ERR_IO;
        if (n <= 0)
            break;
        buf_add(out, block, (size_t)n);
        if (out->overflow) {
            err = ERR_LIMIT;
            break;
        }
    }
    if (err == ERR_IO) {
        int saved = errno;

        close(fd);
        errno = saved;
    } else {
        close(fd);
    }
    return err;
}

static const char *read_problem(enum err err)
{
    return err == ERR_LIMIT ? "the file is too big" : strerrordesc_np(errno);
}

/* --- what lua/perigee/config.lua asks of C ---------------------------------------------------- */

int config_read(lua_State *L)
{
    const char *path = luaL_checkstring(L, 1);
    struct buf text = BUF_INIT(FILE_MAX);
    enum err err = config_read_file(path, &text);

    /* A Lua error here would leak text; only running out of memory could raise one. */
    if (err == OK) {
        lua_pushlstring(L, text.ptr ? text.ptr : "", text.len);
        buf_deinit(&text);
        return 1;
    }
    buf_deinit(&text);
    lua_pushnil(L);
    lua_pushstring(L, read_problem(err));
    return 2;
}

static int l_folder_ok(lua_State *L)
{
    const char *path = luaL_checkstring(L, 1);
    struct stat st;

    lua_pushboolean(L,
                    stat(path, &st) == 0 && S_ISDIR(st.st_mode) && access(path, R_OK | X_OK) == 0);
    return 1;
}

static int l_regex_ok(lua_State *L)
{
    size_t len;
    const char *pattern = luaL_checklstring(L, 1, &len);
    struct settings_regex *regex = settings_regex_new(str_of(pattern, len));

    lua_pushboolean(L, regex != NULL);
    settings_regex_free(regex);
    return 1;
}

/* key_ok(family, pem) */
static int l_key_ok(lua_State *L)
{
    bool rsa = strcmp(luaL_checkstring(L, 1), "rsa") == 0;
    size_t len;
    const char *pem = luaL_checklstring(L, 2, &len);
    struct jwt_keys *keys = jwt_keys_new();
    enum err err =
        rsa ? jwt_keys_set_rsa(keys, str_of(pem, len)) : jwt_keys_set_ec(keys, str_of(pem, len));

    lua_pushboolean(L, err == OK);
    jwt_keys_free(keys);
    return 1;
}

static struct loading *loading_of(lua_State *L)
{
    return *(struct loading **)lua_getextraspace(L);
}

/* A value that is a JSON object, list or string is decoded, other text is left to the option. */
static void push_value(lua_State *L, struct str value)
{
    char first = str_trim(value).len > 0 ? str_trim(value).ptr[0] : ' ';

    if ((first != '{' && first != '[' && first != '"') || lua_json_push(L, value) != OK)
        lua_pushlstring(L, value.ptr ? value.ptr : "", value.len);
}

static void push_values(lua_State *L, const struct remote_values *values)
{
    loading_of(L)->remote_hash = remote_values_hash(values);
    lua_createtable(L, (int)values->count, 0);
    for (size_t i = 0; i < values->count; i++) {
        const struct remote_pair *pair = &values->pairs[i];

        lua_createtable(L, 2, 0);
        lua_pushlstring(L, pair->key.ptr ? pair->key.ptr : "", pair->key.len);
        lua_rawseti(L, -2, 1);
        push_value(L, pair->value);
        lua_rawseti(L, -2, 2);
        lua_rawseti(L, -2, (lua_Integer)i + 1);
    }
}

static struct str source_field(lua_State *L, const char *name)
{
    struct str text;

    lua_getfield(L, 1, name);
    text.ptr = luaL_checklstring(L, -1, &text.len);
    return text; /* the table keeps it */
}

/* fetch(source) → a list of { key, value }, or nil and a message */
static int l_fetch(lua_State *L)
{
    const struct remote *watch = loading_of(L)->req->watch;
    struct remote_options options = {
        .endpoint = source_field(L, "endpoint"),
        .prefix = source_field(L, "prefix"),
        .user = source_field(L, "user"),
        .password = source_field(L, "password"),
        .token = source_field(L, "token"),
    };
    struct buf problem = BUF_INIT(4096);
    struct remote_values values;
    enum err err;

    lua_getfield(L, 1, "type");
    options.type = (enum remote_type)luaL_checkinteger(L, -1);
    lua_getfield(L, 1, "timeout");
    options.timeout_ms = (uint64_t)luaL_checkinteger(L, -1);
    if (watch && remote_is_for(watch, &options) && remote_latest(watch)) {
        push_values(L, remote_latest(watch));
        return 1;
    }
    err = remote_fetch(&options, &values, &problem);
    if (err == OK)
        push_values(L, &values);
    else
        lua_pushnil(L);
    remote_values_deinit(&values);
    lua_pushlstring(L, problem.ptr ? problem.ptr : "", problem.len);
    buf_deinit(&problem);
    return 2;
}

/* The first time notes where the loop is; from then on every instruction raises, so that no pcall
 * can swallow it. */
static void on_count(lua_State *L, lua_Debug *ar)
{
    struct loading *loading = loading_of(L);

    if (clock_mono_ms() < loading->deadline_ms)
        return;
    if (!loading->endless) {
        loading->endless = true;
        lua_getinfo(L, "Sl", ar);
        buf_printf(loading->problems, "%s:%d: the configuration runs for more than %d seconds\n",
                   ar->source[0] == '@' ? ar->source + 1
                   : loading->req->path ? loading->req->path
                                        : "configuration",
                   ar->currentline, RUN_MAX_MS / 1000);
    }
    lua_sethook(L, on_count, LUA_MASKCOUNT, 1);
    lua_pushliteral(L, "it runs too long");
    lua_error(L);
}

/* --- the result into struct settings ---------------------------------------------------------- */

static void fill_settings(lua_State *L, struct loading *loading)
{
    size_t count;
    struct settings *s;

    lua_getfield(L, -1, "namespaces");
    count = lua_rawlen(L, -1);
    s = loading->settings = settings_new(count);
    for (size_t i = 0; i < count; i++) {
        lua_rawgeti(L, -1, (lua_Integer)i + 1);
        lua_getfield(L, -1, "name");
        settings_add_namespace(s, i, values_str(L, -1));
        lua_pop(L, 1);
        values_fill_ns(L, &s->namespaces[i]);
        lua_pop(L, 1);
    }
    lua_pop(L, 1);
    lua_getfield(L, -1, "reasons");
    values_fill_reasons(L, &s->reasons);
    lua_pop(L, 1);
    lua_getfield(L, -1, "values");
    values_fill(L, s, settings_fields, settings_fields_count);
    lua_pop(L, 1);
    s->remote_hash = loading->remote_hash;
    s->path = str_dup(str_from(loading->req->path));
    s->source = str_dup(buf_str(&loading->source));
}

/* --- running it ------------------------------------------------------------------------------- */

static void push_strings(lua_State *L, const char *const *strings)
{
    lua_newtable(L);
    for (lua_Integer i = 0; strings && strings[i]; i++) {
        lua_pushstring(L, strings[i]);
        lua_rawseti(L, -2, i + 1);
    }
}

static void push_request(lua_State *L, const struct loading *loading)
{
    lua_newtable(L);
    if (loading->req->path) {
        lua_pushstring(L, loading->req->path);
        lua_setfield(L, -2, "path");
        lua_pushlstring(L, loading->source.ptr ? loading->source.ptr : "", loading->source.len);
        lua_setfield(L, -2, "text");
    }
    push_strings(L, loading->req->defaults);
    lua_setfield(L, -2, "defaults");
    push_strings(L, loading->req->env);
    lua_setfield(L, -2, "env");
    push_strings(L, loading->req->set);
    lua_setfield(L, -2, "set");
    lua_pushcfunction(L, config_read);
    lua_setfield(L, -2, "read");
    lua_pushcfunction(L, l_folder_ok);
    lua_setfield(L, -2, "folder_ok");
    lua_pushcfunction(L, l_regex_ok);
    lua_setfield(L, -2, "regex_ok");
    lua_pushcfunction(L, l_key_ok);
    lua_setfield(L, -2, "key_ok");
    lua_pushcfunction(L, l_fetch);
    lua_setfield(L, -2, "fetch");
    lua_pushglobaltable(L);
    lua_setfield(L, -2, "globals");
    lua_newtable(L);
    module_open(L);
    lua_setfield(L, -2, "helpers");
}

static void open_libraries(lua_State *L)
{
    static const luaL_Reg libraries[] = {
        {LUA_GNAME, luaopen_base},        {LUA_TABLIBNAME, luaopen_table},
        {LUA_STRLIBNAME, luaopen_string}, {LUA_MATHLIBNAME, luaopen_math},
        {LUA_UTF8LIBNAME, luaopen_utf8},  {LUA_COLIBNAME, luaopen_coroutine},
        {LUA_OSLIBNAME, luaopen_os},
    };

    for (size_t i = 0; i < ARRAY_LEN(libraries); i++) {
        luaL_requiref(L, libraries[i].name, libraries[i].func, 1);
        lua_pop(L, 1);
    }
    lua_pushcfunction(L, embedded_require); /* for our modules; the user's chunk sees another */
    lua_setglobal(L, "require");
}

/* The list on top of the stack, one line each. */
static void add_lines(lua_State *L, struct buf *out)
{
    size_t count = lua_rawlen(L, -1);

    for (size_t i = 0; i < count; i++) {
        lua_rawgeti(L, -1, (lua_Integer)i + 1);
        buf_add_str(out, values_str(L, -1));
        buf_add_char(out, '\n');
        lua_pop(L, 1);
    }
}

/* The same of a list of the result, if anybody asks. */
static void add_list(lua_State *L, const char *name, struct buf *out)
{
    if (out == NULL)
        return;
    lua_getfield(L, -1, name);
    add_lines(L, out);
    lua_pop(L, 1);
}

/* Protected: everything that may raise. */
static int run(lua_State *L)
{
    struct loading *loading = lua_touserdata(L, 1);

    open_libraries(L);
    embedded_push(L, "perigee.config", "load");
    push_request(L, loading);
    lua_sethook(L, on_count, LUA_MASKCOUNT, RUN_CHECK_EVERY);
    lua_call(L, 1, 2);
    lua_sethook(L, NULL, 0, 0);
    if (lua_isnil(L, -2)) {
        add_lines(L, loading->problems);
        return 0;
    }
    lua_pop(L, 1);
    add_list(L, "warnings", loading->req->warnings);
    add_list(L, "places", loading->req->places);
    fill_settings(L, loading);
    return 0;
}

enum err config_load(const struct config_request *req, struct settings **out, struct buf *problems)
{
    struct loading loading = {.req = req,
                              .source = BUF_INIT(FILE_MAX),
                              .problems = problems,
                              .deadline_ms = clock_mono_ms() + RUN_MAX_MS};
    enum err err = req->path ? config_read_file(req->path, &loading.source) : OK;
    lua_State *L;

    if (err != OK) {
        buf_printf(problems, "%s: %s\n", req->path, read_problem(err));
        buf_deinit(&loading.source);
        return ERR_CONFIG;
    }
    L = lua_newstate(allocate, &loading);
    CHECK(L != NULL);
    *(struct loading **)lua_getextraspace(L) = &loading;
    lua_pushcfunction(L, run);
    lua_pushlightuserdata(L, &loading);
    if (lua_pcall(L, 1, 0, 0) != LUA_OK || loading.endless) {
        const char *message = lua_gettop(L) > 0 ? lua_tostring(L, -1) : NULL;

        if (!loading.endless)
            buf_printf(problems, "%s: %s\n", req->path ? req->path : "configuration",
                       message ? message : "it failed without a message");
        settings_unref(loading.settings);
        loading.settings = NULL;
    }
    lua_close(L);
    buf_deinit(&loading.source);
    if (!loading.settings)
        return ERR_CONFIG;
    *out = loading.settings;
    return OK;
}

void config_source(const struct settings *s, struct remote_options *out)
{
    static const enum remote_type types[] = {
        [SETTING_CONFIG_SOURCE_TYPE_NONE] = REMOTE_NONE,
        [SETTING_CONFIG_SOURCE_TYPE_ETCD] = REMOTE_ETCD,
        [SETTING_CONFIG_SOURCE_TYPE_CONSUL] = REMOTE_CONSUL,
    };
    struct str endpoint = s->config_source_endpoint;

    if (endpoint.len > 0 && endpoint.ptr[endpoint.len - 1] == '/')
        endpoint.len--;
    *out = (struct remote_options){
        .type = types[s->config_source_type],
        .endpoint = endpoint,
        .prefix = s->config_source_prefix,
        .user = s->config_source_user,
        .password = s->config_source_password,
        .token = s->config_source_token,
        .timeout_ms = (uint64_t)s->config_source_timeout_ms,
    };
}
