/* From one publication to many outboxes: encoded once per kind of wire and form, then per
 * subscriber a position check and one push. */
#include "base/clock.h"
#include "codec/fossil.h"
#include "core/encode.h"
#include "core/hub_types.h"

/* A big frame's buffer is not kept for the next, probably small one. */
#define SCRATCH_KEPT_BYTES (256 * 1024)

/* One publication on its way through this worker's subscribers. */
struct fanout {
    struct hub *hub;
    const struct publication *p, *previous;
    struct frame *frames[KIND_COUNT][FORM_COUNT]; /* made when first wanted */
    bool unfit[KIND_COUNT];
    bool tags_read, patch_tried, patch_made;
    struct wire_pairs tags; /* with tags_read; in the hub's arena */
};

/* NULL: the data is not JSON and cannot be told to a JSON client. */
static struct frame *dress(struct fanout *f, enum kind kind, enum form form)
{
    struct hub *hub = f->hub;
    enum wire wire = kind_wire(kind);
    struct frame *frame;

    if (!encode_fits(wire, f->p))
        return NULL;
    buf_clear(&hub->scratch);
    encode_push(&hub->arena, &hub->scratch, wire, f->p, form, buf_str(&hub->patch));
    frame = kind_dress(hub->core, kind, buf_str(&hub->scratch));
    if (hub->scratch.cap > SCRATCH_KEPT_BYTES)
        buf_deinit(&hub->scratch);
    return frame;
}

/* The first of this kind and form. NULL: it cannot be told, and the client is told so. */
static struct frame *first_frame(struct fanout *f, struct hub_client *hc, enum form form)
{
    struct frame *frame = f->unfit[hc->kind] ? NULL : dress(f, hc->kind, form);

    f->frames[hc->kind][form] = frame;
    if (frame == NULL) {
        f->unfit[hc->kind] = true;
        f->hub->ops->unfit(hc);
    }
    return frame;
}

static inline void push(struct fanout *f, struct hub_client *hc, enum form form)
{
    struct frame *frame = f->frames[hc->kind][form];

    if (frame == NULL)
        frame = first_frame(f, hc, form);
    if (frame)
        outbox_push(hc->outbox, frame);
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

static bool has_patch(struct fanout *f)
{
    if (!f->patch_tried) {
        f->patch_tried = true;
        f->patch_made = f->previous && f->previous->offset + 1 == f->p->offset &&
                        fossil_encode(f->previous->data, f->p->data, &f->hub->patch);
    }
    return f->patch_made;
}

/* The form for one that negotiated deltas: a patch when it has what the patch starts from. What is
 * in no stream takes the place of its base, and nothing is ever made against that. */
static enum form delta_form(struct fanout *f, struct subscription *sub)
{
    enum form whole = kind_wire(sub->client->kind) == WIRE_JSON ? FORM_TEXT : FORM_PLAIN;
    bool has_base = sub->flags & SUB_HAS_BASE;

    if (f->p->offset == 0 || !(sub->flags & SUB_POSITIONED)) {
        sub->flags &= ~(uint32_t)SUB_HAS_BASE;
        return whole;
    }
    sub->flags |= SUB_HAS_BASE;
    return has_base && has_patch(f) ? FORM_PATCH : whole;
}

static bool wanted_by_filter(struct fanout *f, const struct subscription *sub)
{
    if (!f->tags_read) {
        f->tags = encode_tags(&f->hub->arena, f->p->tags);
        f->tags_read = true;
    }
    return filter_match(sub->extra->filter, f->tags);
}

static void push_special(struct fanout *f, struct subscription *sub)
{
    if (f->p->type != PUBLICATION_DATA)
        push(f, sub->client, FORM_PLAIN);
    else if (sub->flags & SUB_DELTA)
        push(f, sub->client, delta_form(f, sub));
    else if (wanted_by_filter(f, sub))
        push(f, sub->client, FORM_PLAIN);
}

static void fanout_end(struct fanout *f)
{
    struct hub *hub = f->hub;

    for (int kind = 0; kind < KIND_COUNT; kind++) {
        for (int form = 0; form < FORM_COUNT; form++) {
            if (f->frames[kind][form])
                frame_unref(f->frames[kind][form]);
        }
    }
    arena_reset(&hub->arena);
    if (hub->patch.cap > SCRATCH_KEPT_BYTES)
        buf_deinit(&hub->patch);
}

/* Was it longer on its way than client.channel_position_max_time_lag allows? */
static bool is_late(const struct hub *hub, const struct publication *p)
{
    int64_t max = hub->core->settings->client_channel_position_max_time_lag_ms;

    return max > 0 && clock_wall_ms() - p->time_ms > max;
}

/* What came so late counts as a gap: nothing is delivered to those who watch their position. */
static void lose_positions(struct hub *hub, const struct hub_channel *ch)
{
    for (uint32_t i = 0; i < ch->count; i++) {
        if (ch->subs[i]->flags & SUB_POSITIONED)
            hub->ops->insufficient(ch->subs[i]->client, ch->subs[i]);
    }
}

void hub_fanout(struct hub *hub, struct publication *p, const struct publication *previous)
{
    struct map_node *node = map_get_hashed(&hub->channels, p->channel, p->hash);
    struct fanout f = {.hub = hub, .p = p, .previous = previous};
    uint32_t now_s = (uint32_t)(hub->core->worker->now_ms / 1000);
    uint32_t epoch = 0, count;
    struct hub_channel *ch;

    if (node == NULL)
        return;
    ch = container_of(node, struct hub_channel, by_name);
    if (p->offset > 0)
        epoch = hub_epoch_number(ch, publication_epoch(p));
    if (p->offset > 0 && is_late(hub, p))
        lose_positions(hub, ch);
    count = p->type == PUBLICATION_DATA ? ch->count : ch->told;
    for (uint32_t i = 0; i < count; i++) {
        struct subscription *sub = ch->subs[i];

        if (sub->flags & SUB_LOST)
            continue;
        if (p->offset > 0 && sub->flags & SUB_POSITIONED) {
            enum passage passage = step(sub, p, epoch, now_s);

            if (passage == GAP)
                hub->ops->insufficient(sub->client, sub);
            if (passage != PASS)
                continue;
        }
        if (sub->flags & SUB_SPECIAL)
            push_special(&f, sub);
        else
            push(&f, sub->client, FORM_PLAIN);
    }
    fanout_end(&f);
}
