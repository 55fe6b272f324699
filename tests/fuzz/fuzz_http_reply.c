/* The answer of a server that we asked, in two ways: whole, and cut where the first byte of the
 * input says. Both must lead to the same answer, within the limits of http_reply.h. */
#include "base/check.h"
#include "base/mem.h"
#include "codec/http_reply.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define BODY_MAX 2048

static void check_text(struct str s)
{
    for (size_t i = 0; i < s.len; i++)
        CHECK(s.ptr[i] != '\r' && s.ptr[i] != '\n' && s.ptr[i] != 0);
}

static void check_reply(const struct http_reply *reply)
{
    CHECK(reply->status >= 200 && reply->status <= 999);
    CHECK(reply->header_count <= HTTP_HEADERS_MAX);
    CHECK(reply->body.len <= BODY_MAX);
    for (size_t i = 0; i < reply->header_count; i++) {
        check_text(reply->headers[i].name);
        check_text(reply->headers[i].value);
    }
}

/* Feeds bytes in pieces; after them the peer has closed the connection. */
static enum http_reply_event run(struct http_reply_parser *p, struct str bytes, size_t piece)
{
    enum http_reply_event event = HTTP_REPLY_MORE;

    for (size_t at = 0; at < bytes.len && event == HTTP_REPLY_MORE; at += piece) {
        size_t n = MIN(piece, bytes.len - at);
        char *copy = mem_dup(bytes.ptr + at, n);

        event = http_reply_feed(p, copy, n);
        mem_free(copy);
        CHECK(http_reply_begun(p));
    }
    if (event == HTTP_REPLY_MORE)
        event = http_reply_end(p);
    CHECK(event != HTTP_REPLY_MORE);
    CHECK((event == HTTP_REPLY_FAILED) == (*http_reply_problem(p) != '\0'));
    return event;
}

/* Whether the connection may be used again depends on what came in the same piece. */
static void check_equal(const struct http_reply *a, const struct http_reply *b)
{
    CHECK(a->status == b->status && a->header_count == b->header_count);
    CHECK(str_eq(a->body, b->body));
    for (size_t i = 0; i < a->header_count; i++) {
        CHECK(str_eq(a->headers[i].name, b->headers[i].name));
        CHECK(str_eq(a->headers[i].value, b->headers[i].value));
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct http_reply_parser *whole, *cut;
    enum http_reply_event event;
    struct str bytes;

    if (size < 1)
        return 0;
    bytes = str_of((const char *)data + 1, size - 1);
    whole = http_reply_parser_new(BODY_MAX, data[0] & 0x80);
    cut = http_reply_parser_new(BODY_MAX, data[0] & 0x80);
    event = run(whole, bytes, MAX(bytes.len, (size_t)1));
    CHECK(run(cut, bytes, 1 + data[0] % 64) == event);
    if (event == HTTP_REPLY_DONE) {
        check_reply(http_reply_get(whole));
        check_equal(http_reply_get(whole), http_reply_get(cut));
    }
    http_reply_parser_free(whole);
    http_reply_parser_free(cut);
    return 0;
}
