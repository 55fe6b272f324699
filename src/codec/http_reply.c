#include "codec/http_reply.h"

#include "base/check.h"
#include "base/mem.h"

#include <llhttp.h>

/* While the head is read llhttp gets so much at once: its limit is exact to that. */
#define HEAD_STEP 1024

/* A header as places in text, which moves while it grows. */
struct span {
    size_t name, name_len, value, value_len;
};

struct http_reply_parser {
    llhttp_t llhttp;
    struct http_reply reply;
    struct span spans[HTTP_HEADERS_MAX];
    size_t count;
    struct buf text; /* names and values */
    struct buf body;
    size_t head_bytes; /* fed before the final head was complete */
    const char *problem;
    bool to_head, begun, in_value, head_done, done;
};

static struct http_reply_parser *parser_of(llhttp_t *ll)
{
    return container_of(ll, struct http_reply_parser, llhttp);
}

static int fail(struct http_reply_parser *p, const char *problem)
{
    p->problem = problem;
    return -1;
}

/* ---- llhttp's callbacks; trailers come after the head and are passed over ---- */

static int on_field(llhttp_t *ll, const char *at, size_t n)
{
    struct http_reply_parser *p = parser_of(ll);
    struct span *span;

    if (p->head_done)
        return 0;
    if (p->in_value || p->count == 0) {
        if (p->count == HTTP_HEADERS_MAX)
            return fail(p, "the answer has too many headers");
        p->spans[p->count++] = (struct span){.name = p->text.len};
        p->in_value = false;
    }
    span = &p->spans[p->count - 1];
    for (size_t i = 0; i < n; i++)
        buf_add_char(&p->text, at[i] >= 'A' && at[i] <= 'Z' ? (char)(at[i] | 0x20) : at[i]);
    span->name_len += n;
    return 0;
}

static int on_value(llhttp_t *ll, const char *at, size_t n)
{
    struct http_reply_parser *p = parser_of(ll);
    struct span *span;

    if (p->head_done || p->count == 0)
        return 0;
    span = &p->spans[p->count - 1];
    if (!p->in_value)
        span->value = p->text.len;
    p->in_value = true;
    buf_add(&p->text, at, n);
    span->value_len += n;
    return 0;
}

/* A header without a value has no on_value call with bytes, but this one. */
static int on_value_complete(llhttp_t *ll)
{
    struct http_reply_parser *p = parser_of(ll);

    if (!p->head_done && !p->in_value && p->count > 0) {
        p->spans[p->count - 1].value = p->text.len;
        p->in_value = true;
    }
    return 0;
}

static bool is_interim(const llhttp_t *ll)
{
    return ll->status_code >= 100 && ll->status_code < 200;
}

static int on_head(llhttp_t *ll)
{
    struct http_reply_parser *p = parser_of(ll);

    if (ll->status_code == 101 || ll->status_code < 100)
        return fail(p, "the answer's status makes no sense");
    if (is_interim(ll))
        return 0;
    if (ll->http_major != 1)
        return fail(p, "the answer is not HTTP/1.1");
    p->head_done = true;
    p->reply.status = ll->status_code;
    p->reply.keep_alive = llhttp_should_keep_alive(ll);
    if (p->to_head)
        return 1;
    if ((ll->flags & F_CONTENT_LENGTH) && ll->content_length > p->body.max)
        return fail(p, "the answer's body is larger than allowed");
    return 0;
}

static int on_body(llhttp_t *ll, const char *at, size_t n)
{
    struct http_reply_parser *p = parser_of(ll);

    buf_add(&p->body, at, n);
    return p->body.overflow ? fail(p, "the answer's body is larger than allowed") : 0;
}

static int on_complete(llhttp_t *ll)
{
    struct http_reply_parser *p = parser_of(ll);

    if (!p->head_done) { /* an interim answer: the final one follows */
        p->count = 0;
        p->in_value = false;
        buf_clear(&p->text);
        return 0;
    }
    p->done = true;
    return HPE_PAUSED;
}

static const llhttp_settings_t callbacks = {
    .on_header_field = on_field,
    .on_header_value = on_value,
    .on_header_value_complete = on_value_complete,
    .on_headers_complete = on_head,
    .on_body = on_body,
    .on_message_complete = on_complete,
};

/* ---- */

struct http_reply_parser *http_reply_parser_new(size_t body_max, bool to_head)
{
    struct http_reply_parser *p = mem_zalloc(sizeof *p);

    llhttp_init(&p->llhttp, HTTP_RESPONSE, &callbacks);
    p->to_head = to_head;
    p->text = BUF_INIT(HTTP_REPLY_HEAD_MAX + HEAD_STEP);
    p->body = BUF_INIT(body_max);
    return p;
}

void http_reply_parser_free(struct http_reply_parser *p)
{
    if (p == NULL)
        return;
    buf_deinit(&p->text);
    buf_deinit(&p->body);
    mem_free(p);
}

static enum http_reply_event failed(struct http_reply_parser *p)
{
    if (p->problem == NULL)
        p->problem = "the answer is not valid HTTP";
    return HTTP_REPLY_FAILED;
}

static enum http_reply_event finished(struct http_reply_parser *p, bool leftover)
{
    const char *text = p->text.ptr ? p->text.ptr : "";

    for (size_t i = 0; i < p->count; i++) {
        const struct span *span = &p->spans[i];
        struct str value = str_trim(str_of(text + span->value, span->value_len));

        p->reply.headers[i] =
            (struct http_header){str_of(text + span->name, span->name_len), value};
    }
    p->reply.header_count = p->count;
    p->reply.body = buf_str(&p->body);
    if (leftover)
        p->reply.keep_alive = false;
    return HTTP_REPLY_DONE;
}

enum http_reply_event http_reply_feed(struct http_reply_parser *p, const char *bytes, size_t n)
{
    p->begun = p->begun || n > 0;
    while (n > 0 && p->problem == NULL) {
        size_t step = p->head_done ? n : MIN(n, (size_t)HEAD_STEP);
        llhttp_errno_t error;

        if (!p->head_done) {
            p->head_bytes += step;
            if (p->head_bytes > HTTP_REPLY_HEAD_MAX + HEAD_STEP) {
                p->problem = "the answer's headers are larger than allowed";
                break;
            }
        }
        error = llhttp_execute(&p->llhttp, bytes, step);
        if (p->done) {
            const char *end = llhttp_get_error_pos(&p->llhttp);

            return finished(p, end == NULL || end < bytes + n);
        }
        if (error != HPE_OK)
            return failed(p);
        bytes += step;
        n -= step;
    }
    return p->problem ? HTTP_REPLY_FAILED : HTTP_REPLY_MORE;
}

enum http_reply_event http_reply_end(struct http_reply_parser *p)
{
    if (!p->begun)
        p->problem = "the connection ended before the answer";
    else if (llhttp_finish(&p->llhttp) != HPE_OK && !p->done)
        p->problem = "the connection ended inside the answer";
    if (p->done && p->problem == NULL)
        return finished(p, true);
    if (p->problem == NULL)
        p->problem = "the connection ended inside the answer";
    return HTTP_REPLY_FAILED;
}

const struct http_reply *http_reply_get(struct http_reply_parser *p)
{
    CHECK(p->done);
    return &p->reply;
}

const char *http_reply_problem(const struct http_reply_parser *p)
{
    return p->problem ? p->problem : "";
}

struct str http_reply_body(const struct http_reply_parser *p)
{
    return buf_str(&p->body);
}

bool http_reply_begun(const struct http_reply_parser *p)
{
    return p->begun;
}
