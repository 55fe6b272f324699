/* HTTP/1.1 requests in, response heads out. http_head.c reads heads, llhttp chunked bodies. Slices
 * of a request point into the caller's bytes where it arrived in one piece, else into the parser,
 * which exists only while a request is being read. Any thread; a parser belongs to one connection.
 */
#pragma once

#include "base/err.h"
#include "base/str.h"

#define HTTP_LINE_MAX 8192                          /* request line → 414 */
#define HTTP_HEADERS_MAX 100                        /* → 431 */
#define HTTP_HEAD_BYTES_MAX (HTTP_LINE_MAX + 16384) /* with all headers → 431 */

/* Bits, so that a route can name several. */
enum http_method {
    HTTP_METHOD_GET = 1,
    HTTP_METHOD_HEAD = 2,
    HTTP_METHOD_POST = 4,
    HTTP_METHOD_OPTIONS = 8,
    HTTP_METHOD_PUT = 16,
    HTTP_METHOD_DELETE = 32,
    HTTP_METHOD_PATCH = 64,
    HTTP_METHOD_OTHER = 128,
};

struct http_header {
    struct str name; /* lower case in a request */
    struct str value;
};

struct http_request {
    enum http_method method;
    unsigned minor;                 /* HTTP/1.minor */
    struct str target, path, query; /* as sent, nothing decoded; query without "?" */
    struct str host;
    struct str body;
    bool keep_alive;      /* the connection may carry another request */
    bool upgrade;         /* Connection: upgrade with an Upgrade header */
    bool expect_continue; /* the client waits for 100 before it sends the body */
    bool has_body;        /* one was announced */
    size_t header_count;
    struct http_header headers[HTTP_HEADERS_MAX];
};

/* The first header of that (lower-case) name, its value empty when there is none. */
struct str http_header(const struct http_request *req, struct str name);
/* How often it is there; several values of one header may mean an attack. */
size_t http_header_count(const struct http_request *req, struct str name);
/* Value of name=… in a query string, not decoded; false when it is not there. */
bool http_query(struct str query, struct str name, struct str *value);

/* ---- reading ---- */

struct http_parser;

enum http_event {
    HTTP_MORE,        /* everything is consumed */
    HTTP_GOT_HEAD,    /* all but the body is known: say how much body may come, and go on */
    HTTP_GOT_REQUEST, /* complete; http_parser_reset before the next one */
    HTTP_FAILED,      /* http_parser_status: answer with it and close */
};

struct http_parser *http_parser_new(void);
void http_parser_free(struct http_parser *p);
void http_parser_reset(struct http_parser *p);
/* Takes the next event out of *bytes, which may be changed in place and is moved on. A request's
 * slices are valid until the reset and as long as bytes are. */
enum http_event http_next(struct http_parser *p, char **bytes, size_t *n);
const struct http_request *http_parser_request(const struct http_parser *p);
void http_parser_body_max(struct http_parser *p, size_t max); /* after HTTP_GOT_HEAD; else 0 */
unsigned http_parser_status(const struct http_parser *p);     /* after HTTP_FAILED: 400, 413, … */
bool http_parser_is_idle(const struct http_parser *p);        /* nothing of a request has arrived */
bool http_parser_in_body(const struct http_parser *p);
size_t http_parser_memory(const struct http_parser *p); /* bytes it holds besides itself */

/* ---- writing ---- */

struct http_response {
    unsigned status;
    struct str type; /* Content-Type; empty: no such header */
    size_t length;   /* of the body */
    bool close;      /* the connection ends with it */
    bool http10;     /* the client must be told that it stays open */
    struct str date; /* value of Date; empty: none */
    const struct http_header *extra;
    size_t extra_count;
};

const char *http_reason(unsigned status); /* "Not Found" */
/* The head, with its empty line. An extra header that would break out of its line is left out. */
void http_add_head(struct buf *out, const struct http_response *response);
