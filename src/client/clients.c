/* What all clients of one worker share, and the up-calls of hub, home and control. */
#include "client/auth.h"
#include "client/client.h"

#include "base/log.h"
#include "base/mem.h"
#include "client/control.h"
#include "client/jwks.h"
#include "client/occupancy.h"

#define SCRATCH_BYTES_MAX ((size_t)1 << 31)

/* A gap that cannot be filled: a client that subscribed itself does so again with recovery; one
 * that was subscribed by the server has to come back. */
static void on_insufficient(struct hub_client *hc, struct subscription *sub)
{
    client_lose_position(client_of(hc), sub);
}

static void on_unfit(struct hub_client *hc)
{
    client_disconnect_code(client_of(hc), DISCONNECT_INAPPROPRIATE_PROTOCOL);
}

static const struct hub_ops hub_ops = {on_insufficient, on_unfit};

static void on_occupancy(struct core *core, struct str channel, bool occupied)
{
    occupancy_changed(core->clients->occupancy, channel, occupied);
}

static const struct home_ops home_ops = {on_occupancy};

/* Once per process: what check would refuse is allowed here. */
static void warn_of_endpoint(struct str endpoint, bool unchecked, const char *option)
{
    if (unchecked && endpoint.len > 1 && memmem(endpoint.ptr, endpoint.len, "{{", 2))
        LOG_WITH(LOG_WARN, "claims that nobody has verified choose where keys are fetched",
                 LOG_Z("option", option));
}

static void warn(const struct settings *s)
{
    warn_of_endpoint(s->client_token_jwks_public_endpoint,
                     s->client_token_insecure_skip_jwks_endpoint_safety_check,
                     "client.token.insecure_skip_jwks_endpoint_safety_check");
    warn_of_endpoint(s->client_subscription_token_jwks_public_endpoint,
                     s->client_subscription_token_insecure_skip_jwks_endpoint_safety_check,
                     "client.subscription_token.insecure_skip_jwks_endpoint_safety_check");
}

struct clients *clients_new(struct core *core)
{
    struct clients *cs = mem_zalloc(sizeof *cs);

    cs->core = core;
    cs->scratch = BUF_INIT(SCRATCH_BYTES_MAX);
    list_init(&cs->unconnected);
    list_init(&cs->closing);
    list_init(&cs->orderings);
    list_init(&cs->close_task.in_turn);
    cs->close_task.run = client_run_closing;
    cs->limits = limits_new(core);
    cs->auth = auth_new(core->settings);
    cs->jwks = jwks_new(core);
    cs->occupancy = occupancy_new(core);
    hub_set_ops(core->hub, &hub_ops);
    home_set_ops(core->home, &home_ops);
    control_set_handler(core, client_control);
    core->clients = cs;
    if (core->worker->index == 0)
        warn(core->settings);
    return cs;
}

static void shut(void *arg, struct hub_client *hc)
{
    client_disconnect_code(client_of(hc), DISCONNECT_SHUTDOWN);
}

void clients_shutdown(struct clients *cs)
{
    jwks_stop(cs->jwks);
    hub_each_client(cs->core->hub, shut, NULL);
    list_each (&cs->unconnected, it)
        shut(NULL, container_of(it, struct hub_client, in_user));
}

void clients_finish(struct clients *cs)
{
    occupancy_hurry(cs->occupancy);
}

bool clients_finished(const struct clients *cs)
{
    const struct script *script = cs->core->script;

    return occupancy_is_idle(cs->occupancy) && (!script || hook_events_running(script) == 0);
}

void clients_stop(struct clients *cs)
{
    occupancy_stop(cs->occupancy);
}

void clients_free(struct clients *cs)
{
    occupancy_free(cs->occupancy);
    limits_free(cs->limits);
    auth_free(cs->auth);
    jwks_free(cs->jwks);
    arena_deinit(&cs->arena);
    buf_deinit(&cs->scratch);
    mem_free(cs);
}
