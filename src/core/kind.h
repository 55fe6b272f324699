/* The kinds of wire a connection may want: an encoding in a dress. A publication is encoded once
 * per encoding and dressed once per kind, then shared by all connections of that kind. */
#pragma once

#include "codec/wire.h"
#include "core/frame.h"

enum kind { KIND_WS_JSON, KIND_WS_PROTOBUF, KIND_COUNT };

static inline enum wire kind_wire(enum kind k)
{
    return k == KIND_WS_PROTOBUF ? WIRE_PROTOBUF : WIRE_JSON;
}

/* One encoded message (or several, joined for the wire) in the dress of its kind. */
struct frame *kind_dress(enum kind k, struct str encoded);
/* Puts what separates two messages of one frame ("\n" in JSON, nothing in Protobuf). */
void kind_separate(enum kind k, struct buf *out);
