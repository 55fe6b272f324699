#include "core/encode.h"

#include "base/check.h"
#include "codec/fossil.h"
#include "codec/json.h"

/* Publications that one subscribe recovers are made into patches up to this many bytes; the rest
 * go whole, so that a long history does not hold up the worker. */
#define CHAIN_BYTES_MAX ((size_t)2 << 20)

void encode_info(const struct publication_info *info, struct wire_client_info *out)
{
    *out = (struct wire_client_info){
        .user = info->user,
        .client = info->client,
        .conn_info = info->conn_info,
        .chan_info = info->chan_info,
    };
}

/* tags were checked to be an object of strings when the publication was made. */
struct wire_pairs encode_tags(struct arena *a, struct str tags)
{
    struct json_iter count_it = json_iter(tags), it = json_iter(tags);
    struct wire_pair *pairs;
    struct str key, value;
    size_t count = 0, at = 0;

    while (json_object_next(&count_it, a, &key, &value) == OK)
        count++;
    if (count == 0)
        return (struct wire_pairs){0};
    pairs = arena_alloc(a, count * sizeof *pairs);
    while (at < count && json_object_next(&it, a, &pairs[at].key, &value) == OK) {
        if (json_string(value, a, &pairs[at].value) == OK)
            at++;
    }
    return (struct wire_pairs){pairs, at};
}

void encode_publication(struct arena *a, const struct publication *p, struct wire_publication *out)
{
    *out = (struct wire_publication){.data = p->data, .offset = p->offset, .version = p->version};
    if (p->has_info) {
        struct wire_client_info *info = arena_alloc(a, sizeof *info);

        encode_info(&p->info, info);
        out->info = info;
    }
    if (p->tags.len > 0)
        out->tags = encode_tags(a, p->tags);
    if (p->offset == 1) /* a stream begins: the subscriber may not know its epoch yet */
        out->epoch = publication_epoch(p);
}

bool encode_raw_fits(enum wire wire, struct str raw)
{
    return wire != WIRE_JSON || raw.len == 0 || json_valid(raw);
}

bool encode_fits(enum wire wire, const struct publication *p)
{
    return (p->data_is_json || encode_raw_fits(wire, p->data)) &&
           (!p->has_info ||
            (encode_raw_fits(wire, p->info.conn_info) && encode_raw_fits(wire, p->info.chan_info)));
}

/* The text as the JSON string that has it as its content. */
static struct str quoted(struct arena *a, struct str text)
{
    struct buf out = BUF_INIT(text.len * 6 + 2);
    struct str result;

    json_add_string(&out, text);
    result = arena_dup(a, buf_str(&out));
    buf_deinit(&out);
    return result;
}

static void give_form(struct arena *a, enum wire wire, enum form form, struct str patch,
                      struct wire_publication *pub)
{
    if (form == FORM_PLAIN)
        return;
    if (form == FORM_PATCH) {
        pub->data = patch;
        pub->delta = true;
        pub->epoch = STR_NONE;
        pub->version = 0;
    }
    if (wire == WIRE_JSON)
        pub->data = quoted(a, pub->data);
}

/* Gives items[i] the form of a delta against its predecessor, or the whole text. Returns the bytes
 * looked at. */
static size_t chain(struct arena *a, enum wire wire, struct publication *const *list, size_t i,
                    size_t budget, struct wire_publication *items)
{
    size_t work = i > 0 ? list[i - 1]->data.len + list[i]->data.len : 0;
    struct buf patch = BUF_INIT(2 * FOSSIL_BYTES_MAX);
    bool shorter = i > 0 && work <= budget && list[i]->offset == list[i - 1]->offset + 1 &&
                   fossil_encode(list[i - 1]->data, list[i]->data, &patch);

    give_form(a, wire, shorter ? FORM_PATCH : FORM_TEXT,
              shorter ? arena_dup(a, buf_str(&patch)) : STR_NONE, &items[i]);
    buf_deinit(&patch);
    return MIN(work, budget);
}

bool encode_publications(struct arena *a, enum wire wire, bool delta,
                         struct publication *const *list, size_t count,
                         struct wire_publication_list *out)
{
    struct wire_publication *items = arena_alloc(a, count * sizeof *items);
    size_t budget = CHAIN_BYTES_MAX;

    for (size_t i = 0; i < count; i++) {
        if (!encode_fits(wire, list[i]))
            return false;
        encode_publication(a, list[i], &items[i]);
        if (delta)
            budget -= chain(a, wire, list, i, budget, items);
    }
    *out = (struct wire_publication_list){items, count};
    return true;
}

void encode_push(struct arena *a, struct buf *out, enum wire wire, const struct publication *p,
                 enum form form, struct str patch)
{
    struct wire_publication pub;
    struct wire_client_info info;
    struct wire_join join = {.info = &info};
    struct wire_leave leave = {.info = &info};
    struct wire_push push = {.channel = p->channel};
    struct wire_reply reply = {.push = &push};

    switch ((enum publication_type)p->type) {
    case PUBLICATION_DATA:
        encode_publication(a, p, &pub);
        give_form(a, wire, form, patch, &pub);
        push.pub = &pub;
        break;
    case PUBLICATION_JOIN:
        encode_info(&p->info, &info);
        push.join = &join;
        break;
    case PUBLICATION_LEAVE:
        encode_info(&p->info, &info);
        push.leave = &leave;
        break;
    }
    wire_add_reply(wire, out, &reply);
}
