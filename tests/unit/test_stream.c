/* Streams and listeners over real loopback sockets, the peer played by plain system calls. */
#include "loop/listener.h"
#include "loop/stream.h"

#include "base/log.h"
#include "base/mem.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <sys/resource.h>
#include <unistd.h>
#include <cmocka.h>

#define BIG (8u * 1024 * 1024)

struct conn {
    struct stream stream;
    char got[64];
    size_t len, rest; /* rest: of the big write */
    unsigned drained, ends;
    bool close_on_data, closed, answered;
    enum err answer; /* to stream_connect */
};

static struct worker *w;
static struct listener *listener;
static struct conn *accepted; /* the newest */
static unsigned accepts;
static char *big;

static void on_data(struct stream *s, char *bytes, size_t n)
{
    struct conn *c = container_of(s, struct conn, stream);

    assert_true(c->len + n <= sizeof c->got);
    memcpy(c->got + c->len, bytes, n);
    c->len += n;
    if (c->close_on_data)
        stream_close(s);
}

static void on_drained(struct stream *s)
{
    container_of(s, struct conn, stream)->drained++;
}

static void on_end(struct stream *s)
{
    assert_false(s->closing);
    container_of(s, struct conn, stream)->ends++;
}

static void on_closed(struct stream *s)
{
    struct conn *c = container_of(s, struct conn, stream);

    assert_false(c->closed);
    assert_false(stream_is_draining(s));
    c->closed = true;
}

static void on_connected(struct stream *s, enum err err)
{
    struct conn *c = container_of(s, struct conn, stream);

    assert_false(c->answered);
    c->answered = true;
    c->answer = err;
}

static const struct stream_ops ops = {
    .on_data = on_data,
    .on_drained = on_drained,
    .on_connected = on_connected,
    .on_end = on_end,
    .on_closed = on_closed,
};

static void on_connection(void *arg, struct worker *worker, int fd)
{
    accepts++;
    accepted = mem_zalloc(sizeof *accepted);
    stream_accept(&accepted->stream, worker, fd, &ops);
    stream_read_start(&accepted->stream);
}

static void turn(void)
{
    uv_run(&w->loop, UV_RUN_NOWAIT);
}

/* Turns the loop until fact holds, for at most five seconds. */
#define turn_until(fact)                                                                           \
    do {                                                                                           \
        for (unsigned ms_ = 0; !(fact) && ms_ < 5000; ms_++) {                                     \
            turn();                                                                                \
            if (!(fact))                                                                           \
                usleep(1000);                                                                      \
        }                                                                                          \
        assert_true(fact);                                                                         \
    } while (0)

static int dial(void)
{
    struct sockaddr_in sa = {.sin_family = AF_INET,
                             .sin_port = htons((uint16_t)listener_port(listener)),
                             .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

    assert_true(fd >= 0);
    assert_int_equal(connect(fd, (struct sockaddr *)&sa, sizeof sa), 0);
    return fd;
}

static struct conn *meet(int *peer)
{
    unsigned before = accepts;

    *peer = dial();
    turn_until(accepts == before + 1);
    return accepted;
}

static void finish(struct conn *c)
{
    stream_close(&c->stream);
    stream_close(&c->stream);
    turn_until(c->closed);
    mem_free(c);
}

static int set_up(void **state)
{
    w = worker_new(0);
    worker_enter(w);
    big = mem_zalloc(BIG);
    accepts = 0;
    return listener_open(w, "127.0.0.1", 0, 128, on_connection, NULL, &listener);
}

static int tear_down(void **state)
{
    listener_close(listener);
    worker_free(w);
    mem_free(big);
    return 0;
}

static void bytes_arrive_and_gathered_writes_go_out_in_order(void **state)
{
    char text[8] = {0};
    int peer;
    struct conn *c = meet(&peer);
    uv_buf_t bufs[2] = {uv_buf_init("abc", 3), uv_buf_init("def", 3)};

    assert_int_equal(write(peer, "hello", 5), 5);
    turn_until(c->len == 5);
    assert_memory_equal(c->got, "hello", 5);
    assert_int_equal(stream_write(&c->stream, bufs, 2), 6);
    assert_int_equal(read(peer, text, sizeof text), 6);
    assert_string_equal(text, "abcdef");
    finish(c);
    assert_int_equal(read(peer, text, 1), 0);
    close(peer);
}

static void accepted_sockets_have_no_delay_and_keep_alive(void **state)
{
    int peer, value = 0;
    socklen_t len = sizeof value;
    char ip[64];
    struct conn *c = meet(&peer);

    getsockopt(c->stream.fd, IPPROTO_TCP, TCP_NODELAY, &value, &len);
    assert_int_equal(value, 1);
    getsockopt(c->stream.fd, SOL_SOCKET, SO_KEEPALIVE, &value, &len);
    assert_int_equal(value, 1);
    getsockopt(c->stream.fd, IPPROTO_TCP, TCP_KEEPIDLE, &value, &len);
    assert_int_equal(value, 60);
    assert_true(str_eq(stream_peer(&c->stream, ip, sizeof ip), STR("127.0.0.1")));
    close(peer);
    finish(c);
}

/* Fills the socket; the rest waits. */
static void overfill(struct conn *c)
{
    uv_buf_t buf = uv_buf_init(big, BIG);
    ptrdiff_t written = stream_write(&c->stream, &buf, 1);

    assert_true(written > 0 && written < (ptrdiff_t)BIG);
    buf = uv_buf_init(big + written, (unsigned)(BIG - (size_t)written));
    stream_await_drain(&c->stream, &buf, 1);
    assert_true(stream_is_draining(&c->stream));
}

static void a_full_socket_is_drained_once_the_peer_reads(void **state)
{
    static char sink[65536];
    size_t total = 0;
    int peer;
    struct conn *c = meet(&peer);

    overfill(c);
    turn();
    assert_int_equal(c->drained, 0);
    while (total < BIG) {
        ssize_t n = recv(peer, sink, sizeof sink, MSG_DONTWAIT);

        assert_true(n > 0 || errno == EAGAIN);
        total += n > 0 ? (size_t)n : 0;
        turn();
    }
    turn_until(c->drained == 1);
    assert_false(stream_is_draining(&c->stream));
    close(peer);
    finish(c);
}

static void closing_with_a_write_in_flight_frees_it_and_calls_nobody_back(void **state)
{
    int peer;
    struct conn *c = meet(&peer);

    overfill(c);
    stream_close(&c->stream);
    turn_until(c->closed);
    assert_int_equal(c->drained, 0);
    assert_int_equal(c->ends, 0);
    close(peer);
    mem_free(c);
}

static void a_peer_that_breaks_while_we_drain_ends_the_stream_once(void **state)
{
    struct linger now = {1, 0};
    uv_buf_t buf = uv_buf_init(big, 1);
    int peer;
    struct conn *c = meet(&peer);

    overfill(c);
    stream_read_stop(&c->stream); /* so that writing finds out */
    setsockopt(peer, SOL_SOCKET, SO_LINGER, &now, sizeof now);
    close(peer);
    turn_until(c->drained == 1);
    assert_int_equal(c->ends, 1);
    assert_int_equal(stream_write(&c->stream, &buf, 1), -1);
    stream_read_start(&c->stream);
    turn();
    assert_int_equal(c->ends, 1);
    finish(c);
}

static void the_peers_end_is_told_once_and_we_may_still_write(void **state)
{
    char text[4] = {0};
    uv_buf_t buf = uv_buf_init("bye", 3);
    int peer;
    struct conn *c = meet(&peer);

    shutdown(peer, SHUT_WR);
    turn_until(c->ends == 1);
    assert_int_equal(stream_write(&c->stream, &buf, 1), 3);
    assert_int_equal(read(peer, text, 3), 3);
    stream_shutdown(&c->stream);
    stream_shutdown(&c->stream);
    assert_int_equal(stream_write(&c->stream, &buf, 1), -1);
    turn();
    assert_int_equal(read(peer, text, 1), 0);
    assert_int_equal(c->ends, 1);
    close(peer);
    finish(c);
}

static void on_data_may_close_the_stream(void **state)
{
    int peer;
    struct conn *c = meet(&peer);

    c->close_on_data = true;
    assert_int_equal(write(peer, "x", 1), 1);
    turn_until(c->closed);
    assert_int_equal(c->len, 1);
    close(peer);
    mem_free(c);
}

static void a_stopped_stream_reads_nothing_until_started_again(void **state)
{
    int peer;
    struct conn *c = meet(&peer);

    stream_read_stop(&c->stream);
    assert_int_equal(write(peer, "x", 1), 1);
    usleep(2000);
    turn();
    turn();
    assert_int_equal(c->len, 0);
    stream_read_start(&c->stream);
    turn_until(c->len == 1);
    close(peer);
    finish(c);
}

static void what_cannot_be_watched_ends_later(void **state)
{
    struct conn c = {0};

    stream_accept(&c.stream, w, open("/proc/self/exe", O_RDONLY | O_CLOEXEC), &ops);
    stream_read_start(&c.stream); /* the kernel refuses: a file is always ready */
    assert_int_equal(c.ends, 0);
    turn_until(c.ends == 1);
    stream_close(&c.stream);
    assert_false(c.closed);
    turn_until(c.closed);
    assert_int_equal(c.ends, 1);
}

static void bytes_of_many_streams_arrive_in_one_turn_or_the_next(void **state)
{
    enum { STREAMS = 600 };
    struct conn *met[STREAMS];
    int peers[STREAMS];

    for (size_t i = 0; i < STREAMS; i++)
        met[i] = meet(&peers[i]);
    for (size_t i = 0; i < STREAMS; i++)
        assert_int_equal(write(peers[i], "x", 1), 1);
    for (size_t i = 0; i < STREAMS; i++)
        turn_until(met[i]->len == 1);
    for (size_t i = 0; i < STREAMS; i++)
        stream_close(&met[i]->stream);
    for (size_t i = 0; i < STREAMS; i++) {
        turn_until(met[i]->closed);
        close(peers[i]);
        mem_free(met[i]);
    }
}

static void a_connection_that_is_refused_says_so_later(void **state)
{
    struct sockaddr_in nobody = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int port = 0;
    char why[160];
    struct conn c = {0};

    assert_int_equal(listener_probe("127.0.0.1", &port, why, sizeof why), OK);
    nobody.sin_port = htons((uint16_t)port);
    stream_connect(&c.stream, w, (struct sockaddr *)&nobody, &ops);
    assert_false(c.answered);
    turn_until(c.answered);
    assert_int_equal(c.answer, ERR_IO);
    stream_close(&c.stream);
    turn_until(c.closed);
    c = (struct conn){0};
    nobody.sin_family = AF_UNIX; /* no such address: refused before it begins */
    stream_connect(&c.stream, w, (struct sockaddr *)&nobody, &ops);
    turn_until(c.answered);
    assert_int_equal(c.answer, ERR_IO);
    stream_close(&c.stream);
    turn_until(c.closed);
}

static void a_connect_that_is_given_up_answers_nobody(void **state)
{
    struct sockaddr_in here = {.sin_family = AF_INET,
                               .sin_port = htons((uint16_t)listener_port(listener)),
                               .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    struct conn c = {0};

    stream_connect(&c.stream, w, (struct sockaddr *)&here, &ops);
    stream_close(&c.stream);
    turn_until(c.closed);
    assert_false(c.answered);
    turn_until(accepts == 1);
    finish(accepted);
}

static void a_connection_that_is_made_carries_bytes_both_ways(void **state)
{
    struct sockaddr_in here = {.sin_family = AF_INET,
                               .sin_port = htons((uint16_t)listener_port(listener)),
                               .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    uv_buf_t hello = uv_buf_init("hello", 5);
    struct conn c = {0};

    stream_connect(&c.stream, w, (struct sockaddr *)&here, &ops);
    turn_until(c.answered && accepts == 1);
    assert_int_equal(c.answer, OK);
    stream_read_start(&c.stream);
    assert_int_equal(stream_write(&c.stream, &hello, 1), 5);
    turn_until(accepted->len == 5);
    assert_int_equal(stream_write(&accepted->stream, &hello, 1), 5);
    turn_until(c.len == 5);
    finish(accepted);
    turn_until(c.ends == 1);
    stream_close(&c.stream);
    turn_until(c.closed);
}

static void a_taken_port_is_refused_by_the_probe_although_workers_share_it(void **state)
{
    struct listener *second;
    int port = listener_port(listener), any = 0;
    char why[160] = "";

    assert_int_equal(listener_probe("127.0.0.1", &port, why, sizeof why), ERR_IO);
    assert_non_null(strstr(why, "in use"));
    assert_int_equal(listener_open(w, "127.0.0.1", port, 16, on_connection, NULL, &second), OK);
    assert_int_equal(listener_port(second), port);
    listener_close(second);
    assert_int_equal(listener_probe("127.0.0.1", &any, why, sizeof why), OK);
    assert_true(any > 0);
}

static void addresses_that_are_none_are_refused_with_a_reason(void **state)
{
    int port = 0;
    char why[160] = "";

    assert_int_equal(listener_probe("example.com", &port, why, sizeof why), ERR_IO);
    assert_non_null(strstr(why, "is not an IPv4 or IPv6 address"));
    assert_int_equal(listener_probe("192.0.2.1", &port, why, sizeof why), ERR_IO);
    assert_non_null(strstr(why, "not an address of this machine"));
    port = 70000;
    assert_int_equal(listener_probe("127.0.0.1", &port, why, sizeof why), ERR_IO);
}

static void out_of_descriptors_connections_wait_until_some_are_free(void **state)
{
    struct rlimit old, low;
    int peer = dial(), spare = dup(0);

    getrlimit(RLIMIT_NOFILE, &old);
    low = old;
    low.rlim_cur = (rlim_t)spare; /* no number below is free */
    close(spare);
    while ((spare = dup(0)) >= 0 && (rlim_t)spare < low.rlim_cur)
        continue;
    if (spare >= 0)
        close(spare);
    setrlimit(RLIMIT_NOFILE, &low);
    turn();
    turn();
    assert_int_equal(accepts, 0);
    assert_int_equal(w->timers.count, 1); /* paused, not spinning */
    setrlimit(RLIMIT_NOFILE, &old);
    turn_until(accepts == 1);
    assert_int_equal(w->timers.count, 0);
    close(peer);
    finish(accepted);
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(bytes_arrive_and_gathered_writes_go_out_in_order),
        CASE(accepted_sockets_have_no_delay_and_keep_alive),
        CASE(a_full_socket_is_drained_once_the_peer_reads),
        CASE(closing_with_a_write_in_flight_frees_it_and_calls_nobody_back),
        CASE(a_peer_that_breaks_while_we_drain_ends_the_stream_once),
        CASE(the_peers_end_is_told_once_and_we_may_still_write),
        CASE(on_data_may_close_the_stream),
        CASE(a_stopped_stream_reads_nothing_until_started_again),
        CASE(what_cannot_be_watched_ends_later),
        CASE(bytes_of_many_streams_arrive_in_one_turn_or_the_next),
        CASE(a_connection_that_is_refused_says_so_later),
        CASE(a_connect_that_is_given_up_answers_nobody),
        CASE(a_connection_that_is_made_carries_bytes_both_ways),
        CASE(a_taken_port_is_refused_by_the_probe_although_workers_share_it),
        CASE(addresses_that_are_none_are_refused_with_a_reason),
        CASE(out_of_descriptors_connections_wait_until_some_are_free),
    };

    signal(SIGPIPE, SIG_IGN);
    if (log_setup(LOG_NONE, LOG_TEXT, NULL) != OK)
        return 1;
    return cmocka_run_group_tests(tests, NULL, NULL);
}
