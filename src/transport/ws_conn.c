/*  open ──close()────────────▶ closing ──peer's close frame──┐
 *   ├────peer's close frame──▶ its echo is queued ──────────┤
 *   ├────protocol error──────▶ a close frame is queued ─────┴▶ discarding
 *   └────end of stream, 3000─▶ gone
 *  discarding ──written──▶ our side is ended ──peer's end, or CLOSE_MS──▶ gone */
#include "transport/ws_conn.h"

#include "base/log.h"
#include "base/mem.h"
#include "base/random.h"
#include "base/utf8.h"
#include "codec/deflate.h"
#include "core/core.h"
#include "transport/server_types.h"

/* From our close frame to the end of TCP, whatever the peer does. */
#define CLOSE_MS 3000

/* Nobody needs more pings and pongs; each costs us an answer or a wake-up. */
#define CONTROLS_PER_SECOND 1000

/* Of an inflated message, when only the limit before inflating is set. */
#define EXPANDED_MAX ((int64_t)1 << 30)

enum { CODE_NORMAL = 3000, CODE_SLOW = 3008, CODE_WRITE_TIMEOUT = 3009, CODE_NO_PONG = 3012 };

struct ws_rare {
    struct conn *conn;
    struct turn_task resume; /* takes what was kept, at the end of a turn */
    char *kept;              /* read, but not looked at since the client paused */
    size_t kept_len;
    struct timer end;      /* of the closing handshake, or of waiting for a full socket */
    struct timer ping;     /* native pings: the next one, or the pong's deadline */
    uint32_t next_ping_ms; /* after that deadline */
    uint16_t full_kib;     /* what the kernel refused when the socket became full */
    bool pong_missing;
};

static const struct transport_ops websocket_ops;
static const struct stream_ops ws_ops;

static const struct settings *settings_of(const struct conn *c)
{
    return core_of(conn_worker(c))->settings;
}

static void on_resume(struct turn_task *task);
static void on_end_timer(struct timer *t);
static void on_ping_timer(struct timer *t);

static struct ws_rare *rare_of(struct conn *c)
{
    struct ws_rare *r = c->rare;

    if (r)
        return r;
    r = mem_zalloc(sizeof *r);
    r->conn = c;
    r->resume.run = on_resume;
    list_init(&r->resume.in_turn);
    r->end = TIMER_INIT(on_end_timer);
    r->ping = TIMER_INIT(on_ping_timer);
    c->rare = r;
    return r;
}

static void rare_free(struct conn *c)
{
    struct ws_rare *r = c->rare;

    if (!r)
        return;
    list_del(&r->resume.in_turn);
    timer_unset(&conn_worker(c)->timers, &r->end);
    timer_unset(&conn_worker(c)->timers, &r->ping);
    mem_free(r->kept);
    mem_free(r);
    c->rare = NULL;
}

/* ---- ending ---- */

/* Tells the client, once, that we are gone. */
static void leave_client(struct conn *c, uint32_t code, struct str reason)
{
    struct client *client = c->client;

    c->client = NULL;
    if (client)
        client_transport_closed(client, code, reason);
}

static void push_close_frame(struct conn *c, uint32_t code, struct str reason)
{
    char bytes[WS_CLOSE_FRAME_MAX];
    size_t n = ws_close_frame(bytes, code, reason);

    c->closing = true;
    outbox_push_take(&c->transport.outbox, frame_of(str_of(bytes, n)));
    outbox_seal(&c->transport.outbox);
    timer_set(&conn_worker(c)->timers, &rare_of(c)->end, conn_worker(c)->now_ms + CLOSE_MS);
}

static void on_written(struct outbox *o)
{
    stream_shutdown(&conn_of_outbox(o)->stream);
}

/* Both sides have said what they had to: ends ours as soon as it is written and waits for the
 * peer's end, so that no reset overtakes the close frame. */
static void end_after_write(struct conn *c)
{
    c->discarding = true;
    ws_input_deinit(&c->input);
    outbox_when_empty(&c->transport.outbox, on_written);
}

/* We cannot go on with this peer. */
static void fail_because(struct conn *c, enum ws_code code, struct str reason)
{
    if (!c->closing)
        push_close_frame(c, code, reason);
    end_after_write(c);
    leave_client(c, CODE_NORMAL, STR_NONE);
}

static void fail(struct conn *c, enum ws_code code)
{
    fail_because(c, code, STR_NONE);
}

static void on_peer_close(struct conn *c, const struct ws_frame *frame)
{
    char reason[WS_REASON_MAX];
    size_t n = frame->payload.len;

    memcpy(reason, frame->payload.ptr ? frame->payload.ptr : "", n);
    if (!c->closing)
        push_close_frame(c, frame->code, STR_NONE);
    end_after_write(c);
    leave_client(c, frame->code, str_of(reason, n));
}

/* Reading goes on, since the peer's close frame must be seen; what was kept is dropped. */
static void read_again(struct conn *c)
{
    c->paused = false;
    if (c->rare) {
        list_del(&c->rare->resume.in_turn);
        mem_free(c->rare->kept);
        c->rare->kept = NULL;
        c->rare->kept_len = 0;
    }
    stream_read_start(&c->stream);
}

static void ws_close(struct transport *t, uint32_t code, struct str reason)
{
    struct conn *c = conn_of_transport(t);

    if (c->closing || c->stream.closing)
        return;
    if (code == CODE_NORMAL) {
        c->closing = true;
        stream_close(&c->stream);
        return;
    }
    if (code == CODE_SLOW || code == CODE_WRITE_TIMEOUT)
        outbox_drop(&t->outbox);
    if (c->paused) {
        /* Bytes are missing in between, so nothing that follows can be understood. */
        bool kept = c->rare && c->rare->kept;

        read_again(c);
        push_close_frame(c, code, reason);
        if (kept)
            end_after_write(c);
        return;
    }
    push_close_frame(c, code, reason);
}

/* ---- pausing ---- */

static void ws_pause(struct transport *t)
{
    struct conn *c = conn_of_transport(t);

    if (c->closing || c->paused)
        return;
    c->paused = true;
    stream_read_stop(&c->stream);
}

static void ws_resume(struct transport *t)
{
    struct conn *c = conn_of_transport(t);

    if (!c->paused || c->closing)
        return;
    c->paused = false;
    if (c->rare && c->rare->kept)
        worker_queue(conn_worker(c), &c->rare->resume); /* the caller must not be entered again */
    else
        stream_read_start(&c->stream);
}

static struct str ws_peer(const struct transport *t, char *out, size_t size)
{
    const struct conn *c = container_of(t, const struct conn, transport);

    return stream_peer(&c->stream, out, size);
}

static const struct transport_ops websocket_ops = {
    .name = "websocket",
    .close = ws_close,
    .peer = ws_peer,
    .pause = ws_pause,
    .resume = ws_resume,
};

/* ---- input ---- */

static bool control_allowed(struct conn *c)
{
    uint16_t second = (uint16_t)(conn_worker(c)->now_ms / 1000);

    if (second != c->second) {
        c->second = second;
        c->controls = 0;
    }
    return ++c->controls <= CONTROLS_PER_SECOND;
}

static void push_control(struct conn *c, enum ws_opcode opcode, struct str payload)
{
    char head[WS_HEADER_MAX];
    size_t n = ws_header(head, opcode, payload.len);
    struct frame *f = frame_new(n + payload.len);

    memcpy(f->bytes, head, n);
    if (payload.len > 0)
        memcpy(f->bytes + n, payload.ptr, payload.len);
    outbox_push_take(&c->transport.outbox, f);
}

static void on_control(struct conn *c, enum ws_event event, struct str payload)
{
    if (!control_allowed(c)) {
        LOG_WITH(LOG_INFO, "connection closed", LOG_Z("cause", "too many control frames"));
        fail(c, WS_CODE_POLICY);
        return;
    }
    if (event == WS_GOT_PING) {
        if (!c->closing)
            push_control(c, WS_PONG, payload);
        return;
    }
    if (c->rare)
        c->rare->pong_missing = false;
    if (c->client)
        client_alive(c->client);
}

static size_t expanded_max(const struct settings *settings)
{
    int64_t limit = settings->websocket_decompressed_message_size_limit;

    if (limit == 0)
        limit = MIN(10 * settings->websocket_message_size_limit, EXPANDED_MAX);
    return (size_t)limit;
}

static void on_compressed(struct conn *c, const struct ws_frame *frame)
{
    struct core *core = core_of(conn_worker(c));
    struct buf message = BUF_INIT(expanded_max(core->settings));
    enum err err = deflate_expand(core->deflate, frame->payload, &message);

    if (err == ERR_LIMIT) {
        LOG_WITH(LOG_INFO, "connection closed", LOG_Z("cause", "message too big after inflating"),
                 LOG_Z("option", "websocket.decompressed_message_size_limit"));
        fail_because(c, WS_CODE_TOO_BIG, STR("message too big after decompression"));
    } else if (err != OK || (frame->opcode == WS_TEXT && !utf8_valid(buf_str(&message)))) {
        fail(c, WS_CODE_INVALID);
    } else {
        client_receive(c->client, buf_str(&message));
    }
    buf_deinit(&message);
}

static void on_message(struct conn *c, const struct ws_frame *frame)
{
    if (c->closing || !c->client)
        return;
    if (frame->compressed)
        on_compressed(c, frame);
    else
        client_receive(c->client, frame->payload);
}

/* The client paused: what is left of this read waits for resume. */
static void keep(struct conn *c, const char *bytes, size_t n)
{
    struct ws_rare *r;

    if (n == 0)
        return;
    r = rare_of(c);
    CHECK(!r->kept);
    r->kept = mem_dup(bytes, n);
    r->kept_len = n;
}

static void take(struct conn *c, char *bytes, size_t n)
{
    struct ws_terms terms = {
        .message_max = (size_t)settings_of(c)->websocket_message_size_limit,
        .deflate = kind_deflates(c->transport.kind),
    };
    struct ws_frame frame;

    while (!c->discarding && !c->stream.closing) {
        enum ws_event event;

        if (c->paused) {
            keep(c, bytes, n);
            return;
        }
        event = ws_next(&c->input, &terms, &bytes, &n, &frame);
        switch (event) {
        case WS_MORE:
            return;
        case WS_GOT_MESSAGE:
            on_message(c, &frame);
            break;
        case WS_GOT_PING:
        case WS_GOT_PONG:
            on_control(c, event, frame.payload);
            break;
        case WS_GOT_CLOSE:
            on_peer_close(c, &frame);
            break;
        case WS_FAILED:
            fail(c, frame.code);
            break;
        }
    }
}

static void on_data(struct stream *s, char *bytes, size_t n)
{
    take(conn_of_stream(s), bytes, n);
}

static void on_resume(struct turn_task *task)
{
    struct ws_rare *r = container_of(task, struct ws_rare, resume);
    struct conn *c = r->conn;
    char *kept = r->kept;
    size_t n = r->kept_len;

    if (c->paused || c->stream.closing)
        return;
    r->kept = NULL;
    r->kept_len = 0;
    take(c, kept, n);
    mem_free(kept);
    if (!c->paused)
        stream_read_start(&c->stream);
}

/* ---- native pings ---- */

/* The interval runs from ping to ping, the deadline for the pong from the ping. */
static void on_ping_timer(struct timer *t)
{
    struct ws_rare *r = container_of(t, struct ws_rare, ping);
    struct conn *c = r->conn;
    const struct settings *settings = settings_of(c);
    struct worker *w = conn_worker(c);
    uint32_t interval = (uint32_t)settings->client_ping_interval_ms;
    uint32_t timeout = (uint32_t)settings->client_pong_timeout_ms;

    if (c->closing || c->stream.closing)
        return;
    if (r->next_ping_ms > 0) { /* this was the pong's deadline */
        uint32_t rest = r->next_ping_ms;

        r->next_ping_ms = 0;
        if (r->pong_missing)
            ws_close(&c->transport, CODE_NO_PONG, STR("no pong"));
        else
            timer_set(&w->timers, t, w->now_ms + rest);
        return;
    }
    push_control(c, WS_PING, STR_NONE);
    r->pong_missing = timeout > 0;
    if (timeout > 0 && timeout < interval) {
        r->next_ping_ms = interval - timeout;
        timer_set(&w->timers, t, w->now_ms + timeout);
    } else {
        timer_set(&w->timers, t, w->now_ms + interval);
    }
}

/* The first ping comes after half an interval at least, at random, so that those who came together
 * are not pinged together. */
static void start_pings(struct conn *c)
{
    uint64_t interval = (uint64_t)settings_of(c)->client_ping_interval_ms;
    struct worker *w = conn_worker(c);

    if (interval > 0)
        timer_set(&w->timers, &rare_of(c)->ping,
                  w->now_ms + interval / 2 + random_u64() % (interval / 2 + 1));
}

/* ---- output ---- */

static uint16_t queued_kib(const struct conn *c)
{
    size_t bytes = stream_undrained(&c->stream) + outbox_bytes(&c->transport.outbox);

    return (uint16_t)MIN(bytes >> 10, (size_t)UINT16_MAX);
}

static void watch_write(struct conn *c)
{
    struct worker *w = conn_worker(c);
    struct ws_rare *r = rare_of(c);

    r->full_kib = queued_kib(c);
    timer_set(&w->timers, &r->end,
              w->now_ms + (uint64_t)settings_of(c)->websocket_write_timeout_ms);
}

static void on_full(struct stream *s)
{
    struct conn *c = conn_of_stream(s);

    if (!c->closing)
        watch_write(c);
}

static void on_drained(struct stream *s)
{
    struct conn *c = conn_of_stream(s);

    if (!c->closing)
        timer_unset(&conn_worker(c)->timers, &rare_of(c)->end);
    outbox_drained(&c->transport.outbox);
}

static void on_fail(struct outbox *o, enum err why)
{
    struct conn *c = conn_of_outbox(o);

    if (c->client && !c->closing)
        client_write_failed(c->client, why);
    if (why == ERR_CLOSED || !c->client)
        stream_close(&c->stream);
}

/* Either nothing could be written for too long, or the closing handshake did not end in time. */
static void on_end_timer(struct timer *t)
{
    struct ws_rare *r = container_of(t, struct ws_rare, end);
    struct conn *c = r->conn;

    if (c->closing) {
        stream_close(&c->stream);
        return;
    }
    if (!stream_is_draining(&c->stream))
        return;
    if (queued_kib(c) < r->full_kib)
        watch_write(c);
    else
        on_fail(&c->transport.outbox, ERR_EXPIRED);
}

/* ---- beginning and end ---- */

static void on_end(struct stream *s)
{
    struct conn *c = conn_of_stream(s);

    c->closing = true;
    stream_close(s);
    leave_client(c, CODE_NORMAL, STR_NONE);
}

static void on_closed(struct stream *s)
{
    struct conn *c = conn_of_stream(s);
    struct worker *w = conn_worker(c);

    leave_client(c, CODE_NORMAL, STR_NONE);
    rare_free(c);
    ws_input_deinit(&c->input);
    outbox_deinit(&c->transport.outbox);
    mem_free(c);
    server_leave(core_of(w)->server);
}

static const struct stream_ops ws_ops = {
    .on_data = on_data,
    .on_full = on_full,
    .on_drained = on_drained,
    .on_end = on_end,
    .on_closed = on_closed,
};

void ws_conn_begin(struct conn *c, enum kind kind, bool native_ping,
                   const struct transport_request *request)
{
    struct core *core = core_of(conn_worker(c));
    struct transport *t = &c->transport;

    t->ops = &websocket_ops;
    t->kind = kind;
    t->native_ping = native_ping;
    t->outbox.bytes_max = (size_t)core->settings->client_queue_max_size;
    t->outbox.on_fail = on_fail;
    c->stream.ops = &ws_ops;
    if (native_ping)
        start_pings(c);
    c->client = client_new(core, t, request);
}
