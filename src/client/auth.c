#include "client/auth.h"

#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "client/jwks.h"
#include "codec/json.h"
#include "codec/url.h"

/* --- keys and rules --------------------------------------------------------------------------- */

/* Of one kind of token. */
struct token_rules {
    struct jwt_keys *keys;
    struct jwt_options options;
    bool has_keys;
    struct settings_regex *issuer, *audience; /* NULL: not asked for */
    struct str endpoint;                      /* of the JWKS; empty: keys counts */
    const char *endpoint_option;
};

struct auth {
    const struct settings *settings;
    struct token_rules connection, subscription; /* subscription: only if it has rules of its own */
};

/* The members of client.token and client.subscription_token, which are named alike. An empty or
 * unusable key leaves its slot empty, so that tokens are refused; config_load has checked them. */
#define READ_RULES(rules, s, prefix)                                                               \
    read_rules(rules, &(struct token_texts){                                                       \
                          .hmac = (s)->prefix##_hmac_secret_key,                                   \
                          .previous = (s)->prefix##_hmac_previous_secret_key,                      \
                          .previous_until = (s)->prefix##_hmac_previous_secret_key_valid_until,    \
                          .rsa = (s)->prefix##_rsa_public_key,                                     \
                          .ecdsa = (s)->prefix##_ecdsa_public_key,                                 \
                          .issuer = (s)->prefix##_issuer,                                          \
                          .issuer_regex = (s)->prefix##_issuer_regex,                              \
                          .audience = (s)->prefix##_audience,                                      \
                          .audience_regex = (s)->prefix##_audience_regex,                          \
                          .user_id_claim = (s)->prefix##_user_id_claim,                            \
                          .endpoint = (s)->prefix##_jwks_public_endpoint,                          \
                      })

struct token_texts {
    struct str hmac, previous, rsa, ecdsa;
    int64_t previous_until;
    struct str issuer, issuer_regex, audience, audience_regex, user_id_claim, endpoint;
};

static void must(enum err err, const char *what)
{
    if (err != OK)
        LOG_WITH(LOG_ERROR, "a token key cannot be used", LOG_Z("key", what));
}

static void read_rules(struct token_rules *rules, const struct token_texts *t)
{
    rules->keys = jwt_keys_new();
    if (t->hmac.len > 0)
        must(jwt_keys_set_hmac(rules->keys, t->hmac), "hmac_secret_key");
    if (t->previous.len > 0)
        must(jwt_keys_set_hmac_previous(rules->keys, t->previous, t->previous_until),
             "hmac_previous_secret_key");
    if (t->rsa.len > 0)
        must(jwt_keys_set_rsa(rules->keys, t->rsa), "rsa_public_key");
    if (t->ecdsa.len > 0)
        must(jwt_keys_set_ec(rules->keys, t->ecdsa), "ecdsa_public_key");
    rules->has_keys = t->hmac.len + t->rsa.len + t->ecdsa.len > 0;
    rules->endpoint = t->endpoint;
    rules->options.issuer = t->issuer;
    rules->options.audience = t->audience;
    rules->options.user_id_claim = t->user_id_claim;
    if (t->issuer_regex.len > 0)
        rules->issuer = settings_regex_new(t->issuer_regex);
    if (t->audience_regex.len > 0)
        rules->audience = settings_regex_new(t->audience_regex);
}

static void free_rules(struct token_rules *rules)
{
    jwt_keys_free(rules->keys);
    settings_regex_free(rules->issuer);
    settings_regex_free(rules->audience);
}

struct auth *auth_new(const struct settings *s)
{
    struct auth *a = mem_zalloc(sizeof *a);

    a->settings = settings_ref(s);
    READ_RULES(&a->connection, s, client_token);
    a->connection.endpoint_option = "client.token.jwks_public_endpoint";
    a->subscription.endpoint_option = "client.subscription_token.jwks_public_endpoint";
    if (s->client_subscription_token_enabled)
        READ_RULES(&a->subscription, s, client_subscription_token);
    return a;
}

void auth_free(struct auth *a)
{
    if (!a)
        return;
    free_rules(&a->connection);
    free_rules(&a->subscription);
    settings_unref(a->settings);
    mem_free(a);
}

/* --- checking --------------------------------------------------------------------------------- */

static bool any_matches(const struct settings_regex *regex, const struct jwt_strs *texts)
{
    for (size_t i = 0; i < texts->count; i++) {
        if (settings_regex_match(regex, texts->ptr[i]))
            return true;
    }
    return false;
}

static const struct token_rules *rules_for(const struct auth *a, enum jwt_kind kind)
{
    bool own = kind == JWT_SUBSCRIPTION && a->settings->client_subscription_token_enabled;

    return own ? &a->subscription : &a->connection;
}

bool auth_has_keys(const struct auth *a, enum jwt_kind kind)
{
    return rules_for(a, kind)->has_keys;
}

bool auth_uses_jwks(const struct auth *a, enum jwt_kind kind)
{
    return rules_for(a, kind)->endpoint.len > 0 &&
           !a->settings->client_insecure_skip_token_signature_verify;
}

static enum err check_with(const struct auth *a, const struct jwt_keys *keys, enum jwt_kind kind,
                           struct str token, int64_t now_s, struct arena *arena,
                           struct jwt_claims *out)
{
    const struct token_rules *rules = rules_for(a, kind);
    struct jwt_options options = rules->options;
    enum err err;

    options.kind = kind;
    options.skip_signature = a->settings->client_insecure_skip_token_signature_verify;
    err = jwt_verify(keys, &options, token, now_s, arena, out);
    if (err != OK && err != ERR_EXPIRED)
        return err;
    if (rules->issuer && !settings_regex_match(rules->issuer, out->iss))
        return ERR_DENIED;
    if (rules->audience && !any_matches(rules->audience, &out->aud))
        return ERR_DENIED;
    return err;
}

enum err auth_check(const struct auth *a, enum jwt_kind kind, struct str token, int64_t now_s,
                    struct arena *arena, struct jwt_claims *out)
{
    if (auth_uses_jwks(a, kind))
        return ERR_BUSY;
    return check_with(a, rules_for(a, kind)->keys, kind, token, now_s, arena, out);
}

/* --- keys from a JWKS --------------------------------------------------------------------------
 */

/* Longer ones are nobody's. */
#define KID_BYTES_MAX 256

/* What a placeholder stands for comes from a claim that nobody has verified. The regular expression
 * lets only a few words through (lua/perigee/jwks.lua looks at that); whatever it lets through when
 * that check is off still cannot leave its place in the URL. */
static bool is_plain_word(struct str s)
{
    for (size_t i = 0; i < s.len; i++) {
        char c = s.ptr[i];

        if (!((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
              c == '-' || c == '.' || c == '_' || c == '~'))
            return false;
    }
    return s.len > 0;
}

static bool placeholder(const struct token_rules *rules, const struct jwt_claims *claims,
                        struct str name, struct str *value)
{
    if (rules->issuer && settings_regex_has_group(rules->issuer, name))
        return settings_regex_group(rules->issuer, claims->iss, name, value);
    if (rules->audience == NULL)
        return false;
    for (size_t i = 0; i < claims->aud.count; i++) { /* the first that matches counts */
        if (settings_regex_match(rules->audience, claims->aud.ptr[i]))
            return settings_regex_group(rules->audience, claims->aud.ptr[i], name, value);
    }
    return false;
}

/* The endpoint with its {{name}}s filled in. */
static enum err resolve_endpoint(const struct token_rules *rules, const struct jwt_claims *claims,
                                 struct arena *a, struct str *out)
{
    struct buf url = BUF_INIT(URL_BYTES_MAX);
    struct str rest = rules->endpoint, value;
    struct url parts;
    enum err err = OK;

    while (rest.len > 0 && err == OK) {
        const char *end;

        if (!str_starts(rest, STR("{{"))) {
            buf_add_char(&url, rest.ptr[0]);
            rest = str_cut(rest, 1);
            continue;
        }
        end = memmem(rest.ptr, rest.len, "}}", 2);
        if (end &&
            placeholder(rules, claims, str_of(rest.ptr + 2, (size_t)(end - rest.ptr) - 2),
                        &value) &&
            is_plain_word(value)) {
            buf_add_str(&url, value);
            rest = str_cut(rest, (size_t)(end - rest.ptr) + 2);
        } else {
            err = ERR_DENIED;
        }
    }
    if (err == OK &&
        (url.overflow || url_parse(buf_str(&url), &parts) != OK || !url_path_is_clean(parts.path)))
        err = ERR_DENIED;
    if (err == OK)
        *out = arena_dup(a, buf_str(&url));
    buf_deinit(&url);
    return err;
}

/* Where the key of a token is. Issuer and audience are looked at first, so that no token of others
 * causes a request. ERR_DENIED: not a token for us. */
static enum err locate_key(const struct token_rules *rules, struct str token, struct arena *a,
                           struct str *url, struct str *kid)
{
    struct jwt_options options = rules->options;
    struct jwt_token parts;
    struct jwt_claims claims;
    enum err err = jwt_parse(token, a, &parts);

    if (err != OK || parts.kid.len == 0 || parts.kid.len > KID_BYTES_MAX)
        return ERR_DENIED;
    options.kind = JWT_ANY;
    options.skip_signature = true;
    err = jwt_verify(rules->keys, &options, token, clock_wall_ms() / 1000, a, &claims);
    if (err != OK && err != ERR_EXPIRED)
        return ERR_DENIED;
    if ((rules->issuer && !settings_regex_match(rules->issuer, claims.iss)) ||
        (rules->audience && !any_matches(rules->audience, &claims.aud)))
        return ERR_DENIED;
    *kid = parts.kid;
    return resolve_endpoint(rules, &claims, a, url);
}

/* Keys of other settings are other keys. */
static const struct auth *auth_of(struct client *cl)
{
    struct clients *cs = clients_of(cl);

    if (cs->auth->settings != cl->core->settings) {
        auth_free(cs->auth);
        cs->auth = auth_new(cl->core->settings);
    }
    return cs->auth;
}

bool auth_ready(struct client *cl, enum jwt_kind kind, struct str token, auth_ready_fn *fn,
                void *arg)
{
    const struct auth *a = auth_of(cl);
    const struct token_rules *rules = rules_for(a, kind);
    struct str url, kid;

    if (!auth_uses_jwks(a, kind) ||
        locate_key(rules, token, &clients_of(cl)->arena, &url, &kid) != OK)
        return true;
    return jwks_ready(clients_of(cl)->jwks, url, kid, rules->endpoint_option, fn, arg);
}

static enum err check_token(struct client *cl, enum jwt_kind kind, struct str token,
                            struct jwt_claims *out)
{
    struct clients *cs = clients_of(cl);
    const struct auth *a = auth_of(cl);
    const struct token_rules *rules = rules_for(a, kind);
    const struct jwt_keys *keys = rules->keys;
    struct str url, kid;
    enum err err = OK;

    *out = (struct jwt_claims){.sub = STR_NONE};
    if (auth_uses_jwks(a, kind)) {
        err = locate_key(rules, token, &cs->arena, &url, &kid);
        if (err == OK)
            err = jwks_find(cs->jwks, url, kid, &keys);
    }
    if (err == OK)
        err = check_with(a, keys, kind, token, clock_wall_ms() / 1000, &cs->arena, out);
    return err == ERR_NOT_FOUND ? ERR_DENIED : err;
}

enum err auth_connection_token(struct client *cl, struct str token, struct jwt_claims *out)
{
    return check_token(cl, JWT_CONNECTION, token, out);
}

enum err auth_subscription_token(struct client *cl, struct str token, struct jwt_claims *out)
{
    return check_token(cl, JWT_SUBSCRIPTION, token, out);
}

/* --- revocation ------------------------------------------------------------------------------- */

bool auth_is_revoked(const struct client *cl, const struct jwt_claims *claims)
{
    struct revocation_token token = {
        .uid = claims->jti,
        .user = claims->user,
        .channel = claims->channel,
        .has_issued = claims->has_iat,
        .issued_at = claims->iat,
    };

    return revocation_has(cl->core->revocations, &token, clock_wall_ms() / 1000);
}

/* In CLIENT_TOKEN, in front of the jti. */
struct kept_token {
    int64_t issued_at;
    bool has_issued;
};

void auth_keep_token(struct client *cl, const struct jwt_claims *claims)
{
    struct kept_token kept = {0};
    struct buf text = BUF_INIT(SIZE_MAX / 4);

    cl->by_token = true;
    if (claims->jti.len > 0 || claims->has_iat) {
        kept.issued_at = claims->iat;
        kept.has_issued = claims->has_iat;
        buf_add(&text, &kept, sizeof kept);
        buf_add_str(&text, claims->jti);
    }
    client_set_text(cl, CLIENT_TOKEN, buf_str(&text));
    buf_deinit(&text);
}

bool auth_kept_token(const struct client *cl, struct revocation_token *out)
{
    struct str text = client_text(cl, CLIENT_TOKEN);
    struct kept_token kept = {0};

    if (text.len >= sizeof kept) {
        memcpy(&kept, text.ptr, sizeof kept);
        text = str_cut(text, sizeof kept);
    }
    *out = (struct revocation_token){
        .uid = text,
        .user = client_user(cl),
        .has_issued = kept.has_issued,
        .issued_at = kept.issued_at,
    };
    return cl->by_token;
}

/* --- what else tokens say --------------------------------------------------------------------- */

enum err auth_token_rights(const struct jwt_claims *claims, struct arena *a, uint32_t *flags)
{
    struct str allow;
    unsigned bits = 0;
    enum err err = json_get(claims->payload, STR("allow"), a, &allow);

    if (err == OK && !json_is_null(allow)) {
        err = caps_read_allow(allow, &bits);
    } else {
        struct caps *caps;

        err = caps_new(claims->caps, &caps);
        if (err == OK) {
            bits = caps_for(caps, claims->channel);
            caps_free(caps);
        }
    }
    if (bits & ALLOW_PUBLISH)
        *flags |= SUB_MAY_PUBLISH;
    if (bits & ALLOW_PRESENCE)
        *flags |= SUB_MAY_PRESENCE;
    if (bits & ALLOW_HISTORY)
        *flags |= SUB_MAY_HISTORY;
    return err;
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
                (json_type(channels[i].options) != JSON_OBJECT &&
                 !json_is_null(channels[i].options)))
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
