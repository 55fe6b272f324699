/* One HTTP/1.1 response in, through llhttp without leniency: head and body are collected within
 * their limits. Interim answers (1xx) are passed over. Any thread; one per request. */
#pragma once

#include "base/err.h"
#include "codec/http.h"

#define HTTP_REPLY_HEAD_MAX 16384 /* bytes, interim answers included */

struct http_reply {
    unsigned status;
    struct http_header headers[HTTP_HEADERS_MAX]; /* names in lower case */
    size_t header_count;
    struct str body;
    bool keep_alive; /* the connection may carry another request */
};

struct http_reply_parser;

enum http_reply_event { HTTP_REPLY_MORE, HTTP_REPLY_DONE, HTTP_REPLY_FAILED };

/* to_head: the answer to a HEAD request, which has no body whatever it announces. */
struct http_reply_parser *http_reply_parser_new(size_t body_max, bool to_head);
void http_reply_parser_free(struct http_reply_parser *p); /* NULL is fine */
/* After DONE, keep_alive is false when bytes were left over: nobody asked for those. */
enum http_reply_event http_reply_feed(struct http_reply_parser *p, const char *bytes, size_t n);
/* The connection has ended: that completes a body without a length. */
enum http_reply_event http_reply_end(struct http_reply_parser *p);
const struct http_reply *http_reply_get(struct http_reply_parser *p); /* after DONE; lives in p */
const char *http_reply_problem(const struct http_reply_parser *p);    /* after FAILED */
struct str http_reply_body(const struct http_reply_parser *p);        /* as far as it has come */
bool http_reply_begun(const struct http_reply_parser *p);             /* any byte has arrived */
