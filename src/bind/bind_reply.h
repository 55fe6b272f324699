/* What the files of perigee.core share: reading arguments and waking a waiting command with its
 * answer. Worker thread. */
#pragma once

#include "api/api.h"
#include "base/err.h"
#include "base/str.h"
#include "core/engine.h"
#include "core/settings.h"
#include "script/script.h"

#define BIND_RESULT_MAX (256u << 20) /* of one list; what Lua may hold is limited on its own */

/* The string at index, empty when there is none; borrowed from the stack. */
struct str bind_to_str(lua_State *L, int index);
/* What stands in [1] of the options table that core.options makes for a row: the row, held. */
struct bind_row {
    const void *kind; /* bind_row_kind: this userdata is no other */
    const struct ns *ns;
};
extern const char bind_row_kind;
/* The row of an options table; the table holds it. Raises. */
const struct ns *bind_to_ns(lua_State *L, int index);
struct core *bind_core(lua_State *L);

/* The API's code of an operating error; 0 for OK. */
uint32_t bind_code(enum err err);
/* nil, code and, when there is one, the message; returns how many. */
int bind_push_error(lua_State *L, uint32_t code, struct str message);
/* The answer: nil and the error's code; true; or the text, whose buffer is freed. */
void bind_wake_error(struct script_wait *wait, uint32_t code);
void bind_wake_done(struct script_wait *wait, enum err err);
void bind_wake_json(struct script_wait *wait, struct buf *text);
