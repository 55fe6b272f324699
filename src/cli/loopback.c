#include "cli/loopback.h"

#include "client/client.h"
#include "codec/ws.h"

#include <stdio.h>

static struct loopback *of(const struct transport *t)
{
    return container_of(t, struct loopback, transport);
}

static void on_close(struct transport *t, uint32_t code, struct str reason)
{
    struct loopback *l = of(t);

    if (l->closed)
        return;
    l->closed = true;
    l->code = code;
    snprintf(l->reason, sizeof l->reason, "%.*s", STR_ARGS(reason));
}

static struct str peer(const struct transport *t, char *out, size_t size)
{
    return str_of(out, (size_t)snprintf(out, size, "%s", of(t)->ip));
}

/* Whoever speaks waits for the answer, so there is nothing to hold back. */
static void do_nothing(struct transport *t)
{
}

static const struct transport_ops ops = {
    .name = "websocket",
    .close = on_close,
    .peer = peer,
    .pause = do_nothing,
    .resume = do_nothing,
};

static void on_fail(struct outbox *o, enum err why)
{
    client_write_failed(container_of(o, struct loopback, transport.outbox)->client, why);
}

struct loopback *loopback_new(struct core *core, const struct transport_request *request,
                              struct str ip)
{
    struct loopback *l = mem_zalloc(sizeof *l);

    l->told = BUF_INIT(SIZE_MAX / 4);
    l->transport = (struct transport){.ops = &ops, .kind = KIND_WS_JSON};
    snprintf(l->ip, sizeof l->ip, "%.*s", STR_ARGS(ip));
    outbox_init(&l->transport.outbox, NULL, (size_t)core->settings->client_queue_max_size, on_fail);
    l->client = client_new(core, &l->transport, request);
    return l;
}

void loopback_say(struct loopback *l, struct str message)
{
    if (l->client)
        client_receive(l->client, message);
}

bool loopback_listen(struct loopback *l)
{
    bool something = false;
    struct frame *f;

    if (l->client == NULL)
        return false;
    while ((f = outbox_take(&l->transport.outbox)) != NULL) {
        struct str message = ws_payload(frame_bytes(f));

        if (str_eq(message, STR("{}"))) {
            loopback_say(l, message); /* a ping; and its pong */
        } else {
            buf_add_str(&l->told, message);
            buf_add_char(&l->told, '\n');
            something = true;
        }
        frame_unref(f);
    }
    if (l->closed) {
        loopback_close(l);
        something = true;
    }
    return something;
}

void loopback_close(struct loopback *l)
{
    struct client *cl = l->client;

    l->client = NULL;
    if (cl)
        client_transport_closed(cl, DISCONNECT_CONNECTION_CLOSED, STR_NONE);
}

void loopback_free(struct loopback *l)
{
    loopback_close(l);
    outbox_deinit(&l->transport.outbox);
    buf_deinit(&l->told);
    mem_free(l);
}
