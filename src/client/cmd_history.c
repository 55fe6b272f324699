/* history: permission, the hook, then the channel's home. */
#include "base/mem.h"
#include "client/command.h"
#include "core/encode.h"

struct reading {
    struct pending *pending;
    struct history_filter filter; /* its epoch is pending->data */
};

static void answer(struct pending *p, const struct history_result *got)
{
    struct arena *a = &clients_of(p->cl)->arena;
    struct wire_history_result result = {.epoch = got->position.epoch,
                                         .offset = got->position.offset};

    if (encode_publications(a, kind_wire(p->cl->hub.kind), false, got->publications, got->count,
                            &result.publications))
        client_reply(p->cl, &(struct wire_reply){.id = p->id, .history = &result});
    else
        command_disconnect(
            p->cl, DISCONNECT_INAPPROPRIATE_PROTOCOL,
            &(struct refusal){.cause = "a publication is not JSON", .channel = p->channel});
    arena_reset(a);
}

static void end(struct reading *r)
{
    pending_end(r->pending);
    mem_free(r);
}

static void on_history(void *arg, enum err err, const struct history_result *got)
{
    struct reading *r = arg;
    struct pending *p = r->pending;

    if (pending_alive(p)) {
        if (err == OK)
            answer(p, got);
        else if (err == ERR_EXPIRED)
            command_refuse(p->cl, p->id, ERROR_UNRECOVERABLE_POSITION,
                           &(struct refusal){.cause = "the stream has another epoch now",
                                             .channel = p->channel});
        else
            command_refuse(p->cl, p->id, ERROR_INTERNAL,
                           &(struct refusal){.cause = "the engine failed", .channel = p->channel});
    }
    end(r);
}

static void read_history(struct reading *r)
{
    struct pending *p = r->pending;
    struct stream_options options = channel_stream(p->parts.ns);

    home_history(p->cl->core, p->channel, &options, &r->filter, on_history, r);
}

static void on_hook(void *arg, const struct hook_verdict *v)
{
    struct reading *r = arg;
    struct pending *p = r->pending;

    if (!pending_alive(p)) {
        end(r);
        return;
    }
    switch (v->outcome) {
    case VERDICT_NIL:
        if (!command_allowed(p->cl, p->id, p->channel, &p->parts, ACTION_HISTORY))
            break;
        read_history(r);
        return;
    case VERDICT_ALLOW:
        client_allowed(p->cl, NULL, 0, ACTION_HISTORY, BY_HOOK);
        read_history(r);
        return;
    case VERDICT_REFUSE:
    case VERDICT_ERROR:
    case VERDICT_DISCONNECT:
        command_refuse_by_hook(p, STR("hooks.history"), v);
        break;
    }
    end(r);
}

static struct reading *reading_new(struct client *cl, uint32_t id,
                                   const struct wire_history_request *r,
                                   const struct channel_parts *parts)
{
    int64_t max = cl->core->settings->client_history_max_publication_limit;
    struct reading *reading = mem_zalloc(sizeof *reading);
    struct history_filter *f = &reading->filter;

    f->limit = r->limit;
    if (max >= 0 && (r->limit < 0 || r->limit > max))
        f->limit = max;
    f->reverse = r->reverse;
    reading->pending =
        pending_begin(cl, id, r->channel, r->since ? r->since->epoch : STR_NONE, parts);
    if (r->since) {
        f->has_since = true;
        f->since_offset = r->since->offset;
        f->since_epoch = reading->pending->data;
    }
    return reading;
}

void cmd_history(struct client *cl, const struct wire_command *command)
{
    const struct wire_history_request *r = command->history;
    struct script *script = cl->core->script;
    struct channel_parts parts;
    bool hooked;

    if (!command_channel(cl, command->id, r->channel, &parts))
        return;
    if (parts.ns->opt.history_size == 0 || parts.ns->opt.history_ttl_ms == 0) {
        command_refuse(cl, command->id, ERROR_NOT_AVAILABLE,
                       &(struct refusal){.cause = "the namespace keeps no history",
                                         .option = STR("history_size"),
                                         .channel = r->channel});
        return;
    }
    hooked = hook_is_set(script, (unsigned)parts.ns->index, HOOK_HISTORY);
    if (!hooked && !command_allowed(cl, command->id, r->channel, &parts, ACTION_HISTORY))
        return;
    if (r->reverse && r->since && r->since->offset == 0) {
        command_refuse(
            cl, command->id, ERROR_BAD_REQUEST,
            &(struct refusal){.cause = "nothing lies before offset 0", .channel = r->channel});
        return;
    }
    if (hooked) {
        struct reading *reading = reading_new(cl, command->id, r, &parts);

        hook_run(script, (unsigned)parts.ns->index, HOOK_HISTORY,
                 &(struct hook_request){.client = cl, .channel = reading->pending->channel},
                 on_hook, reading);
    } else {
        read_history(reading_new(cl, command->id, r, &parts));
    }
}
