#include "codec/http.h"

#include "base/check.h"
#include "base/mem.h"
#include "codec/http_head.h"

#include <llhttp.h>

/* Bytes of chunk framing that may come with a body: room for the smallest honest chunks and some
 * trailers, not for endless chunk extensions. */
#define CHUNK_OVERHEAD_FREE 16384
#define CHUNK_OVERHEAD_FACTOR 8

enum phase { PHASE_HEAD, PHASE_HEAD_DONE, PHASE_LENGTH, PHASE_CHUNKED, PHASE_DONE };

struct http_parser {
    llhttp_t llhttp; /* while the body is chunked */
    struct http_request req;
    struct buf head;     /* a head that came in pieces, or before its body */
    struct str in_place; /* a head that still lies in the caller's bytes; else empty */
    struct buf body;     /* a body that did, or was chunked */
    size_t scanned;      /* bytes of head known not to hold its end */
    size_t body_max;
    struct http_framing framing; /* length: what is left of it */
    uint64_t framed;             /* bytes read of a chunked body, framing included */
    enum phase phase;
    unsigned status;
    bool body_ended;
};

/* ---- a request ---- */

struct str http_header(const struct http_request *req, struct str name)
{
    for (size_t i = 0; i < req->header_count; i++)
        if (str_eq(req->headers[i].name, name))
            return req->headers[i].value;
    return STR_NONE;
}

size_t http_header_count(const struct http_request *req, struct str name)
{
    size_t count = 0;

    for (size_t i = 0; i < req->header_count; i++)
        count += str_eq(req->headers[i].name, name);
    return count;
}

bool http_query(struct str query, struct str name, struct str *value)
{
    while (query.len > 0) {
        ptrdiff_t amp = str_find(query, '&');
        struct str pair = str_of(query.ptr, amp < 0 ? query.len : (size_t)amp);
        ptrdiff_t eq = str_find(pair, '=');

        if (str_eq(str_of(pair.ptr, eq < 0 ? pair.len : (size_t)eq), name)) {
            *value = eq < 0 ? STR_NONE : str_cut(pair, (size_t)eq + 1);
            return true;
        }
        query = amp < 0 ? STR_NONE : str_cut(query, (size_t)amp + 1);
    }
    return false;
}

/* ---- llhttp's callbacks; the head has been read, and trailers are of use to nobody here ---- */

static struct http_parser *parser_of(llhttp_t *ll)
{
    return container_of(ll, struct http_parser, llhttp);
}

static int on_headers_complete(llhttp_t *ll)
{
    return HPE_PAUSED;
}

static int on_body(llhttp_t *ll, const char *at, size_t n)
{
    struct http_parser *p = parser_of(ll);

    if (n > p->body_max - p->body.len) {
        p->status = 413;
        return -1;
    }
    buf_add(&p->body, at, n);
    return 0;
}

/* The announced size counts before it arrives. */
static int on_chunk_header(llhttp_t *ll)
{
    struct http_parser *p = parser_of(ll);

    if (ll->content_length > p->body_max - p->body.len) {
        p->status = 413;
        return -1;
    }
    return 0;
}

static int on_message_complete(llhttp_t *ll)
{
    parser_of(ll)->body_ended = true;
    return HPE_PAUSED;
}

static const llhttp_settings_t callbacks = {
    .on_headers_complete = on_headers_complete,
    .on_body = on_body,
    .on_chunk_header = on_chunk_header,
    .on_message_complete = on_message_complete,
};

/* ---- life ---- */

struct http_parser *http_parser_new(void)
{
    struct http_parser *p = mem_zalloc(sizeof *p);

    http_parser_reset(p);
    return p;
}

void http_parser_reset(struct http_parser *p)
{
    if (p->head.cap > 0)
        buf_deinit(&p->head);
    if (p->body.cap > 0)
        buf_deinit(&p->body);
    p->head = BUF_INIT(HTTP_HEAD_BYTES_MAX + 4);
    p->req.header_count = 0;
    p->req.target = p->req.path = p->req.query = p->req.host = p->req.body = STR_NONE;
    p->in_place = STR_NONE;
    p->scanned = p->body_max = 0;
    p->framed = 0;
    p->phase = PHASE_HEAD;
    p->status = 0;
    p->body_ended = false;
}

void http_parser_free(struct http_parser *p)
{
    if (!p)
        return;
    buf_deinit(&p->head);
    buf_deinit(&p->body);
    mem_free(p);
}

/* ---- the head ---- */

static enum http_event fail(struct http_parser *p, unsigned status)
{
    p->status = status;
    return HTTP_FAILED;
}

/* An unfinished head is refused as soon as it is sure that it can only be refused. Bytes before
 * `from` were looked at already. */
static unsigned check_unfinished(struct str head, size_t from)
{
    const char *at = head.ptr + from, *end = head.ptr + head.len;

    while ((at = memchr(at, '\n', (size_t)(end - at))) != NULL) {
        if (at == head.ptr || at[-1] != '\r')
            return 400;
        at++;
    }
    if (head.len > HTTP_LINE_MAX + 1 && str_find(head, '\n') < 0)
        return 414;
    return head.len > HTTP_HEAD_BYTES_MAX ? 431 : 0;
}

/* Keeps what arrived of a head, but no more than could belong to one. HTTP_GOT_HEAD: it is whole,
 * the first *size bytes of p->head. */
static enum http_event keep_head(struct http_parser *p, char **bytes, size_t *n, size_t *size)
{
    size_t before = p->head.len, from = p->scanned;
    size_t take = MIN(*n, HTTP_HEAD_BYTES_MAX + 4 - before);
    unsigned status;

    buf_add(&p->head, *bytes, take);
    *size = http_head_end(buf_str(&p->head), from);
    if (*size > 0)
        take = *size - before; /* it ends in what is new */
    *bytes += take;
    *n -= take;
    if (*size > 0)
        return HTTP_GOT_HEAD;
    status = check_unfinished(buf_str(&p->head), from);
    p->scanned = p->head.len > 3 ? p->head.len - 3 : 0;
    return status != 0 ? fail(p, status) : HTTP_MORE;
}

/* Some old clients send an empty line after a body. */
static void skip_empty_lines(struct http_parser *p, char **bytes, size_t *n)
{
    while (*n > 0) {
        size_t skip = 0;

        if (p->head.len == 0 && *n >= 2 && memcmp(*bytes, "\r\n", 2) == 0)
            skip = 2;
        else if (p->head.len == 1 && p->head.ptr[0] == '\r' && **bytes == '\n')
            skip = 1;
        if (skip == 0)
            return;
        buf_clear(&p->head);
        p->scanned = 0;
        *bytes += skip;
        *n -= skip;
    }
}

/* llhttp, which reads chunks, wants to see their head, and must agree. */
static unsigned begin_chunks(struct http_parser *p, const char *head, size_t size)
{
    llhttp_init(&p->llhttp, HTTP_REQUEST, &callbacks);
    if (llhttp_execute(&p->llhttp, head, size) != HPE_PAUSED)
        return 400;
    return p->llhttp.flags & F_CHUNKED ? 0 : 400;
}

/* Finds a whole head in what was kept and what arrived, and reads it. */
static enum http_event take_head(struct http_parser *p, char **bytes, size_t *n)
{
    char *head;
    size_t size = 0;
    unsigned status = 0;

    skip_empty_lines(p, bytes, n);
    if (*n == 0)
        return HTTP_MORE;
    head = *bytes;
    if (p->head.len == 0)
        size = http_head_read(head, *n, &p->req, &p->framing, &status);
    if (size > 0) {
        p->in_place = str_of(head, size);
        *bytes += size;
        *n -= size;
    } else {
        enum http_event event = keep_head(p, bytes, n, &size);

        if (event != HTTP_GOT_HEAD)
            return event;
        head = p->head.ptr;
        CHECK(http_head_read(head, size, &p->req, &p->framing, &status) == size);
    }
    if (status == 0 && p->framing.chunked)
        status = begin_chunks(p, head, size);
    if (status != 0)
        return fail(p, status);
    p->phase = PHASE_HEAD_DONE;
    return HTTP_GOT_HEAD;
}

/* ---- the body ---- */

void http_parser_body_max(struct http_parser *p, size_t max)
{
    p->body_max = max;
}

static enum http_event complete(struct http_parser *p, struct str body)
{
    p->req.body = body;
    p->phase = PHASE_DONE;
    return HTTP_GOT_REQUEST;
}

static enum http_event begin_body(struct http_parser *p)
{
    if (!p->req.has_body)
        return complete(p, STR_NONE);
    if (!p->framing.chunked && p->framing.length > p->body_max)
        return fail(p, 413);
    p->body = BUF_INIT(p->body_max);
    p->phase = p->framing.chunked ? PHASE_CHUNKED : PHASE_LENGTH;
    if (p->framing.chunked)
        llhttp_resume(&p->llhttp);
    return HTTP_MORE;
}

static enum http_event take_length(struct http_parser *p, char **bytes, size_t *n)
{
    size_t take = *n < p->framing.length ? *n : (size_t)p->framing.length;
    struct str part = str_of(*bytes, take);

    *bytes += take;
    *n -= take;
    p->framing.length -= take;
    if (p->framing.length == 0 && p->body.len == 0)
        return complete(p, part);
    buf_add_str(&p->body, part);
    return p->framing.length == 0 ? complete(p, buf_str(&p->body)) : HTTP_MORE;
}

static enum http_event take_chunks(struct http_parser *p, char **bytes, size_t *n)
{
    llhttp_errno_t error = llhttp_execute(&p->llhttp, *bytes, *n);
    size_t used = *n;

    if (error == HPE_PAUSED || error == HPE_PAUSED_UPGRADE)
        used = (size_t)(llhttp_get_error_pos(&p->llhttp) - *bytes);
    else if (error != HPE_OK)
        return fail(p, p->status != 0 ? p->status : 400);
    *bytes += used;
    *n -= used;
    p->framed += used;
    if (p->framed > CHUNK_OVERHEAD_FREE + CHUNK_OVERHEAD_FACTOR * (uint64_t)p->body.len)
        return fail(p, 400);
    return p->body_ended ? complete(p, buf_str(&p->body)) : HTTP_MORE;
}

static void move(struct str *s, struct str from, const char *to)
{
    if (s->ptr >= from.ptr && s->ptr < from.ptr + from.len)
        s->ptr = to + (s->ptr - from.ptr);
}

/* The body comes with other bytes than the head, which therefore must be copied. */
static void keep_in_place(struct http_parser *p)
{
    struct http_request *req = &p->req;
    struct str from = p->in_place;

    p->in_place = STR_NONE;
    buf_add_str(&p->head, from);
    move(&req->target, from, p->head.ptr);
    move(&req->path, from, p->head.ptr);
    move(&req->query, from, p->head.ptr);
    move(&req->host, from, p->head.ptr);
    for (size_t i = 0; i < req->header_count; i++) {
        move(&req->headers[i].name, from, p->head.ptr);
        move(&req->headers[i].value, from, p->head.ptr);
    }
}

static enum http_event next(struct http_parser *p, char **bytes, size_t *n)
{
    enum http_event event;

    switch (p->phase) {
    case PHASE_HEAD:
        return take_head(p, bytes, n);
    case PHASE_HEAD_DONE:
        event = begin_body(p);
        if (event != HTTP_MORE || *n == 0)
            return event;
        return next(p, bytes, n);
    case PHASE_LENGTH:
        return take_length(p, bytes, n);
    case PHASE_CHUNKED:
        return take_chunks(p, bytes, n);
    case PHASE_DONE:
        break;
    }
    panic("http_next after a request without a reset");
}

enum http_event http_next(struct http_parser *p, char **bytes, size_t *n)
{
    enum http_event event;

    if (p->status != 0)
        return HTTP_FAILED;
    event = next(p, bytes, n);
    if (event == HTTP_MORE && p->in_place.len > 0)
        keep_in_place(p);
    return event;
}

const struct http_request *http_parser_request(const struct http_parser *p)
{
    return &p->req;
}

unsigned http_parser_status(const struct http_parser *p)
{
    return p->status;
}

bool http_parser_is_idle(const struct http_parser *p)
{
    return p->phase == PHASE_HEAD && p->head.len == 0;
}

bool http_parser_in_body(const struct http_parser *p)
{
    return p->phase == PHASE_LENGTH || p->phase == PHASE_CHUNKED;
}

size_t http_parser_memory(const struct http_parser *p)
{
    return p->head.cap + p->body.cap;
}
