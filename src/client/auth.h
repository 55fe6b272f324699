/* Tokens of connections and subscriptions, checked with this worker's keys. Worker thread. */
#pragma once

#include "client/client.h"
#include "codec/jwt.h"
#include "core/revocation.h"

struct auth;

/* The keys and rules of these settings, which it keeps a reference of. */
struct auth *auth_new(const struct settings *s);
void auth_free(struct auth *a);
/* Is there any key for tokens of this kind? */
bool auth_has_keys(const struct auth *a, enum jwt_kind kind);
/* What checking needs no client for; also for the command line. kind: JWT_CONNECTION or
 * JWT_SUBSCRIPTION. OK; ERR_DENIED: invalid; ERR_EXPIRED: authentic, but its time is over. out
 * borrows from token and the arena. */
enum err auth_check(const struct auth *a, enum jwt_kind kind, struct str token, int64_t now_s,
                    struct arena *arena, struct jwt_claims *out) NODISCARD;

/* Are the keys fetched from a JWKS? auth_check has none then, and answers ERR_BUSY. */
bool auth_uses_jwks(const struct auth *a, enum jwt_kind kind);

/* Can a token be checked now? False: its key is being fetched; fn is called once, later, and then
 * it can. The two functions below answer ERR_BUSY when it could not be fetched. */
typedef void auth_ready_fn(void *arg);
bool auth_ready(struct client *cl, enum jwt_kind kind, struct str token, auth_ready_fn *fn,
                void *arg);

/* The same with the worker's keys and the arena of the command. */
enum err auth_connection_token(struct client *cl, struct str token,
                               struct jwt_claims *out) NODISCARD;
enum err auth_subscription_token(struct client *cl, struct str token,
                                 struct jwt_claims *out) NODISCARD;
/* The server API revoked it: disconnect 3500. */
bool auth_is_revoked(const struct client *cl, const struct jwt_claims *claims);

/* Keeps jti and iat of the token that the connection lives by, if it has any. */
void auth_keep_token(struct client *cl, const struct jwt_claims *claims);
/* What is known of it; false: the connection was not made by a token. Borrows from cl. */
bool auth_kept_token(const struct client *cl, struct revocation_token *out);

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
/* What a subscription token allows besides subscribing, by its `allow`, or by `caps` that match its
 * channel: SUB_MAY_… bits. ERR_SYNTAX, ERR_LIMIT: neither is valid. */
enum err auth_token_rights(const struct jwt_claims *claims, struct arena *a,
                           uint32_t *flags) NODISCARD;
