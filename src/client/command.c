#include "client/command.h"

#include "base/check.h"
#include "base/mem.h"
#include "client/auth.h"
#include "script/channel_options.h"

static command_fn cmd_ping;

static command_fn *const handlers[METHOD_COUNT] = {
    [METHOD_CONNECT] = cmd_connect,
    [METHOD_PING] = cmd_ping,
    [METHOD_SUBSCRIBE] = cmd_subscribe,
    [METHOD_UNSUBSCRIBE] = cmd_unsubscribe,
    [METHOD_PUBLISH] = cmd_publish,
    [METHOD_PRESENCE] = cmd_presence,
    [METHOD_PRESENCE_STATS] = cmd_presence_stats,
    [METHOD_HISTORY] = cmd_history,
    [METHOD_RPC] = cmd_rpc,
    [METHOD_SEND] = cmd_send,
    [METHOD_REFRESH] = cmd_refresh,
    [METHOD_SUB_REFRESH] = cmd_sub_refresh,
};

static void refuse_early(struct client *cl, const char *cause)
{
    command_disconnect(cl, DISCONNECT_BAD_REQUEST, &(struct refusal){.cause = cause});
}

/* In the schema of the protocol, and of no use: as in the reference, it is no command alone, and
 * one that is not available in front of another. */
static void cmd_ping(struct client *cl, const struct wire_command *command)
{
    struct wire_command rest = *command;

    rest.ping = NULL;
    if (wire_command_method(&rest) == METHOD_NONE)
        refuse_early(cl, "a ping command");
    else
        command_refuse(cl, command->id, ERROR_NOT_AVAILABLE,
                       &(struct refusal){.cause = "a ping command in front of another"});
}

/* Over a limit. What gets no reply ends the connection. */
static void refuse_limited(struct client *cl, const struct wire_command *command)
{
    struct limits *limits = clients_of(cl)->limits;
    struct wire_error error = codes_error(ERROR_TOO_MANY_REQUESTS);
    bool answered = command->id != 0;

    if (limit_may_log(limits, &cl->limit))
        client_log_refusal(cl, answered ? ERROR_TOO_MANY_REQUESTS : DISCONNECT_TOO_MANY_REQUESTS,
                           &(struct refusal){.cause = "too many commands in a short time",
                                             .option = limit_option(limits)});
    if (answered)
        client_reply_error(cl, command->id, &error);
    else
        client_disconnect_code(cl, DISCONNECT_TOO_MANY_REQUESTS);
}

static void on_key(void *arg)
{
    client_begin(arg);
}

/* A token whose key has to be fetched first keeps its command from beginning; so does a subscribe
 * under way an unsubscribe. False: it waits. */
static bool may_begin(struct client *cl, enum method method, const struct wire_command *command)
{
    enum jwt_kind kind = JWT_SUBSCRIPTION;
    struct str token = STR_NONE;

    if (method == METHOD_CONNECT)
        token = command->connect->token;
    else if (method == METHOD_REFRESH)
        token = command->refresh->token;
    else if (method == METHOD_SUBSCRIBE)
        token = command->subscribe->token;
    else if (method == METHOD_SUB_REFRESH)
        token = command->sub_refresh->token;
    else if (method == METHOD_UNSUBSCRIBE)
        return cmd_unsubscribe_may_begin(cl, command->unsubscribe->channel);
    if (method == METHOD_CONNECT || method == METHOD_REFRESH)
        kind = JWT_CONNECTION;
    if (token.len == 0 || auth_ready(cl, kind, token, on_key, cl))
        return true;
    client_wait_to_begin(cl);
    return false;
}

/* The channel whose options a command needs, or nothing. */
static struct str channel_of(enum method method, const struct wire_command *command)
{
    switch (method) {
    case METHOD_SUBSCRIBE:
        return command->subscribe->channel;
    case METHOD_PUBLISH:
        return command->publish->channel;
    case METHOD_PRESENCE:
        return command->presence->channel;
    case METHOD_PRESENCE_STATS:
        return command->presence_stats->channel;
    case METHOD_HISTORY:
        return command->history->channel;
    default:
        return STR_NONE;
    }
}

static void on_options(void *arg, enum err err, const struct channel_parts *parts,
                       const struct hook_verdict *refused)
{
    client_begin(arg); /* now command_channel finds what there is to know */
}

/* A channel whose options are not known yet keeps its command from beginning. False: it waits. */
static bool options_known(struct client *cl, struct str channel)
{
    struct core *core = cl->core;
    struct channel_parts parts;
    struct hook_verdict refused;

    if (channel.len == 0 ||
        channel_options_find(core->script, core->settings, channel, &parts, &refused) != ERR_BUSY)
        return true;
    client_wait_to_begin(cl);
    channel_options_get(core->script, core->settings, NULL, channel, on_options, cl);
    return false;
}

/* Runs it, unless it is over a limit or has to wait for its channel's options first. */
static void run_in_time(struct client *cl, enum method method, const struct wire_command *command)
{
    if (!cl->counted && !limit_take(clients_of(cl)->limits, &cl->limit, client_user(cl), method)) {
        refuse_limited(cl, command);
        return;
    }
    cl->counted = !options_known(cl, channel_of(method, command));
    if (!cl->counted)
        handlers[method](cl, command);
}

void command_run(struct client *cl, const struct wire_command *command)
{
    enum method method = wire_command_method(command);
    bool pong = command->id == 0 && method != METHOD_SEND;

    if (cl->state == CLIENT_OPENED) {
        if (pong || method != METHOD_CONNECT)
            refuse_early(cl, "a command before connect");
        else if (may_begin(cl, method, command))
            cmd_connect(cl, command);
        return;
    }
    if (pong)
        client_pong(cl);
    else if (method == METHOD_CONNECT)
        refuse_early(cl, "a second connect command");
    else if (handlers[method] == NULL)
        refuse_early(cl, "an unknown command");
    else if (may_begin(cl, method, command))
        run_in_time(cl, method, command);
}

/* --- refusing --------------------------------------------------------------------------------- */

void command_refuse(struct client *cl, uint32_t id, enum client_error code,
                    const struct refusal *why)
{
    struct wire_error error = codes_error(code);

    client_log_refusal(cl, code, why);
    client_reply_error(cl, id, &error);
}

void command_refuse_because(struct client *cl, uint32_t id, enum client_error code,
                            struct str channel, const char *cause, struct str option)
{
    command_refuse(cl, id, code,
                   &(struct refusal){.cause = cause, .option = option, .channel = channel});
}

void command_disconnect(struct client *cl, enum disconnect code, const struct refusal *why)
{
    client_log_refusal(cl, code, why);
    client_disconnect_code(cl, code);
}

/* option: where the hook stands. */
static void refuse_verdict(struct client *cl, uint32_t id, struct str channel, struct str option,
                           const struct hook_verdict *v)
{
    struct refusal why = {.cause = v->failed ? "a hook failed" : "a hook said so",
                          .option = option,
                          .channel = channel};
    struct wire_error error = {.code = v->code, .message = v->message, .temporary = v->temporary};

    client_log_refusal(cl, v->code, &why);
    if (v->outcome == VERDICT_DISCONNECT)
        client_disconnect(cl, v->code, v->message);
    else
        client_reply_error(cl, id, &error);
}

void command_refuse_verdict(struct client *cl, uint32_t id, struct str channel,
                            const struct hook_verdict *v)
{
    refuse_verdict(cl, id, channel, STR("hooks"), v);
}

void command_refuse_by_hook(const struct pending *p, struct str option,
                            const struct hook_verdict *v)
{
    if (v->outcome == VERDICT_REFUSE)
        command_refuse_because(p->cl, p->id, ERROR_PERMISSION_DENIED, p->channel,
                               "the hook said no", option);
    else
        command_refuse_verdict(p->cl, p->id, p->channel, v);
}

/* --- what channel commands have in common ----------------------------------------------------- */

bool command_channel(struct client *cl, uint32_t id, struct str channel,
                     struct channel_parts *parts)
{
    const struct settings *s = cl->core->settings;
    struct hook_verdict refused;
    enum err err;

    if (channel.len == 0) {
        refuse_early(cl, "the channel is missing");
        return false;
    }
    err = channel_options_find(cl->core->script, s, channel, parts, &refused);
    CHECK(err != ERR_BUSY); /* command_run has seen to it */
    if (err == ERR_NOT_FOUND)
        command_refuse_because(cl, id, ERROR_UNKNOWN_CHANNEL, channel,
                               "the channel's namespace is not configured",
                               STR("channel.namespaces"));
    else if (err == ERR_LIMIT)
        command_refuse_because(cl, id, ERROR_BAD_REQUEST, STR_NONE,
                               "the channel's name is too long", STR("channel.max_length"));
    else if (err != OK)
        refuse_verdict(cl, id, channel, STR("hooks.channel_options"), &refused);
    else if (!channel_name_valid(s, channel, parts))
        command_refuse_because(cl, id, ERROR_BAD_REQUEST, channel,
                               "the channel's name is not allowed", STR("channel_regex"));
    else
        return true;
    return false;
}

bool command_allowed(struct client *cl, uint32_t id, struct str channel,
                     const struct channel_parts *parts, enum action action)
{
    unsigned who = client_who(cl, parts, channel);

    if (client_may(cl, parts->ns, who, action, channel)) {
        client_allowed(cl, parts->ns, who, action,
                       settings_allows(parts->ns, who, action) ? BY_RULES : BY_CAPABILITY);
        return true;
    }
    command_refuse(cl, id, ERROR_PERMISSION_DENIED,
                   &(struct refusal){.cause_text = settings_denied_cause(parts->ns, who, action),
                                     .option = settings_denied_option(parts->ns, who, action),
                                     .channel = channel});
    return false;
}

/* --- waiting ---------------------------------------------------------------------------------- */

struct pending *pending_begin(struct client *cl, uint32_t id, struct str channel, struct str data,
                              const struct channel_parts *parts)
{
    struct pending *p = mem_alloc(sizeof *p + channel.len + data.len);
    char *at = (char *)(p + 1);

    client_wait(cl);
    p->cl = cl;
    p->id = id;
    p->channel = str_put(&at, channel);
    p->data = str_put(&at, data);
    p->parts = parts ? *parts : (struct channel_parts){0};
    p->parts.rest = STR_NONE;
    if (p->parts.ns)
        ns_ref(p->parts.ns);
    return p;
}

void pending_end(struct pending *p)
{
    struct client *cl = p->cl;

    ns_unref(p->parts.ns);
    mem_free(p);
    client_resume(cl);
}
