#include "loop/stream.h"

#include "base/mem.h"
#include "loop/poller.h"

#include <assert.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <unistd.h>

/* While each fills the whole buffer; then it is the others' turn. */
#define READS_PER_TURN 4
/* A longer list of what is to be told is not kept for the next turn. */
#define TOLD_KEPT 256

static_assert(sizeof(uv_buf_t) == sizeof(struct iovec) &&
                  offsetof(uv_buf_t, base) == offsetof(struct iovec, iov_base) &&
                  offsetof(uv_buf_t, len) == offsetof(struct iovec, iov_len),
              "the kernel takes the one for the other");

/* A write that waits for the socket. */
struct stream_pending {
    unsigned count, at; /* bufs[at … count) are not out yet */
    uv_buf_t bufs[];
};

struct streams {
    struct poller poller;
    struct worker *worker;
    struct turn_task task;
    struct stream **told; /* whose owners hear something at the turn's end */
    size_t count, cap;
};

/* --- what is told at the turn's end ----------------------------------------------------------- */

static void tell_later(struct stream *s)
{
    struct streams *all = s->worker->streams;

    if (s->told)
        return;
    s->told = true;
    if (all->count == all->cap) {
        all->cap = MAX(all->cap * 2, (size_t)16);
        all->told = mem_realloc(all->told, all->cap * sizeof(struct stream *));
    }
    all->told[all->count++] = s;
    worker_queue(all->worker, &all->task);
}

/* Tells the owner once that nothing more will come. */
static void end(struct stream *s)
{
    stream_read_stop(s);
    if (s->ended || s->closing)
        return;
    s->ended = true;
    s->ops->on_end(s);
}

static void tell(struct stream *s)
{
    s->told = false;
    if (s->closing) {
        poller_leave(&s->worker->streams->poller);
        s->ops->on_closed(s);
    } else if (s->connecting) {
        s->connecting = false;
        s->ops->on_connected(s, ERR_IO);
    } else {
        end(s);
    }
}

static void tell_all(struct turn_task *task)
{
    struct streams *all = container_of(task, struct streams, task);
    struct stream **told = all->told;
    size_t count = all->count, cap = all->cap;

    all->told = NULL; /* the owners' answers may add to it */
    all->count = all->cap = 0;
    for (size_t i = 0; i < count; i++)
        tell(told[i]);
    if (all->told == NULL && cap <= TOLD_KEPT) {
        all->told = told;
        all->cap = cap;
    } else {
        mem_free(told);
    }
}

/* --- watching --------------------------------------------------------------------------------- */

/* Makes the poller look for what s waits for. Where the kernel refuses, no event will ever come, so
 * the connection is as good as broken. */
static void watch(struct stream *s)
{
    unsigned want =
        (s->reading ? POLLER_READ : 0u) | (s->pending || s->connecting ? POLLER_WRITE : 0u);

    if (want == s->watched)
        return;
    if (poller_watch(&s->worker->streams->poller, s->fd, s, s->watched, want)) {
        s->watched = (uint8_t)want;
        return;
    }
    s->broken = true;
    tell_later(s);
}

static void open_as(struct stream *s, struct worker *w, int fd, const struct stream_ops *ops)
{
    CHECK_ON(w);
    *s = (struct stream){.ops = ops, .worker = w, .fd = fd};
    poller_enter(&w->streams->poller);
}

void stream_accept(struct stream *s, struct worker *w, int fd, const struct stream_ops *ops)
{
    /* No delay and keep-alive are inherited from the listening socket: no system call each. */
    open_as(s, w, fd, ops);
}

/* --- connecting ------------------------------------------------------------------------------- */

static socklen_t address_size(const struct sockaddr *addr)
{
    return addr->sa_family == AF_INET6 ? sizeof(struct sockaddr_in6) : sizeof(struct sockaddr_in);
}

void stream_connect(struct stream *s, struct worker *w, const struct sockaddr *addr,
                    const struct stream_ops *ops)
{
    int on = 1;

    open_as(s, w, socket(addr->sa_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0), ops);
    s->connecting = true;
    if (s->fd < 0 || (connect(s->fd, addr, address_size(addr)) != 0 && errno != EINPROGRESS)) {
        tell_later(s);
        return;
    }
    setsockopt(s->fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    watch(s);
}

static void connected(struct stream *s)
{
    int error = 0;
    socklen_t len = sizeof error;

    if (getsockopt(s->fd, SOL_SOCKET, SO_ERROR, &error, &len) != 0)
        error = errno;
    s->connecting = false;
    watch(s);
    s->ops->on_connected(s, error == 0 ? OK : ERR_IO);
}

/* --- reading ---------------------------------------------------------------------------------- */

static void read_some(struct stream *s)
{
    char *buffer = s->worker->read_buffer;

    for (int i = 0; i < READS_PER_TURN && s->reading; i++) {
        ssize_t n = recv(s->fd, buffer, READ_BUFFER_BYTES, 0);

        if (n > 0)
            s->ops->on_data(s, buffer, (size_t)n);
        else if (n == 0 || (errno != EAGAIN && errno != EINTR))
            end(s);
        if (n < READ_BUFFER_BYTES)
            return;
    }
}

void stream_read_start(struct stream *s)
{
    if (s->reading || s->ended || s->closing)
        return;
    s->reading = true;
    watch(s);
}

void stream_read_stop(struct stream *s)
{
    if (!s->reading)
        return;
    s->reading = false;
    watch(s);
}

/* --- writing ---------------------------------------------------------------------------------- */

/* As stream_write. */
static ptrdiff_t write_now(struct stream *s, const uv_buf_t *bufs, unsigned n)
{
    struct msghdr message = {.msg_iov = (struct iovec *)bufs, .msg_iovlen = n};
    ssize_t written;

    do {
        written = n == 1 ? send(s->fd, bufs->base, bufs->len, MSG_NOSIGNAL)
                         : sendmsg(s->fd, &message, MSG_NOSIGNAL);
    } while (written < 0 && errno == EINTR);
    if (__builtin_expect(written >= 0, 1))
        return written;
    if (errno == EAGAIN || errno == ENOBUFS)
        return 0;
    s->broken = true;
    return -1;
}

ptrdiff_t stream_write(struct stream *s, const uv_buf_t *bufs, unsigned n)
{
    DCHECK(!stream_is_draining(s));
    if (__builtin_expect(s->broken || s->shutdown || s->closing, 0))
        return -1;
    return write_now(s, bufs, n);
}

void stream_await_drain(struct stream *s, const uv_buf_t *bufs, unsigned n)
{
    CHECK(!stream_is_draining(s));
    CHECK(!s->closing);
    s->pending = mem_alloc(sizeof *s->pending + n * sizeof *bufs);
    s->pending->count = n;
    s->pending->at = 0;
    memcpy(s->pending->bufs, bufs, n * sizeof *bufs);
    watch(s);
    if (s->ops->on_full)
        s->ops->on_full(s);
}

size_t stream_undrained(const struct stream *s)
{
    size_t bytes = 0;

    for (unsigned i = s->pending ? s->pending->at : 0; s->pending && i < s->pending->count; i++)
        bytes += s->pending->bufs[i].len;
    return bytes;
}

static void drop_pending(struct stream *s)
{
    mem_free(s->pending);
    s->pending = NULL;
}

/* n bytes of the pending ones are out. */
static void advance(struct stream_pending *p, size_t n)
{
    for (; p->at < p->count && n >= p->bufs[p->at].len; p->at++)
        n -= p->bufs[p->at].len;
    if (p->at < p->count) {
        p->bufs[p->at].base += n;
        p->bufs[p->at].len -= n;
    }
}

static void write_more(struct stream *s)
{
    struct stream_pending *p = s->pending;
    ptrdiff_t n = write_now(s, p->bufs + p->at, p->count - p->at);

    if (n >= 0) {
        advance(p, (size_t)n);
        if (p->at < p->count)
            return;
    }
    drop_pending(s);
    watch(s);
    if (s->shutdown) /* asked for meanwhile */
        shutdown(s->fd, SHUT_WR);
    if (n < 0) {
        end(s);
        if (s->closing)
            return;
    }
    /* Also after a failure: whoever waits for room learns from its next write that none will be. */
    s->ops->on_drained(s);
}

void stream_shutdown(struct stream *s)
{
    if (s->shutdown || s->closing)
        return;
    s->shutdown = true;
    /* A failure means that the connection is gone, which reading finds out too. */
    if (!s->pending)
        shutdown(s->fd, SHUT_WR);
}

/* --- ready, and closed ------------------------------------------------------------------------ */

static void on_ready(void *owner, unsigned ready)
{
    struct stream *s = owner;

    if (s->closing) /* by what was ready before it in this turn */
        return;
    if (s->connecting) {
        connected(s);
        return;
    }
    if (ready & POLLER_READ && s->reading)
        read_some(s);
    if (ready & POLLER_WRITE && s->pending && !s->closing)
        write_more(s);
}

void stream_close(struct stream *s)
{
    if (s->closing)
        return;
    s->closing = true;
    s->reading = false;
    drop_pending(s);
    if (s->fd >= 0)
        close(s->fd);
    s->fd = -1;
    tell_later(s);
}

/* --- addresses -------------------------------------------------------------------------------- */

struct str stream_peer(const struct stream *s, char *out, size_t size)
{
    struct sockaddr_storage peer;
    socklen_t len = sizeof peer;
    int rc = UV_EINVAL;
    const struct sockaddr_in6 *v6 = (const struct sockaddr_in6 *)&peer;

    if (getpeername(s->fd, (struct sockaddr *)&peer, &len) != 0)
        return STR_NONE;
    if (peer.ss_family == AF_INET)
        rc = uv_ip4_name((const struct sockaddr_in *)&peer, out, size);
    else if (peer.ss_family == AF_INET6 && IN6_IS_ADDR_V4MAPPED(&v6->sin6_addr))
        /* An IPv4 client of a socket that speaks both: people and rules know it as IPv4. */
        rc = uv_inet_ntop(AF_INET, v6->sin6_addr.s6_addr + 12, out, size);
    else if (peer.ss_family == AF_INET6)
        rc = uv_ip6_name(v6, out, size);
    return rc == 0 ? str_from(out) : STR_NONE;
}

/* --- what they share -------------------------------------------------------------------------- */

struct streams *streams_new(struct worker *w)
{
    struct streams *all = mem_zalloc(sizeof *all);

    all->worker = w;
    all->task.run = tell_all;
    list_init(&all->task.in_turn);
    poller_init(&all->poller, &w->loop, on_ready);
    return all;
}

void streams_close(struct streams *all)
{
    poller_close(&all->poller);
}

void streams_free(struct streams *all)
{
    mem_free(all->told);
    mem_free(all);
}
