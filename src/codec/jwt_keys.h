/* The signature half of jwt.h: keys in slots, one per family of algorithms. Only jwt.c asks. */
#pragma once

#include "codec/jwt.h"

/* Is the signature that of a key which may be used with the token's algorithm? */
bool jwt_keys_verify(const struct jwt_keys *keys, const struct jwt_token *token, int64_t now_s);

#define JWT_MAC_MAX 64
/* The bytes that HS256, HS384 or HS512 wrote to out. 0: another alg, or an empty secret. */
size_t jwt_hmac(struct str alg, struct str secret, struct str text, unsigned char out[JWT_MAC_MAX]);
