/* publish: permission, the publish hook, then the way every publication goes (publish.h). */
#include "base/mem.h"
#include "client/command.h"
#include "client/publish.h"
#include "codec/json.h"

struct publishing {
    struct pending *pending;
    bool allowed; /* by the rules, if the hook has no opinion */
    unsigned who;
};

static void publishing_end(struct publishing *w)
{
    pending_end(w->pending);
    mem_free(w);
}

static void on_published(void *arg, enum err err, struct stream_position position)
{
    struct publishing *w = arg;
    struct pending *p = w->pending;

    if (pending_alive(p)) {
        if (err == OK)
            client_reply(p->cl, &(struct wire_reply){.id = p->id,
                                                     .publish = &(struct wire_publish_result){}});
        else
            command_refuse(p->cl, p->id, ERROR_INTERNAL,
                           &(struct refusal){.cause = "the engine failed", .channel = p->channel});
    }
    publishing_end(w);
}

static void on_refused(void *arg, const struct hook_verdict *v)
{
    struct publishing *w = arg;

    if (pending_alive(w->pending))
        command_refuse_verdict(w->pending->cl, w->pending->id, w->pending->channel, v);
    publishing_end(w);
}

static void publish(struct publishing *w, struct str data, bool data_is_json,
                    const struct hook_verdict *v)
{
    struct client *cl = w->pending->cl;
    const struct ns *ns = w->pending->parts.ns;
    struct subscription *sub = hub_find(&cl->hub, w->pending->channel);
    struct publication_source source = {
        .channel = w->pending->channel,
        .data = data,
        .data_is_json = data_is_json,
        .delta = v->has_delta ? v->delta : ns->opt.delta_publish,
        .tags = v->tags,
        .version = v->version,
        .has_info = true,
        .info = {client_user(cl), client_id(cl), client_text(cl, CLIENT_CONN_INFO),
                 sub && sub->extra ? sub->extra->chan_info : STR_NONE},
    };
    struct publish_request request = {.stream = channel_stream(ns),
                                      .idempotency_key = v->idempotency_key,
                                      .version = v->version,
                                      .version_epoch = v->version_epoch};

    if (v->skip_history)
        request.stream.size = 0;
    publish_start(cl->core, &source, &request, on_published, on_refused, w);
}

static void decide_by_rules(struct publishing *w, const struct hook_verdict *v)
{
    struct pending *p = w->pending;

    if (w->allowed) {
        client_allowed(p->cl, p->parts.ns, w->who, ACTION_PUBLISH,
                       settings_allows(p->parts.ns, w->who, ACTION_PUBLISH) ? BY_RULES
                                                                            : BY_CAPABILITY);
        publish(w, p->data, kind_wire(p->cl->hub.kind) == WIRE_JSON, v);
        return;
    }
    command_refuse(
        p->cl, p->id, ERROR_PERMISSION_DENIED,
        &(struct refusal){.cause_text = settings_denied_cause(p->parts.ns, w->who, ACTION_PUBLISH),
                          .option = settings_denied_option(p->parts.ns, w->who, ACTION_PUBLISH),
                          .channel = p->channel});
    publishing_end(w);
}

static void on_hook(void *arg, const struct hook_verdict *v)
{
    struct publishing *w = arg;
    struct pending *p = w->pending;

    if (!pending_alive(p)) {
        publishing_end(w);
        return;
    }
    switch (v->outcome) {
    case VERDICT_NIL:
        decide_by_rules(w, v);
        return;
    case VERDICT_ALLOW:
        client_allowed(p->cl, NULL, 0, ACTION_PUBLISH, BY_HOOK);
        publish(w, v->has_data ? v->data : p->data,
                v->has_data ? v->data_is_json : kind_wire(p->cl->hub.kind) == WIRE_JSON, v);
        return;
    case VERDICT_REFUSE: /* here false is an error */
    case VERDICT_ERROR:
    case VERDICT_DISCONNECT:
        command_refuse_verdict(p->cl, p->id, p->channel, v);
        break;
    }
    publishing_end(w);
}

static bool fits_format(const struct ns *ns, struct str data, bool json)
{
    int format = ns->opt.publication_data_format
                     ? (int)ns->opt.publication_data_format
                     : (int)ns->settings->channel_publication_data_format;

    switch (format) {
    case CHANNEL_PUBLICATION_DATA_FORMAT_BINARY:
        return true;
    case CHANNEL_PUBLICATION_DATA_FORMAT_JSON:
        return json ? data.len > 0 : json_valid(data);
    case CHANNEL_PUBLICATION_DATA_FORMAT_JSON_OBJECT:
        return (json || json_valid(data)) && json_type(data) == JSON_OBJECT;
    default:
        return data.len > 0;
    }
}

void cmd_publish(struct client *cl, const struct wire_command *command)
{
    const struct wire_publish_request *r = command->publish;
    struct script *script = cl->core->script;
    bool json = kind_wire(cl->hub.kind) == WIRE_JSON;
    struct channel_parts parts;
    struct publishing *w;

    if (!command_channel(cl, command->id, r->channel, &parts))
        return;
    if (r->type != 0 || !fits_format(parts.ns, r->data, json)) {
        command_refuse(cl, command->id, ERROR_BAD_REQUEST,
                       &(struct refusal){.cause = "the data is empty or of another format",
                                         .option = STR("publication_data_format"),
                                         .channel = r->channel});
        return;
    }
    w = mem_alloc(sizeof *w);
    w->who = client_who(cl, &parts, r->channel);
    w->allowed = client_may(cl, parts.ns, w->who, ACTION_PUBLISH, r->channel);
    w->pending = pending_begin(cl, command->id, r->channel, r->data, &parts);
    if (hook_is_set(script, (unsigned)parts.ns->index, HOOK_PUBLISH))
        hook_run(script, (unsigned)parts.ns->index, HOOK_PUBLISH,
                 &(struct hook_request){.client = cl,
                                        .channel = w->pending->channel,
                                        .data = w->pending->data,
                                        .data_is_binary = !json},
                 on_hook, w);
    else
        decide_by_rules(w, &(struct hook_verdict){.outcome = VERDICT_NIL});
}
