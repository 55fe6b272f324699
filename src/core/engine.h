/* The engine behind the homes: where streams and presence are kept, and what joins nodes. A home
 * calls it on the home's thread; every call answers exactly once through its callback, on the same
 * thread, maybe before the call returns (the memory engine always does).
 *
 * Names are borrowed for the call. Publications are references: an engine that keeps one takes
 * its own. */
#pragma once

#include "base/err.h"
#include "core/publication.h"

struct engine;

struct stream_options {
    uint32_t size; /* 0: no history */
    int64_t ttl_ms, meta_ttl_ms;
};

struct stream_position {
    uint64_t offset;
    struct str epoch; /* valid during the callback */
};

struct engine_publish {
    struct publication *publication;
    struct stream_options stream; /* size 0: just pass it on */
    struct str idempotency_key;   /* empty: none */
    uint64_t version;             /* 0: none */
    struct str version_epoch;
};
/* suppressed: nothing was stored and nothing must be delivered; position is the earlier one.
 * deliver: this node delivers now (memory); false where it comes back by subscription (Redis). */
struct engine_published {
    struct stream_position position;
    bool suppressed, deliver;
    struct publication *previous; /* of a publication with delta: the stream's newest before it, */
};                                /* NULL if it is not known; borrowed for the callback */

struct history_filter {
    int64_t limit; /* 0: only the position; < 0: everything */
    bool has_since, reverse;
    uint64_t since_offset;
    struct str since_epoch;
};
struct history_result {
    struct stream_position position;
    struct publication *const *publications; /* borrowed; take references to keep */
    size_t count;
};

struct presence_entry {
    struct str client, user, conn_info, chan_info;
};
struct presence_result {
    const struct presence_entry *entries; /* borrowed */
    size_t count;
    size_t users; /* distinct */
};

typedef void engine_done_fn(void *arg, enum err err);
typedef void engine_published_fn(void *arg, enum err err, const struct engine_published *result);
typedef void engine_history_fn(void *arg, enum err err, const struct history_result *result);
typedef void engine_presence_fn(void *arg, enum err err, const struct presence_result *result);

struct engine_ops {
    const char *name;
    void (*publish)(struct engine *e, const struct engine_publish *what, engine_published_fn *fn,
                    void *arg);
    /* This node wants, or no longer wants, what is published into channel. */
    void (*subscribe)(struct engine *e, struct str channel, engine_done_fn *fn, void *arg);
    void (*unsubscribe)(struct engine *e, struct str channel);
    /* ERR_EXPIRED: since_epoch is not the stream's. */
    void (*history)(struct engine *e, struct str channel, const struct stream_options *options,
                    const struct history_filter *filter, engine_history_fn *fn, void *arg);
    void (*history_remove)(struct engine *e, struct str channel, engine_done_fn *fn, void *arg);
    void (*presence_add)(struct engine *e, struct str channel, const struct presence_entry *entry,
                         engine_done_fn *fn, void *arg);
    void (*presence_remove)(struct engine *e, struct str channel, struct str client,
                            engine_done_fn *fn, void *arg);
    /* stats_only: entries may stay empty, count and users are filled in. */
    void (*presence)(struct engine *e, struct str channel, bool stats_only, engine_presence_fn *fn,
                     void *arg);
    void (*close)(struct engine *e); /* frees it; nothing is called afterwards */
};

struct engine {
    const struct engine_ops *ops;
};

struct worker;
/* In this worker's memory. */
struct engine *engine_memory_new(struct worker *w);
