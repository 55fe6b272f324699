#include "codec/jwt_keys.h"

#include "base/check.h"
#include "base/mem.h"
#include "codec/base64.h"
#include "codec/json.h"

#include <assert.h>
#include <openssl/core_names.h>
#include <openssl/ec.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/param_build.h>
#include <openssl/pem.h>
#include <openssl/x509.h>

#define PEM_BYTES_MAX 65536
#define RSA_BITS_MIN 1024
#define EC_BYTES_MAX 66    /* a coordinate on P-521 */
#define HMAC_BLOCK_MAX 128 /* of SHA-384 and SHA-512 */

/* ---- algorithms ---- */

enum family { FAMILY_HMAC, FAMILY_RSA, FAMILY_EC, FAMILY_ED25519 };
enum digest { DIGEST_256, DIGEST_384, DIGEST_512, DIGEST_COUNT };

struct algorithm {
    const char *name;
    enum family family;
    enum digest digest;
    size_t coordinate; /* EC: bytes of r and of s */
    const char *curve; /* EC: OpenSSL's name and JWK's */
    const char *crv;
};

static const struct algorithm algorithms[] = {
    {.name = "HS256", .family = FAMILY_HMAC, .digest = DIGEST_256},
    {.name = "HS384", .family = FAMILY_HMAC, .digest = DIGEST_384},
    {.name = "HS512", .family = FAMILY_HMAC, .digest = DIGEST_512},
    {.name = "RS256", .family = FAMILY_RSA, .digest = DIGEST_256},
    {.name = "RS384", .family = FAMILY_RSA, .digest = DIGEST_384},
    {.name = "RS512", .family = FAMILY_RSA, .digest = DIGEST_512},
    {"ES256", FAMILY_EC, DIGEST_256, 32, "prime256v1", "P-256"},
    {"ES384", FAMILY_EC, DIGEST_384, 48, "secp384r1", "P-384"},
    {"ES512", FAMILY_EC, DIGEST_512, EC_BYTES_MAX, "secp521r1", "P-521"},
    {.name = "EdDSA", .family = FAMILY_ED25519},
};

/* "none", in whatever spelling, is simply not in the table. */
static const struct algorithm *find_algorithm(struct str name)
{
    for (size_t i = 0; i < ARRAY_LEN(algorithms); i++) {
        if (str_eq(name, str_from(algorithms[i].name)))
            return &algorithms[i];
    }
    return NULL;
}

static const EVP_MD *md_of(enum digest digest)
{
    switch (digest) {
    case DIGEST_256:
        return EVP_sha256();
    case DIGEST_384:
        return EVP_sha384();
    case DIGEST_512:
    case DIGEST_COUNT:
        break;
    }
    return EVP_sha512();
}

/* ---- HMAC ---- */

/* The digest after its first block, for both of HMAC's passes. A check copies these, which saves
 * hashing the key and OpenSSL's search for the algorithm. */
struct hmac {
    EVP_MD_CTX *inner, *outer;
};

static void hmac_deinit(struct hmac *h)
{
    EVP_MD_CTX_free(h->inner);
    EVP_MD_CTX_free(h->outer);
    *h = (struct hmac){NULL, NULL};
}

/* The digest of one block: the key, padded with zeros, every byte xored with pad. */
static EVP_MD_CTX *hmac_pass(const EVP_MD *md, struct str key, unsigned char pad)
{
    unsigned char block[HMAC_BLOCK_MAX] = {0};
    size_t size = (size_t)EVP_MD_get_block_size(md);
    EVP_MD_CTX *ctx = EVP_MD_CTX_new();

    CHECK(ctx != NULL && size <= sizeof block && key.len <= size);
    memcpy(block, key.ptr, key.len);
    for (size_t i = 0; i < size; i++)
        block[i] ^= pad;
    CHECK(EVP_DigestInit_ex(ctx, md, NULL) == 1 && EVP_DigestUpdate(ctx, block, size) == 1);
    OPENSSL_cleanse(block, sizeof block);
    return ctx;
}

static struct hmac hmac_new(enum digest digest, struct str secret)
{
    const EVP_MD *md = md_of(digest);
    unsigned char hashed[EVP_MAX_MD_SIZE];
    struct hmac h;

    if (secret.len > (size_t)EVP_MD_get_block_size(md)) {
        unsigned int n = 0;

        CHECK(EVP_Digest(secret.ptr, secret.len, hashed, &n, md, NULL) == 1);
        secret = str_of((const char *)hashed, n);
    }
    h = (struct hmac){hmac_pass(md, secret, 0x36), hmac_pass(md, secret, 0x5C)};
    OPENSSL_cleanse(hashed, sizeof hashed);
    return h;
}

/* Any number of threads may do this with the same h. Returns the bytes written to out. */
static size_t hmac_compute(const struct hmac *h, struct str text,
                           unsigned char out[EVP_MAX_MD_SIZE])
{
    EVP_MD_CTX *ctx = EVP_MD_CTX_new();
    unsigned int n = 0;

    CHECK(ctx != NULL && EVP_MD_CTX_copy_ex(ctx, h->inner) == 1);
    CHECK(EVP_DigestUpdate(ctx, text.ptr, text.len) == 1);
    CHECK(EVP_DigestFinal_ex(ctx, out, &n) == 1);
    CHECK(EVP_MD_CTX_copy_ex(ctx, h->outer) == 1);
    CHECK(EVP_DigestUpdate(ctx, out, n) == 1);
    CHECK(EVP_DigestFinal_ex(ctx, out, &n) == 1);
    EVP_MD_CTX_free(ctx);
    return n;
}

static bool hmac_verify(const struct hmac *h, const struct jwt_token *token)
{
    unsigned char mac[EVP_MAX_MD_SIZE];
    size_t n;

    if (h->inner == NULL)
        return false;
    n = hmac_compute(h, token->signed_part, mac);
    return str_eq_secret(str_of((const char *)mac, n), token->signature);
}

size_t jwt_hmac(struct str alg, struct str secret, struct str text, unsigned char out[JWT_MAC_MAX])
{
    const struct algorithm *algorithm = find_algorithm(alg);
    struct hmac h;
    size_t n;

    static_assert(JWT_MAC_MAX >= EVP_MAX_MD_SIZE, "every digest fits");
    if (secret.len == 0 || algorithm == NULL || algorithm->family != FAMILY_HMAC)
        return 0;
    h = hmac_new(algorithm->digest, secret);
    n = hmac_compute(&h, text, out);
    hmac_deinit(&h);
    return n;
}

/* ---- slots ---- */

/* A public key. */
struct slot {
    EVP_PKEY *pkey;
    const struct algorithm *only; /* NULL: every algorithm of the family */
};

struct jwt_keys {
    struct hmac hmac[DIGEST_COUNT], previous[DIGEST_COUNT];
    int64_t previous_valid_until; /* 0: no limit */
    struct slot rsa, ec, ed25519;
};

static void slot_clear(struct slot *slot)
{
    EVP_PKEY_free(slot->pkey);
    *slot = (struct slot){NULL, NULL};
}

struct jwt_keys *jwt_keys_new(void)
{
    return mem_zalloc(sizeof(struct jwt_keys));
}

void jwt_keys_free(struct jwt_keys *keys)
{
    if (keys == NULL)
        return;
    for (size_t i = 0; i < DIGEST_COUNT; i++) {
        hmac_deinit(&keys->hmac[i]);
        hmac_deinit(&keys->previous[i]);
    }
    slot_clear(&keys->rsa);
    slot_clear(&keys->ec);
    slot_clear(&keys->ed25519);
    mem_free(keys);
}

static enum err set_hmac(struct hmac *slots, struct str secret)
{
    for (size_t i = 0; i < DIGEST_COUNT; i++)
        hmac_deinit(&slots[i]);
    if (secret.len == 0)
        return ERR_CONFIG;
    for (size_t i = 0; i < DIGEST_COUNT; i++)
        slots[i] = hmac_new((enum digest)i, secret);
    return OK;
}

enum err jwt_keys_set_hmac(struct jwt_keys *keys, struct str secret)
{
    return set_hmac(keys->hmac, secret);
}

enum err jwt_keys_set_hmac_previous(struct jwt_keys *keys, struct str secret, int64_t valid_until)
{
    keys->previous_valid_until = valid_until;
    return set_hmac(keys->previous, secret);
}

/* ---- public keys ---- */

/* There is nobody to ask for a pass phrase. */
static int no_password(char *buf, int size, int writing, void *arg)
{
    return -1;
}

static EVP_PKEY *read_pem(struct str pem)
{
    EVP_PKEY *pkey = NULL;
    X509 *cert;
    BIO *bio;

    if (pem.len == 0 || pem.len > PEM_BYTES_MAX)
        return NULL;
    bio = BIO_new_mem_buf(pem.ptr, (int)pem.len);
    CHECK(bio != NULL);
    pkey = PEM_read_bio_PUBKEY(bio, NULL, no_password, NULL);
    if (pkey == NULL && BIO_reset(bio) == 1) {
        cert = PEM_read_bio_X509(bio, NULL, no_password, NULL);
        if (cert != NULL)
            pkey = X509_get_pubkey(cert);
        X509_free(cert);
    }
    BIO_free(bio);
    ERR_clear_error(); /* whoever uses OpenSSL next must not find our failures */
    return pkey;
}

/* The one algorithm that fits the curve of an EC key. */
static const struct algorithm *algorithm_of_curve(EVP_PKEY *pkey)
{
    char name[64];
    size_t n;

    if (EVP_PKEY_get_group_name(pkey, name, sizeof name, &n) != 1)
        return NULL;
    for (size_t i = 0; i < ARRAY_LEN(algorithms); i++) {
        const struct algorithm *alg = &algorithms[i];

        if (alg->family == FAMILY_EC && (str_eq(str_from(name), str_from(alg->curve)) ||
                                         str_eq(str_from(name), str_from(alg->crv))))
            return alg;
    }
    return NULL;
}

/* Takes pkey. alg: what the key itself says it is for, or NULL. */
static enum err slot_set(struct slot *slot, enum family family, EVP_PKEY *pkey,
                         const struct algorithm *alg)
{
    static const char *const types[] = {
        [FAMILY_RSA] = "RSA", [FAMILY_EC] = "EC", [FAMILY_ED25519] = "ED25519"};
    bool fits = pkey != NULL && EVP_PKEY_is_a(pkey, types[family]) &&
                (alg == NULL || alg->family == family);

    slot_clear(slot);
    if (fits && family == FAMILY_RSA)
        fits = EVP_PKEY_get_bits(pkey) >= RSA_BITS_MIN;
    if (fits && family == FAMILY_EC) {
        const struct algorithm *of_curve = algorithm_of_curve(pkey);

        fits = of_curve != NULL && (alg == NULL || alg == of_curve);
        alg = of_curve;
    }
    ERR_clear_error();
    if (!fits) {
        EVP_PKEY_free(pkey);
        return ERR_CONFIG;
    }
    *slot = (struct slot){pkey, alg};
    return OK;
}

enum err jwt_keys_set_rsa(struct jwt_keys *keys, struct str pem)
{
    return slot_set(&keys->rsa, FAMILY_RSA, read_pem(pem), NULL);
}

enum err jwt_keys_set_ec(struct jwt_keys *keys, struct str pem)
{
    return slot_set(&keys->ec, FAMILY_EC, read_pem(pem), NULL);
}

enum err jwt_keys_set_ed25519(struct jwt_keys *keys, struct str pem)
{
    return slot_set(&keys->ed25519, FAMILY_ED25519, read_pem(pem), NULL);
}

/* ---- JWK ---- */

/* Takes the parameters; NULL when they make no key. */
static EVP_PKEY *build_key(const char *type, OSSL_PARAM_BLD *bld)
{
    OSSL_PARAM *params = OSSL_PARAM_BLD_to_param(bld);
    EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new_from_name(NULL, type, NULL);
    EVP_PKEY *pkey = NULL;

    CHECK(params != NULL && ctx != NULL);
    if (EVP_PKEY_fromdata_init(ctx) != 1 ||
        EVP_PKEY_fromdata(ctx, &pkey, EVP_PKEY_PUBLIC_KEY, params) != 1)
        pkey = NULL;
    EVP_PKEY_CTX_free(ctx);
    OSSL_PARAM_free(params);
    OSSL_PARAM_BLD_free(bld);
    return pkey;
}

static EVP_PKEY *build_rsa(struct str n, struct str e)
{
    OSSL_PARAM_BLD *bld = OSSL_PARAM_BLD_new();
    BIGNUM *modulus = BN_bin2bn((const unsigned char *)n.ptr, (int)n.len, NULL);
    BIGNUM *exponent = BN_bin2bn((const unsigned char *)e.ptr, (int)e.len, NULL);
    EVP_PKEY *pkey;

    CHECK(bld != NULL && modulus != NULL && exponent != NULL);
    CHECK(OSSL_PARAM_BLD_push_BN(bld, OSSL_PKEY_PARAM_RSA_N, modulus) == 1);
    CHECK(OSSL_PARAM_BLD_push_BN(bld, OSSL_PKEY_PARAM_RSA_E, exponent) == 1);
    pkey = build_key("RSA", bld);
    BN_free(modulus);
    BN_free(exponent);
    return pkey;
}

static EVP_PKEY *build_ec(struct str crv, struct str x, struct str y)
{
    unsigned char point[1 + 2 * EC_BYTES_MAX] = {4}; /* uncompressed */
    const struct algorithm *alg = NULL;
    OSSL_PARAM_BLD *bld;

    for (size_t i = 0; i < ARRAY_LEN(algorithms); i++) {
        if (algorithms[i].family == FAMILY_EC && str_eq(crv, str_from(algorithms[i].crv)))
            alg = &algorithms[i];
    }
    if (alg == NULL || x.len != alg->coordinate || y.len != alg->coordinate)
        return NULL;
    memcpy(point + 1, x.ptr, x.len);
    memcpy(point + 1 + x.len, y.ptr, y.len);
    bld = OSSL_PARAM_BLD_new();
    CHECK(bld != NULL);
    CHECK(OSSL_PARAM_BLD_push_utf8_string(bld, OSSL_PKEY_PARAM_GROUP_NAME, alg->curve, 0) == 1);
    CHECK(OSSL_PARAM_BLD_push_octet_string(bld, OSSL_PKEY_PARAM_PUB_KEY, point,
                                           1 + x.len + y.len) == 1);
    return build_key("EC", bld);
}

/* A text member; empty when it is absent. */
static bool jwk_text(struct str jwk, const char *name, struct arena *a, struct str *out)
{
    struct str value;
    enum err err = json_get(jwk, str_from(name), a, &value);

    *out = STR_NONE;
    return err == ERR_NOT_FOUND || (err == OK && json_string(value, a, out) == OK);
}

/* A member of base64url bytes, which has to be there. */
static bool jwk_bytes(struct str jwk, const char *name, struct arena *a, struct str *out)
{
    struct str text;

    return jwk_text(jwk, name, a, &text) && base64_decode(BASE64_URL, text, a, out) == OK &&
           out->len > 0 && out->len <= PEM_BYTES_MAX;
}

static enum err set_jwk(struct jwt_keys *keys, struct str jwk, struct arena *a)
{
    const struct algorithm *alg = NULL;
    struct str kty, crv, name, x, y;
    EVP_PKEY *pkey = NULL;

    if (!json_valid(jwk) || !jwk_text(jwk, "kty", a, &kty) || !jwk_text(jwk, "crv", a, &crv) ||
        !jwk_text(jwk, "alg", a, &name))
        return ERR_CONFIG;
    if (name.len > 0) {
        alg = find_algorithm(name);
        if (alg == NULL)
            return ERR_CONFIG;
    }
    if (str_eq(kty, STR("RSA"))) {
        if (jwk_bytes(jwk, "n", a, &x) && jwk_bytes(jwk, "e", a, &y))
            pkey = build_rsa(x, y);
        return slot_set(&keys->rsa, FAMILY_RSA, pkey, alg);
    }
    if (str_eq(kty, STR("EC"))) {
        if (jwk_bytes(jwk, "x", a, &x) && jwk_bytes(jwk, "y", a, &y))
            pkey = build_ec(crv, x, y);
        return slot_set(&keys->ec, FAMILY_EC, pkey, alg);
    }
    if (str_eq(kty, STR("OKP")) && str_eq(crv, STR("Ed25519"))) {
        if (jwk_bytes(jwk, "x", a, &x))
            pkey = EVP_PKEY_new_raw_public_key(EVP_PKEY_ED25519, NULL, (const unsigned char *)x.ptr,
                                               x.len);
        return slot_set(&keys->ed25519, FAMILY_ED25519, pkey, alg);
    }
    return ERR_CONFIG;
}

enum err jwt_keys_set_jwk(struct jwt_keys *keys, struct str jwk)
{
    struct arena a = ARENA_INIT;
    enum err err = set_jwk(keys, jwk, &a);

    arena_deinit(&a);
    return err;
}

/* ---- verification ---- */

static bool verify_digest(EVP_PKEY *pkey, const EVP_MD *md, struct str text,
                          const unsigned char *signature, size_t n)
{
    EVP_MD_CTX *ctx = EVP_MD_CTX_new();
    bool good;

    CHECK(ctx != NULL);
    good = EVP_DigestVerifyInit(ctx, NULL, md, NULL, pkey) == 1 &&
           EVP_DigestVerify(ctx, signature, n, (const unsigned char *)text.ptr, text.len) == 1;
    EVP_MD_CTX_free(ctx);
    ERR_clear_error();
    return good;
}

/* A token has r and s side by side, each as long as the curve's coordinates; OpenSSL wants DER. */
static bool verify_ec(const struct slot *slot, const struct jwt_token *token)
{
    size_t n = slot->only->coordinate;
    const unsigned char *raw = (const unsigned char *)token->signature.ptr;
    unsigned char *der = NULL;
    ECDSA_SIG *sig;
    BIGNUM *r, *s;
    int len;
    bool good;

    if (token->signature.len != 2 * n)
        return false;
    sig = ECDSA_SIG_new();
    r = BN_bin2bn(raw, (int)n, NULL);
    s = BN_bin2bn(raw + n, (int)n, NULL);
    CHECK(sig != NULL && r != NULL && s != NULL && ECDSA_SIG_set0(sig, r, s) == 1);
    len = i2d_ECDSA_SIG(sig, &der);
    ECDSA_SIG_free(sig);
    if (len <= 0)
        return false;
    good =
        verify_digest(slot->pkey, md_of(slot->only->digest), token->signed_part, der, (size_t)len);
    OPENSSL_free(der);
    return good;
}

static bool slot_takes(const struct slot *slot, const struct algorithm *alg)
{
    return slot->pkey != NULL && (slot->only == NULL || slot->only == alg);
}

bool jwt_keys_verify(const struct jwt_keys *keys, const struct jwt_token *token, int64_t now_s)
{
    const struct algorithm *alg = find_algorithm(token->alg);
    const unsigned char *signature = (const unsigned char *)token->signature.ptr;
    bool previous_valid;

    if (alg == NULL || token->signature.len == 0)
        return false;
    switch (alg->family) {
    case FAMILY_HMAC:
        previous_valid = keys->previous_valid_until == 0 || now_s <= keys->previous_valid_until;
        return hmac_verify(&keys->hmac[alg->digest], token) ||
               (previous_valid && hmac_verify(&keys->previous[alg->digest], token));
    case FAMILY_RSA:
        return slot_takes(&keys->rsa, alg) &&
               verify_digest(keys->rsa.pkey, md_of(alg->digest), token->signed_part, signature,
                             token->signature.len);
    case FAMILY_EC:
        return slot_takes(&keys->ec, alg) && verify_ec(&keys->ec, token);
    case FAMILY_ED25519:
        return slot_takes(&keys->ed25519, alg) &&
               verify_digest(keys->ed25519.pkey, NULL, token->signed_part, signature,
                             token->signature.len);
    }
    return false;
}
