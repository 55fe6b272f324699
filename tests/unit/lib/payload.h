/* What a WebSocket frame of ours carries. */
#pragma once

#include "base/check.h"
#include "core/frame.h"

/* Borrowed from the frame. */
static inline struct str frame_payload(const struct frame *f)
{
    unsigned short_len = f->bytes[1] & 127;
    size_t head = short_len < 126 ? 2 : short_len == 126 ? 4 : 10;

    CHECK(f->len >= head);
    return str_of(f->bytes + head, f->len - head);
}
