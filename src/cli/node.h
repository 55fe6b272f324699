/* A whole node: the main thread, which starts the workers, waits for signals and stops everything
 * in order, and the workers it starts. Main thread. */
#pragma once

#include "core/core.h"

struct remote;
struct server;

struct node_request {
    struct settings *settings; /* borrowed */
    /* On SIGHUP or a change of the source: new settings with a reference, or NULL when they are
     * wrong (and logged). source may be NULL. NULL: there is nothing to reload. */
    struct settings *(*reload)(void *arg, const struct remote *source);
    void *reload_arg;
    int port; /* taken instead of the setting's */
    /* Adds routes of its own on each worker; may be NULL. */
    void (*extend)(struct core *core, struct server *server, void *arg);
    /* Called once when every worker listens; may be NULL. */
    void (*ready)(int port, void *arg);
    void *arg;
};

/* Runs until a signal ends it; the process's exit code. */
int node_run(const struct node_request *request);
