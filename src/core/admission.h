/* How many clients this node takes: connections of all workers, new ones per second, and
 * connections of one user. One struct for the node, shared by its workers: the three numbers are
 * the node's, and asking another worker by mail before every accept would cost more than these
 * few atomics. Any thread.
 *
 * A transport calls admission_enter before it does any protocol work for a connection, and answers
 * 503 when it says no; what was entered is left by client_transport_closed. */
#pragma once

#include "base/err.h"
#include "core/settings.h"

struct admission;

struct admission *admission_new(void);
void admission_free(struct admission *a);

/* OK: counted. ERR_LIMIT: client.connection_limit; ERR_BUSY: client.connection_rate_limit. Both are
 * counted as refusals. */
enum err admission_enter(struct admission *a, const struct settings *s, uint64_t now_ms) NODISCARD;
void admission_leave(struct admission *a);
/* Should this refusal be logged? At most one every three seconds. */
bool admission_may_warn(struct admission *a, uint64_t now_ms);

/* OK: counted; ERR_LIMIT: the user has `limit` connections already. */
enum err admission_enter_user(struct admission *a, struct str user, int64_t limit) NODISCARD;
void admission_leave_user(struct admission *a, struct str user); /* who was counted */

struct admission_counts {
    uint64_t connections;
    uint64_t over_limit, over_rate; /* refused */
};
struct admission_counts admission_counts(const struct admission *a);
