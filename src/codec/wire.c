#include "codec/wire.h"

#include "base/check.h"
#include "codec/wire_desc.h"

#include <assert.h>

WIRE_MESSAGE_LIST(WIRE_DEFINE)

enum method wire_command_method(const struct wire_command *command)
{
#define CHOOSE(upper, lower)                                                                       \
    if (command->lower != NULL)                                                                    \
        return METHOD_##upper;
    WIRE_METHOD_LIST(CHOOSE)
#undef CHOOSE
    return METHOD_NONE;
}

/* The room behind ptr follows from count: none at 0, then 4, then the next power of two. So a list
 * can be taken up again, as Protobuf allows, without a place to note its capacity. */
void *wire_items_push(struct wire_decoder *d, struct wire_items *items, size_t size)
{
    size_t count = items->count;
    void *item;

    if (d->items_left == 0)
        return NULL;
    d->items_left--;
    if (count == 0 || (count >= 4 && (count & (count - 1)) == 0)) {
        void *wider = arena_alloc(d->arena, MAX(2 * count, 4) * size);

        if (count > 0)
            memcpy(wider, items->ptr, count * size);
        items->ptr = wider;
    }
    item = (char *)items->ptr + count * size;
    items->count++;
    return memset(item, 0, size);
}

bool wire_field_is_zero(const struct wire_field *field, const void *member)
{
    switch ((enum wire_type)field->type) {
    case WIRE_STR:
    case WIRE_RAW:
        return ((const struct str *)member)->len == 0;
    case WIRE_BOOL:
        return !*(const bool *)member;
    case WIRE_I32:
    case WIRE_U32:
        return *(const uint32_t *)member == 0;
    case WIRE_I64:
    case WIRE_U64:
    case WIRE_S64:
        return *(const uint64_t *)member == 0;
    case WIRE_MSG:
        return *(const void *const *)member == NULL;
    case WIRE_MSGS:
    case WIRE_STRS:
    case WIRE_MAP_STR:
    case WIRE_MAP_MSG:
        return ((const struct wire_items *)member)->count == 0;
    }
    return true;
}

enum err wire_next(enum wire wire, struct str *rest, struct arena *a, struct wire_command *out)
{
    return wire == WIRE_JSON ? wire_json_next(rest, a, out) : wire_pb_next(rest, a, out);
}

enum err wire_decode(enum wire wire, const struct wire_desc *desc, struct str bytes,
                     struct arena *a, void *out)
{
    return wire == WIRE_JSON ? wire_json_decode(desc, bytes, a, out)
                             : wire_pb_decode(desc, bytes, a, out);
}

void wire_add_message(enum wire wire, struct buf *out, const struct wire_desc *desc,
                      const void *message)
{
    if (wire == WIRE_JSON)
        wire_json_add(out, desc, message);
    else
        wire_pb_add(out, desc, message);
}

void wire_add_reply(enum wire wire, struct buf *out, const struct wire_reply *reply)
{
    if (wire == WIRE_JSON)
        wire_json_add(out, &wire_desc_reply, reply);
    else
        wire_pb_add_delimited(out, &wire_desc_reply, reply);
}
