/* presence and presence_stats: permission, the hook, then the channel's home. */
#include "client/command.h"
#include "core/encode.h"

static void answer_stats(struct pending *p, const struct presence_result *got)
{
    struct wire_presence_stats_result result = {.num_clients = (uint32_t)got->count,
                                                .num_users = (uint32_t)got->users};

    client_reply(p->cl, &(struct wire_reply){.id = p->id, .presence_stats = &result});
}

static void answer_presence(struct pending *p, const struct presence_result *got)
{
    struct arena *a = &clients_of(p->cl)->arena;
    struct wire_client_info_entry *entries = arena_alloc(a, got->count * sizeof *entries);
    struct wire_client_info *infos = arena_alloc(a, got->count * sizeof *infos);
    struct wire_presence_result result = {.presence = {entries, got->count}};
    enum wire wire = kind_wire(p->cl->hub.kind);
    bool fits = true;

    for (size_t i = 0; i < got->count; i++) {
        const struct presence_entry *e = &got->entries[i];

        fits = fits && encode_raw_fits(wire, e->conn_info) && encode_raw_fits(wire, e->chan_info);
        infos[i] = (struct wire_client_info){e->user, e->client, e->conn_info, e->chan_info};
        entries[i] = (struct wire_client_info_entry){e->client, &infos[i]};
    }
    if (fits)
        client_reply(p->cl, &(struct wire_reply){.id = p->id, .presence = &result});
    else
        command_disconnect(
            p->cl, DISCONNECT_INAPPROPRIATE_PROTOCOL,
            &(struct refusal){.cause = "a member's info is not JSON", .channel = p->channel});
    arena_reset(a);
}

static void finish(struct pending *p, enum err err, const struct presence_result *got, bool stats)
{
    if (pending_alive(p)) {
        if (err != OK)
            command_refuse(p->cl, p->id, ERROR_INTERNAL,
                           &(struct refusal){.cause = "the engine failed", .channel = p->channel});
        else if (stats)
            answer_stats(p, got);
        else
            answer_presence(p, got);
    }
    pending_end(p);
}

static void on_presence(void *arg, enum err err, const struct presence_result *got)
{
    finish(arg, err, got, false);
}

static void on_stats(void *arg, enum err err, const struct presence_result *got)
{
    finish(arg, err, got, true);
}

static void read_presence(struct pending *p, bool stats)
{
    home_presence(p->cl->core, p->channel, stats, stats ? on_stats : on_presence, p);
}

static void on_hook(struct pending *p, const struct hook_verdict *v, bool stats)
{
    bool read = pending_alive(p);

    if (read) {
        switch (v->outcome) {
        case VERDICT_NIL:
            read = command_allowed(p->cl, p->id, p->channel, &p->parts, ACTION_PRESENCE);
            break;
        case VERDICT_ALLOW:
            client_allowed(p->cl, NULL, 0, ACTION_PRESENCE, BY_HOOK);
            break;
        case VERDICT_REFUSE:
        case VERDICT_ERROR:
        case VERDICT_DISCONNECT:
            command_refuse_by_hook(p, STR("hooks.presence"), v);
            read = false;
            break;
        }
    }
    if (read)
        read_presence(p, stats);
    else
        pending_end(p);
}

static void on_presence_hook(void *arg, const struct hook_verdict *v)
{
    on_hook(arg, v, false);
}

static void on_stats_hook(void *arg, const struct hook_verdict *v)
{
    on_hook(arg, v, true);
}

static void begin(struct client *cl, uint32_t id, struct str channel, bool stats)
{
    struct script *script = cl->core->script;
    struct channel_parts parts;
    struct pending *p;

    if (!command_channel(cl, id, channel, &parts))
        return;
    if (!parts.ns->opt.presence) {
        command_refuse(cl, id, ERROR_NOT_AVAILABLE,
                       &(struct refusal){.cause = "the namespace keeps no presence",
                                         .option = STR("presence"),
                                         .channel = channel});
        return;
    }
    if (hook_is_set(script, (unsigned)parts.ns->index, HOOK_PRESENCE)) {
        p = pending_begin(cl, id, channel, STR_NONE, &parts);
        hook_run(script, (unsigned)parts.ns->index, HOOK_PRESENCE,
                 &(struct hook_request){.client = cl, .channel = p->channel},
                 stats ? on_stats_hook : on_presence_hook, p);
    } else if (command_allowed(cl, id, channel, &parts, ACTION_PRESENCE)) {
        read_presence(pending_begin(cl, id, channel, STR_NONE, &parts), stats);
    }
}

void cmd_presence(struct client *cl, const struct wire_command *command)
{
    begin(cl, command->id, command->presence->channel, false);
}

void cmd_presence_stats(struct client *cl, const struct wire_command *command)
{
    begin(cl, command->id, command->presence_stats->channel, true);
}
