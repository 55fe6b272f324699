/* subscribe: who may, with what, and from where. A token is looked at first, then the hook, then
 * the namespace's rules; a private or user-limited channel that the client has no right to is
 * refused before any hook is asked. */
#include "base/clock.h"
#include "base/mem.h"
#include "client/auth.h"
#include "client/command.h"
#include "client/subscribe.h"

enum { FLAG_REJECT_UNRECOVERED = 2, TYPE_SHARED_POLL = 4 };

/* The command while a hook is asked; strings in text. */
struct asking {
    struct pending *pending;
    struct subscribe_claim *claim;
    struct subscribe_plan plan;
    struct subscribe_wish wish;
    const char *filter_fault; /* why its filter cannot be; NULL: it can, or there is none */
    bool by_token;
    unsigned who;
    char text[];
};

/* --- the answer of the home ------------------------------------------------------------------- */

static void answer(struct pending *p, const struct subscribe_plan *plan,
                   const struct subscribe_answer *got)
{
    struct clients *cs = clients_of(p->cl);
    struct wire_subscribe_result result;

    if (subscribe_result(p->cl, &cs->arena, plan, got, &result))
        client_reply(p->cl, &(struct wire_reply){.id = p->id, .subscribe = &result});
    else
        command_disconnect(p->cl, DISCONNECT_INAPPROPRIATE_PROTOCOL,
                           &(struct refusal){.cause = "the data of the reply is not JSON",
                                             .channel = plan->channel});
    arena_reset(&cs->arena);
}

static void on_subscribed(void *arg, enum err err, const struct subscribe_plan *plan,
                          const struct subscribe_answer *got, struct subscription *sub)
{
    struct pending *p = arg;

    if (!pending_alive(p))
        ; /* nobody to answer */
    else if (err == OK)
        answer(p, plan, got);
    else if (err == ERR_EXPIRED)
        command_refuse_because(p->cl, p->id, ERROR_UNRECOVERABLE_POSITION, plan->channel,
                               "the position cannot be recovered", STR("history_size"));
    else
        command_disconnect(
            p->cl, DISCONNECT_SERVER_ERROR,
            &(struct refusal){.cause = "the engine failed", .channel = plan->channel});
    pending_end(p);
}

/* --- decided ---------------------------------------------------------------------------------- */

/* Allowed; from here on only time can refuse. True: it goes to the home, which ends the pending
 * command. */
static bool start(struct pending *p, struct asking *a)
{
    struct subscribe_plan *plan = &a->plan;

    if (plan->expire_at > 0 && plan->expire_at <= clock_wall_ms() / 1000) {
        command_refuse_because(p->cl, p->id, ERROR_EXPIRED, plan->channel,
                               "the subscription's expiry has passed", STR_NONE);
        return false;
    }
    if (a->filter_fault) {
        command_refuse_because(p->cl, p->id, ERROR_BAD_REQUEST, plan->channel, a->filter_fault,
                               STR("allow_tags_filter"));
        return false;
    }
    subscribe_decide(p->cl, plan, a->who | WHO_SUBSCRIBED, &a->wish);
    subscribe_start(a->claim, plan, on_subscribed, p);
    plan->filter = NULL; /* taken */
    return true;
}

static bool decide_by_rules(struct pending *p, struct asking *a)
{
    const struct ns *ns = a->plan.ns;

    if (a->by_token || settings_allows(ns, a->who, ACTION_SUBSCRIBE)) {
        client_allowed(p->cl, ns, a->who, ACTION_SUBSCRIBE, a->by_token ? BY_TOKEN : BY_RULES);
        return start(p, a);
    }
    if (client_may(p->cl, ns, a->who, ACTION_SUBSCRIBE, a->plan.channel)) {
        client_allowed(p->cl, ns, a->who, ACTION_SUBSCRIBE, BY_CAPABILITY);
        a->plan.flags |= SUB_BY_CAPS;
        return start(p, a);
    }
    command_refuse(
        p->cl, p->id, ERROR_PERMISSION_DENIED,
        &(struct refusal){.cause_text = settings_denied_cause(ns, a->who, ACTION_SUBSCRIBE),
                          .option = settings_denied_option(ns, a->who, ACTION_SUBSCRIBE),
                          .channel = a->plan.channel});
    return false;
}

static void on_hook(void *arg, const struct hook_verdict *v)
{
    struct asking *a = arg;
    struct pending *p = a->pending;
    bool started = false;

    if (pending_alive(p)) {
        switch (v->outcome) {
        case VERDICT_NIL:
            started = decide_by_rules(p, a);
            break;
        case VERDICT_ALLOW:
            if (v->info.len > 0)
                a->plan.chan_info = v->info;
            if (v->data.len > 0)
                a->plan.data = v->data;
            if (v->has_expire_at)
                a->plan.expire_at = v->expire_at;
            if (v->override.len > 0)
                a->wish.override = v->override;
            client_allowed(p->cl, NULL, 0, ACTION_SUBSCRIBE, BY_HOOK);
            started = start(p, a);
            break;
        case VERDICT_REFUSE: /* here false is an error */
        case VERDICT_ERROR:
        case VERDICT_DISCONNECT:
            command_refuse_verdict(p->cl, p->id, p->channel, v);
            break;
        }
    }
    if (!started) {
        subscribe_give_up(a->claim);
        pending_end(p);
    }
    filter_free(a->plan.filter);
    mem_free(a);
}

/* --- checks before anybody is asked ----------------------------------------------------------- */

/* The token allows this client this channel; false: answered. */
static bool check_token(struct client *cl, uint32_t id, const struct wire_subscribe_request *r,
                        struct subscribe_plan *plan, struct subscribe_wish *wish)
{
    struct jwt_claims claims;
    struct channel_parts parts;
    enum err err = auth_subscription_token(cl, r->token, &claims);

    if (err == ERR_BUSY) {
        command_refuse_because(cl, id, ERROR_INTERNAL, r->channel,
                               "the key of the token cannot be fetched",
                               STR("jwks_public_endpoint"));
        return false;
    }
    if (err != OK) {
        command_refuse_because(
            cl, id, err == ERR_EXPIRED ? ERROR_TOKEN_EXPIRED : ERROR_PERMISSION_DENIED, r->channel,
            err == ERR_EXPIRED ? "the subscription token has expired"
                               : "the subscription token is not valid",
            STR("client.token"));
        return false;
    }
    if (channel_resolve(cl->core->settings, claims.channel, &parts) == ERR_NOT_FOUND) {
        command_refuse_because(cl, id, ERROR_UNKNOWN_CHANNEL, r->channel,
                               "the namespace of the token's channel is not configured",
                               STR("channel.namespaces"));
        return false;
    }
    if (!str_eq(claims.channel, r->channel) || !str_eq(claims.user, client_user(cl)) ||
        (claims.client.len > 0 && !str_eq(claims.client, client_id(cl)))) {
        command_disconnect(cl, DISCONNECT_INVALID_TOKEN,
                           &(struct refusal){.cause = "the subscription token is for another "
                                                      "channel, user or client",
                                             .channel = r->channel});
        return false;
    }
    if (auth_is_revoked(cl, &claims) ||
        auth_token_rights(&claims, &clients_of(cl)->arena, &plan->flags) != OK) {
        bool revoked = auth_is_revoked(cl, &claims);

        command_disconnect(
            cl, DISCONNECT_INVALID_TOKEN,
            &(struct refusal){.cause = revoked ? "the subscription token was revoked"
                                               : "the capabilities of the token are not valid",
                              .channel = r->channel});
        return false;
    }
    plan->expire_at = jwt_expiry(&claims, clock_wall_ms() / 1000);
    plan->chan_info = claims.info;
    plan->data = claims.data;
    wish->override = claims.override;
    return true;
}

/* The form, and what can be said without asking; true: the channel is claimed. */
static bool check_request(struct client *cl, uint32_t id, const struct wire_subscribe_request *r,
                          struct channel_parts *parts, struct subscribe_claim **claim)
{
    int64_t max = cl->core->settings->channel_max_length;
    enum err err;

    if (r->channel.len > 0 && r->type == TYPE_SHARED_POLL) {
        command_refuse_because(cl, id, ERROR_NOT_AVAILABLE, STR_NONE,
                               "there are no shared poll subscriptions", STR_NONE);
        return false;
    }
    if (r->channel.len == 0 || (r->delta.len > 0 && !str_eq(r->delta, STR("fossil")))) {
        command_disconnect(cl, DISCONNECT_BAD_REQUEST,
                           &(struct refusal){.cause = r->channel.len ? "an unknown delta type"
                                                                     : "the channel is missing"});
        return false;
    }
    if ((int64_t)r->channel.len > max) {
        command_refuse_because(cl, id, ERROR_BAD_REQUEST, STR_NONE,
                               "the channel's name is too long", STR("channel.max_length"));
        return false;
    }
    err = subscribe_claim(cl, r->channel, claim);
    if (err != OK) {
        bool exists = err == ERR_EXISTS;

        command_refuse_because(
            cl, id, exists ? ERROR_ALREADY_SUBSCRIBED : ERROR_LIMIT_EXCEEDED, r->channel,
            exists ? "subscribed already, or about to be" : "the connection has too many channels",
            exists ? STR_NONE : STR("client.channel_limit"));
        return false;
    }
    if (command_channel(cl, id, r->channel, parts)) {
        if (r->type == 0)
            return true;
        command_refuse_because(cl, id, ERROR_PERMISSION_DENIED, r->channel,
                               "the namespace has no such subscription type", STR_NONE);
    }
    subscribe_give_up(*claim);
    return false;
}

/* No right that a hook could give: private without token, or on nobody's list. */
static bool closed_to(unsigned who, const struct wire_subscribe_request *r)
{
    if (r->token.len > 0)
        return false;
    return who & WHO_PRIVATE || ((who & WHO_USER_LIMITED) && !(who & WHO_USER_LISTED));
}

/* The filter asked for, or why there can be none; that is told only to those who may subscribe. */
static struct filter *make_filter(const struct ns *ns, const struct wire_filter_node *tf,
                                  const char **fault)
{
    struct filter *filter = NULL;
    enum err err;

    *fault = NULL;
    if (tf == NULL)
        return NULL;
    if (!ns->opt.allow_tags_filter) {
        *fault = "tag filters are not allowed here";
        return NULL;
    }
    err = filter_new(tf, &filter);
    if (err != OK)
        *fault = err == ERR_LIMIT ? "the tag filter is too big" : "the tag filter is not valid";
    return filter;
}

static struct asking *asking_new(const struct subscribe_plan *plan,
                                 const struct subscribe_wish *wish)
{
    struct asking *a = mem_alloc(sizeof *a + plan->since.epoch.len + wish->since.epoch.len +
                                 plan->chan_info.len + plan->data.len + wish->override.len);
    char *at = a->text;

    a->plan = *plan;
    a->plan.chan_info = str_put(&at, plan->chan_info);
    a->plan.data = str_put(&at, plan->data);
    a->wish = *wish;
    a->wish.since.epoch = str_put(&at, wish->since.epoch);
    a->wish.override = str_put(&at, wish->override);
    return a;
}

void cmd_subscribe(struct client *cl, const struct wire_command *command)
{
    const struct wire_subscribe_request *r = command->subscribe;
    struct script *script = cl->core->script;
    struct subscribe_plan plan = {
        .channel = r->channel,
        .flags = SUB_CLIENT_REFRESH,
        .require_recovered = r->flag & FLAG_REJECT_UNRECOVERED,
        .was_recovering = r->recover,
    };
    struct subscribe_wish wish = {
        .positioned = r->positioned,
        .recoverable = r->recoverable,
        .join_leave = r->join_leave,
        .recover = r->recover,
        .delta = r->delta.len > 0,
        .since = {r->offset, r->epoch},
    };
    struct subscribe_claim *claim;
    struct channel_parts parts;
    struct asking *a;

    if (!check_request(cl, command->id, r, &parts, &claim))
        return;
    plan.ns = parts.ns;
    if (hook_is_set(script, (unsigned)parts.ns->index, HOOK_SUB_REFRESH))
        plan.flags &= ~(uint32_t)SUB_CLIENT_REFRESH; /* the server renews it */
    if (r->token.len > 0 && !check_token(cl, command->id, r, &plan, &wish)) {
        subscribe_give_up(claim);
        return;
    }
    a = asking_new(&plan, &wish);
    a->claim = claim;
    a->plan.filter = make_filter(parts.ns, r->tf, &a->filter_fault);
    a->by_token = r->token.len > 0;
    a->who = client_who(cl, &parts, r->channel);
    a->pending = pending_begin(cl, command->id, r->channel, r->data, &parts);
    a->plan.channel = a->pending->channel;
    if (!closed_to(a->who, r) && hook_is_set(script, (unsigned)parts.ns->index, HOOK_SUBSCRIBE)) {
        struct hook_request request = {
            .client = cl,
            .channel = a->pending->channel,
            .data = a->pending->data,
            .data_is_binary = kind_wire(cl->hub.kind) != WIRE_JSON,
            .token = r->token,
            .user_limited = a->who & WHO_USER_LISTED,
        };

        hook_run(script, (unsigned)parts.ns->index, HOOK_SUBSCRIBE, &request, on_hook, a);
        return;
    }
    on_hook(a, &(struct hook_verdict){.outcome = VERDICT_NIL});
}
