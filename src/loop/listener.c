#include "loop/listener.h"

#include "base/log.h"
#include "base/mem.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <sys/socket.h>
#include <unistd.h>

/* Accepting is done here and not by libuv, which takes everything that waits at once and, out of
 * descriptors, closes it: clients already connected want their share of a turn, and a connection
 * that waits in the backlog is better off than a closed one. */
#define ACCEPTS_PER_TURN 64
#define PAUSE_MS 100
#define COMPLAIN_EVERY_MS 3000
#define KEEP_ALIVE_S 60

struct listener {
    uv_poll_t poll;
    int fd, port;
    struct worker *worker;
    listener_fn *fn;
    void *arg;
    struct timer resume;  /* set while accepting is paused */
    uint64_t complain_at; /* not before this time again */
    bool closing;
};

struct address {
    struct sockaddr_storage sa;
    socklen_t len;
};

static bool parse(const char *text, int port, struct address *out)
{
    *out = (struct address){0};
    if (uv_ip4_addr(text, port, (struct sockaddr_in *)&out->sa) == 0) {
        out->len = sizeof(struct sockaddr_in);
        return true;
    }
    out->len = sizeof(struct sockaddr_in6);
    return uv_ip6_addr(text, port, (struct sockaddr_in6 *)&out->sa) == 0;
}

static bool set(int fd, int level, int option, int value)
{
    return setsockopt(fd, level, option, &value, sizeof value) == 0;
}

/* A bound socket, or -1 with errno. Sharing is for the workers of one process. */
static int bind_one(const struct address *at, bool share, bool dual)
{
    int fd = socket(at->sa.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0), saved;

    if (fd < 0)
        return -1;
    if (set(fd, SOL_SOCKET, SO_REUSEADDR, 1) && (!share || set(fd, SOL_SOCKET, SO_REUSEPORT, 1)) &&
        (at->sa.ss_family != AF_INET6 || set(fd, IPPROTO_IPV6, IPV6_V6ONLY, !dual)) &&
        bind(fd, (const struct sockaddr *)&at->sa, at->len) == 0)
        return fd;
    saved = errno;
    close(fd);
    errno = saved;
    return -1;
}

static int bind_to(const char *address, int port, bool share)
{
    struct address at;
    int fd;

    if (port < 0 || port > 65535 || !parse(*address ? address : "::", port, &at)) {
        errno = EINVAL;
        return -1;
    }
    fd = bind_one(&at, share, *address == '\0');
    /* A machine without IPv6 refuses "::" one way or another. */
    if (fd < 0 && *address == '\0' && errno != EADDRINUSE && errno != EACCES &&
        parse("0.0.0.0", port, &at))
        fd = bind_one(&at, share, false);
    return fd;
}

static int port_of(int fd)
{
    struct sockaddr_storage sa;
    socklen_t len = sizeof sa;

    if (getsockname(fd, (struct sockaddr *)&sa, &len) != 0)
        return 0;
    return ntohs(sa.ss_family == AF_INET ? ((struct sockaddr_in *)&sa)->sin_port
                                         : ((struct sockaddr_in6 *)&sa)->sin6_port);
}

/* What is wrong, in words somebody can act on. */
static void explain(int error, const char *address, int port, char *why, size_t size)
{
    const char *at = *address ? address : "every interface";

    switch (error) {
    case EADDRINUSE:
        snprintf(why, size, "port %d on %s is in use: another server listens there", port, at);
        break;
    case EACCES:
        snprintf(why, size,
                 "port %d on %s is not allowed for this user; ports below 1024 usually "
                 "need more rights",
                 port, at);
        break;
    case EADDRNOTAVAIL:
        snprintf(why, size, "%s is not an address of this machine", at);
        break;
    case EINVAL:
        snprintf(why, size, "\"%s\", port %d is not an IPv4 or IPv6 address with a port", at, port);
        break;
    default:
        snprintf(why, size, "cannot listen on %s, port %d: %s", at, port,
                 uv_strerror(uv_translate_sys_error(error)));
    }
}

/* Errors of one connection that is gone already, as opposed to a shortage of ours. */
static bool is_passing(int error)
{
    switch (error) {
    case EINTR:
    case ECONNABORTED:
    case EPROTO:
    case EPERM: /* a firewall's decision */
    case ENETDOWN:
    case ENETUNREACH:
    case EHOSTDOWN:
    case EHOSTUNREACH:
    case ENOPROTOOPT:
    case EOPNOTSUPP:
    case ETIMEDOUT:
        return true;
    default:
        return false;
    }
}

static void on_readable(uv_poll_t *poll, int status, int events);

static void on_resume(struct timer *t)
{
    struct listener *l = container_of(t, struct listener, resume);

    CHECK(uv_poll_start(&l->poll, UV_READABLE, on_readable) == 0);
}

static void pause_accepting(struct listener *l, int error)
{
    uint64_t now = l->worker->now_ms;

    uv_poll_stop(&l->poll);
    timer_set(&l->worker->timers, &l->resume, now + PAUSE_MS);
    if (now < l->complain_at)
        return;
    l->complain_at = now + COMPLAIN_EVERY_MS;
    LOG_WITH(LOG_ERROR, "cannot accept connections for now; new ones wait",
             LOG_Z("error", uv_strerror(uv_translate_sys_error(error))), LOG_I("port", l->port),
             LOG_Z("hint", error == EMFILE ? "raise the limit of open files (ulimit -n)" : ""));
}

static void on_readable(uv_poll_t *poll, int status, int events)
{
    struct listener *l = container_of(poll, struct listener, poll);

    worker_woke(l->worker);
    for (int n = 0; n < ACCEPTS_PER_TURN && !l->closing; n++) {
        int fd = accept4(l->fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);

        if (fd >= 0) {
            l->fn(l->arg, l->worker, fd);
        } else if (errno == EAGAIN) {
            return;
        } else if (!is_passing(errno)) {
            pause_accepting(l, errno);
            return;
        }
    }
}

enum err listener_open(struct worker *w, const char *address, int port, int backlog,
                       listener_fn *fn, void *arg, struct listener **out)
{
    struct listener *l;
    int fd = bind_to(address, port, true);
    char why[160];

    CHECK_ON(w);
    /* Accepted sockets inherit the last three, which saves each of them the system calls. */
    if (fd < 0 || listen(fd, backlog) != 0 || !set(fd, IPPROTO_TCP, TCP_NODELAY, 1) ||
        !set(fd, SOL_SOCKET, SO_KEEPALIVE, 1) ||
        !set(fd, IPPROTO_TCP, TCP_KEEPIDLE, KEEP_ALIVE_S)) {
        explain(errno, address, port, why, sizeof why);
        LOG(LOG_ERROR, why);
        if (fd >= 0)
            close(fd);
        return ERR_IO;
    }
    l = mem_zalloc(sizeof *l);
    l->fd = fd;
    l->port = port_of(fd);
    l->worker = w;
    l->fn = fn;
    l->arg = arg;
    l->resume = TIMER_INIT(on_resume);
    CHECK(uv_poll_init(&w->loop, &l->poll, fd) == 0);
    CHECK(uv_poll_start(&l->poll, UV_READABLE, on_readable) == 0);
    *out = l;
    return OK;
}

int listener_port(const struct listener *l)
{
    return l->port;
}

static void on_closed(uv_handle_t *handle)
{
    mem_free(container_of(handle, struct listener, poll));
}

void listener_close(struct listener *l)
{
    if (l->closing)
        return;
    l->closing = true;
    timer_unset(&l->worker->timers, &l->resume);
    uv_close((uv_handle_t *)&l->poll, on_closed);
    close(l->fd);
}

enum err listener_probe(const char *address, int *port, char *why, size_t why_size)
{
    int fd = bind_to(address, *port, false);

    if (fd < 0) {
        explain(errno, address, *port, why, why_size);
        return ERR_IO;
    }
    *port = port_of(fd);
    close(fd);
    return OK;
}
