/* A byte stream over TCP (TLS comes behind the same calls): reads arrive through on_data, writes
 * are gathered, closing happens exactly once. Lives inside its owner's struct; the owner frees that
 * in on_closed. Worker thread. */
#pragma once

#include "base/err.h"
#include "base/str.h"
#include "loop/worker.h"

#include <uv.h>

struct stream;

struct stream_ops {
    /* n bytes arrived. They lie in the worker's read buffer: use or copy them before returning;
     * they may be changed in place (unmasking). May close the stream. */
    void (*on_data)(struct stream *s, char *bytes, size_t n);
    /* stream_await_drain was called: the socket is full. May be NULL. */
    void (*on_full)(struct stream *s);
    /* What stream_write could not take at once has gone out, or cannot go out any more, which the
     * next stream_write tells by -1; write more. */
    void (*on_drained)(struct stream *s);
    /* The peer ended or the connection broke. Nothing more will be read; the owner decides when
     * to close. Called at most once, never after stream_close. */
    void (*on_end)(struct stream *s);
    /* The handle is gone; the last call. Free the owner here. */
    void (*on_closed)(struct stream *s);
};

struct stream {
    uv_tcp_t tcp;
    const struct stream_ops *ops;
    struct stream_pending *pending; /* the write in flight; NULL nearly always */
    int fd;                         /* the same as in tcp, next to what a write looks at */
    bool reading : 1, closing : 1, ended : 1;
    bool broken : 1;   /* writing failed; stream_write says so from now on */
    bool shutdown : 1; /* our side is ended, or about to be */
};

/* Takes fd, a connected non-blocking socket (from listener_fn); ERR_IO when it cannot be used (the
 * handle is then closed and on_closed is called later). */
enum err stream_accept(struct stream *s, struct worker *w, int fd,
                       const struct stream_ops *ops) NODISCARD;
/* Connects s to addr. fn is called once, never inline: OK, and s is as after stream_accept, or
 * ERR_IO, and s must be closed; not any more once stream_close was called. */
typedef void stream_connected_fn(struct stream *s, enum err err);
void stream_connect(struct stream *s, struct worker *w, const struct sockaddr *addr,
                    const struct stream_ops *ops, stream_connected_fn *fn);
void stream_read_start(struct stream *s);
void stream_read_stop(struct stream *s); /* back-pressure: the peer's window fills up */

static inline struct worker *stream_worker(const struct stream *s)
{
    return (struct worker *)s->tcp.loop->data;
}

/* Writes what the socket takes now and returns how many bytes that were (0: it is full), or -1:
 * broken. When less than everything went out, the caller keeps the rest and calls
 * stream_await_drain. Not while stream_is_draining. */
ptrdiff_t stream_write(struct stream *s, const uv_buf_t *bufs, unsigned n) NODISCARD;
/* Hands the next bytes to libuv's own queue and calls on_drained when they are out, never inline.
 * The array is copied; the bytes must stay in place until then or until on_closed. Only right
 * after a stream_write that took less than it was given. */
void stream_await_drain(struct stream *s, const uv_buf_t *bufs, unsigned n);
static inline bool stream_is_draining(const struct stream *s)
{
    return s->pending != NULL;
}

void stream_shutdown(struct stream *s); /* ends our side after what is written; keeps reading */
void stream_close(struct stream *s);    /* harmless when closing already */
struct str stream_peer(const struct stream *s, char *out, size_t size); /* "ip", no port */
