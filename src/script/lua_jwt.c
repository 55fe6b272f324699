#include "script/lua_jwt.h"

#include "base/clock.h"
#include "base/utf8.h"
#include "codec/jwt.h"
#include "script/lua_json.h"

#include <lauxlib.h>
#include <math.h>
#include <string.h>

#define TOKEN_MAX (1 << 20)
#define KEYS_KEPT 32 /* sets of keys that need not be read again; then all are forgotten */

/* What a call needs: a userdata's, so that an error leaks nothing. */
struct scratch {
    struct arena arena;
    struct buf claims, token;
    unsigned keys_kept;
};

/* Upvalues of both functions. KEYS maps what was given to a userdata of struct jwt_keys. */
enum { UP_SCRATCH = 1, UP_KEYS, UP_KEYS_METATABLE };

static struct scratch *scratch_of(lua_State *L)
{
    struct scratch *s = lua_touserdata(L, lua_upvalueindex(UP_SCRATCH));

    arena_reset(&s->arena);
    buf_clear(&s->claims);
    buf_clear(&s->token);
    return s;
}

static int scratch_gc(lua_State *L)
{
    struct scratch *s = lua_touserdata(L, 1);

    arena_deinit(&s->arena);
    buf_deinit(&s->claims);
    buf_deinit(&s->token);
    return 0;
}

static int keys_gc(lua_State *L)
{
    jwt_keys_free(*(struct jwt_keys **)lua_touserdata(L, 1));
    return 0;
}

/* --- arguments -------------------------------------------------------------------------------- */

static struct str string_at(lua_State *L, int idx)
{
    struct str s;

    s.ptr = lua_tolstring(L, idx, &s.len);
    return s;
}

/* A table with known names only. */
static void check_names(lua_State *L, int arg, const char *const *names)
{
    luaL_checktype(L, arg, LUA_TTABLE);
    for (lua_pushnil(L); lua_next(L, arg); lua_pop(L, 1)) {
        const char *const *name = names;

        while (*name && (lua_type(L, -2) != LUA_TSTRING || strcmp(lua_tostring(L, -2), *name) != 0))
            name++;
        if (!*name)
            luaL_argerror(L, arg,
                          lua_pushfstring(L, "unknown field %s", luaL_tolstring(L, -2, NULL)));
    }
}

/* A string of the table at arg, which keeps it; empty when it is absent. */
static struct str string_field(lua_State *L, int arg, const char *name)
{
    struct str s = STR_NONE;
    int type = lua_getfield(L, arg, name);

    if (type != LUA_TNIL && type != LUA_TSTRING)
        luaL_argerror(L, arg, lua_pushfstring(L, "%s must be a string", name));
    if (type == LUA_TSTRING)
        s = string_at(L, -1);
    if (type == LUA_TSTRING && s.len == 0)
        luaL_argerror(L, arg, lua_pushfstring(L, "%s is empty", name));
    lua_pop(L, 1);
    return s;
}

/* With a public key as secret, everybody who knows it could sign. */
static void check_secret(lua_State *L, int arg, struct str secret, const char *if_pem)
{
    if (secret.len == 0)
        luaL_argerror(L, arg, "the key is empty");
    if (memmem(secret.ptr, secret.len, "-----BEGIN", 10))
        luaL_argerror(L, arg, if_pem);
}

/* --- keys ------------------------------------------------------------------------------------- */

static enum err set_hmac(struct jwt_keys *keys, struct str secret)
{
    return jwt_keys_set_hmac(keys, secret);
}

static const struct {
    const char *name;
    enum err (*set)(struct jwt_keys *keys, struct str text);
} families[] = {
    {"hmac", set_hmac},
    {"rsa", jwt_keys_set_rsa},
    {"ecdsa", jwt_keys_set_ec},
    {"ed25519", jwt_keys_set_ed25519},
};

static const char use_family[] = "this is PEM text: { rsa = … }, { ecdsa = … } or { ed25519 = … }";

/* Pushes a text that stands for the keys given at arg: a string is an HMAC secret. */
static void push_keys_name(lua_State *L, int arg, struct str texts[ARRAY_LEN(families)])
{
    static const char *const names[] = {"hmac", "rsa", "ecdsa", "ed25519", NULL};
    size_t given = 0;
    luaL_Buffer b;

    memset(texts, 0, ARRAY_LEN(families) * sizeof *texts);
    if (lua_type(L, arg) == LUA_TSTRING) {
        texts[0] = string_at(L, arg);
        check_secret(L, arg, texts[0], use_family);
    } else {
        check_names(L, arg, names);
        for (size_t i = 0; i < ARRAY_LEN(families); i++)
            texts[i] = string_field(L, arg, families[i].name);
        if (texts[0].len > 0)
            check_secret(L, arg, texts[0], use_family);
    }
    luaL_buffinit(L, &b);
    for (size_t i = 0; i < ARRAY_LEN(families); i++) {
        given += texts[i].len;
        luaL_addlstring(&b, (const char *)&texts[i].len, sizeof texts[i].len);
        luaL_addlstring(&b, texts[i].ptr ? texts[i].ptr : "", texts[i].len);
    }
    luaL_pushresult(&b);
    luaL_argcheck(L, given > 0, arg, "there is no key in it");
}

static void keep_keys(lua_State *L, struct scratch *s)
{
    if (s->keys_kept++ == KEYS_KEPT) {
        s->keys_kept = 1;
        lua_newtable(L);
        lua_replace(L, lua_upvalueindex(UP_KEYS));
    }
    lua_pushvalue(L, -2);
    lua_pushvalue(L, -2);
    lua_rawset(L, lua_upvalueindex(UP_KEYS));
}

/* The keys given at arg, read once. They stay on the stack. */
static const struct jwt_keys *keys_arg(lua_State *L, int arg, struct scratch *s)
{
    struct str texts[ARRAY_LEN(families)];
    struct jwt_keys **keys;

    push_keys_name(L, arg, texts);
    lua_pushvalue(L, -1);
    if (lua_rawget(L, lua_upvalueindex(UP_KEYS)) == LUA_TUSERDATA)
        return *(struct jwt_keys **)lua_touserdata(L, -1);
    lua_pop(L, 1);
    keys = lua_newuserdatauv(L, sizeof *keys, 0);
    *keys = NULL;
    lua_pushvalue(L, lua_upvalueindex(UP_KEYS_METATABLE));
    lua_setmetatable(L, -2);
    *keys = jwt_keys_new();
    for (size_t i = 0; i < ARRAY_LEN(families); i++) {
        if (texts[i].len > 0 && families[i].set(*keys, texts[i]) != OK)
            luaL_argerror(L, arg,
                          lua_pushfstring(L, "the %s key is not PEM text of such a public key",
                                          families[i].name));
    }
    keep_keys(L, s);
    return *keys;
}

/* --- functions -------------------------------------------------------------------------------- */

/* sign(claims, key[, { alg =, kid = }]) → token */
static int jwt_sign_claims(lua_State *L)
{
    static const char *const names[] = {"alg", "kid", NULL};
    struct scratch *s = scratch_of(L);
    struct str alg = STR("HS256"), kid = STR_NONE, key;
    const char *why;

    luaL_checktype(L, 1, LUA_TTABLE);
    luaL_checktype(L, 2, LUA_TSTRING);
    key = string_at(L, 2);
    check_secret(L, 2, key,
                 "this is PEM text; tokens are signed with a secret (HS256, HS384, HS512)");
    if (!lua_isnoneornil(L, 3)) {
        struct str named;

        check_names(L, 3, names);
        named = string_field(L, 3, "alg");
        kid = string_field(L, 3, "kid");
        if (named.len > 0)
            alg = named;
    }
    luaL_argcheck(L, utf8_valid(kid), 3, "kid is not UTF-8");
    if (lua_json_encode(L, 1, &s->claims, &why) != OK)
        luaL_argerror(L, 1, why);
    luaL_argcheck(L, s->claims.len > 0 && s->claims.ptr[0] == '{', 1, "claims are a table by name");
    switch (jwt_sign(&s->token, alg, kid, key, buf_str(&s->claims))) {
    case OK:
        break;
    case ERR_LIMIT:
        return luaL_error(L, "the token is longer than %d bytes", TOKEN_MAX);
    default:
        return luaL_argerror(L, 3, "alg is HS256, HS384 or HS512");
    }
    lua_pushlstring(L, s->token.ptr, s->token.len);
    return 1;
}

static int64_t now_field(lua_State *L, int arg)
{
    int64_t now_s = clock_wall_ms() / 1000;
    int type = lua_getfield(L, arg, "now");

    if (type != LUA_TNIL) {
        lua_Number given = lua_tonumber(L, -1);

        luaL_argcheck(L, type == LUA_TNUMBER && fabs(given) < 1e15, arg, "now is a Unix time");
        now_s = (int64_t)floor(given);
    }
    lua_pop(L, 1);
    return now_s;
}

static int refuse(lua_State *L, const char *why)
{
    lua_pushnil(L);
    lua_pushstring(L, why);
    return 2;
}

/* verify(token, key or keys[, { audience =, issuer =, now = }]) → claims, or nil and a message */
static int jwt_verify_token(lua_State *L)
{
    static const char *const names[] = {"audience", "issuer", "now", NULL};
    struct scratch *s = scratch_of(L);
    struct jwt_options options = {.kind = JWT_FOREIGN};
    int64_t now_s = clock_wall_ms() / 1000;
    const struct jwt_keys *keys;
    struct jwt_claims claims;
    struct str token;
    enum err err;

    luaL_checkany(L, 1);
    token = lua_type(L, 1) == LUA_TSTRING ? string_at(L, 1) : STR_NONE; /* it comes from outside */
    if (!lua_isnoneornil(L, 3)) {
        check_names(L, 3, names);
        options.audience = string_field(L, 3, "audience");
        options.issuer = string_field(L, 3, "issuer");
        now_s = now_field(L, 3);
    }
    keys = keys_arg(L, 2, s);
    err = token.len > TOKEN_MAX ? ERR_DENIED
                                : jwt_verify(keys, &options, token, now_s, &s->arena, &claims);
    if (err == ERR_EXPIRED)
        return refuse(L, claims.has_exp && now_s >= claims.exp ? "the token has expired"
                                                               : "the token is not valid yet");
    if (err != OK || lua_json_push(L, claims.payload) != OK)
        return refuse(L, "the token is not valid");
    return 1;
}

void lua_jwt_open(lua_State *L)
{
    static const luaL_Reg functions[] = {
        {"sign", jwt_sign_claims}, {"verify", jwt_verify_token}, {NULL, NULL}};
    struct scratch *s;

    luaL_newlibtable(L, functions);
    s = lua_newuserdatauv(L, sizeof *s, 0);
    *s = (struct scratch){
        .arena = ARENA_INIT, .claims = BUF_INIT(TOKEN_MAX), .token = BUF_INIT(TOKEN_MAX)};
    lua_createtable(L, 0, 1);
    lua_pushcfunction(L, scratch_gc);
    lua_setfield(L, -2, "__gc");
    lua_setmetatable(L, -2);
    lua_newtable(L);
    lua_createtable(L, 0, 1);
    lua_pushcfunction(L, keys_gc);
    lua_setfield(L, -2, "__gc");
    luaL_setfuncs(L, functions, 3);
}
