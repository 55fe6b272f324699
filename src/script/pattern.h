/* How much work would a Lua pattern be? Lua's own matcher backtracks inside C, where no count hook
 * can stop it. So a match that might be expensive is first walked here, where steps are counted;
 * only what stays within the budget goes to the real function. Any thread, no allocation. */
#pragma once

#include "base/str.h"

/* False when finding pattern in subject (every occurrence, if all) takes more than budget steps.
 * Patterns that are malformed or too deep count as cheap: the real function refuses them. */
bool pattern_is_cheap(struct str subject, struct str pattern, bool all, uint64_t budget);
