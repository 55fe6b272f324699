/* Configuration that is kept elsewhere: the keys below a prefix in etcd v3 (through its HTTP
 * gateway) or in Consul's KV store. Fetched once, or watched; what a value means is not known here.
 * Worker thread, in practice the main thread's. */
#pragma once

#include "base/err.h"
#include "base/str.h"
#include "loop/worker.h"

enum remote_type { REMOTE_NONE, REMOTE_ETCD, REMOTE_CONSUL };

struct remote_options {
    enum remote_type type;
    struct str endpoint;       /* URL without a path */
    struct str prefix;         /* "perigee": the keys perigee and perigee/… */
    struct str user, password; /* etcd; empty: no authentication */
    struct str token;          /* Consul; empty: none */
    uint64_t timeout_ms;       /* of one request */
};

/* Keys as what follows the prefix and its slash, in their order; empty for the prefix itself. */
struct remote_pair {
    struct str key, value; /* owned */
};
struct remote_values {
    struct remote_pair *pairs;
    size_t count;
};
void remote_values_deinit(struct remote_values *v);
uint64_t remote_values_hash(const struct remote_values *v); /* differs when they do, this process */

/* Waits for the answer, at most about twice the time-out: for a thread with nothing else to do. On
 * failure problem gets a sentence without secrets. */
enum err remote_fetch(const struct remote_options *options, struct remote_values *out,
                      struct buf *problem) NODISCARD;

struct remote;
typedef void remote_changed_fn(void *arg);
/* Reads and then waits for changes, again and again; failures are logged and tried again. fn is
 * called when the values are others than before, the first ones included. Copies options. */
struct remote *remote_watch(struct worker *w, const struct remote_options *options,
                            remote_changed_fn *fn, void *arg);
/* The newest values; NULL before the first. Valid until fn is called again. */
const struct remote_values *remote_latest(const struct remote *r);
bool remote_is_for(const struct remote *r, const struct remote_options *options);
/* No more calls; it frees itself. */
void remote_close(struct remote *r);
