/* Subscribing: one mail to the home and back. On the home the steps run in this order, each after
 * the answer of the one before:
 *
 *     interest of the asking worker is noted, the engine subscribed (first subscriber)
 *     presence is entered
 *     the stream is read: recovery, or just its top
 *     the answer is posted, then the join; ops hear of a first subscriber
 *
 * Whatever is published after the read is posted behind the answer by the same sender, so the
 * subscriber misses nothing and gets nothing twice. */
#include "core/home_types.h"

#include "base/check.h"
#include "base/mem.h"
#include "core/encode.h"
#include "core/recovery.h"

struct subscribe_mail {
    struct home_request asked;
    struct home *home;
    struct home_channel *channel;
    struct subscribe_request request;
    home_subscribed_fn *fn;
    void *arg;
    enum err err;
    bool recovered;
    struct home_history_copy copy;
    char bytes[];
};

static struct publication *event_new(enum publication_type type, struct str channel,
                                     const struct presence_entry *entry)
{
    return publication_new(&(struct publication_source){
        .type = type,
        .channel = channel,
        .has_info = true,
        .info = {entry->user, entry->client, entry->conn_info, entry->chan_info},
    });
}

/* One subscription was entered. */
static void occupy(struct home *home, struct home_channel *ch)
{
    if (ch->occupied)
        return;
    ch->occupied = true;
    if (home->ops)
        home->ops->occupancy(home->core, map_key(&ch->by_name), true);
}

/* One subscription of worker `from` less. */
static void lose_interest(struct home *home, struct home_channel *ch, unsigned from)
{
    CHECK(ch->interest[from] > 0);
    ch->interest[from]--;
    if (--ch->total == 0) {
        home->engine->ops->unsubscribe(home->engine, map_key(&ch->by_name));
        if (ch->occupied && home->ops)
            home->ops->occupancy(home->core, map_key(&ch->by_name), false);
        home_channel_free(home, ch);
        map_fit(&home->channels);
    }
}

static void on_ignored(void *arg, enum err err)
{
}

static void back_subscribed(struct worker *w, struct mail *m)
{
    struct subscribe_mail *sm = container_of(m, struct subscribe_mail, asked.mail);
    struct subscribe_answer answer = {
        .top = {sm->copy.offset, str_of(sm->copy.epoch, sm->copy.epoch_len)},
        .recovered = sm->recovered,
        .publications = sm->copy.publications,
        .count = sm->copy.count,
    };

    sm->fn(sm->arg, sm->err, &answer);
    home_history_copy_free(&sm->copy);
    mem_free(sm);
}

static void answer(struct subscribe_mail *sm, enum err err)
{
    struct home *home = sm->home;
    struct home_channel *ch = sm->channel;
    struct subscribe_request *r = &sm->request;
    struct publication *join = NULL;

    if (err == OK && r->join_leave) {
        join = event_new(PUBLICATION_JOIN, r->channel, &r->entry);
    } else if (err != OK) {
        if (r->presence)
            home->engine->ops->presence_remove(home->engine, r->channel, r->entry.client,
                                               on_ignored, NULL);
        lose_interest(home, ch, sm->asked.from->worker->index);
    }
    sm->err = err;
    home_answer(&sm->asked, back_subscribed); /* from here on sm is the other worker's */
    if (join) {
        home_deliver(home, join, NULL);
        publication_unref(join);
    }
    if (err == OK)
        occupy(home, ch);
}

/* Drops what the subscriber's filter does not want. */
static void keep_matching(struct home_history_copy *copy, const struct filter *filter)
{
    struct arena a = ARENA_INIT;
    size_t kept = 0;

    if (filter == NULL)
        return;
    for (size_t i = 0; i < copy->count; i++) {
        struct publication *p = copy->publications[i];

        if (filter_match(filter, encode_tags(&a, p->tags)))
            copy->publications[kept++] = p;
        else
            publication_unref(p);
        arena_reset(&a);
    }
    copy->count = kept;
    arena_deinit(&a);
}

static void at_read(void *arg, enum err err, const struct history_result *result)
{
    struct subscribe_mail *sm = arg;
    struct subscribe_request *r = &sm->request;

    if (err == OK) {
        struct history_result kept = recovery_choose(r, result, &sm->recovered);

        home_history_copy(&sm->copy, &kept);
        keep_matching(&sm->copy, r->filter);
        if (r->recovery != RECOVERY_NONE && r->require_recovered && !sm->recovered)
            err = ERR_EXPIRED;
    }
    answer(sm, err);
}

static void read_stream(struct subscribe_mail *sm)
{
    struct subscribe_request *r = &sm->request;
    struct engine *engine = sm->home->engine;
    struct history_filter filter = recovery_filter(r);

    if (!r->positioned && r->recovery == RECOVERY_NONE) {
        answer(sm, OK);
        return;
    }
    engine->ops->history(engine, r->channel, &r->stream, &filter, at_read, sm);
}

static void at_presence_added(void *arg, enum err err)
{
    struct subscribe_mail *sm = arg;

    if (err != OK)
        answer(sm, err);
    else
        read_stream(sm);
}

static void at_engine_subscribed(void *arg, enum err err)
{
    struct subscribe_mail *sm = arg;
    struct engine *engine = sm->home->engine;

    if (err != OK)
        answer(sm, err);
    else if (sm->request.presence)
        engine->ops->presence_add(engine, sm->request.channel, &sm->request.entry,
                                  at_presence_added, sm);
    else
        read_stream(sm);
}

static void at_subscribe(struct home *home, struct home_request *r)
{
    struct subscribe_mail *sm = container_of(r, struct subscribe_mail, asked);
    struct str name = sm->request.channel;

    sm->home = home;
    sm->channel = home_channel_make(home, name, map_hash(name));
    sm->channel->interest[sm->asked.from->worker->index]++;
    if (sm->channel->total++ == 0)
        home->engine->ops->subscribe(home->engine, name, at_engine_subscribed, sm);
    else
        at_engine_subscribed(sm, OK);
}

static struct presence_entry put_entry(char **at, const struct presence_entry *e)
{
    return (struct presence_entry){
        .client = str_put(at, e->client),
        .user = str_put(at, e->user),
        .conn_info = str_put(at, e->conn_info),
        .chan_info = str_put(at, e->chan_info),
    };
}

static size_t entry_size(const struct presence_entry *e)
{
    return e->client.len + e->user.len + e->conn_info.len + e->chan_info.len;
}

void home_subscribe(struct core *core, const struct subscribe_request *request,
                    home_subscribed_fn *fn, void *arg)
{
    struct subscribe_mail *sm = mem_zalloc(sizeof *sm + request->channel.len +
                                           request->since.epoch.len + entry_size(&request->entry));
    char *at = sm->bytes;

    sm->request = *request;
    sm->request.channel = str_put(&at, request->channel);
    sm->request.since.epoch = str_put(&at, request->since.epoch);
    sm->request.entry = put_entry(&at, &request->entry);
    sm->fn = fn;
    sm->arg = arg;
    home_ask(core, map_hash(request->channel), &sm->asked, at_subscribe);
}

/* --- unsubscribe, presence kept alive --------------------------------------------------------- */

struct unsubscribe_mail {
    struct home_request asked;
    struct unsubscribe_request request;
    char bytes[];
};

static void at_unsubscribe(struct home *home, struct home_request *asked)
{
    struct unsubscribe_mail *um = container_of(asked, struct unsubscribe_mail, asked);
    struct unsubscribe_request *r = &um->request;
    struct home_channel *ch = home_channel_find(home, r->channel, map_hash(r->channel));

    CHECK(ch != NULL);
    if (r->presence)
        home->engine->ops->presence_remove(home->engine, r->channel, r->entry.client, on_ignored,
                                           NULL);
    lose_interest(home, ch, asked->from->worker->index); /* first: the one who leaves is not told */
    if (r->join_leave) {
        struct publication *leave = event_new(PUBLICATION_LEAVE, r->channel, &r->entry);

        home_deliver(home, leave, NULL);
        publication_unref(leave);
    }
    mem_free(um);
}

static void at_presence_refresh(struct home *home, struct home_request *asked)
{
    struct unsubscribe_mail *um = container_of(asked, struct unsubscribe_mail, asked);

    home->engine->ops->presence_add(home->engine, um->request.channel, &um->request.entry,
                                    on_ignored, NULL);
    mem_free(um);
}

static void post_unsubscribe_mail(struct core *core, const struct unsubscribe_request *request,
                                  home_at_fn *arrived)
{
    struct unsubscribe_mail *um =
        mem_alloc(sizeof *um + request->channel.len + entry_size(&request->entry));
    char *at = um->bytes;

    um->request = *request;
    um->request.channel = str_put(&at, request->channel);
    um->request.entry = put_entry(&at, &request->entry);
    home_ask(core, map_hash(request->channel), &um->asked, arrived);
}

void home_unsubscribe(struct core *core, const struct unsubscribe_request *request)
{
    post_unsubscribe_mail(core, request, at_unsubscribe);
}

void home_presence_refresh(struct core *core, struct str channel,
                           const struct presence_entry *entry)
{
    post_unsubscribe_mail(core, &(struct unsubscribe_request){.channel = channel, .entry = *entry},
                          at_presence_refresh);
}
