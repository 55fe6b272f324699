#include "core/kind.h"

#include "codec/ws.h"

struct frame *kind_dress(enum kind k, struct str encoded)
{
    enum ws_opcode opcode = k == KIND_WS_JSON ? WS_TEXT : WS_BINARY;
    char head[WS_HEADER_MAX];
    size_t n = ws_header(head, opcode, encoded.len);
    struct frame *f = frame_new(n + encoded.len);

    memcpy(f->bytes, head, n);
    if (encoded.len > 0)
        memcpy(f->bytes + n, encoded.ptr, encoded.len);
    return f;
}

void kind_separate(enum kind k, struct buf *out)
{
    if (k == KIND_WS_JSON)
        buf_add_char(out, '\n');
}
