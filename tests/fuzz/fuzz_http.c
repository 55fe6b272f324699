/* Requests of one connection in two ways: whole, and cut where the first byte of the input says.
 * Both must lead to the same requests, which must keep the promises of http.h. */
#include "base/check.h"
#include "base/mem.h"
#include "codec/http.h"

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

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct str bytes;
    struct trace whole, cut;

    if (size < 1)
        return 0;
    bytes = str_of((const char *)data + 1, size - 1);
    whole = run(bytes, MAX(bytes.len, (size_t)1));
    cut = run(bytes, 1 + data[0] % 64);
    /* A request that is refused may be refused for another fault first, but never taken. */
    CHECK(whole.requests == cut.requests && whole.hash == cut.hash);
    CHECK(whole.status == 0 || cut.status != 0);
    return 0;
}
