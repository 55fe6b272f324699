/* refresh and sub_refresh: a new token for the connection, or for one subscription. */
#include "base/clock.h"
#include "client/auth.h"
#include "client/command.h"
#include "client/subscribe.h"
#include "script/channel_options.h"

static void expired(struct client *cl, uint32_t id, struct str channel)
{
    command_refuse(cl, id, ERROR_EXPIRED,
                   &(struct refusal){.cause = "the new expiry has passed", .channel = channel});
}

static bool has_token(struct client *cl, const struct wire_refresh_request *r)
{
    if (r->token.len > 0 && client_refreshes_itself(cl))
        return true;
    command_disconnect(cl, DISCONNECT_BAD_REQUEST,
                       &(struct refusal){.cause = r->token.len
                                                      ? "the refresh hook renews connections"
                                                      : "the token is missing"});
    return false;
}

/* The rules count only where the channel's options are at hand. */
static bool may_stay(const struct client *cl, struct str channel)
{
    struct channel_parts parts;
    struct hook_verdict refused;
    enum err err =
        channel_options_find(cl->core->script, cl->core->settings, channel, &parts, &refused);

    if (err == ERR_BUSY)
        return caps_for(cl->caps, channel) & ALLOW_SUBSCRIBE;
    return err == OK &&
           client_may(cl, parts.ns, client_who(cl, &parts, channel), ACTION_SUBSCRIBE, channel);
}

/* A subscription that only the old capabilities allowed, or NULL. */
static struct subscription *lost_by_caps(const struct client *cl)
{
    struct subscription *sub = cl->hub.subs;

    while (sub && (!(sub->flags & SUB_BY_CAPS) || may_stay(cl, hub_channel_name(sub))))
        sub = sub->next_of_client;
    return sub;
}

/* Each leave runs a hook, which may change the list: so it is searched anew. */
static void leave_what_caps_lost(struct client *cl)
{
    struct subscription *sub;

    while ((sub = lost_by_caps(cl)) != NULL) {
        client_log_refusal(cl, UNSUBSCRIBE_SERVER,
                           &(struct refusal){.cause = "the new token has no such capability",
                                             .channel = hub_channel_name(sub)});
        subscribe_leave(cl, sub, UNSUBSCRIBE_SERVER, codes_unsubscribe(UNSUBSCRIBE_SERVER), true);
    }
}

/* False: the token's capabilities are broken. */
static bool renew_caps(struct client *cl, const struct jwt_claims *claims)
{
    struct caps *caps;

    if (cl->caps_by_hook)
        return true;
    if (caps_new(claims->caps, &caps) != OK)
        return false;
    if (caps || cl->caps) {
        caps_free(cl->caps);
        cl->caps = caps;
        leave_what_caps_lost(cl);
    }
    return true;
}

void cmd_refresh(struct client *cl, const struct wire_command *command)
{
    int64_t now_s = clock_wall_ms() / 1000;
    struct wire_refresh_result result = {0};
    struct jwt_claims claims;
    int64_t expire_at;
    enum err err;

    if (!has_token(cl, command->refresh))
        return;
    err = auth_connection_token(cl, command->refresh->token, &claims);
    if (err == ERR_EXPIRED) {
        command_disconnect(cl, DISCONNECT_CONNECTION_EXPIRED,
                           &(struct refusal){.cause = "the token of the refresh has expired"});
        return;
    }
    if (err == ERR_BUSY) {
        command_refuse(cl, command->id, ERROR_INTERNAL,
                       &(struct refusal){.cause = "the key of the token cannot be fetched",
                                         .option = STR("client.token.jwks_public_endpoint")});
        return;
    }
    if (err != OK || !str_eq(claims.user, client_user(cl))) {
        command_disconnect(cl, DISCONNECT_INVALID_TOKEN,
                           &(struct refusal){.cause = "the token of the refresh is not valid",
                                             .option = STR("client.token")});
        return;
    }
    if (auth_is_revoked(cl, &claims)) {
        command_disconnect(cl, DISCONNECT_INVALID_TOKEN,
                           &(struct refusal){.cause = "the token of the refresh was revoked"});
        return;
    }
    if (!client_has_token_channels(cl, &claims)) {
        command_disconnect(cl, DISCONNECT_INSUFFICIENT_STATE,
                           &(struct refusal){.cause = "the new token names other channels"});
        return;
    }
    expire_at = jwt_expiry(&claims, now_s);
    if (expire_at > 0 && expire_at <= now_s) {
        expired(cl, command->id, STR_NONE);
        return;
    }
    if (!renew_caps(cl, &claims)) {
        command_disconnect(
            cl, DISCONNECT_INVALID_TOKEN,
            &(struct refusal){.cause = "the capabilities of the token are not valid"});
        return;
    }
    auth_keep_token(cl, &claims);
    if (claims.info.len > 0)
        client_set_info(cl, claims.info);
    if (claims.meta.len > 0)
        client_set_text(cl, CLIENT_META, claims.meta);
    client_set_expiry(cl, expire_at, false);
    if (expire_at > 0) {
        result.expires = true;
        result.ttl = client_ttl(expire_at);
    }
    client_reply(cl, &(struct wire_reply){.id = command->id, .refresh = &result});
}

/* False: answered. */
static bool check_sub_refresh(struct client *cl, const struct wire_command *command,
                              struct subscription *sub, struct jwt_claims *claims)
{
    const struct wire_sub_refresh_request *r = command->sub_refresh;
    struct refusal why = {.channel = r->channel};
    enum err err;

    if (sub == NULL) {
        why.cause = "not subscribed";
        command_refuse(cl, command->id, ERROR_PERMISSION_DENIED, &why);
        return false;
    }
    if (!(sub->flags & SUB_CLIENT_REFRESH)) {
        why.cause = "the server renews this subscription";
        command_disconnect(cl, DISCONNECT_BAD_REQUEST, &why);
        return false;
    }
    if (r->token.len == 0 || r->type != 0) {
        why.cause = "the token is missing";
        command_refuse(cl, command->id, ERROR_BAD_REQUEST, &why);
        return false;
    }
    err = auth_subscription_token(cl, r->token, claims);
    if (err == ERR_EXPIRED) { /* the reference would make the subscription eternal here */
        why.cause = "the subscription token has expired";
        command_refuse(cl, command->id, ERROR_TOKEN_EXPIRED, &why);
        return false;
    }
    if (err == ERR_BUSY) {
        why.cause = "the key of the token cannot be fetched";
        why.option = STR("jwks_public_endpoint");
        command_refuse(cl, command->id, ERROR_INTERNAL, &why);
        return false;
    }
    if (err != OK || !str_eq(claims->channel, r->channel) ||
        !str_eq(claims->user, client_user(cl)) ||
        (claims->client.len > 0 && !str_eq(claims->client, client_id(cl)))) {
        why.cause = "the subscription token is not valid here";
        command_disconnect(cl, DISCONNECT_INVALID_TOKEN, &why);
        return false;
    }
    if (auth_is_revoked(cl, claims)) {
        why.cause = "the subscription token was revoked";
        command_disconnect(cl, DISCONNECT_INVALID_TOKEN, &why);
        return false;
    }
    return true;
}

#define SUB_RIGHTS (SUB_MAY_PUBLISH | SUB_MAY_PRESENCE | SUB_MAY_HISTORY)

void cmd_sub_refresh(struct client *cl, const struct wire_command *command)
{
    const struct wire_sub_refresh_request *r = command->sub_refresh;
    int64_t now_s = clock_wall_ms() / 1000;
    struct wire_sub_refresh_result result = {0};
    struct subscription *sub;
    struct jwt_claims claims;
    uint32_t rights = 0;
    int64_t expire_at;

    if (r->channel.len == 0) {
        command_disconnect(cl, DISCONNECT_BAD_REQUEST,
                           &(struct refusal){.cause = "the channel is missing"});
        return;
    }
    sub = hub_find(&cl->hub, r->channel);
    if (!check_sub_refresh(cl, command, sub, &claims))
        return;
    expire_at = jwt_expiry(&claims, now_s);
    if (expire_at > 0 && expire_at <= now_s) {
        expired(cl, command->id, r->channel);
        return;
    }
    if (auth_token_rights(&claims, &clients_of(cl)->arena, &rights) != OK) {
        command_disconnect(cl, DISCONNECT_INVALID_TOKEN,
                           &(struct refusal){.cause = "the capabilities of the token are not valid",
                                             .channel = r->channel});
        return;
    }
    sub->flags = (sub->flags & ~(uint32_t)SUB_RIGHTS) | rights;
    hub_set_extra(sub, expire_at, claims.info);
    client_renew_presence(cl, sub);
    if (expire_at > 0) {
        result.expires = true;
        result.ttl = client_ttl(expire_at);
    }
    client_reply(cl, &(struct wire_reply){.id = command->id, .sub_refresh = &result});
}
