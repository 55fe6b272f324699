/* The subscribe sequence under threads: workers publish at random into channels whose history is
 * trimmed, some with keys and versions that suppress others, while subscribers of every kind come,
 * go and come back from where they were: for all of it, for what a filter wants, for deltas, for
 * the newest only. What each was told between entering and leaving is compared, in the end, with
 * what a witness saw who never left: the same publications, byte for byte, without gap and
 * repetition. */
#include "base/log.h"
#include "base/mem.h"
#include "codec/fossil.h"
#include "codec/json.h"
#include "codec/ws.h"
#include "core/core.h"
#include "core/encode.h"
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
#define STEPS                                                                                      \
    4000 /* of each worker, at least, and until its subscribers came back ENOUGH times             \
          */
#define ENOUGH 20
#define WAITING_MAX 500 /* answers: a home whose thread gets no time must not be flooded */
#define HISTORY 8
#define OUTBOX_MAX ((size_t)64 << 20)

enum phase { OUT, ENTERING, IN };
enum want { ALL, TAGGED, DELTAS, NEWEST, WITNESS, WANT_COUNT };
#define SUBSCRIBERS (2 * WITNESS) /* on each worker, two of each kind */

/* One publication as a subscriber has it. */
struct told {
    uint64_t offset, hash;
    bool tagged;
};
/* Offsets from + 1 … to of a channel; what came of them begins at first. */
struct stay {
    unsigned channel;
    uint64_t from, to;
    size_t first, count;
};

struct member;

/* One client in one channel at a time; touched by its worker only. */
struct subscriber {
    struct hub_client hub;
    struct outbox outbox;
    struct member *member;
    enum want want;
    enum phase phase;
    struct subscription *sub;
    struct filter *filter; /* until the answer is there */
    struct buf base;       /* of deltas */
    bool has_base;
    unsigned channel;
    bool knows; /* it has a position in channel: seen */
    uint64_t seen;
    char epoch[EPOCH_LEN_MAX];
    size_t epoch_len;
    struct told *told;
    size_t told_count, told_cap;
    struct stay *stays;
    size_t stay_count, stay_cap;
};

/* One worker's share. */
struct member {
    struct worker *worker;
    struct core *core;
    struct subscriber subscribers[SUBSCRIBERS];
    struct subscriber witnesses[CHANNELS]; /* of the first one */
    struct turn_task task;
    uint64_t random;
    unsigned steps, waiting; /* answers to come */
    unsigned recovered, refused, patches, losses, published, errors;
    bool done;
};

static struct node node;
static struct settings *settings;
static struct member members[WORKERS_MAX];
static atomic_uint finished, settled, witnesses;
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

/* --- what a subscriber is told -----------------------------------------------------------------
 */

static uint64_t hash_of(struct str data)
{
    uint64_t hash = 0xcbf29ce484222325u;

    for (size_t i = 0; i < data.len; i++)
        hash = (hash ^ (uint8_t)data.ptr[i]) * 0x100000001b3u;
    return hash;
}

static void tell(struct subscriber *s, uint64_t offset, struct str data, bool tagged)
{
    if (s->told_count == s->told_cap) {
        s->told_cap = s->told_cap ? s->told_cap * 2 : 64;
        s->told = mem_realloc(s->told, s->told_cap * sizeof *s->told);
    }
    s->told[s->told_count++] = (struct told){offset, hash_of(data), tagged};
}

static void open_stay(struct subscriber *s, uint64_t from)
{
    if (s->stay_count == s->stay_cap) {
        s->stay_cap = s->stay_cap ? s->stay_cap * 2 : 16;
        s->stays = mem_realloc(s->stays, s->stay_cap * sizeof *s->stays);
    }
    s->stays[s->stay_count++] =
        (struct stay){.channel = s->channel, .from = from, .to = from, .first = s->told_count};
}

static void close_stay(struct subscriber *s)
{
    struct stay *stay = &s->stays[s->stay_count - 1];

    stay->to = s->sub->offset;
    stay->count = s->told_count - stay->first;
}

/* The tag that filters want. */
static bool is_tagged(const struct wire_pairs *tags)
{
    return tags->count > 0 && str_eq(tags->ptr[0].value, STR("a"));
}

/* What the subscriber has of it: of a patch, what it makes. */
static struct str whole_data(struct subscriber *s, const struct wire_publication *pub,
                             struct arena *a)
{
    struct buf made = BUF_INIT(1 << 16);
    struct str text = STR_NONE;

    if (s->want != DELTAS)
        return pub->data;
    if (json_string(pub->data, a, &text) != OK)
        s->member->errors++;
    if (pub->delta) {
        s->member->errors += !s->has_base || fossil_apply(buf_str(&s->base), text, &made) != OK;
        s->member->patches++;
        text = arena_dup(a, buf_str(&made));
    }
    buf_clear(&s->base);
    buf_add_str(&s->base, text);
    s->has_base = true;
    buf_deinit(&made);
    return text;
}

static void read_pushes(struct subscriber *s)
{
    struct arena a = ARENA_INIT;
    struct frame *f;

    while ((f = outbox_take(&s->outbox)) != NULL) {
        struct wire_reply reply = {0};
        enum err err =
            wire_decode(WIRE_JSON, &wire_desc_reply, ws_payload(frame_bytes(f)), &a, &reply);

        if (err != OK || s->phase != IN || reply.push == NULL || reply.push->pub == NULL)
            s->member->errors++;
        else
            tell(s, reply.push->pub->offset, whole_data(s, reply.push->pub, &a),
                 is_tagged(&reply.push->pub->tags));
        frame_unref(f);
        arena_reset(&a);
    }
    arena_deinit(&a);
}

/* --- entering and leaving ----------------------------------------------------------------------
 */

/* The recovered ones, as a client gets them. */
static void read_recovered(struct subscriber *s, const struct subscribe_answer *answer)
{
    struct arena a = ARENA_INIT;
    struct wire_publication_list list;

    s->has_base = false;
    s->member->errors += !encode_publications(&a, WIRE_JSON, s->want == DELTAS,
                                              answer->publications, answer->count, &list);
    for (size_t i = 0; i < list.count; i++)
        tell(s, list.ptr[i].offset, whole_data(s, &list.ptr[i], &a), is_tagged(&list.ptr[i].tags));
    arena_deinit(&a);
}

/* Where the stay begins: at what was asked for, if the answer continues it, else at the top. */
static uint64_t begin_of(struct subscriber *s, const struct subscribe_answer *answer)
{
    struct member *m = s->member;

    if (!answer->recovered) {
        m->errors += answer->count > 0;
        m->refused += s->knows;
        return answer->top.offset;
    }
    m->recovered++;
    m->errors += !str_eq(answer->top.epoch, str_of(s->epoch, s->epoch_len)) && s->knows;
    if (s->want != NEWEST) {
        m->errors += !s->knows;
        return s->seen;
    }
    m->errors += answer->count > 1;
    if (answer->count == 1)
        m->errors += answer->publications[0]->offset != answer->top.offset;
    else
        m->errors += !s->knows || s->seen != answer->top.offset;
    return answer->top.offset - answer->count;
}

static void on_subscribed(void *arg, enum err err, const struct subscribe_answer *answer)
{
    struct subscriber *s = arg;
    struct hub *hub = s->member->core->hub;
    uint32_t flags = SUB_POSITIONED;

    s->member->waiting--;
    s->member->errors += err != OK || s->phase != ENTERING;
    open_stay(s, begin_of(s, answer));
    read_recovered(s, answer);
    s->knows = true;
    s->epoch_len = answer->top.epoch.len;
    memcpy(s->epoch, answer->top.epoch.ptr, s->epoch_len);
    if (s->want == DELTAS)
        flags |= SUB_DELTA | (answer->count > 0 ? SUB_HAS_BASE : 0);
    s->sub = hub_subscribe(hub, &s->hub, channel_name(s->channel), flags);
    hub_set_position(hub, s->sub, answer->top.offset, answer->top.epoch);
    if (s->filter)
        hub_set_filter(s->sub, s->filter);
    s->filter = NULL;
    s->phase = IN;
    if (s->want == WITNESS)
        atomic_fetch_add(&witnesses, 1);
}

static void enter(struct subscriber *s, unsigned channel)
{
    const struct wire_filter_node tagged = {.key = STR("k"), .cmp = STR("eq"), .val = STR("a")};
    struct subscribe_request request;

    s->knows = s->knows && channel == s->channel;
    s->channel = channel;
    s->phase = ENTERING;
    if (s->want == TAGGED)
        s->member->errors += filter_new(&tagged, &s->filter) != OK;
    request = (struct subscribe_request){
        .channel = channel_name(channel),
        .stream = stream,
        .positioned = true,
        .recovery = s->want == NEWEST ? RECOVERY_CACHE
                    : s->knows        ? RECOVERY_STREAM
                                      : RECOVERY_NONE,
        .recovery_limit = 300,
        .filter = s->filter,
        .entry.client = STR("c"),
    };
    if (s->knows)
        request.since = (struct stream_position){s->seen, str_of(s->epoch, s->epoch_len)};
    s->member->waiting++;
    home_subscribe(s->member->core, &request, on_subscribed, s);
}

static void leave(struct subscriber *s)
{
    read_pushes(s);
    close_stay(s);
    s->seen = s->sub->offset;
    hub_unsubscribe(s->member->core->hub, s->sub);
    home_unsubscribe(s->member->core,
                     &(struct unsubscribe_request){.channel = channel_name(s->channel)});
    s->phase = OUT;
}

static void on_insufficient(struct hub_client *hc, struct subscription *sub)
{
    container_of(hc, struct subscriber, hub)->member->losses++;
    sub->flags |= SUB_LOST;
}

static void on_unfit(struct hub_client *hc)
{
    container_of(hc, struct subscriber, hub)->member->errors++;
}

static const struct hub_ops hub_ops = {on_insufficient, on_unfit};

/* --- the run -----------------------------------------------------------------------------------
 */

static void on_published(void *arg, enum err err, struct stream_position position)
{
    struct member *m = arg;

    m->waiting--;
    m->errors += err != OK || position.offset == 0;
}

/* One in four is suppressed if its key or its version has been there already. */
static void publish(struct member *m)
{
    char data[128], key[16];
    unsigned n = ++m->published, kind = roll(m, 8);
    struct publish_request request = {.stream = stream};
    struct publication *p;

    snprintf(data, sizeof data, "\"%u-%u, and much that is the same in every publication\"",
             m->worker->index, n);
    snprintf(key, sizeof key, "%u", roll(m, 200));
    p = publication_new(&(struct publication_source){
        .channel = channel_name(roll(m, CHANNELS)),
        .data = str_from(data),
        .data_is_json = true,
        .tags = roll(m, 2) ? STR("{\"k\":\"a\"}") : STR("{\"k\":\"b\"}"),
        .delta = roll(m, 4) > 0,
    });
    if (kind == 0)
        request.idempotency_key = str_from(key);
    else if (kind == 1)
        request.version = 1 + roll(m, 1 + n);
    m->waiting++;
    home_publish(m->core, p, &request, on_published, m);
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
    } else if (roll(m, 3) == 0) {
        publish(m);
    } else if (s->phase == OUT) {
        enter(s, s->knows && roll(m, 3) ? s->channel : roll(m, CHANNELS));
    } else if (s->phase == IN && roll(m, 4) == 0) {
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

static void read_all(struct member *m)
{
    for (size_t i = 0; i < SUBSCRIBERS; i++)
        read_pushes(&m->subscribers[i]);
    for (size_t i = 0; i < CHANNELS && m == members; i++)
        read_pushes(&m->witnesses[i]);
}

static void step(struct turn_task *task)
{
    struct member *m = container_of(task, struct member, task);

    read_all(m);
    if (atomic_load(&witnesses) < CHANNELS) {
        worker_queue(m->worker, task);
    } else if (m->steps < STEPS || m->recovered + m->refused < ENOUGH) {
        for (unsigned n = roll(m, 8); n > 0 && m->waiting < WAITING_MAX; n--, m->steps++)
            act(m);
        worker_queue(m->worker, task);
    } else if (!all_out(m)) {
        worker_queue(m->worker, task);
    } else if (!m->done) {
        m->done = true;
        atomic_fetch_add(&finished, 1);
    }
}

/* --- workers -----------------------------------------------------------------------------------
 */

static void on_fail(struct outbox *o, enum err why)
{
    container_of(o, struct subscriber, outbox)->member->errors++;
}

static void make_subscriber(struct member *m, struct subscriber *s, enum want want, size_t i)
{
    *s = (struct subscriber){.member = m, .want = want, .base = BUF_INIT(1 << 16)};
    s->hub.outbox = &s->outbox;
    outbox_init(&s->outbox, NULL, OUTBOX_MAX, on_fail);
    hub_add_client(m->core->hub, &s->hub, STR("u"));
}

static void start(struct worker *w, void *arg)
{
    struct member *m = arg;

    m->core = core_new(&node, w, settings);
    hub_set_ops(m->core->hub, &hub_ops);
    for (size_t i = 0; i < SUBSCRIBERS; i++)
        make_subscriber(m, &m->subscribers[i], (enum want)(i % WITNESS), i);
    for (size_t i = 0; i < CHANNELS && m == members; i++)
        make_subscriber(m, &m->witnesses[i], WITNESS, i);
    m->task.run = step;
    list_init(&m->task.in_turn);
}

static void at_go(struct worker *w, struct mail *mail)
{
    struct member *m = &members[w->index];

    for (unsigned i = 0; i < CHANNELS && m == members; i++)
        enter(&m->witnesses[i], i);
    worker_queue(w, &m->task);
    mem_free(mail);
}

/* The witnesses go last, while every home is still there to hear of it. */
static void at_farewell(struct worker *w, struct mail *mail)
{
    for (size_t i = 0; i < CHANNELS && w->index == 0; i++)
        leave(&members[0].witnesses[i]);
    mem_free(mail);
}

static void at_settle(struct worker *w, struct mail *mail)
{
    atomic_fetch_add(&settled, 1);
    mem_free(mail);
}

static void end_subscriber(struct subscriber *s)
{
    hub_remove_client(s->member->core->hub, &s->hub);
    outbox_deinit(&s->outbox);
    buf_deinit(&s->base);
}

static void at_close(struct worker *w, struct mail *mail)
{
    struct member *m = &members[w->index];

    for (size_t i = 0; i < CHANNELS && m == members; i++)
        end_subscriber(&m->witnesses[i]);
    for (size_t i = 0; i < SUBSCRIBERS; i++)
        end_subscriber(&m->subscribers[i]);
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

/* --- afterwards --------------------------------------------------------------------------------
 */

/* Compares a stay with what the witness of the channel saw. */
static unsigned faults_of_stay(const struct subscriber *s, const struct stay *stay)
{
    const struct subscriber *witness = &members[0].witnesses[stay->channel];
    size_t at = stay->first, end = stay->first + stay->count;
    unsigned faults = 0;

    for (uint64_t offset = stay->from + 1; offset <= stay->to; offset++) {
        const struct told *seen = &witness->told[offset - 1];

        if (s->want == TAGGED && !seen->tagged)
            continue;
        faults += at == end || s->told[at].offset != offset || s->told[at].hash != seen->hash;
        at += at < end;
    }
    return faults + (at != end);
}

static unsigned faults_of(struct subscriber *s)
{
    unsigned faults = 0;

    for (size_t i = 0; i < s->stay_count; i++)
        faults += faults_of_stay(s, &s->stays[i]);
    return faults;
}

/* The witnesses saw every offset once, from the first on. */
static void check_witnesses(void)
{
    for (size_t i = 0; i < CHANNELS; i++) {
        const struct subscriber *w = &members[0].witnesses[i];

        assert_int_equal(w->stay_count, 1);
        assert_int_equal(w->stays[0].from, 0);
        assert_int_equal(w->stays[0].to, w->told_count);
        for (size_t k = 0; k < w->told_count; k++)
            assert_int_equal(w->told[k].offset, k + 1);
    }
}

static void free_told(struct subscriber *s)
{
    mem_free(s->told);
    mem_free(s->stays);
}

static void run_on(unsigned workers)
{
    assert_int_equal(log_setup(LOG_NONE, LOG_AUTO, NULL), OK);
    settings = settings_new(1);
    settings_add_namespace(settings, 0, STR(""));
    atomic_store(&finished, 0);
    atomic_store(&settled, 0);
    atomic_store(&witnesses, 0);
    node = (struct node){.version = STR("test"), .worker_count = workers};
    for (unsigned i = 0; i < workers; i++) {
        members[i] = (struct member){.worker = worker_new(i), .random = i * 77 + 1};
        node.workers[i] = members[i].worker;
    }
    for (unsigned i = 0; i < workers; i++)
        assert_int_equal(worker_start(members[i].worker, start, &members[i]), OK);
    post_all(at_go);
    wait_for(&finished, workers);
    for (unsigned round = 1; round <= 6; round++) { /* what is still on its way between them */
        if (round == 4)
            post_all(at_farewell);
        post_all(at_settle);
        wait_for(&settled, round * workers);
    }
    post_all(at_close);
    for (unsigned i = 0; i < workers; i++)
        worker_join(members[i].worker);
}

static void end_member(struct member *m)
{
    struct hub_counts counts = hub_counts(m->core->hub);

    assert_int_equal(counts.subscriptions, 0);
    assert_int_equal(counts.channels, 0);
    worker_enter(m->worker);
    core_free(m->core);
    worker_enter(NULL);
    worker_free(m->worker);
}

static void everybody_is_told_what_the_witness_saw_on(unsigned workers)
{
    struct member sum = {0};
    unsigned faults = 0;

    run_on(workers);
    check_witnesses();
    for (unsigned i = 0; i < workers; i++) {
        struct member *m = &members[i];

        for (size_t k = 0; k < SUBSCRIBERS; k++)
            faults += faults_of(&m->subscribers[k]);
        sum.errors += m->errors;
        sum.losses += m->losses;
        sum.patches += m->patches;
        sum.recovered += m->recovered;
        end_member(m);
    }
    for (unsigned i = 0; i < workers; i++) {
        for (size_t k = 0; k < SUBSCRIBERS; k++)
            free_told(&members[i].subscribers[k]);
    }
    for (size_t i = 0; i < CHANNELS; i++)
        free_told(&members[0].witnesses[i]);
    settings_unref(settings);
    assert_int_equal(faults, 0);
    assert_int_equal(sum.errors, 0);
    assert_int_equal(sum.losses, 0);
    /* the model met what it is there for */
    assert_true(sum.recovered > 0 && sum.patches > 0);
}

static void on_one_worker_everybody_is_told_what_the_witness_saw(void **state)
{
    everybody_is_told_what_the_witness_saw_on(1);
}

static void on_four_workers_everybody_is_told_what_the_witness_saw(void **state)
{
    everybody_is_told_what_the_witness_saw_on(4);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(on_one_worker_everybody_is_told_what_the_witness_saw),
        cmocka_unit_test(on_four_workers_everybody_is_told_what_the_witness_saw),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
