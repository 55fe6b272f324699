#include "cli/token.h"

#include "base/clock.h"
#include "cli/options.h"
#include "codec/json.h"
#include "client/auth.h"
#include "codec/jwt.h"

#include <stdio.h>

#define TOKEN_MAX 65536
#define TTL_DEFAULT_S (7 * 86400)

struct token_request {
    struct options options;
    const char *user, *channel, *token;
    int64_t ttl_s;
    bool quiet;
    struct settings *settings;
};

/* --- making ----------------------------------------------------------------------------------- */

static bool sign(struct buf *out, struct str secret, struct str user, struct str channel,
                 int64_t ttl_s)
{
    int64_t now_s = clock_wall_ms() / 1000;
    struct buf claims = BUF_INIT(TOKEN_MAX);
    bool ok;

    buf_add_lit(&claims, "{\"sub\":");
    json_add_string(&claims, user);
    if (channel.len > 0) {
        buf_add_lit(&claims, ",\"channel\":");
        json_add_string(&claims, channel);
    }
    buf_printf(&claims, ",\"iat\":%lld", (long long)now_s);
    if (ttl_s > 0)
        buf_printf(&claims, ",\"exp\":%lld", (long long)(now_s + ttl_s));
    buf_add_char(&claims, '}');
    ok = jwt_sign(out, STR("HS256"), STR_NONE, secret, buf_str(&claims)) == OK;
    buf_deinit(&claims);
    return ok;
}

void token_make(struct buf *out, struct str secret, struct str user, int64_t ttl_s)
{
    if (!sign(out, secret, user, STR_NONE, ttl_s))
        buf_clear(out);
}

/* "3600", "1h30m", "-1" → seconds. */
static bool parse_ttl(const char *text, int64_t *out)
{
    static const struct {
        char unit;
        int64_t seconds;
    } units[] = {{'s', 1}, {'m', 60}, {'h', 3600}, {'d', 86400}};
    int64_t total = 0;
    uint64_t n;
    size_t digits;

    if (strcmp(text, "-1") == 0) {
        *out = -1;
        return true;
    }
    if (*text == '\0')
        return false;
    while (*text) {
        int64_t scale = 0;

        digits = strspn(text, "0123456789");
        if (!str_to_u64(str_of(text, digits), 100 * 365 * 86400ULL, &n))
            return false;
        text += digits;
        if (*text == '\0' && total == 0)
            scale = 1;
        for (size_t i = 0; i < ARRAY_LEN(units) && *text; i++) {
            if (units[i].unit == *text)
                scale = units[i].seconds;
        }
        if (scale == 0)
            return false;
        if (*text)
            text++;
        total += (int64_t)n * scale;
    }
    *out = total;
    return true;
}

static bool bad_usage(const struct token_request *r, const char *what)
{
    fprintf(stderr, "perigee %s: %s\n", r->options.command, what);
    return false;
}

static bool parse(struct token_request *r, int argc, char **argv, bool making)
{
    const char *value;

    for (int i = 1; i < argc; i++) {
        if (options_take(&r->options, argc, argv, &i))
            continue;
        if ((value = options_value(&r->options, argc, argv, &i, "--user", "-u")) != NULL)
            r->user = value;
        else if ((value = options_value(&r->options, argc, argv, &i, "--channel", "-s")) != NULL)
            r->channel = value;
        else if ((value = options_value(&r->options, argc, argv, &i, "--ttl", "-t")) != NULL) {
            if (!parse_ttl(value, &r->ttl_s))
                return bad_usage(r, "-t takes seconds or a duration such as 1h; -1: for ever");
        } else if (strcmp(argv[i], "-q") == 0 || strcmp(argv[i], "--quiet") == 0)
            r->quiet = true;
        else if (!making && argv[i][0] != '-' && r->token == NULL)
            r->token = argv[i];
        else
            return options_unexpected(&r->options, argv[i]) == 0;
    }
    if (r->options.config == NULL)
        r->options.config = "config.lua";
    return true;
}

/* Usage and configuration; 0, or the exit code. */
static int begin(struct token_request *r, int argc, char **argv, bool making)
{
    *r = (struct token_request){.user = "", .channel = "", .ttl_s = TTL_DEFAULT_S};
    options_init(&r->options, argv[0], argc);
    if (!parse(r, argc, argv, making))
        return 2;
    r->settings = options_load(&r->options);
    return r->settings ? 0 : 2;
}

static int end(struct token_request *r, int code)
{
    settings_unref(r->settings);
    options_deinit(&r->options);
    return code;
}

struct str token_secret(const struct settings *s, bool subscription)
{
    return subscription && s->client_subscription_token_enabled
               ? s->client_subscription_token_hmac_secret_key
               : s->client_token_hmac_secret_key;
}

static int make(struct token_request *r, bool subscription)
{
    struct buf token = BUF_INIT(TOKEN_MAX);
    int code = 1;

    if (!sign(&token, token_secret(r->settings, subscription), str_from(r->user),
              str_from(r->channel), r->ttl_s)) {
        fprintf(stderr, "perigee %s: client.token.hmac_secret_key is not set in %s\n",
                r->options.command, r->options.config);
    } else {
        if (!r->quiet) {
            printf("HMAC SHA-256 JWT for %s%s", *r->user ? "user " : "anonymous user", r->user);
            if (subscription)
                printf(" and channel %s", r->channel);
            if (r->ttl_s > 0)
                printf(", valid for %lld seconds:\n", (long long)r->ttl_s);
            else
                printf(" without expiration:\n");
        }
        printf("%.*s%s", STR_ARGS(buf_str(&token)), r->quiet ? "" : "\n");
        code = 0;
    }
    buf_deinit(&token);
    return code;
}

int cli_gentoken(int argc, char **argv)
{
    struct token_request r;
    int code = begin(&r, argc, argv, true);

    return end(&r, code ? code : make(&r, false));
}

int cli_gensubtoken(int argc, char **argv)
{
    struct token_request r;
    int code = begin(&r, argc, argv, true);

    if (code == 0 && *r.channel == '\0') {
        bad_usage(&r, "a subscription token needs a channel: -s CHANNEL");
        code = 2;
    }
    return end(&r, code ? code : make(&r, true));
}

/* --- checking --------------------------------------------------------------------------------- */

static int check(struct token_request *r, bool subscription)
{
    const struct settings *s = r->settings;
    struct auth *auth = auth_new(s);
    struct arena a = ARENA_INIT;
    struct jwt_claims claims;
    enum err err = auth_check(auth, subscription ? JWT_SUBSCRIPTION : JWT_CONNECTION,
                              str_from(r->token), clock_wall_ms() / 1000, &a, &claims);

    if (err != ERR_BUSY && !auth_has_keys(auth, subscription ? JWT_SUBSCRIPTION : JWT_CONNECTION))
        fprintf(stderr, "perigee %s: no key of client.token is set in %s\n", r->options.command,
                r->options.config);
    if (err == OK)
        printf("valid token for user %.*s\npayload: %.*s\n", STR_ARGS(claims.user),
               STR_ARGS(claims.payload));
    else
        fprintf(stderr, "perigee %s: %s\n", r->options.command,
                err == ERR_BUSY      ? "keys of a JWKS are known to a running server only"
                : err == ERR_EXPIRED ? "the token has expired"
                                     : "the token is not valid");
    arena_deinit(&a);
    auth_free(auth);
    return err == OK ? 0 : 1;
}

static int run_check(int argc, char **argv, bool subscription)
{
    struct token_request r;
    int code = begin(&r, argc, argv, false);

    if (code == 0 && r.token == NULL) {
        bad_usage(&r, "which token?");
        code = 2;
    }
    return end(&r, code ? code : check(&r, subscription));
}

int cli_checktoken(int argc, char **argv)
{
    return run_check(argc, argv, false);
}

int cli_checksubtoken(int argc, char **argv)
{
    return run_check(argc, argv, true);
}
