/* Orders that concern clients wherever they are, and questions to every worker: posted to all
 * workers, answered when all have answered. Any worker may ask; fn runs there, never inline. */
#pragma once

#include "core/core.h"
#include "base/err.h"

/* Whom an order means: all filters that are set must match. user is always compared. */
struct control_target {
    struct str user, client, session;
    const struct str *whitelist; /* client ids that stay (disconnect) */
    size_t whitelist_count;
};

struct control_subscribe {
    struct str channel;
    int64_t expire_at;
    struct str info, data; /* raw */
    struct str override;   /* raw JSON object */
    bool has_since;
    uint64_t since_offset;
    struct str since_epoch;
};

/* Tokens that count no more (core/revocation.h): one by its uid, or those of target.user. */
struct control_revoke {
    struct str uid;     /* empty: the user's */
    struct str channel; /* empty: all of the user's */
    int64_t issued_before;
};

enum control_kind {
    CONTROL_SUBSCRIBE,
    CONTROL_UNSUBSCRIBE,
    CONTROL_DISCONNECT,
    CONTROL_REFRESH,
    CONTROL_REVOKE,
};

struct control_order {
    enum control_kind kind;
    struct control_target target;
    struct control_subscribe subscribe; /* for unsubscribe only .channel */
    uint32_t code;                      /* disconnect, unsubscribe */
    struct str reason;
    struct control_revoke revoke;
    bool expired;      /* refresh */
    int64_t expire_at; /* refresh, revoke */
    struct str info;
};

/* Filled in by the client layer: carries the order out for this worker's clients. */
typedef void control_fn(struct core *core, const struct control_order *order);
void control_set_handler(struct core *core, control_fn *fn);

typedef void control_done_fn(void *arg, enum err err);
/* Returns to the caller when this node's workers have carried it out. fn may be NULL. */
void control_send(struct core *core, const struct control_order *order, control_done_fn *fn,
                  void *arg);

/* --- questions -------------------------------------------------------------------------------- */

struct control_channel {
    struct str name;
    uint64_t clients;
};
typedef void control_channels_fn(void *arg, enum err err, const struct control_channel *channels,
                                 size_t count);
/* Channels with subscribers whose name matches the glob pattern (empty: all). */
void control_channels(struct core *core, struct str pattern, control_channels_fn *fn, void *arg);

struct control_info {
    uint64_t clients, users, channels, subscriptions; /* users and channels distinct over workers */
};
typedef void control_info_fn(void *arg, enum err err, const struct control_info *info);
void control_info(struct core *core, control_info_fn *fn, void *arg);
