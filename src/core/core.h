/* What one worker knows of the messaging: its place in the node, settings, hub and home. Everything
 * that is not shared by all workers hangs here. Worker thread. */
#pragma once

#include "core/settings.h"
#include "loop/worker.h"

#define WORKERS_MAX 64

struct core;
struct control_order;
struct deflate;

/* Shared by all workers, fixed before they start. */
struct node {
    char uid[36];
    struct str name, version;
    uint64_t started_ms;
    unsigned worker_count;
    struct worker *workers[WORKERS_MAX];
    struct core *cores[WORKERS_MAX]; /* each touched by its own worker only */
    struct admission *admission;
    struct user_limits *user_limits;
    struct dicts *dicts; /* NULL: perigee.dict is not there */
};

struct core {
    struct worker *worker;
    struct node *node;
    struct settings *settings; /* this worker's reference; swapped on reload */
    struct outboxes *outboxes;
    struct hub *hub;
    struct home *home;
    struct http_client *http;        /* requests to other servers; NULL once the worker closes */
    struct deflate *deflate;         /* lent to one message at a time */
    struct revocations *revocations; /* this worker's copy of the node's */
    struct timer dict_sweep;         /* set on the first worker only */
    void (*carry_out)(struct core *core, const struct control_order *order); /* see control.h */
    /* Owned by the layers above, who find them here; core never looks at them. */
    struct script *script;
    struct clients *clients;
    struct server *server;
    struct api *api;
    bool closing;
};

/* Makes hub, home, engine and metrics of worker w and enters itself in node. */
struct core *core_new(struct node *node, struct worker *w, struct settings *settings);
/* Ends what keeps the worker's loop alive; harmless a second time. Part of core_free. */
void core_close(struct core *c);
void core_free(struct core *c);

static inline struct core *core_of(struct worker *w)
{
    return (struct core *)w->core;
}
