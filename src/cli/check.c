#include "cli/check.h"

#include "cli/options.h"

#include <stdio.h>

static void print(const struct buf *lines)
{
    fwrite(lines->ptr ? lines->ptr : "", 1, lines->len, stdout);
}

static int check(struct options *o)
{
    struct buf problems = BUF_INIT(OPTIONS_PROBLEMS_MAX);
    struct settings *settings = options_read(o, NULL, &problems);

    print(settings ? &o->warnings : &problems);
    if (settings)
        printf("%s: ok\n", o->config);
    buf_deinit(&problems);
    settings_unref(settings);
    return settings ? 0 : 2;
}

int cli_check(int argc, char **argv)
{
    struct options o;
    int code = 0;

    options_init(&o, "check", argc);
    for (int i = 1; i < argc && code == 0; i++) {
        if (!options_take(&o, argc, argv, &i))
            code = options_unexpected(&o, argv[i]);
    }
    if (o.config == NULL)
        o.config = "config.lua";
    if (code == 0)
        code = check(&o);
    options_deinit(&o);
    return code;
}
