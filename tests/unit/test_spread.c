/* One frame to many outboxes, over socket pairs: what each peer reads is what its outbox was given,
 * in that order, whatever the others got and however slowly it reads; and no frame is kept. */
#include "core/spread.h"

#include "core/core.h"

#include <assert.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <sys/socket.h>
#include <unistd.h>
#include <cmocka.h>

#define MEMBERS 24
#define LIMIT (1024u * 1024)
#define FRAMES_MAX 4096

struct member {
    struct stream stream;
    struct outbox outbox;
    int peer;
    struct buf expected; /* what the peer has not read yet */
    unsigned failures;
    enum err failed_with;
    bool closed;
};

static struct worker *w;
static struct core core;
static struct member members[MEMBERS];
static struct frame *frames[FRAMES_MAX]; /* all that were spread, with a reference of the test's */
static size_t frame_count;
static uint64_t seed;

static unsigned roll(unsigned sides)
{
    seed = seed * 6364136223846793005u + 1442695040888963407u;
    return (unsigned)(seed >> 33) % sides;
}

static void on_data(struct stream *s, char *bytes, size_t n)
{
}

static void on_drained(struct stream *s)
{
    outbox_drained(&container_of(s, struct member, stream)->outbox);
}

static void on_end(struct stream *s)
{
}

static void on_closed(struct stream *s)
{
    struct member *m = container_of(s, struct member, stream);

    outbox_deinit(&m->outbox);
    m->closed = true;
}

static const struct stream_ops ops = {
    .on_data = on_data, .on_drained = on_drained, .on_end = on_end, .on_closed = on_closed};

static void on_fail(struct outbox *o, enum err why)
{
    struct member *m = container_of(o, struct member, outbox);

    m->failures++;
    m->failed_with = why;
}

static void turn(void)
{
    uv_run(&w->loop, UV_RUN_NOWAIT);
}

/* Records keep the writes apart: each read gets what one write was. */
static int open_members(int type)
{
    w = worker_new(0);
    worker_enter(w);
    core = (struct core){.worker = w, .outboxes = outboxes_new(w)};
    w->core = &core;
    frame_count = 0;
    seed = 1;
    for (size_t i = 0; i < MEMBERS; i++) {
        struct member *m = &members[i];
        int pair[2];

        *m = (struct member){.expected = BUF_INIT((size_t)64 << 20)};
        if (socketpair(AF_UNIX, type | SOCK_NONBLOCK, 0, pair) != 0)
            return 1;
        stream_accept(&m->stream, w, pair[0], &ops);
        m->peer = pair[1];
        outbox_init(&m->outbox, &m->stream, LIMIT, on_fail);
    }
    return 0;
}

static int set_up(void **state)
{
    return open_members(SOCK_STREAM);
}

static int set_up_records(void **state)
{
    return open_members(SOCK_SEQPACKET);
}

static int tear_down(void **state)
{
    for (size_t i = 0; i < MEMBERS; i++)
        stream_close(&members[i].stream);
    for (size_t i = 0; i < MEMBERS; i++) {
        while (!members[i].closed)
            turn();
        close(members[i].peer);
        buf_deinit(&members[i].expected);
    }
    for (size_t i = 0; i < frame_count; i++)
        frame_unref(frames[i]);
    outboxes_free(core.outboxes);
    worker_free(w);
    return 0;
}

static struct frame *keep(struct frame *f)
{
    assert_true(frame_count < FRAMES_MAX);
    frames[frame_count++] = f;
    return f;
}

/* A frame of len bytes that no other frame has. */
static struct frame *numbered_frame(size_t len)
{
    struct frame *f = keep(frame_new(len));

    for (size_t i = 0; i < len; i++)
        f->bytes[i] = (char)(frame_count * 31 + i * 7 + (i >> 8));
    return f;
}

static void spread_from_to(struct frame *f, size_t from, size_t to)
{
    struct spread s;

    spread_begin(&s, core.outboxes, f);
    for (size_t i = from; i < to; i++) {
        spread_push(&s, &members[i].outbox);
        buf_add(&members[i].expected, f->bytes, f->len);
    }
}

static void spread_text(const char *text, size_t from, size_t to)
{
    spread_from_to(keep(frame_of(str_from(text))), from, to);
}

static void push_text(size_t i, const char *text)
{
    outbox_push_take(&members[i].outbox, frame_of(str_from(text)));
    buf_add_str(&members[i].expected, str_from(text));
}

/* Reads once, at most `most` bytes, and holds them to what is expected. */
static ssize_t read_some(struct member *m, size_t most)
{
    static char got[1 << 20];
    ssize_t n = read(m->peer, got, MIN(most, sizeof got));

    if (n > 0) {
        assert_true((size_t)n <= m->expected.len);
        assert_memory_equal(got, m->expected.ptr, (size_t)n);
        buf_drop_front(&m->expected, (size_t)n);
    }
    return n;
}

static void read_all(struct member *m)
{
    for (unsigned i = 0; i < 10000 && m->expected.len > 0; i++) {
        while (read_some(m, SIZE_MAX) > 0)
            continue;
        turn();
    }
    assert_int_equal(m->expected.len, 0);
    assert_int_equal(read_some(m, 1), -1);
}

/* Reads whatever there is; the newest three bytes are moved into last. */
static void read_newest(struct member *m, char last[3])
{
    static char got[65536];
    ssize_t n;

    while ((n = read(m->peer, got, sizeof got)) > 0) {
        for (ssize_t i = MAX(n - 3, 0); i < n; i++) {
            memmove(last, last + 1, 2);
            last[2] = got[i];
        }
    }
}

/* A member's last bytes may be out before its outbox has heard so. */
static void expect_all_and_nothing_kept(void)
{
    for (size_t i = 0; i < MEMBERS; i++) {
        read_all(&members[i]);
        for (unsigned k = 0; k < 10 && !outbox_is_empty(&members[i].outbox); k++)
            turn();
        assert_true(outbox_is_empty(&members[i].outbox));
        assert_int_equal(outbox_bytes(&members[i].outbox), 0);
        assert_int_equal(members[i].outbox.cap, 0);
    }
    for (size_t i = 0; i < frame_count; i++)
        assert_int_equal(frames[i]->refs, 1);
}

static void what_all_get_in_a_turn_is_one_write_each_at_its_end(void **state)
{
    spread_text("one ", 0, MEMBERS);
    spread_text("two ", 0, MEMBERS);
    spread_text("three", 0, MEMBERS);
    assert_int_equal(outbox_bytes(&members[0].outbox), 13);
    assert_false(outbox_is_empty(&members[0].outbox));
    for (size_t i = 0; i < MEMBERS; i++)
        assert_int_equal(read_some(&members[i], 1), -1);
    turn();
    for (size_t i = 0; i < MEMBERS; i++)
        assert_int_equal(read_some(&members[i], SIZE_MAX), 13);
    expect_all_and_nothing_kept();
    spread_text("next turn", 0, MEMBERS);
    turn();
    for (size_t i = 0; i < MEMBERS; i++)
        assert_int_equal(read_some(&members[i], SIZE_MAX), 9);
    expect_all_and_nothing_kept();
}

static void a_shared_frame_costs_an_outbox_no_memory_and_no_reference(void **state)
{
    spread_text("one", 0, MEMBERS);
    spread_text("two", 0, MEMBERS);
    for (size_t i = 0; i < MEMBERS; i++) {
        assert_int_equal(members[i].outbox.cap, 0);
        assert_ptr_equal(members[i].outbox.series, members[0].outbox.series);
    }
    assert_int_equal(frames[0]->refs, 2);
    assert_int_equal(frames[1]->refs, 2);
    turn();
    expect_all_and_nothing_kept();
}

static void who_got_something_else_in_between_keeps_its_order_and_so_do_the_others(void **state)
{
    spread_text("a", 0, MEMBERS);
    push_text(3, "(own)");
    spread_text("b", 5, MEMBERS - 5); /* another channel, with fewer subscribers */
    spread_text("c", 0, MEMBERS);
    push_text(7, "(own)");
    spread_text("d", 0, MEMBERS);
    turn();
    for (size_t i = 0; i < MEMBERS; i++) /* one write each even so */
        assert_int_equal(read_some(&members[i], SIZE_MAX),
                         3 + (i >= 5 && i < MEMBERS - 5) + (i == 3 || i == 7 ? 5 : 0));
    expect_all_and_nothing_kept();
}

static void more_different_series_than_a_spread_remembers_are_kept_apart(void **state)
{
    static_assert(MEMBERS > 2 * SPREAD_STEPS, "or the test does not test it");
    for (size_t i = 0; i + 1 < MEMBERS; i++) { /* the last one has none yet when "z" comes */
        char text[16];

        snprintf(text, sizeof text, "<%zu>", i);
        spread_text(text, i, i + 1);
    }
    spread_text("y", 0, MEMBERS - 1);
    spread_text("z", 0, MEMBERS);
    assert_true(outbox_has_series(&members[MEMBERS - 1].outbox));
    assert_true(members[MEMBERS - 2].outbox.count == 3); /* there was no place for its step */
    turn();
    expect_all_and_nothing_kept();
}

static void a_socket_that_takes_only_a_part_gets_the_rest_later_in_order(void **state)
{
    int small = 4096;
    struct member *slow = &members[1];

    setsockopt(slow->stream.fd, SOL_SOCKET, SO_SNDBUF, &small, sizeof small);
    for (unsigned i = 0; i < 60; i++)
        spread_from_to(numbered_frame(1000), 0, MEMBERS);
    turn();
    assert_true(slow->outbox.in_flight > 0);
    assert_true(slow->outbox.bytes > 0 && slow->outbox.bytes < 60 * 1000);
    assert_true(slow->outbox.sent > 0);    /* in the middle of a frame */
    assert_int_equal(frames[59]->refs, 2); /* the slow one's: nobody else waits */
    spread_from_to(numbered_frame(1000), 0, MEMBERS);
    push_text(1, "own");
    spread_from_to(numbered_frame(1000), 0, MEMBERS);
    assert_true(outbox_has_series(&members[0].outbox));
    turn();
    expect_all_and_nothing_kept();
    spread_text("and it may share again", 0, MEMBERS);
    assert_ptr_equal(slow->outbox.series, members[0].outbox.series);
    turn();
    expect_all_and_nothing_kept();
    assert_int_equal(slow->failures, 0);
}

static void a_series_that_is_full_is_written_and_a_frame_too_big_for_one_goes_alone(void **state)
{
    for (unsigned i = 0; i < 150; i++)
        spread_from_to(numbered_frame(1000), 0, MEMBERS);
    assert_true(outbox_bytes(&members[0].outbox) <= SERIES_BYTES_MAX);
    spread_from_to(numbered_frame(SERIES_BYTES_MAX + 1), 0, MEMBERS);
    spread_from_to(numbered_frame(SERIES_BYTES_MAX), 0, MEMBERS);
    spread_from_to(numbered_frame(1), 0, MEMBERS);
    turn();
    expect_all_and_nothing_kept();
    for (size_t i = 0; i < MEMBERS; i++)
        assert_int_equal(members[i].failures, 0);
}

static void a_broken_socket_fails_alone(void **state)
{
    close(members[2].peer);
    members[2].peer = -1;
    spread_text("one", 0, MEMBERS);
    spread_text("two", 0, MEMBERS);
    turn();
    assert_int_equal(members[2].failures, 1);
    assert_int_equal(members[2].failed_with, ERR_CLOSED);
    spread_text("three", 0, MEMBERS);
    assert_true(outbox_is_empty(&members[2].outbox));
    turn();
    assert_int_equal(members[2].failures, 1);
    buf_clear(&members[2].expected);
    expect_all_and_nothing_kept();
}

static void who_does_not_read_fails_at_its_limit_and_still_gets_its_last_words(void **state)
{
    struct member *slow = &members[4];
    char last[3] = {0};

    slow->outbox.bytes_max = 50 * 1000;
    for (unsigned i = 0; i < 600 && slow->failures == 0; i++) {
        for (unsigned k = 0; k < 60; k++)
            spread_from_to(keep(frame_new(1000)), 4, 5);
        turn();
        assert_true(slow->failures > 0 || slow->outbox.bytes <= slow->outbox.bytes_max);
    }
    assert_int_equal(slow->failures, 1);
    assert_int_equal(slow->failed_with, ERR_LIMIT);
    assert_int_equal(slow->outbox.count, slow->outbox.in_flight);
    outbox_drop(&slow->outbox);
    outbox_push_take(&slow->outbox, frame_of(STR("bye")));
    outbox_seal(&slow->outbox);
    spread_text("too late", 4, 5);
    for (unsigned i = 0; i < 1000 && !outbox_is_empty(&slow->outbox); i++) {
        read_newest(slow, last);
        turn();
    }
    read_newest(slow, last);
    buf_clear(&slow->expected);
    assert_memory_equal(last, "bye", 3);
    expect_all_and_nothing_kept();
}

static void much_in_one_turn_is_no_slow_client(void **state)
{
    for (size_t i = 0; i < MEMBERS; i++)
        members[i].outbox.bytes_max = 1024;
    for (unsigned i = 0; i < 30; i++)
        spread_from_to(numbered_frame(1000), 0, MEMBERS);
    turn();
    expect_all_and_nothing_kept();
    for (size_t i = 0; i < MEMBERS; i++)
        assert_int_equal(members[i].failures, 0);
}

static void what_was_spread_before_a_seal_goes_out_and_nothing_behind_it(void **state)
{
    spread_text("one ", 0, MEMBERS);
    spread_text("two", 0, MEMBERS);
    outbox_seal(&members[0].outbox);
    spread_text("three", 0, MEMBERS);
    buf_drop_front(&members[0].expected, members[0].expected.len);
    buf_add_lit(&members[0].expected, "one two");
    turn();
    expect_all_and_nothing_kept();
}

static void a_drop_forgets_a_series_and_begins_another(void **state)
{
    spread_text("one", 0, MEMBERS);
    outbox_drop(&members[0].outbox);
    assert_true(outbox_is_empty(&members[0].outbox));
    buf_clear(&members[0].expected);
    spread_text("two", 0, MEMBERS);
    turn();
    expect_all_and_nothing_kept();
}

static void an_outbox_may_go_while_it_is_listed(void **state)
{
    spread_text("one", 0, MEMBERS);
    outbox_deinit(&members[0].outbox);
    outbox_deinit(&members[MEMBERS - 1].outbox);
    assert_null(core.outboxes->listed[0]); /* its memory may be gone by the turn's end */
    assert_null(core.outboxes->listed[MEMBERS - 1]);
    buf_clear(&members[0].expected);
    buf_clear(&members[MEMBERS - 1].expected);
    turn();
    expect_all_and_nothing_kept();
}

static void an_outbox_without_a_stream_has_its_frames_to_be_taken(void **state)
{
    struct outbox loose;
    struct frame *f = keep(frame_of(STR("loose")));
    struct spread s;

    outbox_init(&loose, NULL, LIMIT, on_fail);
    spread_begin(&s, core.outboxes, f);
    spread_push(&s, &members[0].outbox);
    spread_push(&s, &loose);
    spread_push(&s, &loose);
    assert_ptr_equal(outbox_take(&loose), f);
    frame_unref(f);
    outbox_deinit(&loose);
    buf_add_lit(&members[0].expected, "loose");
    turn();
    expect_all_and_nothing_kept();
}

/* Channels with some subscribers each, answers in between, readers of every speed. */
static void whatever_happens_every_peer_reads_what_its_outbox_was_given(void **state)
{
    bool subscribed[4][MEMBERS], shared = false, drained = false;
    int small = 4096;

    for (size_t i = 0; i < MEMBERS; i += 3)
        setsockopt(members[i].stream.fd, SOL_SOCKET, SO_SNDBUF, &small, sizeof small);
    for (unsigned c = 0; c < 4; c++) {
        for (size_t i = 0; i < MEMBERS; i++)
            subscribed[c][i] = c == 0 || roll(2) == 0;
    }
    for (unsigned round = 0; round < 300; round++) {
        for (unsigned n = roll(12); n > 0; n--) {
            unsigned channel = roll(4);
            struct frame *f = numbered_frame(1 + roll(roll(20) == 0 ? 70000 : 600));

            struct spread s;

            spread_begin(&s, core.outboxes, f);
            for (size_t i = 0; i < MEMBERS; i++) {
                if (!subscribed[channel][i] || members[i].expected.len > LIMIT / 2)
                    continue;
                spread_push(&s, &members[i].outbox);
                buf_add(&members[i].expected, f->bytes, f->len);
            }
            if (roll(4) == 0)
                push_text(roll(MEMBERS), "{}");
            shared = shared || outbox_has_series(&members[1].outbox);
        }
        turn();
        for (size_t i = 0; i < MEMBERS; i++) {
            drained = drained || members[i].outbox.in_flight > 0;
            for (unsigned reads = roll(i % 3 == 0 ? 2 : 8); reads > 0; reads--)
                read_some(&members[i], 1 + roll(30000));
        }
    }
    assert_true(shared && drained); /* or the test did not test it */
    expect_all_and_nothing_kept();
    for (size_t i = 0; i < MEMBERS; i++)
        assert_int_equal(members[i].failures, 0);
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
#define CASE_OF_RECORDS(name) cmocka_unit_test_setup_teardown(name, set_up_records, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        CASE_OF_RECORDS(what_all_get_in_a_turn_is_one_write_each_at_its_end),
        CASE_OF_RECORDS(who_got_something_else_in_between_keeps_its_order_and_so_do_the_others),
        CASE(a_shared_frame_costs_an_outbox_no_memory_and_no_reference),
        CASE(more_different_series_than_a_spread_remembers_are_kept_apart),
        CASE(a_socket_that_takes_only_a_part_gets_the_rest_later_in_order),
        CASE(a_series_that_is_full_is_written_and_a_frame_too_big_for_one_goes_alone),
        CASE(a_broken_socket_fails_alone),
        CASE(who_does_not_read_fails_at_its_limit_and_still_gets_its_last_words),
        CASE(much_in_one_turn_is_no_slow_client),
        CASE(what_was_spread_before_a_seal_goes_out_and_nothing_behind_it),
        CASE(a_drop_forgets_a_series_and_begins_another),
        CASE(an_outbox_may_go_while_it_is_listed),
        CASE(an_outbox_without_a_stream_has_its_frames_to_be_taken),
        CASE(whatever_happens_every_peer_reads_what_its_outbox_was_given),
    };

    signal(SIGPIPE, SIG_IGN);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
