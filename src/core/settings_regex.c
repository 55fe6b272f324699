/* channel_regex over POSIX regcomp: users write the dialect of Go, so its common escapes are
 * rewritten first; what cannot be said in a POSIX expression is refused. */
#include "core/settings.h"

#include "base/mem.h"

#include <regex.h>

#define PATTERN_MAX 4096 /* bytes, as written and rewritten */
#define GROUPS_MAX 16    /* with names */
#define NUMBERS_MAX 64   /* the highest number that a group with a name may have */
/* Bytes of text that is looked at: where no ^ says where to begin, the C library begins anew at
 * every byte, so its time grows with the square. 1 KiB takes milliseconds, 30 KiB of a client's
 * choice took seconds. */
#define TEXT_MAX 1024

struct named_group {
    struct str name; /* owned */
    size_t number;   /* POSIX has numbers only: of its opening bracket */
};

struct settings_regex {
    regex_t compiled;
    size_t opened; /* groups of any kind */
    struct named_group groups[GROUPS_MAX];
    size_t group_count;
};

/* The inside of a bracket expression for \d, \w, \s; NULL for others. */
static const char *class_of(char c)
{
    switch (c) {
    case 'd':
        return "0-9";
    case 'w':
        return "a-zA-Z0-9_";
    case 's':
        return " \t\n\f\r\v";
    default:
        return NULL;
    }
}

static bool is_letter_or_digit(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
}

/* Rewrites `[…]` from p.ptr[*i]. POSIX has no escapes there, so "]" moves to the front and "-" to
 * the end. */
static bool add_bracket(struct buf *out, struct str p, size_t *i)
{
    struct buf inner = BUF_INIT(PATTERN_MAX);
    bool closing = false, dash = false, caret = false, negated = false, closed = false, ok = true;
    size_t at = *i + 1, first;

    if (at < p.len && p.ptr[at] == '^') {
        negated = true;
        at++;
    }
    for (first = at; at < p.len && ok; at++) {
        char c = p.ptr[at];

        if (c == ']' && at > first) {
            closed = true;
            break;
        }
        if (c == '[' && at + 1 < p.len && p.ptr[at + 1] == ':') { /* [:alpha:] as it is */
            size_t end = at + 2;

            while (end + 1 < p.len && !(p.ptr[end] == ':' && p.ptr[end + 1] == ']'))
                end++;
            ok = end + 1 < p.len;
            if (ok)
                buf_add(&inner, p.ptr + at, end + 2 - at);
            at = end + 1;
        } else if (c == '\\') {
            const char *members = ++at < p.len ? class_of(p.ptr[at]) : NULL;

            if (members)
                buf_add_str(&inner, str_from(members));
            else if (at >= p.len || is_letter_or_digit(p.ptr[at]))
                ok = false;
            else if (p.ptr[at] == ']')
                closing = true;
            else if (p.ptr[at] == '-')
                dash = true;
            else if (p.ptr[at] == '^')
                caret = true;
            else
                buf_add_char(&inner, p.ptr[at]);
        } else if (c == ']') {
            closing = true;
        } else {
            buf_add_char(&inner, c);
        }
    }
    if (ok && closed) {
        buf_add_char(out, '[');
        if (negated)
            buf_add_char(out, '^');
        if (closing)
            buf_add_char(out, ']');
        buf_add_str(out, buf_str(&inner));
        if (caret && !closing && inner.len == 0 && !negated) /* "[^]" would open a negation */
            buf_add_lit(out, ".^.");
        else if (caret)
            buf_add_char(out, '^');
        if (dash)
            buf_add_char(out, '-');
        buf_add_char(out, ']');
    }
    if (inner.overflow)
        out->overflow = true;
    buf_deinit(&inner);
    *i = at;
    return ok && closed;
}

static bool add_escape(struct buf *out, char c)
{
    const char *members = class_of((char)(c | 0x20));

    if (members) {
        buf_add_str(out, c >= 'a' ? STR("[") : STR("[^"));
        buf_add_str(out, str_from(members));
        buf_add_char(out, ']');
    } else if (c == 'A') {
        buf_add_char(out, '^');
    } else if (c == 'z') {
        buf_add_char(out, '$');
    } else if (is_letter_or_digit(c)) {
        return false; /* back-references, \p{…} and the like */
    } else {
        buf_add_char(out, '\\');
        buf_add_char(out, c);
    }
    return true;
}

/* "(?:" and "(?P<name>" become "("; other "(?" are refused. *i is at the "(". */
static bool add_group(struct settings_regex *regex, struct buf *out, struct str p, size_t *i)
{
    struct str rest = str_cut(p, *i);
    ptrdiff_t end;

    buf_add_char(out, '(');
    regex->opened++;
    if (!str_starts(rest, STR("(?")))
        return true;
    if (str_starts(rest, STR("(?:"))) {
        *i += 2;
        return true;
    }
    end = str_find(rest, '>');
    if (!str_starts(rest, STR("(?P<")) || end < 5 || regex->group_count == GROUPS_MAX ||
        regex->opened >= NUMBERS_MAX)
        return false;
    regex->groups[regex->group_count++] =
        (struct named_group){str_dup(str_of(rest.ptr + 4, (size_t)end - 4)), regex->opened};
    *i += (size_t)end;
    return true;
}

static bool rewrite(struct settings_regex *regex, struct str p, struct buf *out)
{
    for (size_t i = 0; i < p.len; i++) {
        bool ok = true;

        if (p.ptr[i] == '\0')
            return false;
        if (p.ptr[i] == '\\')
            ok = ++i < p.len && add_escape(out, p.ptr[i]);
        else if (p.ptr[i] == '[')
            ok = add_bracket(out, p, &i);
        else if (p.ptr[i] == '(')
            ok = add_group(regex, out, p, &i);
        else
            buf_add_char(out, p.ptr[i]);
        if (!ok)
            return false;
    }
    buf_add_char(out, '\0');
    return !out->overflow;
}

static void free_names(struct settings_regex *regex)
{
    for (size_t i = 0; i < regex->group_count; i++)
        str_free(&regex->groups[i].name);
}

struct settings_regex *settings_regex_new(struct str pattern)
{
    struct buf text = BUF_INIT(PATTERN_MAX);
    struct settings_regex *regex = mem_zalloc(sizeof *regex);

    if (!rewrite(regex, pattern, &text) ||
        regcomp(&regex->compiled, text.ptr,
                REG_EXTENDED | (regex->group_count > 0 ? 0 : REG_NOSUB)) != 0) {
        free_names(regex);
        mem_free(regex);
        regex = NULL;
    }
    buf_deinit(&text);
    return regex;
}

void settings_regex_free(struct settings_regex *regex)
{
    if (!regex)
        return;
    regfree(&regex->compiled);
    free_names(regex);
    mem_free(regex);
}

/* places has room for n; the first is the whole match. */
static bool search(const struct settings_regex *regex, struct str text, regmatch_t *places,
                   size_t n)
{
    char copy[TEXT_MAX + 1];

    if (text.len > TEXT_MAX)
        return false;
    /* rm_eo is the end, so a zero byte inside is text; the one behind it is for checkers of memory,
     * which take every subject of regexec for a C string. */
    places[0] = (regmatch_t){.rm_so = 0, .rm_eo = (regoff_t)text.len};
    if (text.len > 0)
        memcpy(copy, text.ptr, text.len);
    copy[text.len] = '\0';
    return regexec(&regex->compiled, copy, n, places, REG_STARTEND) == 0;
}

bool settings_regex_match(const struct settings_regex *regex, struct str text)
{
    regmatch_t whole;

    return search(regex, text, &whole, 1);
}

static const struct named_group *find_group(const struct settings_regex *regex, struct str name)
{
    for (size_t i = 0; i < regex->group_count; i++) {
        if (str_eq(regex->groups[i].name, name))
            return &regex->groups[i];
    }
    return NULL;
}

bool settings_regex_has_group(const struct settings_regex *regex, struct str name)
{
    return find_group(regex, name) != NULL;
}

bool settings_regex_group(const struct settings_regex *regex, struct str text, struct str name,
                          struct str *value)
{
    const struct named_group *group = find_group(regex, name);
    regmatch_t places[NUMBERS_MAX + 1];
    const regmatch_t *place;

    if (group == NULL || !search(regex, text, places, group->number + 1))
        return false;
    place = &places[group->number];
    if (place->rm_so < 0)
        return false;
    *value = str_of(text.ptr + place->rm_so, (size_t)(place->rm_eo - place->rm_so));
    return true;
}
