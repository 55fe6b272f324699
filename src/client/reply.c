/* From reply structs to frames in the outbox, and the log line of a refusal. */
#include "client/client.h"

#include "base/log.h"

#define SCRATCH_KEPT_BYTES (256 * 1024)

struct frame *client_reply_frame(struct client *cl, const struct wire_reply *reply)
{
    struct buf *scratch = &clients_of(cl)->scratch;
    struct frame *f;

    buf_clear(scratch);
    wire_add_reply(kind_wire(cl->hub.kind), scratch, reply);
    f = kind_dress(cl->core, cl->hub.kind, buf_str(scratch));
    if (scratch->cap > SCRATCH_KEPT_BYTES)
        buf_deinit(scratch);
    return f;
}

void client_reply(struct client *cl, const struct wire_reply *reply)
{
    if (cl->hub.outbox)
        outbox_push_take(cl->hub.outbox, client_reply_frame(cl, reply));
}

void client_reply_error(struct client *cl, uint32_t id, const struct wire_error *error)
{
    client_reply(cl, &(struct wire_reply){.id = id, .error = error});
    if (limit_take_error(clients_of(cl)->limits, &cl->limit) || client_is_closing(cl))
        return;
    client_log_refusal(cl, DISCONNECT_TOO_MANY_ERRORS,
                       &(struct refusal){.cause = "too many errors in a short time",
                                         .option = limit_option(clients_of(cl)->limits)});
    client_disconnect_code(cl, DISCONNECT_TOO_MANY_ERRORS);
}

void client_push(struct client *cl, const struct wire_push *push)
{
    client_reply(cl, &(struct wire_reply){.push = push});
}

void client_log_refusal(const struct client *cl, uint32_t code, const struct refusal *why)
{
    struct str cause = why->cause ? str_from(why->cause) : why->cause_text;
    const struct clients *cs = clients_of(cl);
    struct log_field fields[7];
    size_t n = 0;

    if (cs->watch)
        cs->watch(cs->watch_arg, &(struct decision){code, cause, why->option});
    if (!log_enabled(LOG_INFO))
        return;
    fields[n++] = LOG_I("code", code);
    fields[n++] = LOG_S("client", client_id(cl));
    fields[n++] = LOG_S("user", client_user(cl));
    if (why->channel.len > 0)
        fields[n++] = LOG_S("channel", why->channel);
    fields[n++] = LOG_S("cause", cause);
    if (why->option.len > 0)
        fields[n++] = LOG_S("option", why->option);
    log_write(LOG_INFO, STR("refused"), fields, n);
}

void client_watch_allowed(const struct client *cl, const struct ns *ns, unsigned who,
                          enum action action, enum allowed_by by)
{
    const struct clients *cs = clients_of(cl);
    struct decision d = {0};

    switch (by) {
    case BY_RULES:
        d.cause = settings_denied_cause(ns, who, action);
        d.option = settings_denied_option(ns, who, action);
        break;
    case BY_CAPABILITY:
        d.cause = STR("a capability of its token or of its connection allows it");
        break;
    case BY_TOKEN:
        d.cause = STR("the subscription token allows it");
        d.option = STR("client.token");
        break;
    case BY_HOOK:
        d.cause = STR("the hook allowed it");
        d.option = STR("hooks");
        break;
    }
    cs->watch(cs->watch_arg, &d);
}
