/* Tokens of connections and subscriptions, checked with this worker's keys. Worker thread. */
#pragma once

#include "client/client.h"
#include "codec/jwt.h"

/* OK; ERR_DENIED: invalid; ERR_EXPIRED: authentic, but its time is over. out borrows from token and
 * the arena of the command. */
enum err auth_connection_token(struct client *cl, struct str token,
                               struct jwt_claims *out) NODISCARD;
enum err auth_subscription_token(struct client *cl, struct str token,
                                 struct jwt_claims *out) NODISCARD;

/* The channels that a connection token subscribes to. */
struct token_channel {
    struct str channel;
    struct str options; /* raw JSON object, or empty */
};
/* Lists them (subs, or else channels) into the arena. ERR_SYNTAX: subs is no object of objects. */
enum err auth_token_channels(struct arena *a, const struct jwt_claims *claims,
                             const struct token_channel **list, size_t *count) NODISCARD;
/* A renewed token must name just the channels that the connection got from the old one. */
bool client_has_token_channels(struct client *cl, const struct jwt_claims *claims);
