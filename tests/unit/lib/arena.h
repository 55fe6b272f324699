/* An arena for each case, and texts and bytes to compare in it. */
#pragma once

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/arena.h"
#include "base/base.h"

static struct arena arena = ARENA_INIT;

static int free_arena(void **state)
{
    arena_deinit(&arena);
    return 0;
}

#define CASE(name) cmocka_unit_test_teardown(name, free_arena)

static UNUSED void expect_str(struct str got, struct str expected)
{
    if (!str_eq(got, expected))
        fail_msg("got \"%.*s\", not \"%.*s\"", STR_ARGS(got), STR_ARGS(expected));
}

static UNUSED struct str hex_of(struct str bytes)
{
    static const char digits[] = "0123456789abcdef";
    char *text = arena_alloc(&arena, 2 * bytes.len + 1);

    for (size_t i = 0; i < bytes.len; i++) {
        text[2 * i] = digits[(unsigned char)bytes.ptr[i] >> 4];
        text[2 * i + 1] = digits[(unsigned char)bytes.ptr[i] & 15];
    }
    return str_of(text, 2 * bytes.len);
}

static int digit_value(char c)
{
    return c <= '9' ? c - '0' : c - 'a' + 10;
}

/* Blanks between the bytes are fine. */
static UNUSED struct str from_hex(const char *hex)
{
    char *bytes = arena_alloc(&arena, strlen(hex) / 2 + 1);
    size_t n = 0;

    for (; *hex; hex++) {
        if (*hex == ' ')
            continue;
        bytes[n++] = (char)(digit_value(hex[0]) << 4 | digit_value(hex[1]));
        hex++;
    }
    return str_of(bytes, n);
}
