/* What perigee.core reads: history, presence, channels and nodes. Lists become JSON text at once,
 * so that no value of a list ever becomes a Lua value on its way to the HTTP API. */
#include "bind/bind_core.h"

#include "api/spec.h"
#include "base/clock.h"
#include "bind/bind_reply.h"
#include "codec/json.h"
#include "core/channel.h"
#include "core/control.h"
#include "core/core.h"
#include "core/encode.h"
#include "core/home.h"

#include <lauxlib.h>

static void add_key(struct buf *out, const char *key, bool *any)
{
    if (*any)
        buf_add_char(out, ',');
    *any = true;
    buf_add_char(out, '"');
    buf_add_str(out, str_from(key));
    buf_add_lit(out, "\":");
}

/* False: an info is no JSON and cannot stand in an answer. */
static bool add_client_info(struct buf *out, struct str user, struct str client,
                            struct str conn_info, struct str chan_info)
{
    bool any = false;

    if (!encode_raw_fits(WIRE_JSON, conn_info) || !encode_raw_fits(WIRE_JSON, chan_info))
        return false;
    buf_add_char(out, '{');
    add_key(out, "user", &any);
    json_add_string(out, user);
    add_key(out, "client", &any);
    json_add_string(out, client);
    if (conn_info.len > 0) {
        add_key(out, "conn_info", &any);
        buf_add_str(out, conn_info);
    }
    if (chan_info.len > 0) {
        add_key(out, "chan_info", &any);
        buf_add_str(out, chan_info);
    }
    buf_add_char(out, '}');
    return true;
}

/* ---- history ---- */

/* False: the data or info is no JSON and cannot stand in an answer. */
static bool add_publication(struct buf *out, const struct publication *p)
{
    bool any = false;

    if (!encode_fits(WIRE_JSON, p))
        return false;
    buf_add_char(out, '{');
    if (p->data.len > 0) {
        add_key(out, "data", &any);
        buf_add_str(out, p->data);
    }
    if (p->has_info) {
        add_key(out, "info", &any);
        if (!add_client_info(out, p->info.user, p->info.client, p->info.conn_info,
                             p->info.chan_info))
            return false;
    }
    if (p->offset > 0) {
        add_key(out, "offset", &any);
        buf_add_u64(out, p->offset);
    }
    if (p->tags.len > 0) {
        add_key(out, "tags", &any);
        buf_add_str(out, p->tags);
    }
    buf_add_char(out, '}');
    return true;
}

static void on_history(void *arg, enum err err, const struct history_result *result)
{
    struct script_wait *wait = arg;
    struct buf out = BUF_INIT(BIND_RESULT_MAX);
    lua_State *co;

    if (err != OK) {
        bind_wake_error(wait, bind_code(err));
        return;
    }
    buf_add_char(&out, '[');
    for (size_t i = 0; i < result->count; i++) {
        if (i > 0)
            buf_add_char(&out, ',');
        if (!add_publication(&out, result->publications[i])) {
            buf_deinit(&out);
            bind_wake_error(wait, API_NOT_ENCODABLE);
            return;
        }
    }
    buf_add_char(&out, ']');
    if (out.overflow) {
        buf_deinit(&out);
        bind_wake_error(wait, API_INTERNAL);
        return;
    }
    co = script_wait_state(wait);
    lua_pushlstring(co, out.ptr, out.len);
    buf_deinit(&out);
    lua_pushlstring(co, result->position.epoch.ptr ? result->position.epoch.ptr : "",
                    result->position.epoch.len);
    lua_pushinteger(co, (lua_Integer)result->position.offset);
    script_wake(wait, 3);
}

/* history(options, channel, limit, since, reverse) → publications, epoch, offset */
static int core_history(lua_State *L)
{
    const struct ns *ns = bind_to_ns(L, 1);
    struct stream_options stream = channel_stream(ns);
    struct history_filter filter = {
        .limit = luaL_optinteger(L, 3, 0),
        .has_since = lua_istable(L, 4),
        .reverse = lua_toboolean(L, 5),
    };
    struct str channel = bind_to_str(L, 2);
    struct script_wait *wait;

    if (filter.has_since) {
        lua_getfield(L, 4, "offset");
        filter.since_offset = (uint64_t)luaL_optinteger(L, -1, 0);
        lua_getfield(L, 4, "epoch");
        filter.since_epoch = bind_to_str(L, lua_gettop(L)); /* stays on the stack */
    }
    wait = script_wait_begin(L, "history");
    home_history(bind_core(L), channel, &stream, &filter, on_history, wait);
    return script_wait_end(L, wait);
}

static void on_done(void *arg, enum err err)
{
    bind_wake_done(arg, err);
}

/* history_remove(channel) */
static int core_history_remove(lua_State *L)
{
    struct str channel = bind_to_str(L, 1);
    struct script_wait *wait = script_wait_begin(L, "history_remove");

    home_history_remove(bind_core(L), channel, on_done, wait);
    return script_wait_end(L, wait);
}

/* ---- presence ---- */

static void on_presence(void *arg, enum err err, const struct presence_result *result)
{
    struct script_wait *wait = arg;
    struct buf out = BUF_INIT(BIND_RESULT_MAX);

    if (err != OK) {
        bind_wake_error(wait, bind_code(err));
        return;
    }
    buf_add_char(&out, '{');
    for (size_t i = 0; i < result->count; i++) {
        const struct presence_entry *e = &result->entries[i];

        if (i > 0)
            buf_add_char(&out, ',');
        json_add_string(&out, e->client);
        buf_add_char(&out, ':');
        if (!add_client_info(&out, e->user, e->client, e->conn_info, e->chan_info)) {
            buf_deinit(&out);
            bind_wake_error(wait, API_NOT_ENCODABLE);
            return;
        }
    }
    buf_add_char(&out, '}');
    bind_wake_json(wait, &out);
}

/* presence(channel) → members */
static int core_presence(lua_State *L)
{
    struct str channel = bind_to_str(L, 1);
    struct script_wait *wait = script_wait_begin(L, "presence");

    home_presence(bind_core(L), channel, false, on_presence, wait);
    return script_wait_end(L, wait);
}

static void on_presence_stats(void *arg, enum err err, const struct presence_result *result)
{
    struct script_wait *wait = arg;
    lua_State *co;

    if (err != OK) {
        bind_wake_error(wait, bind_code(err));
        return;
    }
    co = script_wait_state(wait);
    lua_pushinteger(co, (lua_Integer)result->count);
    lua_pushinteger(co, (lua_Integer)result->users);
    script_wake(wait, 2);
}

/* presence_stats(channel) → clients, users */
static int core_presence_stats(lua_State *L)
{
    struct str channel = bind_to_str(L, 1);
    struct script_wait *wait = script_wait_begin(L, "presence_stats");

    home_presence(bind_core(L), channel, true, on_presence_stats, wait);
    return script_wait_end(L, wait);
}

/* ---- the node ---- */

static void on_channels(void *arg, enum err err, const struct control_channel *channels,
                        size_t count)
{
    struct script_wait *wait = arg;
    struct buf out = BUF_INIT(BIND_RESULT_MAX);

    if (err != OK) {
        bind_wake_error(wait, bind_code(err));
        return;
    }
    buf_add_char(&out, '{');
    for (size_t i = 0; i < count; i++) {
        if (i > 0)
            buf_add_char(&out, ',');
        json_add_string(&out, channels[i].name);
        buf_add_lit(&out, ":{\"num_clients\":");
        buf_add_u64(&out, channels[i].clients);
        buf_add_char(&out, '}');
    }
    buf_add_char(&out, '}');
    bind_wake_json(wait, &out);
}

/* channels(pattern) → name → number of clients */
static int core_channels(lua_State *L)
{
    struct str pattern = bind_to_str(L, 1);
    struct script_wait *wait = script_wait_begin(L, "channels");

    control_channels(bind_core(L), pattern, on_channels, wait);
    return script_wait_end(L, wait);
}

static void on_info(void *arg, enum err err, const struct control_info *info)
{
    struct script_wait *wait = arg;
    struct buf out = BUF_INIT(BIND_RESULT_MAX);

    if (err != OK)
        bind_wake_error(wait, bind_code(err));
    else {
        api_add_node(&out, bind_core(script_wait_state(wait))->node, info);
        bind_wake_json(wait, &out);
    }
}

/* info() → the list of nodes */
static int core_info(lua_State *L)
{
    struct script_wait *wait = script_wait_begin(L, "info");

    control_info(bind_core(L), on_info, wait);
    return script_wait_end(L, wait);
}

void bind_read_open(lua_State *L)
{
    static const luaL_Reg functions[] = {
        {"history", core_history},
        {"history_remove", core_history_remove},
        {"presence", core_presence},
        {"presence_stats", core_presence_stats},
        {"channels", core_channels},
        {"info", core_info},
        {NULL, NULL},
    };

    luaL_setfuncs(L, functions, 0);
}
