/* Client frames in two ways: whole, and cut where the first bytes of the input say. Both must lead
 * to the same events, and what is handed out must be within the limits. The rest of the input is
 * also read as an origin pattern and a list. */
#include "base/check.h"
#include "base/mem.h"
#include "base/utf8.h"
#include "codec/ws.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define MESSAGE_MAX 4096

struct trace {
    uint64_t hash;
    size_t events;
    bool failed;
};

static void note(struct trace *t, const void *bytes, size_t n)
{
    const uint8_t *p = bytes;

    for (size_t i = 0; i < n; i++)
        t->hash = (t->hash ^ p[i]) * 0x100000001b3u;
}

static void on_event(struct trace *t, enum ws_event event, const struct ws_frame *f)
{
    int code = event == WS_GOT_CLOSE || event == WS_FAILED ? (int)f->code : 0;

    if (event == WS_GOT_MESSAGE) {
        CHECK(f->payload.len <= MESSAGE_MAX);
        CHECK(f->opcode == WS_BINARY || f->compressed || utf8_valid(f->payload));
    } else if (event != WS_FAILED) {
        CHECK(f->payload.len <= WS_CONTROL_MAX);
    }
    if (event == WS_GOT_CLOSE)
        CHECK(f->code == WS_CODE_NONE || ws_code_valid(f->code));
    note(t, &event, sizeof event);
    note(t, &code, sizeof code);
    note(t, f->payload.ptr, f->payload.len);
    t->events++;
    t->failed = event == WS_FAILED;
}

static struct trace run(const struct ws_terms *terms, struct str bytes, size_t piece)
{
    struct ws_input in = {NULL};
    struct trace t = {0};

    for (size_t at = 0; at < bytes.len && !t.failed; at += piece) {
        size_t n = MIN(piece, bytes.len - at);
        char *copy = mem_dup(bytes.ptr + at, n), *p = copy;

        for (;;) {
            struct ws_frame frame = {0};
            enum ws_event event = ws_next(&in, terms, &p, &n, &frame);

            if (event == WS_MORE)
                break;
            on_event(&t, event, &frame);
            if (t.failed)
                break;
        }
        CHECK(t.failed || n == 0);
        CHECK(ws_input_memory(&in) <= 4 * MESSAGE_MAX);
        mem_free(copy);
    }
    ws_input_deinit(&in);
    return t;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct ws_terms terms = {.message_max = MESSAGE_MAX};
    struct str bytes, list, token;
    struct trace whole, cut;

    if (size < 1)
        return 0;
    terms.deflate = data[0] & 0x80;
    bytes = str_of((const char *)data + 1, size - 1);
    whole = run(&terms, bytes, MAX(bytes.len, (size_t)1));
    cut = run(&terms, bytes, 1 + data[0] % 32);
    CHECK(whole.events == cut.events && whole.hash == cut.hash);
    if (bytes.len > 256)
        return 0;
    list = bytes;
    while (ws_next_token(&list, &token))
        CHECK(token.len > 0);
    ws_glob(str_of(bytes.ptr, bytes.len / 2), str_cut(bytes, bytes.len / 2));
    ws_key_valid(bytes);
    ws_offers_deflate(bytes);
    return 0;
}
