/* The HTTP door: {prefix}/<command>, {prefix}/batch and the old {prefix}. The method is checked by
 * the route, then the key, then the body. */
#include "api/api_types.h"

#include "base/check.h"
#include "base/log.h"
#include "base/mem.h"
#include "codec/json.h"
#include "transport/server.h"

/* ---- who may ---- */

/* "apikey K" in exactly two words; the key, or nothing. */
static struct str key_of_authorization(struct str value)
{
    static const struct str scheme = {"apikey", 6};
    struct str rest = str_trim(value);
    ptrdiff_t space = str_find(rest, ' ');
    struct str key;

    if (space < 0 || !str_eq_nocase(str_of(rest.ptr, (size_t)space), scheme))
        return STR_NONE;
    key = str_trim(str_cut(rest, (size_t)space));
    return str_find(key, ' ') < 0 && str_find(key, '\t') < 0 ? key : STR_NONE;
}

static int hex_digit(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    c |= 0x20;
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

static void add_decoded(struct buf *out, struct str value)
{
    for (size_t i = 0; i < value.len; i++) {
        char c = value.ptr[i];

        if (c == '+') {
            c = ' ';
        } else if (c == '%' && i + 2 < value.len && hex_digit(value.ptr[i + 1]) >= 0 &&
                   hex_digit(value.ptr[i + 2]) >= 0) {
            c = (char)(hex_digit(value.ptr[i + 1]) * 16 + hex_digit(value.ptr[i + 2]));
            i += 2;
        }
        buf_add_char(out, c);
    }
}

static bool query_fits(struct str query, struct str key)
{
    struct buf decoded = BUF_INIT(HTTP_LINE_MAX);
    struct str value;
    bool fits = false;

    if (http_query(query, STR("api_key"), &value)) {
        add_decoded(&decoded, value);
        fits = str_eq_secret(buf_str(&decoded), key);
    }
    buf_deinit(&decoded);
    return fits;
}

static bool authorized(const struct settings *s, const struct http_request *req)
{
    struct str given;

    if (s->http_api_insecure)
        return true;
    if (s->http_api_key.len == 0)
        return false;
    given = exchange_header(req, "x-api-key");
    if (given.len == 0)
        given = key_of_authorization(exchange_header(req, "authorization"));
    return str_eq_secret(given, s->http_api_key) || query_fits(req->query, s->http_api_key);
}

/* Said at most once a minute: whoever has no key must not fill the log. */
static void log_unauthorized(struct api *api, struct exchange *x)
{
    const struct settings *s = api->core->settings;
    uint64_t now = api->core->worker->now_ms;
    char ip[64];

    api->counts.unauthorized++;
    if (api->logged_ms != 0 && now - api->logged_ms < 60000)
        return;
    api->logged_ms = now;
    LOG_WITH(LOG_INFO, "API request refused", LOG_S("ip", exchange_peer(x, ip, sizeof ip)),
             LOG_Z("cause", s->http_api_key.len > 0 ? "wrong or missing API key"
                                                    : "no API key is configured"),
             LOG_Z("option", "http_api.key"));
}

/* ---- answers ---- */

static unsigned status_of(uint32_t code)
{
    switch (code) {
    case API_UNKNOWN_CHANNEL:
    case API_NOT_FOUND:
        return 404;
    case API_BAD_REQUEST:
    case API_NOT_AVAILABLE:
        return 400;
    case API_UNRECOVERABLE_POSITION:
        return 416;
    case API_CONFLICT:
        return 409;
    default:
        return 500;
    }
}

static void respond(struct exchange *x, const struct api_reply *reply, bool transport_errors)
{
    struct buf text = BUF_INIT(API_REPLY_MAX);

    if (reply->code == 0) {
        exchange_respond(x, 200, JSON_TYPE, reply->wrapped);
        return;
    }
    if (reply->code == API_NOT_ENCODABLE) {
        exchange_respond(x, 500, STR("text/plain"), STR("Internal Server Error\n"));
        return;
    }
    if (!transport_errors)
        buf_add_lit(&text, "{\"error\":");
    api_add_error(&text, reply->code, reply->message);
    if (!transport_errors)
        buf_add_char(&text, '}');
    exchange_respond(x, transport_errors ? status_of(reply->code) : 200, JSON_TYPE, buf_str(&text));
    buf_deinit(&text);
}

static void on_reply(void *arg, const struct api_reply *reply)
{
    respond(arg, reply, false);
}

static void on_reply_transport(void *arg, const struct api_reply *reply)
{
    respond(arg, reply, true);
}

static void bad_request(struct api *api, struct exchange *x)
{
    api->counts.bad_requests++;
    exchange_respond(x, 400, STR("text/plain"), STR("Bad Request\n"));
}

/* ---- routes ---- */

static bool wants_transport_errors(const struct settings *s, const struct http_request *req)
{
    return s->http_api_error_mode == SETTING_HTTP_API_ERROR_MODE_TRANSPORT ||
           str_eq(exchange_header(req, "x-centrifugo-error-mode"), STR("transport"));
}

static void on_command(struct api *api, struct exchange *x, const struct http_request *req,
                       struct str name)
{
    struct api_target target = {api_find(name), name};
    bool transport_errors = wants_transport_errors(api->core->settings, req);

    if (!api_exists(api->core, &target)) {
        exchange_refuse(x, 404);
        return;
    }
    if (api_start(api, &target, req->body, transport_errors ? on_reply_transport : on_reply, x) !=
        OK)
        bad_request(api, x);
}

static void on_request(struct exchange *x, const struct http_request *req, void *arg)
{
    struct api *api = arg;
    struct str rest = str_cut(req->path, MIN(api->prefix_len, req->path.len));
    struct str name = str_cut(rest, MIN(rest.len, 1)); /* behind one slash */

    if (!authorized(api->core->settings, req)) {
        log_unauthorized(api, x);
        exchange_respond(x, 401, STR_NONE, STR_NONE);
        return;
    }
    /* the connection reads small bodies whatever the limit, to go on behind them */
    if (req->body.len > (size_t)api->core->settings->http_api_max_request_body_size) {
        exchange_refuse(x, 413);
    } else if (rest.len == 0 || (api->prefix_len == 0 && name.len == 0)) {
        if (api_multi(api, x, req->body) != OK)
            bad_request(api, x);
    } else if (str_eq(name, STR("batch"))) {
        if (api_batch(api, x, req->body) != OK)
            bad_request(api, x);
    } else {
        on_command(api, x, req, name);
    }
}

void api_register(struct core *core, struct server *server)
{
    const struct settings *s = core->settings;
    struct str prefix = s->http_api_handler_prefix;
    struct api *api = core->api;

    if (!api) {
        core->api = api = mem_zalloc(sizeof *api);
        api->core = core;
        api->out = BUF_INIT(API_REPLY_MAX);
    }
    while (prefix.len > 0 && prefix.ptr[prefix.len - 1] == '/')
        prefix.len--;
    api->prefix_len = prefix.len;
    if (!s->http_api_disabled) {
        struct route route = {
            .path = prefix.len > 0 ? prefix : STR("/"),
            .is_prefix = true,
            .methods = HTTP_METHOD_POST,
            .body_max = (size_t)s->http_api_max_request_body_size,
            .fn = on_request,
            .arg = api,
        };

        server_add_route(server, &route);
    }
    api_register_metrics(api, server);
}

void api_unregister(struct core *core)
{
    struct api *api = core->api;

    if (!api)
        return;
    core->api = NULL;
    while (api->free) {
        struct api_call *call = api->free;

        api->free = call->next_free;
        arena_deinit(&call->args.arena);
        mem_free(call);
    }
    buf_deinit(&api->out);
    mem_free(api);
}
