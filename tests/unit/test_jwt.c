/* What makes a token valid, and what is read from it. */
#include "lib/tokens.h"

/* ---- HMAC ---- */

static void jwt_takes_the_token_of_rfc_7515(void **state)
{
    struct str token = STR(
        "eyJ0eXAiOiJKV1QiLA0KICJhbGciOiJIUzI1NiJ9."
        "eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0"
        "cnVlfQ."
        "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk");
    struct jwt_keys *keys = jwt_keys_new();
    struct jwt_claims claims;
    struct str secret;

    assert_int_equal(
        base64_decode(BASE64_URL,
                      STR("AyM1SysPpbyDfgZld3umj1qzKObwVMkoqQ-EstJQLr_T-1qS0gZH75aKtMN3Yj0iPS4hcgUu"
                          "TwjAzZr1Z9CAow"),
                      &arena, &secret),
        OK);
    assert_int_equal(jwt_keys_set_hmac(keys, secret), OK);
    assert_int_equal(jwt_verify(keys, &any, token, 1300819379, &arena, &claims), OK);
    expect_str(claims.iss, STR("joe"));
    assert_true(claims.has_exp && claims.exp == 1300819380);
    assert_int_equal(jwt_verify(keys, &any, token, 1300819380, &arena, &claims), ERR_EXPIRED);
    jwt_keys_free(keys);
}

static void jwt_takes_every_hmac_with_secrets_of_any_length(void **state)
{
    static const size_t lengths[] = {1, 32, 63, 64, 65, 127, 128, 129, 500};
    const char *names[] = {"HS256", "HS384", "HS512"};
    const EVP_MD *mds[] = {EVP_sha256(), EVP_sha384(), EVP_sha512()};
    char secret[500];

    memset(secret, 's', sizeof secret);
    for (size_t i = 0; i < ARRAY_LEN(lengths); i++) {
        struct jwt_keys *keys = jwt_keys_new();

        assert_int_equal(jwt_keys_set_hmac(keys, str_of(secret, lengths[i])), OK);
        for (size_t k = 0; k < 3; k++) {
            struct str payload = STR("{\"sub\":\"42\"}");

            assert_int_equal(verify(keys, sign_hmac(header_of(names[k]), payload, mds[k],
                                                    str_of(secret, lengths[i]))),
                             OK);
            assert_int_equal(verify(keys, sign_hmac(header_of(names[k]), payload, mds[k], SECRET)),
                             ERR_DENIED);
            assert_int_equal(verify(keys, sign_hmac(header_of(names[k]), payload, mds[(k + 1) % 3],
                                                    str_of(secret, lengths[i]))),
                             ERR_DENIED);
        }
        jwt_keys_free(keys);
    }
}

static void jwt_refuses_a_token_changed_anywhere(void **state)
{
    struct jwt_keys *keys = hmac_keys();
    struct str token = hs256("{\"sub\":\"42\",\"info\":{\"name\":\"Ida\"}}");

    assert_int_equal(verify(keys, token), OK);
    for (size_t i = 0; i < token.len; i++) {
        struct str copy = str_dup(token);

        ((char *)copy.ptr)[i] = copy.ptr[i] == 'A' ? 'B' : 'A';
        if (verify(keys, copy) != ERR_DENIED)
            fail_msg("byte %zu", i);
        str_free(&copy);
    }
    for (size_t n = 0; n < token.len; n++)
        assert_int_equal(verify(keys, str_of(token.ptr, n)), ERR_DENIED);
    jwt_keys_free(keys);
}

static void jwt_takes_the_previous_secret_as_long_as_it_is_valid(void **state)
{
    struct jwt_keys *keys = jwt_keys_new();
    struct str token = hs256("{}");

    assert_int_equal(jwt_keys_set_hmac(keys, STR("new secret")), OK);
    assert_int_equal(verify(keys, token), ERR_DENIED);
    assert_int_equal(jwt_keys_set_hmac_previous(keys, SECRET, 0), OK);
    assert_int_equal(verify(keys, token), OK);
    assert_int_equal(jwt_keys_set_hmac_previous(keys, SECRET, NOW), OK);
    assert_int_equal(verify(keys, token), OK);
    assert_int_equal(jwt_keys_set_hmac_previous(keys, SECRET, NOW - 1), OK);
    assert_int_equal(verify(keys, token), ERR_DENIED);
    jwt_keys_free(keys);
}

/* ---- headers and shapes ---- */

static void jwt_refuses_odd_headers(void **state)
{
    static const char *const bad[] = {
        "{\"alg\":\"none\"}",
        "{\"alg\":\"None\"}",
        "{\"alg\":\"NONE\"}",
        "{\"alg\":\"nOnE\"}",
        "{\"alg\":\"\"}",
        "{}",
        "{\"alg\":null}",
        "{\"alg\":[\"HS256\"]}",
        "{\"alg\":256}",
        "{\"alg\":\"hs256\"}",
        "{\"alg\":\"HS256 \"}",
        "{\"alg\":\"HS256\\u0000\"}",
        "{\"alg\":\"HS256\",\"alg\":\"none\"}",
        "{\"alg\":\"HS256\",\"kid\":1}",
        "{\"alg\":\"HS256\"} ,",
        "{\"alg\":\"HS256\"",
        "[\"HS256\"]",
        "\"HS256\"",
        "null",
        "",
    };
    struct jwt_keys *keys = hmac_keys();

    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        struct str input = signing_input(str_from(bad[i]), STR("{}"));

        if (verify(keys, sign_hmac(str_from(bad[i]), STR("{}"), EVP_sha256(), SECRET)) !=
                ERR_DENIED ||
            verify(keys, with_signature(input, STR(""))) != ERR_DENIED)
            fail_msg("accepted %s", bad[i]);
    }
    assert_int_equal(
        verify(keys,
               sign_hmac(STR(" {\"kid\":\"../../etc\",\"jku\":\"http://x\",\"alg\":\"HS256\"}"),
                         STR("{}"), EVP_sha256(), SECRET)),
        OK);
    jwt_keys_free(keys);
}

static void jwt_refuses_odd_shapes(void **state)
{
    struct jwt_keys *keys = hmac_keys();
    struct str good = hs256("{}");
    struct buf b = BUF_INIT(1000);

    static const struct str bad[] = {STR(""),      STR("."),           STR(".."),      STR("..."),
                                     STR("a.b.c"), STR("e30.e30.e30"), STR("e30.e30.")};
    for (size_t i = 0; i < ARRAY_LEN(bad); i++)
        assert_int_equal(verify(keys, bad[i]), ERR_DENIED);
    static const struct str tails[] = {STR("="), STR("."), STR("\n"), STR(" "), STR(".e30")};
    for (size_t i = 0; i < ARRAY_LEN(tails); i++) {
        buf_clear(&b);
        buf_add_str(&b, good);
        buf_add_str(&b, tails[i]);
        assert_int_equal(verify(keys, buf_str(&b)), ERR_DENIED);
        buf_clear(&b);
        buf_add_str(&b, tails[i]);
        buf_add_str(&b, good);
        assert_int_equal(verify(keys, buf_str(&b)), ERR_DENIED);
    }
    buf_deinit(&b);
    jwt_keys_free(keys);
}

static void jwt_parse_takes_a_token_apart_for_key_lookup(void **state)
{
    struct jwt_token token;
    struct str text = sign_hmac(STR("{\"alg\":\"RS256\",\"kid\":\"k\\u0031\"}"),
                                STR("{\"iss\":\"x\"}"), EVP_sha256(), SECRET);

    assert_int_equal(jwt_parse(text, &arena, &token), OK);
    expect_str(token.alg, STR("RS256"));
    expect_str(token.kid, STR("k1"));
    expect_str(token.payload, STR("{\"iss\":\"x\"}"));
    assert_int_equal(token.signature.len, 32);
    assert_int_equal(jwt_parse(hs256("[]"), &arena, &token), ERR_DENIED);
}

/* ---- claims ---- */

static void jwt_reads_all_claims(void **state)
{
    struct jwt_claims c;

    assert_int_equal(
        read_payload("{\"sub\":\"u\\u00e9\",\"exp\":1700000001,\"nbf\":1700000000,\"iat\":5,"
                     "\"jti\":\"j\",\"iss\":\"i\",\"aud\":[\"a\",\"b\"],\"info\":{\"n\": 1},"
                     "\"channels\":[\"x\",\"y\\n\"],\"subs\":{\"c\":{}},\"meta\":[1],"
                     "\"expire_at\":7,\"channel\":\"ch\",\"client\":\"cl\",\"data\":\"d\","
                     "\"override\":{\"presence\":{\"value\":true}},\"caps\":[],\"own\":1}",
                     &any, &c),
        OK);
    expect_str(c.sub, STR("u\xC3\xA9"));
    expect_str(c.user, c.sub);
    assert_true(c.has_exp && c.exp == 1700000001);
    assert_true(c.has_nbf && c.nbf == 1700000000);
    assert_true(c.has_iat && c.iat == 5);
    assert_true(c.has_expire_at && c.expire_at == 7);
    expect_str(c.jti, STR("j"));
    expect_str(c.iss, STR("i"));
    assert_int_equal(c.aud.count, 2);
    expect_str(c.aud.ptr[1], STR("b"));
    expect_str(c.info, STR("{\"n\": 1}"));
    assert_int_equal(c.channels.count, 2);
    expect_str(c.channels.ptr[1], STR("y\n"));
    expect_str(c.subs, STR("{\"c\":{}}"));
    expect_str(c.meta, STR("[1]"));
    expect_str(c.channel, STR("ch"));
    expect_str(c.client, STR("cl"));
    expect_str(c.data, STR("\"d\""));
    expect_str(c.override, STR("{\"presence\":{\"value\":true}}"));
    expect_str(c.caps, STR("[]"));
    assert_true(c.payload.len > 0);
}

static void jwt_takes_null_claims_as_absent(void **state)
{
    struct jwt_claims c;

    assert_int_equal(
        read_payload("{\"sub\":null,\"exp\":null,\"nbf\":null,\"iat\":null,\"aud\":null,"
                     "\"info\":null,\"channels\":null,\"subs\":null,\"b64info\":null,"
                     "\"expire_at\":null,\"channel\":null,\"override\":null}",
                     &any, &c),
        OK);
    assert_false(c.has_exp || c.has_nbf || c.has_iat || c.has_expire_at);
    assert_int_equal(c.sub.len + c.info.len + c.subs.len + c.override.len, 0);
    assert_int_equal(c.channels.count + c.aud.count, 0);
}

static void jwt_takes_the_last_of_duplicate_claims(void **state)
{
    struct jwt_claims c;

    assert_int_equal(
        read_payload("{\"sub\":\"a\",\"exp\":1,\"s\\u0075b\":\"b\",\"exp\":1800000000}", &any, &c),
        OK);
    expect_str(c.sub, STR("b"));
    expect_payload("{\"exp\":1800000000,\"exp\":1}", JWT_ANY, ERR_EXPIRED);
}

static void jwt_refuses_claims_of_a_wrong_type(void **state)
{
    static const char *const bad[] = {
        "{\"sub\":42}",
        "{\"sub\":{}}",
        "{\"iss\":1}",
        "{\"aud\":1}",
        "{\"aud\":[1]}",
        "{\"aud\":{}}",
        "{\"exp\":\"1800000000\"}",
        "{\"exp\":true}",
        "{\"exp\":{}}",
        "{\"nbf\":\"1\"}",
        "{\"iat\":[]}",
        "{\"expire_at\":\"1\"}",
        "{\"channels\":\"a\"}",
        "{\"channels\":[1]}",
        "{\"channels\":{}}",
        "{\"subs\":[]}",
        "{\"subs\":\"a\"}",
        "{\"override\":1}",
        "{\"channel\":1}",
        "{\"client\":[]}",
        "{\"b64info\":1}",
        "{\"b64info\":\"a\"}",
        "{\"b64data\":\"YQ\"}",
        "{\"b64data\":\"Y-==\"}",
        "[]",
        "null",
        "\"sub\"",
        "1",
        "{\"sub\":\"a\"} x",
        "{\"sub\":\"\xFF\"}",
        "{\"sub\":}",
    };

    for (size_t i = 0; i < ARRAY_LEN(bad); i++)
        expect_payload(bad[i], JWT_ANY, ERR_DENIED);
}

static void jwt_expires_when_its_time_is_over(void **state)
{
    static const struct {
        const char *payload;
        enum err expected;
    } rows[] = {
        {"{}", OK},
        {"{\"exp\":1700000001}", OK},
        {"{\"exp\":1700000000}", ERR_EXPIRED},
        {"{\"exp\":1699999999}", ERR_EXPIRED},
        {"{\"exp\":1700000000.5}", ERR_EXPIRED},
        {"{\"exp\":1700000001.5}", OK},
        {"{\"exp\":1.8e9}", OK},
        {"{\"exp\":0}", ERR_EXPIRED},
        {"{\"exp\":-1}", ERR_EXPIRED},
        {"{\"exp\":-0.5}", ERR_EXPIRED},
        {"{\"exp\":1e308}", OK},
        {"{\"exp\":1e999}", OK},
        {"{\"exp\":-1e999}", ERR_EXPIRED},
        {"{\"exp\":9223372036854775807}", OK},
        {"{\"exp\":9223372036854775808}", OK},
        {"{\"exp\":-9223372036854775809}", ERR_EXPIRED},
        {"{\"exp\":1e-400}", ERR_EXPIRED},
        {"{\"nbf\":1700000000}", OK},
        {"{\"nbf\":1700000000.5}", ERR_EXPIRED},
        {"{\"nbf\":1700000001}", ERR_EXPIRED},
        {"{\"nbf\":1e999}", ERR_EXPIRED},
        {"{\"nbf\":0,\"iat\":1e300}", OK},
    };

    for (size_t i = 0; i < ARRAY_LEN(rows); i++)
        expect_payload(rows[i].payload, JWT_ANY, rows[i].expected);
}

static void jwt_tells_who_an_expired_token_was_for(void **state)
{
    struct jwt_claims c;

    assert_int_equal(read_payload("{\"sub\":\"42\",\"exp\":1}", &any, &c), ERR_EXPIRED);
    expect_str(c.user, STR("42"));
    assert_int_equal(c.exp, 1);
}

static void jwt_kinds_cannot_be_mistaken_for_each_other(void **state)
{
    expect_payload("{\"sub\":\"1\"}", JWT_CONNECTION, OK);
    expect_payload("{\"sub\":\"1\",\"channel\":\"\"}", JWT_CONNECTION, OK);
    expect_payload("{\"sub\":\"1\",\"channel\":\"c\"}", JWT_CONNECTION, ERR_DENIED);
    expect_payload("{\"sub\":\"1\",\"channel\":\"c\",\"exp\":1}", JWT_CONNECTION, ERR_DENIED);
    expect_payload("{\"sub\":\"1\"}", JWT_SUBSCRIPTION, ERR_DENIED);
    expect_payload("{\"sub\":\"1\",\"exp\":1}", JWT_SUBSCRIPTION, ERR_EXPIRED);
    expect_payload("{\"sub\":\"1\",\"channel\":\"\"}", JWT_SUBSCRIPTION, ERR_DENIED);
    expect_payload("{\"sub\":\"1\",\"channel\":\"c\"}", JWT_SUBSCRIPTION, OK);
}

static void jwt_checks_issuer_and_audience(void **state)
{
    static const struct jwt_options options = {.issuer = STR("us"), .audience = STR("app")};
    static const struct {
        const char *payload;
        enum err expected;
    } rows[] = {
        {"{\"iss\":\"us\",\"aud\":\"app\"}", OK},
        {"{\"iss\":\"us\",\"aud\":[\"other\",\"app\"]}", OK},
        {"{\"iss\":\"us\"}", ERR_DENIED},
        {"{\"aud\":\"app\"}", ERR_DENIED},
        {"{\"iss\":\"us\",\"aud\":[]}", ERR_DENIED},
        {"{\"iss\":\"us\",\"aud\":\"application\"}", ERR_DENIED},
        {"{\"iss\":\"us2\",\"aud\":\"app\"}", ERR_DENIED},
        {"{\"iss\":\"them\",\"aud\":\"app\",\"exp\":1}", ERR_DENIED},
        {"{\"iss\":\"us\",\"aud\":\"app\",\"exp\":1}", ERR_EXPIRED},
    };
    struct jwt_claims c;

    for (size_t i = 0; i < ARRAY_LEN(rows); i++)
        assert_int_equal(read_payload(rows[i].payload, &options, &c), rows[i].expected);
}

static void jwt_takes_the_user_from_the_claim_of_choice(void **state)
{
    static const struct jwt_options options = {.user_id_claim = STR("user_id")};
    static const struct {
        const char *payload;
        struct str user;
    } rows[] = {
        {"{\"sub\":\"s\",\"user_id\":\"u\"}", STR("u")},
        {"{\"sub\":\"s\",\"user_id\":42}", STR("42")},
        {"{\"sub\":\"s\",\"user_id\":true}", STR("true")},
        {"{\"sub\":\"s\",\"user_id\":1,\"user_id\":\"\\u0032\"}", STR("2")},
        {"{\"sub\":\"s\",\"user_id\":null}", STR("")},
        {"{\"sub\":\"s\"}", STR("")},
    };
    struct jwt_claims c;

    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        assert_int_equal(read_payload(rows[i].payload, &options, &c), OK);
        expect_str(c.user, rows[i].user);
        expect_str(c.sub, STR("s"));
    }
}

static void jwt_prefers_base64_to_json(void **state)
{
    struct jwt_claims c;

    assert_int_equal(
        read_payload("{\"b64info\":\"/w8=\",\"info\":1,\"data\":2,\"b64data\":\"YQ==\"}", &any, &c),
        OK);
    expect_str(c.info, STR("\xFF\x0F"));
    expect_str(c.data, STR("a"));
    assert_int_equal(read_payload("{\"b64info\":\"\",\"info\":1}", &any, &c), OK);
    expect_str(c.info, STR("1"));
}

static void jwt_can_leave_out_the_signature_but_nothing_else(void **state)
{
    static const struct jwt_options insecure = {.kind = JWT_CONNECTION, .skip_signature = true};
    struct jwt_keys *keys = jwt_keys_new();
    struct jwt_claims c;
    struct str header = STR("{\"alg\":\"HS256\"}");

    assert_int_equal(
        jwt_verify(keys, &insecure,
                   sign_hmac(header, STR("{\"sub\":\"1\"}"), EVP_sha256(), STR("whatever")), NOW,
                   &arena, &c),
        OK);
    expect_str(c.user, STR("1"));
    assert_int_equal(jwt_verify(keys, &insecure,
                                sign_hmac(header, STR("{\"exp\":1}"), EVP_sha256(), STR("x")), NOW,
                                &arena, &c),
                     ERR_EXPIRED);
    assert_int_equal(
        jwt_verify(keys, &insecure,
                   sign_hmac(header, STR("{\"channel\":\"c\"}"), EVP_sha256(), STR("x")), NOW,
                   &arena, &c),
        ERR_DENIED);
    assert_int_equal(
        jwt_verify(keys, &insecure,
                   sign_hmac(STR("{\"alg\":\"none\"}"), STR("{}"), EVP_sha256(), STR("x")), NOW,
                   &arena, &c),
        ERR_DENIED);
    jwt_keys_free(keys);
}

static void jwt_expiry_comes_from_expire_at_or_exp_and_is_capped(void **state)
{
    const int64_t year = 365 * 24 * 3600;

    assert_int_equal(jwt_expiry(&(struct jwt_claims){.exp = 0}, NOW), 0);
    assert_int_equal(jwt_expiry(&(struct jwt_claims){.has_exp = true, .exp = NOW + 5}, NOW),
                     NOW + 5);
    assert_int_equal(jwt_expiry(&(struct jwt_claims){.has_exp = true, .exp = INT64_MAX}, NOW),
                     NOW + year);
    assert_int_equal(jwt_expiry(&(struct jwt_claims){.has_exp = true,
                                                     .exp = NOW + 5,
                                                     .has_expire_at = true,
                                                     .expire_at = NOW + 9},
                                NOW),
                     NOW + 9);
    assert_int_equal(jwt_expiry(&(struct jwt_claims){.has_exp = true,
                                                     .exp = NOW + 5,
                                                     .has_expire_at = true,
                                                     .expire_at = 0},
                                NOW),
                     0);
    assert_int_equal(jwt_expiry(&(struct jwt_claims){.has_expire_at = true, .expire_at = -1}, NOW),
                     0);
    assert_int_equal(
        jwt_expiry(&(struct jwt_claims){.has_expire_at = true, .expire_at = INT64_MAX}, NOW),
        NOW + year);
    /* An exp long past is no licence to stay for ever. */
    assert_true(jwt_expiry(&(struct jwt_claims){.has_exp = true, .exp = 0}, NOW) > 0);
}

static void jwt_sign_makes_what_verify_takes(void **state)
{
    const struct str algs[] = {STR("HS256"), STR("HS384"), STR("HS512")};
    struct jwt_keys *keys = hmac_keys();
    struct buf b = BUF_INIT(1000), small = BUF_INIT(60);
    struct jwt_token parts;
    struct jwt_claims c;

    for (size_t i = 0; i < ARRAY_LEN(algs); i++) {
        struct str kid = i == 1 ? STR("k \"1\"") : STR_NONE, token;

        buf_clear(&b);
        buf_add_lit(&b, "token: "); /* only what is added is signed */
        assert_int_equal(jwt_sign(&b, algs[i], kid, SECRET, STR("{\"sub\":\"42\"}")), OK);
        token = str_cut(buf_str(&b), 7);
        assert_int_equal(jwt_verify(keys, &any, token, NOW, &arena, &c), OK);
        expect_str(c.sub, STR("42"));
        assert_int_equal(jwt_parse(token, &arena, &parts), OK);
        expect_str(parts.alg, algs[i]);
        expect_str(parts.kid, kid);
    }
    assert_int_equal(jwt_sign(&b, STR("HS256"), STR_NONE, STR(""), STR("{}")), ERR_CONFIG);
    assert_int_equal(jwt_sign(&b, STR("RS256"), STR_NONE, SECRET, STR("{}")), ERR_CONFIG);
    assert_int_equal(jwt_sign(&b, STR("none"), STR_NONE, SECRET, STR("{}")), ERR_CONFIG);
    assert_int_equal(jwt_sign(&small, STR("HS256"), STR_NONE, SECRET, STR("{}")), ERR_LIMIT);
    buf_deinit(&b);
    buf_deinit(&small);
    jwt_keys_free(keys);
}

static void jwt_of_others_is_held_to_the_registered_claims_only(void **state)
{
    struct jwt_options theirs = {.kind = JWT_FOREIGN, .audience = STR("us"), .issuer = STR("them")};
    struct jwt_claims c;

    assert_int_equal(read_payload("{\"iss\":\"them\",\"aud\":[\"us\"],\"sub\":42,\"channels\":1,"
                                  "\"subs\":[],\"b64info\":7,\"iat\":\"x\"}",
                                  &theirs, &c),
                     OK);
    assert_true(str_starts(c.payload, STR("{\"iss\"")));
    assert_int_equal(c.sub.len, 0);
    assert_int_equal(read_payload("{\"iss\":\"them\",\"aud\":\"you\"}", &theirs, &c), ERR_DENIED);
    assert_int_equal(read_payload("{\"iss\":\"us\",\"aud\":\"us\"}", &theirs, &c), ERR_DENIED);
    assert_int_equal(read_payload("{\"iss\":1,\"aud\":\"us\"}", &theirs, &c), ERR_DENIED);
    expect_payload("{\"exp\":1}", JWT_FOREIGN, ERR_EXPIRED);
    expect_payload("{\"nbf\":1800000000}", JWT_FOREIGN, ERR_EXPIRED);
    expect_payload("{\"exp\":\"1800000000\"}", JWT_FOREIGN, ERR_DENIED);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(jwt_takes_the_token_of_rfc_7515),
        CASE(jwt_takes_every_hmac_with_secrets_of_any_length),
        CASE(jwt_refuses_a_token_changed_anywhere),
        CASE(jwt_takes_the_previous_secret_as_long_as_it_is_valid),
        CASE(jwt_refuses_odd_headers),
        CASE(jwt_refuses_odd_shapes),
        CASE(jwt_parse_takes_a_token_apart_for_key_lookup),
        CASE(jwt_reads_all_claims),
        CASE(jwt_takes_null_claims_as_absent),
        CASE(jwt_takes_the_last_of_duplicate_claims),
        CASE(jwt_refuses_claims_of_a_wrong_type),
        CASE(jwt_expires_when_its_time_is_over),
        CASE(jwt_tells_who_an_expired_token_was_for),
        CASE(jwt_kinds_cannot_be_mistaken_for_each_other),
        CASE(jwt_checks_issuer_and_audience),
        CASE(jwt_takes_the_user_from_the_claim_of_choice),
        CASE(jwt_prefers_base64_to_json),
        CASE(jwt_can_leave_out_the_signature_but_nothing_else),
        CASE(jwt_expiry_comes_from_expire_at_or_exp_and_is_capped),
        CASE(jwt_sign_makes_what_verify_takes),
        CASE(jwt_of_others_is_held_to_the_registered_claims_only),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
