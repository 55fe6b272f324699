/* The channels that live on one worker: hash(name) % workers. A channel's home gives its
 * publications their order, keeps its history and presence (through the engine), and knows which
 * workers have subscribers. Everything of a channel passes its home first in, first out, so there
 * is no lock, and recovery while others publish needs no buffer: the answer to a subscribe is mail
 * of the same sender as the publications around it.
 *
 * The functions below are called on any worker; they post to the home, and answer on the calling
 * worker through fn, exactly once, never inline unless they say so. Arguments are borrowed (copied
 * into the mail). */
#pragma once

#include "core/core.h"
#include "core/engine.h"
#include "core/filter.h"

struct home;
struct home *home_new(struct core *core, struct engine *engine);
void home_free(struct home *home);

/* Up-calls, filled in by the client layer, on the home's worker; channel is borrowed. */
struct home_ops {
    /* The channel's first subscriber came, or its last one left: in turn, each once. */
    void (*occupancy)(struct core *core, struct str channel, bool occupied);
};
void home_set_ops(struct home *home, const struct home_ops *ops);

/* The worker that is the channel's home. */
struct worker *home_of(const struct core *core, uint64_t channel_hash);

/* --- publish ---------------------------------------------------------------------------------- */

struct publish_request {
    struct stream_options stream;
    struct str idempotency_key, version_epoch;
    uint64_t version;
    bool may_be_inline; /* fn may be called before the call returns, ahead of the fan-out */
};
typedef void home_published_fn(void *arg, enum err err, struct stream_position position);
/* Takes the caller's reference of p. fn may be NULL. ERR_BUSY: the home lags, nothing was done. */
void home_publish(struct core *core, struct publication *p, const struct publish_request *request,
                  home_published_fn *fn, void *arg);

/* --- subscribe -------------------------------------------------------------------------------- */

enum recovery_mode { RECOVERY_NONE, RECOVERY_STREAM, RECOVERY_CACHE };

struct subscribe_request {
    struct str channel;
    struct stream_options stream;
    bool positioned;              /* the answer must carry the stream's position */
    bool presence;                /* keep an entry */
    bool join_leave;              /* tell the others */
    bool require_recovered;       /* ERR_EXPIRED instead of recovered = false, and not subscribed */
    enum recovery_mode recovery;  /* asked for */
    struct stream_position since; /* with recovery */
    uint32_t recovery_limit;
    const struct filter *filter; /* of what is recovered, or NULL; must live until the answer */
    struct presence_entry entry; /* with presence or join_leave */
};
struct subscribe_answer {
    struct stream_position top; /* with positioned */
    bool recovered;
    struct publication *const *publications; /* in order, after `since`; borrowed */
    size_t count;
};
typedef void home_subscribed_fn(void *arg, enum err err, const struct subscribe_answer *answer);
/* From OK on, this worker gets the channel's publications, in order, through hub_fanout; the first
 * one behind the answer is the next after answer->top. */
void home_subscribe(struct core *core, const struct subscribe_request *request,
                    home_subscribed_fn *fn, void *arg);

struct unsubscribe_request {
    struct str channel;
    bool presence, join_leave; /* as they were at subscribe */
    struct presence_entry entry;
};
/* Undoes one OK home_subscribe. No answer. */
void home_unsubscribe(struct core *core, const struct unsubscribe_request *request);
/* The entry's info changed, or it must be kept alive (engines with a presence TTL). */
void home_presence_refresh(struct core *core, struct str channel,
                           const struct presence_entry *entry);

/* --- reading ---------------------------------------------------------------------------------- */

typedef void home_history_fn(void *arg, enum err err, const struct history_result *result);
/* ERR_EXPIRED: since_epoch is not the stream's. */
void home_history(struct core *core, struct str channel, const struct stream_options *options,
                  const struct history_filter *filter, home_history_fn *fn, void *arg);
typedef void home_done_fn(void *arg, enum err err);
void home_history_remove(struct core *core, struct str channel, home_done_fn *fn, void *arg);
typedef void home_presence_fn(void *arg, enum err err, const struct presence_result *result);
void home_presence(struct core *core, struct str channel, bool stats_only, home_presence_fn *fn,
                   void *arg);
