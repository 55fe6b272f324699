#include "core/http_client.h"

#include "base/check.h"
#include "base/list.h"
#include "base/map.h"
#include "base/mem.h"
#include "codec/http_reply.h"
#include "codec/url.h"
#include "core/http_link.h"

#define LINKS_PER_ORIGIN 64
#define WAITING_PER_ORIGIN 4096
#define IDLE_PER_ORIGIN 16
/* Shorter than the 5 s of common servers, so that we rarely send into a closing connection. */
#define IDLE_MS 4000
#define TIMEOUT_MS 10000
#define CONNECT_TIMEOUT_MS 5000
#define ANSWER_MAX ((size_t)1 << 20)
#define REQUEST_HEAD_MAX ((size_t)64 << 10)

struct http_client {
    struct worker *worker;
    struct tls_context *tls; /* NULL until the first https URL */
    struct map origins;
    struct list calls;
    bool closing;
};

/* Scheme, host and port. Exists while it has connections or somebody waits for one. */
struct origin {
    struct map_node node;
    struct http_client *client;
    struct list idle;    /* struct pooled, the latest last */
    struct list waiting; /* struct http_call, without a connection */
    size_t links, idle_count, waiting_count;
    char key[];
};

/* A connection and what the pool knows of it. */
struct pooled {
    struct http_link *link;
    struct origin *origin;
    struct http_call *call; /* NULL: idle */
    struct list in_idle;
    struct timer timer; /* connecting: too late; idle: too long */
    bool reused;
};

struct http_call {
    struct http_client *client;
    struct list in_calls, in_waiting;
    struct turn_task start;
    struct timer deadline;
    struct origin *origin;
    struct pooled *pooled;
    struct str url_text; /* owned; url points into it */
    struct url url;
    struct buf request;
    uint64_t connect_timeout_ms;
    size_t body_max;
    enum err err; /* it fails when it starts */
    const char *problem;
    bool to_head, idempotent, retried;
    http_call_fn *fn;
    http_part_fn *on_part;
    void *arg;
};

/* --- calls end ------------------------------------------------------------------------------- */

static void client_free(struct http_client *hc)
{
    CHECK(hc->origins.count == 0);
    map_deinit(&hc->origins);
    tls_context_free(hc->tls);
    mem_free(hc);
}

static void leave_waiting(struct http_call *call)
{
    if (list_empty(&call->in_waiting))
        return;
    list_del(&call->in_waiting);
    call->origin->waiting_count--;
}

static void call_free(struct http_call *call)
{
    struct http_client *hc = call->client;

    leave_waiting(call);
    list_del(&call->start.in_turn);
    list_del(&call->in_calls);
    timer_unset(&hc->worker->timers, &call->deadline);
    str_free(&call->url_text);
    buf_deinit(&call->request);
    mem_free(call);
    if (hc->closing && list_empty(&hc->calls))
        client_free(hc);
}

static void answer_error(struct http_call *call, enum err err, const char *problem)
{
    call->fn(call->arg, &(struct http_call_answer){.err = err, .problem = problem});
    call_free(call);
}

/* --- the pool -------------------------------------------------------------------------------- */

static void origin_drop_if_unused(struct origin *o)
{
    if (o->links > 0 || o->waiting_count > 0)
        return;
    map_del(&o->client->origins, &o->node);
    mem_free(o);
}

/* Somebody's turn: a connection is free, or there is room for a new one. */
static void origin_next(struct origin *o)
{
    if (o->waiting_count > 0) {
        struct http_call *call = container_of(o->waiting.next, struct http_call, in_waiting);

        leave_waiting(call);
        call->origin = NULL;
        worker_queue(o->client->worker, &call->start);
    }
    origin_drop_if_unused(o);
}

static void leave_idle(struct pooled *p)
{
    if (list_empty(&p->in_idle))
        return;
    list_del(&p->in_idle);
    p->origin->idle_count--;
}

/* The link is closed already, or closes now. */
static void pooled_drop(struct pooled *p)
{
    struct origin *o = p->origin;

    http_link_close(p->link);
    timer_unset(&o->client->worker->timers, &p->timer);
    leave_idle(p);
    mem_free(p);
    o->links--;
    origin_next(o);
}

static void pooled_idle(struct pooled *p)
{
    struct origin *o = p->origin;
    struct worker *w = o->client->worker;

    if (o->client->closing || o->idle_count == IDLE_PER_ORIGIN) {
        pooled_drop(p);
        return;
    }
    p->reused = true;
    list_add_tail(&o->idle, &p->in_idle);
    o->idle_count++;
    timer_set(&w->timers, &p->timer, w->now_ms + IDLE_MS);
    if (o->waiting_count > 0)
        origin_next(o);
}

static void pooled_send(struct pooled *p, struct http_call *call)
{
    p->call = call;
    call->pooled = p;
    timer_unset(&call->client->worker->timers, &p->timer);
    http_link_send(p->link, buf_str(&call->request),
                   http_reply_parser_new(call->body_max, call->to_head));
}

static void on_ready(void *owner)
{
    struct pooled *p = owner;

    CHECK(p->call); /* a call that goes takes its connection along */
    pooled_send(p, p->call);
}

static void on_reply(void *owner, struct http_reply_parser *parser, bool reusable)
{
    struct pooled *p = owner;
    struct http_call *call = p->call;
    const struct http_reply *reply = http_reply_get(parser);

    p->call = NULL;
    call->pooled = NULL;
    if (reusable)
        pooled_idle(p);
    else
        pooled_drop(p);
    call->fn(call->arg, &(struct http_call_answer){.status = reply->status,
                                                   .headers = reply->headers,
                                                   .header_count = reply->header_count,
                                                   .body = reply->body});
    call_free(call);
    http_reply_parser_free(parser);
}

/* A kept connection may end just as it is used again: that is no answer to this request, which is
 * sent once more if sending it twice does no harm. */
static void on_failed(void *owner, const char *why, bool begun)
{
    struct pooled *p = owner;
    struct http_call *call = p->call;
    bool again = call && p->reused && !begun && call->idempotent && !call->retried;

    if (call)
        call->pooled = NULL;
    pooled_drop(p);
    if (again) {
        call->retried = true;
        worker_queue(call->client->worker, &call->start);
    } else if (call) {
        answer_error(call, ERR_IO, why);
    }
}

static void on_part(void *owner, struct str body)
{
    struct http_call *call = ((struct pooled *)owner)->call;

    if (call->on_part)
        call->on_part(call->arg, body);
}

static const struct http_link_ops link_ops = {on_ready, on_part, on_reply, on_failed};

static void on_pool_timer(struct timer *t)
{
    struct pooled *p = container_of(t, struct pooled, timer);
    struct http_call *call = p->call;

    if (call)
        call->pooled = NULL;
    pooled_drop(p);
    if (call)
        answer_error(call, ERR_EXPIRED, "the connection took too long to set up");
}

static void pooled_open(struct origin *o, struct http_call *call)
{
    struct pooled *p = mem_zalloc(sizeof *p);
    struct http_client *hc = o->client;

    if (call->url.tls && hc->tls == NULL)
        hc->tls = tls_context_new_client();
    p->origin = o;
    p->call = call;
    call->pooled = p;
    list_init(&p->in_idle);
    p->timer = TIMER_INIT(on_pool_timer);
    timer_set(&hc->worker->timers, &p->timer, hc->worker->now_ms + call->connect_timeout_ms);
    o->links++;
    p->link = http_link_open(hc->worker, &call->url, call->url.tls ? hc->tls : NULL, &link_ops, p);
}

static struct origin *origin_of(struct http_client *hc, const struct url *url)
{
    struct buf key = BUF_INIT(URL_HOST_MAX + 32);
    struct map_node *node;
    struct origin *o;

    buf_printf(&key, "%d %.*s %u", url->tls, STR_ARGS(url->host), url->port);
    for (size_t i = 0; i < key.len; i++)
        key.ptr[i] =
            (char)(key.ptr[i] >= 'A' && key.ptr[i] <= 'Z' ? key.ptr[i] | 0x20 : key.ptr[i]);
    node = map_get(&hc->origins, buf_str(&key));
    if (node) {
        o = container_of(node, struct origin, node);
    } else {
        o = mem_zalloc(sizeof *o + key.len);
        o->client = hc;
        list_init(&o->idle);
        list_init(&o->waiting);
        memcpy(o->key, key.ptr, key.len);
        map_add(&hc->origins, &o->node, str_of(o->key, key.len));
    }
    buf_deinit(&key);
    return o;
}

/* --- calls begin ----------------------------------------------------------------------------- */

static void on_start(struct turn_task *task)
{
    struct http_call *call = container_of(task, struct http_call, start);
    struct origin *o;

    if (call->err != OK) {
        answer_error(call, call->err, call->problem);
        return;
    }
    o = origin_of(call->client, &call->url);
    if (!list_empty(&o->idle)) {
        struct pooled *p = container_of(o->idle.prev, struct pooled, in_idle);

        leave_idle(p);
        pooled_send(p, call);
    } else if (o->links < LINKS_PER_ORIGIN) {
        pooled_open(o, call);
    } else if (o->waiting_count < WAITING_PER_ORIGIN) {
        call->origin = o;
        list_add_tail(&o->waiting, &call->in_waiting);
        o->waiting_count++;
    } else {
        answer_error(call, ERR_LIMIT, "too many requests wait for this server");
    }
}

/* Takes it off its connection, which cannot carry another one then. */
static void detach(struct http_call *call)
{
    struct pooled *p = call->pooled;

    if (p) {
        call->pooled = NULL;
        p->call = NULL;
        pooled_drop(p);
    } else if (!list_empty(&call->in_waiting)) {
        leave_waiting(call);
        origin_drop_if_unused(call->origin);
    }
}

static void on_deadline(struct timer *t)
{
    struct http_call *call = container_of(t, struct http_call, deadline);

    detach(call);
    answer_error(call, ERR_EXPIRED, "no complete answer within the time-out");
}

void http_call_cancel(struct http_call *call)
{
    detach(call);
    call_free(call);
}

/* --- the request's text ---------------------------------------------------------------------- */

static bool is_token(struct str s)
{
    static const char marks[] = "!#$%&'*+-.^_`|~";

    for (size_t i = 0; i < s.len; i++) {
        char c = s.ptr[i];

        if (!((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
              (c != '\0' && strchr(marks, c))))
            return false;
    }
    return s.len > 0;
}

static bool is_field_value(struct str s)
{
    for (size_t i = 0; i < s.len; i++) {
        unsigned char c = (unsigned char)s.ptr[i];

        if ((c < 0x20 && c != '\t') || c == 0x7f)
            return false;
    }
    return true;
}

/* Those that frame the message or belong to the connection are ours. */
static bool is_ours(struct str name)
{
    static const char *const names[] = {
        "host",    "connection",        "content-length", "keep-alive", "te",
        "trailer", "transfer-encoding", "upgrade",        "expect",     "proxy-connection"};

    for (size_t i = 0; i < ARRAY_LEN(names); i++) {
        if (str_eq_nocase(name, str_from(names[i])))
            return true;
    }
    return false;
}

static const char *add_headers(struct buf *out, const struct http_call_request *r)
{
    bool has_agent = false;

    if (r->header_count > HTTP_CLIENT_REQUEST_HEADERS_MAX)
        return "too many headers";
    for (size_t i = 0; i < r->header_count; i++) {
        struct str name = r->headers[i].name;

        if (!is_token(name) || !is_field_value(r->headers[i].value))
            return "a header has bytes that it may not have";
        if (is_ours(name))
            return "a header that only the HTTP client itself may set";
        has_agent = has_agent || str_eq_nocase(name, STR("user-agent"));
        buf_add_str(out, name);
        buf_add_lit(out, ": ");
        buf_add_str(out, r->headers[i].value);
        buf_add_lit(out, "\r\n");
    }
    if (!has_agent)
        buf_add_lit(out, "User-Agent: perigee/" PERIGEE_VERSION "\r\n");
    return NULL;
}

/* Returns what is wrong with the request, or NULL. */
static const char *write_request(struct http_call *call, const struct http_call_request *r)
{
    struct str method = r->method.len ? r->method : STR("GET");
    struct buf *out = &call->request;
    const char *problem;

    if (url_parse(call->url_text, &call->url) != OK)
        return "not a valid http or https URL";
    if (!is_token(method) || method.len > 32 || str_eq(method, STR("CONNECT")))
        return "not a valid method";
    if (r->body.len > HTTP_CLIENT_BODY_MAX)
        return "the body is larger than 64 MiB";
    call->to_head = str_eq(method, STR("HEAD"));
    call->idempotent = call->to_head || str_eq(method, STR("GET")) || str_eq(method, STR("PUT")) ||
                       str_eq(method, STR("DELETE")) || str_eq(method, STR("OPTIONS"));
    buf_add_str(out, method);
    buf_add_char(out, ' ');
    if (call->url.path.len == 0)
        buf_add_char(out, '/');
    buf_add_str(out, call->url.target);
    buf_add_lit(out, " HTTP/1.1\r\nHost: ");
    buf_add_str(out, call->url.authority);
    buf_add_lit(out, "\r\n");
    problem = add_headers(out, r);
    if (problem)
        return problem;
    if (r->body.len > 0 || str_eq(method, STR("POST")) || str_eq(method, STR("PUT")) ||
        str_eq(method, STR("PATCH"))) {
        buf_add_lit(out, "Content-Length: ");
        buf_add_u64(out, r->body.len);
        buf_add_lit(out, "\r\n");
    }
    buf_add_lit(out, "\r\n");
    if (out->len > REQUEST_HEAD_MAX)
        return "the headers are larger than 64 KiB";
    buf_add_str(out, r->body);
    return NULL;
}

struct http_call *http_client_call(struct http_client *hc, const struct http_call_request *r,
                                   http_call_fn *fn, void *arg)
{
    struct http_call *call = mem_zalloc(sizeof *call);
    struct worker *w = hc->worker;

    CHECK_ON(w);
    CHECK(!hc->closing);
    call->client = hc;
    call->fn = fn;
    call->on_part = r->on_part;
    call->arg = arg;
    call->start.run = on_start;
    list_init(&call->start.in_turn);
    list_init(&call->in_waiting);
    list_add_tail(&hc->calls, &call->in_calls);
    call->url_text = str_dup(r->url);
    call->request = BUF_INIT(HTTP_CLIENT_BODY_MAX + 4 * REQUEST_HEAD_MAX);
    call->body_max = MIN(r->body_max ? r->body_max : ANSWER_MAX, HTTP_CLIENT_BODY_MAX);
    call->connect_timeout_ms = r->connect_timeout_ms ? r->connect_timeout_ms : CONNECT_TIMEOUT_MS;
    call->problem = write_request(call, r);
    if (call->problem)
        call->err = ERR_SYNTAX;
    else if (call->request.overflow) {
        call->err = ERR_SYNTAX;
        call->problem = "the request is too large";
    }
    call->deadline = TIMER_INIT(on_deadline);
    timer_set(&w->timers, &call->deadline,
              w->now_ms + (r->timeout_ms ? r->timeout_ms : TIMEOUT_MS));
    worker_queue(w, &call->start);
    return call;
}

/* --- life ------------------------------------------------------------------------------------ */

struct http_client *http_client_new(struct worker *w)
{
    struct http_client *hc = mem_zalloc(sizeof *hc);

    hc->worker = w;
    list_init(&hc->calls);
    return hc;
}

static void close_idle(struct http_client *hc)
{
    struct map_iter it;

    map_each (&hc->origins, &it, node) {
        struct origin *o = container_of(node, struct origin, node);
        size_t left = o->links;

        /* The origin goes with its last connection; nobody waits any more. */
        for (; left > 0 && !list_empty(&o->idle); left--) {
            bool last = left == 1;

            pooled_drop(container_of(o->idle.next, struct pooled, in_idle));
            if (last)
                break;
        }
    }
}

void http_client_close(struct http_client *hc)
{
    hc->closing = true;
    list_each (&hc->calls, it) {
        struct http_call *call = container_of(it, struct http_call, in_calls);

        detach(call);
        timer_unset(&hc->worker->timers, &call->deadline);
        call->err = ERR_CLOSED;
        call->problem = "the server stops";
        worker_queue(hc->worker, &call->start);
    }
    close_idle(hc);
    if (list_empty(&hc->calls))
        client_free(hc);
}
