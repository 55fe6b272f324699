#include "client/connecting.h"

#include "base/map.h"
#include "base/mem.h"
#include "client/command.h"
#include "codec/base64.h"
#include "codec/json.h"
#include "script/channel_options.h"

/* --- collecting ------------------------------------------------------------------------------- */

static struct connecting_channel *find(struct connecting *c, struct str channel)
{
    for (size_t i = 0; i < c->channel_count; i++) {
        if (str_eq(c->channels[i].plan.channel, channel))
            return &c->channels[i];
    }
    return NULL;
}

static struct connecting_channel *append(struct connecting *c)
{
    if (c->channel_count == c->channel_cap) {
        size_t cap = c->channel_cap ? c->channel_cap * 2 : 4;
        struct connecting_channel *grown = arena_zalloc(&c->arena, cap * sizeof *grown);

        if (c->channel_count > 0)
            memcpy(grown, c->channels, c->channel_count * sizeof *grown);
        c->channels = grown;
        c->channel_cap = cap;
    }
    return &c->channels[c->channel_count++];
}

/* A raw member, or its base64 sibling, which wins. */
static enum err read_data(struct arena *a, struct str options, struct str name, struct str b64_name,
                          struct str *out)
{
    struct str value, text;

    if (json_get(options, b64_name, a, &value) == OK && !json_is_null(value)) {
        if (json_string(value, a, &text) != OK)
            return ERR_SYNTAX;
        if (text.len > 0)
            return base64_decode(BASE64_STD, text, a, out);
    }
    if (json_get(options, name, a, &value) == OK)
        *out = value;
    return OK;
}

static enum err read_options(struct arena *a, struct str options, struct connecting_channel *ch)
{
    struct str value;
    enum err err;

    if (options.len == 0 || json_is_null(options))
        return OK;
    if (json_type(options) != JSON_OBJECT)
        return ERR_SYNTAX;
    err = read_data(a, options, STR("info"), STR("b64info"), &ch->plan.chan_info);
    if (err == OK)
        err = read_data(a, options, STR("data"), STR("b64data"), &ch->plan.data);
    if (err == OK && json_get(options, STR("override"), a, &value) == OK &&
        json_type(value) == JSON_OBJECT)
        ch->override = value;
    return err;
}

static enum err add_new(struct connecting *c, struct str channel, struct str options,
                        uint32_t flags)
{
    struct connecting_channel *ch;
    struct channel_parts parts;

    if (channel.len == 0)
        return ERR_SYNTAX;
    if (channel_resolve(c->settings, channel, &parts) != OK)
        return ERR_NOT_FOUND;
    ch = append(c);
    *ch = (struct connecting_channel){.connecting = c};
    ch->plan.channel = arena_dup(&c->arena, channel);
    ch->plan.flags = flags | SUB_SERVER_SIDE;
    return read_options(&c->arena, arena_dup(&c->arena, options), ch);
}

enum err connecting_add(struct connecting *c, struct str channel, struct str options,
                        uint32_t flags)
{
    return find(c, channel) ? OK : add_new(c, channel, options, flags);
}

enum err connecting_add_object(struct connecting *c, struct str subs, uint32_t flags)
{
    struct json_iter it = json_iter(subs);
    struct str channel, options;
    enum err err;

    while ((err = json_object_next(&it, &c->arena, &channel, &options)) == OK) {
        err = connecting_add(c, channel, options, flags);
        if (err != OK)
            return err;
    }
    return err == ERR_NOT_FOUND ? OK : err;
}

struct name {
    struct map_node node;
    char text[];
};

/* False: it is there already. */
static bool enter_name(struct map *names, struct arena *a, struct str text)
{
    struct name *name;

    if (map_get(names, text))
        return false;
    name = arena_alloc(a, sizeof *name + text.len);
    memcpy(name->text, text.ptr, text.len);
    map_add(names, &name->node, str_of(name->text, text.len));
    return true;
}

enum err connecting_add_wishes(struct connecting *c)
{
    struct map names = MAP_INIT; /* a client may list thousands: they are not searched one by one */
    enum err err = OK;

    for (size_t i = 0; i < c->channel_count; i++)
        enter_name(&names, &c->arena, c->channels[i].plan.channel);
    for (size_t i = 0; i < c->request->subs.count && err == OK; i++) {
        struct str channel = c->request->subs.ptr[i].key;

        if (channel.len > 0 && !enter_name(&names, &c->arena, channel))
            continue;
        err = add_new(c, channel, STR_NONE, 0);
        if (err == OK)
            c->channels[c->channel_count - 1].wished = true;
    }
    map_deinit(&names);
    return err == OK ? OK : ERR_NOT_FOUND;
}

/* --- resolving -------------------------------------------------------------------------------- */

/* Could the client subscribe to it by a command without a token? */
static bool wish_granted(struct connecting *c, const struct connecting_channel *ch,
                         const struct channel_parts *parts)
{
    struct script *script = c->cl->core->script;
    struct str channel = ch->plan.channel;
    unsigned who = client_who(c->cl, parts, channel);

    if (who & WHO_ANONYMOUS) /* an empty name on a channel's list lets nobody in unasked */
        who &= ~(unsigned)WHO_USER_LISTED;
    if ((int64_t)channel.len > c->settings->channel_max_length ||
        !channel_name_valid(c->settings, channel, parts))
        return false;
    if (hook_is_set(script, (unsigned)parts->ns->index, HOOK_SUBSCRIBE))
        return false; /* the hook decides about subscribe commands only */
    return client_may(c->cl, parts->ns, who, ACTION_SUBSCRIBE, channel);
}

static void keep_refusal(struct connecting *c, enum err err, const struct hook_verdict *refused)
{
    if (c->err != OK)
        return;
    c->err = err;
    if (err == ERR_DENIED) {
        c->refused = *refused;
        c->refused.message = arena_dup(&c->arena, refused->message);
    }
}

static void drop_wishes(struct connecting *c)
{
    size_t kept = 0;

    for (size_t i = 0; i < c->channel_count; i++) {
        if (c->channels[i].parts.ns)
            c->channels[kept++] = c->channels[i];
    }
    c->channel_count = kept;
}

static void resolved(struct connecting *c)
{
    if (--c->missing > 0)
        return;
    drop_wishes(c);
    c->on_done(c);
}

static void on_options(void *arg, enum err err, const struct channel_parts *parts,
                       const struct hook_verdict *refused)
{
    struct connecting_channel *ch = arg;
    struct connecting *c = ch->connecting;

    if (err == OK && (!ch->wished || wish_granted(c, ch, parts))) {
        ch->parts = *parts;
        ch->parts.rest = STR_NONE;
        ch->plan.ns = ns_ref(parts->ns);
    } else if (err != OK && !ch->wished) {
        keep_refusal(c, err, refused);
    }
    resolved(c);
}

void connecting_resolve(struct connecting *c, void (*on_done)(struct connecting *c))
{
    struct core *core = c->cl->core;

    c->on_done = on_done;
    c->missing = c->channel_count + 1; /* one more until all are asked */
    for (size_t i = 0; i < c->channel_count; i++)
        channel_options_get(core->script, core->settings, NULL, c->channels[i].plan.channel,
                            on_options, &c->channels[i]);
    resolved(c);
}

void connecting_free(struct connecting *c)
{
    for (size_t i = 0; i < c->channel_count; i++) {
        struct connecting_channel *ch = &c->channels[i];

        ns_unref(ch->plan.ns);
        for (size_t k = 0; k < ch->publication_count; k++)
            publication_unref(ch->publications[k]);
    }
}

/* --- subscribing ------------------------------------------------------------------------------ */

static void keep_result(struct connecting_channel *ch, const struct subscribe_plan *plan,
                        const struct subscribe_answer *answer)
{
    struct connecting *c = ch->connecting;
    struct subscribe_answer kept = *answer;

    ch->publication_count = answer->count;
    ch->publications = arena_alloc(&c->arena, answer->count * sizeof *ch->publications);
    for (size_t i = 0; i < answer->count; i++)
        ch->publications[i] = publication_ref(answer->publications[i]);
    kept.publications = ch->publications;
    kept.top.epoch = arena_dup(&c->arena, answer->top.epoch);
    if (!subscribe_result(c->cl, &c->arena, plan, &kept, &ch->result))
        command_disconnect(
            c->cl, DISCONNECT_INAPPROPRIATE_PROTOCOL,
            &(struct refusal){.cause = "the data of a server-side subscription is not JSON",
                              .channel = plan->channel});
    ch->result.data = ch->plan.data;
}

static void on_subscribed(void *arg, enum err err, const struct subscribe_plan *plan,
                          const struct subscribe_answer *answer, struct subscription *sub)
{
    struct connecting_channel *ch = arg; /* the array does not move any more */
    struct connecting *c = ch->connecting;

    if (err == OK)
        keep_result(ch, plan, answer);
    else if (c->err == OK)
        c->err = err;
    if (--c->missing == 0)
        c->on_done(c);
}

/* Where the client was in a channel that it names in the connect command. */
static struct subscribe_wish wish_for(const struct connecting *c,
                                      const struct connecting_channel *ch)
{
    struct subscribe_wish wish = {.override = ch->override};

    for (size_t i = 0; i < c->request->subs.count; i++) {
        const struct wire_subscribe_request *r = c->request->subs.ptr[i].value;

        if (str_eq(c->request->subs.ptr[i].key, ch->plan.channel) && r) {
            wish.recover = r->recover;
            wish.delta = str_eq(r->delta, STR("fossil"));
            wish.since = (struct stream_position){r->offset, r->epoch};
        }
    }
    return wish;
}

void connecting_subscribe(struct connecting *c, void (*on_done)(struct connecting *c))
{
    c->on_done = on_done;
    c->missing = c->channel_count + 1; /* one more until all are started */
    for (size_t i = 0; i < c->channel_count; i++) {
        struct connecting_channel *ch = &c->channels[i];
        struct subscribe_wish wish = wish_for(c, ch);
        struct subscribe_claim *claim;
        enum err err = subscribe_claim(c->cl, ch->plan.channel, &claim);

        if (err == OK) {
            ch->plan.was_recovering = wish.recover;
            subscribe_decide(c->cl, &ch->plan,
                             client_who(c->cl, &ch->parts, ch->plan.channel) | WHO_SUBSCRIBED,
                             &wish);
            subscribe_start(claim, &ch->plan, on_subscribed, ch);
        } else {
            c->err = err;
            c->missing--;
        }
    }
    if (--c->missing == 0)
        on_done(c);
}
