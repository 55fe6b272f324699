#include "core/http_link.h"

#include "base/check.h"
#include "base/mem.h"

#include <stdio.h>

#define PLAIN_BYTES 16384 /* of one TLS record */
#define OUT_MAX (SIZE_MAX / 4)

struct http_link {
    struct stream stream;
    uv_getaddrinfo_t resolve;
    struct worker *worker;
    const struct http_link_ops *ops;
    void *owner;
    struct tls *tls;                   /* NULL: plain text */
    struct addrinfo *addresses, *next; /* those still to be tried from next on */
    struct sockaddr_storage literal;
    struct http_reply_parser *parser; /* of the request on its way */
    struct buf out;                   /* what the socket has not taken */
    bool resolving, ready, closing;
    char why[192];
};

static void link_free(struct http_link *l)
{
    if (l->addresses)
        uv_freeaddrinfo(l->addresses);
    http_reply_parser_free(l->parser);
    tls_free(l->tls);
    buf_deinit(&l->out);
    mem_free(l);
}

void http_link_close(struct http_link *l)
{
    if (l->closing)
        return;
    l->closing = true;
    if (l->resolving)
        uv_cancel((uv_req_t *)&l->resolve); /* on_resolved frees it, be it late */
    else
        stream_close(&l->stream);
}

static void fail(struct http_link *l, const char *why)
{
    bool begun = l->parser && http_reply_begun(l->parser);

    if (l->closing)
        return;
    snprintf(l->why, sizeof l->why, "%s", why);
    http_link_close(l);
    l->ops->on_failed(l->owner, l->why, begun);
}

/* --- writing --------------------------------------------------------------------------------- */

static void flush(struct http_link *l)
{
    ptrdiff_t n;
    uv_buf_t rest;

    if (l->closing || stream_is_draining(&l->stream))
        return;
    if (l->tls && l->out.len == 0)
        tls_take_output(l->tls, &l->out);
    if (l->out.len == 0)
        return;
    rest = uv_buf_init(l->out.ptr, (unsigned)MIN(l->out.len, (size_t)1 << 30));
    n = stream_write(&l->stream, &rest, 1);
    if (n < 0)
        return; /* broken: reading finds that out, with what the peer still said */
    if ((size_t)n == l->out.len) {
        buf_clear(&l->out);
        buf_shrink(&l->out);
        return;
    }
    rest.base += n;
    rest.len -= (size_t)n;
    stream_await_drain(&l->stream, &rest, 1);
}

static void on_drained(struct stream *s)
{
    struct http_link *l = container_of(s, struct http_link, stream);

    buf_drop_front(&l->out, MIN(l->out.len, (size_t)1 << 30));
    flush(l);
}

void http_link_send(struct http_link *l, struct str request, struct http_reply_parser *parser)
{
    CHECK(l->ready && l->parser == NULL);
    l->parser = parser;
    if (l->closing)
        return;
    /* A refused write leaves the connection to its reading side, as in flush. */
    if (l->tls == NULL)
        buf_add_str(&l->out, request);
    else if (tls_write(l->tls, request) != OK)
        return;
    flush(l);
}

/* --- reading --------------------------------------------------------------------------------- */

static void reply(struct http_link *l)
{
    struct http_reply_parser *parser = l->parser;
    bool sent = l->out.len == 0 && !stream_is_draining(&l->stream);

    l->parser = NULL;
    l->ops->on_reply(l->owner, parser, sent && http_reply_get(parser)->keep_alive);
}

static void input(struct http_link *l, const char *bytes, size_t n)
{
    if (l->parser == NULL) {
        fail(l, "the server sent what nobody asked for");
        return;
    }
    switch (http_reply_feed(l->parser, bytes, n)) {
    case HTTP_REPLY_MORE:
        l->ops->on_part(l->owner, http_reply_body(l->parser));
        break;
    case HTTP_REPLY_DONE:
        reply(l);
        break;
    case HTTP_REPLY_FAILED:
        fail(l, http_reply_problem(l->parser));
        break;
    }
}

/* proper: for TLS, the peer said so, and nobody cut the connection. */
static void ended(struct http_link *l, bool proper)
{
    if (l->closing)
        return;
    if (!l->ready)
        fail(l, "the server closed the connection while it was set up");
    else if (l->parser == NULL)
        fail(l, "the server closed the connection");
    else if (http_reply_end(l->parser) != HTTP_REPLY_DONE)
        fail(l, http_reply_problem(l->parser));
    else if (!proper)
        fail(l, "the connection was cut inside the answer");
    else
        reply(l);
}

static void tls_failed(struct http_link *l)
{
    char why[sizeof l->why];

    snprintf(why, sizeof why, "TLS: %s", tls_problem(l->tls));
    flush(l); /* the alert */
    fail(l, why);
}

static void handshake(struct http_link *l)
{
    enum err err = tls_handshake(l->tls);

    if (err == ERR_BUSY) {
        flush(l);
    } else if (err != OK) {
        tls_failed(l);
    } else {
        flush(l);
        l->ready = true;
        l->ops->on_ready(l->owner);
    }
}

static void on_tls_data(struct http_link *l, const char *bytes, size_t n)
{
    char plain[PLAIN_BYTES];
    ptrdiff_t got = 0;

    tls_feed(l->tls, bytes, n);
    if (!l->ready)
        handshake(l);
    while (l->ready && !l->closing && (got = tls_read(l->tls, plain, sizeof plain)) > 0)
        input(l, plain, (size_t)got);
    if (l->closing)
        return;
    if (got < 0 && tls_is_ended(l->tls))
        ended(l, true);
    else if (got < 0)
        tls_failed(l);
    else
        flush(l);
}

static void on_data(struct stream *s, char *bytes, size_t n)
{
    struct http_link *l = container_of(s, struct http_link, stream);

    if (l->tls)
        on_tls_data(l, bytes, n);
    else
        input(l, bytes, n);
}

static void on_end(struct stream *s)
{
    struct http_link *l = container_of(s, struct http_link, stream);

    ended(l, l->tls == NULL);
}

/* --- connecting ------------------------------------------------------------------------------ */

static void connect_next(struct http_link *l);

static void on_closed(struct stream *s)
{
    struct http_link *l = container_of(s, struct http_link, stream);

    if (l->closing)
        link_free(l);
    else
        connect_next(l);
}

static void on_connected(struct stream *s, enum err err)
{
    struct http_link *l = container_of(s, struct http_link, stream);

    if (err != OK && l->next) {
        stream_close(s); /* the next address follows */
    } else if (err != OK) {
        fail(l, "the server cannot be connected to");
    } else {
        stream_read_start(s);
        if (l->tls) {
            handshake(l);
        } else {
            l->ready = true;
            l->ops->on_ready(l->owner);
        }
    }
}

static const struct stream_ops stream_ops = {
    .on_data = on_data,
    .on_drained = on_drained,
    .on_connected = on_connected,
    .on_end = on_end,
    .on_closed = on_closed,
};

static void connect_to(struct http_link *l, const struct sockaddr *address)
{
    stream_connect(&l->stream, l->worker, address, &stream_ops);
}

static void connect_next(struct http_link *l)
{
    const struct sockaddr *address = l->next->ai_addr;

    l->next = l->next->ai_next;
    connect_to(l, address);
}

static void on_resolved(uv_getaddrinfo_t *req, int status, struct addrinfo *addresses)
{
    struct http_link *l = container_of(req, struct http_link, resolve);

    worker_woke(l->worker);
    l->addresses = l->next = addresses;
    if (l->closing) {
        link_free(l);
    } else if (status != 0 || addresses == NULL) {
        fail(l, "the host's name cannot be resolved"); /* resolving still: it is not freed yet */
        link_free(l);
    } else {
        l->resolving = false;
        connect_next(l);
    }
}

static bool read_literal(struct http_link *l, const char *host, int port)
{
    return uv_ip4_addr(host, port, (struct sockaddr_in *)&l->literal) == 0 ||
           uv_ip6_addr(host, port, (struct sockaddr_in6 *)&l->literal) == 0;
}

struct http_link *http_link_open(struct worker *w, const struct url *url, struct tls_context *tls,
                                 const struct http_link_ops *ops, void *owner)
{
    struct http_link *l = mem_zalloc(sizeof *l);
    struct addrinfo hints = {.ai_socktype = SOCK_STREAM};
    char host[URL_HOST_MAX + 1], service[8];

    CHECK_ON(w);
    CHECK(url->host.len < sizeof host);
    l->worker = w;
    l->ops = ops;
    l->owner = owner;
    l->out = BUF_INIT(OUT_MAX);
    memcpy(host, url->host.ptr, url->host.len);
    host[url->host.len] = '\0';
    snprintf(service, sizeof service, "%u", url->port);
    if (tls)
        l->tls = tls_new_client(tls, url->host, url->literal);
    if (url->literal && read_literal(l, host, (int)url->port)) {
        connect_to(l, (const struct sockaddr *)&l->literal);
        return l;
    }
    l->resolving = true;
    CHECK(uv_getaddrinfo(&w->loop, &l->resolve, on_resolved, host, service, &hints) == 0);
    return l;
}
