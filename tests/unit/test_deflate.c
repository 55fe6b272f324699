#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "base/mem.h"
#include "codec/deflate.h"
#include "core/core.h"
#include "core/kind.h"

#define MEGABYTE ((size_t)1 << 20)

/* A deterministic stand-in for bytes that do not compress. */
static char noise(uint32_t *state)
{
    *state = *state * 1664525 + 1013904223;
    return (char)(*state >> 24);
}

static enum err expand(struct deflate *d, struct str payload, size_t max, struct buf *out)
{
    *out = BUF_INIT(max);
    return deflate_expand(d, payload, out);
}

static void expect_expanded(struct deflate *d, struct str payload, struct str text)
{
    struct buf out;

    assert_int_equal(expand(d, payload, text.len + 1, &out), OK);
    assert_int_equal(out.len, text.len);
    if (text.len > 0)
        assert_memory_equal(out.ptr, text.ptr, text.len);
    buf_deinit(&out);
}

static void expect_refused(struct str payload, enum err err)
{
    struct deflate *d = deflate_new();
    struct buf out;

    assert_int_equal(expand(d, payload, 1000, &out), err);
    buf_deinit(&out);
    /* The next message does not suffer from it. */
    expect_expanded(d, STR("\xf2\x48\xcd\xc9\xc9\x07\x00"), STR("Hello"));
    deflate_free(d);
}

/* The examples of RFC 7692, 7.2.3. */
static void deflate_expands_the_examples_of_the_rfc(void **state)
{
    struct deflate *d = deflate_new();

    expect_expanded(d, STR("\xf2\x48\xcd\xc9\xc9\x07\x00"), STR("Hello"));
    expect_expanded(d, STR("\x00\x05\x00\xfa\xff\x48\x65\x6c\x6c\x6f\x00"), STR("Hello"));
    expect_expanded(d, STR("\xf3\x48\xcd\xc9\xc9\x07\x00\x00"), STR("Hello")); /* a last block */
    expect_expanded(d, STR("\xf2\x48\x05\x00\x00\x00\xff\xff\xca\xc9\xc9\x07\x00"), STR("Hello"));
    expect_expanded(d, STR("\x00"), STR(""));
    deflate_free(d);
}

static void deflate_expands_a_message_that_ends_with_its_last_block(void **state)
{
    struct deflate *d = deflate_new();

    expect_expanded(d, STR("\xf3\x48\xcd\xc9\xc9\x07\x00"), STR("Hello"));
    expect_expanded(d, STR("\xf3\x48\xcd\xc9\xc9\x07\x00\xf3\x48\xcd\xc9\xc9\x07\x00"),
                    STR("HelloHello"));
    deflate_free(d);
}

static void deflate_gives_back_what_it_compressed(void **state)
{
    static const size_t lens[] = {0, 1, 2, 5, 127, 16383, 16384, 16385, 70000, MEGABYTE};
    struct deflate *d = deflate_new();
    char *text = mem_alloc(MEGABYTE), *random = mem_alloc(MEGABYTE);
    uint32_t seed = 1;

    for (size_t i = 0; i < MEGABYTE; i++) {
        text[i] = "{\"channel\":\"news\"}"[i % 18];
        random[i] = noise(&seed);
    }
    for (size_t i = 0; i < ARRAY_LEN(lens); i++) {
        for (int level = 1; level <= 9; level += 4) {
            struct str packed = deflate_compress(d, level, str_of(text, lens[i]));

            assert_true(packed.len < lens[i] / 100 + 40);
            expect_expanded(d, packed, str_of(text, lens[i]));
            packed = deflate_compress(d, level, str_of(random, lens[i]));
            assert_true(packed.len < lens[i] + lens[i] / 100 + 40);
            expect_expanded(d, packed, str_of(random, lens[i]));
        }
    }
    mem_free(text);
    mem_free(random);
    deflate_free(d);
}

/* Whoever joins later, or gets every second message, must understand each one. */
static void deflate_compresses_every_message_on_its_own(void **state)
{
    struct deflate *d = deflate_new();
    struct str text = STR("the same words, the same words, the same bytes");
    struct str first = deflate_compress(d, 6, text);
    struct str kept = str_dup(first);

    assert_true(kept.len < text.len);
    assert_true(str_eq(deflate_compress(d, 6, text), kept));
    deflate_compress(d, 6, STR("the same words"));
    assert_true(str_eq(deflate_compress(d, 6, text), kept));
    deflate_compress(d, 1, text);
    assert_true(str_eq(deflate_compress(d, 6, text), kept));
    str_free(&kept);
    deflate_free(d);
}

/* A sender that keeps its window although that was not agreed on: its second message refers to the
 * first, which is not there any more. */
static void deflate_keeps_no_context_between_messages(void **state)
{
    struct deflate *d = deflate_new();
    struct buf out;

    expect_expanded(d, STR("\xf2\x48\xcd\xc9\xc9\x07\x00"), STR("Hello"));
    assert_int_equal(expand(d, STR("\xf2\x00\x11\x00\x00"), 1000, &out), ERR_SYNTAX);
    buf_deinit(&out);
    deflate_free(d);
}

static void deflate_refuses_what_is_broken(void **state)
{
    static const struct str samples[] = {
        STR(""),
        STR("\x07"),                      /* a reserved kind of block */
        STR("\xff\xff\xff\xff"),          /* the same */
        STR("\x00\x05\x00\xff\xffHello"), /* lengths that contradict each other */
        STR("\xf2\x48\xcd\xc9"),          /* too short */
        STR("\x00\x05\x00\xfa\xffHell"),  /* the same, in a stored block */
        STR("\x00\x05\x00\xfa\xffHello"), /* without the beginning of the flush */
        STR("\x00"
            "\x40\x00\xbf\xff"
            "0123456789"),                   /* announces 64 bytes */
        STR("\x04\xc0\x81\x08\x00\x00\x00"), /* a code of lengths that is none */
        STR("{\"id\":1}"),
    };

    for (size_t i = 0; i < ARRAY_LEN(samples); i++)
        expect_refused(samples[i], ERR_SYNTAX);
}

static void deflate_notices_every_cut(void **state)
{
    struct deflate *d = deflate_new(), *other = deflate_new();
    char text[3000];
    struct str packed;

    for (size_t i = 0; i < sizeof text; i++)
        text[i] = (char)('a' + i * i % 7);
    packed = deflate_compress(d, 9, str_of(text, sizeof text));
    for (size_t cut = 0; cut < packed.len; cut++) {
        struct buf out;

        assert_int_equal(expand(other, str_of(packed.ptr, cut), MEGABYTE, &out), ERR_SYNTAX);
        buf_deinit(&out);
    }
    expect_expanded(other, packed, str_of(text, sizeof text));
    deflate_free(d);
    deflate_free(other);
}

static void deflate_stops_at_the_limit(void **state)
{
    struct deflate *d = deflate_new(), *other = deflate_new();
    size_t len = 64 * MEGABYTE;
    char *zeros = mem_zalloc(len);
    struct str bomb = deflate_compress(d, 9, str_of(zeros, len));
    static const size_t limits[] = {0, 1, 2, 1000, 16384, 16385, 655360};

    assert_true(bomb.len < 70000);
    for (size_t i = 0; i < ARRAY_LEN(limits); i++) {
        struct buf out;

        assert_int_equal(expand(other, bomb, limits[i], &out), ERR_LIMIT);
        assert_int_equal(out.len, limits[i]);
        assert_true(out.cap <= limits[i]);
        buf_deinit(&out);
    }
    assert_true(deflate_memory(other) < 64 * 1024);
    mem_free(zeros);
    deflate_free(d);
    deflate_free(other);
}

static void deflate_takes_a_message_of_exactly_the_limit(void **state)
{
    static const size_t lens[] = {0, 1, 64, 16384, 16385, 50000};
    struct deflate *d = deflate_new();
    char text[50000];

    memset(text, 'x', sizeof text);
    for (size_t i = 0; i < ARRAY_LEN(lens); i++) {
        struct str packed = deflate_compress(d, 1, str_of(text, lens[i]));
        struct buf out;

        assert_int_equal(expand(d, packed, lens[i], &out), OK);
        assert_int_equal(out.len, lens[i]);
        buf_deinit(&out);
        if (lens[i] == 0)
            continue;
        assert_int_equal(expand(d, packed, lens[i] - 1, &out), ERR_LIMIT);
        buf_deinit(&out);
    }
    deflate_free(d);
}

/* Blocks that hold nothing cost what their own bytes cost. */
static void deflate_goes_through_empty_blocks(void **state)
{
    struct deflate *d = deflate_new();
    struct buf stored = BUF_INIT(MEGABYTE), last = BUF_INIT(MEGABYTE);

    while (stored.len < 500000)
        buf_add(&stored, "\x00\x00\x00\xff\xff", 5);
    buf_add(&stored, "\x00", 1);
    expect_expanded(d, buf_str(&stored), STR(""));
    while (last.len < 500000)
        buf_add(&last, "\x03\x00", 2);
    expect_expanded(d, buf_str(&last), STR(""));
    buf_deinit(&stored);
    buf_deinit(&last);
    deflate_free(d);
}

static void deflate_owns_no_stream_before_it_is_used(void **state)
{
    struct deflate *d = deflate_new();

    assert_int_equal(deflate_memory(d), 0);
    expect_expanded(d, STR("\x00"), STR(""));
    assert_in_range(deflate_memory(d), 1, 64 * 1024);
    deflate_compress(d, 1, STR("x"));
    assert_in_range(deflate_memory(d), 1, 512 * 1024);
    deflate_compress(d, 9, STR("x"));
    assert_in_range(deflate_memory(d), 1, 512 * 1024);
    deflate_free(d);
}

/* ---- frames ---- */

static struct core *core_with(struct settings *settings)
{
    struct core *core = mem_zalloc(sizeof *core);

    settings->websocket_compression_level = 1;
    core->settings = settings;
    core->deflate = deflate_new();
    return core;
}

static void core_drop(struct core *core)
{
    deflate_free(core->deflate);
    settings_unref(core->settings);
    mem_free(core);
}

static void kind_marks_what_it_compressed(void **state)
{
    struct core *core = core_with(settings_new(1));
    struct str text = STR("aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa");
    struct frame *f = kind_dress(core, KIND_WS_JSON_DEFLATE, text);

    assert_int_equal((uint8_t)f->bytes[0], 0xC1);
    assert_int_equal(f->len, 2u + (uint8_t)f->bytes[1]);
    assert_true(f->len < text.len);
    expect_expanded(core->deflate, str_of(f->bytes + 2, f->len - 2), text);
    frame_unref(f);
    f = kind_dress(core, KIND_WS_PROTOBUF_DEFLATE, text);
    assert_int_equal((uint8_t)f->bytes[0], 0xC2);
    frame_unref(f);
    core_drop(core);
}

static void kind_compresses_nothing_for_those_who_did_not_agree(void **state)
{
    struct core *core = core_with(settings_new(1));
    struct str text = STR("aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa");
    struct frame *f = kind_dress(core, KIND_WS_JSON, text);

    assert_int_equal((uint8_t)f->bytes[0], 0x81);
    assert_true(str_eq(str_of(f->bytes + 2, f->len - 2), text));
    frame_unref(f);
    f = kind_dress(core, KIND_WS_PROTOBUF, text);
    assert_int_equal((uint8_t)f->bytes[0], 0x82);
    frame_unref(f);
    assert_int_equal(deflate_memory(core->deflate), 0);
    core_drop(core);
}

static void kind_leaves_alone_what_is_short_or_does_not_shrink(void **state)
{
    struct core *core = core_with(settings_new(1));
    struct str text = STR("aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa");
    struct frame *f = kind_dress(core, KIND_WS_JSON_DEFLATE, STR("{}"));

    assert_int_equal(f->len, 4);
    assert_memory_equal(f->bytes, "\x81\x02{}", 4);
    frame_unref(f);
    core->settings->websocket_compression_min_size = (int64_t)text.len;
    f = kind_dress(core, KIND_WS_JSON_DEFLATE, text);
    assert_int_equal((uint8_t)f->bytes[0], 0x81);
    frame_unref(f);
    core->settings->websocket_compression_min_size--;
    f = kind_dress(core, KIND_WS_JSON_DEFLATE, text);
    assert_int_equal((uint8_t)f->bytes[0], 0xC1);
    frame_unref(f);
    core_drop(core);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(deflate_expands_the_examples_of_the_rfc),
        cmocka_unit_test(deflate_expands_a_message_that_ends_with_its_last_block),
        cmocka_unit_test(deflate_gives_back_what_it_compressed),
        cmocka_unit_test(deflate_compresses_every_message_on_its_own),
        cmocka_unit_test(deflate_keeps_no_context_between_messages),
        cmocka_unit_test(deflate_refuses_what_is_broken),
        cmocka_unit_test(deflate_notices_every_cut),
        cmocka_unit_test(deflate_stops_at_the_limit),
        cmocka_unit_test(deflate_takes_a_message_of_exactly_the_limit),
        cmocka_unit_test(deflate_goes_through_empty_blocks),
        cmocka_unit_test(deflate_owns_no_stream_before_it_is_used),
        cmocka_unit_test(kind_marks_what_it_compressed),
        cmocka_unit_test(kind_compresses_nothing_for_those_who_did_not_agree),
        cmocka_unit_test(kind_leaves_alone_what_is_short_or_does_not_shrink),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
