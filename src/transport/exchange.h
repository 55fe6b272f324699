/* One request and its answer. Requests of a connection are answered in their order whenever each is
 * ready; an exchange outlives its connection, and an answer to a dead one is dropped. Worker
 * thread. */
#pragma once

#include "base/list.h"
#include "codec/http.h"
#include "core/frame.h"
#include "loop/worker.h"

struct conn;
struct server;

struct exchange {
    struct list in_conn;
    struct conn *conn; /* NULL: the connection is gone */
    struct server *server;
    struct frame *response; /* ready, waiting for the answers in front of it */
    bool keep_alive, http10, head_only, upgrade;
};

#define JSON_TYPE STR("application/json")

/* Answers; x is gone afterwards. content_type empty: none. Everything is copied. */
void exchange_respond(struct exchange *x, unsigned status, struct str content_type,
                      struct str body);
void exchange_respond_headers(struct exchange *x, unsigned status, struct str content_type,
                              struct str body, const struct http_header *extra, size_t extra_count);
/* status with its own words as text. */
void exchange_refuse(struct exchange *x, unsigned status);

static inline bool exchange_is_dead(const struct exchange *x)
{
    return x->conn == NULL;
}

struct core *exchange_core(const struct exchange *x);
/* "ip" of the peer, into out; empty when the connection is gone. */
struct str exchange_peer(const struct exchange *x, char *out, size_t size);
/* Value of a header of req; sugar. */
#define exchange_header(req, literal) http_header((req), STR(literal))

/* Of the transport layer only, as is what follows. */
struct exchange *exchange_new(struct server *server);
void exchange_free(struct exchange *x);
/* May the connection leave HTTP now? Not behind unanswered requests.
 */
bool exchange_may_upgrade(const struct exchange *x);
/* Sends response as it is and takes the connection out of HTTP; x is gone. Takes response. */
struct conn *exchange_upgrade(struct exchange *x, struct frame *response);
