#include "loop/stream.h"

#include "base/mem.h"

#include <assert.h>
#include <errno.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

/* A uv_buf_t of libuv is a struct iovec. */
static_assert(sizeof(uv_buf_t) == sizeof(struct iovec) &&
                  offsetof(uv_buf_t, base) == offsetof(struct iovec, iov_base) &&
                  offsetof(uv_buf_t, len) == offsetof(struct iovec, iov_len),
              "stream_write hands the one to the kernel as the other");

/* A write that waits for the socket. The stream may be freed only after both its callbacks, this
 * one's and the close callback, and libuv runs them in that order. */
struct stream_pending {
    uv_write_t req;
    struct stream *stream;
};

/* A connect on its way, in tcp.data; libuv calls back also when the handle is closed meanwhile. */
struct stream_connect {
    uv_connect_t req;
    struct turn_task refused; /* the connect failed before it began */
    struct stream *stream;
    stream_connected_fn *fn;
};

static uv_stream_t *uv_stream(struct stream *s)
{
    return (uv_stream_t *)&s->tcp;
}

static struct stream *stream_of(void *handle)
{
    return container_of(handle, struct stream, tcp);
}

/* A connect that was refused at once, and closed before anybody was told. */
static void drop_refused(struct stream *s)
{
    struct stream_connect *c = s->tcp.data;

    if (c == NULL)
        return;
    list_del(&c->refused.in_turn);
    s->tcp.data = NULL;
    mem_free(c);
}

static void on_handle_closed(uv_handle_t *handle)
{
    struct stream *s = stream_of(handle);

    drop_refused(s);
    s->ops->on_closed(s);
}

enum err stream_accept(struct stream *s, struct worker *w, int fd, const struct stream_ops *ops)
{
    CHECK_ON(w);
    *s = (struct stream){.ops = ops, .fd = fd};
    CHECK(uv_tcp_init(&w->loop, &s->tcp) == 0);
    if (uv_tcp_open(&s->tcp, fd) != 0) {
        close(fd);
        stream_close(s);
        return ERR_IO;
    }
    /* No delay and keep-alive are inherited from the listening socket: no system call each. */
    return OK;
}

static void end_connect(struct stream_connect *c, bool connected)
{
    struct stream *s = c->stream;
    stream_connected_fn *fn = c->fn;

    s->tcp.data = NULL;
    mem_free(c);
    if (!s->closing)
        fn(s, connected ? OK : ERR_IO);
}

static void on_connected(uv_connect_t *req, int status)
{
    struct stream_connect *c = container_of(req, struct stream_connect, req);

    worker_woke(stream_worker(c->stream));
    /* Refused only when it is closing, and then nobody writes. */
    if (status == 0)
        uv_fileno((uv_handle_t *)&c->stream->tcp, &c->stream->fd);
    end_connect(c, status == 0);
}

static void on_refused(struct turn_task *task)
{
    end_connect(container_of(task, struct stream_connect, refused), false);
}

void stream_connect(struct stream *s, struct worker *w, const struct sockaddr *addr,
                    const struct stream_ops *ops, stream_connected_fn *fn)
{
    struct stream_connect *c = mem_zalloc(sizeof *c);

    CHECK_ON(w);
    *s = (struct stream){.ops = ops};
    c->stream = s;
    c->fn = fn;
    c->refused.run = on_refused;
    list_init(&c->refused.in_turn);
    CHECK(uv_tcp_init(&w->loop, &s->tcp) == 0);
    s->tcp.data = c;
    if (uv_tcp_connect(&c->req, &s->tcp, addr, on_connected) != 0)
        worker_queue(w, &c->refused);
    else
        uv_tcp_nodelay(&s->tcp, 1);
}

/* Tells the owner once that nothing more will come. */
static void end(struct stream *s)
{
    s->reading = false;
    if (s->ended || s->closing)
        return;
    s->ended = true;
    s->ops->on_end(s);
}

static void on_alloc(uv_handle_t *handle, size_t suggested, uv_buf_t *buf)
{
    struct worker *w = stream_worker(stream_of(handle));

    worker_woke(w);
    *buf = uv_buf_init(w->read_buffer, READ_BUFFER_BYTES);
}

static void on_read(uv_stream_t *handle, ssize_t n, const uv_buf_t *buf)
{
    struct stream *s = stream_of(handle);

    if (n > 0)
        s->ops->on_data(s, buf->base, (size_t)n);
    else if (n < 0)
        end(s);
}

void stream_read_start(struct stream *s)
{
    if (s->reading || s->ended || s->closing)
        return;
    s->reading = uv_read_start(uv_stream(s), on_alloc, on_read) == 0;
}

void stream_read_stop(struct stream *s)
{
    if (!s->reading)
        return;
    s->reading = false;
    uv_read_stop(uv_stream(s));
}

/* What uv_try_write would do, without its way there: libuv knows nothing of such a write either and
 * asks only that nothing waits in its own queue. */
static ssize_t write_now(struct stream *s, const uv_buf_t *bufs, unsigned n)
{
    struct msghdr message = {.msg_iov = (struct iovec *)bufs, .msg_iovlen = n};
    ssize_t written;

    do {
        written = n == 1 ? send(s->fd, bufs->base, bufs->len, MSG_NOSIGNAL)
                         : sendmsg(s->fd, &message, MSG_NOSIGNAL);
    } while (written < 0 && errno == EINTR);
    return written;
}

ptrdiff_t stream_write(struct stream *s, const uv_buf_t *bufs, unsigned n)
{
    ssize_t written;

    DCHECK(!stream_is_draining(s));
    if (__builtin_expect(s->broken || s->shutdown || s->closing, 0))
        return -1;
    written = write_now(s, bufs, n);
    if (__builtin_expect(written >= 0, 1))
        return written;
    if (errno == EAGAIN || errno == ENOBUFS)
        return 0;
    s->broken = true;
    return -1;
}

static void on_written(uv_write_t *req, int status)
{
    struct stream_pending *pending = container_of(req, struct stream_pending, req);
    struct stream *s = pending->stream;

    worker_woke(stream_worker(s));
    s->pending = NULL;
    mem_free(pending);
    if (s->closing)
        return;
    if (status != 0) {
        s->broken = true;
        end(s);
        if (s->closing)
            return;
    }
    /* Also after a failure: whoever waits for room learns from its next write that none will be. */
    s->ops->on_drained(s);
}

void stream_await_drain(struct stream *s, const uv_buf_t *bufs, unsigned n)
{
    struct stream_pending *pending;

    CHECK(!stream_is_draining(s));
    CHECK(!s->closing);
    pending = mem_alloc(sizeof *pending);
    pending->stream = s;
    s->pending = pending;
    /* The stream_write just before was not refused, so this cannot be either; the array of buffers
     * is copied. */
    CHECK(uv_write(&pending->req, uv_stream(s), bufs, n, on_written) == 0);
    if (s->ops->on_full)
        s->ops->on_full(s);
}

static void on_shutdown(uv_shutdown_t *req, int status)
{
    /* A failure means that the connection is gone, which reading finds out too. */
    mem_free(req);
}

void stream_shutdown(struct stream *s)
{
    uv_shutdown_t *req;

    if (s->shutdown || s->closing)
        return;
    s->shutdown = true;
    req = mem_alloc(sizeof *req);
    if (uv_shutdown(req, uv_stream(s), on_shutdown) != 0)
        mem_free(req);
}

void stream_close(struct stream *s)
{
    if (s->closing)
        return;
    s->closing = true;
    s->reading = false;
    uv_close((uv_handle_t *)&s->tcp, on_handle_closed);
}

struct str stream_peer(const struct stream *s, char *out, size_t size)
{
    struct sockaddr_storage peer;
    int len = sizeof peer, rc = UV_EINVAL;
    const struct sockaddr_in6 *v6 = (const struct sockaddr_in6 *)&peer;

    if (uv_tcp_getpeername(&s->tcp, (struct sockaddr *)&peer, &len) != 0)
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
