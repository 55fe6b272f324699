/* From one publication to many outboxes: encoded once per kind of wire, then per subscriber a
 * position check and one push. */
#include "core/encode.h"
#include "core/hub_types.h"

/* A big frame's buffer is not kept for the next, probably small one. */
#define SCRATCH_KEPT_BYTES (256 * 1024)

/* NULL: the data is not JSON and cannot be told to a JSON client. */
static struct frame *dress(struct hub *hub, const struct publication *p, enum kind kind)
{
    enum wire wire = kind_wire(kind);
    struct frame *f;

    if (!encode_fits(wire, p))
        return NULL;
    buf_clear(&hub->scratch);
    encode_push(&hub->arena, &hub->scratch, wire, p);
    f = kind_dress(kind, buf_str(&hub->scratch));
    arena_reset(&hub->arena);
    if (hub->scratch.cap > SCRATCH_KEPT_BYTES)
        buf_deinit(&hub->scratch);
    return f;
}

enum passage { PASS, DROP, GAP };

/* Whether p continues what this positioned subscriber has; moves its position if so. */
static enum passage step(struct subscription *sub, const struct publication *p, uint32_t epoch,
                         uint32_t now_s)
{
    if (sub->epoch == 0)
        sub->epoch = epoch; /* it had no stream yet: adopt this one */
    else if (sub->epoch != epoch)
        return GAP;
    if (p->offset <= sub->offset)
        return DROP;
    if (p->offset > sub->offset + 1)
        return GAP;
    sub->offset = p->offset;
    sub->checked_s = now_s;
    return PASS;
}

static bool wants(const struct subscription *sub, const struct publication *p)
{
    if (sub->flags & SUB_LOST)
        return false;
    return p->type == PUBLICATION_DATA || sub->flags & SUB_PUSH_JOIN_LEAVE;
}

void hub_fanout(struct hub *hub, struct publication *p)
{
    struct map_node *node = map_get_hashed(&hub->channels, p->channel, p->hash);
    struct frame *frames[KIND_COUNT] = {NULL};
    bool unfit[KIND_COUNT] = {false};
    uint32_t now_s = (uint32_t)(hub->core->worker->now_ms / 1000);
    uint32_t epoch = 0;
    struct hub_channel *ch;

    if (node == NULL)
        return;
    ch = container_of(node, struct hub_channel, by_name);
    if (p->offset > 0)
        epoch = hub_epoch_number(ch, publication_epoch(p));
    for (uint32_t i = 0; i < ch->count; i++) {
        struct subscription *sub = ch->subs[i];
        struct hub_client *hc = sub->client;
        enum kind kind = hc->kind;

        if (!wants(sub, p))
            continue;
        if (p->offset > 0 && sub->flags & SUB_POSITIONED) {
            enum passage passage = step(sub, p, epoch, now_s);

            if (passage == GAP)
                hub->ops->insufficient(hc, sub);
            if (passage != PASS)
                continue;
        }
        if (frames[kind] == NULL && !unfit[kind]) {
            frames[kind] = dress(hub, p, kind);
            unfit[kind] = frames[kind] == NULL;
        }
        if (unfit[kind])
            hub->ops->unfit(hc);
        else
            outbox_push(hc->outbox, frames[kind]);
    }
    for (int kind = 0; kind < KIND_COUNT; kind++) {
        if (frames[kind])
            frame_unref(frames[kind]);
    }
}
