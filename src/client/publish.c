#include "client/publish.h"

#include "base/mem.h"
#include "core/channel.h"

/* A publication while the transform hook looks at it. */
struct transforming {
    struct core *core;
    struct publication_source source;
    struct publish_request request;
    home_published_fn *fn;
    publish_refused_fn *refused;
    void *arg;
    char text[];
};

static void on_transformed(void *arg, const struct hook_verdict *v)
{
    struct transforming *t = arg;

    switch (v->outcome) {
    case VERDICT_ERROR:
    case VERDICT_DISCONNECT:
        t->refused(t->arg, v);
        break;
    case VERDICT_REFUSE:
        t->fn(t->arg, OK, (struct stream_position){0});
        break;
    case VERDICT_ALLOW:
        if (v->has_data) {
            t->source.data = v->data;
            t->source.data_is_json = v->data_is_json;
        }
        if (v->tags.len > 0)
            t->source.tags = v->tags;
        /* fall through */
    case VERDICT_NIL:
        home_publish(t->core, publication_new(&t->source), &t->request, t->fn, t->arg);
        break;
    }
    mem_free(t);
}

static void transform(struct core *core, unsigned ns_index, const struct publication_source *source,
                      const struct publish_request *request, home_published_fn *fn,
                      publish_refused_fn *refused, void *arg)
{
    const struct publication_info *info = &source->info;
    struct transforming *t =
        mem_alloc(sizeof *t + source->channel.len + source->data.len + source->tags.len +
                  info->user.len + info->client.len + info->conn_info.len + info->chan_info.len +
                  request->idempotency_key.len + request->version_epoch.len);
    char *at = t->text;
    struct hook_request hook;

    t->core = core;
    t->fn = fn;
    t->refused = refused;
    t->arg = arg;
    t->source = *source;
    t->source.channel = str_put(&at, source->channel);
    t->source.data = str_put(&at, source->data);
    t->source.tags = str_put(&at, source->tags);
    t->source.info.user = str_put(&at, info->user);
    t->source.info.client = str_put(&at, info->client);
    t->source.info.conn_info = str_put(&at, info->conn_info);
    t->source.info.chan_info = str_put(&at, info->chan_info);
    t->request = *request;
    t->request.idempotency_key = str_put(&at, request->idempotency_key);
    t->request.version_epoch = str_put(&at, request->version_epoch);
    hook = (struct hook_request){
        .channel = t->source.channel,
        .data = t->source.data,
        .data_is_binary = !source->data_is_json,
        .tags = t->source.tags,
    };
    hook_run(core->script, ns_index, HOOK_TRANSFORM, &hook, on_transformed, t);
}

void publish_start(struct core *core, const struct publication_source *source,
                   const struct publish_request *request, home_published_fn *fn,
                   publish_refused_fn *refused, void *arg)
{
    struct channel_parts parts;

    /* by name: whoever waited for a hook may come from before a reload */
    if (hook_is_set_anywhere(core->script, HOOK_TRANSFORM) &&
        channel_resolve(core->settings, source->channel, &parts) == OK &&
        hook_is_set(core->script, (unsigned)parts.ns->index, HOOK_TRANSFORM))
        transform(core, (unsigned)parts.ns->index, source, request, fn, refused, arg);
    else
        home_publish(core, publication_new(source), request, fn, arg);
}
