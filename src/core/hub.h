/* The clients of one worker, by user and by channel, and fan-out: a publication is encoded once per
 * kind of wire and pushed as a shared frame into each subscriber's outbox. Worker thread. */
#pragma once

#include "base/list.h"
#include "base/map.h"
#include "core/core.h"
#include "core/filter.h"
#include "core/kind.h"
#include "core/outbox.h"
#include "core/publication.h"

struct hub;
struct hub_channel;
struct hub_client;

enum {                          /* struct subscription flags */
       SUB_POSITIONED = 1 << 0, /* offsets are checked; a gap is insufficient state */
       SUB_RECOVERABLE = 1 << 1,
       SUB_PUSH_JOIN_LEAVE = 1 << 2,
       SUB_EMIT_JOIN_LEAVE = 1 << 3,
       SUB_PRESENCE = 1 << 4,
       SUB_SERVER_SIDE = 1 << 5,    /* made by the server, not by a subscribe command */
       SUB_CLIENT_REFRESH = 1 << 6, /* expiry is renewed by the client's sub_refresh */
       SUB_FROM_TOKEN = 1 << 7,     /* server-side, named in the connection token */
       SUB_LOST = 1 << 8,           /* its position is lost: nothing is delivered until it leaves */
       SUB_DELTA = 1 << 9,          /* negotiated: data in text form, patches where they can be */
       SUB_HAS_BASE = 1 << 10,      /* of a delta: it has the publication at `offset` in full */
       SUB_FILTERED = 1 << 11,      /* extra->filter says what it wants; never with SUB_DELTA */
       SUB_BY_CAPS = 1 << 12,       /* a capability of the connection, not the rules, allowed it */
       SUB_MAY_PUBLISH =
           1 << 13, /* a subscription token allows it besides the rules; so the next */
       SUB_MAY_PRESENCE = 1 << 14,
       SUB_MAY_HISTORY = 1 << 15,
       SUB_REFRESHING = 1 << 16, /* the sub_refresh hook was asked */
       SUB_SPECIAL = SUB_DELTA | SUB_FILTERED,
};

/* One client in one channel. Freed by hub_unsubscribe. */
struct subscription {
    struct hub_channel *channel;
    struct hub_client *client;
    struct subscription *next_of_client;
    struct subscription_extra *extra; /* info, expiry and filter, NULL for most */
    uint32_t index;                   /* in the channel's array */
    uint32_t flags;
    /* With SUB_POSITIONED, which stays as hub_subscribe got it; otherwise not even allocated. */
    uint64_t offset;    /* the last delivered one */
    uint32_t epoch;     /* hub's number of the epoch; 0: none yet */
    uint32_t checked_s; /* worker seconds of the last delivery or position check */
};
struct subscription_extra {
    int64_t expire_at;     /* Unix seconds; 0: never */
    struct str chan_info;  /* raw; owned */
    struct filter *filter; /* owned; with SUB_FILTERED */
};

struct hub_client {
    struct outbox *outbox;
    struct subscription *subs; /* singly linked */
    struct hub_user *user;     /* NULL until hub_add_client */
    struct list in_user;       /* clients of one user */
    uint16_t sub_count;
    uint8_t kind; /* enum kind */
};

/* Up-calls, filled in by the client layer. Both may close the client later, not inside. */
struct hub_ops {
    /* A positioned subscription cannot go on without a gap. */
    void (*insufficient)(struct hub_client *hc, struct subscription *sub);
    /* The publication cannot be written in this client's encoding (binary data, JSON client). */
    void (*unfit)(struct hub_client *hc);
};

struct hub *hub_new(struct core *core);
void hub_set_ops(struct hub *hub, const struct hub_ops *ops);
void hub_free(struct hub *hub);

void hub_add_client(struct hub *hub, struct hub_client *hc, struct str user);
void hub_remove_client(struct hub *hub, struct hub_client *hc); /* without subscriptions left */
struct str hub_user_name(const struct hub_client *hc);
/* The list of struct hub_client (in_user) of a user, or NULL. */
struct list *hub_clients_of(struct hub *hub, struct str user);

/* Enters hc into the channel; the caller has its OK from home_subscribe. */
struct subscription *hub_subscribe(struct hub *hub, struct hub_client *hc, struct str channel,
                                   uint32_t flags);
void hub_set_position(struct hub *hub, struct subscription *sub, uint64_t offset, struct str epoch);
struct str hub_epoch(const struct hub *hub, const struct subscription *sub);
void hub_set_extra(struct subscription *sub, int64_t expire_at, struct str chan_info);
/* Takes the filter; once, at subscribe. */
void hub_set_filter(struct subscription *sub, struct filter *filter);
void hub_unsubscribe(struct hub *hub, struct subscription *sub); /* frees sub */
struct subscription *hub_find(const struct hub_client *hc, struct str channel);
struct str hub_channel_name(const struct subscription *sub);

/* Delivers to this worker's subscribers; p stays the caller's. previous: the publication of the
 * channel that p may be told as a delta of, or NULL. */
void hub_fanout(struct hub *hub, struct publication *p, const struct publication *previous);

struct hub_counts {
    size_t clients, users, channels, subscriptions;
};
struct hub_counts hub_counts(const struct hub *hub);
/* Walks channels; stops when fn returns false. */
void hub_each_channel(struct hub *hub, bool (*fn)(void *arg, struct str channel, size_t clients),
                      void *arg);
/* Walks all connected clients; the callback may not add or remove any. */
void hub_each_client(struct hub *hub, void (*fn)(void *arg, struct hub_client *hc), void *arg);
/* Walks users; the callback may not add or remove any. */
void hub_each_user(struct hub *hub, void (*fn)(void *arg, struct str user), void *arg);
