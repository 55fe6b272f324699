/* Any text as JSON. What the scanner accepts must come back the same through every other door. */
#include "base/check.h"
#include "codec/json.h"
#include "base/utf8.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void try_scalars(struct str value, struct arena *a)
{
    struct buf out = BUF_INIT(1 << 24);
    struct str text, again;
    int64_t i;
    uint64_t u;
    double d;
    bool b;

    if (json_string(value, a, &text) == OK) {
        CHECK(utf8_valid(text));
        json_add_string(&out, text);
        CHECK(json_valid(buf_str(&out)));
        CHECK(json_string(buf_str(&out), a, &again) == OK && str_eq(text, again));
    }
    if (json_i64(value, INT64_MIN, INT64_MAX, &i) == OK)
        CHECK(json_type(value) == JSON_NUMBER && json_double(value, &d) == OK);
    if (json_u64(value, UINT64_MAX, &u) == OK)
        CHECK(json_type(value) == JSON_NUMBER);
    if (json_bool(value, &b) == OK)
        CHECK(json_type(value) == JSON_BOOL);
    buf_deinit(&out);
}

/* A caller may forget to check the text first; that must still do no harm. */
static void read_unchecked(struct str text, struct arena *a)
{
    struct str string;
    double number;

    if (json_string(text, a, &string) == OK)
        CHECK(string.len <= text.len);
    if (json_double(text, &number) == OK)
        CHECK(json_valid(text));
}

/* Walks a value that is known to be valid; depth is bounded by JSON_DEPTH_MAX. */
static void walk(struct str value, struct arena *a, unsigned depth)
{
    struct json_iter it = json_iter(value);
    struct str key, inner;
    enum err err = ERR_NOT_FOUND;

    CHECK(depth <= JSON_DEPTH_MAX);
    if (json_type(value) == JSON_OBJECT) {
        while ((err = json_object_next(&it, a, &key, &inner)) == OK) {
            CHECK(utf8_valid(key));
            walk(inner, a, depth + 1);
        }
    } else if (json_type(value) == JSON_ARRAY) {
        while ((err = json_array_next(&it, &inner)) == OK)
            walk(inner, a, depth + 1);
    } else {
        try_scalars(value, a);
    }
    CHECK(err == ERR_NOT_FOUND);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct str text = str_of((const char *)data, size), rest = text, value, key;
    struct arena a = ARENA_INIT;
    struct buf out = BUF_INIT(1 << 24);
    struct json_iter it = json_iter(text);

    while (json_skip(&rest, &value) == OK) {
        CHECK(json_valid(value) && utf8_valid(value));
        walk(value, &a, 0);
        json_add_raw(&out, value);
        CHECK(str_find(buf_str(&out), '\n') < 0 && json_valid(buf_str(&out)));
        buf_clear(&out);
    }
    if (json_valid(text))
        CHECK(json_type(text) != JSON_NONE);
    while (json_object_next(&it, &a, &key, &value) == OK)
        try_scalars(value, &a);
    read_unchecked(text, &a);
    json_add_string(&out, text);
    CHECK(json_valid(buf_str(&out)));
    buf_deinit(&out);
    arena_deinit(&a);
    return 0;
}
