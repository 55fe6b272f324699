/* The messages in JSON. Decoding is one pass over the text: values that no field wants are checked
 * and skipped, sub-messages are entered where they stand. */
#include "codec/json.h"
#include "codec/wire_desc.h"

/* ---- encoding ---- */

static void add_strs(struct buf *out, const struct wire_strs *strs)
{
    buf_add_char(out, '[');
    for (size_t i = 0; i < strs->count; i++) {
        if (i > 0)
            buf_add_char(out, ',');
        json_add_string(out, strs->ptr[i]);
    }
    buf_add_char(out, ']');
}

static void add_list(struct buf *out, const struct wire_desc *desc, const struct wire_items *items)
{
    buf_add_char(out, '[');
    for (size_t i = 0; i < items->count; i++) {
        if (i > 0)
            buf_add_char(out, ',');
        wire_json_add(out, desc, (const char *)items->ptr + i * desc->size);
    }
    buf_add_char(out, ']');
}

static void add_key(struct buf *out, struct str key, bool first)
{
    if (!first)
        buf_add_char(out, ',');
    json_add_string(out, key);
    buf_add_char(out, ':');
}

static void add_pairs(struct buf *out, const struct wire_pairs *pairs)
{
    buf_add_char(out, '{');
    for (size_t i = 0; i < pairs->count; i++) {
        add_key(out, pairs->ptr[i].key, i == 0);
        json_add_string(out, pairs->ptr[i].value);
    }
    buf_add_char(out, '}');
}

static void add_map(struct buf *out, const struct wire_desc *desc, const struct wire_items *items)
{
    const struct wire_entry *entries = items->ptr;

    buf_add_char(out, '{');
    for (size_t i = 0; i < items->count; i++) {
        add_key(out, entries[i].key, i == 0);
        if (entries[i].value != NULL)
            wire_json_add(out, desc, entries[i].value);
        else
            buf_add_lit(out, "{}");
    }
    buf_add_char(out, '}');
}

static void add_value(struct buf *out, const struct wire_field *field, const void *member)
{
    switch ((enum wire_type)field->type) {
    case WIRE_STR:
        json_add_string(out, *(const struct str *)member);
        break;
    case WIRE_RAW:
        json_add_raw(out, *(const struct str *)member);
        break;
    case WIRE_BOOL:
        buf_add_str(out, *(const bool *)member ? STR("true") : STR("false"));
        break;
    case WIRE_I32:
        buf_add_i64(out, *(const int32_t *)member);
        break;
    case WIRE_U32:
        buf_add_u64(out, *(const uint32_t *)member);
        break;
    case WIRE_I64:
    case WIRE_S64:
        buf_add_i64(out, *(const int64_t *)member);
        break;
    case WIRE_U64:
        buf_add_u64(out, *(const uint64_t *)member);
        break;
    case WIRE_MSG:
        wire_json_add(out, field->sub, *(const void *const *)member);
        break;
    case WIRE_MSGS:
        add_list(out, field->sub, member);
        break;
    case WIRE_STRS:
        add_strs(out, member);
        break;
    case WIRE_MAP_STR:
        add_pairs(out, member);
        break;
    case WIRE_MAP_MSG:
        add_map(out, field->sub, member);
        break;
    }
}

void wire_json_add(struct buf *out, const struct wire_desc *desc, const void *message)
{
    size_t comma = 1; /* bytes of the next ,"name": to leave out */

    buf_add_char(out, '{');
    for (size_t i = 0; i < desc->count; i++) {
        const struct wire_field *field = &desc->fields[i];
        const void *member = (const char *)message + field->offset;

        if (!(field->flags & WIRE_ALWAYS) && wire_field_is_zero(field, member))
            continue;
        buf_add(out, field->quoted + comma, field->quoted_len - comma);
        comma = 0;
        add_value(out, field, member);
    }
    buf_add_char(out, '}');
}

/* ---- decoding ---- */

static enum err take_message(struct wire_decoder *d, struct str *rest, const struct wire_desc *desc,
                             void *out);

static struct str field_name(const struct wire_field *field)
{
    return str_of(field->quoted + 2, (size_t)field->quoted_len - 4); /* between ," and ": */
}

/* The exact name, else one that differs only in case, else NULL. */
static const struct wire_field *find_field(const struct wire_desc *desc, struct str name)
{
    for (size_t i = 0; i < desc->count; i++) {
        if (str_eq(name, field_name(&desc->fields[i])))
            return &desc->fields[i];
    }
    for (size_t i = 0; i < desc->count; i++) {
        if (str_eq_nocase(name, field_name(&desc->fields[i])))
            return &desc->fields[i];
    }
    return NULL;
}

static enum err take_value(struct str *rest, struct str *value)
{
    return json_skip(rest, value) == OK ? OK : ERR_SYNTAX;
}

static enum err take_string(struct wire_decoder *d, struct str *rest, struct str *out)
{
    struct str value;
    enum err err = take_value(rest, &value);

    return err == OK ? json_string(value, d->arena, out) : err;
}

static enum err take_number(const struct wire_field *field, struct str value, void *member)
{
    uint64_t u;
    int64_t i;
    enum err err;

    switch ((enum wire_type)field->type) {
    case WIRE_I32:
        err = json_i64(value, INT32_MIN, INT32_MAX, &i);
        if (err == OK)
            *(int32_t *)member = (int32_t)i;
        return err;
    case WIRE_U32:
        err = json_u64(value, UINT32_MAX, &u);
        if (err == OK)
            *(uint32_t *)member = (uint32_t)u;
        return err;
    case WIRE_U64:
        return json_u64(value, UINT64_MAX, member);
    default: /* WIRE_I64, WIRE_S64 */
        return json_i64(value, INT64_MIN, INT64_MAX, member);
    }
}

static enum err take_strs(struct wire_decoder *d, struct str *rest, struct wire_items *items)
{
    bool started = false;
    enum err err;

    items->count = 0; /* of a field given twice the last one counts */
    while ((err = json_element(rest, &started)) == OK) {
        struct str *item = wire_items_push(d, items, sizeof *item);

        if (item == NULL || take_string(d, rest, item) != OK)
            return ERR_SYNTAX;
    }
    return err == ERR_NOT_FOUND ? OK : err;
}

/* An object, or null for an empty one. */
static enum err take_message_or_null(struct wire_decoder *d, struct str *rest,
                                     const struct wire_desc *desc, void *out)
{
    struct str ignored;

    if (json_peek(rest) == JSON_NULL)
        return take_value(rest, &ignored);
    return take_message(d, rest, desc, out);
}

static enum err take_list(struct wire_decoder *d, struct str *rest, const struct wire_desc *desc,
                          struct wire_items *items)
{
    bool started = false;
    enum err err;

    items->count = 0;
    while ((err = json_element(rest, &started)) == OK) {
        void *item = wire_items_push(d, items, desc->size);

        if (item == NULL || take_message_or_null(d, rest, desc, item) != OK)
            return ERR_SYNTAX;
    }
    return err == ERR_NOT_FOUND ? OK : err;
}

static enum err take_pairs(struct wire_decoder *d, struct str *rest, struct wire_items *items)
{
    bool started = false;
    struct str key, ignored;
    enum err err;

    items->count = 0;
    while ((err = json_member(rest, &started, d->arena, &key)) == OK) {
        struct wire_pair *pair = wire_items_push(d, items, sizeof *pair);

        if (pair == NULL)
            return ERR_SYNTAX;
        pair->key = key;
        err = json_peek(rest) == JSON_NULL ? take_value(rest, &ignored)
                                           : take_string(d, rest, &pair->value);
        if (err != OK)
            return err;
    }
    return err == ERR_NOT_FOUND ? OK : err;
}

static enum err take_map(struct wire_decoder *d, struct str *rest, const struct wire_desc *desc,
                         struct wire_items *items)
{
    bool started = false;
    struct str key;
    enum err err;

    items->count = 0;
    while ((err = json_member(rest, &started, d->arena, &key)) == OK) {
        struct wire_entry *entry = wire_items_push(d, items, sizeof *entry);
        void *message;

        if (entry == NULL)
            return ERR_SYNTAX;
        message = arena_zalloc(d->arena, desc->size);
        *entry = (struct wire_entry){key, message};
        err = take_message_or_null(d, rest, desc, message);
        if (err != OK)
            return err;
    }
    return err == ERR_NOT_FOUND ? OK : err;
}

/* The room of a field given before is used again, so that repeating it costs no memory. */
static void *fresh_message(struct wire_decoder *d, const struct wire_desc *desc, void **member)
{
    if (*member == NULL)
        *member = arena_alloc(d->arena, desc->size);
    return memset(*member, 0, desc->size);
}

static enum err take_field(struct wire_decoder *d, struct str *rest, const struct wire_field *field,
                           void *member)
{
    struct str value;
    void *message;
    enum err err;

    switch ((enum wire_type)field->type) {
    case WIRE_STR:
        return take_string(d, rest, member);
    case WIRE_RAW:
        return take_value(rest, member);
    case WIRE_BOOL:
        err = take_value(rest, &value);
        return err == OK ? json_bool(value, member) : err;
    case WIRE_I32:
    case WIRE_I64:
    case WIRE_U32:
    case WIRE_U64:
    case WIRE_S64:
        err = take_value(rest, &value);
        return err == OK ? take_number(field, value, member) : err;
    case WIRE_MSG:
        message = fresh_message(d, field->sub, member);
        return take_message(d, rest, field->sub, message);
    case WIRE_MSGS:
        return take_list(d, rest, field->sub, member);
    case WIRE_STRS:
        return take_strs(d, rest, member);
    case WIRE_MAP_STR:
        return take_pairs(d, rest, member);
    case WIRE_MAP_MSG:
        return take_map(d, rest, field->sub, member);
    }
    return ERR_SYNTAX;
}

/* out is zeroed. */
static enum err take_message(struct wire_decoder *d, struct str *rest, const struct wire_desc *desc,
                             void *out)
{
    bool started = false;
    struct str key, ignored;
    enum err err;

    if (d->depth_left == 0)
        return ERR_SYNTAX;
    d->depth_left--;
    while ((err = json_member(rest, &started, d->arena, &key)) == OK) {
        const struct wire_field *field = find_field(desc, key);

        if (field == NULL || (field->type != WIRE_RAW && json_peek(rest) == JSON_NULL))
            err = take_value(rest, &ignored);
        else
            err = take_field(d, rest, field, (char *)out + field->offset);
        if (err != OK)
            return err;
    }
    d->depth_left++;
    return err == ERR_NOT_FOUND ? OK : err;
}

/* One command per line; what follows the object on its line is not looked at. */
enum err wire_json_next(struct str *rest, struct arena *a, struct wire_command *out)
{
    struct wire_decoder d = WIRE_DECODER(a);
    ptrdiff_t newline;
    struct str line;

    if (rest->len == 0)
        return ERR_NOT_FOUND;
    newline = str_find(*rest, '\n');
    line = newline < 0 ? *rest : str_of(rest->ptr, (size_t)newline);
    *rest = newline < 0 ? STR_NONE : str_cut(*rest, (size_t)newline + 1);
    *out = (struct wire_command){0};
    return take_message(&d, &line, &wire_desc_command, out);
}

enum err wire_json_decode(const struct wire_desc *desc, struct str bytes, struct arena *a,
                          void *out)
{
    struct wire_decoder d = WIRE_DECODER(a);
    enum err err;

    memset(out, 0, desc->size);
    err = take_message_or_null(&d, &bytes, desc, out);
    if (err != OK)
        return err;
    return json_peek(&bytes) == JSON_NONE && bytes.len == 0 ? OK : ERR_SYNTAX;
}
