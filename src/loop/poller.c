#include "loop/poller.h"

#include "base/check.h"
#include "loop/worker.h"

#include <sys/epoll.h>
#include <unistd.h>

/* Taken at once. The rest is there in the next turn, after mail, timers and writing had theirs. */
#define EVENTS_PER_TURN 256

static void on_any(uv_poll_t *any, int status, int events)
{
    struct poller *p = container_of(any, struct poller, any);
    struct epoll_event ready[EVENTS_PER_TURN];
    int n = epoll_wait(p->fd, ready, EVENTS_PER_TURN, 0);

    worker_woke(any->loop->data);
    for (int i = 0; i < n; i++) {
        uint32_t e = ready[i].events;
        bool over = e & (EPOLLERR | EPOLLHUP);

        p->fn(ready[i].data.ptr, (e & EPOLLIN || over ? POLLER_READ : 0u) |
                                     (e & EPOLLOUT || over ? POLLER_WRITE : 0u));
    }
}

void poller_init(struct poller *p, uv_loop_t *loop, poller_fn *fn)
{
    *p = (struct poller){.fd = epoll_create1(EPOLL_CLOEXEC), .fn = fn};
    CHECK(p->fd >= 0);
    CHECK(uv_poll_init(loop, &p->any, p->fd) == 0);
    CHECK(uv_poll_start(&p->any, UV_READABLE, on_any) == 0);
    uv_unref((uv_handle_t *)&p->any);
}

void poller_close(struct poller *p)
{
    CHECK(p->users == 0);
    uv_close((uv_handle_t *)&p->any, NULL);
    close(p->fd);
}

void poller_enter(struct poller *p)
{
    if (p->users++ == 0)
        uv_ref((uv_handle_t *)&p->any);
}

void poller_leave(struct poller *p)
{
    if (--p->users == 0)
        uv_unref((uv_handle_t *)&p->any);
}

bool poller_watch(struct poller *p, int fd, void *owner, unsigned was, unsigned now)
{
    struct epoll_event event = {
        .events = (now & POLLER_READ ? EPOLLIN : 0u) | (now & POLLER_WRITE ? EPOLLOUT : 0u),
        .data.ptr = owner,
    };

    return epoll_ctl(p->fd,
                     was == 0   ? EPOLL_CTL_ADD
                     : now == 0 ? EPOLL_CTL_DEL
                                : EPOLL_CTL_MOD,
                     fd, &event) == 0;
}
