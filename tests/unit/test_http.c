#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/mem.h"
#include "codec/http.h"

#define BODY_MAX 1000

/* What came of a connection's bytes: each request in one line, or the status that refused one. */
static void describe(struct buf *log, const struct http_request *req)
{
    buf_printf(log, "%d %.*s q=%.*s host=%.*s body=%.*s%s%s\n", (int)req->method,
               STR_ARGS(req->path), STR_ARGS(req->query), STR_ARGS(req->host), STR_ARGS(req->body),
               req->keep_alive ? "" : " last", req->upgrade ? " upgrade" : "");
}

/* Feeds bytes in pieces, each in memory of its own, for the sanitizer. */
static void feed(struct str bytes, size_t piece, struct buf *log)
{
    struct http_parser *p = http_parser_new();
    enum http_event event = HTTP_MORE;

    for (size_t at = 0; at < bytes.len && event != HTTP_FAILED; at += piece) {
        size_t n = MIN(piece, bytes.len - at);
        char *copy = mem_dup(bytes.ptr + at, n), *rest = copy;

        do {
            event = http_next(p, &rest, &n);
            if (event == HTTP_GOT_HEAD)
                http_parser_body_max(p, BODY_MAX);
            if (event == HTTP_GOT_REQUEST) {
                describe(log, http_parser_request(p));
                http_parser_reset(p);
            }
            if (event == HTTP_FAILED)
                buf_printf(log, "%u\n", http_parser_status(p));
        } while (event != HTTP_MORE && event != HTTP_FAILED);
        mem_free(copy);
    }
    http_parser_free(p);
}

static void expect(struct str bytes, const char *events)
{
    static const size_t pieces[] = {SIZE_MAX, 1, 5};

    for (size_t i = 0; i < ARRAY_LEN(pieces); i++) {
        struct buf log = BUF_INIT(1 << 20);

        feed(bytes, MIN(pieces[i], bytes.len), &log);
        buf_add_char(&log, '\0');
        assert_string_equal(log.ptr, events);
        buf_deinit(&log);
    }
}

static void http_reads_requests_however_they_are_cut(void **state)
{
    expect(STR("GET /a?b=c HTTP/1.1\r\nHost: h:80\r\n\r\n"
               "POST /api HTTP/1.1\r\nhost:h\r\nContent-Length: 3 \r\n\r\nabc"
               "\r\n" /* an empty line too many */
               "POST /c HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: Chunked\r\n\r\n"
               "3;x=y\r\nabc\r\n0A\r\n0123456789\r\n0\r\nTrailer: t\r\n\r\n"
               "GET http://other/p HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n"),
           "1 /a q=b=c host=h:80 body=\n4 /api q= host=h body=abc\n"
           "4 /c q= host=h body=abc0123456789\n1 /p q= host=h body= last\n");
}

static void http_knows_when_a_connection_stays_open(void **state)
{
    expect(STR("GET / HTTP/1.0\r\n\r\n"), "1 / q= host= body= last\n");
    expect(STR("GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n"), "1 / q= host= body=\n");
    expect(STR("GET / HTTP/1.1\r\nHost: h\r\nConnection: close, Upgrade\r\nUpgrade: x\r\n\r\n"),
           "1 / q= host=h body= last upgrade\n");
}

#define LINE "GET / HTTP/1.1\r\n"
#define POST "POST / HTTP/1.1\r\nHost: h\r\n"
#define CHUNKED POST "Transfer-Encoding: chunked\r\n\r\n"

static void http_refuses_what_two_parsers_could_read_differently(void **state)
{
    static const struct str samples[] = {
        STR(LINE "\r\n"),
        STR(LINE "Host: a\r\nHost: a\r\n\r\n"),
        STR(LINE "Host: a b\r\n\r\n"),
        STR(LINE "Host: a\r\nX: b\r\n c\r\n\r\n"),
        STR(LINE "Host: a\r\nX: b\rc\r\n\r\n"),
        STR(LINE "Host: a\r\nX: b\0c\r\n\r\n"),
        STR(LINE "Host: a\r\nX\r\n\r\n"),
        STR(LINE "Host: a\r\nX : b\r\n\r\n"),
        STR(LINE "Host: a\r\n: b\r\n\r\n"),
        STR(LINE " Host: a\r\n\r\n"),
        STR("GET / HTTP/1.1\nHost: a\n\n"),
        STR("GET  / HTTP/1.1\r\nHost: a\r\n\r\n"),
        STR("GET /  HTTP/1.1\r\nHost: a\r\n\r\n"),
        STR("GET / a HTTP/1.1\r\nHost: a\r\n\r\n"),
        STR("GET /#f HTTP/1.1\r\nHost: a\r\n\r\n"),
        STR("GET a HTTP/1.1\r\nHost: a\r\n\r\n"),
        STR("GET /\r\nHost: a\r\n\r\n"),
        STR("NONE / HTTP/1.1\r\nHost: a\r\n\r\n"),
        STR("GET / RTSP/1.0\r\n\r\n"),
        STR(POST "Transfer-Encoding: chunked\r\nContent-Length: 3\r\n\r\n"),
        STR(POST "Content-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n"),
        STR(POST "Transfer-Encoding: chunked, gzip\r\n\r\n"),
        STR(POST "Transfer-Encoding: gzip, chunked\r\n\r\n"),
        STR(POST "Transfer-Encoding: xchunked\r\n\r\n"),
        STR(POST "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n"),
        STR("POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n"),
        STR(POST "Content-Length: 3\r\nContent-Length: 3\r\n\r\nabc"),
        STR(POST "Content-Length: 3, 3\r\n\r\nabc"),
        STR(POST "Content-Length: +3\r\n\r\nabc"),
        STR(POST "Content-Length: -3\r\n\r\nabc"),
        STR(POST "Content-Length: 03\r\n\r\nabc"),
        STR(POST "Content-Length: 0x3\r\n\r\nabc"),
        STR(POST "Content-Length: 3 ,3\r\n\r\nabc"),
        STR(POST "Content-Length:\r\n\r\nabc"),
        STR(POST "Content-Length: 99999999999999999999\r\n\r\nabc"),
        STR(CHUNKED "-1\r\n"),
        STR(CHUNKED "+1\r\nx\r\n"),
        STR(CHUNKED "0x1\r\nx\r\n"),
        STR(CHUNKED " 1\r\nx\r\n"),
        STR(CHUNKED "1 \r\nx\r\n"),
        STR(CHUNKED "1\nx\n0\n\n"),
        STR(CHUNKED "1\r\nxy\r\n"),
        STR(CHUNKED "\r\n"),
        STR(CHUNKED "11111111111111111\r\n"),
    };

    for (size_t i = 0; i < ARRAY_LEN(samples); i++)
        expect(samples[i], "400\n");
}

static void http_names_the_reason_by_status(void **state)
{
    expect(STR("GET / HTTP/2.0\r\n\r\n"), "505\n");
    expect(STR("GET / HTTP/0.9\r\n\r\n"), "505\n");
    expect(STR("CONNECT h:1 HTTP/1.1\r\nHost: h\r\n\r\n"), "405\n");
    expect(STR(POST "Content-Length: 1001\r\n\r\n"), "413\n");
    expect(STR(CHUNKED "3E9\r\n"), "413\n");
    expect(STR(CHUNKED "2\r\nab\r\n3E7\r\n"), "413\n");
}

static void http_limits_line_headers_and_chunk_framing(void **state)
{
    struct buf b = BUF_INIT(1 << 20);

    buf_add_lit(&b, "GET /");
    for (int i = 0; i < 9000; i++)
        buf_add_char(&b, 'a');
    expect(buf_str(&b), "414\n"); /* even unfinished */
    buf_add_lit(&b, " HTTP/1.1\r\nHost: h\r\n\r\n");
    expect(buf_str(&b), "414\n");

    buf_clear(&b);
    buf_add_lit(&b, LINE "Host: h\r\nX: ");
    for (int i = 0; i < 30000; i++)
        buf_add_char(&b, 'a');
    expect(buf_str(&b), "431\n");
    buf_add_lit(&b, "\r\n\r\n");
    expect(buf_str(&b), "431\n");

    buf_clear(&b);
    buf_add_lit(&b, LINE "Host: h\r\n");
    for (int i = 0; i < HTTP_HEADERS_MAX; i++)
        buf_add_lit(&b, "x: y\r\n");
    buf_add_lit(&b, "\r\n");
    expect(buf_str(&b), "431\n");

    buf_clear(&b);
    buf_add_lit(&b, CHUNKED "1;");
    for (int i = 0; i < 30000; i++)
        buf_add_char(&b, 'a');
    expect(buf_str(&b), "400\n");
    buf_deinit(&b);
}

static void http_hands_a_whole_request_over_in_place(void **state)
{
    char bytes[] = "POST /api HTTP/1.1\r\nHOST: h\r\nX-Api-Key:  k \r\nX-API-KEY: l\r\n"
                   "Content-Length: 3\r\n\r\nabcNEXT";
    char *rest = bytes;
    size_t n = sizeof bytes - 1;
    struct http_parser *p = http_parser_new();
    const struct http_request *req = http_parser_request(p);

    assert_int_equal(http_next(p, &rest, &n), HTTP_GOT_HEAD);
    assert_true(str_eq(http_header(req, STR("x-api-key")), STR("k")));
    assert_int_equal(http_header_count(req, STR("x-api-key")), 2);
    assert_int_equal(http_header(req, STR("missing")).len, 0);
    http_parser_body_max(p, 3);
    assert_int_equal(http_next(p, &rest, &n), HTTP_GOT_REQUEST);
    assert_ptr_equal(req->body.ptr, strstr(bytes, "abc"));
    assert_string_equal(rest, "NEXT");
    assert_int_equal(http_parser_memory(p), 0);
    http_parser_free(p);
}

/* The caller reads into the same memory again, so the head must not stay there. */
static void http_keeps_a_head_whose_body_comes_later(void **state)
{
    char first[] = "POST /api?a=b HTTP/1.1\r\nHost: h\r\nX: y\r\nContent-Length: 3\r\n\r\n";
    char second[] = "abc", *rest = first;
    size_t n = sizeof first - 1;
    struct http_parser *p = http_parser_new();
    const struct http_request *req = http_parser_request(p);

    assert_int_equal(http_next(p, &rest, &n), HTTP_GOT_HEAD);
    http_parser_body_max(p, 3);
    assert_int_equal(http_next(p, &rest, &n), HTTP_MORE);
    memset(first, '?', sizeof first);
    rest = second;
    n = 3;
    assert_int_equal(http_next(p, &rest, &n), HTTP_GOT_REQUEST);
    assert_true(str_eq(req->target, STR("/api?a=b")) && str_eq(req->path, STR("/api")));
    assert_true(str_eq(req->query, STR("a=b")) && str_eq(req->host, STR("h")));
    assert_true(str_eq(http_header(req, STR("x")), STR("y")));
    assert_true(str_eq(req->body, STR("abc")));
    http_parser_free(p);
}

static void http_takes_no_memory_for_a_body_that_is_only_announced(void **state)
{
    char bytes[] = POST "Content-Length: 1000000\r\n\r\nabc";
    char *rest = bytes;
    size_t n = sizeof bytes - 1;
    struct http_parser *p = http_parser_new();

    assert_int_equal(http_next(p, &rest, &n), HTTP_GOT_HEAD);
    http_parser_body_max(p, 1 << 20);
    assert_int_equal(http_next(p, &rest, &n), HTTP_MORE);
    assert_true(http_parser_in_body(p));
    assert_in_range(http_parser_memory(p), 1, 4096);
    http_parser_free(p);
}

static void http_finds_query_values(void **state)
{
    struct str value;

    assert_true(http_query(STR("a=1&format=protobuf&b"), STR("format"), &value));
    assert_true(str_eq(value, STR("protobuf")));
    assert_true(http_query(STR("a=1&b"), STR("b"), &value) && value.len == 0);
    assert_false(http_query(STR("xformat=1&formatx=2"), STR("format"), &value));
    assert_false(http_query(STR(""), STR("a"), &value));
}

static void expect_head(const struct http_response *response, const char *text)
{
    struct buf out = BUF_INIT(1000);

    http_add_head(&out, response);
    buf_add_char(&out, '\0');
    assert_string_equal(out.ptr, text);
    buf_deinit(&out);
}

static void http_writes_response_heads(void **state)
{
    static const struct http_header extra[] = {
        {STR("X-A"), STR("1")},
        {STR("X-Evil"), STR("a\r\nSet-Cookie: b")},
    };

    expect_head(
        &(struct http_response){.status = 200, .type = STR("application/json"), .length = 2},
        "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n");
    expect_head(&(struct http_response){.status = 404,
                                        .type = STR("text/plain"),
                                        .close = true,
                                        .extra = extra,
                                        .extra_count = 2},
                "HTTP/1.1 404 Not Found\r\nContent-Type: text/plain\r\nContent-Length: 0\r\n"
                "X-A: 1\r\nConnection: close\r\n\r\n");
    expect_head(&(struct http_response){.status = 204, .http10 = true},
                "HTTP/1.1 204 No Content\r\nConnection: keep-alive\r\n\r\n");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(http_reads_requests_however_they_are_cut),
        cmocka_unit_test(http_knows_when_a_connection_stays_open),
        cmocka_unit_test(http_refuses_what_two_parsers_could_read_differently),
        cmocka_unit_test(http_names_the_reason_by_status),
        cmocka_unit_test(http_limits_line_headers_and_chunk_framing),
        cmocka_unit_test(http_hands_a_whole_request_over_in_place),
        cmocka_unit_test(http_keeps_a_head_whose_body_comes_later),
        cmocka_unit_test(http_takes_no_memory_for_a_body_that_is_only_announced),
        cmocka_unit_test(http_finds_query_values),
        cmocka_unit_test(http_writes_response_heads),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
