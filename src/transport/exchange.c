#include "transport/exchange.h"

#include "base/check.h"
#include "transport/http_conn.h"
#include "transport/server_types.h"

/* One is kept: what is answered at once needs no second one. */
struct exchange *exchange_new(struct server *server)
{
    struct exchange *x = server->spare_exchange ? server->spare_exchange : mem_alloc(sizeof *x);

    server->spare_exchange = NULL;
    *x = (struct exchange){.server = server};
    return x;
}

void exchange_free(struct exchange *x)
{
    if (x->server->spare_exchange)
        mem_free(x);
    else
        x->server->spare_exchange = x;
}

/* The last answer of a connection says so, unless the client asked for it itself. */
static bool closes(const struct exchange *x)
{
    const struct http_conn *h = x->conn->http;

    if (!x->keep_alive || x->upgrade)
        return true;
    return h->last && h->exchanges.prev == &x->in_conn;
}

/* Answers of an API look alike, so the head of the last one mostly does for the next. */
static void gather_head(struct server *s, const struct http_response *r)
{
    if (r->status != 200 || r->close || r->http10 || !str_eq(r->type, STR("application/json"))) {
        http_add_head(&s->gathered, r);
        return;
    }
    if (s->usual_length != r->length || s->usual_s != s->date_s || s->usual_head.len == 0) {
        buf_clear(&s->usual_head);
        http_add_head(&s->usual_head, r);
        s->usual_length = r->length;
        s->usual_s = s->date_s;
    }
    buf_add_str(&s->gathered, buf_str(&s->usual_head));
}

void exchange_respond_headers(struct exchange *x, unsigned status, struct str content_type,
                              struct str body, const struct http_header *extra, size_t extra_count)
{
    struct buf *head = &x->server->head;
    struct http_response response = {
        .status = status,
        .type = content_type,
        .length = body.len,
        .http10 = x->http10,
        .extra = extra,
        .extra_count = extra_count,
    };

    CHECK(!x->response);
    if (exchange_is_dead(x)) {
        exchange_free(x);
        return;
    }
    response.close = closes(x);
    if (response.close)
        x->conn->http->last = true;
    response.date = server_date(x->server);
    if (extra_count == 0 && http_conn_gathers(x, body.len)) {
        gather_head(x->server, &response);
        buf_add_str(&x->server->gathered, x->head_only ? STR_NONE : body);
        http_conn_gathered(x);
        return;
    }
    buf_clear(head);
    http_add_head(head, &response);
    if (head->overflow) { /* headers from outside that do not fit are not sent at all */
        response.extra_count = 0;
        buf_clear(head);
        http_add_head(head, &response);
    }
    if (x->head_only)
        body = STR_NONE;
    x->response = frame_new(head->len + body.len);
    memcpy(x->response->bytes, head->ptr, head->len);
    if (body.len > 0)
        memcpy(x->response->bytes + head->len, body.ptr, body.len);
    http_conn_answered(x->conn);
}

void exchange_respond(struct exchange *x, unsigned status, struct str content_type, struct str body)
{
    exchange_respond_headers(x, status, content_type, body, NULL, 0);
}

void exchange_refuse(struct exchange *x, unsigned status)
{
    exchange_respond(x, status, STR("text/plain; charset=utf-8"), str_from(http_reason(status)));
}

struct core *exchange_core(const struct exchange *x)
{
    return x->server->core;
}

struct str exchange_peer(const struct exchange *x, char *out, size_t size)
{
    return x->conn ? stream_peer(&x->conn->stream, out, size) : STR_NONE;
}

bool exchange_may_upgrade(const struct exchange *x)
{
    const struct http_conn *h = x->conn ? x->conn->http : NULL;

    return h && !h->last && h->in_flight == 1 && h->exchanges.next == &x->in_conn;
}

struct conn *exchange_upgrade(struct exchange *x, struct frame *response)
{
    struct conn *c = x->conn;

    CHECK(exchange_may_upgrade(x));
    list_del(&x->in_conn);
    exchange_free(x);
    http_conn_leave(c);
    outbox_push_take(&c->transport.outbox, response);
    return c;
}
