/* Picks the subcommand. */
#include "base/map.h"
#include "base/random.h"
#include "base/str.h"
#include "cli/check.h"
#include "cli/dev.h"
#include "cli/explain.h"
#include "cli/genconfig.h"
#include "cli/help.h"
#include "cli/run.h"
#include "cli/serve.h"
#include "cli/test.h"
#include "cli/token.h"

#include <stdio.h>

static int help(int argc, char **argv);
static int version(int argc, char **argv);

static const struct command {
    const char *name;
    int (*run)(int argc, char **argv);
    const char *usage, *what;
} commands[] = {
    {"serve", cli_serve, "[-c config.lua] [--set key.path=value]...",
     "the server; also without a command"},
    {"dev", cli_dev, "[--set key.path=value]...",
     "a server to play with: loopback, generated secrets, a page"},
    {"check", cli_check, "[-c config.lua] [--set key.path=value]...",
     "says everything that is wrong with a configuration"},
    {"explain", cli_explain,
     "[-c config.lua] --user U --channel C subscribe|publish|presence|history",
     "says what a client may do in a channel, and what decides it"},
    {"test", cli_test, "FILE_test.lua... [-c config.lua] [-f TEXT]",
     "runs your own tests of rules and hooks, with fake clients and clock"},
    {"run", cli_run, "script.lua [-c config.lua] [-- ARGUMENT...]",
     "runs a Lua program with the perigee module at hand"},
    {"genconfig", cli_genconfig, "[--from centrifugo.{json,yaml,toml}] [-o config.lua]",
     "writes a configuration to begin with"},
    {"gentoken", cli_gentoken, "[-c config.lua] -u USER [-t TTL] [-q]", "makes a connection token"},
    {"gensubtoken", cli_gensubtoken, "[-c config.lua] -u USER -s CHANNEL [-t TTL] [-q]",
     "makes a subscription token"},
    {"checktoken", cli_checktoken, "[-c config.lua] TOKEN", "verifies a connection token"},
    {"checksubtoken", cli_checksubtoken, "[-c config.lua] TOKEN", "verifies a subscription token"},
    {"version", version, "", "the version"},
    {"help", help, "[COMMAND]", "this text, or more about a command"},
};

static const struct command *find(const char *name)
{
    if (strcmp(name, "--help") == 0 || strcmp(name, "-h") == 0)
        name = "help";
    if (strcmp(name, "--version") == 0)
        name = "version";
    for (size_t i = 0; i < ARRAY_LEN(commands); i++) {
        if (strcmp(commands[i].name, name) == 0)
            return &commands[i];
    }
    return NULL;
}

static int no_such_command(const char *name)
{
    fprintf(stderr, "perigee: no such command: %s (perigee help)\n", name);
    return 2;
}

static int help_of(const struct command *command)
{
    const char *text = help_text(command->name);

    printf("usage: perigee %s %s\n  %s\n", command->name, command->usage, command->what);
    if (text)
        printf("\n%s", text);
    return 0;
}

static int help(int argc, char **argv)
{
    if (argc > 1)
        return find(argv[1]) ? help_of(find(argv[1])) : no_such_command(argv[1]);
    printf("Perigee " PERIGEE_VERSION ", a real-time messaging server.\n\nusage:\n");
    for (size_t i = 0; i < ARRAY_LEN(commands); i++)
        printf("  perigee %-13s %s\n                        %s\n", commands[i].name,
               commands[i].usage, commands[i].what);
    printf("\nperigee help COMMAND says more.\n"
           "Configuration: config.lua, then the environment (PERIGEE_HTTP_SERVER_PORT=8001), then\n"
           "--set http_server.port=8001; the later one wins.\n"
           "Exit codes: 0 fine, 1 failed, 2 wrong usage or configuration.\n");
    return 0;
}

static int version(int argc, char **argv)
{
    printf("perigee " PERIGEE_VERSION "\n");
    return 0;
}

int main(int argc, char **argv)
{
    const struct command *command = argc > 1 ? find(argv[1]) : NULL;

    map_seed(random_u64(), random_u64());
    if (command && argc > 2 && (strcmp(argv[2], "--help") == 0 || strcmp(argv[2], "-h") == 0))
        return help_of(command);
    if (command)
        return command->run(argc - 1, argv + 1);
    if (argc > 1 && argv[1][0] != '-')
        return no_such_command(argv[1]);
    return cli_serve(argc, argv);
}
