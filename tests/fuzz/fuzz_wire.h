/* What the two fuzzers of the protocol's messages share: whatever one encoding accepts must come
 * back from both, unchanged. */
#pragma once

#include "base/check.h"
#include "codec/json.h"
#include "codec/wire.h"

#define FUZZ_OUT_MAX ((size_t)1 << 28)

/* Writes the message, reads it back and writes it again: both texts must be equal. */
static void fuzz_round_trip(enum wire wire, const struct wire_desc *desc, const void *message)
{
    struct arena a = ARENA_INIT;
    struct buf first = BUF_INIT(FUZZ_OUT_MAX), second = BUF_INIT(FUZZ_OUT_MAX);
    void *back = arena_zalloc(&a, desc->size);

    wire_add_message(wire, &first, desc, message);
    CHECK(!first.overflow);
    if (wire == WIRE_JSON)
        CHECK(json_valid(buf_str(&first)) && str_find(buf_str(&first), '\n') < 0);
    CHECK(wire_decode(wire, desc, buf_str(&first), &a, back) == OK);
    wire_add_message(wire, &second, desc, back);
    CHECK(str_eq(buf_str(&first), buf_str(&second)));
    buf_deinit(&first);
    buf_deinit(&second);
    arena_deinit(&a);
}
