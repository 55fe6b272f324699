/* Tokens that count no more, although their signature does: single ones by their id (jti), and all
 * of a user that were issued before a time. Every worker has the whole table; orders to change it
 * go to all of them (core/control.h). It lives in memory: a restart forgets it. Worker thread. */
#pragma once

#include "base/err.h"
#include "base/str.h"

/* Entries of one worker's table, each some hundred bytes. */
#define REVOCATIONS_MAX 100000

struct revocations;

struct revocations *revocations_new(void);
void revocations_free(struct revocations *r);

/* Unix seconds; expire_at 0: as long as the process runs. Adding again replaces: the later expiry
 * and the later issued_before count. ERR_LIMIT: the table is full of what has not expired. */
enum err revocation_add_token(struct revocations *r, struct str uid, int64_t expire_at,
                              int64_t now_s) NODISCARD;
/* channel empty: all tokens of the user; otherwise only subscription tokens for that channel. */
enum err revocation_add_user(struct revocations *r, struct str user, struct str channel,
                             int64_t issued_before, int64_t expire_at, int64_t now_s) NODISCARD;
/* Could another entry be added? */
bool revocations_has_room(struct revocations *r, int64_t now_s);

/* What a token says about itself. channel: of a subscription token, else empty. */
struct revocation_token {
    struct str uid, user, channel;
    bool has_issued;
    int64_t issued_at;
};
/* A token without a time of issue cannot be shown to be newer, so it counts as older. */
bool revocation_has(const struct revocations *r, const struct revocation_token *t, int64_t now_s);
size_t revocations_count(const struct revocations *r);
