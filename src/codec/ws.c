/* The frame decoder is our own instead of a library's because a whole message can then be handed
 * over where it lies in the read buffer, and because nothing has to be kept between messages. */
#include "codec/ws.h"

#include "base/check.h"
#include "base/mem.h"
#include "base/utf8.h"

/* Fragments cost time, not memory, since they are joined as they come; what is refused is a message
 * cut so small that only an attacker would do it. */
#define FRAGMENTS_FREE 1024
#define FRAGMENT_BYTES_MEAN 16

#define HEAD_MAX 14 /* of a masked frame */

struct head {
    bool fin;
    bool compressed;
    uint8_t opcode;
    uint8_t mask[4];
    uint64_t len;
};

struct ws_partial {
    uint8_t head_bytes[HEAD_MAX]; /* of the next frame, incomplete */
    uint8_t head_len;
    bool in_frame;   /* payload of `head` is still to come */
    bool in_message; /* a fragmented or unfinished message is being put together */
    bool text;       /* that message must be UTF-8 */
    bool compressed; /* and is to be expanded first */
    uint8_t phase;   /* place in the mask */
    uint8_t control_len;
    struct head head;
    uint64_t left; /* payload bytes of the frame that are still to come */
    struct utf8_state utf8;
    uint32_t fragments;
    struct buf message;
    char control[WS_CONTROL_MAX];
};

/* ---- input ---- */

static bool is_control(uint8_t opcode)
{
    return opcode & 0x8;
}

static void unmask(char *bytes, size_t n, const uint8_t mask[4], size_t phase)
{
    uint8_t turned[8];
    uint64_t wide;
    size_t i = 0;

    for (size_t k = 0; k < 8; k++)
        turned[k] = mask[(phase + k) & 3];
    memcpy(&wide, turned, 8);
    for (; i + 8 <= n; i += 8) {
        uint64_t part;

        memcpy(&part, bytes + i, 8);
        part ^= wide;
        memcpy(bytes + i, &part, 8);
    }
    for (; i < n; i++)
        bytes[i] = (char)((uint8_t)bytes[i] ^ turned[i & 7]);
}

static uint64_t big_endian(const uint8_t *p, size_t n)
{
    uint64_t value = 0;

    for (size_t i = 0; i < n; i++)
        value = value << 8 | p[i];
    return value;
}

/* Reads a frame header out of n bytes. Returns its size, 0 when more bytes are needed, -1 when it
 * breaks the protocol, which is noticed at the first byte that shows it. */
static int read_head(const uint8_t *p, size_t n, bool deflate, struct head *out)
{
    size_t extra;

    if (n == 0)
        return 0;
    out->fin = p[0] & 0x80;
    out->opcode = p[0] & 0x0F;
    out->compressed = p[0] & 0x40;
    if (p[0] & 0x30) /* no extension that we know */
        return -1;
    if ((out->opcode & 0x7) > 2)
        return -1;
    if (out->compressed && (!deflate || is_control(out->opcode) || out->opcode == WS_CONTINUATION))
        return -1;
    if (is_control(out->opcode) && !out->fin)
        return -1;
    if (n == 1)
        return 0;
    if (!(p[1] & 0x80)) /* clients must mask */
        return -1;
    out->len = p[1] & 0x7F;
    if (is_control(out->opcode) && out->len > WS_CONTROL_MAX)
        return -1;
    extra = out->len == 127 ? 8 : out->len == 126 ? 2 : 0;
    if (n < 2 + extra)
        return 0;
    if (extra > 0) {
        out->len = big_endian(p + 2, extra);
        if (out->len >> 63 || out->len < (extra == 2 ? 126 : 65536))
            return -1;
    }
    if (n < 2 + extra + 4)
        return 0;
    memcpy(out->mask, p + 2 + extra, 4);
    return (int)(2 + extra + 4);
}

static struct ws_partial *partial_of(struct ws_input *in)
{
    if (!in->partial)
        in->partial = mem_zalloc(sizeof *in->partial);
    return in->partial;
}

static void partial_free(struct ws_input *in)
{
    buf_deinit(&in->partial->message);
    mem_free(in->partial);
    in->partial = NULL;
}

static void advance(char **bytes, size_t *n, size_t by)
{
    *bytes += by;
    *n -= by;
}

static enum ws_event fail(struct ws_frame *out, enum ws_code code)
{
    out->code = code;
    out->payload = STR_NONE;
    return WS_FAILED;
}

/* Takes a header from what was kept and what arrived. As read_head, the bytes being consumed unless
 * they are wrong. */
static int take_head(struct ws_input *in, bool deflate, char **bytes, size_t *n, struct head *out)
{
    struct ws_partial *p = in->partial;
    int size;

    if (!p || p->head_len == 0) {
        size = read_head((const uint8_t *)*bytes, *n, deflate, out);
        if (size > 0)
            advance(bytes, n, (size_t)size);
        if (size != 0 || *n == 0)
            return size;
        p = partial_of(in);
        memcpy(p->head_bytes, *bytes, *n); /* shorter than any whole header */
        p->head_len = (uint8_t)*n;
        advance(bytes, n, *n);
        return 0;
    }
    for (size = 0; size == 0 && *n > 0;) {
        p->head_bytes[p->head_len++] = (uint8_t) * *bytes;
        advance(bytes, n, 1);
        size = read_head(p->head_bytes, p->head_len, deflate, out);
    }
    if (size != 0)
        p->head_len = 0;
    return size;
}

/* What a header alone cannot know: the order of frames, and the size of the whole message. Returns
 * 0 or the code to fail with. */
static int check_order(const struct ws_partial *p, const struct head *h, size_t message_max)
{
    bool in_message = p && p->in_message;
    size_t have = in_message ? p->message.len : 0;

    if (is_control(h->opcode))
        return 0;
    if ((h->opcode == WS_CONTINUATION) != in_message)
        return WS_CODE_PROTOCOL;
    if (have > message_max || h->len > message_max - have)
        return WS_CODE_TOO_BIG;
    if (in_message && p->fragments >= FRAGMENTS_FREE + message_max / FRAGMENT_BYTES_MEAN)
        return WS_CODE_POLICY;
    return 0;
}

static enum ws_event take_close(struct str payload, struct ws_frame *out)
{
    out->code = WS_CODE_NONE;
    out->payload = STR_NONE;
    if (payload.len == 0)
        return WS_GOT_CLOSE;
    if (payload.len == 1)
        return fail(out, WS_CODE_PROTOCOL);
    out->code = (enum ws_code)big_endian((const uint8_t *)payload.ptr, 2);
    if (!ws_code_valid(out->code))
        return fail(out, WS_CODE_PROTOCOL);
    out->payload = str_cut(payload, 2);
    if (!utf8_valid(out->payload))
        return fail(out, WS_CODE_INVALID);
    return WS_GOT_CLOSE;
}

static enum ws_event take_control(uint8_t opcode, struct str payload, struct ws_frame *out)
{
    out->opcode = (enum ws_opcode)opcode;
    out->payload = payload;
    if (opcode == WS_CLOSE)
        return take_close(payload, out);
    return opcode == WS_PING ? WS_GOT_PING : WS_GOT_PONG;
}

/* A frame whose payload lies whole in front of us and needs nothing kept. */
static enum ws_event take_whole(const struct head *h, char **bytes, size_t *n, struct ws_frame *out)
{
    struct str payload = str_of(*bytes, (size_t)h->len);

    unmask(*bytes, payload.len, h->mask, 0);
    advance(bytes, n, payload.len);
    if (is_control(h->opcode))
        return take_control(h->opcode, payload, out);
    if (h->opcode == WS_TEXT && !h->compressed && !utf8_valid(payload))
        return fail(out, WS_CODE_INVALID);
    out->opcode = (enum ws_opcode)h->opcode;
    out->compressed = h->compressed;
    out->payload = payload;
    return WS_GOT_MESSAGE;
}

static void begin_frame(struct ws_partial *p, const struct head *h, size_t message_max)
{
    p->head = *h;
    p->left = h->len;
    p->phase = 0;
    p->in_frame = true;
    p->control_len = 0;
    if (is_control(h->opcode))
        return;
    if (h->opcode != WS_CONTINUATION) {
        p->in_message = true;
        p->text = h->opcode == WS_TEXT;
        p->compressed = h->compressed;
        p->utf8 = UTF8_STATE_INIT;
        p->fragments = 0;
        p->message = BUF_INIT(message_max);
    }
    p->fragments++;
}

/* Puts what arrived of the current frame away; 0 or the code to fail with. */
static int take_part(struct ws_partial *p, char **bytes, size_t *n)
{
    size_t take = *n < p->left ? *n : (size_t)p->left;
    struct str part = str_of(*bytes, take);

    unmask(*bytes, take, p->head.mask, p->phase);
    p->phase = (uint8_t)((p->phase + take) & 3);
    p->left -= take;
    advance(bytes, n, take);
    if (is_control(p->head.opcode)) {
        memcpy(p->control + p->control_len, part.ptr, part.len);
        p->control_len = (uint8_t)(p->control_len + part.len);
        return 0;
    }
    if (p->text && !p->compressed && !utf8_feed(&p->utf8, part))
        return WS_CODE_INVALID;
    buf_add_str(&p->message, part);
    /* A reload may have lowered the limit, but never below what this buffer was born with. */
    return p->message.overflow ? WS_CODE_TOO_BIG : 0;
}

static enum ws_event end_message(struct ws_partial *p, struct ws_frame *out)
{
    if (p->text && !p->compressed && !utf8_complete(&p->utf8))
        return fail(out, WS_CODE_INVALID);
    p->in_message = false; /* the bytes stay until the next call */
    out->opcode = p->text ? WS_TEXT : WS_BINARY;
    out->compressed = p->compressed;
    out->payload = buf_str(&p->message);
    return WS_GOT_MESSAGE;
}

enum ws_event ws_next(struct ws_input *in, const struct ws_terms *terms, char **bytes, size_t *n,
                      struct ws_frame *out)
{
    size_t message_max = terms->message_max;
    struct ws_partial *p = in->partial;
    struct head head;
    int code;

    if (p && !p->in_frame && !p->in_message && p->head_len == 0)
        partial_free(in); /* what was handed out last time */
    for (;;) {
        p = in->partial;
        if (!p || !p->in_frame) {
            int size = take_head(in, terms->deflate, bytes, n, &head);

            if (size == 0)
                return WS_MORE;
            if (size < 0)
                return fail(out, WS_CODE_PROTOCOL);
            code = check_order(p, &head, message_max);
            if (code != 0)
                return fail(out, (enum ws_code)code);
            if (head.len <= *n &&
                (is_control(head.opcode) || (head.fin && head.opcode != WS_CONTINUATION)))
                return take_whole(&head, bytes, n, out);
            p = partial_of(in);
            begin_frame(p, &head, message_max);
        }
        code = take_part(p, bytes, n);
        if (code != 0)
            return fail(out, (enum ws_code)code);
        if (p->left > 0)
            return WS_MORE;
        p->in_frame = false;
        if (is_control(p->head.opcode))
            return take_control(p->head.opcode, str_of(p->control, p->control_len), out);
        if (p->head.fin)
            return end_message(p, out);
    }
}

void ws_input_deinit(struct ws_input *in)
{
    if (in->partial)
        partial_free(in);
}

size_t ws_input_memory(const struct ws_input *in)
{
    return in->partial ? sizeof *in->partial + in->partial->message.cap : 0;
}

/* ---- output ---- */

size_t ws_header(char out[WS_HEADER_MAX], enum ws_opcode opcode, size_t len)
{
    size_t extra = len < 126 ? 0 : len < 65536 ? 2 : 8;

    out[0] = (char)(0x80 | opcode);
    out[1] = (char)(extra == 0 ? len : extra == 2 ? 126 : 127);
    for (size_t i = 0; i < extra; i++)
        out[2 + i] = (char)((uint64_t)len >> (8 * (extra - 1 - i)));
    return 2 + extra;
}

struct str ws_payload(struct str frame)
{
    unsigned short_len = (unsigned char)frame.ptr[1] & 127;
    size_t head = short_len < 126 ? 2 : short_len == 126 ? 4 : 10;

    CHECK(frame.len >= head);
    return str_cut(frame, head);
}

size_t ws_close_frame(char out[WS_CLOSE_FRAME_MAX], uint32_t code, struct str reason)
{
    size_t head;

    if (code == WS_CODE_NONE)
        return ws_header(out, WS_CLOSE, 0);
    reason = utf8_cut(reason, WS_REASON_MAX);
    head = ws_header(out, WS_CLOSE, 2 + reason.len);
    out[head] = (char)(code >> 8);
    out[head + 1] = (char)code;
    if (reason.len > 0)
        memcpy(out + head + 2, reason.ptr, reason.len);
    return head + 2 + reason.len;
}

bool ws_code_valid(uint32_t code)
{
    if (code >= 3000 && code <= 4999)
        return true;
    return code >= 1000 && code <= 1014 && code != 1004 && code != 1005 && code != 1006;
}
