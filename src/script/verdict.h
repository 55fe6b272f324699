/* What a hook returned, read strictly: a value of the wrong type or an unknown field is a mistake
 * in config.lua, and the call fails closed. */
#pragma once

#include "script/hook.h"

struct verdict_request {
    enum hook which;
    bool is_method; /* rpc.<method>: whatever it returns is the result, nil too */
    bool is_binary; /* data that is a string goes out as its bytes */
    struct arena *arena;
    struct buf *scratch;
};

/* Reads the n results on top of L's stack. False: *why says what is wrong (static, or on the
 * stack), and *field where, or NULL. Slices live in the arena and in the values on the stack. */
bool verdict_read(const struct verdict_request *request, lua_State *L, int n,
                  struct hook_verdict *out, const char **why, const char **field);

/* What is wrong with the value as options to override for one subscription, or NULL; the text is
 * static or on L's stack, which grows then. */
const char *verdict_check_override(lua_State *L, int idx);

/* A Unix time in whole seconds, rounded down. NULL, or what is wrong with the value. */
const char *verdict_read_time(lua_State *L, int idx, int64_t *out);

/* Runs what was pushed on co, a function and nargs arguments, as a hook: fn hears the verdict. */
void hook_run_pushed(struct script *s, lua_State *co, int nargs,
                     const struct verdict_request *request, const char *what, hook_done_fn *fn,
                     void *arg);

/* What a failed hook amounts to: 100, internal. */
void verdict_internal(struct hook_verdict *out);
