#include "cli/help.h"

#include "base/base.h"

#include <string.h>

#define COMMON                                                                                     \
    "  -c, --config FILE    the configuration (default: config.lua of this folder)\n"              \
    "      --set KEY=VALUE  overrides an option, such as http_server.port=8001; repeatable\n"

#define TOKEN_COMMON                                                                               \
    "  -c, --config FILE    whose keys to take (default: config.lua of this folder)\n"             \
    "      --set KEY=VALUE  overrides an option; repeatable\n"

#define MAKE_TOKEN                                                                                 \
    "  -u, --user USER      the user id; none: an anonymous user\n"                                \
    "  -t, --ttl TTL        seconds, or a duration such as 1h30m; -1: for ever (default: 7 "       \
    "days)\n"                                                                                      \
    "  -q, --quiet          the token alone, without a newline\n"

static const struct {
    const char *command, *text;
} texts[] = {
    {"serve",
     COMMON "\nStays in the foreground and logs to stderr. SIGHUP reads the configuration again, "
            "SIGTERM and\n"
            "SIGINT stop gracefully, a second signal at once. Without a file every option has its "
            "default.\n"
            "Exit code: 0 stopped by a signal, 1 failed (the port is in use), 2 wrong usage or "
            "configuration.\n"},
    {"dev",
     "      --set KEY=VALUE  overrides an option, such as http_server.port=8001; repeatable\n"
     "\nServes on loopback only, with secrets that it makes, and a page to play with at /. Writes "
     "its\n"
     "configuration into this folder (config.lua, or perigee-dev.lua) and goes on with it next "
     "time.\n"},
    {"check", COMMON "\nPrints every problem as FILE:LINE: key: problem. What is allowed, but "
                     "dangerous or without\n"
                     "effect, is a warning. Exit code: 0 usable, 2 not.\n"},
    {"explain", COMMON
     "  -u, --user USER      who asks\n"
     "      --anonymous      somebody without a user id asks\n"
     "  -s, --channel NAME   where\n"
     "      --subscribed     the connection is in the channel already\n"
     "      --token TOKEN    subscribe: the subscription token that the client brings\n"
     "  -d, --data JSON      publish: the data (default: {}); subscribe: what it sends along\n"
     "      --info JSON      what hooks see as client.info\n"
     "      --meta JSON      what hooks see as client.meta\n"
     "      --caps JSON      capabilities of the connection, as in a token\n"
     "\nGives the command to a server inside this process, without sockets, and prints first "
     "`allowed`\n"
     "or `denied (code N)`, then what decided it: FILE:LINE of the option, or of the hook and what "
     "it\n"
     "returned. Hooks really run, with all they do: requests to other servers are made; what they\n"
     "publish reaches nobody. That the client is connected is taken for granted: the connect hook "
     "is\n"
     "not asked.\n"
     "Exit code: 0 allowed, 1 denied, 2 wrong usage or configuration.\n"},
    {"test", COMMON
     "  -f, --filter TEXT    only tests whose name holds this text\n"
     "\nEach test runs in a server of its own inside this process, without sockets, with a clock "
     "that\n"
     "stands still until the test moves it. docs/testing.md says what a test can do. The output is "
     "TAP.\n"
     "Exit code: 0 all passed, 1 a test failed or there is none, 2 wrong usage or "
     "configuration.\n"},
    {"run", "  -c, --config FILE    the server whose API perigee.publish and the like call\n"
            "      --set KEY=VALUE  overrides an option of it; repeatable\n"
            "  --                   what follows are the program's arguments: arg[1], arg[2], …\n"
            "\nThe program finds what config.lua finds, and io and os for files (no processes). It "
            "may wait:\n"
            "perigee.http, perigee.sleep. It has no limits of time and memory. What it returns is "
            "the exit\n"
            "code: a number, or 0; false or nil and a message, like an error, are 1.\n"
            "Exit code: the program's; 2 wrong usage or configuration.\n"},
    {"genconfig", "  -o FILE              where to (default: config.lua)\n"
                  "      --from FILE      a configuration of Centrifugo v6 (.json, .yaml, .yml, "
                  ".toml) to convert\n"
                  "\nWrites a configuration with fresh secrets, or one made from another server's, "
                  "readable by its\n"
                  "owner only. A file that is there already is never overwritten. What cannot be "
                  "carried over is\n"
                  "named, in the file too; what a backend or an expression would have refused and "
                  "cannot any more\n"
                  "stays refused. Variables CENTRIFUGO_… of the environment are not looked at.\n"
                  "Exit code: 0 written, 1 failed, 2 wrong usage.\n"},
    {"gentoken",
     TOKEN_COMMON MAKE_TOKEN "\nMakes an HS256 token with client.token.hmac_secret_key. Exit code: "
                             "0, or 1: there is no key.\n"},
    {"gensubtoken", TOKEN_COMMON MAKE_TOKEN
     "  -s, --channel NAME   the channel it is for\n"
     "\nMakes an HS256 token with client.subscription_token.hmac_secret_key, or that of "
     "client.token "
     "when\nclient.subscription_token.enabled is off. Exit code: 0, or 1: there is no key.\n"},
    {"checktoken", TOKEN_COMMON "\nPrints the user and the claims. Exit code: 0 valid, 1 not.\n"},
    {"checksubtoken",
     TOKEN_COMMON "\nPrints the user and the claims. Exit code: 0 valid, 1 not.\n"},
};

const char *help_text(const char *command)
{
    for (size_t i = 0; i < ARRAY_LEN(texts); i++) {
        if (strcmp(texts[i].command, command) == 0)
            return texts[i].text;
    }
    return NULL;
}
