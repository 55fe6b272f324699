#include "transport/http_conn.h"

#include "base/log.h"
#include "base/mem.h"
#include "transport/server_types.h"

/* Deadlines, in the order of a request's life. */
#define FIRST_MS 10000  /* from accept to the end of the first head */
#define HEAD_MS 10000   /* from a head's first byte to its end */
#define BODY_MS 30000   /* from the head's end to the body's */
#define ANSWER_MS 30000 /* without any progress of the write while there is something to write */
#define IDLE_MS 75000   /* between requests */
#define LINGER_MS 2000  /* between our last byte and the peer's end */

/* A client that sends requests but reads no answers: from here on nothing is read from it … */
#define UNREAD_MAX (1u << 20)
/* … and here, which only answers under way can reach, it is given up. */
#define OUTBOX_MAX ((size_t)64 << 20)

/* Bodies for nobody are read so that the answer can be 404 and not a reset. */
#define UNKNOWN_BODY_MAX 65536

/* No head of an answer that may be gathered is longer. */
#define GATHERED_HEAD 512

enum wait { WAIT_FIRST, WAIT_HEAD, WAIT_BODY, WAIT_ANSWER, WAIT_IDLE, WAIT_LINGER };

static const struct stream_ops http_ops;

static void http_free(struct http_conn *h)
{
    list_del(&h->in_server);
    list_del(&h->resume.in_turn);
    timer_unset(&h->server->core->worker->timers, &h->timer);
    server_give_parser(h->server, h->parser);
    mem_free(h->kept);
    mem_free(h);
}

/* ---- deadlines ---- */

/* A deadline for what is already waited for stays, so that a byte now and then does not move it. */
static void wait_for(struct http_conn *h, enum wait wait)
{
    static const uint32_t ms[] = {
        [WAIT_FIRST] = FIRST_MS,   [WAIT_HEAD] = HEAD_MS, [WAIT_BODY] = BODY_MS,
        [WAIT_ANSWER] = ANSWER_MS, [WAIT_IDLE] = IDLE_MS, [WAIT_LINGER] = LINGER_MS,
    };
    struct worker *w = conn_worker(h->conn);
    bool fresh = wait != h->wait || wait == WAIT_IDLE;

    if (!fresh && h->due_ms != 0)
        return;
    h->wait = wait;
    h->due_ms = w->now_ms + ms[wait];
    if (!timer_is_set(&h->timer) || h->timer.due_ms > h->due_ms)
        timer_set(&w->timers, &h->timer, h->due_ms);
}

static void wait_for_next(struct http_conn *h)
{
    if (h->wait == WAIT_LINGER)
        return;
    if (h->parser && !h->last) {
        if (http_parser_in_body(h->parser))
            wait_for(h, WAIT_BODY);
        else if (h->wait != WAIT_FIRST)
            wait_for(h, WAIT_HEAD);
    } else if (h->in_flight > 0 || !outbox_is_empty(&h->conn->transport.outbox)) {
        wait_for(h, WAIT_ANSWER);
    } else {
        wait_for(h, WAIT_IDLE);
    }
}

/* ---- writing ---- */

static void on_written(struct outbox *o)
{
    struct conn *c = conn_of_outbox(o);

    if (!c->http->last || c->http->in_flight > 0)
        return;
    if (c->stream.ended) {
        stream_close(&c->stream);
        return;
    }
    /* Closing now would answer bytes still under way with a reset, which can overtake the answer.
     */
    stream_shutdown(&c->stream);
    wait_for(c->http, WAIT_LINGER);
}

static bool may_take(const struct http_conn *h)
{
    return h->in_flight < PIPELINE_MAX && outbox_bytes(&h->conn->transport.outbox) < UNREAD_MAX;
}

static void on_room(struct outbox *o)
{
    struct http_conn *h = conn_of_outbox(o)->http;

    if (h->last)
        on_written(o);
    else if (h->conn->paused)
        worker_queue(conn_worker(h->conn), &h->resume);
}

bool http_conn_gathers(const struct exchange *x, size_t body_len)
{
    const struct server *s = x->server;

    return s->gathering == x->conn && x->conn->http->exchanges.next == &x->in_conn &&
           s->gathered.len + body_len + GATHERED_HEAD <= GATHERED_MAX;
}

void http_conn_flush(struct conn *c)
{
    struct server *s = c->http->server;

    if (s->gathering != c || s->gathered.len == 0)
        return;
    outbox_push_take(&c->transport.outbox, frame_of(buf_str(&s->gathered)));
    buf_clear(&s->gathered);
}

/* What stands in front of the oldest unanswered request is queued; looks at what comes next. */
static void after_answer(struct conn *c)
{
    struct http_conn *h = c->http;

    if (h->last && h->in_flight == 0)
        outbox_when_empty(&c->transport.outbox, on_room);
    else if (c->paused && may_take(h))
        worker_queue(conn_worker(c), &h->resume);
    if (h->server->gathering != c) /* else when all is taken */
        wait_for_next(h);
}

void http_conn_answered(struct conn *c)
{
    struct http_conn *h = c->http;

    while (!list_empty(&h->exchanges) && !c->stream.closing) {
        struct exchange *x = container_of(h->exchanges.next, struct exchange, in_conn);

        if (!x->response)
            break;
        http_conn_flush(c);
        list_del(&x->in_conn);
        h->in_flight--;
        outbox_push_take(&c->transport.outbox, x->response);
        exchange_free(x);
    }
    if (!c->stream.closing)
        after_answer(c);
}

void http_conn_gathered(struct exchange *x)
{
    struct conn *c = x->conn;

    list_del(&x->in_conn);
    c->http->in_flight--;
    exchange_free(x);
    http_conn_answered(c); /* others may have been ready behind it */
}

static void on_fail(struct outbox *o, enum err why)
{
    stream_close(&conn_of_outbox(o)->stream);
}

/* ---- reading ---- */

static struct exchange *begin(struct http_conn *h, const struct http_request *req)
{
    struct exchange *x = exchange_new(h->server);

    x->conn = h->conn;
    if (req) {
        x->keep_alive = req->keep_alive && !h->server->draining;
        x->http10 = req->minor == 0;
        x->head_only = req->method == HTTP_METHOD_HEAD;
        x->upgrade = req->upgrade && ws_list_has(exchange_header(req, "upgrade"), STR("websocket"));
    }
    if (!x->keep_alive)
        h->last = true;
    list_add_tail(&h->exchanges, &x->in_conn);
    h->in_flight++;
    return x;
}

/* Answers with status, behind what is in flight, and ends the connection. */
static void refuse(struct http_conn *h, unsigned status)
{
    exchange_refuse(begin(h, NULL), status);
}

static void dispatch(struct http_conn *h, const struct http_request *req, const struct route *route)
{
    struct exchange *x = begin(h, req);

    if (!route)
        exchange_refuse(x, 404);
    else if (!(route->methods & req->method))
        exchange_refuse(x, 405);
    else if (x->upgrade && !route->upgrades)
        exchange_refuse(x, 400);
    else
        route->fn(x, req, route->arg);
}

/* Where the request goes. */
static const struct route *on_head(struct http_conn *h)
{
    const struct http_request *req = http_parser_request(h->parser);
    const struct route *route = server_route(h->server, req->path);

    http_parser_body_max(h->parser,
                         route ? MAX(route->body_max, UNKNOWN_BODY_MAX) : UNKNOWN_BODY_MAX);
    /* Between other answers it would be taken for one; then the client's own timeout helps. */
    if (req->expect_continue && h->in_flight == 0) {
        http_conn_flush(h->conn);
        outbox_push_take(&h->conn->transport.outbox,
                         frame_of(STR("HTTP/1.1 100 Continue\r\n\r\n")));
    }
    return route;
}

/* Too much is in flight: what was read waits, and nothing more is read. */
static void keep(struct http_conn *h, const char *bytes, size_t n)
{
    CHECK(!h->kept);
    h->kept = n > 0 ? mem_dup(bytes, n) : NULL;
    h->kept_len = n;
    if (!h->conn->paused)
        stream_read_stop(&h->conn->stream);
    h->conn->paused = true;
    if (h->in_flight < PIPELINE_MAX)
        outbox_when_empty(&h->conn->transport.outbox, on_room);
}

/* A whole request is in the parser. route: where on_head saw it go just now; NULL: its head came in
 * an earlier turn. False: this is no HTTP connection any more. */
static bool take_request(struct conn *c, const struct route *route)
{
    struct server *s = c->http->server;
    struct http_parser *p = c->http->parser;
    const struct http_request *req = http_parser_request(p);

    c->http->parser = NULL; /* the handler may end or upgrade the connection */
    dispatch(c->http, req, route ? route : server_route(s, req->path));
    server_give_parser(s, p);
    return c->stream.ops == &http_ops && !c->stream.closing;
}

static void take_all(struct conn *c, char *bytes, size_t n)
{
    struct http_conn *h = c->http;

    while (n > 0 && !h->last) {
        const struct route *route = NULL;
        enum http_event event;

        if (!h->parser && !may_take(h)) {
            http_conn_flush(c);
            keep(h, bytes, n);
            return;
        }
        if (!h->parser)
            h->parser = server_take_parser(h->server);
        event = http_next(h->parser, &bytes, &n);
        if (event == HTTP_GOT_HEAD) {
            route = on_head(h);
            event = http_next(h->parser, &bytes, &n);
        }
        if (event == HTTP_GOT_REQUEST && !take_request(c, route)) {
            if (n > 0 && !c->stream.closing)
                c->stream.ops->on_data(&c->stream, bytes, n);
            return;
        }
        if (event == HTTP_FAILED)
            refuse(h, http_parser_status(h->parser));
    }
    if (h->parser && !h->last && http_parser_is_idle(h->parser)) {
        server_give_parser(h->server, h->parser);
        h->parser = NULL;
    }
    http_conn_flush(c);
    wait_for_next(h);
}

/* Takes the requests that stand in bytes, and their answers that come at once as one frame. */
static void take(struct conn *c, char *bytes, size_t n)
{
    struct server *s = c->http->server;

    s->gathering = c;
    take_all(c, bytes, n);
    s->gathering = NULL;
    buf_clear(&s->gathered); /* of a connection that closes */
}

static void on_data(struct stream *s, char *bytes, size_t n)
{
    struct conn *c = conn_of_stream(s);

    if (!c->http->last)
        take(c, bytes, n);
}

static void on_resume(struct turn_task *task)
{
    struct http_conn *h = container_of(task, struct http_conn, resume);
    struct conn *c = h->conn;
    char *kept = h->kept;
    size_t n = h->kept_len;

    if (c->stream.closing || !c->paused || !may_take(h))
        return;
    h->kept = NULL;
    h->kept_len = 0;
    c->paused = false;
    take(c, kept, n);
    mem_free(kept);
    if (!c->paused) /* also if it is a WebSocket by now */
        stream_read_start(&c->stream);
}

/* ---- ends ---- */

static void on_timer(struct timer *t)
{
    struct http_conn *h = container_of(t, struct http_conn, timer);
    struct conn *c = h->conn;
    struct worker *w = conn_worker(c);
    size_t progress;

    if (c->stream.closing)
        return;
    if (w->now_ms < h->due_ms) {
        timer_set(&w->timers, t, h->due_ms);
        return;
    }
    if (h->wait == WAIT_ANSWER) {
        progress = outbox_bytes(&c->transport.outbox) + stream_undrained(&c->stream);
        if (outbox_is_empty(&c->transport.outbox) || progress != h->progress) {
            h->progress = progress;
            h->due_ms = 0;
            wait_for_next(h);
            return;
        }
    }
    if (h->parser && !h->last &&
        (h->wait == WAIT_HEAD || h->wait == WAIT_BODY || h->wait == WAIT_FIRST))
        refuse(h, 408);
    else
        stream_close(&c->stream);
}

void http_conn_finish(struct http_conn *h)
{
    struct conn *c = h->conn;

    h->last = true;
    if (h->in_flight > 0)
        return;
    if (outbox_is_empty(&c->transport.outbox))
        stream_close(&c->stream);
    else
        outbox_when_empty(&c->transport.outbox, on_room);
}

/* The peer may have ended only its own side and still wait for answers. */
static void on_end(struct stream *s)
{
    http_conn_finish(conn_of_stream(s)->http);
}

static void on_drained(struct stream *s)
{
    outbox_drained(&conn_of_stream(s)->transport.outbox);
}

static void on_closed(struct stream *s)
{
    struct conn *c = conn_of_stream(s);
    struct http_conn *h = c->http;
    struct server *server = h->server;

    list_each_safe (&h->exchanges, it) {
        struct exchange *x = container_of(it, struct exchange, in_conn);

        list_del(it);
        x->conn = NULL;
        if (x->response) {
            frame_unref(x->response);
            exchange_free(x);
        }
    }
    http_free(h);
    outbox_deinit(&c->transport.outbox);
    mem_free(c);
    server_leave(server);
}

static const struct stream_ops http_ops = {
    .on_data = on_data,
    .on_drained = on_drained,
    .on_end = on_end,
    .on_closed = on_closed,
};

void http_conn_leave(struct conn *c)
{
    struct http_conn *h = c->http;

    http_conn_flush(c);
    if (h->server->gathering == c)
        h->server->gathering = NULL;
    c->transport.outbox.on_empty = NULL;
    c->client = NULL; /* in the place of http */
    http_free(h);
}

void http_conn_accept(struct server *s, int fd)
{
    struct conn *c = mem_zalloc(sizeof *c);
    struct http_conn *h = mem_zalloc(sizeof *h);

    h->conn = c;
    h->server = s;
    h->wait = WAIT_FIRST;
    list_init(&h->exchanges);
    list_add_tail(&s->https, &h->in_server);
    list_init(&h->resume.in_turn);
    h->resume.run = on_resume;
    c->http = h;
    h->timer = TIMER_INIT(on_timer);
    server_enter(s);
    outbox_init(&c->transport.outbox, &c->stream, OUTBOX_MAX, on_fail);
    stream_accept(&c->stream, s->core->worker, fd, &http_ops);
    wait_for(h, WAIT_FIRST);
    stream_read_start(&c->stream);
}
