/* perigee.core.publish and perigee.core.gather: one publication, or many whose answers come
 * together. A `transform` hook may change or drop each of them first. */
#include "bind/bind_core.h"

#include "api/spec.h"
#include "base/check.h"
#include "base/mem.h"
#include "bind/bind_reply.h"
#include "client/publish.h"
#include "codec/json.h"
#include "core/channel.h"
#include "core/home.h"
#include "script/hook.h"
#include "script/script.h"

#include <lauxlib.h>

struct publish_args {
    struct publication_source source;
    struct publish_request request;
};

/* skip_history, tags, idempotency_key, delta, version and version_epoch of the table at index, left
 * on the stack. */
static void read_more(lua_State *L, int index, struct publish_args *out)
{
    struct api_raw tags;

    lua_getfield(L, index, "tags");
    api_to_raw(L, -1, &tags);
    out->source.tags = tags.bytes;
    lua_getfield(L, index, "delta");
    out->source.delta |= lua_toboolean(L, -1);
    lua_getfield(L, index, "version");
    out->source.version = out->request.version = (uint64_t)luaL_optinteger(L, -1, 0);
    lua_getfield(L, index, "version_epoch");
    out->request.version_epoch = bind_to_str(L, -1);
    lua_getfield(L, index, "idempotency_key");
    out->request.idempotency_key = bind_to_str(L, -1);
    lua_getfield(L, index, "skip_history");
    if (lua_toboolean(L, -1))
        out->request.stream = (struct stream_options){0};
}

/* Arguments from index `first` on: options, channel, data, and a table of what else there is, or
 * nil. Borrows the stack's strings. */
static void read_args(lua_State *L, int first, struct publish_args *out)
{
    const struct ns *ns = bind_to_ns(L, first);
    struct api_raw data;

    api_to_raw(L, first + 2, &data);
    out->source = (struct publication_source){
        .type = PUBLICATION_DATA,
        .channel = bind_to_str(L, first + 1),
        .data = data.bytes,
        .data_is_json = data.is_json,
        .delta = ns->opt.delta_publish,
    };
    out->request = (struct publish_request){
        .stream = channel_stream(ns),
        .may_be_inline = true,
    };
    if (!lua_isnoneornil(L, first + 3)) {
        luaL_checktype(L, first + 3, LUA_TTABLE);
        read_more(L, first + 3, out);
    }
}

/* The error of a refusing hook; one that wants to disconnect finds nobody here. */
static uint32_t refused_code(const struct hook_verdict *v)
{
    return v->outcome == VERDICT_ERROR ? v->code : API_INTERNAL;
}

static struct str refused_message(const struct hook_verdict *v)
{
    return v->outcome == VERDICT_ERROR ? v->message : STR_NONE;
}

/* ---- one ---- */

static void on_one(void *arg, enum err err, struct stream_position position)
{
    struct script_wait *wait = arg;
    lua_State *co = script_wait_state(wait);

    if (err != OK) {
        script_wake(wait, bind_push_error(co, bind_code(err), STR_NONE));
        return;
    }
    if (position.offset == 0 && position.epoch.len == 0) {
        script_wake(wait, 0);
        return;
    }
    lua_pushinteger(co, (lua_Integer)position.offset);
    lua_pushlstring(co, position.epoch.ptr ? position.epoch.ptr : "", position.epoch.len);
    script_wake(wait, 2);
}

static void on_one_refused(void *arg, const struct hook_verdict *v)
{
    struct script_wait *wait = arg;

    script_wake(wait,
                bind_push_error(script_wait_state(wait), refused_code(v), refused_message(v)));
}

/* publish(options, channel, data, more) → offset, epoch; nothing when it is in no stream */
static int core_publish(lua_State *L)
{
    struct script *s = script_of(L);
    struct publish_args args;
    struct script_wait *wait;

    read_args(L, 1, &args);
    wait = script_wait_begin(L, "publish");
    publish_start(core_of(script_worker(s)), &args.source, &args.request, on_one, on_one_refused,
                  wait);
    return script_wait_end(L, wait);
}

/* ---- many ---- */

#define GATHER_NAME "perigee.gather"

struct gather_slot {
    struct gather *gather;
    uint32_t code;
    struct str message; /* owned */
    uint64_t offset;
    uint8_t epoch_len;
    char epoch[EPOCH_LEN_MAX];
};

/* Lives until Lua has let go of it and every publish has been answered. */
struct gather {
    size_t refs, missing, count;
    struct script_wait *wait; /* who waits for missing to become 0 */
    struct gather_slot slots[];
};

static void gather_unref(struct gather *g)
{
    if (--g->refs > 0)
        return;
    for (size_t i = 0; i < g->count; i++)
        str_free(&g->slots[i].message);
    mem_free(g);
}

static void add_response(struct buf *out, const struct gather_slot *slot)
{
    if (slot->code != 0) {
        buf_add_lit(out, "{\"error\":");
        api_add_error(out, slot->code, slot->message);
        buf_add_char(out, '}');
        return;
    }
    buf_add_lit(out, "{\"result\":{");
    if (slot->offset > 0) {
        buf_add_lit(out, "\"offset\":");
        buf_add_u64(out, slot->offset);
    }
    if (slot->epoch_len > 0) {
        if (slot->offset > 0)
            buf_add_char(out, ',');
        buf_add_lit(out, "\"epoch\":");
        json_add_string(out, str_of(slot->epoch, slot->epoch_len));
    }
    buf_add_lit(out, "}}");
}

static void gather_wake(struct gather *g)
{
    struct script_wait *wait = g->wait;
    struct buf out = BUF_INIT(BIND_RESULT_MAX);

    g->wait = NULL;
    buf_add_char(&out, '[');
    for (size_t i = 0; i < g->count; i++) {
        if (i > 0)
            buf_add_char(&out, ',');
        add_response(&out, &g->slots[i]);
    }
    buf_add_char(&out, ']');
    bind_wake_json(wait, &out);
}

/* One answer more is there. */
static void slot_done(struct gather_slot *slot)
{
    struct gather *g = slot->gather;

    if (--g->missing == 0 && g->wait)
        gather_wake(g);
    gather_unref(g);
}

static void on_slot(void *arg, enum err err, struct stream_position position)
{
    struct gather_slot *slot = arg;

    slot->code = bind_code(err);
    slot->offset = position.offset;
    slot->epoch_len = (uint8_t)MIN(position.epoch.len, EPOCH_LEN_MAX);
    if (slot->epoch_len > 0)
        memcpy(slot->epoch, position.epoch.ptr, slot->epoch_len);
    slot_done(slot);
}

static void on_slot_refused(void *arg, const struct hook_verdict *v)
{
    struct gather_slot *slot = arg;

    slot->code = refused_code(v);
    slot->message = str_dup(refused_message(v));
    slot_done(slot);
}

static struct gather *to_gather(lua_State *L)
{
    return *(struct gather **)luaL_checkudata(L, 1, GATHER_NAME);
}

static struct gather_slot *to_slot(lua_State *L)
{
    struct gather *g = to_gather(L);
    lua_Integer index = luaL_checkinteger(L, 2);

    luaL_argcheck(L, index >= 1 && (size_t)index <= g->count, 2, "no such place");
    luaL_argcheck(L, !g->slots[index - 1].gather, 2, "this place is taken");
    return &g->slots[index - 1];
}

/* answers:fail(i, code[, message]): this one is refused. */
static int gather_fail(lua_State *L)
{
    struct gather_slot *slot = to_slot(L);

    slot->code = (uint32_t)luaL_checkinteger(L, 3);
    slot->message = str_dup(bind_to_str(L, 4));
    slot->gather = to_gather(L);
    return 0;
}

/* answers:publish(i, options, channel, data, more): this one is on its way. */
static int gather_publish(lua_State *L)
{
    struct script *s = script_of(L);
    struct gather_slot *slot = to_slot(L);
    struct gather *g = to_gather(L);
    struct publish_args args;

    read_args(L, 3, &args);
    slot->gather = g;
    g->missing++;
    g->refs++;
    publish_start(core_of(script_worker(s)), &args.source, &args.request, on_slot, on_slot_refused,
                  slot);
    return 0;
}

/* answers:wait() → the responses, when the last one is there. */
static int gather_wait(lua_State *L)
{
    struct gather *g = to_gather(L);
    struct script_wait *wait = script_wait_begin(L, "broadcast");

    CHECK(!g->wait);
    g->wait = wait;
    if (g->missing == 0)
        gather_wake(g);
    return script_wait_end(L, wait);
}

static int gather_gc(lua_State *L)
{
    struct gather **holder = luaL_checkudata(L, 1, GATHER_NAME);

    if (*holder)
        gather_unref(*holder);
    *holder = NULL;
    return 0;
}

/* gather(n): n publishes that are answered together. */
static int core_gather(lua_State *L)
{
    size_t count = (size_t)luaL_checkinteger(L, 1);
    struct gather **holder = lua_newuserdatauv(L, sizeof *holder, 0);

    *holder = NULL;
    luaL_setmetatable(L, GATHER_NAME);
    *holder = mem_zalloc(sizeof **holder + count * sizeof(*holder)->slots[0]);
    (*holder)->refs = 1;
    (*holder)->count = count;
    return 1;
}

void bind_publish_open(lua_State *L)
{
    static const luaL_Reg functions[] = {
        {"publish", core_publish},
        {"gather", core_gather},
        {NULL, NULL},
    };
    static const luaL_Reg methods[] = {
        {"fail", gather_fail},
        {"publish", gather_publish},
        {"wait", gather_wait},
        {NULL, NULL},
    };

    luaL_setfuncs(L, functions, 0);
    luaL_newmetatable(L, GATHER_NAME);
    lua_pushcfunction(L, gather_gc);
    lua_setfield(L, -2, "__gc");
    luaL_newlib(L, methods);
    lua_setfield(L, -2, "__index");
    lua_pop(L, 1);
}
