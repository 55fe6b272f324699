#include "base/utf8.h"

#define HIGH_BITS 0x8080808080808080u

/* What a lead byte announces: how many bytes must follow, and in which range the first of them is
 * (the narrow ranges keep out overlong forms, surrogates and what is above U+10FFFF). */
static bool lead(unsigned char c, struct utf8_state *state)
{
    if (c >= 0xC2 && c <= 0xDF)
        *state = (struct utf8_state){1, 0x80, 0xBF};
    else if (c >= 0xE0 && c <= 0xEF)
        *state = (struct utf8_state){2, c == 0xE0 ? 0xA0 : 0x80, c == 0xED ? 0x9F : 0xBF};
    else if (c >= 0xF0 && c <= 0xF4)
        *state = (struct utf8_state){3, c == 0xF0 ? 0x90 : 0x80, c == 0xF4 ? 0x8F : 0xBF};
    else
        return false;
    return true;
}

bool utf8_feed(struct utf8_state *state, struct str part)
{
    size_t i = 0;

    while (i < part.len) {
        unsigned char c = (unsigned char)part.ptr[i];

        if (state->need > 0) {
            if (c < state->lo || c > state->hi)
                return false;
            *state = (struct utf8_state){(uint8_t)(state->need - 1), 0x80, 0xBF};
            i++;
        } else if (c < 0x80) {
            uint64_t eight;

            i++;
            while (part.len - i >= sizeof eight) { /* most text is ASCII */
                memcpy(&eight, part.ptr + i, sizeof eight);
                if (eight & HIGH_BITS)
                    break;
                i += sizeof eight;
            }
        } else {
            if (!lead(c, state))
                return false;
            i++;
        }
    }
    return true;
}

bool utf8_valid(struct str s)
{
    struct utf8_state state = UTF8_STATE_INIT;

    return utf8_feed(&state, s) && utf8_complete(&state);
}

size_t utf8_char(struct str s)
{
    struct utf8_state state;
    unsigned char c = (unsigned char)s.ptr[0];
    size_t n;

    if (c < 0x80)
        return 1;
    if (!lead(c, &state))
        return 0;
    n = 1 + (size_t)state.need;
    if (s.len < n)
        return 0;
    for (size_t i = 1; i < n; i++) {
        c = (unsigned char)s.ptr[i];
        if (c < state.lo || c > state.hi)
            return 0;
        state.lo = 0x80;
        state.hi = 0xBF;
    }
    return n;
}

struct str utf8_cut(struct str s, size_t max)
{
    if (s.len <= max)
        return s;
    while (max > 0 && ((unsigned char)s.ptr[max] & 0xC0) == 0x80) /* s.ptr[max] is cut off */
        max--;
    return str_of(s.ptr, max);
}
