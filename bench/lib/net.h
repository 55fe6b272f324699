/* Sockets for the bench programs: file limit, loopback listener, non-blocking connect from many
 * source addresses, WebSocket frame heads. IPv4 only, loopback only. */
#pragma once

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

/* One source address has about 28 000 ports by default; stay below and take the next address. */
#define NET_PORTS_PER_ADDRESS 20000

#define NET_DIE(...)                                                                               \
    do {                                                                                           \
        fprintf(stderr, __VA_ARGS__);                                                              \
        fputc('\n', stderr);                                                                       \
        exit(1);                                                                                   \
    } while (0)

/* Raises the file limit as far as it goes; returns what it is then. */
static inline size_t net_raise_files(void)
{
    struct rlimit lim, wanted = {1 << 20, 1 << 20};
    if (setrlimit(RLIMIT_NOFILE, &wanted) == 0) { /* works for root */
        return (size_t)wanted.rlim_cur;
    }
    getrlimit(RLIMIT_NOFILE, &lim);
    lim.rlim_cur = lim.rlim_max;
    setrlimit(RLIMIT_NOFILE, &lim);
    getrlimit(RLIMIT_NOFILE, &lim);
    return (size_t)lim.rlim_cur;
}

static inline void net_no_delay(int fd)
{
    int one = 1;
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
}

/* Port 0: the kernel chooses; *port gets the number. */
static inline int net_listen(uint16_t *port)
{
    int one = 1, fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    struct sockaddr_in addr = {.sin_family = AF_INET, .sin_port = htons(*port)};
    socklen_t len = sizeof addr;

    addr.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
    if (fd < 0 || bind(fd, (struct sockaddr *)&addr, sizeof addr) != 0 || listen(fd, 65535) != 0) {
        NET_DIE("cannot listen on port %u: %m", *port);
    }
    getsockname(fd, (struct sockaddr *)&addr, &len);
    *port = ntohs(addr.sin_port);
    return fd;
}

/* Starts a connection, the index-th of this program. Returns the socket or -1 with errno. */
static inline int net_connect(const struct sockaddr_in *to, size_t index)
{
    int one = 1, fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    struct sockaddr_in from = {.sin_family = AF_INET};

    if (fd < 0) {
        return -1;
    }
    from.sin_addr.s_addr = htonl(INADDR_LOOPBACK + (uint32_t)(index / NET_PORTS_PER_ADDRESS));
    setsockopt(fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &one, sizeof one);
    if (bind(fd, (struct sockaddr *)&from, sizeof from) != 0 ||
        (connect(fd, (const struct sockaddr *)to, sizeof *to) != 0 && errno != EINPROGRESS)) {
        int saved = errno;
        close(fd);
        errno = saved;
        return -1;
    }
    net_no_delay(fd);
    return fd;
}

static inline void net_watch(int ep, int op, int fd, uint32_t events, uint64_t data)
{
    struct epoll_event ev = {.events = events, .data.u64 = data};
    if (epoll_ctl(ep, op, fd, &ev) != 0) {
        NET_DIE("epoll_ctl: %m");
    }
}

/* A byte buffer that grows; max is a hard limit, past it the append fails. */
struct net_buf {
    char *data;
    size_t len;
    size_t cap;
};

static inline bool net_reserve(struct net_buf *b, size_t more, size_t max)
{
    if (b->len + more > max) {
        return false;
    }
    if (b->len + more > b->cap) {
        size_t cap = b->cap == 0 ? 512 : b->cap;
        while (cap < b->len + more) {
            cap *= 2;
        }
        b->data = realloc(b->data, cap);
        if (b->data == NULL) {
            NET_DIE("out of memory");
        }
        b->cap = cap;
    }
    return true;
}

static inline bool net_append(struct net_buf *b, const void *data, size_t len, size_t max)
{
    if (len == 0 || !net_reserve(b, len, max)) {
        return len == 0;
    }
    memcpy(b->data + b->len, data, len);
    b->len += len;
    return true;
}

static inline void net_consume(struct net_buf *b, size_t len)
{
    if (len > 0) {
        memmove(b->data, b->data + len, b->len - len);
        b->len -= len;
    }
}

#define WS_TEXT 0x1
#define WS_BINARY 0x2
#define WS_CLOSE 0x8
#define WS_PING 0x9
#define WS_PONG 0xa
#define WS_HEAD_MAX 14

/* Writes the head of one final frame; mask: a client's frame with mask key 0, which leaves the
 * payload as it is (the masking rule is kept, the cost is not what a bench should measure). */
static inline size_t net_ws_head(uint8_t *out, int opcode, size_t len, bool mask)
{
    size_t n = 2;
    uint8_t bit = mask ? 0x80 : 0;

    out[0] = (uint8_t)(0x80 | opcode);
    if (len < 126) {
        out[1] = (uint8_t)(bit | len);
    } else if (len < 65536) {
        out[1] = bit | 126;
        out[2] = (uint8_t)(len >> 8), out[3] = (uint8_t)len;
        n = 4;
    } else {
        out[1] = bit | 127;
        for (int i = 0; i < 8; i++) {
            out[2 + i] = (uint8_t)((uint64_t)len >> (56 - 8 * i));
        }
        n = 10;
    }
    if (mask) {
        memset(out + n, 0, 4);
        n += 4;
    }
    return n;
}

/* Reads a server's frame head. Returns its length, 0 if more bytes are needed, -1 if it is not one
 * (masked, or longer than max). compressed: RSV1. */
static inline int net_ws_parse(const uint8_t *p, size_t have, size_t max, int *opcode, bool *fin,
                               bool *compressed, size_t *len)
{
    if (have < 2) {
        return 0;
    }
    int n = (p[1] & 0x7f) == 126 ? 4 : (p[1] & 0x7f) == 127 ? 10 : 2;
    if ((p[1] & 0x80) != 0 || (p[0] & 0x30) != 0) {
        return -1;
    }
    if (have < (size_t)n) {
        return 0;
    }
    uint64_t size = p[1] & 0x7f;
    if (n > 2) {
        size = 0;
        for (int i = 2; i < n; i++) {
            size = size << 8 | p[i];
        }
    }
    *opcode = p[0] & 0x0f;
    *fin = (p[0] & 0x80) != 0;
    *compressed = (p[0] & 0x40) != 0;
    *len = (size_t)size;
    return size > max ? -1 : n;
}
