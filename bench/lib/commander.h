/* Clients that publish over their own connection: each sends a burst of publish commands in one
 * write, waits for all of its replies, and sends the next. One thread. */
#pragma once

#include "subscriber.h"

#define COMMANDER_DATA "{\"text\":\"a line of chat\",\"n\":17,\"to\":[\"ann\",\"bob\"],\"pad\":\""

struct commander {
    struct subscribers *subs;
    uint32_t *open; /* per client: replies that are still to come */
    uint64_t *sent_at;
    size_t burst;
    uint64_t left, done, refused;
    struct net_buf frames; /* one burst; each frame is equally long */
    size_t frame_len;
    struct hist answering; /* per burst */
};

static inline void commander_init(struct commander *c, struct subscribers *subs, size_t burst,
                                  const char *channel, size_t payload)
{
    char text[2048];
    size_t used = sizeof COMMANDER_DATA - 1 + 2;
    int pad = payload > used ? (int)(payload - used) : 0;

    *c = (struct commander){.subs = subs, .burst = burst};
    c->open = account_zeroed(subs->count, sizeof *c->open);
    c->sent_at = account_zeroed(subs->count, sizeof *c->sent_at);
    for (size_t k = 0; k < burst; k++) {
        uint8_t head[WS_HEAD_MAX];
        int n = snprintf(text, sizeof text,
                         "{\"id\":%zu,\"publish\":{\"channel\":\"%s\",\"data\":%s%0*d\"}}}",
                         100000 + k, channel, COMMANDER_DATA, pad, 0);
        if (n >= (int)sizeof text) {
            NET_DIE("payload or channel too long");
        }
        net_append(&c->frames, head, net_ws_head(head, WS_TEXT, (size_t)n, true), SIZE_MAX);
        net_append(&c->frames, text, (size_t)n, SIZE_MAX);
    }
    c->frame_len = c->frames.len / burst;
}

/* The next burst of client i, if there is one. */
static inline void commander_send(struct commander *c, size_t i)
{
    size_t count = c->left < c->burst ? (size_t)c->left : c->burst;

    if (count == 0 || !subscriber_send(c->subs, i, c->frames.data, count * c->frame_len)) {
        return;
    }
    c->open[i] = (uint32_t)count;
    c->sent_at[i] = measure_now();
    c->left -= count;
}

static inline void commander_reply(void *arg, size_t i, bool good)
{
    struct commander *c = arg;

    c->done += good;
    c->refused += !good;
    if (c->open[i] > 0 && --c->open[i] == 0) {
        hist_add(&c->answering, measure_now() - c->sent_at[i]);
        commander_send(c, i);
    }
}
