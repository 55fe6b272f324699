/* Both encodings of every message, as the specification and the reference have them. */
#include "lib/arena.h"

#include "base/mem.h"
#include "codec/json.h"
#include "codec/wire.h"
#include "lib/wire_vectors.h"

#include <stdio.h>

#define OUT_MAX (1 << 20)

static void wire_writes_both_encodings_as_specified(void **state)
{
    for (size_t i = 0; i < ARRAY_LEN(wire_vectors); i++) {
        const struct wire_vector *v = &wire_vectors[i];
        struct buf json = BUF_INIT(OUT_MAX), pb = BUF_INIT(OUT_MAX);
        void *message = arena_alloc(&arena, v->desc->size);

        assert_int_equal(wire_decode(WIRE_JSON, v->desc, str_from(v->json), &arena, message), OK);
        wire_add_message(WIRE_PROTOBUF, &pb, v->desc, message);
        expect_str(hex_of(buf_str(&pb)), str_from(v->hex));
        assert_int_equal(wire_decode(WIRE_PROTOBUF, v->desc, buf_str(&pb), &arena, message), OK);
        wire_add_message(WIRE_JSON, &json, v->desc, message);
        expect_str(buf_str(&json), str_from(v->json));
        assert_true(json_valid(buf_str(&json)));
        buf_deinit(&json);
        buf_deinit(&pb);
        arena_reset(&arena);
    }
}

static void wire_describes_each_message_once(void **state)
{
    static const struct wire_desc *const all[] = {
#define DESC(name, FIELDS) &wire_desc_##name,
        WIRE_MESSAGE_LIST(DESC)
#undef DESC
    };

    assert_int_equal(ARRAY_LEN(all), ARRAY_LEN(wire_vectors));
    for (size_t i = 0; i < ARRAY_LEN(all); i++) {
        size_t seen = 0;

        for (size_t k = 0; k < ARRAY_LEN(wire_vectors); k++)
            seen += wire_vectors[k].desc == all[i];
        if (seen != 1)
            fail_msg("%s", all[i]->name);
    }
}

static void wire_refuses_every_cut_off_message(void **state)
{
    for (size_t i = 0; i < ARRAY_LEN(wire_vectors); i++) {
        const struct wire_vector *v = &wire_vectors[i];
        struct str json = str_from(v->json), pb;
        void *message = arena_alloc(&arena, v->desc->size);

        for (size_t n = 0; n < json.len; n++) {
            struct str copy = str_dup(str_of(json.ptr, n));

            assert_int_equal(wire_decode(WIRE_JSON, v->desc, copy, &arena, message), ERR_SYNTAX);
            str_free(&copy);
        }
        pb = from_hex(v->hex);
        for (size_t n = 0; n < pb.len; n++) { /* may be complete at the end of a field */
            struct str copy = str_dup(str_of(pb.ptr, n));
            enum err err = wire_decode(WIRE_PROTOBUF, v->desc, copy, &arena, message);

            assert_true(err == OK || err == ERR_SYNTAX);
            str_free(&copy);
        }
        arena_reset(&arena);
    }
}

/* ---- the reference vectors ---- */

static void expect_command(const char *hex, const char *json)
{
    struct str pb = from_hex(hex), text = str_from(json);
    struct wire_command from_pb, from_json;
    struct buf out = BUF_INIT(OUT_MAX);

    assert_int_equal(wire_next(WIRE_PROTOBUF, &pb, &arena, &from_pb), OK);
    assert_int_equal(pb.len, 0);
    wire_add_message(WIRE_JSON, &out, &wire_desc_command, &from_pb);
    expect_str(buf_str(&out), text);
    buf_clear(&out);
    assert_int_equal(wire_next(WIRE_JSON, &text, &arena, &from_json), OK);
    wire_pb_add_delimited(&out, &wire_desc_command, &from_json);
    expect_str(hex_of(buf_str(&out)), hex_of(from_hex(hex)));
    buf_deinit(&out);
}

static void wire_reads_the_reference_commands(void **state)
{
    expect_command("00", "{}");
    expect_command("04 08 01 22 00", "{\"id\":1,\"connect\":{}}");
    expect_command("0c 08 01 22 08 22 06 63 2d 64 65 6d 6f",
                   "{\"id\":1,\"connect\":{\"name\":\"c-demo\"}}");
    expect_command("0c 08 02 2a 08 0a 04 6e 65 77 73 70 01",
                   "{\"id\":2,\"subscribe\":{\"channel\":\"news\",\"flag\":1}}");
}

static void expect_reply(const struct wire_reply *reply, const char *hex, const char *json)
{
    struct buf out = BUF_INIT(OUT_MAX);

    wire_add_reply(WIRE_PROTOBUF, &out, reply);
    expect_str(hex_of(buf_str(&out)), hex_of(from_hex(hex)));
    buf_clear(&out);
    wire_add_reply(WIRE_JSON, &out, reply);
    expect_str(buf_str(&out), str_from(json));
    buf_deinit(&out);
}

static void wire_writes_the_reference_replies(void **state)
{
    const struct wire_connect_result connect = {.client = STR("c1"), .ping = 25, .pong = true};
    const struct wire_subscribe_result subscribe = {.epoch = STR_NONE};
    const struct wire_unsubscribe_result unsubscribe = {};
    const struct wire_publish_result publish = {};
    const struct wire_error error = {.code = 103, .message = STR("permission denied")};
    const struct wire_publication pub = {.data = STR("{\"a\":1}"), .offset = 7};
    const struct wire_push push = {.channel = STR("news"), .pub = &pub};

    expect_reply(&(struct wire_reply){.id = 0}, "00", "{}");
    expect_reply(&(struct wire_reply){.id = 1, .connect = &connect},
                 "0c 08 01 2a 08 0a 02 63 31 38 19 40 01",
                 "{\"id\":1,\"connect\":{\"client\":\"c1\",\"ping\":25,\"pong\":true}}");
    expect_reply(&(struct wire_reply){.id = 2, .subscribe = &subscribe}, "04 08 02 32 00",
                 "{\"id\":2,\"subscribe\":{}}");
    expect_reply(&(struct wire_reply){.id = 3, .unsubscribe = &unsubscribe}, "04 08 03 3a 00",
                 "{\"id\":3,\"unsubscribe\":{}}");
    expect_reply(&(struct wire_reply){.id = 4, .publish = &publish}, "04 08 04 42 00",
                 "{\"id\":4,\"publish\":{}}");
    expect_reply(&(struct wire_reply){.id = 5, .error = &error},
                 "19 08 05 12 15 08 67 12 11 70 65 72 6d 69 73 73 69 6f 6e 20 64 65 6e 69 65 64",
                 "{\"id\":5,\"error\":{\"code\":103,\"message\":\"permission denied\"}}");
    expect_reply(&(struct wire_reply){.push = &push},
                 "15 22 13 12 04 6e 65 77 73 22 0b 22 07 7b 22 61 22 3a 31 7d 30 07",
                 "{\"push\":{\"channel\":\"news\",\"pub\":{\"data\":{\"a\":1},\"offset\":7}}}");
}

static void wire_writes_score_and_tags_as_the_reference_does(void **state)
{
    const struct wire_pair tag = {STR("k"), STR("v")};
    const struct wire_publication pub = {.tags = {&tag, 1}, .score = -1};
    struct buf out = BUF_INIT(OUT_MAX);

    wire_add_message(WIRE_PROTOBUF, &out, &wire_desc_publication, &pub);
    expect_str(hex_of(buf_str(&out)), STR("3a060a016b1201766801"));
    buf_deinit(&out);
}

static void wire_writes_what_must_never_be_missing(void **state)
{
    const struct wire_client_info info = {.user = STR_NONE};
    const struct wire_presence_result presence = {.presence = {NULL, 0}};
    const struct wire_presence_stats_result stats = {.num_clients = 0};
    const struct wire_history_result history = {.offset = 0};
    struct buf out = BUF_INIT(OUT_MAX);

    wire_add_message(WIRE_JSON, &out, &wire_desc_client_info, &info);
    wire_add_message(WIRE_JSON, &out, &wire_desc_presence_result, &presence);
    wire_add_message(WIRE_JSON, &out, &wire_desc_presence_stats_result, &stats);
    wire_add_message(WIRE_JSON, &out, &wire_desc_history_result, &history);
    expect_str(buf_str(&out), STR("{\"user\":\"\",\"client\":\"\"}"
                                  "{\"presence\":{}}"
                                  "{\"num_clients\":0,\"num_users\":0}"
                                  "{\"publications\":[],\"epoch\":\"\",\"offset\":0}"));
    buf_clear(&out);
    wire_add_message(WIRE_PROTOBUF, &out, &wire_desc_history_result, &history);
    assert_int_equal(out.len, 0);
    buf_deinit(&out);
}

static void wire_lengths_of_any_size_come_out_right(void **state)
{
    static const size_t sizes[] = {0,     1,     100,   118,   119,   120,   121, 122,
                                   123,   124,   125,   126,   127,   128,   129, 16370,
                                   16371, 16380, 16383, 16384, 16385, 100000};
    char *data = mem_alloc(100000);

    memset(data, '7', 100000);
    for (size_t i = 0; i < ARRAY_LEN(sizes); i++) {
        const struct wire_publication pub = {.data = str_of(data, sizes[i]), .offset = 3};
        const struct wire_push push = {.channel = STR("c"), .pub = &pub};
        struct wire_reply back;
        struct buf out = BUF_INIT(OUT_MAX);
        size_t prefix = 0;

        wire_add_reply(WIRE_PROTOBUF, &out, &(struct wire_reply){.push = &push});
        while (out.ptr[prefix] & 0x80)
            prefix++;
        assert_int_equal(wire_decode(WIRE_PROTOBUF, &wire_desc_reply,
                                     str_cut(buf_str(&out), prefix + 1), &arena, &back),
                         OK);
        expect_str(back.push->channel, STR("c"));
        assert_int_equal(back.push->pub->offset, 3);
        expect_str(back.push->pub->data, pub.data);
        buf_deinit(&out);
    }
    mem_free(data);
}

static void wire_output_that_does_not_fit_sets_overflow(void **state)
{
    const struct wire_publication pub = {.data = STR("[1,2,3,4,5,6,7,8,9,10]"), .offset = 3};
    const struct wire_push push = {.channel = STR("channel"), .pub = &pub};
    const struct wire_reply reply = {.id = 1, .push = &push};

    for (int wire = 0; wire < 2; wire++) {
        struct buf whole = BUF_INIT(OUT_MAX);

        wire_add_reply((enum wire)wire, &whole, &reply);
        assert_false(whole.overflow);
        for (size_t max = 0; max < whole.len; max++) {
            struct buf out = BUF_INIT(max);

            wire_add_reply((enum wire)wire, &out, &reply);
            assert_true(out.overflow);
            buf_deinit(&out);
        }
        buf_deinit(&whole);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(wire_writes_both_encodings_as_specified),
        CASE(wire_describes_each_message_once),
        CASE(wire_refuses_every_cut_off_message),
        CASE(wire_reads_the_reference_commands),
        CASE(wire_writes_the_reference_replies),
        CASE(wire_writes_score_and_tags_as_the_reference_does),
        CASE(wire_writes_what_must_never_be_missing),
        CASE(wire_lengths_of_any_size_come_out_right),
        CASE(wire_output_that_does_not_fit_sets_overflow),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
