/* Requests of one connection in two ways: whole, and cut where the first byte of the input says.
 * Both must lead to the same requests, which must keep the promises of http.h. And what our reader
 * of heads takes, llhttp must take too, and read in the same way. */
#include "base/check.h"
#include "base/mem.h"
#include "codec/http.h"
#include "codec/http_head.h"

#include <llhttp.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define BODY_MAX 2048

struct trace {
    uint64_t hash;
    size_t requests;
    unsigned status;
};

static void note(struct trace *t, struct str s)
{
    for (size_t i = 0; i < s.len; i++)
        t->hash = (t->hash ^ (uint8_t)s.ptr[i]) * 0x100000001b3u;
    t->hash = (t->hash ^ s.len) * 0x100000001b3u;
}

static void check_text(struct str s)
{
    for (size_t i = 0; i < s.len; i++)
        CHECK(s.ptr[i] != '\r' && s.ptr[i] != '\n' && s.ptr[i] != 0);
}

static void on_request(struct trace *t, const struct http_request *req)
{
    struct str ignored;

    CHECK(req->minor <= 1);
    CHECK(req->minor == 0 || http_header_count(req, STR("host")) == 1);
    CHECK(req->header_count <= HTTP_HEADERS_MAX);
    CHECK(req->body.len <= BODY_MAX);
    check_text(req->target);
    note(t, req->path);
    note(t, req->query);
    note(t, req->body);
    for (size_t i = 0; i < req->header_count; i++) {
        check_text(req->headers[i].name);
        check_text(req->headers[i].value);
        note(t, req->headers[i].name);
        note(t, req->headers[i].value);
    }
    (void)http_query(req->query, STR("a"), &ignored);
    t->requests++;
}

static struct trace run(struct str bytes, size_t piece)
{
    struct http_parser *p = http_parser_new();
    struct trace t = {0};

    for (size_t at = 0; at < bytes.len && t.status == 0; at += piece) {
        size_t n = MIN(piece, bytes.len - at);
        char *copy = mem_dup(bytes.ptr + at, n), *rest = copy;

        for (;;) {
            enum http_event event = http_next(p, &rest, &n);

            if (event == HTTP_GOT_HEAD) {
                http_parser_body_max(p, BODY_MAX);
            } else if (event == HTTP_GOT_REQUEST) {
                on_request(&t, http_parser_request(p));
                http_parser_reset(p);
            } else {
                t.status = event == HTTP_FAILED ? http_parser_status(p) : 0;
                CHECK(event == HTTP_FAILED || n == 0);
                break;
            }
        }
        CHECK(http_parser_memory(p) <= 2 * (HTTP_HEAD_BYTES_MAX + BODY_MAX));
        mem_free(copy);
    }
    http_parser_free(p);
    return t;
}

/* ---- llhttp's opinion of a head ---- */

struct opinion {
    llhttp_t llhttp;
    const struct http_request *req;
    struct str target;
    size_t names;
};

static struct opinion *opinion_of(llhttp_t *ll)
{
    return container_of(ll, struct opinion, llhttp);
}

static int on_url(llhttp_t *ll, const char *at, size_t n)
{
    opinion_of(ll)->target = str_of(at, n);
    return 0;
}

static int on_name(llhttp_t *ll, const char *at, size_t n)
{
    struct opinion *o = opinion_of(ll);

    CHECK(o->names < o->req->header_count);
    CHECK(str_eq_nocase(o->req->headers[o->names++].name, str_of(at, n)));
    return 0;
}

static int on_value(llhttp_t *ll, const char *at, size_t n)
{
    struct opinion *o = opinion_of(ll);

    CHECK(o->names > 0);
    CHECK(str_eq(o->req->headers[o->names - 1].value, str_trim(str_of(at, n))));
    return 0;
}

static int on_head(llhttp_t *ll)
{
    return HPE_PAUSED;
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

/* It takes no tab for a blank between the words of a Connection header. */
static bool has_tab(struct str head)
{
    return str_find(head, '\t') >= 0;
}

static void ask_llhttp(struct str bytes)
{
    static const llhttp_settings_t callbacks = {.on_url = on_url,
                                                .on_header_field = on_name,
                                                .on_header_value = on_value,
                                                .on_headers_complete = on_head};
    static struct http_request req;
    struct opinion o = {.req = &req};
    struct http_framing framing;
    char *copy = mem_dup(bytes.ptr, bytes.len);
    unsigned status;
    size_t size = http_head_read(copy, bytes.len, &req, &framing, &status);

    CHECK(size == 0 || size == http_head_end(bytes, 0));
    if (size > 0 && status == 0) {
        llhttp_init(&o.llhttp, HTTP_REQUEST, &callbacks);
        /* what is chunked llhttp itself will judge: see begin_chunks in http.c */
        if (llhttp_execute(&o.llhttp, copy, size) != HPE_PAUSED) {
            CHECK(framing.chunked);
        } else {
            CHECK(str_eq(o.target, req.target) && o.names == req.header_count);
            CHECK(method_of(&o.llhttp) == req.method && o.llhttp.method != HTTP_CONNECT);
            CHECK(o.llhttp.http_major == 1 && o.llhttp.http_minor == req.minor);
            CHECK(framing.chunked || !(o.llhttp.flags & F_TRANSFER_ENCODING));
            CHECK(framing.chunked || framing.length == o.llhttp.content_length);
            CHECK(!req.keep_alive || has_tab(bytes) || llhttp_should_keep_alive(&o.llhttp));
            CHECK(!req.upgrade || has_tab(bytes) || o.llhttp.upgrade);
        }
    }
    mem_free(copy);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct str bytes;
    struct trace whole, cut;

    if (size < 1)
        return 0;
    bytes = str_of((const char *)data + 1, size - 1);
    if (bytes.len > 0)
        ask_llhttp(bytes);
    whole = run(bytes, MAX(bytes.len, (size_t)1));
    cut = run(bytes, 1 + data[0] % 64);
    /* A request that is refused may be refused for another fault first, but never taken. */
    CHECK(whole.requests == cut.requests && whole.hash == cut.hash);
    CHECK(whole.status == 0 || cut.status != 0);
    return 0;
}
