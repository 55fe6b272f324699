/* One publication on its way in: the transform hook, then the home. Both doors, the client's
 * publish command and the server API, go through here. Worker thread. */
#pragma once

#include "core/home.h"
#include "script/hook.h"

/* err OK: position as the home gave it (empty when the transform hook dropped it). ERR_SCRIPT: the
 * hook failed. */
typedef void publish_done_fn(void *arg, enum err err, struct stream_position position);
/* source and request are borrowed. fn is called exactly once, maybe before the call returns. */
void publish_start(struct core *core, const struct publication_source *source,
                   const struct publish_request *request, publish_done_fn *fn, void *arg);
