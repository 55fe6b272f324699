/* The homes: every request is one mail that goes to the channel's home and comes back as its own
 * answer. What runs on the home's worker has names beginning with at_; what runs on the asking
 * worker begins with back_. */
#include "core/home_types.h"

#include "base/check.h"
#include "base/mem.h"
#include "core/hub.h"

struct home *home_new(struct core *core, struct engine *engine)
{
    struct home *home = mem_zalloc(sizeof *home);

    home->core = core;
    home->engine = engine;
    return home;
}

void home_set_ops(struct home *home, const struct home_ops *ops)
{
    home->ops = ops;
}

void home_free(struct home *home)
{
    struct map_iter it;

    map_each (&home->channels, &it, node) /* subscribers of other workers may have gone silently */
        home_channel_free(home, container_of(node, struct home_channel, by_name));
    map_deinit(&home->channels);
    mem_free(home->spare);
    home->engine->ops->close(home->engine);
    mem_free(home);
}

struct worker *home_of(const struct core *core, uint64_t channel_hash)
{
    /* the high half: the low bits choose buckets in every worker's maps */
    return core->node->workers[(channel_hash >> 32) % core->node->worker_count];
}

/* --- requests --------------------------------------------------------------------------------- */

static void on_request(struct worker *w, struct mail *m)
{
    struct home_request *r = container_of(m, struct home_request, mail);
    struct home *home = core_of(w)->home;

    if (r->from == home->core)
        home->own_waiting--;
    r->at(home, r);
}

void home_ask(struct core *core, uint64_t channel_hash, struct home_request *r, home_at_fn *at)
{
    struct worker *w = home_of(core, channel_hash);

    CHECK_ON(core->worker);
    r->mail.deliver = on_request;
    r->from = core;
    r->at = at;
    if (w == core->worker)
        core->home->own_waiting++;
    worker_post(w, &r->mail);
}

void home_answer(struct home_request *r, mail_fn *back)
{
    r->mail.deliver = back;
    worker_post(r->from->worker, &r->mail);
}

/* --- the channels of this home ---------------------------------------------------------------- */

struct home_channel *home_channel_find(struct home *home, struct str name, uint64_t hash)
{
    struct map_node *node = map_get_hashed(&home->channels, name, hash);

    return node ? container_of(node, struct home_channel, by_name) : NULL;
}

struct home_channel *home_channel_make(struct home *home, struct str name, uint64_t hash)
{
    struct home_channel *ch = home_channel_find(home, name, hash);
    size_t interest = home->core->node->worker_count * sizeof ch->interest[0];
    char *text;

    if (ch)
        return ch;
    ch = mem_zalloc(sizeof *ch + interest + name.len);
    text = (char *)ch + sizeof *ch + interest;
    memcpy(text, name.ptr, name.len);
    map_add_hashed(&home->channels, &ch->by_name, str_of(text, name.len), hash);
    return ch;
}

void home_channel_free(struct home *home, struct home_channel *ch)
{
    map_del(&home->channels, &ch->by_name);
    mem_free(ch);
}

/* --- fan-out to the interested workers -------------------------------------------------------- */

struct fanout_mail {
    struct mail mail;
    struct publication *publication, *previous; /* references; previous may be NULL */
};

static void on_fanout(struct worker *w, struct mail *m)
{
    struct fanout_mail *fm = container_of(m, struct fanout_mail, mail);

    hub_fanout(core_of(w)->hub, fm->publication, fm->previous);
    publication_unref(fm->publication);
    if (fm->previous)
        publication_unref(fm->previous);
    mem_free(fm);
}

void home_deliver(struct home *home, struct publication *p, struct publication *previous)
{
    struct home_channel *ch = home_channel_find(home, p->channel, p->hash);

    if (ch == NULL)
        return;
    for (unsigned i = 0; i < home->core->node->worker_count; i++) {
        if (ch->interest[i] > 0) {
            struct fanout_mail *fm = mem_alloc(sizeof *fm);

            *fm = (struct fanout_mail){.mail.deliver = on_fanout,
                                       .publication = publication_ref(p),
                                       .previous = previous ? publication_ref(previous) : NULL};
            worker_post(home->core->node->workers[i], &fm->mail);
        }
    }
}

/* --- publish ---------------------------------------------------------------------------------- */

struct publish_mail {
    struct home_request request;
    struct home *home;
    bool is_inline; /* it came without mail, and is answered so */
    struct engine_publish what;
    home_published_fn *fn;
    void *arg;
    enum err err;
    uint64_t offset;
    uint8_t epoch_len;
    char epoch[EPOCH_LEN_MAX];
    char bytes[];
};

/* One is kept: publishes that are answered inline come one after the other. */
static struct publish_mail *publish_mail_new(struct home *home, size_t bytes)
{
    struct publish_mail *pm = bytes == 0 ? home->spare : NULL;

    if (pm)
        home->spare = NULL;
    return pm ? pm : mem_alloc(sizeof *pm + bytes);
}

static void publish_mail_free(struct home *home, struct publish_mail *pm)
{
    if (home->spare || pm->what.idempotency_key.len + pm->what.version_epoch.len > 0)
        mem_free(pm);
    else
        home->spare = pm;
}

static void back_published(struct worker *w, struct mail *m)
{
    struct publish_mail *pm = container_of(m, struct publish_mail, request.mail);
    struct stream_position position = {pm->offset, str_of(pm->epoch, pm->epoch_len)};

    publication_unref(pm->what.publication);
    if (pm->fn)
        pm->fn(pm->arg, pm->err, position);
    publish_mail_free(pm->request.from->home, pm);
}

static void publish_answer(struct publish_mail *pm, enum err err)
{
    pm->err = err;
    if (pm->is_inline)
        back_published(pm->request.from->worker, &pm->request.mail);
    else
        home_answer(&pm->request, back_published);
}

static void at_engine_published(void *arg, enum err err, const struct engine_published *result)
{
    struct publish_mail *pm = arg;

    if (err == OK) {
        pm->offset = result->position.offset;
        pm->epoch_len = (uint8_t)result->position.epoch.len;
        if (pm->epoch_len > 0)
            memcpy(pm->epoch, result->position.epoch.ptr, pm->epoch_len);
        if (result->deliver)
            home_deliver(pm->home, pm->what.publication, result->previous);
    }
    publish_answer(pm, err);
}

static void at_publish(struct home *home, struct home_request *r)
{
    struct publish_mail *pm = container_of(r, struct publish_mail, request);

    pm->home = home;
    home->engine->ops->publish(home->engine, &pm->what, at_engine_published, pm);
}

/* May the home be entered without mail? Only our own one, and not past a request of ours that is
 * still on its way to it: everybody's requests keep their order. */
static bool may_enter(const struct core *core, const struct worker *home)
{
    return home == core->worker && core->home->own_waiting == 0;
}

void home_publish(struct core *core, struct publication *p, const struct publish_request *request,
                  home_published_fn *fn, void *arg)
{
    struct worker *home = home_of(core, p->hash);
    struct publish_mail *pm =
        publish_mail_new(core->home, request->idempotency_key.len + request->version_epoch.len);
    char *at = pm->bytes;

    CHECK_ON(core->worker);
    pm->request.from = core;
    pm->is_inline = request->may_be_inline && may_enter(core, home);
    pm->fn = fn;
    pm->arg = arg;
    pm->offset = 0;
    pm->epoch_len = 0;
    pm->what = (struct engine_publish){
        .publication = p,
        .stream = request->stream,
        .version = request->version,
        .idempotency_key = str_put(&at, request->idempotency_key),
        .version_epoch = str_put(&at, request->version_epoch),
    };
    if (mailbox_depth(home->mailbox) > HOME_BACKLOG_MAX)
        publish_answer(pm, ERR_BUSY);
    else if (pm->is_inline)
        at_publish(core->home, &pm->request);
    else
        home_ask(core, p->hash, &pm->request, at_publish);
}

/* --- history ---------------------------------------------------------------------------------- */

struct history_mail {
    struct home_request request;
    struct stream_options options;
    struct history_filter filter;
    struct str channel;
    home_history_fn *fn;
    void *arg;
    enum err err;
    struct home_history_copy copy;
    char bytes[];
};

void home_history_copy(struct home_history_copy *copy, const struct history_result *result)
{
    size_t size = result->count * sizeof *copy->publications;

    CHECK(result->position.epoch.len <= EPOCH_LEN_MAX);
    copy->offset = result->position.offset;
    copy->epoch_len = (uint8_t)result->position.epoch.len;
    if (copy->epoch_len > 0)
        memcpy(copy->epoch, result->position.epoch.ptr, copy->epoch_len);
    copy->count = result->count;
    copy->publications = size ? mem_dup(result->publications, size) : NULL;
    for (size_t i = 0; i < copy->count; i++)
        publication_ref(copy->publications[i]);
}

void home_history_copy_free(struct home_history_copy *copy)
{
    for (size_t i = 0; i < copy->count; i++)
        publication_unref(copy->publications[i]);
    mem_free(copy->publications);
}

static void back_history(struct worker *w, struct mail *m)
{
    struct history_mail *hm = container_of(m, struct history_mail, request.mail);
    struct history_result result = {
        .position = {hm->copy.offset, str_of(hm->copy.epoch, hm->copy.epoch_len)},
        .publications = hm->copy.publications,
        .count = hm->copy.count,
    };

    hm->fn(hm->arg, hm->err, &result);
    home_history_copy_free(&hm->copy);
    mem_free(hm);
}

static void at_engine_history(void *arg, enum err err, const struct history_result *result)
{
    struct history_mail *hm = arg;

    hm->err = err;
    if (err == OK)
        home_history_copy(&hm->copy, result);
    home_answer(&hm->request, back_history);
}

static void at_history(struct home *home, struct home_request *r)
{
    struct history_mail *hm = container_of(r, struct history_mail, request);
    struct engine *engine = home->engine;

    engine->ops->history(engine, hm->channel, &hm->options, &hm->filter, at_engine_history, hm);
}

void home_history(struct core *core, struct str channel, const struct stream_options *options,
                  const struct history_filter *filter, home_history_fn *fn, void *arg)
{
    struct history_mail *hm = mem_zalloc(sizeof *hm + channel.len + filter->since_epoch.len);
    char *at = hm->bytes;

    hm->options = *options;
    hm->filter = *filter;
    hm->filter.since_epoch = str_put(&at, filter->since_epoch);
    hm->channel = str_put(&at, channel);
    hm->fn = fn;
    hm->arg = arg;
    home_ask(core, map_hash(channel), &hm->request, at_history);
}

struct remove_mail {
    struct home_request request;
    struct str channel;
    home_done_fn *fn;
    void *arg;
    enum err err;
    char bytes[];
};

static void back_removed(struct worker *w, struct mail *m)
{
    struct remove_mail *rm = container_of(m, struct remove_mail, request.mail);

    rm->fn(rm->arg, rm->err);
    mem_free(rm);
}

static void at_engine_removed(void *arg, enum err err)
{
    struct remove_mail *rm = arg;

    rm->err = err;
    home_answer(&rm->request, back_removed);
}

static void at_remove(struct home *home, struct home_request *r)
{
    struct remove_mail *rm = container_of(r, struct remove_mail, request);
    struct engine *engine = home->engine;

    engine->ops->history_remove(engine, rm->channel, at_engine_removed, rm);
}

void home_history_remove(struct core *core, struct str channel, home_done_fn *fn, void *arg)
{
    struct remove_mail *rm = mem_alloc(sizeof *rm + channel.len);
    char *at = rm->bytes;

    *rm = (struct remove_mail){.fn = fn, .arg = arg};
    rm->channel = str_put(&at, channel);
    home_ask(core, map_hash(channel), &rm->request, at_remove);
}
