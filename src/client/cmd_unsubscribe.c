/* unsubscribe: always answered, subscribed or not. A subscribe of the channel that is still under
 * way comes first, so the channel is left in any case. */
#include "base/mem.h"
#include "client/command.h"
#include "client/subscribe.h"

/* How long a subscribe may keep its unsubscribe waiting. */
#define WAIT_MS 5000

/* An unsubscribe that has not begun yet. */
struct wait {
    struct client *cl; /* the reference of client_wait_to_begin */
    struct subscribe_waiter over;
    struct timer timer;
};

static void begin(struct wait *w)
{
    struct client *cl = w->cl;

    mem_free(w);
    client_begin(cl);
}

static void on_over(struct subscribe_waiter *over)
{
    struct wait *w = container_of(over, struct wait, over);

    timer_unset(&w->cl->core->worker->timers, &w->timer);
    begin(w);
}

static void on_late(struct timer *t)
{
    struct wait *w = container_of(t, struct wait, timer);

    subscribe_wait_no_more(&w->over);
    if (!client_is_closing(w->cl))
        command_disconnect(w->cl, DISCONNECT_SERVER_ERROR,
                           &(struct refusal){.cause = "an unsubscribe waited too long for the "
                                                      "subscribe before it"});
    begin(w);
}

static void wait_for(struct client *cl, struct subscribe_claim *claim)
{
    struct wait *w = mem_alloc(sizeof *w);
    struct worker *worker = cl->core->worker;

    *w = (struct wait){.cl = cl, .over.fn = on_over, .timer = TIMER_INIT(on_late)};
    client_wait_to_begin(cl);
    subscribe_when_over(claim, &w->over);
    timer_set(&worker->timers, &w->timer, worker->now_ms + WAIT_MS);
}

bool cmd_unsubscribe_may_begin(struct client *cl, struct str channel)
{
    struct subscribe_claim *claim = subscribe_under_way(cl, channel);

    if (claim)
        wait_for(cl, claim);
    return !claim;
}

void cmd_unsubscribe(struct client *cl, const struct wire_command *command)
{
    struct str channel = command->unsubscribe->channel;
    struct subscription *sub;

    if (channel.len == 0) {
        command_disconnect(cl, DISCONNECT_BAD_REQUEST,
                           &(struct refusal){.cause = "the channel is missing"});
        return;
    }
    sub = hub_find(&cl->hub, channel);
    if (sub)
        subscribe_leave(cl, sub, UNSUBSCRIBE_BY_CLIENT, codes_unsubscribe(UNSUBSCRIBE_BY_CLIENT),
                        false);
    client_reply(cl, &(struct wire_reply){.id = command->id,
                                          .unsubscribe = &(struct wire_unsubscribe_result){}});
}
