#include "codec/json.h"

#include "base/mem.h"
#include "base/utf8.h"

#include <math.h>
#include <stdlib.h>

/* Where the scanner stands. */
struct scan {
    const char *at, *end;
};

static struct scan scan_of(struct str s)
{
    return s.len ? (struct scan){s.ptr, s.ptr + s.len} : (struct scan){"", ""};
}

static size_t scan_left(const struct scan *s)
{
    return (size_t)(s->end - s->at);
}

static struct str scan_rest(const struct scan *s)
{
    return str_of(s->at, scan_left(s));
}

/* ---- scanning: each function takes what begins at `at` and yields where it ends ----
 *
 * Plain pointers, and inlined where bytes are many: what they work on stays in registers. */

static inline const char *blanks(const char *at, const char *end)
{
    if (at < end && (unsigned char)*at > ' ') /* mostly there are none */
        return at;
    while (at < end && (*at == ' ' || *at == '\n' || *at == '\r' || *at == '\t'))
        at++;
    return at;
}

static inline bool is_at(const char *at, const char *end, char c)
{
    return at < end && *at == c;
}

#define ONES 0x0101010101010101u
#define HIGH_BITS 0x8080808080808080u

/* How many of these eight bytes stand before the first quote, backslash, control character or byte
 * above 0x7F. A subtraction marks a byte by its borrow, which can only mark bytes behind it
 * wrongly. */
static inline unsigned plain_of_eight(const char *at)
{
    uint64_t v, quote, backslash, marks;

    memcpy(&v, at, sizeof v);
#if __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__
    v = __builtin_bswap64(v);
#endif
    quote = v ^ ONES * '"';
    backslash = v ^ ONES * '\\';
    marks = ((v - ONES * 0x20) | (quote - ONES) | (backslash - ONES) | v) & HIGH_BITS;
    return marks == 0 ? 8 : (unsigned)__builtin_ctzll(marks) / 8;
}

/* To the next byte that needs a closer look, or to the end. */
static inline const char *plain(const char *at, const char *end)
{
    while (end - at >= 8) {
        unsigned n = plain_of_eight(at);

        at += n;
        if (n < 8)
            return at;
    }
    for (; at < end; at++) {
        unsigned char c = (unsigned char)*at;

        if (c < 0x20 || c >= 0x80 || c == '"' || c == '\\')
            break;
    }
    return at;
}

static int hex_digit(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    c = (char)(c | 0x20);
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* The ends of what follows are NULL when it is broken. */

static const char *escape_end(const char *at, const char *end)
{
    if (end - at < 2)
        return NULL;
    switch (at[1]) {
    case '"':
    case '\\':
    case '/':
    case 'b':
    case 'f':
    case 'n':
    case 'r':
    case 't':
        return at + 2;
    case 'u':
        if (end - at < 6)
            return NULL;
        for (int i = 2; i < 6; i++) {
            if (hex_digit(at[i]) < 0)
                return NULL;
        }
        return at + 6;
    default:
        return NULL;
    }
}

/* An escape or a character of several bytes inside a string. */
static const char *special_end(const char *at, const char *end)
{
    unsigned char c = (unsigned char)*at;
    size_t n;

    if (c == '\\')
        return escape_end(at, end);
    n = c < 0x20 ? 0 : utf8_char(str_of(at, (size_t)(end - at)));
    return n > 0 ? at + n : NULL;
}

/* From behind the opening quote to behind the closing one. */
static ALWAYS_INLINE const char *string_end(const char *at, const char *end)
{
    for (;;) {
        at = plain(at, end);
        if (at == end)
            return NULL;
        if (*at == '"')
            return at + 1;
        at = special_end(at, end);
        if (at == NULL)
            return NULL;
    }
}

static bool is_digit(const char *at, const char *end)
{
    return at < end && *at >= '0' && *at <= '9';
}

static const char *digits_end(const char *at, const char *end)
{
    if (!is_digit(at, end))
        return NULL;
    while (is_digit(at, end))
        at++;
    return at;
}

static const char *number_end(const char *at, const char *end)
{
    if (*at == '-')
        at++;
    at = is_at(at, end, '0') ? at + 1 : digits_end(at, end);
    if (at && is_at(at, end, '.'))
        at = digits_end(at + 1, end);
    if (at && (is_at(at, end, 'e') || is_at(at, end, 'E'))) {
        at++;
        if (is_at(at, end, '+') || is_at(at, end, '-'))
            at++;
        return digits_end(at, end);
    }
    return at;
}

static const char *word_end(const char *at, const char *end, struct str word)
{
    return str_starts(str_of(at, (size_t)(end - at)), word) ? at + word.len : NULL;
}

static ALWAYS_INLINE const char *scalar_end(const char *at, const char *end)
{
    switch (*at) {
    case '"':
        return string_end(at + 1, end);
    case 't':
        return word_end(at, end, STR("true"));
    case 'f':
        return word_end(at, end, STR("false"));
    case 'n':
        return word_end(at, end, STR("null"));
    default:
        return number_end(at, end);
    }
}

/* A key with its colon. */
static ALWAYS_INLINE const char *key_end(const char *at, const char *end)
{
    at = blanks(at, end);
    if (!is_at(at, end, '"'))
        return NULL;
    at = string_end(at + 1, end);
    if (at == NULL)
        return NULL;
    at = blanks(at, end);
    return is_at(at, end, ':') ? at + 1 : NULL;
}

/* Which brackets are open: one bit each, set for an object. */
struct nest {
    uint64_t objects[JSON_DEPTH_MAX / 64];
    unsigned depth;
};

static bool nest_in_object(const struct nest *nest)
{
    unsigned top = nest->depth - 1;

    return nest->objects[top / 64] >> (top % 64) & 1;
}

static bool nest_push(struct nest *nest, bool object)
{
    uint64_t bit = (uint64_t)1 << (nest->depth % 64);

    if (nest->depth == JSON_DEPTH_MAX)
        return false;
    if (object)
        nest->objects[nest->depth / 64] |= bit;
    else
        nest->objects[nest->depth / 64] &= ~bit;
    nest->depth++;
    return true;
}

/* A value from its first byte on, without recursion. */
static const char *value_end(const char *at, const char *end)
{
    struct nest nest = {.depth = 0};

    for (;;) {
        bool object, more = true; /* more: at stands before a member or an element */

        at = blanks(at, end);
        if (at == end)
            return NULL;
        if (*at == '{' || *at == '[') {
            object = *at == '{';
            if (!nest_push(&nest, object))
                return NULL;
            at = blanks(at + 1, end);
            more = !is_at(at, end, object ? '}' : ']');
        } else {
            at = scalar_end(at, end);
            if (at == NULL)
                return NULL;
            if (nest.depth == 0)
                return at;
            object = nest_in_object(&nest);
            at = blanks(at, end);
            more = is_at(at, end, ',');
            at += more;
        }
        while (!more) { /* what was open is closed, or goes on behind a comma */
            if (!is_at(at, end, object ? '}' : ']'))
                return NULL;
            at++;
            if (--nest.depth == 0)
                return at;
            object = nest_in_object(&nest);
            at = blanks(at, end);
            more = is_at(at, end, ',');
            at += more;
        }
        if (object) {
            at = key_end(at, end);
            if (at == NULL)
                return NULL;
        }
    }
}

enum err json_skip(struct str *rest, struct str *value)
{
    struct scan s = scan_of(*rest);
    const char *from = blanks(s.at, s.end);

    if (from == s.end)
        return ERR_NOT_FOUND;
    s.at = value_end(from, s.end);
    if (s.at == NULL)
        return ERR_SYNTAX;
    *value = str_of(from, (size_t)(s.at - from));
    *rest = scan_rest(&s);
    return OK;
}

bool json_valid(struct str text)
{
    struct scan s = scan_of(text);

    s.at = value_end(s.at, s.end);
    return s.at && blanks(s.at, s.end) == s.end;
}

enum json_type json_type(struct str value)
{
    return json_peek(&value);
}

enum json_type json_peek(struct str *rest)
{
    struct scan s = scan_of(*rest);

    s.at = blanks(s.at, s.end);
    *rest = scan_rest(&s);
    if (s.at == s.end)
        return JSON_NONE;
    switch (*s.at) {
    case '{':
        return JSON_OBJECT;
    case '[':
        return JSON_ARRAY;
    case '"':
        return JSON_STRING;
    case 't':
    case 'f':
        return JSON_BOOL;
    case 'n':
        return JSON_NULL;
    default:
        return *s.at == '-' || is_digit(s.at, s.end) ? JSON_NUMBER : JSON_NONE;
    }
}

bool json_is_null(struct str value)
{
    return str_eq(value, STR("null"));
}

/* Enters, or goes on behind a value. ERR_NOT_FOUND: the closing bracket was there and is taken. */
static inline enum err step(struct scan *s, bool *started, char open, char close)
{
    const char *at = blanks(s->at, s->end);
    bool first = !*started;

    if (first) {
        if (!is_at(at, s->end, open))
            return ERR_SYNTAX;
        at = blanks(at + 1, s->end);
        *started = true;
    }
    if (at == s->end)
        return ERR_SYNTAX;
    s->at = at + 1;
    if (*at == close)
        return ERR_NOT_FOUND;
    if (first)
        s->at = at;
    else if (*at != ',')
        return ERR_SYNTAX;
    return OK;
}

enum err json_member(struct str *rest, bool *started, struct arena *a, struct str *key)
{
    struct scan s = scan_of(*rest);
    enum err err = step(&s, started, '{', '}');
    const char *from, *behind;

    if (err == OK) {
        from = blanks(s.at, s.end);
        if (!is_at(from, s.end, '"'))
            return ERR_SYNTAX;
        behind = string_end(from + 1, s.end);
        if (behind == NULL)
            return ERR_SYNTAX;
        err = json_string(str_of(from, (size_t)(behind - from)), a, key);
        if (err != OK)
            return err;
        s.at = blanks(behind, s.end);
        if (!is_at(s.at, s.end, ':'))
            return ERR_SYNTAX;
        s.at++;
    }
    *rest = scan_rest(&s);
    return err;
}

enum err json_element(struct str *rest, bool *started)
{
    struct scan s = scan_of(*rest);
    enum err err = step(&s, started, '[', ']');

    *rest = scan_rest(&s);
    return err;
}

/* The value that has to come behind a key or a comma. */
static enum err take_value(struct str *rest, struct str *value)
{
    return json_skip(rest, value) == OK ? OK : ERR_SYNTAX;
}

enum err json_object_next(struct json_iter *it, struct arena *a, struct str *key, struct str *value)
{
    enum err err = json_member(&it->rest, &it->started, a, key);

    return err == OK ? take_value(&it->rest, value) : err;
}

enum err json_array_next(struct json_iter *it, struct str *value)
{
    enum err err = json_element(&it->rest, &it->started);

    return err == OK ? take_value(&it->rest, value) : err;
}

enum err json_get(struct str object, struct str name, struct arena *a, struct str *value)
{
    struct json_iter it = json_iter(object);
    struct str key, found;
    enum err err, result = ERR_NOT_FOUND;

    while ((err = json_object_next(&it, a, &key, &found)) == OK) {
        if (str_eq(key, name)) {
            *value = found;
            result = OK;
        }
    }
    return err == ERR_NOT_FOUND ? result : err;
}

/* ---- typed reads ---- */

static char *put_utf8(char *to, uint32_t c)
{
    if (c < 0x80) {
        *to++ = (char)c;
    } else if (c < 0x800) {
        *to++ = (char)(0xC0 | c >> 6);
        *to++ = (char)(0x80 | (c & 0x3F));
    } else if (c < 0x10000) {
        *to++ = (char)(0xE0 | c >> 12);
        *to++ = (char)(0x80 | (c >> 6 & 0x3F));
        *to++ = (char)(0x80 | (c & 0x3F));
    } else {
        *to++ = (char)(0xF0 | c >> 18);
        *to++ = (char)(0x80 | (c >> 12 & 0x3F));
        *to++ = (char)(0x80 | (c >> 6 & 0x3F));
        *to++ = (char)(0x80 | (c & 0x3F));
    }
    return to;
}

/* The code unit of "\uXXXX" at the front; false if that is not what stands there. */
static bool code_unit(const struct scan *s, uint32_t *unit)
{
    if (scan_left(s) < 6 || s->at[0] != '\\' || s->at[1] != 'u')
        return false;
    *unit = 0;
    for (int i = 2; i < 6; i++) {
        int digit = hex_digit(s->at[i]);

        if (digit < 0)
            return false;
        *unit = *unit << 4 | (uint32_t)digit;
    }
    return true;
}

/* Takes "\uXXXX", or two of them that form a pair. */
static bool unescape_unicode(struct scan *s, char **to)
{
    uint32_t c, low;

    if (!code_unit(s, &c))
        return false;
    s->at += 6;
    if (c >= 0xD800 && c <= 0xDBFF && code_unit(s, &low) && low >= 0xDC00 && low <= 0xDFFF) {
        s->at += 6;
        c = 0x10000 + ((c - 0xD800) << 10 | (low - 0xDC00));
    } else if (c >= 0xD800 && c <= 0xDFFF) {
        c = 0xFFFD;
    }
    *to = put_utf8(*to, c);
    return true;
}

static bool unescape(struct scan *s, char **to)
{
    static const char letters[] = "\"\\/bfnrt", bytes[] = "\"\\/\b\f\n\r\t";
    const char *letter;

    if (scan_left(s) < 2)
        return false;
    if (s->at[1] == 'u')
        return unescape_unicode(s, to);
    letter = memchr(letters, s->at[1], sizeof letters - 1);
    if (letter == NULL)
        return false;
    *(*to)++ = bytes[letter - letters];
    s->at += 2;
    return true;
}

enum err json_string(struct str value, struct arena *a, struct str *out)
{
    struct scan s;
    char *copy, *to;

    if (value.len < 2 || value.ptr[0] != '"' || value.ptr[value.len - 1] != '"')
        return ERR_SYNTAX;
    value = str_of(value.ptr + 1, value.len - 2);
    if (value.len == 0 || memchr(value.ptr, '\\', value.len) == NULL) {
        *out = value;
        return OK;
    }
    s = scan_of(value);
    copy = to = arena_alloc(a, value.len); /* no escape is shorter than what it stands for */
    while (s.at < s.end) {
        const char *next = memchr(s.at, '\\', scan_left(&s));
        size_t n = (size_t)((next ? next : s.end) - s.at);

        memcpy(to, s.at, n);
        to += n;
        s.at += n;
        if (next != NULL && !unescape(&s, &to))
            return ERR_SYNTAX;
    }
    *out = str_of(copy, (size_t)(to - copy));
    return OK;
}

enum err json_bool(struct str value, bool *out)
{
    bool yes = str_eq(value, STR("true"));

    if (!yes && !str_eq(value, STR("false")))
        return ERR_SYNTAX;
    *out = yes;
    return OK;
}

enum err json_u64(struct str value, uint64_t max, uint64_t *out)
{
    if (value.len > 1 && value.ptr[0] == '0')
        return ERR_SYNTAX;
    return str_to_u64(value, max, out) ? OK : ERR_SYNTAX;
}

enum err json_i64(struct str value, int64_t min, int64_t max, int64_t *out)
{
    bool minus = value.len > 0 && value.ptr[0] == '-';
    uint64_t n;
    int64_t number;

    if (minus)
        value = str_cut(value, 1);
    if (json_u64(value, minus ? (uint64_t)INT64_MAX + 1 : (uint64_t)INT64_MAX, &n) != OK)
        return ERR_SYNTAX;
    number = minus ? (int64_t)(0 - n) : (int64_t)n;
    if (number < min || number > max)
        return ERR_SYNTAX;
    *out = number;
    return OK;
}

enum err json_double(struct str value, double *out)
{
    char small[64], *text = small;
    struct scan s = scan_of(value);

    if (s.at == s.end || number_end(s.at, s.end) != s.end)
        return ERR_SYNTAX;
    if (value.len < sizeof small) {
        memcpy(small, value.ptr, value.len);
        small[value.len] = '\0';
    } else {
        text = str_dupz(value);
    }
    *out = strtod(text, NULL);
    if (text != small)
        mem_free(text);
    return isinf(*out) ? ERR_LIMIT : OK;
}

/* ---- writing ---- */

static void add_escape(struct buf *out, unsigned char c)
{
    static const char bytes[] = "\"\\\b\f\n\r\t", letters[] = "\"\\bfnrt";
    static const char hex[] = "0123456789abcdef";
    const char *at = memchr(bytes, c, sizeof bytes - 1);
    char text[6] = {'\\', 'u', '0', '0', hex[c >> 4], hex[c & 15]};

    if (at != NULL) {
        text[1] = letters[at - bytes];
        buf_add(out, text, 2);
    } else {
        buf_add(out, text, sizeof text);
    }
}

void json_add_string(struct buf *out, struct str text)
{
    struct scan s = scan_of(text);
    const char *from = s.at; /* what is not copied yet begins here */

    buf_add_char(out, '"');
    while (s.at < s.end) {
        unsigned char c;
        size_t n;

        s.at = plain(s.at, s.end);
        if (s.at == s.end)
            break;
        c = (unsigned char)*s.at;
        n = c >= 0x80 ? utf8_char(scan_rest(&s)) : 0;
        if (n > 0) {
            s.at += n;
            continue;
        }
        buf_add(out, from, (size_t)(s.at - from));
        if (c >= 0x80)
            buf_add_lit(out, "\xEF\xBF\xBD");
        else
            add_escape(out, c);
        from = ++s.at;
    }
    buf_add(out, from, (size_t)(s.at - from));
    buf_add_char(out, '"');
}

void json_add_raw(struct buf *out, struct str value)
{
    while (value.len > 0) {
        const char *newline = memchr(value.ptr, '\n', value.len);
        size_t n = newline ? (size_t)(newline - value.ptr) : value.len;

        buf_add(out, value.ptr, n);
        value = str_cut(value, newline ? n + 1 : n);
    }
}
