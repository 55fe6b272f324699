/* A client without a socket: what it is told is kept as lines of JSON until somebody reads them,
 * and it answers pings by itself. Worker thread. */
#pragma once

#include "client/transport.h"

struct core;

struct loopback {
    struct transport transport;
    struct client *client; /* NULL: the connection is gone */
    struct buf told;       /* JSON, one message a line */
    bool closed;           /* the server ended it, with this: */
    uint32_t code;
    char reason[128];
    char ip[64];
};

/* request is what the connection begins with; borrowed. */
struct loopback *loopback_new(struct core *core, const struct transport_request *request,
                              struct str ip);
/* Hands over one message of commands in JSON. */
void loopback_say(struct loopback *l, struct str message);
/* Moves what the server has said into told; true when something came, or the connection ended. */
bool loopback_listen(struct loopback *l);
/* Ends the connection from the client's side; harmless when it is gone. */
void loopback_close(struct loopback *l);
void loopback_free(struct loopback *l);
