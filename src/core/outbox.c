#include "core/outbox.h"

#include "core/core.h"

/* Frames in one gathered write; the kernel takes up to 1024. */
#define FRAMES_PER_WRITE 256
/* What the stream gets when the socket is full: enough to refill it, little enough that the count
 * of waiting bytes stays honest, since the stream tells only when all of it is out. */
#define DRAIN_BYTES (64 * 1024)
#define CAP_MIN 8

struct series outbox_no_series;

static struct outboxes *outboxes_of(const struct outbox *o)
{
    return core_of(stream_worker(o->stream))->outboxes;
}

bool outbox_is_empty(const struct outbox *o)
{
    return o->count == 0 && !outbox_has_series(o);
}

size_t outbox_bytes(const struct outbox *o)
{
    return outbox_has_series(o) ? o->series->bytes : o->bytes;
}

/* The queue has changed, and there is no series. */
static void settle(struct outbox *o)
{
    bool open = o->stream && o->count == 0 && !o->failed && !o->sealed;

    o->series = open ? NULL : &outbox_no_series;
}

/* --- the queue of its own --------------------------------------------------------------------- */

static struct frame **slot(struct outbox *o, uint32_t i)
{
    return o->cap == 0 ? &o->one : &o->queue[(o->head + i) & (o->cap - 1)];
}

/* Makes room for more frames behind those it has. */
static void reserve(struct outbox *o, uint32_t more)
{
    uint32_t cap = o->cap == 0 ? CAP_MIN : o->cap;
    struct frame **queue;

    if (o->count + more <= MAX(o->cap, 1))
        return;
    while (cap < o->count + more) {
        CHECK(cap <= UINT32_MAX / 2);
        cap *= 2;
    }
    queue = mem_alloc(cap * sizeof *queue);
    for (uint32_t i = 0; i < o->count; i++)
        queue[i] = *slot(o, i);
    if (o->cap > 0)
        mem_free(o->queue);
    o->queue = queue;
    o->cap = cap;
    o->head = 0;
}

static void release_ring(struct outbox *o)
{
    if (o->cap > 0)
        mem_free(o->queue);
    o->queue = NULL;
    o->cap = o->head = 0;
}

static void append(struct outbox *o, struct frame *f)
{
    reserve(o, 1);
    *slot(o, o->count++) = f;
    o->bytes += f->len;
    o->series = &outbox_no_series;
}

/* The first frame is out, or given up: its reference is the caller's. */
static struct frame *pop(struct outbox *o)
{
    struct frame *f = *slot(o, 0);

    o->bytes -= f->len - o->sent;
    o->sent = 0;
    o->head++;
    if (--o->count == 0)
        release_ring(o);
    return f;
}

static void drop_behind(struct outbox *o, uint32_t keep)
{
    while (o->count > keep) {
        struct frame *f = *slot(o, --o->count);

        o->bytes -= f->len - (o->count == 0 ? o->sent : 0);
        frame_unref(f);
    }
    if (o->count == 0) {
        release_ring(o);
        o->sent = 0;
    }
}

/* n more bytes are out. */
static void advance(struct outbox *o, size_t n)
{
    while (n > 0) {
        size_t rest = (*slot(o, 0))->len - o->sent;

        if (n < rest) {
            o->sent += n;
            o->bytes -= n;
            return;
        }
        n -= rest;
        frame_unref(pop(o));
    }
}

/* The series goes on as a queue of its own. */
static void leave_series(struct outbox *o)
{
    struct series *series = o->series;

    DCHECK(o->count == 0);
    reserve(o, series->count);
    series_frames(series, o->cap == 0 ? &o->one : o->queue);
    o->count = series->count;
    o->bytes = series->bytes;
    o->series = &outbox_no_series;
}

/* --- writing ---------------------------------------------------------------------------------- */

static void fail(struct outbox *o, enum err why)
{
    if (o->failed)
        return;
    o->failed = true;
    o->on_empty = NULL;
    o->series = &outbox_no_series;
    drop_behind(o, o->in_flight);
    o->on_fail(o, why);
}

/* Lists the unwritten rest of the first frames, until there are `frames` of them or max_bytes. */
static unsigned gather(struct outbox *o, uv_buf_t *bufs, uint32_t frames, size_t max_bytes,
                       size_t *bytes)
{
    uint32_t n = 0;
    size_t total = 0, skip = o->sent;

    for (frames = MIN(frames, o->count); n < frames && total < max_bytes; n++) {
        struct frame *f = *slot(o, n);

        bufs[n].base = f->bytes + skip;
        bufs[n].len = f->len - skip;
        total += bufs[n].len;
        skip = 0;
    }
    *bytes = total;
    return n;
}

/* The socket is full: libuv writes the next bytes when it can. */
static void await_room(struct outbox *o)
{
    uv_buf_t bufs[FRAMES_PER_WRITE];
    size_t bytes;

    o->in_flight = gather(o, bufs, FRAMES_PER_WRITE, DRAIN_BYTES, &bytes);
    stream_await_drain(o->stream, bufs, o->in_flight);
}

/* True when all of it is out. */
static bool write_queue(struct outbox *o)
{
    uv_buf_t bufs[FRAMES_PER_WRITE];

    while (o->count > 0) {
        size_t bytes;
        unsigned n = gather(o, bufs, FRAMES_PER_WRITE, SIZE_MAX, &bytes);
        ptrdiff_t written = stream_write(o->stream, bufs, n);

        if (written < 0) {
            fail(o, ERR_CLOSED);
            return false;
        }
        advance(o, (size_t)written);
        if ((size_t)written < bytes) {
            await_room(o);
            return false;
        }
    }
    settle(o);
    return true;
}

/* A socket took a part: the rest waits in a queue of its own, for the series ends with the turn. */
static void keep_rest(struct outbox *o, size_t written)
{
    leave_series(o);
    advance(o, written);
    await_room(o);
    if (o->bytes > o->bytes_max)
        fail(o, ERR_LIMIT);
}

static bool write_series(struct outbox *o, struct outboxes *all)
{
    struct str bytes = series_join(&all->series, o->series);
    uv_buf_t buf = uv_buf_init((char *)bytes.ptr, (unsigned)bytes.len);
    ptrdiff_t written = stream_write(o->stream, &buf, 1);

    if (__builtin_expect(written == (ptrdiff_t)bytes.len, 1)) {
        o->series = NULL;
        return true;
    }
    if (written < 0)
        fail(o, ERR_CLOSED);
    else
        keep_rest(o, (size_t)written);
    return false;
}

static void tell_empty(struct outbox *o)
{
    outbox_empty_fn *fn = o->on_empty;

    if (fn == NULL)
        return;
    o->on_empty = NULL;
    fn(o);
}

static void flush(struct outbox *o, struct outboxes *all)
{
    if (o->failed || stream_is_draining(o->stream))
        return;
    if (outbox_has_series(o) ? write_series(o, all) : write_queue(o))
        tell_empty(o);
}

/* --- the turn's end --------------------------------------------------------------------------- */

void outbox_list(struct outbox *o, struct outboxes *all)
{
    if (o->listed != 0)
        return;
    if (all->count == all->cap) {
        all->cap = MAX(all->cap * 2, 64);
        all->listed = mem_realloc(all->listed, all->cap * sizeof *all->listed);
    }
    all->listed[all->count++] = o;
    o->listed = all->count;
    worker_queue(all->worker, &all->task);
}

static void unlist(struct outbox *o)
{
    if (o->listed == 0)
        return;
    outboxes_of(o)->listed[o->listed - 1] = NULL;
    o->listed = 0;
}

static void queue_flush(struct outbox *o)
{
    if (o->stream && o->in_flight == 0)
        outbox_list(o, outboxes_of(o));
}

static void flush_all(struct turn_task *task)
{
    struct outboxes *all = container_of(task, struct outboxes, task);
    uint32_t n = all->count, left;

    for (uint32_t i = 0; i < n; i++) {
        struct outbox *o = all->listed[i];

        if (o) {
            o->listed = 0;
            flush(o, all);
        }
    }
    left = all->count - n; /* listed by what writing led to; their task is queued */
    for (uint32_t i = 0; i < left; i++) {
        all->listed[i] = all->listed[n + i];
        if (all->listed[i])
            all->listed[i]->listed = i + 1;
    }
    all->count = left;
    if (left == 0)
        series_reset(&all->series);
}

void outbox_flush(struct outbox *o)
{
    if (o->stream)
        flush(o, outboxes_of(o));
}

void outbox_drained(struct outbox *o)
{
    if (o->stream->broken) {
        o->in_flight = 0;
        drop_behind(o, 0);
        fail(o, ERR_CLOSED);
        return;
    }
    for (; o->in_flight > 0; o->in_flight--)
        frame_unref(pop(o));
    outbox_flush(o);
}

void outbox_when_empty(struct outbox *o, outbox_empty_fn *fn)
{
    if (o->failed)
        return;
    o->on_empty = fn;
    queue_flush(o);
}

struct outboxes *outboxes_new(struct worker *w)
{
    struct outboxes *all = mem_zalloc(sizeof *all);

    all->worker = w;
    all->task.run = flush_all;
    list_init(&all->task.in_turn);
    return all;
}

void outboxes_free(struct outboxes *all)
{
    list_del(&all->task.in_turn);
    series_pool_deinit(&all->series);
    mem_free(all->listed);
    mem_free(all);
}

/* --- pushing ---------------------------------------------------------------------------------- */

void outbox_push_take(struct outbox *o, struct frame *f)
{
    /* An empty frame would look like a full socket. */
    if (__builtin_expect(o->failed | o->sealed | (f->len == 0), 0)) {
        frame_unref(f);
        return;
    }
    if (outbox_has_series(o))
        leave_series(o);
    append(o, f);
    /* Much in one turn is no slow client: what the socket takes does not count against it. */
    if (__builtin_expect(o->bytes > o->bytes_max, 0)) {
        outbox_flush(o);
        if (o->bytes > o->bytes_max)
            fail(o, ERR_LIMIT);
        return;
    }
    queue_flush(o);
}

void outbox_push(struct outbox *o, struct frame *f)
{
    outbox_push_take(o, frame_ref(f));
}

/* --- beginning and end ------------------------------------------------------------------------ */

void outbox_drop(struct outbox *o)
{
    o->failed = o->stream && o->stream->broken;
    o->on_empty = NULL;
    drop_behind(o, o->in_flight);
    settle(o);
}

void outbox_seal(struct outbox *o)
{
    if (outbox_has_series(o))
        leave_series(o);
    o->sealed = true;
    settle(o);
}

void outbox_init(struct outbox *o, struct stream *s, size_t bytes_max, outbox_fail_fn *on_fail)
{
    *o = (struct outbox){.stream = s, .bytes_max = bytes_max, .on_fail = on_fail};
    settle(o);
}

void outbox_deinit(struct outbox *o)
{
    CHECK(o->in_flight == 0 || !stream_is_draining(o->stream));
    o->failed = true;
    o->series = &outbox_no_series;
    o->in_flight = 0;
    unlist(o);
    drop_behind(o, 0);
}

struct frame *outbox_take(struct outbox *o)
{
    return o->stream == NULL && o->count > 0 ? pop(o) : NULL;
}
