/* Health and metrics. Both ask every worker, so an answer proves that all of them turn. */
#include "api/api_types.h"

#include "base/clock.h"
#include "base/mem.h"
#include "client/client.h"
#include "core/admission.h"
#include "core/user_limits.h"
#include "core/control.h"
#include "core/dict.h"

static void on_health(void *arg, enum err err, const struct control_info *info)
{
    struct exchange *x = arg;

    (void)info;
    if (err == OK)
        exchange_respond(x, 200, JSON_TYPE, STR("{}"));
    else
        exchange_refuse(x, 503);
}

static void health(struct exchange *x, const struct http_request *req, void *arg)
{
    struct api *api = arg;

    (void)req;
    if (api->core->closing)
        exchange_refuse(x, 503);
    else
        control_info(api->core, on_health, x);
}

/* ---- metrics ---- */

static void add_metric(struct buf *out, const char *name, const char *type, const char *help,
                       uint64_t value)
{
    buf_printf(out, "# HELP perigee_%s %s\n# TYPE perigee_%s %s\nperigee_%s ", name, help, name,
               type, name);
    buf_add_u64(out, value);
    buf_add_char(out, '\n');
}

/* Goes once around the workers and adds up what each has counted. */
struct tour {
    struct mail mail;
    struct exchange *x;
    struct node *node;
    unsigned from, next;
    struct control_info info;
    struct api_counts counts;
    struct script_stats scripts;
    uint64_t connections, limited;
};

static void add_api_counts(struct buf *out, const struct api_counts *c)
{
    static const char *const names[] = {
#define X(name, number) #name,
        API_COMMANDS(X)
#undef X
            "custom",
    };

    buf_add_lit(out, "# HELP perigee_api_command_count API commands run.\n"
                     "# TYPE perigee_api_command_count counter\n");
    for (size_t i = 0; i < ARRAY_LEN(names); i++)
        buf_printf(out, "perigee_api_command_count{method=\"%s\"} %llu\n", names[i],
                   (unsigned long long)c->calls[i]);
    buf_add_lit(out,
                "# HELP perigee_api_command_errors_total API commands answered with an error.\n"
                "# TYPE perigee_api_command_errors_total counter\n");
    for (size_t i = 0; i < ARRAY_LEN(names); i++)
        buf_printf(out, "perigee_api_command_errors_total{method=\"%s\"} %llu\n", names[i],
                   (unsigned long long)c->errors[i]);
    add_metric(out, "api_bad_requests_total", "counter", "API requests that did not parse.",
               c->bad_requests);
    add_metric(out, "api_unauthorized_total", "counter", "API requests without the right key.",
               c->unauthorized);
}

static void tour_end(struct tour *t)
{
    struct admission_counts admission = admission_counts(t->node->admission);
    struct dict_counts dicts = dicts_counts(t->node->dicts);
    struct buf out = BUF_INIT(1 << 20);

    add_metric(&out, "node_num_clients", "gauge", "Connected clients.", t->info.clients);
    add_metric(&out, "node_num_users", "gauge", "Distinct users.", t->info.users);
    add_metric(&out, "node_num_channels", "gauge", "Channels with subscribers.", t->info.channels);
    add_metric(&out, "node_num_subscriptions", "gauge", "Subscriptions.", t->info.subscriptions);
    add_metric(&out, "node_num_connections", "gauge", "Open connections of any kind.",
               t->connections);
    add_metric(&out, "node_num_workers", "gauge", "Worker threads.", t->node->worker_count);
    add_metric(&out, "node_uptime_seconds", "gauge", "Time since the start.",
               (clock_mono_ms() - t->node->started_ms) / 1000);
    add_metric(&out, "node_client_connection_limit", "counter",
               "Connections refused by client.connection_limit.", admission.over_limit);
    add_metric(&out, "node_client_connection_rate_limit", "counter",
               "Connections refused by client.connection_rate_limit.", admission.over_rate);
    add_metric(&out, "client_commands_limited_total", "counter",
               "Commands refused by client.rate_limit.", t->limited);
    add_metric(&out, "node_limited_user_buckets", "gauge",
               "Buckets of users that client.rate_limit keeps now.",
               user_limits_count(t->node->user_limits));
    add_api_counts(&out, &t->counts);
    add_metric(&out, "lua_errors_total", "counter", "Lua functions that failed.",
               t->scripts.errors);
    add_metric(&out, "lua_timeouts_total", "counter", "Of them: ran too long.",
               t->scripts.timeouts);
    add_metric(&out, "lua_out_of_memory_total", "counter", "Of them: took too much memory.",
               t->scripts.out_of_memory);
    add_metric(&out, "lua_coroutines", "gauge", "Lua functions that run or wait.",
               t->scripts.coroutines);
    add_metric(&out, "lua_memory_bytes", "gauge", "Memory of all Lua states.", t->scripts.bytes);
    add_metric(&out, "dict_keys", "gauge", "Keys in all stores of perigee.dict.", dicts.keys);
    add_metric(&out, "dict_bytes", "gauge", "Memory of them.", dicts.bytes);
    add_metric(&out, "dict_full_total", "counter", "Values refused by lua.dict_memory_limit.",
               dicts.full);
    exchange_respond(t->x, 200, STR("text/plain; version=0.0.4; charset=utf-8"), buf_str(&out));
    buf_deinit(&out);
    mem_free(t);
}

static void add_counts(struct api_counts *sum, const struct api_counts *c)
{
    for (size_t i = 0; i < ARRAY_LEN(sum->calls); i++) {
        sum->calls[i] += c->calls[i];
        sum->errors[i] += c->errors[i];
    }
    sum->bad_requests += c->bad_requests;
    sum->unauthorized += c->unauthorized;
}

static void tour_post(struct tour *t);

static void at_worker(struct worker *w, struct mail *m)
{
    struct tour *t = container_of(m, struct tour, mail);
    struct core *core = core_of(w);

    if (t->next == t->node->worker_count) { /* back home */
        tour_end(t);
        return;
    }
    if (core->api)
        add_counts(&t->counts, api_counts(core->api));
    if (core->script) {
        struct script_stats stats = script_stats(core->script);

        t->scripts.errors += stats.errors;
        t->scripts.timeouts += stats.timeouts;
        t->scripts.out_of_memory += stats.out_of_memory;
        t->scripts.coroutines += stats.coroutines;
        t->scripts.bytes += stats.bytes;
    }
    if (core->server)
        t->connections += server_connections(core->server);
    if (core->clients)
        t->limited += limit_counts(core->clients->limits).refused;
    t->next++;
    tour_post(t);
}

static void tour_post(struct tour *t)
{
    unsigned to = t->next < t->node->worker_count ? t->next : t->from;

    worker_post(t->node->workers[to], &t->mail);
}

static void on_metrics(void *arg, enum err err, const struct control_info *info)
{
    struct exchange *x = arg;
    struct core *core = exchange_core(x);
    struct tour *t;

    if (err != OK) {
        exchange_refuse(x, 503);
        return;
    }
    t = mem_zalloc(sizeof *t);
    t->mail.deliver = at_worker;
    t->x = x;
    t->node = core->node;
    t->from = core->worker->index;
    t->info = *info;
    tour_post(t);
}

static void metrics(struct exchange *x, const struct http_request *req, void *arg)
{
    struct api *api = arg;

    (void)req;
    control_info(api->core, on_metrics, x);
}

void api_register_metrics(struct api *api, struct server *server)
{
    const struct settings *s = api->core->settings;
    struct route route = {.methods = HTTP_METHOD_GET, .arg = api};

    if (s->health_enabled) {
        route.path = s->health_handler_prefix;
        route.fn = health;
        server_add_route(server, &route);
    }
    if (s->prometheus_enabled) {
        route.path = s->prometheus_handler_prefix;
        route.fn = metrics;
        server_add_route(server, &route);
    }
}
