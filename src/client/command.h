/* The handler table: one command, one file. A handler either answers at once, or begins to wait
 * (pending_begin; connect: client_wait), answers later, and then ends that. Everything in the
 * command is borrowed and gone when the handler returns: what waits copies. */
#pragma once

#include "client/client.h"

typedef void command_fn(struct client *cl, const struct wire_command *command);

/* Checks the state, finds the row, runs it. */
void command_run(struct client *cl, const struct wire_command *command);

command_fn cmd_connect, cmd_subscribe, cmd_unsubscribe, cmd_publish, cmd_presence,
    cmd_presence_stats, cmd_history, cmd_rpc, cmd_send, cmd_refresh, cmd_sub_refresh;

/* False: it waits for the subscribe of its channel, and then begins from its start. */
bool cmd_unsubscribe_may_begin(struct client *cl, struct str channel);

/* Answers command `id` with an error, and logs why. */
void command_refuse(struct client *cl, uint32_t id, enum client_error code,
                    const struct refusal *why);
void command_refuse_because(struct client *cl, uint32_t id, enum client_error code,
                            struct str channel, const char *cause, struct str option);
/* The same with a disconnect. */
void command_disconnect(struct client *cl, enum disconnect code, const struct refusal *why);
/* What a hook decided against the client: its error or disconnect, told and logged. */
void command_refuse_verdict(struct client *cl, uint32_t id, struct str channel,
                            const struct hook_verdict *v);
/* Finds the channel's options and checks its name; false: answered already. */
bool command_channel(struct client *cl, uint32_t id, struct str channel,
                     struct channel_parts *parts);
/* Permission for action in channel; false: answered already. */
bool command_allowed(struct client *cl, uint32_t id, struct str channel,
                     const struct channel_parts *parts, enum action action);

/* A command that waits: who, which, and the channel it is about. Freed by pending_end. */
struct pending {
    struct client *cl;
    uint32_t id;
    struct str channel, data;   /* copies */
    struct channel_parts parts; /* of channel, without rest; holds ns, which may be NULL */
};
/* parts: of channel, or NULL. */
struct pending *pending_begin(struct client *cl, uint32_t id, struct str channel, struct str data,
                              const struct channel_parts *parts);
/* True when the client is still there to be answered. */
static inline bool pending_alive(const struct pending *p)
{
    return !client_is_closing(p->cl);
}
void pending_end(struct pending *p); /* resumes the client */
/* command_refuse_verdict for a hook whose false is no error of its own; option: its path. */
void command_refuse_by_hook(const struct pending *p, struct str option,
                            const struct hook_verdict *v);
