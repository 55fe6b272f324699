/* Hash table from bytes to an intrusive node. The hash is keyed by a random process seed, so that
 * chosen names cannot collide on purpose. The map owns neither keys nor nodes: a node lives inside
 * the caller's struct, and its key lies in the same allocation and stays as it is while it is in
 * the map. A node is small, since many clients have one; so the hash is not kept. One thread. */
#pragma once

#include "base/str.h"

struct map_node {
    struct map_node *next; /* in its bucket */
    uint32_t key_len;
    int32_t key_at; /* from here */
};

static inline struct str map_key(const struct map_node *node)
{
    return str_of((const char *)node + node->key_at, node->key_len);
}

struct map {
    struct map_node **buckets;
    size_t size; /* buckets: 0 or a power of two */
    size_t count;
};

#define MAP_INIT ((struct map){0})

uint64_t map_hash(struct str key);     /* SipHash-1-3 under the process seed */
void map_seed(uint64_t a, uint64_t b); /* once, before the first map is used */

struct map_node *map_get(const struct map *m, struct str key);
struct map_node *map_get_hashed(const struct map *m, struct str key, uint64_t hash);
/* No node of this key may be in the map yet. */
void map_add(struct map *m, struct map_node *node, struct str key);
void map_add_hashed(struct map *m, struct map_node *node, struct str key, uint64_t hash);
void map_del(struct map *m, struct map_node *node); /* node must be in it */
/* Gives buckets back after many nodes have gone; cheap otherwise. Not while the map is walked. */
void map_fit(struct map *m);
void map_deinit(struct map *m); /* frees the buckets, not the nodes */

/* Walks every node; the next one is read before the body runs, so the body may delete its own. */
struct map_iter {
    size_t bucket;
    struct map_node *next;
};
struct map_node *map_first(const struct map *m, struct map_iter *it);
struct map_node *map_next(const struct map *m, struct map_iter *it);
#define map_each(m, it, node)                                                                      \
    for (struct map_node *node = map_first(m, it); node; node = map_next(m, it))
