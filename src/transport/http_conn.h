/* A connection while it speaks HTTP/1.1: reads requests, many at once when a client pipelines,
 * starts their exchanges and writes the answers in order. Of the transport layer only; worker
 * thread. */
#pragma once

#include "base/list.h"
#include "loop/timers.h"
#include "transport/conn.h"
#include "transport/exchange.h"
#include "transport/server.h"

/* In flight on one connection; then reading pauses. */
#define PIPELINE_MAX 128

struct http_conn {
    struct conn *conn;
    struct server *server;
    struct list in_server;
    struct list exchanges;      /* unanswered or waiting for their turn, oldest first */
    struct turn_task resume;    /* takes what was kept, at the end of a turn */
    struct http_parser *parser; /* while a request is being read */
    char *kept;                 /* read, but not looked at since too much is in flight */
    size_t kept_len;
    struct timer timer;
    uint64_t due_ms; /* the timer may be set to earlier; then it is set again */
    size_t progress; /* of the write, when last looked at */
    unsigned in_flight;
    uint8_t wait; /* what the deadline is for */
    bool last;    /* no further request is taken */
};

void http_conn_accept(struct server *s, int fd);
/* While requests of a connection are taken, small answers that are next in order are gathered in
 * server.gathered. May one with so many bytes of body be written there now? */
#define GATHERED_MAX ((size_t)64 << 10)
bool http_conn_gathers(const struct exchange *x, size_t body_len);
/* x is answered there; x is gone. */
void http_conn_gathered(struct exchange *x);
/* Queues what is gathered in front of whatever else is to be written. */
void http_conn_flush(struct conn *c);
/* An exchange has its response. */
void http_conn_answered(struct conn *c);
/* Takes the connection out of HTTP; frees c->http. */
void http_conn_leave(struct conn *c);
/* No further requests; closes when all are answered. */
void http_conn_finish(struct http_conn *h);
