#include "client/control.h"

#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "client/auth.h"
#include "client/command.h"
#include "client/subscribe.h"
#include "core/encode.h"
#include "script/channel_options.h"

static bool listed(const struct control_target *t, struct str id)
{
    for (size_t i = 0; i < t->whitelist_count; i++) {
        if (str_eq(t->whitelist[i], id))
            return true;
    }
    return false;
}

/* A client that is still connecting can be disconnected, but has nothing else to change yet. */
static bool meant(const struct control_order *order, const struct client *cl)
{
    const struct control_target *t = &order->target;

    if (cl->state != CLIENT_CONNECTED &&
        !(order->kind == CONTROL_DISCONNECT && cl->state == CLIENT_CONNECTING))
        return false;
    if (t->client.len > 0 && !str_eq(t->client, client_id(cl)))
        return false;
    if (t->session.len > 0) /* only emulated and unidirectional transports have sessions */
        return false;
    return !listed(t, client_id(cl));
}

/* --- subscribe --- */

static void log_failed(const struct client *cl, struct str channel)
{
    LOG_WITH(LOG_WARN, "subscribing a client failed", LOG_S("client", client_id(cl)),
             LOG_S("channel", channel));
}

static void on_subscribed(void *arg, enum err err, const struct subscribe_plan *plan,
                          const struct subscribe_answer *answer, struct subscription *sub)
{
    struct client *cl = arg;

    if (err == OK && !encode_raw_fits(kind_wire(cl->hub.kind), plan->data)) {
        command_disconnect(
            cl, DISCONNECT_INAPPROPRIATE_PROTOCOL,
            &(struct refusal){.cause = "the data of a server-side subscription is not JSON",
                              .channel = plan->channel});
    } else if (err == OK) {
        struct wire_subscribe body = {
            .recoverable = plan->flags & SUB_RECOVERABLE,
            .positioned = plan->flags & SUB_POSITIONED,
            .epoch = answer->top.epoch,
            .offset = answer->top.offset,
            .data = plan->data,
        };

        client_push(cl, &(struct wire_push){.channel = plan->channel, .subscribe = &body});
    } else if (err != ERR_CLOSED) {
        log_failed(cl, plan->channel);
    }
    client_unref(cl);
}

/* An order that waits for the channel's options, or for a subscribe under way. */
struct ordering {
    struct list in_clients;
    bool cancelled;
    struct subscribe_waiter over;
    struct client *cl;
    struct control_subscribe what; /* strings in text */
    char text[];
};

static struct ordering *ordering_new(struct client *cl, const struct control_subscribe *s)
{
    struct ordering *o = mem_alloc(sizeof *o + s->channel.len + s->info.len + s->data.len +
                                   s->override.len + s->since_epoch.len);
    char *at = o->text;

    list_add_tail(&clients_of(cl)->orderings, &o->in_clients);
    o->cancelled = false;
    o->cl = client_ref(cl);
    o->what = *s;
    o->what.channel = str_put(&at, s->channel);
    o->what.info = str_put(&at, s->info);
    o->what.data = str_put(&at, s->data);
    o->what.override = str_put(&at, s->override);
    o->what.since_epoch = str_put(&at, s->since_epoch);
    return o;
}

static void ordering_free(struct ordering *o)
{
    list_del(&o->in_clients);
    client_unref(o->cl);
    mem_free(o);
}

static void order_subscribe(struct client *cl, const struct control_subscribe *s);

static void on_over(struct subscribe_waiter *over)
{
    struct ordering *o = container_of(over, struct ordering, over);

    if (o->cl->state == CLIENT_CONNECTED && !o->cancelled)
        order_subscribe(o->cl, &o->what);
    ordering_free(o);
}

/* The channel's options are known. */
static void subscribe_ordered(struct client *cl, const struct control_subscribe *s,
                              const struct channel_parts *parts)
{
    struct subscribe_plan plan = {
        .channel = s->channel,
        .ns = parts->ns,
        .flags = SUB_SERVER_SIDE,
        .expire_at = s->expire_at,
        .chan_info = s->info,
        .data = s->data,
    };
    struct subscribe_wish wish = {
        .override = s->override,
        .recover = s->has_since,
        .since = {s->since_offset, s->since_epoch},
    };
    struct subscription *sub = hub_find(&cl->hub, s->channel);
    struct subscribe_claim *claim = subscribe_under_way(cl, s->channel);
    enum err err;

    if (claim) {
        struct ordering *o = ordering_new(cl, s);

        o->over.fn = on_over;
        subscribe_when_over(claim, &o->over);
        return;
    }
    ns_ref(plan.ns); /* a hook may come in between */
    if (sub)         /* replaced by what the server wants now */
        subscribe_leave(cl, sub, UNSUBSCRIBE_SERVER, STR_NONE, false);
    err = subscribe_claim(cl, s->channel, &claim);
    if (err == OK) {
        subscribe_decide(cl, &plan, client_who(cl, parts, s->channel) | WHO_SUBSCRIBED, &wish);
        subscribe_start(claim, &plan, on_subscribed, client_ref(cl));
    } else if (err == ERR_LIMIT) {
        client_log_refusal(cl, DISCONNECT_CHANNEL_LIMIT,
                           &(struct refusal){.cause = "the connection has too many channels",
                                             .option = STR("client.channel_limit"),
                                             .channel = s->channel});
        client_disconnect_code(cl, DISCONNECT_CHANNEL_LIMIT);
    }
    ns_unref(plan.ns);
}

static void on_options(void *arg, enum err err, const struct channel_parts *parts,
                       const struct hook_verdict *refused)
{
    struct ordering *o = arg;

    if (err != OK)
        log_failed(o->cl, o->what.channel);
    else if (o->cl->state == CLIENT_CONNECTED && !o->cancelled)
        subscribe_ordered(o->cl, &o->what, parts);
    ordering_free(o);
}

static void cancel_orderings(struct client *cl, struct str channel)
{
    list_each (&clients_of(cl)->orderings, it) {
        struct ordering *o = container_of(it, struct ordering, in_clients);

        if (o->cl == cl && str_eq(o->what.channel, channel))
            o->cancelled = true;
    }
}

static void order_subscribe(struct client *cl, const struct control_subscribe *s)
{
    struct core *core = cl->core;
    struct channel_parts parts;
    struct hook_verdict refused;

    switch (channel_options_find(core->script, core->settings, s->channel, &parts, &refused)) {
    case OK:
        subscribe_ordered(cl, s, &parts);
        break;
    case ERR_BUSY:
        channel_options_get(core->script, core->settings, NULL, s->channel, on_options,
                            ordering_new(cl, s));
        break;
    case ERR_NOT_FOUND: /* whoever asked was told */
        break;
    default:
        log_failed(cl, s->channel);
        break;
    }
}

/* --- the others --- */

static void order_unsubscribe(struct client *cl, const struct control_order *order)
{
    struct str channel = order->subscribe.channel;
    struct subscription *sub = hub_find(&cl->hub, channel);

    cancel_orderings(cl, channel);
    if (sub) {
        subscribe_leave(cl, sub, order->code, order->reason, true);
    } else { /* the reference says so in any case */
        struct wire_unsubscribe body = {.code = order->code, .reason = order->reason};

        subscribe_cancel(cl, channel);
        client_push(cl, &(struct wire_push){.channel = channel, .unsubscribe = &body});
    }
}

static void order_refresh(struct client *cl, const struct control_order *order)
{
    int64_t now_s = clock_wall_ms() / 1000;

    if (order->expired || (order->expire_at != 0 && order->expire_at <= now_s)) {
        client_disconnect_code(cl, DISCONNECT_CONNECTION_EXPIRED);
        return;
    }
    if (order->info.len > 0)
        client_set_info(cl, order->info);
    client_set_expiry(cl, order->expire_at, true);
}

/* --- revoked tokens --- */

static void end_if_revoked(void *arg, struct hub_client *hc)
{
    struct client *cl = client_of(hc);
    int64_t now_s = clock_wall_ms() / 1000;
    struct revocation_token token;

    if (client_is_closing(cl) || !auth_kept_token(cl, &token) ||
        !revocation_has(cl->core->revocations, &token, now_s))
        return;
    command_disconnect(cl, DISCONNECT_INVALID_TOKEN,
                       &(struct refusal){.cause = "the token of the connection was revoked"});
}

/* Enters it in this worker's table; connections that live by such a token end. */
static void order_revoke(struct core *core, const struct control_order *order)
{
    const struct control_revoke *r = &order->revoke;
    struct revocations *table = core->revocations;
    int64_t now_s = clock_wall_ms() / 1000;
    struct list *clients;
    enum err err;

    if (r->uid.len > 0)
        err = revocation_add_token(table, r->uid, order->expire_at, now_s);
    else
        err = revocation_add_user(table, order->target.user, r->channel, r->issued_before,
                                  order->expire_at, now_s);
    if (err != OK) {
        LOG_WITH(LOG_ERROR, "a revocation is lost: there are too many",
                 LOG_I("limit", REVOCATIONS_MAX));
        return;
    }
    if (r->uid.len > 0) {
        hub_each_client(core->hub, end_if_revoked, NULL);
        return;
    }
    clients = hub_clients_of(core->hub, order->target.user);
    if (clients) {
        list_each_safe (clients, it)
            end_if_revoked(NULL, container_of(it, struct hub_client, in_user));
    }
}

void client_order(struct client *cl, const struct control_order *order)
{
    switch (order->kind) {
    case CONTROL_SUBSCRIBE:
        order_subscribe(cl, &order->subscribe);
        break;
    case CONTROL_UNSUBSCRIBE:
        order_unsubscribe(cl, order);
        break;
    case CONTROL_DISCONNECT:
        client_disconnect(cl, order->code, order->reason);
        break;
    case CONTROL_REFRESH:
        order_refresh(cl, order);
        break;
    case CONTROL_REVOKE: /* is no client's order */
        break;
    }
}

void client_control(struct core *core, const struct control_order *order)
{
    struct list *clients;

    if (order->kind == CONTROL_REVOKE) {
        order_revoke(core, order);
        return;
    }
    clients = hub_clients_of(core->hub, order->target.user);
    if (clients == NULL)
        return;
    list_each_safe (clients, it) { /* nobody leaves the list before the turn's end */
        struct client *cl = client_of(container_of(it, struct hub_client, in_user));

        if (meant(order, cl))
            client_order(cl, order);
    }
}
