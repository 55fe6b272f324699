/* The main thread is a worker too, without clients: the others report to it by mail.
 *
 *     start: every worker makes its part, listens and reports
 *     reload: every worker prepares a script for the new settings; when all could, all take it,
 *             otherwise nothing has changed
 *     stop:  drain (no new connections, requests answered, clients told 3001, all gone)
 *            settle (mail between workers has come to rest)
 *            finish (hooks hear what is left to tell, and may wait)
 *            close (scripts end, loops end), join, free */
#include "cli/node.h"

#include "api/api.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/random.h"
#include "bind/bind.h"
#include "client/client.h"
#include "core/admission.h"
#include "core/dict.h"
#include "core/user_limits.h"
#include "loop/files.h"
#include "script/config.h"
#include "script/script.h"
#include "transport/server.h"
#include "transport/websocket.h"

#include <signal.h>
#include <stdio.h>
#include <unistd.h>

#define PROBLEM_MAX 65536
/* Rounds of mail to everybody and back, after which nothing is on its way between workers. */
#define SETTLE_ROUNDS 3
#define DRAIN_POLL_MS 10
#define FINISH_MS 3000 /* for hooks that wait; a backend that hangs must not hold the stop up */

struct boot;

/* One worker's side. */
struct part {
    struct boot *boot;
    struct worker *worker;
    struct core *core;
    struct timer poll;
    uint64_t abort_ms;   /* when draining stops being polite */
    struct script *next; /* prepared for a reload */
    enum err err;
};

enum phase { STARTING, RUNNING, PREPARING, COMMITTING, DRAINING, SETTLING, FINISHING, CLOSING };

struct boot {
    const struct node_request *request;
    struct worker *main;
    struct node node;
    struct part parts[WORKERS_MAX];
    uv_signal_t signals[3];
    enum phase phase;
    struct settings *settings; /* those in force */
    struct settings *next;     /* those being reloaded */
    struct remote *source;     /* where else options are kept; NULL: nowhere */
    bool stop_wanted;          /* a signal came during a reload */
    bool reload_wanted;        /* so did one for another, or a change of the source */
    unsigned reports, rounds;
    int exit_code;
};

/* --- mail ------------------------------------------------------------------------------------- */

struct part_mail {
    struct mail mail;
    struct part *part;
    void (*run)(struct part *p);
};

static void deliver(struct worker *w, struct mail *m)
{
    struct part_mail *pm = container_of(m, struct part_mail, mail);

    pm->run(pm->part);
    mem_free(pm);
}

static void post(struct worker *to, struct part *p, void (*run)(struct part *p))
{
    struct part_mail *pm = mem_alloc(sizeof *pm);

    *pm = (struct part_mail){.mail.deliver = deliver, .part = p, .run = run};
    worker_post(to, &pm->mail);
}

static void post_all(struct boot *b, void (*run)(struct part *p))
{
    b->reports = 0;
    for (unsigned i = 0; i < b->node.worker_count; i++)
        post(b->parts[i].worker, &b->parts[i], run);
}

static void on_report(struct part *p);

static void report(struct part *p)
{
    post(p->boot->main, p, on_report);
}

/* --- a worker starts -------------------------------------------------------------------------- */

static enum err make_script(struct core *core, const struct settings *settings, struct script **out)
{
    struct script_request request = {
        .worker = core->worker,
        .settings = settings,
        .open = bind_open,
    };
    struct buf problem = BUF_INIT(PROBLEM_MAX);
    enum err err = script_new(&request, &problem, out);

    if (err != OK)
        LOG_WITH(LOG_ERROR, "the configuration does not run in a worker",
                 LOG_S("error", buf_str(&problem)));
    buf_deinit(&problem);
    return err;
}

static void add_routes(struct part *p)
{
    const struct node_request *request = p->boot->request;
    struct server *server = p->core->server;

    websocket_register(server);
    api_register(p->core, server);
    if (request->extend)
        request->extend(p->core, server, request->arg);
}

static void start_part(struct worker *w, void *arg)
{
    struct part *p = arg;
    const struct node_request *request = p->boot->request;
    struct core *core = core_new(&p->boot->node, w, request->settings);
    struct server *server = server_new(core);

    p->core = core;
    clients_new(core);
    p->err = make_script(core, core->settings, &core->script);
    if (p->err == OK) {
        add_routes(p);
        bind_start(core);
        p->err = server_listen(server, core->settings->http_server_address, request->port);
    }
    report(p);
}

/* --- a worker reloads ------------------------------------------------------------------------- */

static void prepare_part(struct part *p)
{
    p->next = NULL;
    p->err = make_script(p->core, p->boot->next, &p->next);
    report(p);
}

static void drop_part(struct part *p)
{
    if (p->next)
        script_close(p->next);
    p->next = NULL;
    report(p);
}

static void commit_part(struct part *p)
{
    struct core *core = p->core;
    struct script *old_script = core->script;
    struct settings *old_settings = core->settings;

    core->settings = settings_ref(p->boot->next);
    core->script = p->next;
    p->next = NULL;
    server_clear_routes(core->server);
    add_routes(p);
    bind_reload(core, old_script);
    script_close(old_script); /* coroutines that wait in it run to their end */
    settings_unref(old_settings);
    report(p);
}

/* --- a worker stops --------------------------------------------------------------------------- */

static void on_poll(struct timer *t)
{
    struct part *p = container_of(t, struct part, poll);
    uint64_t now = p->worker->now_ms;

    if (server_connections(p->core->server) == 0) {
        report(p);
        return;
    }
    if (now >= p->abort_ms)
        server_abort(p->core->server);
    timer_set(&p->worker->timers, t, now + DRAIN_POLL_MS);
}

static void drain_part(struct part *p)
{
    p->abort_ms = p->worker->now_ms + (uint64_t)p->core->settings->shutdown_timeout_ms;
    p->core->closing = true;
    server_drain(p->core->server);
    clients_shutdown(p->core->clients);
    p->poll = TIMER_INIT(on_poll);
    timer_set(&p->worker->timers, &p->poll, p->worker->now_ms);
}

static void on_finish_poll(struct timer *t)
{
    struct part *p = container_of(t, struct part, poll);
    uint64_t now = p->worker->now_ms;

    if (clients_finished(p->core->clients) || now >= p->abort_ms)
        report(p);
    else
        timer_set(&p->worker->timers, t, now + DRAIN_POLL_MS);
}

static void finish_part(struct part *p)
{
    clients_finish(p->core->clients);
    p->abort_ms = MIN(p->abort_ms, p->worker->now_ms + FINISH_MS);
    p->poll = TIMER_INIT(on_finish_poll);
    on_finish_poll(&p->poll);
}

static void close_part(struct part *p)
{
    clients_stop(p->core->clients);
    if (p->core->script) {
        bind_stop(p->core);
        script_cancel(p->core->script); /* first: script_close may free it */
        script_close(p->core->script);
    }
    core_close(p->core);
    worker_close_handles(p->worker);
}

/* --- the main thread -------------------------------------------------------------------------- */

static void close_main(struct boot *b)
{
    if (b->source)
        remote_close(b->source);
    b->source = NULL;
    for (size_t i = 0; i < ARRAY_LEN(b->signals); i++)
        uv_close((uv_handle_t *)&b->signals[i], NULL);
    worker_close_handles(b->main);
}

static void stop(struct boot *b)
{
    b->phase = DRAINING;
    b->rounds = 0;
    post_all(b, drain_part);
}

static bool all_ok(const struct boot *b)
{
    for (unsigned i = 0; i < b->node.worker_count; i++) {
        if (b->parts[i].err != OK)
            return false;
    }
    return true;
}

static void reload(struct boot *b)
{
    if (b->request->reload == NULL) {
        LOG(LOG_WARN, "SIGHUP: perigee dev does not reload; perigee serve does");
        return;
    }
    b->reload_wanted = false;
    b->next = b->request->reload(b->request->reload_arg, b->source);
    if (b->next == NULL) {
        LOG(LOG_ERROR, "not reloaded: everything stays as it is");
        return;
    }
    b->phase = PREPARING;
    post_all(b, prepare_part);
}

static void want_reload(struct boot *b)
{
    if (b->phase == RUNNING)
        reload(b);
    else
        b->reload_wanted = b->phase < DRAINING;
}

static void on_source_changed(void *arg)
{
    struct boot *b = arg;

    if (remote_values_hash(remote_latest(b->source)) == b->settings->remote_hash)
        return; /* what it had when it was asked at the start */
    LOG_WITH(LOG_INFO, "the configuration source has changed", LOG_Z("option", "config_source"));
    want_reload(b);
}

/* Those of the settings in force. */
static void watch_source(struct boot *b)
{
    struct remote_options options;

    config_source(b->settings, &options);
    if (b->request->reload == NULL || (b->source && remote_is_for(b->source, &options)))
        return;
    if (b->source)
        remote_close(b->source);
    b->source =
        options.type == REMOTE_NONE ? NULL : remote_watch(b->main, &options, on_source_changed, b);
}

static void end_reload(struct boot *b, bool taken)
{
    struct settings *gone = taken ? b->settings : b->next;

    if (taken) {
        b->settings = b->next;
        dicts_set_limit(b->node.dicts, (size_t)b->settings->lua_dict_memory_limit);
    }
    b->next = NULL;
    settings_unref(gone);
    LOG(taken ? LOG_INFO : LOG_ERROR,
        taken ? "reloaded" : "not reloaded: everything stays as it is");
    b->phase = RUNNING;
    if (b->stop_wanted) {
        stop(b);
        return;
    }
    watch_source(b);
    if (b->reload_wanted)
        reload(b);
}

static void all_reported(struct boot *b)
{
    switch (b->phase) {
    case STARTING:
        if (!all_ok(b)) {
            b->exit_code = 1;
            stop(b);
            break;
        }
        b->phase = RUNNING;
        LOG_WITH(LOG_INFO, "listening", LOG_S("address", b->request->settings->http_server_address),
                 LOG_I("port", b->request->port), LOG_I("workers", b->node.worker_count),
                 LOG_S("version", b->node.version));
        if (b->request->ready)
            b->request->ready(b->request->port, b->request->arg);
        watch_source(b);
        break;
    case PREPARING:
        b->phase = COMMITTING;
        post_all(b, all_ok(b) ? commit_part : drop_part);
        break;
    case COMMITTING:
        end_reload(b, all_ok(b));
        break;
    case DRAINING:
        b->phase = SETTLING;
        post_all(b, report);
        break;
    case SETTLING:
        if (++b->rounds < SETTLE_ROUNDS) {
            post_all(b, report);
        } else {
            b->phase = FINISHING;
            post_all(b, finish_part);
        }
        break;
    case FINISHING:
        b->phase = CLOSING;
        post_all(b, close_part);
        close_main(b);
        break;
    case RUNNING:
    case CLOSING:
        break;
    }
}

static void on_report(struct part *p)
{
    struct boot *b = p->boot;

    if (++b->reports == b->node.worker_count)
        all_reported(b);
}

static void on_signal(uv_signal_t *handle, int signum)
{
    struct boot *b = handle->data;

    worker_woke(b->main);
    if (signum == SIGHUP) {
        want_reload(b);
        return;
    }
    if (b->phase < DRAINING && b->phase != STARTING && !b->stop_wanted) {
        LOG_WITH(LOG_INFO, "shutting down", LOG_I("signal", signum));
        b->stop_wanted = true;
        if (b->phase == RUNNING)
            stop(b);
    } else {
        LOG(LOG_WARN, "ended at once by a second signal");
        _exit(1);
    }
}

static void name_node(struct node *node, const struct settings *s, int port)
{
    char host[256] = "localhost";
    struct buf name = BUF_INIT(512);

    random_uuid(node->uid);
    node->version = STR(PERIGEE_VERSION " perigee");
    node->started_ms = clock_mono_ms();
    gethostname(host, sizeof host - 1);
    if (s->node_name.len > 0)
        buf_add_str(&name, s->node_name);
    else
        buf_printf(&name, "%s_%d", host, port);
    node->name = buf_str(&name); /* for as long as the process runs */
}

static unsigned count_workers(const struct settings *s)
{
    int64_t n = s->workers > 0 ? s->workers : (int64_t)uv_available_parallelism();

    return (unsigned)MIN(MAX(n, 1), WORKERS_MAX);
}

static void watch_signals(struct boot *b)
{
    static const int numbers[] = {SIGTERM, SIGINT, SIGHUP};

    for (size_t i = 0; i < ARRAY_LEN(numbers); i++) {
        CHECK(uv_signal_init(&b->main->loop, &b->signals[i]) == 0);
        b->signals[i].data = b;
        CHECK(uv_signal_start(&b->signals[i], on_signal, numbers[i]) == 0);
    }
}

static void free_part(struct part *p)
{
    worker_enter(p->worker);
    api_unregister(p->core);
    server_free(p->core->server);
    clients_free(p->core->clients);
    core_free(p->core);
    worker_enter(NULL);
    worker_free(p->worker);
}

int node_run(const struct node_request *request)
{
    struct boot *b = mem_zalloc(sizeof *b);
    int code;

    signal(SIGPIPE, SIG_IGN);
    files_reserve();
    b->request = request;
    b->settings = settings_ref(request->settings);
    b->main = worker_new(WORKERS_MAX);
    worker_enter(b->main);
    name_node(&b->node, request->settings, request->port);
    b->node.admission = admission_new();
    b->node.user_limits = user_limits_new();
    b->node.dicts = dicts_new((size_t)request->settings->lua_dict_memory_limit);
    b->node.worker_count = count_workers(request->settings);
    for (unsigned i = 0; i < b->node.worker_count; i++) {
        b->parts[i] = (struct part){.boot = b, .worker = worker_new(i)};
        b->node.workers[i] = b->parts[i].worker;
    }
    watch_signals(b);
    for (unsigned i = 0; i < b->node.worker_count; i++)
        CHECK(worker_start(b->node.workers[i], start_part, &b->parts[i]) == OK);
    worker_run(b->main);
    for (unsigned i = 0; i < b->node.worker_count; i++)
        worker_join(b->node.workers[i]);
    for (unsigned i = 0; i < b->node.worker_count; i++)
        free_part(&b->parts[i]);
    worker_enter(NULL);
    worker_free(b->main);
    admission_free(b->node.admission);
    user_limits_free(b->node.user_limits);
    dicts_free(b->node.dicts);
    str_free(&b->node.name);
    settings_unref(b->settings);
    code = b->exit_code;
    mem_free(b);
    return code;
}
