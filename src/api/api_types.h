/* What the files of src/api share; nobody else includes it. Worker thread. */
#pragma once

#include "api/api.h"
#include "codec/http.h"
#include "script/script.h"
#include "transport/exchange.h"
#include "transport/server.h"

#define API_REPLY_MAX ((size_t)256 << 20)  /* one HTTP answer */
#define API_SCRATCH_MAX ((size_t)64 << 20) /* one raw parameter of a Lua program */
#define API_SCRATCH_KEPT ((size_t)64 << 10)
#define API_BATCH_MAX 65536 /* commands of one request */

/* One command that runs; recycled, never freed before the API is. */
struct api_call {
    struct api_call *next_free;
    struct api *api;
    enum api_name which;
    struct api_args args;
    api_done_fn *fn;
    void *arg;
    bool *done; /* set when it ended before api_start returned */
};

struct api {
    struct core *core;
    struct api_call *free;
    size_t calls;       /* in use and free */
    struct buf out;     /* of the command that just ended */
    size_t prefix_len;  /* of the routes */
    uint64_t logged_ms; /* when a refused request was last logged */
    struct api_counts counts;
};

/* custom.c: functions of config.lua. Pushes the function and its argument on co. ERR_SYNTAX. */
enum err api_push_custom(struct script *s, lua_State *co, struct str name, struct str params);
/* The n results from first on: a refusal into reply, or else the value of "result" onto out. */
void api_read_custom(lua_State *co, int first, int n, struct buf *out, struct api_reply *reply);

/* api_batch.c, a batch and a sequence of commands: take the whole request. ERR_SYNTAX: bad request,
 * x not answered. */
enum err api_batch(struct api *api, struct exchange *x, struct str body) NODISCARD;
enum err api_multi(struct api *api, struct exchange *x, struct str body) NODISCARD;

/* metrics_http.c */
void api_register_metrics(struct api *api, struct server *server);
