/* One publication on its way in: the transform hook, then the home. Both doors, the client's
 * publish command and the server API, go through here. Worker thread. */
#pragma once

#include "core/home.h"
#include "script/hook.h"

/* The transform hook refused the publication, or failed: verdict is an error. Borrowed. */
typedef void publish_refused_fn(void *arg, const struct hook_verdict *verdict);
/* source and request are borrowed. fn or refused is called exactly once, maybe before the call
 * returns; fn gets OK and an empty position when the hook dropped the publication. */
void publish_start(struct core *core, const struct publication_source *source,
                   const struct publish_request *request, home_published_fn *fn,
                   publish_refused_fn *refused, void *arg);
