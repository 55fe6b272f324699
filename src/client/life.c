/* The times of a connection: connect deadline, pings and pongs, expiry, and the maintenance tick
 * that looks after subscriptions. One timer per client, set to the earliest of them.
 *
 * A struct client_times holds the lower 32 bits of the clock's milliseconds, 0 for never: what it
 * tells lies within weeks of now, and every client has three of them. */
#include "client/client.h"

#include "base/clock.h"
#include "base/random.h"
#include "client/command.h"

/* Between points of time that clients share, and of one interval at least. With pings every 25 s,
 * ten thousand clients get theirs in groups of forty. */
#define POINT_MS 100
#define POINTS_PER_INTERVAL 128

/* Far enough below 2^31 ms that one that is overdue is no future one. */
#define TIME_FAR_MS ((uint64_t)20 * 86400 * 1000)

static uint64_t now_ms(const struct client *cl)
{
    return cl->core->worker->now_ms;
}

/* The time in that many milliseconds, at most twenty days. */
static uint32_t time_in(const struct client *cl, uint64_t ms)
{
    uint32_t time = (uint32_t)(now_ms(cl) + MIN(ms, TIME_FAR_MS));

    return time ? time : 1;
}

/* On the worker's clock; 0: never. */
static uint64_t time_due(const struct client *cl, uint32_t time)
{
    uint64_t now = now_ms(cl);

    return time ? now + (uint64_t)(int64_t)(int32_t)(time - (uint32_t)now) : 0;
}

static bool time_has_come(const struct client *cl, uint32_t time)
{
    return time && (int32_t)(time - (uint32_t)now_ms(cl)) <= 0;
}

/* In ms or a little earlier, on a point that clients share: together they cost one sleep of the
 * worker, which for one alone costs more than its ping. */
static uint32_t shared_time_in(const struct client *cl, uint64_t ms, int64_t interval_ms)
{
    uint64_t apart = MIN((uint64_t)interval_ms / POINTS_PER_INTERVAL, (uint64_t)POINT_MS);

    return time_in(cl, apart > 0 ? ms - (now_ms(cl) + ms) % apart : ms);
}

/* When an interval ends that begins now. */
static uint32_t next_time(const struct client *cl, int64_t interval_ms)
{
    return shared_time_in(cl, (uint64_t)interval_ms, interval_ms);
}

/* A random point in the second half of interval, so that clients who came together part. */
static uint32_t first_time(const struct client *cl, int64_t interval_ms)
{
    uint64_t half = (uint64_t)interval_ms / 2;

    return shared_time_in(cl, half + random_u64() % (half + 1), interval_ms);
}

/* When, on the worker's clock, Unix second at_s plus grace will have come; a far day is capped. */
static uint64_t due_for(const struct client *cl, int64_t at_s, int64_t grace_ms)
{
    const int64_t horizon_ms = (int64_t)366 * 86400 * 1000;
    int64_t now = clock_wall_ms();
    int64_t left;

    if (at_s > (now + horizon_ms) / 1000)
        return now_ms(cl) + (uint64_t)horizon_ms;
    left = at_s * 1000 + grace_ms - now;
    return now_ms(cl) + (uint64_t)MAX(left, 0);
}

static uint64_t expiry_due(const struct client *cl)
{
    int64_t grace =
        client_refreshes_itself(cl) ? cl->core->settings->client_expired_close_delay_ms : 0;

    return cl->expire_at > 0 ? due_for(cl, cl->expire_at, grace) : 0;
}

static uint64_t earliest(uint64_t a, uint64_t b)
{
    return a == 0 ? b : b == 0 ? a : MIN(a, b);
}

void client_life_rearm(struct client *cl)
{
    const struct client_times *t = &cl->times;
    uint64_t due =
        earliest(earliest(time_due(cl, t->ping), time_due(cl, t->pong)), time_due(cl, t->tick));

    if (cl->state != CLIENT_CONNECTED)
        return;
    if (!cl->refreshing)
        due = earliest(due, expiry_due(cl));
    if (due > 0)
        timer_set(&cl->core->worker->timers, &cl->timer, due);
}

static void on_pong_overdue(struct client *cl)
{
    client_log_refusal(
        cl, DISCONNECT_NO_PONG,
        &(struct refusal){.cause = "no pong in time", .option = STR("client.pong_timeout")});
    client_disconnect_code(cl, DISCONNECT_NO_PONG);
}

static void ping(struct client *cl)
{
    const struct settings *s = cl->core->settings;

    client_reply(cl, &(struct wire_reply){0});
    cl->times.ping = next_time(cl, s->client_ping_interval_ms);
    if (s->client_pong_timeout_ms > 0)
        cl->times.pong = time_in(cl, (uint64_t)s->client_pong_timeout_ms);
}

static void on_due(struct timer *t)
{
    struct client *cl = container_of(t, struct client, timer);

    if (client_is_closing(cl))
        return;
    if (cl->state != CLIENT_CONNECTED) {
        client_log_refusal(cl, DISCONNECT_STALE,
                           &(struct refusal){.cause = "no successful connect command in time",
                                             .option = STR("client.stale_close_delay")});
        client_disconnect_code(cl, DISCONNECT_STALE);
        return;
    }
    if (time_has_come(cl, cl->times.pong)) {
        on_pong_overdue(cl);
        return;
    }
    if (cl->expire_at > 0 && !cl->refreshing && expiry_due(cl) <= now_ms(cl)) {
        client_expired(cl);
        if (client_is_closing(cl))
            return;
    }
    if (time_has_come(cl, cl->times.ping))
        ping(cl);
    if (time_has_come(cl, cl->times.tick)) {
        cl->times.tick = next_time(cl, cl->core->settings->client_presence_update_interval_ms);
        client_maintain(cl);
    }
    client_life_rearm(cl);
}

void client_life_open(struct client *cl)
{
    cl->timer = TIMER_INIT(on_due);
    timer_set(&cl->core->worker->timers, &cl->timer,
              now_ms(cl) + (uint64_t)cl->core->settings->client_stale_close_delay_ms);
}

void client_life_connected(struct client *cl)
{
    const struct settings *s = cl->core->settings;

    if (s->client_ping_interval_ms > 0 && !cl->transport->native_ping)
        cl->times.ping = first_time(cl, s->client_ping_interval_ms);
    cl->times.tick = first_time(cl, s->client_presence_update_interval_ms);
    timer_unset(&cl->core->worker->timers, &cl->timer);
    client_life_rearm(cl);
}

bool client_awaits_pong(const struct client *cl)
{
    return cl->times.pong != 0;
}

void client_pong(struct client *cl)
{
    if (!client_awaits_pong(cl)) {
        command_disconnect(cl, DISCONNECT_BAD_REQUEST,
                           &(struct refusal){.cause = "a pong that nobody asked for"});
        return;
    }
    cl->times.pong = 0;
    client_life_rearm(cl);
}

void client_life_close(struct client *cl)
{
    timer_unset(&cl->core->worker->timers, &cl->timer);
}
