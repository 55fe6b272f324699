#include "api/spec.h"

#include "base/check.h"
#include "base/mem.h"
#include "codec/base64.h"
#include "codec/json.h"

#include <lauxlib.h>

void api_args_reset(struct api_args *args)
{
    for (size_t i = 0; i < args->raw_count; i++)
        args->raws[i] = (struct api_raw){0};
    args->raw_count = 0;
    arena_reset(&args->arena);
}

/* ---- compiling ---- */

static enum api_type type_of(lua_State *L, struct str name)
{
    static const struct {
        const char *name;
        enum api_type type;
    } types[] = {
        {"string", API_STRING}, {"bool", API_BOOL},       {"int", API_INT},
        {"int32", API_INT32},   {"uint", API_UINT},       {"uint32", API_UINT32},
        {"raw", API_RAW},       {"object", API_OBJECT},   {"string_map", API_STRING_MAP},
        {"base64", API_BASE64}, {"strings", API_STRINGS},
    };

    for (size_t i = 0; i < ARRAY_LEN(types); i++) {
        if (str_eq(name, str_from(types[i].name)))
            return types[i].type;
    }
    return (enum api_type)luaL_error(L, "unknown field type '%s'", name.ptr);
}

/* Handed to Lua as struct api_raw; there is one for every top-level field. */
static bool is_raw(enum api_type type)
{
    return type == API_RAW || type == API_OBJECT || type == API_STRING_MAP || type == API_BASE64;
}

/* The row { "name", "type" } or { "name", { further rows } } on top of the stack. */
static void load_field(lua_State *L, struct api_spec *spec)
{
    struct api_field field = {0};
    size_t len;
    const char *text;

    luaL_checktype(L, -1, LUA_TTABLE);
    lua_rawgeti(L, -1, 2);
    if (lua_istable(L, -1)) {
        field.type = API_RECORD;
        field.record = mem_zalloc(sizeof *field.record);
        api_spec_load(L, -1, field.record);
        for (size_t i = 0; i < field.record->count; i++) {
            if (is_raw(field.record->fields[i].type))
                luaL_error(L, "raw fields cannot stand inside of others");
        }
    } else {
        text = luaL_checklstring(L, -1, &len);
        field.always = len > 0 && text[len - 1] == '!';
        lua_pushlstring(L, text, field.always ? len - 1 : len);
        text = lua_tolstring(L, -1, &len);
        field.type = type_of(L, str_of(text, len));
        lua_pop(L, 1);
    }
    lua_pop(L, 1);
    lua_rawgeti(L, -1, 1);
    text = luaL_checklstring(L, -1, &len);
    field.name = str_from(str_dupz(str_of(text, len)));
    lua_pop(L, 1);
    spec->fields[spec->count++] = field;
}

/* The list on top of the stack. */
static void load_fields(lua_State *L, struct api_spec *spec)
{
    lua_Unsigned count;

    luaL_checktype(L, -1, LUA_TTABLE);
    count = lua_rawlen(L, -1);
    if (spec->count + count > API_FIELDS_MAX)
        luaL_error(L, "more than %d fields", API_FIELDS_MAX);
    for (lua_Unsigned i = 1; i <= count; i++) {
        lua_rawgeti(L, -1, (lua_Integer)i);
        load_field(L, spec);
        lua_pop(L, 1);
    }
}

void api_spec_load(lua_State *L, int index, struct api_spec *out)
{
    *out = (struct api_spec){0};
    if (lua_isnil(L, index))
        return;
    lua_pushvalue(L, index);
    load_fields(L, out);
    out->positional = out->count;
    if (lua_getfield(L, -1, "more") != LUA_TNIL)
        load_fields(L, out);
    lua_pop(L, 2);
}

void api_spec_deinit(struct api_spec *spec)
{
    for (size_t i = 0; i < spec->count; i++) {
        str_free(&spec->fields[i].name);
        if (spec->fields[i].record) {
            api_spec_deinit(spec->fields[i].record);
            mem_free(spec->fields[i].record);
        }
    }
    spec->count = 0;
}

/* ---- JSON → stack ---- */

static const struct api_field *find(const struct api_spec *spec, struct str name)
{
    for (size_t i = 0; i < spec->count; i++) {
        if (str_eq(spec->fields[i].name, name))
            return &spec->fields[i];
    }
    return NULL;
}

/* Where the values of an object's fields stand. */
struct collected {
    unsigned present; /* a bit for each field that is there; the values of others are undefined */
    struct str values[API_FIELDS_MAX];
};

/* Each value is checked as JSON; of doubled names the last counts. */
static enum err collect(const struct api_spec *spec, struct str *rest, struct arena *a,
                        struct collected *out)
{
    const struct api_field *field;
    struct str key, value;
    bool started = false;
    enum err err;

    out->present = 0;
    while ((err = json_member(rest, &started, a, &key)) == OK) {
        if (json_skip(rest, &value) != OK)
            return ERR_SYNTAX;
        field = find(spec, key);
        if (field) {
            out->values[field - spec->fields] = value;
            out->present |= 1u << (field - spec->fields);
        }
    }
    return err == ERR_NOT_FOUND ? OK : ERR_SYNTAX;
}

static void push_raw(lua_State *L, struct api_args *args, struct str bytes, bool is_json)
{
    struct api_raw *raw = &args->raws[args->raw_count++];

    *raw = (struct api_raw){bytes, is_json};
    lua_pushlightuserdata(L, raw);
}

static enum err push_string(lua_State *L, struct str value, struct arena *a)
{
    struct str text;

    if (json_string(value, a, &text) != OK)
        return ERR_SYNTAX;
    if (L)
        lua_pushlstring(L, text.ptr, text.len);
    return OK;
}

static enum err push_integer(lua_State *L, struct str value, int64_t min, int64_t max)
{
    int64_t number;

    if (json_i64(value, min, max, &number) != OK)
        return ERR_SYNTAX;
    if (L)
        lua_pushinteger(L, number);
    return OK;
}

static enum err push_unsigned(lua_State *L, struct str value, uint64_t max)
{
    uint64_t number;

    if (json_u64(value, max, &number) != OK)
        return ERR_SYNTAX;
    if (L)
        lua_pushinteger(L, (lua_Integer)number);
    return OK;
}

static enum err push_bool(lua_State *L, struct str value)
{
    bool is;

    if (json_bool(value, &is) != OK)
        return ERR_SYNTAX;
    if (L)
        lua_pushboolean(L, is);
    return OK;
}

static enum err push_base64(lua_State *L, struct str value, struct api_args *args)
{
    struct str text, bytes;

    if (json_string(value, &args->arena, &text) != OK)
        return ERR_SYNTAX;
    if (!L)
        return OK;
    if (text.len == 0)
        lua_pushnil(L);
    else if (base64_decode(BASE64_STD, text, &args->arena, &bytes) == OK)
        push_raw(L, args, bytes, false);
    else
        lua_pushboolean(L, false);
    return OK;
}

static enum err push_strings(lua_State *L, struct str value, struct arena *a)
{
    struct json_iter it = json_iter(value);
    struct str item;
    lua_Integer n = 0;
    enum err err;

    if (json_type(value) != JSON_ARRAY)
        return ERR_SYNTAX;
    if (L)
        lua_newtable(L);
    while ((err = json_array_next(&it, &item)) == OK) {
        if (push_string(L, item, a) != OK)
            return ERR_SYNTAX;
        if (L)
            lua_rawseti(L, -2, ++n);
    }
    return err == ERR_NOT_FOUND ? OK : ERR_SYNTAX;
}

static enum err check_string_map(struct str value, struct arena *a)
{
    struct json_iter it = json_iter(value);
    struct str key, item;
    enum err err;

    if (json_type(value) != JSON_OBJECT)
        return ERR_SYNTAX;
    while ((err = json_object_next(&it, a, &key, &item)) == OK) {
        if (json_type(item) != JSON_STRING)
            return ERR_SYNTAX;
    }
    return err == ERR_NOT_FOUND ? OK : ERR_SYNTAX;
}

void api_push_absent(lua_State *L, enum api_type type)
{
    switch (type) {
    case API_STRING:
        lua_pushliteral(L, "");
        break;
    case API_BOOL:
        lua_pushboolean(L, false);
        break;
    case API_INT:
    case API_INT32:
    case API_UINT:
    case API_UINT32:
        lua_pushinteger(L, 0);
        break;
    case API_STRINGS:
        lua_newtable(L);
        break;
    case API_RAW:
    case API_OBJECT:
    case API_STRING_MAP:
    case API_BASE64:
    case API_RECORD:
        lua_pushnil(L);
        break;
    }
}

static enum err push_field(const struct api_field *field, struct str value, struct api_args *args,
                           lua_State *L);

/* Field i of what was collected, also if it is not there. */
static enum err push_collected(lua_State *L, const struct api_spec *spec, size_t i,
                               const struct collected *c, struct api_args *args)
{
    if (c->present >> i & 1)
        return push_field(&spec->fields[i], c->values[i], args, L);
    if (L)
        api_push_absent(L, spec->fields[i].type);
    return OK;
}

/* What is there of the fields that stand in `more`. */
static enum err push_more(lua_State *L, const struct api_spec *spec, const struct collected *c,
                          struct api_args *args)
{
    bool any = c->present >> spec->positional != 0;

    if (L && any)
        lua_newtable(L);
    else if (L)
        lua_pushnil(L);
    for (size_t i = spec->positional; any && i < spec->count; i++) {
        if (!(c->present >> i & 1))
            continue;
        if (push_field(&spec->fields[i], c->values[i], args, L) != OK)
            return ERR_SYNTAX;
        if (L)
            lua_setfield(L, -2, spec->fields[i].name.ptr);
    }
    return OK;
}

static enum err push_record(lua_State *L, const struct api_spec *spec, struct str value,
                            struct api_args *args)
{
    struct collected c;

    if (collect(spec, &value, &args->arena, &c) != OK)
        return ERR_SYNTAX;
    if (L)
        lua_newtable(L);
    for (size_t i = 0; i < spec->count; i++) {
        if (push_collected(L, spec, i, &c, args) != OK)
            return ERR_SYNTAX;
        if (L)
            lua_setfield(L, -2, spec->fields[i].name.ptr);
    }
    return OK;
}

static enum err push_raw_field(lua_State *L, struct str value, struct api_args *args)
{
    if (L)
        push_raw(L, args, value, true);
    return OK;
}

static enum err push_field(const struct api_field *field, struct str value, struct api_args *args,
                           lua_State *L)
{
    if (json_is_null(value) && field->type != API_RAW) {
        if (L)
            api_push_absent(L, field->type);
        return OK;
    }
    switch (field->type) {
    case API_STRING:
        return push_string(L, value, &args->arena);
    case API_BOOL:
        return push_bool(L, value);
    case API_INT:
        return push_integer(L, value, INT64_MIN, INT64_MAX);
    case API_INT32:
        return push_integer(L, value, INT32_MIN, INT32_MAX);
    case API_UINT:
        return push_unsigned(L, value, UINT64_MAX);
    case API_UINT32:
        return push_unsigned(L, value, UINT32_MAX);
    case API_RAW:
        return push_raw_field(L, value, args);
    case API_OBJECT:
        return json_type(value) == JSON_OBJECT ? push_raw_field(L, value, args) : ERR_SYNTAX;
    case API_STRING_MAP:
        if (check_string_map(value, &args->arena) != OK)
            return ERR_SYNTAX;
        return push_raw_field(L, value, args);
    case API_BASE64:
        return push_base64(L, value, args);
    case API_STRINGS:
        return push_strings(L, value, &args->arena);
    case API_RECORD:
        return push_record(L, field->record, value, args);
    }
    return ERR_SYNTAX;
}

static enum err collect_or_null(const struct api_spec *spec, struct str *rest, struct arena *a,
                                struct collected *out)
{
    struct str null;

    out->present = 0;
    return json_peek(rest) == JSON_NULL ? json_skip(rest, &null) : collect(spec, rest, a, out);
}

/* L NULL: only checks. */
static enum err push_all(const struct api_spec *spec, const struct collected *c,
                         struct api_args *args, lua_State *L)
{
    int top = L ? lua_gettop(L) : 0;
    enum err err = OK;

    for (size_t i = 0; err == OK && i < spec->positional; i++)
        err = push_collected(L, spec, i, c, args);
    if (err == OK && spec->count > spec->positional)
        err = push_more(L, spec, c, args);
    if (err != OK && L)
        lua_settop(L, top);
    return err;
}

enum err api_decode(const struct api_spec *spec, struct str text, struct api_args *args,
                    lua_State *L)
{
    struct collected c;
    struct str behind;

    if (collect_or_null(spec, &text, &args->arena, &c) != OK ||
        json_skip(&text, &behind) != ERR_NOT_FOUND)
        return ERR_SYNTAX;
    return push_all(spec, &c, args, L);
}

/* ---- checked now, run later ---- */

enum err api_take(const struct api_spec *spec, struct str *rest, struct arena *a,
                  struct api_given *out)
{
    struct api_args args = {.arena = *a};
    struct collected c;
    size_t count = 0;
    enum err err = collect_or_null(spec, rest, &args.arena, &c);

    if (err == OK)
        err = push_all(spec, &c, &args, NULL);
    *a = args.arena;
    if (err != OK)
        return err;
    *out = (struct api_given){
        c.present, arena_alloc(a, (size_t)__builtin_popcount(c.present) * sizeof(struct str))};
    for (uint32_t left = c.present; left != 0; left &= left - 1)
        out->values[count++] = c.values[__builtin_ctz(left)];
    return OK;
}

void api_push_given(const struct api_spec *spec, const struct api_given *given,
                    struct api_args *args, lua_State *L)
{
    struct collected c = {.present = given->present};
    size_t count = 0;

    for (uint32_t left = c.present; left != 0; left &= left - 1)
        c.values[__builtin_ctz(left)] = given->values[count++];
    CHECK(push_all(spec, &c, args, L) == OK);
}

struct str api_given_value(const struct api_spec *spec, const struct api_given *given,
                           struct str name)
{
    const struct api_field *field = find(spec, name);
    uint32_t bit = field ? 1u << (field - spec->fields) : 0;

    return given->present & bit ? given->values[__builtin_popcount(given->present & (bit - 1))]
                                : STR_NONE;
}

/* ---- stack → JSON ---- */

static bool is_zero(const struct api_field *field, lua_State *L, int index)
{
    switch (lua_type(L, index)) {
    case LUA_TNIL:
        return true;
    case LUA_TBOOLEAN:
        return !lua_toboolean(L, index);
    case LUA_TNUMBER:
        return lua_isinteger(L, index) && lua_tointeger(L, index) == 0;
    case LUA_TSTRING:
        return field->type == API_STRING && lua_rawlen(L, index) == 0;
    default:
        return false;
    }
}

/* What an always-present field holds when there is nothing. */
static void add_absent(const struct api_field *field, struct buf *out)
{
    switch (field->type) {
    case API_STRING:
    case API_BASE64:
        buf_add_lit(out, "\"\"");
        break;
    case API_BOOL:
        buf_add_lit(out, "false");
        break;
    case API_INT:
    case API_INT32:
    case API_UINT:
    case API_UINT32:
        buf_add_lit(out, "0");
        break;
    case API_STRINGS:
        buf_add_lit(out, "[]");
        break;
    case API_RAW:
    case API_OBJECT:
    case API_STRING_MAP:
    case API_RECORD:
        buf_add_lit(out, "{}");
        break;
    }
}

static struct str string_at(lua_State *L, int index)
{
    size_t len;
    const char *text = lua_tolstring(L, index, &len);

    return str_of(text, len);
}

static enum err add_value(const struct api_field *field, lua_State *L, int index, struct buf *out)
{
    int type = lua_type(L, index);

    switch (field->type) {
    case API_STRING:
        if (type != LUA_TSTRING)
            return ERR_SCRIPT;
        json_add_string(out, string_at(L, index));
        return OK;
    case API_BOOL:
        if (type != LUA_TBOOLEAN)
            return ERR_SCRIPT;
        buf_add_lit(out, "true");
        return OK;
    case API_INT:
    case API_INT32:
        if (!lua_isinteger(L, index))
            return ERR_SCRIPT;
        buf_add_i64(out, lua_tointeger(L, index));
        return OK;
    case API_UINT:
    case API_UINT32:
        if (!lua_isinteger(L, index))
            return ERR_SCRIPT;
        buf_add_u64(out, (uint64_t)lua_tointeger(L, index));
        return OK;
    case API_RAW:
    case API_OBJECT:
    case API_STRING_MAP:
        if (type != LUA_TSTRING)
            return ERR_SCRIPT;
        buf_add_str(out, string_at(L, index));
        return OK;
    case API_BASE64:
    case API_STRINGS:
    case API_RECORD:
        return ERR_SCRIPT;
    }
    return ERR_SCRIPT;
}

enum err api_encode(const struct api_spec *spec, lua_State *L, int first, int count,
                    struct buf *out)
{
    bool any = false;

    buf_add_char(out, '{');
    for (int i = 0; i < (int)spec->count; i++) {
        const struct api_field *field = &spec->fields[i];
        bool zero = i >= count || is_zero(field, L, first + i);

        if (zero && !field->always)
            continue;
        if (any)
            buf_add_char(out, ',');
        any = true;
        json_add_string(out, field->name);
        buf_add_char(out, ':');
        if (zero)
            add_absent(field, out);
        else if (add_value(field, L, first + i, out) != OK)
            return ERR_SCRIPT;
    }
    buf_add_char(out, '}');
    return OK;
}

bool api_to_raw(lua_State *L, int index, struct api_raw *out)
{
    size_t len;
    const char *text;

    *out = (struct api_raw){0};
    switch (lua_type(L, index)) {
    case LUA_TLIGHTUSERDATA:
        if (!lua_touserdata(L, index))
            break;
        *out = *(const struct api_raw *)lua_touserdata(L, index);
        return true;
    case LUA_TNONE:
    case LUA_TNIL:
        return false;
    case LUA_TBOOLEAN:
        if (!lua_toboolean(L, index))
            return false;
        break;
    }
    text = luaL_checklstring(L, index, &len);
    out->bytes = str_of(text, len);
    out->is_json = json_valid(out->bytes);
    return true;
}
