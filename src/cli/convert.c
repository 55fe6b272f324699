#include "cli/convert.h"

#include "base/log.h"
#include "base/mem.h"
#include "cli/driver.h"
#include "cli/yaml.h"
#include "script/config.h"

#include <lauxlib.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define PROBLEMS_MAX 262144

struct converting {
    struct driver driver;
    const char *to;
    struct buf *text, *message;
};

static const char converting_key; /* registry */

static struct converting *converting_of(lua_State *L)
{
    struct converting *c;

    lua_rawgetp(L, LUA_REGISTRYINDEX, &converting_key);
    c = lua_touserdata(L, -1);
    lua_pop(L, 1);
    return c;
}

static struct str text_arg(lua_State *L, int arg)
{
    struct str text;

    text.ptr = luaL_optlstring(L, arg, "", &text.len);
    return text;
}

/* result(text, message) */
static int l_result(lua_State *L)
{
    struct converting *c = converting_of(L);

    buf_add_str(c->text, text_arg(L, 1));
    buf_add_str(c->message, text_arg(L, 2));
    return 0;
}

/* The problems without the path in front of each line. */
static void push_problems(lua_State *L, struct str problems, const char *path)
{
    struct str prefix = str_from(path), rest = problems;
    luaL_Buffer out;

    luaL_buffinit(L, &out);
    while (rest.len > 0) {
        ptrdiff_t end = str_find(rest, '\n');
        struct str line = str_of(rest.ptr, end < 0 ? rest.len : (size_t)end + 1);

        rest = str_cut(rest, line.len);
        if (str_starts(line, prefix) && line.len > prefix.len)
            line = str_cut(line, prefix.len + 1);
        luaL_addlstring(&out, line.ptr, line.len);
    }
    luaL_pushresult(&out);
}

/* check(text) → what perigee check says about such a file, without its path; empty: nothing. It
 * stands beside the one to be written, since that may name others. */
static int l_check(lua_State *L)
{
    struct buf path = BUF_INIT(4096), problems = BUF_INIT(PROBLEMS_MAX);
    struct str text = text_arg(L, 1);
    struct config_request request = {0};
    struct settings *settings = NULL;
    int fd;

    buf_printf(&path, "%s.XXXXXX", converting_of(L)->to);
    buf_add_char(&path, '\0');
    fd = path.overflow ? -1 : mkostemp(path.ptr, 0);
    if (fd < 0 || write(fd, text.ptr, text.len) != (ssize_t)text.len) {
        lua_pushstring(L, "no file can be written beside it");
    } else {
        request.path = path.ptr;
        if (config_load(&request, &settings, &problems) == OK)
            lua_pushliteral(L, "");
        else
            push_problems(L, buf_str(&problems), path.ptr);
        settings_unref(settings);
    }
    if (fd >= 0) {
        close(fd);
        unlink(path.ptr);
    }
    buf_deinit(&path);
    buf_deinit(&problems);
    return 1;
}

static void open_convert(lua_State *L, struct driver *d)
{
    static const luaL_Reg functions[] = {
        {"result", l_result}, {"check", l_check}, {"yaml", yaml_read}, {NULL, NULL}};

    lua_pushlightuserdata(L, container_of(d, struct converting, driver));
    lua_rawsetp(L, LUA_REGISTRYINDEX, &converting_key);
    luaL_setfuncs(L, functions, 0);
}

bool convert(const char *from, const char *to, struct buf *text, struct buf *message)
{
    struct converting c = {.to = to, .text = text, .message = message};
    struct script_tool tool = {.module = "perigee.convert", .alone = true};
    struct config_request nothing = {0};
    struct settings *settings;
    bool ok = false;

    if (config_load(&nothing, &settings, message) != OK)
        return false;
    if (log_setup(LOG_ERROR, LOG_AUTO, NULL) == OK &&
        driver_open(&c.driver, settings, &tool, open_convert, message) == OK) {
        lua_State *co = driver_begin(&c.driver, "run");

        lua_pushstring(co, from);
        ok = driver_run(&c.driver, co, 1) == 0;
        driver_close(&c.driver);
    }
    settings_unref(settings);
    return ok;
}
