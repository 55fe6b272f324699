#include "core/encode.h"

#include "base/check.h"
#include "codec/json.h"

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
static struct wire_pairs tags_of(struct arena *a, struct str tags)
{
    struct json_iter count_it = json_iter(tags), it = json_iter(tags);
    struct wire_pair *pairs;
    struct str key, value;
    size_t count = 0, at = 0;

    while (json_object_next(&count_it, a, &key, &value) == OK)
        count++;
    pairs = arena_alloc(a, count * sizeof *pairs);
    while (at < count && json_object_next(&it, a, &pairs[at].key, &value) == OK) {
        if (json_string(value, a, &pairs[at].value) == OK)
            at++;
    }
    return (struct wire_pairs){pairs, at};
}

void encode_publication(struct arena *a, const struct publication *p, struct wire_publication *out)
{
    *out = (struct wire_publication){.data = p->data, .offset = p->offset};
    if (p->has_info) {
        struct wire_client_info *info = arena_alloc(a, sizeof *info);

        encode_info(&p->info, info);
        out->info = info;
    }
    if (p->tags.len > 0)
        out->tags = tags_of(a, p->tags);
    if (p->offset == 1) /* a stream begins: the subscriber may not know its epoch yet */
        out->epoch = publication_epoch(p);
}

bool encode_fits(enum wire wire, const struct publication *p)
{
    return wire != WIRE_JSON || p->data_is_json || p->data.len == 0 || json_valid(p->data);
}

bool encode_publications(struct arena *a, enum wire wire, struct publication *const *list,
                         size_t count, struct wire_publication_list *out)
{
    struct wire_publication *items = arena_alloc(a, count * sizeof *items);

    for (size_t i = 0; i < count; i++) {
        if (!encode_fits(wire, list[i]))
            return false;
        encode_publication(a, list[i], &items[i]);
    }
    *out = (struct wire_publication_list){items, count};
    return true;
}

void encode_push(struct arena *a, struct buf *out, enum wire wire, const struct publication *p)
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
