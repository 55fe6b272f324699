/* A whole request head, read in one walk over its bytes. What proxies may read differently (bare
 * line ends, folded lines, doubled lengths, no Host) is refused. Of the codec only. Any thread. */
#pragma once

#include "codec/http.h"

/* How the body is announced. */
struct http_framing {
    bool chunked;
    uint64_t length; /* else */
};

/* Reads the head at the front of bytes, whose header names become lower case in place, into all of
 * req but its body. Returns the head's size, and with *status the HTTP status that refuses it, or
 * 0; returns 0 when its end is not there. */
size_t http_head_read(char *bytes, size_t n, struct http_request *req, struct http_framing *framing,
                      unsigned *status);
/* Where a head ends (behind its empty line), 0 when it has not ended. Begins at `from`, which must
 * be at most three bytes into what could be the end. */
size_t http_head_end(struct str bytes, size_t from);
