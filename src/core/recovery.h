/* Whether what a stream still holds continues a client's position without a gap. Pure functions,
 * called on the home's thread. */
#pragma once

#include "core/home.h"

/* What to read for this subscribe: the missed publications, the newest one, or only the top. */
struct history_filter recovery_filter(const struct subscribe_request *r);
/* The part of the read result that answers it (borrowed), and whether it is whole. */
struct history_result recovery_choose(const struct subscribe_request *r,
                                      const struct history_result *read, bool *recovered);
