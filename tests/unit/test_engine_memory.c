/* The memory engine next to a naive model, under random publishes, reads, removals and time; then
 * what the model does not know: idempotency, versions, presence. */
#include "lib/world.h"

#include "core/engine.h"
#include "core/home_types.h"

#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>

#define SIZE 5
#define TTL_MS 20000
#define META_TTL_MS 100000

static const struct stream_options options = {SIZE, TTL_MS, META_TTL_MS};

static struct engine *engine;

static int set_up(void **state)
{
    world_begin("return {}");
    engine = core->home->engine;
    return 0;
}

static int tear_down(void **state)
{
    world_end();
    return 0;
}

/* --- calls
 * ---------------------------------------------------------------------------------------- */

static struct engine_published published;
static char published_epoch[EPOCH_LEN_MAX];

static void on_published(void *arg, enum err err, const struct engine_published *result)
{
    assert_int_equal(err, OK);
    published = *result;
    if (result->position.epoch.len > 0)
        memcpy(published_epoch, result->position.epoch.ptr, result->position.epoch.len);
    published.position.epoch.ptr = published_epoch;
}

static void publish_as(const char *key, uint64_t version, const char *version_epoch)
{
    struct publication *p = publication_new(
        &(struct publication_source){.channel = STR("c"), .data = STR("1"), .data_is_json = true});

    engine->ops->publish(engine,
                         &(struct engine_publish){.publication = p,
                                                  .stream = options,
                                                  .idempotency_key = str_from(key),
                                                  .version = version,
                                                  .version_epoch = str_from(version_epoch)},
                         on_published, NULL);
    publication_unref(p);
}

struct read {
    enum err err;
    uint64_t top, offsets[64];
    size_t count;
    char epoch[EPOCH_LEN_MAX];
};

static void on_history(void *arg, enum err err, const struct history_result *result)
{
    struct read *r = arg;

    *r = (struct read){.err = err, .top = result->position.offset, .count = result->count};
    memcpy(r->epoch, result->position.epoch.ptr, result->position.epoch.len);
    for (size_t i = 0; i < result->count; i++)
        r->offsets[i] = result->publications[i]->offset;
}

static struct read history(const struct history_filter *filter)
{
    struct read r;

    engine->ops->history(engine, STR("c"), &options, filter, on_history, &r);
    return r;
}

static void on_done(void *arg, enum err err)
{
    assert_int_equal(err, OK);
}

/* --- the model
 * ------------------------------------------------------------------------------------- */

struct model {
    uint64_t top, first; /* kept: first … top; none when first > top */
    uint64_t items_due, meta_due;
};

/* Forgets what is over; true when the stream itself is. */
static bool model_age(struct model *m)
{
    if (m->meta_due != 0 && m->meta_due <= clock_mono_ms()) {
        *m = (struct model){.first = 1};
        return true;
    }
    if (m->items_due <= clock_mono_ms())
        m->first = m->top + 1;
    return false;
}

static struct read model_read(const struct model *m, const struct history_filter *f)
{
    struct read r = {.top = m->top};
    uint64_t max = f->limit < 0 ? UINT64_MAX : (uint64_t)f->limit;

    if (!f->reverse) {
        for (uint64_t o = m->first; o <= m->top && r.count < max; o++) {
            if (!f->has_since || o > f->since_offset)
                r.offsets[r.count++] = o;
        }
        return r;
    }
    if (f->has_since && (f->since_offset == 0 || f->since_offset - 1 < m->first))
        return r; /* what lies before is no longer kept */
    for (uint64_t o = m->top; o >= m->first && o > 0 && r.count < max; o--) {
        if (!f->has_since || o < f->since_offset)
            r.offsets[r.count++] = o;
    }
    return r;
}

static void compare(const struct model *m, const struct history_filter *f)
{
    struct read got = history(f), want = model_read(m, f);

    assert_int_equal(got.err, OK);
    assert_int_equal(got.top, want.top);
    assert_int_equal(got.count, want.count);
    for (size_t i = 0; i < want.count; i++)
        assert_int_equal(got.offsets[i], want.offsets[i]);
}

static void it_keeps_and_forgets_what_a_naive_model_does(void **state)
{
    struct model m = {.first = 1};
    char epoch[EPOCH_LEN_MAX] = "";
    unsigned seed = 7, ends = 0;

    for (int i = 0; i < 20000; i++) {
        struct history_filter f = {
            .limit = rand_r(&seed) % 9 - 1,
            .has_since = rand_r(&seed) % 2,
            .reverse = rand_r(&seed) % 2,
            .since_offset = m.top + 3 > 8 ? m.top + 3 - (uint64_t)(rand_r(&seed) % 9) : 0,
        };

        switch (rand_r(&seed) % 8) {
        case 0:
        case 1:
        case 2:
            publish_as("", 0, "");
            m.top++;
            m.items_due = clock_mono_ms() + TTL_MS;
            m.meta_due = clock_mono_ms() + META_TTL_MS;
            if (m.top - m.first >= SIZE)
                m.first = m.top - SIZE + 1;
            assert_int_equal(published.position.offset, m.top);
            break;
        case 3:
            if (rand_r(&seed) % 10 == 0) {
                engine->ops->history_remove(engine, STR("c"), on_done, NULL);
                m.first = m.top + 1;
            }
            break;
        case 4:
            world_pass(rand_r(&seed) % 40 == 0 ? META_TTL_MS + 10
                                               : (uint64_t)(rand_r(&seed) % 9000));
            if (model_age(&m)) {
                struct read now = history(&(struct history_filter){0});

                assert_memory_not_equal(epoch, now.epoch, 8); /* a new stream: a new epoch */
                memcpy(epoch, now.epoch, sizeof epoch);
                m.meta_due = clock_mono_ms() + META_TTL_MS;
                ends++;
            }
            break;
        default:
            compare(&m, &f);
            m.meta_due = clock_mono_ms() + META_TTL_MS;
        }
    }
    assert_true(ends > 20);
}

/* --- the rest
 * ---------------------------------------------------------------------------------------- */

static void another_epoch_is_told(void **state)
{
    struct read r;

    publish_as("", 0, "");
    r = history(&(struct history_filter){
        .limit = -1, .has_since = true, .since_epoch = STR("otherone"), .since_offset = 0});
    assert_int_equal(r.err, ERR_EXPIRED);
    assert_int_equal(r.count, 0);
}

static void a_key_counts_once_in_its_five_minutes(void **state)
{
    uint64_t first;

    publish_as("k", 0, "");
    first = published.position.offset;
    assert_true(published.deliver);
    publish_as("k", 0, "");
    assert_true(published.suppressed);
    assert_false(published.deliver);
    assert_int_equal(published.position.offset, first);
    publish_as("other", 0, "");
    assert_int_equal(published.position.offset, first + 1);
    world_pass(301000);
    publish_as("k", 0, "");
    assert_false(published.suppressed);
}

static void an_old_version_is_for_nobody(void **state)
{
    uint64_t top;

    publish_as("", 7, "a");
    top = published.position.offset;
    publish_as("", 7, "a");
    assert_true(published.suppressed);
    publish_as("", 6, "");
    assert_true(published.suppressed);
    assert_int_equal(published.position.offset, top);
    publish_as("", 1, "b"); /* of another epoch of versions */
    assert_false(published.suppressed);
    publish_as("", 0, "");
    assert_false(published.suppressed);
    publish_as("", 1, "b"); /* one without a version in between left it as it was */
    assert_true(published.suppressed);
    assert_int_equal(published.position.offset, top + 2);
}

static struct presence_result presence;

static void on_presence(void *arg, enum err err, const struct presence_result *result)
{
    presence = (struct presence_result){.count = result->count, .users = result->users};
}

static void presence_counts_clients_and_distinct_users(void **state)
{
    static const struct presence_entry entries[] = {
        {.client = {"c1", 2}, .user = {"u1", 2}},
        {.client = {"c2", 2}, .user = {"u1", 2}},
        {.client = {"c3", 2}, .user = {"u2", 2}},
        {.client = {"c3", 2}, .user = {"u1", 2}}, /* the same client, renewed */
    };

    for (size_t i = 0; i < ARRAY_LEN(entries); i++)
        engine->ops->presence_add(engine, STR("p"), &entries[i], on_done, NULL);
    engine->ops->presence(engine, STR("p"), true, on_presence, NULL);
    assert_int_equal(presence.count, 3);
    assert_int_equal(presence.users, 1);
    engine->ops->presence_remove(engine, STR("p"), STR("c1"), on_done, NULL);
    engine->ops->presence_remove(engine, STR("p"), STR("nobody"), on_done, NULL);
    engine->ops->presence(engine, STR("p"), true, on_presence, NULL);
    assert_int_equal(presence.count, 2);
    engine->ops->presence_remove(engine, STR("p"), STR("c2"), on_done, NULL);
    engine->ops->presence_remove(engine, STR("p"), STR("c3"), on_done, NULL);
    engine->ops->presence(engine, STR("p"), true, on_presence, NULL);
    assert_int_equal(presence.count, 0);
    assert_int_equal(presence.users, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(it_keeps_and_forgets_what_a_naive_model_does, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(another_epoch_is_told, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_key_counts_once_in_its_five_minutes, set_up, tear_down),
        cmocka_unit_test_setup_teardown(an_old_version_is_for_nobody, set_up, tear_down),
        cmocka_unit_test_setup_teardown(presence_counts_clients_and_distinct_users, set_up,
                                        tear_down),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
