/* The subscribe sequence under threads: workers publish at random into channels whose history is
 * trimmed, while subscribers come, go and recover from where they were. What a subscriber sees of a
 * channel must be a sequence without a gap or a duplicate, or it is told. */
#include "base/log.h"
#include "base/mem.h"
#include "core/core.h"
#include "core/home.h"
#include "core/hub.h"
#include "core/outbox.h"
#include "loop/worker.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <cmocka.h>

#define CHANNELS 3
#define SUBSCRIBERS 6 /* on each worker */
#define STEPS 10000   /* of each worker */
#define HISTORY 8

enum phase { OUT, ENTERING, IN };

struct member;

/* One client in one channel at a time; touched by its worker only. */
struct subscriber {
    struct hub_client hub;
    struct outbox outbox;
    struct member *member;
    enum phase phase;
    struct subscription *sub;
    unsigned channel;
    bool knows, lost; /* it has a position; the hub gave it up */
    uint64_t seen;    /* the last offset it knows of, in channel */
    char epoch[EPOCH_LEN_MAX];
    size_t epoch_len;
};

/* One worker's share. */
struct member {
    struct worker *worker;
    struct core *core;
    struct subscriber subscribers[SUBSCRIBERS];
    struct turn_task task;
    uint64_t random;
    unsigned steps, waiting; /* answers to come */
    unsigned delivered, recovered, refused, losses, published, errors;
    bool done;
};

static struct node node;
static struct settings *settings;
static struct member members[WORKERS_MAX];
static atomic_uint finished, closed;
static const struct stream_options stream = {HISTORY, 60000, 3600000};

static unsigned roll(struct member *m, unsigned sides)
{
    m->random = m->random * 6364136223846793005u + 1442695040888963407u;
    return (unsigned)(m->random >> 33) % sides;
}

static struct str channel_name(unsigned i)
{
    static const char *const names[CHANNELS] = {"one", "two", "three"};

    return str_from(names[i]);
}

/* --- what a subscriber reads
 * ----------------------------------------------------------------------- */

/* The number behind "offset": in a push. */
static uint64_t offset_in(const struct frame *f)
{
    char text[512];
    size_t len = MIN((size_t)f->len, sizeof text - 1);
    const char *at;

    for (size_t i = 0; i < len; i++)
        text[i] = f->bytes[i] == '\0' ? ' ' : f->bytes[i];
    text[len] = '\0';
    at = strstr(text, "\"offset\":");
    return at ? strtoull(at + 9, NULL, 10) : 0;
}

static void read_pushes(struct subscriber *s)
{
    struct frame *f;

    while ((f = outbox_take(&s->outbox)) != NULL) {
        uint64_t offset = offset_in(f);

        s->member->errors += s->phase != IN || offset != s->seen + 1;
        s->member->delivered++;
        s->seen = offset;
        frame_unref(f);
    }
}

/* --- entering and leaving
 * ------------------------------------------------------------------------- */

/* The answer must continue the position that was asked for, or say that it does not. */
static void check_answer(struct subscriber *s, const struct subscribe_answer *answer)
{
    uint64_t at = s->seen;

    if (!answer->recovered) {
        s->member->errors += answer->count > 0;
        s->member->refused += s->knows;
        return;
    }
    s->member->errors += !s->knows;
    s->member->errors += !str_eq(answer->top.epoch,
                                 str_of(s->epoch, s->epoch_len)); /* engines do not restart here */
    for (size_t i = 0; i < answer->count; i++)
        s->member->errors += answer->publications[i]->offset != ++at;
    s->member->errors += at != answer->top.offset;
    s->member->recovered++;
}

static void on_subscribed(void *arg, enum err err, const struct subscribe_answer *answer)
{
    struct subscriber *s = arg;
    struct hub *hub = s->member->core->hub;

    s->member->waiting--;
    s->member->errors += err != OK || s->phase != ENTERING;
    check_answer(s, answer);
    s->knows = true;
    s->lost = false;
    s->seen = answer->top.offset;
    s->epoch_len = answer->top.epoch.len;
    memcpy(s->epoch, answer->top.epoch.ptr, s->epoch_len);
    s->sub = hub_subscribe(hub, &s->hub, channel_name(s->channel), SUB_POSITIONED);
    hub_set_position(hub, s->sub, answer->top.offset, answer->top.epoch);
    s->phase = IN;
}

static void enter(struct subscriber *s)
{
    /* mostly back to where it was, since only then there is something to recover */
    unsigned channel = s->knows && roll(s->member, 4) > 0 ? s->channel : roll(s->member, CHANNELS);
    struct subscribe_request request;

    s->knows = s->knows && channel == s->channel;
    s->channel = channel;
    s->phase = ENTERING;
    request = (struct subscribe_request){
        .channel = channel_name(channel),
        .stream = stream,
        .positioned = true,
        .recovery = s->knows ? RECOVERY_STREAM : RECOVERY_NONE,
        .since = {s->seen, str_of(s->epoch, s->epoch_len)},
        .recovery_limit = 300,
        .entry.client = STR("c"),
    };
    s->member->waiting++;
    home_subscribe(s->member->core, &request, on_subscribed, s);
}

static void leave(struct subscriber *s)
{
    read_pushes(s);
    hub_unsubscribe(s->member->core->hub, s->sub);
    home_unsubscribe(s->member->core,
                     &(struct unsubscribe_request){.channel = channel_name(s->channel)});
    s->phase = OUT;
}

static void on_insufficient(struct hub_client *hc, struct subscription *sub)
{
    struct subscriber *s = container_of(hc, struct subscriber, hub);

    s->member->errors += s->lost; /* once is enough */
    s->lost = true;
    s->member->losses++;
    sub->flags |= SUB_LOST;
}

static void on_unfit(struct hub_client *hc)
{
    container_of(hc, struct subscriber, hub)->member->errors++;
}

static const struct hub_ops hub_ops = {on_insufficient, on_unfit};

/* --- the run
 * --------------------------------------------------------------------------------------- */

static void on_published(void *arg, enum err err, struct stream_position position)
{
    struct member *m = arg;

    m->waiting--;
    m->errors += err != OK || position.offset == 0;
}

static void publish(struct member *m)
{
    struct publication *p = publication_new(&(struct publication_source){
        .channel = channel_name(roll(m, CHANNELS)), .data = STR("1"), .data_is_json = true});

    m->published++;
    m->waiting++;
    home_publish(m->core, p,
                 &(struct publish_request){.stream = stream, .may_be_inline = roll(m, 2) == 0},
                 on_published, m);
}

static void on_removed(void *arg, enum err err)
{
    struct member *m = arg;

    m->waiting--;
    m->errors += err != OK;
}

static void act(struct member *m)
{
    struct subscriber *s = &m->subscribers[roll(m, SUBSCRIBERS)];

    if (roll(m, 100) == 0) {
        m->waiting++;
        home_history_remove(m->core, channel_name(roll(m, CHANNELS)), on_removed, m);
    } else if (roll(m, 2) == 0) {
        publish(m);
    } else if (s->phase == OUT) {
        enter(s);
    } else if (s->phase == IN && (s->lost || roll(m, 4) == 0)) {
        leave(s);
    }
}

/* Leaves all; true when everybody is out. */
static bool all_out(struct member *m)
{
    for (size_t i = 0; i < SUBSCRIBERS; i++) {
        if (m->subscribers[i].phase == IN)
            leave(&m->subscribers[i]);
    }
    return m->waiting == 0;
}

static void step(struct turn_task *task)
{
    struct member *m = container_of(task, struct member, task);

    for (size_t i = 0; i < SUBSCRIBERS; i++)
        read_pushes(&m->subscribers[i]);
    if (m->steps < STEPS) {
        for (unsigned n = roll(m, 8); n > 0 && m->steps < STEPS; n--, m->steps++)
            act(m);
        worker_queue(m->worker, task);
    } else if (!all_out(m)) {
        worker_queue(m->worker, task);
    } else if (!m->done) {
        m->done = true;
        atomic_fetch_add(&finished, 1);
    }
}

static void on_fail(struct outbox *o, enum err why)
{
    container_of(o, struct subscriber, outbox)->member->errors++;
}

static void start(struct worker *w, void *arg)
{
    struct member *m = arg;

    m->core = core_new(&node, w, settings);
    hub_set_ops(m->core->hub, &hub_ops);
    for (size_t i = 0; i < SUBSCRIBERS; i++) {
        struct subscriber *s = &m->subscribers[i];

        *s = (struct subscriber){.member = m};
        s->hub.outbox = &s->outbox;
        outbox_init(&s->outbox, NULL, 1 << 20, on_fail);
        hub_add_client(m->core->hub, &s->hub, STR("u"));
    }
    m->task.run = step;
    list_init(&m->task.in_turn);
}

/* --- mail from the main thread -------------------------------------------------------------------
 */

static void at_go(struct worker *w, struct mail *mail)
{
    worker_queue(w, &members[w->index].task);
    mem_free(mail);
}

static void at_settle(struct worker *w, struct mail *mail)
{
    atomic_fetch_add(&closed, 1);
    mem_free(mail);
}

static void at_close(struct worker *w, struct mail *mail)
{
    struct member *m = &members[w->index];

    for (size_t i = 0; i < SUBSCRIBERS; i++) {
        hub_remove_client(m->core->hub, &m->subscribers[i].hub);
        outbox_deinit(&m->subscribers[i].outbox);
    }
    mem_free(mail);
    worker_close_handles(w);
}

static void post_all(mail_fn *deliver)
{
    for (unsigned i = 0; i < node.worker_count; i++) {
        struct mail *mail = mem_alloc(sizeof *mail);

        mail->deliver = deliver;
        worker_post(node.workers[i], mail);
    }
}

static void wait_for(atomic_uint *count, unsigned n)
{
    for (unsigned waited = 0; atomic_load(count) < n; waited++) {
        assert_true(waited < 60000);
        uv_sleep(1);
    }
}

static void nothing_is_lost_or_doubled_on(unsigned workers)
{
    struct member sum = {0};

    assert_int_equal(log_setup(LOG_NONE, LOG_AUTO, NULL), OK);
    settings = settings_new(1);
    settings_add_namespace(settings, 0, STR(""));
    atomic_store(&finished, 0);
    atomic_store(&closed, 0);
    node = (struct node){.version = STR("test"), .worker_count = workers};
    for (unsigned i = 0; i < workers; i++) {
        members[i] = (struct member){.worker = worker_new(i), .random = i * 77 + 1};
        node.workers[i] = members[i].worker;
    }
    for (unsigned i = 0; i < workers; i++)
        assert_int_equal(worker_start(members[i].worker, start, &members[i]), OK);
    post_all(at_go);
    wait_for(&finished, workers);
    for (unsigned round = 1; round <= 3; round++) { /* what is still on its way between them */
        post_all(at_settle);
        wait_for(&closed, round * workers);
    }
    post_all(at_close);
    for (unsigned i = 0; i < workers; i++)
        worker_join(members[i].worker);
    for (unsigned i = 0; i < workers; i++) {
        struct member *m = &members[i];
        struct hub_counts counts = hub_counts(m->core->hub);

        assert_int_equal(counts.subscriptions, 0);
        assert_int_equal(counts.channels, 0);
        sum.errors += m->errors;
        sum.delivered += m->delivered;
        sum.recovered += m->recovered;
        sum.refused += m->refused;
        sum.losses += m->losses;
        worker_enter(m->worker);
        core_free(m->core);
        worker_enter(NULL);
        worker_free(m->worker);
    }
    settings_unref(settings);
    assert_int_equal(sum.errors, 0);
    /* the model met what it is there for */
    assert_int_equal(sum.losses, 0);
    assert_true(sum.delivered > STEPS / 4);
    assert_true(sum.recovered + sum.refused > 10); /* which of them, the scheduler decides */
}

static void one_worker_loses_and_doubles_nothing(void **state)
{
    nothing_is_lost_or_doubled_on(1);
}

static void four_workers_lose_and_double_nothing(void **state)
{
    nothing_is_lost_or_doubled_on(4);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(one_worker_loses_and_doubles_nothing),
        cmocka_unit_test(four_workers_lose_and_double_nothing),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
