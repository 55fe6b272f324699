/* What the files of the HTTP side share about struct server. Of the transport layer only. */
#pragma once

#include "transport/server.h"

struct server {
    struct core *core;
    struct listener *listener;
    struct route routes[ROUTES_MAX];
    size_t route_count;
    struct list https;         /* connections that are still HTTP */
    size_t open;               /* connections of any kind */
    size_t crowd;              /* the most of them since memory was given back */
    uint64_t trimmed_ms;       /* when that was */
    struct timer trim;         /* when it is to be the next time */
    size_t trim_open;          /* `open` when that was set */
    struct http_parser *spare; /* one that nobody uses now */
    struct exchange *spare_exchange;
    struct buf head;        /* where response heads are written */
    struct conn *gathering; /* whose requests are being taken right now; or NULL */
    struct buf gathered;    /* its answers so far, which go out as one frame */
    struct buf usual_head;  /* of the last gathered answer: see exchange.c */
    size_t usual_length;    /* of the body that it announces */
    uint64_t usual_s;       /* its date_s */
    uint64_t date_s;        /* second that `date` shows */
    uint64_t date_ms;       /* turn when it was last looked at */
    char date[32];
    uint8_t date_len;
    bool draining;
};

const struct route *server_route(const struct server *s, struct str path);
struct str server_date(struct server *s);
struct http_parser *server_take_parser(struct server *s);
void server_give_parser(struct server *s, struct http_parser *p);
/* Every connection says so when it comes and, its memory freed, when it has gone. */
void server_enter(struct server *s);
void server_leave(struct server *s);
