#include "codec/http.h"

#include "base/check.h"
#include "base/mem.h"

#include <llhttp.h>

/* Bytes of chunk framing that may come with a body: room for the smallest honest chunks and some
 * trailers, not for endless chunk extensions. */
#define CHUNK_OVERHEAD_FREE 16384
#define CHUNK_OVERHEAD_FACTOR 8

enum phase { PHASE_HEAD, PHASE_HEAD_DONE, PHASE_LENGTH, PHASE_CHUNKED, PHASE_DONE };

struct http_parser {
    llhttp_t llhttp;
    struct http_request req;
    struct buf head;     /* a head that came in pieces, or before its body */
    struct str in_place; /* a head that still lies in the caller's bytes; else empty */
    struct buf body;     /* a body that did, or was chunked */
    size_t scanned;      /* bytes of head known not to hold its end */
    size_t body_max;
    uint64_t left;   /* of a body with a length */
    uint64_t framed; /* bytes read of a chunked body, framing included */
    enum phase phase;
    unsigned status;
    bool chunked;
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

/* ---- llhttp's callbacks ---- */

static struct http_parser *parser_of(llhttp_t *ll)
{
    return container_of(ll, struct http_parser, llhttp);
}

static int on_url(llhttp_t *ll, const char *at, size_t n)
{
    parser_of(ll)->req.target = str_of(at, n);
    return 0;
}

static int on_header_field(llhttp_t *ll, const char *at, size_t n)
{
    struct http_parser *p = parser_of(ll);
    char *name = (char *)(uintptr_t)at; /* our own buffer, lent to llhttp */

    if (p->phase != PHASE_HEAD)
        return 0;                                  /* trailers are of no use to anybody here */
    CHECK(p->req.header_count < HTTP_HEADERS_MAX); /* counted by check_lines */
    for (size_t i = 0; i < n; i++)
        if (name[i] >= 'A' && name[i] <= 'Z')
            name[i] = (char)(name[i] | 0x20);
    p->req.headers[p->req.header_count++] = (struct http_header){str_of(at, n), STR_NONE};
    return 0;
}

static int on_header_value(llhttp_t *ll, const char *at, size_t n)
{
    struct http_parser *p = parser_of(ll);

    if (p->phase == PHASE_HEAD && p->req.header_count > 0)
        p->req.headers[p->req.header_count - 1].value = str_trim(str_of(at, n));
    return 0;
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
    .on_url = on_url,
    .on_header_field = on_header_field,
    .on_header_value = on_header_value,
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
    buf_deinit(&p->head);
    buf_deinit(&p->body);
    llhttp_init(&p->llhttp, HTTP_REQUEST, &callbacks);
    p->head = BUF_INIT(HTTP_HEAD_BYTES_MAX + 4);
    p->req.header_count = 0;
    p->req.target = p->req.path = p->req.query = p->req.host = p->req.body = STR_NONE;
    p->in_place = STR_NONE;
    p->scanned = p->body_max = 0;
    p->left = p->framed = 0;
    p->phase = PHASE_HEAD;
    p->status = 0;
    p->chunked = p->body_ended = false;
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

/* Status that refuses the request line, or 0. */
static unsigned check_request_line(struct str line)
{
    ptrdiff_t first = str_find(line, ' '), last = str_rfind(line, ' ');
    struct str version;

    if (first <= 0 || last <= first + 1)
        return 400;
    if (memchr(line.ptr + first + 1, ' ', (size_t)(last - first - 1)))
        return 400;
    version = str_cut(line, (size_t)last + 1);
    if (str_eq(version, STR("HTTP/1.1")) || str_eq(version, STR("HTTP/1.0")))
        return 0;
    return version.len == 8 && str_starts(version, STR("HTTP/")) ? 505 : 400;
}

static bool is_name_char(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
           (c != 0 && strchr("!#$%&'*+-.^_`|~", c));
}

/* A name, a colon right after it, and no control characters but tab. Lines that begin with a blank
 * (folding) have no name. */
static bool header_line_valid(struct str line)
{
    size_t i = 0;

    while (i < line.len && is_name_char(line.ptr[i]))
        i++;
    if (i == 0 || i == line.len || line.ptr[i] != ':')
        return false;
    for (; i < line.len; i++) {
        unsigned char c = (unsigned char)line.ptr[i];

        if ((c < 0x20 && c != '\t') || c == 0x7F)
            return false;
    }
    return true;
}

/* Looks at the lines of a whole head, which ends in an empty line. Status to refuse it with, or 0.
 */
static unsigned check_lines(struct str head)
{
    size_t lines = 0;

    while (head.len > 0) {
        ptrdiff_t lf = str_find(head, '\n');
        struct str line;
        unsigned status;

        CHECK(lf >= 0);
        if (lf == 0 || head.ptr[lf - 1] != '\r')
            return 400;
        line = str_of(head.ptr, (size_t)lf - 1);
        head = str_cut(head, (size_t)lf + 1);
        if (line.len == 0)
            return head.len == 0 && lines > 0 ? 0 : 400;
        if (lines == 0) {
            if (line.len > HTTP_LINE_MAX)
                return 414;
            status = check_request_line(line);
            if (status != 0)
                return status;
        } else if (lines > HTTP_HEADERS_MAX) {
            return 431;
        } else if (!header_line_valid(line)) {
            return 400;
        }
        lines++;
    }
    return 400;
}

/* Where the head ends (behind its empty line), 0 when it has not ended. Begins at `from`, which
 * must be at most three bytes into what could be the end. */
static size_t find_end(struct str bytes, size_t from)
{
    const char *found = NULL;

    if (from < bytes.len)
        found = memmem(bytes.ptr + from, bytes.len - from, "\r\n\r\n", 4);
    return found ? (size_t)(found - bytes.ptr) + 4 : 0;
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

/* Splits the target into path and query. The absolute form is for proxies but must be understood.
 */
static bool split_target(struct http_request *req)
{
    struct str rest = req->target;
    ptrdiff_t mark;

    if (str_find(rest, '#') >= 0)
        return false;
    if (str_starts(rest, STR("http://")) || str_starts(rest, STR("https://"))) {
        rest = str_cut(rest, (size_t)str_find(rest, ':') + 3);
        mark = str_find(rest, '/');
        rest = mark < 0 ? STR("/") : str_cut(rest, (size_t)mark);
    }
    if (!str_starts(rest, STR("/")) && !str_eq(rest, STR("*")))
        return false;
    mark = str_find(rest, '?');
    req->path = mark < 0 ? rest : str_of(rest.ptr, (size_t)mark);
    req->query = mark < 0 ? STR_NONE : str_cut(rest, (size_t)mark + 1);
    return true;
}

static bool host_valid(struct str host)
{
    for (size_t i = 0; i < host.len; i++)
        if (!is_name_char(host.ptr[i]) && !memchr(":[]", host.ptr[i], 3))
            return false;
    return true;
}

/* Host and the two ways to announce a body, where parsers that disagree let requests be smuggled.
 */
static unsigned check_framing(struct http_parser *p)
{
    struct http_request *req = &p->req;
    struct str length = http_header(req, STR("content-length"));
    struct str coding = http_header(req, STR("transfer-encoding"));
    size_t hosts = http_header_count(req, STR("host"));
    size_t lengths = http_header_count(req, STR("content-length"));
    size_t codings = http_header_count(req, STR("transfer-encoding"));

    req->host = http_header(req, STR("host"));
    if (hosts > 1 || (hosts == 0 && req->minor == 1) || !host_valid(req->host))
        return 400;
    if (lengths + codings > 1)
        return 400;
    p->chunked = codings == 1;
    if (p->chunked && (req->minor == 0 || !str_eq_nocase(coding, STR("chunked"))))
        return 400;
    if (lengths == 1) {
        if (length.len > 1 && length.ptr[0] == '0')
            return 400;
        if (!str_to_u64(length, UINT64_MAX >> 1, &p->left))
            return 400;
    }
    req->has_body = p->chunked || p->left > 0;
    return 0;
}

static enum http_method method_of(const llhttp_t *ll)
{
    switch (ll->method) {
    case HTTP_GET:
        return HTTP_METHOD_GET;
    case HTTP_HEAD:
        return HTTP_METHOD_HEAD;
    case HTTP_POST:
        return HTTP_METHOD_POST;
    case HTTP_OPTIONS:
        return HTTP_METHOD_OPTIONS;
    case HTTP_PUT:
        return HTTP_METHOD_PUT;
    case HTTP_DELETE:
        return HTTP_METHOD_DELETE;
    case HTTP_PATCH:
        return HTTP_METHOD_PATCH;
    default:
        return HTTP_METHOD_OTHER;
    }
}

static unsigned parse_head(struct http_parser *p, char *head, size_t n)
{
    struct http_request *req = &p->req;
    unsigned status = check_lines(str_of(head, n));

    if (status != 0)
        return status;
    if (llhttp_execute(&p->llhttp, head, n) != HPE_PAUSED)
        return 400;
    req->method = method_of(&p->llhttp);
    req->minor = p->llhttp.http_minor;
    req->keep_alive = llhttp_should_keep_alive(&p->llhttp);
    req->upgrade = p->llhttp.upgrade && p->llhttp.method != HTTP_CONNECT;
    if (p->llhttp.method == HTTP_CONNECT)
        return 405;
    if (!split_target(req))
        return 400;
    status = check_framing(p);
    req->expect_continue =
        req->has_body && str_eq_nocase(http_header(req, STR("expect")), STR("100-continue"));
    return status;
}

/* Keeps what arrived of a head, but no more than could belong to one. HTTP_GOT_HEAD: it is whole,
 * the first *size bytes of p->head. */
static enum http_event keep_head(struct http_parser *p, char **bytes, size_t *n, size_t *size)
{
    size_t before = p->head.len, from = p->scanned;
    size_t take = MIN(*n, HTTP_HEAD_BYTES_MAX + 4 - before);
    unsigned status;

    buf_add(&p->head, *bytes, take);
    *size = find_end(buf_str(&p->head), from);
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

/* Finds a whole head in what was kept and what arrived, and reads it. */
static enum http_event take_head(struct http_parser *p, char **bytes, size_t *n)
{
    char *head;
    size_t size;
    unsigned status;

    skip_empty_lines(p, bytes, n);
    if (*n == 0)
        return HTTP_MORE;
    head = *bytes;
    size = p->head.len == 0 ? find_end(str_of(head, *n), 0) : 0;
    if (size > 0) {
        p->in_place = str_of(head, size);
        *bytes += size;
        *n -= size;
    } else {
        enum http_event event = keep_head(p, bytes, n, &size);

        if (event != HTTP_GOT_HEAD)
            return event;
        head = p->head.ptr;
    }
    if (size > HTTP_HEAD_BYTES_MAX)
        return fail(p, str_find(str_of(head, size), '\n') > HTTP_LINE_MAX + 1 ? 414 : 431);
    status = parse_head(p, head, size);
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
    if (!p->chunked && p->left > p->body_max)
        return fail(p, 413);
    p->body = BUF_INIT(p->body_max);
    p->phase = p->chunked ? PHASE_CHUNKED : PHASE_LENGTH;
    if (p->chunked)
        llhttp_resume(&p->llhttp);
    return HTTP_MORE;
}

static enum http_event take_length(struct http_parser *p, char **bytes, size_t *n)
{
    size_t take = *n < p->left ? *n : (size_t)p->left;
    struct str part = str_of(*bytes, take);

    *bytes += take;
    *n -= take;
    p->left -= take;
    if (p->left == 0 && p->body.len == 0)
        return complete(p, part);
    buf_add_str(&p->body, part);
    return p->left == 0 ? complete(p, buf_str(&p->body)) : HTTP_MORE;
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
