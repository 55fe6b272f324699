/* The signature half of jwt.h: keys in slots, one per family of algorithms. Only jwt.c asks. */
#pragma once

#include "codec/jwt.h"

/* Is the signature that of a key which may be used with the token's algorithm? */
bool jwt_keys_verify(const struct jwt_keys *keys, const struct jwt_token *token, int64_t now_s);

#define JWT_HS256_BYTES 32
/* HMAC-SHA256. False: empty secret. */
bool jwt_hs256(struct str secret, struct str text, unsigned char out[JWT_HS256_BYTES]) NODISCARD;
