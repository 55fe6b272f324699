/* The homes' own structs, shared by home.c, home_subscribe.c and home_presence.c only. */
#pragma once

#include "base/map.h"
#include "core/home.h"

/* Mail that may wait at a home before a publish is answered with "busy". */
#define HOME_BACKLOG_MAX 100000

struct home_channel {
    struct map_node by_name;
    uint32_t total : 31;   /* subscriptions on all workers, those on their way too */
    uint32_t occupied : 1; /* one of them was entered, and ops heard of it */
    uint32_t interest[];   /* the same by worker; the name lies behind */
};

struct home {
    struct core *core;
    struct engine *engine;
    const struct home_ops *ops; /* NULL: nobody wants to hear */
    struct map channels;
    size_t own_waiting;         /* requests of its own worker that have not reached it yet */
    struct publish_mail *spare; /* one that is not in use */
};

/* A request to a channel's home; the first member of each kind, which is also its answer. */
struct home_request;
typedef void home_at_fn(struct home *home, struct home_request *r); /* on the home's worker */
struct home_request {
    struct mail mail;
    struct core *from;
    home_at_fn *at;
};
/* Posts r to the home of the channel with that hash. */
void home_ask(struct core *core, uint64_t channel_hash, struct home_request *r, home_at_fn *at);
/* Posts r back; from here on it is the asking worker's. */
void home_answer(struct home_request *r, mail_fn *back);

struct home_channel *home_channel_find(struct home *home, struct str name, uint64_t hash);
struct home_channel *home_channel_make(struct home *home, struct str name, uint64_t hash);
void home_channel_free(struct home *home, struct home_channel *ch);
/* Posts p to every worker with subscribers of its channel. previous: what a delta of p may be made
 * against, or NULL. */
void home_deliver(struct home *home, struct publication *p, struct publication *previous);

/* A history result that travels. */
struct home_history_copy {
    uint64_t offset;
    uint8_t epoch_len;
    char epoch[EPOCH_LEN_MAX];
    struct publication **publications; /* references */
    size_t count;
};
void home_history_copy(struct home_history_copy *copy, const struct history_result *result);
void home_history_copy_free(struct home_history_copy *copy);
