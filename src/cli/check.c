#include "cli/check.h"

#include "base/mem.h"
#include "script/config.h"

#include <stdio.h>

#define PROBLEMS_MAX 262144

extern char **environ;

static int usage(void)
{
    fputs("usage: perigee check [-c config.lua] [--set key.path=value]...\n", stderr);
    return 2;
}

int cli_check(int argc, char **argv)
{
    const char **set = mem_zalloc((size_t)(argc + 1) * sizeof *set);
    struct config_request req = {
        .path = "config.lua", .set = set, .env = (const char *const *)environ};
    struct buf problems = BUF_INIT(PROBLEMS_MAX);
    struct settings *settings;
    size_t count = 0;
    int code = 2;

    for (int i = 1; i < argc; i++) {
        struct str arg = str_from(argv[i]);
        bool more = i + 1 < argc;

        if (more && (str_eq(arg, STR("-c")) || str_eq(arg, STR("--config")))) {
            req.path = argv[++i];
        } else if (str_starts(arg, STR("--config="))) {
            req.path = argv[i] + sizeof "--config=" - 1;
        } else if (more && str_eq(arg, STR("--set"))) {
            set[count++] = argv[++i];
        } else if (str_starts(arg, STR("--set="))) {
            set[count++] = argv[i] + sizeof "--set=" - 1;
        } else {
            fprintf(stderr, "perigee check: unexpected argument: %s\n", argv[i]);
            code = usage();
            goto out;
        }
    }
    if (config_load(&req, &settings, &problems) == OK) {
        settings_unref(settings);
        printf("%s: ok\n", req.path);
        code = 0;
    } else {
        fwrite(problems.ptr ? problems.ptr : "", 1, problems.len, stdout);
    }
out:
    buf_deinit(&problems);
    mem_free(set);
    return code;
}
