/* One SO_REUSEPORT listening socket on one worker: the kernel spreads connections over workers.
 * Addresses are IPv4 or IPv6 literals; "" is every interface. Worker thread. */
#pragma once

#include "base/err.h"
#include "loop/worker.h"

struct listener;

/* Called for every new connection; it owns fd, a non-blocking socket: hand it to stream_accept. */
typedef void listener_fn(void *arg, struct worker *w, int fd);

/* Opens address:port (port 0: any free one, see listener_port). ERR_IO with the reason logged. */
enum err listener_open(struct worker *w, const char *address, int port, int backlog,
                       listener_fn *fn, void *arg, struct listener **out) NODISCARD;
int listener_port(const struct listener *l);
void listener_close(struct listener *l); /* stops accepting; frees itself */
/* Binds the port once, without SO_REUSEPORT, to learn whether it is free: a second server on the
 * same port must fail instead of sharing it. Fills in the port when it was 0. Main thread. */
enum err listener_probe(const char *address, int *port, char *why, size_t why_size) NODISCARD;
