/* Messages in. Their commands begin in the order in which they came; while as many wait as may
 * (client.concurrency), or one waits to begin, the rest queues in the client's inbox. */
#include "base/check.h"
#include "base/mem.h"
#include "client/command.h"

/* Bytes of waiting commands after which the client is not read any more, and those at which it is
 * again. */
#define INBOX_PAUSE_BYTES (64 * 1024)
#define INBOX_RESUME_BYTES 1024

/* A message, or the rest of one. */
struct inbox_item {
    struct inbox_item *next;
    size_t len;
    bool whole; /* none of it has run yet */
    char bytes[];
};
struct client_inbox {
    struct inbox_item *first, **last;
    size_t bytes;
};

/* --- the inbox -------------------------------------------------------------------------------- */

static void inbox_add(struct client *cl, struct str bytes, bool in_front)
{
    struct inbox_item *item = mem_alloc(sizeof *item + bytes.len);

    if (cl->inbox == NULL) {
        cl->inbox = mem_zalloc(sizeof *cl->inbox);
        cl->inbox->last = &cl->inbox->first;
    }
    item->len = bytes.len;
    item->whole = !in_front;
    if (bytes.len > 0)
        memcpy(item->bytes, bytes.ptr, bytes.len);
    if (in_front) {
        item->next = cl->inbox->first;
        cl->inbox->first = item;
        if (item->next == NULL)
            cl->inbox->last = &item->next;
    } else {
        item->next = NULL;
        *cl->inbox->last = item;
        cl->inbox->last = &item->next;
    }
    cl->inbox->bytes += sizeof *item + bytes.len; /* empty ones count too */
    if (cl->inbox->bytes > INBOX_PAUSE_BYTES && !cl->paused && cl->transport) {
        cl->paused = true;
        cl->transport->ops->pause(cl->transport);
    }
}

static struct inbox_item *inbox_take(struct client *cl)
{
    struct inbox_item *item = cl->inbox ? cl->inbox->first : NULL;

    if (item == NULL)
        return NULL;
    cl->inbox->first = item->next;
    cl->inbox->bytes -= sizeof *item + item->len;
    if (item->next == NULL) {
        mem_free(cl->inbox);
        cl->inbox = NULL;
    }
    return item;
}

void client_drop_inbox(struct client *cl)
{
    struct inbox_item *item;

    while ((item = inbox_take(cl)) != NULL)
        mem_free(item);
}

/* --- running ---------------------------------------------------------------------------------- */

/* No command may begin now. Only a connected client may have several wait: everything else it says
 * depends on its connect command. */
static bool is_full(const struct client *cl)
{
    int64_t limit = cl->state == CLIENT_CONNECTED ? cl->core->settings->client_concurrency : 1;

    return cl->blocked || cl->waiting >= MAX(limit, 1);
}

static void refuse_message(struct client *cl, const char *cause)
{
    command_disconnect(cl, DISCONNECT_BAD_REQUEST, &(struct refusal){.cause = cause});
}

/* Runs the commands of a message until it ends, the client is full, or it ends. whole: none of the
 * message has run yet, so it must hold a command. */
static void run_message(struct client *cl, struct str rest, bool whole)
{
    struct clients *cs = clients_of(cl);
    enum wire wire = kind_wire(cl->hub.kind);

    while (!is_full(cl) && cl->state < CLIENT_UNUSABLE) {
        struct str before = rest;
        struct wire_command command;
        enum err err = wire_next(wire, &rest, &cs->arena, &command);

        if (err == OK)
            command_run(cl, &command);
        if (cl->again)
            rest = before;
        cl->again = false;
        arena_reset(&cs->arena);
        if (err == ERR_NOT_FOUND && whole)
            refuse_message(cl, "the message is empty");
        else if (err == ERR_SYNTAX)
            refuse_message(cl, "the message is not a valid command");
        if (err != OK)
            return;
        whole = false;
    }
    if (rest.len > 0 && cl->state < CLIENT_UNUSABLE)
        inbox_add(cl, rest, true);
}

/* Nothing but a pong. It does not wait behind commands that wait: the client is there, and may not
 * be closed for want of pongs because its hook takes long. */
static bool is_pong(const struct client *cl, struct str message)
{
    if (kind_wire(cl->hub.kind) == WIRE_JSON)
        return str_eq(message, STR("{}"));
    return message.len == 1 && message.ptr[0] == '\0';
}

void client_receive(struct client *cl, struct str message)
{
    if (client_is_closing(cl))
        return;
    if (is_full(cl) && client_awaits_pong(cl) && is_pong(cl, message)) {
        client_pong(cl);
        return;
    }
    if (is_full(cl) || cl->running) {
        inbox_add(cl, message, false);
        return;
    }
    if (cl->state == CLIENT_UNUSABLE) {
        refuse_message(cl, "a command after a failed connect");
        return;
    }
    cl->running = true;
    run_message(cl, message, true);
    cl->running = false;
}

/* There is room for a command again. */
static void go_on(struct client *cl)
{
    struct inbox_item *item;

    if (!cl->running) { /* else the loop that called the command goes on by itself */
        cl->running = true;
        while (!is_full(cl) && cl->state < CLIENT_UNUSABLE && (item = inbox_take(cl)) != NULL) {
            run_message(cl, str_of(item->bytes, item->len), item->whole);
            mem_free(item);
        }
        cl->running = false;
    }
    if (cl->paused && cl->transport &&
        (cl->inbox == NULL || cl->inbox->bytes < INBOX_RESUME_BYTES)) {
        cl->paused = false;
        cl->transport->ops->resume(cl->transport);
    }
}

/* --- waiting ---------------------------------------------------------------------------------- */

void client_wait(struct client *cl)
{
    CHECK(!cl->blocked && cl->waiting < UINT16_MAX);
    cl->waiting++;
    client_ref(cl);
}

void client_resume(struct client *cl)
{
    CHECK(cl->waiting > 0);
    cl->waiting--;
    go_on(cl);
    client_unref(cl);
}

void client_wait_to_begin(struct client *cl)
{
    CHECK(cl->running && !cl->blocked);
    cl->blocked = cl->again = true;
    client_ref(cl);
}

void client_begin(struct client *cl)
{
    CHECK(cl->blocked);
    cl->blocked = false;
    go_on(cl);
    client_unref(cl);
}
