#include "loop/mailbox.h"

#include "base/check.h"
#include "base/mem.h"
#include "loop/worker.h"

#include <stdatomic.h>

/* What one wake-up delivers before sockets get their share again. */
#define MAIL_PER_WAKE 1024

struct mailbox {
    /* Written by every poster. */
    _Atomic(struct mail *) head; /* a stack: newest first */
    atomic_size_t posted;        /* mail from others, ever */
    char apart[64];              /* the owner's counters stay out of the posters' cache line */
    /* Written by the owner only; the counters are read by others. */
    atomic_size_t delivered;   /* mail from others, ever */
    atomic_size_t own_waiting; /* mail to oneself */
    struct mail *taken;        /* from the stack, turned round: oldest first */
    struct mail *own_first, *own_last;
    struct worker *owner;
    uv_async_t wake;
};

static void on_wake(uv_async_t *wake)
{
    struct mailbox *mb = wake->data;

    worker_woke(mb->owner);
    /* What is left over keeps the loop awake (mailbox_waits), so nothing is forgotten. */
    mailbox_drain(mb, MAIL_PER_WAKE);
}

struct mailbox *mailbox_new(struct worker *owner)
{
    struct mailbox *mb = mem_zalloc(sizeof *mb);

    mb->owner = owner;
    mb->wake.data = mb;
    CHECK(uv_async_init(&owner->loop, &mb->wake, on_wake) == 0);
    return mb;
}

void mailbox_close(struct mailbox *mb)
{
    uv_close((uv_handle_t *)&mb->wake, NULL);
}

void mailbox_free(struct mailbox *mb)
{
    mem_free(mb);
}

void mailbox_unref(struct mailbox *mb)
{
    uv_unref((uv_handle_t *)&mb->wake);
}

/* The owner is the only writer, so a plain load and store do: no locked instruction. */
static void count(atomic_size_t *counter, size_t change)
{
    size_t old = atomic_load_explicit(counter, memory_order_relaxed);

    atomic_store_explicit(counter, old + change, memory_order_relaxed);
}

static void post_to_oneself(struct mailbox *mb, struct mail *m)
{
    m->next = NULL;
    if (mb->own_first)
        mb->own_last->next = m;
    else
        mb->own_first = m;
    mb->own_last = m;
    count(&mb->own_waiting, 1);
}

void mailbox_post(struct mailbox *mb, struct mail *m)
{
    struct mail *old;

    if (worker_current() == mb->owner) {
        post_to_oneself(mb, m);
        return;
    }
    atomic_fetch_add_explicit(&mb->posted, 1, memory_order_relaxed);
    old = atomic_load_explicit(&mb->head, memory_order_relaxed);
    do {
        m->next = old;
    } while (!atomic_compare_exchange_weak_explicit(&mb->head, &old, m, memory_order_release,
                                                    memory_order_relaxed));
    /* Only the post that found it empty pays for the wake-up. The handle may be closed already; its
     * memory and the loop's event descriptor live until mailbox_free, so this is harmless. */
    if (old == NULL)
        uv_async_send(&mb->wake);
}

size_t mailbox_depth(struct mailbox *mb)
{
    size_t delivered = atomic_load_explicit(&mb->delivered, memory_order_relaxed);
    size_t posted = atomic_load_explicit(&mb->posted, memory_order_relaxed);
    size_t own = atomic_load_explicit(&mb->own_waiting, memory_order_relaxed);

    /* The three are not read at one moment; a metric may be off by a few, but not negative. */
    return own + (posted > delivered ? posted - delivered : 0);
}

static size_t drain_own(struct mailbox *mb, size_t max)
{
    size_t n;

    for (n = 0; n < max && mb->own_first; n++) {
        struct mail *m = mb->own_first;

        mb->own_first = m->next;
        count(&mb->own_waiting, (size_t)-1);
        m->deliver(mb->owner, m);
    }
    return n;
}

/* Takes the whole stack, so there is no half-taken state, and turns it round. */
static struct mail *take_posted(struct mailbox *mb)
{
    struct mail *m, *oldest = NULL;

    if (atomic_load_explicit(&mb->head, memory_order_relaxed) == NULL)
        return NULL;
    m = atomic_exchange_explicit(&mb->head, NULL, memory_order_acquire);
    while (m) {
        struct mail *older = m->next;

        m->next = oldest;
        oldest = m;
        m = older;
    }
    return oldest;
}

static size_t drain_posted(struct mailbox *mb, size_t max)
{
    size_t n;

    for (n = 0; n < max; n++) {
        struct mail *m = mb->taken ? mb->taken : take_posted(mb);

        if (m == NULL)
            break;
        mb->taken = m->next;
        count(&mb->delivered, 1);
        m->deliver(mb->owner, m);
    }
    return n;
}

size_t mailbox_drain(struct mailbox *mb, size_t max)
{
    CHECK_ON(mb->owner);
    return drain_posted(mb, max) + drain_own(mb, max);
}

bool mailbox_waits(struct mailbox *mb)
{
    CHECK_ON(mb->owner);
    /* The stack counts too: its wake-up may be spent while older mail used up the turn's share. */
    return mb->own_first || mb->taken || atomic_load_explicit(&mb->head, memory_order_relaxed);
}
