/* Reading presence: a question to the home, answered with a copy. */
#include "core/home_types.h"

#include "base/mem.h"

struct presence_mail {
    struct home_request request;
    struct str channel;
    bool stats_only;
    home_presence_fn *fn;
    void *arg;
    enum err err;
    struct presence_result result;
    void *copy; /* entries and their bytes */
    char bytes[];
};

static void back_presence(struct worker *w, struct mail *m)
{
    struct presence_mail *pm = container_of(m, struct presence_mail, request.mail);

    pm->fn(pm->arg, pm->err, &pm->result);
    mem_free(pm->copy);
    mem_free(pm);
}

static void copy_entries(struct presence_mail *pm, const struct presence_result *result)
{
    size_t size = result->count * sizeof(struct presence_entry);
    struct presence_entry *entries;
    char *at;

    for (size_t i = 0; i < result->count; i++) {
        const struct presence_entry *e = &result->entries[i];

        size += e->client.len + e->user.len + e->conn_info.len + e->chan_info.len;
    }
    pm->copy = entries = mem_alloc(size);
    at = (char *)(entries + result->count);
    for (size_t i = 0; i < result->count; i++) {
        const struct presence_entry *e = &result->entries[i];

        entries[i] = (struct presence_entry){
            .client = str_put(&at, e->client),
            .user = str_put(&at, e->user),
            .conn_info = str_put(&at, e->conn_info),
            .chan_info = str_put(&at, e->chan_info),
        };
    }
    pm->result.entries = entries;
}

static void at_engine_presence(void *arg, enum err err, const struct presence_result *result)
{
    struct presence_mail *pm = arg;

    pm->err = err;
    if (err == OK) {
        pm->result = (struct presence_result){.count = result->count, .users = result->users};
        if (result->entries)
            copy_entries(pm, result);
    }
    home_answer(&pm->request, back_presence);
}

static void at_presence(struct home *home, struct home_request *r)
{
    struct presence_mail *pm = container_of(r, struct presence_mail, request);
    struct engine *engine = home->engine;

    engine->ops->presence(engine, pm->channel, pm->stats_only, at_engine_presence, pm);
}

void home_presence(struct core *core, struct str channel, bool stats_only, home_presence_fn *fn,
                   void *arg)
{
    struct presence_mail *pm = mem_zalloc(sizeof *pm + channel.len);
    char *at = pm->bytes;

    pm->channel = str_put(&at, channel);
    pm->stats_only = stats_only;
    pm->fn = fn;
    pm->arg = arg;
    home_ask(core, map_hash(channel), &pm->request, at_presence);
}
