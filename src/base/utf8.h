/* Is it UTF-8 (RFC 3629: no overlong forms, no surrogates, nothing above U+10FFFF)? For whole texts
 * and for texts that arrive in parts. Owns nothing. Any thread. */
#pragma once

#include "base/str.h"

bool utf8_valid(struct str s);

/* Length of the valid character that s begins with, 0 if there is none. s must not be empty. */
size_t utf8_char(struct str s);

/* The longest prefix of at most max bytes that does not end inside a character. */
struct str utf8_cut(struct str s, size_t max);

/* A text in parts, as WebSocket fragments bring it; a character may be split anywhere. */
struct utf8_state {
    uint8_t need;   /* continuation bytes that must still come */
    uint8_t lo, hi; /* range of the next of them */
};
#define UTF8_STATE_INIT ((struct utf8_state){0, 0x80, 0xBF})

/* False at the first byte that no valid text can have there: fail fast, the text is lost. */
bool utf8_feed(struct utf8_state *state, struct str part) NODISCARD;
/* May the text end here? */
static inline bool utf8_complete(const struct utf8_state *state)
{
    return state->need == 0;
}
