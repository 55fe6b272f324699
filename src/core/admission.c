#include "core/admission.h"

#include "base/check.h"
#include "base/map.h"
#include "base/mem.h"
#include "core/bucket.h"

#include <stdatomic.h>
#include <uv.h>

#define WARN_EVERY_MS 3000
#define STRIPES 16 /* of the table of users: workers seldom meet in one */

struct counted_user {
    struct map_node by_name;
    uint32_t connections;
    char name[];
};

struct stripe {
    uv_mutex_t lock; /* held for one look-up */
    struct map users;
};

struct admission {
    _Atomic uint64_t connections;
    _Atomic uint64_t full_ns; /* when the bucket of new connections is full again */
    _Atomic uint64_t warned_ms;
    _Atomic uint64_t over_limit, over_rate;
    struct stripe stripes[STRIPES];
};

struct admission *admission_new(void)
{
    struct admission *a = mem_zalloc(sizeof *a);

    for (size_t i = 0; i < STRIPES; i++)
        CHECK(uv_mutex_init(&a->stripes[i].lock) == 0);
    return a;
}

void admission_free(struct admission *a)
{
    for (size_t i = 0; i < STRIPES; i++) {
        struct map_iter it;

        map_each (&a->stripes[i].users, &it, node)
            mem_free(container_of(node, struct counted_user, by_name));
        map_deinit(&a->stripes[i].users);
        uv_mutex_destroy(&a->stripes[i].lock);
    }
    mem_free(a);
}

/* --- connections ------------------------------------------------------------------------------ */

/* A bucket of `rate` connections that fills within a second. */
static bool take_rate(struct admission *a, int64_t rate, uint64_t now_ns)
{
    struct bucket b = bucket_of((struct rate_bucket){.interval_ms = 1000, .rate = rate});
    uint64_t full_ns = atomic_load_explicit(&a->full_ns, memory_order_relaxed);

    do {
        if (!bucket_has(&b, full_ns, now_ns))
            return false;
    } while (!atomic_compare_exchange_weak_explicit(&a->full_ns, &full_ns,
                                                    bucket_take(&b, full_ns, now_ns),
                                                    memory_order_relaxed, memory_order_relaxed));
    return true;
}

enum err admission_enter(struct admission *a, const struct settings *s, uint64_t now_ms)
{
    uint64_t others = atomic_fetch_add_explicit(&a->connections, 1, memory_order_relaxed);

    if (s->client_connection_limit > 0 && others >= (uint64_t)s->client_connection_limit) {
        admission_leave(a);
        atomic_fetch_add_explicit(&a->over_limit, 1, memory_order_relaxed);
        return ERR_LIMIT;
    }
    if (s->client_connection_rate_limit > 0 &&
        !take_rate(a, s->client_connection_rate_limit, now_ms * 1000000)) {
        admission_leave(a);
        atomic_fetch_add_explicit(&a->over_rate, 1, memory_order_relaxed);
        return ERR_BUSY;
    }
    return OK;
}

void admission_leave(struct admission *a)
{
    uint64_t before = atomic_fetch_sub_explicit(&a->connections, 1, memory_order_relaxed);

    DCHECK(before > 0);
    (void)before;
}

bool admission_may_warn(struct admission *a, uint64_t now_ms)
{
    uint64_t last = atomic_load_explicit(&a->warned_ms, memory_order_relaxed);

    if (last != 0 && now_ms < last + WARN_EVERY_MS)
        return false;
    return atomic_compare_exchange_strong_explicit(&a->warned_ms, &last, now_ms,
                                                   memory_order_relaxed, memory_order_relaxed);
}

/* --- connections of a user -------------------------------------------------------------------- */

static struct stripe *lock_stripe(struct admission *a, uint64_t hash)
{
    struct stripe *s = &a->stripes[hash >> 32 & (STRIPES - 1)]; /* the map uses the low bits */

    uv_mutex_lock(&s->lock);
    return s;
}

enum err admission_enter_user(struct admission *a, struct str user, int64_t limit)
{
    uint64_t hash = map_hash(user);
    struct counted_user *u;
    struct map_node *node;
    struct stripe *s = lock_stripe(a, hash);
    enum err err = OK;

    node = map_get_hashed(&s->users, user, hash);
    if (node) {
        u = container_of(node, struct counted_user, by_name);
    } else {
        u = mem_alloc(sizeof *u + user.len);
        u->connections = 0;
        memcpy(u->name, user.ptr, user.len);
        map_add_hashed(&s->users, &u->by_name, str_of(u->name, user.len), hash);
    }
    if (u->connections >= (uint64_t)limit)
        err = ERR_LIMIT;
    else
        u->connections++;
    uv_mutex_unlock(&s->lock);
    return err;
}

void admission_leave_user(struct admission *a, struct str user)
{
    uint64_t hash = map_hash(user);
    struct stripe *s = lock_stripe(a, hash);
    struct map_node *node;

    node = map_get_hashed(&s->users, user, hash);
    CHECK(node != NULL);
    if (--container_of(node, struct counted_user, by_name)->connections == 0) {
        map_del(&s->users, node);
        map_fit(&s->users);
        mem_free(container_of(node, struct counted_user, by_name));
    }
    uv_mutex_unlock(&s->lock);
}

struct admission_counts admission_counts(const struct admission *a)
{
    return (struct admission_counts){
        .connections = atomic_load_explicit(&a->connections, memory_order_relaxed),
        .over_limit = atomic_load_explicit(&a->over_limit, memory_order_relaxed),
        .over_rate = atomic_load_explicit(&a->over_rate, memory_order_relaxed),
    };
}
