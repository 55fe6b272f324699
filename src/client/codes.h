/* What a client can be told: the protocol's errors, disconnects and unsubscribe codes, with their
 * exact texts, in one table. Pure data; any thread. */
#pragma once

#include "codec/wire.h"

#define ERROR_LIST(X)                                                                              \
    X(INTERNAL, 100, "internal server error", true)                                                \
    X(UNAUTHORIZED, 101, "unauthorized", false)                                                    \
    X(UNKNOWN_CHANNEL, 102, "unknown channel", false)                                              \
    X(PERMISSION_DENIED, 103, "permission denied", false)                                          \
    X(METHOD_NOT_FOUND, 104, "method not found", false)                                            \
    X(ALREADY_SUBSCRIBED, 105, "already subscribed", false)                                        \
    X(LIMIT_EXCEEDED, 106, "limit exceeded", false)                                                \
    X(BAD_REQUEST, 107, "bad request", false)                                                      \
    X(NOT_AVAILABLE, 108, "not available", false)                                                  \
    X(TOKEN_EXPIRED, 109, "token expired", false)                                                  \
    X(EXPIRED, 110, "expired", false)                                                              \
    X(TOO_MANY_REQUESTS, 111, "too many requests", true)                                           \
    X(UNRECOVERABLE_POSITION, 112, "unrecoverable position", false)                                \
    X(CONCURRENT_PAGINATION, 113, "concurrent pagination", true)

#define DISCONNECT_LIST(X)                                                                         \
    X(CONNECTION_CLOSED, 3000, "connection closed")                                                \
    X(SHUTDOWN, 3001, "shutdown")                                                                  \
    X(SERVER_ERROR, 3004, "internal server error")                                                 \
    X(CONNECTION_EXPIRED, 3005, "connection expired")                                              \
    X(SUBSCRIPTION_EXPIRED, 3006, "subscription expired")                                          \
    X(SLOW, 3008, "slow")                                                                          \
    X(WRITE_ERROR, 3009, "write error")                                                            \
    X(INSUFFICIENT_STATE, 3010, "insufficient state")                                              \
    X(FORCE_RECONNECT, 3011, "force reconnect")                                                    \
    X(NO_PONG, 3012, "no pong")                                                                    \
    X(TOO_MANY_REQUESTS, 3013, "too many requests")                                                \
    X(STATE_INVALIDATED, 3014, "state invalidated")                                                \
    X(INVALID_TOKEN, 3500, "invalid token")                                                        \
    X(BAD_REQUEST, 3501, "bad request")                                                            \
    X(STALE, 3502, "stale")                                                                        \
    X(FORCE, 3503, "force disconnect")                                                             \
    X(CONNECTION_LIMIT, 3504, "connection limit")                                                  \
    X(CHANNEL_LIMIT, 3505, "channel limit")                                                        \
    X(INAPPROPRIATE_PROTOCOL, 3506, "inappropriate protocol")                                      \
    X(PERMISSION_DENIED, 3507, "permission denied")                                                \
    X(NOT_AVAILABLE, 3508, "not available")                                                        \
    X(TOO_MANY_ERRORS, 3509, "too many errors")

#define UNSUBSCRIBE_LIST(X)                                                                        \
    X(BY_CLIENT, 0, "client unsubscribed")                                                         \
    X(DISCONNECTED, 1, "client disconnected")                                                      \
    X(SERVER, 2000, "server unsubscribe")                                                          \
    X(INSUFFICIENT_STATE, 2500, "insufficient state")                                              \
    X(EXPIRED, 2501, "subscription expired")                                                       \
    X(STATE_INVALIDATED, 2502, "state invalidated")

enum client_error {
#define X(name, code, text, temporary) ERROR_##name = (code),
    ERROR_LIST(X)
#undef X
};

enum disconnect {
#define X(name, code, text) DISCONNECT_##name = (code),
    DISCONNECT_LIST(X)
#undef X
};

enum unsubscribe {
#define X(name, code, text) UNSUBSCRIBE_##name = (code),
    UNSUBSCRIBE_LIST(X)
#undef X
};

struct wire_error codes_error(enum client_error code);
struct str codes_disconnect(enum disconnect code); /* the reason text */
/* The same for any code, also one that somebody else made up: SDKs take a close without a reason
 * for a broken connection, whatever its code. */
struct str codes_reason(uint32_t code);
struct str codes_unsubscribe(enum unsubscribe code); /* the reason text */
