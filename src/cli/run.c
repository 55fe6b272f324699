#include "cli/run.h"

#include "base/log.h"
#include "cli/driver.h"
#include "cli/options.h"

#include <lauxlib.h>
#include <lualib.h>
#include <stdio.h>

#define PROBLEM_MAX 65536

struct run {
    struct options options;
    struct settings *settings;
    struct driver driver;
    const char *path;
    char **arguments; /* of the program */
    int argument_count;
};

/* --- what Lua finds --------------------------------------------------------------------------- */

/* arg: the program's arguments, and its path as arg[0]. */
static void set_arguments(lua_State *L, const struct run *r)
{
    lua_createtable(L, r->argument_count, 1);
    lua_pushstring(L, r->path);
    lua_rawseti(L, -2, 0);
    for (int i = 0; i < r->argument_count; i++) {
        lua_pushstring(L, r->arguments[i]);
        lua_rawseti(L, -2, i + 1);
    }
    lua_setfield(L, -2, "arg");
}

static void set_str(lua_State *L, const char *name, struct str text)
{
    lua_pushlstring(L, text.ptr ? text.ptr : "", text.len);
    lua_setfield(L, -2, name);
}

/* Where the API of the configuration's server is. */
static void set_server(lua_State *L, const struct settings *s)
{
    bool internal = s->http_server_internal_port > 0;
    struct str address = internal && s->http_server_internal_address.len > 0
                             ? s->http_server_internal_address
                             : s->http_server_address;

    lua_createtable(L, 0, 5);
    set_str(L, "address", address);
    set_str(L, "prefix", s->http_api_handler_prefix);
    set_str(L, "key", s->http_api_key);
    lua_pushinteger(L, internal ? s->http_server_internal_port : s->http_server_port);
    lua_setfield(L, -2, "port");
    lua_pushboolean(L, s->http_server_tls_enabled);
    lua_setfield(L, -2, "tls");
    lua_setfield(L, -2, "server");
}

static void open_run(lua_State *L, struct driver *d)
{
    const struct run *r = container_of(d, struct run, driver);

    lua_pushstring(L, r->path);
    lua_setfield(L, -2, "path");
    set_arguments(L, r);
    if (r->options.config)
        set_server(L, r->settings);
    luaL_requiref(L, LUA_IOLIBNAME, luaopen_io, 0);
    lua_setfield(L, -2, "io");
    luaL_requiref(L, "perigee.os", luaopen_os, 0); /* the whole of it; the sandbox's is cut down */
    lua_setfield(L, -2, "os");
}

/* --- the command line ------------------------------------------------------------------------- */

static int run(struct run *r)
{
    struct script_tool tool = {.module = "perigee.run", .alone = true};
    struct buf problem = BUF_INIT(PROBLEM_MAX);
    int code = 1;

    if (log_setup(LOG_INFO, LOG_AUTO, NULL) != OK)
        return 1;
    if (driver_open(&r->driver, r->settings, &tool, open_run, &problem) == OK) {
        lua_State *co = driver_begin(&r->driver, "run");

        script_set_budget(co, UINT64_MAX);
        code = driver_run(&r->driver, co, 0);
        driver_close(&r->driver);
    } else {
        fprintf(stderr, "perigee run: %.*s\n", STR_ARGS(buf_str(&problem)));
    }
    buf_deinit(&problem);
    return code;
}

static bool parse(struct run *r, int argc, char **argv)
{
    for (int i = 1; i < argc; i++) {
        if (r->path && strcmp(argv[i], "--") == 0) {
            r->arguments = argv + i + 1;
            r->argument_count = argc - i - 1;
            break;
        }
        if (options_take(&r->options, argc, argv, &i))
            continue;
        if (r->path || argv[i][0] == '-')
            return options_unexpected(&r->options, argv[i]) == 0;
        r->path = argv[i];
    }
    if (r->path == NULL)
        fprintf(stderr, "perigee run: which program? perigee run script.lua (perigee help run)\n");
    return r->path != NULL;
}

int cli_run(int argc, char **argv)
{
    struct run r = {0};
    int code = 2;

    options_init(&r.options, "run", argc);
    if (parse(&r, argc, argv) && (r.settings = options_load(&r.options)) != NULL)
        code = run(&r);
    settings_unref(r.settings);
    options_deinit(&r.options);
    return code;
}
