/* A connect command from its token to its reply: who the client is, and the channels that the
 * server enters it into. Part of cmd_connect.c; worker thread. */
#pragma once

#include "client/auth.h"
#include "client/command.h"
#include "client/subscribe.h"

/* A channel to enter during connect, and what came of it. */
struct connecting_channel {
    struct connecting *connecting;
    struct channel_parts parts; /* without rest; holds ns once its options are known */
    struct subscribe_plan plan;
    struct str override;
    bool wished; /* by the client: entered only if it may */
    struct wire_subscribe_result result;
    struct publication **publications; /* references */
    size_t publication_count;
};

struct connecting {
    struct client *cl;
    uint32_t id;
    const struct settings *settings;
    struct arena arena; /* everything below that is text */
    struct outbox held; /* pushes that must not overtake the connect reply */
    const struct wire_connect_request *request; /* a copy */
    bool by_token, has_user, by_hook;
    bool by_proxy; /* client.user_id_http_header says who it is */
    struct str user, info, meta, data;
    int64_t expire_at;
    struct connecting_channel *channels;
    size_t channel_count, channel_cap;
    size_t missing;              /* answers */
    enum err err;                /* of the first subscription that failed */
    struct hook_verdict refused; /* with ERR_DENIED from connecting_resolve; text in the arena */
    void (*on_done)(struct connecting *c);
};

/* Adds a channel once; options: a raw JSON object of subscribe options, or empty. ERR_NOT_FOUND: no
 * such namespace. ERR_SYNTAX: the options are broken. */
enum err connecting_add(struct connecting *c, struct str channel, struct str options,
                        uint32_t flags) NODISCARD;
/* Those of a raw JSON object channel → options. */
enum err connecting_add_object(struct connecting *c, struct str subs, uint32_t flags) NODISCARD;
/* The channels the client asks for in its connect command. ERR_NOT_FOUND as above. */
enum err connecting_add_wishes(struct connecting *c) NODISCARD;
/* Finds the options of all, and drops wishes that the client has no right to. on_done is called
 * when every answer is there, maybe at once; err says whether a channel may not be used. */
void connecting_resolve(struct connecting *c, void (*on_done)(struct connecting *c));
/* Starts all; on_done is called when every answer is there, maybe at once (none). */
void connecting_subscribe(struct connecting *c, void (*on_done)(struct connecting *c));
void connecting_free(struct connecting *c); /* what the channels hold */
