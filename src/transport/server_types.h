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
    struct http_parser *spare; /* one that nobody uses now */
    struct buf head;           /* where response heads are written */
    uint64_t date_s;           /* second that `date` shows */
    char date[32];
    uint8_t date_len;
    bool draining;
};

const struct route *server_route(const struct server *s, struct str path);
struct str server_date(struct server *s);
struct http_parser *server_take_parser(struct server *s);
void server_give_parser(struct server *s, struct http_parser *p);
