/* Publishers, subscribers that come, go and recover, on 1 and on 4 workers at once: whoever is
 * subscribed gets every publication of a stream once, in order, or is told that it did not. */
#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/random.h"
#include "core/home.h"
#include "core/hub.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <unistd.h>
#include <cmocka.h>

#define CHANNELS 3
#define SUBSCRIBERS 6 /* of each worker */
#define TICKS 600     /* of each worker, a millisecond each */
#define HISTORY 8     /* small: some come too late to recover */

static struct node node;
static struct settings *settings;
static atomic_uint reports;
static atomic_bool go_on;

struct actor;

/* One subscriber: where it is, and what it was told. */
struct member {
    struct hub_client hc;
    struct outbox outbox;
    struct actor *actor;
    struct subscription *sub;
    unsigned channel;
    bool asking;
    uint64_t offset; /* of the last publication it has */
    char epoch[EPOCH_LEN_MAX];
    size_t epoch_len;
    unsigned recovered, told, got;
};

/* One worker's share; read by the main thread after the join. */
struct actor {
    struct worker *worker;
    struct core *core;
    struct timer tick;
    struct member members[SUBSCRIBERS];
    unsigned seed, ticks, published, answered, insufficient, disorder;
    unsigned missing; /* answers */
};

static struct actor actors[WORKERS_MAX];

static const struct stream_options stream = {HISTORY, 60000, 600000};

static struct str channel_name(unsigned i)
{
    static const char *const names[CHANNELS] = {"one", "two", "three"};

    return str_from(names[i]);
}

static unsigned dice(struct actor *a, unsigned sides)
{
    return (unsigned)rand_r(&a->seed) % sides;
}

static struct actor *actor_of(struct core *core)
{
    return &actors[core->worker->index];
}

/* --- receiving -------------------------------------------------------------------------------- */

static void take(struct member *m, uint64_t offset)
{
    m->actor->disorder += offset != m->offset + 1;
    m->offset = offset;
    m->got++;
}

static void read_frames(struct member *m)
{
    struct frame *f;

    while ((f = outbox_take(&m->outbox)) != NULL) {
        char *text = str_dupz(str_of(f->bytes, f->len));
        char *mark = strstr(text, "\"offset\":");

        assert_non_null(mark);
        take(m, strtoull(mark + sizeof "\"offset\":" - 1, NULL, 10));
        mem_free(text);
        frame_unref(f);
    }
}

static void on_insufficient(struct hub_client *hc, struct subscription *sub)
{
    container_of(hc, struct member, hc)->actor->insufficient++;
}

static void on_unfit(struct hub_client *hc)
{
    container_of(hc, struct member, hc)->actor->disorder++;
}

static const struct hub_ops ops = {.insufficient = on_insufficient, .unfit = on_unfit};

static void on_outbox_fail(struct outbox *o, enum err why)
{
    container_of(o, struct member, outbox)->actor->disorder++;
}

/* --- coming and going ------------------------------------------------------------------------- */

static void on_subscribed(void *arg, enum err err, const struct subscribe_answer *answer)
{
    struct member *m = arg;
    struct actor *a = m->actor;

    a->missing--;
    m->asking = false;
    assert_int_equal(err, OK);
    if (answer->recovered) {
        m->recovered++;
        for (size_t i = 0; i < answer->count; i++)
            take(m, answer->publications[i]->offset);
        a->disorder += m->offset != answer->top.offset;
    } else {
        m->told++;
        m->offset = answer->top.offset;
    }
    m->epoch_len = answer->top.epoch.len;
    memcpy(m->epoch, answer->top.epoch.ptr, m->epoch_len);
    m->sub = hub_subscribe(a->core->hub, &m->hc, channel_name(m->channel), SUB_POSITIONED);
    hub_set_position(a->core->hub, m->sub, answer->top.offset, answer->top.epoch);
}

static void subscribe(struct member *m)
{
    struct subscribe_request request = {
        .channel = channel_name(m->channel),
        .stream = stream,
        .positioned = true,
        .recovery = RECOVERY_STREAM,
        .since = {m->offset, str_of(m->epoch, m->epoch_len)},
        .recovery_limit = 100,
    };

    m->asking = true;
    m->actor->missing++;
    home_subscribe(m->actor->core, &request, on_subscribed, m);
}

static void leave(struct member *m)
{
    read_frames(m);
    home_unsubscribe(m->actor->core,
                     &(struct unsubscribe_request){.channel = channel_name(m->channel)});
    hub_unsubscribe(m->actor->core->hub, m->sub);
    m->sub = NULL;
    read_frames(m);
}

static void on_published(void *arg, enum err err, struct stream_position position)
{
    struct actor *a = arg;

    a->missing--;
    a->answered += err == OK && position.offset > 0;
}

static void publish(struct actor *a)
{
    struct publication_source source = {
        .channel = channel_name(dice(a, CHANNELS)), .data = STR("1"), .data_is_json = true};

    a->published++;
    a->missing++;
    home_publish(a->core, publication_new(&source), &(struct publish_request){.stream = stream},
                 on_published, a);
}

static void on_tick(struct timer *t)
{
    struct actor *a = container_of(t, struct actor, tick);
    bool acting = ++a->ticks < TICKS;

    for (unsigned i = 0; i < SUBSCRIBERS; i++) {
        struct member *m = &a->members[i];

        read_frames(m);
        if (acting && !m->asking && dice(a, 4) == 0)
            m->sub ? leave(m) : subscribe(m);
    }
    for (unsigned n = acting ? dice(a, 4) : 0; n > 0; n--)
        publish(a);
    if (a->ticks == TICKS + 200) /* everything on its way has arrived by now */
        atomic_fetch_add(&reports, 1);
    if (atomic_load(&go_on))
        timer_set(&a->worker->timers, t, a->worker->now_ms + 1);
}

/* --- the node --------------------------------------------------------------------------------- */

static void start(struct worker *w, void *arg)
{
    struct actor *a = arg;

    a->core = core_new(&node, w, settings);
    hub_set_ops(a->core->hub, &ops);
    for (unsigned i = 0; i < SUBSCRIBERS; i++) {
        struct member *m = &a->members[i];

        outbox_init(&m->outbox, NULL, 1 << 20, on_outbox_fail);
        m->actor = a;
        m->channel = i % CHANNELS;
        m->hc.outbox = &m->outbox;
        m->hc.kind = KIND_WS_JSON;
        random_uuid(m->hc.id);
        hub_add_client(a->core->hub, &m->hc, STR("user"));
    }
    a->tick = TIMER_INIT(on_tick);
    timer_set(&w->timers, &a->tick, w->now_ms + 1);
    atomic_fetch_add(&reports, 1);
}

static void wait_for(unsigned count)
{
    uint64_t deadline = clock_mono_ms() + 60000;

    while (atomic_load(&reports) < count) {
        assert_true(clock_mono_ms() < deadline);
        usleep(1000);
    }
}

static void on_settled(struct worker *w, struct mail *m)
{
    struct actor *a = actor_of(core_of(w));

    for (unsigned i = 0; i < SUBSCRIBERS; i++)
        read_frames(&a->members[i]);
    mem_free(m);
    atomic_fetch_add(&reports, 1);
}

static void on_end(struct worker *w, struct mail *m)
{
    struct actor *a = actor_of(core_of(w));

    for (unsigned i = 0; i < SUBSCRIBERS; i++) {
        if (a->members[i].sub)
            leave(&a->members[i]);
    }
    mem_free(m);
    atomic_fetch_add(&reports, 1);
}

static void on_close(struct worker *w, struct mail *m)
{
    struct actor *a = actor_of(core_of(w));

    for (unsigned i = 0; i < SUBSCRIBERS; i++) {
        hub_remove_client(a->core->hub, &a->members[i].hc);
        outbox_deinit(&a->members[i].outbox);
    }
    timer_unset(&w->timers, &a->tick);
    mem_free(m);
    worker_close_handles(w);
}

static void post_all(mail_fn *deliver)
{
    for (unsigned i = 0; i < node.worker_count; i++) {
        struct mail *m = mem_alloc(sizeof *m);

        m->deliver = deliver;
        worker_post(node.workers[i], m);
    }
}

/* Those that are subscribed at the end have what their channel's others have. */
static void check_tops(void)
{
    for (unsigned channel = 0; channel < CHANNELS; channel++) {
        uint64_t top = 0;

        for (unsigned pass = 0; pass < 2; pass++) {
            for (unsigned i = 0; i < node.worker_count * SUBSCRIBERS; i++) {
                struct member *m = &actors[i / SUBSCRIBERS].members[i % SUBSCRIBERS];

                if (m->channel != channel || m->sub == NULL)
                    continue;
                if (pass == 0)
                    top = MAX(top, m->offset);
                else
                    assert_int_equal(m->offset, top);
            }
        }
    }
}

static void run_node(unsigned workers)
{
    unsigned got = 0, recovered = 0, told = 0;

    memset(actors, 0, sizeof actors);
    atomic_store(&reports, 0);
    atomic_store(&go_on, true);
    settings = settings_new(1);
    node = (struct node){.worker_count = workers};
    for (unsigned i = 0; i < workers; i++)
        node.workers[i] = actors[i].worker = worker_new(i);
    for (unsigned i = 0; i < workers; i++) {
        actors[i].seed = i + 1;
        /* one after the other: nobody posts to a worker that has no core yet */
        assert_int_equal(worker_start(node.workers[i], start, &actors[i]), OK);
        wait_for(i + 1);
    }
    wait_for(2 * workers);
    atomic_store(&go_on, false);
    post_all(on_settled);
    wait_for(3 * workers);
    check_tops();
    post_all(on_end);
    wait_for(4 * workers);
    post_all(on_close);
    for (unsigned i = 0; i < workers; i++)
        worker_join(node.workers[i]);
    for (unsigned i = 0; i < workers; i++) {
        struct actor *a = &actors[i];

        assert_int_equal(a->insufficient, 0);
        assert_int_equal(a->disorder, 0);
        assert_int_equal(a->missing, 0);
        assert_int_equal(a->answered, a->published);
        for (unsigned k = 0; k < SUBSCRIBERS; k++) {
            got += a->members[k].got;
            recovered += a->members[k].recovered;
            told += a->members[k].told;
        }
        core_free(a->core);
    }
    for (unsigned i = 0; i < workers; i++)
        worker_free(node.workers[i]);
    settings_unref(settings);
    assert_true(got > 500); /* the run exercised what it is about */
    assert_true(recovered > 5);
    assert_true(told > 5);
}

static void one_worker_delivers_each_publication_once_and_in_order(void **state)
{
    run_node(1);
}

static void four_workers_deliver_each_publication_once_and_in_order(void **state)
{
    run_node(4);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(one_worker_delivers_each_publication_once_and_in_order),
        cmocka_unit_test(four_workers_deliver_each_publication_once_and_in_order),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
