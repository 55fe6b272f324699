/* The WebSocket clients of a load run: connect, upgrade, say connect and subscribe in one frame as
 * the SDKs do, answer pings, and book every publication. All clients share one read buffer; a
 * client owns memory only while half a frame waits for its other half. One thread. */
#pragma once

#include "account.h"
#include "kind.h"

#define SUBSCRIBER_FRAME_MAX (4u << 20)
#define SUBSCRIBER_TAG (UINT64_C(1) << 32)

enum subscriber_state {
    SUB_UNUSED,
    SUB_CONNECTING,
    SUB_UPGRADING,
    SUB_JOINING,
    SUB_READY,
    SUB_GONE
};

struct subscriber {
    int fd;
    uint8_t state;
    uint32_t part_len;
    char *part; /* the bytes of an unfinished frame or head */
    uint64_t began_at;
};

/* Told of each reply to a command that a ready client sent. */
typedef void subscriber_reply_fn(void *arg, size_t i, bool good);

struct subscribers {
    struct subscriber *sub;
    size_t count;   /* how many there may be */
    size_t begun;   /* sub[0 .. begun) were started */
    size_t ready;   /* now */
    size_t waiting; /* started, neither ready nor failed */
    size_t failed;  /* never became ready */
    size_t dropped; /* were ready, then the server ended it */
    uint64_t pings;
    uint64_t reads;    /* recv() calls that brought something */
    char failure[160]; /* the first one */
    struct hist join;  /* start until subscribed */

    int ep;
    struct sockaddr_in to;
    struct account *account;
    const char *host, *path, *channel, *token, *secret;
    enum kind kind;
    struct net_buf *base; /* KIND_DELTA, per client: the last publication */
    subscriber_reply_fn *on_reply;
    void *reply_arg;
    bool raw; /* a plain WebSocket server: ready once upgraded */
    char *scratch;
    uint64_t now;
};

static inline void subscriber_end(struct subscribers *s, size_t i, const char *why,
                                  const char *text, size_t text_len)
{
    struct subscriber *c = &s->sub[i];
    if (c->state == SUB_READY) {
        s->ready--;
        s->dropped++;
        s->account->audience[account_channel(s->account, i)]--;
    } else {
        s->waiting--;
        s->failed++;
    }
    if (s->failure[0] == '\0') {
        snprintf(s->failure, sizeof s->failure, "%s: %.*s", why,
                 (int)(text_len < 100 ? text_len : 100), text);
    }
    close(c->fd);
    free(c->part);
    *c = (struct subscriber){.fd = -1, .state = SUB_GONE};
}

/* Starts the next client. */
static inline void subscriber_start(struct subscribers *s)
{
    size_t i = s->begun++;
    struct subscriber *c = &s->sub[i];
    *c = (struct subscriber){.state = SUB_CONNECTING, .began_at = measure_now()};
    s->waiting++;
    c->fd = net_connect(&s->to, i);
    if (c->fd < 0) {
        subscriber_end(s, i, "connect", strerrordesc_np(errno), 100);
        return;
    }
    net_watch(s->ep, EPOLL_CTL_ADD, c->fd, EPOLLOUT, SUBSCRIBER_TAG | i);
}

static inline bool subscriber_send(struct subscribers *s, size_t i, const void *data, size_t len)
{
    if (send(s->sub[i].fd, data, len, MSG_NOSIGNAL) != (ssize_t)len) {
        subscriber_end(s, i, "send", strerrordesc_np(errno), 100);
        return false;
    }
    return true;
}

static inline bool subscriber_send_frame(struct subscribers *s, size_t i, int opcode,
                                         const void *data, size_t len)
{
    uint8_t frame[WS_HEAD_MAX + 2048];
    if (len > 2048) {
        subscriber_end(s, i, "send", "too long", 8);
        return false;
    }
    size_t n = net_ws_head(frame, opcode, len, true);
    memcpy(frame + n, data, len);
    return subscriber_send(s, i, frame, n + len);
}

static inline void subscriber_upgrade(struct subscribers *s, size_t i)
{
    char text[512];
    int error = 0;
    socklen_t len = sizeof error;

    getsockopt(s->sub[i].fd, SOL_SOCKET, SO_ERROR, &error, &len);
    if (error != 0) {
        subscriber_end(s, i, "connect", strerrordesc_np(error), 100);
        return;
    }
    int n = snprintf(text, sizeof text,
                     "GET %s HTTP/1.1\r\nHost: %s\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
                     "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
                     "Sec-WebSocket-Version: 13\r\n%s\r\n",
                     s->path, s->host, kind_headers(s->kind));
    s->sub[i].state = SUB_UPGRADING;
    net_watch(s->ep, EPOLL_CTL_MOD, s->sub[i].fd, EPOLLIN, SUBSCRIBER_TAG | i);
    if (n < (int)sizeof text) {
        subscriber_send(s, i, text, (size_t)n);
    } else {
        subscriber_end(s, i, "upgrade", "path too long", 13);
    }
}

/* Channel k of several is named NAME_k; of one, NAME. */
static inline void subscriber_channel(char *out, size_t cap, const char *name, size_t channels,
                                      size_t k)
{
    if (channels == 1) {
        snprintf(out, cap, "%s", name);
    } else {
        snprintf(out, cap, "%s_%zu", name, k);
    }
}

static inline void subscriber_ready(struct subscribers *s, size_t i)
{
    s->sub[i].state = SUB_READY;
    s->waiting--;
    s->ready++;
    s->account->audience[account_channel(s->account, i)]++;
    hist_add(&s->join, measure_now() - s->sub[i].began_at);
}

static inline void subscriber_join(struct subscribers *s, size_t i)
{
    char made[768] = "", user[32], channel[128], text[2048];
    const char *token = s->token != NULL ? s->token : "";

    if (s->raw) {
        subscriber_ready(s, i);
        return;
    }
    if (s->token == NULL && s->secret != NULL) {
        snprintf(user, sizeof user, "user%zu", i);
        if (digest_token(made, sizeof made, s->secret, user, time(NULL) + 86400)) {
            token = made;
        }
    }
    subscriber_channel(channel, sizeof channel, s->channel, s->account->channels,
                       account_channel(s->account, i));
    size_t n = kind_join(s->kind, text, sizeof text, token, channel);
    s->sub[i].state = SUB_JOINING;
    if (n > 0) {
        subscriber_send_frame(s, i, s->kind == KIND_PROTOBUF ? WS_BINARY : WS_TEXT, text, n);
    } else {
        subscriber_end(s, i, "connect", "token too long", 14);
    }
}

/* The answer to the upgrade. Returns what was used of it, 0 if it is not whole yet. */
static inline size_t subscriber_head(struct subscribers *s, size_t i, const char *p, size_t len)
{
    const char *end = memmem(p, len, "\r\n\r\n", 4);
    if (end == NULL) {
        return 0;
    }
    size_t head = (size_t)(end - p) + 4;
    if (len < 12 || memcmp(p + 8, " 101", 4) != 0 ||
        memmem(p, head, "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=", 28) == NULL) {
        subscriber_end(s, i, "upgrade", p, head);
        return 0;
    }
    subscriber_join(s, i);
    return head;
}

/* Books the publication in a reply. False: there is none. */
static inline bool subscriber_publication(struct subscribers *s, size_t i, const char *p,
                                          size_t len)
{
    struct str text = {p, len};

    if (s->kind == KIND_DELTA && s->sub[i].state == SUB_READY &&
        !kind_patch(&s->base[i], p, len, &text)) {
        return false;
    }
    const char *mark = memmem(text.ptr, text.len, ACCOUNT_MARK, ACCOUNT_T);
    if (mark == NULL || (size_t)(text.ptr + text.len - mark) < ACCOUNT_PAYLOAD_MIN) {
        return false;
    }
    account_deliver(s->account, i, mark, s->now);
    return true;
}

/* A ping, a publication, or the reply to a command. False: the client is gone. */
static inline bool subscriber_reply(struct subscribers *s, size_t i, const char *p, size_t len)
{
    if (kind_is_ping(s->kind, p, len)) {
        s->pings++;
        return s->kind == KIND_PROTOBUF ? subscriber_send_frame(s, i, WS_BINARY, "", 1)
                                        : subscriber_send_frame(s, i, WS_TEXT, "{}", 2);
    }
    if (subscriber_publication(s, i, p, len)) {
        return true;
    }
    bool good = !kind_is_error(s->kind, p, len);
    if (s->sub[i].state == SUB_READY && s->on_reply != NULL) {
        s->on_reply(s->reply_arg, i, good);
        return s->sub[i].state == SUB_READY;
    }
    if (!good) {
        subscriber_end(s, i, "reply", p, len);
        return false;
    }
    if (s->sub[i].state == SUB_JOINING && kind_is_subscribed(s->kind, p, len)) {
        subscriber_ready(s, i);
    }
    return true;
}

static inline bool subscriber_message(struct subscribers *s, size_t i, const char *p, size_t len)
{
    const char *end = p + len, *reply;
    size_t reply_len;

    while (kind_next(s->kind, &p, end, &reply, &reply_len)) {
        if (!subscriber_reply(s, i, reply, reply_len)) {
            return false;
        }
    }
    return true;
}

static inline bool subscriber_data(struct subscribers *s, size_t i, const char *p, size_t len,
                                   bool compressed)
{
    struct str message = {p, len};

    if (compressed && (s->kind != KIND_DEFLATE || !kind_inflate(message, &message))) {
        subscriber_end(s, i, "frame", "not to be inflated", 18);
        return false;
    }
    return subscriber_message(s, i, message.ptr, message.len);
}

/* Takes whole frames; returns how many bytes they were. The client may be gone afterwards. */
static inline size_t subscriber_frames(struct subscribers *s, size_t i, const char *p, size_t len)
{
    size_t at = 0, size = 0;
    int opcode = 0, head;
    bool fin = true, compressed = false;

    while ((head = net_ws_parse((const uint8_t *)p + at, len - at, SUBSCRIBER_FRAME_MAX, &opcode,
                                &fin, &compressed, &size)) > 0 &&
           len - at >= (size_t)head + size) {
        const char *data = p + at + head;
        at += (size_t)head + size;
        if (opcode == WS_CLOSE) {
            char text[140];
            unsigned code = size >= 2 ? (unsigned)(uint8_t)data[0] << 8 | (uint8_t)data[1] : 1005;
            int n = snprintf(text, sizeof text, "%u %.*s", code, size > 2 ? (int)size - 2 : 0,
                             data + 2);
            subscriber_end(s, i, "closed", text, (size_t)n);
            return at;
        }
        if (opcode == WS_PING) {
            s->pings++;
            if (!subscriber_send_frame(s, i, WS_PONG, data, size)) {
                return at;
            }
        } else if (opcode != WS_PONG && !fin) {
            subscriber_end(s, i, "frame", "fragmented", 10);
            return at;
        } else if (opcode != WS_PONG && !subscriber_data(s, i, data, size, compressed)) {
            return at;
        }
    }
    if (head < 0) {
        subscriber_end(s, i, "frame", "malformed", 9);
    }
    return at;
}

static inline void subscriber_bytes(struct subscribers *s, size_t i, const char *p, size_t len)
{
    struct subscriber *c = &s->sub[i];
    size_t at = 0;

    if (c->state == SUB_UPGRADING) {
        at = subscriber_head(s, i, p, len);
    }
    if (c->state == SUB_JOINING || c->state == SUB_READY) {
        at += subscriber_frames(s, i, p + at, len - at);
    }
    if (c->state == SUB_GONE) {
        return;
    }
    free(c->part);
    c->part = NULL;
    c->part_len = (uint32_t)(len - at);
    if (c->part_len > 0) {
        c->part = account_zeroed(1, c->part_len);
        memcpy(c->part, p + at, c->part_len);
    }
}

static inline void subscriber_event(struct subscribers *s, size_t i, uint32_t events)
{
    struct subscriber *c = &s->sub[i];

    if (c->state == SUB_CONNECTING) {
        subscriber_upgrade(s, i);
        return;
    }
    if (c->state == SUB_GONE || c->state == SUB_UNUSED || events == 0) {
        return;
    }
    if (c->part_len > 0) {
        memcpy(s->scratch, c->part, c->part_len);
    }
    ssize_t n = recv(c->fd, s->scratch + c->part_len, SUBSCRIBER_FRAME_MAX, 0);
    if (n <= 0) {
        if (n == 0 || errno != EAGAIN) {
            subscriber_end(s, i, "ended", n == 0 ? "end of file" : strerrordesc_np(errno), 100);
        }
        return;
    }
    s->now = measure_now();
    s->reads++;
    subscriber_bytes(s, i, s->scratch, c->part_len + (size_t)n);
}

static inline void subscriber_close_all(struct subscribers *s)
{
    for (size_t i = 0; i < s->begun; i++) {
        struct subscriber *c = &s->sub[i];
        if (c->state != SUB_GONE && c->state != SUB_UNUSED) {
            close(c->fd);
            free(c->part);
            *c = (struct subscriber){.fd = -1, .state = SUB_GONE};
        }
    }
    memset(s->account->audience, 0, s->account->channels * sizeof *s->account->audience);
    s->ready = 0;
}

static inline void subscriber_init(struct subscribers *s, size_t count, struct account *account)
{
    s->sub = account_zeroed(count, sizeof *s->sub);
    s->count = count;
    s->account = account;
    if (s->kind == KIND_DELTA) {
        s->base = account_zeroed(count, sizeof *s->base);
    }
    s->scratch = malloc(2u * SUBSCRIBER_FRAME_MAX + WS_HEAD_MAX);
    if (s->scratch == NULL) {
        NET_DIE("out of memory");
    }
}
