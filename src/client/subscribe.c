#include "client/subscribe.h"

#include "base/check.h"
#include "base/mem.h"
#include "codec/json.h"
#include "core/encode.h"

struct subscribe_claim {
    struct subscribe_claim *next, **link; /* of the client's; link: what points to this one */
    struct client *cl;
    bool cancelled;      /* the server changed its mind */
    struct list waiters; /* struct subscribe_waiter */
    size_t channel_len;
    char channel[];
};

/* A subscribe on its way to the channel's home. */
struct flight {
    struct subscribe_claim *claim;
    struct client *cl;          /* a reference */
    struct subscribe_plan plan; /* strings in text, and the claim's channel; holds ns */
    subscribe_done_fn *fn;
    void *arg;
    char text[];
};

/* --- claims ----------------------------------------------------------------------------------- */

static struct str claim_channel(const struct subscribe_claim *claim)
{
    return str_of(claim->channel, claim->channel_len);
}

struct subscribe_claim *subscribe_under_way(const struct client *cl, struct str channel)
{
    struct subscribe_claim *claim = cl->claims;

    while (claim && !str_eq(claim_channel(claim), channel))
        claim = claim->next;
    return claim;
}

static size_t claim_count(const struct client *cl)
{
    size_t n = 0;

    for (const struct subscribe_claim *claim = cl->claims; claim; claim = claim->next)
        n++;
    return n;
}

enum err subscribe_claim(struct client *cl, struct str channel, struct subscribe_claim **out)
{
    int64_t limit = cl->core->settings->client_channel_limit;
    struct subscribe_claim *claim;

    if (hub_find(&cl->hub, channel) || subscribe_under_way(cl, channel))
        return ERR_EXISTS;
    if (limit >= 0 && (int64_t)(cl->hub.sub_count + claim_count(cl)) >= limit)
        return ERR_LIMIT;
    claim = mem_zalloc(sizeof *claim + channel.len);
    claim->cl = cl;
    list_init(&claim->waiters);
    claim->channel_len = channel.len;
    memcpy(claim->channel, channel.ptr, channel.len);
    claim->next = cl->claims;
    claim->link = &cl->claims;
    if (claim->next)
        claim->next->link = &claim->next;
    cl->claims = claim;
    *out = claim;
    return OK;
}

static void claim_unlink(struct subscribe_claim *claim)
{
    *claim->link = claim->next;
    if (claim->next)
        claim->next->link = claim->link;
}

/* Whoever waits for its end may enter the client again, so this comes last. */
static void claim_end(struct subscribe_claim *claim)
{
    struct list waiters;

    list_take(&waiters, &claim->waiters);
    mem_free(claim);
    while (!list_empty(&waiters)) {
        struct subscribe_waiter *w = container_of(waiters.next, struct subscribe_waiter, in_claim);

        list_del(&w->in_claim);
        w->fn(w);
    }
}

void subscribe_give_up(struct subscribe_claim *claim)
{
    claim_unlink(claim);
    claim_end(claim);
}

void subscribe_when_over(struct subscribe_claim *claim, struct subscribe_waiter *w)
{
    list_add_tail(&claim->waiters, &w->in_claim);
}

void subscribe_wait_no_more(struct subscribe_waiter *w)
{
    list_del(&w->in_claim);
}

void subscribe_cancel(struct client *cl, struct str channel)
{
    struct subscribe_claim *claim = subscribe_under_way(cl, channel);

    if (claim)
        claim->cancelled = true;
}

/* --- deciding --------------------------------------------------------------------------------- */

/* A member of the override: {"value": bool} as in tokens, or a plain boolean as in Lua. */
static bool overridden(struct str override, struct str name, bool option)
{
    struct arena a = ARENA_INIT;
    struct str value, inner;
    bool result = option;

    if (override.len > 0 && json_get(override, name, &a, &value) == OK) {
        if (json_type(value) == JSON_OBJECT && json_get(value, STR("value"), &a, &inner) == OK)
            value = inner;
        if (json_bool(value, &result) != OK)
            result = option;
    }
    arena_deinit(&a);
    return result;
}

static bool allows_fossil(const struct channel_options *o)
{
    for (size_t i = 0; i < o->allowed_delta_types.count; i++) {
        if (str_eq(o->allowed_delta_types.items[i], STR("fossil")))
            return true;
    }
    return false;
}

/* Cache mode may recover unasked; then nobody wants an error when there is nothing. */
static void decide_recovery(struct subscribe_plan *plan, const struct subscribe_wish *wish)
{
    const struct channel_options *o = &plan->ns->opt;
    bool cache = o->force_recovery_mode == CHANNEL_FORCE_RECOVERY_MODE_CACHE;

    if (!wish->recover && !(cache && o->auto_cache_recover))
        return;
    plan->recovery = cache ? RECOVERY_CACHE : RECOVERY_STREAM;
    plan->was_recovering = true;
    plan->require_recovered = plan->require_recovered && wish->recover;
}

void subscribe_decide(const struct client *cl, struct subscribe_plan *plan, unsigned who,
                      const struct subscribe_wish *wish)
{
    const struct channel_options *o = &plan->ns->opt;
    struct str over = wish->override;
    bool may_history = plan->flags & SUB_MAY_HISTORY ||
                       client_may(cl, plan->ns, who, ACTION_HISTORY, plan->channel);
    bool may_presence = plan->flags & SUB_MAY_PRESENCE ||
                        client_may(cl, plan->ns, who, ACTION_PRESENCE, plan->channel);
    bool join_leave = overridden(over, STR("join_leave"), o->join_leave);
    bool recoverable = overridden(over, STR("force_recovery"), o->force_recovery) ||
                       (wish->recoverable && (o->allow_recovery || may_history));
    bool positioned = recoverable ||
                      overridden(over, STR("force_positioning"), o->force_positioning) ||
                      (wish->positioned && (o->allow_positioning || may_history));
    bool push = overridden(over, STR("force_push_join_leave"), o->force_push_join_leave) ||
                (wish->join_leave && join_leave && may_presence);

    if (overridden(over, STR("presence"), o->presence))
        plan->flags |= SUB_PRESENCE;
    if (join_leave)
        plan->flags |= SUB_EMIT_JOIN_LEAVE;
    if (push)
        plan->flags |= SUB_PUSH_JOIN_LEAVE;
    if (positioned)
        plan->flags |= SUB_POSITIONED;
    if (recoverable)
        plan->flags |= SUB_RECOVERABLE;
    if (wish->delta && allows_fossil(o) && plan->filter == NULL)
        plan->flags |= SUB_DELTA; /* a filter would break the chain of patches */
    if (recoverable)
        decide_recovery(plan, wish);
    plan->since = wish->since;
}

/* --- arriving --------------------------------------------------------------------------------- */

/* What the home enters, or takes back; lasts as client_id does. */
#define plan_entry(cl, plan) plan_write_entry((cl), (plan), (char[UUID_LEN]){0})
static struct presence_entry plan_write_entry(const struct client *cl,
                                              const struct subscribe_plan *plan, char id[UUID_LEN])
{
    struct presence_entry entry = client_write_entry(cl, NULL, id);

    entry.chan_info = plan->chan_info;
    return entry;
}

/* The client is gone, or the server changed its mind: what the home entered is taken back. */
static void undo(struct flight *f)
{
    struct unsubscribe_request request = {
        .channel = f->plan.channel,
        .presence = f->plan.flags & SUB_PRESENCE,
        .join_leave = f->plan.flags & SUB_EMIT_JOIN_LEAVE,
        .entry = plan_entry(f->cl, &f->plan),
    };

    home_unsubscribe(f->cl->core, &request);
}

static struct subscription *enter(struct flight *f, const struct subscribe_answer *answer)
{
    struct client *cl = f->cl;
    struct hub *hub = cl->core->hub;
    struct subscription *sub = hub_subscribe(hub, &cl->hub, f->plan.channel, f->plan.flags);

    if (f->plan.flags & SUB_POSITIONED)
        hub_set_position(hub, sub, answer->top.offset, answer->top.epoch);
    hub_set_extra(sub, f->plan.expire_at, f->plan.chan_info);
    if (f->plan.filter) {
        hub_set_filter(sub, f->plan.filter);
        f->plan.filter = NULL;
    }
    if (f->plan.flags & SUB_DELTA && answer->count > 0)
        sub->flags |= SUB_HAS_BASE; /* what is recovered ends at the top */
    return sub;
}

static void on_subscribed(void *arg, enum err err, const struct subscribe_answer *answer)
{
    struct flight *f = arg;
    struct client *cl = f->cl;
    struct subscription *sub = NULL;

    claim_unlink(f->claim);
    if (err == OK && client_is_closing(cl)) {
        undo(f);
        err = ERR_CLOSED;
    }
    if (err == OK)
        sub = enter(f, answer);
    f->fn(f->arg, err, &f->plan, answer, sub);
    /* fn went on with the next commands, which may have left already */
    if (sub && f->claim->cancelled && (sub = hub_find(&cl->hub, f->plan.channel)) != NULL)
        subscribe_leave(cl, sub, UNSUBSCRIBE_SERVER, codes_unsubscribe(UNSUBSCRIBE_SERVER), true);
    claim_end(f->claim);
    filter_free(f->plan.filter);
    ns_unref(f->plan.ns);
    client_unref(cl);
    mem_free(f);
}

/* --- starting --------------------------------------------------------------------------------- */

void subscribe_start(struct subscribe_claim *claim, const struct subscribe_plan *plan,
                     subscribe_done_fn *fn, void *arg)
{
    struct client *cl = claim->cl;
    const struct settings *s = cl->core->settings;
    struct subscribe_request request = {
        .channel = plan->channel,
        .stream = channel_stream(plan->ns),
        .positioned = plan->flags & SUB_POSITIONED,
        .presence = plan->flags & SUB_PRESENCE,
        .join_leave = plan->flags & SUB_EMIT_JOIN_LEAVE,
        .require_recovered = plan->require_recovered,
        .recovery = plan->recovery,
        .since = plan->since,
        .recovery_limit = s->client_recovery_max_publication_limit,
        .filter = plan->filter,
    };
    struct flight *f =
        mem_alloc(sizeof *f + plan->since.epoch.len + plan->chan_info.len + plan->data.len);
    char *at = f->text;

    f->claim = claim;
    f->cl = client_ref(cl);
    f->plan = *plan;
    ns_ref(plan->ns);
    f->plan.channel = claim_channel(claim);
    f->plan.since.epoch = str_put(&at, plan->since.epoch);
    f->plan.chan_info = str_put(&at, plan->chan_info);
    f->plan.data = str_put(&at, plan->data);
    f->fn = fn;
    f->arg = arg;
    request.entry = plan_entry(cl, plan);
    home_subscribe(cl->core, &request, on_subscribed, f);
}

/* --- the result ------------------------------------------------------------------------------- */

bool subscribe_result(const struct client *cl, struct arena *a, const struct subscribe_plan *plan,
                      const struct subscribe_answer *answer, struct wire_subscribe_result *out)
{
    bool positioned = plan->flags & SUB_POSITIONED;
    enum wire wire = kind_wire(cl->hub.kind);

    *out = (struct wire_subscribe_result){
        .recoverable = plan->flags & SUB_RECOVERABLE,
        .positioned = positioned,
        .was_recovering = plan->was_recovering,
        .recovered = answer->recovered,
        .data = plan->data,
        .delta = plan->flags & SUB_DELTA,
    };
    if (plan->expire_at > 0 && plan->flags & SUB_CLIENT_REFRESH) {
        out->expires = true;
        out->ttl = client_ttl(plan->expire_at);
    }
    if (positioned) {
        out->epoch = answer->top.epoch;
        /* a recovered client walks the publications from where it was */
        out->offset = answer->recovered ? plan->since.offset : answer->top.offset;
    }
    return encode_raw_fits(wire, plan->data) &&
           encode_publications(a, wire, plan->flags & SUB_DELTA, answer->publications,
                               answer->count, &out->publications);
}

/* --- leaving ---------------------------------------------------------------------------------- */

void subscribe_leave(struct client *cl, struct subscription *sub, uint32_t code, struct str reason,
                     bool push)
{
    struct script *script = cl->core->script;
    struct str channel = str_dup(hub_channel_name(sub)); /* the hub's goes with the last sub */
    struct unsubscribe_request request = {
        .channel = channel,
        .presence = sub->flags & SUB_PRESENCE,
        .join_leave = sub->flags & SUB_EMIT_JOIN_LEAVE,
        .entry = client_entry(cl, sub),
    };

    home_unsubscribe(cl->core, &request);
    hub_unsubscribe(cl->core->hub, sub);
    if (push) {
        struct wire_unsubscribe body = {.code = code, .reason = reason};

        client_push(cl, &(struct wire_push){.channel = channel, .unsubscribe = &body});
    }
    /* last: the hook may do anything to the client, also subscribe it again */
    if (hook_is_set_anywhere(script, HOOK_UNSUBSCRIBE))
        client_tell(cl, hook_row(script, channel), HOOK_UNSUBSCRIBE, channel, code, reason);
    str_free(&channel);
}

void subscribe_leave_all(struct client *cl)
{
    while (cl->hub.subs)
        subscribe_leave(cl, cl->hub.subs, UNSUBSCRIBE_DISCONNECTED,
                        codes_unsubscribe(UNSUBSCRIBE_DISCONNECTED), false);
}
