#include "cli/explain.h"

#include "base/log.h"
#include "base/mem.h"
#include "bind/bind.h"
#include "cli/driver.h"
#include "cli/options.h"
#include "client/client.h"
#include "client/control.h"
#include "codec/json.h"

#include <lauxlib.h>
#include <stdio.h>

#define PROBLEM_MAX 65536
#define DECISIONS_MAX 16 /* of one command; there are two at most */

struct made {
    uint32_t code;
    struct str cause, option;
};

struct explain {
    struct options options;
    struct driver driver;
    const char *user, *channel, *action;
    const char *token, *data, *info, *meta, *caps; /* NULL: not given */
    bool anonymous, subscribed;
    struct made made[DECISIONS_MAX];
    size_t made_count;
};

/* --- what Lua asks for ------------------------------------------------------------------------ */

static const char explain_key; /* registry */

static struct explain *explain_of(lua_State *L)
{
    struct explain *e;

    lua_rawgetp(L, LUA_REGISTRYINDEX, &explain_key);
    e = lua_touserdata(L, -1);
    lua_pop(L, 1);
    return e;
}

static void on_decision(void *arg, const struct decision *d)
{
    struct explain *e = arg;

    if (e->made_count < DECISIONS_MAX)
        e->made[e->made_count++] = (struct made){d->code, str_dup(d->cause), str_dup(d->option)};
}

static void forget(struct explain *e)
{
    for (size_t i = 0; i < e->made_count; i++) {
        str_free(&e->made[i].cause);
        str_free(&e->made[i].option);
    }
    e->made_count = 0;
}

static void set_str(lua_State *L, const char *name, struct str text)
{
    lua_pushlstring(L, text.ptr ? text.ptr : "", text.len);
    lua_setfield(L, -2, name);
}

/* decisions() → those since the last call: a list of { code =, cause =, option = } */
static int l_decisions(lua_State *L)
{
    struct explain *e = explain_of(L);

    lua_createtable(L, (int)e->made_count, 0);
    for (size_t i = 0; i < e->made_count; i++) {
        lua_createtable(L, 0, 3);
        lua_pushinteger(L, e->made[i].code);
        lua_setfield(L, -2, "code");
        set_str(L, "cause", e->made[i].cause);
        set_str(L, "option", e->made[i].option);
        lua_rawseti(L, -2, (lua_Integer)i + 1);
    }
    forget(e);
    return 1;
}

static struct str given(const char *text)
{
    return text ? str_from(text) : STR_NONE;
}

/* enter(client): connects it */
static int l_enter(lua_State *L)
{
    struct explain *e = explain_of(L);
    struct client_identity who = {
        .user = given(e->user),
        .info = given(e->info),
        .meta = given(e->meta),
        .caps = given(e->caps),
    };

    CHECK(client_connect_as(driver_client(L, 1)->client, &who) == OK); /* caps were looked at */
    return 0;
}

/* join(client): into the channel, by the server's order, without asking anybody */
static int l_join(lua_State *L)
{
    struct explain *e = explain_of(L);
    struct control_order order = {.kind = CONTROL_SUBSCRIBE,
                                  .subscribe.channel = str_from(e->channel)};
    struct client *cl = driver_client(L, 1)->client;

    if (cl)
        client_order(cl, &order);
    return 0;
}

static void open_explain(lua_State *L, struct driver *d)
{
    static const luaL_Reg functions[] = {
        {"decisions", l_decisions}, {"enter", l_enter}, {"join", l_join}, {NULL, NULL}};

    lua_pushlightuserdata(L, container_of(d, struct explain, driver));
    lua_rawsetp(L, LUA_REGISTRYINDEX, &explain_key);
    luaL_setfuncs(L, functions, 0);
}

/* --- running it ------------------------------------------------------------------------------- */

static void set_text(lua_State *L, const char *name, const char *text)
{
    if (text == NULL)
        return;
    lua_pushstring(L, text);
    lua_setfield(L, -2, name);
}

/* The options of the channel's namespace, as a path. */
static void set_namespace(lua_State *L, const struct settings *s, const char *channel)
{
    struct channel_parts parts;

    if (channel_resolve(s, str_from(channel), &parts) != OK)
        return;
    if (parts.ns->name.len == 0) {
        lua_pushliteral(L, "channel.without_namespace");
    } else {
        lua_pushliteral(L, "channel.namespaces.");
        lua_pushlstring(L, parts.ns->name.ptr, parts.ns->name.len);
        lua_concat(L, 2);
    }
    lua_setfield(L, -2, "namespace");
}

static void push_request(lua_State *L, const struct explain *e, const struct settings *s)
{
    lua_newtable(L);
    set_text(L, "config", e->options.config);
    set_text(L, "action", e->action);
    set_text(L, "channel", e->channel);
    set_text(L, "token", e->token);
    set_text(L, "data", e->data);
    lua_pushboolean(L, e->subscribed);
    lua_setfield(L, -2, "subscribed");
    set_namespace(L, s, e->channel);
    set_str(L, "places", buf_str(&e->options.places));
}

static int run(struct explain *e, struct settings *settings)
{
    struct script_tool tool = {.module = "perigee.explain"};
    struct buf problem = BUF_INIT(PROBLEM_MAX);
    struct core *core;
    lua_State *co;
    int code = 2;

    if (log_setup(LOG_WARN, LOG_AUTO, NULL) != OK)
        return 1;
    if (driver_open(&e->driver, settings, &tool, open_explain, &problem) != OK) {
        fprintf(stderr, "%.*s\n", STR_ARGS(buf_str(&problem)));
    } else {
        core = e->driver.world.core;
        core->clients->watch = on_decision;
        core->clients->watch_arg = e;
        bind_start(core);
        co = driver_begin(&e->driver, "run");
        push_request(co, e, settings);
        code = driver_run(&e->driver, co, 1);
        driver_close(&e->driver);
    }
    buf_deinit(&problem);
    return code;
}

/* --- the command line ------------------------------------------------------------------------- */

static bool take_text(struct explain *e, int argc, char **argv, int *i)
{
    const struct {
        const char *flag, *short_flag;
        const char **target;
    } texts[] = {
        {"--user", "-u", &e->user}, {"--channel", "-s", &e->channel}, {"--token", NULL, &e->token},
        {"--data", "-d", &e->data}, {"--info", NULL, &e->info},       {"--meta", NULL, &e->meta},
        {"--caps", NULL, &e->caps},
    };

    for (size_t k = 0; k < ARRAY_LEN(texts); k++) {
        const char *value =
            options_value(&e->options, argc, argv, i, texts[k].flag, texts[k].short_flag);

        if (value) {
            *texts[k].target = value;
            return true;
        }
    }
    return false;
}

static bool is_action(const char *word)
{
    static const char *const actions[] = {"subscribe", "publish", "presence", "history"};

    for (size_t i = 0; i < ARRAY_LEN(actions); i++) {
        if (strcmp(word, actions[i]) == 0)
            return true;
    }
    return false;
}

static bool bad_usage(const char *what)
{
    fprintf(stderr, "perigee explain: %s (perigee help explain)\n", what);
    return false;
}

static bool is_json(const char *text)
{
    return text == NULL || json_valid(str_from(text));
}

static bool are_caps(const char *text)
{
    struct caps *caps;
    enum err err = caps_new(given(text), &caps);

    if (err == OK)
        caps_free(caps);
    return err == OK;
}

static bool check(const struct explain *e)
{
    if (e->action == NULL)
        return bad_usage("what does it want: subscribe, publish, presence or history?");
    if (e->channel == NULL || *e->channel == '\0')
        return bad_usage("which channel? --channel CHANNEL");
    if ((e->user && *e->user) == e->anonymous)
        return bad_usage("who asks? either --user USER or --anonymous");
    if (!is_json(e->data) || !is_json(e->info) || !is_json(e->meta) || !is_json(e->caps))
        return bad_usage("--data, --info, --meta and --caps are JSON");
    if (!are_caps(e->caps))
        return bad_usage(
            "--caps is a list such as [{\"channels\":[\"news\"],\"allow\":[\"pub\"]}]");
    if (e->token && strcmp(e->action, "subscribe") != 0)
        return bad_usage("--token is a subscription token; it goes with subscribe");
    return true;
}

static bool parse(struct explain *e, int argc, char **argv)
{
    for (int i = 1; i < argc; i++) {
        if (options_take(&e->options, argc, argv, &i) || take_text(e, argc, argv, &i))
            continue;
        if (strcmp(argv[i], "--anonymous") == 0)
            e->anonymous = true;
        else if (strcmp(argv[i], "--subscribed") == 0)
            e->subscribed = true;
        else if (e->action == NULL && is_action(argv[i]))
            e->action = argv[i];
        else
            return options_unexpected(&e->options, argv[i]) == 0;
    }
    if (e->options.config == NULL)
        e->options.config = "config.lua";
    return check(e);
}

int cli_explain(int argc, char **argv)
{
    struct explain e = {0};
    struct settings *settings;
    int code = 2;

    options_init(&e.options, "explain", argc);
    if (parse(&e, argc, argv) && (settings = options_load(&e.options)) != NULL) {
        code = run(&e, settings);
        settings_unref(settings);
    }
    forget(&e);
    options_deinit(&e.options);
    return code;
}
