#include "script/values.h"

#include "base/mem.h"

#include <lauxlib.h>

struct str values_str(lua_State *L, int index)
{
    size_t len;
    const char *text = luaL_checklstring(L, index, &len);

    return str_of(text, len);
}

static void fill_list(lua_State *L, struct str_list *list)
{
    size_t count = lua_rawlen(L, -1);

    if (count == 0)
        return;
    list->items = mem_zalloc(count * sizeof *list->items);
    list->count = count;
    for (size_t i = 0; i < count; i++) {
        lua_rawgeti(L, -1, (lua_Integer)i + 1);
        list->items[i] = str_dup(values_str(L, -1));
        lua_pop(L, 1);
    }
}

static int64_t integer_field(lua_State *L, const char *name)
{
    int64_t value;

    lua_getfield(L, -1, name);
    value = luaL_checkinteger(L, -1);
    lua_pop(L, 1);
    return value;
}

static void fill_buckets(lua_State *L, struct rate_buckets *buckets)
{
    size_t count = MIN(lua_rawlen(L, -1), RATE_BUCKETS_MAX);

    buckets->count = count;
    for (size_t i = 0; i < count; i++) {
        lua_rawgeti(L, -1, (lua_Integer)i + 1);
        buckets->items[i].interval_ms = integer_field(L, "interval");
        buckets->items[i].rate = integer_field(L, "rate");
        lua_pop(L, 1);
    }
}

void values_fill(lua_State *L, void *base, const struct setting_field *fields, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        void *member = (char *)base + fields[i].offset;

        lua_getfield(L, -1, fields[i].path);
        if (lua_isnil(L, -1))
            luaL_error(L, "no value for %s", fields[i].path);
        switch (fields[i].type) {
        case SETTING_BOOL:
            *(bool *)member = lua_toboolean(L, -1);
            break;
        case SETTING_INT:
            *(int64_t *)member = luaL_checkinteger(L, -1);
            break;
        case SETTING_ENUM:
            *(int *)member = (int)luaL_checkinteger(L, -1);
            break;
        case SETTING_STR:
            *(struct str *)member = str_dup(values_str(L, -1));
            break;
        case SETTING_LIST:
            fill_list(L, member);
            break;
        case SETTING_BUCKETS:
            fill_buckets(L, member);
            break;
        }
        lua_pop(L, 1);
    }
}

/* The rules table of a namespace is on top: allow[64], and why[256] into the list of reasons. */
static void fill_rules(lua_State *L, struct ns *ns)
{
    lua_getfield(L, -1, "allow");
    lua_getfield(L, -2, "why");
    for (size_t who = 0; who < WHO_COUNT; who++) {
        lua_rawgeti(L, -2, (lua_Integer)who + 1);
        ns->allow[who] = (uint8_t)luaL_checkinteger(L, -1);
        lua_pop(L, 1);
        for (size_t action = 0; action < ACTION_COUNT; action++) {
            lua_rawgeti(L, -1, (lua_Integer)(who * ACTION_COUNT + action + 1));
            ns->reason[action][who] = (uint32_t)(luaL_checkinteger(L, -1) - 1);
            lua_pop(L, 1);
        }
    }
    lua_pop(L, 2);
}

void values_fill_reasons(lua_State *L, struct settings_reasons *reasons)
{
    size_t count = lua_rawlen(L, -1);

    for (size_t i = 0; i < count; i++) {
        lua_rawgeti(L, -1, (lua_Integer)i + 1);
        lua_getfield(L, -1, "option");
        lua_getfield(L, -2, "cause");
        settings_add_reason(reasons, values_str(L, -2), values_str(L, -1));
        lua_pop(L, 3);
    }
}

void values_fill_ns(lua_State *L, struct ns *ns)
{
    lua_getfield(L, -1, "values");
    values_fill(L, &ns->opt, settings_channel_fields, settings_channel_fields_count);
    lua_pop(L, 1);
    lua_getfield(L, -1, "rules");
    fill_rules(L, ns);
    lua_pop(L, 1);
    if (ns->opt.channel_regex.len > 0)
        ns->regex = settings_regex_new(ns->opt.channel_regex);
}

static void push_list(lua_State *L, const struct str_list *list)
{
    lua_createtable(L, (int)list->count, 0);
    for (size_t i = 0; i < list->count; i++) {
        lua_pushlstring(L, list->items[i].ptr, list->items[i].len);
        lua_rawseti(L, -2, (lua_Integer)i + 1);
    }
}

void values_push_channel(lua_State *L, const struct channel_options *options)
{
    lua_createtable(L, 0, (int)settings_channel_fields_count);
    for (size_t i = 0; i < settings_channel_fields_count; i++) {
        const struct setting_field *field = &settings_channel_fields[i];
        const void *member = (const char *)options + field->offset;

        switch (field->type) {
        case SETTING_BOOL:
            lua_pushboolean(L, *(const bool *)member);
            break;
        case SETTING_INT:
            lua_pushinteger(L, *(const int64_t *)member);
            break;
        case SETTING_ENUM:
            lua_pushinteger(L, *(const int *)member);
            break;
        case SETTING_STR: {
            const struct str *text = member;

            lua_pushlstring(L, text->ptr ? text->ptr : "", text->len);
            break;
        }
        case SETTING_LIST:
            push_list(L, member);
            break;
        case SETTING_BUCKETS: /* no channel has any */
            lua_pushnil(L);
            break;
        }
        lua_setfield(L, -2, field->path);
    }
}
