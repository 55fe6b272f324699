#include "codec/jwt.h"

#include "codec/base64.h"
#include "codec/json.h"
#include "codec/jwt_keys.h"

#include <math.h>

#define EXPIRY_MAX_S (365 * 24 * 3600) /* further ahead is cut to this */

/* ---- taking apart ---- */

/* The part before the next dot. */
static bool cut_part(struct str *rest, struct str *part)
{
    ptrdiff_t dot = str_find(*rest, '.');

    if (dot < 0)
        return false;
    *part = str_of(rest->ptr, (size_t)dot);
    *rest = str_cut(*rest, (size_t)dot + 1);
    return true;
}

static bool decode_object(struct str part, struct arena *a, struct str *out)
{
    return base64_decode(BASE64_URL, part, a, out) == OK && json_type(*out) == JSON_OBJECT &&
           json_valid(*out);
}

static enum err read_header(struct str header, struct arena *a, struct jwt_token *out)
{
    struct json_iter it = json_iter(header);
    struct str key, value;

    while (json_object_next(&it, a, &key, &value) == OK) {
        bool alg = str_eq(key, STR("alg")), kid = str_eq(key, STR("kid"));

        if ((alg || kid) && json_string(value, a, alg ? &out->alg : &out->kid) != OK)
            return ERR_DENIED;
    }
    return out->alg.len > 0 ? OK : ERR_DENIED;
}

enum err jwt_parse(struct str token, struct arena *a, struct jwt_token *out)
{
    struct str rest = token, header, payload;

    *out = (struct jwt_token){.kid = STR_NONE};
    if (!cut_part(&rest, &header) || !cut_part(&rest, &payload) || str_find(rest, '.') >= 0)
        return ERR_DENIED;
    out->signed_part = str_of(token.ptr, header.len + 1 + payload.len);
    if (!decode_object(header, a, &header) || !decode_object(payload, a, &out->payload) ||
        base64_decode(BASE64_URL, rest, a, &out->signature) != OK)
        return ERR_DENIED;
    return read_header(header, a, out);
}

/* ---- claims ---- */

/* What the claims say before base64 is undone. */
struct reader {
    struct jwt_claims claims;
    struct str b64info, b64data;
};

enum claim_type {
    CLAIM_TEXT,
    CLAIM_TEXTS,        /* array of strings */
    CLAIM_TEXT_OR_MANY, /* or just one string */
    CLAIM_RAW,          /* any JSON */
    CLAIM_OBJECT,
    CLAIM_EXP,
    CLAIM_NBF,
    CLAIM_IAT,
    CLAIM_EXPIRE_AT,
};

static const struct claim {
    const char *name;
    enum claim_type type;
    size_t offset; /* in struct reader; times have their own fields */
} known_claims[] = {
    /* those that a foreign token is held to */
    {"iss", CLAIM_TEXT, offsetof(struct reader, claims.iss)},
    {"aud", CLAIM_TEXT_OR_MANY, offsetof(struct reader, claims.aud)},
    {"exp", CLAIM_EXP, 0},
    {"nbf", CLAIM_NBF, 0},
    /* and those of our own */
    {"sub", CLAIM_TEXT, offsetof(struct reader, claims.sub)},
    {"jti", CLAIM_TEXT, offsetof(struct reader, claims.jti)},
    {"iat", CLAIM_IAT, 0},
    {"expire_at", CLAIM_EXPIRE_AT, 0},
    {"info", CLAIM_RAW, offsetof(struct reader, claims.info)},
    {"data", CLAIM_RAW, offsetof(struct reader, claims.data)},
    {"b64info", CLAIM_TEXT, offsetof(struct reader, b64info)},
    {"b64data", CLAIM_TEXT, offsetof(struct reader, b64data)},
    {"channels", CLAIM_TEXTS, offsetof(struct reader, claims.channels)},
    {"subs", CLAIM_OBJECT, offsetof(struct reader, claims.subs)},
    {"meta", CLAIM_RAW, offsetof(struct reader, claims.meta)},
    {"caps", CLAIM_RAW, offsetof(struct reader, claims.caps)},
    {"override", CLAIM_OBJECT, offsetof(struct reader, claims.override)},
    {"channel", CLAIM_TEXT, offsetof(struct reader, claims.channel)},
    {"client", CLAIM_TEXT, offsetof(struct reader, claims.client)},
};

#define FOREIGN_CLAIMS 4 /* the first ones */

/* A NumericDate in whole seconds. Fractions go to the side on which the token is valid for less
 * time: up for nbf, down for the others. */
static enum err read_time(struct str value, bool up, bool *has, int64_t *out)
{
    double number;
    enum err err;

    *has = true;
    if (json_i64(value, INT64_MIN, INT64_MAX, out) == OK)
        return OK;
    err = json_double(value, &number);
    if (err != OK && err != ERR_LIMIT)
        return ERR_DENIED;
    number = up ? ceil(number) : floor(number);
    if (number >= 0x1p63)
        *out = INT64_MAX;
    else if (number < -0x1p63)
        *out = INT64_MIN;
    else
        *out = (int64_t)number;
    return OK;
}

static enum err read_texts(struct str value, struct arena *a, struct jwt_strs *out)
{
    struct json_iter it = json_iter(value);
    struct str item, *texts;
    size_t count = 0;
    enum err err;

    while ((err = json_array_next(&it, &item)) == OK)
        count++;
    if (err != ERR_NOT_FOUND)
        return ERR_DENIED;
    texts = arena_alloc(a, MAX(count, 1) * sizeof *texts);
    *out = (struct jwt_strs){texts, count};
    it = json_iter(value);
    while (json_array_next(&it, &item) == OK) {
        if (json_string(item, a, texts++) != OK)
            return ERR_DENIED;
    }
    return OK;
}

static enum err read_text_or_many(struct str value, struct arena *a, struct jwt_strs *out)
{
    struct str *text;

    if (json_type(value) != JSON_STRING)
        return read_texts(value, a, out);
    text = arena_alloc(a, sizeof *text);
    *out = (struct jwt_strs){text, 1};
    return json_string(value, a, text) == OK ? OK : ERR_DENIED;
}

static enum err read_claim(const struct claim *claim, struct str value, struct arena *a,
                           struct reader *r)
{
    void *member = (char *)r + claim->offset;
    struct jwt_claims *c = &r->claims;

    switch (claim->type) {
    case CLAIM_TEXT:
        return json_string(value, a, member) == OK ? OK : ERR_DENIED;
    case CLAIM_TEXTS:
        return read_texts(value, a, member);
    case CLAIM_TEXT_OR_MANY:
        return read_text_or_many(value, a, member);
    case CLAIM_OBJECT:
        if (json_type(value) != JSON_OBJECT)
            return ERR_DENIED;
        *(struct str *)member = value;
        return OK;
    case CLAIM_RAW:
        *(struct str *)member = value;
        return OK;
    case CLAIM_EXP:
        return read_time(value, false, &c->has_exp, &c->exp);
    case CLAIM_NBF:
        return read_time(value, true, &c->has_nbf, &c->nbf);
    case CLAIM_IAT:
        return read_time(value, false, &c->has_iat, &c->iat);
    case CLAIM_EXPIRE_AT:
        return read_time(value, false, &c->has_expire_at, &c->expire_at);
    }
    return ERR_DENIED;
}

/* A claim given twice counts as it stands the last time; null is as good as absent. */
static enum err read_claims(struct str payload, enum jwt_kind kind, struct arena *a,
                            struct reader *r)
{
    size_t count = kind == JWT_FOREIGN ? FOREIGN_CLAIMS : ARRAY_LEN(known_claims);
    struct json_iter it = json_iter(payload);
    struct str key, value;
    enum err err = OK;

    r->claims.payload = payload;
    while (err == OK && json_object_next(&it, a, &key, &value) == OK) {
        for (size_t i = 0; i < count && err == OK; i++) {
            if (str_eq(key, str_from(known_claims[i].name)) && !json_is_null(value))
                err = read_claim(&known_claims[i], value, a, r);
        }
    }
    return err;
}

/* A text as it is, any other value as its JSON: 42 becomes "42". */
static enum err read_user(struct jwt_claims *claims, struct str claim_name, struct arena *a)
{
    struct str value;

    claims->user = claims->sub;
    if (claim_name.len == 0)
        return OK;
    claims->user = STR_NONE;
    if (json_get(claims->payload, claim_name, a, &value) != OK || json_is_null(value))
        return OK;
    claims->user = value;
    if (json_type(value) != JSON_STRING)
        return OK;
    return json_string(value, a, &claims->user) == OK ? OK : ERR_DENIED;
}

static enum err undo_base64(struct reader *r, struct arena *a)
{
    if (r->b64info.len > 0 && base64_decode(BASE64_STD, r->b64info, a, &r->claims.info) != OK)
        return ERR_DENIED;
    if (r->b64data.len > 0 && base64_decode(BASE64_STD, r->b64data, a, &r->claims.data) != OK)
        return ERR_DENIED;
    return OK;
}

/* ---- verification ---- */

static bool has_audience(const struct jwt_claims *claims, struct str audience)
{
    for (size_t i = 0; i < claims->aud.count; i++) {
        if (str_eq(claims->aud.ptr[i], audience))
            return true;
    }
    return false;
}

static bool is_for_us(const struct jwt_claims *claims, const struct jwt_options *options)
{
    if (options->audience.len > 0 && !has_audience(claims, options->audience))
        return false;
    if (options->issuer.len > 0 && !str_eq(claims->iss, options->issuer))
        return false;
    return options->kind != JWT_CONNECTION || claims->channel.len == 0;
}

enum err jwt_verify(const struct jwt_keys *keys, const struct jwt_options *options,
                    struct str token, int64_t now_s, struct arena *a, struct jwt_claims *out)
{
    struct reader r = {.b64info = STR_NONE};
    struct jwt_token parts;
    enum err err = jwt_parse(token, a, &parts);

    *out = (struct jwt_claims){.sub = STR_NONE};
    if (err != OK)
        return err;
    if (str_eq_nocase(parts.alg, STR("none")))
        return ERR_DENIED;
    if (!options->skip_signature && !jwt_keys_verify(keys, &parts, now_s))
        return ERR_DENIED;
    err = read_claims(parts.payload, options->kind, a, &r);
    if (err == OK)
        err = read_user(&r.claims, options->user_id_claim, a);
    if (err != OK || !is_for_us(&r.claims, options))
        return ERR_DENIED;
    if ((r.claims.has_exp && now_s >= r.claims.exp) || (r.claims.has_nbf && now_s < r.claims.nbf)) {
        *out = r.claims;
        return ERR_EXPIRED;
    }
    if (options->kind == JWT_SUBSCRIPTION && r.claims.channel.len == 0)
        return ERR_DENIED;
    err = undo_base64(&r, a);
    if (err == OK)
        *out = r.claims;
    return err;
}

int64_t jwt_expiry(const struct jwt_claims *claims, int64_t now_s)
{
    if (claims->has_expire_at && claims->expire_at <= 0)
        return 0;
    if (claims->has_expire_at)
        return MIN(claims->expire_at, now_s + EXPIRY_MAX_S);
    if (claims->has_exp)
        return MIN(MAX(claims->exp, 1), now_s + EXPIRY_MAX_S);
    return 0;
}

/* ---- making ---- */

enum err jwt_sign(struct buf *out, struct str alg, struct str kid, struct str secret,
                  struct str payload)
{
    unsigned char mac[JWT_MAC_MAX];
    struct buf header = BUF_INIT(out->max);
    size_t from = out->len, n;

    buf_add_lit(&header, "{\"alg\":");
    json_add_string(&header, alg);
    if (kid.len > 0) {
        buf_add_lit(&header, ",\"kid\":");
        json_add_string(&header, kid);
    }
    buf_add_lit(&header, ",\"typ\":\"JWT\"}");
    base64_add(BASE64_URL, out, buf_str(&header));
    out->overflow |= header.overflow;
    buf_deinit(&header);
    buf_add_char(out, '.');
    base64_add(BASE64_URL, out, payload);
    n = jwt_hmac(alg, secret, str_cut(buf_str(out), from), mac);
    if (n == 0)
        return ERR_CONFIG;
    buf_add_char(out, '.');
    base64_add(BASE64_URL, out, str_of((const char *)mac, n));
    return out->overflow ? ERR_LIMIT : OK;
}
