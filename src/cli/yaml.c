#include "cli/yaml.h"

#include <lauxlib.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <yaml.h>

#define DEPTH_MAX 64
#define NODES_MAX 100000 /* aliases are counted each time: a few lines could mean millions */

struct reading {
    yaml_document_t document;
    size_t nodes;
    const char *problem; /* static text */
    size_t line;
};

static bool fail(struct reading *r, const yaml_node_t *node, const char *problem)
{
    r->problem = problem;
    r->line = node->start_mark.line + 1;
    return false;
}

/* --- scalars ---------------------------------------------------------------------------------- */

static bool is_one_of(struct str text, const char *const *words)
{
    for (; *words; words++) {
        if (str_eq(text, str_from(*words)))
            return true;
    }
    return false;
}

/* Decimal, or with a prefix hexadecimal and octal. */
static bool push_number(lua_State *L, const char *text)
{
    const char *digits = text + (*text == '-' || *text == '+');
    bool prefixed = digits[0] == '0' && (digits[1] == 'x' || digits[1] == 'o');
    int base = !prefixed ? 10 : digits[1] == 'x' ? 16 : 8;
    long long integer;
    double number;
    char *end;

    if (strpbrk(digits, "nNpP") || (!prefixed && strpbrk(digits, "xX")) || !*digits)
        return false; /* names of numbers, and forms that only C has */
    integer = strtoll(prefixed ? digits + 2 : text, &end, base);
    if (*end == '\0' && end != text) {
        lua_pushinteger(L, prefixed && *text == '-' ? -integer : integer);
        return true;
    }
    number = strtod(text, &end);
    if (*end != '\0' || prefixed || !isfinite(number))
        return false;
    lua_pushnumber(L, number);
    return true;
}

static void push_scalar(lua_State *L, const yaml_node_t *node)
{
    static const char *const nulls[] = {"", "~", "null", "Null", "NULL", NULL};
    static const char *const yes[] = {"true", "True", "TRUE", NULL};
    static const char *const no[] = {"false", "False", "FALSE", NULL};
    struct str text = str_of((const char *)node->data.scalar.value, node->data.scalar.length);
    bool plain = node->data.scalar.style == YAML_PLAIN_SCALAR_STYLE &&
                 strcmp((const char *)node->tag, YAML_STR_TAG) == 0; /* without a tag of its own */

    if (plain && is_one_of(text, nulls))
        lua_pushnil(L);
    else if (plain && is_one_of(text, yes))
        lua_pushboolean(L, true);
    else if (plain && is_one_of(text, no))
        lua_pushboolean(L, false);
    else if (!plain || !push_number(L, text.ptr))
        lua_pushlstring(L, text.ptr, text.len);
}

/* --- nodes ------------------------------------------------------------------------------------ */

static bool push_node(lua_State *L, struct reading *r, int id, int depth);

/* Enters the members of the mapping into the table on top of the stack; those that are there stay
 * if merging. */
static bool enter_members(lua_State *L, struct reading *r, const yaml_node_t *node, int depth,
                          bool merging)
{
    for (const yaml_node_pair_t *pair = node->data.mapping.pairs.start;
         pair < node->data.mapping.pairs.top; pair++) {
        const yaml_node_t *key = yaml_document_get_node(&r->document, pair->key);

        if (key->type != YAML_SCALAR_NODE)
            return fail(r, key, "a key must be a text");
        lua_pushlstring(L, (const char *)key->data.scalar.value, key->data.scalar.length);
        if (strcmp(lua_tostring(L, -1), "<<") == 0) {
            lua_pop(L, 1);
            continue;
        }
        lua_pushvalue(L, -1);
        if (lua_rawget(L, -3) != LUA_TNIL) {
            lua_pop(L, 2);
            if (!merging)
                return fail(r, key, "this key was given already");
            continue;
        }
        lua_pop(L, 1);
        if (!push_node(L, r, pair->value, depth))
            return false;
        lua_rawset(L, -3);
    }
    return true;
}

static bool merge(lua_State *L, struct reading *r, const yaml_node_t *node, int depth)
{
    for (const yaml_node_pair_t *pair = node->data.mapping.pairs.start;
         pair < node->data.mapping.pairs.top; pair++) {
        const yaml_node_t *key = yaml_document_get_node(&r->document, pair->key);
        const yaml_node_t *value = yaml_document_get_node(&r->document, pair->value);

        if (key->type != YAML_SCALAR_NODE ||
            strcmp((const char *)key->data.scalar.value, "<<") != 0)
            continue;
        if (value->type != YAML_MAPPING_NODE)
            return fail(r, value, "only a mapping can be merged");
        if (!enter_members(L, r, value, depth, true))
            return false;
    }
    return true;
}

static bool push_sequence(lua_State *L, struct reading *r, const yaml_node_t *node, int depth)
{
    lua_Integer i = 0;

    lua_newtable(L);
    for (const yaml_node_item_t *item = node->data.sequence.items.start;
         item < node->data.sequence.items.top; item++) {
        if (!push_node(L, r, *item, depth))
            return false;
        lua_rawseti(L, -2, ++i);
    }
    return true;
}

static bool push_node(lua_State *L, struct reading *r, int id, int depth)
{
    const yaml_node_t *node = yaml_document_get_node(&r->document, id);

    if (depth > DEPTH_MAX || ++r->nodes > NODES_MAX)
        return fail(r, node, "too deep, or too much");
    luaL_checkstack(L, 8, NULL);
    switch (node->type) {
    case YAML_SCALAR_NODE:
        push_scalar(L, node);
        return true;
    case YAML_SEQUENCE_NODE:
        return push_sequence(L, r, node, depth + 1);
    case YAML_MAPPING_NODE:
        lua_newtable(L);
        return enter_members(L, r, node, depth + 1, false) && merge(L, r, node, depth + 1);
    case YAML_NO_NODE:
        break;
    }
    lua_pushnil(L);
    return true;
}

/* The first document; a second one is none of a configuration. */
static bool read(lua_State *L, struct reading *r)
{
    const yaml_node_t *root = yaml_document_get_root_node(&r->document);

    if (root == NULL) {
        lua_newtable(L);
        return true;
    }
    return push_node(L, r, 1, 0);
}

int yaml_read(lua_State *L)
{
    struct reading r = {.problem = NULL};
    yaml_parser_t parser;
    size_t len;
    const char *text = luaL_checklstring(L, 1, &len);
    bool ok;

    if (!yaml_parser_initialize(&parser))
        return luaL_error(L, "out of memory");
    yaml_parser_set_input_string(&parser, (const unsigned char *)text, len);
    if (yaml_parser_load(&parser, &r.document)) {
        ok = read(L, &r);
        yaml_document_delete(&r.document);
    } else {
        ok = false;
        r.line = parser.problem_mark.line + 1;
        r.problem = parser.problem ? parser.problem : "is not YAML";
    }
    if (!ok) {
        lua_settop(L, 1);
        lua_pushnil(L);
        lua_pushfstring(L, "line %d: %s", (int)r.line, r.problem);
    }
    yaml_parser_delete(&parser);
    return ok ? 1 : 2;
}
