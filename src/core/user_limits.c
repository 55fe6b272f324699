/* Only the times are kept, in a table by the hash of user and bucket: the hash is keyed and has 64
 * bits, so that nobody finds another's. A time that has passed is no news, so a place with one is
 * as good as free: nothing is ever deleted, and filling up, a table is made anew from the others.
 * A crowd that connects leaves one block of memory behind, not one for each user. */
#include "core/user_limits.h"

#include "base/check.h"
#include "base/map.h"
#include "base/mem.h"

#include <uv.h>

#define STRIPES 16 /* workers seldom meet in one */
#define PLACES_MIN 16
#define SWEEP_NS UINT64_C(1000000000) /* a stripe is not swept again so soon */
#define BUCKETS_MAX 1000000           /* in use on the node; the next one has to wait for another */

struct place {
    uint64_t key;     /* 0: never used */
    uint64_t full_ns; /* when the bucket is full again */
};

struct stripe {
    uv_mutex_t lock; /* held for one command, or one sweep */
    struct place *places;
    size_t size, used; /* a power of two, at most three quarters of it used; or 0 */
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
    for (size_t i = 0; i < STRIPES; i++) {
        mem_free(ul->stripes[i].places);
        uv_mutex_destroy(&ul->stripes[i].lock);
    }
    mem_free(ul);
}

/* --- the table -------------------------------------------------------------------------------- */

/* Where the key is, or would go. */
static struct place *find(const struct stripe *s, uint64_t key)
{
    size_t i = key & (s->size - 1);

    while (s->places[i].key != key && s->places[i].key != 0)
        i = (i + 1) & (s->size - 1);
    return &s->places[i];
}

static size_t count_live(const struct stripe *s, uint64_t now_ns)
{
    size_t n = 0;

    for (size_t i = 0; i < s->size; i++)
        n += s->places[i].full_ns > now_ns;
    return n;
}

/* Makes it anew with what still says something and room for as many again and `more`. */
static void rebuild(struct stripe *s, size_t live, size_t more, uint64_t now_ns)
{
    struct stripe old = *s;

    s->size = live + more > 0 ? PLACES_MIN : 0; /* nobody: no memory */
    while (s->size > 0 && s->size / 2 < live + more)
        s->size *= 2;
    s->used = live;
    s->places = s->size > 0 ? mem_zalloc(s->size * sizeof *s->places) : NULL;
    for (size_t i = 0; i < old.size; i++) {
        if (old.places[i].full_ns > now_ns)
            *find(s, old.places[i].key) = old.places[i];
    }
    mem_free(old.places);
}

/* False: there are too many. */
static bool make_room(struct stripe *s, size_t more, uint64_t now_ns)
{
    size_t live;

    if (s->size > 0 && (s->used + more) * 4 <= s->size * 3)
        return true;
    live = count_live(s, now_ns);
    if (live + more > BUCKETS_MAX / STRIPES)
        return false;
    rebuild(s, live, more, now_ns);
    return true;
}

/* --- taking ----------------------------------------------------------------------------------- */

static uint64_t key_of(uint64_t hash, unsigned row, size_t i)
{
    uint64_t key = hash ^ (row * RATE_BUCKETS_MAX + i + 1) * UINT64_C(0x9E3779B97F4A7C15);

    return key ? key : 1;
}

/* When the bucket is full again: not further ahead than it holds, which may be less than before. */
static uint64_t full_ns(struct stripe *s, uint64_t key, const struct bucket *b, uint64_t now_ns)
{
    struct place *p = find(s, key);

    if (p->key == 0)
        return 0;
    p->full_ns = MIN(p->full_ns, now_ns + b->interval_ns);
    return p->full_ns;
}

static bool has(struct stripe *s, uint64_t hash, const struct user_limit *limit, uint64_t now_ns)
{
    for (size_t i = 0; i < limit->buckets->count; i++) {
        struct bucket b = bucket_of(limit->buckets->items[i]);

        if (!bucket_has(&b, full_ns(s, key_of(hash, limit->row, i), &b, now_ns), now_ns))
            return false;
    }
    return true;
}

/* There is room. */
static void take(struct stripe *s, uint64_t hash, const struct user_limit *limit, uint64_t now_ns)
{
    for (size_t i = 0; i < limit->buckets->count; i++) {
        struct bucket b = bucket_of(limit->buckets->items[i]);
        uint64_t key = key_of(hash, limit->row, i);
        uint64_t time = bucket_take(&b, full_ns(s, key, &b, now_ns), now_ns);
        struct place *p = find(s, key);

        s->used += p->key == 0;
        *p = (struct place){key, time};
    }
}

size_t user_limits_take(struct user_limits *ul, struct str user, const struct user_limit *limits,
                        size_t count, uint64_t now_ns)
{
    uint64_t hash = map_hash(user);
    struct stripe *s = &ul->stripes[hash >> 32 & (STRIPES - 1)]; /* the table uses the low bits */
    size_t refusing = 0, buckets = 0;

    for (size_t i = 0; i < count; i++)
        buckets += limits[i].buckets->count;
    uv_mutex_lock(&s->lock);
    if (make_room(s, buckets, now_ns)) {
        while (refusing < count && has(s, hash, &limits[refusing], now_ns))
            refusing++;
        for (size_t i = 0; refusing == count && i < count; i++)
            take(s, hash, &limits[i], now_ns);
    }
    uv_mutex_unlock(&s->lock);
    return refusing;
}

bool user_limits_sweep(struct user_limits *ul, uint64_t now_ns)
{
    bool left = false;

    for (size_t i = 0; i < STRIPES; i++) {
        struct stripe *s = &ul->stripes[i];
        size_t live;

        uv_mutex_lock(&s->lock);
        if (now_ns >= s->swept_ns + SWEEP_NS) {
            s->swept_ns = now_ns;
            live = count_live(s, now_ns);
            if (live < s->used)
                rebuild(s, live, 0, now_ns);
        }
        left = left || s->used > 0;
        uv_mutex_unlock(&s->lock);
    }
    return left;
}

size_t user_limits_count(struct user_limits *ul)
{
    size_t n = 0;

    for (size_t i = 0; i < STRIPES; i++) {
        uv_mutex_lock(&ul->stripes[i].lock);
        n += ul->stripes[i].used;
        uv_mutex_unlock(&ul->stripes[i].lock);
    }
    return n;
}
