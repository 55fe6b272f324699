/* A tag filter of a subscription: which publications it wants, by their tags. Made once from the
 * client's tree, then immutable bytes in one allocation, so the home may read what the client's
 * worker owns while that waits for the home's answer. Owned by the subscribe on its way, then by
 * the subscription. */
#pragma once

#include "base/err.h"
#include "codec/wire.h"

#define FILTER_DEPTH_MAX 32
#define FILTER_NODES_MAX 256
#define FILTER_VALUES_MAX 1024       /* of all nodes together */
#define FILTER_BYTES_MAX (16 * 1024) /* of all texts together */

struct filter;

/* ERR_SYNTAX: no valid filter. ERR_LIMIT: one of the numbers above is exceeded. */
enum err filter_new(const struct wire_filter_node *root, struct filter **out) NODISCARD;
void filter_free(struct filter *f); /* NULL is fine */
/* Of two tags with the same key the last one counts. */
bool filter_match(const struct filter *f, struct wire_pairs tags);

/* Compares two decimal numbers exactly ([+-]digits[.digits], at most 200 characters and 19 of them
 * behind the point): order < 0, 0, > 0. False: one of them is no such number. */
bool filter_compare_numbers(struct str a, struct str b, int *order);
