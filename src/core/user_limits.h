/* How often a user may do something, over all connections on this node. One struct for the node,
 * shared by its workers: a user's connections lie on several of them, and asking another worker by
 * mail before a command would cost more than one lock that hardly anybody else wants. Asked only
 * where a limit of users is configured. Any thread. */
#pragma once

#include "core/bucket.h"

struct user_limits;

struct user_limits *user_limits_new(void);
void user_limits_free(struct user_limits *ul);

#define USER_LIMITS_ROWS 16

/* One thing that is limited, by its number below USER_LIMITS_ROWS, and how. */
struct user_limit {
    unsigned row;
    const struct rate_buckets *buckets;
};

/* Takes one of each, or nothing; returns the index of the limit that refuses, or count. Other
 * buckets than last time (a reload) hold at once. */
size_t user_limits_take(struct user_limits *ul, struct str user, const struct user_limit *limits,
                        size_t count, uint64_t now_ns);
/* Gives the memory of buckets that are full again back, at most once a second whoever asks. False:
 * no other is left. */
bool user_limits_sweep(struct user_limits *ul, uint64_t now_ns);
/* Buckets it keeps now, those included that are full again but not swept yet. */
size_t user_limits_count(struct user_limits *ul);
