#include "bind/bind_client.h"

#include "api/spec.h"
#include "base/random.h"
#include "base/utf8.h"
#include "client/client.h"
#include "client/control.h"
#include "client/headers.h"
#include "codec/ws.h"
#include "script/lua_json.h"
#include "script/verdict.h"

#include <lauxlib.h>

#define DATA_MAX ((size_t)16 << 20)

struct view {
    struct client *client; /* NULL: gone */
};

static const char metatable_key, views_key; /* registry keys */

static struct view *view_at(lua_State *L, int index)
{
    struct view *view = lua_touserdata(L, index);
    bool is_view = view && lua_getmetatable(L, index);

    if (is_view) {
        lua_rawgetp(L, LUA_REGISTRYINDEX, &metatable_key);
        is_view = lua_rawequal(L, -1, -2);
        lua_pop(L, 2);
    }
    if (!is_view)
        luaL_argerror(L, index, "a client expected");
    return view;
}

static struct client *client_at(lua_State *L, int index)
{
    struct view *view = view_at(L, index);

    if (view->client == NULL)
        luaL_error(L, "client is gone");
    return view->client;
}

void bind_client_push(lua_State *L, void *client)
{
    struct client *cl = client;
    struct view *view;

    lua_rawgetp(L, LUA_REGISTRYINDEX, &views_key);
    if (cl->view && lua_rawgetp(L, -1, cl) == LUA_TUSERDATA) {
        lua_remove(L, -2);
        return;
    }
    lua_settop(L, lua_gettop(L) - (cl->view ? 1 : 0));
    view = lua_newuserdatauv(L, sizeof *view, 0);
    view->client = NULL; /* until nothing can raise any more */
    lua_rawgetp(L, LUA_REGISTRYINDEX, &metatable_key);
    lua_setmetatable(L, -2);
    lua_pushvalue(L, -1);
    lua_rawsetp(L, -3, cl);
    lua_remove(L, -2);
    if (cl->view) /* a view of an older state, or one that is about to be collected */
        *cl->view = NULL;
    view->client = cl;
    cl->view = &view->client;
}

static int collect(lua_State *L)
{
    struct view *view = lua_touserdata(L, 1);

    if (view->client && view->client->view == &view->client)
        view->client->view = NULL;
    return 0;
}

/* --- fields ----------------------------------------------------------------------------------- */

static int push_str(lua_State *L, struct str s)
{
    lua_pushlstring(L, s.ptr ? s.ptr : "", s.len);
    return 1;
}

/* A raw text as the value it means; binary text as the bytes. */
static int push_raw(lua_State *L, struct str raw)
{
    if (raw.len == 0)
        lua_pushnil(L);
    else if (lua_json_push(L, raw) != OK)
        push_str(L, raw);
    return 1;
}

static int field_id(lua_State *L, struct client *cl)
{
    return push_str(L, client_id(cl));
}

static int field_user(lua_State *L, struct client *cl)
{
    return push_str(L, client_last_user(cl));
}

static int field_info(lua_State *L, struct client *cl)
{
    return push_raw(L, client_text(cl, CLIENT_CONN_INFO));
}

static int field_meta(lua_State *L, struct client *cl)
{
    return push_raw(L, client_text(cl, CLIENT_META));
}

static int field_transport(lua_State *L, struct client *cl)
{
    return push_str(L, client_transport(cl));
}

static int field_protocol(lua_State *L, struct client *cl)
{
    lua_pushstring(L, kind_wire(cl->hub.kind) == WIRE_JSON ? "json" : "protobuf");
    return 1;
}

static int field_ip(lua_State *L, struct client *cl)
{
    char ip[CLIENT_IP_MAX];

    return push_str(L, client_ip(cl, ip));
}

/* Of several with one name the last counts. */
static int push_headers(lua_State *L, struct str packed)
{
    struct str name, value;

    lua_newtable(L);
    while (headers_next(&packed, &name, &value)) {
        push_str(L, name);
        push_str(L, value);
        lua_rawset(L, -3);
    }
    return 1;
}

static int field_headers(lua_State *L, struct client *cl)
{
    return push_headers(L, client_text(cl, CLIENT_HEADERS));
}

static int field_emulated_headers(lua_State *L, struct client *cl)
{
    return push_headers(L, client_text(cl, CLIENT_EMULATED));
}

static int field_channels(lua_State *L, struct client *cl)
{
    lua_Integer i = cl->hub.sub_count;

    lua_createtable(L, cl->hub.sub_count, 0);
    for (struct subscription *sub = cl->hub.subs; sub; sub = sub->next_of_client) {
        push_str(L, hub_channel_name(sub)); /* the newest subscription comes first */
        lua_rawseti(L, -2, i--);
    }
    return 1;
}

/* --- methods ---------------------------------------------------------------------------------- */

static struct client *connected_at(lua_State *L, int index)
{
    struct client *cl = client_at(L, index);

    if (cl->state == CLIENT_CLOSING)
        luaL_error(L, "client is gone");
    if (cl->state != CLIENT_CONNECTED)
        luaL_error(L, "client is not connected yet");
    return cl;
}

static int method_send(lua_State *L)
{
    struct client *cl = connected_at(L, 1);
    struct buf data = BUF_INIT(DATA_MAX);
    const char *why;

    luaL_checkany(L, 2);
    if (lua_json_encode(L, 2, &data, &why) != OK) {
        buf_deinit(&data);
        return luaL_error(L, "client:send: the data cannot be sent: %s", why);
    }
    client_push(cl, &(struct wire_push){.message = &(struct wire_message){buf_str(&data)}});
    buf_deinit(&data);
    return 0;
}

static int method_disconnect(lua_State *L)
{
    struct client *cl = client_at(L, 1);
    lua_Integer code = luaL_optinteger(L, 2, DISCONNECT_FORCE);
    size_t len;
    const char *reason = luaL_optlstring(L, 3, "force disconnect", &len);

    luaL_argcheck(L, code >= 3000 && code <= 4999, 2, "a code from 3000 to 4999 expected");
    luaL_argcheck(L, len > 0 && len <= WS_REASON_MAX && utf8_valid(str_of(reason, len)), 3,
                  "1 to 123 bytes of text expected");
    client_disconnect(cl, (uint32_t)code, str_of(reason, len));
    return 0;
}

static int wrong_option(lua_State *L, const char *name, const char *why)
{
    return luaL_error(L, "client:subscribe: %s %s", name, why);
}

/* The option of the table at 3 as raw JSON, which stays on the stack. */
static struct str raw_option(lua_State *L, const char *name)
{
    struct buf *text = api_scratch(L);
    struct str raw;
    const char *why = NULL;

    lua_pushstring(L, name);
    if (lua_rawget(L, 3) == LUA_TNIL)
        return STR_NONE;
    if (lua_json_encode(L, -1, text, &why) != OK)
        wrong_option(L, name, why);
    lua_pushlstring(L, text->ptr, text->len);
    raw.ptr = lua_tolstring(L, -1, &raw.len);
    return raw;
}

/* Options are as strict as what hooks return: one that is not understood is a mistake. */
static void check_options(lua_State *L)
{
    static const char *const names[] = {"info", "data", "override", "expire_at", NULL};
    const char *why;

    for (lua_pushnil(L); lua_next(L, 3); lua_pop(L, 1)) {
        const char *const *name = names;

        while (*name && (lua_type(L, -2) != LUA_TSTRING || strcmp(lua_tostring(L, -2), *name) != 0))
            name++;
        if (!*name)
            wrong_option(L, luaL_tolstring(L, -2, NULL), "is an unknown option");
    }
    lua_getfield(L, 3, "override");
    why = lua_isnil(L, -1) ? NULL : verdict_check_override(L, -1);
    if (why)
        wrong_option(L, "override", why);
}

static void read_options(lua_State *L, struct control_subscribe *out)
{
    const char *why;

    check_options(L);
    out->info = raw_option(L, "info");
    out->data = raw_option(L, "data");
    out->override = raw_option(L, "override");
    lua_getfield(L, 3, "expire_at");
    why = lua_isnil(L, -1) ? NULL : verdict_read_time(L, -1, &out->expire_at);
    if (why)
        wrong_option(L, "expire_at", why);
}

static struct str check_channel(lua_State *L, int arg)
{
    struct str channel;

    channel.ptr = luaL_checklstring(L, arg, &channel.len);
    luaL_argcheck(L, channel.len > 0 && utf8_valid(channel), arg, "a channel's name is UTF-8 text");
    return channel;
}

static int method_subscribe(lua_State *L)
{
    struct client *cl = connected_at(L, 1);
    struct control_order order = {.kind = CONTROL_SUBSCRIBE};
    struct channel_parts parts;

    lua_settop(L, 3);
    order.subscribe.channel = check_channel(L, 2);
    if (channel_resolve(cl->core->settings, order.subscribe.channel, &parts) != OK)
        return luaL_error(L, "client:subscribe: the channel's namespace is not configured");
    if (!lua_isnil(L, 3)) {
        luaL_checktype(L, 3, LUA_TTABLE);
        read_options(L, &order.subscribe);
    }
    client_order(cl, &order);
    return 0;
}

static int method_unsubscribe(lua_State *L)
{
    struct client *cl = connected_at(L, 1);
    struct control_order order = {
        .kind = CONTROL_UNSUBSCRIBE,
        .code = UNSUBSCRIBE_SERVER,
        .reason = codes_unsubscribe(UNSUBSCRIBE_SERVER),
    };

    order.subscribe.channel = check_channel(L, 2);
    client_order(cl, &order);
    return 0;
}

/* --- the metatable ---------------------------------------------------------------------------- */

static const struct field {
    const char *name;
    int (*push)(lua_State *L, struct client *cl);
} fields[] = {
    {"id", field_id},
    {"user", field_user},
    {"info", field_info},
    {"meta", field_meta},
    {"transport", field_transport},
    {"protocol", field_protocol},
    {"headers", field_headers},
    {"emulated_headers", field_emulated_headers},
    {"ip", field_ip},
    {"channels", field_channels},
};

static const luaL_Reg methods[] = {
    {"send", method_send},
    {"disconnect", method_disconnect},
    {"subscribe", method_subscribe},
    {"unsubscribe", method_unsubscribe},
    {NULL, NULL},
};

/* Upvalue 1: name → light pointer to a field, or method function. */
static int index_view(lua_State *L)
{
    struct client *cl = client_at(L, 1);

    lua_pushvalue(L, 2);
    switch (lua_rawget(L, lua_upvalueindex(1))) {
    case LUA_TLIGHTUSERDATA:
        return ((const struct field *)lua_touserdata(L, -1))->push(L, cl);
    case LUA_TFUNCTION:
        return 1;
    default:
        return luaL_error(L, "a client has no field %s", luaL_tolstring(L, 2, NULL));
    }
}

static int refuse_write(lua_State *L)
{
    return luaL_error(L, "a client's fields cannot be set");
}

static int view_text(lua_State *L)
{
    struct view *view = view_at(L, 1);

    if (view->client) {
        lua_pushliteral(L, "client ");
        push_str(L, client_id(view->client));
        lua_concat(L, 2);
    } else {
        lua_pushliteral(L, "client (gone)");
    }
    return 1;
}

void bind_client_open(lua_State *L)
{
    lua_newtable(L);
    lua_createtable(L, 0, ARRAY_LEN(fields) + ARRAY_LEN(methods));
    luaL_setfuncs(L, methods, 0);
    for (size_t i = 0; i < ARRAY_LEN(fields); i++) {
        lua_pushlightuserdata(L, (void *)&fields[i]);
        lua_setfield(L, -2, fields[i].name);
    }
    lua_pushcclosure(L, index_view, 1);
    lua_setfield(L, -2, "__index");
    lua_pushcfunction(L, refuse_write);
    lua_setfield(L, -2, "__newindex");
    lua_pushcfunction(L, view_text);
    lua_setfield(L, -2, "__tostring");
    lua_pushcfunction(L, collect);
    lua_setfield(L, -2, "__gc");
    lua_pushliteral(L, "perigee.Client");
    lua_setfield(L, -2, "__metatable");
    lua_rawsetp(L, LUA_REGISTRYINDEX, &metatable_key);
    lua_newtable(L); /* client → view, as long as Lua holds the view */
    lua_newtable(L);
    lua_pushliteral(L, "v");
    lua_setfield(L, -2, "__mode");
    lua_setmetatable(L, -2);
    lua_rawsetp(L, LUA_REGISTRYINDEX, &views_key);
}
