/* A connection after its opening handshake. Of the transport layer only; worker thread. */
#pragma once

#include "transport/conn.h"

/* Makes c, just taken out of HTTP, a WebSocket with a client. request is borrowed. */
void ws_conn_begin(struct conn *c, enum kind kind, bool native_ping,
                   const struct transport_request *request);
