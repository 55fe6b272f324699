/* The HTTP side of one worker: its listener, its connections and the table of routes. Upper layers
 * register routes before server_listen; a request for one becomes an exchange (exchange.h) that may
 * be answered in any later turn. Worker thread. */
#pragma once

#include "base/err.h"
#include "codec/http.h"
#include "core/core.h"
#include "loop/listener.h"

struct server;
struct exchange;

/* Handles a request. req and all its slices are borrowed for the call; x stays until answered,
 * which must happen exactly once, now or later. */
typedef void route_fn(struct exchange *x, const struct http_request *req, void *arg);

struct route {
    struct str path;  /* copied; slashes at its end are cut off */
    bool is_prefix;   /* also for everything below path/ */
    bool upgrades;    /* may become a WebSocket; elsewhere such a request is refused */
    unsigned methods; /* of enum http_method; GET brings HEAD */
    size_t body_max;  /* bytes; more → 413 */
    route_fn *fn;
    void *arg;
};

#define ROUTES_MAX 64

/* Enters itself in core->server. */
struct server *server_new(struct core *core);
void server_free(struct server *s); /* after the loop has ended */
void server_add_route(struct server *s, const struct route *route);
void server_clear_routes(struct server *s); /* before they are entered again, on reload */
/* address empty: every interface. ERR_IO with the reason logged. */
enum err server_listen(struct server *s, struct str address, int port) NODISCARD;

/* Stops listening, lets requests in flight be answered and closes connections that wait for none.
 * Clients are ended by their owner, the client layer. */
void server_drain(struct server *s);
/* HTTP and upgraded connections that are open. */
size_t server_connections(const struct server *s);
/* Closes every connection that is still HTTP, answered or not. */
void server_abort(struct server *s);
