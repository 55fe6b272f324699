#include "cli/dev.h"

#include "base/err.h"
#include "base/mem.h"
#include "base/random.h"
#include "cli/genconfig.h"
#include "cli/options.h"
#include "cli/serve.h"
#include "cli/token.h"
#include "codec/json.h"
#include "loop/listener.h"
#include "script/config.h"
#include "script/embedded.h"
#include "transport/exchange.h"
#include "transport/server.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define TEXT_MAX 65536
#define PAGE_MAX (1 << 20)
#define SECRET_LETTERS 40
#define TOKEN_TTL_S (30 * 86400)
#define CHANNEL "playground"
/* The first line of a file that dev wrote, and may therefore read again. */
#define MARK "-- Written by perigee dev."

struct dev {
    struct settings *settings;
    char config_path[4096];
    struct buf page; /* the same for every worker: written before they start */
    struct buf curl;
    struct buf base; /* "http://127.0.0.1:8000": a name might mean another address here */
};

/* --- the configuration ------------------------------------------------------------------------ */

static void config_text(struct buf *out)
{
    char key[SECRET_LETTERS], secret[SECRET_LETTERS];

    random_letters(key, sizeof key);
    random_letters(secret, sizeof secret);
    buf_printf(out,
               MARK " Keep it private: it holds secrets. Next step:\n"
                    "--   perigee -c config.lua        perigee check -c config.lua\n"
                    "\n"
                    "return {\n"
                    "  http_server = { address = \"127.0.0.1\", port = 8000 },\n"
                    "  client = {\n"
                    "    allowed_origins = { \"http://localhost:*\", \"http://127.0.0.1:*\" },\n"
                    "    token = { hmac_secret_key = \"%.*s\" },\n"
                    "  },\n"
                    "  http_api = { key = \"%.*s\" },\n"
                    "  health = { enabled = true },\n"
                    "  prometheus = { enabled = true },\n"
                    "  channel = {\n"
                    "    without_namespace = {\n"
                    "      allow_subscribe_for_client = true,\n"
                    "      allow_publish_for_subscriber = true,\n"
                    "      presence = true, allow_presence_for_subscriber = true,\n"
                    "      join_leave = true, force_push_join_leave = true,\n"
                    "      history_size = 100, history_ttl = \"10m\", force_recovery = true,\n"
                    "      allow_history_for_subscriber = true,\n"
                    "    },\n"
                    "  },\n"
                    "}\n",
               SECRET_LETTERS, secret, SECRET_LETTERS, key);
}

static bool is_ours(const char *path)
{
    struct buf text = BUF_INIT(TEXT_MAX);
    bool ours = config_read_file(path, &text) == OK && str_starts(buf_str(&text), STR(MARK));

    buf_deinit(&text);
    return ours;
}

/* Finds the file of an earlier dev here, or writes one beside whatever else there is. */
static bool prepare_config(struct dev *d)
{
    static const char *const names[] = {"config.lua", "perigee-dev.lua"};
    struct buf text = BUF_INIT(TEXT_MAX);
    bool done = false;

    config_text(&text);
    for (size_t i = 0; i < ARRAY_LEN(names) && !done; i++) {
        done = genconfig_write(names[i], buf_str(&text)) == OK || is_ours(names[i]);
        if (done && realpath(names[i], d->config_path) == NULL)
            snprintf(d->config_path, sizeof d->config_path, "%s", names[i]);
    }
    buf_deinit(&text);
    if (!done)
        fprintf(stderr,
                "perigee dev: neither config.lua nor perigee-dev.lua can be written here\n");
    return done;
}

static bool is_loopback(struct str address)
{
    return str_starts(address, STR("127.")) || str_eq(address, STR("::1"));
}

/* --- the page --------------------------------------------------------------------------------- */

/* A JSON string that may stand inside a <script> element. */
static void add_script_string(struct buf *out, struct str text)
{
    struct buf json = BUF_INIT(TEXT_MAX);

    json_add_string(&json, text);
    for (size_t i = 0; i < json.len; i++) {
        if (json.ptr[i] == '<')
            buf_add_lit(out, "\\u003c");
        else
            buf_add_char(out, json.ptr[i]);
    }
    buf_deinit(&json);
}

static void page_config(struct dev *d, struct buf *out)
{
    struct buf token = BUF_INIT(TEXT_MAX);

    token_make(&token, d->settings->client_token_hmac_secret_key, STR("dev"), TOKEN_TTL_S);
    buf_add_lit(out, "{\"url\":");
    add_script_string(out, d->settings->websocket_handler_prefix);
    buf_add_lit(out, ",\"token\":");
    add_script_string(out, buf_str(&token));
    buf_add_lit(out, ",\"channel\":\"" CHANNEL "\",\"curl\":");
    add_script_string(out, buf_str(&d->curl));
    buf_add_lit(out, ",\"config_path\":");
    add_script_string(out, str_from(d->config_path));
    buf_add_lit(out, ",\"version\":\"" PERIGEE_VERSION "\"}");
    buf_deinit(&token);
}

static void make_page(struct dev *d)
{
    const struct embedded_file *file = embedded_find(STR("web/index.html"));
    struct str html = str_of(file->data, file->len), mark = STR("{{config}}");
    size_t at = 0;

    while (at + mark.len <= html.len && memcmp(html.ptr + at, mark.ptr, mark.len) != 0)
        at++;
    CHECK(at + mark.len <= html.len);
    buf_add(&d->page, html.ptr, at);
    page_config(d, &d->page);
    buf_add_str(&d->page, str_cut(html, at + mark.len));
}

static void on_page(struct exchange *x, const struct http_request *req, void *arg)
{
    struct dev *d = arg;

    exchange_respond(x, 200, STR("text/html; charset=utf-8"), buf_str(&d->page));
}

static void extend(struct core *core, struct server *server, void *arg)
{
    server_add_route(
        server,
        &(struct route){.path = STR("/"), .methods = HTTP_METHOD_GET, .fn = on_page, .arg = arg});
}

/* --- starting --------------------------------------------------------------------------------- */

static void on_ready(int port, void *arg)
{
    struct dev *d = arg;

    printf("Perigee %s is running; open its playground:\n\n"
           "  %.*s/\n\n"
           "Publish into it:\n\n  %.*s\n\n"
           "Its configuration, the next step (perigee -c config.lua):\n\n  %s\n\n",
           PERIGEE_VERSION, STR_ARGS(buf_str(&d->base)), STR_ARGS(buf_str(&d->curl)),
           d->config_path);
    fflush(stdout);
}

/* The wished port, or a free one. */
static int choose_port(const struct settings *s)
{
    char *address = str_dupz(s->http_server_address);
    int port = (int)s->http_server_port;
    char why[256];

    if (listener_probe(address, &port, why, sizeof why) != OK) {
        port = 0;
        if (listener_probe(address, &port, why, sizeof why) != OK)
            fprintf(stderr, "perigee dev: %s\n", why);
    }
    mem_free(address);
    return port;
}

static void add_base(struct buf *out, struct str address, int port)
{
    bool v6 = str_find(address, ':') >= 0;

    buf_printf(out, "http://%s%.*s%s:%d", v6 ? "[" : "", STR_ARGS(address), v6 ? "]" : "", port);
}

static int run(struct dev *d, const struct options *o)
{
    struct node_request request = {
        .settings = d->settings, .extend = extend, .ready = on_ready, .arg = d};

    if (!is_loopback(d->settings->http_server_address)) {
        fprintf(stderr,
                "perigee dev: http_server.address is %.*s; dev serves loopback (127.0.0.1) only, "
                "use perigee serve for others\n",
                STR_ARGS(d->settings->http_server_address));
        return 2;
    }
    request.port = choose_port(d->settings);
    if (request.port == 0)
        return 1;
    add_base(&d->base, d->settings->http_server_address, request.port);
    buf_printf(&d->curl,
               "curl %.*s%.*s/publish -H 'X-API-Key: %.*s' "
               "-d '{\"channel\":\"" CHANNEL "\",\"data\":{\"text\":\"hello\"}}'",
               STR_ARGS(buf_str(&d->base)), STR_ARGS(d->settings->http_api_handler_prefix),
               STR_ARGS(d->settings->http_api_key));
    make_page(d);
    return serve_settings(&request, o);
}

int cli_dev(int argc, char **argv)
{
    struct dev d = {
        .page = BUF_INIT(PAGE_MAX), .curl = BUF_INIT(TEXT_MAX), .base = BUF_INIT(TEXT_MAX)};
    struct options o;
    int code = 2;

    options_init(&o, "dev", argc);
    for (int i = 1; i < argc; i++) {
        if (!options_take(&o, argc, argv, &i) || o.config) {
            code = options_unexpected(&o, argv[i]);
            goto out;
        }
    }
    if (!prepare_config(&d)) {
        code = 1;
        goto out;
    }
    o.config = d.config_path;
    d.settings = options_load(&o);
    if (d.settings)
        code = run(&d, &o);
    settings_unref(d.settings);
out:
    buf_deinit(&d.page);
    buf_deinit(&d.curl);
    buf_deinit(&d.base);
    options_deinit(&o);
    return code;
}
