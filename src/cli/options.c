#include "cli/options.h"

#include "base/log.h"
#include "base/mem.h"
#include "script/config.h"

#include <stdio.h>

extern char **environ;

void options_init(struct options *o, const char *command, int argc)
{
    *o = (struct options){.command = command,
                          .set = mem_zalloc(((size_t)argc + 1) * sizeof *o->set),
                          .set_cap = (size_t)argc,
                          .warnings = BUF_INIT(OPTIONS_PROBLEMS_MAX),
                          .places = BUF_INIT(OPTIONS_PLACES_MAX)};
}

void options_set(struct options *o, const char *assignment)
{
    if (o->set_count == o->set_cap) {
        o->set_cap++;
        o->set = mem_realloc(o->set, (o->set_cap + 1) * sizeof *o->set);
    }
    o->set[o->set_count++] = assignment;
    o->set[o->set_count] = NULL;
}

void options_deinit(struct options *o)
{
    mem_free(o->set);
    buf_deinit(&o->warnings);
    buf_deinit(&o->places);
}

const char *options_value(const struct options *o, int argc, char **argv, int *i, const char *flag,
                          const char *short_flag)
{
    const char *arg = argv[*i];
    size_t n = strlen(flag);

    if (strncmp(arg, flag, n) == 0 && arg[n] == '=')
        return arg + n + 1;
    if (strcmp(arg, flag) != 0 && (short_flag == NULL || strcmp(arg, short_flag) != 0))
        return NULL;
    if (*i + 1 >= argc) {
        fprintf(stderr, "perigee %s: %s needs a value\n", o->command, arg);
        return "";
    }
    return argv[++*i];
}

bool options_take(struct options *o, int argc, char **argv, int *i)
{
    const char *value = options_value(o, argc, argv, i, "--config", "-c");

    if (value) {
        o->config = value;
        return *value != '\0';
    }
    value = options_value(o, argc, argv, i, "--set", NULL);
    if (value)
        options_set(o, value);
    return value && *value != '\0';
}

struct settings *options_read(struct options *o, const struct remote *watch, struct buf *problems)
{
    struct config_request request = {
        .path = o->config,
        .env = (const char *const *)environ,
        .set = o->set,
        .watch = watch,
        .warnings = &o->warnings,
        .places = &o->places,
    };
    struct settings *settings;

    buf_clear(&o->warnings);
    buf_clear(&o->places);
    return config_load(&request, &settings, problems) == OK ? settings : NULL;
}

struct settings *options_load(struct options *o)
{
    struct buf problems = BUF_INIT(OPTIONS_PROBLEMS_MAX);
    struct settings *settings = options_read(o, NULL, &problems);

    if (settings == NULL)
        fwrite(problems.ptr ? problems.ptr : "", 1, problems.len, stderr);
    buf_deinit(&problems);
    return settings;
}

void options_log_warnings(const struct options *o)
{
    struct str rest = buf_str(&o->warnings);
    ptrdiff_t end;

    while ((end = str_find(rest, '\n')) >= 0) {
        LOG_WITH(LOG_WARN, "configuration", LOG_S("problem", str_of(rest.ptr, (size_t)end)));
        rest = str_cut(rest, (size_t)end + 1);
    }
}

int options_unexpected(const struct options *o, const char *argument)
{
    fprintf(stderr, "perigee %s: unexpected argument: %s (perigee help)\n", o->command, argument);
    return 2;
}
