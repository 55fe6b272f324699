/* perigee.error and perigee.disconnect_code: what a hook, an RPC method or an API command returns
 * to refuse. In Lua they are tables with a metatable each; here they are recognised and read. */
#pragma once

#include "base/str.h"

#include <lua.h>

enum answer_kind { ANSWER_NONE, ANSWER_ERROR, ANSWER_DISCONNECT };

struct answer {
    uint32_t code;
    struct str text; /* message or reason: borrowed from the table */
    bool temporary;
};

/* Which of them made the value at idx? */
enum answer_kind answer_kind(lua_State *L, int idx);
/* What is the value at idx? Never raises. ANSWER_NONE also for a table whose fields were changed
 * into something that is none; *broken then says so. */
enum answer_kind answer_at(lua_State *L, int idx, struct answer *out, bool *broken);

/* The pair nil, { code =, message = } that a failed server call returns: is the table at idx one?
 */
bool answer_from_failure(lua_State *L, int idx, struct answer *out);

/* Adds error and disconnect_code to the module on top of the stack. Once per state. */
void answer_open(lua_State *L);
