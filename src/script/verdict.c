#include "script/verdict.h"

#include "base/utf8.h"
#include "script/answer.h"
#include "script/lua_json.h"

#include <math.h>

#define CHANNELS_MAX 1000

enum field_type {
    FIELD_STRING,
    FIELD_TIME, /* Unix seconds */
    FIELD_BOOL,
    FIELD_COUNT,    /* an integer, not negative */
    FIELD_JSON,     /* any value */
    FIELD_STRINGS,  /* an object of strings */
    FIELD_DATA,     /* any value; bytes in binary protocols */
    FIELD_CHANNELS, /* a list of names */
    FIELD_SUBS,     /* options by name of a channel */
    FIELD_OVERRIDE, /* booleans by name of an option */
};

#define NO_FLAG SIZE_MAX
#define BIT(name) (1u << HOOK_##name)

static const struct field {
    const char *name;
    unsigned hooks; /* which may return it */
    enum field_type type;
    size_t offset, flag; /* in struct hook_verdict */
} fields[] = {
#define AT(member) offsetof(struct hook_verdict, member)
    {"user", BIT(CONNECT), FIELD_STRING, AT(user), AT(has_user)},
    {"info", BIT(CONNECT) | BIT(REFRESH) | BIT(SUBSCRIBE) | BIT(SUB_REFRESH), FIELD_JSON, AT(info),
     NO_FLAG},
    {"expire_at", BIT(CONNECT) | BIT(REFRESH) | BIT(SUBSCRIBE) | BIT(SUB_REFRESH), FIELD_TIME,
     AT(expire_at), AT(has_expire_at)},
    {"expired", BIT(REFRESH) | BIT(SUB_REFRESH), FIELD_BOOL, AT(expired), NO_FLAG},
    {"data", BIT(CONNECT) | BIT(SUBSCRIBE) | BIT(PUBLISH) | BIT(TRANSFORM), FIELD_DATA, AT(data),
     AT(has_data)},
    {"tags", BIT(PUBLISH) | BIT(TRANSFORM), FIELD_STRINGS, AT(tags), NO_FLAG},
    {"skip_history", BIT(PUBLISH), FIELD_BOOL, AT(skip_history), AT(has_skip_history)},
    {"idempotency_key", BIT(PUBLISH), FIELD_STRING, AT(idempotency_key), NO_FLAG},
    {"delta", BIT(PUBLISH), FIELD_BOOL, AT(delta), AT(has_delta)},
    {"version", BIT(PUBLISH), FIELD_COUNT, AT(version), NO_FLAG},
    {"version_epoch", BIT(PUBLISH), FIELD_STRING, AT(version_epoch), NO_FLAG},
    {"channels", BIT(CONNECT), FIELD_CHANNELS, AT(channels), NO_FLAG},
    {"subs", BIT(CONNECT), FIELD_SUBS, AT(subs), NO_FLAG},
    {"meta", BIT(CONNECT) | BIT(REFRESH), FIELD_JSON, AT(meta), NO_FLAG},
    {"caps", BIT(CONNECT), FIELD_JSON, AT(caps), NO_FLAG},
    {"override", BIT(SUBSCRIBE), FIELD_OVERRIDE, AT(override), AT(has_override)},
#undef AT
};

static const char *const wrong_type = "has the wrong type";

static const char *read_json(const struct verdict_request *request, lua_State *L, int idx,
                             struct str *out)
{
    const char *why = NULL;

    buf_clear(request->scratch);
    if (lua_json_encode(L, idx, request->scratch, &why) != OK)
        return why;
    *out = arena_dup(request->arena, buf_str(request->scratch));
    return NULL;
}

static const char *read_object(const struct verdict_request *request, lua_State *L, int idx,
                               bool of_strings, struct str *out)
{
    const char *why;

    if (!lua_istable(L, idx))
        return wrong_type;
    if (of_strings) {
        for (lua_pushnil(L); lua_next(L, idx); lua_pop(L, 1)) {
            if (lua_type(L, -2) != LUA_TSTRING || lua_type(L, -1) != LUA_TSTRING) {
                lua_pop(L, 2);
                return wrong_type;
            }
        }
    }
    why = read_json(request, L, idx, out);
    if (!why && out->ptr[0] != '{')
        return "must be a table with names";
    return why;
}

/* A boolean, or one in the clothes of the API and of tokens: { value = true }. */
static bool is_switch(lua_State *L, int idx)
{
    bool ok = lua_isboolean(L, idx);

    if (lua_istable(L, idx)) {
        idx = lua_absindex(L, idx);
        lua_pushliteral(L, "value");
        ok = lua_rawget(L, idx) == LUA_TBOOLEAN;
        lua_pop(L, 1);
    }
    return ok;
}

static const char *key_name(lua_State *L, int idx)
{
    return lua_type(L, idx) == LUA_TSTRING ? lua_tostring(L, idx) : luaL_typename(L, idx);
}

static bool is_one_of(const char *name, const char *const *names)
{
    while (*names && strcmp(*names, name) != 0)
        names++;
    return *names != NULL;
}

const char *verdict_check_override(lua_State *L, int idx)
{
    static const char *const names[] = {
        "presence",          "join_leave",     "force_push_join_leave",
        "force_positioning", "force_recovery", NULL};

    if (!lua_istable(L, idx))
        return wrong_type;
    idx = lua_absindex(L, idx);
    for (lua_pushnil(L); lua_next(L, idx); lua_pop(L, 1)) {
        if (!is_one_of(key_name(L, -2), names))
            return lua_pushfstring(L, "has an unknown option %s", key_name(L, -2));
        if (!is_switch(L, -1))
            return lua_pushfstring(L, "has a %s that is neither true nor false", key_name(L, -2));
    }
    return NULL;
}

/* The options of one channel of subs, on top of the stack. */
static const char *check_sub(lua_State *L)
{
    static const char *const names[] = {"info", "data", "override", NULL};
    int idx = lua_gettop(L);

    if (!lua_istable(L, idx))
        return "has options that are not a table";
    for (lua_pushnil(L); lua_next(L, idx); lua_pop(L, 1)) {
        if (!is_one_of(key_name(L, -2), names))
            return lua_pushfstring(L, "has an unknown option %s", key_name(L, -2));
        if (strcmp(key_name(L, -2), "override") == 0) {
            const char *why = verdict_check_override(L, -1);

            if (why)
                return lua_pushfstring(L, "has an override that %s", why);
        }
    }
    return NULL;
}

static const char *check_subs(lua_State *L, int idx)
{
    struct str name;
    const char *why;

    if (!lua_istable(L, idx))
        return wrong_type;
    for (lua_pushnil(L); lua_next(L, idx); lua_pop(L, 1)) {
        if (lua_type(L, -2) != LUA_TSTRING)
            return "must be a table with names";
        name.ptr = lua_tolstring(L, -2, &name.len);
        if (name.len == 0)
            return "has a channel without a name";
        why = check_sub(L);
        if (why)
            return lua_pushfstring(L, "for %s: it %s", name.ptr, why);
    }
    return NULL;
}

const char *verdict_read_time(lua_State *L, int idx, int64_t *out)
{
    double seconds;

    if (lua_type(L, idx) != LUA_TNUMBER)
        return wrong_type;
    seconds = floor(lua_tonumber(L, idx));
    if (!(seconds >= 0 && seconds <= 253402300799.0)) /* up to the year 9999; refuses NaN */
        return "is not a Unix time in seconds";
    *out = (int64_t)seconds;
    return NULL;
}

static const char *read_channels(const struct verdict_request *request, lua_State *L, int idx,
                                 struct hook_verdict *out)
{
    size_t count, members = 0;
    struct str *channels;

    if (!lua_istable(L, idx))
        return wrong_type;
    for (lua_pushnil(L); lua_next(L, idx); lua_pop(L, 1))
        members++;
    count = lua_rawlen(L, idx);
    if (count != members)
        return "must be a list of names";
    if (count > CHANNELS_MAX)
        return "names too many channels";
    channels = arena_alloc(request->arena, (count + 1) * sizeof *channels);
    for (size_t i = 0; i < count; i++) {
        bool ok = lua_rawgeti(L, idx, (lua_Integer)i + 1) == LUA_TSTRING;

        if (ok)
            channels[i].ptr = lua_tolstring(L, -1, &channels[i].len);
        ok = ok && channels[i].len > 0 && utf8_valid(channels[i]);
        lua_pop(L, 1);
        if (!ok)
            return wrong_type;
    }
    out->channels = channels;
    out->channel_count = count;
    return NULL;
}

/* NULL, or what is wrong with the value on top of the stack. */
static const char *read_field(const struct verdict_request *request, lua_State *L,
                              const struct field *field, struct hook_verdict *out)
{
    void *member = (char *)out + field->offset;
    struct str *text = member;
    const char *why;
    int idx = lua_gettop(L);

    switch (field->type) {
    case FIELD_STRING:
        if (lua_type(L, idx) != LUA_TSTRING)
            return wrong_type;
        text->ptr = lua_tolstring(L, idx, &text->len);
        return utf8_valid(*text) ? NULL : "is not UTF-8";
    case FIELD_TIME:
        return verdict_read_time(L, idx, member);
    case FIELD_BOOL:
        if (!lua_isboolean(L, idx))
            return wrong_type;
        *(bool *)member = lua_toboolean(L, idx);
        return NULL;
    case FIELD_COUNT:
        if (!lua_isinteger(L, idx) || lua_tointeger(L, idx) < 0)
            return wrong_type;
        *(uint64_t *)member = (uint64_t)lua_tointeger(L, idx);
        return NULL;
    case FIELD_DATA:
        if (request->is_binary && lua_type(L, idx) == LUA_TSTRING) {
            text->ptr = lua_tolstring(L, idx, &text->len);
            return NULL;
        }
        out->data_is_json = true;
        return read_json(request, L, idx, text);
    case FIELD_JSON:
        return read_json(request, L, idx, text);
    case FIELD_STRINGS:
        return read_object(request, L, idx, true, text);
    case FIELD_CHANNELS:
        return read_channels(request, L, idx, out);
    case FIELD_SUBS:
        why = check_subs(L, idx);
        return why ? why : read_object(request, L, idx, false, text);
    case FIELD_OVERRIDE:
        why = verdict_check_override(L, idx);
        return why ? why : read_object(request, L, idx, false, text);
    }
    return wrong_type;
}

static const struct field *find_field(enum hook which, lua_State *L, int idx)
{
    const char *name = lua_type(L, idx) == LUA_TSTRING ? lua_tostring(L, idx) : "";

    for (size_t i = 0; i < ARRAY_LEN(fields); i++) {
        if ((fields[i].hooks & 1u << which) && strcmp(fields[i].name, name) == 0)
            return &fields[i];
    }
    return NULL;
}

static const char *read_table(const struct verdict_request *request, lua_State *L, int table,
                              struct hook_verdict *out, const char **field_name)
{
    bool allowed = false;

    for (size_t i = 0; i < ARRAY_LEN(fields); i++)
        allowed |= fields[i].hooks >> request->which & 1;
    if (!allowed)
        return "may not return a table";
    for (lua_pushnil(L); lua_next(L, table); lua_pop(L, 1)) {
        const struct field *field = find_field(request->which, L, lua_gettop(L) - 1);
        const char *why;

        *field_name = lua_type(L, -2) == LUA_TSTRING ? lua_tostring(L, -2) : luaL_typename(L, -2);
        if (!field)
            return "is unknown";
        why = read_field(request, L, field, out);
        if (why)
            return why;
        if (field->flag != NO_FLAG)
            *(bool *)((char *)out + field->flag) = true;
    }
    out->outcome = VERDICT_ALLOW;
    return NULL;
}

static void read_boolean(enum hook which, bool yes, struct hook_verdict *out)
{
    if (yes) {
        out->outcome = VERDICT_ALLOW;
    } else if (which == HOOK_PRESENCE || which == HOOK_HISTORY || which == HOOK_TRANSFORM) {
        out->outcome = VERDICT_REFUSE;
    } else {
        out->outcome = VERDICT_ERROR;
        out->code = 103;
        out->message = STR("permission denied");
    }
}

static void read_answer(enum answer_kind kind, const struct answer *answer,
                        struct hook_verdict *out)
{
    out->outcome = kind == ANSWER_DISCONNECT ? VERDICT_DISCONNECT : VERDICT_ERROR;
    out->code = answer->code;
    out->message = answer->text;
    out->temporary = answer->temporary;
}

void verdict_internal(struct hook_verdict *out)
{
    *out = (struct hook_verdict){.outcome = VERDICT_ERROR,
                                 .failed = true,
                                 .code = 100,
                                 .message = STR("internal server error"),
                                 .temporary = true};
}

/* The result of a method may be anything; it is sent as it is. */
static const char *read_result(const struct verdict_request *request, lua_State *L, int idx,
                               struct hook_verdict *out)
{
    const struct field as_data = {.type = FIELD_DATA,
                                  .offset = offsetof(struct hook_verdict, data)};
    const char *why;

    lua_pushvalue(L, idx);
    why = read_field(request, L, &as_data, out);
    lua_pop(L, 1);
    out->outcome = VERDICT_ALLOW;
    out->has_data = true;
    return why;
}

/* What stands behind nil: what went wrong, as in return perigee.publish { … }. A failure that is
 * not understood must not leave the decision to the options, which may allow. */
static const char *read_failure(lua_State *L, int idx, struct hook_verdict *out)
{
    struct answer answer;
    enum answer_kind kind = ANSWER_ERROR;
    bool broken;

    if (lua_isnil(L, idx))
        return NULL;
    if (!answer_from_failure(L, idx, &answer))
        kind = answer_at(L, idx, &answer, &broken);
    if (kind != ANSWER_NONE) {
        read_answer(kind, &answer, out);
        return NULL;
    }
    return lua_pushfstring(L, "returned nil and %s: no error of perigee.error",
                           lua_type(L, idx) == LUA_TSTRING ? lua_tostring(L, idx)
                                                           : luaL_typename(L, idx));
}

bool verdict_read(const struct verdict_request *request, lua_State *L, int n,
                  struct hook_verdict *out, const char **why, const char **field)
{
    int first = lua_gettop(L) - n + 1;
    int type = n > 0 ? lua_type(L, first) : LUA_TNIL;
    struct answer answer;
    enum answer_kind kind;
    bool broken;

    *out = (struct hook_verdict){.outcome = VERDICT_NIL};
    *why = *field = NULL;
    lua_checkstack(L, LUA_MINSTACK);
    if (type == LUA_TNIL) {
        if (request->is_method)
            out->outcome = VERDICT_ALLOW;
        if (n > 1)
            *why = read_failure(L, first + 1, out);
        return *why == NULL;
    }
    kind = answer_at(L, first, &answer, &broken);
    if (kind != ANSWER_NONE)
        read_answer(kind, &answer, out);
    else if (broken)
        *why = "returned an error whose fields were changed";
    else if (request->which == HOOK_RPC)
        *why = read_result(request, L, first, out);
    else if (type == LUA_TBOOLEAN)
        read_boolean(request->which, lua_toboolean(L, first), out);
    else if (type != LUA_TTABLE)
        *why = "returned a value that is neither a table, a boolean nor nil";
    else
        *why = read_table(request, L, first, out, field);
    return *why == NULL;
}
