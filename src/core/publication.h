/* One publication (or join, or leave): immutable bytes in one allocation. The publisher fills it,
 * the channel's home gives it offset and epoch, and from then on any worker may hold a reference:
 * the count is atomic and moves once per worker, not per subscriber. */
#pragma once

#include "base/str.h"

#include <stdatomic.h>

enum publication_type { PUBLICATION_DATA, PUBLICATION_JOIN, PUBLICATION_LEAVE };

#define EPOCH_LEN_MAX 36

struct publication_info { /* the publishing client; user may be empty, client is not */
    struct str user, client;
    struct str conn_info, chan_info; /* raw */
};

struct publication {
    _Atomic uint32_t refs;
    uint8_t type;
    bool has_info;
    bool data_is_json; /* known to be one valid JSON value */
    bool delta;        /* subscribers that negotiated it get patches */
    uint8_t epoch_len;
    char epoch_text[EPOCH_LEN_MAX];
    uint64_t offset; /* 0: not in a stream */
    uint64_t version;
    uint64_t hash;   /* of channel */
    int64_t time_ms; /* wall time of the publish, for client.channel_position_max_time_lag */
    struct str channel, data;
    struct str tags;              /* raw JSON object of strings, validated; empty: none */
    struct publication_info info; /* with has_info */
    char bytes[];
};

/* What to make one of; everything is copied. */
struct publication_source {
    enum publication_type type;
    struct str channel, data, tags;
    bool data_is_json, has_info, delta;
    struct publication_info info;
    uint64_t version;
};
struct publication *publication_new(const struct publication_source *source);
struct publication *publication_ref(struct publication *p);
void publication_unref(struct publication *p);
/* Before it is shared. */
void publication_set_position(struct publication *p, uint64_t offset, struct str epoch);

static inline struct str publication_epoch(const struct publication *p)
{
    return str_of(p->epoch_text, p->epoch_len);
}
