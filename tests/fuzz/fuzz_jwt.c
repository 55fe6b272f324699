/* A token: as it is, and as the claims of a token with a good signature, since a fuzzer cannot
 * sign. A whole JWK as well, when the input looks like one. */
#include "base/check.h"
#include "codec/base64.h"
#include "codec/jwt.h"
#include "base/utf8.h"

#define NOW 1700000000
#define SECRET STR("fuzz")

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void verify(const struct jwt_keys *keys, const struct jwt_options *options, struct str token)
{
    struct arena a = ARENA_INIT;
    struct jwt_claims claims;
    enum err err = jwt_verify(keys, options, token, NOW, &a, &claims);

    CHECK(err == OK || err == ERR_DENIED || err == ERR_EXPIRED);
    if (err == OK) {
        int64_t expiry = jwt_expiry(&claims, NOW);

        CHECK(!claims.has_exp || claims.exp > NOW);
        CHECK(!claims.has_nbf || claims.nbf <= NOW);
        CHECK(expiry <= NOW + 365 * 24 * 3600 && expiry >= 0);
        CHECK(utf8_valid(claims.sub) && utf8_valid(claims.user) && utf8_valid(claims.channel));
        for (size_t i = 0; i < claims.channels.count; i++)
            CHECK(utf8_valid(claims.channels.ptr[i]));
    }
    arena_deinit(&a);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const struct jwt_options careless = {.skip_signature = true,
                                                .user_id_claim = STR("uid")};
    static const struct jwt_options strict = {.kind = JWT_SUBSCRIPTION, .issuer = STR("i")};
    static const struct jwt_options plain = {.kind = JWT_CONNECTION};
    static const struct jwt_options foreign = {.kind = JWT_FOREIGN, .audience = STR("a")};
    struct str input = str_of((const char *)data, size);
    struct jwt_keys *keys = jwt_keys_new();
    struct buf token = BUF_INIT(1 << 24);
    struct arena a = ARENA_INIT;
    struct str bytes;

    CHECK(jwt_keys_set_hmac(keys, SECRET) == OK);
    verify(keys, &plain, input);
    verify(keys, &careless, input);
    verify(keys, &foreign, input);
    CHECK(jwt_sign(&token, STR("HS256"), STR_NONE, SECRET, input) == OK);
    verify(keys, &plain, buf_str(&token));
    verify(keys, &careless, buf_str(&token));
    verify(keys, &strict, buf_str(&token));
    verify(keys, &foreign, buf_str(&token));
    for (int kind = 0; kind < 2; kind++) {
        if (base64_decode((enum base64)kind, input, &a, &bytes) == OK) {
            buf_clear(&token);
            base64_add((enum base64)kind, &token, bytes);
            CHECK(str_eq(buf_str(&token), input)); /* one spelling only */
        }
    }
    if (size > 0 && data[0] == '{')
        (void)!jwt_keys_set_jwk(keys, input);
    buf_deinit(&token);
    arena_deinit(&a);
    jwt_keys_free(keys);
    return 0;
}
