/* From one publication to many outboxes: encoded once per kind of wire and form, then per
 * subscriber a position check and one push. */
#include "base/clock.h"
#include "codec/fossil.h"
#include "core/encode.h"
#include "core/hub_types.h"
#include "core/spread.h"

/* A big frame's buffer is not kept for the next, probably small one. */
#define SCRATCH_KEPT_BYTES (256 * 1024)
/* From so many subscribers on they are more than the cache holds, and those that come next are
 * fetched so far ahead. */
#define AHEAD_FROM 1024
#define AHEAD 8

/* One publication on its way through this worker's subscribers. */
struct fanout {
    struct hub *hub;
    const struct publication *p, *previous;
    uint32_t epoch, now_s; /* epoch: the hub's number, if p has an offset */
    struct spread *spreads[KIND_COUNT][FORM_COUNT]; /* each with a frame, made when first wanted */
    struct spread (*places)[FORM_COUNT];            /* for them */
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
static struct spread *first(struct fanout *f, struct hub_client *hc, enum form form)
{
    struct spread *spread = &f->places[hc->kind][form];
    struct frame *frame = f->unfit[hc->kind] ? NULL : dress(f, hc->kind, form);

    if (frame == NULL) {
        f->unfit[hc->kind] = true;
        f->hub->ops->unfit(hc);
        return NULL;
    }
    spread_begin(spread, f->hub->core->outboxes, frame);
    f->spreads[hc->kind][form] = spread;
    return spread;
}

static inline void push(struct fanout *f, struct hub_client *hc, enum form form)
{
    struct spread *spread = f->spreads[hc->kind][form];

    if (spread == NULL)
        spread = first(f, hc, form);
    if (spread)
        spread_push(spread, hc->outbox);
}

enum passage { PASS, DROP, GAP };

/* Whether p continues what this positioned subscriber has; moves its position if so. */
static enum passage step(const struct fanout *f, struct subscription *sub)
{
    if (sub->epoch == 0)
        sub->epoch = f->epoch; /* it had no stream yet: adopt this one */
    else if (sub->epoch != f->epoch)
        return GAP;
    if (f->p->offset <= sub->offset)
        return DROP;
    if (f->p->offset > sub->offset + 1)
        return GAP;
    sub->offset = f->p->offset;
    sub->checked_s = f->now_s;
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
            if (f->spreads[kind][form])
                frame_unref(f->spreads[kind][form]->frame);
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

static void deliver(struct fanout *f, struct subscription *sub)
{
    if (sub->flags & SUB_LOST)
        return;
    if (f->p->offset > 0 && sub->flags & SUB_POSITIONED) {
        enum passage passage = step(f, sub);

        if (passage == GAP)
            f->hub->ops->insufficient(sub->client, sub);
        if (passage != PASS)
            return;
    }
    if (sub->flags & SUB_SPECIAL)
        push_special(f, sub);
    else
        push(f, sub->client, FORM_PLAIN);
}

/* The flags with which a subscriber has to be looked at, and does not just get what all get. */
static uint32_t flags_to_look_at(const struct publication *p)
{
    return SUB_LOST | SUB_SPECIAL | (p->offset > 0 ? SUB_POSITIONED : 0);
}

/* The next subscriber; those behind, three structs each that lead to each other, come meanwhile. */
static inline struct subscription *next_of(struct subscription *const *subs, bool ahead)
{
    if (ahead) {
        const struct outbox *o = subs[AHEAD]->client->outbox;

        __builtin_prefetch(subs[3 * AHEAD]);
        __builtin_prefetch(subs[2 * AHEAD]->client);
        if (o)
            __builtin_prefetch(&o->series, 1);
    }
    return *subs;
}

void hub_fanout(struct hub *hub, struct publication *p, const struct publication *previous)
{
    struct map_node *node = map_get_hashed(&hub->channels, p->channel, p->hash);
    struct spread places[KIND_COUNT][FORM_COUNT];
    struct fanout f = {.hub = hub, .p = p, .previous = previous, .places = places};
    bool data = p->type == PUBLICATION_DATA;
    uint32_t look_at = flags_to_look_at(p), count, ahead_to;
    struct hub_channel *ch;

    if (node == NULL)
        return;
    ch = container_of(node, struct hub_channel, by_name);
    f.now_s = (uint32_t)(hub->core->worker->now_ms / 1000);
    if (p->offset > 0)
        f.epoch = hub_epoch_number(ch, publication_epoch(p));
    if (p->offset > 0 && is_late(hub, p))
        lose_positions(hub, ch);
    count = data ? ch->count : ch->told;
    ahead_to = count >= AHEAD_FROM ? count - 3 * AHEAD : 0;
    for (uint32_t i = 0; i < count; i++) {
        struct subscription *sub = next_of(&ch->subs[i], i < ahead_to);

        if (__builtin_expect(data && !(sub->flags & look_at), 1))
            push(&f, sub->client, FORM_PLAIN);
        else
            deliver(&f, sub);
    }
    fanout_end(&f);
}
