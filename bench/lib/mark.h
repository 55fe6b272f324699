/* Marks in the server's profile: a GET of one path, answered before the load goes on. A profiler
 * that watches the function behind the path sees where the measured stretch begins and ends
 * (bench/budget). One thread. */
#pragma once

#include "net.h"

struct mark {
    int fd;
    char request[256];
    size_t len;
};

static inline void mark_open(struct mark *m, const struct sockaddr_in *to, const char *host,
                             const char *path)
{
    int n =
        snprintf(m->request, sizeof m->request, "GET %s HTTP/1.1\r\nHost: %s\r\n\r\n", path, host);
    m->len = (size_t)n;
    m->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (m->fd < 0 || n >= (int)sizeof m->request ||
        connect(m->fd, (const struct sockaddr *)to, sizeof *to) != 0) {
        NET_DIE("cannot connect for %s: %m", path);
    }
}

/* Returns when the server has answered; ends the program if it refuses. */
static inline void mark_set(struct mark *m)
{
    char answer[1024];
    size_t len = 0;

    if (send(m->fd, m->request, m->len, MSG_NOSIGNAL) != (ssize_t)m->len) {
        NET_DIE("mark: %m");
    }
    do {
        ssize_t n = recv(m->fd, answer + len, sizeof answer - len, 0);
        if (n <= 0) {
            NET_DIE("mark: the server ended the connection");
        }
        len += (size_t)n;
    } while (len < sizeof answer && memmem(answer, len, "\r\n\r\n{}", 6) == NULL);
    if (len < 12 || memcmp(answer + 9, "200", 3) != 0) {
        NET_DIE("mark: refused: %.*s", (int)(len < 40 ? len : 40), answer);
    }
}
