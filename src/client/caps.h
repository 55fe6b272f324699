/* Capabilities: what a token or the connect hook lets one connection do beyond the rules of its
 * namespaces. A list of { channels, match, allow }; the first pattern that a channel matches
 * decides, so what stands behind it says nothing about that channel. Immutable once made. Most
 * connections have none and then pay a NULL pointer. Worker thread. */
#pragma once

#include "base/err.h"
#include "core/settings.h"

struct caps;

#define CAPS_PATTERNS_MAX                                                                          \
    1000 /* of one connection, and how many of them may be regular expressions: */
#define CAPS_REGEX_MAX 50

/* From raw JSON. *out is NULL for null and for an empty list. ERR_SYNTAX: not such a list, or a
 * broken pattern; ERR_LIMIT: too many. */
enum err caps_new(struct str json, struct caps **out) NODISCARD;
void caps_free(struct caps *c); /* NULL is fine */
/* Bits of enum allow for the channel; 0 when nothing matches. c NULL: 0. */
unsigned caps_for(const struct caps *c, struct str channel);

/* A list such as ["pub", "hst"] as bits of enum allow; words that are not known grant nothing. */
enum err caps_read_allow(struct str json, unsigned *out) NODISCARD;
