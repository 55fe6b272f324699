/* One client of a fuzzed session, and a model of what it may be told: every reply belongs to a
 * command that waits for one, the first is connect's, what is pushed belongs to a subscription, and
 * offsets follow each other. A broken promise is a failed CHECK. */
#pragma once

#include "../unit/lib/loopback.h"
#include "codec/fossil.h"
#include "codec/json.h"

#define PEER_WAITING_MAX 512
#define PEER_SUBS_MAX 64

/* A command that may be answered. */
struct peer_command {
    uint32_t id;
    enum method method;
    bool may_stay_silent; /* a send is answered only when it is refused */
    bool filtered;        /* a subscribe with a tag filter */
    char channel[256];
};

struct peer_sub {
    char channel[256];
    bool positioned, filtered, delta;
    uint64_t offset;
    struct buf base; /* of deltas */
    bool has_base;
};

struct peer {
    struct loopback *loopback; /* NULL: not connected */
    const char *name;
    enum kind kind;
    bool slow; /* nothing of what it is told is read */
    bool greeted, refused;
    bool any_order; /* commands may overtake each other */
    struct peer_command waiting[PEER_WAITING_MAX];
    size_t waiting_count;
    struct peer_sub subs[PEER_SUBS_MAX];
    size_t sub_count;
};

/* --- commands --------------------------------------------------------------------------------- */

static struct str peer_channel_of(const struct wire_command *c, enum method method)
{
    switch (method) {
    case METHOD_SUBSCRIBE:
        return c->subscribe->channel;
    case METHOD_UNSUBSCRIBE:
        return c->unsubscribe->channel;
    default:
        return STR_NONE;
    }
}

/* A reply to one of these ids could be of two commands. */
static bool peer_is_ambiguous(const struct peer *p)
{
    for (size_t i = 0; i < p->waiting_count; i++) {
        for (size_t k = 0; k < i; k++) {
            if (p->waiting[k].id == p->waiting[i].id)
                return true;
        }
    }
    return false;
}

/* Notes what the server must answer of a frame; it stops where the server does. False: the frame
 * is not to be sent. */
static bool peer_expect(struct peer *p, struct str frame)
{
    size_t before = p->waiting_count;
    struct arena a = ARENA_INIT;
    struct wire_command command;

    while (wire_next(kind_wire(p->kind), &frame, &a, &command) == OK) {
        enum method method = wire_command_method(&command);
        struct peer_command *w = &p->waiting[p->waiting_count];

        if (command.id == 0)
            continue;
        CHECK(p->waiting_count < PEER_WAITING_MAX);
        *w = (struct peer_command){
            .id = command.id,
            .method = method,
            .may_stay_silent = method == METHOD_SEND,
            .filtered = method == METHOD_SUBSCRIBE && command.subscribe->tf,
        };
        snprintf(w->channel, sizeof w->channel, "%.*s",
                 STR_ARGS(peer_channel_of(&command, method)));
        p->waiting_count++;
    }
    arena_deinit(&a);
    if (!peer_is_ambiguous(p))
        return true;
    p->waiting_count = before;
    return false;
}

/* Is there room to note a frame of so many bytes? A command needs two at least. */
static bool peer_has_room(const struct peer *p, size_t frame_bytes)
{
    return p->waiting_count + frame_bytes / 2 < PEER_WAITING_MAX;
}

static struct peer_command peer_answered(struct peer *p, uint32_t id)
{
    struct peer_command found;
    size_t i = 0;

    while (i < p->waiting_count && p->waiting[i].id != id) {
        CHECK(p->any_order || p->waiting[i].may_stay_silent);
        i++;
    }
    CHECK(i < p->waiting_count);
    found = p->waiting[i];
    memmove(&p->waiting[i], &p->waiting[i + 1], (p->waiting_count - i - 1) * sizeof found);
    p->waiting_count--;
    return found;
}

/* --- subscriptions ---------------------------------------------------------------------------- */

static struct peer_sub *peer_find(struct peer *p, struct str channel)
{
    for (size_t i = 0; i < p->sub_count; i++) {
        if (str_eq(str_from(p->subs[i].channel), channel))
            return &p->subs[i];
    }
    return NULL;
}

static void peer_leave(struct peer *p, struct str channel)
{
    struct peer_sub *sub = peer_find(p, channel);

    if (sub) {
        buf_deinit(&sub->base);
        *sub = p->subs[--p->sub_count];
    }
}

static bool peer_is_cache(const struct peer_sub *sub)
{
    return strncmp(sub->channel, "cache", 5) == 0;
}

/* What the subscriber has in the end: of a delta, what it makes of the last one. */
static void peer_take_data(const struct peer *p, struct peer_sub *sub,
                           const struct wire_publication *pub)
{
    struct buf made = BUF_INIT(1 << 20);
    struct arena a = ARENA_INIT;
    struct str data = pub->data;

    CHECK(sub->delta || !pub->delta);
    if (sub->delta) {
        if (kind_wire(p->kind) == WIRE_JSON)
            CHECK(json_string(pub->data, &a, &data) == OK);
        CHECK(!pub->delta || sub->has_base);
        if (pub->delta)
            CHECK(fossil_apply(buf_str(&sub->base), data, &made) == OK);
        else
            buf_add_str(&made, data);
        buf_clear(&sub->base);
        buf_add_str(&sub->base, buf_str(&made));
        sub->has_base = true;
    }
    arena_deinit(&a);
    buf_deinit(&made);
}

/* Offset 0: not of the stream. */
static void peer_move(struct peer_sub *sub, uint64_t offset, bool may_jump)
{
    if (offset == 0)
        return;
    if (!sub->positioned)
        CHECK(offset > sub->offset || offset == 1);
    else if (may_jump || sub->filtered)
        CHECK(offset > sub->offset);
    else
        CHECK(offset == sub->offset + 1);
    sub->offset = offset;
}

static void peer_enter(struct peer *p, struct str channel, const struct wire_subscribe_result *r,
                       bool filtered)
{
    struct peer_sub *sub;

    peer_leave(p, channel);
    CHECK(p->sub_count < PEER_SUBS_MAX && channel.len < sizeof sub->channel);
    sub = &p->subs[p->sub_count++];
    *sub = (struct peer_sub){.positioned = r->positioned,
                             .filtered = filtered,
                             .delta = r->delta,
                             .offset = r->offset,
                             .base = BUF_INIT(1 << 20)};
    snprintf(sub->channel, sizeof sub->channel, "%.*s", STR_ARGS(channel));
    CHECK(r->recovered || r->publications.count == 0);
    CHECK(!r->expires || r->ttl > 0);
    for (size_t i = 0; i < r->publications.count; i++) {
        peer_take_data(p, sub, &r->publications.ptr[i]);
        if (peer_is_cache(sub)) /* the newest, whatever the client said it has in another epoch */
            sub->offset = r->publications.ptr[i].offset;
        else
            peer_move(sub, r->publications.ptr[i].offset, false);
    }
}

/* --- what it is told -------------------------------------------------------------------------- */

static void peer_on_push(struct peer *p, const struct wire_push *push)
{
    struct peer_sub *sub = peer_find(p, push->channel);

    if (push->pub || push->join || push->leave)
        CHECK(sub != NULL);
    if (push->pub) {
        peer_take_data(p, sub, push->pub);
        peer_move(sub, push->pub->offset, false);
    }
    if (push->subscribe)
        peer_enter(p, push->channel,
                   &(struct wire_subscribe_result){.positioned = push->subscribe->positioned,
                                                   .offset = push->subscribe->offset},
                   false);
    if (push->unsubscribe) {
        CHECK(push->unsubscribe->code >= 2000);
        peer_leave(p, push->channel);
    }
    CHECK(!push->connect && !push->disconnect);
}

static void peer_on_reply(struct peer *p, const struct wire_reply *r)
{
    struct peer_command of = peer_answered(p, r->id);

    CHECK(p->greeted || of.method == METHOD_CONNECT);
    p->greeted = true;
    if (r->error) {
        CHECK(r->error->code > 0);
        p->refused = of.method == METHOD_CONNECT;
        return;
    }
    CHECK(!!r->connect == (of.method == METHOD_CONNECT));
    CHECK(!!r->subscribe == (of.method == METHOD_SUBSCRIBE));
    CHECK(!!r->unsubscribe == (of.method == METHOD_UNSUBSCRIBE));
    CHECK(!!r->publish == (of.method == METHOD_PUBLISH));
    CHECK(!!r->presence == (of.method == METHOD_PRESENCE));
    CHECK(!!r->presence_stats == (of.method == METHOD_PRESENCE_STATS));
    CHECK(!!r->history == (of.method == METHOD_HISTORY));
    CHECK(!!r->rpc == (of.method == METHOD_RPC));
    CHECK(!!r->refresh == (of.method == METHOD_REFRESH));
    CHECK(!!r->sub_refresh == (of.method == METHOD_SUB_REFRESH));
    if (r->subscribe) {
        CHECK(peer_find(p, str_from(of.channel)) == NULL);
        peer_enter(p, str_from(of.channel), r->subscribe, of.filtered);
    }
    if (r->unsubscribe)
        peer_leave(p, str_from(of.channel));
    for (size_t i = 0; r->connect && i < r->connect->subs.count; i++)
        peer_enter(p, r->connect->subs.ptr[i].key, r->connect->subs.ptr[i].value, false);
}

/* Takes one message off the wire; false: there is none. */
static bool peer_take(struct peer *p, struct arena *a, struct wire_reply *out)
{
    struct frame *f = outbox_take(&p->loopback->transport.outbox);
    enum wire wire = kind_wire(p->kind);
    struct str message;
    size_t prefix = 0;

    if (f == NULL)
        return false;
    message = arena_dup(a, ws_payload(frame_bytes(f)));
    frame_unref(f);
    if (wire == WIRE_JSON) {
        CHECK(json_valid(message) && str_find(message, '\n') < 0);
    } else {
        while (message.ptr[prefix++] & 0x80)
            ;
        message = str_cut(message, prefix);
    }
    memset(out, 0, sizeof *out);
    CHECK(wire_decode(wire, &wire_desc_reply, message, a, out) == OK);
    return true;
}

/* Reads all there is; a ping gets its pong. */
static void peer_read(struct peer *p)
{
    struct arena a = ARENA_INIT;
    struct wire_reply reply;
    bool pinged = false;

    while (p->loopback && !p->slow && peer_take(p, &a, &reply)) {
        CHECK(!p->refused);
        if (reply.id != 0) {
            peer_on_reply(p, &reply);
        } else {
            CHECK(p->greeted);
            if (reply.push)
                peer_on_push(p, reply.push);
            else
                pinged = true;
        }
        arena_reset(&a);
    }
    arena_deinit(&a);
    if (pinged && p->loopback && !p->loopback->closed)
        client_receive(p->loopback->client,
                       kind_wire(p->kind) == WIRE_JSON ? STR("{}") : STR("\0"));
}

/* After enough time every command is answered, unless the client was refused or ended. */
static void peer_check_end(const struct peer *p)
{
    if (!p->loopback || p->loopback->closed || p->refused || p->slow)
        return;
    for (size_t i = 0; i < p->waiting_count; i++)
        CHECK(p->waiting[i].may_stay_silent);
}

static void peer_close(struct peer *p)
{
    while (p->sub_count > 0)
        peer_leave(p, str_from(p->subs[0].channel));
    p->waiting_count = 0;
    p->greeted = p->refused = p->slow = false;
    if (p->loopback)
        loopback_close(p->loopback);
    p->loopback = NULL;
}
