#include "base/map.h"

#include "base/check.h"
#include "base/mem.h"

/* Fewer buckets are not worth giving back. */
#define SIZE_KEPT 64

static uint64_t seed[2] = {0x736f6d6570736575ULL, 0x646f72616e646f6dULL};

void map_seed(uint64_t a, uint64_t b)
{
    seed[0] = a;
    seed[1] = b;
}

static inline uint64_t rotl(uint64_t x, int n)
{
    return x << n | x >> (64 - n);
}

static inline void sip_round(uint64_t v[4])
{
    v[0] += v[1];
    v[1] = rotl(v[1], 13) ^ v[0];
    v[0] = rotl(v[0], 32);
    v[2] += v[3];
    v[3] = rotl(v[3], 16) ^ v[2];
    v[0] += v[3];
    v[3] = rotl(v[3], 21) ^ v[0];
    v[2] += v[1];
    v[1] = rotl(v[1], 17) ^ v[2];
    v[2] = rotl(v[2], 32);
}

uint64_t map_hash(struct str key)
{
    uint64_t v[4] = {seed[0] ^ 0x736f6d6570736575ULL, seed[1] ^ 0x646f72616e646f6dULL,
                     seed[0] ^ 0x6c7967656e657261ULL, seed[1] ^ 0x7465646279746573ULL};
    size_t whole = key.len & ~(size_t)7;
    uint64_t word;

    for (size_t i = 0; i < whole; i += 8) {
        memcpy(&word, key.ptr + i, 8);
        v[3] ^= word;
        sip_round(v);
        v[0] ^= word;
    }
    word = 0;
    if (key.len > whole)
        memcpy(&word, key.ptr + whole, key.len - whole);
    word |= (uint64_t)key.len << 56;
    v[3] ^= word;
    sip_round(v);
    v[0] ^= word;
    v[2] ^= 0xff;
    for (int i = 0; i < 3; i++)
        sip_round(v);
    return v[0] ^ v[1] ^ v[2] ^ v[3];
}

struct map_node *map_get_hashed(const struct map *m, struct str key, uint64_t hash)
{
    struct map_node *node = m->size ? m->buckets[hash & (m->size - 1)] : NULL;

    while (node && !str_eq(map_key(node), key))
        node = node->next;
    return node;
}

struct map_node *map_get(const struct map *m, struct str key)
{
    return m->count ? map_get_hashed(m, key, map_hash(key)) : NULL;
}

static void resize(struct map *m, size_t size)
{
    struct map_node **buckets = mem_zalloc(size * sizeof *buckets);

    for (size_t i = 0; i < m->size; i++) {
        struct map_node *node = m->buckets[i];

        while (node) {
            struct map_node *next = node->next;
            size_t at = map_hash(map_key(node)) & (size - 1);

            node->next = buckets[at];
            buckets[at] = node;
            node = next;
        }
    }
    mem_free(m->buckets);
    m->buckets = buckets;
    m->size = size;
}

void map_add_hashed(struct map *m, struct map_node *node, struct str key, uint64_t hash)
{
    ptrdiff_t key_at = key.len > 0 ? key.ptr - (const char *)node : 0;

    DCHECK(map_get_hashed(m, key, hash) == NULL);
    CHECK(key_at == (int32_t)key_at && key.len <= UINT32_MAX);
    if (m->count >= m->size)
        resize(m, m->size ? m->size * 2 : 8);
    node->key_at = (int32_t)key_at;
    node->key_len = (uint32_t)key.len;
    node->next = m->buckets[hash & (m->size - 1)];
    m->buckets[hash & (m->size - 1)] = node;
    m->count++;
}

void map_add(struct map *m, struct map_node *node, struct str key)
{
    map_add_hashed(m, node, key, map_hash(key));
}

void map_del(struct map *m, struct map_node *node)
{
    struct map_node **at = &m->buckets[map_hash(map_key(node)) & (m->size - 1)];

    while (*at != node) {
        CHECK(*at != NULL);
        at = &(*at)->next;
    }
    *at = node->next;
    m->count--;
}

void map_fit(struct map *m)
{
    size_t size = m->size;

    while (size > SIZE_KEPT && m->count < size / 8)
        size /= 4;
    if (size < m->size)
        resize(m, size);
}

void map_deinit(struct map *m)
{
    mem_free(m->buckets);
    *m = MAP_INIT;
}

static struct map_node *advance(const struct map *m, struct map_iter *it)
{
    struct map_node *node = it->next;

    while (node == NULL && it->bucket < m->size)
        node = m->buckets[it->bucket++];
    it->next = node ? node->next : NULL;
    return node;
}

struct map_node *map_first(const struct map *m, struct map_iter *it)
{
    *it = (struct map_iter){0};
    return advance(m, it);
}

struct map_node *map_next(const struct map *m, struct map_iter *it)
{
    return advance(m, it);
}
