/* Streams and presence in this worker's memory: what a restart loses (and the new epoch says so).
 * Each home has one of its own, so nothing here is shared. Answers come before the call returns. */
#include "core/engine.h"

#include "base/check.h"
#include "base/list.h"
#include "base/map.h"
#include "base/mem.h"
#include "base/random.h"
#include "core/presence_memory.h"
#include "loop/worker.h"

#define EPOCH_LETTERS 8
#define IDEMPOTENCY_TTL_MS (300 * 1000)
#define IDEMPOTENCY_MAX 1000000 /* per worker; beyond it the oldest key is forgotten early */

/* The publications of a channel: offsets top-count+1 … top, in a ring. */
struct stream {
    struct memory *memory;
    struct map_node by_channel;
    struct publication **ring;
    uint32_t first, count, cap;
    uint64_t top;
    uint64_t version;
    struct str version_epoch; /* owned */
    char epoch[EPOCH_LETTERS];
    uint64_t items_due, meta_due; /* when publications, when everything is forgotten */
    struct timer timer;           /* looks at both; moved lazily */
    char channel[];
};

/* A key of an idempotent publish, "channel\0key", and what was answered. */
struct idempotent {
    struct list in_order;
    struct map_node by_key;
    uint64_t due_ms, offset;
    uint8_t epoch_len;
    char epoch[EPOCH_LEN_MAX];
    char key[];
};

struct memory {
    struct engine engine;
    struct worker *worker;
    struct map streams, idempotent;
    struct list idempotent_order;
    struct timer idempotent_timer;
    struct presence_memory presence;
};

static struct memory *memory_of(struct engine *e)
{
    return container_of(e, struct memory, engine);
}

static struct str stream_epoch(const struct stream *s)
{
    return str_of(s->epoch, EPOCH_LETTERS);
}

static struct publication **stream_at(const struct stream *s, uint32_t i)
{
    return &s->ring[(s->first + i) & (s->cap - 1)];
}

/* --- streams ---------------------------------------------------------------------------------- */

static void stream_trim(struct stream *s, uint32_t keep)
{
    while (s->count > keep) {
        publication_unref(*stream_at(s, 0));
        s->first = (s->first + 1) & (s->cap - 1);
        s->count--;
    }
    if (keep == 0) {
        mem_free(s->ring);
        s->ring = NULL;
        s->first = s->cap = 0;
    }
}

static void stream_free(struct stream *s)
{
    stream_trim(s, 0);
    timer_unset(&s->memory->worker->timers, &s->timer);
    map_del(&s->memory->streams, &s->by_channel);
    str_free(&s->version_epoch);
    mem_free(s);
}

static void stream_arm(struct stream *s)
{
    uint64_t due = s->count > 0 ? MIN(s->items_due, s->meta_due) : s->meta_due;

    timer_set(&s->memory->worker->timers, &s->timer, due);
}

static void on_stream_due(struct timer *t)
{
    struct stream *s = container_of(t, struct stream, timer);
    uint64_t now = s->memory->worker->now_ms;

    if (s->meta_due <= now) {
        struct memory *m = s->memory;

        stream_free(s);
        map_fit(&m->streams);
        return;
    }
    if (s->items_due <= now)
        stream_trim(s, 0);
    stream_arm(s);
}

static struct stream *stream_find(struct memory *m, struct str channel)
{
    struct map_node *node = map_get(&m->streams, channel);

    return node ? container_of(node, struct stream, by_channel) : NULL;
}

/* The stream with its meta data made or renewed: both publishing and reading do so. */
static struct stream *stream_touch(struct memory *m, struct str channel,
                                   const struct stream_options *options)
{
    struct stream *s = stream_find(m, channel);

    if (s == NULL) {
        s = mem_zalloc(sizeof *s + channel.len);
        s->memory = m;
        memcpy(s->channel, channel.ptr, channel.len);
        random_letters(s->epoch, EPOCH_LETTERS);
        s->timer = TIMER_INIT(on_stream_due);
        map_add(&m->streams, &s->by_channel, str_of(s->channel, channel.len));
    }
    s->meta_due = m->worker->now_ms + (uint64_t)options->meta_ttl_ms;
    if (!timer_is_set(&s->timer))
        stream_arm(s);
    return s;
}

static void stream_append(struct stream *s, struct publication *p,
                          const struct stream_options *options)
{
    uint64_t due = s->memory->worker->now_ms + (uint64_t)options->ttl_ms;

    stream_trim(s, options->size - 1);
    if (s->count == s->cap) {
        uint32_t cap = s->cap ? s->cap * 2 : 4;
        struct publication **ring = mem_alloc(cap * sizeof *ring);

        for (uint32_t i = 0; i < s->count; i++)
            ring[i] = *stream_at(s, i);
        mem_free(s->ring);
        s->ring = ring;
        s->first = 0;
        s->cap = cap;
    }
    publication_set_position(p, ++s->top, stream_epoch(s));
    *stream_at(s, s->count) = publication_ref(p);
    s->count++;
    if (s->items_due == 0 || due < s->timer.due_ms) {
        s->items_due = due;
        stream_arm(s);
    }
    s->items_due = due;
}

/* --- idempotency ------------------------------------------------------------------------------ */

static void idempotent_forget(struct memory *m, struct idempotent *i)
{
    map_del(&m->idempotent, &i->by_key);
    list_del(&i->in_order);
    mem_free(i);
}

static void on_idempotent_due(struct timer *t)
{
    struct memory *m = container_of(t, struct memory, idempotent_timer);

    list_each_safe (&m->idempotent_order, it) {
        struct idempotent *i = container_of(it, struct idempotent, in_order);

        if (i->due_ms > m->worker->now_ms) {
            timer_set(&m->worker->timers, t, i->due_ms);
            break;
        }
        idempotent_forget(m, i);
    }
    map_fit(&m->idempotent);
}

static struct str idempotent_key(struct buf *scratch, const struct engine_publish *what)
{
    buf_add_str(scratch, what->publication->channel);
    buf_add_char(scratch, '\0');
    buf_add_str(scratch, what->idempotency_key);
    return buf_str(scratch);
}

static void idempotent_remember(struct memory *m, struct str key, struct stream_position position)
{
    struct idempotent *i = mem_alloc(sizeof *i + key.len);

    if (m->idempotent.count >= IDEMPOTENCY_MAX)
        idempotent_forget(m, container_of(m->idempotent_order.next, struct idempotent, in_order));
    memcpy(i->key, key.ptr, key.len);
    i->due_ms = m->worker->now_ms + IDEMPOTENCY_TTL_MS;
    i->offset = position.offset;
    i->epoch_len = (uint8_t)position.epoch.len;
    if (position.epoch.len > 0)
        memcpy(i->epoch, position.epoch.ptr, position.epoch.len);
    list_add_tail(&m->idempotent_order, &i->in_order);
    map_add(&m->idempotent, &i->by_key, str_of(i->key, key.len));
    if (!timer_is_set(&m->idempotent_timer))
        timer_set(&m->worker->timers, &m->idempotent_timer, i->due_ms);
}

/* --- publish ---------------------------------------------------------------------------------- */

/* An older version than the one seen is not for anybody. */
static bool version_is_old(const struct stream *s, const struct engine_publish *what)
{
    return what->version > 0 && what->version <= s->version &&
           (what->version_epoch.len == 0 || str_eq(what->version_epoch, s->version_epoch));
}

static void store(struct memory *m, const struct engine_publish *what,
                  struct engine_published *result)
{
    struct stream *s = stream_touch(m, what->publication->channel, &what->stream);

    if (version_is_old(s, what)) {
        if (s->count > 0)
            s->items_due = m->worker->now_ms + (uint64_t)what->stream.ttl_ms;
        result->suppressed = true;
    } else {
        stream_append(s, what->publication, &what->stream);
        if (what->version > 0) { /* one without a version in between leaves it as it is */
            s->version = what->version;
            str_free(&s->version_epoch);
            s->version_epoch = str_dup(what->version_epoch);
        }
    }
    result->position = (struct stream_position){s->top, stream_epoch(s)};
}

/* What a delta of `what` is made against; a reference. */
static struct publication *newest(struct memory *m, const struct engine_publish *what)
{
    struct stream *s = what->publication->delta && what->stream.size > 0
                           ? stream_find(m, what->publication->channel)
                           : NULL;

    return s && s->count > 0 ? publication_ref(*stream_at(s, s->count - 1)) : NULL;
}

static void memory_publish(struct engine *e, const struct engine_publish *what,
                           engine_published_fn *fn, void *arg)
{
    struct memory *m = memory_of(e);
    struct engine_published result = {.deliver = true};
    struct buf scratch = BUF_INIT(1 << 20);
    bool once = what->idempotency_key.len > 0;
    struct str key = once ? idempotent_key(&scratch, what) : STR_NONE;
    struct map_node *known = once ? map_get(&m->idempotent, key) : NULL;

    if (known) {
        struct idempotent *i = container_of(known, struct idempotent, by_key);

        result.suppressed = true;
        result.position = (struct stream_position){i->offset, str_of(i->epoch, i->epoch_len)};
    } else {
        result.previous = newest(m, what); /* before the stream may drop it */
        if (what->stream.size > 0)
            store(m, what, &result);
        if (once && !result.suppressed)
            idempotent_remember(m, key, result.position);
    }
    result.deliver = !result.suppressed;
    fn(arg, OK, &result);
    if (result.previous)
        publication_unref(result.previous);
    buf_deinit(&scratch);
}

/* --- reading ---------------------------------------------------------------------------------- */

/* The indices [*from, *to) of the ring that a forward filter means. */
static void range_forward(const struct stream *s, const struct history_filter *f, uint32_t *from,
                          uint32_t *to)
{
    uint64_t oldest = s->top - s->count + 1;

    *from = 0;
    *to = s->count;
    if (f->has_since && f->since_offset >= oldest)
        *from = (uint32_t)MIN(f->since_offset - oldest + 1, (uint64_t)s->count);
    if (f->limit >= 0 && (uint64_t)f->limit < *to - *from)
        *to = *from + (uint32_t)f->limit;
}

/* The same for a reverse one; the caller walks it backwards. */
static void range_reverse(const struct stream *s, const struct history_filter *f, uint32_t *from,
                          uint32_t *to)
{
    uint64_t oldest = s->top - s->count + 1;

    *from = 0;
    *to = s->count;
    if (f->has_since) {
        if (f->since_offset <= oldest) /* its predecessor is no longer kept */
            *to = 0;
        else
            *to = (uint32_t)MIN(f->since_offset - oldest, (uint64_t)s->count);
    }
    if (f->limit >= 0 && (uint64_t)f->limit < *to)
        *from = *to - (uint32_t)f->limit;
}

static void memory_history(struct engine *e, struct str channel,
                           const struct stream_options *options,
                           const struct history_filter *filter, engine_history_fn *fn, void *arg)
{
    struct stream *s = stream_touch(memory_of(e), channel, options);
    struct history_result result = {.position = {s->top, stream_epoch(s)}};
    struct publication **list = NULL;
    uint32_t from = 0, to = 0;

    if (filter->has_since && filter->since_epoch.len > 0 &&
        !str_eq(filter->since_epoch, stream_epoch(s))) {
        fn(arg, ERR_EXPIRED, &result);
        return;
    }
    if (filter->reverse)
        range_reverse(s, filter, &from, &to);
    else
        range_forward(s, filter, &from, &to);
    result.count = to - from;
    if (result.count > 0) {
        list = mem_alloc(result.count * sizeof *list);
        for (uint32_t i = 0; i < result.count; i++)
            list[i] = *stream_at(s, filter->reverse ? to - 1 - i : from + i);
    }
    result.publications = list;
    fn(arg, OK, &result);
    mem_free(list);
}

static void memory_history_remove(struct engine *e, struct str channel, engine_done_fn *fn,
                                  void *arg)
{
    struct stream *s = stream_find(memory_of(e), channel);

    if (s)
        stream_trim(s, 0);
    fn(arg, OK);
}

/* --- the rest --------------------------------------------------------------------------------- */

static void memory_subscribe(struct engine *e, struct str channel, engine_done_fn *fn, void *arg)
{
    fn(arg, OK); /* everything published here is seen by the home anyway */
}

static void memory_unsubscribe(struct engine *e, struct str channel)
{
}

static void memory_presence_add(struct engine *e, struct str channel,
                                const struct presence_entry *entry, engine_done_fn *fn, void *arg)
{
    presence_memory_add(&memory_of(e)->presence, channel, entry);
    fn(arg, OK);
}

static void memory_presence_remove(struct engine *e, struct str channel, struct str client,
                                   engine_done_fn *fn, void *arg)
{
    presence_memory_remove(&memory_of(e)->presence, channel, client);
    fn(arg, OK);
}

static void memory_presence(struct engine *e, struct str channel, bool stats_only,
                            engine_presence_fn *fn, void *arg)
{
    presence_memory_read(&memory_of(e)->presence, channel, stats_only, fn, arg);
}

static void memory_close(struct engine *e)
{
    struct memory *m = memory_of(e);
    struct map_iter it;

    map_each (&m->streams, &it, node)
        stream_free(container_of(node, struct stream, by_channel));
    map_deinit(&m->streams);
    list_each_safe (&m->idempotent_order, item)
        idempotent_forget(m, container_of(item, struct idempotent, in_order));
    map_deinit(&m->idempotent);
    timer_unset(&m->worker->timers, &m->idempotent_timer);
    presence_memory_deinit(&m->presence);
    mem_free(m);
}

static const struct engine_ops memory_ops = {
    .name = "memory",
    .publish = memory_publish,
    .subscribe = memory_subscribe,
    .unsubscribe = memory_unsubscribe,
    .history = memory_history,
    .history_remove = memory_history_remove,
    .presence_add = memory_presence_add,
    .presence_remove = memory_presence_remove,
    .presence = memory_presence,
    .close = memory_close,
};

struct engine *engine_memory_new(struct worker *w)
{
    struct memory *m = mem_zalloc(sizeof *m);

    m->engine.ops = &memory_ops;
    m->worker = w;
    list_init(&m->idempotent_order);
    m->idempotent_timer = TIMER_INIT(on_idempotent_due);
    return &m->engine;
}
