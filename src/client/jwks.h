/* Public keys that others publish as JSON Web Key Sets: fetched when a token names a key that is
 * not known, kept for an hour, at most one fetch per URL at a time and per three seconds. One per
 * worker; knows nothing of clients. Worker thread.
 *
 * Keys belong to the URL they came from, so two issuers may use the same kid. Only signature keys
 * count ("use": "sig", as in the reference); the family of a key decides what it may verify, and
 * symmetric keys are refused (codec/jwt.h). */
#pragma once

#include "base/err.h"
#include "codec/jwt.h"
#include "core/core.h"

struct jwks;

struct jwks *jwks_new(struct core *core);
/* No more fetches; whoever waits is woken. */
void jwks_stop(struct jwks *j);
void jwks_free(struct jwks *j); /* after jwks_stop, or never used */

typedef void jwks_ready_fn(void *arg);

/* True: jwks_find has its answer now. False: fn is called once, later, and then it has. option
 * names the setting in logs; static text. */
bool jwks_ready(struct jwks *j, struct str url, struct str kid, const char *option,
                jwks_ready_fn *fn, void *arg);
/* OK: the keys of that kid, valid until the turn's end. ERR_NOT_FOUND: the set has no such key.
 * ERR_BUSY: the set cannot be had at present. */
enum err jwks_find(struct jwks *j, struct str url, struct str kid,
                   const struct jwt_keys **out) NODISCARD;
