#include "cli/driver.h"

#include "base/clock.h"
#include "base/mem.h"
#include "bind/bind.h"
#include "core/admission.h"
#include "script/config.h"

#include <lauxlib.h>
#include <stdio.h>

#define HEADERS_MAX 64
/* Time that a tool's function may compute between two waits: it tests and asks, it does not serve.
 */
#define BUDGET_MS 10000
#define SLEEP_MS 20 /* with the system's clock */
/* Whoever waits so long on the stopped clock, and not for us, waits for nothing. */
#define IDLE_MS ((uint64_t)86400 * 1000)

static const char driver_key; /* registry: the driver of a state */

struct driven {
    struct list in_driver;
    struct driver *driver;
    struct loopback *loopback;
};

static struct driver *driver_of(lua_State *L)
{
    struct driver *d;

    lua_rawgetp(L, LUA_REGISTRYINDEX, &driver_key);
    d = lua_touserdata(L, -1);
    lua_pop(L, 1);
    return d;
}

/* --- clients ---------------------------------------------------------------------------------- */

static const char *const client_name = "perigee.FakeClient";

struct loopback *driver_client(lua_State *L, int index)
{
    struct driven **holder = luaL_checkudata(L, index, client_name);

    return (*holder)->loopback;
}

static struct str string_field(lua_State *L, int table, const char *name, const char *otherwise)
{
    struct str s = str_from(otherwise);

    if (lua_getfield(L, table, name) == LUA_TSTRING) /* it stays on the stack */
        s.ptr = lua_tolstring(L, -1, &s.len);
    return s;
}

/* Names are in lower case already. */
static size_t headers_field(lua_State *L, int table, struct transport_header *out)
{
    bool any = lua_getfield(L, table, "headers") == LUA_TTABLE;
    int headers = lua_gettop(L);
    size_t n = 0;

    if (!any)
        return 0;
    luaL_checkstack(L, 2 * HEADERS_MAX + 4, NULL);
    for (lua_pushnil(L); lua_next(L, headers);) {
        if (n == HEADERS_MAX || lua_type(L, -2) != LUA_TSTRING || lua_type(L, -1) != LUA_TSTRING)
            luaL_error(L, "headers are at most %d names with strings", HEADERS_MAX);
        out[n].name.ptr = lua_tolstring(L, -2, &out[n].name.len);
        out[n].value.ptr = lua_tolstring(L, -1, &out[n].value.len);
        n++;
        lua_pushvalue(L, -2); /* key and value stay below it */
    }
    return n;
}

/* client{ ip =, headers = } → a connection, or nil when the node takes none */
static int l_client(lua_State *L)
{
    struct transport_header headers[HEADERS_MAX];
    struct transport_request request = {.headers = headers};
    struct driver *d = driver_of(L);
    struct core *core = d->world.core;
    struct driven **holder, *c;
    struct str ip;

    luaL_checktype(L, 1, LUA_TTABLE);
    lua_settop(L, 1);
    request.path = string_field(L, 1, "path", "/connection/websocket");
    ip = string_field(L, 1, "ip", "127.0.0.1");
    request.header_count = headers_field(L, 1, headers);
    if (admission_enter(d->world.node.admission, core->settings, core->worker->now_ms) != OK)
        return 0;
    holder = lua_newuserdatauv(L, sizeof *holder, 0);
    c = mem_zalloc(sizeof *c);
    *c = (struct driven){.driver = d, .loopback = loopback_new(core, &request, ip)};
    list_add_tail(&d->clients, &c->in_driver);
    *holder = c;
    luaL_setmetatable(L, client_name);
    return 1;
}

/* client:say(json) */
static int l_say(lua_State *L)
{
    struct str message;

    message.ptr = luaL_checklstring(L, 2, &message.len);
    loopback_say(driver_client(L, 1), message);
    return 0;
}

/* client:hear() → what it was told since the last time: lines of JSON, or nil */
static int l_hear(lua_State *L)
{
    struct loopback *l = driver_client(L, 1);

    loopback_listen(l);
    if (l->told.len == 0)
        return 0;
    lua_pushlstring(L, l->told.ptr, l->told.len);
    buf_clear(&l->told);
    return 1;
}

/* client:over() → code and reason when the server has ended it; true when it is gone otherwise */
static int l_over(lua_State *L)
{
    struct loopback *l = driver_client(L, 1);

    if (l->closed) {
        lua_pushinteger(L, l->code);
        lua_pushstring(L, l->reason);
        return 2;
    }
    lua_pushboolean(L, l->client == NULL);
    return 1;
}

/* client:close() */
static int l_close(lua_State *L)
{
    loopback_close(driver_client(L, 1));
    return 0;
}

static const luaL_Reg client_methods[] = {
    {"say", l_say}, {"hear", l_hear}, {"over", l_over}, {"close", l_close}, {NULL, NULL}};

/* --- time ------------------------------------------------------------------------------------- */

/* It has ended the loop's sleep. */
static void on_alarm(struct timer *t)
{
}

static int begin_wait(lua_State *L, const char *name, bool any)
{
    lua_Number seconds = luaL_checknumber(L, 1);
    struct driver *d = driver_of(L);

    luaL_argcheck(L, seconds >= 0 && seconds <= 366.0 * 86400, 1, "seconds, up to a year");
    d->wait = script_wait_begin(L, name);
    d->any = any;
    d->left_ms = (uint64_t)(seconds * 1000 + 0.5);
    d->idle_ms = 0;
    d->until_ms = clock_mono_ms() + d->left_ms;
    return script_wait_end(L, d->wait);
}

/* wait(seconds) → true as soon as a client was told something, or ended; false: nothing came */
static int l_wait(lua_State *L)
{
    return begin_wait(L, "wait", true);
}

/* advance(seconds) */
static int l_advance(lua_State *L)
{
    return begin_wait(L, "t.advance", false);
}

static bool listen_to_all(struct driver *d)
{
    bool something = false;

    list_each_safe (&d->clients, it)
        something |= loopback_listen(container_of(it, struct driven, in_driver)->loopback);
    return something;
}

static bool has_news(struct driver *d)
{
    list_each (&d->clients, it) {
        if (container_of(it, struct driven, in_driver)->loopback->told.len > 0)
            return true;
    }
    return false;
}

static void wake(struct driver *d, bool something)
{
    struct script_wait *wait = d->wait;

    d->wait = NULL;
    lua_pushboolean(script_wait_state(wait), something);
    script_wake(wait, 1);
}

/* Pongs that clients give while they listen may bring more. */
static bool settle(struct driver *d)
{
    bool something = false;

    do
        world_rest(&d->world);
    while (listen_to_all(d) && (something = true));
    return something;
}

/* One step of the stopped clock; false: nobody will ever answer. */
static bool step(struct driver *d)
{
    uint64_t most = d->wait ? d->left_ms : IDLE_MS;
    uint64_t passed;

    if (settle(d) && d->wait && d->any) {
        wake(d, true);
        return true;
    }
    if (d->wait && d->left_ms == 0) {
        wake(d, has_news(d));
        return true;
    }
    passed = world_step(&d->world, most);
    if (d->wait)
        d->left_ms -= passed;
    else
        d->idle_ms += passed;
    return d->idle_ms < IDLE_MS;
}

/* What comes of a timer is seen after the loop's sleep only, so that is short. */
static void wait_in_real_time(struct driver *d)
{
    bool something = settle(d);

    if (d->wait && ((something && d->any) || clock_mono_ms() >= d->until_ms)) {
        wake(d, something);
    } else if (!d->done) {
        timer_set(&d->world.worker->timers, &d->alarm, clock_mono_ms() + SLEEP_MS);
        world_wait(&d->world);
    }
}

/* --- the rest --------------------------------------------------------------------------------- */

/* write(text): to stdout */
static int l_write(lua_State *L)
{
    size_t len;
    const char *text = luaL_checklstring(L, 1, &len);

    if (!driver_of(L)->over) {
        fwrite(text, 1, len, stdout);
        fflush(stdout);
    }
    return 0;
}

/* others() → how many other functions of config.lua run or wait */
static int l_others(lua_State *L)
{
    size_t all = script_stats(driver_of(L)->world.core->script).coroutines;

    lua_pushinteger(L, all > 0 ? (lua_Integer)all - 1 : 0);
    return 1;
}

/* where(function) → the file it stands in, and its first line; nil for one of C */
static int l_where(lua_State *L)
{
    lua_Debug ar;

    luaL_checktype(L, 1, LUA_TFUNCTION);
    lua_settop(L, 1);
    lua_getinfo(L, ">S", &ar);
    if (ar.source[0] != '@')
        return 0;
    lua_pushstring(L, ar.source + 1);
    lua_pushinteger(L, ar.linedefined);
    return 2;
}

/* here() → "FILE:LINE: " of the user's code that runs */
static int l_here(lua_State *L)
{
    lua_Debug ar;

    for (int level = 1; lua_getstack(L, level, &ar); level++) {
        lua_getinfo(L, "Sl", &ar);
        if (ar.source[0] == '@' && ar.currentline > 0) {
            lua_pushfstring(L, "%s:%d: ", ar.source + 1, ar.currentline);
            return 1;
        }
    }
    lua_pushliteral(L, "");
    return 1;
}

/* traceback() → the calls that led here */
static int l_traceback(lua_State *L)
{
    luaL_traceback(L, L, NULL, 1);
    return 1;
}

struct opening {
    struct driver *driver;
    void (*open)(lua_State *L, struct driver *d);
};

static void push_driver(lua_State *L, void *arg)
{
    static const luaL_Reg functions[] = {{"client", l_client},       {"wait", l_wait},
                                         {"advance", l_advance},     {"read", config_read},
                                         {"write", l_write},         {"where", l_where},
                                         {"others", l_others},       {"here", l_here},
                                         {"traceback", l_traceback}, {NULL, NULL}};
    struct opening *opening = arg;

    lua_pushlightuserdata(L, opening->driver);
    lua_rawsetp(L, LUA_REGISTRYINDEX, &driver_key);
    luaL_newmetatable(L, client_name);
    luaL_newlib(L, client_methods);
    lua_setfield(L, -2, "__index");
    lua_pop(L, 1);
    luaL_newlib(L, functions);
    if (opening->open)
        opening->open(L, opening->driver);
}

enum err driver_open(struct driver *d, struct settings *settings, struct script_tool *tool,
                     void (*open)(lua_State *L, struct driver *d), struct buf *problem)
{
    struct opening opening = {d, open};

    list_init(&d->clients);
    d->alarm = TIMER_INIT(on_alarm);
    tool->push_driver = push_driver;
    tool->arg = &opening;
    return world_open(&d->world, settings, tool, problem);
}

void driver_close(struct driver *d)
{
    list_each_safe (&d->clients, it) {
        struct driven *c = container_of(it, struct driven, in_driver);

        list_del(&c->in_driver);
        loopback_free(c->loopback);
        mem_free(c);
    }
    timer_unset(&d->world.worker->timers, &d->alarm);
    world_rest(&d->world);
    world_close(&d->world);
}

lua_State *driver_begin(struct driver *d, const char *field)
{
    struct script *s = d->world.core->script;
    lua_State *co = script_begin(s);

    script_set_budget(co, BUDGET_MS);
    script_push_tool(s, co, field);
    return co;
}

static void on_done(void *arg, enum err err, lua_State *co, int n)
{
    struct driver *d = arg;

    d->done = true;
    d->failed = err != OK;
    d->code = err == OK && n > 0 ? (int)lua_tointeger(co, -n) : 1;
}

int driver_run(struct driver *d, lua_State *co, int nargs)
{
    bool alive = true;

    d->done = d->failed = d->over = false;
    script_run(d->world.core->script, co, nargs, "the tool's function", on_done, d);
    while (!d->done && alive) {
        if (d->clock_stopped)
            alive = step(d);
        else
            wait_in_real_time(d);
    }
    d->over = true;
    return d->done ? d->code : 1;
}
