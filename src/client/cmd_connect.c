/* connect: token, hook, or nobody; then the limits, the server-side subscriptions, and the reply,
 * in front of everything those channels bring. */
#include "base/clock.h"
#include "base/mem.h"
#include "client/connecting.h"
#include "client/headers.h"
#include "core/admission.h"
#include "core/control.h"

/* --- ending it, well or badly ----------------------------------------------------------------- */

static void free_connecting(struct connecting *c)
{
    struct client *cl = c->cl;

    connecting_free(c);
    if (cl->hub.outbox == &c->held)
        cl->hub.outbox = NULL; /* the client is ending */
    outbox_deinit(&c->held);
    settings_unref(c->settings);
    arena_deinit(&c->arena);
    mem_free(c);
    client_resume(cl);
}

/* The client may say nothing more, and is in no channel. */
static void make_unusable(struct connecting *c)
{
    struct client *cl = c->cl;

    cl->hub.outbox = cl->transport ? &cl->transport->outbox : NULL;
    subscribe_leave_all(cl);
    if (cl->user_counted)
        admission_leave_user(cl->core->node->admission, client_user(cl));
    cl->user_counted = false;
    if (cl->hub.user) {
        hub_remove_client(cl->core->hub, &cl->hub);
        list_add_tail(&clients_of(cl)->unconnected, &cl->hub.in_user);
    }
    cl->state = CLIENT_UNUSABLE;
}

static void fail_error(struct connecting *c, enum client_error code, const struct refusal *why)
{
    struct wire_error error = codes_error(code);

    client_log_refusal(c->cl, code, why);
    make_unusable(c);
    client_reply_error(c->cl, c->id, &error);
    free_connecting(c);
}

static void fail_disconnect(struct connecting *c, enum disconnect code, const struct refusal *why)
{
    c->cl->hub.outbox = c->cl->transport ? &c->cl->transport->outbox : NULL;
    command_disconnect(c->cl, code, why);
    free_connecting(c);
}

/* A namespace that is not configured, or broken claims. */
static void fail_channels(struct connecting *c, enum err err)
{
    if (err == ERR_NOT_FOUND)
        fail_error(c, ERROR_UNKNOWN_CHANNEL,
                   &(struct refusal){.cause = "a server-side channel's namespace is not configured",
                                     .option = STR("channel.namespaces")});
    else
        fail_disconnect(c, DISCONNECT_INVALID_TOKEN,
                        &(struct refusal){.cause = err == ERR_DENIED
                                                       ? "the capabilities are not valid"
                                                       : "the subscribe options are not valid"});
}

static struct wire_subscribe_result_map subs_of(struct connecting *c)
{
    struct wire_subscribe_result_entry *entries =
        arena_alloc(&c->arena, c->channel_count * sizeof *entries);

    for (size_t i = 0; i < c->channel_count; i++)
        entries[i] = (struct wire_subscribe_result_entry){c->channels[i].plan.channel,
                                                          &c->channels[i].result};
    return (struct wire_subscribe_result_map){entries, c->channel_count};
}

static void reply(struct connecting *c)
{
    struct client *cl = c->cl;
    const struct settings *s = c->settings;
    bool pings = s->client_ping_interval_ms > 0 && !cl->transport->native_ping;
    struct wire_connect_result result = {
        .client = client_id(cl),
        .version = cl->core->node->version,
        .data = c->data,
        .subs = subs_of(c),
        .ping = pings ? (uint32_t)MAX(s->client_ping_interval_ms / 1000, 1) : 0,
        .pong = pings && s->client_pong_timeout_ms > 0,
        .time = s->client_connect_include_server_time ? clock_wall_ms() : 0,
    };
    struct frame *f;

    if (c->expire_at > 0 && client_refreshes_itself(cl)) {
        result.expires = true;
        result.ttl = client_ttl(c->expire_at);
    }
    cl->hub.outbox = &cl->transport->outbox;
    client_reply(cl, &(struct wire_reply){.id = c->id, .connect = &result});
    while ((f = outbox_take(&c->held)) != NULL)
        outbox_push_take(cl->hub.outbox, f);
}

static void on_subscribed_all(struct connecting *c)
{
    struct client *cl = c->cl;

    if (client_is_closing(cl)) {
        free_connecting(c);
    } else if (c->err != OK) {
        fail_disconnect(c, DISCONNECT_SERVER_ERROR,
                        &(struct refusal){.cause = "a server-side subscription failed"});
    } else {
        cl->state = CLIENT_CONNECTED;
        cl->was_connected = true;
        cl->expire_at = c->expire_at;
        reply(c);
        client_life_connected(cl);
        free_connecting(c);
    }
}

/* --- who it is, is settled -------------------------------------------------------------------- */

/* The user may not have more connections on this node; counts this one if the limit is on. */
static bool user_fits(struct connecting *c)
{
    int64_t max = c->settings->client_user_connection_limit;

    if (max == 0 || c->user.len == 0)
        return true;
    if (admission_enter_user(c->cl->core->node->admission, c->user, max) != OK)
        return false;
    c->cl->user_counted = true;
    return true;
}

static bool too_many_channels(const struct connecting *c)
{
    int64_t max = c->settings->client_channel_limit;

    return max >= 0 && (int64_t)c->channel_count > max;
}

static void fail_too_many(struct connecting *c)
{
    fail_disconnect(c, DISCONNECT_CHANNEL_LIMIT,
                    &(struct refusal){.cause = "too many server-side channels",
                                      .option = STR("client.channel_limit")});
}

/* A channel that the token or the connect hook names may not be used. */
static void fail_options(struct connecting *c)
{
    if (c->err == ERR_DENIED) { /* says the hook channel_options */
        make_unusable(c);
        command_refuse_verdict(c->cl, c->id, STR_NONE, &c->refused);
        free_connecting(c);
    } else if (c->err == ERR_LIMIT) {
        fail_error(c, ERROR_BAD_REQUEST,
                   &(struct refusal){.cause = "the name of a server-side channel is too long",
                                     .option = STR("channel.max_length")});
    } else {
        fail_channels(c, c->err);
    }
}

/* Who it is and what its channels are is settled: limits, then the subscriptions. */
static void on_resolved(struct connecting *c)
{
    struct client *cl = c->cl;

    if (client_is_closing(cl)) {
        free_connecting(c);
    } else if (c->err != OK) {
        fail_options(c);
    } else if (too_many_channels(c)) {
        fail_too_many(c);
    } else if (!user_fits(c)) {
        fail_disconnect(c, DISCONNECT_CONNECTION_LIMIT,
                        &(struct refusal){.cause = "the user has too many connections",
                                          .option = STR("client.user_connection_limit")});
    } else if (c->expire_at > 0 && c->expire_at <= clock_wall_ms() / 1000) {
        fail_error(c, ERROR_EXPIRED,
                   &(struct refusal){.cause = "the connection's expiry has passed"});
    } else {
        client_set_text(cl, CLIENT_CONN_INFO, c->info);
        client_set_text(cl, CLIENT_META, c->meta);
        client_set_text(cl, CLIENT_USER, STR_NONE);
        cl->hub.outbox = &c->held;
        connecting_subscribe(c, on_subscribed_all);
    }
}

/* Nobody stands in the way any more. */
static void proceed(struct connecting *c)
{
    struct client *cl = c->cl;
    bool asks = hook_is_set_anywhere(cl->core->script, HOOK_CHANNEL_OPTIONS);
    enum err err;

    list_del(&cl->hub.in_user); /* of the unconnected */
    hub_add_client(cl->core->hub, &cl->hub, c->user);
    err = c->by_hook || c->by_proxy ? OK : connecting_add_wishes(c);
    if (err != OK)
        fail_disconnect(c, DISCONNECT_BAD_REQUEST,
                        &(struct refusal){.cause = "the client asks for an unknown namespace",
                                          .option = STR("channel.namespaces")});
    else if (asks && too_many_channels(c)) /* a hook is not asked for more than may be entered */
        fail_too_many(c);
    else
        connecting_resolve(c, on_resolved);
}

/* --- the personal channel --------------------------------------------------------------------- */

static void on_others_ended(void *arg, enum err err)
{
    struct connecting *c = arg;

    if (client_is_closing(c->cl))
        free_connecting(c);
    else
        proceed(c);
}

/* single_connection: whoever holds the user's channel makes room. */
static void on_personal_presence(void *arg, enum err err, const struct presence_result *got)
{
    struct connecting *c = arg;
    struct str self = client_id(c->cl);
    struct control_order order = {
        .kind = CONTROL_DISCONNECT,
        .target = {.user = c->user, .whitelist = &self, .whitelist_count = 1},
        .code = DISCONNECT_CONNECTION_LIMIT,
        .reason = codes_disconnect(DISCONNECT_CONNECTION_LIMIT),
    };

    if (client_is_closing(c->cl))
        free_connecting(c);
    else if (err != OK)
        fail_disconnect(c, DISCONNECT_SERVER_ERROR,
                        &(struct refusal){.cause = "the engine failed"});
    else if (got->count == 0)
        proceed(c);
    else
        control_send(c->cl->core, &order, on_others_ended, c);
}

static struct str personal_channel(struct connecting *c)
{
    const struct settings *s = c->settings;
    struct str ns = s->client_subscribe_to_user_personal_channel_personal_channel_namespace;
    struct str boundary = ns.len > 0 ? s->channel_namespace_boundary : STR_NONE;
    size_t len = ns.len + boundary.len + s->channel_user_boundary.len + c->user.len;
    char *name = arena_alloc(&c->arena, MAX(len, 1)), *at = name;

    str_put(&at, ns);
    str_put(&at, boundary);
    str_put(&at, s->channel_user_boundary);
    str_put(&at, c->user);
    return str_of(name, len);
}

static void enter_personal(struct connecting *c)
{
    struct str channel = personal_channel(c);
    enum err err = connecting_add(c, channel, STR_NONE, 0);

    if (err != OK)
        fail_channels(c, err);
    else if (c->settings->client_subscribe_to_user_personal_channel_single_connection)
        home_presence(c->cl->core, channel, true, on_personal_presence, c);
    else
        proceed(c);
}

/* Nobody said who this is: anonymous, where that is allowed, or whom the reverse proxy names. */
static bool find_user(struct connecting *c)
{
    struct str by_proxy = client_text(c->cl, CLIENT_USER);

    if (!c->settings->client_allow_anonymous_connect_without_token &&
        !c->settings->client_insecure) {
        if (by_proxy.len == 0)
            return false;
        c->user = arena_dup(&c->arena, by_proxy);
        c->by_proxy = true;
    }
    c->has_user = true;
    return true;
}

static void enter(struct connecting *c)
{
    struct limits *limits = clients_of(c->cl)->limits;

    if (!c->has_user && !find_user(c))
        fail_disconnect(
            c, DISCONNECT_BAD_REQUEST,
            &(struct refusal){.cause = "no token, and nobody else says who this is",
                              .option = STR("client.allow_anonymous_connect_without_token")});
    else if (!limit_take_connect(limits, c->user))
        fail_error(c, ERROR_TOO_MANY_REQUESTS,
                   &(struct refusal){.cause = "the user connects too often",
                                     .option = limit_option(limits)});
    else if (c->settings->client_subscribe_to_user_personal_channel_enabled && c->user.len > 0 &&
             !c->by_proxy)
        enter_personal(c);
    else
        proceed(c);
}

/* --- the connect hook ------------------------------------------------------------------------- */

/* What the hook gives replaces what the token said. */
static enum err take_verdict(struct connecting *c, const struct hook_verdict *v)
{
    enum err err = OK;

    if (v->has_user) {
        c->user = arena_dup(&c->arena, v->user);
        c->by_hook = !c->by_token;
    }
    c->has_user = c->has_user || v->has_user;
    if (v->info.len > 0)
        c->info = arena_dup(&c->arena, v->info);
    if (v->meta.len > 0)
        c->meta = arena_dup(&c->arena, v->meta);
    if (v->data.len > 0)
        c->data = arena_dup(&c->arena, v->data);
    if (v->has_expire_at)
        c->expire_at = v->expire_at;
    if (v->caps.len > 0) {
        caps_free(c->cl->caps);
        c->cl->caps_by_hook = true;
        if (caps_new(v->caps, &c->cl->caps) != OK)
            return ERR_DENIED;
    }
    if (v->subs.len > 0)
        err = connecting_add_object(c, v->subs, 0);
    for (size_t i = 0; i < v->channel_count && err == OK; i++)
        err = connecting_add(c, v->channels[i], STR_NONE, 0);
    return err;
}

static void on_hook(void *arg, const struct hook_verdict *v)
{
    struct connecting *c = arg;
    enum err err;

    if (client_is_closing(c->cl)) {
        free_connecting(c);
        return;
    }
    switch (v->outcome) {
    case VERDICT_NIL:
        enter(c);
        return;
    case VERDICT_ALLOW:
        err = take_verdict(c, v);
        if (err == OK)
            enter(c);
        else if (err == ERR_NOT_FOUND)
            fail_channels(c, err);
        else
            fail_error(c, ERROR_INTERNAL,
                       &(struct refusal){.cause = "the connect hook gave caps that are not valid",
                                         .option = STR("hooks.connect")});
        return;
    case VERDICT_REFUSE: /* here false is an error */
    case VERDICT_ERROR:
        make_unusable(c);
        break;
    case VERDICT_DISCONNECT:
        break;
    }
    command_refuse_verdict(c->cl, c->id, STR_NONE, v);
    free_connecting(c);
}

static struct str *wished_channels(struct connecting *c)
{
    struct str *list = arena_alloc(&c->arena, c->request->subs.count * sizeof *list);

    for (size_t i = 0; i < c->request->subs.count; i++)
        list[i] = c->request->subs.ptr[i].key;
    return list;
}

static void ask_hook(struct connecting *c)
{
    struct script *script = c->cl->core->script;
    struct hook_request request = {
        .client = c->cl,
        .data = c->request->data,
        .data_is_binary = kind_wire(c->cl->hub.kind) != WIRE_JSON,
        .token = c->request->token,
        .name = c->request->name,
        .version = c->request->version,
        .channels = wished_channels(c),
        .channel_count = c->request->subs.count,
        .has_user = c->has_user,
        .user = c->user,
        .info = c->info,
        .meta = c->meta,
    };

    hook_run(script, 0, HOOK_CONNECT, &request, on_hook, c);
}

/* --- the token -------------------------------------------------------------------------------- */

static enum err take_claims(struct connecting *c, const struct jwt_claims *claims)
{
    const struct token_channel *channels;
    size_t count;
    enum err err = auth_token_channels(&c->arena, claims, &channels, &count);

    for (size_t i = 0; i < count && err == OK; i++)
        err = connecting_add(c, channels[i].channel, channels[i].options, SUB_FROM_TOKEN);
    c->by_token = c->has_user = true;
    c->user = arena_dup(&c->arena, claims->user);
    c->info = arena_dup(&c->arena, claims->info);
    c->meta = arena_dup(&c->arena, claims->meta);
    auth_keep_token(c->cl, claims);
    if (err == OK && caps_new(claims->caps, &c->cl->caps) != OK)
        err = ERR_DENIED;
    if (!c->settings->client_insecure)
        c->expire_at = jwt_expiry(claims, clock_wall_ms() / 1000);
    return err;
}

/* False: ended. */
static bool check_token(struct connecting *c)
{
    struct jwt_claims claims;
    enum err err = auth_connection_token(c->cl, c->request->token, &claims);

    if (err == ERR_EXPIRED) {
        fail_error(c, ERROR_TOKEN_EXPIRED, &(struct refusal){.cause = "the token has expired"});
    } else if (err == ERR_BUSY) {
        fail_error(c, ERROR_INTERNAL,
                   &(struct refusal){.cause = "the key of the token cannot be fetched",
                                     .option = STR("client.token.jwks_public_endpoint")});
    } else if (err != OK) {
        fail_disconnect(c, DISCONNECT_INVALID_TOKEN,
                        &(struct refusal){.cause = "the token is not valid",
                                          .option = STR("client.token.hmac_secret_key")});
    } else if (auth_is_revoked(c->cl, &claims)) {
        fail_disconnect(c, DISCONNECT_INVALID_TOKEN,
                        &(struct refusal){.cause = "the token was revoked"});
    } else if (claims.user.len == 0 && c->settings->client_disallow_anonymous_connection_tokens) {
        fail_disconnect(
            c, DISCONNECT_PERMISSION_DENIED,
            &(struct refusal){.cause = "the token names no user",
                              .option = STR("client.disallow_anonymous_connection_tokens")});
    } else {
        err = take_claims(c, &claims);
        if (err == OK)
            return true;
        fail_channels(c, err);
    }
    return false;
}

/* The request with its text, for as long as the command waits. */
static const struct wire_connect_request *keep_request(struct arena *a,
                                                       const struct wire_connect_request *r)
{
    struct wire_connect_request *kept = arena_alloc(a, sizeof *kept);
    struct wire_subscribe_request_entry *subs = arena_alloc(a, r->subs.count * sizeof *subs);

    *kept = (struct wire_connect_request){
        .token = arena_dup(a, r->token),
        .data = arena_dup(a, r->data),
        .name = arena_dup(a, r->name),
        .version = arena_dup(a, r->version),
        .subs = {subs, r->subs.count},
    };
    for (size_t i = 0; i < r->subs.count; i++) {
        const struct wire_subscribe_request *from = r->subs.ptr[i].value;
        struct wire_subscribe_request *to = arena_zalloc(a, sizeof *to);

        subs[i] = (struct wire_subscribe_request_entry){arena_dup(a, r->subs.ptr[i].key), to};
        if (from) {
            to->recover = from->recover;
            to->delta = arena_dup(a, from->delta);
            to->offset = from->offset;
            to->epoch = arena_dup(a, from->epoch);
        }
    }
    return kept;
}

static void on_held_overflow(struct outbox *held, enum err why)
{
    client_write_failed(container_of(held, struct connecting, held)->cl, why);
}

static struct connecting *begin(struct client *cl, uint32_t id,
                                const struct wire_connect_request *request)
{
    struct connecting *c = mem_zalloc(sizeof *c);

    client_wait(cl);
    cl->state = CLIENT_CONNECTING;
    c->cl = cl;
    c->id = id;
    c->settings = settings_ref(cl->core->settings);
    c->request = keep_request(&c->arena, request);
    outbox_init(&c->held, NULL, (size_t)c->settings->client_queue_max_size, on_held_overflow);
    return c;
}

void cmd_connect(struct client *cl, const struct wire_command *command)
{
    struct connecting *c = begin(cl, command->id, command->connect);
    struct script *script = cl->core->script;

    if (headers_keep_emulated(cl, command->connect->headers) != OK) {
        fail_disconnect(c, DISCONNECT_BAD_REQUEST,
                        &(struct refusal){.cause = "headers in the connect command are not valid"});
        return;
    }
    if (c->request->token.len > 0 && !check_token(c))
        return;
    if (hook_is_set(script, 0, HOOK_CONNECT))
        ask_hook(c);
    else
        enter(c);
}

enum err client_connect_as(struct client *cl, const struct client_identity *who)
{
    static const struct wire_connect_request nothing;
    struct connecting *c;
    enum err err = caps_new(who->caps, &cl->caps);

    if (err != OK)
        return err;
    c = begin(cl, 1, &nothing);
    c->has_user = c->by_token = true;
    c->user = arena_dup(&c->arena, who->user);
    c->info = arena_dup(&c->arena, who->info);
    c->meta = arena_dup(&c->arena, who->meta);
    enter(c);
    return OK;
}
