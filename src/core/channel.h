/* What a channel's name means: its namespace, and the marks in it ($ private, # user-limited).
 * Pure functions over settings; any worker. */
#pragma once

#include "core/engine.h"
#include "core/settings.h"

struct channel_parts {
    const struct ns *ns; /* row of options */
    struct str rest;     /* behind the namespace boundary; the whole name when there is none */
    bool is_private;     /* begins with the private prefix */
    bool user_limited;   /* holds the user boundary and the namespace allows such channels */
};

/* ERR_NOT_FOUND: there is no such namespace. */
enum err channel_resolve(const struct settings *s, struct str channel,
                         struct channel_parts *out) NODISCARD;
/* The same name, which was resolved, with another row of its namespace. */
void channel_use(const struct ns *ns, struct str channel, struct channel_parts *parts);
/* The name is allowed: channel_regex of its namespace, else ASCII only. */
bool channel_name_valid(const struct settings *s, struct str channel,
                        const struct channel_parts *parts);
/* How long a stream of such a channel lives; size 0: there is none. */
struct stream_options channel_stream(const struct ns *ns);
/* user is in the list behind the last user boundary. */
bool channel_lists_user(const struct settings *s, struct str channel, struct str user);
