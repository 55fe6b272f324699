#include "script/module.h"

#include "base/clock.h"
#include "base/log.h"
#include "base/random.h"
#include "codec/base64.h"
#include "script/answer.h"
#include "script/lua_json.h"
#include "script/lua_jwt.h"

#include <lauxlib.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <stdlib.h>

#define LOG_FIELDS_MAX 16

static struct str string_arg(lua_State *L, int arg)
{
    struct str s;

    s.ptr = luaL_checklstring(L, arg, &s.len);
    return s;
}

/* --- log -------------------------------------------------------------------------------------- */

/* Two members of one name would let a field pass for the line's own. */
static bool is_taken(const char *key)
{
    return strcmp(key, "level") == 0 || strcmp(key, "time") == 0 || strcmp(key, "message") == 0;
}

/* fields are a table of names and strings, numbers or booleans. Their texts stay on the stack
 * until the line is written. */
static size_t log_fields(lua_State *L, int table, struct log_field *out)
{
    size_t n = 0;

    luaL_checktype(L, table, LUA_TTABLE);
    luaL_checkstack(L, 5 * LOG_FIELDS_MAX, NULL);
    lua_pushnil(L);
    while (lua_next(L, table)) {
        struct log_field *field = &out[n];

        if (lua_type(L, -2) != LUA_TSTRING)
            luaL_error(L, "the names of log fields are strings");
        if (n++ == LOG_FIELDS_MAX)
            luaL_error(L, "more than %d log fields", LOG_FIELDS_MAX);
        *field = (struct log_field){.key = lua_tostring(L, -2)};
        if (is_taken(field->key)) {
            field->key = lua_pushfstring(L, "field_%s", field->key);
            lua_insert(L, -3); /* below name and value */
        }
        if (lua_isinteger(L, -1)) {
            field->is_number = true;
            field->number = lua_tointeger(L, -1);
        } else {
            field->text.ptr = luaL_tolstring(L, -1, &field->text.len);
            lua_remove(L, -2);
        }
        lua_pushvalue(L, -2); /* key and text stay below it */
    }
    return n;
}

static int log_line(lua_State *L)
{
    enum log_level level = (enum log_level)lua_tointeger(L, lua_upvalueindex(1));
    struct str text = string_arg(L, 1);
    struct log_field fields[LOG_FIELDS_MAX + 1];
    size_t n = 0;

    if (!log_enabled(level))
        return 0;
    if (!lua_isnoneornil(L, 2))
        n = log_fields(L, 2, fields);
    log_write(level, text, fields, n);
    return 0;
}

static void open_log(lua_State *L)
{
    static const struct {
        const char *name;
        enum log_level level;
    } levels[] = {
        {"debug", LOG_DEBUG}, {"info", LOG_INFO}, {"warn", LOG_WARN}, {"error", LOG_ERROR}};

    lua_createtable(L, 0, ARRAY_LEN(levels));
    for (size_t i = 0; i < ARRAY_LEN(levels); i++) {
        lua_pushinteger(L, levels[i].level);
        lua_pushcclosure(L, log_line, 1);
        lua_setfield(L, -2, levels[i].name);
    }
    lua_setfield(L, -2, "log");
}

/* --- digests and encodings -------------------------------------------------------------------- */

static int push_digest(lua_State *L, const unsigned char *digest, unsigned len, bool raw)
{
    char hex[2 * EVP_MAX_MD_SIZE];

    if (raw) {
        lua_pushlstring(L, (const char *)digest, len);
        return 1;
    }
    for (unsigned i = 0; i < len; i++) {
        hex[2 * i] = "0123456789abcdef"[digest[i] >> 4];
        hex[2 * i + 1] = "0123456789abcdef"[digest[i] & 15];
    }
    lua_pushlstring(L, hex, 2 * (size_t)len);
    return 1;
}

/* The optional last argument of both: "hex" (default) or "raw". */
static bool wants_raw(lua_State *L, int arg)
{
    static const char *const forms[] = {"hex", "raw", NULL};

    return luaL_checkoption(L, arg, "hex", forms) == 1;
}

/* sha256(text[, form]) */
static int l_sha256(lua_State *L)
{
    struct str text = string_arg(L, 1);
    bool raw = wants_raw(L, 2);
    unsigned char digest[EVP_MAX_MD_SIZE];
    unsigned len;

    if (EVP_Digest(text.ptr, text.len, digest, &len, EVP_sha256(), NULL) != 1)
        return luaL_error(L, "SHA-256 failed");
    return push_digest(L, digest, len, raw);
}

/* hmac(key, text[, form]): HMAC-SHA256 */
static int l_hmac(lua_State *L)
{
    struct str key = string_arg(L, 1), text = string_arg(L, 2);
    bool raw = wants_raw(L, 3);
    unsigned char digest[EVP_MAX_MD_SIZE];
    unsigned len;

    luaL_argcheck(L, key.len <= (1u << 20), 1, "too long");
    if (!HMAC(EVP_sha256(), key.ptr, (int)key.len, (const unsigned char *)text.ptr, text.len,
              digest, &len))
        return luaL_error(L, "HMAC failed");
    return push_digest(L, digest, len, raw);
}

/* Base64 works in memory that Lua owns, so that an error leaks nothing. */
static int encode64(lua_State *L, enum base64 kind)
{
    struct str bytes = string_arg(L, 1);
    size_t max = bytes.len / 3 * 4 + 8;
    struct buf text = {.ptr = lua_newuserdatauv(L, max, 0), .cap = max, .max = max};

    base64_add(kind, &text, bytes);
    lua_pushlstring(L, text.ptr, text.len);
    return 1;
}

/* nil and a message when it is not Base64 */
static int decode64(lua_State *L, enum base64 kind)
{
    struct str text = string_arg(L, 1);
    size_t max = text.len + 8;
    struct buf bytes = {.ptr = lua_newuserdatauv(L, max, 0), .cap = max, .max = max};

    if (base64_decode_add(kind, text, &bytes) != OK) {
        lua_pushnil(L);
        lua_pushliteral(L, "not valid Base64");
        return 2;
    }
    lua_pushlstring(L, bytes.ptr, bytes.len);
    return 1;
}

static int l_encode(lua_State *L)
{
    return encode64(L, BASE64_STD);
}

static int l_decode(lua_State *L)
{
    return decode64(L, BASE64_STD);
}

static int l_encode_url(lua_State *L)
{
    return encode64(L, BASE64_URL);
}

static int l_decode_url(lua_State *L)
{
    return decode64(L, BASE64_URL);
}

static int l_uuid(lua_State *L)
{
    char uuid[UUID_LEN];

    random_uuid(uuid);
    lua_pushlstring(L, uuid, sizeof uuid);
    return 1;
}

/* --- the rest --------------------------------------------------------------------------------- */

/* now() → Unix seconds, with milliseconds as fraction */
static int l_now(lua_State *L)
{
    lua_pushnumber(L, (lua_Number)clock_wall_ms() / 1000);
    return 1;
}

/* env(name[, default]) → the environment's value */
static int l_env(lua_State *L)
{
    const char *value = getenv(luaL_checkstring(L, 1));

    lua_settop(L, 2);
    if (value)
        lua_pushstring(L, value);
    return 1;
}

void module_open(lua_State *L)
{
    static const luaL_Reg functions[] = {{"now", l_now},       {"env", l_env},   {"uuid", l_uuid},
                                         {"sha256", l_sha256}, {"hmac", l_hmac}, {NULL, NULL}};
    static const luaL_Reg base64[] = {{"encode", l_encode},
                                      {"decode", l_decode},
                                      {"encode_url", l_encode_url},
                                      {"decode_url", l_decode_url},
                                      {NULL, NULL}};

    luaL_setfuncs(L, functions, 0);
    luaL_newlib(L, base64);
    lua_setfield(L, -2, "base64");
    lua_json_open(L);
    lua_setfield(L, -2, "json");
    lua_jwt_open(L);
    lua_setfield(L, -2, "jwt");
    open_log(L);
    answer_open(L);
    lua_pushliteral(L, PERIGEE_VERSION);
    lua_setfield(L, -2, "version");
}
