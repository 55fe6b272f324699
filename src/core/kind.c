#include "core/kind.h"

#include "codec/deflate.h"
#include "codec/ws.h"
#include "core/core.h"

static struct frame *ws_frame(enum kind k, struct str payload, bool compressed)
{
    char head[WS_HEADER_MAX];
    size_t n = ws_header(head, kind_wire(k) == WIRE_JSON ? WS_TEXT : WS_BINARY, payload.len);
    struct frame *f = frame_new(n + payload.len);

    if (compressed)
        ws_header_compressed(head);
    memcpy(f->bytes, head, n);
    if (payload.len > 0)
        memcpy(f->bytes + n, payload.ptr, payload.len);
    return f;
}

struct frame *kind_dress(struct core *core, enum kind k, struct str encoded)
{
    const struct settings *settings = core->settings;

    if (kind_deflates(k) && encoded.len > (uint64_t)settings->websocket_compression_min_size) {
        struct str packed =
            deflate_compress(core->deflate, (int)settings->websocket_compression_level, encoded);

        /* What does not get smaller would only cost the client its time. */
        if (packed.len < encoded.len)
            return ws_frame(k, packed, true);
    }
    return ws_frame(k, encoded, false);
}
