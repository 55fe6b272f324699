/* HTTP/1.1 requests to other servers, without blocking: one client per worker, with a pool of
 * connections per origin. Redirects are not followed, nothing is cached, TLS is always verified.
 * Every limit ends a request with a sentence that says which. Worker thread. */
#pragma once

#include "base/err.h"
#include "codec/http.h"
#include "loop/worker.h"

#define HTTP_CLIENT_BODY_MAX ((size_t)64 << 20) /* the most a caller may allow, and may send */
#define HTTP_CLIENT_REQUEST_HEADERS_MAX 64

struct http_client;
struct http_call;

/* Called whenever a part of the answer's body has come, with all of it so far. May cancel the call.
 */
typedef void http_part_fn(void *arg, struct str body);

struct http_call_request {
    struct str method;                 /* empty: GET */
    struct str url;                    /* http or https */
    const struct http_header *headers; /* not those that frame the message */
    size_t header_count;
    struct str body;
    uint64_t timeout_ms;         /* for everything, the name's resolution included; 0: 10 s */
    uint64_t connect_timeout_ms; /* until a new connection is ready; 0: 5 s */
    size_t body_max;             /* of the answer; 0: 1 MiB */
    http_part_fn *on_part;       /* for answers that take long to end; NULL: not called */
};

/* err: OK, any status; ERR_SYNTAX: the request is not valid; ERR_EXPIRED: no answer in time;
 * ERR_LIMIT: too many requests wait; ERR_IO: all else; ERR_CLOSED: the worker stops. */
struct http_call_answer {
    enum err err;
    const char *problem; /* a sentence for logs, unless OK */
    unsigned status;
    const struct http_header *headers; /* names in lower case */
    size_t header_count;
    struct str body;
};
typedef void http_call_fn(void *arg, const struct http_call_answer *answer);

struct http_client *http_client_new(struct worker *w);
/* Requests on their way are answered with ERR_CLOSED, in this turn; the client frees itself then.
 * Nobody may call it after this. */
void http_client_close(struct http_client *hc);

/* Everything in request is copied. fn is called exactly once, never inline, unless cancelled. */
struct http_call *http_client_call(struct http_client *hc, const struct http_call_request *request,
                                   http_call_fn *fn, void *arg);
/* fn is not called any more; call is gone. */
void http_call_cancel(struct http_call *call);
