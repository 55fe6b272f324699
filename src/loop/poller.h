/* Which descriptors of a worker are ready: an epoll of its own under one handle of the loop. A
 * handle of libuv for each socket would cost a connection a quarter of a KiB; here it costs nothing
 * but what the kernel takes. Worker thread. */
#pragma once

#include "base/base.h"

#include <uv.h>

enum { POLLER_READ = 1 << 0, POLLER_WRITE = 1 << 1 };

/* owner's descriptor is ready for these; also for what an error or a hang-up ends. */
typedef void poller_fn(void *owner, unsigned ready);

struct poller {
    uv_poll_t any; /* something is ready */
    int fd;
    poller_fn *fn; /* for all owners */
    size_t users;
};

void poller_init(struct poller *p, uv_loop_t *loop, poller_fn *fn);
void poller_close(struct poller *p); /* without users left; then the loop runs once more */
/* Each user keeps the loop from ending. */
void poller_enter(struct poller *p);
void poller_leave(struct poller *p);
/* From watching fd for `was` (0: not at all) to `now`. A descriptor that is closed is not watched
 * any more; its owner may still be called in the same turn. False: the kernel refuses. */
bool poller_watch(struct poller *p, int fd, void *owner, unsigned was, unsigned now) NODISCARD;
