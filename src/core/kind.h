/* The kinds of wire a connection may want: an encoding in a dress. A publication is encoded once
 * per encoding and dressed once per kind, then shared by all connections of that kind. */
#pragma once

#include "codec/wire.h"
#include "core/frame.h"

struct core;

enum kind {
    KIND_WS_JSON,
    KIND_WS_PROTOBUF,
    KIND_WS_JSON_DEFLATE, /* permessage-deflate was agreed on */
    KIND_WS_PROTOBUF_DEFLATE,
    KIND_COUNT
};

static inline enum wire kind_wire(enum kind k)
{
    return k == KIND_WS_PROTOBUF || k == KIND_WS_PROTOBUF_DEFLATE ? WIRE_PROTOBUF : WIRE_JSON;
}

static inline bool kind_deflates(enum kind k)
{
    return k == KIND_WS_JSON_DEFLATE || k == KIND_WS_PROTOBUF_DEFLATE;
}

/* One encoded message (or several, joined for the wire) in the dress of its kind. What compresses
 * is core's, and so are the settings that say how. */
struct frame *kind_dress(struct core *core, enum kind k, struct str encoded);
