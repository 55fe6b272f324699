/* The floor programs: servers that do nothing but send. They look like a Centrifugo-compatible
 * server speaking JSON (upgrade, canned connect and subscribe replies, POST /api/publish and
 * /api/batch, pings), but parse, check and store nothing: every publication becomes one prepared
 * frame, and each loop turn makes one send() per WebSocket connection of all frames the turn
 * brought. One thread, loopback only.
 *
 * All frames stand in one log; a connection is a socket and a position in it, so a socket that
 * would block costs nothing either: it goes on where it stopped once it can be written.
 *
 * A program gives floor_run the function that makes those sends. */
#pragma once

#include "digest.h"
#include "measure.h"
#include "net.h"

#include <signal.h>
#include <sys/mman.h>

#define REQUEST_MAX (16u << 20)
#define READ_SIZE (256u << 10)
#define EVENTS_MAX 512
/* Past this the API waits until the slowest socket has caught up; address space, not memory. */
#define LOG_MAX (256u << 20)
#define LOG_ROOM (REQUEST_MAX * 2)

enum kind { KIND_FREE, KIND_NEW, KIND_UPGRADED, KIND_SUBSCRIBED, KIND_API };

struct conn {
    uint8_t kind;
    bool lags;      /* waits for EPOLLOUT */
    bool dirty;     /* API: has an answer to send or a request that waited */
    uint32_t index; /* KIND_SUBSCRIBED: place in server.subscribed */
    size_t pos;     /* KIND_SUBSCRIBED: what of the log it has */
    size_t before;  /* the uring floor: pos before the send that is under way */
    struct net_buf *in;
    struct net_buf *out;
};

static struct {
    int ep, listener;
    size_t files;
    struct conn *conn; /* by descriptor */
    int *subscribed;
    uint32_t subscribed_count;
    uint32_t laggards;
    int *api_dirty;
    uint32_t api_dirty_count;
    char *log;
    size_t log_len;
    char *scratch;
    void (*forget)(int fd); /* NULL, or called before a subscriber is closed */
    void (*fan_out)(void);  /* sends every connection that does not lag what it lacks of the log */
} server;

static struct net_buf *buf_new(void)
{
    struct net_buf *b = calloc(1, sizeof *b);
    if (b == NULL) {
        NET_DIE("out of memory");
    }
    return b;
}

static void buf_free(struct net_buf **b)
{
    if (*b != NULL) {
        free((*b)->data);
        free(*b);
        *b = NULL;
    }
}

static void set_lags(int fd, bool lags)
{
    struct conn *c = &server.conn[fd];
    if (c->lags != lags) {
        c->lags = lags;
        server.laggards += lags ? 1 : -1u;
        net_watch(server.ep, EPOLL_CTL_MOD, fd, EPOLLIN | (lags ? EPOLLOUT : 0u), (uint64_t)fd);
    }
}

static void conn_close(int fd)
{
    struct conn *c = &server.conn[fd];
    if (c->kind == KIND_SUBSCRIBED) {
        if (server.forget) {
            server.forget(fd);
        }
        int last = server.subscribed[--server.subscribed_count];
        server.subscribed[c->index] = last;
        server.conn[last].index = c->index;
    }
    server.laggards -= c->lags ? 1 : 0;
    buf_free(&c->in);
    buf_free(&c->out);
    memset(c, 0, sizeof *c);
    close(fd);
}

static void accept_all(void)
{
    int fd;
    while ((fd = accept4(server.listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC)) >= 0) {
        if ((size_t)fd >= server.files) {
            close(fd);
            continue;
        }
        net_no_delay(fd);
        server.conn[fd] = (struct conn){.kind = KIND_NEW};
        net_watch(server.ep, EPOLL_CTL_ADD, fd, EPOLLIN, (uint64_t)fd);
    }
}

/* ---- WebSocket ---- */

static void upgrade(int fd, const char *head, size_t len)
{
    static const char guid[] = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11";
    char text[128], accept[32], answer[256];
    uint8_t hash[20];
    const char *key = memmem(head, len, "Sec-WebSocket-Key: ", 19);
    int n;

    if (key == NULL || head + len - key < 19 + 24) {
        conn_close(fd);
        return;
    }
    n = snprintf(text, sizeof text, "%.24s%s", key + 19, guid);
    digest_sha1(text, (size_t)n, hash);
    digest_base64(hash, sizeof hash, accept, false);
    n = snprintf(answer, sizeof answer,
                 "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n"
                 "Connection: Upgrade\r\nSec-WebSocket-Accept: %s\r\n\r\n",
                 accept);
    if (send(fd, answer, (size_t)n, MSG_NOSIGNAL) != n) {
        conn_close(fd);
        return;
    }
    server.conn[fd].kind = KIND_UPGRADED;
}

/* Whatever the client says first is taken for connect and subscribe; all else is not looked at. */
static void subscribe(int fd)
{
    static const char text[] = "{\"id\":1,\"connect\":{\"client\":\"00000000-0000-4000-8000-"
                               "000000000000\",\"version\":\"floor\",\"ping\":25,\"pong\":true}}\n"
                               "{\"id\":2,\"subscribe\":{}}";
    uint8_t frame[WS_HEAD_MAX + sizeof text];
    size_t n = net_ws_head(frame, WS_TEXT, sizeof text - 1, false);

    memcpy(frame + n, text, sizeof text - 1);
    n += sizeof text - 1;
    if (send(fd, frame, n, MSG_NOSIGNAL) != (ssize_t)n) {
        conn_close(fd);
        return;
    }
    struct conn *c = &server.conn[fd];
    c->kind = KIND_SUBSCRIBED;
    c->pos = server.log_len;
    c->index = server.subscribed_count;
    server.subscribed[server.subscribed_count++] = fd;
}

/* n: what a send of the rest of the log returned, or -errno. */
static void conn_sent(int fd, ssize_t n)
{
    struct conn *c = &server.conn[fd];
    if (n < 0 && n != -EAGAIN) {
        conn_close(fd);
        return;
    }
    c->pos += n < 0 ? 0 : (size_t)n;
    set_lags(fd, c->pos < server.log_len);
}

static void conn_flush(int fd)
{
    struct conn *c = &server.conn[fd];
    ssize_t n = send(fd, server.log + c->pos, server.log_len - c->pos, MSG_NOSIGNAL);
    conn_sent(fd, n < 0 ? -errno : n);
}

/* ---- publications ---- */

static void log_frame(const char *channel, size_t channel_len, const char *data, size_t data_len)
{
    static const char a[] = "{\"push\":{\"channel\":\"", b[] = "\",\"pub\":{\"data\":", c[] = "}}}";
    size_t len = sizeof a - 1 + channel_len + sizeof b - 1 + data_len + sizeof c - 1;
    char *p = server.log + server.log_len;

    p += net_ws_head((uint8_t *)p, WS_TEXT, len, false);
    p = mempcpy(p, a, sizeof a - 1);
    p = mempcpy(p, channel, channel_len);
    p = mempcpy(p, b, sizeof b - 1);
    p = mempcpy(p, data, data_len);
    p = mempcpy(p, c, sizeof c - 1);
    server.log_len = (size_t)(p - server.log);
}

/* The end of the JSON object or string that begins at p, or end. */
static const char *json_end(const char *p, const char *end)
{
    int depth = 0;
    bool quoted = false;
    for (; p < end; p++) {
        if (quoted) {
            p += *p == '\\';
            quoted = *p != '"';
        } else if (*p == '"') {
            quoted = true;
        } else if (*p == '{' || *p == '[') {
            depth++;
        } else if ((*p == '}' || *p == ']') && --depth == 0) {
            return p + 1;
        }
    }
    return end;
}

/* Logs a frame for each "channel":"…","data":… of a body; returns how many. */
static int log_body(const char *p, const char *end)
{
    static const char name[] = "\"channel\":\"", data[] = "\"data\":";
    int count = 0;

    while (p < end && (p = memmem(p, (size_t)(end - p), name, sizeof name - 1)) != NULL) {
        const char *channel = p + sizeof name - 1;
        const char *quote = memchr(channel, '"', (size_t)(end - channel));
        const char *value = memmem(channel, (size_t)(end - channel), data, sizeof data - 1);
        if (quote == NULL || value == NULL || value < quote) {
            break;
        }
        value += sizeof data - 1;
        p = json_end(value, end);
        log_frame(channel, (size_t)(quote - channel), value, (size_t)(p - value));
        count++;
    }
    return count;
}

/* ---- HTTP API ---- */

static void answer(struct conn *c, bool batch, int count)
{
    static const char result[] = "{\"result\":{}}", reply[] = "{\"publish\":{}}";
    char head[160];
    size_t body = batch ? sizeof "{\"replies\":[]}" - 1 + (size_t)count * (sizeof reply - 1) +
                              (size_t)(count > 0 ? count - 1 : 0)
                        : sizeof result - 1;
    int n = snprintf(head, sizeof head,
                     "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"
                     "Content-Length: %zu\r\n\r\n",
                     body);

    net_append(c->out, head, (size_t)n, SIZE_MAX);
    if (!batch) {
        net_append(c->out, result, sizeof result - 1, SIZE_MAX);
        return;
    }
    net_append(c->out, "{\"replies\":[", 12, SIZE_MAX);
    for (int i = 0; i < count; i++) {
        net_append(c->out, ",", i > 0, SIZE_MAX);
        net_append(c->out, reply, sizeof reply - 1, SIZE_MAX);
    }
    net_append(c->out, "]}", 2, SIZE_MAX);
}

/* Takes every whole request of the buffer, as long as the log has room. */
static void api_requests(int fd)
{
    struct conn *c = &server.conn[fd];
    size_t used = 0;

    while (used < c->in->len && server.log_len < LOG_MAX) {
        const char *p = &c->in->data[used];
        size_t have = c->in->len - used;
        const char *end = p == NULL ? NULL : memmem(p, have, "\r\n\r\n", 4);
        if (end == NULL) {
            break;
        }
        size_t head = (size_t)(end - p) + 4;
        const char *length = memmem(p, head, "Content-Length: ", 16);
        size_t body = length == NULL ? 0 : strtoul(length + 16, NULL, 10);
        if (body > REQUEST_MAX || have < head + body) {
            break;
        }
        bool batch = memmem(p, head, "/api/batch", 10) != NULL;
        answer(c, batch, log_body(p + head, p + head + body));
        used += head + body;
    }
    net_consume(c->in, used);
}

static void api_mark(int fd)
{
    struct conn *c = &server.conn[fd];
    if (!c->dirty) {
        c->dirty = true;
        server.api_dirty[server.api_dirty_count++] = fd;
    }
}

/* What could not be answered or written now stays marked and is tried again next turn. */
static void api_flush(void)
{
    uint32_t count = server.api_dirty_count;
    server.api_dirty_count = 0;
    for (uint32_t i = 0; i < count; i++) {
        int fd = server.api_dirty[i];
        struct conn *c = &server.conn[fd];
        if (c->kind != KIND_API || !c->dirty) {
            continue;
        }
        c->dirty = false;
        ssize_t n = c->out->len == 0 ? 0 : send(fd, c->out->data, c->out->len, MSG_NOSIGNAL);
        if (n < 0 && errno != EAGAIN) {
            conn_close(fd);
            continue;
        }
        net_consume(c->out, n < 0 ? 0 : (size_t)n);
        if (c->out->len > 0 || server.log_len >= LOG_MAX) {
            api_mark(fd);
        }
    }
}

/* ---- the loop ---- */

static void classify(int fd)
{
    struct conn *c = &server.conn[fd];
    if (c->in->len < 4) {
        return;
    }
    if (memcmp(c->in->data, "POST", 4) == 0) {
        c->kind = KIND_API;
        c->out = buf_new();
        return;
    }
    const char *end = memmem(c->in->data, c->in->len, "\r\n\r\n", 4);
    if (end != NULL) {
        upgrade(fd, c->in->data, (size_t)(end - c->in->data));
        buf_free(&c->in);
    }
}

static void on_readable(int fd)
{
    struct conn *c = &server.conn[fd];
    ssize_t n = recv(fd, server.scratch, READ_SIZE, 0);

    if (n <= 0) {
        if (n == 0 || errno != EAGAIN) {
            conn_close(fd);
        }
        return;
    }
    if (c->kind == KIND_SUBSCRIBED) {
        return; /* a pong */
    }
    if (c->kind == KIND_UPGRADED) {
        subscribe(fd);
        return;
    }
    if (c->in == NULL) {
        c->in = buf_new();
    }
    if (!net_append(c->in, server.scratch, (size_t)n, REQUEST_MAX)) {
        conn_close(fd);
        return;
    }
    if (c->kind == KIND_NEW) {
        classify(fd);
    }
    if (c->kind == KIND_API) {
        api_requests(fd);
        api_mark(fd);
    }
}

static void turn(int timeout_ms)
{
    struct epoll_event events[EVENTS_MAX];
    size_t before = server.log_len;
    int n = epoll_wait(server.ep, events, EVENTS_MAX, timeout_ms);

    for (int i = 0; i < n; i++) {
        int fd = (int)events[i].data.u64;
        if (fd == server.listener) {
            accept_all();
            continue;
        }
        if ((events[i].events & EPOLLOUT) != 0 && server.conn[fd].kind == KIND_SUBSCRIBED) {
            conn_flush(fd);
        }
        if ((events[i].events & ~(uint32_t)EPOLLOUT) != 0 && server.conn[fd].kind != KIND_FREE) {
            on_readable(fd);
        }
    }
    if (server.log_len > before) {
        server.fan_out();
    }
    if (server.laggards == 0 && server.log_len > 0) { /* nobody needs it any more */
        server.log_len = 0;
        for (uint32_t i = 0; i < server.subscribed_count; i++) {
            server.conn[server.subscribed[i]].pos = 0;
        }
    }
    api_flush();
}

/* Requests that waited because the log was full. */
static void retry_waiting(void)
{
    uint32_t count = server.api_dirty_count;
    size_t before = server.log_len;
    for (uint32_t i = 0; i < count; i++) {
        if (server.conn[server.api_dirty[i]].kind == KIND_API) {
            api_requests(server.api_dirty[i]);
        }
    }
    if (server.log_len > before) {
        server.fan_out();
    }
}

static void *map_zeroed(size_t size)
{
    void *p = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE,
                   -1, 0);
    if (p == MAP_FAILED) {
        NET_DIE("mmap: %m");
    }
    return p;
}

/* Reads the command line, listens, prints "port N", and never returns but for wrong usage. */
static int floor_run(int argc, char **argv, void (*fan_out)(void))
{
    uint16_t port = 0;
    uint64_t ping_every = 25 * MEASURE_SECOND;

    for (int i = 1; i < argc; i++) {
        if (i + 1 < argc && strcmp(argv[i], "--port") == 0) {
            port = (uint16_t)strtoul(argv[++i], NULL, 10);
        } else if (i + 1 < argc && strcmp(argv[i], "--ping") == 0) {
            ping_every = strtoul(argv[++i], NULL, 10) * MEASURE_SECOND;
        } else {
            fprintf(stderr, "usage: [--port N] [--ping SECONDS, 0: none]\n");
            return 2;
        }
    }
    server.fan_out = fan_out;
    server.files = net_raise_files();
    server.conn = map_zeroed(server.files * sizeof *server.conn);
    server.subscribed = map_zeroed(server.files * sizeof *server.subscribed);
    server.api_dirty = map_zeroed(server.files * sizeof *server.api_dirty);
    server.log = map_zeroed(LOG_MAX + LOG_ROOM);
    server.scratch = map_zeroed(READ_SIZE);
    server.ep = epoll_create1(EPOLL_CLOEXEC);
    server.listener = net_listen(&port);
    net_watch(server.ep, EPOLL_CTL_ADD, server.listener, EPOLLIN, (uint64_t)server.listener);
    printf("port %u\n", port);
    fflush(stdout);

    uint64_t next_ping = measure_now() + ping_every;
    for (;;) {
        uint64_t now = measure_now();
        int until_ping = now < next_ping ? (int)((next_ping - now) / 1000000) + 1 : 0;
        turn(server.api_dirty_count > 0 ? 1 : ping_every > 0 ? until_ping : -1);
        if (server.api_dirty_count > 0) {
            retry_waiting();
        }
        if (ping_every > 0 && measure_now() >= next_ping) {
            memcpy(server.log + server.log_len, "\x81\x02{}", 4);
            server.log_len += 4;
            server.fan_out();
            next_ping += ping_every;
        }
    }
}
