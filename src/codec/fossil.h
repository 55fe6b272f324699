/* Fossil deltas: a target text as copies from a base text both sides have, and literals. Pure
 * functions; time and memory grow with the two lengths only, whatever the bytes are. Any thread.
 *
 *     delta   = size "\n" { count "@" offset "," | count ":" bytes } checksum ";"
 *
 * with numbers in base 64, the most significant digit first. */
#pragma once

#include "base/err.h"
#include "base/str.h"

/* Beyond it no delta is made. */
#define FOSSIL_BYTES_MAX ((size_t)16 << 20)

/* Puts into out (cleared first) what makes target of base. False: that would not be shorter than
 * target, or one of them is too big; out's content then means nothing. If target is UTF-8, the
 * delta is, too: no literal begins or ends inside a character. */
bool fossil_encode(struct str base, struct str target, struct buf *out);

/* Adds to out the target that delta makes of base. ERR_SYNTAX: not a delta, or not one of this
 * base (a copy out of its bounds, a wrong length or checksum). ERR_LIMIT: it does not fit in out.
 * After an error out's content means nothing. */
enum err fossil_apply(struct str base, struct str delta, struct buf *out) NODISCARD;
