/* Tokens, good and bad, made with OpenSSL and not with our own signing. */
#pragma once

#include "arena.h"

#include <openssl/core_names.h>
#include <openssl/ec.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <openssl/pem.h>
#include <openssl/rsa.h>

#include "base/mem.h"
#include "codec/base64.h"
#include "codec/jwt.h"

#define NOW 1700000000
#define SECRET STR("secret")

static const struct jwt_options any = {.kind = JWT_ANY};

static UNUSED struct str in_arena(struct buf *b)
{
    struct str s = arena_dup(&arena, buf_str(b));

    buf_deinit(b);
    return s;
}

/* Both parts encoded, with the dot between. */
static UNUSED struct str signing_input(struct str header, struct str payload)
{
    struct buf b = BUF_INIT(1 << 20);

    base64_add(BASE64_URL, &b, header);
    buf_add_char(&b, '.');
    base64_add(BASE64_URL, &b, payload);
    return in_arena(&b);
}

static UNUSED struct str with_signature(struct str input, struct str signature)
{
    struct buf b = BUF_INIT(1 << 20);

    buf_add_str(&b, input);
    buf_add_char(&b, '.');
    base64_add(BASE64_URL, &b, signature);
    return in_arena(&b);
}

static UNUSED struct str header_of(const char *alg)
{
    struct buf b = BUF_INIT(200);

    buf_printf(&b, "{\"alg\":\"%s\",\"typ\":\"JWT\"}", alg);
    return in_arena(&b);
}

static UNUSED struct str sign_hmac(struct str header, struct str payload, const EVP_MD *md,
                                   struct str secret)
{
    struct str input = signing_input(header, payload);
    unsigned char mac[EVP_MAX_MD_SIZE];
    unsigned int n;

    HMAC(md, secret.ptr, (int)secret.len, (const unsigned char *)input.ptr, input.len, mac, &n);
    return with_signature(input, str_of((const char *)mac, n));
}

static UNUSED struct str hs256(const char *payload)
{
    return sign_hmac(header_of("HS256"), str_from(payload), EVP_sha256(), SECRET);
}

/* r and s as they are in a token, from OpenSSL's DER. */
static UNUSED struct str raw_signature(struct str der, size_t coordinate)
{
    const unsigned char *at = (const unsigned char *)der.ptr;
    unsigned char *raw = arena_zalloc(&arena, 2 * coordinate);
    ECDSA_SIG *sig = d2i_ECDSA_SIG(NULL, &at, (long)der.len);

    BN_bn2binpad(ECDSA_SIG_get0_r(sig), raw, (int)coordinate);
    BN_bn2binpad(ECDSA_SIG_get0_s(sig), raw + coordinate, (int)coordinate);
    ECDSA_SIG_free(sig);
    return str_of((const char *)raw, 2 * coordinate);
}

static UNUSED struct str sign_der(struct str input, EVP_PKEY *pkey, const EVP_MD *md)
{
    unsigned char *sig = arena_alloc(&arena, 1024);
    size_t n = 1024;
    EVP_MD_CTX *ctx = EVP_MD_CTX_new();

    assert_int_equal(EVP_DigestSignInit(ctx, NULL, md, NULL, pkey), 1);
    assert_int_equal(EVP_DigestSign(ctx, sig, &n, (const unsigned char *)input.ptr, input.len), 1);
    EVP_MD_CTX_free(ctx);
    return str_of((const char *)sig, n);
}

/* coordinate: 0 for RSA and Ed25519. */
static UNUSED struct str sign_key(const char *alg, EVP_PKEY *pkey, const EVP_MD *md,
                                  size_t coordinate)
{
    struct str input = signing_input(header_of(alg), STR("{\"sub\":\"42\"}"));
    struct str sig = sign_der(input, pkey, md);

    return with_signature(input, coordinate ? raw_signature(sig, coordinate) : sig);
}

static UNUSED struct str pem_of(EVP_PKEY *pkey)
{
    BIO *bio = BIO_new(BIO_s_mem());
    char *text;
    long n;
    struct str pem;

    PEM_write_bio_PUBKEY(bio, pkey);
    n = BIO_get_mem_data(bio, &text);
    pem = arena_dup(&arena, str_of(text, (size_t)n));
    BIO_free(bio);
    return pem;
}

static UNUSED struct jwt_keys *hmac_keys(void)
{
    struct jwt_keys *keys = jwt_keys_new();

    assert_int_equal(jwt_keys_set_hmac(keys, SECRET), OK);
    return keys;
}

static UNUSED enum err verify(const struct jwt_keys *keys, struct str token)
{
    struct str copy = str_dup(token); /* no spare room for a sanitizer to overlook */
    struct jwt_claims claims;
    enum err err = jwt_verify(keys, &any, copy, NOW, &arena, &claims);

    str_free(&copy);
    return err;
}

/* With the claims of a payload signed by the right key. */
static UNUSED enum err read_payload(const char *payload, const struct jwt_options *options,
                                    struct jwt_claims *out)
{
    struct jwt_keys *keys = hmac_keys();
    enum err err = jwt_verify(keys, options, hs256(payload), NOW, &arena, out);

    jwt_keys_free(keys);
    return err;
}

static UNUSED void expect_payload(const char *payload, enum jwt_kind kind, enum err expected)
{
    struct jwt_claims claims;
    const struct jwt_options options = {.kind = kind};
    enum err err = read_payload(payload, &options, &claims);

    if (err != expected)
        fail_msg("err %d for %s", err, payload);
}
