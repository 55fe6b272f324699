#include "core/user_limits.h"

#include "base/check.h"
#include "base/mem.h"

#include <uv.h>

#define STRIPES 16 /* workers seldom meet in one */
/* Those whose buckets are full again are looked for so often, when a new one comes. */
#define SWEEP_NS UINT64_C(1000000000)
#define USERS_MAX 1000000 /* on the node; the next one has to wait until somebody's are full */

struct limited_user {
    struct map_node by_name;
    uint64_t full_ns[USER_LIMITS_ROWS][RATE_BUCKETS_MAX];
    uint64_t latest_ns; /* when all are full again */
    char name[];
};

struct stripe {
    uv_mutex_t lock; /* held for one command, or one sweep */
    struct map users;
    uint64_t swept_ns;
};

struct user_limits {
    struct stripe stripes[STRIPES];
};

struct user_limits *user_limits_new(void)
{
    struct user_limits *ul = mem_zalloc(sizeof *ul);

    for (size_t i = 0; i < STRIPES; i++)
        CHECK(uv_mutex_init(&ul->stripes[i].lock) == 0);
    return ul;
}

void user_limits_free(struct user_limits *ul)
{
    if (!ul)
        return;
    for (size_t i = 0; i < STRIPES; i++) {
        struct map_iter it;

        map_each (&ul->stripes[i].users, &it, node)
            mem_free(container_of(node, struct limited_user, by_name));
        map_deinit(&ul->stripes[i].users);
        uv_mutex_destroy(&ul->stripes[i].lock);
    }
    mem_free(ul);
}

static void sweep(struct stripe *s, uint64_t now_ns)
{
    struct map_iter it;

    s->swept_ns = now_ns;
    map_each (&s->users, &it, node) {
        struct limited_user *u = container_of(node, struct limited_user, by_name);

        if (u->latest_ns <= now_ns) {
            map_del(&s->users, node);
            mem_free(u);
        }
    }
}

/* NULL: there are too many. */
static struct limited_user *find(struct stripe *s, struct str user, uint64_t hash, uint64_t now_ns)
{
    struct map_node *node = map_get_hashed(&s->users, user, hash);
    struct limited_user *u;

    if (node)
        return container_of(node, struct limited_user, by_name);
    if (now_ns >= s->swept_ns + SWEEP_NS)
        sweep(s, now_ns);
    if (s->users.count >= USERS_MAX / STRIPES)
        return NULL;
    u = mem_zalloc(sizeof *u + user.len);
    memcpy(u->name, user.ptr, user.len);
    map_add_hashed(&s->users, &u->by_name, str_of(u->name, user.len), hash);
    return u;
}

/* The times of a row; none lies further ahead than its bucket, which may be another than before. */
static uint64_t *times(struct limited_user *u, const struct user_limit *limit, uint64_t now_ns)
{
    uint64_t *full_ns = u->full_ns[limit->row];

    for (size_t i = 0; i < limit->buckets->count; i++)
        full_ns[i] = MIN(full_ns[i], now_ns + bucket_of(limit->buckets->items[i]).interval_ns);
    return full_ns;
}

static bool has(struct limited_user *u, const struct user_limit *limit, uint64_t now_ns)
{
    const uint64_t *full_ns = times(u, limit, now_ns);

    for (size_t i = 0; i < limit->buckets->count; i++) {
        struct bucket b = bucket_of(limit->buckets->items[i]);

        if (!bucket_has(&b, full_ns[i], now_ns))
            return false;
    }
    return true;
}

static void take(struct limited_user *u, const struct user_limit *limit, uint64_t now_ns)
{
    uint64_t *full_ns = times(u, limit, now_ns);

    for (size_t i = 0; i < limit->buckets->count; i++) {
        struct bucket b = bucket_of(limit->buckets->items[i]);

        full_ns[i] = bucket_take(&b, full_ns[i], now_ns);
        u->latest_ns = MAX(u->latest_ns, full_ns[i]);
    }
}

size_t user_limits_take(struct user_limits *ul, struct str user, const struct user_limit *limits,
                        size_t count, uint64_t now_ns)
{
    uint64_t hash = map_hash(user);
    struct limited_user *u;
    struct stripe *s;
    size_t refusing = 0;

    if (!ul)
        return count;
    s = &ul->stripes[hash >> 32 & (STRIPES - 1)]; /* the map uses the low bits */
    uv_mutex_lock(&s->lock);
    u = find(s, user, hash, now_ns);
    while (u && refusing < count && has(u, &limits[refusing], now_ns))
        refusing++;
    for (size_t i = 0; refusing == count && i < count; i++)
        take(u, &limits[i], now_ns);
    uv_mutex_unlock(&s->lock);
    return refusing;
}

size_t user_limits_count(struct user_limits *ul)
{
    size_t n = 0;

    for (size_t i = 0; ul && i < STRIPES; i++) {
        uv_mutex_lock(&ul->stripes[i].lock);
        n += ul->stripes[i].users.count;
        uv_mutex_unlock(&ul->stripes[i].lock);
    }
    return n;
}
