/* The messages of the client protocol, each described once: a list of fields makes the C struct and
 * the table that both encodings (wire_json.c, wire_pb.c) walk, so the two cannot drift.
 *
 * Structs are plain values. After decoding, slices point into the input where they can, else into
 * the arena; lists, maps and sub-messages are in the arena. For encoding everything is borrowed.
 * A zero field is an absent one; a sub-message that is there but empty is a pointer to a zeroed
 * struct. In a map that came from a client the same key may occur twice: the last one counts.
 * Owns nothing. Any thread. */
#pragma once

#include "base/arena.h"
#include "base/err.h"
#include "base/str.h"

enum wire {
    WIRE_JSON,
    WIRE_PROTOBUF,
};

/* What a field may be. */
enum wire_type {
    WIRE_STR,     /* struct str: UTF-8 text */
    WIRE_RAW,     /* struct str: a JSON value as it is; in Protobuf bytes of any kind */
    WIRE_BOOL,    /* bool */
    WIRE_I32,     /* int32_t */
    WIRE_I64,     /* int64_t */
    WIRE_U32,     /* uint32_t */
    WIRE_U64,     /* uint64_t */
    WIRE_S64,     /* int64_t, zig-zag in Protobuf */
    WIRE_MSG,     /* const struct wire_<message> *, NULL when absent */
    WIRE_MSGS,    /* struct wire_<message>_list */
    WIRE_STRS,    /* struct wire_strs */
    WIRE_MAP_STR, /* struct wire_pairs: text → text */
    WIRE_MAP_MSG, /* struct wire_<message>_map: text → message */
};

enum wire_flags {
    WIRE_ALWAYS = 1, /* written in JSON even when zero */
};

struct wire_strs {
    const struct str *ptr;
    size_t count;
};

struct wire_pair {
    struct str key, value;
};

struct wire_pairs {
    const struct wire_pair *ptr;
    size_t count;
};

/* ---- the messages: F(M, type, message it holds or _, name, number, flags) ---- */

#define WIRE_COMMAND(F, M)                                                                         \
    F(M, U32, _, id, 1, 0)                                                                         \
    F(M, MSG, connect_request, connect, 4, 0)                                                      \
    F(M, MSG, subscribe_request, subscribe, 5, 0)                                                  \
    F(M, MSG, unsubscribe_request, unsubscribe, 6, 0)                                              \
    F(M, MSG, publish_request, publish, 7, 0)                                                      \
    F(M, MSG, presence_request, presence, 8, 0)                                                    \
    F(M, MSG, presence_stats_request, presence_stats, 9, 0)                                        \
    F(M, MSG, history_request, history, 10, 0)                                                     \
    F(M, MSG, ping_request, ping, 11, 0)                                                           \
    F(M, MSG, send_request, send, 12, 0)                                                           \
    F(M, MSG, rpc_request, rpc, 13, 0)                                                             \
    F(M, MSG, refresh_request, refresh, 14, 0)                                                     \
    F(M, MSG, sub_refresh_request, sub_refresh, 15, 0)

#define WIRE_REPLY(F, M)                                                                           \
    F(M, U32, _, id, 1, 0)                                                                         \
    F(M, MSG, error, error, 2, 0)                                                                  \
    F(M, MSG, push, push, 4, 0)                                                                    \
    F(M, MSG, connect_result, connect, 5, 0)                                                       \
    F(M, MSG, subscribe_result, subscribe, 6, 0)                                                   \
    F(M, MSG, unsubscribe_result, unsubscribe, 7, 0)                                               \
    F(M, MSG, publish_result, publish, 8, 0)                                                       \
    F(M, MSG, presence_result, presence, 9, 0)                                                     \
    F(M, MSG, presence_stats_result, presence_stats, 10, 0)                                        \
    F(M, MSG, history_result, history, 11, 0)                                                      \
    F(M, MSG, ping_result, ping, 12, 0)                                                            \
    F(M, MSG, rpc_result, rpc, 13, 0)                                                              \
    F(M, MSG, refresh_result, refresh, 14, 0)                                                      \
    F(M, MSG, sub_refresh_result, sub_refresh, 15, 0)

#define WIRE_ERROR(F, M)                                                                           \
    F(M, U32, _, code, 1, 0)                                                                       \
    F(M, STR, _, message, 2, 0)                                                                    \
    F(M, BOOL, _, temporary, 3, 0)

/* data is a JSON *string* when the session speaks JSON; see json_string. */
#define WIRE_EMULATION_REQUEST(F, M)                                                               \
    F(M, STR, _, node, 1, 0)                                                                       \
    F(M, STR, _, session, 2, 0)                                                                    \
    F(M, RAW, _, data, 3, 0)

#define WIRE_PUSH(F, M)                                                                            \
    F(M, I64, _, id, 1, 0)                                                                         \
    F(M, STR, _, channel, 2, 0)                                                                    \
    F(M, MSG, publication, pub, 4, 0)                                                              \
    F(M, MSG, join, join, 5, 0)                                                                    \
    F(M, MSG, leave, leave, 6, 0)                                                                  \
    F(M, MSG, unsubscribe, unsubscribe, 7, 0)                                                      \
    F(M, MSG, message, message, 8, 0)                                                              \
    F(M, MSG, subscribe, subscribe, 9, 0)                                                          \
    F(M, MSG, connect, connect, 10, 0)                                                             \
    F(M, MSG, disconnect, disconnect, 11, 0)                                                       \
    F(M, MSG, refresh, refresh, 12, 0)

/* Shared objects. */

#define WIRE_CLIENT_INFO(F, M)                                                                     \
    F(M, STR, _, user, 1, WIRE_ALWAYS)                                                             \
    F(M, STR, _, client, 2, WIRE_ALWAYS)                                                           \
    F(M, RAW, _, conn_info, 3, 0)                                                                  \
    F(M, RAW, _, chan_info, 4, 0)

/* prev_data travels between nodes only; it is never filled towards clients. */
#define WIRE_PUBLICATION(F, M)                                                                     \
    F(M, RAW, _, data, 4, 0)                                                                       \
    F(M, MSG, client_info, info, 5, 0)                                                             \
    F(M, U64, _, offset, 6, 0)                                                                     \
    F(M, MAP_STR, _, tags, 7, 0)                                                                   \
    F(M, BOOL, _, delta, 8, 0)                                                                     \
    F(M, I64, _, time, 9, 0)                                                                       \
    F(M, STR, _, channel, 10, 0)                                                                   \
    F(M, STR, _, key, 11, 0)                                                                       \
    F(M, BOOL, _, removed, 12, 0)                                                                  \
    F(M, S64, _, score, 13, 0)                                                                     \
    F(M, STR, _, epoch, 14, 0)                                                                     \
    F(M, RAW, _, prev_data, 15, 0)                                                                 \
    F(M, U64, _, version, 16, 0)

#define WIRE_STREAM_POSITION(F, M)                                                                 \
    F(M, U64, _, offset, 1, 0)                                                                     \
    F(M, STR, _, epoch, 2, 0)

#define WIRE_FILTER_NODE(F, M)                                                                     \
    F(M, STR, _, op, 1, 0)                                                                         \
    F(M, STR, _, key, 2, 0)                                                                        \
    F(M, STR, _, cmp, 3, 0)                                                                        \
    F(M, STR, _, val, 4, 0)                                                                        \
    F(M, STRS, _, vals, 5, 0)                                                                      \
    F(M, MSGS, filter_node, nodes, 6, 0)

/* Requests. */

#define WIRE_CONNECT_REQUEST(F, M)                                                                 \
    F(M, STR, _, token, 1, 0)                                                                      \
    F(M, RAW, _, data, 2, 0)                                                                       \
    F(M, MAP_MSG, subscribe_request, subs, 3, 0)                                                   \
    F(M, STR, _, name, 4, 0)                                                                       \
    F(M, STR, _, version, 5, 0)                                                                    \
    F(M, MAP_STR, _, headers, 6, 0)                                                                \
    F(M, I64, _, flag, 7, 0)

#define WIRE_REFRESH_REQUEST(F, M) F(M, STR, _, token, 1, 0)

#define WIRE_SUBSCRIBE_REQUEST(F, M)                                                               \
    F(M, STR, _, channel, 1, 0)                                                                    \
    F(M, STR, _, token, 2, 0)                                                                      \
    F(M, BOOL, _, recover, 3, 0)                                                                   \
    F(M, STR, _, epoch, 6, 0)                                                                      \
    F(M, U64, _, offset, 7, 0)                                                                     \
    F(M, RAW, _, data, 8, 0)                                                                       \
    F(M, BOOL, _, positioned, 9, 0)                                                                \
    F(M, BOOL, _, recoverable, 10, 0)                                                              \
    F(M, BOOL, _, join_leave, 11, 0)                                                               \
    F(M, STR, _, delta, 12, 0)                                                                     \
    F(M, MSG, filter_node, tf, 13, 0)                                                              \
    F(M, I64, _, flag, 14, 0)                                                                      \
    F(M, I32, _, type, 15, 0)                                                                      \
    F(M, I32, _, phase, 16, 0)                                                                     \
    F(M, STR, _, cursor, 17, 0)                                                                    \
    F(M, I32, _, limit, 18, 0)                                                                     \
    F(M, BOOL, _, asc, 19, 0)

#define WIRE_SUB_REFRESH_REQUEST(F, M)                                                             \
    F(M, STR, _, channel, 1, 0)                                                                    \
    F(M, STR, _, token, 2, 0)                                                                      \
    F(M, I32, _, type, 3, 0)                                                                       \
    F(M, MSGS, track_batch, track, 4, 0)                                                           \
    F(M, STRS, _, untrack, 5, 0)

#define WIRE_TRACK_BATCH(F, M)                                                                     \
    F(M, STR, _, signature, 1, 0)                                                                  \
    F(M, MSGS, keyed_item, items, 2, 0)

#define WIRE_KEYED_ITEM(F, M)                                                                      \
    F(M, STR, _, key, 1, 0)                                                                        \
    F(M, U64, _, version, 2, 0)

#define WIRE_UNSUBSCRIBE_REQUEST(F, M) F(M, STR, _, channel, 1, 0)

#define WIRE_PUBLISH_REQUEST(F, M)                                                                 \
    F(M, STR, _, channel, 1, 0)                                                                    \
    F(M, RAW, _, data, 2, 0)                                                                       \
    F(M, I32, _, type, 3, 0)                                                                       \
    F(M, STR, _, key, 4, 0)                                                                        \
    F(M, BOOL, _, removed, 5, 0)

#define WIRE_PRESENCE_REQUEST(F, M) F(M, STR, _, channel, 1, 0)
#define WIRE_PRESENCE_STATS_REQUEST(F, M) F(M, STR, _, channel, 1, 0)

#define WIRE_HISTORY_REQUEST(F, M)                                                                 \
    F(M, STR, _, channel, 1, 0)                                                                    \
    F(M, I32, _, limit, 7, 0)                                                                      \
    F(M, MSG, stream_position, since, 8, 0)                                                        \
    F(M, BOOL, _, reverse, 9, 0)

#define WIRE_PING_REQUEST(F, M)

#define WIRE_RPC_REQUEST(F, M)                                                                     \
    F(M, RAW, _, data, 1, 0)                                                                       \
    F(M, STR, _, method, 2, 0)

#define WIRE_SEND_REQUEST(F, M) F(M, RAW, _, data, 1, 0)

/* Results. */

#define WIRE_CONNECT_RESULT(F, M)                                                                  \
    F(M, STR, _, client, 1, 0)                                                                     \
    F(M, STR, _, version, 2, 0)                                                                    \
    F(M, BOOL, _, expires, 3, 0)                                                                   \
    F(M, U32, _, ttl, 4, 0)                                                                        \
    F(M, RAW, _, data, 5, 0)                                                                       \
    F(M, MAP_MSG, subscribe_result, subs, 6, 0)                                                    \
    F(M, U32, _, ping, 7, 0)                                                                       \
    F(M, BOOL, _, pong, 8, 0)                                                                      \
    F(M, STR, _, session, 9, 0)                                                                    \
    F(M, STR, _, node, 10, 0)                                                                      \
    F(M, I64, _, time, 11, 0)

#define WIRE_REFRESH_RESULT(F, M)                                                                  \
    F(M, STR, _, client, 1, 0)                                                                     \
    F(M, STR, _, version, 2, 0)                                                                    \
    F(M, BOOL, _, expires, 3, 0)                                                                   \
    F(M, U32, _, ttl, 4, 0)

#define WIRE_SUBSCRIBE_RESULT(F, M)                                                                \
    F(M, BOOL, _, expires, 1, 0)                                                                   \
    F(M, U32, _, ttl, 2, 0)                                                                        \
    F(M, BOOL, _, recoverable, 3, 0)                                                               \
    F(M, STR, _, epoch, 6, 0)                                                                      \
    F(M, MSGS, publication, publications, 7, 0)                                                    \
    F(M, BOOL, _, recovered, 8, 0)                                                                 \
    F(M, U64, _, offset, 9, 0)                                                                     \
    F(M, BOOL, _, positioned, 10, 0)                                                               \
    F(M, RAW, _, data, 11, 0)                                                                      \
    F(M, BOOL, _, was_recovering, 12, 0)                                                           \
    F(M, BOOL, _, delta, 13, 0)                                                                    \
    F(M, I64, _, id, 14, 0)                                                                        \
    F(M, I32, _, type, 15, 0)                                                                      \
    F(M, I32, _, phase, 16, 0)                                                                     \
    F(M, STR, _, cursor, 17, 0)                                                                    \
    F(M, MSGS, publication, state, 18, 0)                                                          \
    F(M, U32, _, publish_debounce, 19, 0)

#define WIRE_SUB_REFRESH_RESULT(F, M)                                                              \
    F(M, BOOL, _, expires, 1, 0)                                                                   \
    F(M, U32, _, ttl, 2, 0)                                                                        \
    F(M, MSGS, publication, items, 3, 0)

#define WIRE_UNSUBSCRIBE_RESULT(F, M)
#define WIRE_PUBLISH_RESULT(F, M)
#define WIRE_PING_RESULT(F, M)

#define WIRE_PRESENCE_RESULT(F, M) F(M, MAP_MSG, client_info, presence, 1, WIRE_ALWAYS)

#define WIRE_PRESENCE_STATS_RESULT(F, M)                                                           \
    F(M, U32, _, num_clients, 1, WIRE_ALWAYS)                                                      \
    F(M, U32, _, num_users, 2, WIRE_ALWAYS)

#define WIRE_HISTORY_RESULT(F, M)                                                                  \
    F(M, MSGS, publication, publications, 1, WIRE_ALWAYS)                                          \
    F(M, STR, _, epoch, 2, WIRE_ALWAYS)                                                            \
    F(M, U64, _, offset, 3, WIRE_ALWAYS)

#define WIRE_RPC_RESULT(F, M) F(M, RAW, _, data, 1, 0)

/* Bodies of pushes. */

#define WIRE_JOIN(F, M) F(M, MSG, client_info, info, 1, 0)
#define WIRE_LEAVE(F, M) F(M, MSG, client_info, info, 1, 0)

#define WIRE_UNSUBSCRIBE(F, M)                                                                     \
    F(M, U32, _, code, 2, 0)                                                                       \
    F(M, STR, _, reason, 3, 0)

#define WIRE_SUBSCRIBE(F, M)                                                                       \
    F(M, BOOL, _, recoverable, 1, 0)                                                               \
    F(M, STR, _, epoch, 4, 0)                                                                      \
    F(M, U64, _, offset, 5, 0)                                                                     \
    F(M, BOOL, _, positioned, 6, 0)                                                                \
    F(M, RAW, _, data, 7, 0)

#define WIRE_MESSAGE(F, M) F(M, RAW, _, data, 1, 0)

/* Not numbered like connect_result. */
#define WIRE_CONNECT(F, M)                                                                         \
    F(M, STR, _, client, 1, 0)                                                                     \
    F(M, STR, _, version, 2, 0)                                                                    \
    F(M, RAW, _, data, 3, 0)                                                                       \
    F(M, MAP_MSG, subscribe_result, subs, 4, 0)                                                    \
    F(M, BOOL, _, expires, 5, 0)                                                                   \
    F(M, U32, _, ttl, 6, 0)                                                                        \
    F(M, U32, _, ping, 7, 0)                                                                       \
    F(M, BOOL, _, pong, 8, 0)                                                                      \
    F(M, STR, _, session, 9, 0)                                                                    \
    F(M, STR, _, node, 10, 0)                                                                      \
    F(M, I64, _, time, 11, 0)

#define WIRE_DISCONNECT(F, M)                                                                      \
    F(M, U32, _, code, 1, 0)                                                                       \
    F(M, STR, _, reason, 2, 0)                                                                     \
    F(M, BOOL, _, reconnect, 3, 0)

#define WIRE_REFRESH(F, M)                                                                         \
    F(M, BOOL, _, expires, 1, 0)                                                                   \
    F(M, U32, _, ttl, 2, 0)

#define WIRE_MESSAGE_LIST(M)                                                                       \
    M(client_info, WIRE_CLIENT_INFO)                                                               \
    M(publication, WIRE_PUBLICATION)                                                               \
    M(stream_position, WIRE_STREAM_POSITION)                                                       \
    M(filter_node, WIRE_FILTER_NODE)                                                               \
    M(connect_request, WIRE_CONNECT_REQUEST)                                                       \
    M(refresh_request, WIRE_REFRESH_REQUEST)                                                       \
    M(subscribe_request, WIRE_SUBSCRIBE_REQUEST)                                                   \
    M(sub_refresh_request, WIRE_SUB_REFRESH_REQUEST)                                               \
    M(track_batch, WIRE_TRACK_BATCH)                                                               \
    M(keyed_item, WIRE_KEYED_ITEM)                                                                 \
    M(unsubscribe_request, WIRE_UNSUBSCRIBE_REQUEST)                                               \
    M(publish_request, WIRE_PUBLISH_REQUEST)                                                       \
    M(presence_request, WIRE_PRESENCE_REQUEST)                                                     \
    M(presence_stats_request, WIRE_PRESENCE_STATS_REQUEST)                                         \
    M(history_request, WIRE_HISTORY_REQUEST)                                                       \
    M(ping_request, WIRE_PING_REQUEST)                                                             \
    M(rpc_request, WIRE_RPC_REQUEST)                                                               \
    M(send_request, WIRE_SEND_REQUEST)                                                             \
    M(connect_result, WIRE_CONNECT_RESULT)                                                         \
    M(refresh_result, WIRE_REFRESH_RESULT)                                                         \
    M(subscribe_result, WIRE_SUBSCRIBE_RESULT)                                                     \
    M(sub_refresh_result, WIRE_SUB_REFRESH_RESULT)                                                 \
    M(unsubscribe_result, WIRE_UNSUBSCRIBE_RESULT)                                                 \
    M(publish_result, WIRE_PUBLISH_RESULT)                                                         \
    M(ping_result, WIRE_PING_RESULT)                                                               \
    M(presence_result, WIRE_PRESENCE_RESULT)                                                       \
    M(presence_stats_result, WIRE_PRESENCE_STATS_RESULT)                                           \
    M(history_result, WIRE_HISTORY_RESULT)                                                         \
    M(rpc_result, WIRE_RPC_RESULT)                                                                 \
    M(join, WIRE_JOIN)                                                                             \
    M(leave, WIRE_LEAVE)                                                                           \
    M(unsubscribe, WIRE_UNSUBSCRIBE)                                                               \
    M(subscribe, WIRE_SUBSCRIBE)                                                                   \
    M(message, WIRE_MESSAGE)                                                                       \
    M(connect, WIRE_CONNECT)                                                                       \
    M(disconnect, WIRE_DISCONNECT)                                                                 \
    M(refresh, WIRE_REFRESH)                                                                       \
    M(error, WIRE_ERROR)                                                                           \
    M(push, WIRE_PUSH)                                                                             \
    M(emulation_request, WIRE_EMULATION_REQUEST)                                                   \
    M(command, WIRE_COMMAND)                                                                       \
    M(reply, WIRE_REPLY)

/* ---- descriptions: what the codecs walk ---- */

struct wire_desc;

struct wire_field {
    const char *quoted; /* ,"name": – the comma is left out in front of the first field */
    const struct wire_desc *sub; /* of WIRE_MSG, WIRE_MSGS, WIRE_MAP_MSG */
    uint16_t offset;             /* in the struct */
    uint8_t quoted_len;
    uint8_t number;
    uint8_t type;   /* enum wire_type */
    uint8_t flags;  /* enum wire_flags */
    uint8_t tag[2]; /* Protobuf tag, second byte 0 when there is none */
};

struct wire_desc {
    const char *name;
    const struct wire_field *fields;
    size_t count; /* of fields */
    size_t size;  /* of the struct */
};

/* Makes the struct of a message; WIRE_DEFINE in wire_desc.h makes its description. Other protocols
 * of the same make (between nodes, say) may use both: WIRE_FORWARD first, for all messages. */
#define WIRE_DECLARE(name, FIELDS)                                                                 \
    struct wire_##name {                                                                           \
        FIELDS(WIRE_MEMBER_, name)                                                                 \
    };                                                                                             \
    extern const struct wire_desc wire_desc_##name;

/* Lists and maps of a message. */
#define WIRE_FORWARD(name, FIELDS)                                                                 \
    struct wire_##name;                                                                            \
    struct wire_##name##_list {                                                                    \
        const struct wire_##name *ptr;                                                             \
        size_t count;                                                                              \
    };                                                                                             \
    struct wire_##name##_entry {                                                                   \
        struct str key;                                                                            \
        const struct wire_##name *value; /* NULL is written as an empty message */                 \
    };                                                                                             \
    struct wire_##name##_map {                                                                     \
        const struct wire_##name##_entry *ptr;                                                     \
        size_t count;                                                                              \
    };

#define WIRE_MEMBER_(M, type, sub, name, number, flags) WIRE_C_##type(sub) name;
#define WIRE_C_STR(sub) struct str
#define WIRE_C_RAW(sub) struct str
#define WIRE_C_BOOL(sub) bool
#define WIRE_C_I32(sub) int32_t
#define WIRE_C_I64(sub) int64_t
#define WIRE_C_U32(sub) uint32_t
#define WIRE_C_U64(sub) uint64_t
#define WIRE_C_S64(sub) int64_t
#define WIRE_C_MSG(sub) const struct wire_##sub *
#define WIRE_C_MSGS(sub) struct wire_##sub##_list
#define WIRE_C_STRS(sub) struct wire_strs
#define WIRE_C_MAP_STR(sub) struct wire_pairs
#define WIRE_C_MAP_MSG(sub) struct wire_##sub##_map

/* struct wire_<name>, with wire_desc_<name>, for each of the list. */
WIRE_MESSAGE_LIST(WIRE_FORWARD)
WIRE_MESSAGE_LIST(WIRE_DECLARE)

/* ---- commands ---- */

/* In the order in which the first one wins if a command carries several. */
#define WIRE_METHOD_LIST(X)                                                                        \
    X(CONNECT, connect)                                                                            \
    X(PING, ping)                                                                                  \
    X(SUBSCRIBE, subscribe)                                                                        \
    X(UNSUBSCRIBE, unsubscribe)                                                                    \
    X(PUBLISH, publish)                                                                            \
    X(PRESENCE, presence)                                                                          \
    X(PRESENCE_STATS, presence_stats)                                                              \
    X(HISTORY, history)                                                                            \
    X(RPC, rpc)                                                                                    \
    X(SEND, send)                                                                                  \
    X(REFRESH, refresh)                                                                            \
    X(SUB_REFRESH, sub_refresh)

#define WIRE_METHOD_ENUM_(upper, lower) METHOD_##upper,
enum method {
    METHOD_NONE, /* a pong, if the id is 0 too */
    WIRE_METHOD_LIST(WIRE_METHOD_ENUM_) METHOD_COUNT
};

enum method wire_command_method(const struct wire_command *command);

/* ---- decoding ---- */

#define WIRE_DEPTH_MAX 32    /* messages inside each other: tf is the only one that nests freely */
#define WIRE_ITEMS_MAX 65536 /* list and map items in one command, all together */

/* Takes the next command of a client's message. ERR_NOT_FOUND: the message has ended cleanly; for
 * the first call that means it was empty, which is a bad request too. ERR_SYNTAX: what comes next
 * is no command; rest is then of no further use. */
enum err wire_next(enum wire wire, struct str *rest, struct arena *a,
                   struct wire_command *out) NODISCARD;

/* One message without prefix or separator, the whole of bytes (in JSON with blanks around it, and
 * null counts as an empty message). out points to the struct of desc. ERR_SYNTAX. */
enum err wire_decode(enum wire wire, const struct wire_desc *desc, struct str bytes,
                     struct arena *a, void *out) NODISCARD;

/* ---- encoding ---- */

/* Raw fields are trusted to be JSON if wire is WIRE_JSON: check them once, where they come in. What
 * is too big for out sets its overflow; what was written of the message then has no meaning. */

/* Without separator in JSON, with its length in front in Protobuf. An empty reply is a ping. */
void wire_add_reply(enum wire wire, struct buf *out, const struct wire_reply *reply);
/* Any message, without length or separator. */
void wire_add_message(enum wire wire, struct buf *out, const struct wire_desc *desc,
                      const void *message);

/* The two encodings themselves; wire.c chooses. */
enum err wire_json_next(struct str *rest, struct arena *a, struct wire_command *out) NODISCARD;
enum err wire_json_decode(const struct wire_desc *desc, struct str bytes, struct arena *a,
                          void *out) NODISCARD;
void wire_json_add(struct buf *out, const struct wire_desc *desc, const void *message);
enum err wire_pb_next(struct str *rest, struct arena *a, struct wire_command *out) NODISCARD;
enum err wire_pb_decode(const struct wire_desc *desc, struct str bytes, struct arena *a,
                        void *out) NODISCARD;
void wire_pb_add(struct buf *out, const struct wire_desc *desc, const void *message);
void wire_pb_add_delimited(struct buf *out, const struct wire_desc *desc, const void *message);
