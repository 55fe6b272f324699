/* What keeps a connected client honest: expiry of the connection and of its subscriptions, and
 * positions compared with the stream's top. */
#include "base/clock.h"
#include "base/mem.h"
#include "client/command.h"
#include "client/subscribe.h"
#include "script/channel_options.h"

/* --- the connection's expiry ------------------------------------------------------------------ */

uint32_t client_ttl(int64_t expire_at)
{
    int64_t left = expire_at - clock_wall_ms() / 1000;

    return (uint32_t)(left < 1 ? 1 : MIN(left, 365 * 86400));
}

static bool has_refresh_hook(const struct client *cl)
{
    struct script *script = cl->core->script;

    return hook_is_set(script, 0, HOOK_REFRESH);
}

bool client_refreshes_itself(const struct client *cl)
{
    return !has_refresh_hook(cl);
}

void client_set_expiry(struct client *cl, int64_t expire_at, bool push)
{
    struct wire_refresh body = {.expires = expire_at > 0,
                                .ttl = expire_at > 0 ? client_ttl(expire_at) : 0};

    cl->expire_at = expire_at;
    client_life_rearm(cl);
    if (push)
        client_push(cl, &(struct wire_push){.refresh = &body});
}

void client_renew_presence(struct client *cl, const struct subscription *sub)
{
    struct presence_entry entry = client_entry(cl, sub);

    if (sub->flags & SUB_PRESENCE)
        home_presence_refresh(cl->core, hub_channel_name(sub), &entry);
}

void client_set_info(struct client *cl, struct str info)
{
    client_set_text(cl, CLIENT_CONN_INFO, info);
    for (struct subscription *sub = cl->hub.subs; sub; sub = sub->next_of_client)
        client_renew_presence(cl, sub);
}

static void end_expired(struct client *cl, const char *cause)
{
    command_disconnect(
        cl, DISCONNECT_CONNECTION_EXPIRED,
        &(struct refusal){.cause = cause, .option = STR("client.expired_close_delay")});
}

/* A refresh hook's answer gives more time. */
static bool renewed(const struct hook_verdict *v)
{
    return v->outcome == VERDICT_ALLOW && !v->expired &&
           (!v->has_expire_at || v->expire_at == 0 || v->expire_at > clock_wall_ms() / 1000);
}

static void on_refreshed(void *arg, const struct hook_verdict *v)
{
    struct client *cl = arg;

    cl->refreshing = false;
    if (!client_is_closing(cl)) {
        if (v->outcome == VERDICT_DISCONNECT)
            client_disconnect(cl, v->code, v->message);
        else if (!renewed(v))
            end_expired(cl, "the refresh hook did not renew the connection");
        else
            client_set_expiry(cl, v->has_expire_at ? v->expire_at : 0, false);
        if (renewed(v) && v->info.len > 0)
            client_set_info(cl, v->info);
        if (renewed(v) && v->meta.len > 0)
            client_set_text(cl, CLIENT_META, v->meta);
    }
    client_unref(cl);
}

void client_expired(struct client *cl)
{
    if (!has_refresh_hook(cl)) {
        end_expired(cl, "the connection has expired and was not refreshed");
        return;
    }
    cl->refreshing = true;
    hook_run(cl->core->script, 0, HOOK_REFRESH, &(struct hook_request){.client = cl}, on_refreshed,
             client_ref(cl));
}

/* --- lost positions --------------------------------------------------------------------------- */

/* Subscriptions may not leave a channel that is being walked: a turn later they may. */
struct loss {
    struct turn_task task;
    struct client *cl;
    struct str channel;
};

static void run_loss(struct turn_task *task)
{
    struct loss *loss = container_of(task, struct loss, task);
    struct client *cl = loss->cl;
    struct subscription *sub = client_is_closing(cl) ? NULL : hub_find(&cl->hub, loss->channel);
    struct refusal why = {.cause = "the subscription lost its position", .channel = loss->channel};

    if (sub && sub->flags & SUB_SERVER_SIDE) {
        command_disconnect(cl, DISCONNECT_INSUFFICIENT_STATE, &why);
    } else if (sub) {
        client_log_refusal(cl, UNSUBSCRIBE_INSUFFICIENT_STATE, &why);
        subscribe_leave(cl, sub, UNSUBSCRIBE_INSUFFICIENT_STATE,
                        codes_unsubscribe(UNSUBSCRIBE_INSUFFICIENT_STATE), true);
    }
    str_free(&loss->channel);
    client_unref(cl);
    mem_free(loss);
}

void client_lose_position(struct client *cl, struct subscription *sub)
{
    struct loss *loss;

    if (client_is_closing(cl) || sub->flags & SUB_LOST)
        return;
    sub->flags |= SUB_LOST; /* nothing more is delivered to it */
    loss = mem_alloc(sizeof *loss);
    list_init(&loss->task.in_turn);
    loss->task.run = run_loss;
    loss->cl = client_ref(cl);
    loss->channel = str_dup(hub_channel_name(sub));
    worker_queue(cl->core->worker, &loss->task);
}

struct check {
    struct check *next; /* until it is started */
    struct client *cl;
    struct str channel;
};

static void on_top(void *arg, enum err err, const struct history_result *top)
{
    struct check *check = arg;
    struct client *cl = check->cl;
    struct subscription *sub = client_is_closing(cl) ? NULL : hub_find(&cl->hub, check->channel);

    /* A publication may be on its way behind this answer, but none is in front of it. */
    if (err == OK && sub && sub->flags & SUB_POSITIONED) {
        bool same_epoch =
            sub->epoch == 0 || str_eq(hub_epoch(cl->core->hub, sub), top->position.epoch);

        if (same_epoch && sub->offset == top->position.offset)
            sub->checked_s = (uint32_t)(cl->core->worker->now_ms / 1000);
        else
            client_lose_position(cl, sub);
    }
    str_free(&check->channel);
    client_unref(cl);
    mem_free(check);
}

static void on_options(void *arg, enum err err, const struct channel_parts *parts,
                       const struct hook_verdict *refused)
{
    struct check *check = arg;
    struct stream_options options;

    if (err != OK) { /* another time */
        on_top(check, err, NULL);
        return;
    }
    options = channel_stream(parts->ns);
    home_history(check->cl->core, check->channel, &options, &(struct history_filter){0}, on_top,
                 check);
}

/* Collected first: asking for options may run a hook, which may take any subscription away. */
static struct check *checks_due(struct client *cl)
{
    uint32_t now_s = (uint32_t)(cl->core->worker->now_ms / 1000);
    uint32_t delay_s =
        (uint32_t)(cl->core->settings->client_channel_position_check_delay_ms / 1000);
    struct check *list = NULL;

    for (struct subscription *sub = cl->hub.subs; sub; sub = sub->next_of_client) {
        if (sub->flags & SUB_POSITIONED && now_s - sub->checked_s >= delay_s) {
            struct check *check = mem_alloc(sizeof *check);

            *check = (struct check){list, client_ref(cl), str_dup(hub_channel_name(sub))};
            list = check;
        }
    }
    return list;
}

static void check_positions(struct client *cl)
{
    struct core *core = cl->core;
    struct check *next;

    for (struct check *check = checks_due(cl); check; check = next) {
        next = check->next;
        channel_options_get(core->script, core->settings, NULL, check->channel, on_options, check);
    }
}

/* --- the maintenance tick --------------------------------------------------------------------- */

static bool is_expired(const struct client *cl, const struct subscription *sub)
{
    int64_t grace = cl->core->settings->client_expired_sub_close_delay_ms;
    int64_t now = clock_wall_ms();

    /* a far day, in milliseconds, would not fit */
    return sub->extra && sub->extra->expire_at > 0 && sub->extra->expire_at <= now / 1000 &&
           sub->extra->expire_at * 1000 + grace < now;
}

static void end_subscription(struct client *cl, struct subscription *sub)
{
    struct refusal why = {.cause = "the subscription has expired and was not refreshed",
                          .option = STR("client.expired_sub_close_delay"),
                          .channel = hub_channel_name(sub)};

    if (sub->flags & SUB_SERVER_SIDE) {
        command_disconnect(cl, DISCONNECT_SUBSCRIPTION_EXPIRED, &why);
        return;
    }
    client_log_refusal(cl, UNSUBSCRIBE_EXPIRED, &why);
    subscribe_leave(cl, sub, UNSUBSCRIBE_EXPIRED, codes_unsubscribe(UNSUBSCRIBE_EXPIRED), true);
}

/* The server renews it, if its sub_refresh hook says so. */
struct renewal {
    struct client *cl;
    struct str channel;
};

static void renew_subscription(struct client *cl, struct subscription *sub,
                               const struct hook_verdict *v)
{
    hub_set_extra(sub, v->has_expire_at ? v->expire_at : 0,
                  v->info.len > 0 ? v->info : sub->extra->chan_info);
    if (v->info.len > 0)
        client_renew_presence(cl, sub);
}

static void on_sub_refreshed(void *arg, const struct hook_verdict *v)
{
    struct renewal *r = arg;
    struct client *cl = r->cl;
    struct subscription *sub = client_is_closing(cl) ? NULL : hub_find(&cl->hub, r->channel);

    if (sub && sub->flags & SUB_REFRESHING) {
        sub->flags &= ~(uint32_t)SUB_REFRESHING;
        if (v->outcome == VERDICT_DISCONNECT)
            client_disconnect(cl, v->code, v->message);
        else if (renewed(v))
            renew_subscription(cl, sub, v);
        else
            end_subscription(cl, sub);
    }
    str_free(&r->channel);
    client_unref(cl);
    mem_free(r);
}

static void expire_subscription(struct client *cl, struct subscription *sub)
{
    struct script *script = cl->core->script;
    struct channel_parts parts;
    struct renewal *r;

    if (sub->flags & SUB_CLIENT_REFRESH ||
        channel_resolve(cl->core->settings, hub_channel_name(sub), &parts) != OK ||
        !hook_is_set(script, (unsigned)parts.ns->index, HOOK_SUB_REFRESH)) {
        end_subscription(cl, sub);
        return;
    }
    sub->flags |= SUB_REFRESHING;
    r = mem_alloc(sizeof *r);
    *r = (struct renewal){client_ref(cl), str_dup(hub_channel_name(sub))};
    hook_run(script, (unsigned)parts.ns->index, HOOK_SUB_REFRESH,
             &(struct hook_request){.client = cl, .channel = r->channel}, on_sub_refreshed, r);
}

/* Hooks run here, and may take any subscription away: after each, the search begins anew. */
static struct subscription *next_expired(const struct client *cl)
{
    struct subscription *sub = client_is_closing(cl) ? NULL : cl->hub.subs;

    while (sub && (sub->flags & SUB_REFRESHING || !is_expired(cl, sub)))
        sub = sub->next_of_client;
    return sub;
}

void client_maintain(struct client *cl)
{
    struct subscription *sub;

    while ((sub = next_expired(cl)) != NULL)
        expire_subscription(cl, sub);
    if (!client_is_closing(cl))
        check_positions(cl);
}
