/* One mail per worker, there and back; the asking worker counts the answers. */
#include "core/control.h"

#include "base/check.h"
#include "base/mem.h"
#include "codec/ws.h"
#include "core/hub.h"

#include <stdlib.h>

void control_set_handler(struct core *core, control_fn *fn)
{
    core->carry_out = fn;
}

/* What the asking worker waits for. */
struct gather {
    struct core *core;
    unsigned missing;
    void (*finish)(struct gather *g);
    void *fn, *arg;
    struct map channels; /* struct counted, merged by name */
    struct buf hashes[2];
    struct control_info info;
};

struct question {
    struct mail mail;
    struct gather *gather;
    void (*ask)(struct core *core, struct question *q);    /* on each worker */
    void (*collect)(struct gather *g, struct question *q); /* back on the asking one */
    struct control_order order;                            /* strings in text */
    struct str pattern;
    struct buf found, hashes[2];
    struct control_info info;
    char *text;
};

static void question_free(struct question *q)
{
    buf_deinit(&q->found);
    buf_deinit(&q->hashes[0]);
    buf_deinit(&q->hashes[1]);
    mem_free(q->text);
    mem_free(q);
}

static void back_answer(struct worker *w, struct mail *m)
{
    struct question *q = container_of(m, struct question, mail);
    struct gather *g = q->gather;

    if (q->collect)
        q->collect(g, q);
    question_free(q);
    if (--g->missing == 0) {
        g->finish(g);
        mem_free(g);
    }
}

static void at_question(struct worker *w, struct mail *m)
{
    struct question *q = container_of(m, struct question, mail);

    q->ask(core_of(w), q);
    q->mail.deliver = back_answer;
    worker_post(q->gather->core->worker, &q->mail);
}

static struct gather *gather_new(struct core *core, void (*finish)(struct gather *), void *fn,
                                 void *arg)
{
    struct gather *g = mem_zalloc(sizeof *g);

    CHECK_ON(core->worker);
    g->core = core;
    g->missing = core->node->worker_count;
    g->finish = finish;
    g->fn = fn;
    g->arg = arg;
    return g;
}

static struct question *question_new(struct gather *g)
{
    struct question *q = mem_zalloc(sizeof *q);

    q->mail.deliver = at_question;
    q->gather = g;
    q->found = q->hashes[0] = q->hashes[1] = BUF_INIT(SIZE_MAX / 4);
    return q;
}

/* --- orders ----------------------------------------------------------------------------------- */

static size_t target_size(const struct control_target *t)
{
    size_t size =
        t->whitelist_count * sizeof(struct str) + t->user.len + t->client.len + t->session.len;

    for (size_t i = 0; i < t->whitelist_count; i++)
        size += t->whitelist[i].len;
    return size;
}

static void copy_order(struct question *q, const struct control_order *o)
{
    const struct control_subscribe *s = &o->subscribe;
    const struct control_target *t = &o->target;
    struct str *whitelist;
    char *at;

    q->text = mem_alloc(target_size(t) + s->channel.len + s->info.len + s->data.len +
                        s->override.len + s->since_epoch.len + o->reason.len + o->info.len +
                        o->revoke.uid.len + o->revoke.channel.len);
    whitelist = (struct str *)q->text;
    at = q->text + t->whitelist_count * sizeof *whitelist;
    for (size_t i = 0; i < t->whitelist_count; i++)
        whitelist[i] = str_put(&at, t->whitelist[i]);
    q->order = *o;
    q->order.target.whitelist = whitelist;
    q->order.target.user = str_put(&at, t->user);
    q->order.target.client = str_put(&at, t->client);
    q->order.target.session = str_put(&at, t->session);
    q->order.subscribe.channel = str_put(&at, s->channel);
    q->order.subscribe.info = str_put(&at, s->info);
    q->order.subscribe.data = str_put(&at, s->data);
    q->order.subscribe.override = str_put(&at, s->override);
    q->order.subscribe.since_epoch = str_put(&at, s->since_epoch);
    q->order.reason = str_put(&at, o->reason);
    q->order.info = str_put(&at, o->info);
    q->order.revoke.uid = str_put(&at, o->revoke.uid);
    q->order.revoke.channel = str_put(&at, o->revoke.channel);
}

static void ask_order(struct core *core, struct question *q)
{
    core->carry_out(core, &q->order);
}

static void finish_order(struct gather *g)
{
    control_done_fn *fn = (control_done_fn *)g->fn;

    if (fn)
        fn(g->arg, OK);
}

void control_send(struct core *core, const struct control_order *order, control_done_fn *fn,
                  void *arg)
{
    struct gather *g = gather_new(core, finish_order, (void *)fn, arg);

    for (unsigned i = 0; i < core->node->worker_count; i++) {
        struct question *q = question_new(g);

        q->ask = ask_order;
        copy_order(q, order);
        worker_post(core->node->workers[i], &q->mail);
    }
}

/* --- channels --------------------------------------------------------------------------------- */

/* A channel of one worker in question.found: this header, then the name. */
struct found {
    size_t clients, name_len;
};

struct counted {
    struct map_node by_name;
    uint64_t clients;
    char name[];
};

static bool add_found(void *arg, struct str channel, size_t clients)
{
    struct question *q = arg;
    struct found f = {clients, channel.len};

    if (q->pattern.len == 0 || ws_glob(q->pattern, channel)) {
        buf_add(&q->found, &f, sizeof f);
        buf_add_str(&q->found, channel);
    }
    return true;
}

static void ask_channels(struct core *core, struct question *q)
{
    hub_each_channel(core->hub, add_found, q);
}

static void collect_channels(struct gather *g, struct question *q)
{
    struct str rest = buf_str(&q->found);

    while (rest.len > 0) {
        struct map_node *node;
        struct counted *c;
        struct found f;
        struct str name;

        memcpy(&f, rest.ptr, sizeof f);
        name = str_of(rest.ptr + sizeof f, f.name_len);
        node = map_get(&g->channels, name);
        if (node) {
            c = container_of(node, struct counted, by_name);
        } else {
            c = mem_alloc(sizeof *c + name.len);
            memcpy(c->name, name.ptr, name.len);
            c->clients = 0;
            map_add(&g->channels, &c->by_name, str_of(c->name, name.len));
        }
        c->clients += f.clients;
        rest = str_cut(rest, sizeof f + f.name_len);
    }
}

static void finish_channels(struct gather *g)
{
    control_channels_fn *fn = (control_channels_fn *)g->fn;
    struct control_channel *list = mem_alloc(g->channels.count * sizeof *list);
    struct map_iter it;
    size_t count = 0;

    map_each (&g->channels, &it, node)
        list[count++] = (struct control_channel){
            map_key(node), container_of(node, struct counted, by_name)->clients};
    fn(g->arg, OK, list, count);
    mem_free(list);
    map_each (&g->channels, &it, node) {
        map_del(&g->channels, node);
        mem_free(container_of(node, struct counted, by_name));
    }
    map_deinit(&g->channels);
}

void control_channels(struct core *core, struct str pattern, control_channels_fn *fn, void *arg)
{
    struct gather *g = gather_new(core, finish_channels, (void *)fn, arg);

    for (unsigned i = 0; i < core->node->worker_count; i++) {
        struct question *q = question_new(g);

        q->text = str_dupz(pattern);
        q->pattern = str_of(q->text, pattern.len);
        q->ask = ask_channels;
        q->collect = collect_channels;
        worker_post(core->node->workers[i], &q->mail);
    }
}

/* --- info ------------------------------------------------------------------------------------- */

static bool add_channel_hash(void *arg, struct str channel, size_t clients)
{
    uint64_t hash = map_hash(channel);

    buf_add(arg, &hash, sizeof hash);
    return true;
}

static void add_user_hash(void *arg, struct str user)
{
    uint64_t hash = map_hash(user);

    buf_add(arg, &hash, sizeof hash);
}

static void ask_info(struct core *core, struct question *q)
{
    struct hub_counts counts = hub_counts(core->hub);

    q->info.clients = counts.clients;
    q->info.subscriptions = counts.subscriptions;
    hub_each_user(core->hub, add_user_hash, &q->hashes[0]);
    hub_each_channel(core->hub, add_channel_hash, &q->hashes[1]);
}

static void collect_info(struct gather *g, struct question *q)
{
    g->info.clients += q->info.clients;
    g->info.subscriptions += q->info.subscriptions;
    for (int i = 0; i < 2; i++)
        buf_add_str(&g->hashes[i], buf_str(&q->hashes[i]));
}

static int compare_hashes(const void *a, const void *b)
{
    uint64_t x, y;

    memcpy(&x, a, sizeof x);
    memcpy(&y, b, sizeof y);
    return x < y ? -1 : x > y;
}

/* How many different ones; a user may be on several workers. */
static uint64_t count_distinct(struct buf *hashes)
{
    size_t count = hashes->len / sizeof(uint64_t);
    uint64_t distinct = 0;

    if (count > 0)
        qsort(hashes->ptr, count, sizeof(uint64_t), compare_hashes);
    for (size_t i = 0; i < count; i++) {
        const char *at = hashes->ptr + i * sizeof(uint64_t);

        distinct += i == 0 || compare_hashes(at - sizeof(uint64_t), at) != 0;
    }
    buf_deinit(hashes);
    return distinct;
}

static void finish_info(struct gather *g)
{
    control_info_fn *fn = (control_info_fn *)g->fn;

    g->info.users = count_distinct(&g->hashes[0]);
    g->info.channels = count_distinct(&g->hashes[1]);
    fn(g->arg, OK, &g->info);
}

void control_info(struct core *core, control_info_fn *fn, void *arg)
{
    struct gather *g = gather_new(core, finish_info, (void *)fn, arg);

    g->hashes[0] = g->hashes[1] = BUF_INIT(SIZE_MAX / 4);
    for (unsigned i = 0; i < core->node->worker_count; i++) {
        struct question *q = question_new(g);

        q->ask = ask_info;
        q->collect = collect_info;
        worker_post(core->node->workers[i], &q->mail);
    }
}
