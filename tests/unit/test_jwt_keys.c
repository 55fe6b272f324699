/* Which keys are taken, and which algorithms each may be used with. */
#include "lib/tokens.h"

static void jwt_keys_without_a_key_refuse_everything(void **state)
{
    struct jwt_keys *keys = jwt_keys_new();

    assert_int_equal(verify(keys, sign_hmac(header_of("HS256"), STR("{}"), EVP_sha256(), STR(""))),
                     ERR_DENIED);
    assert_int_equal(jwt_keys_set_hmac(keys, STR("")), ERR_CONFIG);
    assert_int_equal(verify(keys, sign_hmac(header_of("HS256"), STR("{}"), EVP_sha256(), STR(""))),
                     ERR_DENIED);
    jwt_keys_free(keys);
}

/* ---- public keys ---- */

static void jwt_takes_rsa(void **state)
{
    EVP_PKEY *rsa = EVP_RSA_gen(2048), *other = EVP_RSA_gen(2048);
    struct jwt_keys *keys = jwt_keys_new();

    assert_int_equal(jwt_keys_set_rsa(keys, pem_of(rsa)), OK);
    assert_int_equal(verify(keys, sign_key("RS256", rsa, EVP_sha256(), 0)), OK);
    assert_int_equal(verify(keys, sign_key("RS384", rsa, EVP_sha384(), 0)), OK);
    assert_int_equal(verify(keys, sign_key("RS512", rsa, EVP_sha512(), 0)), OK);
    assert_int_equal(verify(keys, sign_key("RS512", rsa, EVP_sha256(), 0)), ERR_DENIED);
    assert_int_equal(verify(keys, sign_key("PS256", rsa, EVP_sha256(), 0)), ERR_DENIED);
    assert_int_equal(verify(keys, sign_key("RS256", other, EVP_sha256(), 0)), ERR_DENIED);
    jwt_keys_free(keys);
    EVP_PKEY_free(rsa);
    EVP_PKEY_free(other);
}

static void jwt_takes_the_key_of_a_certificate(void **state)
{
    EVP_PKEY *rsa = EVP_RSA_gen(2048);
    struct jwt_keys *keys = jwt_keys_new();
    BIO *bio = BIO_new(BIO_s_mem());
    X509 *cert = X509_new();
    char *text;
    long n;

    X509_gmtime_adj(X509_getm_notBefore(cert), 0);
    X509_gmtime_adj(X509_getm_notAfter(cert), 3600);
    X509_set_pubkey(cert, rsa);
    assert_true(X509_sign(cert, rsa, EVP_sha256()) > 0);
    PEM_write_bio_X509(bio, cert);
    n = BIO_get_mem_data(bio, &text);
    assert_int_equal(jwt_keys_set_rsa(keys, str_of(text, (size_t)n)), OK);
    assert_int_equal(verify(keys, sign_key("RS256", rsa, EVP_sha256(), 0)), OK);
    X509_free(cert);
    BIO_free(bio);
    jwt_keys_free(keys);
    EVP_PKEY_free(rsa);
}

static void jwt_never_takes_a_public_key_as_a_secret(void **state)
{
    EVP_PKEY *rsa = EVP_RSA_gen(2048);
    struct jwt_keys *keys = jwt_keys_new();
    struct str pem = pem_of(rsa);

    assert_int_equal(jwt_keys_set_rsa(keys, pem), OK);
    assert_int_equal(verify(keys, sign_hmac(header_of("HS256"), STR("{}"), EVP_sha256(), pem)),
                     ERR_DENIED);
    assert_int_equal(verify(keys, sign_hmac(header_of("RS256"), STR("{}"), EVP_sha256(), pem)),
                     ERR_DENIED);
    jwt_keys_free(keys);
    EVP_PKEY_free(rsa);
}

static const struct curve {
    const char *name, *alg, *crv;
    size_t coordinate;
} curves[] = {
    {"P-256", "ES256", "P-256", 32},
    {"P-384", "ES384", "P-384", 48},
    {"P-521", "ES512", "P-521", 66},
};

static const EVP_MD *md_of_curve(size_t i)
{
    return i == 0 ? EVP_sha256() : i == 1 ? EVP_sha384() : EVP_sha512();
}

static void jwt_takes_ecdsa_only_with_the_curve_of_the_algorithm(void **state)
{
    for (size_t i = 0; i < 3; i++) {
        EVP_PKEY *ec = EVP_EC_gen(curves[i].name);
        struct jwt_keys *keys = jwt_keys_new();

        assert_int_equal(jwt_keys_set_ec(keys, pem_of(ec)), OK);
        for (size_t k = 0; k < 3; k++) {
            enum err expected = i == k ? OK : ERR_DENIED;

            assert_int_equal(
                verify(keys, sign_key(curves[k].alg, ec, md_of_curve(k), curves[i].coordinate)),
                expected);
        }
        jwt_keys_free(keys);
        EVP_PKEY_free(ec);
    }
}

static void jwt_refuses_ecdsa_signatures_that_are_not_raw(void **state)
{
    EVP_PKEY *ec = EVP_EC_gen("P-256");
    struct jwt_keys *keys = jwt_keys_new();
    struct str input = signing_input(header_of("ES256"), STR("{}"));
    struct str der = sign_der(input, ec, EVP_sha256()), raw = raw_signature(der, 32);
    char zeros[64] = {0}, longer[66] = {0};

    assert_int_equal(jwt_keys_set_ec(keys, pem_of(ec)), OK);
    assert_int_equal(verify(keys, with_signature(input, raw)), OK);
    assert_int_equal(verify(keys, with_signature(input, der)), ERR_DENIED);
    assert_int_equal(verify(keys, with_signature(input, str_of(raw.ptr, 63))), ERR_DENIED);
    assert_int_equal(verify(keys, with_signature(input, str_of(zeros, 64))), ERR_DENIED);
    assert_int_equal(verify(keys, with_signature(input, STR(""))), ERR_DENIED);
    memcpy(longer + 1, raw.ptr, 32); /* the same numbers with a zero in front */
    memcpy(longer + 34, raw.ptr + 32, 32);
    assert_int_equal(verify(keys, with_signature(input, str_of(longer, 66))), ERR_DENIED);
    jwt_keys_free(keys);
    EVP_PKEY_free(ec);
}

static void jwt_takes_eddsa_from_its_own_slot(void **state)
{
    EVP_PKEY *ed = EVP_PKEY_Q_keygen(NULL, NULL, "ED25519");
    struct jwt_keys *keys = jwt_keys_new();
    struct str token = sign_key("EdDSA", ed, NULL, 0);

    assert_int_equal(verify(keys, token), ERR_DENIED);
    assert_int_equal(jwt_keys_set_ed25519(keys, pem_of(ed)), OK);
    assert_int_equal(verify(keys, token), OK);
    assert_int_equal(verify(keys, sign_key("ES256", ed, NULL, 0)), ERR_DENIED);
    jwt_keys_free(keys);
    EVP_PKEY_free(ed);
}

static void jwt_slots_refuse_keys_of_another_family(void **state)
{
    EVP_PKEY *rsa = EVP_RSA_gen(2048), *weak = EVP_RSA_gen(512), *ec = EVP_EC_gen("P-256");
    EVP_PKEY *k1 = EVP_EC_gen("secp256k1"), *ed = EVP_PKEY_Q_keygen(NULL, NULL, "ED25519");
    struct jwt_keys *keys = jwt_keys_new();

    assert_int_equal(jwt_keys_set_rsa(keys, pem_of(ec)), ERR_CONFIG);
    assert_int_equal(jwt_keys_set_rsa(keys, pem_of(weak)), ERR_CONFIG);
    assert_int_equal(jwt_keys_set_ec(keys, pem_of(rsa)), ERR_CONFIG);
    assert_int_equal(jwt_keys_set_ec(keys, pem_of(k1)), ERR_CONFIG);
    assert_int_equal(jwt_keys_set_ec(keys, pem_of(ed)), ERR_CONFIG);
    assert_int_equal(jwt_keys_set_ed25519(keys, pem_of(ec)), ERR_CONFIG);
    assert_int_equal(jwt_keys_set_rsa(keys, STR("")), ERR_CONFIG);
    assert_int_equal(jwt_keys_set_rsa(keys, STR("not a key")), ERR_CONFIG);
    assert_int_equal(
        jwt_keys_set_rsa(keys, STR("-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----\n")),
        ERR_CONFIG);
    assert_int_equal(verify(keys, sign_key("RS256", weak, EVP_sha256(), 0)), ERR_DENIED);
    jwt_keys_free(keys);
    EVP_PKEY_free(rsa);
    EVP_PKEY_free(weak);
    EVP_PKEY_free(ec);
    EVP_PKEY_free(k1);
    EVP_PKEY_free(ed);
}

/* ---- JWK ---- */

static struct str bn_param(EVP_PKEY *pkey, const char *name, int bytes)
{
    BIGNUM *bn = NULL;
    unsigned char raw[512];
    struct buf b = BUF_INIT(1000);
    int n;

    assert_int_equal(EVP_PKEY_get_bn_param(pkey, name, &bn), 1);
    n = bytes ? bytes : BN_num_bytes(bn);
    BN_bn2binpad(bn, raw, n);
    BN_free(bn);
    base64_add(BASE64_URL, &b, str_of((const char *)raw, (size_t)n));
    return in_arena(&b);
}

static void jwt_takes_json_web_keys(void **state)
{
    EVP_PKEY *rsa = EVP_RSA_gen(2048), *ed = EVP_PKEY_Q_keygen(NULL, NULL, "ED25519");
    struct jwt_keys *keys = jwt_keys_new();
    struct buf b = BUF_INIT(2000);
    unsigned char raw[32];
    size_t n = sizeof raw;

    buf_printf(&b, "{\"kty\":\"RSA\",\"use\":\"sig\",\"n\":\"%.*s\",\"e\":\"%.*s\"}",
               STR_ARGS(bn_param(rsa, OSSL_PKEY_PARAM_RSA_N, 0)),
               STR_ARGS(bn_param(rsa, OSSL_PKEY_PARAM_RSA_E, 0)));
    assert_int_equal(jwt_keys_set_jwk(keys, buf_str(&b)), OK);
    assert_int_equal(verify(keys, sign_key("RS256", rsa, EVP_sha256(), 0)), OK);
    assert_int_equal(verify(keys, sign_key("RS512", rsa, EVP_sha512(), 0)), OK);
    b.len--;
    buf_add_lit(&b, ",\"alg\":\"RS256\"}"); /* pins the algorithm */
    assert_int_equal(jwt_keys_set_jwk(keys, buf_str(&b)), OK);
    assert_int_equal(verify(keys, sign_key("RS256", rsa, EVP_sha256(), 0)), OK);
    assert_int_equal(verify(keys, sign_key("RS512", rsa, EVP_sha512(), 0)), ERR_DENIED);
    b.len--;
    buf_add_lit(&b, ",\"alg\":\"HS256\"}");
    assert_int_equal(jwt_keys_set_jwk(keys, buf_str(&b)), ERR_CONFIG);
    for (size_t i = 0; i < 3; i++) {
        EVP_PKEY *ec = EVP_EC_gen(curves[i].name);
        int size = (int)curves[i].coordinate;

        buf_clear(&b);
        buf_printf(&b, "{\"kty\":\"EC\",\"crv\":\"%s\",\"x\":\"%.*s\",\"y\":\"%.*s\"}",
                   curves[i].crv, STR_ARGS(bn_param(ec, OSSL_PKEY_PARAM_EC_PUB_X, size)),
                   STR_ARGS(bn_param(ec, OSSL_PKEY_PARAM_EC_PUB_Y, size)));
        assert_int_equal(jwt_keys_set_jwk(keys, buf_str(&b)), OK);
        assert_int_equal(
            verify(keys, sign_key(curves[i].alg, ec, md_of_curve(i), curves[i].coordinate)), OK);
        EVP_PKEY_free(ec);
    }
    EVP_PKEY_get_raw_public_key(ed, raw, &n);
    buf_clear(&b);
    buf_add_lit(&b, "{\"kty\":\"OKP\",\"crv\":\"Ed25519\",\"x\":\"");
    base64_add(BASE64_URL, &b, str_of((const char *)raw, n));
    buf_add_lit(&b, "\"}");
    assert_int_equal(jwt_keys_set_jwk(keys, buf_str(&b)), OK);
    assert_int_equal(verify(keys, sign_key("EdDSA", ed, NULL, 0)), OK);
    buf_deinit(&b);
    jwt_keys_free(keys);
    EVP_PKEY_free(rsa);
    EVP_PKEY_free(ed);
}

static void jwt_refuses_json_web_keys_that_are_no_public_keys(void **state)
{
    static const char *const bad[] = {
        "",
        "null",
        "[]",
        "{}",
        "{\"kty\":\"RSA\"",
        "{\"kty\":\"oct\",\"k\":\"c2VjcmV0\"}",
        "{\"kty\":\"oct\",\"alg\":\"HS256\",\"k\":\"c2VjcmV0\"}",
        "{\"kty\":1}",
        "{\"kty\":\"RSA\"}",
        "{\"kty\":\"RSA\",\"n\":\"\",\"e\":\"AQAB\"}",
        "{\"kty\":\"RSA\",\"n\":\"AQAB\",\"e\":\"AQAB\"}",
        "{\"kty\":\"RSA\",\"n\":\"!\",\"e\":\"AQAB\"}",
        "{\"kty\":\"RSA\",\"n\":[1],\"e\":\"AQAB\"}",
        "{\"kty\":\"EC\",\"crv\":\"P-256\",\"x\":\"AQAB\",\"y\":\"AQAB\"}",
        /* not on the curve */
        "{\"kty\":\"EC\",\"crv\":\"P-256\",\"x\":\"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAE\","
        "\"y\":\"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAE\"}",
        "{\"kty\":\"EC\",\"crv\":\"secp256k1\",\"x\":\"AQAB\",\"y\":\"AQAB\"}",
        "{\"kty\":\"OKP\",\"crv\":\"X25519\",\"x\":"
        "\"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAE\"}",
        "{\"kty\":\"OKP\",\"crv\":\"Ed25519\",\"x\":\"AQAB\"}",
    };
    struct jwt_keys *keys = jwt_keys_new();

    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        if (jwt_keys_set_jwk(keys, str_from(bad[i])) != ERR_CONFIG)
            fail_msg("accepted %s", bad[i]);
    }
    jwt_keys_free(keys);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(jwt_keys_without_a_key_refuse_everything),
        CASE(jwt_takes_rsa),
        CASE(jwt_takes_the_key_of_a_certificate),
        CASE(jwt_never_takes_a_public_key_as_a_secret),
        CASE(jwt_takes_ecdsa_only_with_the_curve_of_the_algorithm),
        CASE(jwt_refuses_ecdsa_signatures_that_are_not_raw),
        CASE(jwt_takes_eddsa_from_its_own_slot),
        CASE(jwt_slots_refuse_keys_of_another_family),
        CASE(jwt_takes_json_web_keys),
        CASE(jwt_refuses_json_web_keys_that_are_no_public_keys),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
