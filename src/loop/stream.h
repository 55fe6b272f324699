/* A byte stream over a socket: reads arrive through on_data, writes are gathered, closing happens
 * exactly once. Lives inside its owner's struct; the owner frees that in on_closed. Worker thread.
 */
#pragma once

#include "base/err.h"
#include "base/str.h"
#include "loop/worker.h"

#include <uv.h>

struct stream;
struct stream_pending;

struct stream_ops {
    /* n bytes arrived. They lie in the worker's read buffer: use or copy them before returning;
     * they may be changed in place (unmasking). May close the stream. */
    void (*on_data)(struct stream *s, char *bytes, size_t n);
    /* stream_await_drain was called: the socket is full. May be NULL. */
    void (*on_full)(struct stream *s);
    /* What stream_write could not take at once has gone out, or cannot go out any more, which the
     * next stream_write tells by -1; write more. */
    void (*on_drained)(struct stream *s);
    /* The answer to stream_connect, never inline: OK, and s is as after stream_accept, or ERR_IO,
     * and s must be closed. Not after stream_close. */
    void (*on_connected)(struct stream *s, enum err err);
    /* The peer ended or the connection broke. Nothing more will be read; the owner decides when
     * to close. Called at most once, never after stream_close. */
    void (*on_end)(struct stream *s);
    /* At the end of a turn after stream_close; the last call. Free the owner here. */
    void (*on_closed)(struct stream *s);
};

struct stream {
    const struct stream_ops *ops;
    struct worker *worker;
    struct stream_pending *pending; /* the write in flight; NULL nearly always */
    int fd;                         /* -1: none */
    uint8_t watched;                /* what the poller looks for */
    bool connecting : 1, reading : 1, ended : 1, closing : 1;
    bool broken : 1;   /* writing failed; stream_write says so from now on */
    bool shutdown : 1; /* our side is ended, or about to be */
    bool told : 1;     /* the turn's end has something to tell its owner */
};

/* What the streams of one worker share. */
struct streams *streams_new(struct worker *w);
void streams_close(struct streams *all); /* without streams left; then the loop runs once more */
void streams_free(struct streams *all);

/* Takes fd, a connected non-blocking socket. */
void stream_accept(struct stream *s, struct worker *w, int fd, const struct stream_ops *ops);
/* Connects s to addr; on_connected follows. */
void stream_connect(struct stream *s, struct worker *w, const struct sockaddr *addr,
                    const struct stream_ops *ops);
void stream_read_start(struct stream *s);
void stream_read_stop(struct stream *s); /* back-pressure: the peer's window fills up */

static inline struct worker *stream_worker(const struct stream *s)
{
    return s->worker;
}

/* Writes what the socket takes now and returns how many bytes that were (0: it is full), or -1:
 * broken. When less than everything went out, the caller keeps the rest and calls
 * stream_await_drain. Not while stream_is_draining. */
ptrdiff_t stream_write(struct stream *s, const uv_buf_t *bufs, unsigned n) NODISCARD;
/* Goes on with the next bytes when the socket takes more, and calls on_drained when they are out,
 * never inline. The array is copied; the bytes must stay in place until then or until on_closed.
 * Only right after a stream_write that took less than it was given. */
void stream_await_drain(struct stream *s, const uv_buf_t *bufs, unsigned n);
static inline bool stream_is_draining(const struct stream *s)
{
    return s->pending != NULL;
}
size_t stream_undrained(const struct stream *s); /* bytes of them that are not out yet */

void stream_shutdown(struct stream *s); /* ends our side after what is written; keeps reading */
void stream_close(struct stream *s);    /* harmless when closing already */
struct str stream_peer(const struct stream *s, char *out, size_t size); /* "ip", no port */
