/* Tokens: compact JWS with the claims this server knows. Nothing of a token is believed before its
 * signature is; the key decides which algorithms may be used with it, never the token. Secrets and
 * tokens are never logged here or put into a message.
 *
 * struct jwt_keys is set up by one thread and then only read, by any number of threads. */
#pragma once

#include "base/arena.h"
#include "base/err.h"
#include "base/str.h"

/* ---- keys ---- */

struct jwt_keys;

struct jwt_keys *jwt_keys_new(void); /* knows no key: refuses every token */
void jwt_keys_free(struct jwt_keys *keys);

/* Each slot serves its own family of algorithms; setting one again replaces it. ERR_CONFIG: the
 * key is empty, unreadable, or of another family; the slot is left empty. */
enum err jwt_keys_set_hmac(struct jwt_keys *keys, struct str secret) NODISCARD;
/* Tried when the main secret does not fit, up to valid_until (Unix seconds; 0: for ever). */
enum err jwt_keys_set_hmac_previous(struct jwt_keys *keys, struct str secret,
                                    int64_t valid_until) NODISCARD;
/* A PEM text: a public key (SPKI) or a certificate. */
enum err jwt_keys_set_rsa(struct jwt_keys *keys, struct str pem) NODISCARD;
enum err jwt_keys_set_ec(struct jwt_keys *keys, struct str pem) NODISCARD; /* P-256, 384 or 521 */
enum err jwt_keys_set_ed25519(struct jwt_keys *keys, struct str pem) NODISCARD;
/* One JWK object, into the slot of its family (RSA, EC, OKP/Ed25519). Its "alg", if any, becomes
 * the only algorithm of that slot. Symmetric keys ("oct") are refused. */
enum err jwt_keys_set_jwk(struct jwt_keys *keys, struct str jwk) NODISCARD;

/* ---- a token taken apart, nothing believed yet ---- */

struct jwt_token {
    struct str alg, kid;    /* from the header; kid may be empty */
    struct str signed_part; /* what the signature covers */
    struct str signature;   /* decoded */
    struct str payload;     /* decoded: one valid JSON object */
};

/* For looking up a key by kid or issuer. ERR_DENIED: not a compact JWS of two JSON objects. */
enum err jwt_parse(struct str token, struct arena *a, struct jwt_token *out) NODISCARD;

/* ---- verification ---- */

struct jwt_strs {
    const struct str *ptr;
    size_t count;
};

/* Texts are empty, and JSON slices have length 0, when the claim is absent or null. */
struct jwt_claims {
    struct str sub, user; /* user: sub, or the claim that user_id_claim names, as text */
    struct str iss, jti;
    struct jwt_strs aud; /* a single string counts as a list of one */
    bool has_exp, has_nbf, has_iat, has_expire_at;
    int64_t exp, nbf, iat, expire_at; /* Unix seconds, clamped to what fits */
    struct str info, data;            /* JSON, or the decoded b64info, b64data, which win */
    struct jwt_strs channels;
    struct str subs;            /* raw: object of channel → subscribe options */
    struct str meta, caps;      /* raw: any JSON */
    struct str override;        /* raw: object */
    struct str channel, client; /* of subscription tokens */
    struct str payload;         /* the whole claims object, for claims not listed here */
};

enum jwt_kind {
    JWT_ANY,     /* the channel claim is not looked at */
    JWT_FOREIGN, /* nor any but iss, aud, exp, nbf: the others may be anything, and stay unread */
    JWT_CONNECTION,   /* must not have a channel */
    JWT_SUBSCRIPTION, /* must have one */
};

struct jwt_options {
    enum jwt_kind kind;
    struct str issuer, audience; /* exact; empty: not checked */
    struct str user_id_claim;    /* empty: sub */
    bool skip_signature;         /* every other check stays */
};

/* now_s is Unix time. ERR_DENIED: not authentic, not well-formed or not for us. ERR_EXPIRED: all
 * of that is fine, but now_s >= exp or now_s < nbf; out is filled in then as well. */
enum err jwt_verify(const struct jwt_keys *keys, const struct jwt_options *options,
                    struct str token, int64_t now_s, struct arena *a,
                    struct jwt_claims *out) NODISCARD;

/* When what the token gives ends: expire_at (<= 0: never), else exp, at most 365 days ahead of
 * now_s; 0 means never. */
int64_t jwt_expiry(const struct jwt_claims *claims, int64_t now_s);

/* ---- making tokens ---- */

/* Adds a token over payload, a JSON object. alg: HS256, HS384 or HS512; kid may be empty, and is
 * valid UTF-8. ERR_CONFIG: another alg, or an empty secret. ERR_LIMIT: out is full. After an error
 * out has a part of a token at its end. */
enum err jwt_sign(struct buf *out, struct str alg, struct str kid, struct str secret,
                  struct str payload) NODISCARD;
