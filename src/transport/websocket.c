#include "transport/websocket.h"

#include "base/log.h"
#include "base/mem.h"
#include "core/admission.h"
#include "transport/exchange.h"
#include "transport/server_types.h"
#include "transport/ws_conn.h"

#define PEER_MAX 64

static void refuse(struct exchange *x, const struct http_request *req, unsigned status,
                   const char *cause, const char *option)
{
    char peer[PEER_MAX];

    LOG_WITH(LOG_INFO, "connection refused", LOG_Z("cause", cause), LOG_Z("option", option),
             LOG_I("status", status), LOG_S("origin", exchange_header(req, "origin")),
             LOG_S("ip", exchange_peer(x, peer, sizeof peer)));
    exchange_refuse(x, status);
}

/* What makes the upgrade malformed, or NULL. */
static const char *malformed(const struct exchange *x, const struct http_request *req)
{
    if (!x->upgrade || req->minor == 0)
        return "not a WebSocket upgrade";
    if (req->method != HTTP_METHOD_GET)
        return "upgrade by another method than GET";
    if (req->has_body)
        return "upgrade with a body";
    if (http_header_count(req, STR("sec-websocket-key")) != 1 ||
        !ws_key_valid(exchange_header(req, "sec-websocket-key")))
        return "invalid Sec-WebSocket-Key";
    if (!exchange_may_upgrade(x))
        return "upgrade behind unanswered requests";
    return NULL;
}

static bool version_fits(const struct http_request *req)
{
    return http_header_count(req, STR("sec-websocket-version")) == 1 &&
           str_eq(exchange_header(req, "sec-websocket-version"), STR("13"));
}

/* No Origin: no browser. Origins are compared in lower case with patterns as they are written. */
static bool origin_allowed(const struct settings *settings, const struct http_request *req)
{
    const struct str_list *allowed = &settings->client_allowed_origins;
    size_t count = http_header_count(req, STR("origin"));
    struct str origin = exchange_header(req, "origin");
    char *lower;
    bool fits = false;

    if (count == 0)
        return true;
    if (count > 1)
        return false;
    lower = mem_dup(origin.ptr ? origin.ptr : "", origin.len + (origin.len == 0));
    for (size_t i = 0; i < origin.len; i++)
        if (lower[i] >= 'A' && lower[i] <= 'Z')
            lower[i] = (char)(lower[i] | 0x20);
    for (size_t i = 0; i < allowed->count && !fits; i++)
        fits = ws_glob(allowed->items[i], str_of(lower, origin.len));
    mem_free(lower);
    return fits;
}

/* The first that the client lists and we know; empty: none. */
static struct str choose_subprotocol(const struct http_request *req)
{
    for (size_t i = 0; i < req->header_count; i++) {
        struct str list = req->headers[i].value, token;

        if (!str_eq(req->headers[i].name, STR("sec-websocket-protocol")))
            continue;
        while (ws_next_token(&list, &token))
            if (str_eq(token, STR("centrifuge-json")) || str_eq(token, STR("centrifuge-protobuf")))
                return token;
    }
    return STR_NONE;
}

static bool query_is(const struct http_request *req, struct str name, struct str value)
{
    struct str found;

    return http_query(req->query, name, &found) && str_eq(found, value);
}

static enum kind choose_kind(const struct http_request *req, struct str subprotocol)
{
    if (str_eq(subprotocol, STR("centrifuge-protobuf")) ||
        query_is(req, STR("cf_protocol"), STR("protobuf")) ||
        query_is(req, STR("format"), STR("protobuf")))
        return KIND_WS_PROTOBUF;
    return KIND_WS_JSON;
}

static bool offers_deflate(const struct http_request *req)
{
    for (size_t i = 0; i < req->header_count; i++)
        if (str_eq(req->headers[i].name, STR("sec-websocket-extensions")) &&
            ws_offers_deflate(req->headers[i].value))
            return true;
    return false;
}

static enum kind deflating(enum kind kind)
{
    return kind_wire(kind) == WIRE_PROTOBUF ? KIND_WS_PROTOBUF_DEFLATE : KIND_WS_JSON_DEFLATE;
}

static struct frame *switching(const struct http_request *req, struct str subprotocol, bool deflate)
{
    char bytes[512], accept[WS_ACCEPT_LEN];
    struct buf out = {.ptr = bytes, .cap = sizeof bytes, .max = sizeof bytes};

    ws_accept_key(exchange_header(req, "sec-websocket-key"), accept);
    buf_add_lit(&out, "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n"
                      "Connection: Upgrade\r\nSec-WebSocket-Accept: ");
    buf_add(&out, accept, sizeof accept);
    if (subprotocol.len > 0) {
        buf_add_lit(&out, "\r\nSec-WebSocket-Protocol: ");
        buf_add_str(&out, subprotocol);
    }
    if (deflate) /* whatever parameters were offered: no message depends on another */
        buf_add_lit(&out, "\r\nSec-WebSocket-Extensions: permessage-deflate; "
                          "server_no_context_takeover; client_no_context_takeover");
    buf_add_lit(&out, "\r\n\r\n");
    CHECK(!out.overflow);
    return frame_of(buf_str(&out));
}

static void upgrade(struct exchange *x, const struct http_request *req)
{
    struct transport_header headers[HTTP_HEADERS_MAX];
    struct transport_request request = {
        .path = req->path,
        .query = req->query,
        .headers = headers,
        .header_count = req->header_count,
    };
    struct str subprotocol = choose_subprotocol(req);
    bool native_ping = query_is(req, STR("cf_ws_frame_ping_pong"), STR("true"));
    bool deflate = exchange_core(x)->settings->websocket_compression && offers_deflate(req);
    enum kind kind = choose_kind(req, subprotocol);

    for (size_t i = 0; i < req->header_count; i++)
        headers[i] = (struct transport_header){req->headers[i].name, req->headers[i].value};
    ws_conn_begin(exchange_upgrade(x, switching(req, subprotocol, deflate)),
                  deflate ? deflating(kind) : kind, native_ping, &request);
}

/* client.connection_limit and client.connection_rate_limit; false: answered. */
static bool admitted(struct exchange *x)
{
    struct core *core = exchange_core(x);
    enum err err = admission_enter(core->node->admission, core->settings, core->worker->now_ms);

    if (err == OK)
        return true;
    if (admission_may_warn(core->node->admission, core->worker->now_ms))
        LOG_WITH(
            LOG_WARN, "connection refused",
            LOG_Z("cause", err == ERR_LIMIT ? "too many connections" : "too many new connections"),
            LOG_Z("option",
                  err == ERR_LIMIT ? "client.connection_limit" : "client.connection_rate_limit"),
            LOG_I("status", 503));
    exchange_refuse(x, 503);
    return false;
}

static void on_request(struct exchange *x, const struct http_request *req, void *arg)
{
    static const struct http_header version = {STR("Sec-WebSocket-Version"), STR("13")};
    const struct settings *settings = exchange_core(x)->settings;
    const char *cause = malformed(x, req);

    if (x->server->draining) {
        refuse(x, req, 503, "shutting down", "");
    } else if (x->upgrade && !version_fits(req)) {
        exchange_respond_headers(x, 400, STR("text/plain; charset=utf-8"), STR("Bad Request"),
                                 &version, 1);
    } else if (cause) {
        refuse(x, req, 400, cause, "");
    } else if (!origin_allowed(settings, req)) {
        refuse(x, req, 403, "origin not allowed", "client.allowed_origins");
    } else if (admitted(x)) {
        upgrade(x, req);
    }
}

void websocket_register(struct server *s)
{
    const struct settings *settings = s->core->settings;

    if (settings->websocket_disabled)
        return;
    server_add_route(s, &(struct route){
                            .path = settings->websocket_handler_prefix,
                            .upgrades = true,
                            .methods = HTTP_METHOD_GET,
                            .fn = on_request,
                        });
}
