/* The payload side of permessage-deflate (RFC 7692): messages to raw DEFLATE and back, each on its
 * own, so that nothing has to be kept between two messages of a connection. A struct deflate holds
 * the two zlib streams of one worker, taken at their first use and lent to one message at a time;
 * a connection owns none. One thread. */
#pragma once

#include "base/err.h"
#include "base/str.h"

struct deflate;

struct deflate *deflate_new(void);
void deflate_free(struct deflate *d);
/* The payload that stands for message; lives until the next call. level: 1 (fast) to 9 (small). */
struct str deflate_compress(struct deflate *d, int level, struct str message);
/* The other way: appends to out, which never gets beyond its maximum, however much the payload
 * would become. ERR_LIMIT: it becomes more; ERR_SYNTAX: it is broken, or ends too early. out holds
 * the beginning then. */
enum err deflate_expand(struct deflate *d, struct str payload, struct buf *out) NODISCARD;
size_t deflate_memory(const struct deflate *d); /* bytes its streams own now */
