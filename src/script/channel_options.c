#include "script/channel_options.h"

#include "base/check.h"
#include "base/log.h"
#include "base/mem.h"
#include "script/answer.h"
#include "script/embedded.h"
#include "script/script_state.h"
#include "script/values.h"
#include "script/verdict.h"

#define FAILED_MS 1000 /* a hook that failed is not asked again for so long */

/* How the hook refused a channel. */
struct refusal {
    uint32_t code;
    bool temporary, failed;
    size_t len;
    char message[];
};

/* A channel whose hook was asked. */
struct entry {
    struct map_node by_channel;
    struct list in_order;    /* of the cache, unless it is being asked */
    const struct ns *ns;     /* held; NULL: refused, or not answered yet */
    struct refusal *refused; /* owned */
    struct asking *asking;   /* NULL: answered, and everybody was told */
    uint64_t until_ms;       /* on the worker's clock; 0: for good */
    char name[];
};

struct asking {
    struct channel_cache *cache;
    struct list in_cache;
    lua_State *co; /* where the hook runs */
    struct list waiters;
    struct entry *waits_for; /* whose options the hook itself wants */
    bool answered;
};

struct waiter {
    struct list in_asking;
    channel_options_fn *fn;
    void *arg;
    struct asking *by; /* the hook of another channel, or NULL */
};

/* What a hook has computed; shared by channels of one namespace that got the same. */
struct row {
    struct ns ns;
    struct ns_computed computed;
    struct map_node by_content;
    struct channel_cache *cache; /* NULL: it is gone */
    char content[];
};

struct channel_cache {
    struct script *script;
    struct map entries, rows;
    struct list order; /* entries, the least recently used first */
    struct list asking;
    size_t resting;
    int ask; /* reference of the function of lua/perigee/channel_options.lua */
};

/* --- rows ------------------------------------------------------------------------------------- */

static void row_gone(struct ns *ns)
{
    struct row *row = container_of(ns, struct row, ns);
    const struct settings *settings = ns->settings;

    if (row->cache)
        map_del(&row->cache->rows, &row->by_content);
    ns_clear(ns);
    mem_free(row);
    settings_unref(settings);
}

/* The row's key in the map: its namespace and what differs from it. */
static struct str content_key(lua_State *L)
{
    lua_pushfstring(L, "%d\n%s", (int)luaL_checkinteger(L, 2), luaL_checkstring(L, 3));
    return values_str(L, -1);
}

static struct row *row_find(const struct channel_cache *cache, struct str content)
{
    struct map_node *node = map_get(&cache->rows, content);

    return node ? container_of(node, struct row, by_content) : NULL;
}

static struct row *row_new(struct channel_cache *cache, const struct ns *base, struct str content)
{
    struct row *row = mem_zalloc(sizeof *row + content.len);

    row->cache = cache;
    row->ns.settings = settings_ref(base->settings);
    row->ns.index = base->index;
    row->ns.name = str_dup(base->name);
    row->ns.computed = &row->computed;
    row->computed.gone = row_gone;
    memcpy(row->content, content.ptr, content.len);
    map_add(&cache->rows, &row->by_content, str_of(row->content, content.len));
    return row;
}

/* --- what lua/perigee/channel_options.lua asks of C ------------------------------------------- */

/* take(place, index, key) → is there such a row? Then it is the channel's. */
static int l_take(lua_State *L)
{
    struct entry *e = lua_touserdata(L, 1);
    struct row *row = row_find(script_of(L)->channel_cache, content_key(L));

    if (row)
        e->ns = ns_ref(&row->ns);
    lua_pushboolean(L, row != NULL);
    return 1;
}

/* make(place, index, key, { values =, rules =, reasons = }) */
static int l_make(lua_State *L)
{
    struct script *s = script_of(L);
    struct entry *e = lua_touserdata(L, 1);
    struct str content = content_key(L);
    struct row *row = row_find(s->channel_cache, content); /* the rules may have waited */
    bool limited = s->limited;

    s->limited = false; /* so that nothing raises half-way */
    if (row == NULL) {
        row = row_new(s->channel_cache, &s->settings->namespaces[lua_tointeger(L, 2)], content);
        lua_pushvalue(L, 4);
        values_fill_ns(L, &row->ns);
        lua_getfield(L, -1, "reasons");
        values_fill_reasons(L, &row->computed.reasons);
    }
    s->limited = limited;
    e->ns = ns_ref(&row->ns);
    return 0;
}

/* namespace(index) → { path =, values =, history_meta_ttl = } */
static int l_namespace(lua_State *L)
{
    const struct settings *settings = script_of(L)->settings;
    const struct ns *ns = &settings->namespaces[luaL_checkinteger(L, 1)];

    lua_createtable(L, 0, 3);
    if (ns->name.len == 0)
        lua_pushliteral(L, "channel.without_namespace");
    else
        lua_pushfstring(L, "channel.namespaces.%s", lua_pushlstring(L, ns->name.ptr, ns->name.len));
    lua_setfield(L, 2, "path");
    lua_settop(L, 2);
    values_push_channel(L, &ns->opt);
    lua_setfield(L, 2, "values");
    lua_pushinteger(L, settings->channel_history_meta_ttl_ms);
    lua_setfield(L, 2, "history_meta_ttl");
    return 1;
}

/* answer(value) → "error", "disconnect", or nothing */
static int l_answer(lua_State *L)
{
    switch (answer_kind(L, 1)) {
    case ANSWER_ERROR:
        lua_pushliteral(L, "error");
        return 1;
    case ANSWER_DISCONNECT:
        lua_pushliteral(L, "disconnect");
        return 1;
    case ANSWER_NONE:
        break;
    }
    return 0;
}

static int l_regex_ok(lua_State *L)
{
    struct settings_regex *regex = settings_regex_new(values_str(L, 1));

    lua_pushboolean(L, regex != NULL);
    settings_regex_free(regex);
    return 1;
}

void channel_options_load(struct script *s, lua_State *L, int sources)
{
    static const luaL_Reg native[] = {
        {"take", l_take},     {"make", l_make},         {"namespace", l_namespace},
        {"answer", l_answer}, {"regex_ok", l_regex_ok}, {NULL, NULL},
    };
    struct channel_cache *cache;

    if (!hook_is_set_anywhere(s, HOOK_CHANNEL_OPTIONS))
        return;
    s->channel_cache = cache = mem_zalloc(sizeof *cache);
    cache->script = s;
    list_init(&cache->order);
    list_init(&cache->asking);
    embedded_push(L, "perigee.channel_options", NULL);
    luaL_newlib(L, native);
    embedded_push(L, "perigee.permissions", "rules");
    lua_pushvalue(L, sources);
    lua_call(L, 1, 2);
    if (lua_isnil(L, -2))
        lua_error(L);
    lua_pop(L, 1);
    lua_call(L, 2, 1);
    cache->ask = luaL_ref(L, LUA_REGISTRYINDEX);
}

/* --- entries ---------------------------------------------------------------------------------- */

static struct entry *entry_find(const struct channel_cache *cache, struct str channel)
{
    struct map_node *node = map_get(&cache->entries, channel);

    return node ? container_of(node, struct entry, by_channel) : NULL;
}

static struct entry *entry_new(struct channel_cache *cache, struct str channel)
{
    struct entry *e = mem_zalloc(sizeof *e + channel.len);

    list_init(&e->in_order);
    memcpy(e->name, channel.ptr, channel.len);
    map_add(&cache->entries, &e->by_channel, str_of(e->name, channel.len));
    return e;
}

static void entry_clear(struct entry *e)
{
    ns_unref(e->ns);
    e->ns = NULL;
    mem_free(e->refused);
    e->refused = NULL;
}

static void entry_rest(struct channel_cache *cache, struct entry *e)
{
    list_add_tail(&cache->order, &e->in_order);
    cache->resting++;
}

static void entry_wake(struct channel_cache *cache, struct entry *e)
{
    list_del(&e->in_order);
    cache->resting--;
}

static void entry_free(struct channel_cache *cache, struct entry *e)
{
    entry_wake(cache, e);
    map_del(&cache->entries, &e->by_channel);
    entry_clear(e);
    mem_free(e);
}

static void forget_oldest(struct channel_cache *cache)
{
    size_t max = (size_t)cache->script->settings->channel_options_cache_size;

    while (cache->resting > max)
        entry_free(cache, container_of(cache->order.next, struct entry, in_order));
    map_fit(&cache->entries);
}

static bool is_answered(const struct channel_cache *cache, const struct entry *e)
{
    if (e->asking)
        return e->asking->answered;
    return e->until_ms == 0 || cache->script->worker->now_ms < e->until_ms;
}

static enum err entry_result(const struct entry *e, struct channel_parts *parts,
                             struct hook_verdict *refused)
{
    const struct refusal *r = e->refused;

    if (e->ns) {
        channel_use(e->ns, map_key(&e->by_channel), parts);
        return OK;
    }
    *refused = (struct hook_verdict){.outcome = VERDICT_ERROR,
                                     .code = r->code,
                                     .temporary = r->temporary,
                                     .failed = r->failed,
                                     .message = str_of(r->message, r->len)};
    return ERR_DENIED;
}

enum err channel_options_find(struct script *s, const struct settings *settings, struct str channel,
                              struct channel_parts *out, struct hook_verdict *refused)
{
    enum err err = channel_resolve(settings, channel, out);
    struct channel_cache *cache;
    struct entry *e;

    if (err != OK || !hook_is_set(s, (unsigned)out->ns->index, HOOK_CHANNEL_OPTIONS))
        return err;
    if ((int64_t)channel.len > settings->channel_max_length)
        return ERR_LIMIT;
    cache = s->channel_cache;
    e = entry_find(cache, channel);
    if (e == NULL || !is_answered(cache, e))
        return ERR_BUSY;
    if (!e->asking) {
        entry_wake(cache, e);
        entry_rest(cache, e);
    }
    return entry_result(e, out, refused);
}

/* --- asking ----------------------------------------------------------------------------------- */

static void keep_refusal(struct entry *e, const struct hook_verdict *v)
{
    e->refused = mem_alloc(sizeof *e->refused + v->message.len);
    *e->refused = (struct refusal){
        .code = v->code, .temporary = v->temporary, .failed = v->failed, .len = v->message.len};
    if (v->message.len > 0)
        memcpy(e->refused->message, v->message.ptr, v->message.len);
}

static void keep_answer(struct channel_cache *cache, struct entry *e, const struct hook_verdict *v)
{
    const struct settings *settings = cache->script->settings;
    int64_t ttl_ms = v->failed ? FAILED_MS : settings->channel_options_cache_ttl_ms;
    struct channel_parts parts;

    if (v->outcome != VERDICT_NIL && v->outcome != VERDICT_ALLOW) {
        entry_clear(e);
        keep_refusal(e, v);
    } else if (e->ns == NULL) {
        CHECK(channel_resolve(settings, map_key(&e->by_channel), &parts) == OK);
        e->ns = ns_ref(parts.ns);
    }
    e->until_ms = ttl_ms > 0 ? cache->script->worker->now_ms + (uint64_t)ttl_ms : 0;
}

static void tell(struct channel_cache *cache, struct entry *e, struct waiter *w)
{
    struct channel_parts parts;
    struct hook_verdict refused;
    enum err err;

    list_del(&w->in_asking);
    if (w->by)
        w->by->waits_for = NULL;
    CHECK(channel_resolve(cache->script->settings, map_key(&e->by_channel), &parts) == OK);
    err = entry_result(e, &parts, &refused);
    w->fn(w->arg, err, &parts, &refused);
    mem_free(w);
}

static void on_asked(void *arg, const struct hook_verdict *v)
{
    struct entry *e = arg;
    struct asking *a = e->asking;
    struct channel_cache *cache = a->cache;

    keep_answer(cache, e, v);
    a->answered = true;
    list_del(&a->in_cache);
    while (!list_empty(&a->waiters))
        tell(cache, e, container_of(a->waiters.next, struct waiter, in_asking));
    mem_free(a);
    e->asking = NULL;
    entry_rest(cache, e);
    forget_oldest(cache);
}

static void push_hook(lua_State *co, int ref)
{
    if (ref == LUA_NOREF)
        lua_pushnil(co);
    else
        lua_rawgeti(co, LUA_REGISTRYINDEX, ref);
}

static void ask(struct channel_cache *cache, struct entry *e, unsigned row)
{
    static const struct verdict_request how = {.which = HOOK_CHANNEL_OPTIONS};
    struct script *s = cache->script;
    const struct hooks *hooks = script_hooks(s, row);
    lua_State *co = script_begin(s);

    e->asking->co = co;
    lua_rawgeti(co, LUA_REGISTRYINDEX, cache->ask);
    lua_pushlightuserdata(co, e);
    lua_pushinteger(co, row);
    push_hook(co, hooks->own[HOOK_CHANNEL_OPTIONS]);
    push_hook(co, hooks->common[HOOK_CHANNEL_OPTIONS]);
    lua_pushlstring(co, map_key(&e->by_channel).ptr, map_key(&e->by_channel).len);
    hook_run_pushed(s, co, 5, &how, "hooks.channel_options", on_asked, e);
}

static struct asking *asking_of(const struct channel_cache *cache, const lua_State *co)
{
    list_each (&cache->asking, it) {
        struct asking *a = container_of(it, struct asking, in_cache);

        if (a->co == co)
            return a;
    }
    return NULL;
}

/* Would the hook of by wait for itself? */
static bool is_circle(const struct asking *by, const struct entry *e)
{
    while (e && e->asking && e->asking != by)
        e = e->asking->waits_for;
    return e && e->asking == by;
}

static void wait_for(struct entry *e, struct asking *by, channel_options_fn *fn, void *arg)
{
    struct waiter *w = mem_alloc(sizeof *w);

    *w = (struct waiter){.fn = fn, .arg = arg, .by = by};
    list_add_tail(&e->asking->waiters, &w->in_asking);
    if (by)
        by->waits_for = e;
}

static void begin_asking(struct channel_cache *cache, struct entry *e)
{
    struct asking *a = mem_zalloc(sizeof *a);

    a->cache = cache;
    list_init(&a->waiters);
    list_add_tail(&cache->asking, &a->in_cache);
    e->asking = a;
}

static void refuse_circle(struct str channel, channel_options_fn *fn, void *arg)
{
    struct hook_verdict refused;

    LOG_WITH(LOG_ERROR, "Lua failed", LOG_Z("in", "hooks.channel_options"),
             LOG_Z("error", "it waits for its own answer"), LOG_S("channel", channel));
    verdict_internal(&refused);
    fn(arg, ERR_DENIED, NULL, &refused);
}

void channel_options_get(struct script *s, const struct settings *settings, lua_State *from,
                         struct str channel, channel_options_fn *fn, void *arg)
{
    struct channel_parts parts;
    struct hook_verdict refused;
    enum err err = channel_options_find(s, settings, channel, &parts, &refused);
    struct channel_cache *cache;
    struct asking *by;
    struct entry *e;

    if (err != ERR_BUSY) {
        fn(arg, err, &parts, &refused);
        return;
    }
    cache = s->channel_cache;
    by = from ? asking_of(cache, from) : NULL;
    e = entry_find(cache, channel);
    if (e && e->asking) {
        if (by && is_circle(by, e))
            refuse_circle(channel, fn, arg);
        else
            wait_for(e, by, fn, arg);
        return;
    }
    if (e) { /* its time is over */
        entry_wake(cache, e);
        entry_clear(e);
    } else {
        e = entry_new(cache, channel);
    }
    begin_asking(cache, e);
    wait_for(e, by, fn, arg);
    ask(cache, e, (unsigned)parts.ns->index);
}

/* --- the end ---------------------------------------------------------------------------------- */

struct channel_options_counts channel_options_counts(const struct script *s)
{
    const struct channel_cache *cache = s->channel_cache;

    return cache ? (struct channel_options_counts){cache->entries.count, cache->rows.count}
                 : (struct channel_options_counts){0};
}

/* Rows may outlive it: subscribes on their way hold them. */
void channel_options_unload(struct script *s)
{
    struct channel_cache *cache = s->channel_cache;
    struct map_iter it;

    if (cache == NULL)
        return;
    CHECK(list_empty(&cache->asking));
    while (!list_empty(&cache->order))
        entry_free(cache, container_of(cache->order.next, struct entry, in_order));
    map_each (&cache->rows, &it, node)
        container_of(node, struct row, by_content)->cache = NULL;
    map_deinit(&cache->entries);
    map_deinit(&cache->rows);
    mem_free(cache);
    s->channel_cache = NULL;
}
