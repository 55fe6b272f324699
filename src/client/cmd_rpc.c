/* rpc and send: what a client asks of config.lua's own functions. */
#include "client/command.h"

static void on_rpc(void *arg, const struct hook_verdict *v)
{
    struct pending *p = arg;
    struct wire_rpc_result result = {.data = v->data};

    if (pending_alive(p)) {
        switch (v->outcome) {
        case VERDICT_NIL:
        case VERDICT_ALLOW:
            client_reply(p->cl, &(struct wire_reply){.id = p->id, .rpc = &result});
            break;
        case VERDICT_REFUSE: /* here false is an error, or a method's result */
        case VERDICT_ERROR:
        case VERDICT_DISCONNECT:
            command_refuse_verdict(p->cl, p->id, STR_NONE, v);
            break;
        }
    }
    pending_end(p);
}

void cmd_rpc(struct client *cl, const struct wire_command *command)
{
    const struct wire_rpc_request *r = command->rpc;
    struct script *script = cl->core->script;
    bool by_name = hook_has_rpc(script, r->method);
    struct hook_request request = {
        .client = cl,
        .data_is_binary = kind_wire(cl->hub.kind) != WIRE_JSON,
    };
    struct pending *p;

    if (!by_name && !hook_is_set(script, 0, HOOK_RPC)) {
        bool none = !hook_has_any_rpc(script);

        command_refuse(cl, command->id, none ? ERROR_NOT_AVAILABLE : ERROR_METHOD_NOT_FOUND,
                       &(struct refusal){.cause = none ? "no rpc functions are configured"
                                                       : "there is no such rpc function",
                                         .option = STR("rpc")});
        return;
    }
    p = pending_begin(cl, command->id, r->method, r->data, NULL);
    request.method = p->channel;
    request.data = p->data;
    if (by_name)
        hook_run_rpc(script, &request, on_rpc, p);
    else
        hook_run(script, 0, HOOK_RPC, &request, on_rpc, p);
}

static void on_message(void *arg, const struct hook_verdict *v)
{
    struct pending *p = arg;

    if (pending_alive(p) && v->outcome == VERDICT_DISCONNECT)
        command_refuse_verdict(p->cl, p->id, STR_NONE, v);
    pending_end(p); /* a send has no reply, so an error is only logged by the hook's caller */
}

void cmd_send(struct client *cl, const struct wire_command *command)
{
    struct script *script = cl->core->script;
    struct pending *p;

    if (!hook_is_set(script, 0, HOOK_MESSAGE)) {
        command_disconnect(cl, DISCONNECT_NOT_AVAILABLE,
                           &(struct refusal){.cause = "nobody takes messages of clients",
                                             .option = STR("hooks.message")});
        return;
    }
    p = pending_begin(cl, command->id, STR_NONE, command->send->data, NULL);
    hook_run(script, 0, HOOK_MESSAGE,
             &(struct hook_request){.client = cl,
                                    .data = p->data,
                                    .data_is_binary = kind_wire(cl->hub.kind) != WIRE_JSON},
             on_message, p);
}
