/* One connection of the HTTP client: from a host's name to an answer. It carries one request at a
 * time and is idle between them. Worker thread; part of http_client.c.
 *
 *     resolving ──► connecting (address by address) ──► TLS ──► ready ──send──► busy ──reply──►
 * ready
 *
 * Callbacks are never made from inside http_link_open, http_link_send or http_link_close. */
#pragma once

#include "codec/http_reply.h"
#include "codec/url.h"
#include "loop/stream.h"
#include "loop/tls.h"

struct http_link;

struct http_link_ops {
    void (*on_ready)(void *owner);
    /* A part of the body has come; all of it so far. May close the link. */
    void (*on_part)(void *owner, struct str body);
    /* The parser is the owner's now. reusable: another request may be sent. */
    void (*on_reply)(void *owner, struct http_reply_parser *parser, bool reusable);
    /* The last call: the link is closing. begun: a part of the answer had come. */
    void (*on_failed)(void *owner, const char *why, bool begun);
};

/* tls: NULL for plain text. The host is copied. */
struct http_link *http_link_open(struct worker *w, const struct url *url, struct tls_context *tls,
                                 const struct http_link_ops *ops, void *owner);
/* Only when ready. Copies request, takes parser. */
void http_link_send(struct http_link *l, struct str request, struct http_reply_parser *parser);
/* No more callbacks; it frees itself when its handles are closed. */
void http_link_close(struct http_link *l);
