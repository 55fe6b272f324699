#include "bind/bind_http.h"

#include "base/mem.h"
#include "core/core.h"
#include "core/http_client.h"
#include "script/script.h"

#include <lauxlib.h>

#define TIMEOUT_SECONDS_MAX 600

struct waiting {
    struct script_wait *wait;
    struct http_call *call;
};

/* --- the answer ------------------------------------------------------------------------------ */

/* Several headers of one name become one, as HTTP has it. */
static void push_headers(lua_State *co, const struct http_call_answer *a)
{
    lua_createtable(co, 0, (int)a->header_count);
    for (size_t i = 0; i < a->header_count; i++) {
        struct str name = a->headers[i].name, value = a->headers[i].value;

        lua_pushlstring(co, name.ptr ? name.ptr : "", name.len);
        lua_pushvalue(co, -1);
        if (lua_rawget(co, -3) == LUA_TSTRING) {
            lua_pushliteral(co, ", ");
            lua_pushlstring(co, value.ptr ? value.ptr : "", value.len);
            lua_concat(co, 3);
        } else {
            lua_pop(co, 1);
            lua_pushlstring(co, value.ptr ? value.ptr : "", value.len);
        }
        lua_rawset(co, -3);
    }
}

static void wake_failed(struct script_wait *wait, const char *problem)
{
    lua_State *co = script_wait_state(wait);

    lua_pushnil(co);
    lua_pushstring(co, problem);
    script_wake(wait, 2);
}

static void on_answer(void *arg, const struct http_call_answer *a)
{
    struct script_wait *wait = ((struct waiting *)arg)->wait;
    lua_State *co;

    mem_free(arg);
    if (a->err != OK) {
        wake_failed(wait, a->problem);
        return;
    }
    co = script_wait_state(wait);
    lua_createtable(co, 0, 3);
    lua_pushinteger(co, (lua_Integer)a->status);
    lua_setfield(co, -2, "status");
    push_headers(co, a);
    lua_setfield(co, -2, "headers");
    lua_pushlstring(co, a->body.ptr ? a->body.ptr : "", a->body.len);
    lua_setfield(co, -2, "body");
    script_wake(wait, 1);
}

static void on_cancel(void *arg)
{
    struct waiting *waiting = arg;
    struct script_wait *wait = waiting->wait;

    http_call_cancel(waiting->call);
    mem_free(waiting);
    wake_failed(wait, "the server stops");
}

/* --- the request ----------------------------------------------------------------------------- */

/* A field of the options that is a string; its value stays on the stack. */
static struct str string_field(lua_State *L, int options, const char *name)
{
    struct str s = STR_NONE;
    int type = lua_getfield(L, options, name);

    if (type != LUA_TNIL && type != LUA_TSTRING)
        luaL_error(L, "perigee.http: %s must be a string", name);
    if (type == LUA_TSTRING)
        s.ptr = lua_tolstring(L, -1, &s.len);
    return s;
}

static uint64_t timeout_field(lua_State *L, int options)
{
    int type = lua_getfield(L, options, "timeout");
    lua_Number seconds = lua_tonumber(L, -1);

    if (type == LUA_TNIL)
        return 0;
    if (type != LUA_TNUMBER || !(seconds > 0 && seconds <= TIMEOUT_SECONDS_MAX))
        luaL_error(L, "perigee.http: timeout is a number of seconds, up to %d",
                   TIMEOUT_SECONDS_MAX);
    return (uint64_t)(seconds * 1000) + 1;
}

/* Copies of names and values stay on the stack, so that they live until the request is made. */
static size_t headers_field(lua_State *L, int options, struct http_header *out)
{
    int type = lua_getfield(L, options, "headers"), table = lua_gettop(L);
    size_t n = 0;

    if (type == LUA_TNIL)
        return 0;
    if (type != LUA_TTABLE)
        luaL_error(L, "perigee.http: headers must be a table");
    luaL_checkstack(L, 2 * HTTP_CLIENT_REQUEST_HEADERS_MAX + 8, NULL);
    lua_pushnil(L);
    while (lua_next(L, table)) {
        int value = lua_type(L, -1);

        if (lua_type(L, -2) != LUA_TSTRING || (value != LUA_TSTRING && value != LUA_TNUMBER))
            luaL_error(L, "perigee.http: headers have names and strings as values");
        if (n == HTTP_CLIENT_REQUEST_HEADERS_MAX)
            luaL_error(L, "perigee.http: more than %d headers", HTTP_CLIENT_REQUEST_HEADERS_MAX);
        out[n].value.ptr = lua_tolstring(L, -1, &out[n].value.len);
        out[n].name.ptr = lua_tolstring(L, -2, &out[n].name.len);
        n++;
        lua_pushvalue(L, -2); /* key and value stay below it */
    }
    return n;
}

static void check_fields(lua_State *L, int options)
{
    static const char *const known[] = {"method", "url", "headers", "body", "timeout"};

    lua_pushnil(L);
    while (lua_next(L, options)) {
        bool found = false;

        for (size_t i = 0; i < ARRAY_LEN(known) && lua_type(L, -2) == LUA_TSTRING && !found; i++)
            found = strcmp(lua_tostring(L, -2), known[i]) == 0;
        if (!found)
            luaL_error(L, "perigee.http: unknown field %s", luaL_tolstring(L, -2, NULL));
        lua_pop(L, 1);
    }
}

static int start(lua_State *L, const struct http_call_request *request, const char *name)
{
    struct http_client *client = core_of(script_worker(script_of(L)))->http;
    struct script_wait *wait;
    struct waiting *waiting;

    if (client == NULL)
        return luaL_error(L, "%s is over: the server stops", name);
    wait = script_wait_begin(L, name);
    waiting = mem_alloc(sizeof *waiting);
    waiting->wait = wait;
    waiting->call = http_client_call(client, request, on_answer, waiting);
    script_wait_on_cancel(wait, on_cancel, waiting);
    return script_wait_end(L, wait);
}

static void read_options(lua_State *L, int options, struct http_call_request *request,
                         struct http_header *headers)
{
    check_fields(L, options);
    request->timeout_ms = timeout_field(L, options);
    request->method = string_field(L, options, "method");
    request->body = string_field(L, options, "body");
    request->headers = headers;
    request->header_count = headers_field(L, options, headers);
}

/* request{ method=, url=, headers=, body=, timeout= } → { status=, headers=, body= }, or nil and
 * a message */
static int l_request(lua_State *L)
{
    struct http_header headers[HTTP_CLIENT_REQUEST_HEADERS_MAX];
    struct http_call_request request = {0};

    luaL_checktype(L, 1, LUA_TTABLE);
    lua_settop(L, 1);
    request.url = string_field(L, 1, "url");
    if (request.url.len == 0)
        return luaL_error(L, "perigee.http: url is missing");
    read_options(L, 1, &request, headers);
    return start(L, &request, "perigee.http.request");
}

/* get(url[, options]) → the same */
static int l_get(lua_State *L)
{
    struct http_header headers[HTTP_CLIENT_REQUEST_HEADERS_MAX];
    struct http_call_request request = {0};

    request.url.ptr = luaL_checklstring(L, 1, &request.url.len);
    lua_settop(L, 2);
    if (!lua_isnil(L, 2)) {
        luaL_checktype(L, 2, LUA_TTABLE);
        read_options(L, 2, &request, headers);
    }
    request.method = STR("GET");
    return start(L, &request, "perigee.http.get");
}

void bind_http_open(lua_State *L)
{
    static const luaL_Reg functions[] = {{"get", l_get}, {"request", l_request}, {NULL, NULL}};

    luaL_newlib(L, functions);
    lua_setfield(L, -2, "http");
}
