/* What wire.c, wire_json.c and wire_pb.c share: how a list of fields becomes a description, and the
 * bookkeeping of a decoder. Not for use outside of the codecs, except WIRE_DEFINE. Any thread. */
#pragma once

#include "codec/wire.h"

/* Defines wire_desc_<name> for what WIRE_FORWARD and WIRE_DECLARE have declared. */
#define WIRE_DEFINE(name_, FIELDS)                                                                 \
    static const struct wire_field fields_##name_[] = {FIELDS(WIRE_FIELD_, name_)};                \
    const struct wire_desc wire_desc_##name_ = {                                                   \
        .name = #name_,                                                                            \
        .fields = fields_##name_,                                                                  \
        .count = ARRAY_LEN(fields_##name_),                                                        \
        .size = sizeof(struct wire_##name_),                                                       \
    };

#define WIRE_FIELD_(M, type_, sub_, name_, number_, flags_)                                        \
    {                                                                                              \
        .quoted = ",\"" #name_ "\":",                                                              \
        .sub = WIRE_SUB_##type_(sub_),                                                             \
        .offset = (uint16_t)offsetof(struct wire_##M, name_),                                      \
        .quoted_len = sizeof(",\"" #name_ "\":") - 1,                                              \
        .number = (number_),                                                                       \
        .type = WIRE_##type_,                                                                      \
        .flags = (flags_),                                                                         \
        .tag = {WIRE_TAG_LOW_(WIRE_KEY_(number_, WIRE_FORM_##type_)),                              \
                WIRE_TAG_HIGH_(WIRE_KEY_(number_, WIRE_FORM_##type_))},                            \
    },

#define WIRE_KEY_(number, form) ((unsigned)(number) << 3 | (unsigned)(form))
#define WIRE_TAG_LOW_(key) (uint8_t)((key) < 0x80 ? (key) : ((key)&0x7F) | 0x80)
#define WIRE_TAG_HIGH_(key) (uint8_t)((key) >> 7)

#define WIRE_SUB_STR(sub) NULL
#define WIRE_SUB_RAW(sub) NULL
#define WIRE_SUB_BOOL(sub) NULL
#define WIRE_SUB_I32(sub) NULL
#define WIRE_SUB_I64(sub) NULL
#define WIRE_SUB_U32(sub) NULL
#define WIRE_SUB_U64(sub) NULL
#define WIRE_SUB_S64(sub) NULL
#define WIRE_SUB_MSG(sub) &wire_desc_##sub
#define WIRE_SUB_MSGS(sub) &wire_desc_##sub
#define WIRE_SUB_STRS(sub) NULL
#define WIRE_SUB_MAP_STR(sub) NULL
#define WIRE_SUB_MAP_MSG(sub) &wire_desc_##sub

/* How Protobuf writes a value. */
enum wire_form {
    WIRE_FORM_VARINT = 0,
    WIRE_FORM_FIXED64 = 1,
    WIRE_FORM_BYTES = 2, /* a length, then as many bytes */
    WIRE_FORM_FIXED32 = 5,
};

#define WIRE_FORM_STR WIRE_FORM_BYTES
#define WIRE_FORM_RAW WIRE_FORM_BYTES
#define WIRE_FORM_BOOL WIRE_FORM_VARINT
#define WIRE_FORM_I32 WIRE_FORM_VARINT
#define WIRE_FORM_I64 WIRE_FORM_VARINT
#define WIRE_FORM_U32 WIRE_FORM_VARINT
#define WIRE_FORM_U64 WIRE_FORM_VARINT
#define WIRE_FORM_S64 WIRE_FORM_VARINT
#define WIRE_FORM_MSG WIRE_FORM_BYTES
#define WIRE_FORM_MSGS WIRE_FORM_BYTES
#define WIRE_FORM_STRS WIRE_FORM_BYTES
#define WIRE_FORM_MAP_STR WIRE_FORM_BYTES
#define WIRE_FORM_MAP_MSG WIRE_FORM_BYTES

/* What every list and map of wire.h looks like in memory. */
struct wire_items {
    void *ptr;
    size_t count;
};

/* A map entry with a message, whatever the message is. */
struct wire_entry {
    struct str key;
    const void *value;
};

/* One decoding, of either encoding. */
struct wire_decoder {
    struct arena *arena;
    size_t items_left; /* of WIRE_ITEMS_MAX */
    unsigned depth_left;
};

#define WIRE_DECODER(a)                                                                            \
    ((struct wire_decoder){                                                                        \
        .arena = (a), .items_left = WIRE_ITEMS_MAX, .depth_left = WIRE_DEPTH_MAX})

/* One more item, zeroed; NULL when there are too many. */
void *wire_items_push(struct wire_decoder *d, struct wire_items *items, size_t size);

/* Is it a field that JSON leaves out and Protobuf too? */
bool wire_field_is_zero(const struct wire_field *field, const void *member);
