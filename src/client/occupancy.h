/* The hooks `occupied` and `vacated`: which channels have subscribers, told in turn, channel by
 * channel. `vacated` waits until the channel has been empty for channel.vacated_event_delay; who
 * comes meanwhile is not told either. While a hook waits, its channel's next event waits too.
 *
 * The home knows what is true (core/home.h); here is only what is still to be told, so a channel at
 * rest costs nothing. Worker thread of the home. */
#pragma once

#include "core/core.h"

struct occupancy;

struct occupancy *occupancy_new(struct core *core);
/* One end of a channel's quiet: a home_ops up-call. */
void occupancy_changed(struct occupancy *o, struct str channel, bool occupied);
/* Nobody waits for the delay any more: the server stops. */
void occupancy_hurry(struct occupancy *o);
bool occupancy_is_idle(const struct occupancy *o); /* nothing is left to be told */
/* No more hooks; those that run end. */
void occupancy_stop(struct occupancy *o);
void occupancy_free(struct occupancy *o);
