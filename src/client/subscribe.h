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

/* A subscribe under way, from the command or the server's order until its answer: meanwhile nobody
 * else begins one to the channel. Whoever holds it holds a reference of the client, too. */
struct subscribe_claim;
/* ERR_EXISTS: subscribed, or under way. ERR_LIMIT: client.channel_limit. */
enum err subscribe_claim(struct client *cl, struct str channel,
                         struct subscribe_claim **out) NODISCARD;
void subscribe_give_up(struct subscribe_claim *claim); /* it came to nothing */
struct subscribe_claim *subscribe_under_way(const struct client *cl, struct str channel);
/* Who waits for a claim's end. fn is called once then, in the order of coming; the next claim of
 * the channel may have begun in a call before. */
struct subscribe_waiter {
    struct list in_claim;
    void (*fn)(struct subscribe_waiter *w);
};
void subscribe_when_over(struct subscribe_claim *claim, struct subscribe_waiter *w);
void subscribe_wait_no_more(struct subscribe_waiter *w);

/* OK: sub is entered and answer says where it begins. Otherwise sub is NULL: ERR_CLOSED when the
 * client went away meanwhile, ERR_EXPIRED for require_recovered, or the engine's error. Called
 * exactly once, never inline; answer and plan are borrowed. */
typedef void subscribe_done_fn(void *arg, enum err err, const struct subscribe_plan *plan,
                               const struct subscribe_answer *answer, struct subscription *sub);
/* Takes the claim, whose channel is the plan's, and plan->filter. */
void subscribe_start(struct subscribe_claim *claim, const struct subscribe_plan *plan,
                     subscribe_done_fn *fn, void *arg);

/* The result as the wire wants it; false: its data or a recovered publication does not fit a
 * JSON client.
 * Borrows; lists are in the arena. */
bool subscribe_result(const struct client *cl, struct arena *a, const struct subscribe_plan *plan,
                      const struct subscribe_answer *answer, struct wire_subscribe_result *out);

/* Leaves: home and hooks are told, sub is freed. push: the client is told too (code >= 2000). */
void subscribe_leave(struct client *cl, struct subscription *sub, uint32_t code, struct str reason,
                     bool push);
/* A subscribe under way to channel is undone when it arrives. */
void subscribe_cancel(struct client *cl, struct str channel);
/* Leaves all, for the end of a connection. */
void subscribe_leave_all(struct client *cl);
