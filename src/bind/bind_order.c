/* What perigee.core orders for clients wherever they are: subscribe, unsubscribe, disconnect,
 * refresh. The answer comes when every worker of this node has carried it out. */
#include "bind/bind_core.h"

#include "api/spec.h"
#include "base/clock.h"
#include "bind/bind_reply.h"
#include "core/control.h"
#include "core/revocation.h"

#include <lauxlib.h>

#define UNSUBSCRIBE_SERVER 2000

/* user, client and session, which stand first. */
static struct control_target to_target(lua_State *L)
{
    return (struct control_target){
        .user = bind_to_str(L, 1), .client = bind_to_str(L, 2), .session = bind_to_str(L, 3)};
}

static struct str to_bytes(lua_State *L, int index)
{
    struct api_raw raw;

    api_to_raw(L, index, &raw);
    return raw.bytes;
}

static void on_done(void *arg, enum err err)
{
    bind_wake_done(arg, err);
}

static int send_order(lua_State *L, const struct control_order *order, const char *name)
{
    struct script_wait *wait = script_wait_begin(L, name);

    control_send(bind_core(L), order, on_done, wait);
    return script_wait_end(L, wait);
}

/* subscribe(user, client, session, channel, expire_at, info, data, since, override) */
static int core_subscribe(lua_State *L)
{
    struct control_order order = {.kind = CONTROL_SUBSCRIBE, .target = to_target(L)};
    struct control_subscribe *s = &order.subscribe;

    lua_settop(L, 9);
    s->channel = bind_to_str(L, 4);
    s->expire_at = luaL_optinteger(L, 5, 0);
    s->info = to_bytes(L, 6);
    s->data = to_bytes(L, 7);
    s->has_since = lua_istable(L, 8);
    s->override = to_bytes(L, 9);
    if (s->has_since) {
        lua_getfield(L, 8, "offset");
        s->since_offset = (uint64_t)luaL_optinteger(L, -1, 0);
        lua_getfield(L, 8, "epoch");
        s->since_epoch = bind_to_str(L, lua_gettop(L)); /* stays on the stack */
    }
    return send_order(L, &order, "subscribe");
}

/* unsubscribe(user, client, session, channel) */
static int core_unsubscribe(lua_State *L)
{
    struct control_order order = {
        .kind = CONTROL_UNSUBSCRIBE,
        .target = to_target(L),
        .subscribe.channel = bind_to_str(L, 4),
        .code = UNSUBSCRIBE_SERVER,
        .reason = STR("server unsubscribe"),
    };

    return send_order(L, &order, "unsubscribe");
}

/* disconnect(user, client, session, code, reason, whitelist) */
static int core_disconnect(lua_State *L)
{
    struct control_order order = {
        .kind = CONTROL_DISCONNECT,
        .target = to_target(L),
        .code = (uint32_t)luaL_checkinteger(L, 4),
        .reason = bind_to_str(L, 5),
    };
    lua_Unsigned count;
    struct str *whitelist;

    luaL_checktype(L, 6, LUA_TTABLE);
    count = lua_rawlen(L, 6);
    /* Lua owns the list and keeps its strings alive, so an error on the way leaks nothing. */
    whitelist = lua_newuserdatauv(L, (count + 1) * sizeof *whitelist, 0);
    for (lua_Unsigned i = 0; i < count; i++) {
        lua_rawgeti(L, 6, (lua_Integer)i + 1);
        luaL_argcheck(L, lua_type(L, -1) == LUA_TSTRING, 6, "a list of client ids");
        whitelist[i] = bind_to_str(L, lua_gettop(L));
        lua_pop(L, 1); /* the table still holds it */
    }
    order.target.whitelist = whitelist;
    order.target.whitelist_count = count;
    return send_order(L, &order, "disconnect");
}

/* refresh(user, client, session, expired, expire_at, info) */
static int core_refresh(lua_State *L)
{
    struct control_order order = {
        .kind = CONTROL_REFRESH,
        .target = to_target(L),
        .expired = lua_toboolean(L, 4),
        .expire_at = luaL_optinteger(L, 5, 0),
        .info = to_bytes(L, 6),
    };

    return send_order(L, &order, "refresh");
}

/* revoke(user, uid, channel, issued_before, expire_at) */
static int core_revoke(lua_State *L)
{
    struct control_order order = {
        .kind = CONTROL_REVOKE,
        .target.user = bind_to_str(L, 1),
        .revoke = {.uid = bind_to_str(L, 2),
                   .channel = bind_to_str(L, 3),
                   .issued_before = luaL_checkinteger(L, 4)},
        .expire_at = luaL_checkinteger(L, 5),
    };

    if (!revocations_has_room(bind_core(L)->revocations, clock_wall_ms() / 1000))
        return bind_push_error(L, API_INTERNAL, STR("too many tokens are revoked"));
    return send_order(L, &order, "revoke");
}

/* now(): Unix seconds */
static int core_now(lua_State *L)
{
    lua_pushinteger(L, clock_wall_ms() / 1000);
    return 1;
}

void bind_order_open(lua_State *L)
{
    static const luaL_Reg functions[] = {
        {"subscribe", core_subscribe},
        {"unsubscribe", core_unsubscribe},
        {"disconnect", core_disconnect},
        {"refresh", core_refresh},
        {"revoke", core_revoke},
        {"now", core_now},
        {NULL, NULL},
    };

    luaL_setfuncs(L, functions, 0);
}
