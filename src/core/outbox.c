#include "core/outbox.h"

/* Frames in one gathered write; the kernel takes up to 1024. */
#define FRAMES_PER_WRITE 256
/* What is handed to libuv when the socket is full: enough to refill it, little enough that the
 * count of waiting bytes stays honest, since libuv tells only when all of it is out. */
#define DRAIN_BYTES (64 * 1024)
#define CAP_MIN 8

static struct frame **slot(struct outbox *o, uint32_t i)
{
    return o->cap == 0 ? &o->one : &o->queue[(o->head + i) & (o->cap - 1)];
}

static void grow(struct outbox *o)
{
    uint32_t cap = o->cap == 0 ? CAP_MIN : o->cap * 2;
    struct frame **queue = mem_alloc(cap * sizeof *queue);

    CHECK(cap > o->cap);
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
    if (o->cap == 0)
        return;
    mem_free(o->queue);
    o->queue = NULL;
    o->cap = o->head = 0;
}

/* The first frame is out, or given up: its reference is the caller's. */
static struct frame *pop(struct outbox *o)
{
    struct frame *f = *slot(o, 0);

    o->bytes -= f->len - o->sent;
    o->sent = 0;
    o->head++;
    if (--o->count == 0) {
        release_ring(o);
        o->head = 0;
    }
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
        o->head = 0;
        o->sent = 0;
    }
}

static void fail(struct outbox *o, enum err why)
{
    if (o->failed)
        return;
    o->failed = true;
    o->on_empty = NULL;
    list_del(&o->task.in_turn);
    drop_behind(o, o->in_flight);
    o->on_fail(o, why);
}

void outbox_drop(struct outbox *o)
{
    o->failed = o->stream && o->stream->broken;
    o->on_empty = NULL;
    drop_behind(o, o->in_flight);
}

void outbox_seal(struct outbox *o)
{
    o->sealed = true;
}

static void run_task(struct turn_task *task)
{
    outbox_flush(container_of(task, struct outbox, task));
}

void outbox_init(struct outbox *o, struct stream *s, size_t bytes_max, outbox_fail_fn *on_fail)
{
    *o = (struct outbox){.stream = s, .bytes_max = bytes_max, .on_fail = on_fail};
    o->task.run = run_task;
    list_init(&o->task.in_turn);
}

void outbox_deinit(struct outbox *o)
{
    CHECK(o->in_flight == 0 || !stream_is_draining(o->stream));
    o->failed = true;
    o->in_flight = 0;
    list_del(&o->task.in_turn);
    drop_behind(o, 0);
}

static void queue_flush(struct outbox *o)
{
    if (o->stream && o->in_flight == 0)
        worker_queue(stream_worker(o->stream), &o->task);
}

void outbox_push_take(struct outbox *o, struct frame *f)
{
    /* An empty frame would look like a full socket. */
    if (__builtin_expect(o->failed | o->sealed | (f->len == 0), 0)) {
        frame_unref(f);
        return;
    }
    if (o->count > 0 && o->count >= o->cap)
        grow(o);
    *slot(o, o->count++) = f;
    o->bytes += f->len;
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

static void tell_empty(struct outbox *o)
{
    outbox_empty_fn *fn = o->on_empty;

    if (fn == NULL)
        return;
    o->on_empty = NULL;
    fn(o);
}

void outbox_flush(struct outbox *o)
{
    uv_buf_t bufs[FRAMES_PER_WRITE];

    if (o->failed || o->stream == NULL || stream_is_draining(o->stream))
        return;
    list_del(&o->task.in_turn);
    while (o->count > 0) {
        size_t bytes;
        unsigned n = gather(o, bufs, FRAMES_PER_WRITE, SIZE_MAX, &bytes);
        ptrdiff_t written = stream_write(o->stream, bufs, n);

        if (written < 0) {
            fail(o, ERR_CLOSED);
            return;
        }
        advance(o, (size_t)written);
        if ((size_t)written < bytes) {
            o->in_flight = gather(o, bufs, FRAMES_PER_WRITE, DRAIN_BYTES, &bytes);
            stream_await_drain(o->stream, bufs, o->in_flight);
            return;
        }
    }
    tell_empty(o);
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

struct frame *outbox_take(struct outbox *o)
{
    return o->stream == NULL && o->count > 0 ? pop(o) : NULL;
}
