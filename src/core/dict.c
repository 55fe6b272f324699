#include "core/dict.h"

#include "base/check.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/map.h"
#include "base/mem.h"

#include <assert.h>
#include <stdatomic.h>
#include <uv.h>

#define BUCKETS_AT_ONCE 1024 /* that keys walks under one lock */
#define SWEEP_AT_ONCE 256    /* the same of the sweep */
#define SWEEP_STEP 20000     /* buckets a second: some two milliseconds */
#define SWEEP_WHEN_FULL 1024 /* buckets that one refused call looks through */
#define ENTRY_OVERHEAD 32    /* what an entry costs in its bucket and in malloc */
#define BUCKETS_KEPT 64      /* of a stripe that has become empty */
#define WARN_EVERY_MS 3000

struct entry {
    struct map_node node;
    uint64_t expires_ms; /* monotonic; 0: never */
    union {
        int64_t integer;
        double number;
        bool boolean;
    };
    uint32_t key_len, text_len;
    uint8_t type; /* enum dict_type */
    char bytes[]; /* the key, then the text */
};

struct stripe {
    uv_mutex_t lock;
    struct map entries;
    size_t expiring; /* entries that have an end */
};

struct dict {
    struct dicts *all;
    struct str name;
    struct stripe stripes[DICT_STRIPES];
};

struct dicts {
    _Atomic size_t bytes, bytes_max;
    _Atomic uint64_t keys, full, warned_ms;
    uv_mutex_t making; /* list grows */
    struct dict *list[DICTS_MAX];
    _Atomic unsigned count; /* of list: what is below it never changes */
    uv_mutex_t sweeping;    /* the place of the sweep, below */
    unsigned at_dict, at_stripe;
    size_t at_bucket;
};

/* --- memory ----------------------------------------------------------------------------------- */

static bool reserve(struct dicts *all, size_t n)
{
    size_t used = atomic_fetch_add_explicit(&all->bytes, n, memory_order_relaxed);

    if (used + n <= atomic_load_explicit(&all->bytes_max, memory_order_relaxed))
        return true;
    atomic_fetch_sub_explicit(&all->bytes, n, memory_order_relaxed);
    return false;
}

static void release(struct dicts *all, size_t n)
{
    atomic_fetch_sub_explicit(&all->bytes, n, memory_order_relaxed);
}

static size_t cost(const struct entry *e)
{
    return sizeof *e + ENTRY_OVERHEAD + e->key_len + e->text_len;
}

static struct str entry_key(const struct entry *e)
{
    return str_of(e->bytes, e->key_len);
}

static struct entry *entry_new(struct str key, const struct dict_value *value, uint64_t expires_ms)
{
    size_t text_len = value->type == DICT_TEXT ? value->text.len : 0;
    struct entry *e = mem_alloc(sizeof *e + key.len + text_len);

    CHECK(key.len > 0 && key.len <= DICT_KEY_MAX && text_len <= DICT_TEXT_MAX);
    memcpy(e->bytes, key.ptr, key.len);
    e->key_len = (uint32_t)key.len;
    e->expires_ms = expires_ms;
    e->type = (uint8_t)value->type;
    e->text_len = (uint32_t)text_len;
    switch (value->type) {
    case DICT_TEXT:
        if (text_len > 0)
            memcpy(e->bytes + key.len, value->text.ptr, text_len);
        break;
    case DICT_INTEGER:
        e->integer = value->integer;
        break;
    case DICT_NUMBER:
        e->number = value->number;
        break;
    case DICT_BOOLEAN:
        e->boolean = value->boolean;
        break;
    }
    return e;
}

/* A text stays where it is. */
static struct dict_value value_of(const struct entry *e)
{
    struct dict_value v = {.type = (enum dict_type)e->type};

    switch (v.type) {
    case DICT_TEXT:
        v.text = str_of(e->bytes + e->key_len, e->text_len);
        break;
    case DICT_INTEGER:
        v.integer = e->integer;
        break;
    case DICT_NUMBER:
        v.number = e->number;
        break;
    case DICT_BOOLEAN:
        v.boolean = e->boolean;
        break;
    }
    return v;
}

/* --- one stripe, under its lock --------------------------------------------------------------- */

static struct stripe *lock_stripe(struct dict *d, uint64_t hash)
{
    struct stripe *s = &d->stripes[hash >> 32 & (DICT_STRIPES - 1)]; /* the map uses the low bits */

    uv_mutex_lock(&s->lock);
    return s;
}

static bool is_over(const struct entry *e, uint64_t now_ms)
{
    return e->expires_ms != 0 && e->expires_ms <= now_ms;
}

/* The entry of key, also one whose time is over. */
static struct entry *find(const struct stripe *s, struct str key, uint64_t hash)
{
    struct map_node *node = map_get_hashed(&s->entries, key, hash);

    return node ? container_of(node, struct entry, node) : NULL;
}

/* Takes it out; whoever does so frees it. */
static void unlink_entry(struct dict *d, struct stripe *s, struct entry *e)
{
    map_del(&s->entries, &e->node);
    s->expiring -= e->expires_ms != 0;
    atomic_fetch_sub_explicit(&d->all->keys, 1, memory_order_relaxed);
    if (s->entries.count == 0 && s->entries.size > BUCKETS_KEPT)
        map_deinit(&s->entries);
}

static void link_entry(struct dict *d, struct stripe *s, struct entry *e, uint64_t hash)
{
    map_add_hashed(&s->entries, &e->node, entry_key(e), hash);
    s->expiring += e->expires_ms != 0;
    atomic_fetch_add_explicit(&d->all->keys, 1, memory_order_relaxed);
}

/* Puts fresh in the place of old, which may be NULL. False: there is no memory for it. */
static bool replace(struct dict *d, struct stripe *s, struct entry *old, struct entry *fresh,
                    uint64_t hash)
{
    size_t have = old ? cost(old) : 0, want = cost(fresh);

    if (want > have && !reserve(d->all, want - have))
        return false;
    if (want < have)
        release(d->all, have - want);
    if (old)
        unlink_entry(d, s, old);
    link_entry(d, s, fresh, hash);
    return true;
}

/* --- the sweep -------------------------------------------------------------------------------- */

/* Frees what is over in some buckets of a stripe from *bucket on, and moves that; true at its end.
 * looked counts buckets. */
static bool sweep_stripe(struct dict *d, struct stripe *s, size_t *bucket, size_t *looked)
{
    uint64_t now_ms = clock_mono_ms();
    struct map_node *gone = NULL;
    size_t freed = 0, end;
    bool at_end;

    uv_mutex_lock(&s->lock);
    end = s->expiring == 0 ? *bucket : MIN(*bucket + SWEEP_AT_ONCE, s->entries.size);
    for (; *bucket < end && s->expiring > 0; (*bucket)++, (*looked)++) {
        struct map_node *node = s->entries.buckets[*bucket], *next;

        for (; node; node = next) {
            struct entry *e = container_of(node, struct entry, node);

            next = node->next;
            if (!is_over(e, now_ms))
                continue;
            freed += cost(e);
            unlink_entry(d, s, e);
            node->next = gone;
            gone = node;
        }
    }
    at_end = s->expiring == 0 || *bucket >= s->entries.size;
    uv_mutex_unlock(&s->lock);

    release(d->all, freed);
    while (gone) {
        struct map_node *next = gone->next;

        mem_free(container_of(gone, struct entry, node));
        gone = next;
    }
    return at_end;
}

/* Goes on where the last one stopped, once around at most. */
static void sweep(struct dicts *all, size_t buckets)
{
    unsigned count = atomic_load_explicit(&all->count, memory_order_acquire);
    size_t looked = 0, stripes = (size_t)count * DICT_STRIPES + 1;

    if (count == 0 || uv_mutex_trylock(&all->sweeping) != 0)
        return; /* somebody does it already */
    while (looked < buckets && stripes > 0) {
        struct dict *d = all->list[all->at_dict % count];

        if (!sweep_stripe(d, &d->stripes[all->at_stripe], &all->at_bucket, &looked))
            continue;
        stripes--;
        all->at_bucket = 0;
        all->at_stripe = (all->at_stripe + 1) % DICT_STRIPES;
        if (all->at_stripe == 0)
            all->at_dict = (all->at_dict + 1) % count;
    }
    uv_mutex_unlock(&all->sweeping);
}

void dicts_sweep(struct dicts *all)
{
    sweep(all, SWEEP_STEP);
}

/* --- operations ------------------------------------------------------------------------------- */

enum err dict_get(struct dict *d, struct str key, struct buf *buf, struct dict_value *out)
{
    uint64_t hash = map_hash(key), now_ms = clock_mono_ms();
    struct stripe *s = lock_stripe(d, hash);
    struct entry *e = find(s, key, hash);
    bool found = e && !is_over(e, now_ms);

    if (found) {
        *out = value_of(e);
        if (out->type == DICT_TEXT) {
            buf_clear(buf);
            buf_add_str(buf, out->text);
            out->text = buf_str(buf);
        }
    }
    uv_mutex_unlock(&s->lock);
    return found ? OK : ERR_NOT_FOUND;
}

static enum err increment(struct entry *e, const struct dict_value *by, struct dict_value *out)
{
    struct dict_value v = value_of(e);

    if (v.type == DICT_INTEGER && by->type == DICT_INTEGER) {
        if (__builtin_add_overflow(v.integer, by->integer, &v.integer))
            return ERR_DENIED;
        e->integer = v.integer;
    } else if (v.type == DICT_INTEGER || v.type == DICT_NUMBER) {
        double a = v.type == DICT_INTEGER ? (double)v.integer : v.number;

        v = (struct dict_value){.type = DICT_NUMBER};
        v.number = a + (by->type == DICT_INTEGER ? (double)by->integer : by->number);
        e->type = DICT_NUMBER;
        e->number = v.number;
    } else {
        return ERR_SYNTAX;
    }
    *out = v;
    return OK;
}

enum how { SET, ADD, INCREMENT };

static enum err put_once(struct dict *d, struct entry **fresh, uint64_t hash, enum how how,
                         struct dict_value *value, uint64_t now_ms)
{
    struct entry *taken = *fresh;
    struct stripe *s = lock_stripe(d, hash);
    struct entry *old = find(s, entry_key(taken), hash);
    bool is_there = old && !is_over(old, now_ms);
    enum err err = OK;

    if (is_there && how == ADD) {
        err = ERR_EXISTS;
    } else if (is_there && how == INCREMENT) {
        err = increment(old, value, value);
    } else if (replace(d, s, old, taken, hash)) {
        *fresh = old;
    } else {
        err = ERR_LIMIT;
    }
    uv_mutex_unlock(&s->lock);
    return err;
}

static void warn_full(struct dict *d, uint64_t now_ms)
{
    struct dicts *all = d->all;
    uint64_t last = atomic_load_explicit(&all->warned_ms, memory_order_relaxed);

    atomic_fetch_add_explicit(&all->full, 1, memory_order_relaxed);
    if ((last != 0 && now_ms < last + WARN_EVERY_MS) ||
        !atomic_compare_exchange_strong_explicit(&all->warned_ms, &last, now_ms,
                                                 memory_order_relaxed, memory_order_relaxed))
        return;
    LOG_WITH(LOG_WARN, "perigee.dict is full: nothing new is kept", LOG_S("dict", d->name),
             LOG_I("bytes", atomic_load_explicit(&all->bytes, memory_order_relaxed)),
             LOG_Z("option", "lua.dict_memory_limit"));
}

/* value is what INCREMENT adds, and then the sum. */
static enum err put(struct dict *d, struct str key, uint64_t ttl_ms, enum how how,
                    struct dict_value *value)
{
    uint64_t hash = map_hash(key), now_ms = clock_mono_ms();
    struct entry *fresh = entry_new(key, value, ttl_ms ? now_ms + ttl_ms : 0);
    enum err err = put_once(d, &fresh, hash, how, value, now_ms);

    if (err == ERR_LIMIT) {
        sweep(d->all, SWEEP_WHEN_FULL);
        err = put_once(d, &fresh, hash, how, value, now_ms);
    }
    if (err == ERR_LIMIT)
        warn_full(d, now_ms);
    mem_free(fresh); /* the one that it replaced, or itself */
    return err;
}

enum err dict_set(struct dict *d, struct str key, const struct dict_value *value, uint64_t ttl_ms)
{
    struct dict_value v = *value;

    return put(d, key, ttl_ms, SET, &v);
}

enum err dict_add(struct dict *d, struct str key, const struct dict_value *value, uint64_t ttl_ms)
{
    struct dict_value v = *value;

    return put(d, key, ttl_ms, ADD, &v);
}

enum err dict_incr(struct dict *d, struct str key, const struct dict_value *by, uint64_t ttl_ms,
                   struct dict_value *out)
{
    CHECK(by->type == DICT_INTEGER || by->type == DICT_NUMBER);
    *out = *by;
    return put(d, key, ttl_ms, INCREMENT, out);
}

bool dict_delete(struct dict *d, struct str key)
{
    uint64_t hash = map_hash(key), now_ms = clock_mono_ms();
    struct stripe *s = lock_stripe(d, hash);
    struct entry *e = find(s, key, hash);
    bool was_there = e && !is_over(e, now_ms);

    if (e) {
        release(d->all, cost(e));
        unlink_entry(d, s, e);
    }
    uv_mutex_unlock(&s->lock);
    mem_free(e);
    return was_there;
}

/* --- keys ------------------------------------------------------------------------------------- */

static void add_key(struct buf *out, struct str key)
{
    uint16_t len = (uint16_t)key.len;

    static_assert(DICT_KEY_MAX <= UINT16_MAX, "the length fits");
    buf_add(out, &len, sizeof len);
    buf_add_str(out, key);
}

enum err dict_keys(struct dict *d, unsigned stripe, struct str prefix, struct buf *out)
{
    struct stripe *s = &d->stripes[stripe];
    uint64_t now_ms = clock_mono_ms();
    size_t bucket = 0, size = 0, begun = out->len;

    CHECK(stripe < DICT_STRIPES);
    do {
        size_t end;

        uv_mutex_lock(&s->lock);
        if (s->entries.size != size) { /* its entries lie elsewhere now: once more */
            out->len = begun;
            bucket = 0;
            size = s->entries.size;
        }
        for (end = MIN(bucket + BUCKETS_AT_ONCE, size); bucket < end; bucket++) {
            for (struct map_node *node = s->entries.buckets[bucket]; node; node = node->next) {
                if (str_starts(map_key(node), prefix) &&
                    !is_over(container_of(node, struct entry, node), now_ms))
                    add_key(out, map_key(node));
            }
        }
        uv_mutex_unlock(&s->lock);
    } while (bucket < size && !out->overflow);
    return out->overflow ? ERR_LIMIT : OK;
}

bool dict_next_key(struct str *keys, struct str *key)
{
    uint16_t len;

    if (keys->len == 0)
        return false;
    memcpy(&len, keys->ptr, sizeof len);
    *key = str_of(keys->ptr + sizeof len, len);
    *keys = str_cut(*keys, sizeof len + len);
    return true;
}

/* --- all of them ------------------------------------------------------------------------------ */

struct dicts *dicts_new(size_t bytes_max)
{
    struct dicts *all = mem_zalloc(sizeof *all);

    all->bytes_max = bytes_max;
    CHECK(uv_mutex_init(&all->making) == 0 && uv_mutex_init(&all->sweeping) == 0);
    return all;
}

static void dict_free(struct dict *d)
{
    for (size_t i = 0; i < DICT_STRIPES; i++) {
        struct stripe *s = &d->stripes[i];
        struct map_iter it;

        map_each (&s->entries, &it, node)
            mem_free(container_of(node, struct entry, node));
        map_deinit(&s->entries);
        uv_mutex_destroy(&s->lock);
    }
    str_free(&d->name);
    mem_free(d);
}

void dicts_free(struct dicts *all)
{
    if (!all)
        return;
    for (unsigned i = 0; i < all->count; i++)
        dict_free(all->list[i]);
    uv_mutex_destroy(&all->making);
    uv_mutex_destroy(&all->sweeping);
    mem_free(all);
}

void dicts_set_limit(struct dicts *all, size_t bytes_max)
{
    atomic_store_explicit(&all->bytes_max, bytes_max, memory_order_relaxed);
}

static struct dict *dict_new(struct dicts *all, struct str name)
{
    struct dict *d = mem_zalloc(sizeof *d);

    d->all = all;
    d->name = str_dup(name);
    for (size_t i = 0; i < DICT_STRIPES; i++)
        CHECK(uv_mutex_init(&d->stripes[i].lock) == 0);
    return d;
}

enum err dicts_get(struct dicts *all, struct str name, struct dict **out)
{
    enum err err = OK;
    unsigned i = 0, count;

    CHECK(name.len > 0 && name.len <= DICT_NAME_MAX);
    uv_mutex_lock(&all->making);
    count = atomic_load_explicit(&all->count, memory_order_relaxed);
    while (i < count && !str_eq(all->list[i]->name, name))
        i++;
    if (i == DICTS_MAX) {
        err = ERR_LIMIT;
    } else if (i == count) {
        all->list[i] = dict_new(all, name);
        atomic_store_explicit(&all->count, count + 1, memory_order_release);
    }
    if (err == OK)
        *out = all->list[i];
    uv_mutex_unlock(&all->making);
    return err;
}

struct dict_counts dicts_counts(const struct dicts *all)
{
    if (!all)
        return (struct dict_counts){0};
    return (struct dict_counts){
        .keys = atomic_load_explicit(&all->keys, memory_order_relaxed),
        .bytes = atomic_load_explicit(&all->bytes, memory_order_relaxed),
        .full = atomic_load_explicit(&all->full, memory_order_relaxed),
    };
}
