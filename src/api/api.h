/* The server API: one table of commands, each a Lua module (lua/perigee/api), behind three doors:
 * HTTP, batch and the perigee module of Lua programs. Here is what the doors share. A command runs
 * in a coroutine of the worker's script; its parameters and results are described in spec.h.
 * Worker thread. */
#pragma once

#include "api/spec.h"
#include "core/core.h"

struct api;
struct buf;
struct control_info;
struct node;
struct server;

/* Errors of the API. */
enum {
    API_INTERNAL = 100,
    API_UNKNOWN_CHANNEL = 102,
    API_NOT_FOUND = 104,
    API_BAD_REQUEST = 107,
    API_NOT_AVAILABLE = 108,
    API_UNRECOVERABLE_POSITION = 112,
    API_CONFLICT = 113,
    API_NOT_ENCODABLE = 65536, /* ours: HTTP 500; code 100 where there is no status */
};

/* In the order that decides when a batch element names several; the number is the method's in the
 * old endpoint. */
#define API_COMMANDS(X)                                                                            \
    X(publish, 0)                                                                                  \
    X(broadcast, 1)                                                                                \
    X(subscribe, 11)                                                                               \
    X(unsubscribe, 2)                                                                              \
    X(disconnect, 3)                                                                               \
    X(history, 6)                                                                                  \
    X(history_remove, 7)                                                                           \
    X(presence, 4)                                                                                 \
    X(presence_stats, 5)                                                                           \
    X(info, 9)                                                                                     \
    X(rpc, 10)                                                                                     \
    X(refresh, 12)                                                                                 \
    X(channels, 8)                                                                                 \
    X(revoke_token, 20)                                                                            \
    X(invalidate_user_tokens, 21)

enum api_name {
#define X(name, number) API_##name,
    API_COMMANDS(X)
#undef X
        API_COMMAND_COUNT,
    API_CUSTOM = API_COMMAND_COUNT /* a function of config.lua */
};

/* A compiled command of one Lua state. */
struct api_command {
    const char *name;
    const char *what; /* for logs */
    int run;          /* registry reference of its function */
    struct api_spec params, result;
};

/* For one worker: makes its API (the first time) and enters the routes that the settings ask for.
 */
void api_register(struct core *core, struct server *server);
/* Frees what the workers' APIs hold; after the worker's loop has ended. */
void api_unregister(struct core *core);

/* Loads the command modules into a new state; its `require` must know perigee.core. Raises. */
void api_load(lua_State *L);
/* Of the state L belongs to; which is not API_CUSTOM. */
const struct api_command *api_command(lua_State *L, enum api_name which);
/* The built-in command of that name, or API_COMMAND_COUNT. */
enum api_name api_find(struct str name);
struct str api_name_of(enum api_name which);

/* ---- running a command ---- */

/* What to run: a built-in command, or with API_CUSTOM the function `name` of config.lua. */
struct api_target {
    enum api_name which;
    struct str name;
};

/* Slices are valid until the callback returns. */
struct api_reply {
    uint32_t code; /* 0: result is valid */
    struct str message;
    struct str result;  /* {…} */
    struct str wrapped; /* {"result":{…}} */
};
typedef void api_done_fn(void *arg, const struct api_reply *reply);

/* Is there such a command? */
bool api_exists(struct core *core, const struct api_target *target);
/* params is one JSON value and need not outlive the call. ERR_SYNTAX: it is not what the command
 * takes; fn is not called. Else fn is called once, maybe inside. The command must exist. */
enum err api_start(struct api *api, const struct api_target *target, struct str params,
                   api_done_fn *fn, void *arg) NODISCARD;
/* For later: takes a command's params from the front of rest. ERR_SYNTAX: api_start would not have
 * them. What given points to lies in a and in the text. */
enum err api_take_params(struct api *api, const struct api_target *target, struct str *rest,
                         struct arena *a, struct api_given *out) NODISCARD;
enum err api_start_given(struct api *api, const struct api_target *target,
                         const struct api_given *given, api_done_fn *fn, void *arg) NODISCARD;

/* ---- words ---- */

struct str api_message(uint32_t code);
/* {"code":…,"message":…}; message empty: the code's own. */
void api_add_error(struct buf *out, uint32_t code, struct str message);
/* One element of `info`. */
void api_add_node(struct buf *out, const struct node *node, const struct control_info *info);

/* ---- counters of one worker ---- */

struct api_counts {
    uint64_t calls[API_COMMAND_COUNT + 1];  /* by command; the last: custom ones */
    uint64_t errors[API_COMMAND_COUNT + 1]; /* answered with an error */
    uint64_t bad_requests;                  /* HTTP 400 */
    uint64_t unauthorized;                  /* HTTP 401 */
};
const struct api_counts *api_counts(const struct api *api);
