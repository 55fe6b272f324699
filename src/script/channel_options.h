/* What options a channel has: those of its namespace, or what the hook channel_options makes of
 * them. The hook is asked at a channel's first use and may wait, so whoever is about to begin
 * something in a channel gets its row here, and nothing below has to ask. Answers are kept per
 * state, the least recently used are forgotten; channels with the same options share one row.
 * Worker thread. */
#pragma once

#include "core/channel.h"
#include "script/hook.h"

/* s may be NULL (no script); else settings are its own. OK: out is filled in, and its row lives at
 * least until the next call of a hook: ns_ref keeps it. ERR_NOT_FOUND: no such namespace.
 * ERR_LIMIT: the name is longer than channel.max_length, and the hook is not asked about such.
 * ERR_DENIED: the hook refused, or failed; refused says how, its text lives as long as a row would.
 * ERR_BUSY: it has to be asked first. */
enum err channel_options_find(struct script *s, const struct settings *settings, struct str channel,
                              struct channel_parts *out, struct hook_verdict *refused) NODISCARD;

/* As above, but never ERR_BUSY. Borrowed for the call, parts->rest belongs to nobody. */
typedef void channel_options_fn(void *arg, enum err err, const struct channel_parts *parts,
                                const struct hook_verdict *refused);
/* Asks if it has to. fn is called once, maybe before this returns. from: the coroutine on whose
 * behalf, or NULL; a hook that wants what waits for itself is refused. */
void channel_options_get(struct script *s, const struct settings *settings, lua_State *from,
                         struct str channel, channel_options_fn *fn, void *arg);

/* How many channels are remembered, and how many rows they share. */
struct channel_options_counts {
    size_t channels, rows;
};
struct channel_options_counts channel_options_counts(const struct script *s);
