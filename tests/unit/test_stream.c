/* Streams and listeners over real loopback sockets, the peer played by plain system calls. */
#include "loop/listener.h"
#include "loop/stream.h"

#include "base/log.h"
#include "base/mem.h"

#include <arpa/inet.h>
#include <errno.h>
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
    bool close_on_data, closed;
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

static const struct stream_ops ops = {
    .on_data = on_data, .on_drained = on_drained, .on_end = on_end, .on_closed = on_closed};

static void on_connection(void *arg, struct worker *worker, int fd)
{
    accepts++;
    accepted = mem_zalloc(sizeof *accepted);
    assert_int_equal(stream_accept(&accepted->stream, worker, fd, &ops), OK);
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
    int peer, value = 0, fd;
    socklen_t len = sizeof value;
    char ip[64];
    struct conn *c = meet(&peer);

    uv_fileno((uv_handle_t *)&c->stream.tcp, &fd);
    getsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &value, &len);
    assert_int_equal(value, 1);
    getsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &value, &len);
    assert_int_equal(value, 1);
    getsockopt(fd, IPPROTO_TCP, TCP_KEEPIDLE, &value, &len);
    assert_int_equal(value, 60);
    assert_true(str_eq(stream_peer(&c->stream, ip, sizeof ip), STR("127.0.0.1")));
    close(peer);
    finish(c);
}

/* Fills the socket, then lets libuv hold the rest. */
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
        CASE(a_taken_port_is_refused_by_the_probe_although_workers_share_it),
        CASE(addresses_that_are_none_are_refused_with_a_reason),
        CASE(out_of_descriptors_connections_wait_until_some_are_free),
    };

    signal(SIGPIPE, SIG_IGN);
    if (log_setup(LOG_NONE, LOG_TEXT, NULL) != OK)
        return 1;
    return cmocka_run_group_tests(tests, NULL, NULL);
}
