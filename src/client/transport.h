/* What a client needs from the connection that carries it; every transport fills this in. The
 * client writes by pushing frames into the outbox and never touches a socket. Worker thread.
 *
 * Life: the transport creates a client (client_new) when its handshake is done, gives it every
 * message (client_receive), and says when the connection is gone (client_transport_closed), after
 * which neither calls the other again. The client ends a connection by close(). */
#pragma once

#include "core/kind.h"
#include "core/outbox.h"

struct transport;

struct transport_ops {
    const char *name; /* "websocket", as hooks and logs call it */
    bool emulated;    /* the client → server half comes as separate requests */
    bool unidirectional;
    /* Writes what waits (not after 3008), tells the peer code and reason in this transport's way,
     * and ends the connection; 3000 just ends it. client_transport_closed follows later, never
     * from inside this call. A second call does nothing. */
    void (*close)(struct transport *t, uint32_t code, struct str reason);
    /* Address of the peer as text, into out. */
    struct str (*peer)(const struct transport *t, char *out, size_t size);
    /* Back-pressure: stop and go on handing over messages. May be called from client_receive. */
    void (*pause)(struct transport *t);
    void (*resume)(struct transport *t);
};

struct transport {
    const struct transport_ops *ops;
    struct outbox outbox;
    enum kind kind;
    bool native_ping; /* the transport pings by frames of its own: the client sends no pings,
                         expects no pongs and says neither in its connect result */
};

/* The request a connection began with; borrowed during client_new. */
struct transport_header {
    struct str name; /* lower case */
    struct str value;
};
struct transport_request {
    struct str path, query;
    const struct transport_header *headers;
    size_t header_count;
};

struct client;
struct core;

/* The transport's side of the client (client/client.c). */
struct client *client_new(struct core *core, struct transport *t,
                          const struct transport_request *request);
/* A whole message as it came (text already valid UTF-8 where the transport promises it).
 * Borrowed: the client copies what it must keep. */
void client_receive(struct client *cl, struct str message);
/* A native pong or other sign of life that is not a message. */
void client_alive(struct client *cl);
/* code and reason: what the peer said, or 3000 with an empty reason. Frees the client sooner or
 * later; t must not be touched by it any more. */
void client_transport_closed(struct client *cl, uint32_t code, struct str reason);
/* The outbox went over client.queue_max_size (ERR_LIMIT → 3008), could not be written in time
 * (ERR_EXPIRED → 3009), or broke (ERR_CLOSED → 3009). */
void client_write_failed(struct client *cl, enum err why);
