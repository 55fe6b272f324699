#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "base/mem.h"
#include "codec/ws.h"

#define MAX_MESSAGE 70000

static const struct ws_terms plain = {.message_max = MAX_MESSAGE};
static const struct ws_terms deflate = {.message_max = MAX_MESSAGE, .deflate = true};

/* Every event as text, so that two ways of feeding the same bytes can be compared. */
static void record(struct buf *log, enum ws_event event, const struct ws_frame *f)
{
    static const char *names[] = {"more", "message", "ping", "pong", "close", "failed"};

    if (event == WS_MORE)
        return;
    buf_printf(log, "%s", names[event]);
    if (event == WS_GOT_CLOSE || event == WS_FAILED)
        buf_printf(log, " %d", (int)f->code);
    if (event == WS_GOT_MESSAGE)
        buf_printf(log, " %d%s", (int)f->opcode, f->compressed ? " compressed" : "");
    if (f->payload.len > 200)
        buf_printf(log, " <%zu>", f->payload.len);
    else if (f->payload.len > 0)
        buf_printf(log, " %.*s", STR_ARGS(f->payload));
    buf_add_char(log, '\n');
}

/* Feeds bytes in pieces of at most `piece`; the events end up in log. False: it failed. */
static bool feed_on(const struct ws_terms *terms, struct ws_input *in, struct str bytes,
                    size_t piece, struct buf *log)
{
    enum ws_event event = WS_MORE;

    for (size_t at = 0; at < bytes.len && event != WS_FAILED; at += piece) {
        size_t n = MIN(piece, bytes.len - at);
        char *copy = mem_dup(bytes.ptr + at, n), *p = copy; /* of its own, for the sanitizer */

        do {
            struct ws_frame frame = {0};

            event = ws_next(in, terms, &p, &n, &frame);
            record(log, event, &frame);
        } while (event != WS_MORE && event != WS_FAILED);
        mem_free(copy);
    }
    return event != WS_FAILED;
}

static bool feed(struct ws_input *in, struct str bytes, size_t piece, struct buf *log)
{
    return feed_on(&plain, in, bytes, piece, log);
}

/* The same bytes whole, in single bytes and in sevens must lead to the same events. */
static void expect_on(const struct ws_terms *terms, struct str bytes, const char *events)
{
    static const size_t pieces[] = {SIZE_MAX, 1, 7};

    for (size_t i = 0; i < ARRAY_LEN(pieces); i++) {
        struct ws_input in = {NULL};
        struct buf log = BUF_INIT(1 << 20);

        feed_on(terms, &in, bytes, MIN(pieces[i], bytes.len), &log);
        buf_add_char(&log, '\0');
        assert_string_equal(log.ptr, events);
        ws_input_deinit(&in);
        buf_deinit(&log);
    }
}

static void expect(struct str bytes, const char *events)
{
    expect_on(&plain, bytes, events);
}

/* Adds a client frame that announces len and holds payload, masked. */
static void add_frame_of(struct buf *b, uint8_t first, struct str payload, uint64_t len)
{
    static const uint8_t mask[4] = {0x37, 0xFA, 0x21, 0x3D};
    int extra = len < 126 ? 0 : len < 65536 ? 2 : 8;

    buf_add_char(b, (char)first);
    buf_add_char(b, (char)(0x80 | (extra == 0 ? (int)len : extra == 2 ? 126 : 127)));
    for (int i = extra - 1; i >= 0; i--)
        buf_add_char(b, (char)(len >> (8 * i)));
    buf_add(b, mask, 4);
    for (size_t i = 0; i < payload.len; i++)
        buf_add_char(b, (char)((uint8_t)payload.ptr[i] ^ mask[i & 3]));
}

static void add_frame(struct buf *b, uint8_t first, struct str payload)
{
    add_frame_of(b, first, payload, payload.len);
}

static void expect_frame(uint8_t first, struct str payload, const char *events)
{
    struct buf b = BUF_INIT(1 << 20);

    add_frame(&b, first, payload);
    expect(buf_str(&b), events);
    buf_deinit(&b);
}

#define FIN 0x80

static void ws_yields_messages_however_they_are_cut(void **state)
{
    struct buf b = BUF_INIT(1 << 20);

    add_frame(&b, FIN | WS_TEXT, STR("hello"));
    add_frame(&b, FIN | WS_BINARY, STR("\xFF\xFE"));
    add_frame(&b, FIN | WS_TEXT, STR(""));
    add_frame(&b, WS_TEXT, STR("a"));
    add_frame(&b, FIN | WS_PING, STR("between"));
    add_frame(&b, WS_CONTINUATION, STR(""));
    add_frame(&b, FIN | WS_PONG, STR(""));
    add_frame(&b, FIN | WS_CONTINUATION, STR("bc"));
    add_frame(&b, FIN | WS_TEXT, STR("end"));
    expect(buf_str(&b), "message 1 hello\nmessage 2 \xFF\xFE\nmessage 1\nping between\npong\n"
                        "message 1 abc\nmessage 1 end\n");
    buf_deinit(&b);
}

static void ws_takes_every_length_at_the_edges_of_its_encoding(void **state)
{
    static const size_t lens[] = {0, 1, 125, 126, 127, 65535, 65536, MAX_MESSAGE};
    static char text[MAX_MESSAGE];

    memset(text, 'x', sizeof text);
    for (size_t i = 0; i < ARRAY_LEN(lens); i++) {
        struct buf b = BUF_INIT(1 << 20);
        struct ws_input in = {NULL};
        struct ws_frame frame;
        char *p;
        size_t n;

        add_frame(&b, FIN | WS_TEXT, str_of(text, lens[i]));
        p = b.ptr;
        n = b.len;
        assert_int_equal(ws_next(&in, &plain, &p, &n, &frame), WS_GOT_MESSAGE);
        assert_true(str_eq(frame.payload, str_of(text, lens[i])));
        assert_ptr_equal(frame.payload.ptr + lens[i], b.ptr + b.len); /* in place */
        assert_null(in.partial);
        buf_deinit(&b);
    }
}

static void ws_refuses_what_breaks_the_protocol(void **state)
{
    static const struct str samples[] = {
        STR("\x81\x01x"), /* not masked */
        STR("\xC1\x80"),
        STR("\xA1\x80"),
        STR("\x91\x80"), /* reserved bits */
        STR("\x83\x80"),
        STR("\x84\x80"),
        STR("\x85\x80"),
        STR("\x86\x80"),
        STR("\x87\x80"),
        STR("\x8B\x80"),
        STR("\x8C\x80"),
        STR("\x8D\x80"),
        STR("\x8E\x80"),
        STR("\x8F\x80"),
        STR("\x89\xFE"),         /* long control frame */
        STR("\x09\x80"),         /* fragmented control frame */
        STR("\x80\x80\0\0\0\0"), /* continuation of nothing */
        STR("\x81\xFE\0\x7D"),   /* lengths that would fit into less */
        STR("\x81\xFF\0\0\0\0\0\0\xFF\xFF"),
        STR("\x81\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF"),
        STR("\x01\x81\0\0\0\0x\x81\x81\0\0\0\0y"), /* a message inside another */
    };

    for (size_t i = 0; i < ARRAY_LEN(samples); i++)
        expect(samples[i], "failed 1002\n");
}

static void ws_refuses_what_is_too_big_before_it_arrives(void **state)
{
    struct buf b = BUF_INIT(1 << 20);
    static char half[MAX_MESSAGE / 2 + 1];

    expect(STR("\x81\xFF\x7F\xFF\xFF\xFF\xFF\xFF\xFF\xFF\0\0\0\0"), "failed 1009\n");
    add_frame_of(&b, FIN | WS_TEXT, STR_NONE, MAX_MESSAGE + 1);
    expect(buf_str(&b), "failed 1009\n");
    buf_clear(&b);
    memset(half, 'x', sizeof half);
    add_frame(&b, WS_TEXT, str_of(half, sizeof half));
    add_frame_of(&b, FIN | WS_CONTINUATION, STR_NONE, sizeof half);
    expect(buf_str(&b), "failed 1009\n");
    buf_deinit(&b);
}

static void ws_takes_no_memory_for_what_is_only_announced(void **state)
{
    struct ws_input in = {NULL};
    struct buf b = BUF_INIT(1 << 20), log = BUF_INIT(1000);

    add_frame_of(&b, FIN | WS_TEXT, STR("ten bytes."), 60000);
    assert_true(feed(&in, buf_str(&b), b.len, &log));
    assert_in_range(ws_input_memory(&in), 1, 1024);
    ws_input_deinit(&in);
    buf_deinit(&b);
    buf_deinit(&log);
}

static void ws_owns_nothing_between_messages(void **state)
{
    struct ws_input in = {NULL};
    struct buf b = BUF_INIT(1 << 20), log = BUF_INIT(1000);

    add_frame(&b, WS_TEXT, STR("frag"));
    add_frame(&b, FIN | WS_CONTINUATION, STR("ment"));
    add_frame(&b, FIN | WS_PING, STR("p"));
    for (size_t piece = 1; piece <= b.len; piece++) {
        assert_true(feed(&in, buf_str(&b), piece, &log));
        assert_int_equal(ws_input_memory(&in), 0);
    }
    buf_deinit(&b);
    buf_deinit(&log);
}

static void ws_checks_text_before_anybody_sees_it(void **state)
{
    struct buf b = BUF_INIT(1000);

    expect_frame(FIN | WS_TEXT, STR("\xFF"), "failed 1007\n");
    expect_frame(FIN | WS_TEXT, STR("\xC0\x80"), "failed 1007\n");
    expect_frame(FIN | WS_TEXT, STR("cut \xC3"), "failed 1007\n");
    add_frame(&b, WS_TEXT, STR("\xED"));
    add_frame(&b, FIN | WS_CONTINUATION, STR("\xA0\x80")); /* a surrogate, in two parts */
    expect(buf_str(&b), "failed 1007\n");
    buf_clear(&b);
    add_frame(&b, WS_TEXT, STR("\xC3"));
    add_frame(&b, FIN | WS_CONTINUATION, STR("\xA9"));
    expect(buf_str(&b), "message 1 \xC3\xA9\n");
    buf_clear(&b);
    add_frame_of(&b, FIN | WS_TEXT, STR("\xFF."), 1000); /* at once, not when it is complete */
    expect(buf_str(&b), "failed 1007\n");
    buf_deinit(&b);
}

#define RSV1 0x40

static void ws_tells_compressed_messages_from_others(void **state)
{
    struct buf b = BUF_INIT(1000);

    add_frame(&b, FIN | RSV1 | WS_TEXT, STR("\xFF.")); /* not text yet */
    add_frame(&b, FIN | WS_TEXT, STR("plain"));
    add_frame(&b, RSV1 | WS_TEXT, STR("\xFF"));
    add_frame(&b, FIN | WS_PING, STR("p"));
    add_frame(&b, WS_CONTINUATION, STR("\xC3"));
    add_frame(&b, FIN | WS_CONTINUATION, STR("z"));
    add_frame(&b, FIN | RSV1 | WS_BINARY, STR(""));
    add_frame(&b, WS_TEXT, STR("pl"));
    add_frame(&b, FIN | WS_CONTINUATION, STR("ain"));
    expect_on(&deflate, buf_str(&b),
              "message 1 compressed \xFF.\nmessage 1 plain\nping p\n"
              "message 1 compressed \xFF\xC3z\nmessage 2 compressed\nmessage 1 plain\n");
    buf_clear(&b);
    add_frame(&b, FIN | RSV1 | WS_TEXT, STR("a"));
    add_frame(&b, FIN | WS_TEXT, STR("\xFF"));
    expect_on(&deflate, buf_str(&b), "message 1 compressed a\nfailed 1007\n");
    buf_deinit(&b);
}

static void ws_takes_the_compressed_bit_only_where_a_message_begins(void **state)
{
    static const struct str samples[] = {
        STR("\xC9\x80"), /* on control frames */
        STR("\xCA\x80"),
        STR("\xC8\x80"),
        STR("\xC0\x80"), /* on continuations */
        STR("\x41\x81\0\0\0\0x\xC0\x81\0\0\0\0y"),
        STR("\x41\x81\0\0\0\0x\x40\x81\0\0\0\0y"),
        STR("\xA1\x80"), /* the other reserved bits */
        STR("\x91\x80"),
        STR("\xE1\x80"),
        STR("\xD1\x80"),
        STR("\xC3\x80"),
    };

    for (size_t i = 0; i < ARRAY_LEN(samples); i++)
        expect_on(&deflate, samples[i], "failed 1002\n");
}

static void ws_counts_compressed_bytes_as_they_are_on_the_wire(void **state)
{
    struct buf b = BUF_INIT(1 << 20);

    add_frame_of(&b, FIN | RSV1 | WS_TEXT, STR_NONE, MAX_MESSAGE + 1);
    expect_on(&deflate, buf_str(&b), "failed 1009\n");
    buf_deinit(&b);
}

static void ws_marks_a_header_as_compressed(void **state)
{
    char out[WS_HEADER_MAX];

    assert_int_equal(ws_header(out, WS_TEXT, 5), 2);
    ws_header_compressed(out);
    assert_memory_equal(out, "\xC1\x05", 2);
}

static void ws_finds_an_offer_of_deflate(void **state)
{
    static const struct {
        struct str offers;
        bool found;
    } rows[] = {
        {STR("permessage-deflate"), true},
        {STR("permessage-deflate; client_max_window_bits"), true},
        {STR(" permessage-deflate ;server_max_window_bits=8"), true},
        {STR("x-webkit-deflate-frame, permessage-deflate"), true},
        {STR(",,permessage-deflate;a=\"b\""), true},
        {STR("foo; a=\"x, y\", Permessage-Deflate"), true},
        {STR("foo; a=\"\\\", \", permessage-deflate"), true},
        {STR("permessage-deflate; server_max_window_bits=99"), true},
        {STR(""), false},
        {STR("constructor"), false},
        {STR("permessage-bzip2"), false},
        {STR("permessage-deflate2"), false},
        {STR("permessage-deflate=1"), false},
        {STR("permessage deflate"), false},
        {STR("a; permessage-deflate"), false},
        {STR("foo; a=\", permessage-deflate, \""), false},
        {STR("foo; a=\", permessage-deflate"), false}, /* a string without an end */
        {STR("permessage-deflate; a=\"\\"), false},
    };

    for (size_t i = 0; i < ARRAY_LEN(rows); i++)
        if (ws_offers_deflate(rows[i].offers) != rows[i].found)
            fail_msg("%.*s", STR_ARGS(rows[i].offers));
}

/* Looking at every element anew up to its end would take minutes here. */
static void ws_reads_offers_in_linear_time(void **state)
{
    static char offers[8 << 20];

    for (size_t i = 0; i < sizeof offers; i++)
        offers[i] = "a;b=\"\\a\","[i % 9];
    assert_false(ws_offers_deflate(str_of(offers, sizeof offers)));
    memset(offers, ',', sizeof offers);
    assert_false(ws_offers_deflate(str_of(offers, sizeof offers)));
    for (size_t i = 0; i < sizeof offers; i++)
        offers[i] = i == 0 ? '"' : i % 2 ? '\\' : 'a';
    assert_false(ws_offers_deflate(str_of(offers, sizeof offers)));
}

static void ws_understands_close_frames(void **state)
{
    static const unsigned valid[] = {1000, 1001, 1002, 1003, 1007, 1011, 1014, 3000, 4999};
    static const unsigned invalid[] = {0, 1, 999, 1004, 1005, 1006, 1015, 1016, 2999, 5000, 65535};
    char events[64], code[2];

    for (size_t i = 0; i < ARRAY_LEN(valid); i++) {
        code[0] = (char)(valid[i] >> 8);
        code[1] = (char)valid[i];
        snprintf(events, sizeof events, "close %u\n", valid[i]);
        expect_frame(FIN | WS_CLOSE, str_of(code, 2), events);
    }
    for (size_t i = 0; i < ARRAY_LEN(invalid); i++) {
        code[0] = (char)(invalid[i] >> 8);
        code[1] = (char)invalid[i];
        expect_frame(FIN | WS_CLOSE, str_of(code, 2), "failed 1002\n");
    }
    expect_frame(FIN | WS_CLOSE, STR(""), "close 1005\n");
    expect_frame(FIN | WS_CLOSE, STR("\x0F\xA0why"), "close 4000 why\n");
    expect_frame(FIN | WS_CLOSE, STR("\x03"), "failed 1002\n");
    expect_frame(FIN | WS_CLOSE, STR("\x03\xE8\xFF"), "failed 1007\n");
}

static void ws_bounds_the_number_of_fragments(void **state)
{
    struct ws_input in = {NULL};
    struct buf b = BUF_INIT(1 << 20), log = BUF_INIT(1000);

    add_frame(&b, WS_TEXT, STR_NONE);
    for (int i = 0; i < 100000; i++)
        add_frame(&b, WS_CONTINUATION, STR_NONE);
    assert_false(feed(&in, buf_str(&b), b.len, &log));
    buf_add_char(&log, '\0');
    assert_string_equal(log.ptr, "failed 1008\n");
    assert_in_range(ws_input_memory(&in), 1, 1024);
    ws_input_deinit(&in);
    buf_deinit(&b);
    buf_deinit(&log);
}

static void ws_writes_the_shortest_header(void **state)
{
    char out[WS_HEADER_MAX];

    assert_int_equal(ws_header(out, WS_TEXT, 125), 2);
    assert_memory_equal(out, "\x81\x7D", 2);
    assert_int_equal(ws_header(out, WS_BINARY, 126), 4);
    assert_memory_equal(out, "\x82\x7E\x00\x7E", 4);
    assert_int_equal(ws_header(out, WS_TEXT, 65535), 4);
    assert_memory_equal(out, "\x81\x7E\xFF\xFF", 4);
    assert_int_equal(ws_header(out, WS_TEXT, 65536), 10);
    assert_memory_equal(out, "\x81\x7F\0\0\0\0\0\1\0\0", 10);
}

static void ws_finds_what_its_own_frames_carry(void **state)
{
    static char frame[WS_HEADER_MAX + 65536];

    for (size_t i = 0; i < 5; i++) {
        size_t len = (const size_t[]){1, 125, 126, 65535, 65536}[i];
        size_t head = ws_header(frame, WS_TEXT, len);
        struct str payload = ws_payload(str_of(frame, head + len));

        assert_ptr_equal(payload.ptr, frame + head);
        assert_int_equal(payload.len, len);
    }
}

static void ws_cuts_a_close_reason_between_characters(void **state)
{
    char out[WS_CLOSE_FRAME_MAX], reason[124];

    assert_int_equal(ws_close_frame(out, 3501, STR("bad request")), 15);
    assert_memory_equal(out,
                        "\x88\x0D\x0D\xAD"
                        "bad request",
                        15);
    assert_int_equal(ws_close_frame(out, WS_CODE_NONE, STR("x")), 2);
    memset(reason, 'x', sizeof reason);
    assert_int_equal(ws_close_frame(out, 3000, str_of(reason, 124)), 127);
    memcpy(reason + 122, "\xC3\xA9", 2);
    assert_int_equal(ws_close_frame(out, 3000, str_of(reason, 124)), 126);
    assert_int_equal((uint8_t)out[1], 124);
}

static void ws_answers_the_key_of_the_rfc(void **state)
{
    char accept[WS_ACCEPT_LEN];

    assert_true(ws_key_valid(STR("dGhlIHNhbXBsZSBub25jZQ==")));
    ws_accept_key(STR("dGhlIHNhbXBsZSBub25jZQ=="), accept);
    assert_memory_equal(accept, "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=", WS_ACCEPT_LEN);
    assert_false(ws_key_valid(STR("")));
    assert_false(ws_key_valid(STR("dGhlIHNhbXBsZSBub25jZQ=")));
    assert_false(ws_key_valid(STR("dGhlIHNhbXBsZSBub25jZQAA")));
    assert_false(ws_key_valid(STR("dGhlIHNhbXB*ZSBub25jZQ==")));
}

static void ws_reads_lists_of_tokens(void **state)
{
    struct str list = STR(" a ,, b,\tc"), token;

    assert_true(ws_next_token(&list, &token) && str_eq(token, STR("a")));
    assert_true(ws_next_token(&list, &token) && str_eq(token, STR("b")));
    assert_true(ws_next_token(&list, &token) && str_eq(token, STR("c")));
    assert_false(ws_next_token(&list, &token));
    assert_true(ws_list_has(STR("keep-alive, Upgrade"), STR("upgrade")));
    assert_false(ws_list_has(STR("keep-alive, upgraded"), STR("upgrade")));
}

static void ws_matches_origins_as_documented(void **state)
{
    static const struct {
        struct str pattern, text;
        bool match;
    } rows[] = {
        {STR("*"), STR(""), true},
        {STR("*"), STR("https://example.com"), true},
        {STR("https://example.com"), STR("https://example.com"), true},
        {STR("https://example.com"), STR("https://example.com.evil.org"), false},
        {STR("https://example.com"), STR("https://example.com:443"), false},
        {STR("https://*.example.com"), STR("https://a.b.example.com"), true},
        {STR("https://*.example.com"), STR("https://example.com"), false},
        {STR("https://*.example.com"), STR("https://x.example.com.evil.org"), false},
        {STR("http?://a"), STR("https://a"), true},
        {STR("http?://a"), STR("http://a"), false},
        {STR("[abc]x"), STR("bx"), true},
        {STR("[abc]x"), STR("dx"), false},
        {STR("[!abc]x"), STR("dx"), true},
        {STR("[!abc]x"), STR("ax"), false},
        {STR("[a-c]"), STR("b"), true},
        {STR("[a-c]"), STR("-"), false},
        {STR("http{,s}://a"), STR("http://a"), true},
        {STR("http{,s}://a"), STR("https://a"), true},
        {STR("http{,s}://a"), STR("httpx://a"), false},
        {STR("http://{localhost,127.0.0.1}{,:*}"), STR("http://127.0.0.1:3000"), true},
        {STR("http://{localhost,127.0.0.1}{,:*}"), STR("http://localhost"), true},
        {STR("http://{localhost,127.0.0.1}{,:*}"), STR("http://localhost.evil.org"), false},
        {STR("{a,{b,c}d}e"), STR("cde"), true},
        {STR("{a,{b,c}d}e"), STR("ce"), false},
        {STR("a\\*"), STR("a*"), true},
        {STR("a\\*"), STR("ab"), false},
        {STR("[a"), STR("a"), false}, /* broken patterns */
        {STR("{a"), STR("a"), false},
        {STR("\\"), STR("\\"), false},
        {STR(""), STR("a"), false},
    };

    for (size_t i = 0; i < ARRAY_LEN(rows); i++)
        if (ws_glob(rows[i].pattern, rows[i].text) != rows[i].match)
            fail_msg("%.*s on %.*s", STR_ARGS(rows[i].pattern), STR_ARGS(rows[i].text));
}

/* A pattern of many stars would take years if every one of them tried every place. */
static void ws_matches_many_stars_in_bounded_time(void **state)
{
    static char pattern[1000], text[16000];

    for (size_t i = 0; i < sizeof pattern; i++)
        pattern[i] = i % 2 ? 'a' : '*';
    memset(text, 'a', sizeof text);
    text[sizeof text - 1] = 'b';
    assert_false(ws_glob(str_of(pattern, sizeof pattern), str_of(text, sizeof text)));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(ws_yields_messages_however_they_are_cut),
        cmocka_unit_test(ws_takes_every_length_at_the_edges_of_its_encoding),
        cmocka_unit_test(ws_refuses_what_breaks_the_protocol),
        cmocka_unit_test(ws_refuses_what_is_too_big_before_it_arrives),
        cmocka_unit_test(ws_takes_no_memory_for_what_is_only_announced),
        cmocka_unit_test(ws_owns_nothing_between_messages),
        cmocka_unit_test(ws_checks_text_before_anybody_sees_it),
        cmocka_unit_test(ws_tells_compressed_messages_from_others),
        cmocka_unit_test(ws_takes_the_compressed_bit_only_where_a_message_begins),
        cmocka_unit_test(ws_counts_compressed_bytes_as_they_are_on_the_wire),
        cmocka_unit_test(ws_marks_a_header_as_compressed),
        cmocka_unit_test(ws_finds_an_offer_of_deflate),
        cmocka_unit_test(ws_reads_offers_in_linear_time),
        cmocka_unit_test(ws_understands_close_frames),
        cmocka_unit_test(ws_bounds_the_number_of_fragments),
        cmocka_unit_test(ws_writes_the_shortest_header),
        cmocka_unit_test(ws_finds_what_its_own_frames_carry),
        cmocka_unit_test(ws_cuts_a_close_reason_between_characters),
        cmocka_unit_test(ws_answers_the_key_of_the_rfc),
        cmocka_unit_test(ws_reads_lists_of_tokens),
        cmocka_unit_test(ws_matches_origins_as_documented),
        cmocka_unit_test(ws_matches_many_stars_in_bounded_time),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
