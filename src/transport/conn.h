/* One accepted connection. It begins as HTTP and may become a WebSocket in place; what only one of
 * the two needs hangs on a pointer, so that an idle WebSocket carries nothing of HTTP. Of the
 * transport layer only; worker thread. */
#pragma once

#include "client/transport.h"
#include "codec/ws.h"
#include "loop/stream.h"

#include <assert.h>

struct http_conn;
struct ws_rare;

struct conn {
    struct stream stream;
    struct transport transport; /* its outbox serves HTTP too */
    union {
        struct http_conn *http; /* while stream.ops are those of http_conn.c */
        struct client *client;  /* afterwards; NULL when it was told that we are gone */
    };
    struct ws_input input;
    struct ws_rare *rare; /* what few WebSockets need; NULL mostly */
    uint16_t controls;    /* control frames in this second */
    uint16_t second;      /* which one */
    bool paused : 1;
    bool closing : 1;    /* a close frame is queued, or TCP ends without one */
    bool discarding : 1; /* what still arrives is of no interest */
    bool taking : 1;     /* input is being worked through */
};

static_assert(sizeof(struct conn) <= 168, "an idle connection should cost little");

static inline struct conn *conn_of_stream(struct stream *s)
{
    return container_of(s, struct conn, stream);
}

static inline struct conn *conn_of_outbox(struct outbox *o)
{
    return container_of(o, struct conn, transport.outbox);
}

static inline struct conn *conn_of_transport(struct transport *t)
{
    return container_of(t, struct conn, transport);
}

static inline struct worker *conn_worker(const struct conn *c)
{
    return stream_worker(&c->stream);
}
