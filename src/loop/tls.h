/* TLS without a socket: bytes of the wire go in and come out of memory, and the owner carries them
 * (for a client core/http_link.c; a server does the same with a context of its own). At least TLS
 * 1.2; peers of a client are verified against the system's authorities (SSL_CERT_FILE and
 * SSL_CERT_DIR name others) and the name that was asked for. A context belongs to one worker. */
#pragma once

#include "base/err.h"
#include "base/str.h"

struct tls_context;
struct tls;

struct tls_context *tls_context_new_client(void);
void tls_context_free(struct tls_context *ctx); /* NULL is fine; connections keep what they need */

/* host: what the certificate must be for; literal: it is an IP address. */
struct tls *tls_new_client(struct tls_context *ctx, struct str host, bool literal);
void tls_free(struct tls *t); /* NULL is fine */

/* Bytes that came from the peer; to be followed by tls_handshake or tls_read. */
void tls_feed(struct tls *t, const char *bytes, size_t n);
/* OK: done; ERR_BUSY: needs more from the peer; ERR_DENIED: failed, see tls_problem. After each
 * call there may be output, also after a failure (an alert). */
enum err tls_handshake(struct tls *t) NODISCARD;
/* Plain bytes: how many; 0: none now; -1: failed, or tls_is_ended. */
ptrdiff_t tls_read(struct tls *t, char *out, size_t size) NODISCARD;
/* After the handshake. Everything is taken. ERR_CLOSED: the connection is broken. */
enum err tls_write(struct tls *t, struct str plain) NODISCARD;
/* Moves what must go to the peer to the end of out. */
void tls_take_output(struct tls *t, struct buf *out);
bool tls_is_ended(const struct tls *t);       /* the peer said properly that nothing follows */
const char *tls_problem(const struct tls *t); /* why it failed; for logs */
