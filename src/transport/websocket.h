/* The bidirectional WebSocket transport: the opening handshake, then a connection that hands whole
 * messages to its client. Worker thread. */
#pragma once

#include "transport/server.h"

/* Adds the route of websocket.handler_prefix unless websocket.disabled. */
void websocket_register(struct server *s);
