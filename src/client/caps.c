#include "client/caps.h"

#include "base/mem.h"
#include "codec/json.h"
#include "codec/ws.h"

enum match { MATCH_EXACT, MATCH_WILDCARD, MATCH_REGEX };

/* One pattern. Those of one object stand in a row and share its rights. */
struct cap {
    enum match match;
    unsigned allow;
    struct str pattern; /* owned */
    struct settings_regex *regex;
};

struct caps {
    size_t count, regexes;
    struct cap *rows;
};

/* --- reading ---------------------------------------------------------------------------------- */

enum err caps_read_allow(struct str json, unsigned *out)
{
    static const struct {
        struct str word;
        enum allow bit;
    } words[] = {
        {STR("sub"), ALLOW_SUBSCRIBE},
        {STR("pub"), ALLOW_PUBLISH},
        {STR("prs"), ALLOW_PRESENCE},
        {STR("hst"), ALLOW_HISTORY},
    };
    struct arena a = ARENA_INIT;
    struct json_iter it = json_iter(json);
    struct str item, word;
    enum err err;

    *out = 0;
    while ((err = json_array_next(&it, &item)) == OK && json_string(item, &a, &word) == OK) {
        for (size_t i = 0; i < ARRAY_LEN(words); i++)
            *out |= str_eq(word, words[i].word) ? words[i].bit : 0;
    }
    arena_deinit(&a);
    return err == ERR_NOT_FOUND ? OK : ERR_SYNTAX;
}

static enum err read_match(struct str json, enum match *out)
{
    static const struct {
        struct str word;
        enum match match;
    } words[] = {
        {STR(""), MATCH_EXACT},
        {STR("exact"), MATCH_EXACT},
        {STR("wildcard"), MATCH_WILDCARD},
        {STR("regex"), MATCH_REGEX},
    };
    struct arena a = ARENA_INIT;
    struct str word;
    enum err err = json_string(json, &a, &word);

    for (size_t i = 0; err == OK && i < ARRAY_LEN(words); i++) {
        if (str_eq(word, words[i].word)) {
            *out = words[i].match;
            arena_deinit(&a);
            return OK;
        }
    }
    arena_deinit(&a);
    return ERR_SYNTAX; /* guessing what it means could grant too much */
}

static enum err add(struct caps *c, struct str pattern, enum match match, unsigned allow)
{
    struct cap *row;

    if (c->count == CAPS_PATTERNS_MAX)
        return ERR_LIMIT;
    if ((c->count & (c->count - 1)) == 0) /* grows at powers of two */
        c->rows = mem_realloc(c->rows, MAX(2 * c->count, 1) * sizeof *c->rows);
    row = &c->rows[c->count++];
    *row = (struct cap){match, allow, str_dup(pattern), NULL};
    if (match != MATCH_REGEX)
        return OK;
    if (++c->regexes > CAPS_REGEX_MAX)
        return ERR_LIMIT;
    row->regex = settings_regex_new(pattern);
    return row->regex ? OK : ERR_SYNTAX;
}

static enum err add_channels(struct caps *c, struct str channels, enum match match, unsigned allow)
{
    struct json_iter it = json_iter(channels);
    struct arena a = ARENA_INIT;
    struct str item, pattern;
    enum err err;

    while ((err = json_array_next(&it, &item)) == OK) {
        err = json_string(item, &a, &pattern);
        if (err == OK)
            err = add(c, pattern, match, allow);
        if (err != OK)
            break;
    }
    arena_deinit(&a);
    return err == ERR_NOT_FOUND ? OK : err;
}

static enum err add_object(struct caps *c, struct str object)
{
    struct json_iter it = json_iter(object);
    struct arena a = ARENA_INIT;
    struct str key, value, channels = STR("[]");
    enum match match = MATCH_EXACT;
    unsigned allow = 0;
    enum err err, bad = OK;

    while (bad == OK && (err = json_object_next(&it, &a, &key, &value)) == OK) {
        if (json_is_null(value))
            continue;
        if (str_eq(key, STR("channels")))
            channels = value;
        else if (str_eq(key, STR("match")))
            bad = read_match(value, &match);
        else if (str_eq(key, STR("allow")))
            bad = caps_read_allow(value, &allow);
    }
    arena_deinit(&a);
    if (bad != OK || err != ERR_NOT_FOUND)
        return ERR_SYNTAX;
    return add_channels(c, channels, match, allow);
}

enum err caps_new(struct str json, struct caps **out)
{
    struct json_iter it = json_iter(json);
    struct caps *c;
    struct str object;
    enum err err;

    *out = NULL;
    if (json.len == 0 || json_is_null(json))
        return OK;
    c = mem_zalloc(sizeof *c);
    while ((err = json_array_next(&it, &object)) == OK) {
        err = add_object(c, object);
        if (err != OK)
            break;
    }
    if (err != ERR_NOT_FOUND || c->count == 0) {
        caps_free(c);
        return err == ERR_NOT_FOUND ? OK : err;
    }
    *out = c;
    return OK;
}

void caps_free(struct caps *c)
{
    if (!c)
        return;
    for (size_t i = 0; i < c->count; i++) {
        str_free(&c->rows[i].pattern);
        settings_regex_free(c->rows[i].regex);
    }
    mem_free(c->rows);
    mem_free(c);
}

/* --- matching --------------------------------------------------------------------------------- */

static bool matches(const struct cap *row, struct str channel)
{
    switch (row->match) {
    case MATCH_EXACT:
        return str_eq(row->pattern, channel);
    case MATCH_WILDCARD:
        return ws_glob(row->pattern, channel);
    case MATCH_REGEX:
        return settings_regex_match(row->regex, channel);
    }
    return false;
}

unsigned caps_for(const struct caps *c, struct str channel)
{
    for (size_t i = 0; c && i < c->count; i++) {
        if (matches(&c->rows[i], channel))
            return c->rows[i].allow;
    }
    return 0;
}
