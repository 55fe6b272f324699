/* The backends of a load run: keep-alive HTTP connections that publish, one or many publications
 * per request, several requests in the pipe. One thread. */
#pragma once

#include "account.h"
#include "subscriber.h"

#define PUBLISHER_TAG (UINT64_C(2) << 32)
#define PUBLISHER_BYTES_MAX (64u << 20)

struct publisher_request {
    uint64_t sent_at;
    uint32_t lane, first, count;
};

struct publisher {
    int fd;
    bool blocked; /* waits for EPOLLOUT */
    struct net_buf in, out;
    struct publisher_request *ring; /* depth of them */
    uint32_t head, tail;            /* tail: the request whose answer comes next */
    size_t next_channel;
};

struct publishers {
    struct publisher *pub;
    size_t count, depth, batch, payload;
    int ep;
    struct account *account;
    const char *host, *path, *key, *channel;
    bool raw;              /* the body is the payload itself, to PATH + channel */
    uint64_t answers;      /* requests answered with 2xx and no error */
    uint64_t refused;      /* requests answered otherwise */
    uint64_t failed;       /* connections that ended */
    struct hist answering; /* per measured request */
    char failure[160];
    struct net_buf body;
};

static inline void publisher_fail(struct publishers *s, const char *why, const char *text,
                                  size_t len)
{
    if (s->failure[0] == '\0') {
        snprintf(s->failure, sizeof s->failure, "%s: %.*s", why, (int)(len < 100 ? len : 100),
                 text);
    }
}

static inline void publisher_end(struct publishers *s, struct publisher *p, const char *why)
{
    publisher_fail(s, "publisher", why, strlen(why));
    s->failed++;
    close(p->fd);
    p->fd = -1;
}

/* Connects them all, waiting for each: this is not what is measured. */
static inline void publisher_init(struct publishers *s, const struct sockaddr_in *to)
{
    s->pub = account_zeroed(s->count, sizeof *s->pub);
    for (size_t i = 0; i < s->count; i++) {
        struct publisher *p = &s->pub[i];
        p->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
        if (p->fd < 0 || connect(p->fd, (const struct sockaddr *)to, sizeof *to) != 0) {
            NET_DIE("cannot connect to the server: %m");
        }
        net_no_delay(p->fd);
        fcntl(p->fd, F_SETFL, O_NONBLOCK);
        p->ring = account_zeroed(s->depth, sizeof *p->ring);
        net_watch(s->ep, EPOLL_CTL_ADD, p->fd, EPOLLIN, PUBLISHER_TAG | i);
    }
}

static inline void publisher_text(struct net_buf *b, const char *text)
{
    net_append(b, text, strlen(text), PUBLISHER_BYTES_MAX);
}

static inline void publisher_body(struct publishers *s, size_t lane, const char *channel,
                                  uint64_t now)
{
    struct net_buf *b = &s->body;
    bool many = s->batch > 1;

    b->len = 0;
    publisher_text(b, many ? "{\"commands\":[" : "");
    for (size_t i = 0; i < s->batch; i++) {
        if (!s->raw) {
            publisher_text(b, i > 0 ? "," : "");
            publisher_text(b, many ? "{\"publish\":" : "");
            publisher_text(b, "{\"channel\":\"");
            publisher_text(b, channel);
            publisher_text(b, "\",\"data\":");
        }
        if (!net_reserve(b, s->payload, PUBLISHER_BYTES_MAX)) {
            NET_DIE("batch too large");
        }
        account_publish(s->account, lane, now, b->data + b->len, s->payload);
        b->len += s->payload;
        publisher_text(b, s->raw ? "" : many ? "}}" : "}");
    }
    publisher_text(b, many ? "]}" : "");
}

/* Writes one request into the connection's buffer; publisher_flush sends what stands there. */
static inline void publisher_request(struct publishers *s, size_t i)
{
    struct publisher *p = &s->pub[i];
    struct account *a = s->account;
    size_t lane = i * a->channels + p->next_channel;
    struct publisher_request *r = &p->ring[p->head++ % s->depth];
    char channel[128], head[512];

    subscriber_channel(channel, sizeof channel, s->channel, a->channels, p->next_channel);
    p->next_channel = (p->next_channel + 1) % a->channels;
    *r = (struct publisher_request){.sent_at = measure_now(),
                                    .lane = (uint32_t)lane,
                                    .first = a->lane[lane].next,
                                    .count = (uint32_t)s->batch};
    publisher_body(s, lane, channel, r->sent_at);
    int n = snprintf(head, sizeof head,
                     "POST %s%s HTTP/1.1\r\nHost: %s\r\nContent-Type: application/json\r\n"
                     "X-API-Key: %s\r\nContent-Length: %zu\r\n\r\n",
                     s->path,
                     s->raw         ? channel
                     : s->batch > 1 ? "batch"
                                    : "publish",
                     s->host, s->key, s->body.len);
    if (n >= (int)sizeof head || !net_append(&p->out, head, (size_t)n, PUBLISHER_BYTES_MAX) ||
        !net_append(&p->out, s->body.data, s->body.len, PUBLISHER_BYTES_MAX)) {
        NET_DIE("request too large");
    }
}

static inline void publisher_flush(struct publishers *s, size_t i)
{
    struct publisher *p = &s->pub[i];
    if (p->fd < 0 || p->out.len == 0) {
        return;
    }
    ssize_t n = send(p->fd, p->out.data, p->out.len, MSG_NOSIGNAL);
    if (n < 0 && errno != EAGAIN) {
        publisher_end(s, p, "send failed");
        return;
    }
    net_consume(&p->out, n < 0 ? 0 : (size_t)n);
    if (p->blocked != (p->out.len > 0)) {
        p->blocked = !p->blocked;
        net_watch(s->ep, EPOLL_CTL_MOD, p->fd, EPOLLIN | (p->blocked ? EPOLLOUT : 0u),
                  PUBLISHER_TAG | i);
    }
}

/* Fills the pipes: as many requests as depth, the window of open publications and limit allow.
 * Returns how many publications were sent. */
static inline uint64_t publisher_fill(struct publishers *s, uint64_t limit)
{
    struct account *a = s->account;
    uint64_t sent = 0;
    for (size_t i = 0; i < s->count; i++) {
        struct publisher *p = &s->pub[i];
        while (p->fd >= 0 && p->head - p->tail < s->depth && a->open + s->batch <= a->window &&
               sent < limit) {
            struct account_lane *l = &a->lane[i * a->channels + p->next_channel];
            if (l->next - l->tail + s->batch > (size_t)a->ring_mask + 1) {
                break;
            }
            publisher_request(s, i);
            sent += s->batch;
        }
        publisher_flush(s, i);
    }
    return sent;
}

/* The length of a whole chunked body at p, 0 if it is not whole yet. */
static inline size_t publisher_chunked(const char *p, size_t len)
{
    size_t at = 0;
    for (;;) {
        const char *line = memmem(p + at, len - at, "\r\n", 2);
        if (line == NULL) {
            return 0;
        }
        size_t size = strtoul(p + at, NULL, 16);
        at = (size_t)(line - p) + 2 + size + 2;
        if (at > len) {
            return 0;
        }
        if (size == 0) {
            return at;
        }
    }
}

static inline void publisher_answer(struct publishers *s, struct publisher *p, bool good,
                                    const char *text, size_t len)
{
    struct publisher_request *r = &p->ring[p->tail++ % s->depth];
    struct account *a = s->account;

    if (good) {
        s->answers++;
    } else {
        s->refused++;
        publisher_fail(s, "answer", text, len);
    }
    if (a->measuring && r->first >= a->lane[r->lane].measured_from) {
        hist_add(&s->answering, measure_now() - r->sent_at);
    }
    account_answered(a, r->lane, r->first, r->count);
}

static inline void publisher_readable(struct publishers *s, size_t i)
{
    struct publisher *p = &s->pub[i];
    if (p->fd < 0) {
        return;
    }
    if (!net_reserve(&p->in, 65536, PUBLISHER_BYTES_MAX)) {
        publisher_end(s, p, "answer too long");
        return;
    }
    ssize_t n = recv(p->fd, p->in.data + p->in.len, p->in.cap - p->in.len - 1, 0);
    if (n <= 0) {
        if (n == 0 || errno != EAGAIN) {
            publisher_end(s, p, "connection ended");
        }
        return;
    }
    p->in.len += (size_t)n;
    p->in.data[p->in.len] = '\0';

    size_t at = 0;
    while (p->head != p->tail) {
        const char *answer = p->in.data + at;
        size_t have = p->in.len - at;
        const char *end = memmem(answer, have, "\r\n\r\n", 4);
        if (end == NULL) {
            break;
        }
        size_t head = (size_t)(end - answer) + 4, body = 0;
        char fields[1024];
        snprintf(fields, sizeof fields, "%.*s", (int)head, answer);
        const char *length = strcasestr(fields, "content-length:");
        if (length != NULL) {
            body = strtoul(length + 15, NULL, 10);
        } else if (strcasestr(fields, "transfer-encoding:") != NULL) {
            body = publisher_chunked(answer + head, have - head);
            if (body == 0) {
                break;
            }
        }
        if (have < head + body) {
            break;
        }
        bool good =
            head > 12 && answer[9] == '2' && memmem(answer + head, body, "\"error\"", 7) == NULL;
        publisher_answer(s, p, good, answer, head + body);
        at += head + body;
    }
    net_consume(&p->in, at);
}

static inline void publisher_event(struct publishers *s, size_t i, uint32_t events)
{
    if ((events & EPOLLOUT) != 0) {
        publisher_flush(s, i);
    }
    if ((events & ~(uint32_t)EPOLLOUT) != 0) {
        publisher_readable(s, i);
    }
}
