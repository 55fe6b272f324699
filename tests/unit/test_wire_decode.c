/* What is taken for a message and what is refused, in both encodings, and within which limits. */
#include "lib/arena.h"

#include "base/mem.h"
#include "codec/json.h"
#include "codec/wire.h"

#include <stdio.h>

#define OUT_MAX (1 << 20)

/* A heap copy without spare room, so that a sanitizer sees a read behind the end. */
static enum err next_exact(enum wire wire, struct str text, size_t *commands)
{
    struct str copy = str_dup(text), rest = copy;
    struct wire_command command;
    enum err err;

    *commands = 0;
    while ((err = wire_next(wire, &rest, &arena, &command)) == OK)
        ++*commands;
    str_free(&copy);
    arena_reset(&arena);
    return err;
}

static void expect_message(enum wire wire, struct str text, enum err expected, size_t commands)
{
    size_t got;
    enum err err = next_exact(wire, text, &got);

    if (err != expected || got != commands)
        fail_msg("%.*s: err %d after %zu commands", STR_ARGS(text), err, got);
}

/* ---- decoding rules of JSON ---- */

static struct wire_command one_json(struct str text)
{
    struct wire_command command;
    enum err err = wire_next(WIRE_JSON, &text, &arena, &command);

    if (err != OK)
        fail_msg("err %d for %.*s", err, STR_ARGS(text));
    return command;
}

static void wire_takes_several_commands_of_one_frame(void **state)
{
    struct str rest = STR("{\"id\":1}\n {\"id\":2} \r\n{\"id\":3}\n");
    struct wire_command command;

    for (uint32_t i = 1; i <= 3; i++) {
        assert_int_equal(wire_next(WIRE_JSON, &rest, &arena, &command), OK);
        assert_int_equal(command.id, i);
    }
    assert_int_equal(wire_next(WIRE_JSON, &rest, &arena, &command), ERR_NOT_FOUND);
    rest = from_hex("02 08 01 00 02 08 03");
    assert_int_equal(wire_next(WIRE_PROTOBUF, &rest, &arena, &command), OK);
    assert_int_equal(command.id, 1);
    assert_int_equal(wire_next(WIRE_PROTOBUF, &rest, &arena, &command), OK);
    assert_int_equal(command.id, 0);
    assert_int_equal(wire_next(WIRE_PROTOBUF, &rest, &arena, &command), OK);
    assert_int_equal(command.id, 3);
    assert_int_equal(wire_next(WIRE_PROTOBUF, &rest, &arena, &command), ERR_NOT_FOUND);
}

static void wire_json_tolerates_what_the_reference_does(void **state)
{
    struct wire_command c;

    expect_message(WIRE_JSON, STR("{}"), ERR_NOT_FOUND, 1);
    expect_message(WIRE_JSON, STR("{}\n"), ERR_NOT_FOUND, 1);
    expect_message(WIRE_JSON, STR("{} garbage\n{}]"), ERR_NOT_FOUND, 2);
    expect_message(WIRE_JSON, STR("{\"no\":{\"such\":[1,\"\\u00e9\"]},\"field\":1.5}"),
                   ERR_NOT_FOUND, 1);
    c = one_json(STR("{\"ID\":5,\"Sub_Refresh\":{\"CHANNEL\":\"x\"}}"));
    assert_int_equal(c.id, 5);
    expect_str(c.sub_refresh->channel, STR("x"));
    c = one_json(STR("{\"id\":null,\"connect\":null,\"send\":{\"data\":null}}"));
    assert_int_equal(c.id, 0);
    assert_null(c.connect);
    expect_str(c.send->data, STR("null"));
    c = one_json(STR("{\"subscribe\":{\"channel\":null,\"recover\":null,\"tf\":null,"
                     "\"offset\":null}}"));
    expect_str(c.subscribe->channel, STR(""));
    assert_null(c.subscribe->tf);
    c = one_json(STR("{\"connect\":{\"subs\":null,\"headers\":null}}"));
    assert_int_equal(c.connect->subs.count, 0);
    c = one_json(STR("{\"connect\":{\"subs\":{\"a\":null},\"headers\":{\"h\":null}}}"));
    assert_non_null(c.connect->subs.ptr[0].value);
    expect_str(c.connect->headers.ptr[0].key, STR("h"));
    expect_str(c.connect->headers.ptr[0].value, STR(""));
    c = one_json(STR("{\"subscribe\":{\"tf\":{\"nodes\":[null,{\"key\":\"k\"}]}}}"));
    assert_int_equal(c.subscribe->tf->nodes.count, 2);
    expect_str(c.subscribe->tf->nodes.ptr[1].key, STR("k"));
}

static void wire_json_takes_the_last_of_duplicates(void **state)
{
    struct wire_command c =
        one_json(STR("{\"id\":1,\"connect\":{\"token\":\"a\",\"name\":\"n\"},\"Id\":2,"
                     "\"connect\":{\"token\":\"b\",\"headers\":{\"x\":\"1\",\"y\":\"2\"},"
                     "\"headers\":{\"z\":\"3\"}}}"));

    assert_int_equal(c.id, 2);
    expect_str(c.connect->token, STR("b"));
    expect_str(c.connect->name, STR(""));
    assert_int_equal(c.connect->headers.count, 1);
    expect_str(c.connect->headers.ptr[0].key, STR("z"));
}

static void wire_json_refuses_what_is_no_command(void **state)
{
    static const struct {
        struct str text;
        size_t good; /* commands before the bad one */
    } rows[] = {
        {STR("\n"), 0},
        {STR("\n{}"), 0},
        {STR("{}\n\n"), 1},
        {STR("{}\n\n{}"), 1},
        {STR(" "), 0},
        {STR("null"), 0},
        {STR("[]"), 0},
        {STR("\"\""), 0},
        {STR("0"), 0},
        {STR("x"), 0},
        {STR("{"), 0},
        {STR("{}\n{\"id\":1,}"), 1},
        {STR("{\n}"), 0},
        {STR("{\"id\":\"1\"}"), 0},
        {STR("{\"id\":-1}"), 0},
        {STR("{\"id\":4294967296}"), 0},
        {STR("{\"id\":18446744073709551616}"), 0},
        {STR("{\"id\":1.0}"), 0},
        {STR("{\"id\":1e2}"), 0},
        {STR("{\"id\":true}"), 0},
        {STR("{\"id\":{}}"), 0},
        {STR("{\"id\":01}"), 0},
        {STR("{\"connect\":[]}"), 0},
        {STR("{\"connect\":1}"), 0},
        {STR("{\"connect\":{\"token\":1}}"), 0},
        {STR("{\"connect\":{\"subs\":[]}}"), 0},
        {STR("{\"connect\":{\"subs\":{\"a\":1}}}"), 0},
        {STR("{\"connect\":{\"headers\":{\"a\":1}}}"), 0},
        {STR("{\"connect\":{\"flag\":9223372036854775808}}"), 0},
        {STR("{\"subscribe\":{\"recover\":1}}"), 0},
        {STR("{\"subscribe\":{\"offset\":-1}}"), 0},
        {STR("{\"subscribe\":{\"offset\":18446744073709551616}}"), 0},
        {STR("{\"subscribe\":{\"type\":2147483648}}"), 0},
        {STR("{\"subscribe\":{\"tf\":{\"vals\":\"x\"}}}"), 0},
        {STR("{\"subscribe\":{\"tf\":{\"vals\":[null]}}}"), 0},
        {STR("{\"subscribe\":{\"tf\":{\"nodes\":{}}}}"), 0},
        {STR("{\"send\":{\"data\":}}"), 0},
        {STR("{\"send\":{\"data\":[1,2}}"), 0},
        {STR("{\"send\":{\"data\":\"\xFF\"}}"), 0},
        {STR("{\"unknown\":[1,}"), 0},
    };

    for (size_t i = 0; i < ARRAY_LEN(rows); i++)
        expect_message(WIRE_JSON, rows[i].text, ERR_SYNTAX, rows[i].good);
    expect_message(WIRE_JSON, STR(""), ERR_NOT_FOUND, 0);
    expect_message(WIRE_PROTOBUF, STR(""), ERR_NOT_FOUND, 0);
}

static void wire_json_unescapes_text_and_keeps_raw_as_it_is(void **state)
{
    struct str text =
        STR("{\"publish\":{\"channel\":\"a\\u0000\\uD83D\",\"data\": [ 1.0 ,\"\\u00e9\","
            "12345678901234567890 ] }}");
    struct wire_command c = one_json(text);

    expect_str(c.publish->channel, STR("a\0\xEF\xBF\xBD"));
    expect_str(c.publish->data, STR("[ 1.0 ,\"\\u00e9\",12345678901234567890 ]"));
    assert_true(c.publish->data.ptr > text.ptr && c.publish->data.ptr < text.ptr + text.len);
}

static void wire_decode_takes_a_whole_text_only(void **state)
{
    struct wire_emulation_request r;
    struct wire_connect_request connect;

    assert_int_equal(wire_decode(WIRE_JSON, &wire_desc_emulation_request,
                                 STR(" {\"session\":\"s\",\n\"node\":\"n\",\"data\":\"{}\"} \n"),
                                 &arena, &r),
                     OK);
    expect_str(r.data, STR("\"{}\""));
    assert_int_equal(wire_decode(WIRE_JSON, &wire_desc_emulation_request, STR("{} x"), &arena, &r),
                     ERR_SYNTAX);
    assert_int_equal(wire_decode(WIRE_JSON, &wire_desc_emulation_request, STR(""), &arena, &r),
                     ERR_SYNTAX);
    assert_int_equal(
        wire_decode(WIRE_JSON, &wire_desc_connect_request, STR("null"), &arena, &connect), OK);
    expect_str(connect.token, STR(""));
}

/* ---- decoding rules of Protobuf ---- */

static void wire_pb_tolerates_what_proto3_does(void **state)
{
    struct str rest;
    struct wire_command c;

    /* unknown fields of each form, then id 1; the order is free */
    rest = from_hex("1c a0 06 01 a1 06 0102030405060708 a2 06 02 6162 a5 06 01020304 22 00 08 01");
    assert_int_equal(wire_next(WIRE_PROTOBUF, &rest, &arena, &c), OK);
    assert_int_equal(c.id, 1);
    assert_non_null(c.connect);
    /* a number wider than the field is cut to 32 bits */
    rest = from_hex("07 08 85 80 80 80 f0 01");
    assert_int_equal(wire_next(WIRE_PROTOBUF, &rest, &arena, &c), OK);
    assert_int_equal(c.id, 5);
    /* connect in two pieces: name "a", then version "b" */
    rest = from_hex("0a 22 03 22 01 61 22 03 2a 01 62");
    assert_int_equal(wire_next(WIRE_PROTOBUF, &rest, &arena, &c), OK);
    expect_str(c.connect->name, STR("a"));
    expect_str(c.connect->version, STR("b"));
    /* a map entry without key and value, and one with the value first */
    rest = from_hex("0c 22 0a 32 00 32 06 12 01 76 0a 01 6b");
    assert_int_equal(wire_next(WIRE_PROTOBUF, &rest, &arena, &c), OK);
    assert_int_equal(c.connect->headers.count, 2);
    expect_str(c.connect->headers.ptr[0].key, STR(""));
    expect_str(c.connect->headers.ptr[1].key, STR("k"));
    expect_str(c.connect->headers.ptr[1].value, STR("v"));
    /* a subs entry without value is an empty message */
    rest = from_hex("07 22 05 1a 03 0a 01 61");
    assert_int_equal(wire_next(WIRE_PROTOBUF, &rest, &arena, &c), OK);
    expect_str(c.connect->subs.ptr[0].key, STR("a"));
    assert_non_null(c.connect->subs.ptr[0].value);
    /* data is any bytes */
    rest = from_hex("06 62 04 0a 02 ff 00");
    assert_int_equal(wire_next(WIRE_PROTOBUF, &rest, &arena, &c), OK);
    expect_str(hex_of(c.send->data), STR("ff00"));
}

static void wire_pb_refuses_what_is_no_command(void **state)
{
    static const char *const bad[] = {
        "01",                                  /* length without bytes */
        "05 08 01 22 00",                      /* one byte missing */
        "80",                                  /* varint cut off */
        "ff ff ff ff ff ff ff ff ff 01",       /* 2^64-1 bytes announced */
        "80 80 80 80 80 80 80 80 80 01 00",    /* 2^63 */
        "ff ff ff ff ff ff ff ff ff 02 00",    /* beyond 64 bits */
        "80 80 80 80 80 80 80 80 80 80 01 00", /* eleven bytes */
        "01 08",                               /* tag without value */
        "02 08 80",                            /* value cut off */
        "0c 08 80 80 80 80 80 80 80 80 80 80 01",
        "02 22 01", /* sub-message longer than its command */
        "06 22 ff ff ff ff 0f",
        "01 0b",
        "02 0b 0c", /* groups */
        "02 a3 06",
        "02 0e 00",
        "02 0f 00", /* forms that do not exist */
        "02 00 00",
        "02 02 00",                /* field number 0 */
        "06 f8 ff ff ff 1f 00",    /* field number beyond 2^29 */
        "02 0a 00",                /* id as bytes */
        "02 20 00",                /* connect as a number */
        "05 25 01 02 03 04",       /* connect as fixed32 */
        "04 a1 06 01 02",          /* fixed64 cut off */
        "04 a5 06 01 02",          /* fixed32 cut off */
        "05 22 03 22 01 ff",       /* name is not UTF-8 */
        "07 22 05 32 03 0a 01 ff", /* key of a map is not UTF-8 */
        "06 22 04 32 02 08 01",    /* key of a map is a number */
        "06 22 04 1a 02 12 05",    /* value of a map is cut off */
        "07 2a 05 6a 03 2a 01 ff", /* item of a list is not UTF-8 */
    };

    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        struct str bytes = from_hex(bad[i]);
        size_t commands;

        if (next_exact(WIRE_PROTOBUF, bytes, &commands) != ERR_SYNTAX || commands != 0)
            fail_msg("accepted %s", bad[i]);
    }
}

static void wire_reads_every_integer_in_both_encodings(void **state)
{
    static const int64_t numbers[] = {0,         1,         -1,        127,       128,
                                      INT32_MAX, INT32_MIN, INT64_MAX, INT64_MIN, 1LL << 35};

    for (size_t i = 0; i < ARRAY_LEN(numbers); i++) {
        const struct wire_publication pub = {.offset = (uint64_t)numbers[i],
                                             .time = numbers[i],
                                             .score = numbers[i],
                                             .version = (uint64_t)numbers[i]};
        const struct wire_subscribe_request sub = {.type = (int32_t)numbers[i],
                                                   .limit = (int32_t)numbers[i]};
        const struct wire_disconnect disconnect = {.code = (uint32_t)numbers[i]};

        for (int wire = 0; wire < 2; wire++) {
            struct buf out = BUF_INIT(OUT_MAX);
            struct wire_publication pub_back;
            struct wire_subscribe_request sub_back;
            struct wire_disconnect disconnect_back;

            wire_add_message((enum wire)wire, &out, &wire_desc_publication, &pub);
            assert_int_equal(wire_decode((enum wire)wire, &wire_desc_publication, buf_str(&out),
                                         &arena, &pub_back),
                             OK);
            assert_true(pub_back.offset == pub.offset && pub_back.version == pub.version);
            assert_true(pub_back.time == pub.time && pub_back.score == pub.score);
            buf_clear(&out);
            wire_add_message((enum wire)wire, &out, &wire_desc_subscribe_request, &sub);
            assert_int_equal(wire_decode((enum wire)wire, &wire_desc_subscribe_request,
                                         buf_str(&out), &arena, &sub_back),
                             OK);
            assert_true(sub_back.type == sub.type && sub_back.limit == sub.limit);
            buf_clear(&out);
            wire_add_message((enum wire)wire, &out, &wire_desc_disconnect, &disconnect);
            assert_int_equal(wire_decode((enum wire)wire, &wire_desc_disconnect, buf_str(&out),
                                         &arena, &disconnect_back),
                             OK);
            assert_true(disconnect_back.code == disconnect.code);
            buf_deinit(&out);
        }
    }
}

/* ---- limits ---- */

/* A filter of so many nodes inside each other. */
static struct buf nested_filter(enum wire wire, size_t depth)
{
    struct wire_filter_node *nodes = mem_zalloc(depth * sizeof *nodes);
    struct wire_subscribe_request sub = {.tf = nodes};
    struct wire_command command = {.subscribe = &sub};
    struct buf out = BUF_INIT(OUT_MAX);

    for (size_t i = 0; i + 1 < depth; i++)
        nodes[i].nodes = (struct wire_filter_node_list){&nodes[i + 1], 1};
    if (wire == WIRE_JSON)
        wire_json_add(&out, &wire_desc_command, &command);
    else
        wire_pb_add_delimited(&out, &wire_desc_command, &command);
    mem_free(nodes);
    return out;
}

static void wire_bounds_messages_inside_each_other(void **state)
{
    for (int wire = 0; wire < 2; wire++) {
        struct buf fits = nested_filter((enum wire)wire, WIRE_DEPTH_MAX - 2);
        struct buf deep = nested_filter((enum wire)wire, WIRE_DEPTH_MAX - 1);
        struct buf deeper = nested_filter((enum wire)wire, 10000);

        expect_message((enum wire)wire, buf_str(&fits), ERR_NOT_FOUND, 1);
        expect_message((enum wire)wire, buf_str(&deep), ERR_SYNTAX, 0);
        expect_message((enum wire)wire, buf_str(&deeper), ERR_SYNTAX, 0);
        buf_deinit(&fits);
        buf_deinit(&deep);
        buf_deinit(&deeper);
    }
}

static void wire_bounds_nesting_of_unknown_json(void **state)
{
    struct buf out = BUF_INIT(OUT_MAX);

    buf_add_lit(&out, "{\"x\":");
    for (size_t i = 0; i < 100000; i++)
        buf_add_char(&out, '[');
    expect_message(WIRE_JSON, buf_str(&out), ERR_SYNTAX, 0);
    buf_deinit(&out);
}

static void wire_bounds_the_items_of_a_command(void **state)
{
    for (int wire = 0; wire < 2; wire++) {
        for (size_t over = 0; over < 2; over++) {
            struct str *vals = mem_zalloc((WIRE_ITEMS_MAX + 1) * sizeof *vals);
            struct wire_filter_node tf = {.vals = {vals, WIRE_ITEMS_MAX + over}};
            struct wire_subscribe_request sub = {.tf = &tf};
            struct wire_command command = {.subscribe = &sub};
            struct buf out = BUF_INIT(OUT_MAX);

            if (wire == WIRE_JSON)
                wire_json_add(&out, &wire_desc_command, &command);
            else
                wire_pb_add_delimited(&out, &wire_desc_command, &command);
            expect_message((enum wire)wire, buf_str(&out), over ? ERR_SYNTAX : ERR_NOT_FOUND,
                           1 - over);
            buf_deinit(&out);
            mem_free(vals);
        }
    }
}

static void wire_keeps_all_items_of_a_growing_list(void **state)
{
    struct buf out = BUF_INIT(OUT_MAX);
    struct wire_filter_node node;

    for (size_t n = 0; n < 70; n++) {
        buf_clear(&out);
        buf_add_lit(&out, "{\"vals\":[");
        for (size_t i = 0; i < n; i++)
            buf_printf(&out, "%s\"v%zu\"", i ? "," : "", i);
        buf_add_lit(&out, "]}");
        assert_int_equal(
            wire_decode(WIRE_JSON, &wire_desc_filter_node, buf_str(&out), &arena, &node), OK);
        assert_int_equal(node.vals.count, n);
        for (size_t i = 0; i < n; i++) {
            char expected[16];

            snprintf(expected, sizeof expected, "v%zu", i);
            expect_str(node.vals.ptr[i], str_from(expected));
        }
    }
    buf_deinit(&out);
}

/* ---- methods ---- */

static void wire_method_follows_the_order_of_precedence(void **state)
{
    struct wire_command c =
        one_json(STR("{\"sub_refresh\":{},\"refresh\":{},\"send\":{},\"rpc\":{},\"history\":{},"
                     "\"presence_stats\":{},\"presence\":{},\"publish\":{},\"unsubscribe\":{},"
                     "\"subscribe\":{},\"ping\":{},\"connect\":{}}"));

    assert_int_equal(wire_command_method(&c), METHOD_CONNECT);
    c.connect = NULL;
    assert_int_equal(wire_command_method(&c), METHOD_PING);
    c.ping = NULL;
    assert_int_equal(wire_command_method(&c), METHOD_SUBSCRIBE);
    c.subscribe = NULL;
    assert_int_equal(wire_command_method(&c), METHOD_UNSUBSCRIBE);
    c.unsubscribe = NULL;
    assert_int_equal(wire_command_method(&c), METHOD_PUBLISH);
    c.publish = NULL;
    assert_int_equal(wire_command_method(&c), METHOD_PRESENCE);
    c.presence = NULL;
    assert_int_equal(wire_command_method(&c), METHOD_PRESENCE_STATS);
    c.presence_stats = NULL;
    assert_int_equal(wire_command_method(&c), METHOD_HISTORY);
    c.history = NULL;
    assert_int_equal(wire_command_method(&c), METHOD_RPC);
    c.rpc = NULL;
    assert_int_equal(wire_command_method(&c), METHOD_SEND);
    c.send = NULL;
    assert_int_equal(wire_command_method(&c), METHOD_REFRESH);
    c.refresh = NULL;
    assert_int_equal(wire_command_method(&c), METHOD_SUB_REFRESH);
    c.sub_refresh = NULL;
    assert_int_equal(wire_command_method(&c), METHOD_NONE);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(wire_takes_several_commands_of_one_frame),
        CASE(wire_json_tolerates_what_the_reference_does),
        CASE(wire_json_takes_the_last_of_duplicates),
        CASE(wire_json_refuses_what_is_no_command),
        CASE(wire_json_unescapes_text_and_keeps_raw_as_it_is),
        CASE(wire_decode_takes_a_whole_text_only),
        CASE(wire_pb_tolerates_what_proto3_does),
        CASE(wire_pb_refuses_what_is_no_command),
        CASE(wire_reads_every_integer_in_both_encodings),
        CASE(wire_bounds_messages_inside_each_other),
        CASE(wire_bounds_nesting_of_unknown_json),
        CASE(wire_bounds_the_items_of_a_command),
        CASE(wire_keeps_all_items_of_a_growing_list),
        CASE(wire_method_follows_the_order_of_precedence),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
