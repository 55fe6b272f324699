/* Clients by id and user, subscriptions by channel; fan-out is in hub_fanout.c. */
#include "core/hub_types.h"

#include "base/check.h"
#include "base/mem.h"

#include <assert.h>

static_assert(offsetof(struct subscription, offset) <= 40 && sizeof(struct subscription) <= 56,
              "a subscription should cost little");

struct hub *hub_new(struct core *core)
{
    struct hub *hub = mem_zalloc(sizeof *hub);

    hub->core = core;
    hub->scratch = BUF_INIT(FRAME_BYTES_MAX);
    hub->patch = BUF_INIT(FRAME_BYTES_MAX);
    return hub;
}

void hub_set_ops(struct hub *hub, const struct hub_ops *ops)
{
    hub->ops = ops;
}

void hub_free(struct hub *hub)
{
    CHECK(hub->client_count == 0);
    map_deinit(&hub->users);
    map_deinit(&hub->channels);
    buf_deinit(&hub->scratch);
    buf_deinit(&hub->patch);
    arena_deinit(&hub->arena);
    mem_free(hub);
}

/* --- clients and users ------------------------------------------------------------------------ */

void hub_add_client(struct hub *hub, struct hub_client *hc, struct str user)
{
    struct map_node *node = map_get(&hub->users, user);
    struct hub_user *u;

    CHECK(hc->user == NULL);
    if (node) {
        u = container_of(node, struct hub_user, by_name);
    } else {
        u = mem_alloc(sizeof *u + user.len);
        list_init(&u->clients);
        if (user.len > 0)
            memcpy(u->name, user.ptr, user.len);
        map_add(&hub->users, &u->by_name, str_of(u->name, user.len));
    }
    list_add_tail(&u->clients, &hc->in_user);
    hc->user = u;
    hub->client_count++;
}

void hub_remove_client(struct hub *hub, struct hub_client *hc)
{
    struct hub_user *u = hc->user;

    CHECK(hc->subs == NULL);
    if (u == NULL)
        return;
    hub->client_count--;
    list_del(&hc->in_user);
    hc->user = NULL;
    if (list_empty(&u->clients)) {
        map_del(&hub->users, &u->by_name);
        map_fit(&hub->users);
        mem_free(u);
    }
}

struct str hub_user_name(const struct hub_client *hc)
{
    return hc->user ? map_key(&hc->user->by_name) : STR_NONE;
}

struct list *hub_clients_of(struct hub *hub, struct str user)
{
    struct map_node *node = map_get(&hub->users, user);

    return node ? &container_of(node, struct hub_user, by_name)->clients : NULL;
}

/* --- subscriptions ---------------------------------------------------------------------------- */

static void put(struct hub_channel *ch, uint32_t index, struct subscription *sub)
{
    ch->subs[index] = sub;
    sub->index = index;
}

/* At the end of its part; the first of the other part makes room. */
static void channel_add(struct hub_channel *ch, struct subscription *sub)
{
    if (ch->count == ch->cap) {
        ch->cap = ch->cap ? ch->cap * 2 : 1;
        ch->subs = mem_realloc(ch->subs, ch->cap * sizeof *ch->subs);
    }
    if (sub->flags & SUB_PUSH_JOIN_LEAVE) {
        if (ch->told < ch->count)
            put(ch, ch->count, ch->subs[ch->told]);
        put(ch, ch->told++, sub);
    } else {
        put(ch, ch->count, sub);
    }
    ch->count++;
}

/* The last of its part takes its place, and the last of all that one's. */
static void channel_remove(struct hub_channel *ch, struct subscription *sub)
{
    uint32_t hole = sub->index;

    if (hole < ch->told) {
        put(ch, hole, ch->subs[--ch->told]);
        hole = ch->told;
    }
    if (hole < --ch->count)
        put(ch, hole, ch->subs[ch->count]);
}

static struct subscription *new_subscription(const struct hub *hub, uint32_t flags)
{
    bool positioned = flags & SUB_POSITIONED;
    struct subscription *sub =
        mem_zalloc(positioned ? sizeof *sub : offsetof(struct subscription, offset));

    sub->flags = flags;
    if (positioned)
        sub->checked_s = (uint32_t)(hub->core->worker->now_ms / 1000);
    return sub;
}

struct subscription *hub_subscribe(struct hub *hub, struct hub_client *hc, struct str channel,
                                   uint32_t flags)
{
    uint64_t hash = map_hash(channel);
    struct map_node *node = map_get_hashed(&hub->channels, channel, hash);
    struct subscription *sub = new_subscription(hub, flags);
    struct hub_channel *ch;

    if (node) {
        ch = container_of(node, struct hub_channel, by_name);
    } else {
        ch = mem_zalloc(sizeof *ch + channel.len);
        memcpy(ch->name, channel.ptr, channel.len);
        map_add_hashed(&hub->channels, &ch->by_name, str_of(ch->name, channel.len), hash);
    }
    sub->channel = ch;
    sub->client = hc;
    sub->next_of_client = hc->subs;
    channel_add(ch, sub);
    hc->subs = sub;
    hc->sub_count++;
    hub->subscription_count++;
    return sub;
}

/* The channel's number of this epoch; another text than before makes a new number. */
uint32_t hub_epoch_number(struct hub_channel *ch, struct str epoch)
{
    if (!str_eq(ch->epoch, epoch) || ch->epoch_number == 0) {
        str_free(&ch->epoch);
        ch->epoch = str_dup(epoch);
        ch->epoch_number++;
    }
    return ch->epoch_number;
}

void hub_set_position(struct hub *hub, struct subscription *sub, uint64_t offset, struct str epoch)
{
    CHECK(sub->flags & SUB_POSITIONED);
    sub->offset = offset;
    sub->epoch = epoch.len ? hub_epoch_number(sub->channel, epoch) : 0;
}

struct str hub_epoch(const struct hub *hub, const struct subscription *sub)
{
    return sub->epoch == sub->channel->epoch_number ? sub->channel->epoch : STR_NONE;
}

static void free_extra(struct subscription *sub)
{
    if (sub->extra) {
        str_free(&sub->extra->chan_info);
        filter_free(sub->extra->filter);
        mem_free(sub->extra);
        sub->extra = NULL;
    }
}

void hub_set_extra(struct subscription *sub, int64_t expire_at, struct str chan_info)
{
    struct str copy = str_dup(chan_info); /* may be the old one */
    struct filter *filter = sub->extra ? sub->extra->filter : NULL;

    if (sub->extra)
        sub->extra->filter = NULL;
    free_extra(sub);
    if (expire_at == 0 && copy.len == 0 && filter == NULL)
        return;
    sub->extra = mem_alloc(sizeof *sub->extra);
    *sub->extra = (struct subscription_extra){expire_at, copy, filter};
}

void hub_set_filter(struct subscription *sub, struct filter *filter)
{
    CHECK(!(sub->flags & SUB_SPECIAL));
    if (sub->extra == NULL)
        sub->extra = mem_zalloc(sizeof *sub->extra);
    sub->extra->filter = filter;
    sub->flags |= SUB_FILTERED;
}

void hub_unsubscribe(struct hub *hub, struct subscription *sub)
{
    struct hub_channel *ch = sub->channel;
    struct subscription **at = &sub->client->subs;

    while (*at != sub)
        at = &(*at)->next_of_client;
    *at = sub->next_of_client;
    sub->client->sub_count--;
    channel_remove(ch, sub);
    hub->subscription_count--;
    free_extra(sub);
    mem_free(sub);
    if (ch->count == 0) {
        map_del(&hub->channels, &ch->by_name);
        map_fit(&hub->channels);
        str_free(&ch->epoch);
        mem_free(ch->subs);
        mem_free(ch);
    } else if (ch->cap > 16 && ch->count < ch->cap / 4) {
        ch->cap /= 2;
        ch->subs = mem_realloc(ch->subs, ch->cap * sizeof *ch->subs);
    }
}

struct subscription *hub_find(const struct hub_client *hc, struct str channel)
{
    struct subscription *sub = hc->subs;

    while (sub && !str_eq(hub_channel_name(sub), channel))
        sub = sub->next_of_client;
    return sub;
}

struct str hub_channel_name(const struct subscription *sub)
{
    return map_key(&sub->channel->by_name);
}

/* --- counting and walking --------------------------------------------------------------------- */

struct hub_counts hub_counts(const struct hub *hub)
{
    return (struct hub_counts){
        .clients = hub->client_count,
        .users = hub->users.count,
        .channels = hub->channels.count,
        .subscriptions = hub->subscription_count,
    };
}

void hub_each_channel(struct hub *hub, bool (*fn)(void *arg, struct str channel, size_t clients),
                      void *arg)
{
    struct map_iter it;

    map_each (&hub->channels, &it, node) {
        struct hub_channel *ch = container_of(node, struct hub_channel, by_name);

        if (!fn(arg, map_key(node), ch->count))
            return;
    }
}

void hub_each_client(struct hub *hub, void (*fn)(void *arg, struct hub_client *hc), void *arg)
{
    struct map_iter it;

    map_each (&hub->users, &it, node) {
        list_each (&container_of(node, struct hub_user, by_name)->clients, at)
            fn(arg, container_of(at, struct hub_client, in_user));
    }
}

void hub_each_user(struct hub *hub, void (*fn)(void *arg, struct str user), void *arg)
{
    struct map_iter it;

    map_each (&hub->users, &it, node)
        fn(arg, map_key(node));
}
