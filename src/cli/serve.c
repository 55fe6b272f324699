#include "cli/serve.h"

#include "base/err.h"
#include "base/log.h"
#include "base/mem.h"
#include "cli/options.h"
#include "loop/listener.h"

#include <stdio.h>
#include <unistd.h>

#define RELOAD_PROBLEMS_MAX 4096

static enum err setup_log(const struct settings *s)
{
    char *path = str_dupz(s->log_file);
    enum err err =
        log_setup((enum log_level)(s->log_level + LOG_TRACE), (enum log_format)s->log_format, path);

    if (err != OK)
        fprintf(stderr, "perigee: log.file: %s cannot be opened\n", path);
    mem_free(path);
    return err;
}

static enum err write_pid(const char *path)
{
    FILE *f = fopen(path, "w");

    if (f == NULL) {
        fprintf(stderr, "perigee: pid_file: %s cannot be written\n", path);
        return ERR_IO;
    }
    fprintf(f, "%d\n", (int)getpid());
    fclose(f);
    return OK;
}

static enum err find_port(struct node_request *request)
{
    char *address = str_dupz(request->settings->http_server_address);
    char why[256];
    enum err err;

    request->port = (int)request->settings->http_server_port;
    err = listener_probe(address, &request->port, why, sizeof why);
    if (err != OK)
        LOG_WITH(LOG_ERROR, "cannot listen", LOG_Z("address", address),
                 LOG_I("port", request->settings->http_server_port), LOG_Z("cause", why),
                 LOG_Z("option", "http_server.port"));
    mem_free(address);
    return err;
}

int serve_settings(struct node_request *request, const struct options *o)
{
    char *pid_file = str_dupz(request->settings->pid_file);
    int code = 1;

    if (setup_log(request->settings) == OK && (request->port > 0 || find_port(request) == OK) &&
        (*pid_file == '\0' || write_pid(pid_file) == OK)) {
        options_log_warnings(o);
        code = node_run(request);
        if (*pid_file)
            unlink(pid_file);
    }
    mem_free(pid_file);
    return code;
}

/* Takes effect only after a restart; the new value is not taken silently. */
static void warn_fixed(const struct settings *old, const struct settings *new)
{
    static const char *const fixed[] = {"http_server.", "workers",  "engine.",
                                        "node.",        "pid_file", "log."};

    for (size_t i = 0; i < settings_fields_count; i++) {
        const struct setting_field *f = &settings_fields[i];

        for (size_t k = 0; k < ARRAY_LEN(fixed); k++) {
            if (str_starts(str_from(f->path), str_from(fixed[k])) &&
                !settings_field_equal(f, old, new))
                LOG_WITH(LOG_WARN, "this option changes with a restart only",
                         LOG_Z("option", f->path));
        }
    }
}

struct reloading {
    struct options *options;
    const struct settings *first; /* what the process started with */
};

static struct settings *reload(void *arg, const struct remote *source)
{
    struct reloading *r = arg;
    struct buf problems = BUF_INIT(RELOAD_PROBLEMS_MAX);
    struct settings *settings = options_read(r->options, source, &problems);

    if (settings) {
        options_log_warnings(r->options);
        warn_fixed(r->first, settings);
    } else {
        LOG_WITH(LOG_ERROR, "the configuration is wrong", LOG_S("problems", buf_str(&problems)));
    }
    buf_deinit(&problems);
    return settings;
}

int cli_serve(int argc, char **argv)
{
    struct node_request request = {0};
    struct reloading reloading;
    struct options o;
    int code = 2;

    options_init(&o, "serve", argc);
    for (int i = 1; i < argc; i++) {
        if (!options_take(&o, argc, argv, &i)) {
            code = options_unexpected(&o, argv[i]);
            goto out;
        }
    }
    if (o.config == NULL && access("config.lua", R_OK) == 0)
        o.config = "config.lua";
    request.settings = options_load(&o);
    if (request.settings) {
        reloading = (struct reloading){&o, request.settings};
        request.reload = reload;
        request.reload_arg = &reloading;
        code = serve_settings(&request, &o);
        settings_unref(request.settings);
    }
out:
    options_deinit(&o);
    return code;
}
