/* Publishing at a home: when it is answered inline, and that nothing is overtaken then. */
#include "lib/world.h"

#include "core/home.h"

#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>

#define STREAM ((struct stream_options){.size = 10, .ttl_ms = 60000, .meta_ttl_ms = 60000})

static char order[16];

static void note(char what)
{
    size_t len = strlen(order);

    assert_true(len + 1 < sizeof order);
    order[len] = what;
    order[len + 1] = '\0';
}

static void on_published(void *arg, enum err err, struct stream_position position)
{
    assert_int_equal(err, OK);
    *(uint64_t *)arg = position.offset;
    note('p');
}

static void on_removed(void *arg, enum err err)
{
    assert_int_equal(err, OK);
    note('r');
}

static void on_history(void *arg, enum err err, const struct history_result *result)
{
    assert_int_equal(err, OK);
    *(size_t *)arg = result->count;
}

static void publish(bool may_be_inline, uint64_t *offset)
{
    struct publication *p = publication_new(
        &(struct publication_source){.channel = STR("a"), .data = STR("1"), .data_is_json = true});

    home_publish(core, p,
                 &(struct publish_request){.stream = STREAM, .may_be_inline = may_be_inline},
                 on_published, offset);
}

static size_t kept(void)
{
    size_t count = SIZE_MAX;

    home_history(core, STR("a"), &STREAM, &(struct history_filter){.limit = -1}, on_history,
                 &count);
    world_turn();
    return count;
}

static void only_who_says_so_is_answered_inline(void **state)
{
    uint64_t offset = 0;

    order[0] = '\0';
    publish(false, &offset);
    assert_int_equal(offset, 0);
    world_turn();
    assert_int_equal(offset, 1);
    publish(true, &offset);
    assert_int_equal(offset, 2);
    assert_int_equal(kept(), 2);
}

/* A publish that passed the removal by would be removed with the rest. */
static void an_inline_publish_overtakes_no_request(void **state)
{
    uint64_t offset = 0;

    publish(true, &offset);
    order[0] = '\0';
    home_history_remove(core, STR("a"), on_removed, NULL);
    publish(true, &offset);
    assert_string_equal(order, "");
    world_turn();
    assert_string_equal(order, "rp");
    assert_int_equal(kept(), 1);
    publish(true, &offset);
    assert_string_equal(order, "rpp");
}

static int set_up(void **state)
{
    world_begin("return {}");
    return 0;
}

static int tear_down(void **state)
{
    world_end();
    return 0;
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(only_who_says_so_is_answered_inline),
        CASE(an_inline_publish_overtakes_no_request),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
