#include "core/presence_memory.h"

#include "base/mem.h"

struct place { /* a channel with somebody in it */
    struct map_node by_channel;
    struct map members, users;
    char channel[];
};

struct member {
    struct map_node by_client;
    struct presence_entry entry;
    char bytes[];
};

/* How many members of a channel are one user. */
struct presence_user {
    struct map_node by_name;
    size_t count;
    char name[];
};

static struct place *place_find(struct presence_memory *pm, struct str channel)
{
    struct map_node *node = map_get(&pm->channels, channel);

    return node ? container_of(node, struct place, by_channel) : NULL;
}

static void user_add(struct place *place, struct str name)
{
    struct map_node *node = map_get(&place->users, name);
    struct presence_user *user;

    if (node) {
        container_of(node, struct presence_user, by_name)->count++;
        return;
    }
    user = mem_alloc(sizeof *user + name.len);
    user->count = 1;
    if (name.len > 0)
        memcpy(user->name, name.ptr, name.len);
    map_add(&place->users, &user->by_name, str_of(user->name, name.len));
}

static void user_remove(struct place *place, struct str name)
{
    struct presence_user *user =
        container_of(map_get(&place->users, name), struct presence_user, by_name);

    if (--user->count == 0) {
        map_del(&place->users, &user->by_name);
        mem_free(user);
    }
}

static void member_remove(struct place *place, struct member *member)
{
    user_remove(place, member->entry.user);
    map_del(&place->members, &member->by_client);
    mem_free(member);
}

static void place_free(struct presence_memory *pm, struct place *place)
{
    struct map_iter it;

    map_each (&place->members, &it, node)
        member_remove(place, container_of(node, struct member, by_client));
    map_del(&pm->channels, &place->by_channel);
    map_deinit(&place->members);
    map_deinit(&place->users);
    mem_free(place);
}

void presence_memory_add(struct presence_memory *pm, struct str channel,
                         const struct presence_entry *entry)
{
    struct place *place = place_find(pm, channel);
    struct map_node *known;
    struct member *member;
    char *at;

    if (place == NULL) {
        place = mem_zalloc(sizeof *place + channel.len);
        memcpy(place->channel, channel.ptr, channel.len);
        map_add(&pm->channels, &place->by_channel, str_of(place->channel, channel.len));
    }
    known = map_get(&place->members, entry->client);
    if (known)
        member_remove(place, container_of(known, struct member, by_client));
    member = mem_alloc(sizeof *member + entry->client.len + entry->user.len + entry->conn_info.len +
                       entry->chan_info.len);
    at = member->bytes;
    member->entry = (struct presence_entry){
        .client = str_put(&at, entry->client),
        .user = str_put(&at, entry->user),
        .conn_info = str_put(&at, entry->conn_info),
        .chan_info = str_put(&at, entry->chan_info),
    };
    map_add(&place->members, &member->by_client, member->entry.client);
    user_add(place, entry->user);
}

void presence_memory_remove(struct presence_memory *pm, struct str channel, struct str client)
{
    struct place *place = place_find(pm, channel);
    struct map_node *known = place ? map_get(&place->members, client) : NULL;

    if (known == NULL)
        return;
    member_remove(place, container_of(known, struct member, by_client));
    if (place->members.count > 0) {
        map_fit(&place->members);
        map_fit(&place->users);
    } else {
        place_free(pm, place);
        map_fit(&pm->channels);
    }
}

void presence_memory_read(struct presence_memory *pm, struct str channel, bool stats_only,
                          engine_presence_fn *fn, void *arg)
{
    struct place *place = place_find(pm, channel);
    struct presence_result result = {0};
    struct presence_entry *entries = NULL;
    struct map_iter it;
    size_t at = 0;

    if (place) {
        result.count = place->members.count;
        result.users = place->users.count;
        if (!stats_only) {
            entries = mem_alloc(result.count * sizeof *entries);
            map_each (&place->members, &it, node)
                entries[at++] = container_of(node, struct member, by_client)->entry;
        }
    }
    result.entries = entries;
    fn(arg, OK, &result);
    mem_free(entries);
}

void presence_memory_deinit(struct presence_memory *pm)
{
    struct map_iter it;

    map_each (&pm->channels, &it, node)
        place_free(pm, container_of(node, struct place, by_channel));
    map_deinit(&pm->channels);
}
