/* Hooks: the functions of config.lua that decide. At load each one becomes a registry reference or
 * LUA_NOREF in a row per namespace; asking for an absent hook is testing an integer. Worker thread.
 *
 * A namespace's own hook is asked first; if it returns nil, the global one is; then the options
 * decide. Of `unsubscribe` and `disconnect`, which decide nothing, both run. */
#pragma once

#include "base/arena.h"
#include "script/script.h"

#include <lauxlib.h>

#define HOOK_LIST(X)                                                                               \
    X(CONNECT, connect)                                                                            \
    X(REFRESH, refresh)                                                                            \
    X(SUBSCRIBE, subscribe)                                                                        \
    X(SUB_REFRESH, sub_refresh)                                                                    \
    X(PUBLISH, publish)                                                                            \
    X(TRANSFORM, transform)                                                                        \
    X(RPC, rpc)                                                                                    \
    X(MESSAGE, message)                                                                            \
    X(PRESENCE, presence)                                                                          \
    X(HISTORY, history)                                                                            \
    X(UNSUBSCRIBE, unsubscribe)                                                                    \
    X(DISCONNECT, disconnect)                                                                      \
    X(OCCUPIED, occupied)                                                                          \
    X(VACATED, vacated)                                                                            \
    X(CHANNEL_OPTIONS, channel_options)                                                            \
    X(START, start)                                                                                \
    X(STOP, stop)                                                                                  \
    X(RELOAD, reload)

enum hook {
#define X(upper, lower) HOOK_##upper,
    HOOK_LIST(X)
#undef X
        HOOK_COUNT
};

struct hooks {
    int own[HOOK_COUNT];    /* of the namespace; LUA_NOREF where not set */
    int common[HOOK_COUNT]; /* of the top-level `hooks` table */
};

/* The row of a namespace (struct ns index); row 0 also serves what has no channel. */
const struct hooks *script_hooks(const struct script *s, unsigned ns_index);
/* The row for what has happened in a channel; 0 when a reload has taken its namespace away. */
unsigned hook_row(const struct script *s, struct str channel);

static inline bool hooks_has(const struct hooks *h, enum hook which)
{
    return h->own[which] != LUA_NOREF || h->common[which] != LUA_NOREF;
}

/* No script, no hook. */
static inline bool hook_is_set(const struct script *s, unsigned ns_index, enum hook which)
{
    return s && hooks_has(script_hooks(s, ns_index), which);
}

/* Set anywhere: globally or for some namespace. */
bool hook_is_set_anywhere(const struct script *s, enum hook which);

/* What a hook is told; empty fields are absent (nil) in Lua. Borrowed during the call. */
struct hook_request {
    void *client;             /* struct client, or NULL (transform, occupied, …) */
    struct str channel;       /* req.channel */
    struct str data;          /* req.raw as it is, req.data decoded on first use */
    bool data_is_binary;      /* may be any bytes: decoded if it is JSON, else a string; and what is
                                 returned as a string goes out as its bytes */
    struct str method;        /* rpc: req.method */
    struct str token;         /* refresh, sub_refresh */
    struct str tags;          /* JSON object or empty */
    struct str name, version; /* connect: the SDK's */
    const struct str *channels; /* connect: what the client asks for */
    size_t channel_count;
    bool has_user; /* connect: what a valid token said, over the client's own fields */
    struct str user, info, meta;
    uint32_t code; /* unsubscribe, disconnect */
    struct str reason;
    bool user_limited;        /* subscribe: the channel's list of users names this one */
    const struct script *old; /* reload: the state that was replaced */
};

enum hook_outcome {
    VERDICT_NIL,        /* no opinion */
    VERDICT_ALLOW,      /* a table (or true) */
    VERDICT_REFUSE,     /* false: presence, history: not allowed; transform: drop */
    VERDICT_ERROR,      /* perigee.error, or a failed hook: 100 internal */
    VERDICT_DISCONNECT, /* perigee.disconnect_code */
};

/* What it answered. Slices live until the callback returns. Raw fields are encoded JSON. */
struct hook_verdict {
    enum hook_outcome outcome;
    bool failed;        /* VERDICT_ERROR because the hook failed, not because it said so */
    uint32_t code;      /* error or disconnect */
    struct str message; /* error message or disconnect reason */
    bool temporary;
    bool has_user, has_expire_at, has_override, has_skip_history, has_data, has_delta;
    bool data_is_json; /* checked; else the bytes of a binary protocol */
    bool expired, skip_history, delta;
    struct str idempotency_key, version_epoch;
    uint64_t version;
    struct str user;
    int64_t expire_at;                       /* Unix seconds; 0: never */
    struct str info, data, meta, tags, caps; /* raw; empty: absent */
    struct str subs;                         /* raw JSON object channel → options */
    const struct str *channels;
    size_t channel_count;
    struct str override; /* raw JSON object: plain booleans or {"value": bool} */
};

/* Called exactly once; may be called before hook_run returns. */
typedef void hook_done_fn(void *arg, const struct hook_verdict *verdict);

/* Runs the hook(s) set for `which`. Only when hooks_has; fn may be NULL for start, stop, reload. */
void hook_run(struct script *s, unsigned ns_index, enum hook which,
              const struct hook_request *request, hook_done_fn *fn, void *arg);

/* Hooks that hear of what has happened (unsubscribe, disconnect, occupied, vacated) and have not
 * ended yet. */
size_t hook_events_running(const struct script *s);

/* rpc.<method> of config.lua; its arguments are (client, data). */
bool hook_has_rpc(struct script *s, struct str method);
bool hook_has_any_rpc(const struct script *s); /* config.lua has an rpc table, or hooks.rpc */
void hook_run_rpc(struct script *s, const struct hook_request *request, hook_done_fn *fn,
                  void *arg);
/* api.<command> of config.lua for the HTTP API: pushes the function, or returns false. */
bool hook_push_api(struct script *s, lua_State *L, struct str command);

/* How a client looks in Lua is the bind layer's: it pushes a view (userdata) of client on L. */
typedef void hook_push_client_fn(lua_State *L, void *client);
void hook_set_client_view(struct script *s, hook_push_client_fn *push);
/* True when some hook may look at a client's request headers, so that they must be kept. */
bool hook_wants_headers(const struct script *s);
