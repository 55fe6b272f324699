/* What all clients of one worker share, and the up-calls of hub and control. */
#include "client/client.h"

#include "base/mem.h"
#include "client/control.h"
#include "codec/jwt.h"

#include "base/log.h"

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

static struct jwt_keys *make_keys(struct str secret, struct str previous, int64_t valid_until)
{
    struct jwt_keys *keys = jwt_keys_new();

    /* an empty secret leaves its slot empty: tokens are then refused */
    if (secret.len > 0 && jwt_keys_set_hmac(keys, secret) != OK)
        LOG(LOG_ERROR, "client.token.hmac_secret_key cannot be used");
    if (previous.len > 0 && jwt_keys_set_hmac_previous(keys, previous, valid_until) != OK)
        LOG(LOG_ERROR, "client.token.hmac_previous_secret_key cannot be used");
    return keys;
}

struct clients *clients_new(struct core *core)
{
    struct clients *cs = mem_zalloc(sizeof *cs);
    const struct settings *s = core->settings;

    cs->core = core;
    cs->scratch = BUF_INIT(SCRATCH_BYTES_MAX);
    list_init(&cs->unconnected);
    list_init(&cs->closing);
    list_init(&cs->close_task.in_turn);
    cs->close_task.run = client_run_closing;
    cs->keys = make_keys(s->client_token_hmac_secret_key, s->client_token_hmac_previous_secret_key,
                         s->client_token_hmac_previous_secret_key_valid_until);
    cs->subscription_keys =
        make_keys(s->client_subscription_token_hmac_secret_key,
                  s->client_subscription_token_hmac_previous_secret_key,
                  s->client_subscription_token_hmac_previous_secret_key_valid_until);
    hub_set_ops(core->hub, &hub_ops);
    control_set_handler(core, client_control);
    core->clients = cs;
    return cs;
}

static void shut(void *arg, struct hub_client *hc)
{
    client_disconnect_code(client_of(hc), DISCONNECT_SHUTDOWN);
}

void clients_shutdown(struct clients *cs)
{
    hub_each_client(cs->core->hub, shut, NULL);
    list_each (&cs->unconnected, it)
        shut(NULL, container_of(it, struct hub_client, in_user));
}

void clients_free(struct clients *cs)
{
    jwt_keys_free(cs->keys);
    jwt_keys_free(cs->subscription_keys);
    arena_deinit(&cs->arena);
    buf_deinit(&cs->scratch);
    mem_free(cs);
}
