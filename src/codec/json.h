/* Strict JSON (RFC 8259) as slices of the text: no tree, no recursion, no allocation except for
 * strings with escapes, which are unescaped into an arena. Whatever json_skip yields has been
 * checked completely (grammar, UTF-8, depth), so it may be embedded elsewhere as it is.
 * Owns nothing: slices point into the input. Any thread.
 *
 *     struct json_iter it = json_iter(body);
 *     while ((err = json_object_next(&it, arena, &key, &value)) == OK)
 *         ...;
 *     if (err != ERR_NOT_FOUND)
 *         bad request;
 */
#pragma once

#include "base/arena.h"
#include "base/err.h"
#include "base/str.h"

#define JSON_DEPTH_MAX 128 /* arrays and objects inside each other */

enum json_type {
    JSON_NONE, /* not the beginning of a value */
    JSON_NULL,
    JSON_BOOL,
    JSON_NUMBER,
    JSON_STRING,
    JSON_ARRAY,
    JSON_OBJECT,
};

/* ---- values ---- */

/* Takes one value from the front of rest, with the blanks before it; value comes without blanks.
 * ERR_NOT_FOUND: only blanks were left. ERR_SYNTAX: no valid value; rest stays where it was. */
enum err json_skip(struct str *rest, struct str *value) NODISCARD;

/* Is the whole text exactly one value, with blanks around it? */
bool json_valid(struct str text);

/* By the first byte after blanks; says nothing about the rest of the text. */
enum json_type json_type(struct str value);
bool json_is_null(struct str value); /* exactly null: no blanks */

/* ---- objects and arrays, by slices ---- */

struct json_iter {
    struct str rest;
    bool started; /* past the opening bracket */
};

static inline struct json_iter json_iter(struct str value)
{
    return (struct json_iter){.rest = value};
}

/* The next member; key is unescaped (into a if it has escapes). ERR_NOT_FOUND: there are no more.
 * ERR_SYNTAX: not an object, or broken. Duplicates are yielded like others. */
enum err json_object_next(struct json_iter *it, struct arena *a, struct str *key,
                          struct str *value) NODISCARD;
enum err json_array_next(struct json_iter *it, struct str *value) NODISCARD;
/* The value of a member, of the last one with that name. ERR_NOT_FOUND, ERR_SYNTAX. */
enum err json_get(struct str object, struct str name, struct arena *a, struct str *value) NODISCARD;

/* ---- the same as a cursor, for decoders that descend: every byte is looked at once ---- */

/* Enters the object at rest (*started false) or goes on to its next member. OK: rest stands at the
 * value, which the caller has to take before the next call. ERR_NOT_FOUND: rest is behind "}". */
enum err json_member(struct str *rest, bool *started, struct arena *a, struct str *key) NODISCARD;
enum err json_element(struct str *rest, bool *started) NODISCARD;
/* Type of the value that comes next; skips the blanks before it. */
enum json_type json_peek(struct str *rest);

/* ---- typed reads: value is a slice from above; ERR_SYNTAX when it is of another type ---- */

/* Zero-copy without escapes. A lone surrogate becomes U+FFFD, so the text is always UTF-8. */
enum err json_string(struct str value, struct arena *a, struct str *out) NODISCARD;
enum err json_bool(struct str value, bool *out) NODISCARD;
/* Integers are integer literals: neither 1.0 nor 1e3. ERR_SYNTAX also when out of range. */
enum err json_i64(struct str value, int64_t min, int64_t max, int64_t *out) NODISCARD;
enum err json_u64(struct str value, uint64_t max, uint64_t *out) NODISCARD;
/* Any number. ERR_LIMIT: beyond what a double holds; out is then an infinity. */
enum err json_double(struct str value, double *out) NODISCARD;

/* ---- writing ---- */

/* With quotes; escapes only what JSON requires. Bytes that are not UTF-8 become U+FFFD. */
void json_add_string(struct buf *out, struct str text);
/* A value that is JSON already, without its newline bytes: 0x0A separates messages. */
void json_add_raw(struct buf *out, struct str value);
