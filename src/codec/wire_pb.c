/* The messages in Protobuf (proto3). Every length is checked against what is there before anything
 * is done with it; unknown fields are skipped; groups, which proto3 does not have, are refused. */
#include "base/utf8.h"
#include "codec/wire_desc.h"

#include <assert.h>

#define VARINT_MAX 10 /* bytes of a 64-bit number */

/* ---- encoding ---- */

static size_t put_varint(char *to, uint64_t n)
{
    size_t len = 0;

    while (n >= 0x80) {
        to[len++] = (char)(n | 0x80);
        n >>= 7;
    }
    to[len++] = (char)n;
    return len;
}

static void add_varint(struct buf *out, uint64_t n)
{
    char bytes[VARINT_MAX];

    buf_add(out, bytes, put_varint(bytes, n));
}

static void add_tag(struct buf *out, const struct wire_field *field)
{
    buf_add(out, field->tag, field->tag[1] ? 2 : 1);
}

static void add_bytes(struct buf *out, struct str bytes)
{
    add_varint(out, bytes.len);
    buf_add_str(out, bytes);
}

/* A length is only known once everything behind it is written. Most are below 128, so one byte is
 * kept free for it; else what is behind moves up. */
static size_t begin_length(struct buf *out)
{
    buf_add_char(out, 0);
    return out->len;
}

static void end_length(struct buf *out, size_t from)
{
    char length[VARINT_MAX];
    size_t n, len;

    if (out->overflow)
        return;
    n = out->len - from;
    len = put_varint(length, n);
    if (len > 1) {
        if (buf_reserve(out, len - 1) == NULL)
            return;
        memmove(out->ptr + from + len - 1, out->ptr + from, n);
        out->len += len - 1;
    }
    memcpy(out->ptr + from - 1, length, len);
}

void wire_pb_add_delimited(struct buf *out, const struct wire_desc *desc, const void *message)
{
    size_t from = begin_length(out);

    wire_pb_add(out, desc, message);
    end_length(out, from);
}

/* Entries of maps: key is field 1, value is field 2. */
#define TAG_KEY 0x0A
#define TAG_VALUE 0x12

static void add_pair(struct buf *out, const struct wire_pair *pair)
{
    size_t from = begin_length(out);

    buf_add_char(out, TAG_KEY);
    add_bytes(out, pair->key);
    buf_add_char(out, TAG_VALUE);
    add_bytes(out, pair->value);
    end_length(out, from);
}

static void add_entry(struct buf *out, const struct wire_desc *desc, const struct wire_entry *entry)
{
    size_t from = begin_length(out);

    buf_add_char(out, TAG_KEY);
    add_bytes(out, entry->key);
    buf_add_char(out, TAG_VALUE);
    if (entry->value != NULL)
        wire_pb_add_delimited(out, desc, entry->value);
    else
        buf_add_char(out, 0);
    end_length(out, from);
}

static void add_items(struct buf *out, const struct wire_field *field,
                      const struct wire_items *items)
{
    const char *item = items->ptr;

    for (size_t i = 0; i < items->count; i++) {
        add_tag(out, field);
        switch ((enum wire_type)field->type) {
        case WIRE_MSGS:
            wire_pb_add_delimited(out, field->sub, item + i * field->sub->size);
            break;
        case WIRE_MAP_STR:
            add_pair(out, (const struct wire_pair *)items->ptr + i);
            break;
        case WIRE_MAP_MSG:
            add_entry(out, field->sub, (const struct wire_entry *)items->ptr + i);
            break;
        default: /* WIRE_STRS */
            add_bytes(out, ((const struct str *)items->ptr)[i]);
        }
    }
}

static uint64_t zigzag(int64_t n)
{
    return (uint64_t)n << 1 ^ (n < 0 ? UINT64_MAX : 0);
}

static void add_value(struct buf *out, const struct wire_field *field, const void *member)
{
    switch ((enum wire_type)field->type) {
    case WIRE_STR:
    case WIRE_RAW:
        add_bytes(out, *(const struct str *)member);
        break;
    case WIRE_BOOL:
        buf_add_char(out, 1);
        break;
    case WIRE_I32: /* a negative one takes ten bytes, as if it had 64 bits */
        add_varint(out, (uint64_t)(int64_t) * (const int32_t *)member);
        break;
    case WIRE_U32:
        add_varint(out, *(const uint32_t *)member);
        break;
    case WIRE_I64:
    case WIRE_U64:
        add_varint(out, *(const uint64_t *)member);
        break;
    case WIRE_S64:
        add_varint(out, zigzag(*(const int64_t *)member));
        break;
    case WIRE_MSG:
        wire_pb_add_delimited(out, field->sub, *(const void *const *)member);
        break;
    case WIRE_MSGS:
    case WIRE_STRS:
    case WIRE_MAP_STR:
    case WIRE_MAP_MSG:
        break; /* have a tag per item: add_items */
    }
}

static bool is_repeated(const struct wire_field *field)
{
    return field->type >= WIRE_MSGS;
}
static_assert(WIRE_MSGS > WIRE_MSG && WIRE_STRS > WIRE_MSGS && WIRE_MAP_STR > WIRE_MSGS &&
                  WIRE_MAP_MSG > WIRE_MSGS,
              "what repeats comes last");

void wire_pb_add(struct buf *out, const struct wire_desc *desc, const void *message)
{
    for (size_t i = 0; i < desc->count; i++) {
        const struct wire_field *field = &desc->fields[i];
        const void *member = (const char *)message + field->offset;

        if (wire_field_is_zero(field, member))
            continue;
        if (is_repeated(field)) {
            add_items(out, field, member);
        } else {
            add_tag(out, field);
            add_value(out, field, member);
        }
    }
}

/* ---- decoding ---- */

static enum err take_message(struct wire_decoder *d, struct str bytes, const struct wire_desc *desc,
                             void *out);

static enum err take_varint(struct str *rest, uint64_t *out)
{
    uint64_t n = 0;

    for (size_t i = 0; i < rest->len && i < VARINT_MAX; i++) {
        uint8_t byte = (uint8_t)rest->ptr[i];

        if (i == VARINT_MAX - 1 && byte > 1)
            return ERR_SYNTAX; /* more than 64 bits */
        n |= (uint64_t)(byte & 0x7F) << (7 * i);
        if (byte < 0x80) {
            *out = n;
            *rest = str_cut(*rest, i + 1);
            return OK;
        }
    }
    return ERR_SYNTAX;
}

static enum err take_fixed(struct str *rest, size_t n)
{
    if (rest->len < n)
        return ERR_SYNTAX;
    *rest = str_cut(*rest, n);
    return OK;
}

static enum err take_bytes(struct str *rest, struct str *out)
{
    uint64_t n;
    enum err err = take_varint(rest, &n);

    if (err != OK)
        return err;
    if (n > rest->len)
        return ERR_SYNTAX;
    *out = n ? str_of(rest->ptr, (size_t)n) : STR_NONE;
    *rest = str_cut(*rest, (size_t)n);
    return OK;
}

/* Number and form of the field that comes next. */
static enum err take_tag(struct str *rest, uint32_t *number, enum wire_form *form)
{
    uint64_t key;
    enum err err = take_varint(rest, &key);

    if (err != OK)
        return err;
    if (key > UINT32_MAX || key >> 3 == 0)
        return ERR_SYNTAX;
    *number = (uint32_t)(key >> 3);
    *form = (enum wire_form)(key & 7);
    return OK;
}

static enum err skip_form(struct str *rest, enum wire_form form)
{
    uint64_t number;
    struct str bytes;

    switch (form) {
    case WIRE_FORM_VARINT:
        return take_varint(rest, &number);
    case WIRE_FORM_FIXED64:
        return take_fixed(rest, 8);
    case WIRE_FORM_BYTES:
        return take_bytes(rest, &bytes);
    case WIRE_FORM_FIXED32:
        return take_fixed(rest, 4);
    }
    return ERR_SYNTAX;
}

static enum err take_number(const struct wire_field *field, struct str *rest, void *member)
{
    uint64_t n;
    enum err err = take_varint(rest, &n);

    if (err != OK)
        return err;
    switch ((enum wire_type)field->type) {
    case WIRE_BOOL:
        *(bool *)member = n != 0;
        break;
    case WIRE_I32:
    case WIRE_U32: /* Protobuf cuts what is wider */
        *(uint32_t *)member = (uint32_t)n;
        break;
    case WIRE_S64:
        *(uint64_t *)member = n >> 1 ^ (n & 1 ? UINT64_MAX : 0);
        break;
    default: /* WIRE_I64, WIRE_U64 */
        *(uint64_t *)member = n;
    }
    return OK;
}

static enum err take_text(struct str bytes, struct str *out)
{
    if (!utf8_valid(bytes))
        return ERR_SYNTAX;
    *out = bytes;
    return OK;
}

/* The key or the value of a map entry; sub is NULL when the value is text. */
static enum err take_entry(struct wire_decoder *d, struct str bytes, const struct wire_desc *sub,
                           struct str *key, void *value)
{
    while (bytes.len > 0) {
        struct str part;
        uint32_t number;
        enum wire_form form;
        enum err err = take_tag(&bytes, &number, &form);

        if (err != OK)
            return err;
        if (number > 2) {
            err = skip_form(&bytes, form);
        } else {
            err = form == WIRE_FORM_BYTES ? take_bytes(&bytes, &part) : ERR_SYNTAX;
            if (err != OK)
                return err;
            if (number == 1)
                err = take_text(part, key);
            else
                err = sub ? take_message(d, part, sub, value) : take_text(part, value);
        }
        if (err != OK)
            return err;
    }
    return OK;
}

static enum err take_item(struct wire_decoder *d, struct str bytes, const struct wire_field *field,
                          struct wire_items *items)
{
    struct wire_pair *pair;
    struct wire_entry *entry;
    void *item;

    switch ((enum wire_type)field->type) {
    case WIRE_MSGS:
        item = wire_items_push(d, items, field->sub->size);
        return item ? take_message(d, bytes, field->sub, item) : ERR_SYNTAX;
    case WIRE_MAP_STR:
        pair = wire_items_push(d, items, sizeof *pair);
        return pair ? take_entry(d, bytes, NULL, &pair->key, &pair->value) : ERR_SYNTAX;
    case WIRE_MAP_MSG:
        entry = wire_items_push(d, items, sizeof *entry);
        if (entry == NULL)
            return ERR_SYNTAX;
        item = arena_zalloc(d->arena, field->sub->size);
        entry->value = item;
        return take_entry(d, bytes, field->sub, &entry->key, item);
    default: /* WIRE_STRS */
        item = wire_items_push(d, items, sizeof(struct str));
        return item ? take_text(bytes, item) : ERR_SYNTAX;
    }
}

/* A message given in several pieces is put together, as Protobuf says. */
static enum err take_sub(struct wire_decoder *d, struct str bytes, const struct wire_desc *desc,
                         void **message)
{
    if (*message == NULL)
        *message = arena_zalloc(d->arena, desc->size);
    return take_message(d, bytes, desc, *message);
}

static enum err take_field(struct wire_decoder *d, struct str *rest, const struct wire_field *field,
                           enum wire_form form, void *member)
{
    struct str bytes;
    enum err err;

    if ((field->tag[0] & 7) != (uint8_t)form)
        return ERR_SYNTAX;
    if (form == WIRE_FORM_VARINT)
        return take_number(field, rest, member);
    err = take_bytes(rest, &bytes);
    if (err != OK)
        return err;
    if (field->type == WIRE_STR)
        return take_text(bytes, member);
    if (field->type == WIRE_MSG)
        return take_sub(d, bytes, field->sub, member);
    if (field->type != WIRE_RAW)
        return take_item(d, bytes, field, member);
    *(struct str *)member = bytes;
    return OK;
}

static const struct wire_field *find_field(const struct wire_desc *desc, uint32_t number)
{
    for (size_t i = 0; i < desc->count; i++) {
        if (desc->fields[i].number == number)
            return &desc->fields[i];
    }
    return NULL;
}

/* out is zeroed, or holds what an earlier piece brought. */
static enum err take_message(struct wire_decoder *d, struct str bytes, const struct wire_desc *desc,
                             void *out)
{
    if (d->depth_left == 0)
        return ERR_SYNTAX;
    d->depth_left--;
    while (bytes.len > 0) {
        const struct wire_field *field;
        enum wire_form form;
        uint32_t number;
        enum err err = take_tag(&bytes, &number, &form);

        if (err != OK)
            return err;
        field = find_field(desc, number);
        err = field ? take_field(d, &bytes, field, form, (char *)out + field->offset)
                    : skip_form(&bytes, form);
        if (err != OK)
            return err;
    }
    d->depth_left++;
    return OK;
}

enum err wire_pb_next(struct str *rest, struct arena *a, struct wire_command *out)
{
    struct str bytes;
    enum err err;

    if (rest->len == 0)
        return ERR_NOT_FOUND;
    err = take_bytes(rest, &bytes);
    if (err != OK)
        return err;
    return wire_pb_decode(&wire_desc_command, bytes, a, out);
}

enum err wire_pb_decode(const struct wire_desc *desc, struct str bytes, struct arena *a, void *out)
{
    struct wire_decoder d = WIRE_DECODER(a);

    memset(out, 0, desc->size);
    return take_message(&d, bytes, desc, out);
}
