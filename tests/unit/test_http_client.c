/* The HTTP client against a small server in the same thread: plain sockets that answer with the
 * bytes a case gives them, whole or one by one. */
#include "core/http_client.h"

#include "base/clock.h"
#include "base/mem.h"
#include "codec/http_reply.h"
#include "codec/url.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <unistd.h>
#include <cmocka.h>

#define PEERS 80

/* --- the server ------------------------------------------------------------------------------ */

enum after { KEEP, CLOSE, RESET, SILENT, RESET_FIRST_REUSE };

struct peer {
    int fd;
    char got[4096];
    size_t len, sent, requests;
    bool answering;
};

static struct {
    int fd;
    unsigned port, accepts;
    struct str reply;
    enum after after;
    bool split; /* one byte per turn */
    struct peer peers[PEERS];
    char last[4096]; /* the newest request */
} server;

static void hang_up(struct peer *p, bool reset)
{
    struct linger now = {.l_onoff = 1};

    if (reset)
        setsockopt(p->fd, SOL_SOCKET, SO_LINGER, &now, sizeof now);
    close(p->fd);
    *p = (struct peer){.fd = -1};
}

static void answer(struct peer *p)
{
    size_t step = server.split ? 1 : server.reply.len - p->sent;
    ssize_t n = send(p->fd, server.reply.ptr + p->sent, step, MSG_NOSIGNAL | MSG_DONTWAIT);

    if (n < 0 && errno != EAGAIN) {
        hang_up(p, false);
        return;
    }
    p->sent += n > 0 ? (size_t)n : 0;
    if (p->sent < server.reply.len)
        return;
    p->answering = false;
    p->sent = 0;
    if (server.after == CLOSE || server.after == RESET)
        hang_up(p, server.after == RESET);
}

static void hear(struct peer *p)
{
    ssize_t n = recv(p->fd, p->got + p->len, sizeof p->got - 1 - p->len, MSG_DONTWAIT);

    if (n == 0 || (n < 0 && errno != EAGAIN)) {
        hang_up(p, false);
        return;
    }
    if (n < 0)
        return;
    p->len += (size_t)n;
    p->got[p->len] = '\0';
    if (strstr(p->got, "\r\n\r\n") == NULL)
        return;
    memcpy(server.last, p->got, p->len + 1);
    p->len = 0;
    p->requests++;
    if (server.after == RESET_FIRST_REUSE && p->requests == 2)
        hang_up(p, true);
    else
        p->answering = server.after != SILENT;
}

static void server_turn(void)
{
    int fd = accept4(server.fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);

    for (size_t i = 0; i < PEERS; i++) {
        struct peer *p = &server.peers[i];

        if (p->fd < 0 && fd >= 0) {
            *p = (struct peer){.fd = fd};
            server.accepts++;
            fd = -1;
        }
        if (p->fd >= 0 && p->answering)
            answer(p);
        else if (p->fd >= 0)
            hear(p);
    }
    assert_true(fd < 0);
}

/* --- the client ------------------------------------------------------------------------------ */

static struct worker *w;
static struct http_client *hc;

struct got {
    unsigned calls;
    enum err err;
    unsigned status;
    char problem[200], body[256], type[64];
    size_t body_len;
};

static void on_answer(void *arg, const struct http_call_answer *a)
{
    struct got *got = arg;

    got->calls++;
    got->err = a->err;
    got->status = a->status;
    snprintf(got->problem, sizeof got->problem, "%s", a->problem ? a->problem : "");
    got->body_len = a->body.len;
    snprintf(got->body, sizeof got->body, "%.*s", STR_ARGS(a->body));
    for (size_t i = 0; i < a->header_count; i++) {
        if (str_eq(a->headers[i].name, STR("content-type")))
            snprintf(got->type, sizeof got->type, "%.*s", STR_ARGS(a->headers[i].value));
    }
}

static void turn(void)
{
    server_turn();
    uv_run(&w->loop, UV_RUN_NOWAIT);
}

#define turn_until(fact)                                                                           \
    do {                                                                                           \
        for (unsigned t_ = 0; !(fact) && t_ < 50000; t_++) {                                       \
            turn();                                                                                \
            if (!(fact) && t_ % 16 == 0)                                                           \
                usleep(200);                                                                       \
        }                                                                                          \
        assert_true(fact);                                                                         \
    } while (0)

static const char *url_of(const char *path)
{
    static char url[256];

    snprintf(url, sizeof url, "http://127.0.0.1:%u%s", server.port, path);
    return url;
}

static struct http_call *begin(struct got *got, const char *method)
{
    struct http_call_request r = {
        .url = str_from(url_of("/x?y=1")), .method = str_from(method), .body_max = 200};
    struct http_call *call;

    *got = (struct got){0};
    call = http_client_call(hc, &r, on_answer, got);
    assert_int_equal(got->calls, 0);
    return call;
}

static struct got get(const char *reply, enum after after)
{
    struct got got;

    server.reply = str_from(reply);
    server.after = after;
    begin(&got, "GET");
    turn_until(got.calls > 0);
    for (unsigned i = 0; i < 8; i++)
        turn();
    assert_int_equal(got.calls, 1);
    return got;
}

static int set_up(void **state)
{
    struct sockaddr_in sa = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof sa;

    memset(&server, 0, sizeof server);
    server.fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    assert_int_equal(bind(server.fd, (struct sockaddr *)&sa, len), 0);
    assert_int_equal(listen(server.fd, 128), 0);
    assert_int_equal(getsockname(server.fd, (struct sockaddr *)&sa, &len), 0);
    server.port = ntohs(sa.sin_port);
    for (size_t i = 0; i < PEERS; i++)
        server.peers[i].fd = -1;
    w = worker_new(0);
    worker_enter(w);
    hc = http_client_new(w);
    return 0;
}

static int tear_down(void **state)
{
    if (hc)
        http_client_close(hc);
    hc = NULL;
    worker_free(w);
    for (size_t i = 0; i < PEERS; i++) {
        if (server.peers[i].fd >= 0)
            close(server.peers[i].fd);
    }
    close(server.fd);
    return 0;
}

#define OK_HEAD "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\n"

static void assert_hello(const struct got *got)
{
    assert_int_equal(got->err, OK);
    assert_int_equal(got->status, 200);
    assert_string_equal(got->body, "hello");
    assert_string_equal(got->type, "text/plain");
}

static void a_body_with_a_length_arrives(void **state)
{
    struct got got = get(OK_HEAD "Content-Length: 5\r\n\r\nhello", KEEP);

    assert_hello(&got);
    assert_non_null(strstr(server.last, "GET /x?y=1 HTTP/1.1\r\nHost: 127.0.0.1:"));
    assert_null(strstr(server.last, "Content-Length"));
}

static void a_chunked_body_arrives_byte_by_byte(void **state)
{
    struct got got;

    server.split = true;
    got = get(OK_HEAD
              "Transfer-Encoding: chunked\r\n\r\n2\r\nhe\r\n3;x=y\r\nllo\r\n0\r\nT: 1\r\n\r\n",
              KEEP);
    assert_hello(&got);
}

static void a_body_until_the_end_of_the_connection_arrives(void **state)
{
    struct got got = get(OK_HEAD "\r\nhello", CLOSE);

    assert_hello(&got);
}

static void interim_answers_are_passed_over(void **state)
{
    struct got got =
        get("HTTP/1.1 100 Continue\r\nX: 1\r\n\r\n" OK_HEAD "Content-Length: 5\r\n\r\nhello", KEEP);

    assert_hello(&got);
}

static void a_redirect_is_an_answer_and_is_not_followed(void **state)
{
    struct got got = get(
        "HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1:1/\r\nContent-Length: 0\r\n\r\n", KEEP);

    assert_int_equal(got.err, OK);
    assert_int_equal(got.status, 302);
    assert_int_equal(server.accepts, 1);
}

static void an_answer_to_head_has_no_body(void **state)
{
    struct got got;

    server.reply = STR(OK_HEAD "Content-Length: 500\r\n\r\n");
    begin(&got, "HEAD");
    turn_until(got.calls > 0);
    assert_int_equal(got.err, OK);
    assert_int_equal(got.body_len, 0);
}

static void a_connection_is_used_again(void **state)
{
    for (unsigned i = 0; i < 5; i++) {
        struct got got = get(OK_HEAD "Content-Length: 5\r\n\r\nhello", KEEP);

        assert_hello(&got);
    }
    assert_int_equal(server.accepts, 1);
}

static void a_connection_that_says_close_is_not_used_again(void **state)
{
    for (unsigned i = 0; i < 3; i++) {
        struct got got = get(OK_HEAD "Connection: close\r\nContent-Length: 5\r\n\r\nhello", KEEP);

        assert_hello(&got);
    }
    assert_int_equal(server.accepts, 3);
}

static void bytes_behind_an_answer_end_its_connection(void **state)
{
    struct got got = get(OK_HEAD "Content-Length: 5\r\n\r\nhelloHTTP/1.1 200 OK\r\n\r\n", KEEP);

    assert_hello(&got);
    got = get(OK_HEAD "Content-Length: 5\r\n\r\nhello", KEEP);
    assert_hello(&got);
    assert_int_equal(server.accepts, 2);
}

static void a_kept_connection_that_breaks_is_replaced_once_for_get(void **state)
{
    struct got got = get(OK_HEAD "Content-Length: 5\r\n\r\nhello", KEEP);

    got = get(OK_HEAD "Content-Length: 5\r\n\r\nhello", RESET_FIRST_REUSE);
    assert_hello(&got);
    assert_int_equal(server.accepts, 2);
}

static void a_kept_connection_that_breaks_fails_a_post(void **state)
{
    struct got got = get(OK_HEAD "Content-Length: 5\r\n\r\nhello", KEEP);

    server.after = RESET_FIRST_REUSE;
    begin(&got, "POST");
    turn_until(got.calls > 0);
    assert_int_equal(got.err, ERR_IO);
    assert_int_equal(server.accepts, 1);
}

static void broken_answers_fail(void **state)
{
    static const char *const replies[] = {
        "\x16\x03\x01",
        "HTTP/1.1 2000 OK\r\n\r\n",
        "SSH-2.0-x\r\n\r\n",
        OK_HEAD "Content-Length: 5\r\nContent-Length: 6\r\n\r\nhello",
        OK_HEAD "Content-Length: -5\r\n\r\nhello",
        OK_HEAD "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
        OK_HEAD "Transfer-Encoding: chunked\r\n\r\nzz\r\nhello",
        OK_HEAD "Bad Name: 1\r\n\r\n",
        OK_HEAD "Content-Length: 9\r\n\r\nhello",
        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n",
    };

    for (size_t i = 0; i < ARRAY_LEN(replies); i++) {
        struct got got = get(replies[i], CLOSE);

        if (got.err != ERR_IO)
            fail_msg("reply %zu is taken, status %u", i, got.status);
        assert_true(got.problem[0] != '\0');
    }
}

static void a_reset_fails_the_request(void **state)
{
    struct got got = get("HTTP/1.1 200 OK\r\nConte", RESET);

    assert_int_equal(got.err, ERR_IO);
}

static void a_body_beyond_its_limit_is_cut(void **state)
{
    struct got got = get(OK_HEAD "Content-Length: 1000000000\r\n\r\nhello", KEEP);

    assert_int_equal(got.err, ERR_IO);
    assert_string_equal(got.problem, "the answer's body is larger than allowed");
}

static void a_chunked_body_beyond_its_limit_is_cut(void **state)
{
    char reply[2048] = OK_HEAD "Transfer-Encoding: chunked\r\n\r\n3e8\r\n";
    size_t len = strlen(reply);
    struct got got;

    memset(reply + len, 'x', 1000);
    reply[len + 1000] = '\0';
    got = get(reply, KEEP);
    assert_int_equal(got.err, ERR_IO);
    assert_string_equal(got.problem, "the answer's body is larger than allowed");
}

static void a_head_beyond_its_limit_is_cut(void **state)
{
    struct buf reply = BUF_INIT(1 << 20);
    struct got got;

    buf_add_lit(&reply, "HTTP/1.1 200 OK\r\nX: ");
    for (unsigned i = 0; i < 20000; i++)
        buf_add_char(&reply, 'x');
    buf_add_char(&reply, '\0');
    got = get(reply.ptr, KEEP);
    assert_int_equal(got.err, ERR_IO);
    assert_string_equal(got.problem, "the answer's headers are larger than allowed");
    buf_deinit(&reply);
}

static void endless_interim_answers_are_cut(void **state)
{
    struct buf reply = BUF_INIT(1 << 20);
    struct got got;

    for (unsigned i = 0; i < 2000; i++)
        buf_add_lit(&reply, "HTTP/1.1 100 Continue\r\n\r\n");
    buf_add_char(&reply, '\0');
    got = get(reply.ptr, KEEP);
    assert_int_equal(got.err, ERR_IO);
    buf_deinit(&reply);
}

static void a_server_that_never_answers_is_left_after_the_timeout(void **state)
{
    struct http_call_request r = {.url = str_from(url_of("/")), .timeout_ms = 50};
    struct got got = {0};
    uint64_t start = clock_mono_ms();

    server.after = SILENT;
    http_client_call(hc, &r, on_answer, &got);
    turn_until(got.calls > 0);
    assert_int_equal(got.err, ERR_EXPIRED);
    assert_true(clock_mono_ms() - start >= 45);
}

static void nobody_listening_is_an_error(void **state)
{
    struct got got = {0};
    struct http_call_request r = {.url = STR("http://127.0.0.1:1/")};

    http_client_call(hc, &r, on_answer, &got);
    turn_until(got.calls > 0);
    assert_int_equal(got.err, ERR_IO);
    assert_string_equal(got.problem, "the server cannot be connected to");
}

static void a_name_is_resolved_and_all_its_addresses_are_tried(void **state)
{
    char url[64];
    struct got got = {0};
    struct http_call_request r;

    snprintf(url, sizeof url, "http://localhost:%u/", server.port);
    r = (struct http_call_request){.url = str_from(url)};
    server.reply = STR(OK_HEAD "Content-Length: 5\r\n\r\nhello");
    http_client_call(hc, &r, on_answer, &got);
    turn_until(got.calls > 0);
    assert_hello(&got);
}

static void invalid_requests_are_refused_later_and_send_nothing(void **state)
{
    static const char *const urls[] = {"",
                                       "ftp://x/",
                                       "http://",
                                       "http:///x",
                                       "http://u:p@127.0.0.1/",
                                       "http://127.0.0.1:0/",
                                       "http://127.0.0.1:65536/",
                                       "http://127.0.0.1:8x/",
                                       "http://a b/",
                                       "http://a/\r\nX: y",
                                       "http://[::1/",
                                       "http://[::1]x/",
                                       "http://h\xc3\xa4/",
                                       "//x/"};
    struct http_header bad[] = {{STR("X"), STR("a\r\nY: b")},
                                {STR("X y"), STR("a")},
                                {STR("Content-Length"), STR("1")},
                                {STR("transfer-encoding"), STR("chunked")},
                                {STR("Host"), STR("b")}};
    struct got got;

    for (size_t i = 0; i < ARRAY_LEN(urls); i++) {
        struct http_call_request r = {.url = str_from(urls[i])};

        got = (struct got){0};
        http_client_call(hc, &r, on_answer, &got);
        assert_int_equal(got.calls, 0);
        turn_until(got.calls > 0);
        assert_int_equal(got.err, ERR_SYNTAX);
    }
    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        struct http_call_request r = {
            .url = str_from(url_of("/")), .headers = &bad[i], .header_count = 1};

        got = (struct got){0};
        http_client_call(hc, &r, on_answer, &got);
        turn_until(got.calls > 0);
        assert_int_equal(got.err, ERR_SYNTAX);
    }
    assert_int_equal(server.accepts, 0);
}

static void more_requests_than_connections_wait_their_turn(void **state)
{
    static struct got got[100];

    server.reply = STR(OK_HEAD "Content-Length: 5\r\n\r\nhello");
    server.after = KEEP;
    for (size_t i = 0; i < ARRAY_LEN(got); i++)
        begin(&got[i], "GET");
    for (size_t i = 0; i < ARRAY_LEN(got); i++) {
        turn_until(got[i].calls > 0);
        assert_hello(&got[i]);
    }
    assert_true(server.accepts <= 64);
}

static void a_cancelled_request_is_never_answered(void **state)
{
    struct got first, second, third;
    struct http_call *a = begin(&first, "GET"), *b, *c;

    server.reply = STR(OK_HEAD "Content-Length: 5\r\n\r\nhello");
    server.after = SILENT;
    http_call_cancel(a); /* before it began */
    b = begin(&second, "GET");
    turn_until(server.accepts == 1 && server.last[0]);
    http_call_cancel(b); /* while it waits for its answer */
    c = begin(&third, "GET");
    turn();
    http_call_cancel(c); /* while it connects */
    for (unsigned i = 0; i < 20; i++)
        turn();
    assert_int_equal(first.calls + second.calls + third.calls, 0);
}

static void closing_answers_everything_with_closed(void **state)
{
    static struct got got[100];

    server.after = SILENT;
    for (size_t i = 0; i < ARRAY_LEN(got); i++)
        begin(&got[i], "GET");
    for (unsigned i = 0; i < 10; i++)
        turn();
    http_client_close(hc);
    hc = NULL;
    for (unsigned i = 0; i < 10; i++)
        turn();
    for (size_t i = 0; i < ARRAY_LEN(got); i++) {
        assert_int_equal(got[i].calls, 1);
        assert_int_equal(got[i].err, ERR_CLOSED);
    }
}

static void a_url_is_taken_apart(void **state)
{
    struct url u;

    assert_int_equal(url_parse(STR("HTTPS://Ex.test/a/b?c#d"), &u), OK);
    assert_true(u.tls && !u.literal && u.port == 443);
    assert_true(str_eq(u.host, STR("Ex.test")) && str_eq(u.path, STR("/a/b")));
    assert_true(str_eq(u.target, STR("/a/b?c")));
    assert_int_equal(url_parse(STR("http://[::1]:81"), &u), OK);
    assert_true(u.literal && u.port == 81 && str_eq(u.host, STR("::1")) && u.target.len == 0);
    assert_int_equal(url_parse(STR("http://127.1?x"), &u), OK);
    assert_true(u.literal && str_eq(u.target, STR("?x")) && u.path.len == 0);
}

static void only_clean_paths_count_as_clean(void **state)
{
    static const char *const clean[] = {"", "/", "/a", "/a/b.json", "/...", "/.well-known/x"};
    static const char *const dirty[] = {"/a//b", "//",        "/..",    "/a/../b",
                                        "/a/.",  "/%2e%2E/b", "/a/.%2e"};

    for (size_t i = 0; i < ARRAY_LEN(clean); i++)
        assert_true(url_path_is_clean(str_from(clean[i])));
    for (size_t i = 0; i < ARRAY_LEN(dirty); i++)
        assert_false(url_path_is_clean(str_from(dirty[i])));
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(a_body_with_a_length_arrives),
        CASE(a_chunked_body_arrives_byte_by_byte),
        CASE(a_body_until_the_end_of_the_connection_arrives),
        CASE(interim_answers_are_passed_over),
        CASE(a_redirect_is_an_answer_and_is_not_followed),
        CASE(an_answer_to_head_has_no_body),
        CASE(a_connection_is_used_again),
        CASE(a_connection_that_says_close_is_not_used_again),
        CASE(bytes_behind_an_answer_end_its_connection),
        CASE(a_kept_connection_that_breaks_is_replaced_once_for_get),
        CASE(a_kept_connection_that_breaks_fails_a_post),
        CASE(broken_answers_fail),
        CASE(a_reset_fails_the_request),
        CASE(a_body_beyond_its_limit_is_cut),
        CASE(a_chunked_body_beyond_its_limit_is_cut),
        CASE(a_head_beyond_its_limit_is_cut),
        CASE(endless_interim_answers_are_cut),
        CASE(a_server_that_never_answers_is_left_after_the_timeout),
        CASE(nobody_listening_is_an_error),
        CASE(a_name_is_resolved_and_all_its_addresses_are_tried),
        CASE(invalid_requests_are_refused_later_and_send_nothing),
        CASE(more_requests_than_connections_wait_their_turn),
        CASE(a_cancelled_request_is_never_answered),
        CASE(closing_answers_everything_with_closed),
        cmocka_unit_test(a_url_is_taken_apart),
        cmocka_unit_test(only_clean_paths_count_as_clean),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
