#include "client/auth.h"

#include "base/clock.h"
#include "codec/json.h"

enum err auth_connection_token(struct client *cl, struct str token, struct jwt_claims *out)
{
    struct clients *cs = clients_of(cl);
    const struct settings *s = cl->core->settings;
    struct jwt_options options = {
        .kind = JWT_CONNECTION,
        .issuer = s->client_token_issuer,
        .audience = s->client_token_audience,
        .user_id_claim = s->client_token_user_id_claim,
        .skip_signature = s->client_insecure_skip_token_signature_verify,
    };

    return jwt_verify(cs->keys, &options, token, clock_wall_ms() / 1000, &cs->arena, out);
}

enum err auth_subscription_token(struct client *cl, struct str token, struct jwt_claims *out)
{
    struct clients *cs = clients_of(cl);
    const struct settings *s = cl->core->settings;
    bool own = s->client_subscription_token_enabled;
    struct jwt_options options = {
        .kind = JWT_SUBSCRIPTION,
        .issuer = own ? s->client_subscription_token_issuer : s->client_token_issuer,
        .audience = own ? s->client_subscription_token_audience : s->client_token_audience,
        .user_id_claim =
            own ? s->client_subscription_token_user_id_claim : s->client_token_user_id_claim,
        .skip_signature = s->client_insecure_skip_token_signature_verify,
    };

    return jwt_verify(own ? cs->subscription_keys : cs->keys, &options, token,
                      clock_wall_ms() / 1000, &cs->arena, out);
}

enum err auth_token_channels(struct arena *a, const struct jwt_claims *claims,
                             const struct token_channel **list, size_t *count)
{
    struct json_iter counting = json_iter(claims->subs), it = json_iter(claims->subs);
    struct token_channel *channels;
    struct str key, value;
    size_t n = 0;
    enum err err = OK;

    if (claims->subs.len > 0) {
        while ((err = json_object_next(&counting, a, &key, &value)) == OK)
            n++;
        if (err != ERR_NOT_FOUND)
            return ERR_SYNTAX;
    }
    if (n == 0) { /* no subs: the plain list counts */
        n = claims->channels.count;
        channels = arena_zalloc(a, n * sizeof *channels);
        for (size_t i = 0; i < n; i++)
            channels[i].channel = claims->channels.ptr[i];
    } else {
        channels = arena_zalloc(a, n * sizeof *channels);
        for (size_t i = 0; i < n; i++) {
            if (json_object_next(&it, a, &channels[i].channel, &channels[i].options) != OK ||
                json_type(channels[i].options) != JSON_OBJECT)
                return ERR_SYNTAX;
        }
    }
    *list = channels;
    *count = n;
    return OK;
}

bool client_has_token_channels(struct client *cl, const struct jwt_claims *claims)
{
    const struct token_channel *list;
    size_t count, held = 0;

    if (auth_token_channels(&clients_of(cl)->arena, claims, &list, &count) != OK)
        return false;
    for (size_t i = 0; i < count; i++) {
        if (hub_find(&cl->hub, list[i].channel) == NULL)
            return false;
    }
    for (struct subscription *sub = cl->hub.subs; sub; sub = sub->next_of_client) {
        bool named = false;

        if (!(sub->flags & SUB_FROM_TOKEN))
            continue;
        for (size_t i = 0; i < count && !named; i++)
            named = str_eq(list[i].channel, hub_channel_name(sub));
        held += !named;
    }
    return held == 0;
}
