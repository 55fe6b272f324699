/* How many commands a connection may send (client.rate_limit.client_command), how many errors it
 * may be answered (client_error), and how many commands its user may send over all connections on
 * this node (user_command, core/user_limits.h). Token buckets; those of a connection are kept only
 * while commands come: the last two stand in one word inside the client, more of them make a record
 * on the heap, and a record whose buckets are all full again is given back within two seconds.
 * Worker thread; a struct limits serves one worker. */
#pragma once

#include "codec/wire.h"
#include "core/core.h"

struct limits;

/* In the client: 0, packed times of one or two commands (odd), or a pointer to a record. */
struct limit_slot {
    uintptr_t word;
};

struct limits *limits_new(struct core *core);
void limits_free(struct limits *ls); /* without slots in use */

/* Counts a command, other than connect; false: over a bucket of its own or of `total`, the
 * connection's or the user's, and nothing is counted. An empty user has no limits of users. */
bool limit_take(struct limits *ls, struct limit_slot *slot, struct str user, enum method method);
/* Counts a connect command. A connection has only one, so it is the user's. */
bool limit_take_connect(struct limits *ls, struct str user);
/* Counts an error that the connection is answered; false: it was one too many. */
bool limit_take_error(struct limits *ls, struct limit_slot *slot);
/* After a refusal: should it be logged? At most once a second for a connection. */
bool limit_may_log(struct limits *ls, const struct limit_slot *slot);
/* Which option refused last: the path of its buckets. */
struct str limit_option(const struct limits *ls);
/* The connection ends. */
void limit_release(struct limits *ls, struct limit_slot *slot);

struct limit_counts {
    uint64_t refused; /* commands */
    uint64_t records; /* on the heap now */
};
struct limit_counts limit_counts(const struct limits *ls);
