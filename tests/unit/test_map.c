/* The hash table: what is in it is found, also after it has grown and shrunk. */
#include "base/map.h"

#include "base/mem.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <cmocka.h>

#define MANY 20000

struct item {
    struct map_node node;
    char name[16];
    size_t name_len;
};

static struct map map;
static struct item *items;

static struct str name_of(const struct item *i)
{
    return str_of(i->name, i->name_len);
}

static struct item *item_of(struct map_node *node)
{
    return node ? container_of(node, struct item, node) : NULL;
}

static int set_up(void **state)
{
    map = MAP_INIT;
    items = mem_zalloc(MANY * sizeof *items);
    for (size_t i = 0; i < MANY; i++)
        items[i].name_len = (size_t)snprintf(items[i].name, sizeof items[i].name, "item%zu", i);
    return 0;
}

static int tear_down(void **state)
{
    map_deinit(&map);
    mem_free(items);
    return 0;
}

static void fill(void)
{
    for (size_t i = 0; i < MANY; i++)
        map_add(&map, &items[i].node, name_of(&items[i]));
}

static void what_was_added_is_found_and_nothing_else(void **state)
{
    assert_null(map_get(&map, STR("item0")));
    fill();
    assert_int_equal(map.count, MANY);
    for (size_t i = 0; i < MANY; i++)
        assert_ptr_equal(item_of(map_get(&map, name_of(&items[i]))), &items[i]);
    assert_null(map_get(&map, STR("item")));
    assert_null(map_get(&map, STR("item20000")));
    assert_null(map_get(&map, STR_NONE));
}

static void buckets_go_when_the_nodes_have_gone(void **state)
{
    size_t most;

    fill();
    most = map.size;
    for (size_t i = 0; i < MANY; i++) {
        map_del(&map, &items[i].node);
        map_fit(&map);
        assert_null(map_get(&map, name_of(&items[i])));
        assert_true(map.size <= most); /* never up and down again */
        most = map.size;
        if (i + 1 < MANY && i % 997 == 0)
            assert_ptr_equal(item_of(map_get(&map, name_of(&items[MANY - 1]))), &items[MANY - 1]);
    }
    assert_int_equal(map.count, 0);
    assert_true(map.size <= 64);
}

static void many_deletions_may_be_made_good_at_once(void **state)
{
    fill();
    for (size_t i = 10; i < MANY; i++)
        map_del(&map, &items[i].node);
    map_fit(&map);
    assert_true(map.size <= 64);
    for (size_t i = 0; i < 10; i++)
        assert_ptr_equal(item_of(map_get(&map, name_of(&items[i]))), &items[i]);
}

static void a_walk_sees_every_node_once_and_may_delete_them(void **state)
{
    struct map_iter it;
    size_t seen = 0;

    fill();
    map_each (&map, &it, node) {
        map_del(&map, node);
        seen++;
    }
    assert_int_equal(seen, MANY);
    assert_int_equal(map.count, 0);
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(what_was_added_is_found_and_nothing_else),
        CASE(buckets_go_when_the_nodes_have_gone),
        CASE(many_deletions_may_be_made_good_at_once),
        CASE(a_walk_sees_every_node_once_and_may_delete_them),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
