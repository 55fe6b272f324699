#include "core/core.h"

#include "base/mem.h"
#include "codec/deflate.h"
#include "core/dict.h"
#include "core/engine.h"
#include "core/home.h"
#include "core/http_client.h"
#include "core/hub.h"
#include "core/outbox.h"
#include "core/revocation.h"

#define DICT_SWEEP_MS 1000

static void on_dict_sweep(struct timer *t)
{
    struct core *core = container_of(t, struct core, dict_sweep);

    dicts_sweep(core->node->dicts);
    timer_set(&core->worker->timers, t, core->worker->now_ms + DICT_SWEEP_MS);
}

struct core *core_new(struct node *node, struct worker *w, struct settings *settings)
{
    struct core *core = mem_zalloc(sizeof *core);

    core->worker = w;
    core->node = node;
    core->settings = settings_ref(settings);
    core->http = http_client_new(w);
    core->deflate = deflate_new();
    core->outboxes = outboxes_new(w);
    core->hub = hub_new(core);
    core->revocations = revocations_new();
    core->home = home_new(core, engine_memory_new(w));
    core->dict_sweep = TIMER_INIT(on_dict_sweep);
    if (w->index == 0 && node->dicts)
        timer_set(&w->timers, &core->dict_sweep, w->now_ms + DICT_SWEEP_MS);
    w->core = core;
    node->cores[w->index] = core;
    return core;
}

void core_close(struct core *core)
{
    if (core->http)
        http_client_close(core->http);
    core->http = NULL;
    timer_unset(&core->worker->timers, &core->dict_sweep);
}

void core_free(struct core *core)
{
    core_close(core);
    home_free(core->home);
    hub_free(core->hub);
    outboxes_free(core->outboxes);
    deflate_free(core->deflate);
    revocations_free(core->revocations);
    settings_unref(core->settings);
    mem_free(core);
}
