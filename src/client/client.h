/* One client of the protocol: its state, its commands in order, its timers and its end. It knows no
 * socket (client/transport.h) and no Lua (script/hook.h). Worker thread.
 *
 *     opened ──connect──► connecting ──ok──► connected ──► closing
 *        └─ stale                └─ error ─► unusable ─────────┘
 *
 * Commands begin in their order. While one waits for a home or a hook, the next ones queue, unless
 * client.concurrency lets several wait at once (client/receive.c). A client that is to end is only
 * marked; the end itself comes at the end of the turn, so nobody who holds a client or walks a list
 * of them is surprised. Memory is counted: whoever waits holds a reference, and must look at
 * client_is_closing afterwards. */
#pragma once

#include "base/random.h"
#include "client/caps.h"
#include "client/codes.h"
#include "client/limit.h"
#include "client/transport.h"
#include "core/channel.h"
#include "core/home.h"
#include "core/hub.h"
#include "script/hook.h"

enum client_state {
    CLIENT_OPENED,
    CLIENT_CONNECTING,
    CLIENT_CONNECTED,
    CLIENT_UNUSABLE, /* its connect command was answered with an error */
    CLIENT_CLOSING,
};

/* Texts of a client that most have few of; one allocation, NULL when all are empty. */
enum client_text {
    CLIENT_CONN_INFO, /* raw */
    CLIENT_META,      /* raw; never sent to clients */
    CLIENT_HEADERS,   /* client/headers.h; only if a hook may ask, and so the next two */
    CLIENT_EMULATED,  /* the same, of the connect command */
    CLIENT_PEER,      /* packed "transport\0ip" */
    CLIENT_USER,      /* while the hub has none: what client.user_id_http_header says before
                         connect; the last one after the end, for hooks that still run */
    CLIENT_TOKEN,     /* struct client_token, if the token has jti or iat */
    CLIENT_TEXT_COUNT
};

struct client {
    struct hub_client hub; /* user, subscriptions */
    struct core *core;
    struct transport *transport; /* NULL once the connection is gone */
    struct client_texts *texts;
    struct client_inbox *inbox;     /* messages that wait for commands in progress */
    struct subscribe_claim *claims; /* subscribes under way */
    struct timer timer;             /* the next of the times below, and of the expiry */
    struct client_times {
        uint32_t ping, pong, tick; /* next ping, pong overdue, maintenance: see client/life.c */
    } times;
    uint32_t refs;
    int64_t expire_at;       /* Unix seconds; 0: never */
    struct limit_slot limit; /* of commands */
    struct caps *caps;       /* what it may do beyond the rules; NULL for most */
    struct client **view;    /* Lua's, which holds this pointer; cleared with the last reference */
    struct uuid id;
    uint16_t waiting; /* commands */
    uint8_t state;
    bool blocked : 1;       /* a command waits to begin, and everything behind it */
    bool again : 1;         /* it is to be read again, also when its wait is over already */
    bool counted : 1;       /* it has passed the rate limits already */
    bool running : 1;       /* inside its command loop */
    bool paused : 1;        /* the transport was told to stop reading */
    bool refreshing : 1;    /* the refresh hook was asked */
    bool was_connected : 1; /* hooks hear of its end */
    bool by_token : 1;      /* who it is, its token said */
    bool caps_by_hook : 1;  /* a token's refresh leaves them alone */
    bool user_counted : 1;  /* of admission_enter_user */
};

/* What was decided about a command, and why; for tools that explain it. */
struct decision {
    uint32_t code; /* of the error or disconnect; 0: allowed */
    struct str cause, option;
};
typedef void client_watch_fn(void *arg, const struct decision *d);

/* What all clients of one worker share. */
struct clients {
    struct core *core;
    struct arena arena;      /* of the command in progress; reset after it */
    struct buf scratch;      /* one encoding at a time */
    struct list unconnected; /* clients without a user yet, by hub.in_user */
    struct list closing;     /* struct client_end */
    struct list orderings;   /* orders that wait (control.c) */
    struct turn_task close_task;
    struct limits *limits;
    struct auth *auth; /* keys of tokens (client/auth.h) */
    struct jwks *jwks; /* keys that others publish */
    struct occupancy *occupancy;
    client_watch_fn *watch; /* NULL: nobody asks why */
    void *watch_arg;
};

/* Makes them for one worker and enters the up-calls of hub, home and control. */
struct clients *clients_new(struct core *core);
/* Ends every client with shutdown (3001). */
void clients_shutdown(struct clients *cs);
/* Then, when they are gone: what hooks are still to hear of them and their channels they hear now;
 * and has each of them ended? */
void clients_finish(struct clients *cs);
bool clients_finished(const struct clients *cs);
void clients_stop(struct clients *cs); /* no more hooks */
void clients_free(struct clients *cs); /* without clients left */

static inline struct clients *clients_of(const struct client *cl)
{
    return cl->core->clients;
}

struct client *client_ref(struct client *cl);
void client_unref(struct client *cl);

static inline bool client_is_closing(const struct client *cl)
{
    return cl->state == CLIENT_CLOSING;
}

static inline struct client *client_of(struct hub_client *hc)
{
    return container_of(hc, struct client, hub);
}

/* Its id as text, which lasts as long as the block that asks; out: room of one's own. */
#define client_id(cl) client_write_id((cl), (char[UUID_LEN]){0})
static inline struct str client_write_id(const struct client *cl, char out[UUID_LEN])
{
    uuid_write(&cl->id, out);
    return str_of(out, UUID_LEN);
}

static inline struct str client_user(const struct client *cl)
{
    return hub_user_name(&cl->hub);
}

struct str client_text(const struct client *cl, enum client_text which);
void client_set_text(struct client *cl, enum client_text which, struct str text); /* copied */
/* What hooks may ask for as long as they run, also when the connection is gone. */
#define CLIENT_IP_MAX 64
struct str client_last_user(const struct client *cl);
struct str client_ip(const struct client *cl, char out[CLIENT_IP_MAX]);
struct str client_transport(const struct client *cl);

/* Runs the unsubscribe or disconnect hook of row, if one is set and the client was connected; the
 * client can be read until it has ended. channel: for unsubscribe. */
void client_tell(struct client *cl, unsigned row, enum hook which, struct str channel,
                 uint32_t code, struct str reason);

/* --- ending --- */

/* Ends those that were marked; the turn's task. */
void client_run_closing(struct turn_task *task);

/* Marks the client for its end: at the turn's end its subscriptions go, hooks are told, and the
 * transport tells the peer. A second call does nothing. reason is copied; empty: that of the code.
 */
void client_disconnect(struct client *cl, uint32_t code, struct str reason);
void client_disconnect_code(struct client *cl, enum disconnect code);

/* --- answering (client/reply.c) --- */

void client_reply(struct client *cl, const struct wire_reply *reply);
void client_reply_error(struct client *cl, uint32_t id, const struct wire_error *error);
void client_push(struct client *cl, const struct wire_push *push);
/* The frame of a reply, to be pushed by the caller. */
struct frame *client_reply_frame(struct client *cl, const struct wire_reply *reply);

/* Why somebody was refused, for the log: one info line, and what to change. */
struct refusal {
    const char *cause;
    struct str cause_text; /* instead of cause */
    struct str option;     /* empty: none */
    struct str channel;
};
void client_log_refusal(const struct client *cl, uint32_t code, const struct refusal *why);

/* The other side of it, for whoever watches: what allowed a command. */
enum allowed_by { BY_RULES, BY_CAPABILITY, BY_TOKEN, BY_HOOK };
void client_watch_allowed(const struct client *cl, const struct ns *ns, unsigned who,
                          enum action action, enum allowed_by by);
static inline void client_allowed(const struct client *cl, const struct ns *ns, unsigned who,
                                  enum action action, enum allowed_by by)
{
    if (__builtin_expect(clients_of(cl)->watch != NULL, 0))
        client_watch_allowed(cl, ns, who, action, by);
}

/* --- for tools (client/cmd_connect.c) --- */

/* Who somebody is, whom nobody has to prove. Borrowed. */
struct client_identity {
    struct str user;
    struct str info, meta, caps; /* raw, or empty */
};
/* Connects a client that has said nothing yet, as if a token had said who it is; the connect hook
 * is not asked. Its connect result answers command 1. ERR_SYNTAX, ERR_LIMIT: caps are no list of
 * capabilities. */
enum err client_connect_as(struct client *cl, const struct client_identity *who) NODISCARD;

/* --- a command's life (client/receive.c) --- */

/* The command waits for somebody: when no more may, later ones queue. Takes a reference. */
void client_wait(struct client *cl);
void client_resume(struct client *cl); /* gives it back */
/* A command that has done nothing yet waits, and everything behind it: after client_begin it runs
 * from its start. Both as above. */
void client_wait_to_begin(struct client *cl);
void client_begin(struct client *cl);
void client_drop_inbox(struct client *cl); /* what waits is forgotten */

/* --- what may it do --- */

/* Bits of enum who for this client and channel. */
unsigned client_who(const struct client *cl, const struct channel_parts *parts, struct str channel);
/* The rules allow it, or else a capability of the connection or of its subscription does. */
bool client_may(const struct client *cl, const struct ns *ns, unsigned who, enum action action,
                struct str channel);
/* What presence, join and leave say of it; lasts as client_id does. */
#define client_entry(cl, sub) client_write_entry((cl), (sub), (char[UUID_LEN]){0})
struct presence_entry client_write_entry(const struct client *cl, const struct subscription *sub,
                                         char id[UUID_LEN]);

/* --- timers (client/life.c) --- */

void client_life_open(struct client *cl);      /* the stale timer */
void client_life_connected(struct client *cl); /* pings, maintenance, expiry */
void client_life_rearm(struct client *cl);     /* a time has changed */
bool client_awaits_pong(const struct client *cl);
void client_pong(struct client *cl);
void client_life_close(struct client *cl);

/* --- upkeep (client/upkeep.c) --- */

/* Its connection's expiry is renewed by refresh commands, not by the refresh hook. */
bool client_refreshes_itself(const struct client *cl);
/* The expiry (and grace) is over: asks the refresh hook, or ends the client. */
void client_expired(struct client *cl);
/* The maintenance tick: expired subscriptions, lost positions. */
void client_maintain(struct client *cl);
/* A positioned subscription cannot go on: 2500, or 3010 when the server made it. Deferred to the
 * turn's end, so it may be called while channels are walked. */
void client_lose_position(struct client *cl, struct subscription *sub);
/* Sets a new expiry (0: never); tells the client if push. */
void client_set_expiry(struct client *cl, int64_t expire_at, bool push);
/* What others see of it has changed: their presence shows it. */
void client_renew_presence(struct client *cl, const struct subscription *sub);
void client_set_info(struct client *cl, struct str info);
/* Seconds from now, at least 1, at most a year. */
uint32_t client_ttl(int64_t expire_at);
