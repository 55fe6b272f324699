/* Who of a channel's subscribers gets what, next to a naive list of who should. */
#include "core/hub.h"
#include "lib/world.h"

#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>

#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>

#define CLIENTS 24
#define STEPS 4000

struct member {
    struct hub_client hub;
    struct outbox outbox;
    struct subscription *sub;
    bool told; /* of joins and leaves */
};

static struct member members[CLIENTS];
static uint64_t random_state = 1;

static unsigned roll(unsigned sides)
{
    random_state = random_state * 6364136223846793005u + 1442695040888963407u;
    return (unsigned)(random_state >> 33) % sides;
}

static void on_fail(struct outbox *o, enum err why)
{
    fail();
}

static size_t taken(struct member *m)
{
    struct frame *f;
    size_t n = 0;

    while ((f = outbox_take(&m->outbox)) != NULL) {
        frame_unref(f);
        n++;
    }
    return n;
}

static void deliver(enum publication_type type)
{
    struct publication *p = publication_new(&(struct publication_source){
        .type = type,
        .channel = STR("a"),
        .data = STR("1"),
        .data_is_json = true,
        .has_info = type != PUBLICATION_DATA,
        .info = {STR("u"), STR("c"), STR_NONE, STR_NONE},
    });

    hub_fanout(core->hub, p, NULL);
    publication_unref(p);
}

static void everybody_gets(enum publication_type type)
{
    deliver(type);
    for (size_t i = 0; i < CLIENTS; i++) {
        struct member *m = &members[i];

        assert_int_equal(taken(m), m->sub && (type == PUBLICATION_DATA || m->told));
    }
}

static void change(struct member *m)
{
    if (m->sub) {
        hub_unsubscribe(core->hub, m->sub);
        m->sub = NULL;
        return;
    }
    m->told = roll(3) == 0;
    m->sub = hub_subscribe(core->hub, &m->hub, STR("a"), m->told ? SUB_PUSH_JOIN_LEAVE : 0);
}

static void joins_go_to_those_who_asked_whoever_came_and_went(void **state)
{
    world_begin("return {}");
    for (size_t i = 0; i < CLIENTS; i++) {
        struct member *m = &members[i];

        m->hub.outbox = &m->outbox;
        outbox_init(&m->outbox, NULL, 1 << 20, on_fail);
        hub_add_client(core->hub, &m->hub, STR("u"));
    }
    for (unsigned step = 0; step < STEPS; step++) {
        change(&members[roll(CLIENTS)]);
        everybody_gets((enum publication_type)roll(3));
    }
    for (size_t i = 0; i < CLIENTS; i++) {
        if (members[i].sub)
            change(&members[i]);
        hub_remove_client(core->hub, &members[i].hub);
        outbox_deinit(&members[i].outbox);
    }
    assert_int_equal(hub_counts(core->hub).channels, 0);
    world_end();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(joins_go_to_those_who_asked_whoever_came_and_went),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
