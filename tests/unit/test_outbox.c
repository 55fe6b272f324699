/* The outbox over a socket pair: order and completeness under short writes, limits, failures. */
#include "core/outbox.h"

#include "core/core.h"
#include "base/random.h"

#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <sys/socket.h>
#include <unistd.h>
#include <cmocka.h>

#define LIMIT (1024u * 1024)

static struct worker *w;
static struct core core;
static struct stream stream;
static struct outbox outbox;
static int peer;
static unsigned failures, empties;
static enum err failed_with;
static bool closed;

static void on_data(struct stream *s, char *bytes, size_t n)
{
}

static void on_drained(struct stream *s)
{
    outbox_drained(&outbox);
}

static void on_end(struct stream *s)
{
}

static void on_closed(struct stream *s)
{
    outbox_deinit(&outbox);
    closed = true;
}

static const struct stream_ops ops = {
    .on_data = on_data, .on_drained = on_drained, .on_end = on_end, .on_closed = on_closed};

static void on_fail(struct outbox *o, enum err why)
{
    failures++;
    failed_with = why;
    outbox_push_take(o, frame_of(STR("dropped")));
}

static void on_empty(struct outbox *o)
{
    empties++;
}

static void turn(void)
{
    uv_run(&w->loop, UV_RUN_NOWAIT);
}

static int set_up(void **state)
{
    int pair[2];

    w = worker_new(0);
    worker_enter(w);
    core = (struct core){.worker = w, .outboxes = outboxes_new(w)};
    w->core = &core;
    failures = empties = 0;
    failed_with = OK;
    closed = false;
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, pair) != 0)
        return 1;
    stream_accept(&stream, w, pair[0], &ops);
    peer = pair[1];
    outbox_init(&outbox, &stream, LIMIT, on_fail);
    return 0;
}

static int tear_down(void **state)
{
    stream_close(&stream);
    while (!closed)
        turn();
    close(peer);
    outboxes_free(core.outboxes);
    worker_free(w);
    return 0;
}

static void push_text(const char *text)
{
    outbox_push_take(&outbox, frame_of(str_from(text)));
}

static void expect(const char *text)
{
    char got[256];
    ssize_t n = read(peer, got, sizeof got);

    assert_int_equal(n, (ssize_t)strlen(text));
    assert_memory_equal(got, text, strlen(text));
}

static void expect_silence(void)
{
    char c;

    assert_int_equal(read(peer, &c, 1), -1);
    assert_int_equal(errno, EAGAIN);
}

static void frames_of_one_turn_go_out_together_at_its_end(void **state)
{
    push_text("one ");
    push_text("");
    push_text("two ");
    push_text("three");
    expect_silence();
    assert_int_equal(outbox.bytes, 13);
    turn();
    expect("one two three");
    assert_true(outbox_is_empty(&outbox));
    assert_int_equal(outbox.bytes, 0);
}

static void one_waiting_frame_needs_no_memory_and_an_empty_outbox_owns_none(void **state)
{
    push_text("a");
    assert_int_equal(outbox.cap, 0);
    push_text("b");
    assert_true(outbox.cap > 0);
    turn();
    assert_int_equal(outbox.cap, 0);
    assert_null(outbox.queue);
}

static void a_shared_frame_keeps_the_callers_reference(void **state)
{
    struct frame *f = frame_of(STR("shared"));

    outbox_push(&outbox, f);
    outbox_push(&outbox, f);
    assert_int_equal(f->refs, 3);
    outbox_flush(&outbox);
    assert_int_equal(f->refs, 1);
    frame_unref(f);
    expect("sharedshared");
}

/* Numbered bytes, so that a lost, doubled or swapped one shows. */
static uint8_t byte_at(size_t i)
{
    return (uint8_t)(i * 31 + (i >> 8) * 7 + (i >> 16));
}

static void everything_arrives_in_order_through_short_writes_and_drains(void **state)
{
    static uint8_t got[65536];
    size_t pushed = 0, received = 0, total = 8u * 1024 * 1024;
    int small = 4096;
    bool drained = false;

    setsockopt(stream.fd, SOL_SOCKET, SO_SNDBUF, &small, sizeof small);
    while (received < total) {
        while (pushed < total && outbox.bytes < LIMIT / 2 && random_u64() % 32 != 0) {
            size_t most = random_u64() % 8 == 0 ? 100000 : 300, n = 1 + random_u64() % most;
            struct frame *f;

            n = MIN(n, total - pushed);
            f = frame_new(n);
            for (size_t i = 0; i < n; i++)
                f->bytes[i] = (char)byte_at(pushed + i);
            pushed += n;
            outbox_push_take(&outbox, f);
        }
        turn();
        drained = drained || outbox.in_flight > 0;
        for (unsigned reads = (unsigned)(random_u64() % 4); reads > 0; reads--) {
            ssize_t n = read(peer, got, 1 + random_u64() % sizeof got);

            for (ssize_t i = 0; i < n; i++)
                assert_int_equal(got[i], byte_at(received + (size_t)i));
            received += n > 0 ? (size_t)n : 0;
        }
    }
    /* The peer may have read the last byte before libuv's own callback told us that it is out. */
    for (unsigned i = 0; i < 10 && !outbox_is_empty(&outbox); i++)
        turn();
    assert_true(drained); /* or the test did not test it */
    assert_true(outbox_is_empty(&outbox));
    assert_int_equal(outbox.bytes, 0);
    assert_int_equal(failures, 0);
}

static void push_kilobytes(unsigned n)
{
    for (unsigned i = 0; i < n; i++) {
        struct frame *f = frame_new(1024);

        memset(f->bytes, 'x', 1024);
        outbox_push_take(&outbox, f);
    }
}

static void outbox_fails_once_past_its_limit_and_drops_what_waits(void **state)
{
    for (unsigned i = 0; i < 3000 && failures == 0; i++) {
        push_kilobytes(1);
        if (i % 10 == 0)
            turn();
    }
    assert_int_equal(failures, 1);
    assert_int_equal(failed_with, ERR_LIMIT);
    assert_true(outbox.count == outbox.in_flight && outbox.in_flight > 0);
    push_kilobytes(2);
    assert_int_equal(failures, 1);
    /* What libuv still holds may go out; then nothing is left. */
    while (outbox.in_flight > 0) {
        static char sink[65536];

        while (read(peer, sink, sizeof sink) > 0)
            continue;
        turn();
    }
    assert_true(outbox_is_empty(&outbox));
    assert_int_equal(failures, 1);
}

static void much_in_one_turn_is_written_before_the_limit_is_judged(void **state)
{
    char *sink = mem_alloc(LIMIT);
    size_t total = 0;

    outbox.bytes_max = 16 * 1024;
    push_kilobytes(64);
    turn();
    assert_int_equal(failures, 0);
    for (ssize_t n; (n = read(peer, sink, LIMIT)) > 0;)
        total += (size_t)n;
    assert_int_equal(total, 64 * 1024);
    mem_free(sink);
}

static void a_closed_outbox_with_frames_in_flight_leaks_nothing(void **state)
{
    push_kilobytes(1000);
    turn();
    assert_true(outbox.in_flight > 0); /* tear_down closes; the leak checker judges */
}

static void a_broken_socket_fails_with_closed(void **state)
{
    shutdown(peer, SHUT_RDWR);
    push_text("lost");
    turn();
    assert_int_equal(failures, 1);
    assert_int_equal(failed_with, ERR_CLOSED);
    assert_true(outbox_is_empty(&outbox));
}

static void a_socket_that_breaks_while_draining_fails_with_closed(void **state)
{
    outbox_when_empty(&outbox, on_empty);
    push_kilobytes(1000);
    turn();
    assert_true(outbox.in_flight > 0);
    shutdown(peer, SHUT_RDWR);
    for (unsigned i = 0; i < 100 && failures == 0; i++)
        turn();
    assert_int_equal(failures, 1);
    assert_int_equal(failed_with, ERR_CLOSED);
    assert_int_equal(outbox.count, 0);
    assert_int_equal(empties, 0);
}

static void when_empty_is_told_once_after_the_last_byte_and_never_inline(void **state)
{
    outbox_when_empty(&outbox, on_empty);
    assert_int_equal(empties, 0);
    turn();
    assert_int_equal(empties, 1);
    push_text("more");
    outbox_when_empty(&outbox, on_empty);
    turn();
    assert_int_equal(empties, 2);
    push_text("again");
    turn();
    assert_int_equal(empties, 2);
}

static void after_a_drop_last_words_go_out_behind_what_was_in_flight(void **state)
{
    static char sink[65536];
    char last[4] = {0};

    push_kilobytes(1023);
    turn();
    assert_true(outbox.in_flight > 0);
    push_kilobytes(1000);
    assert_int_equal(failed_with, ERR_LIMIT);
    outbox_drop(&outbox);
    assert_int_equal(outbox.count, outbox.in_flight);
    push_text("bye");
    for (unsigned i = 0; i < 1000 && !outbox_is_empty(&outbox); i++) {
        for (ssize_t n; (n = read(peer, sink, sizeof sink)) >= 3;)
            memcpy(last, sink + n - 3, 3);
        turn();
    }
    for (ssize_t n; (n = read(peer, sink, sizeof sink)) >= 3;)
        memcpy(last, sink + n - 3, 3);
    assert_true(outbox_is_empty(&outbox));
    assert_string_equal(last, "bye");
    assert_int_equal(failures, 1);
}

static void without_a_stream_frames_are_taken_by_hand(void **state)
{
    struct outbox loose;
    struct frame *f;

    outbox_init(&loose, NULL, LIMIT, on_fail);
    assert_null(outbox_take(&loose));
    outbox_push_take(&loose, frame_of(STR("a")));
    outbox_push_take(&loose, frame_of(STR("b")));
    outbox_push_take(&loose, frame_of(STR("c")));
    f = outbox_take(&loose);
    assert_memory_equal(f->bytes, "a", 1);
    frame_unref(f);
    f = outbox_take(&loose);
    assert_memory_equal(f->bytes, "b", 1);
    frame_unref(f);
    outbox_deinit(&loose);
    assert_true(outbox_is_empty(&loose));
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(frames_of_one_turn_go_out_together_at_its_end),
        CASE(one_waiting_frame_needs_no_memory_and_an_empty_outbox_owns_none),
        CASE(a_shared_frame_keeps_the_callers_reference),
        CASE(everything_arrives_in_order_through_short_writes_and_drains),
        CASE(outbox_fails_once_past_its_limit_and_drops_what_waits),
        CASE(much_in_one_turn_is_written_before_the_limit_is_judged),
        CASE(a_closed_outbox_with_frames_in_flight_leaks_nothing),
        CASE(a_broken_socket_fails_with_closed),
        CASE(a_socket_that_breaks_while_draining_fails_with_closed),
        CASE(when_empty_is_told_once_after_the_last_byte_and_never_inline),
        CASE(after_a_drop_last_words_go_out_behind_what_was_in_flight),
        CASE(without_a_stream_frames_are_taken_by_hand),
    };

    signal(SIGPIPE, SIG_IGN);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
