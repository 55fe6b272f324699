#include "client/client.h"

#include "base/check.h"
#include "base/mem.h"
#include "base/random.h"
#include "client/command.h"
#include "client/headers.h"
#include "client/subscribe.h"
#include "core/admission.h"

#include <assert.h>

static_assert(sizeof(struct client) <= 184, "an idle client should cost little");

/* --- birth and death -------------------------------------------------------------------------- */

struct client *client_new(struct core *core, struct transport *t,
                          const struct transport_request *request)
{
    struct client *cl = mem_zalloc(sizeof *cl);

    cl->core = core;
    cl->transport = t;
    cl->refs = 1;
    cl->hub.outbox = &t->outbox;
    cl->hub.kind = t->kind;
    cl->id = uuid_new();
    list_add_tail(&clients_of(cl)->unconnected, &cl->hub.in_user);
    headers_keep(cl, request);
    client_life_open(cl);
    if (core->closing)
        client_disconnect_code(cl, DISCONNECT_SHUTDOWN);
    return cl;
}

struct client *client_ref(struct client *cl)
{
    cl->refs++;
    return cl;
}

void client_unref(struct client *cl)
{
    if (--cl->refs > 0)
        return;
    CHECK(cl->transport == NULL);
    CHECK(cl->hub.subs == NULL);
    if (cl->view)
        *cl->view = NULL;
    limit_release(clients_of(cl)->limits, &cl->limit);
    caps_free(cl->caps);
    client_drop_inbox(cl);
    mem_free(cl->texts);
    mem_free(cl);
}

void client_alive(struct client *cl)
{
    if (cl->state == CLIENT_CONNECTED && client_awaits_pong(cl))
        client_pong(cl);
}

/* --- the end ---------------------------------------------------------------------------------- */

struct client_end {
    struct list in_closing;
    struct client *cl;
    uint32_t code;
    size_t reason_len;
    char reason[];
};

static void on_told(void *arg, const struct hook_verdict *verdict)
{
    client_unref(arg);
}

void client_tell(struct client *cl, unsigned row, enum hook which, struct str channel,
                 uint32_t code, struct str reason)
{
    struct script *script = cl->core->script;

    if (cl->was_connected && hook_is_set(script, row, which))
        hook_run(script, row, which,
                 &(struct hook_request){
                     .client = cl, .channel = channel, .code = code, .reason = reason},
                 on_told, client_ref(cl));
}

static void end_client(struct client_end *end)
{
    struct client *cl = end->cl;
    struct str reason = str_of(end->reason, end->reason_len);

    if (cl->transport)
        cl->transport->ops->close(cl->transport, end->code, reason);
    client_life_close(cl);
    subscribe_leave_all(cl);
    client_tell(cl, 0, HOOK_DISCONNECT, STR_NONE, end->code, reason);
    if (cl->view)
        client_set_text(cl, CLIENT_USER, client_user(cl));
    if (cl->hub.user)
        hub_remove_client(cl->core->hub, &cl->hub);
    else
        list_del(&cl->hub.in_user);
    client_unref(cl);
    mem_free(end);
}

void client_run_closing(struct turn_task *task)
{
    struct clients *cs = container_of(task, struct clients, close_task);

    while (!list_empty(&cs->closing)) {
        struct client_end *end = container_of(cs->closing.next, struct client_end, in_closing);

        list_del(&end->in_closing);
        end_client(end);
    }
}

void client_disconnect(struct client *cl, uint32_t code, struct str reason)
{
    struct clients *cs = clients_of(cl);
    struct client_end *end;

    if (client_is_closing(cl))
        return;
    if (reason.len == 0)
        reason = codes_reason(code);
    if (cl->user_counted) /* already now: whoever it makes room for may wait for that */
        admission_leave_user(cl->core->node->admission, client_user(cl));
    cl->user_counted = false;
    end = mem_alloc(sizeof *end + reason.len);
    list_init(&end->in_closing);
    end->cl = client_ref(cl);
    end->code = code;
    end->reason_len = reason.len;
    if (reason.len > 0)
        memcpy(end->reason, reason.ptr, reason.len);
    cl->state = CLIENT_CLOSING;
    list_add_tail(&cs->closing, &end->in_closing);
    worker_queue(cl->core->worker, &cs->close_task);
}

void client_disconnect_code(struct client *cl, enum disconnect code)
{
    client_disconnect(cl, code, codes_disconnect(code));
}

void client_transport_closed(struct client *cl, uint32_t code, struct str reason)
{
    cl->transport = NULL;
    admission_leave(cl->core->node->admission);
    client_disconnect(cl, code,
                      reason.len ? reason : codes_disconnect(DISCONNECT_CONNECTION_CLOSED));
    client_run_closing(&clients_of(cl)->close_task); /* now: the outbox is about to go */
    cl->hub.outbox = NULL;
    client_unref(cl);
}

void client_write_failed(struct client *cl, enum err why)
{
    if (why == ERR_LIMIT)
        client_log_refusal(cl, DISCONNECT_SLOW,
                           &(struct refusal){.cause = "the client reads too slowly",
                                             .option = STR("client.queue_max_size")});
    else if (why == ERR_EXPIRED)
        client_log_refusal(cl, DISCONNECT_WRITE_ERROR,
                           &(struct refusal){.cause = "nothing could be written in time",
                                             .option = STR("websocket.write_timeout")});
    client_disconnect_code(cl, why == ERR_LIMIT ? DISCONNECT_SLOW : DISCONNECT_WRITE_ERROR);
}

/* --- what is left of it ----------------------------------------------------------------------- */

struct str client_last_user(const struct client *cl)
{
    return client_is_closing(cl) && !cl->hub.user ? client_text(cl, CLIENT_USER) : client_user(cl);
}

/* Also without CLIENT_PEER: the hook came with a reload. */
struct str client_ip(const struct client *cl, char out[CLIENT_IP_MAX])
{
    struct str kept = client_text(cl, CLIENT_PEER);

    if (kept.len > 0)
        return str_cut(kept, (size_t)str_find(kept, '\0') + 1);
    return cl->transport ? cl->transport->ops->peer(cl->transport, out, CLIENT_IP_MAX) : STR_NONE;
}

struct str client_transport(const struct client *cl)
{
    struct str kept = client_text(cl, CLIENT_PEER);

    if (kept.len > 0)
        return str_of(kept.ptr, (size_t)str_find(kept, '\0'));
    return cl->transport ? str_from(cl->transport->ops->name) : STR_NONE;
}

/* --- permissions ------------------------------------------------------------------------------ */

unsigned client_who(const struct client *cl, const struct channel_parts *parts, struct str channel)
{
    const struct settings *s = cl->core->settings;
    struct str user = client_user(cl);
    unsigned who = 0;

    if (user.len == 0)
        who |= WHO_ANONYMOUS;
    if (hub_find(&cl->hub, channel))
        who |= WHO_SUBSCRIBED;
    if (s->client_insecure)
        who |= WHO_INSECURE;
    if (parts->is_private)
        who |= WHO_PRIVATE;
    if (parts->user_limited) {
        who |= WHO_USER_LIMITED;
        if (channel_lists_user(s, channel, user))
            who |= WHO_USER_LISTED;
    }
    return who;
}

/* What a capability grants never opens a private channel: that takes a token of its own. */
static bool granted(const struct client *cl, unsigned who, enum action action, struct str channel)
{
    static const uint32_t rights[ACTION_COUNT] = {
        [ACTION_PUBLISH] = SUB_MAY_PUBLISH,
        [ACTION_PRESENCE] = SUB_MAY_PRESENCE,
        [ACTION_HISTORY] = SUB_MAY_HISTORY,
    };
    const struct subscription *sub = hub_find(&cl->hub, channel);

    if (sub && sub->flags & rights[action])
        return true;
    if (action == ACTION_SUBSCRIBE && who & WHO_PRIVATE)
        return false;
    return caps_for(cl->caps, channel) & 1u << action;
}

bool client_may(const struct client *cl, const struct ns *ns, unsigned who, enum action action,
                struct str channel)
{
    return settings_allows(ns, who, action) || granted(cl, who, action, channel);
}

struct presence_entry client_write_entry(const struct client *cl, const struct subscription *sub,
                                         char id[UUID_LEN])
{
    return (struct presence_entry){
        .client = client_write_id(cl, id),
        .user = client_user(cl),
        .conn_info = client_text(cl, CLIENT_CONN_INFO),
        .chan_info = sub && sub->extra ? sub->extra->chan_info : STR_NONE,
    };
}
