/* Entering a client into a channel, whoever asks: a subscribe command, the connect command's
 * server-side subscriptions, or the server API. Worker thread. */
#pragma once

#include "client/client.h"

/* Everything decided already. Strings are borrowed. */
struct subscribe_plan {
    struct str channel;
    const struct ns *ns;
    uint32_t flags; /* SUB_… */
    enum recovery_mode recovery;
    struct stream_position since;
    bool require_recovered;
    bool was_recovering;   /* the client asked for recovery, possible or not */
    struct filter *filter; /* tags it wants; owned, subscribe_start takes it; NULL: all */
    int64_t expire_at;     /* Unix seconds; 0: never */
    struct str chan_info;  /* raw */
    struct str data;       /* raw; for the subscribe result */
};

/* What a client wishes and what overrules the namespace's options. */
struct subscribe_wish {
    bool positioned, recoverable, join_leave, recover;
    bool delta; /* fossil */
    struct stream_position since;
    struct str override; /* raw JSON object, or empty */
};
/* Fills in flags, recovery and since from the namespace's options, the override and what the
 * client may wish for. who: of the client, as if it were subscribed. */
void subscribe_decide(const struct client *cl, struct subscribe_plan *plan, unsigned who,
                      const struct subscribe_wish *wish);

/* OK: sub is entered and answer says where it begins. Otherwise sub is NULL: ERR_CLOSED when the
 * client went away meanwhile, ERR_EXPIRED for require_recovered, or the engine's error. Called
 * exactly once, never inline; answer and plan are borrowed. */
typedef void subscribe_done_fn(void *arg, enum err err, const struct subscribe_plan *plan,
                               const struct subscribe_answer *answer, struct subscription *sub);
/* ERR_EXISTS: subscribed, or on its way. ERR_LIMIT: client.channel_limit. Then fn is not called and
 * plan->filter stays the caller's. */
enum err subscribe_start(struct client *cl, const struct subscribe_plan *plan,
                         subscribe_done_fn *fn, void *arg) NODISCARD;
/* Could it start? */
enum err subscribe_may_start(struct client *cl, struct str channel) NODISCARD;

/* The result as the wire wants it; false: a recovered publication does not fit a JSON client.
 * Borrows; lists are in the arena. */
bool subscribe_result(const struct client *cl, struct arena *a, const struct subscribe_plan *plan,
                      const struct subscribe_answer *answer, struct wire_subscribe_result *out);

/* Leaves: home and hooks are told, sub is freed. push: the client is told too (code >= 2000). */
void subscribe_leave(struct client *cl, struct subscription *sub, uint32_t code, struct str reason,
                     bool push);
/* A subscribe on its way to channel is undone when it arrives. */
void subscribe_cancel(struct client *cl, struct str channel);
/* Leaves all, for the end of a connection. */
void subscribe_leave_all(struct client *cl);

/* How long a stream of this namespace lives. */
struct stream_options subscribe_stream(const struct settings *s, const struct ns *ns);
